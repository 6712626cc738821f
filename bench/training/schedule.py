"""Epochs, which of them is kept, and what steps through them: optimizer, learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import nn

from bench.api.recipes import Recipe
from bench.records import JSON


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training images.

    ``loss`` and ``accuracy`` are means over the augmented batches, ``valid_loss`` and
    ``valid_accuracy`` those on the held-out images after it, None where nothing is held out.
    """

    epoch: int
    loss: float
    accuracy: float
    lr: float
    seconds: float
    valid_loss: float | None = None
    valid_accuracy: float | None = None

    def plain(self) -> dict[str, JSON]:
        """Return plain values, for a summary."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Progress:
    """What the trainer reports after each epoch.

    ``state`` writes all that going on from here needs, as bytes; called only where it is wanted.
    """

    epoch: Epoch
    state: Callable[[], bytes]


def kept(history: Sequence[Epoch], recipe: Recipe) -> int:
    """Return the number of the epoch whose weights are kept: the best, or the last; 0 of none."""
    if recipe.patience is None or not history:
        return len(history)
    return max(history, key=_merit).epoch


def _merit(epoch: Epoch) -> tuple[float, float]:
    """Order epochs by accuracy on the held-out images, then by loss there."""
    accuracy, loss = epoch.valid_accuracy, epoch.valid_loss
    return (-1.0 if accuracy is None else accuracy, -math.inf if loss is None else -loss)


def optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the recipe's optimizer of all parameters; Adam's are the fused kernels."""
    parameters = network.parameters()
    match recipe.optimizer:
        case "adamw":
            return torch.optim.AdamW(
                parameters, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
            )
        case "adam":
            return torch.optim.Adam(
                parameters, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
            )
        case "sgd":
            return torch.optim.SGD(
                parameters,
                lr=recipe.lr,
                momentum=0.9,
                nesterov=True,
                weight_decay=recipe.weight_decay,
            )


def scheduler(
    optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the recipe's learning rate over so many steps, all epochs together."""
    match recipe.scheduler:
        case "one_cycle":
            return torch.optim.lr_scheduler.OneCycleLR(
                optimizer, max_lr=recipe.lr, total_steps=steps + 1, cycle_momentum=False
            )
        case "cosine":
            return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
        case "constant":
            return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
