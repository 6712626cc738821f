"""Accounts of runs as they are read: those of earlier versions are completed.

An account holds the resolved entries of its suite. Those of earlier versions do not: for them alone
the entries are resolved here from the suite's document.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def resolved(account: Mapping[str, Any]) -> dict[str, Any]:
    """Return an account with its variants and the extent of its audit, of whichever version."""
    document: Mapping[str, Any] = account.get("document") or {}
    written: Mapping[str, Any] = document.get("variants") or {}
    variants = {name: [_step(step) for step in steps] for name, steps in written.items()}
    audit = document.get("audit", "cheap")
    extent = audit.get("extent", "cheap") if isinstance(audit, Mapping) else audit
    missing = {"variants": variants, "audit_extent": extent}
    return {**missing, **account}


def _step(written: str | Mapping[str, Any]) -> dict[str, Any]:
    """Resolve a step: its name alone, or a mapping from it to its parameters."""
    if isinstance(written, str):
        return {"step": written, "parameters": {}}
    [(name, parameters)] = written.items()
    return {"step": name, "parameters": parameters or {}}
