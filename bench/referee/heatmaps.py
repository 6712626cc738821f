"""Judges heatmaps: by what becomes of the logit's softmax, and by how alike two of them are.

Every explainer is judged here, in one way, on the classifier itself, beside a random order as the
control. Nothing is repaired: a heatmap of another shape, or one that is not finite, is an error.
This room does not know how a heatmap was made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torchvision.transforms.functional import gaussian_blur

from bench.classifier.classifier import Classifier
from bench.errors import PluginError
from bench.tensors import Heatmaps, Images, Labels, PerImage

BATCH = 32
"""A network is shown exactly so many images at once, always, all made from one image, repeating
the last where there are fewer: a score may not depend on the company that an image comes in. With
16 steps, deletion and insertion make 32 different images of one, so that nothing is repeated."""

BLUR = 1 / 8
"""Standard deviation of the Gaussian blur, as a share of the image's shorter side."""

TOP = 0.2
"""The share of pixels that :attr:`Similarity.overlap` compares."""


@dataclass(frozen=True)
class Faithfulness:
    """How the target's softmax moves as pixels go and come in the order of a heatmap.

    Attributes:
        deletion_auc: area under the softmax while pixels are blurred; low is good.
        insertion_auc: area under the softmax while pixels are restored; high is good.

    Both are float64 in [0, 1], one for each image.

    """

    deletion_auc: PerImage
    insertion_auc: PerImage


@dataclass(frozen=True)
class Similarity:
    """How alike two heatmaps of an image are; nan where either is the same everywhere.

    Attributes:
        rank_correlation: Spearman's, in [-1, 1]; float64, one for each image.
        overlap: the share, in [0, 1], of the top 20 % pixels that both have; float64.

    """

    rank_correlation: PerImage
    overlap: PerImage


def check_form(heatmaps: object, images: Images, culprit: str) -> Heatmaps:
    """Check that an explainer returned one finite float32 map for each image, and detach them.

    Returns:
        The maps on the CPU, contiguous.

    Raises:
        PluginError: naming ``culprit``.

    """
    shape = (len(images), *images.shape[2:])
    expected = f"torch.float32 of shape {shape}"
    if not isinstance(heatmaps, Tensor):
        got = type(heatmaps).__name__
        raise PluginError.of(culprit, f"returned {got}", expected, "mend the plugin")
    if heatmaps.shape != shape or heatmaps.dtype != torch.float32:
        got = f"{heatmaps.dtype} of shape {tuple(heatmaps.shape)}"
        raise PluginError.of(culprit, f"returned {got}", expected, "mend the plugin")
    if not heatmaps.isfinite().all():
        raise PluginError.of(
            culprit, "returned a map that is not finite", "finite maps", "mend the plugin"
        )
    return heatmaps.detach().to("cpu", memory_format=torch.contiguous_format)


def deletion_insertion(
    classifier: Classifier,
    images: Images,
    heatmaps: Heatmaps,
    targets: Labels,
    *,
    steps: int = 16,
    generator: Generator,
) -> Faithfulness:
    """Measure deletion and insertion: what the most important pixels are worth to the target.

    With P pixels, n_k = round(k P / steps) for k = 0 ... steps, and x' the blurred image
    (:func:`blurred`), the k-th image of deletion has the n_k most important pixels (all channels)
    from x' and the others from x; that of insertion the other way round. The area is that under
    the softmax p_k of the target over the share of pixels, by trapezoids::

        sum over k of (n_k - n_(k-1)) / P * (p_k + p_(k-1)) / 2

    Pixels of equal value are ordered by ``generator``, which draws one permutation for each image
    whether there are any or not: a map that is the same everywhere is a random order.

    Source: Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box
        Models", 2018: the deletion and insertion metrics.
    Deviations: deletion too goes to the blurred image, where the paper sets pixels to zero; the
        blur grows with the image; a fixed number of steps, where the paper moves as many pixels a
        step as the image has columns.

    Args:
        classifier: in eval mode.
        images: float32 in [0, 1], (image, channel, height, width).
        heatmaps: float32, finite, (image, height, width).
        targets: the classes whose softmax is followed.
        steps: how many times pixels are moved, at least 1.
        generator: on the CPU.

    Raises:
        PluginError: where a heatmap is not one, or the model's logits are not finite.
        ValueError: where there are not as many images as heatmaps and targets, or ``steps`` < 1.

    """
    if steps < 1 or not len(images) == len(heatmaps) == len(targets):
        raise ValueError(
            f"{len(images)} images, {len(heatmaps)} heatmaps, {len(targets)} targets, "
            f"steps={steps}: expected as many of each, and at least one step"
        )
    heatmaps = check_form(heatmaps, images, "heatmaps")
    pixels = heatmaps.shape[1] * heatmaps.shape[2]
    counts = torch.tensor([round(k * pixels / steps) for k in range(steps + 1)])
    width = counts.diff().double() / pixels
    deletions, insertions = [], []
    for i in range(len(images)):
        image = images[i].to("cpu")
        order = ranked(heatmaps[i], generator)
        path = _path(image, blurred(image[None])[0], order, counts)
        p = _probabilities(classifier, path)[:, int(targets[i])]
        # both ways share their ends: the image, where it begins, and the blurred one, at steps
        deletions.append(_area(p[: steps + 1], width))
        insertions.append(_area(torch.cat([p[steps:], p[:1]]), width))
    return Faithfulness(_stacked(deletions), _stacked(insertions))


def random_order(
    classifier: Classifier,
    images: Images,
    targets: Labels,
    *,
    steps: int = 16,
    generator: Generator,
) -> Faithfulness:
    """Measure the same for pixels in random order: the control that every explainer must beat.

    Arguments and errors are those of :func:`deletion_insertion`.
    """
    even = torch.zeros(len(images), *images.shape[2:])
    return deletion_insertion(classifier, images, even, targets, steps=steps, generator=generator)


def ranked(heatmap: Tensor, generator: Generator) -> Tensor:
    """Order the pixels of one map, (height, width), the highest first; ties at random.

    Returns:
        Indices into the flattened map, int64.

    """
    shuffled = torch.randperm(heatmap.numel(), generator=generator)
    return shuffled[heatmap.flatten()[shuffled].argsort(descending=True, stable=True)]


def blurred(images: Images) -> Images:
    """Blur images with a Gaussian whose standard deviation is an eighth of the shorter side.

    Wide enough that little is left to know classes by, and without the edges that a flat colour
    would bring in. It is cut off at three standard deviations, and borders are mirrored.
    """
    side = min(images.shape[2:])
    sigma = BLUR * side
    size = 2 * min(max(1, round(3 * sigma)), side - 1) + 1
    # one axis after the other, as a Gaussian allows: far fewer products
    wide: Images = gaussian_blur(images, [size, 1], [sigma, sigma])
    both: Images = gaussian_blur(wide, [1, size], [sigma, sigma])
    return both


def similarity(first: Heatmaps, second: Heatmaps) -> Similarity:
    """Compare two heatmaps of each image, which must have one shape.

    The rank correlation is Spearman's: Pearson's correlation of the ranks, equal values sharing
    the mean of their ranks. The overlap is of the top ``max(1, round(0.2 P))`` of P pixels; among
    equal ones, those that come first, row by row, are taken.

    Source: Adebayo et al., "Sanity Checks for Saliency Maps", 2018, for the rank correlation;
        Ghorbani, Abid and Zou, "Interpretation of Neural Networks is Fragile", 2019, for the
        overlap ("top-k intersection").
    Deviations: none.

    Raises:
        ValueError: where the shapes differ.

    """
    if first.shape != second.shape:
        raise ValueError(
            f"heatmaps of shapes {tuple(first.shape)} and {tuple(second.shape)}: expected one shape"
        )
    pairs = [(a.flatten().cpu(), b.flatten().cpu()) for a, b in zip(first, second, strict=True)]
    correlation = _stacked([_pearson(_ranks(a), _ranks(b)) for a, b in pairs])
    overlap = _stacked([_overlap(a, b) for a, b in pairs])
    overlap[(is_empty(first) | is_empty(second)).cpu()] = torch.nan
    return Similarity(correlation, overlap)


def is_empty(heatmaps: Heatmaps) -> Tensor:
    """Whether each map is the same everywhere: it explains nothing."""
    flat = heatmaps.flatten(1)
    return flat.amin(1) == flat.amax(1)


def _path(image: Tensor, blur: Tensor, order: Tensor, counts: Tensor) -> Images:
    """Return the images of deletion, all of them, and those of insertion but its two ends."""
    position = torch.empty_like(order)
    position[order] = torch.arange(len(order))
    moved = (position < counts[:, None]).view(-1, 1, *image.shape[1:])
    deletion = torch.where(moved, blur, image)
    insertion = torch.where(moved[1:-1], image, blur)
    return torch.cat([deletion, insertion])


@torch.no_grad()
def _probabilities(classifier: Classifier, images: Images) -> Tensor:
    """Return the softmax of every class, float64 on the CPU, in batches of one size."""
    parts = []
    for batch in _batches(images):
        fill = batch[-1:].expand(BATCH - len(batch), -1, -1, -1)
        logits = classifier(torch.cat([batch, fill]).to(classifier.mean.device))
        parts.append(logits[: len(batch)].double().cpu())
    probabilities = torch.cat(parts).softmax(1)
    if not probabilities.isfinite().all():
        raise PluginError.of(
            "model", "returns logits that are not finite", "finite logits", "look at its weights"
        )
    return probabilities


def _batches(images: Images) -> Iterator[Images]:
    for start in range(0, len(images), BATCH):
        yield images[start : start + BATCH]


def _area(values: Tensor, width: Tensor) -> Tensor:
    return ((values[1:] + values[:-1]) / 2 * width).sum()


def _stacked(values: list[Tensor]) -> PerImage:
    return torch.stack(values) if values else torch.zeros(0, dtype=torch.float64)


def _ranks(values: Tensor) -> Tensor:
    """Return ranks from 1, equal values sharing the mean of theirs; float64."""
    _, inverse, counts = torch.unique(values, return_inverse=True, return_counts=True)
    ranks: Tensor = counts.cumsum(0).double() - (counts.double() - 1) / 2
    return ranks[inverse]


def _pearson(first: Tensor, second: Tensor) -> Tensor:
    a, b = first - first.mean(), second - second.mean()
    return (a * b).sum() / (a.square().sum() * b.square().sum()).sqrt()


def _overlap(first: Tensor, second: Tensor) -> Tensor:
    count = max(1, round(TOP * len(first)))
    tops = [m.argsort(descending=True, stable=True)[:count] for m in (first, second)]
    return torch.isin(tops[0], tops[1]).double().mean()
