"""What each attack of a cascade met and fooled, counted by hand."""

from __future__ import annotations

from dataclasses import replace

from planted import Planted

from bench.compare.cascades import Stage, stages
from bench.metrics import plain
from bench.records import AttackRecord, Result

FACTS = {"targeted": False, "eps": 0.1, "norm": "linf", "budget": "linf 0.1"}


def cascade(planted: Planted, fooled: list[bool], wrong: int) -> None:
    """Put the records of a plain attack, of which the first images are wrong before."""
    planted.attack("plain", "pgd", fooled)
    matrix = planted.matrix
    known = planted.store.records(matrix.stored(matrix.entries[-1]))
    records = [AttackRecord(**row) for row in plain(known)]
    records = [
        replace(one, clean_prediction=1 - one.label, prediction=1 - one.label, success=None)
        if i < wrong
        else one
        for i, one in enumerate(records)
    ]
    passes = {"forwards": 12.0, "backwards": 6.0, "seconds": 0.5}
    found = {"fgsm": {"images": 6, **passes}, "pgd": {"images": 4, **passes}}
    summary = {"images": len(records), "stages": found}
    planted.put(
        "attack", "net", Result(records=records, summary=summary), attack="all", facts=FACTS
    )


def test_each_stage_fools_what_the_next_does_not_meet(planted: Planted) -> None:
    """Of eight images two are wrong before; fgsm fools two of six, pgd three of the four left."""
    cascade(planted, [True] * 7 + [False], wrong=2)
    matrix = planted.matrix
    assert stages(matrix, matrix.entries[-1]) == [
        Stage("fgsm", 6, 2, 2.0, 1.0, 0.5),
        Stage("pgd", 4, 3, 3.0, 1.5, 0.5),
    ]


def test_an_attack_that_is_no_cascade_has_no_stages(planted: Planted) -> None:
    planted.attack("net", "pgd", [True] * 8)
    matrix = planted.matrix
    assert stages(matrix, matrix.entries[-1]) == []
