"""The audit: rules over a run's cells and probes, and the findings that chance does not explain."""

from bench.audit.audit import LEVEL, RULES, Audit, Finding, audit, known

__all__ = ["LEVEL", "RULES", "Audit", "Finding", "audit", "known"]
