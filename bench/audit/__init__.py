"""The audit: rules over a run's cells and probes, and the findings that chance does not explain."""

from bench.audit.audit import LEVEL, RULES, audit, known, noted
from bench.audit.findings import Audit, Finding

__all__ = ["LEVEL", "RULES", "Audit", "Finding", "audit", "known", "noted"]
