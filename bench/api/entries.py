"""A cell of a run as readers of results see it: what rules are given and tables are laid out of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.records import AXES, JSON, Budget, Coordinates, write_name


@dataclass(frozen=True)
class Entry:
    """One cell of a run: what it is, where it stands, and what tables can be laid out by."""

    label: str
    kind: str
    coordinates: Coordinates
    facts: Mapping[str, JSON]
    state: str
    key: str | None
    reason: str

    def is_called(self, name: str) -> bool:
        """Whether it goes by a label or by coordinates, as stored or as tables write them."""
        return write_name(name) in (write_name(self.label), write_name(str(self.coordinates)))

    @property
    def caveats(self) -> tuple[str, ...]:
        """Known faults of the cell's attack."""
        caveats = self.facts.get("caveats")
        return tuple(map(str, caveats)) if isinstance(caveats, list) else ()

    @property
    def budget(self) -> Budget | None:
        """The ball in which an attack's images count; None where it has none."""
        if self.facts.get("budget") is None:
            return None
        norm: Any = self.facts["norm"]
        return Budget(norm, float(str(self.facts["eps"])))

    def value(self, dimension: str) -> JSON:
        """Return the entry's value on a dimension, None where it has none."""
        if dimension == "kind":
            return self.kind
        if dimension in AXES:
            value: JSON = getattr(self.coordinates, dimension)
            return value.removesuffix("/original") if isinstance(value, str) else value
        fact = self.facts.get(dimension)
        return str(fact) if isinstance(fact, list | dict) else fact
