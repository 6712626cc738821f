"""Accounts of runs as they are read: those of earlier versions gain what later ones hold.

An account holds the entries of its suite as they were resolved. Here alone is the document that the
suite was written in looked at again, and only for accounts that were written before they did.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def resolved(account: Mapping[str, Any]) -> dict[str, Any]:
    """Return an account with its variants and the extent of its audit, whoever wrote it."""
    document: Mapping[str, Any] = account.get("document") or {}
    written: Mapping[str, Any] = document.get("variants") or {}
    variants = {name: [_step(step) for step in steps] for name, steps in written.items()}
    missing = {"variants": variants, "audit_extent": document.get("audit", "cheap")}
    return {**missing, **account}


def _step(written: str | Mapping[str, Any]) -> dict[str, Any]:
    """Resolve a step: its name alone, or a mapping from it to its parameters."""
    if isinstance(written, str):
        return {"step": written, "parameters": {}}
    [(name, parameters)] = written.items()
    return {"step": name, "parameters": parameters or {}}
