"""Handwritten digits that come with scikit-learn: real images, and nothing to download.

This room knows how to enlarge and split them. It does not know what they are used for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from bench.api import Content, Dataset, Split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LARGEST = 16
"""The scanned values run from 0 to 16."""

_SHARES = {"test": 0.2, "valid": 0.1}
"""What part of each class goes where; the rest is for training."""


class Digits(Dataset):
    """1,797 handwritten digits of 8 x 8 values, enlarged to RGB images.

    Within each class, images are ordered by the hash of their values, and the order is cut into
    20 % test, 10 % valid and the rest train. That depends on no library's random numbers. Writers
    are not kept apart: the source does not say who wrote what.
    """

    wraps: ClassVar[str | None] = "scikit-learn"

    size: int = Field(32, ge=8, le=1024, description="height and width after enlarging, in pixels")

    def read(self) -> Content:
        """Read, enlarge and split the digits; names are ``split/index in scikit-learn's order``."""
        from sklearn.datasets import load_digits

        source = load_digits()
        scans: NDArray[np.float64] = source.images
        labels = [int(label) for label in source.target]
        images = [_enlarge(scan, self.size) for scan in scans]
        return Content(
            classes=[str(name) for name in source.target_names],
            splits={
                split: Split(
                    images=[images[index] for index in members],
                    labels=[labels[index] for index in members],
                    names=[f"{split}/{index}" for index in members],
                )
                for split, members in _members(scans, labels).items()
            },
        )


def _members(scans: NDArray[np.float64], labels: Sequence[int]) -> dict[str, list[int]]:
    """Return the indices of each split, in the source's order."""
    members: dict[str, list[int]] = {"train": [], "valid": [], "test": []}
    for label in sorted(set(labels)):
        indices = [index for index, other in enumerate(labels) if other == label]
        indices.sort(
            key=lambda index: hashlib.sha256(scans[index].astype("uint8").tobytes()).digest()
        )
        start = 0
        for split, share in _SHARES.items():
            stop = start + round(share * len(indices))
            members[split] += indices[start:stop]
            start = stop
        members["train"] += indices[start:]
    return {split: sorted(indices) for split, indices in members.items()}


def _enlarge(scan: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """Enlarge one scan, values 0 to 16, to bytes of shape (size, size, 3)."""
    import numpy as np
    from PIL import Image

    image = Image.fromarray((scan * (255 / _LARGEST)).astype(np.float32))
    grey = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    return np.repeat(grey.round().astype(np.uint8)[:, :, None], 3, axis=2)
