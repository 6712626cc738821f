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
from bench.suite.steps import STEPS
from bench.suite.suite import Suite

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
