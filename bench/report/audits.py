"""The pages' part on the audit: its findings, its rules, and what it could not check."""

from __future__ import annotations

from collections.abc import Iterator

from bench.audit import RULES, Audit
from bench.report.blocks import Block, Break, Bullets, Details, Heading, Paragraph, Strong, Table


def section(audited: Audit) -> Iterator[Block]:
    """Write the audit's findings, the rules that ran, and those that could not."""
    yield Heading("Audit")
    yield from found(audited)
    rows = [[rule.name, rule.sees, audited.cases[rule.name]] for rule in RULES.values()]
    yield Details("The rules", (Table.of(["rule", "what it sees", "cases"], rows, left=2),))


def found(audited: Audit) -> Iterator[Block]:
    """Write the findings with the cells that they concern, and what was not checked, as lists."""
    yield Paragraph(f"{audited.summary[0].upper()}{audited.summary[1:]}.")
    if audited.findings:
        yield Bullets(
            tuple(
                (Strong(each.rule), f": {each.sentence}", Break(), f"({_some(each.cells)})")
                for each in audited.findings
            )
        )
    if audited.gaps:
        yield Paragraph("Not checked, with the reason:")
        yield Bullets(tuple(f"{rule}: {reason}" for rule, reason in audited.gaps))


def _some(cells: tuple[str, ...], most: int = 4) -> str:
    """Name a few cells, and how many more there are."""
    more = f" and {len(cells) - most} more" if len(cells) > most else ""
    return (
        f"concerns {', '.join(cells[:most])}{more}" if cells else "concerns no cell with a result"
    )
