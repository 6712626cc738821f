"""The evidence that rules look at: the cells of a run, each read once. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bench import api
from bench.matrix import Entry, Matrix

if TYPE_CHECKING:
    from pandas import DataFrame, Series


@dataclass(frozen=True)
class Evidence(api.Evidence):
    """The evidence of a run in a store."""

    matrix: Matrix
    _records: dict[str, DataFrame] = field(default_factory=dict)
    _fooled: dict[str, Series[Any]] = field(default_factory=dict)

    @property
    def entries(self) -> Sequence[Entry]:
        """The cells of the run, without probes."""
        return self.matrix.entries

    @cached_property
    def attacks(self) -> Sequence[Entry]:
        """The finished attacks."""
        return self.done("attack")

    def probes(self, name: str | None = None) -> Sequence[Entry]:
        """Return the finished probes of a name, or all."""
        found = [entry for entry in self.matrix.probes if entry.state == "done"]
        return [entry for entry in found if name in (None, entry.facts.get("probe"))]

    @property
    def dataset(self) -> Mapping[str, Any]:
        """What the run notes of its dataset."""
        noted: Mapping[str, Any] = self.matrix.run["dataset"]
        return noted

    def records(self, entry: Entry) -> DataFrame:
        """Return the records of a cell that has them, by image."""
        if entry.label not in self._records:
            records = self.matrix.records(entry)
            if records is None:
                raise TypeError(f"{entry.label} has no records")
            self._records[entry.label] = records.set_index("image", drop=False)
        return self._records[entry.label]

    def summary(self, entry: Entry) -> Mapping[str, Any]:
        """Return what a finished cell holds that is not per image."""
        return self.matrix.stored(entry).summary

    def fooled(self, entry: Entry) -> Series[Any]:
        """Say of each image that counts for success whether it is one."""
        if entry.label not in self._fooled:
            self._fooled[entry.label] = super().fooled(entry)
        return self._fooled[entry.label]
