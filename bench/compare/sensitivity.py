"""Layer by layer: the zeros of variants, and what is lost where one layer is reduced.

Losses are paired by image, and tested against the whole model. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from bench import statistics
from bench.compare.variants import Compression
from bench.matrix import Entry, Matrix

if TYPE_CHECKING:
    from pandas import DataFrame, Series

Outcome: TypeAlias = Literal["accuracy", "robustness"]
"""What images are counted for: right before an attack, or before and after it."""


@dataclass(frozen=True)
class Loss:
    """The share of images that are lost where a layer is reduced, negative where some are gained.

    ``p_value`` is two-sided, and corrected over all tests of one model.
    """

    share: float
    p_value: float


@dataclass(frozen=True)
class Sensitivity:
    """What is lost where each layer of one trained model is reduced alone.

    Attributes:
        model: its name.
        replica: which of its trainings; None where it has one.
        step: what reduces the layer.
        attack: after which robustness is counted.
        images: how many are compared.
        sparsity: of each layer, once it is reduced.
        losses: by layer and outcome; without those that have an image without a verdict.

    """

    model: str
    replica: str | None
    step: str
    attack: str
    images: int
    sparsity: Mapping[str, float]
    losses: Mapping[tuple[str, Outcome], Loss]


def sensitivities(matrix: Matrix) -> list[Sensitivity]:
    """Test what is lost with each layer, in every model whose sensitivity was measured."""
    found = [e for e in matrix.entries if e.kind == "sensitivity" and e.state == "done"]
    return [_sensitivity(matrix, entry) for entry in found]


def _sensitivity(matrix: Matrix, entry: Entry) -> Sensitivity:
    records: Any = matrix.records(entry)
    summary: Any = matrix.stored(entry).summary
    whole = _outcomes(records[records["layer"] == ""])
    tests: dict[tuple[str, Outcome], statistics.PairedTest] = {}
    for layer in summary["sparsity"]:
        for name, own in _outcomes(records[records["layer"] == layer]).items():
            if name in whole:
                tests[layer, name] = statistics.mcnemar(own, whole[name][own.index])
    corrected = statistics.holm([test.p_value for test in tests.values()])
    return Sensitivity(
        entry.coordinates.model,
        entry.coordinates.replica,
        str(entry.facts["step"]),
        str(entry.facts["met_by"]),
        summary["images"],
        summary["sparsity"],
        {
            key: Loss((test.only_second - test.only_first) / test.n, p_value)
            for (key, test), p_value in zip(tests.items(), corrected, strict=True)
        },
    )


def _outcomes(records: DataFrame) -> dict[Outcome, Series[bool]]:
    """Return which images are right before and, if all have a verdict, before and after."""
    known = records.set_index("image")
    right = known["prediction"] == known["label"]
    if known["adversarial_prediction"].isna().any():
        return {"accuracy": right}
    after = known["adversarial_prediction"].astype(int) == known["label"]
    return {"accuracy": right, "robustness": right & after}


def zeros(known: Compression, model: str) -> dict[str, dict[str, float]]:
    """Return the share of zeros in each layer of a model's variants, the mean over trainings.

    Returns:
        By the names of the variants that have the same shares, and by layer; without variants
        that have no zero.

    """
    found: dict[tuple[tuple[str, float], ...], list[str]] = {}
    for variant in known.families:
        profiles = [e for e in known.entries("profile", variant) if e.state == "done"]
        if known.original(variant) != model or not profiles:
            continue
        shares = _zeros(known.matrix, profiles)
        if any(share for _, share in shares):
            found.setdefault(shares, []).append(variant.partition("/")[2])
    return {", ".join(variants): dict(shares) for shares, variants in found.items()}


def _zeros(matrix: Matrix, profiles: list[Entry]) -> tuple[tuple[str, float], ...]:
    each: dict[str, list[float]] = {}
    for entry in profiles:
        summary: Any = matrix.stored(entry).summary
        for layer in summary["layers"]:
            each.setdefault(layer["name"], []).append(layer["zeros"] / layer["weights"])
    return tuple((name, sum(shares) / len(shares)) for name, shares in each.items())
