"""A run as a table of cells: what each is called, what stands beside it, what the store says."""

from __future__ import annotations

import numpy as np
import pytest
from planted import Planted

from bench.errors import StoreError, UsageError
from bench.matrix import Entry, Matrix
from bench.metrics import METRICS, Withheld
from bench.records import Budget, Result


def entry(matrix: Matrix, label: str) -> Entry:
    (found,) = [each for each in matrix.entries if each.label == label]
    return found


# What a cell is


def test_cells_keep_the_order_of_the_plan_and_probes_stand_apart(planted: Planted) -> None:
    planted.attack("net", "pgd", [True])
    planted.probe("net", "pgd", "eps0", [False])
    planted.evaluate("net", [True])
    matrix = planted.matrix
    assert [e.label for e in matrix.entries] == ["attack net/pgd", "evaluate net"]
    assert [e.label for e in matrix.probes] == ["probe net/pgd~eps0"]


def test_a_value_is_a_coordinate_a_fact_or_nothing(planted: Planted) -> None:
    planted.attack("net", "pgd@eps=0.1", [True], target=1, variant="half")
    planted.transfer("other", "net", "pgd@eps=0.1", [True])
    attack, transfer = planted.matrix.entries
    assert [attack.value(name) for name in ("kind", "model", "variant", "attack", "eps")] == [
        "attack",
        "net",
        "half",
        "pgd@eps=0.1",
        0.1,
    ]
    assert (attack.value("source"), attack.value("unheard-of")) == (None, None)
    assert transfer.value("source") == "other"  # the original goes without saying
    assert attack.value("caveats") == "[]"  # what is no plain value can still be laid out


def test_dimensions_are_the_axes_and_every_fact(planted: Planted) -> None:
    planted.attack("net", "pgd", [True], facts={"steps": 7})
    planted.latency("net", [1.0, 2.0])
    assert {"model", "variant", "attack", "source", "kind", "eps", "steps", "batch"} <= set(
        planted.matrix.dimensions
    )
    with pytest.raises(UsageError, match=r"--rows: 'step' is no dimension.*'steps'"):
        planted.matrix.check_dimension("step", "--rows")


def test_the_budget_is_the_ball_in_which_images_count(planted: Planted) -> None:
    planted.attack("net", "pgd", [True], eps=0.5, norm="l2")
    planted.attack("net", "far", [True], facts={"budget": None})
    near, far = planted.matrix.entries
    assert near.budget == Budget("l2", 0.5)
    assert far.budget is None


def test_a_cell_goes_by_its_label_its_coordinates_and_the_name_in_tables(
    planted: Planted,
) -> None:
    planted.attack("net", "pgd@eps=0.0313725", [True])
    (attack,) = planted.matrix.entries
    for name in (
        "attack net/pgd@eps=0.0313725",
        "net/pgd@eps=0.0313725",
        "attack net/pgd@eps=8/255",
        "net/pgd@eps=8/255",
    ):
        assert attack.is_called(name)
    assert not attack.is_called("net/pgd")
    assert not attack.is_called("net/pgd@eps=4/255")


# What stands beside it


def test_the_original_is_the_same_cell_of_the_same_training(planted: Planted) -> None:
    for replica in ("seed1", "seed2"):
        for variant in ("original", "half"):
            planted.attack("net", "pgd", [True], variant=variant, replica=replica)
    planted.attack("net", "fgsm", [True])
    planted.evaluate("net", [True], replica="seed1")
    matrix = planted.matrix
    half = entry(matrix, "attack net:seed2/half/pgd")
    assert matrix.original(half).label == "attack net:seed2/pgd"
    own = entry(matrix, "attack net:seed1/pgd")
    assert matrix.original(own) == own


def test_latencies_are_compared_at_one_batch(planted: Planted) -> None:
    for batch in (1, 16):
        planted.latency("net", [float(batch), float(batch)], batch=batch)
        planted.latency("net", [batch / 2, batch / 2], batch=batch, variant="half")
    matrix = planted.matrix
    for each in matrix.entries:
        assert matrix.original(each).value("batch") == each.value("batch")
    (half,) = [e for e in matrix.entries if e.value("variant") == "half" and e.value("batch") == 16]
    assert matrix.estimate([half], METRICS["speed_up"]).value == pytest.approx(2)


@pytest.mark.parametrize("state", ["failed", "skipped", "blocked"])
def test_an_original_that_is_not_done_is_none(planted: Planted, state: str) -> None:
    planted.profile("net", variant="half", size_bytes=10)
    planted.put("profile", "net", Result(), state=state, reason="lost")
    matrix = planted.matrix
    half = entry(matrix, "profile net/half")
    assert matrix.original(half) is None
    found = matrix.estimate([half], METRICS["compression_ratio"])
    assert isinstance(found, Withheld)


def test_a_variant_is_compared_image_by_image(planted: Planted) -> None:
    planted.evaluate("net", [True, True, True, False])
    # the same images in the same order; two of the three that were right before still are
    planted.evaluate("net", [True, False, True, False], variant="half")
    matrix = planted.matrix
    half = entry(matrix, "evaluate net/half")
    assert matrix.estimate([half], METRICS["recovery_rate"]).value == pytest.approx(2 / 3)


def test_data_of_replicas_carry_their_seeds(planted: Planted) -> None:
    planted.evaluate("net", [True, False], replica="seed1-fold1of2")
    planted.evaluate("net", [True, True], replica="seed1-fold2of2", start=2)
    matrix = planted.matrix
    first, second = matrix.cell_data(matrix.entries)
    assert (first.seed, second.seed) == ("seed1", "seed1")  # folds of one seed belong together
    assert list(first.records["image"]) == ["test/0", "test/1"]
    assert first.summary == {"images": 2}
    found = matrix.estimate(matrix.entries, METRICS["clean_accuracy"])
    assert (found.value, found.n, found.trainings) == (0.75, 4, 1)


# What the store says


def test_records_say_which_images_lie_within_the_budget(planted: Planted) -> None:
    planted.attack("net", "near", [True, True], size=0.1)
    planted.attack("net", "far", [True, True], size=0.2)  # of a budget of 0.1
    matrix = planted.matrix
    near, far = (list(matrix.records(each)["within_budget"]) for each in matrix.entries)
    assert (near, far) == ([True, True], [False, False])


def test_of_a_search_for_the_nearest_the_size_is_reported_in_its_norm(planted: Planted) -> None:
    planted.attack("net", "nearest", [True], size=0.05, facts={"minimum_norm": True})
    planted.attack("net", "pgd", [True])
    nearest, pgd = planted.matrix.entries
    assert list(planted.matrix.records(nearest)["size"]) == [0.05]
    assert "size" not in planted.matrix.records(pgd)


def test_a_cell_without_records_has_none(planted: Planted) -> None:
    planted.profile("net", parameters=3)
    assert planted.matrix.records(planted.matrix.entries[0]) is None
    assert planted.matrix.frame().empty


def test_a_cell_that_the_store_lost_says_how_to_get_it_again(planted: Planted) -> None:
    planted.evaluate("net", [True])
    planted.cells[0]["key"] = "f" * 64
    with pytest.raises(StoreError, match=r"no longer holds evaluate net.*bench run planted"):
        planted.matrix.records(planted.matrix.entries[0])


def test_all_records_stand_in_one_frame_with_what_they_are_of(planted: Planted) -> None:
    planted.evaluate("net", [True, False])
    planted.attack("net", "pgd", [True, False, True])
    planted.attack("net", "lost", [True], state="failed", reason="lost")
    frame = planted.matrix.frame()
    assert frame.groupby("kind").size().to_dict() == {"attack": 3, "evaluate": 2}
    assert set(frame["attack"]) == {"", "pgd"}  # of failed cells there is nothing
    assert set(frame[frame["kind"] == "attack"]["eps"]) == {0.1}
    assert frame[frame["kind"] == "evaluate"]["eps"].isna().all()


def test_adversarial_images_are_those_that_were_judged(planted: Planted) -> None:
    pixels = np.random.default_rng(0).random((2, 3, 4, 4), dtype=np.float32)
    planted.put("attack", "net", Result(arrays={"adversarial_images": pixels}), attack="pgd")
    planted.put("attack", "net", Result(), attack="lost", state="failed", reason="lost")
    for name in ("net/pgd", "attack net/pgd"):
        np.testing.assert_array_equal(planted.matrix.adversarial_images(name), pixels)
    with pytest.raises(UsageError, match=r"'net/lost' is no finished attack"):
        planted.matrix.adversarial_images("net/lost")
    with pytest.raises(UsageError, match=r"did you mean 'net/pgd'"):
        planted.matrix.adversarial_images("net/pdg")


def test_a_store_without_runs_has_no_matrix(planted: Planted) -> None:
    with pytest.raises(StoreError, match="holds no run"):
        Matrix.last(planted.store)
