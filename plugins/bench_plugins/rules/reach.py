"""Rules on the part of its ball that an attack used, where something else found more in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from bench import statistics
from bench.api import Case, Entry, Evidence, Rule
from bench.api.rules import POINTS, subject
from bench.records import JSON
from bench_plugins.rules.rivals import Rival, beaten, budgets, is_weak

SOME = 0.5
"""The share of places that an attack of linf or l2 moves, at the least: the gradient is
everywhere."""

MOST = 0.9
"""The share of the radius that one of its images uses, at the least."""

CORNERS = 0.01
"""The share of values at the edge of an linf ball, at the least: its corners are farthest away."""

ENOUGH = 100
"""From how many values on signs say something."""


class PartOfTheBall(Rule):
    """Look at attacks that others outdo: which channels, places and signs they never moved.

    Minimum-norm attacks use as little as they can, and attacks on few pixels few places.
    """

    name = "part-of-the-ball"
    sees = "an attack uses a part of its ball, and others find more in the whole"
    matters = (
        "The budget that is printed is not the one that was searched: channels, places, signs "
        "or corners that are never tried hide what is there."
    )
    needs = "an attack within a budget, whose perturbations were measured, and a stronger one"
    concerns = "attacks"
    probes = ("reference",)
    explains = ("weaker-than-another", "weaker-than-reference", "weaker-than-one-step")

    def look(self, evidence: Evidence) -> Iterator[Case]:
        for rivals in budgets(evidence).values():
            for rival in rivals:
                entry = rival.entry
                reach = evidence.summary(entry).get("reach")
                if not reach or not reach["images"] or entry.facts.get("control") is True:
                    continue
                others = [
                    other
                    for other in rivals
                    if other is not rival and not is_weak(evidence, other.entry)
                ]
                words = "; ".join(_left_out(entry, reach))
                for found in _outdone(evidence, rival, others):
                    yield replace(
                        found,
                        sentence=f"{entry.coordinates} {words}, and others find more",
                        figures={**found.figures, "reach": {**reach}},
                        is_material=found.is_material and bool(words),
                        is_mark=False,
                    )


def _left_out(entry: Entry, reach: Mapping[str, Any]) -> Iterator[str]:
    """Say which parts of its ball an attack never used."""
    channels = reach["channels"]
    idle = [place for place, share in enumerate(channels) if not share]
    if idle:
        yield f"moves {len(channels) - len(idle)} of {len(channels)} channels"
    norm = None if entry.budget is None else entry.budget.norm
    is_dense = norm in ("linf", "l2") and entry.facts["minimum_norm"] is not True
    places, used, edge = reach["places"], reach.get("used"), reach.get("edge")
    if is_dense and places is not None and places < SOME:
        yield f"moves {100 * places:.0f} % of the places of an image"
    if reach["touched"] >= ENOUGH and reach["raised"] in (0, reach["touched"]):
        yield f"only {'darkens' if reach['raised'] == 0 else 'brightens'}"
    if is_dense and used is not None and used < MOST:
        yield f"goes {100 * used:.0f} % of its radius at the most"
    elif is_dense and norm == "linf" and edge is not None and edge < CORNERS:
        yield f"has {100 * edge:.2g} % of its values at the edge of the ball"


def _outdone(evidence: Evidence, rival: Rival, others: list[Rival]) -> Iterator[Case]:
    """Compare an attack with the strongest other of its budget, and with the reference."""
    if others:
        yield beaten(evidence, rival, others)
    entry = rival.entry
    for probe in evidence.probes("reference"):
        records = evidence.records(probe)
        if subject(probe) != subject(entry) or entry.budget is None or "eps" not in records:
            continue
        is_here = probe.facts.get("norm") == entry.budget.norm
        near = (records["eps"] - entry.budget.eps).abs() < 1e-9  # noqa: PLR2004 (as written)
        rows = records[near & records["left"].astype(bool) & records["tried"].astype(bool)]
        if not is_here or rows.empty:
            continue
        more, n = int(rows["method"].notna().sum()), len(rows)
        words = f"of {n} images that it leaves correct the reference fools {more}"
        counts: dict[str, JSON] = {"n": n, "reference": more}
        p_value = statistics.at_least(more, more, 0.5)
        yield Case((entry.label,), words, counts, p_value, more >= POINTS * len(rival.fooled))


RULES = (PartOfTheBall,)
