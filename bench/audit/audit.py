"""The audit: rules over a run's cells and probes, and the findings that chance does not explain.

The cases of all rules are tests of one family, the run: their p-values are corrected together, by
Holm, so that a run without a fault has a finding with a probability of :data:`LEVEL` at most. A
finding concerns cells, and certain figures of theirs; tables print it there. Reads the store only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from bench import statistics
from bench.api import Case, Rule
from bench.audit.evidence import Evidence
from bench.errors import BenchError, PluginError, StoreError, explained, named
from bench.matrix import Entry, Matrix
from bench.metrics import METRICS, Metric
from bench.records import JSON
from bench.registry.offered import Offered

RULES: Offered[Rule] = Offered("rules", Rule)
"""The rules that are installed, by name; read at the first look."""

REVISION = 5
"""Raised by hand whenever findings are made of cases in another way."""

LEVEL = 0.05
"""A finding's p-value lies below this, after Holm's correction over all cases of all rules."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with figures.

    Attributes:
        rule: the name of what found it.
        cells: the labels of the cells that it concerns.
        metrics: the names of the figures of those cells that it concerns.
        sentence: what is wrong, with the evidence.
        evidence: the counts, by name.
        p_value: corrected over the run's cases; None where chance plays no part.
        is_mark: whether it is only a mark beside figures, which nobody has to mend.

    """

    rule: str
    cells: tuple[str, ...]
    metrics: frozenset[str]
    sentence: str
    evidence: Mapping[str, JSON]
    p_value: float | None
    is_mark: bool = False

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> Finding:
        """Read what :attr:`plain` says."""
        cells, metrics = tuple(written["cells"]), frozenset(written["metrics"])
        return cls(**{**written, "cells": cells, "metrics": metrics})

    @property
    def plain(self) -> dict[str, JSON]:
        """Return plain values."""
        return {
            **{each.name: getattr(self, each.name) for each in fields(self)},
            "cells": list(self.cells),
            "metrics": sorted(self.metrics),
            "evidence": dict(self.evidence),
        }

    def concerns(self, entries: Sequence[Entry], metric: Metric) -> bool:
        """Say whether it concerns a figure of some cells."""
        return metric.name in self.metrics and any(e.label in self.cells for e in entries)


@dataclass(frozen=True)
class Audit:
    """What the rules found, how many cases each looked at, and why others looked at none.

    ``remarks`` are the marks that figures carry and that are no findings.
    """

    findings: tuple[Finding, ...]
    cases: Mapping[str, int]
    gaps: tuple[tuple[str, str], ...]
    remarks: tuple[Finding, ...] = ()

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
        gaps = tuple((rule, gap) for rule, gap in written["gaps"])
        return cls(findings, written["cases"], gaps, remarks)

    @property
    def plain(self) -> dict[str, JSON]:
        """Return plain values, and by which rules they came to be."""
        return {
            "revision": revision(),
            "findings": [finding.plain for finding in self.findings],
            "remarks": [remark.plain for remark in self.remarks],
            "cases": dict(self.cases),
            "gaps": [list(gap) for gap in self.gaps],
        }

    def marks(self, entries: Sequence[Entry], metric: Metric) -> str:
        """Return what stands after a figure where no footnotes are: the rules, in brackets."""
        rules = dict.fromkeys(f.rule for f in self.carried if f.concerns(entries, metric))
        return f" [{', '.join(rules)}]" if rules else ""

    @property
    def summary(self) -> str:
        """A line for the end of a run."""
        ran = sum(count > 0 for count in self.cases.values())
        counted = "no finding" if not self.findings else f"{len(self.findings)} findings"
        counted = "1 finding" if len(self.findings) == 1 else counted
        return f"audit: {counted}; {ran} of {len(self.cases)} rules had something to look at"


def known(matrix: Matrix) -> Audit:
    """Return a run's audit: the one that was noted at its end, unless rules have changed since.

    Raises:
        StoreError: where the store no longer holds a cell of the run.

    """
    noted = matrix.run.get("audit")
    if noted is None or noted["revision"] != revision():
        return audit(matrix)
    return Audit.of(noted)


def revision() -> dict[str, JSON]:
    """Return by what findings come to be: what others found is looked for anew."""
    return {"audit": REVISION, **{rule.name: rule.revision for rule in RULES.values()}}


def audit(matrix: Matrix, rules: Iterable[Rule] | None = None) -> Audit:
    """Look at a run by all rules, or by some. One that fails leaves a gap, and the others look.

    Raises:
        StoreError: where the store no longer holds a cell of the run.

    """
    evidence = Evidence(matrix)
    found: list[tuple[Rule, Case]] = []
    cases: dict[str, int] = {}
    gaps = [] if rules is not None else [(name, str(why)) for name, why in RULES.faults.items()]
    for rule in RULES.values() if rules is None else rules:
        try:
            with explained(lambda error: PluginError.of("", f"raised {named(error)}")):
                looked = [_resolved(rule, case) for case in _looked(rule, evidence)]
        except StoreError:
            raise
        except BenchError as error:  # its fault stands in the place of its findings
            cases[rule.name] = 0
            gaps.append((rule.name, str(error)))
            continue
        found += ((rule, case) for case in looked)
        cases[rule.name] = len(looked)
        gaps += ((rule.name, reason) for reason in _gaps(rule, matrix, looked=bool(looked)))
    findings = _material(found)
    remarks = tuple(finding for finding in findings if finding.is_mark)
    kept = tuple(finding for finding in findings if not finding.is_mark)
    return Audit(kept, cases, tuple(gaps), remarks)


def concerned(rule: Rule) -> frozenset[str]:
    """Return the names of the metrics that a rule casts doubt on."""
    if not isinstance(rule.concerns, str):
        return rule.concerns
    known = METRICS.values()
    of_attacks = {m.name for m in known if m.needs_budget or m.needs_minimum}
    worst = {m.name for m in known if m.worst_case}
    of_models = {m.name for m in known if "evaluate" in m.kinds and m.better == "higher"}
    concerns = {
        "attacks": of_attacks - worst,
        "robustness": of_attacks | worst,
        "models": of_attacks | worst | of_models,
    }
    return frozenset(concerns[rule.concerns])


def _looked(rule: Rule, evidence: Evidence) -> list[Case]:
    """Return the cases of a rule.

    Raises:
        TypeError, ValueError: for what is no case, or cannot be noted in the account of a run.

    """
    found = list(rule.look(evidence))
    for each in found:
        if not isinstance(each, Case):
            raise TypeError(f"look gave {each!r}, expected cases")
        json.dumps([each.cells, each.sentence, dict(each.figures)], allow_nan=False)
    return found


def _resolved(rule: Rule, case: Case) -> Case:
    """Name the figures that a case concerns."""
    metrics = concerned(rule) if case.metrics is None else frozenset(case.metrics)
    return replace(case, metrics=metrics)


def _material(found: Sequence[tuple[Rule, Case]]) -> list[Finding]:
    """Keep what is large enough to be reported, and what chance does not explain."""
    findings = []
    tested = [case for _, case in found if case.p_value is not None]
    corrected = statistics.holm([case.p_value for case in tested if case.p_value is not None])
    known = {id(case): p_value for case, p_value in zip(tested, corrected, strict=True)}
    for rule, case in found:
        p_value = known.get(id(case))
        if not case.is_material or (p_value is not None and p_value >= LEVEL):
            continue
        sentence = case.sentence
        if p_value is not None:
            over = f", Holm over {len(tested)}" if len(tested) > 1 else ""
            sentence += f" (p = {p_value:.1g}{over})"
        findings.append(
            Finding(
                *(rule.name, case.cells, case.metrics or frozenset(), sentence, case.figures),
                p_value,
                is_mark=case.is_mark,
            )
        )
    return findings


def _gaps(rule: Rule, matrix: Matrix, *, looked: bool) -> Iterator[str]:
    """Say what a rule had to do without: probes that have no result, or all that it needs."""
    for probe in matrix.probes:
        if probe.facts["probe"] in rule.probes and probe.state != "done":
            yield f"{probe.label}: {probe.state}" + (f": {probe.reason}" if probe.reason else "")
    if not looked:
        is_off = matrix.run["audit_extent"] == "off"
        missing = ", and its probes" + (": the audit is off" if is_off else "")
        yield f"needs {rule.needs}" + (missing if rule.probes else "")
