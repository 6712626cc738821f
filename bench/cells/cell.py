"""What every cell has: coordinates, parents, the inputs of its identity, and work to do.

A cell is described without torch, so that it can be planned, listed and found in the store; torch
comes in when it runs. A cell's identity sees its parents' output digests, never how they came
to be.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from bench import fingerprint
from bench.api import Plugin
from bench.records import JSON, Coordinates, Kind, Result
from bench.store import Stored

if TYPE_CHECKING:
    from bench.cells.workbench import Workbench


def package_of(plugin: Plugin) -> str:
    """Name the package that a plugin's module lies in: what it may have imported is there too."""
    return type(plugin).__module__.rpartition(".")[0] or type(plugin).__module__


@dataclass(frozen=True)
class Parent:
    """A cell that must be done first, and which of its outputs is used."""

    cell: Cell
    output: str


@dataclass(frozen=True)
class Cell(ABC):
    """One unit of work with an identity and a result.

    Class variables:
        kind: its kind.
        revision: raised by hand whenever a fix changes what a record means.
    """

    kind: ClassVar[Kind]
    revision: ClassVar[int] = 1

    coordinates: Coordinates

    @property
    def label(self) -> str:
        """What people call the cell; unique within a plan."""
        return f"{self.kind} {self.coordinates}"

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The cells that this one needs, by their role."""
        return {}

    @property
    def optional(self) -> frozenset[str]:
        """The roles of parents that it can do without, where they have no result."""
        return frozenset()

    @property
    @abstractmethod
    def inputs(self) -> dict[str, JSON]:
        """What decides the result, besides kind, revision and parents."""

    @property
    def facts(self) -> dict[str, JSON]:
        """What tables can be laid out by, besides the coordinates."""
        return {}

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules and packages whose source is noted as provenance."""
        return (type(self).__module__, "bench.cells.workbench")

    @property
    def work(self) -> tuple[str, float]:
        """A name for the rate of work, and the amount of it: for estimates of time only."""
        return self.kind, 1.0

    @abstractmethod
    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Do the work.

        Args:
            workbench: where classifiers, the device and the store are.
            parents: the stored parents, by role; without optional ones that have no result.

        """

    def identity(self, parents: Mapping[str, Stored]) -> dict[str, JSON]:
        """Return everything that the result depends on."""
        used: dict[str, JSON] = {
            role: parents[role].outputs[parent.output]
            for role, parent in self.parents.items()
            if role in parents or role not in self.optional
        }
        return {
            "kind": self.kind,
            "revision": self.revision,
            "inputs": self.inputs,
            "parents": used,
        }

    def key(self, parents: Mapping[str, Stored]) -> str:
        """Return the hash of the identity."""
        return fingerprint.fingerprint(self.identity(parents))
