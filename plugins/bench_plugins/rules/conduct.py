"""Rules on the conduct of attacks: whether each did what it says, whatever came of it.

No rule knows an attack but by its facts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench import statistics
from bench.api import Case, Entry, Evidence, Rule
from bench.api.rules import probed_name
from bench.records import JSON, TOLERANCE

FLIPS = 0.01
"""The share of predictions that rounding alone may turn."""

REACHED = 1e-6
"""By which share steps times alpha may fall short of eps: rounding."""


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
            words = (
                f"{probed_name(probe)}: with eps 0, {count} of {n} images are not what they were"
            )
            counts: dict[str, JSON] = {"n": n, "changed": count, "moved": int(moved.sum())}
            cells = evidence.stands_for(probe, "plugin")
            yield Case(cells, words, counts, p_value, count > 0)


def _is_random(entry: Entry) -> bool:
    """Say whether a classifier answers the same image in several ways."""
    return entry.facts.get("randomised") is True


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


class FewerSteps(Rule):
    """Count the passes of the images that remained correct: as many as steps were declared.

    An image that was fooled may be left alone. One that a gradient pulled and that was never
    anywhere but at its place took no step, however often it was asked for. An attack that looks
    for the nearest image ends where it found one, and is not looked at.
    """

    name = "fewer-steps"
    sees = "an attack takes fewer steps than it declares"
    matters = (
        "An image that remained correct because its attack had ended says nothing about the "
        "model; often a loop that stops all images when one is fooled, or sees a part of a batch."
    )
    needs = "an attack of several steps, whose passes were counted for each image"
    concerns = "attacks"
    explains = (
        *("weaker-than-another", "weaker-than-reference", "weaker-than-one-step", "unconverged"),
        *("part-of-the-ball", "survives-large-eps"),
    )

    def look(self, evidence: Evidence) -> Iterator[Case]:
        for entry in evidence.attacks:
            declared = entry.facts.get("iterations")
            followed: Mapping[str, Any] = evidence.summary(entry).get("followed") or {}
            is_open = entry.facts["minimum_norm"] is True or not followed
            if not isinstance(declared, int) or declared <= 1 or is_open:
                continue
            n, unmoved = int(followed["images"]), int(followed["unmoved"])
            passes = {int(count): images for count, images in followed["passes"].items()}
            short = sum(images for count, images in passes.items() if count < declared)
            by = "gradients" if followed["by"] == "backwards" else "forward passes"
            words = (
                f"{entry.coordinates} declares {declared} steps: of {n} images that remained "
                f"correct {short} had fewer {by}"
                + (f", {min(passes)} at least" if short else "")
                + (f", and {unmoved} never left their places" if unmoved else "")
            )
            counts: dict[str, JSON] = {
                "n": n,
                "steps": declared,
                "short": short,
                "fewest": min(passes, default=None),
                "unmoved": unmoved,
            }
            yield Case((entry.label,), words, counts, None, short + unmoved > 0)


class NotRepeatable(Rule):
    """Look for attacks that give other images, or other verdicts, from the same seed."""

    name = "not-repeatable"
    sees = "the same attack with the same seed gives other results"
    matters = (
        "Nobody can compute these numbers again, and part of each difference between models is "
        "luck: the attack draws from a generator of its own, the clock, or what earlier cells left."
    )
    needs = "an attack"
    concerns = "attacks"
    probes = ("repeat",)

    def look(self, evidence: Evidence) -> Iterator[Case]:
        groups: dict[str, list[Entry]] = {}
        for probe in evidence.probes("repeat"):
            groups.setdefault(str(probe.facts["group"]), []).append(probe)
        for group, probes in groups.items():
            counted = [(probe, evidence.summary(probe)) for probe in probes]
            first, worst = max(counted, key=lambda pair: int(pair[1]["differing"]))
            n, count = int(worst["images"]), int(worst["differing"])
            words = (
                f"{probed_name(first)}, run twice with one seed: {count} of {n} images are not "
                f"the same, by {float(worst['largest']):.3g} at most"
            )
            counts: dict[str, JSON] = {"n": n, "differing": count, "largest": worst["largest"]}
            cells = tuple(e.label for e in evidence.attacks if e.facts["group"] == group)
            yield Case(cells, words, counts, None, count > 0)


RULES = (
    OverBudget,
    MovesAtZero,
    OutOfReach,
    FewerSteps,
    NotRepeatable,
)
