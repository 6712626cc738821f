"""How a run is shown: as a progress bar in a terminal, as plain lines elsewhere."""

from __future__ import annotations

import sys
import time

from rich import progress
from rich.console import Console
from rich.table import Column

from bench.records import write_name
from bench.runner.events import (
    CellFinished,
    CellStarted,
    Event,
    Listener,
    Progress,
    RunFinished,
    RunStarted,
)

_EVERY = 10.0
"""Seconds between two lines about the same cell, where there is no terminal."""


def screen() -> Listener:
    """Return a progress bar where standard error is a terminal, plain lines elsewhere."""
    console = Console(stderr=True)
    return Bar(console) if console.is_terminal else Lines()


def duration(seconds: float) -> str:
    """Write a duration in its two largest units.

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


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f"{duration(seconds)} left"


def _how_far(event: Progress) -> str:
    return f"{write_name(event.label)}: {event.share:.0%}" + (
        f" ({event.words})" if event.words else ""
    )


class Bar:
    """A progress bar: cells done, the current cell, time left. Notes and failures stay above it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        one_line = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        self.progress = progress.Progress(
            progress.TextColumn("{task.description}", style="bold", markup=False),
            progress.BarColumn(bar_width=24),
            progress.MofNCompleteColumn(),
            progress.TextColumn(
                "{task.fields[cell]}", style="cyan", markup=False, table_column=one_line
            ),
            progress.TimeElapsedColumn(),
            progress.TextColumn("{task.fields[left]}", style="dim", markup=False),
            console=console,
            expand=True,
            transient=True,
        )

    def __call__(self, event: Event) -> None:
        """Show an event."""
        match event:
            case RunStarted(suite, cells, _, notes):
                for note in notes:
                    self._print(f"note: {note}", "yellow")
                self.task = self.progress.add_task(suite, total=cells, cell="", left="")
                self.progress.start()
            case CellStarted(label, _, seconds_left):
                name = write_name(label)
                self.progress.update(self.task, cell=name, left=_left(seconds_left))
            case Progress():
                self.progress.update(self.task, cell=_how_far(event))
            case CellFinished(label, state=state, reason=reason, seconds_left=seconds_left):
                self.progress.update(self.task, advance=1, cell="", left=_left(seconds_left))
                for remark in event.remarks:
                    self._print(f"note: {label}: {remark}", "yellow")
                if state == "failed":
                    self._print(f"failed: {label}: {reason}", "red")
            case RunFinished():
                self.progress.stop()

    def _print(self, words: str, style: str) -> None:
        self.console.print(write_name(words), style=style, markup=False, highlight=False)


class Lines:
    """Plain lines, for logs: one for each cell that was computed or has no result."""

    def __init__(self) -> None:
        self.last = 0.0

    def __call__(self, event: Event) -> None:
        """Print an event."""
        match event:
            case RunStarted(suite, cells, stored, notes):
                for note in notes:
                    self._print(f"note: {note}")
                self._print(f"{suite}: {cells} cells, {stored} in the store")
            case CellStarted():
                self.last = time.perf_counter()
            case Progress() if time.perf_counter() - self.last >= _EVERY:
                self.last = time.perf_counter()
                self._print(f"  {_how_far(event)}")
            case CellFinished():
                self._finished(event)

    def _finished(self, event: CellFinished) -> None:
        for remark in event.remarks:
            self._print(f"note: {event.label}: {remark}")
        if event.computed or event.state != "done":
            words = f": {event.reason}" if event.reason else ""
            left = f", {_left(event.seconds_left)}" if event.seconds_left is not None else ""
            place = f"[{event.finished}/{event.cells}]"
            self._print(f"{place} {event.state} {write_name(event.label)}{words}{left}")

    def _print(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201 (this is the console)
