"""The trainer: carries out a recipe on whole batches of tensors.

It does not know what the weights are for, nor where states are kept.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from bench import seeds
from bench.api.recipes import Recipe
from bench.tensors import Images, Labels
from bench.training.examples import Examples, check_growing
from bench.training.loop import TrainingHooks, TrainingLoop
from bench.training.schedule import Epoch, Progress


def train(
    network: nn.Module,
    images: Images,
    labels: Labels,
    recipe: Recipe,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    seed: int,
    held_out: tuple[Images, Labels] | None = None,
    hooks: TrainingHooks | None = None,
    state: bytes | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> list[Epoch]:
    """Train a network in place.

    Args:
        network: from normalised images to logits; left in eval mode.
        images: float32 in [0, 1], on the CPU.
        labels: their classes.
        recipe: what to do.
        mean, std: of each channel, subtracted and divided after augmentation.
        seed: of the order of images, of augmentation and of dropout.
        held_out: what a recipe with ``patience`` stops and selects on; asked for by such only.
        hooks: what departs from plain training.
        state: what a :class:`Progress` of the same training wrote; goes on from there.
        progress: called after each epoch.

    Raises:
        DivergedError: where the loss is not finite.
        StateError: where ``state`` is not of this training; the network is spoiled then.
        UsageError: where the network does not take the images that the recipe has it begin with.

    """
    if recipe.patience is not None and held_out is None:
        raise ValueError("a recipe with patience needs held_out images to look at")
    if len(images) < 2:  # noqa: PLR2004 (batch normalisation needs two)
        raise ValueError(f"{len(images)} training images, expected two or more")
    device = next(network.parameters()).device
    examples = Examples(images, labels, mean, std).to(device)
    watched = None if held_out is None else Examples(*held_out, mean, std).to(device)
    with seeds.forked(seed):
        loop = TrainingLoop(network, recipe, len(images), seed, hooks)
        check_growing(network, examples, recipe)
        if state is not None:
            loop.resume(state)
        while loop.goes_on:
            epoch = loop.advance(examples, watched)
            progress(Progress(epoch, loop.state))
    loop.conclude()
    return loop.history


def rehearse(
    network: nn.Module,
    images: Images,
    labels: Labels,
    recipe: Recipe,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    seed: int,
    hooks: TrainingHooks | None = None,
) -> None:
    """Take two of a training's steps on its first batch, to see what a step needs.

    Two, since from the second on a step holds the optimizer's state; on images at their full size,
    also where the recipe has them grow. Arguments as of :func:`train`; the network is spoiled.
    """
    device = next(network.parameters()).device
    batch = slice(recipe.batch_size)
    examples = Examples(images[batch], labels[batch], mean, std).to(device)
    full = recipe.model_copy(update={"grow_from": None})
    with seeds.forked(seed):
        loop = TrainingLoop(network, full, len(images), seed, hooks)
        for _ in range(2):
            loop.step_through(examples)
