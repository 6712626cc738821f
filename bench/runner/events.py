"""What a run reports: frozen events of plain values, and their listeners.

An event can be pickled, so it may come from another process. It knows neither plans nor cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from bench.records import JSON

Figures: TypeAlias = Mapping[str, JSON]


@dataclass(frozen=True)
class RunStarted:
    """The plan is known, nothing has run.

    Attributes:
        suite: its name.
        cells: how many there are.
        stored: how many of them the store has.
        notes: warnings of the plan.

    """

    suite: str
    cells: int
    stored: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class CellStarted:
    """The computation of a cell begins.

    Attributes:
        label: of the cell.
        kind: of the cell.
        seconds_left: for the whole run, estimated; None before a rate is known.

    """

    label: str
    kind: str
    seconds_left: float | None


@dataclass(frozen=True)
class Progress:
    """A cell has done a share of its work.

    Attributes:
        label: of the cell.
        share: of its work, in [0, 1].
        words: what it does.

    """

    label: str
    share: float
    words: str


@dataclass(frozen=True)
class Measured:
    """A cell measured something midway, such as an epoch's loss.

    Attributes:
        label: of the cell.
        name: of what it works on, as in tables: ``model:replica/variant``.
        figures: by name.

    """

    label: str
    name: str
    figures: Figures


@dataclass(frozen=True)
class CellFinished:
    """A cell has ended, or was found in the store, or cannot run.

    Attributes:
        label: of the cell.
        kind: of the cell.
        name: of what it works on, as in tables: ``model:replica/variant``.
        state: done, failed, skipped or blocked.
        reason: why it is not done.
        computed: whether this run computed it.
        finished: how many cells have ended, this one included.
        cells: how many there are.
        seconds_left: for the whole run, estimated; None before a rate is known.
        epochs: figures of each epoch, of a training that is done.
        remarks: what a person should know of how it was done, such as a prefix taken off names.

    """

    label: str
    kind: str
    name: str
    state: str
    reason: str
    computed: bool
    finished: int
    cells: int
    seconds_left: float | None
    epochs: tuple[Figures, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunFinished:
    """The run has ended: listeners release what they hold.

    Attributes:
        counts: how many cells are in each state.
        computed: how many this run computed.
        interrupted: whether Ctrl-C ended it.
        seconds: wall-clock time.

    """

    counts: Mapping[str, int]
    computed: int
    interrupted: bool
    seconds: float


Event: TypeAlias = RunStarted | CellStarted | Progress | Measured | CellFinished | RunFinished
Listener: TypeAlias = Callable[[Event], None]


def to_all(*listeners: Listener) -> Listener:
    """Return a listener that passes each event on, in this order."""

    def listen(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return listen
