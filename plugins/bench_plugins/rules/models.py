"""Rules on models: what would make every number of a model mean something else.

No rule knows a model but by its facts and its records.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench import statistics
from bench.api import Case, Entry, Evidence, Rule, outcomes
from bench.api.rules import CLAIMS, chance, subject
from bench.records import JSON

ZERO_GRADIENTS = 0.05
"""The share of images whose gradient may be zero: where a model is certain, it underflows."""

USEFUL = 0.2
"""How far above chance the accuracy of a model that was trained is expected, at the least."""

BETTER = 0.01
"""A model is distinguished from chance, and from a useful one, below this p-value."""

WIDEST = 0.4
"""The widest 95 % interval of a rate that says anything: 21 images, half of them fooled."""


class NoGradients(Rule):
    """Count the images whose loss has no gradient, or none that is finite."""

    name = "no-gradients"
    sees = "the loss of many images has no gradient"
    matters = "Attacks that follow gradients stay where they are, and the model looks robust."
    needs = "an attack"
    concerns = "robustness"
    probes = ("gradients",)
    revision = 2
    explains = ("survives-large-eps", "no-better-than-noise", "transfer-beats-white-box")

    def look(self, evidence: Evidence) -> Iterator[Case]:
        for probe in evidence.probes("gradients"):
            gradients = evidence.records(probe)["gradient"]
            count, n = int((gradients.isna() | (gradients == 0)).sum()), len(gradients)
            model = str(probe.coordinates).rpartition("/")[0]
            words = (
                f"{model}: the loss of {count} of {n} images has no gradient, or none that is "
                "finite"
            )
            followers = tuple(
                entry.label
                for entry in evidence.attacks
                if subject(entry) == subject(probe) and evidence.passes_back(entry) > 0
            )
            p_value = statistics.at_least(count, n, ZERO_GRADIENTS)
            yield Case(
                followers, words, {"n": n, "without": count}, p_value, count >= ZERO_GRADIENTS * n
            )


class NoBetterThanChance(Rule):
    """Ask whether a model is worse than a trained one, and not shown to be better than chance."""

    name = "no-better-than-chance"
    sees = "a model is not distinguished from guessing"
    matters = (
        "The robustness of an untrained model means nothing: other weights were loaded than was "
        "thought, or none."
    )
    needs = "an evaluated model"
    concerns = "models"

    def look(self, evidence: Evidence) -> Iterator[Case]:
        classes = len(evidence.dataset["classes"])
        for entry in evidence.done("evaluate"):
            records = evidence.records(entry)
            hits, n = int((records["prediction"] == records["label"]).sum()), len(records)
            by_chance = chance(records["label"], classes)
            # where nearly all images are of one class, halfway to always right is useful
            useful = min(by_chance + USEFUL, (1 + by_chance) / 2)
            p_value = statistics.at_least(n - hits, n, 1 - useful)
            is_better = statistics.at_least(hits, n, by_chance) < BETTER
            words = (
                f"{entry.coordinates} has {hits} of {n} images right, where always saying the same "
                "has "
                f"{by_chance * n:.0f}"
            )
            cells = tuple(
                other.label
                for other in evidence.entries
                if other.kind in CLAIMS and subject(other) == subject(entry)
            )
            counts: dict[str, JSON] = {"n": n, "right": hits, "chance": by_chance}
            is_material = not is_better and p_value < BETTER
            yield Case(cells, words, counts, p_value, is_material)


class FewImages(Rule):
    """Look for rates that rest on too few images: of replicas, those of one training."""

    name = "few-images"
    sees = "the interval of a rate is too wide to say anything"
    matters = "So wide an interval holds nearly every claim and its opposite."
    needs = "a rate"
    concerns = frozenset()
    revision = 2

    def look(self, evidence: Evidence) -> Iterator[Case]:
        places: dict[str, list[Entry]] = {}
        for kind in CLAIMS:
            for entry in evidence.done(kind):
                where = entry.coordinates
                same = (where.model, where.variant, where.attack, where.source)
                places.setdefault(f"{kind} {same}", []).append(entry)
        for found in places.values():
            training = found[0].coordinates.training
            entries = [e for e in found if e.coordinates.training == training]
            for name in CLAIMS[found[0].kind]:
                parts = [_hits(evidence, entry, name) for entry in entries]
                hits, n = (sum(part) for part in zip(*parts, strict=True))
                known = statistics.rate(hits, n)
                low, high = known.low or 0.0, known.high or 0.0
                half = statistics.rate(n // 2, n)
                widest = 100 * ((half.high or 0.0) - (half.low or 0.0))
                words = (
                    f"{name} rests on {n} image{'s' * (n != 1)}: so few leave a 95 % interval of "
                    f"up to {widest:.0f} points"
                )
                counts: dict[str, JSON] = {"n": n, "low": low, "high": high}
                cells = tuple(entry.label for entry in found)
                yield Case(cells, words, counts, None, high - low > WIDEST, frozenset({name}))


def _hits(evidence: Evidence, entry: Entry, name: str) -> tuple[int, int]:
    """Count the images for which a rate holds, and those that it is of: none if it is withheld."""
    records = evidence.records(entry)
    if entry.kind == "evaluate":
        return int((records["prediction"] == records["label"]).sum()), len(records)
    if entry.budget is None or records["violation"].notna().any():
        return 0, 0
    if name == "robust_accuracy":
        correct = outcomes.right_before(records) & outcomes.right_after(records)
        return int(correct.sum()), len(records)
    fooled = evidence.fooled(entry)
    return int(fooled.sum()), len(fooled)


class NotAveraged(Rule):
    """Look for attacks that follow one random gradient of a classifier that is random."""

    name = "not-averaged"
    sees = "a random classifier is attacked along single gradients"
    matters = (
        "A single random gradient points anywhere: the rate describes the randomness, not "
        "the model."
    )
    needs = "an attack on a random classifier"
    concerns = "robustness"

    def look(self, evidence: Evidence) -> Iterator[Case]:
        for entry in evidence.attacks:
            if entry.facts.get("randomised") is not True or not evidence.passes_back(entry):
                continue
            words = f"{entry.coordinates}: the classifier is random, and gradients are not averaged"
            own = entry.facts.get("gradient_samples")
            is_averaged = entry.facts.get("averaged") is True or (isinstance(own, int) and own > 1)
            yield Case(
                (entry.label,), words, {"n": len(evidence.records(entry))}, None, not is_averaged
            )


RULES = (
    NoGradients,
    NoBetterThanChance,
    FewImages,
    NotAveraged,
)
