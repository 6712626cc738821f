"""Unstructured pruning: single weights become zero, and every tensor keeps its shape.

Masks are folded into the weights at once: a module that still carries one of
``torch.nn.utils.prune`` cannot be copied after a backward pass, and its weights go by other names.
The zeros are held by the training that follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from bench.api import Reduction, Zeros
from bench.records import JSON
from bench.tensors import Images, Labels
from bench_plugins.compressors.layers import prunable, weight_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Generator, Tensor
    from torch.nn import Module


class _Masking(Reduction):
    """What sets weights of Conv and Linear layers to zero."""

    holds_zeros: ClassVar[bool] = True
    earlier_zeros: ClassVar[Zeros] = "more"

    layers: tuple[str, ...] = Field(
        (), description="names of the Conv and Linear layers to prune; all, if none is named"
    )


class _Pruning(_Masking):
    """What sets a share of the weights to zero."""

    sparsity: float = Field(0.5, ge=0, lt=1, description="share of the weights that become zero")
    scope: Literal["global", "layer"] = Field(
        "global", description="among which weights: of all layers, or the same share of each"
    )

    @property
    def sparsity_target(self) -> float | None:
        """The share of zeros, where all layers are pruned."""
        return None if self.layers else self.sparsity


class Magnitude(_Pruning):
    """Set the weights that are smallest in absolute value to zero.

    ``global`` compares the weights of all layers; ``layer`` prunes the same share of each, rounded
    so that the whole has the share that is asked for.

    Source: Han et al., "Learning Both Weights and Connections for Efficient Neural Networks",
        2015, section 3; torch.nn.utils.prune, global_unstructured and l1_unstructured.
    Deviations: the share is given, where Han et al. choose a threshold for each layer by its
        standard deviation; pruned once, not in rounds, unless a variant has several such steps.
    """

    wraps: ClassVar[str | None] = "torch"

    def reduce(
        self, network: Module, images: Images, labels: Labels, *, generator: Generator
    ) -> tuple[Module, JSON]:
        """Prune, and fold the masks into the weights."""
        from torch.nn.utils import prune

        chosen = prunable(network, self.layers)
        sizes = {name: weight_of(layer).numel() for name, layer in chosen.items()}
        if self.scope == "global":
            prune.global_unstructured(
                [(layer, "weight") for layer in chosen.values()],
                prune.L1Unstructured,
                amount=round(self.sparsity * sum(sizes.values())),
            )
        else:
            for name, amount in _shares(sizes, self.sparsity).items():
                prune.l1_unstructured(chosen[name], "weight", amount=amount)  # type: ignore[no-untyped-call]
        for layer in chosen.values():
            prune.remove(layer, "weight")  # type: ignore[no-untyped-call]
        return network, None


class RandomPruning(_Pruning):
    """Set as many weights of each layer to zero as ``magnitude`` does, but any: the baseline.

    Source: Blalock et al., "What Is the State of Neural Network Pruning?", 2020, section 7 (random
        pruning as the baseline, with the layer-wise sparsity of global magnitude pruning).
    Deviations: none known.
    """

    wraps: ClassVar[str | None] = "torch"
    randomised: ClassVar[bool] = True

    def reduce(
        self, network: Module, images: Images, labels: Labels, *, generator: Generator
    ) -> tuple[Module, JSON]:
        """Count what magnitude would leave of each layer, and draw as many of those there are."""
        import copy

        import torch

        twin = Magnitude(sparsity=self.sparsity, layers=self.layers, scope=self.scope)
        pruned, _ = twin.reduce(copy.deepcopy(network), images, labels, generator=generator)
        counts = _left(prunable(pruned, self.layers))
        for name, layer in prunable(network, self.layers).items():
            weight = weight_of(layer)
            there = weight.detach().flatten().nonzero().squeeze(1)
            order = torch.randperm(len(there), generator=generator)
            mask = torch.zeros(weight.numel())
            mask[there[order[: counts[name]]]] = 1.0
            _apply(weight, mask.view(weight.shape))
        return network, None


class NM(_Masking):
    """Of each ``m`` weights in a row, keep the ``n`` that are largest in absolute value.

    A row runs along the inputs: of a Linear layer its inputs, of a convolution the input channels,
    at each place of its kernel. Layers whose inputs are no multiple of ``m`` (of a grouped
    convolution: those of a group) are left alone, so that the share of zeros depends on the
    network. Nothing here is quicker for it: GPUs with sparse tensor cores are, for 2:4.

    Source: Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021, sections 3 and 4.
    Deviations: channels are not permuted before.
    """

    n: int = Field(2, ge=1, description="how many weights are kept")
    m: int = Field(4, ge=2, description="of how many in a row")

    @model_validator(mode="after")
    def _fewer_are_kept(self) -> NM:
        if self.n >= self.m:
            raise ValueError(f"got n = {self.n} of m = {self.m}, expected fewer")
        return self

    def reduce(
        self, network: Module, images: Images, labels: Labels, *, generator: Generator
    ) -> tuple[Module, JSON]:
        """Prune each layer that has whole rows."""
        import torch

        for layer in prunable(network, self.layers).values():
            weight = weight_of(layer)
            axis = 0 if getattr(layer, "transposed", False) else 1
            inputs = weight.shape[axis]
            # a transposed convolution has the inputs of all its groups in one axis
            whole = inputs // getattr(layer, "groups", 1) if axis == 0 else inputs
            if whole % self.m:
                continue
            rows = weight.detach().movedim(axis, -1)
            blocks = rows.reshape(-1, self.m).abs()
            kept = blocks.sort(dim=1, descending=True, stable=True).indices[:, : self.n]
            mask = torch.zeros_like(blocks).scatter_(1, kept, 1.0)
            _apply(weight, mask.view(rows.shape).movedim(-1, axis))
        return network, None


def _apply(weight: Tensor, mask: Tensor) -> None:
    """Set the weights to zero where a mask is."""
    weight.detach().mul_(mask)


def _shares(sizes: Mapping[str, int], share: float) -> dict[str, int]:
    """Divide a share of a whole among its parts: each gets its own, rounded up or down.

    >>> _shares({"a": 3, "b": 3, "c": 4}, 0.5)
    {'a': 2, 'b': 1, 'c': 2}
    """
    exact = {name: share * size for name, size in sizes.items()}
    found = {name: int(amount) for name, amount in exact.items()}
    left = round(share * sum(sizes.values())) - sum(found.values())
    for name in sorted(exact, key=lambda name: found[name] - exact[name])[:left]:
        found[name] += 1
    return found


def _left(layers: Mapping[str, Module]) -> dict[str, int]:
    return {name: int(weight_of(layer).count_nonzero()) for name, layer in layers.items()}
