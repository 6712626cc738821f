"""How a network's values lie in memory: channels last, or contiguous where it cannot compute so.

A network that views its maps as vectors fails on maps that lie channels last. So it is tried,
forward and backward, and one that fails is laid out contiguous, its images included. This room does
not know what a network is placed for.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

from bench import seeds
from bench.classifier.classifier import Classifier
from bench.errors import ModelError, Problem, explained, named_shortly
from bench.tensors import Images

Layout: TypeAlias = Literal["channels_last", "contiguous"]

_FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
_IMAGES = 2
"""How many a network is tried on: a single one may lie in both layouts at once."""

_AXES = 4
"""Of images: (image, channel, height, width)."""


def lay_out(module: nn.Module, image_shape: tuple[int, int, int], wanted: Layout) -> None:
    """Lay a network or a classifier out as wanted, in place; contiguous where it fails otherwise.

    What stands within shields was laid out before, each network by itself, and stays so.

    Args:
        module: on its device; a classifier's network is tried without its normalisation.
        image_shape: (channel, height, width).
        wanted: the layout of the run.

    """
    network = module.network if isinstance(module, Classifier) else module
    is_shielded = isinstance(module, Classifier) and module.shield is not None
    before = [part for part in module.modules() if _is_contiguous(part)]
    module.to(memory_format=_FORMATS[wanted])
    for part in before:
        _make_contiguous(part)
    if before or is_shielded:
        return
    if wanted == "contiguous" or not _computes(network, image_shape, wanted):
        _make_contiguous(network)
        if wanted == "channels_last" and not _computes(network, image_shape, "contiguous"):
            _undo(network)  # it fails either way, and its error is reported where it is used


def of(module: nn.Module) -> Layout:
    """Return how a network, or any that a classifier asks, was laid out."""
    is_contiguous = any(_is_contiguous(part) for part in module.modules())
    return "contiguous" if is_contiguous else "channels_last"


def plain(images: Images) -> Images:
    """Return images in the one order of (image, channel, height, width), copied if need be.

    Of one channel, ``contiguous`` changes nothing: torch takes both layouts for contiguous.
    """
    _, channels, height, width = images.shape
    if images.stride() == (channels * height * width, height * width, width, 1):
        return images
    return images.clone(memory_format=torch.contiguous_format)


def _plain_images(_network: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        plain(one) if isinstance(one, torch.Tensor) and one.ndim == _AXES else one for one in given
    )


def _is_contiguous(module: nn.Module) -> bool:
    return _plain_images in module._forward_pre_hooks.values()  # noqa: SLF001 (torch has no way to ask)


def _make_contiguous(network: nn.Module) -> None:
    """Lay out the weights, and whatever images come, so that all maps between them are, too."""
    network.to(memory_format=torch.contiguous_format)
    if not _is_contiguous(network):
        network.register_forward_pre_hook(_plain_images)


def _undo(network: nn.Module) -> None:
    hooks = network._forward_pre_hooks  # noqa: SLF001 (the handle is not kept: it cannot be copied)
    for key in [key for key, hook in hooks.items() if hook is _plain_images]:
        del hooks[key]
    network.to(memory_format=torch.channels_last)


def _own_error(error: Exception) -> ModelError:
    return ModelError(Problem("", named_shortly(error)))


def _quiet() -> contextlib.redirect_stderr[io.StringIO]:
    """Keep what a traced network prints of its own failure off the screen: it is only tried."""
    return contextlib.redirect_stderr(io.StringIO())


def _computes(network: nn.Module, image_shape: tuple[int, int, int], layout: Layout) -> bool:
    """Whether a network computes logits and gradients of images that lie so."""
    modes = [(part, part.training) for part in network.modules()]
    reference = next((t for t in (*network.parameters(), *network.buffers())), torch.empty(0))
    black = torch.zeros(_IMAGES, *image_shape, device=reference.device)
    images = black.contiguous(memory_format=_FORMATS[layout]).requires_grad_()
    try:
        network.eval()
        with seeds.preserved(), torch.enable_grad(), _quiet(), explained(_own_error):
            logits = network(images)
            if isinstance(logits, torch.Tensor) and logits.requires_grad:
                learned = [each for each in network.parameters() if each.requires_grad]
                torch.autograd.grad(logits.sum(), [images, *learned], allow_unused=True)
    except (ModelError, SystemExit):
        return False
    finally:
        for part, mode in modes:
            part.training = mode
    return True
