"""Labelled images as the trainer shows them: normalised, and growing where the recipe says so."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from bench.api.recipes import Recipe
from bench.errors import UsageError, explained, named_shortly
from bench.tensors import Images, Labels

_STAGES = 5
"""Of the size of images, in a recipe that has them grow."""


@dataclass(frozen=True)
class Examples:
    """Labelled images, float32 in [0, 1], and the normalisation of each channel."""

    images: Images
    labels: Labels
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def to(self, device: torch.device) -> Examples:
        """Return them on a device."""
        return Examples(self.images.to(device), self.labels.to(device), self.mean, self.std)

    def normalised(self, images: Images) -> torch.Tensor:
        """Subtract the mean and divide by the spread of each channel."""
        centre = torch.tensor(self.mean, device=images.device).view(1, -1, 1, 1)
        spread = torch.tensor(self.std, device=images.device).view(1, -1, 1, 1)
        return (images - centre) / spread


def side_in(recipe: Recipe, epoch: int, full: int) -> int:
    """Return the shorter side of the images of an epoch, counted from 1, in pixels.

    Sides grow in equal steps, each for as many epochs, and the last epochs see ``full``, the side
    of the images as they are.

    Source: Tan and Le, "EfficientNetV2: Smaller Models and Faster Training", 2021, section 4.2.
    Deviation: augmentation stays as it is.
    """
    if recipe.grow_from is None:
        return full
    ahead = (recipe.epochs - epoch) * _STAGES // recipe.epochs
    return full - round((full - recipe.grow_from) * ahead / (_STAGES - 1))


def shrunk(images: Images, side: int) -> Images:
    """Return images whose shorter side has so many pixels; themselves, if it has."""
    full = min(images.shape[2:])
    if side == full:
        return images
    size = [round(length * side / full) for length in images.shape[2:]]
    return functional.interpolate(images, size, mode="bilinear", antialias=True).clamp(0, 1)


def check_growing(network: nn.Module, examples: Examples, recipe: Recipe) -> None:
    """Refuse to begin with images that are larger than those there are, or that do not fit."""
    if recipe.grow_from is None:
        return
    where, full = f"grow_from: {recipe.grow_from}", min(examples.images.shape[2:])
    if recipe.grow_from > full:
        raise UsageError.of(where, f"the images have {full} pixels a side", f"at most {full}")
    small = shrunk(examples.images[:1], recipe.grow_from)
    size = f"{small.shape[2]} x {small.shape[3]}"
    with (
        torch.no_grad(),
        explained(
            lambda error: UsageError.of(
                where,
                f"the model does not take images of {size} pixels ({named_shortly(error)})",
                "a model that takes images of any size",
                "leave grow_from out of its recipe",
            )
        ),
    ):
        network.eval()
        network(examples.normalised(small))
