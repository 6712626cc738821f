"""Rules on the contract of a model: what makes each of its numbers mean something else.

Each reads one check of the contract cells. A model whose variants break it in the same way is one
finding; it concerns every figure of all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from bench.api import Case, Entry, Evidence, Rule
from bench.records import JSON, ORIGINAL

MAKERS = ("load", "compress")
"""Cells that make weights: they have no figures."""


class ContractRule(Rule):
    """What the rules of this table share.

    Class variables:
        check: the name of the check.
        misleads: what that does to numbers: the end of the sentence.
    """

    check: ClassVar[str] = ""
    misleads: ClassVar[str] = ""
    needs = "a model"
    concerns = "everything"
    probes = ("contract",)

    def look(self, evidence: Evidence) -> Iterator[Case]:
        models: dict[str, list[tuple[Entry, Mapping[str, Any]]]] = {}
        for entry, check in self._checks(evidence):
            if check["state"] == "ok":
                figures: dict[str, JSON] = {"n": check["figures"].get("n")}
                yield Case((), f"{entry.coordinates}: {self.check}", figures, None, False)  # noqa: FBT003 (clean)
            if check["state"] == "violated":
                models.setdefault(entry.coordinates.model, []).append((entry, check))
        for broken in models.values():
            for group in _groups(broken):
                yield self._case(evidence, group)

    def gaps(self, evidence: Evidence) -> Iterator[str]:
        for entry, check in self._checks(evidence):
            if check["state"] == "failed":
                yield f"{entry.label}: {self.check}: {check['words']}"

    def _checks(self, evidence: Evidence) -> Iterator[tuple[Entry, Mapping[str, Any]]]:
        for entry in evidence.probes("contract"):
            for check in evidence.summary(entry)["checks"]:
                if check["name"] == self.check:
                    yield entry, check

    def _case(self, evidence: Evidence, group: Sequence[tuple[Entry, Mapping[str, Any]]]) -> Case:
        """Make one case of the variants that break the contract in the same way."""
        (first, check), *others = group
        shared = dict.fromkeys(entry.coordinates.model_variant for entry, _ in others)
        shared.pop(first.coordinates.model_variant, None)
        also = f" (as do {', '.join(shared)})" if shared else ""
        sentence = f"{first.coordinates} {check['words']}{also}: {self.misleads}"
        cells = dict.fromkeys(
            entry.label
            for entry in evidence.entries
            if entry.kind not in MAKERS and any(_is_of(entry, broken) for broken, _ in group)
        )
        return Case(tuple(cells), sentence, dict(check["figures"]), None, True)  # noqa: FBT003 (broken)


def _groups(
    broken: Sequence[tuple[Entry, Mapping[str, Any]]],
) -> list[list[tuple[Entry, Mapping[str, Any]]]]:
    """Put together what is one fact: all variants where the original is among them, else each."""
    variants: dict[str, list[tuple[Entry, Mapping[str, Any]]]] = {}
    for entry, check in broken:
        variants.setdefault(entry.coordinates.variant, []).append((entry, check))
    if ORIGINAL not in variants:
        return list(variants.values())
    own = variants.pop(ORIGINAL)
    return [[*own, *(each for others in variants.values() for each in others)]]


def _is_of(entry: Entry, broken: Entry) -> bool:
    """Whether a cell has numbers of a model variant, images that were made on it included."""
    one, other = entry.coordinates, broken.coordinates
    is_own = (one.model, one.variant) == (other.model, other.variant)
    is_made_on_it = one.source == f"{other.model}/{other.variant}"
    is_same_training = one.replica == other.replica or None in (one.replica, other.replica)
    return (is_own or is_made_on_it) and is_same_training


class NotLogits(ContractRule):
    """Look for outputs that are probabilities, or no logits at all."""

    name = "not-logits"
    check = "logits"
    sees = "a model returns probabilities, or numbers that are not finite"
    matters = (
        "Every loss and every confidence takes the softmax of logits. Of probabilities it is taken "
        "twice: gradients all but vanish, and no confidence is what the model means."
    )
    misleads = (
        "the softmax is taken of them once more, so that its confidence, its calibration and every "
        "attack's loss are those of another model; have it return what it takes the softmax of"
    )


class AnswersByBatch(ContractRule):
    """Look for models that answer an image by the images beside it."""

    name = "answers-by-batch"
    check = "batch"
    needs = "a model that answers the same when it is asked again"
    sees = "a model's answer depends on the images beside it, or on their order"
    matters = "The same image is right in one cell and wrong in another: no rate is of the model."
    misleads = (
        "one image may be right in one cell and wrong in another, and no number is of the model "
        "alone; normalise by statistics that were learned"
    )


class AnswersByHistory(ContractRule):
    """Look for models that answer otherwise when they are asked again."""

    name = "answers-by-history"
    check = "state"
    explains = ("moves-at-zero", "not-repeatable")
    sees = "a model answers the same image otherwise when it is asked again"
    matters = (
        "Each number holds for one draw, or for one order of questions: attacked is another model "
        "than is judged."
    )
    misleads = (
        "each number is one draw of many, or of one order of questions; draw nothing and "
        "remember nothing in eval mode, or declare it as a defense"
    )


class AnswersByMode(ContractRule):
    """Look for models that play another function while gradients are followed."""

    name = "answers-by-mode"
    check = "mode"
    needs = "a model that answers the same when it is asked again"
    sees = "a model plays another function while its gradients are followed"
    matters = "What attacks see is not what is judged: they fail, and the model looks robust."
    misleads = (
        "what is attacked and explained is not what is judged; let its forward ask for no mode"
    )


class NumbersOutside(ContractRule):
    """Look for models that compute with numbers which no weights file holds."""

    name = "numbers-outside-weights"
    check = "weights"
    needs = "a model with a network of its own"
    sees = "a model computes with numbers that are in no weights file"
    matters = "What was trained was not saved: what is measured is partly drawn at random."
    misleads = (
        "it is not the model that was trained; register its layers (nn.ModuleList) and its tensors "
        "(register_buffer), train it again and save it"
    )


class GradientMisleads(ContractRule):
    """Look for gradients that are not the slope of the answer."""

    name = "gradient-misleads"
    check = "gradient"
    explains = (
        *("no-gradients", "survives-large-eps", "no-better-than-noise"),
        "transfer-beats-white-box",
    )
    needs = "a model whose answers depend on the pixels alone"
    sees = "a model's gradient is missing, faint, partial, turned, or not the slope of its answer"
    matters = (
        "Attacks that follow it stay where they are or go astray, and the model looks robust; "
        "saliency maps show what is not there."
    )
    misleads = (
        "attacks that follow it fail, and explanations show something else; let gradients through, "
        "or put what has none into a defense with a surrogate"
    )


RULES = (
    NotLogits,
    AnswersByBatch,
    AnswersByHistory,
    AnswersByMode,
    NumbersOutside,
    GradientMisleads,
)
