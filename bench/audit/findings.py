"""What an audit found: findings, marks, and what no rule could look at.

Values that are noted with a run. This room looks at nothing itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from bench.matrix import Entry
from bench.metrics import Metric
from bench.records import JSON


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with figures.

    Attributes:
        rule: the name of what found it.
        cells: the labels of the cells that it concerns.
        metrics: the names of the figures of those cells that it concerns.
        sentence: what is wrong, with the evidence.
        evidence: the counts, by name; those of other rules, under their names.
        p_value: corrected over the run's cases; None where chance plays no part.
        is_mark: whether it is only a mark beside figures, which nobody has to mend.
        also: the names of other rules that found the same fact.

    """

    rule: str
    cells: tuple[str, ...]
    metrics: frozenset[str]
    sentence: str
    evidence: Mapping[str, JSON]
    p_value: float | None
    is_mark: bool = False
    also: tuple[str, ...] = ()

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> Finding:
        """Read what :attr:`plain` says."""
        kept = {name: tuple(written.get(name, ())) for name in ("cells", "also")}
        return cls(**{**written, **kept, "metrics": frozenset(written["metrics"])})

    @property
    def plain(self) -> dict[str, JSON]:
        """Return plain values."""
        return {
            **{each.name: getattr(self, each.name) for each in fields(self)},
            "cells": list(self.cells),
            "metrics": sorted(self.metrics),
            "evidence": dict(self.evidence),
            "also": list(self.also),
        }

    @property
    def rules(self) -> tuple[str, ...]:
        """The names of all rules that found it."""
        return (self.rule, *self.also)

    def concerns(self, entries: Sequence[Entry], metric: Metric) -> bool:
        """Say whether it concerns a figure of some cells."""
        return metric.name in self.metrics and any(e.label in self.cells for e in entries)


def once(found: Sequence[Finding], explains: Mapping[str, Collection[str]]) -> list[Finding]:
    """List each fact once.

    Args:
        found: findings and marks.
        explains: of a rule, the rules whose findings on the same cells state the same fact.

    Returns:
        Those of one rule that say the same of several cells as one; and each finding with those
        that it explains.

    """
    same: dict[tuple[object, ...], list[Finding]] = {}
    for each in found:
        key = (each.rule, each.sentence, each.metrics, each.is_mark)
        same.setdefault(key, []).append(each)
    listed = [_merged(group) for group in same.values()]
    groups: dict[int, list[Finding]] = {}
    for place, each in enumerate(listed):
        groups.setdefault(_cause(place, listed, explains), []).append(each)
    return [
        _merged(sorted(group, key=lambda each: each is not listed[place]))
        for place, group in sorted(groups.items())
    ]


def _cause(place: int, listed: Sequence[Finding], explains: Mapping[str, Collection[str]]) -> int:
    """Return the place of the finding that explains another; its own where none does."""
    own = listed[place]
    for other, each in enumerate(listed):
        if (
            own.rule in explains.get(each.rule, ())
            and each.rule not in explains.get(own.rule, ())
            and each.is_mark == own.is_mark
            and own.cells
            and set(own.cells) <= set(each.cells)
        ):
            return other
    return place


def _merged(group: Sequence[Finding]) -> Finding:
    """Make one finding of several: the first, with the cells, figures and words of the others."""
    first, *others = group
    if not others:
        return first
    beside: dict[str, JSON] = {
        each.rule: dict(each.evidence) for each in others if each.rule != first.rule
    }
    return replace(
        first,
        cells=tuple(dict.fromkeys(label for each in group for label in each.cells)),
        metrics=frozenset().union(*(each.metrics for each in group)),
        sentence="; ".join(dict.fromkeys(each.sentence for each in group)),
        evidence={**first.evidence, **beside},
        also=tuple(dict.fromkeys(each.rule for each in others if each.rule != first.rule)),
    )


@dataclass(frozen=True)
class Audit:
    """What the rules found, how many cases each looked at, and why others looked at none.

    Attributes:
        findings: what is wrong.
        cases: of each rule, how many it looked at.
        gaps: what rules had to do without, or what a run lacks for them: rule and reason.
        remarks: the marks that figures carry and that are no findings.
        unseen: the gaps of rules that apply and could not look: a probe has no result, the rule
            raised, the audit is off.
        without_result: how many cells, other than those of the audit, failed or were blocked.

    """

    findings: tuple[Finding, ...]
    cases: Mapping[str, int]
    gaps: tuple[tuple[str, str], ...]
    remarks: tuple[Finding, ...] = ()
    unseen: tuple[tuple[str, str], ...] = ()
    without_result: int = 0

    @property
    def carried(self) -> tuple[Finding, ...]:
        """What figures carry: the findings, and the marks that are none."""
        return self.findings + self.remarks

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> Audit:
        """Read what :attr:`plain` says."""
        findings, remarks = (
            tuple(Finding.of(each) for each in written[name]) for name in ("findings", "remarks")
        )
        gaps, unseen = (
            tuple((rule, gap) for rule, gap in written[name]) for name in ("gaps", "unseen")
        )
        cells = written["without_result"]
        return cls(findings, written["cases"], gaps, remarks, unseen, cells)

    @property
    def plain(self) -> dict[str, JSON]:
        """Return plain values."""
        return {
            "findings": [finding.plain for finding in self.findings],
            "remarks": [remark.plain for remark in self.remarks],
            "cases": dict(self.cases),
            "gaps": [list(gap) for gap in self.gaps],
            "unseen": [list(gap) for gap in self.unseen],
            "without_result": self.without_result,
        }

    def on(self, entries: Sequence[Entry], metric: Metric) -> tuple[Finding, ...]:
        """Return the findings and marks that concern a figure of some cells."""
        return tuple(each for each in self.carried if each.concerns(entries, metric))

    def marks(self, entries: Sequence[Entry], metric: Metric) -> str:
        """Return what stands after a figure where no footnotes are: the rules, in brackets."""
        return in_brackets(self.on(entries, metric))

    @property
    def summary(self) -> str:
        """A line for the end of a run."""
        ran = sum(count > 0 for count in self.cases.values())
        looked = f"{ran} of {len(self.cases)} rules had something to look at"
        return f"audit: {self._counted}; {looked}"

    @property
    def _counted(self) -> str:
        """Count the findings; there is none only where every rule that applies could look."""
        found = len(self.findings)
        words = ["no finding" if not found else f"{found} finding{'s' * (found > 1)}"]
        rules = list(dict.fromkeys(rule for rule, _ in self.unseen))
        if rules:
            count = f"{len(rules)} rule{'s' * (len(rules) > 1)}"
            words.append(f"{count} could not look: {', '.join(rules)}")
        if self.without_result:
            cells = self.without_result
            words.append(f"{cells} cell{'s' * (cells > 1)} had no result to look at")
        return ", but ".join([words[0], " and ".join(words[1:])]) if words[1:] else words[0]


def in_brackets(found: Iterable[Finding]) -> str:
    """Write the rules of findings and marks as they stand after a figure; nothing for none."""
    rules = dict.fromkeys(rule for each in found for rule in each.rules)
    return f" [{', '.join(rules)}]" if rules else ""
