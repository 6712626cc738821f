"""Small datasets, made from a seed."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from bench.api import Content, Dataset, Split


class Blobs(Dataset):
    """Three classes of noisy images, each with a bright corner of its own."""

    train: int = Field(96, ge=3)
    test: int = Field(30, ge=3)
    size: int = 8
    channels: int = 3
    noise: int = Field(60, ge=0, le=127)

    def read(self) -> Content:
        """Draw the images."""
        return Content(
            ["north", "east", "south"],
            {
                "train": self._split("train", self.train, 1),
                "test": self._split("test", self.test, 2),
            },
        )

    def _split(self, name: str, count: int, seed: int) -> Split:
        generator = np.random.default_rng(seed)
        labels = [i % 3 for i in range(count)]
        half = self.size // 2
        corners = [(0, 0), (0, half), (half, half)]
        images = []
        for label in labels:
            image = np.full((self.size, self.size, self.channels), 110, dtype=np.int64)
            top, left = corners[label]
            image[top : top + half, left : left + half] += 30
            image += generator.integers(-self.noise, self.noise + 1, image.shape)
            images.append(image.clip(0, 255).astype(np.uint8))
        return Split(images, labels, [f"{name}/{i}" for i in range(count)])


class Twins(Blobs):
    """The blobs, with a split to select on, and four images that stand twice, pixel for pixel.

    Each has a twin of its own class: labels go round 0, 1, 2.
    """

    valid: int = Field(18, ge=9)
    mirrored: bool = False

    def read(self) -> Content:
        """Draw the images, then plant the twins."""
        content = super().read()
        train, test = content.splits["train"], content.splits["test"]
        valid = self._split("valid", self.valid, 3)
        train.images[7] = train.images[4]
        test.images[0] = train.images[0]
        test.images[3] = train.images[0]
        if self.mirrored:
            test.images[6] = train.images[9][:, ::-1]
        valid.images[8] = test.images[5]
        return Content(content.classes, {"train": train, "valid": valid, "test": test})


class Ragged(Dataset):
    """Images of two shapes, which no dataset may have."""

    def read(self) -> Content:
        """Return images that do not fit together."""
        images = [np.zeros((8, 8, 3), np.uint8), np.zeros((9, 9, 3), np.uint8)]
        return Content(["a", "b"], {"train": Split(images, [0, 1], ["x", "y"])})
