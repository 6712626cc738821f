"""Content hashes: of plain values, of arrays, of files and of source code.

A fingerprint is SHA-256 in hexadecimal. Values are hashed as canonical JSON (sorted keys, shortest
float that reads back the same), so that equal values have equal fingerprints on every machine.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError
from bench.records import JSON

if TYPE_CHECKING:
    from numpy.typing import NDArray


def canonical(value: JSON) -> str:
    """Write a plain value as canonical JSON.

    Raises:
        UsageError: for a value that JSON has no place for (NaN, infinity, bytes, a set, ...).

    """
    _check(value, "identity")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _check(value: object, path: str) -> None:
    if value is None or isinstance(value, str | int):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UsageError.of(path, f"got {value}", "a finite number")
        return
    if isinstance(value, list):
        for position, item in enumerate(value):
            _check(item, f"{path}[{position}]")
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise UsageError.of(path, f"got the key {key!r}", "a string")
            _check(item, f"{path}.{key}")
        return
    raise UsageError.of(path, f"got {type(value).__name__}", "a plain JSON value")


def fingerprint(value: JSON) -> str:
    """Hash a plain value: 64 hexadecimal digits.

    >>> fingerprint({"b": 1, "a": 2}) == fingerprint({"a": 2, "b": 1})
    True
    """
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def of_arrays(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Hash named arrays by name, dtype, shape and bytes; the order of the names does not matter."""
    import numpy as np

    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        header = canonical([name, array.dtype.str, list(array.shape)])
        digest.update(header.encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()


def of_file(path: Path) -> str:
    """Hash a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
