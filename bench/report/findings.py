"""Pages' part on claims: which hold, by how much, and what each compares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tabulate import tabulate

from bench import tables
from bench.compare.claim_tests import Answer, Compared, Part
from bench.compare.models import ALPHA
from bench.metrics import METRICS
from bench.report import choosing
from bench.statistics import Estimate

_SHARE = METRICS["success_rate"]
"""A metric whose unit is that of all claims."""


def section(answers: Sequence[Answer]) -> Iterator[str]:
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
    rows = [_row(answer) for answer in answers]
    yield tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    yield ""
    told = sum(answer.whole is not None for answer in answers)
    yield (
        f"A claim **holds** where p < {ALPHA}, corrected over the {told} claims that could be "
        "tested (Holm), and every seed agrees; it **does not hold** where the opposite is told so. "
        "Anything else **cannot be told**; that is no evidence against a claim."
    )
    yield ""
    yield (
        "The unit is a seed: one training of each model. Seeds: in how many of them the first side "
        "is ahead. Shares are means over seeds and, weighed the same, over the parts below; in "
        "parentheses, the images that count, x seeds. In brackets: 95 % intervals over images and "
        "trainings (bootstrap and Student's t). p: the larger of two, that of the same t, and that "
        "of flipping the signs of what single images contribute, which is exact where few do. What "
        "is told of these models on these images may be otherwise of others."
    )
    yield ""
    for answer in answers:
        yield from _details(answer)


def _row(answer: Answer) -> list[str]:
    whole, conclusion = answer.whole, f"**{answer.conclusion}**"
    conclusion += f": {answer.reason}" if answer.reason else ""
    if whole is None:
        return [answer.claim.name, *[tables.DASH] * 5, conclusion]
    return [
        answer.claim.name,
        *(
            f"{name}: {_figure(found)}"
            for name, found in zip(answer.claim.sides, (whole.first, whole.second), strict=True)
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


def _details(answer: Answer) -> Iterator[str]:
    claim = answer.claim
    yield f"## {claim.name}?"
    yield ""
    yield f"{claim.compared} {claim.counted}"
    yield ""
    if answer.parts:
        rows = [
            [
                part.where,
                part.attack,
                part.eps,
                _figure(found.first),
                _figure(found.second),
                *_tested(found),
            ]
            for part, found in answer.parts.items()
        ]
        headers = ["where", "attack", "eps", *claim.sides, "difference", "p, corrected", "seeds"]
        yield tabulate(rows, headers, tablefmt="github", disable_numparse=True)
        yield ""
        if len(rows) > 1:
            yield f"p: corrected over these {len(rows)} parts."
            yield ""
    if answer.contrary:
        yield f"The opposite is told of {_names(answer.contrary)}."
        yield ""
    if answer.left_out:
        yield (
            f"Left out, for a cell without a result or an image without a verdict: "
            f"{_names(answer.left_out)}."
        )
        yield ""


def _names(parts: Sequence[Part]) -> str:
    return "; ".join(f"{part.where}, {part.attack}, {part.eps}" for part in parts)
