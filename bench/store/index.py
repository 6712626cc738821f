"""The index of a store: a copy of its manifests in SQLite, to find and list them quickly.

It can be deleted at any time: where it is missing, broken or of another format, it is rebuilt from
the files. It does not know what manifests mean.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
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
        self._manifests = manifests
        if path is not None and not self._is_whole():
            self._rebuild()

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
        """Query the database, if there is one; where it turns out to be broken, it is rebuilt."""
        if self.path is None:
            return []
        try:
            return self._answer(statement, values)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            self._rebuild()
            return self._answer(statement, values)

    def _answer(self, statement: str, values: tuple[str, ...] = ()) -> list[Any]:
        with self._connected() as connection:
            return connection.execute(statement, values).fetchall()

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(str(self.path), timeout=60, isolation_level=None)
        with closing(connection):
            # a copy need not outlast a power cut, and each wait for the disk takes milliseconds
            connection.execute("PRAGMA synchronous = OFF")
            yield connection

    def _is_whole(self) -> bool:
        try:
            version = self._answer("PRAGMA user_version")[0][0]
            tables = self._answer("SELECT name FROM sqlite_master")
        except sqlite3.DatabaseError as error:
            if "locked" in str(error):
                raise
            return False
        return version == FORMAT and ("cells",) in tables

    def _rebuild(self) -> None:
        """Make the database anew from the files."""
        try:
            self._fill()
        except sqlite3.DatabaseError as error:
            if "locked" in str(error) or self.path is None:
                raise
            self.path.unlink(missing_ok=True)
            self._fill()

    def _fill(self) -> None:
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DROP TABLE IF EXISTS cells")
            connection.execute("CREATE TABLE cells (key TEXT PRIMARY KEY, manifest TEXT NOT NULL)")
            rows = ((key, json.dumps(manifest)) for key, manifest in self._manifests())
            connection.executemany("INSERT OR REPLACE INTO cells VALUES (?, ?)", rows)
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.execute("COMMIT")


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether an error says that the database is broken or gone, not busy or full."""
    return type(error) is sqlite3.DatabaseError or "no such table" in str(error)
