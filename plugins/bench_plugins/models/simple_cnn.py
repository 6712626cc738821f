"""A plain convolutional network.

This room knows its name and its bounds. It does not know its layers, which need torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.api import Model

if TYPE_CHECKING:
    from torch.nn import Module


class SimpleCNN(Model):
    """Three convolutions and two linear layers; 620,810 parameters for ten classes of RGB images.

    Blocks of 32, 64 and 128 channels, pooled to 4 x 4, dropout before both linear layers. Takes any
    number of channels, and images of 16 x 16 pixels or more.
    """

    def build(self, *, classes: int, image_shape: tuple[int, int, int]) -> Module:
        """Build it with torch's default initialisation.

        Raises:
            UsageError: where the images are smaller than 16 x 16.

        """
        from bench_plugins.models.networks import SimpleCNNNetwork, require_size

        require_size("simple_cnn", image_shape)
        return SimpleCNNNetwork(classes, image_shape[0])
