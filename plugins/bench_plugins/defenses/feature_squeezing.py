"""A detector that looks at an image twice, the second time with fewer details.

This room knows how far two answers lie apart; what squeezes images is in
:mod:`bench_plugins.defenses.layers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from bench.api import Detector
from bench.tensors import Images, PerImage

if TYPE_CHECKING:
    from torch.nn import Module


class FeatureSqueezing(Detector):
    """How much the answer changes when the image loses details.

    The score is the largest of the l1 distances, each from 0 to 2, between the softmax of the image
    and that of a squeezed one: with fewer bits a value, or smoothed by a median.

    Source: Xu, Evans and Qi, "Feature Squeezing: Detecting Adversarial Examples in Deep Neural
        Networks", 2018, the joint detection by the largest l1 distance; 5 bits and the median of
        2x2 pixels are theirs for colour images.
    Deviations: their third squeezer, non-local means, is left out: it denoises in a colour space of
        its own, and no library that bench needs has it. No threshold is chosen: scores are ranked.
    """

    bits: int = Field(5, ge=1, le=8, description="of each value of a pixel")
    median: int = Field(2, ge=2, le=3, description="side of the median's window, in pixels")

    def score(self, classifier: Module, images: Images) -> PerImage:
        """Return the largest distance, from 0 to 2."""
        import torch

        from bench_plugins.defenses import layers

        squeezed = (
            layers.quantise(images, bits=self.bits),
            layers.median(images, size=self.median),
        )
        seen = classifier(images).softmax(1)
        distances = [(classifier(each).softmax(1) - seen).abs().sum(1) for each in squeezed]
        return torch.stack(distances).amax(0)
