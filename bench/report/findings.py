"""The pages' part on claims: which hold, by how much, and what each compares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from bench import tables
from bench.audit import Finding, in_brackets
from bench.compare.claim_tests import ClaimTest, Compared, Part
from bench.compare.models import ALPHA
from bench.metrics import METRICS
from bench.report import choosing
from bench.report.blocks import Block, Heading, Paragraph, Strong, Table, Text
from bench.statistics import Estimate, written

Marks: TypeAlias = "Callable[..., tuple[Finding, ...]]"

_SHARE = METRICS["success_rate"]
"""A metric whose unit is that of all claims."""


def section(
    tests: Sequence[ClaimTest], level: int = 2, *, marks: Marks | None = None
) -> Iterator[Block]:
    """Write which claims hold, and each claim's parts under a heading of the level.

    Args:
        tests: of claims.
        level: of the headings of single claims.
        marks: what returns the findings and marks of the figures that a claim rests on.

    """
    headers = [
        "claim",
        "one side",
        "other side",
        "difference",
        "p, corrected",
        "seeds",
        "conclusion",
    ]
    carried = marks or (lambda *_: ())
    rows = [_row(test, carried) for test in tests]
    yield Table.of(headers, rows)
    tested = sum(test.whole is not None for test in tests)
    where = f" where p < {ALPHA}, corrected over the {tested} claims that could be tested (Holm), "
    yield Paragraph(
        (
            *("A claim ", Strong("holds"), where, "and every seed agrees; it "),
            *(Strong("does not hold"), " where the opposite is significant in the same way. "),
            *("Anything else is ", Strong("undecided"), ", which is no evidence against a claim."),
        )
    )
    yield Paragraph(
        "The unit is a seed: one training of each model. Seeds: in how many of them the first side "
        "is ahead. Shares are means over seeds and, with equal weights, over the parts below; in "
        "parentheses, the images that count, x seeds. In brackets: 95 % intervals over images and "
        "trainings (Student's t). p: the larger of two, that of the same t, and that of flipping "
        "the signs of what single images contribute, which is exact where few do. "
        "Conclusions are about these models on these images."
    )
    for test in tests:
        yield from _details(test, level, carried)


def _row(test: ClaimTest, marks: Marks) -> list[Text]:
    whole, reason = test.whole, f": {test.reason}" if test.reason else ""
    found = marks(*(each for basis in test.basis.values() for each in basis))
    conclusion = (Strong(test.conclusion), reason, in_brackets(found))
    if whole is None:
        return [test.claim.name, *[tables.DASH] * 5, conclusion]
    return [
        test.claim.name,
        *(
            f"{name}: {_figure(found)}"
            for name, found in zip(test.claim.sides, (whole.first, whole.second), strict=True)
        ),
        *_tested(whole),
        conclusion,
    ]


def _tested(found: Compared) -> list[str]:
    return [
        choosing.apart(found.difference, _SHARE.unit),
        written(found.p_value),
        f"{found.agreeing} of {found.seeds}",
    ]


def _figure(found: Estimate) -> str:
    return tables.figure(found, _SHARE, intervals=True)


def _details(test: ClaimTest, level: int, marks: Marks) -> Iterator[Block]:
    claim = test.claim
    yield Heading(f"{claim.name}?", level)
    yield Paragraph(f"{claim.compared} {claim.counted}")
    if test.parts:
        rows = [
            [
                part.where + in_brackets(marks(*test.basis.get(part, ()))),
                part.attack,
                part.eps,
                _figure(found.first),
                _figure(found.second),
                *_tested(found),
            ]
            for part, found in test.parts.items()
        ]
        headers = ["where", "attack", "eps", *claim.sides, "difference", "p, corrected", "seeds"]
        yield Table.of(headers, rows)
        if len(rows) > 1:
            yield Paragraph(f"p: corrected over these {len(rows)} parts.")
    if test.contrary:
        yield Paragraph(f"The opposite holds for {_names(test.contrary)}.")
    if test.left_out:
        yield Paragraph(
            f"Left out, for a cell without a result or an image without a verdict: "
            f"{_names(test.left_out)}."
        )


def _names(parts: Sequence[Part]) -> str:
    return "; ".join(f"{part.where}, {part.attack}, {part.eps}" for part in parts)
