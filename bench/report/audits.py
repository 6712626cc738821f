"""The pages' part on the audit: what it found, what it looked at, and what it had to do without."""

from __future__ import annotations

from collections.abc import Iterator

from tabulate import tabulate

from bench.audit import Audit
from bench.audit.rule_table import RULES


def section(audited: Audit) -> Iterator[str]:
    """Write the audit's findings, the rules that ran, and those that could not."""
    yield "## Audit"
    yield ""
    yield from lines(audited)
    yield "<details><summary>The rules</summary>"
    yield ""
    rows = [[rule.name, rule.sees, audited.cases[rule.name]] for rule in RULES]
    yield tabulate(rows, ["rule", "what it sees", "cases"], tablefmt="github")
    yield ""
    yield "</details>"
    yield ""


def lines(audited: Audit) -> Iterator[str]:
    """Write the findings with the cells that they concern, and what was missing, as lists."""
    yield f"{audited.summary[0].upper()}{audited.summary[1:]}."
    yield ""
    for finding in audited.findings:
        yield f"- **{finding.rule}**: {finding.sentence}"
        yield f"  ({_some(finding.cells)})"
    if audited.findings:
        yield ""
    if audited.gaps:
        yield "Not looked at, and what was missing:"
        yield ""
        for rule, reason in audited.gaps:
            yield f"- {rule}: {reason}"
        yield ""


def _some(cells: tuple[str, ...], most: int = 4) -> str:
    """Name a few cells, and how many more there are."""
    more = f" and {len(cells) - most} more" if len(cells) > most else ""
    return (
        f"concerns {', '.join(cells[:most])}{more}" if cells else "concerns no cell with a result"
    )
