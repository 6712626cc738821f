"""Pairs of transfers that differ in one property, against counts by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted import Planted

from bench.compare import transfers
from bench.matrix import Matrix
from bench.statistics import holm, mcnemar


def test_pairs_differ_in_one_property_and_count_images_by_hand(transferred: Matrix) -> None:
    entries = {
        (str(e.value("source")), e.coordinates.model, str(e.coordinates.attack)): e
        for e in transferred.entries
        if e.kind == "transfer"
    }
    found = transfers.pairs(transferred)
    assert sorted((p.varied, p.first, p.second) for p in found) == sorted(
        [
            *[("eps", "fgsm@eps=0.035", "fgsm@eps=0.3")] * 2,
            *[("targeted", "fgsm@eps=0.3", "fgsm-targeted")] * 2,
            *[("plugin", "fgsm@eps=0.3", "pgd")] * 2,
            *[("direction", "linear > gaudy", "gaudy > linear")] * 4,
        ]
    )
    [pair] = [p for p in found if p.varied == "eps" and p.where == "linear > gaudy"]
    small, large = (
        transferred.records(entries["linear", "gaudy", attack]).to_dict("records")
        for attack in ("fgsm@eps=0.035", "fgsm@eps=0.3")
    )
    outcomes = [
        (one["prediction"] != one["label"], two["prediction"] != two["label"])
        for one, two in zip(small, large, strict=True)
        if one["clean_prediction"] == one["label"]
    ]
    assert pair.test.n == len(outcomes)
    assert pair.test == mcnemar(*zip(*outcomes, strict=True))
    raw = [mcnemar_again(one) for one in found]
    assert [one.p_value for one in found] == holm(raw)
    assert [one.p_value for one in found] != raw  # or else nothing was corrected


def mcnemar_again(pair: transfers.TransferPair) -> float:
    only_first, only_second = pair.test.only_first, pair.test.only_second
    first = [True] * only_first + [False] * only_second
    return mcnemar(first, [not hit for hit in first]).p_value


def test_a_difference_that_chance_explains_is_none(tmp_path: Path) -> None:
    """Of 40 images, 8 that only one attack brings over are p = 2 / 2**8; 4 are 2 / 2**4.

    Holm doubles the smaller of the two: 0.016 remains below 0.05, 0.125 does not.
    """
    planted = Planted(tmp_path)
    for name, eps in (("near", 0.1), ("far", 0.2)):
        facts = {"group": "fgsm", "plugin": "fgsm"}
        planted.attack("source", name, [True] * 40, eps=eps, facts=facts)
        for target, more in (("clear", 8), ("unclear", 4)):
            reached = more if name == "far" else 0
            planted.transfer("source", target, name, [i < reached for i in range(40)])
    found = {pair.where: pair for pair in transfers.pairs(planted.matrix) if pair.varied == "eps"}
    assert {where: pair.is_different for where, pair in found.items()} == {
        "source > clear": True,
        "source > unclear": False,
    }
    assert found["source > clear"].p_value == pytest.approx(2 * 2 / 2**8)
    assert found["source > unclear"].p_value == pytest.approx(2 / 2**4)
