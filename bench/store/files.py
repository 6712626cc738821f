"""The files of a store: each is there whole or not at all, whenever a process is killed.

They are in a folder, or in any place that fsspec reaches. This room does not know their content.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec

from bench.errors import StoreError


class Files:
    """The files below one place.

    Args:
        url: a folder, or a URL that fsspec can open.

    Raises:
        StoreError: where it is neither.

    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self.fs, self.root = fsspec.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise StoreError.of(
                f"store '{url}'", str(error), "a folder or a URL that fsspec can open"
            ) from error
        if self.folder is not None and self.folder.exists() and not self.folder.is_dir():
            raise StoreError.of(f"store '{url}'", "is a file", "a folder, or a new name")

    @property
    def folder(self) -> Path | None:
        """The place as a folder on this machine; None where it is elsewhere."""
        protocols = self.fs.protocol
        local = "file" in ([protocols] if isinstance(protocols, str) else protocols)
        return Path(self.root) if local else None

    def path(self, *parts: str) -> str:
        """Return the path of a file below the place."""
        return "/".join((self.root.rstrip("/"), *parts))

    def exists(self, path: str) -> bool:
        """Whether a file is there."""
        return bool(self.fs.exists(path))

    def find(self, path: str) -> list[PurePosixPath]:
        """List all files below a path."""
        return [PurePosixPath(found) for found in self.fs.find(path)]

    def read(self, path: str) -> bytes | None:
        """Return the content of a file, or None where it is missing."""
        try:
            blob: bytes = self.fs.cat_file(path)
        except FileNotFoundError:
            return None
        return blob

    def read_json(self, path: str) -> dict[str, Any] | None:
        """Return the JSON object in a file, or None where it is missing.

        Raises:
            StoreError: where it holds anything else.

        """
        blob = self.read(path)
        if blob is None:
            return None
        try:
            document = json.loads(blob)
        except ValueError as error:
            raise StoreError.of(path, f"is not JSON: {error}", "a file that bench wrote") from error
        if not isinstance(document, dict):
            raise StoreError.of(path, "holds no JSON object", "a file that bench wrote")
        return document

    def drop(self, path: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(path)

    def write(self, path: str, blob: bytes, *, lasting: bool = True) -> None:
        """Write or replace a file: readers see the old one or the new one.

        Args:
            path: of the file; folders on the way are made.
            blob: what it will hold.
            lasting: whether it must outlast a power cut.

        Raises:
            StoreError: where it cannot be written.

        """
        with self._writing():
            if self.folder is None:
                self.fs.pipe_file(path, blob)
            else:
                _temporary(path, blob, lasting=lasting).replace(path)

    def write_once(self, path: str, blob: bytes) -> None:
        """Write a file unless there is one already: of several writers the first wins.

        Raises:
            StoreError: where it cannot be written.

        """
        with self._writing():
            if self.folder is None:
                if not self.fs.exists(path):
                    self.fs.pipe_file(path, blob)
                return
            temporary = _temporary(path, blob)
            try:
                os.link(temporary, path)
            except FileExistsError:
                pass
            except OSError as error:
                if error.errno not in _WITHOUT_LINKS:
                    raise
                _place_under_lock(temporary, Path(path), self.folder / _LOCK)
            finally:
                temporary.unlink(missing_ok=True)

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


_LOCK = "writing.lock"

_WITHOUT_LINKS = {
    *(errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP),
    *(errno.ENOSYS, errno.EMLINK, errno.EINVAL, errno.EXDEV),
}
"""Errors of file systems without hard links, such as exFAT, and of unions of several file systems;
that of a full disk is not among them."""


def _temporary(path: str, blob: bytes, *, lasting: bool = True) -> Path:
    """Write a file under a temporary name beside its target."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name}-{uuid.uuid4().hex[:8]}"
    with temporary.open("wb") as file:
        file.write(blob)
        file.flush()
        if lasting:  # a file that only saves work need not outlast a power cut
            os.fsync(file.fileno())
    return temporary


def _place_under_lock(temporary: Path, target: Path, lock: Path) -> None:
    """Rename a file unless its target is there, where the file system has no hard links.

    Such are exFAT and some network mounts. A rename replaces the file of another writer, so looking
    and renaming happen under a lock.
    """
    from filelock import FileLock

    with FileLock(lock):
        if not target.exists():
            temporary.rename(target)
