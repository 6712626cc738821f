"""The slopes of a model's answer: by automatic differentiation, and by central finite differences.

This room measures. It does not know which slopes are right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from bench import seeds
from bench.classifier.classifier import Classifier
from bench.tensors import Images, Logits, PerImage

DIRECTIONS = 2
"""Random directions for each image."""

COARSE = 5e-4
"""How far a step moves a pixel (root mean square), in float32: few kinks lie in it, and the change
is above rounding."""

FINE = 1e-6
"""The same in float64: between two kinks."""

MARGIN = 0.05
"""How far inside [0, 1] images are moved: a network may clip there, and steps stay within."""

CONCENTRATED = 0.03
"""The farthest that one pixel moves in a step along the gradient."""


@dataclass(frozen=True)
class Follower:
    """How a model is differentiated.

    Attributes:
        make: returns the model as it was before any question.
        is_fresh: whether it is made anew for each question: what draws numbers draws the same.
        in_logs: whether outputs are probabilities, whose logarithms are differentiated.
        is_straight_through: whether it is declared that its gradient stands for one that is not
            there.

    """

    make: Callable[[], Classifier]
    is_fresh: bool = False
    in_logs: bool = False
    is_straight_through: bool = False


@dataclass(frozen=True)
class Slopes:
    """The derivatives of some images' scalars.

    Attributes:
        gradients: of each image; shape (image, pixel).
        lengths: of each image's gradient, Euclidean; NaN where it is not finite.
        along: the slope along it; shape (image,).
        stated, measured: slopes in random directions of pixels' unit variance, by the gradient and
            by finite differences; shape (direction, image).
        sizes: the largest logit of each image.
        outputs: the logits.

    """

    gradients: torch.Tensor
    lengths: PerImage
    along: PerImage
    stated: torch.Tensor
    measured: torch.Tensor
    sizes: PerImage
    outputs: Logits


def inside(images: Images) -> Images:
    """Move images inside [0, 1] by twice a margin, half of which is noise."""
    noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(4)) - 0.5
    return MARGIN + (1 - 2 * MARGIN) * images + MARGIN * noise / 2


def _projection(images: int, classes: int) -> torch.Tensor:
    """Return a random direction of the logits for each image, of sum zero and length one."""
    drawn = torch.randn(images, classes, generator=torch.Generator().manual_seed(5)).double()
    centred = drawn - drawn.mean(1, keepdim=True) if classes > 1 else drawn.abs() + 1
    unit: torch.Tensor = centred / centred.norm(dim=1, keepdim=True)
    return unit


def slopes(
    follower: Follower, images: Images, dtype: torch.dtype, pixel_step: float
) -> Slopes | None:
    """Differentiate both ways; None where logits do not depend on the pixels."""
    classifier = follower.make().to(dtype)
    images = images.to(dtype)
    gradients, outputs = differentiated(follower, classifier, images)
    if gradients is None:
        return None
    flat = gradients.double().flatten(1)
    lengths = flat.norm(dim=1)
    unit = (flat / lengths.clamp_min(torch.finfo(torch.float64).tiny)[:, None]).nan_to_num()
    step = torch.full_like(lengths, pixel_step * flat.shape[1] ** 0.5 / 8)
    step = torch.minimum(step, CONCENTRATED / unit.abs().amax(1).clamp_min(1e-12))

    def slope(directions: torch.Tensor, steps: torch.Tensor) -> PerImage:
        moved = (directions * steps[:, None]).view(images.shape).to(dtype)
        up = scalars(follower, classifier, images + moved)
        down = scalars(follower, classifier, images - moved)
        return (up - down) / (2 * steps)

    along = slope(unit, step)
    generator = torch.Generator().manual_seed(6)
    stated, measured = [], []
    for _ in range(DIRECTIONS):
        random = torch.randn(flat.shape, generator=generator).double()
        stated.append((flat * random).sum(1))
        measured.append(slope(random, torch.full_like(lengths, pixel_step)))
    sizes = outputs.abs().amax(1)
    stacked = torch.stack(stated), torch.stack(measured)
    return Slopes(flat, lengths, along, *stacked, sizes, outputs)


def answers(follower: Follower, classifier: Classifier, images: Images) -> Logits:
    """Return logits, with a way back to the pixels if the caller follows one."""
    if follower.is_fresh:
        dtype = classifier.mean.dtype
        classifier = follower.make().to(dtype)
    seeds.reseed(0)
    logits: Logits = classifier(images.to(classifier.mean.device))
    return logits.clamp_min(torch.finfo(logits.dtype).tiny).log() if follower.in_logs else logits


def scalars(follower: Follower, classifier: Classifier, images: Images) -> PerImage:
    """Return the scalar of each image: its logits, projected."""
    with torch.no_grad():
        logits = answers(follower, classifier, images).double().cpu()
    return (logits * _projection(*logits.shape)).sum(1)


def differentiated(
    follower: Follower, classifier: Classifier, images: Images
) -> tuple[torch.Tensor | None, Logits]:
    """Return the gradient at each image, None where there is none at all, and the logits."""
    images = images.clone().requires_grad_()
    with torch.enable_grad():
        logits = answers(follower, classifier, images)
        outputs = logits.detach().double().cpu()
        if not logits.requires_grad:
            return None, outputs
        weighed = _projection(*logits.shape).to(logits)
        [gradients] = torch.autograd.grad((logits * weighed).sum(), images, allow_unused=True)
    return (None if gradients is None else gradients.cpu()), outputs
