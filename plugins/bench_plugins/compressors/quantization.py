"""Quantisation to int8: what runs on a CPU in bytes, and the float twin that has gradients.

This room knows what is asked for. How a twin is built, it leaves to its neighbour, which needs
torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from bench.api import Gradients, Reduction, Zeros
from bench.records import JSON
from bench.tensors import Images, Labels
from bench_plugins.compressors.tuning import TrainingOn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Generator, Tensor
    from torch.nn import Module

_WHERE = "compressor int8"


class Int8(Reduction):
    """Compute with bytes: weights and activations are rounded to multiples of scales.

    Weights have a scale for each output channel, by the largest of them; activations one for each
    layer, by the histogram of what training images make of them, clipped where that loses least.
    Batch normalisation is folded into the weights. The verdict is the int8 network's. Attacks and
    explainers are given its twin: floats, rounded at the same places, whose gradients pass straight
    through. What torch cannot compute in bytes stays in floats.

    Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference", 2018, sections 2 and 3; scales for each channel:
        Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference: A
        whitepaper", 2018, section 3.1. Computed by torch.ao.quantization, FX graph mode.
    Deviations: activations have 7 bits, so that processors without VNNI, which add products of
        bytes in 16 bits, give the same answers. Another engine than x86, as on ARM, rounds ties
        otherwise.
    """

    wraps: ClassVar[str | None] = "torch"
    gradients: ClassVar[Gradients] = "straight_through"
    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    earlier_zeros: ClassVar[Zeros] = "more"  # small weights are rounded to zero

    images: int = Field(
        256, ge=1, description="training images by which activations are calibrated"
    )

    @property
    def images_wanted(self) -> int:
        """The images of the calibration."""
        return self.images

    def reduce(
        self, network: Module, images: Images, labels: Labels, *, generator: Generator
    ) -> tuple[Module, JSON]:
        """Return the twin, its activations calibrated."""
        from bench_plugins.compressors import twins

        twin = twins.twin_of(network, images[:1], _WHERE)
        twins.calibrate(twin, images)
        return twin, None

    def rebuild(self, network: Module, form: JSON, *, image_shape: tuple[int, int, int]) -> Module:
        """Return the twin."""
        import torch

        from bench_plugins.compressors import twins

        return twins.twin_of(network, torch.zeros(1, *image_shape), _WHERE)

    def deploy(self, network: Module) -> Module:
        """Return the int8 network; the twin stays as it is."""
        from bench_plugins.compressors import twins

        return twins.deployed(network, _WHERE)

    def packed(self, network: Module) -> Mapping[str, Tensor]:
        """Return bytes, scales, zero points of activations, and float biases."""
        from bench_plugins.compressors import twins

        return twins.packed(network)


class QuantizationAware(Int8, TrainingOn):
    """Compute with bytes, as ``int8`` does, and train on through the rounding.

    Gradients pass straight through it to the weights, whose scales follow them; what is trained,
    judged and shipped is otherwise as with ``int8``.

    Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference", 2018, section 3.
    Deviations: those of ``int8``. Batch normalisation is folded before training, not in each of its
        steps. Scales of activations are calibrated once, not averaged as training goes.
    """
