"""The check that gradients reach the pixels, and say how the answer changes.

Attacks and most explainers follow gradients: where those are missing, faint, partial or wrong, the
attacks fail and the model looks robust. What is compared are directional derivatives, by automatic
differentiation and by central finite differences. This room knows no attack.
"""

from __future__ import annotations

import torch

from bench.classifier.classifier import Classifier
from bench.errors import BenchError, PluginError, explained, named
from bench.records import JSON
from bench.referee.contract.answers import Check, filled
from bench.referee.contract.slopes import (
    COARSE,
    FINE,
    Follower,
    Slopes,
    answers,
    differentiated,
    inside,
    scalars,
    slopes,
)
from bench.tensors import Images, Logits, PerImage

IMAGES = 4
"""Images at first; twice as many where those leave doubt."""

VISIBLE = 8 / 255
"""The step along a gradient that stands for one that is not there (straight through)."""

LOW, HIGH = 0.5, 2.0
"""The true slope along the gradient, over its length: outside, it is too large, faint or turned."""

PARTIAL = 0.25
"""The share of the gradient's length by which it may miss the true one, seen from directions that
know nothing: what leaves out one channel of three misses 0.6, what rounding and kinks do 0.01."""

NORMAL = 1.4826
"""From the median of absolute values to the standard deviation of a normal distribution."""

FAINTEST = {"float32": 1e-2, "float64": 1e-6}
"""Of the logits' size: slopes below it drown in rounding."""

ALIKE = 1e-6
"""Of the logits' size: images whose logits differ by less are dead ones, with those of the bias."""

CONSTANT = 1e-4
"""Of the logits' size: where images move them by less, the answer is a bias and no function."""


def gradient(follower: Follower, images: Images) -> Check:
    """Check that the gradient that attacks follow is the slope of what the model answers.

    The scalar is a random projection of the logits, of sum zero over the classes: it does not
    saturate as a loss does, so that a temperature, or certainty, changes nothing. Images are moved
    a little inside [0, 1] and noise is laid over them, since a black margin puts thousands of
    maxima and kinks on a tie. The slope is measured along the gradient, where a faint or reversed
    one shows, and in random directions, where one shows that is right on few pixels or channels
    only. What does not agree in float32 is measured again on more images, in float64 where the
    network computes in it, with a step a thousand times as short; the nearer of both counts, and
    the medians over the images decide.

    Where it is declared that a gradient passes straight through what has none, a visible step
    along it must raise the scalar of half of the images; nothing more can be asked.

    Source: central differences: Nocedal and Wright, "Numerical Optimization", 2006, section 8.1;
        why gradients mislead: Athalye, Carlini and Wagner, "Obfuscated Gradients Give a False
        Sense of Security", 2018, section 3.
    """
    if follower.is_straight_through:
        return _visible(follower, images)
    start = inside(filled(images, IMAGES))
    first = slopes(follower, start, torch.float32, COARSE)
    if first is None:
        words = "lets no gradient through to the pixels"
        return Check("gradient", "violated", words, {"n": IMAGES})
    seen = _judged(first, first, "float32")
    if seen.state == "ok":
        return seen
    more = inside(filled(images, 2 * IMAGES))
    coarse = slopes(follower, more, torch.float32, COARSE)
    fine, precision = _finer(follower, more)
    if coarse is None or fine is None:  # it was there a moment ago
        raise PluginError.of("model", "lets gradients through now and then", "always, or never")
    if _parted(coarse, fine) > PARTIAL:  # what attacks follow is the gradient in float32
        return _judged(coarse, coarse, "float32")
    return _judged(coarse, fine, precision)


def _parted(coarse: Slopes, fine: Slopes) -> float:
    """Return how far two gradients of the same images lie apart: a median share of their length."""
    lengths = torch.maximum(coarse.lengths, fine.lengths)
    shares = (coarse.gradients - fine.gradients).norm(dim=1) / lengths
    return float(torch.where(lengths == 0, 0.0, shares).nan_to_num(nan=0.0).median())


def _finer(follower: Follower, images: Images) -> tuple[Slopes | None, str]:
    """Measure in float64; in float32 with a longer step where the network cannot."""
    try:
        with explained(lambda error: PluginError.of("model", named(error))):
            return slopes(follower, images, torch.float64, FINE), "float64"
    except BenchError:
        return slopes(follower, images, torch.float32, 4 * COARSE), "float32"


def _judged(coarse: Slopes, fine: Slopes, precision: str) -> Check:
    """Decide by the medians over the images that say something."""
    n = len(fine.lengths)
    is_zero = (fine.lengths == 0) | ~fine.lengths.isfinite()
    moves = (coarse.measured != 0).any(0) | (fine.measured != 0).any(0)
    hidden = is_zero & (moves | _apart_from_others(fine.outputs, is_zero))
    figures: dict[str, JSON] = {"n": n, "hidden": int(hidden.sum()), "precision": precision}
    if int(hidden.sum()) * 2 >= n:
        words = (
            f"has no gradient, or none that is finite, at {int(hidden.sum())} of {n} images, "
            "though its answers change with the pixels"
        )
        return Check("gradient", "violated", words, figures)
    if _spread(fine.outputs) <= CONSTANT:
        words = "its answer is next to the same whatever the pixels are"
        return Check("gradient", "not applicable", words, figures)
    floor = FAINTEST[precision] * fine.sizes
    clear = ~is_zero & ((fine.lengths >= floor) | (fine.along.abs() >= floor))
    if 2 * int(clear.sum()) < int((~is_zero).sum()) or is_zero.all():
        words = f"its slopes drown in the rounding of {precision}"
        return Check("gradient", "failed", words, figures)
    ratio = _nearer(coarse.along / coarse.lengths, fine.along / fine.lengths)[clear].median()
    missed = _missed(coarse, fine)[:, clear].median() * NORMAL
    figures |= {"slope_over_gradient": _plain(ratio), "missed": _plain(missed)}
    words = _in_words(float(ratio), float(missed), precision)
    return Check("gradient", "violated" if words else "ok", words, figures)


def _nearer(coarse: PerImage, fine: PerImage) -> PerImage:
    """Return the ratio nearer to one of two steps: kinks spoil long ones, rounding short ones."""
    return torch.where((coarse - 1).abs() < (fine - 1).abs(), coarse, fine).nan_to_num(nan=0)


def _missed(coarse: Slopes, fine: Slopes) -> torch.Tensor:
    """Return by what share of the gradient's length its slopes in random directions are wrong."""
    parts = [(s.measured - s.stated).abs() / s.lengths for s in (coarse, fine)]
    return torch.minimum(*parts).nan_to_num(nan=torch.inf)


def _apart_from_others(outputs: Logits, chosen: torch.Tensor) -> torch.Tensor:
    """Whether logits differ between the chosen images: dead ones all have those of the bias."""
    if int(chosen.sum()) < 2:  # noqa: PLR2004 (two of them)
        return torch.zeros_like(chosen)
    return chosen & (_spread(outputs[chosen]) > ALIKE)


def _spread(outputs: Logits) -> float:
    """Return how far the logits of several images lie apart, as a share of their size.

    What is added to all classes of an image alike changes no answer.
    """
    outputs = outputs - outputs.mean(1, keepdim=True) if outputs.shape[1] > 1 else outputs
    size = float(outputs.abs().amax())
    return float((outputs.amax(0) - outputs.amin(0)).amax()) / size if size > 0 else 0.0


def _in_words(ratio: float, missed: float, precision: str) -> str:
    """Say what is wrong with a gradient; nothing where nothing is."""
    measured = f"finite differences in {precision}"
    if ratio < 0:
        return f"has a gradient that points the wrong way: along it, {measured} fall"
    if not LOW <= ratio <= HIGH:
        often = f"{ratio:.3g} times" if ratio > HIGH or ratio >= 0.01 else "next to nothing of"  # noqa: PLR2004
        return f"has a gradient of a wrong length: along it, {measured} are {often} what it says"
    if missed > PARTIAL:
        return (
            "has a gradient that is right for a part of the pixels only: in random directions, "
            f"{measured} miss it by {100 * missed:.0f} % of its length"
        )
    return ""


def _visible(follower: Follower, images: Images) -> Check:
    """Check that a step along the sign of a declared stand-in raises what it should."""
    start = inside(filled(images, 2 * IMAGES))
    classifier = follower.make()
    gradients, _ = differentiated(follower, classifier, start)
    n = len(start)
    if gradients is None:
        return Check("gradient", "violated", "lets no gradient through to the pixels", {"n": n})
    step = VISIBLE * gradients.sign().nan_to_num()
    up = scalars(follower, classifier, start + step)
    down = scalars(follower, classifier, start - step)
    raised, zero = int((up > down).sum()), int((step == 0).flatten(1).all(1).sum())
    figures: dict[str, JSON] = {"n": n, "raised": raised, "zero": zero}
    if bool((up == down).all()) and zero == n and bool(_is_constant(follower, classifier, start)):
        words = "its answer is the same whatever the pixels are"
        return Check("gradient", "not applicable", words, figures)
    words = (
        f"has a gradient that leads nowhere: a step of 8/255 along it raises what it should at "
        f"{raised} of {n} images"
    )
    return Check(
        "gradient",
        "violated" if 2 * raised < n else "ok",
        words if 2 * raised < n else "",
        figures,
    )


def _is_constant(follower: Follower, classifier: Classifier, images: Images) -> bool:
    with torch.no_grad():
        logits = answers(follower, classifier, images)
    return bool((logits == logits[:1]).all())


def _plain(value: torch.Tensor) -> JSON:
    """Return a number of four digits; None for what is not finite."""
    number = float(value)
    return float(f"{number:.4g}") if abs(number) < float("inf") else None
