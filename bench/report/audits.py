"""The pages' part on the audit: its findings, its rules, and what it could not check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.audit import RULES, Audit, Finding
from bench.audit.references import references
from bench.matrix import Matrix
from bench.records import write_name
from bench.report.blocks import Block, Break, Bullets, Details, Heading, Paragraph, Strong, Table


def section(audited: Audit, matrix: Matrix) -> Iterator[Block]:
    """Write the audit's findings, its reference, the rules that ran, and those that could not."""
    yield Heading("Audit")
    yield from found(audited)
    yield from _reference(matrix)
    rows = [[rule.name, rule.sees, audited.cases[rule.name]] for rule in RULES.values()]
    yield Details("The rules", (Table.of(["rule", "what it sees", "cases"], rows, left=2),))


def _reference(matrix: Matrix) -> Iterator[Block]:
    """Write what strong attacks made of what the run's own attacks left correct."""
    rows = references(matrix)
    if not rows:
        return
    yield Paragraph(
        "The reference, strong attacks on images that the run's own attacks within the budget "
        "leave correct (passes: forward and backward, of each image that it tried at any budget):"
    )
    headers = ["model", "budget", "n", "left by the run", "tried", "fooled", "by", "passes"]
    cells = [
        [
            row.place,
            write_name(str(row.budget)),
            row.n,
            row.left,
            row.tried,
            row.fooled,
            ", ".join(f"{method}: {count}" for method, count in row.methods.items()),
            f"{row.forwards:.0f} + {row.backwards:.0f}",
        ]
        for row in rows
    ]
    yield Table.of(headers, cells, left=2)


def found(audited: Audit) -> Iterator[Block]:
    """Write findings and marks with the cells that they concern, and what was not checked."""
    yield Paragraph(f"{audited.summary[0].upper()}{audited.summary[1:]}.")
    if audited.findings:
        yield _listed(audited.findings)
    if audited.remarks:
        yield Paragraph("Marks, which stand beside figures and are no findings:")
        yield _listed(audited.remarks)
    if audited.unseen:
        yield Paragraph("Rules that apply and could not look, with the reason:")
        yield _reasons(audited.unseen)
    others = [gap for gap in audited.gaps if gap not in audited.unseen]
    if others:
        yield Paragraph("Rules that do not apply to this run:")
        yield _reasons(others)


def _listed(found: Sequence[Finding]) -> Bullets:
    return Bullets(
        tuple(
            (
                Strong(each.rule),
                f": {each.sentence}",
                _also(each),
                Break(),
                f"({_some(each.cells)})",
            )
            for each in found
        )
    )


def _also(finding: Finding) -> str:
    """Name the other rules that found the same fact."""
    return f" (also: {', '.join(finding.also)})" if finding.also else ""


def _reasons(gaps: Sequence[tuple[str, str]]) -> Bullets:
    """List reasons, each once with the rules that it stopped."""
    rules: dict[str, list[str]] = {}
    for rule, reason in gaps:
        rules.setdefault(reason, []).append(rule)
    return Bullets(tuple(f"{', '.join(names)}: {reason}" for reason, names in rules.items()))


def _some(cells: tuple[str, ...], most: int = 4) -> str:
    """Name a few cells, and how many more there are."""
    more = f" and {len(cells) - most} more" if len(cells) > most else ""
    return (
        f"concerns {', '.join(cells[:most])}{more}" if cells else "concerns no cell with a result"
    )
