"""Decoded datasets and the image sets that cells work on; pixels stay on the disk until used.

This room does not know what images are used for, and imports torch only to return tensors.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bench import fingerprint, seeds
from bench.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from bench.tensors import Images, LabelArray, Labels, PixelStack


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
        """The names of the images in records."""
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
        return digest_of(self.pixels, self.labels, self.data.classes)

    @cached_property
    def named_digest(self) -> str:
        """The fingerprint of the content and of the images' names in records."""
        return fingerprint.fingerprint([self.digest, list(self.names)])

    def drawn(self, count: int | None, seed: int) -> ImageSet:
        """Return ``count`` of the images, drawn by a seed, or all where there are no more."""
        if count is None or count >= len(self):
            return self
        return ImageSet(self.data, self.positions[np.sort(self.order(seed)[:count])])

    def order(self, seed: int) -> NDArray[np.int64]:
        """Return the order in which a seed draws the images, as positions in this set."""
        # ranks by hash: no library's random numbers decide which images are used
        ranks = [seeds.derive(seed, "images", name) for name in self.names]
        return np.argsort(ranks)

    def tensors(self) -> tuple[Images, Labels]:
        """Return images, float32 in [0, 1], (image, channel, height, width), and their labels."""
        import torch

        pixels = torch.from_numpy(self.pixels).permute(0, 3, 1, 2)
        # a copy: of one channel, contiguous() keeps the order that it has on the disk
        images: Tensor = pixels.clone(memory_format=torch.contiguous_format)
        return images.float() / 255, torch.from_numpy(self.labels)


def digest_of(pixels: PixelStack, labels: LabelArray, classes: Sequence[str]) -> str:
    """Fingerprint pixels and labels with the names of the classes."""
    content = fingerprint.of_arrays({"pixels": pixels, "labels": labels})
    return fingerprint.fingerprint([content, list(classes)])


@dataclass(frozen=True)
class Prepared:
    """A dataset in the cache.

    ``splits`` maps a split's name to its range of images; splits follow one another.
    ``duplicates`` are groups of images, by name, whose pixels are the same. ``near_duplicates``
    says for pairs of ``splits`` which ``images`` show the same picture, though their pixels
    differ, and of how many it was ``looked_at``.
    """

    name: str
    folder: Path
    classes: tuple[str, ...]
    splits: dict[str, tuple[int, int]]
    split_digests: dict[str, str]
    names: tuple[str, ...]
    duplicates: tuple[tuple[str, ...], ...] = ()
    near_duplicates: tuple[dict[str, Any], ...] = ()

    def leaks(self) -> dict[tuple[str, str], list[tuple[str, str]]]:
        """Find images that occur in two splits: by pairs of splits, pairs of names."""
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
        order = np.lexsort((ranks, labels))  # class by class, so that each is divided evenly
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
