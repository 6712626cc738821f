"""P-values that are bounds: they stay bounds under Holm, and are written so."""

from __future__ import annotations

import pickle

import pytest

from bench.statistics import PValue, holm, p_equals, written
from bench.statistics.p_values import at_least_drawn, resampled_p


def test_a_resampled_p_value_is_never_below_what_its_draws_allow() -> None:
    none, some = resampled_p(0, 1999), resampled_p(9, 1999)
    assert (none, some) == (0.001, 0.01)
    assert isinstance(none, PValue)
    assert not isinstance(some, PValue)
    assert resampled_p(1999, 1999) == 1
    assert at_least_drawn(1e-9, 1999) == none
    assert isinstance(at_least_drawn(0.0, 1999), PValue)
    assert not isinstance(at_least_drawn(0.3, 1999), PValue)


def test_bounds_remain_bounds_as_many_times_larger_as_the_family_asks_for() -> None:
    found = holm([0.3, PValue(0.001), 0.02, PValue(0.001)])
    assert found == [0.3, 0.004, 0.04, 0.004]
    assert [isinstance(each, PValue) for each in found] == [False, True, False, True]
    # a bound that is capped says nothing, and is none
    assert [isinstance(each, PValue) for each in holm([PValue(0.6), PValue(0.6)])] == [False] * 2
    # the smallest is exact: what it is raised to is no bound
    exact, bound = holm([0.0009, PValue(0.001)])
    assert (exact, bound) == (0.0018, 0.0018)
    assert not isinstance(bound, PValue)


@pytest.mark.parametrize(
    ("p_value", "expected"),
    [
        (0.04567, "p = 0.046"),
        (1.0, "p = 1"),
        (2e-7, "p = 2e-07"),
        (PValue(2 / 2001), "p < 0.001"),
        (PValue(3 * 2 / 2401), "p < 0.0025"),
        (PValue(0.00244), "p < 0.0025"),  # it is below what is written
        (PValue(0.0002), "p < 0.0002"),
        (PValue(2.2250738585072014e-308), "p < 1e-300"),
        (PValue(1.0), "p = 1"),
    ],
)
def test_a_bound_is_written_as_one(p_value: float, expected: str) -> None:
    assert p_equals(p_value) == expected
    assert written(p_value) == expected.removeprefix("p ").removeprefix("= ")


def test_a_bound_is_a_number_that_can_be_sent() -> None:
    sent = pickle.loads(pickle.dumps(PValue(0.001)))
    assert isinstance(sent, PValue)
    assert sent == 0.001
    assert max(0.0005, PValue(0.001)) == 0.001
