"""What a run reports while it goes, and who listens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from bench.plan import Status, Step
from bench.records import JSON
from bench.runner.run import Run


class Observer(Protocol):
    """Whoever shows how a run goes."""

    def begin(self, run: Run) -> None:
        """Note that the run begins: the plan is known, nothing has run."""

    def start(self, run: Run, step: Step) -> None:
        """Note that a cell starts."""

    def advance(self, run: Run, share: float, words: str) -> None:
        """Note that the current cell is so far (share in [0, 1])."""

    def measure(self, run: Run, step: Step, figures: Mapping[str, JSON]) -> None:
        """Note the figures of a step of the current cell, such as an epoch's."""

    def finish(self, run: Run, status: Status) -> None:
        """Note that a cell has ended, or was found in the store."""

    def close(self) -> None:
        """Put everything back, and away."""


class Silent:
    """An observer that shows nothing; others derive from it and show what they like."""

    def begin(self, run: Run) -> None:
        """Do nothing."""

    def start(self, run: Run, step: Step) -> None:
        """Do nothing."""

    def advance(self, run: Run, share: float, words: str) -> None:
        """Do nothing."""

    def measure(self, run: Run, step: Step, figures: Mapping[str, JSON]) -> None:
        """Do nothing."""

    def finish(self, run: Run, status: Status) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class Together:
    """Several observers as one."""

    def __init__(self, *observers: Observer) -> None:
        self.observers = observers

    def begin(self, run: Run) -> None:
        """Tell all of them."""
        for observer in self.observers:
            observer.begin(run)

    def start(self, run: Run, step: Step) -> None:
        """Tell all of them."""
        for observer in self.observers:
            observer.start(run, step)

    def advance(self, run: Run, share: float, words: str) -> None:
        """Tell all of them."""
        for observer in self.observers:
            observer.advance(run, share, words)

    def measure(self, run: Run, step: Step, figures: Mapping[str, JSON]) -> None:
        """Tell all of them."""
        for observer in self.observers:
            observer.measure(run, step, figures)

    def finish(self, run: Run, status: Status) -> None:
        """Tell all of them."""
        for observer in self.observers:
            observer.finish(run, status)

    def close(self) -> None:
        """Close all of them."""
        for observer in self.observers:
            observer.close()
