"""Checks of what a model answers: logits, and the same ones whenever and however it is asked.

Each is a function of a classifier, or of one that is made anew, and images. None knows how the
model was made, nor what becomes of its violations.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from bench.classifier.classifier import Classifier
from bench.errors import BenchError, PluginError, explained, named
from bench.records import JSON
from bench.referee.contract.answers import (
    FEW,
    TOLERANCE,
    Check,
    Mode,
    apart,
    ask,
    differs,
    filled,
    found,
    largest,
    others,
    share_in_words,
)
from bench.tensors import Images, Logits, PerImage

ROUNDED = 0.03
"""By how much the sums of rounded probabilities may be off: two decimals, ten classes."""

OFF = 0.5
"""By which share of the outputs' own spread the sums of probabilities may be off at most: the sums
of logits spread more than the logits."""

END = 0.05
"""How near to 0 or 1 a number lies that a sigmoid saturates to."""

REPEATS = 4
"""How often the same images are shown in a row."""

FAR = 1_000_000
"""What a counter that grows with the calls is set to."""


def logits(outputs: Logits, classes: int) -> Check:
    """Check that outputs are finite logits, one for each class, and no probabilities.

    Cross-entropy, confidence and calibration take the softmax of logits: of probabilities they
    would take it a second time. Probabilities, averages of them and shares of votes are never
    negative, and sum to the same on every image; logits of one image may, those of all do not.
    Sums may be off by what rounding (fp16, two decimals) leaves, and by less than the outputs
    themselves spread. Sigmoids of each class are none, either: they crowd at 0 and 1.
    Log-probabilities are logits: the softmax of them is the softmax.

    Source: the definition of the categorical distribution.
    """
    n, count = outputs.shape
    if count != classes:
        words = f"returns {count} numbers for an image, where the data have {classes} classes"
        return Check("logits", "violated", words, {"n": n, "outputs": count})
    finite = outputs.isfinite().all(1)
    if not finite.all():
        broken = int((~finite).sum())
        words = f"returns logits that are not finite for {broken} of {n} images"
        return Check("logits", "violated", words, {"n": n, "broken": broken})
    sums = outputs.sum(1)
    total, spread = float(sums.mean()), float((outputs - outputs.mean(0)).abs().mean())
    off = float((sums - total).abs().max())
    is_alike = off <= min(ROUNDED * abs(total), OFF * spread + 1e-6 * abs(total))
    is_probability = count > 1 and total > 0 and is_alike and float(outputs.min()) >= 0
    words = (
        f"returns probabilities, not logits: on all of {n} images its outputs are never negative "
        f"and sum to {total:.4g}"
    )
    if not is_probability and _crowd_at_ends(outputs):
        words = (
            f"returns numbers as a sigmoid does, not logits: on all of {n} images they lie in "
            "[0, 1], and crowd at both ends"
        )
        return Check("logits", "violated", words, {"n": n, "sum": total, "off": off})
    return found("logits", words, {"n": n, "sum": total, "off": off}, is_violated=is_probability)


def _crowd_at_ends(outputs: Logits) -> bool:
    """Whether outputs are as a sigmoid's: near 0 or near 1 mostly, often at 1, and never beyond."""
    if float(outputs.min()) < 0 or float(outputs.max()) > 1:
        return False
    low, high = (outputs < END).double().mean(), (outputs > 1 - END).double().mean()
    return bool(low + high > 0.5 and low > 0 and high > 0.5 / outputs.shape[1])  # noqa: PLR2004 (most; for every second image)


def batch(classifier: Classifier, images: Images, whole: Logits) -> Check:
    """Check that an answer depends neither on the batch, nor on its order, nor on company.

    The same images are shown in another order, half of them beside other images, one beside
    copies of itself, and in a batch of another size. Batches have one size otherwise, since kernels
    round differently in another.

    Args:
        classifier: what is judged.
        images: a large batch.
        whole: its logits of them.

    Source: Ioffe and Szegedy, "Batch Normalization", 2015, section 3.1: with the statistics of the
        batch an output is no function of one example.

    """
    shown = images[:FEW]
    first = ask(classifier, shown)
    order = torch.arange(FEW).roll(1)
    half = FEW // 2
    mixed = torch.cat([shown[:half], others(shown)[half:]])
    late = torch.cat([others(shown)[:half], shown[half:]])
    company = torch.cat([ask(classifier, mixed)[:half], ask(classifier, late)[half:]])
    alone = torch.cat([ask(classifier, shown[i : i + 1].expand(FEW, -1, -1, -1)) for i in (0, 1)])
    ways: dict[str, PerImage] = {
        "in another order": apart(first[order], ask(classifier, shown[order])),
        "beside other images": apart(first, company),
        "beside copies of itself": apart(
            first, torch.cat([alone[:1], alone[FEW : FEW + 1], first[2:]])
        ),
        "in a larger batch": apart(first, whole[:FEW]),
    }
    worst = torch.stack(list(ways.values())).amax(0)
    bad = [way for way, shares in ways.items() if (shares > TOLERANCE).any()]
    count = int((worst > TOLERANCE).sum())
    words = (
        f"answers {count} of {FEW} images otherwise {' and '.join(bad[:2])}, "
        f"{share_in_words(worst)}"
    )
    figures: dict[str, JSON] = {way: largest(shares) for way, shares in ways.items()}
    return found("batch", words, {"n": FEW, **figures}, is_violated=differs(worst))


def crowd(images: Images, count: int) -> Images:
    """Return a batch of images that differ in brightness: every second one is dimmed."""
    batch = filled(images, count).clone()
    batch[1::2] /= 2
    return batch


def state(make: Callable[[], Classifier], images: Images) -> Check:
    """Check that an answer does not depend on how often was asked, or on what was asked before.

    The same images are shown again after others, and five times in a row, each time with the
    global generators seeded otherwise: what draws numbers answers otherwise. Images close to those
    are shown to a model that saw the first ones and to one that did not: what remembers its inputs
    repeats itself. A number in the model that grows with the calls is set far ahead, on a copy: a
    counter that changes no answer is none of this check's business.

    Args:
        make: returns the model as it was before any question.
        images: a few.

    Source: Dropout that stays on: Srivastava et al., 2014, section 10 (a prediction is of the whole
        network). Memory: stateful defenses, Chen, Carlini and Wagner, "Stateful Detection of
        Black-Box Adversarial Attacks", 2020.

    """
    shown = filled(images, FEW)
    noise = torch.rand(shown.shape, generator=torch.Generator().manual_seed(2)) - 0.5
    near = (shown + noise / 32).clamp(0, 1)
    asked, fresh = make(), make()
    unseen = ask(fresh, near)
    counters = _counters(asked)
    first = ask(asked, shown)
    growing = _grown(counters, _counters(asked))
    remembered = ask(asked, near, seed=1)
    ask(asked, others(shown), seed=2)
    ways: dict[str, PerImage] = {"when asked again": apart(first, ask(asked, shown, seed=3))}
    ways["after images that look like them"] = apart(unseen, remembered)
    pair = ask(asked, shown[:2], seed=4)
    for repeat in range(REPEATS):
        again = apart(pair, ask(asked, shown[:2], seed=5 + repeat))
        ways["when asked five times"] = torch.maximum(
            again, ways.get("when asked five times", torch.zeros(2))
        )
    far = _after_many(asked, growing, shown)
    if far:
        ways["after many calls"] = torch.stack([apart(first, answer) for answer in far]).amax(0)
    bad = [way for way, shares in ways.items() if differs(shares)]
    worst = torch.cat(list(ways.values()))
    words = f"answers the same images otherwise {' and '.join(bad[:2])}, {share_in_words(worst)}"
    figures: dict[str, JSON] = {way: largest(shares) for way, shares in ways.items()}
    return found("state", words, {"n": FEW, **figures}, is_violated=bool(bad))


def _counters(module: nn.Module) -> dict[tuple[str, str], float]:
    """Return the whole numbers that parts of a module hold, by the part and the name."""
    held: dict[tuple[str, str], float] = {}
    for name, part in module.named_modules():
        if isinstance(part, Classifier):
            continue  # it counts passes, and answers by none of its counts
        for key, value in (*vars(part).items(), *part._buffers.items()):  # noqa: SLF001 (all of them)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            is_scalar = isinstance(value, torch.Tensor) and value.numel() == 1
            if is_number or is_scalar:
                held[name, key] = float(value)
    return held


def _grown(
    before: dict[tuple[str, str], float], after: dict[tuple[str, str], float]
) -> dict[tuple[str, str], float]:
    """Return by how much each counter grew in one call; those that fell or stayed left out."""
    steps = {key: after[key] - before.get(key, after[key]) for key in after}
    return {key: step for key, step in steps.items() if step > 0}


def _after_many(
    classifier: Classifier, growing: dict[tuple[str, str], float], images: Images
) -> list[Logits]:
    """Return two answers after many calls; none where nothing counts, or the model fails then.

    A number that grows may be a place in a list: what is set far ahead is not there.
    """
    if not growing:
        return []
    _set_far(classifier, growing)
    try:
        with explained(lambda error: PluginError.of("model", named(error))):
            return [ask(classifier, images), ask(classifier, images)]
    except BenchError:
        return []


def _set_far(module: nn.Module, growing: dict[tuple[str, str], float]) -> None:
    """Set counters far ahead, so that the next call reaches a round number."""
    parts = dict(module.named_modules())
    for (name, key), step in growing.items():
        held = getattr(parts[name], key)
        if isinstance(held, torch.Tensor):
            held.fill_(FAR - step)
        else:
            setattr(parts[name], key, type(held)(FAR - step))


def mode(make: Callable[[], Classifier], images: Images, judged: Classifier | None) -> Check:
    """Check that an answer does not depend on whether gradients are followed.

    Verdicts are given under ``no_grad``, and attacks look under ``enable_grad``, at images that
    require gradients: a model that plays another function there is judged by one, attacked by the
    other. Kernels may differ between the modes, and then round differently.

    Args:
        make: returns what attacks are given, as it was before any question.
        images: a few.
        judged: what verdicts are given on, where it has the same answers.

    Source: Carlini et al., "On Evaluating Adversarial Robustness", 2019, section 3 (what is
        attacked is what is evaluated).

    """
    shown = filled(images, FEW)
    first = ask(make(), shown)
    names: dict[str, Mode] = {
        "while gradients are on": "enable_grad",
        "where images require gradients": "requires_grad",
        "in inference mode": "inference_mode",
    }
    ways: dict[str, PerImage] = {}
    for way, asked_in in names.items():
        answer = _answer(make(), shown, asked_in)
        if answer is not None:
            ways[way] = apart(first, answer)
    if judged is not None:
        ways["where verdicts are given"] = apart(first, ask(judged, shown))
    bad = [way for way, shares in ways.items() if differs(shares)]
    worst = torch.stack(list(ways.values())).amax(0)
    words = f"plays another function {' and '.join(bad[:2])}, {share_in_words(worst)}"
    figures: dict[str, JSON] = {way: largest(shares) for way, shares in ways.items()}
    return found("mode", words, {"n": FEW, **figures}, is_violated=bool(bad))


def _answer(classifier: Classifier, images: Images, mode: Mode) -> Logits | None:
    """Return an answer; None in inference mode where a model cannot compute in it."""
    if mode != "inference_mode":
        return ask(classifier, images, mode=mode)
    try:
        with explained(lambda error: PluginError.of("model", named(error))):
            return ask(classifier, images, mode=mode)
    except BenchError:
        return None
