"""Problems have four parts; errors hold one or more, and can be pickled."""

from __future__ import annotations

import pickle

import pytest

from bench import errors
from bench.errors import BenchError, Problem, SuiteError, nearest

CLASSES = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, Exception)]


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("s.yaml:3", "got 1"), "s.yaml:3: got 1"),
        (Problem("", "got 1"), "got 1"),
        (Problem("s.yaml:3", "got 1", "a word"), "s.yaml:3: got 1, expected a word"),
        (Problem("s.yaml:3", "got 1", "", "look"), "s.yaml:3: got 1; look"),
        (
            Problem("s.yaml:3", "got 1", "a word", "look"),
            "s.yaml:3: got 1, expected a word; look",
        ),
    ],
)
def test_a_problem_reads_where_what_expected_action(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_an_error_says_one_line_for_each_problem() -> None:
    error = SuiteError(Problem("a", "is wrong"), Problem("b", "is wrong too", "right"))
    assert str(error).splitlines() == ["a: is wrong", "b: is wrong too, expected right"]


def test_an_error_without_a_problem_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one Problem"):
        BenchError()


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_is_a_bench_error_and_can_be_pickled(kind: type[BenchError]) -> None:
    assert issubclass(kind, BenchError)
    error = kind.of("here", "is wrong", "right", "mend it")
    assert type(error) is kind
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert again.problems == (Problem("here", "is wrong", "right", "mend it"),)
    assert str(again) == str(error)


def test_nearest_names_what_is_close_and_else_everything() -> None:
    assert nearest("fsgm", ["pgd", "fgsm"]) == "did you mean 'fgsm'?"
    assert nearest("zzz", ["pgd", "fgsm", "pgd"]) == "there is fgsm, pgd"
    assert nearest("zzz", []) == "there is none"


def test_nearest_offers_three_at_most() -> None:
    assert nearest("pgd", ["pgd1", "pgd2", "pgd3", "pgd4"]).count("'pgd") == 3
