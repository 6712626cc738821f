"""The audit: rules over a run's cells and probes, and the findings that chance does not explain."""

from bench.audit.audit import LEVEL, RULES, audit, known, noted
from bench.audit.findings import Audit, Finding, in_brackets
from bench.audit.marks import Basis, travelling

__all__ = [
    "LEVEL",
    "RULES",
    "Audit",
    "Basis",
    "Finding",
    "audit",
    "in_brackets",
    "known",
    "noted",
    "travelling",
]
