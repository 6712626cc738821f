"""Augmentation of whole batches of tensors, each image in its own way.

Every draw comes from a generator that the caller brings. Geometric changes are composed into one
matrix an image, so that pixels are interpolated once. This room does not know what is trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional

from bench.api.recipes import Augmentation
from bench.tensors import Images, Labels

_DEGREES = 15
_SCALE = 0.1
_SHIFT = 0.1
_JITTER = 0.2
_HUE = 0.1
_SMALLEST_CROP = 0.7
_STRETCH = 4 / 3
_ERASED = (0.1, 0.4)
_GREYED = 0.2
_MIXED = 0.5

Draws = torch.Tensor
"""Numbers in [-1, 1), (image, number)."""


def augment(
    images: Images,
    labels: Labels,
    names: tuple[Augmentation, ...],
    classes: int,
    generator: torch.Generator,
) -> tuple[Images, torch.Tensor]:
    """Augment a batch.

    Args:
        images: float32 in [0, 1].
        labels: their classes.
        names: what to do: what moves pixels first, then what colours them, then what hides them,
            then what mixes images; within each in this order (of moves, whose matrices lead
            from the result back to the image, the last named is done to the image first).
        classes: how many there are.
        generator: on the CPU.

    Returns:
        New images, within [0, 1]; and the labels or, where images were mixed, probabilities of
        shape (image, class).

    """
    if "flip" in names:
        images = _flip(images, generator)
    moves = [_MOVES[name] for name in names if name in _MOVES]
    if moves:
        images = _moved(images, moves, generator)
    for table in (_COLOURS, _HIDES):
        for name in names:
            if name in table:
                images = table[name](images, generator)
    targets: torch.Tensor = labels
    for name in names:
        if name in _MIXES:
            soft = targets if targets.ndim > 1 else functional.one_hot(labels, classes).float()
            images, targets = _MIXES[name](images, soft, generator)
    return images, targets


def _draw(images: Images, generator: torch.Generator, columns: int = 1) -> Draws:
    draws = torch.rand(len(images), columns, generator=generator) * 2 - 1
    return draws.to(images.device)


def _column(draws: Draws, index: int) -> torch.Tensor:
    return draws[:, index].view(-1, 1, 1, 1)


def _flip(images: Images, generator: torch.Generator) -> Images:
    return torch.where(_column(_draw(images, generator), 0) < 0, images.flip(3), images)


# What moves pixels: from draws to matrices that map places of the result to places of the image,
# in coordinates that span [-1, 1].


def _moved(
    images: Images, moves: list[Callable[[Draws, float], torch.Tensor]], generator: torch.Generator
) -> Images:
    whole = torch.eye(3, device=images.device).expand(len(images), 3, 3)
    aspect = images.shape[3] / images.shape[2]
    for move in moves:
        whole = move(_draw(images, generator, 4), aspect) @ whole
    grid = functional.affine_grid(whole[:, :2], list(images.shape), align_corners=False)
    return functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="border", align_corners=False
    ).clamp(0, 1)


def _matrix(rows: list[list[torch.Tensor]]) -> torch.Tensor:
    zero = torch.zeros_like(rows[0][0])
    rows = [*rows, [zero, zero, zero + 1]]
    return torch.stack([torch.stack(row, 1) for row in rows], 1)


def _turn(
    angle: torch.Tensor,
    scale: torch.Tensor,
    right: torch.Tensor,
    down: torch.Tensor,
    aspect: float,
) -> torch.Tensor:
    """Turn in pixels: coordinates span the same range along both sides, however long they are."""
    cosine, sine = angle.cos() * scale, angle.sin() * scale
    return _matrix([[cosine, -sine / aspect, right], [sine * aspect, cosine, down]])


def _rotation(draws: Draws, aspect: float) -> torch.Tensor:
    angle = draws[:, 0] * math.radians(_DEGREES)
    zero = torch.zeros_like(angle)
    return _turn(angle, zero + 1, zero, zero, aspect)


def _affine(draws: Draws, aspect: float) -> torch.Tensor:
    angle = draws[:, 0] * math.radians(_DEGREES)
    shift = draws[:, 2:] * _SHIFT * 2  # coordinates span 2
    return _turn(angle, 1 + draws[:, 1] * _SCALE, shift[:, 0], shift[:, 1], aspect)


def _resized_crop(draws: Draws, _aspect: float) -> torch.Tensor:
    """Crop a part of the area, stretched; its place is drawn among those inside the image."""
    area = 1 - (1 - _SMALLEST_CROP) * (draws[:, 0] + 1) / 2
    stretch = torch.exp(draws[:, 1] * math.log(_STRETCH) / 2)
    width = (area.sqrt() * stretch).clamp(max=1)
    height = (area.sqrt() / stretch).clamp(max=1)
    zero = torch.zeros_like(width)
    return _matrix(
        [[width, zero, draws[:, 2] * (1 - width)], [zero, height, draws[:, 3] * (1 - height)]]
    )


# What colours pixels


def _colour_jitter(images: Images, generator: torch.Generator) -> Images:
    draws = _draw(images, generator, 4)
    factors = 1 + draws * _JITTER
    images = (images * _column(factors, 0)).clamp(0, 1)
    average = images.mean((1, 2, 3), keepdim=True)
    images = ((images - average) * _column(factors, 1) + average).clamp(0, 1)
    if images.shape[1] != _CHANNELS:
        return images
    grey = images.mean(1, keepdim=True)
    images = ((images - grey) * _column(factors, 2) + grey).clamp(0, 1)
    return _rotated_hue(images, draws[:, 3] * _HUE * 2 * math.pi)


_CHANNELS = 3


def _rotated_hue(images: Images, angle: torch.Tensor) -> Images:
    """Turn colours about the grey axis: linear, where HSV would need cases."""
    cosine, sine = angle.cos(), angle.sin() / math.sqrt(3)
    third = (1 - cosine) / 3
    same, before, after = cosine + third, third - sine, third + sine
    rows = [(same, before, after), (after, same, before), (before, after, same)]
    matrix = torch.stack([torch.stack(row, 1) for row in rows], 1)
    turned = torch.bmm(matrix, images.flatten(2)).view(images.shape)
    return turned.clamp(0, 1)


def _grey(images: Images, generator: torch.Generator) -> Images:
    chosen = _column(_draw(images, generator), 0) < 2 * _GREYED - 1
    return torch.where(chosen, images.mean(1, keepdim=True), images)


# What hides or mixes


def _boxes(images: Images, width: torch.Tensor, height: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Return which pixels lie in a box an image, (image, 1, height, width); sizes are shares."""
    _, _, rows, columns = images.shape
    down = torch.arange(rows, device=images.device).view(1, 1, -1, 1)
    right = torch.arange(columns, device=images.device).view(1, 1, 1, -1)
    tall = (height * rows).round().view(-1, 1, 1, 1)
    wide = (width * columns).round().view(-1, 1, 1, 1)
    top = ((_column(draws, 0) + 1) / 2 * (rows - tall)).round()
    left = ((_column(draws, 1) + 1) / 2 * (columns - wide)).round()
    return (down >= top) & (down < top + tall) & (right >= left) & (right < left + wide)


def _erasing(images: Images, generator: torch.Generator) -> Images:
    draws = _draw(images, generator, 5)
    low, high = _ERASED
    sides = low + (high - low) * (draws[:, 2:4] + 1) / 2
    box = _boxes(images, sides[:, 0], sides[:, 1], draws[:, :2])
    grey = images.mean((2, 3), keepdim=True)
    return torch.where(box & (_column(draws, 4) < 0), grey, images)


def _mixup(
    images: Images, targets: torch.Tensor, generator: torch.Generator
) -> tuple[Images, torch.Tensor]:
    """Blend an image with another of the batch; the image itself keeps more than half."""
    draws = _draw(images, generator, 2)
    other = torch.randperm(len(images), generator=generator).to(images.device)
    share = torch.where(draws[:, 0] < 2 * _MIXED - 1, (draws[:, 1] + 1) / 4, 0.0)
    part = share.view(-1, 1, 1, 1)
    mixed = images * (1 - part) + images[other] * part
    return mixed, targets * (1 - share[:, None]) + targets[other] * share[:, None]


def _cutmix(
    images: Images, targets: torch.Tensor, generator: torch.Generator
) -> tuple[Images, torch.Tensor]:
    """Paste a box of another image of the batch, of an area drawn evenly from [0, 1)."""
    draws = _draw(images, generator, 4)
    other = torch.randperm(len(images), generator=generator).to(images.device)
    side = torch.where(draws[:, 2] < 2 * _MIXED - 1, ((draws[:, 3] + 1) / 2).sqrt(), 0.0)
    box = _boxes(images, side, side, draws[:, :2])
    share = box.float().mean((1, 2, 3))[:, None]
    return torch.where(box, images[other], images), targets * (1 - share) + targets[other] * share


_MOVES: dict[Augmentation, Callable[[Draws, float], torch.Tensor]] = {
    "rotation": _rotation,
    "affine": _affine,
    "resized_crop": _resized_crop,
}
_COLOURS: dict[Augmentation, Callable[[Images, torch.Generator], Images]] = {
    "colour_jitter": _colour_jitter,
    "grey": _grey,
}
_HIDES: dict[Augmentation, Callable[[Images, torch.Generator], Images]] = {"erasing": _erasing}
_MIXES: dict[
    Augmentation,
    Callable[[Images, torch.Tensor, torch.Generator], tuple[Images, torch.Tensor]],
] = {"mixup": _mixup, "cutmix": _cutmix}
