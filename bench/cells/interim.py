"""The interim cell: a reduced variant before its last training, on unattacked images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bench.cells.evaluate import EvaluateCell
from bench.records import Kind


@dataclass(frozen=True)
class InterimCell(EvaluateCell):
    """A variant to judge as its last training found it."""

    kind: ClassVar[Kind] = "interim"
