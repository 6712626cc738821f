"""Datasets, decoded once into a memory-mapped cache.

What a plugin reads is written down as bytes with a digest of its content; after that neither the
plugin's library nor the original files are needed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import fingerprint, registry
from bench.api import Split
from bench.data.image_sets import Prepared, digest_of
from bench.errors import BenchError, DataError, PluginError, explained, named
from bench.suite import DatasetEntry

if TYPE_CHECKING:
    from bench.tensors import LabelArray, PixelStack


_FORMAT = 3
"""Of the cache's folders."""

_AXES = 3
"""Height, width, channel."""


def prepare(entry: DatasetEntry, cache: Path) -> Prepared:
    """Return a dataset from the cache, decoding it first where it is new or has changed.

    Args:
        entry: the suite's dataset.
        cache: a local folder.

    Raises:
        DataError: where the data is missing or malformed.

    """
    where = f"dataset '{entry.name}'"

    def refusal(error: Exception) -> BenchError:
        if isinstance(error, OSError):
            words = f"cannot be decoded into {cache}: {error}"
            return DataError.of(where, words, "room and the right to write there")
        return PluginError.of(where, f"its plugin raised {named(error)}", "", "mend the plugin")

    with explained(refusal):
        key = fingerprint.fingerprint(
            {
                "format": _FORMAT,
                **registry.identity("datasets", entry.plugin_name, entry.plugin),
                "parameters": entry.plugin.parameters(),
                "stamp": entry.plugin.stamp(),
            }
        )
        folder = cache / key[:32]
        if not (folder / "meta.json").is_file():
            _write(entry, folder)
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    return Prepared(
        name=entry.name,
        folder=folder,
        classes=tuple(meta["classes"]),
        splits={name: (start, stop) for name, (start, stop) in meta["splits"].items()},
        split_digests=meta["split_digests"],
        names=tuple(meta["names"]),
        duplicates=tuple(tuple(group) for group in meta["duplicates"]),
    )


def _write(entry: DatasetEntry, folder: Path) -> None:
    """Decode a dataset into a temporary folder and move it into place when it is whole."""
    content = entry.plugin.read()
    where = f"dataset '{entry.name}'"
    if len(content.classes) < 2:  # noqa: PLR2004 (one class leaves nothing to classify)
        raise DataError.of(where, f"has {len(content.classes)} classes", "two or more")
    if len(set(content.classes)) < len(content.classes):
        raise DataError.of(where, "gives one name to several classes", "names that are unique")
    _check_text([*content.classes, *content.splits], where)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        pixels, labels, names, splits = _collect(content.splits, work, where)
        _check_labels(labels, names, len(content.classes), where)
        meta = {
            "classes": list(content.classes),
            "splits": splits,
            "names": names,
            "duplicates": _duplicates(pixels, names),
            "split_digests": {
                name: digest_of(pixels[start:stop], labels[start:stop], content.classes)
                for name, (start, stop) in splits.items()
            },
        }
        (work / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
        try:
            work.rename(folder)
        except OSError:
            # where another run was first, its copy is equal
            if not (folder / "meta.json").is_file():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _collect(
    content: Any, work: Path, where: str
) -> tuple[PixelStack, LabelArray, list[str], dict[str, tuple[int, int]]]:
    total = sum(len(split.labels) for split in content.values())
    labels: list[int] = []
    names: list[str] = []
    splits: dict[str, tuple[int, int]] = {}
    stack: PixelStack | None = None
    for split_name, split in content.items():
        start = len(labels)
        position = start
        for image in split.images:
            shape = image.shape if stack is None else stack.shape[1:]
            if image.dtype != np.uint8 or image.shape != shape or image.ndim != _AXES:
                raise DataError.of(
                    f"{where}: {_name(split, position - start)}",
                    f"is {image.dtype} of shape {image.shape}",
                    "uint8 of shape "
                    + (str(shape) if len(shape) == _AXES else "(height, width, channel)"),
                )
            if stack is None:
                stack = np.lib.format.open_memmap(
                    work / "pixels.npy", mode="w+", dtype=np.uint8, shape=(total, *shape)
                )
            if position - start >= len(split.labels):
                raise DataError.of(f"{where}: {split_name}", "has more images than labels")
            stack[position] = image
            position += 1
        if not len(split.labels):
            raise DataError.of(
                f"{where}: {split_name}",
                "has no images",
                "one or more in each split",
                "leave a split out that there is none of",
            )
        if position - start != len(split.labels) or len(split.names) != len(split.labels):
            raise DataError.of(
                f"{where}: {split_name}",
                f"has {position - start} images, {len(split.labels)} labels and "
                f"{len(split.names)} names",
                "as many of each",
            )
        labels += [int(label) for label in split.labels]
        names += list(split.names)
        splits[split_name] = (start, position)
    if stack is None:
        raise DataError.of(where, "has no images")
    if isinstance(stack, np.memmap):
        stack.flush()
    array = np.array(labels, dtype=np.int64)
    np.save(work / "labels.npy", array)
    return stack, array, names, splits


def _duplicates(pixels: PixelStack, names: Sequence[str]) -> list[list[str]]:
    """Group the images whose pixels are the same."""
    groups: dict[bytes, list[str]] = {}
    for image, name in zip(pixels, names, strict=True):
        groups.setdefault(hashlib.sha256(image.tobytes()).digest(), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _name(split: Split, position: int) -> str:
    return split.names[position] if position < len(split.names) else f"image {position}"


def _check_labels(labels: LabelArray, names: Sequence[str], classes: int, where: str) -> None:
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError.of(
            where, f"has labels from {labels.min()} to {labels.max()}", f"0 to {classes - 1}"
        )
    if len(set(names)) != len(names):
        raise DataError.of(where, "gives one name to several images", "names that are unique")
    _check_text(names, where)


def _check_text(names: Sequence[str], where: str) -> None:
    """Refuse names that no text file can hold, as of files that other systems encoded."""
    for name in names:
        if name.encode(errors="replace").decode() != name:
            raise DataError.of(
                where,
                f"has the name {name!a}, which is no Unicode text",
                "names in UTF-8",
                "rename it",
            )


def cache_folder(store_folder: Path | None) -> Path:
    """Return the local folder for decoded datasets: the store's own, or the user's cache."""
    if store_folder is not None:
        return store_folder / "datasets"
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "bench" / "datasets"
