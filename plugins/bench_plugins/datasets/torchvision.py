"""Datasets that torchvision downloads.

This room knows torchvision's names and memory layouts. It does not know how files are fetched,
checked or parsed: that is torchvision's.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from bench.api import Content, Dataset, Split
from bench.errors import DataError

_CHANNELS_FIRST = frozenset({"SVHN"})
_BY_SPLIT = frozenset({"SVHN"})
"""Those whose constructor takes ``split="train"`` where the others take ``train=True``."""

_DIGITS = tuple(str(digit) for digit in range(10))
"""The classes of those that do not name theirs: SVHN and USPS, both digits."""


class Torchvision(Dataset):
    """A dataset of torchvision, with the splits train and test.

    Grey images have one channel. torchvision checks what it downloads against known MD5 sums, and
    CIFAR and SVHN again at each reading, so there is no stamp: what is decoded once is kept.
    """

    wraps: ClassVar[str | None] = "torchvision"

    name: Literal["CIFAR10", "CIFAR100", "MNIST", "FashionMNIST", "KMNIST", "SVHN", "USPS"] = Field(
        description="torchvision's name of the dataset"
    )
    root: Path = Field(Path("data/torchvision"), description="where its files are, or go")
    download: bool = Field(default=True, description="fetch the files that are not there")

    def read(self) -> Content:
        """Read both splits; names are ``split/index in torchvision's order``.

        Raises:
            DataError: where files are missing, damaged, or cannot be downloaded.

        """
        train, classes = self._split("train")
        test, _ = self._split("test")
        return Content(classes=classes, splits={"train": train, "test": test})

    def _split(self, split: str) -> tuple[Split, Sequence[str]]:
        import numpy as np

        source = self._load(split)
        pixels = np.asarray(source.data)
        if pixels.ndim == 3:  # noqa: PLR2004 (image, height, width): grey
            pixels = pixels[..., None]
        elif self.name in _CHANNELS_FIRST:
            pixels = pixels.transpose(0, 2, 3, 1)
        labels = source.targets if hasattr(source, "targets") else source.labels
        return (
            Split(
                images=list(pixels),
                labels=[int(label) for label in labels],
                names=[f"{split}/{index}" for index in range(len(pixels))],
            ),
            [str(name) for name in getattr(source, "classes", _DIGITS)],
        )

    def _load(self, split: str) -> Any:
        """Construct torchvision's dataset; its messages go to stderr, as progress does."""
        from torchvision import datasets

        choice = {"split": split} if self.name in _BY_SPLIT else {"train": split == "train"}
        try:
            with contextlib.redirect_stdout(sys.stderr):
                return getattr(datasets, self.name)(self.root, **choice, download=self.download)
        except (OSError, RuntimeError, ValueError, AssertionError, EOFError) as error:
            words = " ".join(str(error).split()) or type(error).__name__
            what = f"cannot be read ({words})"
            if self.download:
                action = (
                    "check the connection and the free space and delete damaged files, or copy the "
                    "folder from a machine that has it"
                )
            else:
                action = "set 'download: true', or copy the files there"
            raise DataError.of(
                f"{self.name} in {self.root}", what, "torchvision's files of it", action
            ) from error
