"""Small models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.api import Model

if TYPE_CHECKING:
    from torch import nn


class Linear(Model):
    """One linear layer on the pixels."""

    def build(self, *, classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
        """Build it."""
        from torch import nn

        channels, height, width = image_shape
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, classes))


class Quantised(Model):
    """A small network behind a layer that rounds pixels: its gradients are zero, it is not robust.

    With ``rounds: false`` it is the same network without that layer.
    """

    rounds: bool = True

    def build(self, *, classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
        """Build it."""
        import torch
        from torch import nn

        class Rounding(nn.Module):
            def forward(self, images: torch.Tensor) -> torch.Tensor:
                return torch.round(4 * images) / 4

        return nn.Sequential(
            Rounding() if self.rounds else nn.Identity(),
            nn.Conv2d(image_shape[0], 8, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32, classes),
        )


class Gaudy(Model):
    """A small network with everything that an attack can disturb: batch norm and dropout."""

    def build(self, *, classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
        """Build it."""
        from torch import nn

        return nn.Sequential(
            nn.Conv2d(image_shape[0], 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(32, classes),
        )


class Viewed(Model):
    """A small network that views its maps as vectors, as most published ones do."""

    def build(self, *, classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
        """Build it."""
        from torch import Tensor, nn

        class Network(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                channels, height, width = image_shape
                self.first = nn.Conv2d(channels, 4, 3, padding=1)
                self.last = nn.Linear(4 * height * width, classes)

            def forward(self, images: Tensor) -> Tensor:
                maps = self.first(images).relu()
                return self.last(maps.view(maps.size(0), -1))

        return Network()
