"""A small residual network.

This room knows its name and its bounds. It does not know its layers, which need torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.api import Model

if TYPE_CHECKING:
    from torch.nn import Module


class ResNetSmall(Model):
    """A residual network of three stages; 2,777,674 parameters for ten classes of RGB images.

    A 3 x 3 stem that does not pool, then two basic blocks each of 64, 128 and 256 channels, and a
    global average pool. Takes any number of channels, and images of 16 x 16 pixels or more.

    Source: He et al., "Deep Residual Learning for Image Recognition", 2016, sections 3.3 and 4.2.
    Deviations: three stages, not four; projection shortcuts (option B) where the shape changes.
    """

    def build(self, *, classes: int, image_shape: tuple[int, int, int]) -> Module:
        """Build it with Kaiming's initialisation of the convolutions.

        Raises:
            UsageError: where the images are smaller than 16 x 16.

        """
        from bench_plugins.models.networks import ResNetSmallNetwork, require_size

        require_size("resnet_small", image_shape)
        return ResNetSmallNetwork(classes, image_shape[0])
