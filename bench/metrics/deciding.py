"""What a worst case rests on: the attacks of a run on one model, within one budget.

It names the attack that decides, and those that are not counted. It does not read the store
itself, and estimates nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from bench.api import Entry
from bench.api.outcomes import right_before
from bench.metrics.estimates import violations
from bench.metrics.worst_case import fooled_within, worst_case
from bench.records import write_name

if TYPE_CHECKING:
    from pandas import DataFrame

Read: TypeAlias = "Callable[[Entry], DataFrame | None]"
"""From a finished cell to its records; None where it has none."""


@dataclass(frozen=True)
class WorstCase:
    """The worst case of one model within the budget of one of its attacks.

    Attributes:
        records: one row an image; None where nothing may be reported.
        gap: why nothing may be reported.
        counted: the attacks and transfers with an image within the budget, in the run's order.
        decides: the attack that fools the most images; None where none fools any.
        fooled: how many images it fools, and how many all attacks fool together.
        absent: attacks of that budget that are not counted, with the reason.

    """

    records: DataFrame | None
    gap: str
    counted: tuple[Entry, ...] = ()
    decides: Entry | None = None
    fooled: tuple[int, int] = (0, 0)
    absent: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The attack that decides, and which attacks are not counted."""
        if self.decides is None:
            parts = ["no attack fools an image"]
        else:
            most, together = self.fooled
            parts = [f"decided by {called(self.decides)}"]
            parts += [f"which fools {most} of the {together} images"] if most < together else []
        words = ", ".join(parts)
        return f"{words}; not counted: {', '.join(self.absent)}" if self.absent else words


def called(entry: Entry) -> str:
    """Name an attack, and where its images were made if that is elsewhere."""
    name = write_name(str(entry.coordinates.attack))
    source = entry.coordinates.source
    return name if source is None else f"{name} made on {source.removesuffix('/original')}"


def gather(
    entry: Entry, entries: Iterable[Entry], read: Read, *, others: Mapping[str, str], is_part: bool
) -> WorstCase:
    """Put all images together that a cell's model was attacked with, within the cell's budget.

    Nothing may be reported where an attack at that budget failed, or broke it: what nobody
    measured might have been the worst. What was skipped or not selected is named.

    Args:
        entry: the cell of an attack.
        entries: all cells of the run.
        read: what returns the records of a finished cell.
        others: attacks of the suite that the run leaves out, with their budgets.
        is_part: whether the run was asked for some of its cells only.

    """
    found: list[tuple[Entry, DataFrame]] = []
    gaps: list[str] = []
    absent: list[str] = []
    for other in against(entry, entries):
        is_at_budget = other.facts.get("budget") == entry.facts.get("budget")
        if other.state != "done":
            if is_at_budget and _is_left_out(other, is_part=is_part):
                absent.append(f"{called(other)} ({_why(other)})")
            elif is_at_budget:
                gaps.append(f"{other.coordinates} {other.state}: {other.reason}".rstrip(": "))
            continue
        records = read(other)
        if records is None:
            continue
        found.append((other, records))
        if is_at_budget and (broken := violations(records)):
            gaps.append(f"{other.coordinates}: {broken}")
    absent += [
        f"{write_name(name)} (not selected)"
        for name, budget in others.items()
        if budget == entry.facts.get("budget")
    ]
    if entry.budget is None or gaps or not found:
        return WorstCase(None, _several(gaps), absent=tuple(absent))
    return _decided(entry, found, tuple(absent))


def _decided(
    entry: Entry, found: list[tuple[Entry, DataFrame]], absent: tuple[str, ...]
) -> WorstCase:
    """Find the attack that fools the most images within the budget of a cell."""
    if entry.budget is None:
        raise TypeError(f"{entry.label} has no budget")
    worst = worst_case([records for _, records in found], entry.budget)
    fooled = [fooled_within(records, entry.budget) for _, records in found]
    counted = tuple(other for (other, _), (_, inside) in zip(found, fooled, strict=True) if inside)
    numbers = [number for number, _ in fooled]
    most = max(numbers)
    decides = found[numbers.index(most)][0] if most else None
    first = found[0][1]
    together = int(right_before(first).sum() - worst["robust_to_all"].sum())
    return WorstCase(worst, "", counted, decides, (most, together), absent)


def _is_left_out(other: Entry, *, is_part: bool) -> bool:
    """Say whether a cell without a result was left out on purpose."""
    return other.state == "skipped" or (is_part and other.state in ("to do", "depends"))


def _why(other: Entry) -> str:
    reason = f": {other.reason}" if other.reason else ""
    return f"skipped{reason}" if other.state == "skipped" else "not run"


def _several(gaps: list[str]) -> str:
    """Give the first of several reasons, and count the others."""
    others = len(gaps) - 1
    return "".join(gaps[:1]) + (f"; and {others} other{'s' * (others > 1)}" if others > 0 else "")


def against(entry: Entry, entries: Iterable[Entry]) -> Iterator[Entry]:
    """Find the attacks on a cell's model, those whose images were made on another included.

    A transfer that was skipped is none: its source has no such images.
    """
    on = replace(entry.coordinates, attack=None)
    for other in entries:
        place = other.coordinates
        is_attack = other.kind == "attack" and replace(place, attack=None) == on
        is_transfer = (
            other.kind == "transfer"
            and other.state != "skipped"
            and (place.model, place.variant) == (on.model, on.variant)
            and on.replica in (None, place.replica)
        )
        if is_attack or is_transfer:
            yield other
