"""Counts of a network: parameters, zeros, and multiplications for one image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from bench.records import JSON

if TYPE_CHECKING:
    from torch import Tensor, nn


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
    """A Conv or Linear layer: its weights, and how often each is multiplied for one image."""

    name: str
    shape: tuple[int, ...]
    weights: int
    zeros: int
    uses: int

    @property
    def skipped(self) -> int:
        """The multiplications by a zero."""
        return self.zeros * self.uses

    @property
    def plain(self) -> dict[str, JSON]:
        """Plain values, for a summary."""
        return {**asdict(self), "shape": list(self.shape), "macs": self.weights * self.uses}


def layers(network: nn.Module, image: Tensor) -> list[Layer]:
    """Count the zeros of every Conv and Linear layer, and the places that it is applied at.

    Args:
        network: in eval mode, on the CPU.
        image: one, of the shape that the network takes.

    """
    import torch
    from torch.nn.modules.conv import _ConvTransposeNd

    from bench.classifier.layers import layer_weights

    weights = layer_weights(network)
    uses = dict.fromkeys(weights, 0)

    def counting(name: str) -> Callable[..., None]:
        def count(layer: nn.Module, given: tuple[Tensor], made: Tensor) -> None:
            # a weight is used at each place of the output; transposed, at each of the input
            met = given[0] if isinstance(layer, _ConvTransposeNd) else made
            uses[name] += met.numel() // weights[name].shape[0]

        return count

    hooks = []
    for place, layer in network.named_modules():
        # layers that share their weights all use them; a parametrised weight is made anew
        same = [name for name, weight in weights.items() if weight is getattr(layer, "weight", 0)]
        own = f"{place}.weight".lstrip(".")
        if same or own in weights:
            hooks.append(layer.register_forward_hook(counting([*same, own][0])))
    try:
        with torch.inference_mode():
            network(image)
    finally:
        for hook in hooks:
            hook.remove()
    found = []
    for name, weight in weights.items():
        effective = _effective(network, name, weight)
        zeros = effective.numel() - _nonzero(effective)
        place = name.rpartition(".")[0]
        found.append(Layer(place, tuple(weight.shape), weight.numel(), zeros, uses[name]))
    return found


def multiplications(network: nn.Module, images: Tensor) -> int:
    """Count the multiply-accumulates of one pass, on the CPU, dense: zeros are multiplied too.

    Convolutions and matrix products count; sums, activations, normalisation and pooling do not.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with _decomposed(), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(images)
    return int(counter.get_total_flops()) // 2


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
