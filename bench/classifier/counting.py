"""Counts of a network: parameters, zeros, and multiplications for one image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from bench.records import JSON

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench.classifier.work import Work


def _nonzero(tensor: Tensor) -> int:
    return int(tensor.count_nonzero())


def nonzero_parameters(network: nn.Module) -> int:
    """Count the parameters that are not zero, as the network computes with them: rounded, say."""
    from bench.classifier.layers import layer_weights

    kept = {id(w): _effective(network, name, w) for name, w in layer_weights(network).items()}
    return sum(_nonzero(kept.get(id(each), each)) for each in network.parameters())


def sparsity(network: nn.Module) -> float | None:
    """Return the share of zeros, in [0, 1], among the weights of all Conv and Linear layers.

    The weights are those that the layers compute with, masks applied; biases do not count, and a
    weight that layers share counts once. None for a network without such layers.
    """
    from bench.classifier.layers import layer_weights

    weights = [_effective(network, name, w) for name, w in layer_weights(network).items()]
    total = sum(weight.numel() for weight in weights)
    if not total:
        return None
    return 1 - sum(_nonzero(weight) for weight in weights) / total


def _effective(network: nn.Module, name: str, weight: Tensor) -> Tensor:
    """Return the weights that a layer computes with.

    They are those that it stores, unless the layer or a module within it has a method
    ``effective_weights``, which makes of the stored weights those that are computed with.
    """
    for module in network.get_submodule(name.rpartition(".")[0]).modules():
        declared = getattr(module, "effective_weights", None)
        if declared is not None:
            effective: Tensor = declared(weight)
            return effective
    return weight


@dataclass(frozen=True)
class Layer:
    """A Conv or Linear layer: its weights, and how often each is multiplied for one image.

    ``skipped`` are the multiplications by a zero of what is really multiplied: that may be other
    than what is stored.
    """

    name: str
    shape: tuple[int, ...]
    weights: int
    zeros: int
    uses: int
    skipped: int

    @property
    def plain(self) -> dict[str, JSON]:
        """Plain values, for a summary."""
        plain = {**asdict(self), "shape": list(self.shape), "macs": self.weights * self.uses}
        del plain["skipped"]
        return plain


def layers(network: nn.Module, image: Tensor) -> list[Layer]:
    """Count the zeros of every Conv and Linear layer, and the places that it is applied at.

    Args:
        network: in eval mode, on the CPU.
        image: one, of the shape that the network takes.

    """
    from bench.classifier.layers import layer_weights

    work = _work(network, image)
    found = []
    for name, weight in layer_weights(network).items():
        effective = _effective(network, name, weight)
        zeros = effective.numel() - _nonzero(effective)
        found.append(
            Layer(
                name=name.rpartition(".")[0],
                shape=tuple(weight.shape),
                weights=weight.numel(),
                zeros=zeros,
                uses=work.by[name] // max(1, weight.numel()),
                skipped=work.skipped[name],
            )
        )
    return found


def multiplications(network: nn.Module, images: Tensor) -> int:
    """Count the multiply-accumulates of one pass, on the CPU, dense: zeros are multiplied too.

    Convolutions and matrix products count; sums, activations, normalisation and pooling do not.
    """
    return _work(network, images).macs


def _work(network: nn.Module, images: Tensor) -> Work:
    """Ask a network once, and watch what is multiplied; it may take gradients of its own."""
    import torch

    from bench.classifier.work import Work

    work = Work(_sources(network))
    with _decomposed(), torch.no_grad(), work:
        network(images)
    return work


def _sources(network: nn.Module) -> dict[str, list[Tensor]]:
    """Return what each layer's weights are made of: themselves, or what parametrisations keep."""
    from bench.classifier.layers import layer_weights

    found = {}
    for name, weight in layer_weights(network).items():
        layer = network.get_submodule(name.rpartition(".")[0])
        kept = [each for key, each in layer.named_parameters() if not key.endswith("bias")]
        found[name] = [weight, *kept]
    return found


@contextmanager
def _decomposed() -> Iterator[None]:
    """Have attention computed step by step: not every torch's counter sees its fused kernels."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def effective_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return the weights that all Conv and Linear layers compute with, by name."""
    from bench.classifier.layers import layer_weights

    return {name: _effective(network, name, w) for name, w in layer_weights(network).items()}
