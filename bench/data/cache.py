"""Datasets, decoded once into a memory-mapped cache.

The images that a plugin reads are stored as bytes with a digest of their content; after that
neither the plugin's library nor the original files are needed.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import fingerprint, registry
from bench.api import Split
from bench.data import resemblance
from bench.data.image_sets import Prepared, digest_of
from bench.errors import BenchError, DataError, PluginError, explained, named
from bench.suite import DatasetEntry

if TYPE_CHECKING:
    from bench.tensors import LabelArray, PixelStack


_FORMAT = 3
"""The format of the cache's folders."""

_TWINS = "twins-1.json"
"""What was found by :mod:`bench.data.resemblance`; the number is raised when that changes."""

_COMPARED: dict[tuple[str, str], resemblance.Twins] = {}
"""What two splits of these digests have in common, for other stores of this process."""

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
        folder = cache / _key(entry)[:32]
        if not (folder / "meta.json").is_file():
            _write(entry, folder)
        near = _near_duplicates(folder)
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    return Prepared(
        name=entry.name,
        folder=folder,
        classes=tuple(meta["classes"]),
        splits={name: (start, stop) for name, (start, stop) in meta["splits"].items()},
        split_digests=meta["split_digests"],
        names=tuple(meta["names"]),
        duplicates=tuple(tuple(group) for group in meta["duplicates"]),
        near_duplicates=tuple(near),
    )


def _key(entry: DatasetEntry) -> str:
    """Return the fingerprint of what decides a dataset's images, its files included."""
    return fingerprint.fingerprint(
        {
            "format": _FORMAT,
            **registry.identity("datasets", entry.plugin_name, entry.plugin),
            "parameters": entry.plugin.parameters(),
            "stamp": entry.plugin.stamp(),
        }
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
            # another run may have been first: its copy is equal
            if not (folder / "meta.json").is_file():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _collect(
    content: Mapping[str, Split], work: Path, where: str
) -> tuple[PixelStack, LabelArray, list[str], dict[str, tuple[int, int]]]:
    """Write all images into one file, and all labels into another.

    Returns:
        The pixels, the labels, the names of the images, and the range of each split.

    """
    labels = np.array([int(n) for split in content.values() for n in split.labels], dtype=np.int64)
    names = [name for split in content.values() for name in split.names]
    sizes = [len(split.labels) for split in content.values()]
    splits = {
        name: (end - size, end)
        for name, size, end in zip(content, sizes, itertools.accumulate(sizes), strict=True)
    }
    stack: PixelStack | None = None
    for position, image in enumerate(_images(content, where)):
        if stack is None:
            shape = (len(labels), *image.shape)
            stack = np.lib.format.open_memmap(
                work / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape
            )
        stack[position] = image
    if stack is None:
        raise DataError.of(where, "has no images")
    if isinstance(stack, np.memmap):
        stack.flush()
    np.save(work / "labels.npy", labels)
    return stack, labels, names, splits


def _images(content: Mapping[str, Split], where: str) -> Iterator[Any]:
    """Yield the images of all splits, checked.

    Raises:
        DataError: where they differ in shape, or a split has not as many labels and names.

    """
    shape = None
    for name, split in content.items():
        count = 0
        for count, image in enumerate(split.images, 1):
            _check_image(image, shape or image.shape, f"{where}: {_name(split, count - 1)}")
            shape = image.shape
            if count > len(split.labels):
                raise DataError.of(f"{where}: {name}", "has more images than labels")
            yield image
        _check_counts(split, count, f"{where}: {name}")


def _check_image(image: Any, shape: tuple[int, ...], where: str) -> None:
    if image.dtype != np.uint8 or image.shape != shape or image.ndim != _AXES:
        wanted = str(shape) if len(shape) == _AXES else "(height, width, channel)"
        raise DataError.of(
            where, f"is {image.dtype} of shape {image.shape}", f"uint8 of shape {wanted}"
        )


def _check_counts(split: Split, images: int, where: str) -> None:
    if not len(split.labels):
        raise DataError.of(
            where, "has no images", "one or more in each split", "leave an empty split out"
        )
    if images != len(split.labels) or len(split.names) != len(split.labels):
        raise DataError.of(
            where,
            f"has {images} images, {len(split.labels)} labels and {len(split.names)} names",
            "as many of each",
        )


def _duplicates(pixels: PixelStack, names: Sequence[str]) -> list[list[str]]:
    """Group the images whose pixels are the same."""
    groups: dict[bytes, list[str]] = {}
    for image, name in zip(pixels, names, strict=True):
        groups.setdefault(hashlib.sha256(image.tobytes()).digest(), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _near_duplicates(folder: Path) -> list[dict[str, Any]]:
    """Return which images of two splits show the same picture; note it beside a decoded dataset.

    Those that are equal, pixel for pixel, are noted elsewhere. Where nobody may write, it is found
    anew each time.
    """
    if (folder / _TWINS).is_file():
        known: list[dict[str, Any]] = json.loads((folder / _TWINS).read_text(encoding="utf-8"))
        return known
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    names, pixels = meta["names"], np.load(folder / "pixels.npy", mmap_mode="r")

    @cache
    def grey(split: str) -> resemblance.Grey:
        return resemblance.grey(pixels[slice(*meta["splits"][split])])

    equal = {name: set(group) for group in meta["duplicates"] for name in group}
    found: list[dict[str, Any]] = []
    for one, other in itertools.combinations(meta["splits"], 2):
        pair = (meta["split_digests"][one], meta["split_digests"][other])
        if pair not in _COMPARED:
            _COMPARED[pair] = resemblance.twins(grey(one), grey(other))
        twins = _COMPARED[pair]
        starts = meta["splits"][one][0], meta["splits"][other][0]
        pairs = [(names[starts[0] + a], names[starts[1] + b]) for a, b in twins.pairs]
        kept = [[*pair] for pair in pairs if pair[1] not in equal.get(pair[0], ())]
        found.append({"splits": [one, other], "images": kept, "looked_at": twins.looked_at})
    if os.access(folder, os.W_OK):
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as file:
            json.dump(found, file)
        Path(file.name).replace(folder / _TWINS)
    return found


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
    """Refuse names that no text file can hold, such as those in another encoding."""
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
