"""Unstructured pruning: single weights become zero, and every tensor keeps its shape.

Masks are made by ``torch.nn.utils.prune``, and folded into the weights at once: a module that still
carries them cannot be copied after a backward pass, and its weights go by other names. The zeros
are held by the training that follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from bench.api import Reduction
from bench.records import JSON
from bench.tensors import Images, Labels
from bench_plugins.compressors.layers import prunable, weight_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Generator
    from torch.nn import Module


class _Pruning(Reduction):
    """What sets a share of the weights of Conv and Linear layers to zero."""

    wraps: ClassVar[str | None] = "torch"
    holds_zeros: ClassVar[bool] = True

    sparsity: float = Field(0.5, ge=0, lt=1, description="share of the weights that become zero")
    layers: tuple[str, ...] = Field(
        (), description="names of the Conv and Linear layers to prune; all, if none is named"
    )

    @property
    def sparsity_target(self) -> float | None:
        """The share of zeros, where all layers are pruned."""
        return None if self.layers else self.sparsity


class Magnitude(_Pruning):
    """Set the weights that are smallest in absolute value to zero.

    ``global`` compares the weights of all layers; ``layer`` prunes the same share of each.

    Source: Han et al., "Learning Both Weights and Connections for Efficient Neural Networks",
        2015, section 3; torch.nn.utils.prune, global_unstructured and l1_unstructured.
    """

    scope: str = Field(
        "global", pattern="^(global|layer)$", description="among which weights: global or layer"
    )

    def reduce(
        self, network: Module, images: Images, labels: Labels, *, generator: Generator
    ) -> tuple[Module, JSON]:
        """Prune, and fold the masks into the weights."""
        from torch.nn.utils import prune

        chosen = prunable(network, self.layers)
        pairs = [(layer, "weight") for layer in chosen.values()]
        total = sum(weight_of(layer).numel() for layer in chosen.values())
        if self.scope == "global":
            prune.global_unstructured(
                pairs, prune.L1Unstructured, amount=round(self.sparsity * total)
            )
        else:
            for layer, name in pairs:
                prune.l1_unstructured(layer, name, amount=self.sparsity)  # type: ignore[no-untyped-call]
        for layer, name in pairs:
            prune.remove(layer, name)  # type: ignore[no-untyped-call]
        return network, None


class RandomPruning(_Pruning):
    """Set as many weights of each layer to zero as ``magnitude`` does, but any: the baseline.

    Source: Blalock et al., "What Is the State of Neural Network Pruning?", 2020, section 7 (random
        pruning as the baseline, with the layer-wise sparsity of global magnitude pruning).
    """

    randomised: ClassVar[bool] = True

    scope: str = Field(
        "global", pattern="^(global|layer)$", description="of the magnitudes: global or layer"
    )

    def reduce(
        self, network: Module, images: Images, labels: Labels, *, generator: Generator
    ) -> tuple[Module, JSON]:
        """Count what magnitude would prune of each layer, and draw as many weights."""
        import copy

        import torch

        twin = Magnitude(sparsity=self.sparsity, layers=self.layers, scope=self.scope)
        pruned, _ = twin.reduce(copy.deepcopy(network), images, labels, generator=generator)
        counts = _zeros(prunable(pruned, self.layers))
        for name, layer in prunable(network, self.layers).items():
            weight = weight_of(layer).detach().view(-1)
            drawn = torch.randperm(weight.numel(), generator=generator)[: counts[name]]
            weight[drawn] = 0.0
        return network, None


def _zeros(layers: Mapping[str, Module]) -> dict[str, int]:
    return {name: int((weight_of(layer) == 0).sum()) for name, layer in layers.items()}
