"""What layers cost and where zeros lie, on records that were planted."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from planted import Planted

from bench import statistics
from bench.compare import sensitivity
from bench.compare.variants import Compression
from bench.records import Result, SensitivityRecord

COUNT = 40


def put(planted: Planted, layers: Mapping[str, tuple[int, int | None]]) -> None:
    """Of each layer, how many images are wrong before, and how many more after the attack.

    None: an image of the attack has no verdict.
    """
    records = [
        SensitivityRecord(
            f"test/{i}",
            0,
            layer,
            int(i < wrong),
            None if after is None and i == 0 else int(i < wrong + (after or 0)),
        )
        for layer, (wrong, after) in {"": (0, 0), **layers}.items()
        for i in range(COUNT)
    ]
    sparsity = dict.fromkeys(layers, 0.8)
    summary = {"images": COUNT, "layers": len(layers), "sparsity": sparsity}
    facts = {"met_by": "pgd", "step": "magnitude"}
    planted.put("sensitivity", "net", Result(records=records, summary=summary), facts=facts)


def test_losses_are_counted_by_hand_and_corrected_over_the_layers(planted: Planted) -> None:
    put(planted, {"a": (8, 2), "b": (0, 4), "c": (0, 0)})
    [found] = sensitivity.sensitivities(planted.matrix)
    assert (found.model, found.replica, found.step, found.attack) == (
        "net",
        None,
        "magnitude",
        "pgd",
    )
    assert found.images == COUNT
    assert found.sparsity == dict.fromkeys("abc", 0.8)
    shares = {key: loss.share for key, loss in found.losses.items()}
    assert shares == {
        ("a", "accuracy"): 8 / COUNT,
        ("a", "robustness"): 10 / COUNT,  # wrong before or after
        ("b", "accuracy"): 0.0,
        ("b", "robustness"): 4 / COUNT,
        ("c", "accuracy"): 0.0,
        ("c", "robustness"): 0.0,
    }
    raw = [1.0 if not lost else 2 / 2 ** round(lost * COUNT) for lost in shares.values()]
    assert [loss.p_value for loss in found.losses.values()] == statistics.holm(raw)


def test_a_layer_with_an_image_without_a_verdict_has_no_robustness(planted: Planted) -> None:
    """And it is in no family: there is one test less to correct for."""
    put(planted, {"a": (8, 0), "b": (4, None)})
    [found] = sensitivity.sensitivities(planted.matrix)
    assert set(found.losses) == {("a", "accuracy"), ("a", "robustness"), ("b", "accuracy")}
    assert found.losses["a", "accuracy"].p_value == pytest.approx(3 * 2 / 2**8)


def test_a_cell_without_a_result_has_no_losses(planted: Planted) -> None:
    planted.put("sensitivity", "net", Result(), state="blocked", reason="train net")
    assert sensitivity.sensitivities(planted.matrix) == []


def profile(planted: Planted, variant: str, zeros: int, replica: str | None = None) -> None:
    layers = [
        {"name": "conv", "zeros": zeros, "weights": 10},
        {"name": "head", "zeros": 0, "weights": 4},
    ]
    planted.profile("net", variant=variant, replica=replica, layers=layers)


def test_zeros_are_means_over_trainings_and_variants_of_equal_shares_are_one(
    planted: Planted,
) -> None:
    planted.reduced("net", "half", "magnitude")
    planted.reduced("net", "same", "magnitude")
    planted.reduced("net", "none", "int8")
    for replica, zeros in (("seed1", 4), ("seed2", 6)):
        profile(planted, "half", zeros, replica)
        profile(planted, "none", 0, replica)
    profile(planted, "same", 5)
    known = Compression(planted.matrix)
    assert sensitivity.zeros(known, "net") == {"half, same": {"conv": 0.5, "head": 0.0}}
    assert sensitivity.zeros(known, "other") == {}
