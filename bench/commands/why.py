"""Explains one cell: its identity, its parents and provenance, and what has changed since."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from bench import registry
from bench.errors import StoreError, UsageError, nearest
from bench.matrix import Entry, Matrix
from bench.records import JSON
from bench.runner import Run
from bench.store import Store, Stored


def explain(cell: str, store: Store, suite: str | None = None) -> str:
    """Explain a cell.

    Args:
        cell: the beginning of a key, or a label (or its coordinates) in the last run.
        store: where to look.
        suite: look in this suite's last run.

    Raises:
        UsageError: where no cell, or more than one, has this name.

    """
    entry = _entry(cell, store, suite)
    stored = _stored(cell, entry, store)
    lines: list[str] = []
    if entry is not None:
        lines += [f"{entry.label}: {entry.state}" + (f": {entry.reason}" if entry.reason else "")]
    elif stored is not None:
        lines += [f"{stored.label}: done"]
    key = stored.key if stored is not None else entry.key if entry is not None else None
    if key is not None:
        lines += [f"key: {key}"]
        failure = store.failure(key)
        if stored is not None:
            lines += _account(stored, store)
        elif failure is not None:
            lines += ["", "identity", _indent(failure["identity"]), "", f"failed {failure['time']}"]
            lines += [f"  {line}" for line in failure["traceback"].rstrip().splitlines()]
    lines += _commands(entry, store, suite)
    return "\n".join(lines)


def _entry(cell: str, store: Store, suite: str | None) -> Entry | None:
    try:
        matrix = Matrix.last(store, suite)
    except StoreError:
        return None
    cells = (*matrix.entries, *matrix.probes)
    named = [e for e in cells if e.is_called(cell)]
    if not named and len(cell) >= 4:  # noqa: PLR2004 (shorter keys say too little)
        named = [e for e in cells if e.key is not None and e.key.startswith(cell)]
    if len(named) > 1 and len({e.key for e in named}) > 1:
        raise UsageError.of(
            "cell",
            f"'{cell}' is the name of several",
            " or ".join(f"'{entry.label}'" for entry in named),
        )
    return named[0] if named else None


def _stored(cell: str, entry: Entry | None, store: Store) -> Stored | None:
    if entry is not None:
        return store.find(entry.key) if entry.key is not None else None
    matches = store.match(cell)
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UsageError.of(
            "cell",
            f"'{cell}' begins {len(matches)} keys",
            "the beginning of one",
            "give more of it",
        )
    known = [e.label for e in Matrix.last(store).entries]
    raise UsageError.of("cell", f"'{cell}' is not in the store", "", nearest(cell, known))


def _account(stored: Stored, store: Store) -> list[str]:
    lines = ["", "identity", _indent(stored.identity)]
    parents: Mapping[str, str] = stored.identity["parents"]
    if parents:
        lines += ["", "parents"]
        for role, digest in parents.items():
            maker = next(
                (s for s in store.match("") if digest in s.outputs.values()),
                None,
            )
            name = f"{maker.label} {maker.key[:12]}" if maker else "no longer in the store"
            lines.append(f"  {role} {digest[:12]}: {name}")
    lines += ["", "outputs", _indent(stored.outputs), "", "provenance", _indent(stored.provenance)]
    drift = list(_drift(stored))
    lines += ["", "drift since", *(drift or ["  none"])]
    return lines


def _drift(stored: Stored) -> Any:
    """Yield what has changed since a cell was computed, and is not part of its identity."""
    made = stored.provenance
    for module, digest in _sources(stored).items():
        if registry.source_digest(module) != digest:
            yield f"  source of {module} changed: raise its revision if results changed"
    versions = made.get("versions")
    for name, version in versions.items() if isinstance(versions, dict) else ():
        if name in ("python", "platform"):
            continue
        now = registry.installed_version(name)
        if now != version:
            yield f"  {name} was {version}, is {now}"


def changed_since(done: Run) -> list[str]:
    """Name the modules that changed since cells of a run were computed, by earlier runs."""
    found = {
        str(module): digest
        for status in done.statuses.values()
        if status.stored is not None and status.stored.provenance.get("run") != done.name
        for module, digest in _sources(status.stored).items()
        if registry.source_digest(module) != digest
    }
    return sorted(found)


def _sources(stored: Stored) -> Mapping[str, JSON]:
    sources = stored.provenance.get("sources")
    return sources if isinstance(sources, dict) else {}


def _commands(entry: Entry | None, store: Store, suite: str | None) -> list[str]:
    """Return the command that runs the cell alone."""
    if entry is None:
        return []
    command = str(Matrix.last(store, suite).run["command"])
    words = shlex.split(command)
    if "--only" in words:
        at = words.index("--only")
        del words[at : at + 2]
    return ["", "to run it alone", "  " + shlex.join([*words, "--only", entry.label])]


def _indent(value: Any) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "\n".join(f"  {line}" for line in text.splitlines()[1:-1])
