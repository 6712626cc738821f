"""The index of a store: a copy of its manifests in SQLite, to find and list them quickly.

It can be thrown away at any time: where it is gone, broken or of another format, it is made again
from the files. It knows nothing of what manifests say.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

FORMAT = 1
"""Of manifests, and so of the index."""


class Index:
    """Manifests in SQLite, to list and find them quickly; rebuilt whenever it is gone or broken."""

    def __init__(
        self, path: str, manifests: Callable[[], Iterator[tuple[str, dict[str, Any]]]]
    ) -> None:
        self.path = path
        self.connection = self._connect()
        try:
            whole = self._is_whole()
        except sqlite3.DatabaseError as error:
            if "locked" in str(error):
                raise
            self.connection.close()
            Path(path).unlink(missing_ok=True)
            self.connection = self._connect()
            whole = False
        if not whole:
            self._rebuild(manifests())

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=60, isolation_level=None)

    def _is_whole(self) -> bool:
        version = self.connection.execute("PRAGMA user_version").fetchone()[0]
        tables = self.connection.execute("SELECT name FROM sqlite_master").fetchall()
        return version == FORMAT and ("cells",) in tables

    def _rebuild(self, manifests: Iterator[tuple[str, dict[str, Any]]]) -> None:
        rows = [(key, json.dumps(manifest)) for key, manifest in manifests]
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.execute("DROP TABLE IF EXISTS cells")
        self.connection.execute("CREATE TABLE cells (key TEXT PRIMARY KEY, manifest TEXT NOT NULL)")
        self.connection.executemany("INSERT OR REPLACE INTO cells VALUES (?, ?)", rows)
        self.connection.execute(f"PRAGMA user_version = {FORMAT}")
        self.connection.execute("COMMIT")

    def get(self, key: str) -> dict[str, Any] | None:
        """Return a manifest by its key."""
        rows = self.connection.execute("SELECT manifest FROM cells WHERE key = ?", (key,))
        row = rows.fetchone()
        return json.loads(row[0]) if row else None

    def add(self, key: str, manifest: Mapping[str, Any]) -> None:
        """Add a manifest."""
        self.connection.execute(
            "INSERT OR REPLACE INTO cells VALUES (?, ?)", (key, json.dumps(dict(manifest)))
        )

    def forget(self, key: str) -> None:
        """Drop a manifest."""
        self.connection.execute("DELETE FROM cells WHERE key = ?", (key,))
