"""The Conv and Linear layers of a network, their weights, and their mode."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd


def in_eval_mode(network: nn.Module) -> nn.Module:
    """Return a network in eval mode; its own ``train`` or ``eval`` may return nothing."""
    network.eval()
    return network


def layer_weights(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights of all Conv and Linear layers by name; one that layers share, once."""
    layers = {
        f"{name}.weight".lstrip("."): layer.weight
        for name, layer in network.named_modules()
        if isinstance(layer, _ConvNd | nn.Linear)
    }
    first: dict[int, str] = {}
    for name, weight in layers.items():
        first.setdefault(id(weight), name)
    return {name: layers[name] for name in first.values()}
