"""Datasets, decoded once into a memory-mapped cache, and the image sets that cells work on.

What a plugin reads is written down as bytes with a digest of its content; after that neither the
plugin's library nor the original files are needed. This room does not know what images are used
for, and imports torch only to hand out tensors.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import fingerprint, registry, seeds
from bench.api import Split
from bench.errors import DataError
from bench.suite import DatasetEntry

if TYPE_CHECKING:
    from torch import Tensor

    from bench.tensors import Images, LabelArray, Labels, PixelStack


@dataclass(frozen=True)
class ImageSet:
    """Some images of one split or of several, in a fixed order.

    ``pixels`` is uint8, shape (image, height, width, channel); ``digest`` covers pixels, labels and
    the names of the classes, not the images' names.
    """

    pixels: PixelStack
    labels: LabelArray
    names: tuple[str, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def digest(self) -> str:
        """The content's fingerprint."""
        content = fingerprint.of_arrays({"pixels": self.pixels, "labels": self.labels})
        return fingerprint.fingerprint([content, list(self.classes)])

    def tensors(self, start: int = 0, stop: int | None = None) -> tuple[Images, Labels]:
        """Return images, float32 in [0, 1], (image, channel, height, width), and their labels."""
        import torch

        pixels = torch.from_numpy(np.array(self.pixels[start:stop]))
        images: Tensor = pixels.permute(0, 3, 1, 2).contiguous().float() / 255
        return images, torch.from_numpy(np.array(self.labels[start:stop]))


@dataclass(frozen=True)
class Prepared:
    """A dataset in the cache.

    ``splits`` maps a split's name to its range of images; splits follow one another.
    """

    name: str
    folder: Path
    classes: tuple[str, ...]
    splits: dict[str, tuple[int, int]]
    names: tuple[str, ...]
    digest: str

    @cached_property
    def _pixels(self) -> PixelStack:
        pixels: PixelStack = np.load(self.folder / "pixels.npy", mmap_mode="r")
        return pixels

    @cached_property
    def _labels(self) -> LabelArray:
        labels: LabelArray = np.load(self.folder / "labels.npy")
        return labels

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channel, height, width)."""
        height, width, channels = self._pixels.shape[1:]
        return channels, height, width

    def split(self, name: str) -> ImageSet:
        """Return all images of a split.

        Raises:
            DataError: where the dataset has no such split.

        """
        if name not in self.splits:
            raise DataError.of(
                f"dataset '{self.name}'",
                f"has no split '{name}'",
                "one of " + ", ".join(self.splits),
            )
        start, stop = self.splits[name]
        return ImageSet(
            self._pixels[start:stop],
            self._labels[start:stop],
            self.names[start:stop],
            self.classes,
        )

    def select(self, splits: Sequence[str], count: int | None = None, seed: int = 0) -> ImageSet:
        """Return images of some splits: all, or ``count`` of them drawn by a seed.

        A smaller draw is part of a larger one with the same seed. Images keep their order. Where
        there are fewer than ``count``, all are returned.
        """
        parts = [self.split(name) for name in splits]
        pixels = np.concatenate([part.pixels for part in parts])
        labels = np.concatenate([part.labels for part in parts])
        names = [name for part in parts for name in part.names]
        if count is not None and count < len(names):
            order = np.random.default_rng(seeds.derive(seed, "images")).permutation(len(names))
            chosen = np.sort(order[:count])
        else:
            chosen = np.arange(len(names))
        return ImageSet(
            pixels[chosen], labels[chosen], tuple(names[i] for i in chosen), self.classes
        )

    def class_counts(self) -> dict[str, dict[str, int]]:
        """Count the images of each class in each split: {split: {class: count}}."""
        return {
            split: {
                name: int((self._labels[start:stop] == index).sum())
                for index, name in enumerate(self.classes)
            }
            for split, (start, stop) in self.splits.items()
        }


def prepare(entry: DatasetEntry, cache: Path) -> Prepared:
    """Return a dataset from the cache, decoding it first where it is new or has changed.

    Args:
        entry: the suite's dataset.
        cache: a local folder.

    Raises:
        DataError: where the data is missing or malformed.

    """
    key = fingerprint.fingerprint(
        {
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
        names=tuple(meta["names"]),
        digest=meta["digest"],
    )


def _write(entry: DatasetEntry, folder: Path) -> None:
    """Decode a dataset into a temporary folder and move it into place when it is whole."""
    content = entry.plugin.read()
    where = f"dataset '{entry.name}'"
    if len(content.classes) < 2:  # noqa: PLR2004 (one class leaves nothing to classify)
        raise DataError.of(where, f"has {len(content.classes)} classes", "two or more")
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        pixels, labels, names, splits = _collect(content.splits, work, where)
        _check_labels(labels, names, len(content.classes), where)
        meta = {
            "classes": list(content.classes),
            "splits": splits,
            "names": names,
            "digest": fingerprint.fingerprint(
                [
                    fingerprint.of_arrays({"pixels": pixels, "labels": labels}),
                    list(content.classes),
                    {name: list(bounds) for name, bounds in splits.items()},
                ]
            ),
        }
        (work / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
        try:
            work.rename(folder)
        except OSError:
            if not (
                folder / "meta.json"
            ).is_file():  # else another run was first: its copy is equal
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
            if stack is None:
                stack = np.lib.format.open_memmap(
                    work / "pixels.npy", mode="w+", dtype=np.uint8, shape=(total, *image.shape)
                )
            if image.dtype != np.uint8 or image.shape != stack.shape[1:]:
                raise DataError.of(
                    f"{where}: {_name(split, position - start)}",
                    f"is {image.dtype} of shape {image.shape}",
                    f"uint8 of shape {stack.shape[1:]}",
                )
            if position - start >= len(split.labels):
                raise DataError.of(f"{where}: {split_name}", "has more images than labels")
            stack[position] = image
            position += 1
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


def _name(split: Split, position: int) -> str:
    return split.names[position] if position < len(split.names) else f"image {position}"


def _check_labels(labels: LabelArray, names: Sequence[str], classes: int, where: str) -> None:
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError.of(
            where, f"has labels from {labels.min()} to {labels.max()}", f"0 to {classes - 1}"
        )
    if len(set(names)) != len(names):
        raise DataError.of(where, "gives one name to several images", "names that are unique")


def cache_folder(store_folder: Path | None) -> Path:
    """Return the local folder for decoded datasets: the store's own, or the user's cache."""
    if store_folder is not None:
        return store_folder / "datasets"
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "bench" / "datasets"
