"""Rules on compression: whether a variant is what its name says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.api import Case, Entry, Evidence, Rule
from bench.api.rules import subject
from bench.records import JSON

BACK = 0.01
"""The share of the zeros that may be multiplied as something else: rounding, say."""


class SparsityMissed(Rule):
    """Look for variants that are not as sparse as they say, by more than one weight.

    Where a later step may make more zeros, as rounding does, only too few count.
    """

    name = "sparsity-missed"
    sees = "a variant is not as sparse as it says"
    matters = (
        "What was measured is not the compression that is named; often masks that fine-tuning lost."
    )
    needs = "a profile of a variant with a target"
    concerns = frozenset({"sparsity"})

    def look(self, evidence: Evidence) -> Iterator[Case]:
        for entry in evidence.done("profile"):
            target: Any = entry.facts.get("sparsity_target")
            summary: Any = evidence.summary(entry)
            found = summary.get("sparsity")
            if not isinstance(target, int | float) or not isinstance(found, int | float):
                continue
            # sparsity is of Conv and Linear weights, which are nearly all parameters of a network
            weights = int(summary["parameters"])
            at_least = bool(entry.facts.get("sparsity_at_least"))
            missing = target - found if at_least else abs(target - found)
            off = max(0, round(missing * weights))
            words = (
                f"{entry.coordinates}: {'at least ' if at_least else ''}{100 * target:.6g} % of "
                "the weights were to be zero, "
                f"{100 * found:.6g} % are"
            )
            counts: dict[str, JSON] = {
                "n": weights,
                "target": target,
                "sparsity": found,
                "off": off,
            }
            yield Case((entry.label,), words, counts, None, off > 1)


class ZerosComeBack(Rule):
    """Look for weights that are counted as zeros and multiplied as something else."""

    name = "zeros-come-back"
    sees = "weights that are counted as zeros are multiplied as something else"
    matters = (
        "The network computes with dense weights: it is not as sparse, nor could it be as quick, "
        "as its figures say."
    )
    needs = "a profile of a network with zeros, whose products were looked at"
    concerns = frozenset({"sparsity", "theoretical_speed_up", "nonzero_parameters", "nonzero_macs"})

    def look(self, evidence: Evidence) -> Iterator[Case]:
        for entry in evidence.done("profile"):
            summary: Any = evidence.summary(entry)
            zeros, back = summary.get("zeros"), summary.get("restored")
            if not zeros or back is None:
                continue
            words = (
                f"{entry.coordinates}: {back} of {zeros} weights that are counted as zeros are "
                "multiplied as something else"
            )
            counts: dict[str, JSON] = {"n": zeros, "restored": back}
            yield Case((entry.label,), words, counts, None, back > BACK * zeros)


class ChangesNothing(Rule):
    """Look for reductions that left weights and answers as they were.

    One that promises no more zeros than there are may do so.
    """

    name = "changes-nothing"
    sees = "a compressor leaves the network as it was"
    matters = "A variant that is its original under another name loses nothing, and gains nothing."
    needs = "a variant with a compressor that was held against what it was given"
    concerns = "everything"

    def look(self, evidence: Evidence) -> Iterator[Case]:
        for entry in evidence.done("compress"):
            summary: Any = evidence.summary(entry)
            changed = summary.get("changed")
            if changed is None:
                continue
            words = (
                f"{entry.coordinates}: step {entry.facts.get('step')} left all weights, and all "
                f"answers to {summary['asked']} images, as they were"
            )
            counts: dict[str, JSON] = {"changed": changed, "n": summary["asked"]}
            is_idle = not changed and not summary["is_met"]
            yield Case(_figures(evidence, entry), words, counts, None, is_idle)


def _figures(evidence: Evidence, made: Entry) -> tuple[str, ...]:
    """Return the labels of the cells with figures of a model variant."""
    return tuple(
        entry.label
        for entry in evidence.entries
        if subject(entry) == subject(made) and entry.kind not in ("load", "train", "compress")
    )


RULES = (
    SparsityMissed,
    ZerosComeBack,
    ChangesNothing,
)
