"""Compressors: what makes a network smaller, and what trains on after it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from bench.api.steps import Gradients, Tuning, VariantStep
from bench.records import JSON
from bench.tensors import Images, Labels

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module


Zeros: TypeAlias = Literal["kept", "more", "unknown"]
"""What a reduction makes of the zeros that earlier ones made: it keeps their share, or adds others,
or changes how many weights there are."""


class Compressor(VariantStep):
    """What makes a variant of a model cheaper: a reduction, or the fine-tuning after one."""


class Reduction(Compressor):
    """A change of the network: fewer, sparser or coarser weights.

    The weights that a reduction leaves are stored, and beside them its *form*: what else it takes
    to build a network that they load into. So the network can be built again elsewhere, to
    bit-equal logits.

    Class variables:
        randomised: whether it draws random numbers.
        holds_zeros: whether the zeros that it makes among the weights of Conv and Linear layers are
            to stay: training that follows leaves them at zero.
        gradients: ``straight_through`` where :meth:`deploy` answers instead of the network, and
            attacks, explainers and training are given the network: its differentiable twin.
        earlier_zeros: what becomes of the share of zeros that earlier reductions promised, among
            the weights that layers compute with.
        devices: types of device that what is judged runs on.
    """

    randomised: ClassVar[bool] = False
    holds_zeros: ClassVar[bool] = False
    earlier_zeros: ClassVar[Zeros] = "kept"
    gradients: ClassVar[Gradients] = "exact"
    devices: ClassVar[tuple[str, ...]] = ("cpu", "cuda")

    @property
    def sparsity_target(self) -> float | None:
        """The share of zeros among all Conv and Linear weights that it promises, if it does."""
        return None

    @property
    def images_wanted(self) -> int:
        """How many training images :meth:`reduce` looks at."""
        return 0

    @abstractmethod
    def reduce(
        self, network: Module, images: Images, labels: Labels, *, generator: Generator
    ) -> tuple[Module, JSON]:
        """Reduce a network.

        Args:
            network: from *normalised* images to logits, in eval mode; may be changed in place.
            images: :attr:`images_wanted` normalised training images; at least one, for its shape.
            labels: their classes.
            generator: the only source of randomness, on the CPU.

        Returns:
            The reduced network, and its form: plain values that :meth:`rebuild` needs.

        """

    def rebuild(self, network: Module, form: JSON, *, image_shape: tuple[int, int, int]) -> Module:
        """Return a network with the modules, and the shapes of weights, of a reduced one.

        Args:
            network: as :meth:`reduce` was given it, with any weights; may be changed in place.
            form: what :meth:`reduce` returned.
            image_shape: (channel, height, width).

        """
        return network

    def deploy(self, network: Module) -> Module:
        """Return what answers in place of the network; may change it."""
        return network

    def packed(self, network: Module) -> Mapping[str, Tensor]:
        """Return what would be shipped: tensors by name, in the types that they are stored in."""
        return dict(network.state_dict())


class FineTuning(Compressor, Tuning):
    """Training that goes on from the weights that a variant has so far."""
