"""Pareto fronts, against brute force."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from planted import Planted

from bench.compare.fronts import front, undominated
from bench.metrics.constraints import Figure

LATENCY = Figure("latency_ms")

cheap = settings(derandomize=True, database=None, deadline=None, max_examples=80)


@given(st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), max_size=9))
@cheap
def test_what_nothing_dominates_is_that_of_brute_force(rows: list[list[int]]) -> None:
    """Less is better; equals do not beat each other."""
    known = {f"m{i}": row for i, row in enumerate(rows)}
    found = undominated(known)
    assert list(found) == list(known)
    for name, mine in known.items():
        beaten = 0
        for other in rows:
            better = [a < b for a, b in zip(other, mine, strict=True)]
            worse = [a > b for a, b in zip(other, mine, strict=True)]
            beaten += any(better) and not any(worse)
        assert found[name] is (beaten == 0)


def put(planted: Planted, model: str, right: int, runs: float | None, size: int | None) -> None:
    planted.evaluate(model, [i < right for i in range(100)])
    if runs is not None:
        planted.latency(model, [runs] * 100)
        planted.latency(model, [1.0] * 100, batch=16)  # which is not meant
    if size is not None:
        planted.profile(model, size_bytes=size)


def test_on_the_front_is_who_no_other_beats_in_cost_and_gain(tmp_path: Path) -> None:
    planted = Planted(tmp_path)
    put(planted, "accurate", 90, 9.0, 300)
    put(planted, "quick", 80, 3.0, 300)
    put(planted, "beaten", 80, 4.0, 300)
    put(planted, "equal", 80, 3.0, 300)
    put(planted, "untimed", 99, None, 100)
    put(planted, "unsized", 99, 1.0, None)
    found = front(planted.comparison, LATENCY, Figure("size_bytes"), Figure("clean_accuracy"))
    assert found.is_on_front == {"accurate": True, "quick": True, "beaten": False, "equal": True}
    assert found.left_out == {
        "untimed": "has no latency_ms@batch=1",
        "unsized": "has no size_bytes",
    }
    assert found.figures[0].values["quick"] == 3.0
    among = ["beaten", "untimed", "equal"]
    few = front(planted.comparison, LATENCY, Figure("clean_accuracy"), models=among)
    assert few.is_on_front == {"beaten": False, "equal": True}
    assert set(few.left_out) == {"untimed"}


def test_no_front_rests_on_a_withheld_figure(tmp_path: Path) -> None:
    planted = Planted(tmp_path)
    for model, broken in (("sound", {}), ("broken", {0: "linf 0.2 > 0.1"})):
        put(planted, model, 90, 9.0, 300)
        planted.attack(model, "pgd", [False] * 100, broken=broken)
    found = front(planted.comparison, LATENCY, Figure("robust_accuracy"))
    assert found.is_on_front == {"sound": True}
    assert found.left_out == {
        "broken": "robust_accuracy is withheld: 1 of 100 images: linf 0.2 > 0.1"
    }
