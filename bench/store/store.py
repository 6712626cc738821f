"""The store: results by the hash of their identity, written once; runs; failures.

Each cell is an immutable set of files (a manifest, records as Parquet, arrays as safetensors). Data
files carry their own digest in their name and are written first; the manifest is written last and
whole, so a cell exists or it does not. The SQLite index beside the files is a copy that
can be deleted. A failure is noted, never returned as a result. The store does not know what
cells mean, and imports no torch.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import StoreError
from bench.records import JSON, Coordinates, Result
from bench.store import parquet
from bench.store.files import Files
from bench.store.index import Index
from bench.store.stored import Stored

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

DEFAULT = ".bench"


class Store:
    """Results in a folder, or in any place that fsspec reaches."""

    def __init__(self, url: str | Path | None = None) -> None:
        self.url = str(url or os.environ.get("BENCH_STORE") or DEFAULT)
        self._files = Files(self.url)

    @property
    def folder(self) -> Path | None:
        """The store's folder on this machine; None where it is elsewhere."""
        return self._files.folder

    # Cells

    def find(self, key: str) -> Stored | None:
        """Return a cell by its key, or None where it has not been computed."""
        if not self._files.exists(self._cell(key, "cell.json")):
            self._index.forget(key)
            return None
        known = self._index.get(key)
        if known is None:
            known = self._read_manifest(key)
            if known is None:
                return None
            self._index.add(key, known)
        return Stored.of(known, f"store '{self.url}': cell {key[:12]}", self._cell(key))

    def put(
        self,
        key: str,
        kind: str,
        coordinates: Coordinates,
        identity: Mapping[str, Any],
        result: Result,
        provenance: Mapping[str, JSON],
    ) -> Stored:
        """Write a cell, unless another run wrote it first: its result stays.

        Raises:
            StoreError: where the store cannot be written.

        """
        made = Stored(
            key,
            kind,
            coordinates,
            identity=dict(identity),
            outputs=dict(result.outputs),
            summary=dict(result.summary),
            provenance=dict(provenance),
            files=self._put_files(key, result),
        )
        text = json.dumps(made.manifest, indent=1)
        self._files.write_once(self._cell(key, "cell.json"), text.encode())
        self.forgive(key)
        self._files.drop(self._partial(key))
        found = self.find(key)
        if found is None:
            raise StoreError.of(f"store '{self.url}'", f"lost the cell {key} while writing it")
        return found

    def records(self, stored: Stored) -> DataFrame:
        """Read a cell's per-image records; integers are nullable, missing numbers are NaN.

        Raises:
            StoreError: where the file is missing or not what was written.

        """
        return parquet.read(self._data(stored, "records"))

    def arrays(self, stored: Stored) -> dict[str, NDArray[Any]]:
        """Read a cell's arrays.

        Raises:
            StoreError: where the file is missing or not what was written.

        """
        from safetensors.numpy import load

        arrays: dict[str, NDArray[Any]] = load(self._data(stored, "arrays"))
        return arrays

    def header(self, stored: Stored) -> dict[str, str]:
        """Read the texts that were stored beside a cell's arrays."""
        blob = self._data(stored, "arrays")
        length = int.from_bytes(blob[:8], "little")
        header: dict[str, str] = json.loads(blob[8 : 8 + length]).get("__metadata__", {})
        return header

    def match(self, prefix: str) -> list[Stored]:
        """Find cells whose key begins with a prefix."""
        found = (self.find(key) for key in self.keys() if key.startswith(prefix))
        return [stored for stored in found if stored is not None]

    def keys(self) -> list[str]:
        """List the keys of all cells, from the files."""
        paths = self._files.find(self._files.path("cells"))
        return sorted(path.parent.name for path in paths if path.name == "cell.json")

    # Failures

    def fail(self, key: str, failure: Mapping[str, JSON]) -> None:
        """Note why a cell failed; the next run tries it again."""
        self._files.write(self._failure(key), json.dumps(dict(failure)).encode())

    def failure(self, key: str) -> dict[str, Any] | None:
        """Return the note of a cell's last failure, if it has not succeeded since."""
        return self._files.read_json(self._failure(key))

    def forgive(self, key: str) -> None:
        """Drop the note of a failure."""
        self._files.drop(self._failure(key))

    # Unfinished work

    def put_partial(self, key: str, maker: str, blob: bytes) -> None:
        """Keep what an unfinished cell needs to go on; :meth:`put` drops it.

        Args:
            key: the cell's.
            maker: what must be the same for the cell to go on from it.
            blob: what is kept, in place of what was.

        """
        body = maker.encode() + b"\n" + blob
        whole = hashlib.sha256(body).digest() + body
        self._files.write(self._partial(key), whole, lasting=False)

    def partial(self, key: str, maker: str) -> bytes | None:
        """Return what an unfinished cell kept; None where it is not whole, or another's."""
        whole = self._files.read(self._partial(key))
        if whole is None:
            return None
        digest, body = whole[:32], whole[32:]
        made_by, _, blob = body.partition(b"\n")
        is_whole = hashlib.sha256(body).digest() == digest
        return blob if is_whole and made_by == maker.encode() else None

    # Runs

    def put_run(self, run: str, document: Mapping[str, Any]) -> None:
        """Write or replace the account of a run."""
        self._files.write(self._run(run), json.dumps(dict(document)).encode())

    def runs(self, suite: str | None = None) -> list[str]:
        """List runs, the oldest first; of one suite, or of all."""
        paths = self._files.find(self._files.path("runs"))
        names = [path.stem for path in paths if path.suffix == ".json"]
        return sorted(name for name in names if suite is None or _suite_of(name) == suite)

    def last_run(self, suite: str | None = None) -> dict[str, Any]:
        """Return the account of the last run.

        Raises:
            StoreError: where there is none.

        """
        runs = self.runs(suite)
        document = self._files.read_json(self._run(runs[-1])) if runs else None
        if document is None:
            known = sorted({_suite_of(run) for run in self.runs()})
            raise StoreError.of(
                f"store '{self.url}'",
                f"holds no run of suite '{suite}'" if suite else "holds no run",
                "a run" + (f" of one of {', '.join(known)}" if known else ""),
                "start one with 'bench run SUITE', or name its store with --store",
            )
        return document

    # Files

    def _cell(self, key: str, *parts: str) -> str:
        return self._files.path("cells", key[:2], key, *parts)

    def _failure(self, key: str) -> str:
        return self._files.path("failures", f"{key}.json")

    def _partial(self, key: str) -> str:
        return self._files.path("partial", key)

    def _run(self, name: str) -> str:
        return self._files.path("runs", f"{name}.json")

    def _put_files(self, key: str, result: Result) -> dict[str, str]:
        """Write the records and the arrays of a result; returns the names of their files."""
        files: dict[str, str] = {}
        if result.records:
            blob = parquet.write(result.records)
            files["records"] = self._put_data(key, "records", "parquet", blob)
        if result.arrays:
            import numpy as np
            from safetensors.numpy import save

            # safetensors writes an array's memory as it lies: channels-last would be scrambled
            whole = {name: np.asarray(a, order="C") for name, a in result.arrays.items()}
            blob = save(whole, metadata=dict(result.header))
            files["arrays"] = self._put_data(key, "arrays", "safetensors", blob)
        return files

    def _put_data(self, key: str, name: str, suffix: str, blob: bytes) -> str:
        file = f"{name}-{hashlib.sha256(blob).hexdigest()[:16]}.{suffix}"
        self._files.write(self._cell(key, file), blob)
        return file

    def _data(self, stored: Stored, name: str) -> bytes:
        file = stored.files.get(name)
        where = f"store '{self.url}': cell {stored.key[:12]} ({stored.label})"
        if file is None:
            raise StoreError.of(where, f"holds no {name}")
        blob = self._files.read(self._cell(stored.key, file)) or b""
        if hashlib.sha256(blob).hexdigest()[:16] not in file:
            raise StoreError.of(
                where,
                f"the file {file} is not what was written",
                "its own digest",
                f"remove {self._cell(stored.key)} and run again",
            )
        return blob

    def _read_manifest(self, key: str) -> dict[str, Any] | None:
        return self._files.read_json(self._cell(key, "cell.json"))

    @cached_property
    def _index(self) -> Index:
        folder = self.folder
        path = None
        if folder is not None and os.access(folder if folder.exists() else folder.parent, os.W_OK):
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / "index.sqlite"
        return Index(path, self._manifests)

    def _manifests(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for key in self.keys():
            manifest = self._read_manifest(key)
            if manifest is not None:
                yield key, manifest


def _suite_of(run: str) -> str:
    """Return the suite's name in a run's name: ``20261122T190000.000000Z-quick-1a2b3c``."""
    return run.partition("-")[2].rpartition("-")[0]
