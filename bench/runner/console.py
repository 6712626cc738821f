"""How a run looks in a terminal: a progress bar there, plain lines elsewhere."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.plan import Status, Step
from bench.runner.events import Observer, Silent
from bench.runner.run import Run

_EVERY = 10.0
"""Seconds between two lines about the same cell, where there is no terminal."""


def screen() -> Observer:
    """Choose how to show a run: by whether standard error is a terminal."""
    console = Console(stderr=True)
    return Bar(console) if console.is_terminal else Lines()


def duration(seconds: float) -> str:
    """Write a duration as people do.

    >>> duration(75)
    '1 min 15 s'
    """
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004 (seconds in a minute)
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:  # noqa: PLR2004 (minutes in an hour)
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def _left(run: Run) -> str:
    left = run.seconds_left()
    return "" if left is None else f"{duration(left)} left"


class Bar(Silent):
    """A progress bar: cells done, the current cell, time left."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            TextColumn("{task.fields[suite]}", style="bold", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[cell]}", style="cyan", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", style="dim", markup=False),
            console=console,
            transient=True,
        )
        self.label = ""

    def begin(self, run: Run) -> None:
        """Show the bar."""
        for note in run.plan.notes:
            self.console.print(f"note: {note}", style="yellow", markup=False)
        self.task = self.progress.add_task(
            "", total=len(run.plan.steps), suite=run.plan.suite.name, cell="", left=""
        )
        self.progress.start()

    def start(self, run: Run, step: Step) -> None:
        """Name the cell."""
        self.label = step.cell.label
        self.progress.update(self.task, cell=step.cell.label, left=_left(run))

    def advance(self, run: Run, share: float, words: str) -> None:
        """Say how far the cell is."""
        text = f"{self.label} {share:.0%}" + (f" ({words})" if words else "")
        self.progress.update(self.task, cell=text)

    def finish(self, run: Run, status: Status) -> None:
        """Count the cell; failures stay on the screen."""
        self.progress.update(self.task, advance=1, cell="", left=_left(run))
        if status.state == "failed":
            words = f"failed: {status.step.cell.label}: {status.reason}"
            self.console.print(words, style="red", markup=False)

    def close(self) -> None:
        """Take the bar away."""
        self.progress.stop()


class Lines(Silent):
    """Plain lines, for logs."""

    def __init__(self) -> None:
        self.done = 0
        self.last = 0.0
        self.label = ""

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201 (this is the console)

    def begin(self, run: Run) -> None:
        """Say how much there is to do."""
        for note in run.plan.notes:
            self._say(f"note: {note}")
        found = run.counts["done"]
        self._say(f"{run.plan.suite.name}: {len(run.plan.steps)} cells, {found} in the store")

    def start(self, run: Run, step: Step) -> None:
        """Remember the cell."""
        self.label = step.cell.label
        self.last = time.perf_counter()

    def advance(self, run: Run, share: float, words: str) -> None:
        """Say how far a long cell is, now and then."""
        now = time.perf_counter()
        if now - self.last >= _EVERY:
            self.last = now
            self._say(f"  {self.label}: {share:.0%}" + (f" ({words})" if words else ""))

    def finish(self, run: Run, status: Status) -> None:
        """Say what was computed or went wrong; what was in the store goes without saying."""
        self.done += 1
        if status.step.cell.label != self.label and status.state == "done":
            return
        words = f": {status.reason}" if status.reason else ""
        left = _left(run)
        self._say(
            f"[{self.done}/{len(run.plan.steps)}] {status.state} {status.step.cell.label}{words}"
            + (f", {left}" if left else "")
        )
