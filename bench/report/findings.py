"""The pages' part on claims: which hold, by how much, and what each compares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tabulate import tabulate

from bench import tables
from bench.compare.claim_tests import ClaimTest, Compared, Part
from bench.compare.models import ALPHA
from bench.metrics import METRICS
from bench.report import choosing
from bench.statistics import Estimate

_SHARE = METRICS["success_rate"]
"""A metric whose unit is that of all claims."""


def section(tests: Sequence[ClaimTest]) -> Iterator[str]:
    """Write which claims hold, and each claim's parts."""
    headers = [
        "claim",
        "one side",
        "other side",
        "difference",
        "p, corrected",
        "seeds",
        "conclusion",
    ]
    rows = [_row(test) for test in tests]
    yield tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    yield ""
    tested = sum(test.whole is not None for test in tests)
    yield (
        f"A claim **holds** where p < {ALPHA}, corrected over the {tested} claims that could "
        "be tested (Holm), and every seed agrees; it **does not hold** where the opposite is "
        "significant in the same way. Anything else is **undecided**, which is no evidence "
        "against a claim."
    )
    yield ""
    yield (
        "The unit is a seed: one training of each model. Seeds: in how many of them the first side "
        "is ahead. Shares are means over seeds and, with equal weights, over the parts below; in "
        "parentheses, the images that count, x seeds. In brackets: 95 % intervals over images and "
        "trainings (bootstrap and Student's t). p: the larger of two, that of the same t, and that "
        "of flipping the signs of what single images contribute, which is exact where few do. "
        "Conclusions are about these models on these images."
    )
    yield ""
    for test in tests:
        yield from _details(test)


def _row(test: ClaimTest) -> list[str]:
    whole, conclusion = test.whole, f"**{test.conclusion}**"
    conclusion += f": {test.reason}" if test.reason else ""
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
        choosing.p_value(found.p_value),
        f"{found.agreeing} of {found.seeds}",
    ]


def _figure(found: Estimate) -> str:
    return tables.figure(found, _SHARE, intervals=True)


def _details(test: ClaimTest) -> Iterator[str]:
    claim = test.claim
    yield f"## {claim.name}?"
    yield ""
    yield f"{claim.compared} {claim.counted}"
    yield ""
    if test.parts:
        rows = [
            [
                part.where,
                part.attack,
                part.eps,
                _figure(found.first),
                _figure(found.second),
                *_tested(found),
            ]
            for part, found in test.parts.items()
        ]
        headers = ["where", "attack", "eps", *claim.sides, "difference", "p, corrected", "seeds"]
        yield tabulate(rows, headers, tablefmt="github", disable_numparse=True)
        yield ""
        if len(rows) > 1:
            yield f"p: corrected over these {len(rows)} parts."
            yield ""
    if test.contrary:
        yield f"The opposite holds for {_names(test.contrary)}."
        yield ""
    if test.left_out:
        yield (
            f"Left out, for a cell without a result or an image without a verdict: "
            f"{_names(test.left_out)}."
        )
        yield ""


def _names(parts: Sequence[Part]) -> str:
    return "; ".join(f"{part.where}, {part.attack}, {part.eps}" for part in parts)
