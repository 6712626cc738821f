"""Rules on the conduct of attacks: whether each did what it says, whatever came of it.

No rule knows an attack but by its facts.
"""

from __future__ import annotations

from collections.abc import Iterator

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


RULES = (
    OverBudget,
    MovesAtZero,
    OutOfReach,
)
