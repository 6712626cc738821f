"""The trainer: carries out a recipe on whole batches of tensors.

The same network, images, recipe, seed, device and thread count give the same weights, bit for bit.
Nothing held out is looked at. The trainer does not know what the weights are for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from bench import seeds
from bench.recipes import Augmentation, Recipe
from bench.records import JSON
from bench.tensors import Images, Labels

_ANGLE = math.radians(15)
_SCALE = 0.1
_SHIFT = 0.1
_COLOUR = 0.2
_DIVERGED = "the loss is not finite"


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training images: mean loss and share right, on the augmented batches."""

    number: int
    loss: float
    accuracy: float
    lr: float

    def plain(self) -> dict[str, JSON]:
        """Return plain values, for a summary."""
        return {"epoch": self.number, "loss": self.loss, "accuracy": self.accuracy, "lr": self.lr}


class DivergedError(ArithmeticError):
    """Training ran into a loss that is not finite."""


def train(
    network: nn.Module,
    images: Images,
    labels: Labels,
    recipe: Recipe,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    seed: int,
    progress: Callable[[Epoch], None] = lambda _: None,
) -> list[Epoch]:
    """Train a network in place.

    Args:
        network: from normalised images to logits; left in eval mode.
        images: float32 in [0, 1], on the CPU.
        labels: their classes.
        mean, std: of each channel, subtracted and divided after augmentation.
        recipe: what to do.
        seed: of the order of images, of augmentation and of dropout.
        progress: called after each epoch.

    Raises:
        DivergedError: where the loss is not finite.

    """
    device = next(network.parameters()).device
    images, labels = images.to(device), labels.to(device)
    centre = torch.tensor(mean, device=device).view(1, -1, 1, 1)
    spread = torch.tensor(std, device=device).view(1, -1, 1, 1)
    batches = math.ceil(len(images) / recipe.batch_size)
    optimizer = _optimizer(network, recipe)
    scheduler = _scheduler(optimizer, recipe, recipe.epochs * batches)
    generator = torch.Generator().manual_seed(seed)
    history: list[Epoch] = []
    network.train()
    with seeds.forked(seed):
        for number in range(1, recipe.epochs + 1):
            order = torch.randperm(len(images), generator=generator).to(device)
            total_loss = torch.zeros((), device=device)
            right = torch.zeros((), device=device)
            seen = 0
            for batch in order.split(recipe.batch_size):  # type: ignore[no-untyped-call]
                if len(batch) == 1:  # batch normalisation needs two
                    scheduler.step()
                    continue
                pixels = augment(images[batch], recipe.augment, generator)
                logits = network((pixels - centre) / spread)
                loss = functional.cross_entropy(
                    logits, labels[batch], label_smoothing=recipe.label_smoothing
                )
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                scheduler.step()
                total_loss += loss.detach() * len(batch)
                right += (logits.argmax(1) == labels[batch]).sum()
                seen += len(batch)
            if not math.isfinite(total_loss.item()):
                raise DivergedError(f"{_DIVERGED} in epoch {number}: lower lr in the recipe")
            lr = float(scheduler.get_last_lr()[0])
            epoch = Epoch(number, total_loss.item() / seen, right.item() / seen, lr)
            history.append(epoch)
            progress(epoch)
    network.eval()
    return history


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    parameters = network.parameters()
    match recipe.optimizer:
        case "adamw":
            return torch.optim.AdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay)
        case "adam":
            return torch.optim.Adam(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay)
        case "sgd":
            return torch.optim.SGD(
                parameters,
                lr=recipe.lr,
                momentum=0.9,
                nesterov=True,
                weight_decay=recipe.weight_decay,
            )


def _scheduler(
    optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    match recipe.scheduler:
        case "one_cycle":
            return torch.optim.lr_scheduler.OneCycleLR(
                optimizer, max_lr=recipe.lr, total_steps=steps + 1, cycle_momentum=False
            )
        case "cosine":
            return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
        case "constant":
            return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)


def augment(images: Images, names: tuple[Augmentation, ...], generator: torch.Generator) -> Images:
    """Augment a batch, each image in its own way.

    Args:
        images: float32 in [0, 1].
        names: what to do, in this order.
        generator: on the CPU.

    Returns:
        New images, within [0, 1].

    """
    for name in names:
        images = _AUGMENTATIONS[name](images, generator)
    return images


def _uniform(images: Images, generator: torch.Generator, columns: int = 1) -> torch.Tensor:
    """Draw from [-1, 1): ``columns`` numbers an image, on the images' device."""
    draws = torch.rand(len(images), columns, generator=generator) * 2 - 1
    return draws.to(images.device)


def _flip(images: Images, generator: torch.Generator) -> Images:
    mirrored = _uniform(images, generator).view(-1, 1, 1, 1) < 0
    return torch.where(mirrored, images.flip(3), images)


def _affine(images: Images, generator: torch.Generator) -> Images:
    draws = _uniform(images, generator, 4)
    angle = draws[:, 0] * _ANGLE
    scale = 1 + draws[:, 1] * _SCALE
    shift = draws[:, 2:] * _SHIFT * 2  # the grid spans 2
    cosine, sine = angle.cos() * scale, angle.sin() * scale
    rows = [
        torch.stack([cosine, -sine, shift[:, 0]], 1),
        torch.stack([sine, cosine, shift[:, 1]], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="border", align_corners=False
    ).clamp(0, 1)


def _colour_jitter(images: Images, generator: torch.Generator) -> Images:
    draws = 1 + _uniform(images, generator, 3) * _COLOUR
    brightness, contrast, saturation = (draws[:, i].view(-1, 1, 1, 1) for i in range(3))
    images = (images * brightness).clamp(0, 1)
    average = images.mean((1, 2, 3), keepdim=True)
    images = ((images - average) * contrast + average).clamp(0, 1)
    grey = images.mean(1, keepdim=True)
    return ((images - grey) * saturation + grey).clamp(0, 1)


_AUGMENTATIONS: dict[Augmentation, Callable[[Images, torch.Generator], Images]] = {
    "flip": _flip,
    "affine": _affine,
    "colour_jitter": _colour_jitter,
}
