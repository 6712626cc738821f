"""Tries a network that somebody else wrote on one image, before anything is trained or measured.

This room does not know where the network came from.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench import seeds
from bench.errors import UsageError, explained, named


def try_one_image(
    network: nn.Module,
    *,
    where: str,
    classes: int,
    image_shape: tuple[int, int, int],
    action: str,
) -> None:
    """Run one grey image through a network, in eval mode, and look at the shape of what comes out.

    Modes and global generators are left as they were.

    Raises:
        UsageError: where it takes no such image, or does not return one logit for each class.

    """
    shape = " x ".join(map(str, image_shape))
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with (
            torch.no_grad(),
            seeds.forked(0),
            explained(
                lambda error: UsageError.of(
                    where,
                    f"fails on an image of {shape}: {named(error)}",
                    "a network for the dataset's images",
                    action,
                )
            ),
        ):
            logits = network(torch.zeros(1, *image_shape))
    finally:
        for module, mode in modes.items():
            module.training = mode
    if not isinstance(logits, Tensor) or tuple(logits.shape) != (1, classes):
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise UsageError.of(
            where,
            f"returns {found} for one image of {shape}",
            f"logits of shape {(1, classes)}, one for each class",
            action,
        )
