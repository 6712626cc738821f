"""The layers whose weights compressors prune. Nothing here knows how weights are chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.errors import UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch.nn import Module, Parameter


def prunable(network: Module, names: Sequence[str] = ()) -> dict[str, Module]:
    """Return the Conv and Linear layers of a network by name; one whose weights are shared, once.

    Args:
        network: any.
        names: only these; all if there are none.

    Raises:
        UsageError: for a name that is no such layer, for a network without any, and for layers
            that compute with other weights than they keep: zeros would not stay zero there.

    """
    from torch import nn
    from torch.nn.modules.conv import _ConvNd

    found: dict[str, Module] = {}
    known: set[int] = set()
    for name, layer in network.named_modules():
        if isinstance(layer, _ConvNd | nn.Linear) and id(layer.weight) not in known:
            _refuse_transformed(name, layer)
            known.add(id(layer.weight))
            found[name] = layer
    if not found:
        raise UsageError.of("layers", "the network has no Conv or Linear layer", "one to prune")
    for name in names:
        if name not in found:
            raise UsageError.of(
                f"layers: '{name}'",
                "is no Conv or Linear layer of the network",
                "one of its own",
                nearest(name, found),
            )
    return {name: found[name] for name in names} if names else found


def _refuse_transformed(name: str, layer: Module) -> None:
    from torch.nn.utils import parametrize

    standardised = any(kind.__name__.endswith(_STANDARDISED) for kind in type(layer).__mro__)
    # the older weight_norm and spectral_norm, and masks of torch's prune, set it before each pass
    is_computed = "weight" not in dict(layer.named_parameters(recurse=False))
    if standardised or is_computed or parametrize.is_parametrized(layer, "weight"):
        raise UsageError.of(
            f"layer '{name}'",
            f"{type(layer).__name__} computes with weights that it makes of those it keeps",
            "layers that compute with the weights they keep: zeros would not stay zero",
            "leave this step out for this model",
        )


_STANDARDISED = ("StdConv2d", "StdConv2dSame")
"""timm's layers that subtract the mean of their weights before they convolve."""


def weight_of(layer: Module) -> Parameter:
    """Return a layer's weights."""
    return layer.get_parameter("weight")
