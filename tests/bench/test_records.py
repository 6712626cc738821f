"""Success is decided once, by one function; readers of older files ask the same one."""

from __future__ import annotations

from dataclasses import asdict, fields

import numpy as np
import pandas as pd
import pytest
import torch

from bench import fingerprint, metrics
from bench.cells import attack
from bench.records import AttackRecord, Budget, success_of
from bench.referee.attacks import Verdict, judge_attack
from bench.store import parquet


@pytest.mark.parametrize(
    ("label", "target", "before", "after", "wanted"),
    [
        (1, None, 1, 2, True),
        (1, None, 1, 1, False),
        (1, None, 0, 2, None),  # wrong before
        (1, None, 1, None, None),  # no verdict
        (1, 2, 1, 2, True),
        (1, 2, 1, 0, False),  # wrong, and not as wanted
        (1, 1, 1, 0, None),  # its class is the target
    ],
)
def test_what_a_success_is(
    label: int, target: int | None, before: int, after: int | None, wanted: bool | None
) -> None:
    assert success_of(label, target, before, after) is wanted


def judged(target: int | None) -> list[AttackRecord]:
    """What the referee says of 60 images of three classes, some of them over budget."""
    generator = np.random.default_rng(3)
    labels, before, after = (torch.from_numpy(generator.integers(0, 3, 60)) for _ in range(3))
    images = torch.full((60, 1, 2, 2), 0.5)
    moved = images + torch.from_numpy(generator.choice([0.1, 0.3], 60)).float().view(-1, 1, 1, 1)
    ones = torch.full((60, 3), 1 / 3, dtype=torch.float64)
    return judge_attack(
        Verdict(before, ones),
        Verdict(after, ones),
        images,
        moved,
        labels,
        [f"test/{i}" for i in range(60)],
        target=target,
        budget=Budget("linf", 0.2),
        steps=[None] * 60,
    )


@pytest.mark.parametrize("target", [None, 1])
def test_an_older_file_says_the_same(target: int | None) -> None:
    """Also for a budget of the suite's, which applies when records are read."""
    new = parquet.read(parquet.write(judged(target)))
    old = new.drop(columns="success")
    assert new["success"].notna().any()
    assert new["success"].isna().any()
    pd.testing.assert_frame_equal(metrics.judged(old), new)
    for budget in (None, Budget("l2", 0.25)):
        one, other = (metrics.success(metrics.scored(frame, budget)) for frame in (old, new))
        pd.testing.assert_series_equal(one, other)
    assert {row["success"] for row in metrics.plain(new)} == {True, False, None}


def test_the_digest_of_records_is_what_it_was() -> None:
    """Identities of transfers and detections hold it: no new column may move them."""
    [record, *_] = judged(None)
    names = [field.name for field in fields(AttackRecord) if field.name != "success"]
    assert len(names) == 14  # what records held when the first digests were taken
    before = fingerprint.fingerprint([{name: getattr(record, name) for name in names}])
    assert fingerprint.fingerprint([attack._judged(record)]) == before
    assert "success" in asdict(record)
