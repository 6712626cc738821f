"""The store: results by the hash of their identity, written once; runs; failures.

Each cell is an immutable set of files (a manifest, records as Parquet, arrays as safetensors). Data
files carry their own digest in their name and are written first; the manifest is written last and
whole, so a cell exists or it does not. That is the truth; the SQLite index beside it is a copy that
can be thrown away. A failure is noted, never returned as a result. The store does not know what
cells mean, and imports no torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import fsspec

from bench.errors import StoreError
from bench.records import JSON, Coordinates, Result
from bench.store import parquet
from bench.store.index import FORMAT, Index

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

DEFAULT = ".bench"


@dataclass(frozen=True)
class Stored:
    """A cell that the store holds: its manifest."""

    key: str
    kind: str
    coordinates: Coordinates
    identity: dict[str, Any]
    outputs: dict[str, str]
    summary: dict[str, JSON]
    provenance: dict[str, JSON]
    files: dict[str, str]

    @property
    def label(self) -> str:
        """What people call the cell."""
        return f"{self.kind} {self.coordinates}"


class Store:
    """Results in a folder, or in any place that fsspec reaches."""

    def __init__(self, url: str | Path | None = None) -> None:
        self.url = str(url or os.environ.get("BENCH_STORE") or DEFAULT)
        try:
            self.fs, self.root = fsspec.url_to_fs(self.url)
        except (ValueError, ImportError) as error:
            raise StoreError.of(
                f"store '{self.url}'", str(error), "a folder or a URL that fsspec can open"
            ) from error
        if self.folder is not None and self.folder.exists() and not self.folder.is_dir():
            raise StoreError.of(f"store '{self.url}'", "is a file", "a folder, or a new name")

    @property
    def folder(self) -> Path | None:
        """The store's folder on this machine; None where it lies elsewhere."""
        protocols = self.fs.protocol
        local = "file" in ([protocols] if isinstance(protocols, str) else protocols)
        return Path(self.root) if local else None

    # Cells

    def find(self, key: str) -> Stored | None:
        """Return a cell by its key, or None where it has not been computed."""
        if not self.fs.exists(self._path("cells", key[:2], key, "cell.json")):
            self._index.forget(key)
            return None
        known = self._index.get(key)
        if known is None:
            known = self._read_manifest(key)
            if known is not None:
                self._index.add(key, known)
        return self._stored(key, known) if known is not None else None

    def put(
        self,
        key: str,
        kind: str,
        coordinates: Coordinates,
        identity: Mapping[str, Any],
        result: Result,
        provenance: Mapping[str, JSON],
    ) -> Stored:
        """Write a cell. Where another run was first with the same cell, its result stays.

        Raises:
            StoreError: where the store cannot be written.

        """
        files: dict[str, str] = {}
        if result.records:
            files["records"] = self._put_data(
                key, "records", "parquet", parquet.write(result.records)
            )
        if result.arrays:
            import numpy as np
            from safetensors.numpy import save

            # safetensors writes an array's memory as it lies: channels-last would be scrambled
            whole = {name: np.asarray(a, order="C") for name, a in result.arrays.items()}
            blob = save(whole, metadata=dict(result.header))
            files["arrays"] = self._put_data(key, "arrays", "safetensors", blob)
        manifest = {
            "format": FORMAT,
            "key": key,
            "kind": kind,
            "coordinates": asdict(coordinates),
            "identity": dict(identity),
            "outputs": dict(result.outputs),
            "summary": dict(result.summary),
            "provenance": dict(provenance),
            "files": files,
        }
        text = json.dumps(manifest, indent=1)
        self._write_once(self._path("cells", key[:2], key, "cell.json"), text.encode())
        self.forgive(key)
        self._drop("partial", key)
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
        paths = map(PurePosixPath, self.fs.find(self._path("cells")))
        return sorted(path.parent.name for path in paths if path.name == "cell.json")

    # Failures

    def fail(self, key: str, failure: Mapping[str, JSON]) -> None:
        """Note why a cell failed; the next run tries it again."""
        self._write(self._path("failures", f"{key}.json"), json.dumps(dict(failure)).encode())

    def failure(self, key: str) -> dict[str, Any] | None:
        """Return the note of a cell's last failure, if it has not succeeded since."""
        return self._read_json(self._path("failures", f"{key}.json"))

    def forgive(self, key: str) -> None:
        """Drop the note of a failure."""
        self._drop("failures", f"{key}.json")

    # Work that is under way

    def put_partial(self, key: str, maker: str, blob: bytes) -> None:
        """Keep what an unfinished cell needs to go on; :meth:`put` drops it.

        Args:
            key: the cell's.
            maker: what must be the same for the cell to go on from it.
            blob: what is kept, in place of what was.

        """
        body = maker.encode() + b"\n" + blob
        whole = hashlib.sha256(body).digest() + body
        self._write(self._path("partial", key), whole, lasting=False)

    def partial(self, key: str, maker: str) -> bytes | None:
        """Return what an unfinished cell kept; None where it is not whole, or another's."""
        try:
            whole: bytes = self.fs.cat_file(self._path("partial", key))
        except FileNotFoundError:
            return None
        digest, body = whole[:32], whole[32:]
        made_by, _, blob = body.partition(b"\n")
        is_whole = hashlib.sha256(body).digest() == digest
        return blob if is_whole and made_by == maker.encode() else None

    # Runs

    def put_run(self, run: str, document: Mapping[str, Any]) -> None:
        """Write or replace the account of a run."""
        self._write(self._path("runs", f"{run}.json"), json.dumps(dict(document)).encode())

    def runs(self, suite: str | None = None) -> list[str]:
        """List runs, the oldest first; of one suite, or of all."""
        paths = map(PurePosixPath, self.fs.find(self._path("runs")))
        names = [path.stem for path in paths if path.suffix == ".json"]
        return sorted(name for name in names if suite is None or _suite_of(name) == suite)

    def last_run(self, suite: str | None = None) -> dict[str, Any]:
        """Return the account of the last run.

        Raises:
            StoreError: where there is none.

        """
        runs = self.runs(suite)
        document = self._read_json(self._path("runs", f"{runs[-1]}.json")) if runs else None
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

    def _path(self, *parts: str) -> str:
        return "/".join((self.root.rstrip("/"), *parts))

    def _put_data(self, key: str, name: str, suffix: str, blob: bytes) -> str:
        file = f"{name}-{hashlib.sha256(blob).hexdigest()[:16]}.{suffix}"
        self._write(self._path("cells", key[:2], key, file), blob)
        return file

    def _data(self, stored: Stored, name: str) -> bytes:
        file = stored.files.get(name)
        where = f"store '{self.url}': cell {stored.key[:12]} ({stored.label})"
        if file is None:
            raise StoreError.of(where, f"holds no {name}")
        path = self._path("cells", stored.key[:2], stored.key, file)
        try:
            blob: bytes = self.fs.cat_file(path)
        except FileNotFoundError:
            blob = b""
        if hashlib.sha256(blob).hexdigest()[:16] not in file:
            raise StoreError.of(
                where,
                f"the file {file} is not what was written",
                "its own digest",
                f"remove {PurePosixPath(path).parent} and run again",
            )
        return blob

    def _drop(self, *parts: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(self._path(*parts))

    def _write(self, path: str, blob: bytes, *, lasting: bool = True) -> None:
        """Write a file whole: readers see the old one or the new one."""
        with self._writing():
            if self.folder is None:
                self.fs.pipe_file(path, blob)
            else:
                Path(self._temporary(path, blob, lasting=lasting)).replace(path)

    def _write_once(self, path: str, blob: bytes) -> None:
        """Write a file whole unless there is one already."""
        with self._writing():
            if self.folder is None:
                if not self.fs.exists(path):
                    self.fs.pipe_file(path, blob)
                return
            temporary = Path(self._temporary(path, blob))
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
            temporary.unlink()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError.of(
                f"store '{self.url}'",
                f"cannot be written: {error}",
                "room and the right to write",
                "nothing that was finished is lost; run the same command again",
            ) from error

    def _temporary(self, path: str, blob: bytes, *, lasting: bool = True) -> str:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".{target.name}-{uuid.uuid4().hex[:8]}"
        with temporary.open("wb") as file:
            file.write(blob)
            file.flush()
            if lasting:  # what only spares work need not outlast a power cut
                os.fsync(file.fileno())
        return str(temporary)

    def _read_json(self, path: str) -> dict[str, Any] | None:
        try:
            document = json.loads(self.fs.cat_file(path))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise StoreError.of(path, f"is not JSON: {error}", "a file that bench wrote") from error
        if not isinstance(document, dict):
            raise StoreError.of(path, "holds no JSON object", "a file that bench wrote")
        return document

    def _read_manifest(self, key: str) -> dict[str, Any] | None:
        return self._read_json(self._path("cells", key[:2], key, "cell.json"))

    def _stored(self, key: str, manifest: Any) -> Stored:
        if isinstance(manifest, dict) and manifest.get("format") != FORMAT:
            raise StoreError.of(
                f"store '{self.url}': cell {key[:12]}",
                f"is of format {manifest.get('format')}",
                f"format {FORMAT}, which this version of bench reads",
                "name another store with --store, or another version of bench",
            )
        try:
            return Stored(
                key=manifest["key"],
                kind=manifest["kind"],
                coordinates=Coordinates(**manifest["coordinates"]),
                identity=manifest["identity"],
                outputs=manifest["outputs"],
                summary=manifest["summary"],
                provenance=manifest["provenance"],
                files=manifest["files"],
            )
        except (KeyError, TypeError) as error:
            raise StoreError.of(
                f"store '{self.url}': cell {key[:12]}",
                f"has a manifest that lacks or misplaces {error}",
                "what bench wrote",
                f"remove {self._path('cells', key[:2], key)} and run again",
            ) from error

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
