"""The audit: rules over a run's cells and probes, and the findings that chance does not explain.

The cases of all rules are tests of one family, the run: their p-values are corrected together, by
Holm, so that a run without a fault has a finding with a probability of :data:`LEVEL` at most. A
finding concerns cells, and certain figures of theirs; tables print it there. Reads the store only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from bench import statistics
from bench.api import Case, Rule
from bench.audit.evidence import Evidence
from bench.audit.findings import Audit, Finding, once
from bench.errors import BenchError, PluginError, StoreError, explained, named
from bench.matrix import Matrix
from bench.metrics import METRICS
from bench.records import JSON
from bench.registry.offered import Offered

RULES: Offered[Rule] = Offered("rules", Rule)
"""The rules that are installed, by name; read at the first look."""

REVISION = 6
"""Raised by hand whenever findings are made of cases in another way."""

LEVEL = 0.05
"""A finding's p-value lies below this, after Holm's correction over all cases of all rules."""


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


def noted(audited: Audit) -> dict[str, JSON]:
    """Return an audit as the account of a run holds it: plain values, and by which rules."""
    return {"revision": revision(), **audited.plain}


def audit(matrix: Matrix, rules: Iterable[Rule] | None = None) -> Audit:
    """Look at a run by all rules, or by some. One that fails leaves a gap, and the others look.

    Raises:
        StoreError: where the store no longer holds a cell of the run.

    """
    evidence = Evidence(matrix)
    found: list[tuple[Rule, Case]] = []
    explains: dict[str, tuple[str, ...]] = {}
    cases: dict[str, int] = {}
    unseen = [] if rules is not None else [(name, str(why)) for name, why in RULES.faults.items()]
    gaps: list[tuple[str, str]] = []
    for rule in RULES.values() if rules is None else rules:
        cases[rule.name], explains[rule.name] = 0, rule.explains
        try:
            with explained(lambda error: PluginError.of("", f"raised {named(error)}")):
                looked = [_resolved(rule, case) for case in _looked(rule, evidence)]
                lacking = [str(gap) for gap in rule.gaps(evidence)]
        except StoreError:
            raise
        except BenchError as error:  # its fault stands in the place of its findings
            unseen.append((rule.name, str(error)))
            continue
        found += ((rule, case) for case in looked)
        cases[rule.name] = len(looked)
        unseen += ((rule.name, gap) for gap in lacking)
        unseen += ((rule.name, reason) for reason in _unseen(rule, matrix, looked=bool(looked)))
        if not looked and rule.name not in dict(unseen):
            gaps.append((rule.name, f"needs {rule.needs}" + ", and its probes" * bool(rule.probes)))
    listed = once(_material(found), explains)
    without = [e for e in matrix.entries if e.state in ("failed", "blocked")]
    return Audit(
        tuple(finding for finding in listed if not finding.is_mark),
        cases,
        (*unseen, *gaps),
        tuple(finding for finding in listed if finding.is_mark),
        tuple(unseen),
        len(without),
    )


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
        "everything": {m.name for m in known},
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
            sentence += f" ({statistics.p_equals(p_value)}{over})"
        findings.append(
            Finding(
                *(rule.name, case.cells, case.metrics or frozenset(), sentence, case.figures),
                p_value,
                is_mark=case.is_mark,
            )
        )
    return findings


def _unseen(rule: Rule, matrix: Matrix, *, looked: bool) -> Iterator[str]:
    """Say what a rule that applies had to do without: probes that have no result, or all."""
    probes = [probe for probe in matrix.probes if probe.facts.get("probe") in rule.probes]
    for probe in probes:
        if probe.state != "done":
            yield f"{probe.label}: {probe.state}" + (f": {probe.reason}" if probe.reason else "")
    applies = looked or any(entry.kind == "attack" for entry in matrix.entries)
    if rule.probes and not probes and matrix.run["audit_extent"] == "off" and applies:
        yield f"needs {rule.needs}, and its probes: the audit is off"
