"""Datasets, decoded once into a memory-mapped cache, and the image sets that cells work on.

What a plugin reads is written down as bytes with a digest of its content; after that neither the
plugin's library nor the original files are needed. This room does not know what images are used
for, and imports torch only to hand out tensors.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bench import fingerprint, registry, seeds
from bench.api import Split
from bench.errors import BenchError, DataError, PluginError
from bench.suite import DatasetEntry

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from bench.tensors import Images, LabelArray, Labels, PixelStack

_FORMAT = 3
"""Of the cache's folders."""

_AXES = 3
"""Height, width, channel."""


@dataclass(frozen=True)
class ImageSet:
    """Some images of a dataset, in a fixed order; pixels stay on the disk until they are used.

    ``positions`` are those of the images in ``data``; ``digest`` covers their pixels, labels and
    the names of the classes, not the images' names.
    """

    data: Prepared
    positions: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def names(self) -> tuple[str, ...]:
        """What the images are called in records."""
        return tuple(self.data.names[position] for position in self.positions)

    @property
    def pixels(self) -> PixelStack:
        """The pixels, uint8, (image, height, width, channel)."""
        return self.data.pixels[self.positions]

    @property
    def labels(self) -> LabelArray:
        """The classes, int64."""
        return self.data.labels[self.positions]

    @cached_property
    def digest(self) -> str:
        """The content's fingerprint; whole splits had theirs taken when they were decoded."""
        for name, (start, stop) in self.data.splits.items():
            if np.array_equal(self.positions, np.arange(start, stop)):
                return self.data.split_digests[name]
        return _digest(self.pixels, self.labels, self.data.classes)

    @cached_property
    def named_digest(self) -> str:
        """The fingerprint of the content and of what the images are called in records."""
        return fingerprint.fingerprint([self.digest, list(self.names)])

    def drawn(self, count: int | None, seed: int) -> ImageSet:
        """Return ``count`` of the images, drawn by a seed, or all where there are no more."""
        if count is None or count >= len(self):
            return self
        return ImageSet(self.data, self.positions[np.sort(self.order(seed)[:count])])

    def order(self, seed: int) -> NDArray[np.int64]:
        """Return in which order a seed draws the images: places in this set, the first first."""
        # ranks by hash: no library's random numbers decide which images are looked at
        ranks = [seeds.derive(seed, "images", name) for name in self.names]
        return np.argsort(ranks)

    def tensors(self) -> tuple[Images, Labels]:
        """Return images, float32 in [0, 1], (image, channel, height, width), and their labels."""
        import torch

        images: Tensor = torch.from_numpy(self.pixels).permute(0, 3, 1, 2).contiguous()
        return images.float() / 255, torch.from_numpy(self.labels)


def _digest(pixels: PixelStack, labels: LabelArray, classes: Sequence[str]) -> str:
    content = fingerprint.of_arrays({"pixels": pixels, "labels": labels})
    return fingerprint.fingerprint([content, list(classes)])


@dataclass(frozen=True)
class Prepared:
    """A dataset in the cache.

    ``splits`` maps a split's name to its range of images; splits follow one another.
    ``duplicates`` are groups of images, by name, whose pixels are the same.
    """

    name: str
    folder: Path
    classes: tuple[str, ...]
    splits: dict[str, tuple[int, int]]
    split_digests: dict[str, str]
    names: tuple[str, ...]
    duplicates: tuple[tuple[str, ...], ...] = ()

    def leaks(self) -> dict[tuple[str, str], list[tuple[str, str]]]:
        """Find images that stand in two splits: by pairs of splits, pairs of names."""
        home = {
            self.names[position]: split
            for split, (start, stop) in self.splits.items()
            for position in range(start, stop)
        }
        found: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for group in self.duplicates:
            for first, second in itertools.combinations(group, 2):
                if home[first] != home[second]:
                    found.setdefault((home[first], home[second]), []).append((first, second))
        return found

    @cached_property
    def pixels(self) -> PixelStack:
        """All pixels, uint8, (image, height, width, channel), mapped from the disk."""
        pixels: PixelStack = self._load("pixels.npy", mmap_mode="r")
        return pixels

    @cached_property
    def labels(self) -> LabelArray:
        """All classes, int64."""
        labels: LabelArray = self._load("labels.npy")
        return labels

    def _load(self, file: str, mmap_mode: Literal["r"] | None = None) -> Any:
        try:
            return np.load(self.folder / file, mmap_mode=mmap_mode)
        except (OSError, ValueError, EOFError) as error:
            raise DataError.of(
                f"dataset '{self.name}'",
                f"its decoded {file} is broken: {error}",
                "what was written",
                f"remove {self.folder} and run again",
            ) from error

    @property
    def digest(self) -> str:
        """The whole dataset's fingerprint."""
        return fingerprint.fingerprint(dict(self.split_digests))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channel, height, width)."""
        height, width, channels = self.pixels.shape[1:]
        return channels, height, width

    def split(self, name: str) -> ImageSet:
        """Return all images of a split.

        Raises:
            DataError: where the dataset has no such split.

        """
        return self.select([name])

    def select(self, splits: Sequence[str], count: int | None = None, seed: int = 0) -> ImageSet:
        """Return images of some splits: all, or ``count`` of them drawn by a seed.

        A smaller draw is part of a larger one with the same seed. Images keep their order. Where
        there are fewer than ``count``, all are returned.

        Raises:
            DataError: where the dataset has no such split.

        """
        for name in splits:
            if name not in self.splits:
                raise DataError.of(
                    f"dataset '{self.name}'",
                    f"has no split '{name}'",
                    "one of " + ", ".join(self.splits),
                    "name others in images.from",
                )
        positions = np.concatenate([np.arange(*self.splits[name]) for name in splits])
        return ImageSet(self, positions).drawn(count, seed)

    def fold(self, number: int, of: int, seed: int) -> tuple[ImageSet, ImageSet]:
        """Cut ``train`` into folds, each class evenly, and hold one of them out.

        Args:
            number: of the fold that is held out, from 1.
            of: how many folds.
            seed: decides which image is in which fold.

        Returns:
            The images of the other folds, and those of the fold held out; both keep their order.

        Raises:
            DataError: where a class has fewer images than there are folds.

        """
        positions = self.split("train").positions
        labels = self.labels[positions]
        ranks = np.array([seeds.derive(seed, "folds", self.names[p]) for p in positions])
        order = np.lexsort((ranks, labels))  # class by class, so that each is dealt out evenly
        folds = np.empty(len(positions), dtype=np.int64)
        folds[order] = np.arange(len(positions)) % of
        smallest = np.bincount(labels, minlength=len(self.classes)).min()
        if smallest < of:
            raise DataError.of(
                f"dataset '{self.name}'",
                f"has a class with {smallest} training images",
                f"at least one for each of {of} folds",
            )
        held_out = folds == number - 1
        return ImageSet(self, positions[~held_out]), ImageSet(self, positions[held_out])

    def class_counts(self) -> dict[str, dict[str, int]]:
        """Count the images of each class in each split: {split: {class: count}}."""
        return {
            split: {
                name: int((self.labels[start:stop] == index).sum())
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
    where = f"dataset '{entry.name}'"
    try:
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
    except BenchError:
        raise
    except OSError as error:
        raise DataError.of(
            where, f"cannot be decoded into {cache}: {error}", "room and the right to write there"
        ) from error
    except Exception as error:  # a plugin's own fault, whatever it is, is told as such
        raise PluginError.of(
            where, f"its plugin raised {type(error).__name__}: {error}", "", "mend the plugin"
        ) from error
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
                name: _digest(pixels[start:stop], labels[start:stop], content.classes)
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
