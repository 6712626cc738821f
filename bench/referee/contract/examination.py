"""The examination of one model: every check once, each by itself.

A check that fails costs only itself. What would only repeat another check's violation is not
applicable: a model that answers by chance also answers otherwise in another batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from bench import seeds
from bench.classifier.classifier import Classifier
from bench.errors import BenchError, PluginError, explained, named
from bench.referee.attacks import BATCH
from bench.referee.contract import behaviour, gradients, slopes, weights
from bench.referee.contract.answers import Check, ask
from bench.tensors import Images, Logits

CHECKS = ("logits", "state", "batch", "mode", "weights", "gradient")
"""The checks, in the order in which they are carried out."""


GOLDEN = 0.6180339887498949
"""Multiples of the golden ratio spread evenly."""


@dataclass(frozen=True)
class Model:
    """What is examined. Each function returns it as it was before any question.

    Attributes:
        judged: what verdicts are given on.
        attacked: what attacks are given.
        plain: the network behind its normalisation, without shields; None where none answers.
        rebuilt: the same, built from another seed; None where that cannot be.
        held: the names of the weights in the file; None: those of the network as it is.
        classes: of the data.
        is_randomised: whether it is declared that it draws numbers.
        is_straight_through: whether it is declared that its gradient stands for none.
        agrees: whether what attacks are given answers as what is judged.

    """

    judged: Callable[[], Classifier]
    attacked: Callable[[], Classifier]
    plain: Callable[[], Classifier] | None
    rebuilt: Callable[[], Classifier] | None
    classes: int
    held: frozenset[str] | None = None
    is_randomised: bool = False
    is_straight_through: bool = False
    agrees: bool = True


def examine(model: Model, images: Images) -> list[Check]:
    """Carry out all checks on a few images; the global generators are put back."""
    with seeds.preserved():
        return _examined(model, _spread(images))


def _examined(model: Model, images: Images) -> list[Check]:
    known: dict[str, Check] = {}
    crowd = behaviour.crowd(images, BATCH)
    try:
        with _explained():
            judged = model.judged()
            whole = ask(judged, crowd)
    except BenchError as error:
        return [Check(name, "failed", _first_line(error)) for name in CHECKS]
    for name in CHECKS:
        reason = _needless(name, model, known)
        if reason:
            known[name] = Check(name, "not applicable", reason)
            continue
        try:
            with _explained():
                known[name] = _carried_out(name, model, images, (judged, whole), known)
        except BenchError as error:
            known[name] = Check(name, "failed", _first_line(error))
    return list(known.values())


def _spread(images: Images) -> Images:
    """Return images in an order whose beginnings lie far apart: neighbours are of one class."""
    places = torch.arange(len(images), dtype=torch.float64)
    return images[(places * GOLDEN).frac().argsort()]


def _explained() -> AbstractContextManager[None]:
    """Run a network that somebody else wrote: what it raises is named."""
    return explained(lambda error: PluginError.of("", f"raised {named(error)}"))


def _first_line(error: BenchError) -> str:
    return str(error).partition("\n")[0]


def _needless(name: str, model: Model, known: Mapping[str, Check]) -> str:
    """Say why a check would say nothing of its own, or nothing."""
    if name == "logits":
        return ""
    if known["logits"].state == "violated" and "sum" not in known["logits"].figures:
        return "its outputs are no logits"
    if name in ("batch", "mode") and known["state"].state != "ok":
        return "it answers otherwise when it is asked again"
    if name == "gradient" and known["batch"].state == "violated":
        return "its answer depends on the batch"
    if name == "gradient" and known["mode"].state == "violated":
        return "it plays another function while gradients are followed"
    if name == "weights" and model.plain is None:
        return "it asks its members only"
    return ""


def _carried_out(
    name: str,
    model: Model,
    images: Images,
    before: tuple[Classifier, Logits],
    known: Mapping[str, Check],
) -> Check:
    """Carry out one check.

    Args:
        name: of the check.
        model: what is examined.
        images: a few.
        before: what is judged, and its logits of a whole batch.
        known: the checks before.

    """
    judged, whole = before
    if name == "logits":
        return behaviour.logits(whole, model.classes)
    if name == "state":
        check = behaviour.state(model.judged, images)
        is_declared = check.state == "violated" and model.is_randomised
        words = "it is declared that it draws numbers"
        return Check(name, "not applicable", words, check.figures) if is_declared else check
    if name == "batch":
        return behaviour.batch(judged, behaviour.crowd(images, BATCH), whole)
    is_fresh = known["state"].state != "ok" or model.is_randomised
    attacked = model.attacked if is_fresh else _once(model.attacked)
    if name == "mode":
        return behaviour.mode(attacked, images, judged if model.agrees else None)
    if name == "weights":
        repeats = known["state"].state == "ok"
        plain = _present(model.plain)
        return weights.weights(plain, model.rebuilt, images, model.held, repeats=repeats)
    return gradients.gradient(
        slopes.Follower(
            attacked,
            is_fresh=is_fresh,
            in_logs=known["logits"].state == "violated",
            is_straight_through=model.is_straight_through,
        ),
        images,
    )


def _once(make: Callable[[], Classifier]) -> Callable[[], Classifier]:
    """Make a model once: what answers the same whenever it is asked need not be made anew."""
    made = make()
    return lambda: made


def _present(plain: Callable[[], Classifier] | None) -> Callable[[], Classifier]:
    if plain is None:
        raise TypeError("no network of its own answers")
    return plain
