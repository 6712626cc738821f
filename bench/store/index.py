"""The index of a store: a copy of its manifests in SQLite, to find and list them quickly.

It can be deleted at any time: where it is missing, broken or of another format, it is rebuilt from
the files. It does not know what manifests mean.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

FORMAT = 1
"""The format of manifests, and so of the index."""


class Index:
    """Manifests in SQLite, by key; rebuilt whenever it is missing or broken.

    Args:
        path: of the database; None keeps no index.
        manifests: reads all manifests from the files.

    """

    def __init__(
        self, path: Path | None, manifests: Callable[[], Iterator[tuple[str, dict[str, Any]]]]
    ) -> None:
        self.path = path
        if path is None:
            return
        try:
            whole = self._is_whole()
        except sqlite3.DatabaseError as error:
            if "locked" in str(error):
                raise
            path.unlink(missing_ok=True)
            whole = False
        if not whole:
            self._rebuild(manifests())

    def get(self, key: str) -> dict[str, Any] | None:
        """Return a manifest by its key."""
        rows = self._query("SELECT manifest FROM cells WHERE key = ?", (key,))
        return json.loads(rows[0][0]) if rows else None

    def add(self, key: str, manifest: Mapping[str, Any]) -> None:
        """Add a manifest."""
        self._query("INSERT OR REPLACE INTO cells VALUES (?, ?)", (key, json.dumps(dict(manifest))))

    def forget(self, key: str) -> None:
        """Drop a manifest."""
        self._query("DELETE FROM cells WHERE key = ?", (key,))

    def _query(self, statement: str, values: tuple[str, ...] = ()) -> list[Any]:
        if self.path is None:
            return []
        with closing(self._connect()) as connection:
            return connection.execute(statement, values).fetchall()

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(str(self.path), timeout=60, isolation_level=None)

    def _is_whole(self) -> bool:
        version = self._query("PRAGMA user_version")[0][0]
        return version == FORMAT and ("cells",) in self._query("SELECT name FROM sqlite_master")

    def _rebuild(self, manifests: Iterator[tuple[str, dict[str, Any]]]) -> None:
        with closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DROP TABLE IF EXISTS cells")
            connection.execute("CREATE TABLE cells (key TEXT PRIMARY KEY, manifest TEXT NOT NULL)")
            rows = ((key, json.dumps(manifest)) for key, manifest in manifests)
            connection.executemany("INSERT OR REPLACE INTO cells VALUES (?, ?)", rows)
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.execute("COMMIT")
