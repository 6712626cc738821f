"""Shields that change the image before the classifier sees it.

This room knows the transformations' parameters and how attacks pass them. What they do to pixels is
in :mod:`bench_plugins.defenses.layers`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator

from bench.api import Gradients, Shield
from bench.tensors import Images

if TYPE_CHECKING:
    from torch.nn import Module

_GREY_OR_COLOUR = (1, 3)


class _Transformation(Shield):
    """What the shields of this room share."""

    @abstractmethod
    def transformation(self) -> Callable[[Images], Images]:
        """Return what is done to images."""

    def defend(self, classifier: Module, members: Sequence[Module], *, seed: int) -> Module:
        """Return the classifier behind the transformation; ``seed`` decides nothing."""
        from bench_plugins.defenses.layers import Transformed

        return Transformed(classifier, self.transformation())

    def surrogate(self, classifier: Module, members: Sequence[Module], *, seed: int) -> Module:
        """Return the same answers; where there is no gradient, with the identity's."""
        from bench_plugins.defenses.layers import Transformed

        passed = self.gradients == "straight_through"
        return Transformed(classifier, self.transformation(), straight_through=passed)


class Jpeg(_Transformation):
    """Compress each image as JPEG and decode it again.

    What is judged sees the real codec's pixels. Attacks see them too, with a backward pass that is
    the identity (BPDA): the codec rounds, so that it has no gradient of its own.

    Source: Dziugaite, Ghahramani and Roy, "A Study of the Effect of JPG Compression on Adversarial
        Images", 2016; quality 75 as Guo, Rana, Cisse and van der Maaten, "Countering Adversarial
        Images Using Input Transformations", 2018. Backward pass: Athalye, Carlini and Wagner,
        "Obfuscated Gradients Give a False Sense of Security", 2018, section 4.1.
    Deviations: none; Pillow's codec, which subsamples colour 4:2:0.
    """

    gradients: ClassVar[Gradients] = "straight_through"

    quality: int = Field(75, ge=1, le=95, description="of the JPEG, as Pillow counts; 95 is best")

    def transformation(self) -> Callable[[Images], Images]:
        """Return the codec."""
        from bench_plugins.defenses import layers

        return partial(layers.compress, quality=self.quality)

    def unsuited(self, *, classes: int, image_shape: tuple[int, int, int]) -> str | None:
        """Say so where images have neither one channel nor three."""
        channels = image_shape[0]
        if channels in _GREY_OR_COLOUR:
            return None
        return f"JPEG has 1 channel or 3, the images have {channels}"


class GaussianSmoothing(_Transformation):
    """Blur each image with a Gaussian.

    Linear, so attacks see its own gradient.

    Source: Xu, Evans and Qi, "Feature Squeezing: Detecting Adversarial Examples in Deep Neural
        Networks", 2018, the section on local smoothing, which names the Gaussian kernel.
    Deviations: they go on with the median instead. The border is reflected about its outermost
        pixels.
    """

    sigma: float = Field(1.0, gt=0, le=100, description="width of the Gaussian, in pixels' sides")
    kernel_size: int = Field(5, ge=3, le=999, description="side of the kernel, odd, in pixels")

    @field_validator("kernel_size")
    @classmethod
    def _is_odd(cls, kernel_size: int) -> int:
        if kernel_size % 2 == 0:
            raise ValueError(f"got {kernel_size}, expected an odd number")
        return kernel_size

    def transformation(self) -> Callable[[Images], Images]:
        """Return the blur."""
        from bench_plugins.defenses import layers

        return partial(layers.smooth, sigma=self.sigma, kernel_size=self.kernel_size)

    def unsuited(self, *, classes: int, image_shape: tuple[int, int, int]) -> str | None:
        """Say so where the kernel reaches beyond what can be reflected."""
        _, height, width = image_shape
        if self.kernel_size // 2 < min(height, width):
            return None
        return f"a kernel of {self.kernel_size} pixels is too large for images of {height}x{width}"


class BitDepth(_Transformation):
    """Round each value of a pixel to a few levels.

    Rounding has a gradient of zero almost everywhere, so that attacks see the identity's (BPDA).

    Source: Xu, Evans and Qi, "Feature Squeezing: Detecting Adversarial Examples in Deep Neural
        Networks", 2018, the section on colour depth; 3 bits as Guo, Rana, Cisse and van der
        Maaten, "Countering Adversarial Images Using Input Transformations", 2018. Backward pass:
        Athalye, Carlini and Wagner, "Obfuscated Gradients Give a False Sense of Security", 2018,
        section 4.1.
    Deviations: none.
    """

    gradients: ClassVar[Gradients] = "straight_through"

    bits: int = Field(
        3, ge=1, le=8, description="of each value: 2 ** bits levels, 0 and 1 included"
    )

    def transformation(self) -> Callable[[Images], Images]:
        """Return the rounding."""
        from bench_plugins.defenses import layers

        return partial(layers.quantise, bits=self.bits)
