"""From YAML or plain values to a frozen suite: every error at once, each with file and line."""

from __future__ import annotations

from bench.suite.entries import (
    AttackEntry,
    DatasetEntry,
    ExplainerEntry,
    ModelEntry,
    Sensitivity,
    StepEntry,
    VariantEntry,
)
from bench.suite.reading import locate, read, shipped
from bench.suite.suite import Suite
from bench.suite.written import STEPS

__all__ = [
    "STEPS",
    "AttackEntry",
    "DatasetEntry",
    "ExplainerEntry",
    "ModelEntry",
    "Sensitivity",
    "StepEntry",
    "Suite",
    "VariantEntry",
    "locate",
    "read",
    "shipped",
]
