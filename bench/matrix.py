"""The matrix: all cells of a run as a table, and the records behind each.

Reads the store, and the store only; torch is never imported. Plotting and printing are done
elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bench import metrics
from bench.api import Entry
from bench.errors import StoreError, UsageError, nearest
from bench.metrics import CellData, Metric, Withheld, deciding
from bench.records import AUDIT_KINDS, AXES, ORIGINAL, Coordinates
from bench.statistics import Estimate
from bench.store import Store, Stored, accounts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame


__all__ = ["Entry", "Matrix"]


@dataclass(frozen=True)
class Matrix:
    """All cells of one run."""

    store: Store
    run: Mapping[str, Any]
    _known_worst: dict[str, deciding.WorstCase] = field(
        default_factory=dict, compare=False, repr=False
    )

    @classmethod
    def last(cls, store: Store, suite: str | None = None) -> Matrix:
        """Open the last run in a store.

        Raises:
            StoreError: where there is none.

        """
        return cls(store, accounts.resolved(store.last_run(suite)))

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The cells, in the plan's order; without those of the audit, which no table shows."""
        return tuple(entry for entry in self._all if entry.kind not in AUDIT_KINDS)

    @cached_property
    def probes(self) -> tuple[Entry, ...]:
        """The cells that are there for the audit only."""
        return tuple(entry for entry in self._all if entry.kind in AUDIT_KINDS)

    @cached_property
    def _all(self) -> tuple[Entry, ...]:
        return tuple(
            Entry(
                label=cell["label"],
                kind=cell["kind"],
                coordinates=Coordinates(**cell["coordinates"]),
                facts=cell["facts"],
                state=cell["state"],
                key=cell["key"],
                reason=cell["reason"],
            )
            for cell in self.run["cells"]
        )

    @property
    def dimensions(self) -> list[str]:
        """What tables can be laid out by."""
        found: dict[str, None] = dict.fromkeys([*AXES, "kind"])
        for entry in self.entries:
            found.update(dict.fromkeys(entry.facts))
        return list(found)

    def stored(self, entry: Entry) -> Stored:
        """Return a done cell's manifest.

        Raises:
            StoreError: where the store no longer holds it.

        """
        found = self.store.find(entry.key) if entry.key is not None else None
        if found is None:
            raise StoreError.of(
                f"store '{self.store.url}'",
                f"no longer holds {entry.label}",
                "the cells of the run",
                f"run it again: bench run {self.run['source']}",
            )
        return found

    def records(self, entry: Entry) -> DataFrame | None:
        """Return a done cell's per-image records; None for a cell that has none.

        Those of an attack say which images lie within its budget (``within_budget``), of one that
        looks for the nearest, how far each is (``size``), and whether it records its steps.
        """
        stored = self.stored(entry)
        if "records" not in stored.files:
            return None
        records = metrics.scored(self.store.records(stored), entry.budget)
        if entry.kind == "attack" and entry.facts.get("minimum_norm"):
            records["size"] = records[str(entry.facts["norm"])]
        if entry.kind == "attack" and entry.facts.get("traceable"):
            records["traceable"] = True
        return records

    def adversarial_images(self, label: str) -> NDArray[np.float32]:
        """Return the adversarial images of an attack cell, (image, channel, height, width).

        Args:
            label: of the cell, as ``bench plan`` prints it, or its coordinates.

        Raises:
            UsageError: where no finished attack of the run is called so.

        """
        attacks = [e for e in self.entries if e.kind == "attack" and e.state == "done"]
        found = [e for e in attacks if e.is_called(label)]
        if not found:
            known = [str(e.coordinates) for e in attacks]
            raise UsageError.of(
                "label", f"'{label}' is no finished attack", "", nearest(label, known)
            )
        images: NDArray[np.float32] = self.store.arrays(self.stored(found[0]))["adversarial_images"]
        return images

    def cell_data(self, entries: Sequence[Entry]) -> list[CellData]:
        """Read what done cells say: those of one place, one for each replica."""
        return [
            CellData(
                self.records(entry),
                self.stored(entry).summary,
                entry.coordinates.training,
                entry.budget,
            )
            for entry in entries
        ]

    def estimate(self, entries: Sequence[Entry], metric: Metric) -> Estimate | Withheld:
        """Compute a metric of a done cell, or of the done replicas of one.

        Of a ``worst_case``, one cell of each training is enough, done or not.
        """
        return metrics.estimate_replicas(metric, self.metric_data(entries, metric))

    def metric_data(self, entries: Sequence[Entry], metric: Metric) -> list[CellData]:
        """Read what a metric is computed from: of done cells, with what it compares them with."""
        if metric.worst_case:
            return [self._worst(entry) for entry in entries]
        cell_data = self.cell_data(entries)
        if metric.beside_original:
            pairs = zip(entries, cell_data, strict=True)
            cell_data = [self._beside_original(entry, data) for entry, data in pairs]
        return cell_data

    def original(self, entry: Entry) -> Entry | None:
        """Return the same cell of the model's original, if it is done; of the original, itself."""
        where = replace(entry.coordinates, variant=ORIGINAL)
        found = [
            other
            for other in self.entries
            if other.kind == entry.kind
            and other.state == "done"
            and other.coordinates == where
            and other.facts.get("batch") == entry.facts.get("batch")
        ]
        return found[0] if found else None

    def _beside_original(self, entry: Entry, data: CellData) -> CellData:
        """Put the records and figures of the original beside those of a variant."""
        original = self.original(entry)
        if original is None:
            return data
        records, first = data.records, self.records(original)
        if records is not None and first is not None:
            named = first.set_index("image").add_prefix("original_")
            records = records.join(named, on="image")
        return replace(data, records=records, original=self.stored(original).summary)

    def worst(self, entry: Entry) -> deciding.WorstCase:
        """Return what the worst case within a cell's budget rests on."""
        if entry.label not in self._known_worst:
            self._known_worst[entry.label] = deciding.gather(
                entry,
                self.entries,
                self.records,
                others=self.run.get("unselected") or {},
                is_part=bool(self.run.get("is_part")),
            )
        return self._known_worst[entry.label]

    def _worst(self, entry: Entry) -> CellData:
        found, training = self.worst(entry), entry.coordinates.training
        return CellData(found.records, {}, training, entry.budget, gap=found.gap)

    def frame(self) -> DataFrame:
        """Return all per-image records of the run with their cells' coordinates and facts."""
        import pandas as pd

        parts = []
        for entry in self.entries:
            records = self.records(entry) if entry.state == "done" else None
            if records is None:
                continue
            for position, dimension in enumerate(("kind", *AXES)):
                records.insert(position, dimension, str(entry.value(dimension) or ""))
            for fact in entry.facts.keys() - set(records.columns):
                records[fact] = pd.Series([entry.value(fact)] * len(records), index=records.index)
            parts.append(records)
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def check_dimension(self, dimension: str, where: str) -> None:
        """Check that tables can be laid out by a dimension.

        Raises:
            UsageError: with the nearest ones.

        """
        if dimension not in self.dimensions:
            raise UsageError.of(
                where,
                f"'{dimension}' is no dimension of this run",
                "",
                nearest(dimension, self.dimensions),
            )
