"""One exception tree: what a person did wrong, said in four parts.

A :class:`Problem` says where, what, what was expected and what to do. Every error that a user can
cause carries one or more of them; the command line prints them without a traceback. This room knows
nothing of suites, plugins or files.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what, what was expected, what to do."""

    where: str
    what: str
    expected: str = ""
    action: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.expected:
            text += f", expected {self.expected}"
        if self.action:
            text += f"; {self.action}"
        return text


class BenchError(Exception):
    """The root of the tree: an error that bench explains instead of tracing.

    ``problems`` holds at least one :class:`Problem`; ``str(error)`` is one line for each.
    """

    def __init__(self, *problems: Problem) -> None:
        if not problems:
            raise ValueError("a BenchError needs at least one Problem")
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))

    def __reduce__(self) -> tuple[type[BenchError], tuple[Problem, ...]]:
        return type(self), self.problems

    @classmethod
    def of(cls, where: str, what: str, expected: str = "", action: str = "") -> BenchError:
        """Make an error of this class with one problem."""
        return cls(Problem(where, what, expected, action))


class SuiteError(BenchError):
    """A suite file, or an override of one, is not valid."""


class PluginError(BenchError):
    """A plugin is missing, offered twice, broken, or breaks its contract."""


class ModelError(PluginError):
    """A model's own code fails, or does what a model may not do."""


class DataError(BenchError):
    """A dataset is missing, empty or malformed."""


class WeightsError(BenchError):
    """A file of weights is missing or does not load strictly."""


class StoreError(BenchError):
    """The store cannot be read or written, or holds no such cell or run."""


class UsageError(BenchError):
    """A command or function was called with words that it cannot take."""


@contextmanager
def explained(error_of: Callable[[Exception], Exception]) -> Iterator[None]:
    """Run code that bench did not write: a plugin, a network, the reader of a file.

    It may raise anything. What it raises becomes the error that ``error_of`` makes of it, which
    names the culprit; errors of bench pass as they are.
    """
    try:
        yield
    except BenchError:
        raise
    except Exception as error:
        raise error_of(error) from error


def named(error: BaseException) -> str:
    """Write an exception as Python does: its type, and what it says."""
    return f"{type(error).__name__}: {error}"


def named_shortly(error: BaseException) -> str:
    """Write an exception by its type and the first line of what it says."""
    return named(error).partition("\n")[0]


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known names are nearest to ``name``, or list them all.

    >>> nearest("fsgm", ["fgsm", "pgd"])
    "did you mean 'fgsm'?"
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(f"'{match}'" for match in close) + "?"
    return "there is " + ", ".join(names) if names else "there is none"
