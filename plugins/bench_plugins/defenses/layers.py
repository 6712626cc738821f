"""What shields put before a classifier, in torch.

This room knows how images are transformed and how answers are joined. It does not know what any of
it is good for, nor which of it is judged.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from bench import seeds
from bench.tensors import Images, Logits, PixelArray

_TIE = 0.5
"""The part of a vote that the mean softmax shares out: less than one, so that it decides ties and
nothing else."""


def compress(images: Images, *, quality: int) -> Images:
    """Encode images as JPEG and decode them again; there is no gradient."""
    bytes_ = (images.detach().clamp(0, 1) * 255).round().to(torch.uint8)
    pixels = bytes_.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    decoded = np.empty_like(pixels)
    for place, image in enumerate(pixels):
        decoded[place] = _coded(image, quality)
    stacked = torch.from_numpy(decoded).permute(0, 3, 1, 2).contiguous()
    return stacked.to(images) / 255


def _coded(pixels: PixelArray, quality: int) -> PixelArray:
    """Return one image as a JPEG of it shows it; one channel is grey."""
    grey = pixels.shape[2] == 1
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if grey else pixels).save(file, "JPEG", quality=quality)
    file.seek(0)
    with Image.open(file) as image:
        decoded = np.asarray(image)
    return decoded[..., None] if grey else decoded


def quantise(images: Images, *, bits: int) -> Images:
    """Round pixels to ``2 ** bits`` levels, 0 and 1 among them."""
    steps = 2**bits - 1
    rounded: Images = (images * steps).round() / steps
    return rounded


def smooth(images: Images, *, sigma: float, kernel_size: int) -> Images:
    """Convolve each channel with a Gaussian, the border reflected about its outermost pixels.

    As two matrix products, since the gradient of reflection padding is not deterministic on a GPU.
    """
    height, width = images.shape[2:]
    rows = _smoothing(height, sigma, kernel_size).to(images)
    columns = _smoothing(width, sigma, kernel_size).to(images)
    return rows @ images @ columns.T


def _smoothing(size: int, sigma: float, kernel_size: int) -> torch.Tensor:
    """Return the matrix (size, size) of a Gaussian convolution in one direction, in float64."""
    half = kernel_size // 2
    offsets = torch.arange(-half, half + 1)
    weights = torch.exp(-0.5 * (offsets.double() / sigma) ** 2)
    weights /= weights.sum()
    matrix = torch.zeros(size, size, dtype=torch.float64)
    places = torch.arange(size)
    for offset, weight in zip(offsets.tolist(), weights, strict=True):
        source = (places + offset).abs()
        source = torch.where(source < size, source, 2 * (size - 1) - source)
        matrix[places, source] += weight
    return matrix


def median(images: Images, *, size: int) -> Images:
    """Take the median of a window of size x size pixels (of an even number, the upper one).

    The window of two holds the pixel, and those above and to the left; the border is repeated.
    """
    before = size // 2
    after = size - 1 - before
    padded = functional.pad(images, (before, after, before, after), mode="replicate")
    height, width = images.shape[2:]
    window = [
        padded[:, :, top : top + height, left : left + width]
        for top in range(size)
        for left in range(size)
    ]
    return torch.stack(window).sort(0).values[len(window) // 2]


class Transformed(nn.Module):
    """A classifier that sees images through a transformation.

    Args:
        classifier: from pixels in [0, 1] to logits.
        transformation: of images.
        straight_through: whether gradients pass the transformation as if it were not there.

    """

    def __init__(
        self,
        classifier: nn.Module,
        transformation: Callable[[Images], Images],
        *,
        straight_through: bool = False,
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.transformation = transformation
        self.straight_through = straight_through

    def forward(self, images: Images) -> Logits:
        """Return the logits of transformed images."""
        seen = (
            _StraightThrough.apply(images, self.transformation)
            if self.straight_through
            else self.transformation(images)
        )
        logits: Logits = self.classifier(seen)
        return logits


class _StraightThrough(torch.autograd.Function):
    """A transformation whose backward pass is the identity."""

    @staticmethod
    def forward(_: object, images: Images, transformation: Callable[[Images], Images]) -> Images:
        return transformation(images)

    @staticmethod
    def backward(_: object, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient, None


Join = Callable[[Iterable[Logits]], Logits]
"""What makes one answer of several; they come one by one."""


def tally(answers: Iterable[Logits]) -> Logits:
    """Return the log of the share of votes of each class; the mean softmax breaks ties.

    It has half a vote to share out, so that the largest is the majority's, and all are finite.
    """
    votes: torch.Tensor | int = 0
    chances: torch.Tensor | int = 0
    voters = 0
    for logits in answers:
        votes = votes + functional.one_hot(logits.argmax(1), logits.shape[1])
        chances = chances + logits.softmax(1)
        voters += 1
    shares = torch.as_tensor((votes + _TIE * chances / voters) / (voters + _TIE))
    return shares.clamp_min(torch.finfo(shares.dtype).tiny).log()


def average(answers: Iterable[Logits]) -> Logits:
    """Return the log of the mean softmax; gradients flow."""
    logs = torch.stack([logits.log_softmax(1) for logits in answers])
    return logs.logsumexp(0) - math.log(len(logs))


class Joined(nn.Module):
    """Several classifiers that answer as one."""

    def __init__(self, members: Sequence[nn.Module], join: Join) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.join = join

    def forward(self, images: Images) -> Logits:
        """Return the joint answer."""
        return self.join(member(images) for member in self.members)


class Noised(nn.Module):
    """A classifier asked several times about each image, each time under other Gaussian noise.

    Args:
        classifier: from pixels to logits.
        sigma: of the noise, in pixels of [0, 1]; the noisy images are not clamped.
        count: how often it is asked.
        seed: what the noise is drawn by; the same noise for every image.
        join: what makes one answer of many.
        fresh: whether each call draws noise of its own, rather than the same as every other.

    """

    def __init__(
        self,
        classifier: nn.Module,
        *,
        sigma: float,
        count: int,
        seed: int,
        join: Join,
        fresh: bool,
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.sigma = sigma
        self.count = count
        self.seed = seed
        self.join = join
        self.fresh = fresh
        self.calls = 0

    def forward(self, images: Images) -> Logits:
        """Return the joint answer."""
        seed = seeds.derive(self.seed, self.calls if self.fresh else 0)
        self.calls += 1
        return self.join(self._answers(images, torch.Generator().manual_seed(seed)))

    def _answers(self, images: Images, generator: torch.Generator) -> Iterator[Logits]:
        for _ in range(self.count):
            noise = torch.randn(images.shape[1:], generator=generator).to(images)
            yield self.classifier(images + self.sigma * noise)
