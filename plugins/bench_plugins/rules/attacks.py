"""Rules on attacks: what no attack that works would do.

Each compares cells, or a cell with a probe. No rule knows an attack but by its facts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from bench import statistics
from bench.api import Case, Entry, Evidence, Rule
from bench.api.rules import POINTS, chance, outdone, subject
from bench.records import DECLARED_FACTS, JSON, TOLERANCE

FLIPS = 0.01
"""The share of predictions that rounding alone may turn."""

REACHED = 1e-6
"""By which share steps times alpha may fall short of eps: rounding."""

# Attacks by themselves


class OverBudget(Rule):
    """Look for images that the referee gave no verdict."""

    name = "over-budget"
    sees = "an image out of [0, 1], over its budget or not finite"
    matters = (
        "An attack that oversteps is not the attack that is named. The rates of its cell are "
        "withheld."
    )
    needs = "an attack"
    concerns = "attacks"

    def look(self, evidence: Evidence) -> Iterator[Case]:
        for entry in evidence.attacks:
            broken = evidence.records(entry)["violation"]
            count, n = int(broken.notna().sum()), len(broken)
            first = broken.dropna().iloc[0] if count else "none"
            words = f"{entry.coordinates}: {count} of {n} images have no verdict: {first}"
            yield Case((entry.label,), words, {"n": n, "broken": count}, None, count > 0)


class MovesAtZero(Rule):
    """Look at attacks that were given no room: images must stay, and predictions with them."""

    name = "moves-at-zero"
    sees = "with eps 0, an image or its prediction changes"
    matters = (
        "An attack that moves images when it has no room, or a model that answers one image "
        "in two ways, adds to every rate at every eps."
    )
    needs = "an attack with an eps"
    concerns = "attacks"
    probes = ("eps-0",)

    def look(self, evidence: Evidence) -> Iterator[Case]:
        for probe in evidence.probes("eps-0"):
            if _is_random(probe):
                continue
            records = evidence.records(probe)
            moved = records["violation"].notna() | (records["linf"] > TOLERANCE)
            turned = records["prediction"] != records["clean_prediction"]
            count, n = int((moved | turned.fillna(value=True)).sum()), len(records)
            p_value = None if moved.any() else statistics.at_least(count, n, FLIPS)
            words = f"{_probed(probe)}: with eps 0, {count} of {n} images are not what they were"
            counts: dict[str, JSON] = {"n": n, "changed": count, "moved": int(moved.sum())}
            cells = evidence.stands_for(probe, "plugin")
            yield Case(cells, words, counts, p_value, count > 0)


def _is_random(entry: Entry) -> bool:
    """Say whether a classifier answers the same image in several ways."""
    return entry.facts.get("randomised") is True


def _probed(probe: Entry) -> str:
    """Name the attack that a probe is a variation of."""
    return str(replace(probe.coordinates, attack=str(probe.facts["of"])))


class FallsWithEps(Rule):
    """Compare each iterative attack with itself in the next larger ball."""

    name = "falls-with-eps"
    sees = "an iterative attack fools fewer images in a larger ball"
    matters = "The smaller ball lies in the larger: whoever finds less there is searching badly."
    needs = "an iterative attack with an eps"
    concerns = "attacks"
    probes = ("large-eps",)

    def look(self, evidence: Evidence) -> Iterator[Case]:
        chains: dict[str, list[Entry]] = {}
        for entry in evidence.attacks:
            if entry.budget is not None and evidence.passes_back(entry) > 1:
                chains.setdefault(f"{subject(entry)} {_without_eps(entry)}", []).append(entry)
        pairs = []
        for chain in chains.values():
            ordered = sorted(chain, key=_eps)
            pairs += [pair for pair in pairwise(ordered) if _eps(pair[0]) < _eps(pair[1])]
        for probe in evidence.probes("large-eps"):
            probed = evidence.probed(probe)
            if probed is not None and evidence.passes_back(probed) > 1:
                pairs.append((probed, probe))
        for small, large in pairs:
            words = (
                f"{small.coordinates} fools {{weak}} of {{n}} images, and with eps "
                f"{_eps(large):.6g} "
                "only {strong}"
            )
            cells = tuple(e.label for e in (small, large) if e.kind == "attack")
            yield outdone(cells, words, evidence.fooled(large), evidence.fooled(small))


def _eps(entry: Entry) -> float:
    return entry.budget.eps if entry.budget is not None else 0.0


def _without_eps(entry: Entry) -> list[tuple[str, str]]:
    """Return the facts that points of one attack share, whatever their eps."""
    eps = entry.facts.get("eps")
    apart = {"eps", "alpha", "budget", *DECLARED_FACTS} | {
        name
        for name, value in entry.facts.items()
        if value == eps and not isinstance(value, bool)  # True == 1
    }
    return sorted((name, str(value)) for name, value in entry.facts.items() if name not in apart)


class SurvivesLargeEps(Rule):
    """Look at attacks that may turn any image into any other: next to none may stay right."""

    name = "survives-large-eps"
    sees = "images stay right though the attack may turn them into any other"
    matters = (
        "In such a ball lies every image, those of other classes too: not to find one means "
        "gradients that mislead, or an attack that stops early."
    )
    needs = "an attack with an eps"
    concerns = "attacks"
    probes = ("large-eps",)

    def look(self, evidence: Evidence) -> Iterator[Case]:
        classes = len(evidence.dataset["classes"])
        for probe in evidence.probes("large-eps"):
            fooled = evidence.fooled(probe)
            if fooled.empty:
                continue
            kept, n = int((~fooled.astype(bool)).sum()), len(fooled)
            by_chance = chance(evidence.judged(probe).loc[fooled.index, "label"], classes)
            words = (
                f"{_probed(probe)}: with eps {_eps(probe):.6g}, by which any image can become any "
                f"other, {kept} of {n} images stay right; chance leaves {by_chance * n:.0f}"
            )
            counts: dict[str, JSON] = {"n": n, "kept": kept, "chance": by_chance}
            p_value = statistics.at_least(kept, n, by_chance)
            is_material = kept >= (by_chance + POINTS) * n
            yield Case(evidence.stands_for(probe), words, counts, p_value, is_material)


class OutOfReach(Rule):
    """Look for attacks whose steps, laid end to end, do not reach the edge of their ball."""

    name = "out-of-reach"
    sees = "the steps, laid end to end, do not reach eps"
    matters = (
        "The budget that is printed is not the one that was searched; often a step that stays "
        "as it is while eps grows."
    )
    needs = "an attack with steps, alpha and eps"
    concerns = "attacks"

    def look(self, evidence: Evidence) -> Iterator[Case]:
        for entry in evidence.attacks:
            alpha, steps = entry.facts.get("alpha"), entry.facts.get("steps")
            if (
                entry.budget is None
                or entry.budget.norm not in ("linf", "l2")
                or entry.facts["minimum_norm"]
                or not isinstance(alpha, int | float)
                or not isinstance(steps, int)
            ):
                continue
            reach, eps = steps * alpha, entry.budget.eps
            words = (
                f"{entry.coordinates}: {steps} steps of {alpha:.6g} reach {reach:.6g}, "
                f"not {eps:.6g}"
            )
            counts: dict[str, JSON] = {"steps": steps, "alpha": alpha, "reach": reach, "eps": eps}
            yield Case((entry.label,), words, counts, None, reach < eps * (1 - REACHED))


class Unconverged(Rule):
    """Compare attacks with themselves, given twice as many steps."""

    name = "unconverged"
    sees = "twice as many steps fool more images"
    matters = "The rate says when the attack stopped, not how robust the model is."
    needs = "an attack with steps"
    concerns = "attacks"
    probes = ("doubled-steps",)

    def look(self, evidence: Evidence) -> Iterator[Case]:
        for probe in evidence.probes("doubled-steps"):
            entry = evidence.probed(probe)
            if entry is None or entry.budget is None:
                continue
            words = (
                f"{entry.coordinates} fools {{strong}} of {{n}} images, and {{weak}} with "
                f"{probe.facts['steps']} steps"
            )
            cells = evidence.stands_for(probe)
            yield outdone(cells, words, evidence.fooled(entry), evidence.fooled(probe))


# Attacks beside each other


class WeakerThanOneStep(Rule):
    """Compare iterative attacks with a single step at the same budget and target."""

    name = "weaker-than-one-step"
    sees = "a single step fools more images than an iterative attack"
    matters = (
        "An iterative attack may take the single step too: falling short of it means steps "
        "that are too short, gradients that mislead, or a bug."
    )
    needs = "an iterative attack and fgsm at the same linf eps"
    concerns = "attacks"
    probes = ("single-step",)

    def look(self, evidence: Evidence) -> Iterator[Case]:
        for entry, reference in _beside(evidence, "single_step"):
            if evidence.passes_back(entry) <= 1 or entry.facts["minimum_norm"]:
                continue
            words = f"{entry.coordinates} fools {{strong}} of {{n}} images, a single step {{weak}}"
            yield outdone((entry.label,), words, evidence.fooled(entry), evidence.fooled(reference))


class NoBetterThanNoise(Rule):
    """Ask if an attack fools as large a share of what remains correct under noise as noise does.

    An attack that follows gradients fools many more than noise does; where noise fools next to
    none, nothing is reported. The share that noise fools is taken at the lower end of its interval.
    """

    name = "no-better-than-noise"
    sees = "an attack adds no more to what noise fools than noise itself"
    matters = (
        "An attack that knows the model fools far more than directions that know nothing, "
        "unless it makes no use of what it knows."
    )
    needs = "an attack and noise at the same linf eps"
    concerns = "attacks"
    probes = ("control",)

    def look(self, evidence: Evidence) -> Iterator[Case]:
        for entry, control in _beside(evidence, "control"):
            noise, attack = evidence.fooled(control), evidence.fooled(entry)
            images = noise.index.intersection(attack.index)
            hits, n = int(noise[images].sum()), len(images)
            others = attack[images][~noise[images].astype(bool)]
            gained, left = int(others.sum()), len(others)
            least = statistics.rate(hits, n).low or 0.0
            words = (
                f"{entry.coordinates}: noise of the same size fools {hits} of {n} images, and of "
                "the "
                f"other {left} the attack fools {gained}"
            )
            counts: dict[str, JSON] = {"n": n, "noise": hits, "left": left, "gained": gained}
            p_value = statistics.at_least(left - gained, left, 1 - least)
            yield Case((entry.label,), words, counts, p_value, hits >= POINTS * max(1, n))


def _beside(evidence: Evidence, fact: str) -> Iterator[tuple[Entry, Entry]]:
    """Pair attacks with what declares a fact, on one classifier, of one budget and one target."""
    probes = evidence.probes()
    known = {
        (subject(entry), entry.budget, entry.facts["target"]): entry
        for entry in (*probes, *evidence.attacks)
        if entry.facts.get(fact) is True
    }
    for entry in evidence.attacks:
        other = known.get((subject(entry), entry.budget, entry.facts["target"]))
        if other is not None and entry.budget is not None and entry.facts.get(fact) is not True:
            yield entry, other


class TransferBeatsWhiteBox(Rule):
    """Compare images made on another model with those that the same attack made on this one."""

    name = "transfer-beats-white-box"
    sees = "images made on another model fool more than those made on the model itself"
    matters = (
        "Whoever knows the model can do what images made elsewhere do: a model that is fooled by "
        "those alone hides its gradients."
    )
    needs = "a transfer, and the same attack on its target"
    concerns = "attacks"

    def look(self, evidence: Evidence) -> Iterator[Case]:
        attacks = {entry.coordinates: entry for entry in evidence.attacks}
        for transfer in evidence.done("transfer"):
            own = replace(transfer.coordinates, source=None)
            entry = attacks.get(own) or attacks.get(replace(own, replica=None))
            if entry is None or entry.budget is None:
                continue
            source = str(transfer.value("source"))
            words = (
                f"{entry.coordinates} fools {{strong}} of {{n}} images; made on {source}, its "
                "images "
                "fool {weak}"
            )
            yield outdone((entry.label,), words, evidence.fooled(entry), evidence.fooled(transfer))


RULES = (
    OverBudget,
    MovesAtZero,
    FallsWithEps,
    SurvivesLargeEps,
    OutOfReach,
    Unconverged,
    WeakerThanOneStep,
    NoBetterThanNoise,
    TransferBeatsWhiteBox,
)
