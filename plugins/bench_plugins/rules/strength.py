"""Rules on the strength of attacks: what fools fewer images than something weaker does.

Each compares cells, or a cell with a probe, on the images that both have. No rule knows an attack
but by its facts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from bench import statistics
from bench.api import Case, Entry, Evidence, Rule
from bench.api.rules import POINTS, chance, outdone, probed_name, subject
from bench.records import DECLARED_FACTS, JSON
from bench_plugins.rules.reference import confirms


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
                f"{probed_name(probe)}: with eps {_eps(probe):.6g}, by which any image can become "
                f"any other, {kept} of {n} images stay right; chance leaves {by_chance * n:.0f}"
            )
            counts: dict[str, JSON] = {"n": n, "kept": kept, "chance": by_chance}
            p_value = statistics.at_least(kept, n, by_chance)
            is_material = kept >= (by_chance + POINTS) * n
            yield Case(evidence.stands_for(probe), words, counts, p_value, is_material)


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


class TransferBeatsWhiteBox(Rule):
    """Compare images made on another model with those that the same attack made on this one."""

    name = "transfer-beats-white-box"
    sees = "images made on another model fool more than those made on the model itself"
    matters = (
        "Whoever knows the model can do what images made elsewhere do: an attack that those outdo "
        "says little of the model. Where the reference fools more as well, it hides its gradients."
    )
    needs = "a transfer, and the same attack on its target"
    concerns = "attacks"
    revision = 2

    def look(self, evidence: Evidence) -> Iterator[Case]:
        attacks = {entry.coordinates: entry for entry in evidence.attacks}
        for transfer in evidence.done("transfer"):
            own = replace(transfer.coordinates, source=None)
            entry = attacks.get(own) or attacks.get(replace(own, replica=None))
            if entry is None or entry.budget is None:
                continue
            source = str(transfer.value("source"))
            words = (
                "transferred images fool more than this attack: "
                f"{entry.coordinates} fools {{strong}} of {{n}} images; made on {source}, its "
                "images fool {weak}"
            )
            if confirms(evidence, entry) is not None:
                words += "; the reference fools more, too: the model hides its gradients"
            yield outdone((entry.label,), words, evidence.fooled(entry), evidence.fooled(transfer))


RULES = (
    FallsWithEps,
    SurvivesLargeEps,
    Unconverged,
    TransferBeatsWhiteBox,
)
