"""Budgets of attacks that promise none, and cascades: counted by hand, and run."""

from __future__ import annotations

import math
import statistics as slow
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from bench import metrics, registry, tables
from bench import suite as suites
from bench.api import Attack, Cascade
from bench.classifier.classifier import Classifier
from bench.commands import run as session
from bench.errors import SuiteError, UsageError
from bench.matrix import Matrix
from bench.metrics import METRICS, CellData
from bench.records import AttackRecord, Budget, TransferRecord, success_of
from bench.statistics import NOTHING
from bench.store import Store

COUNT = 60
BUDGET = Budget("l2", 1.0)


def attacked(seed: int, target: int | None = None) -> list[AttackRecord]:
    """Records of an attack whose norms straddle the budget."""
    generator = np.random.default_rng(seed)
    label, before, after = generator.integers(0, 3, (3, COUNT))
    size = generator.uniform(0, 2, COUNT)
    before = np.where(generator.random(COUNT) < 0.6, label, before)
    return [
        AttackRecord(
            image=f"test/{i}",
            label=int(label[i]),
            target=target,
            clean_prediction=int(before[i]),
            clean_confidence=0.5,
            prediction=int(after[i]),
            confidence=0.5,
            target_confidence=None,
            linf=float(size[i]) / 3,
            l2=float(size[i]),
            l1=float(size[i]) * 4,
            l0=7.0,
            steps_to_success=None,
            violation=None,
            success=success_of(int(label[i]), target, int(before[i]), int(after[i])),
        )
        for i in range(COUNT)
    ]


def frame(records: list[Any], budget: Budget | None = BUDGET) -> pd.DataFrame:
    made = pd.DataFrame([asdict(record) for record in records])
    made["target"] = made["target"].astype("Int64")
    if "l2" in made and isinstance(records[0], AttackRecord):
        made["size"] = made["l2"]
    return metrics.scored(made, budget)


def is_fooled(record: Any, budget: Budget | None) -> bool:
    near = budget is None or record.l2 <= budget.eps + 1e-6
    if record.target is None:
        return near and record.prediction != record.label
    return near and record.prediction == record.target


def counted(record: Any) -> bool:
    return record.clean_prediction == record.label and record.target != record.label


def value(name: str, records: pd.DataFrame, budget: Budget | None = BUDGET) -> Any:
    return metrics.estimate(METRICS[name], records, {}, budget)


@pytest.mark.parametrize("target", [None, 1])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_over_budget_is_no_success(seed: int, target: int | None) -> None:
    records = attacked(seed, target)
    given = frame(records)
    those = [record for record in records if counted(record)]
    found = value("success_rate", given)
    assert (found.value, found.n) == (
        sum(is_fooled(r, BUDGET) for r in those) / len(those),
        len(those),
    )
    assert found.value < value("success_rate", frame(records, None)).value
    right = [r.clean_prediction == r.label for r in records]
    near = [r.l2 <= BUDGET.eps + 1e-6 for r in records]
    stays = [
        (r.prediction == r.label) if close else was
        for r, was, close in zip(records, right, near, strict=True)
    ]
    robust = sum(a and b for a, b in zip(right, stays, strict=True)) / COUNT
    assert value("robust_accuracy", given).value == pytest.approx(robust)
    assert value("robust_error", given).value == pytest.approx(1 - robust)
    healed = sum(not a and b for a, b in zip(right, stays, strict=True)) / COUNT
    assert value("healed", given).value == pytest.approx(healed)
    sizes = [r.l2 for r in those if is_fooled(r, BUDGET)]
    assert value("l2_of_successes", given).value == pytest.approx(slow.mean(sizes))


def test_a_rate_without_a_budget_is_withheld() -> None:
    found = value("success_rate", frame(attacked(0), None), None)
    assert isinstance(found, metrics.Withheld)
    assert "promises no budget" in found.reason


@pytest.mark.parametrize("seed", range(5))
def test_the_median_norm_is_that_of_a_slow_replica(seed: int) -> None:
    records = attacked(seed)
    sizes = [r.l2 if is_fooled(r, None) else math.inf for r in records if counted(r)]
    found = value("median_norm", frame(records))
    assert found.value == slow.median_low(sizes)
    assert found.n == len(sizes)
    assert found.low <= found.value <= found.high
    # the budget is for rates: the search went on beyond it
    assert value("median_norm", frame(records, None), None) == found


def test_a_draw_without_an_eligible_image_has_no_median_norm() -> None:
    """A draw of nothing but an image that was wrong before: nan, not the smallest size."""
    records = attacked(0)
    wrong = next(i for i, record in enumerate(records) if not counted(record))
    images = [record.image for record in records]
    statistic = metrics.statistic(METRICS["median_norm"], frame(records), images)
    alone, every = statistic(np.stack([np.arange(COUNT) == wrong, np.ones(COUNT)]).astype(float))
    assert math.isnan(alone)
    assert every == value("median_norm", frame(records)).value


def test_the_median_norm_is_infinite_where_the_attack_fails() -> None:
    records = [r for r in attacked(1) if counted(r) and not is_fooled(r, None)]
    found = value("median_norm", frame(records))
    assert found.value == math.inf
    words = tables.figure(found, METRICS["median_norm"], intervals=True)
    assert words == f"∞ [all alike: no interval] ({found.n})"
    nobody = [r for r in attacked(1) if not counted(r)]
    assert value("median_norm", frame(nobody)) == NOTHING


@pytest.mark.parametrize("seed", range(5))
def test_eighty_percent_are_fooled_within_norm_80_and_fewer_below(seed: int) -> None:
    sizes = [r.l2 if is_fooled(r, None) else math.inf for r in attacked(seed) if counted(r)]
    found = value("norm_80", frame(attacked(seed))).value
    assert sum(size <= found for size in sizes) >= 0.8 * len(sizes)
    assert sum(size < found for size in sizes) < 0.8 * len(sizes)


def test_steps_by_which_a_share_is_fooled() -> None:
    steps = [1, 2, 2, 3, 5, 8, None, None, None, None]
    records = [
        replace(
            attacked(0)[i],
            label=0,
            clean_prediction=0,
            prediction=0 if step is None else 1,
            l2=0.5,
            steps_to_success=step,
            success=step is not None,
        )
        for i, step in enumerate(steps)
    ]
    assert value("steps_50", frame(records)).value == 5
    assert value("steps_80", frame(records)).value == math.inf
    untold = [replace(record, steps_to_success=None) for record in records]
    assert value("steps_50", frame(untold)) == NOTHING
    nobody = frame([record for record in records if record.steps_to_success is None])
    assert value("steps_50", nobody) == NOTHING
    # an attack that would have recorded its steps needs more than it took
    reported = value("steps_50", nobody.assign(traceable=True))
    assert (reported.value, reported.n) == (math.inf, 4)


@pytest.mark.parametrize("seed", range(5))
def test_the_worst_case_is_that_of_a_slow_replica(seed: int) -> None:
    several = [attacked(seed), attacked(seed + 50, target=1), attacked(seed + 90)]
    truth = [(r.label, r.clean_prediction) for r in several[0]]
    several = [
        [
            replace(r, label=label, clean_prediction=before)
            for r, (label, before) in zip(records, truth, strict=True)
        ]
        for records in several
    ]
    robust = [
        label == before
        and not any(
            records[i].prediction != label and records[i].l2 <= BUDGET.eps + 1e-6
            for records in several
        )
        for i, (label, before) in enumerate(truth)
    ]
    worst = metrics.worst_case([frame(records, None) for records in several], BUDGET)
    assert worst["robust_to_all"].tolist() == robust
    assert 0 < sum(robust) < len(robust)


def test_the_worst_case_over_a_run(tiny: dict[str, Any], tmp_path: Path) -> None:
    attacks = {
        "fgsm": {"grid": {"eps": [0.035, 0.05]}},
        "aimed": {"plugin": "pgd", "eps": 0.035, "target": 1},
        "pgd": {"eps": 0.035},
        "blend": {"budget": {"norm": "l2", "eps": 1.2}},
        "greedy": {"eps": 0.02},  # breaks its budget
    }
    matrix = run(tiny, tmp_path, attacks=attacks)
    table = tables.build(matrix, "worst_case_accuracy", rows=["model"], columns=["budget"])
    found = {
        (row["model"], row["budget"]): row["value"] for row in table.frame().to_dict("records")
    }
    assert set(found) == {
        (model, budget)
        for model in ("linear", "gaudy")
        for budget in ("linf 0.02", "linf 0.035", "linf 0.05", "l2 1.2")
    }
    for model in ("linear", "gaudy"):
        records = {
            name: matrix.records(entry(matrix, f"attack {model}/{name}"))
            for name in ("fgsm@eps=0.035", "aimed", "pgd", "blend")
        }
        robust = metrics.right_before(records["pgd"])
        for name, given in records.items():
            near = given["linf"] <= 0.035 + 1e-6
            assert near.all() or name == "blend"
            robust &= ~((given["prediction"] != given["label"]) & near)
        assert found[model, "linf 0.035"] == pytest.approx(robust.mean())
        assert found[model, "linf 0.05"] <= found[model, "linf 0.035"]
        assert math.isnan(found[model, "linf 0.02"])
    assert "linear/greedy: 10 of 20 images: over budget" in str(table)
    with pytest.raises(UsageError, match="budget"):
        tables.build(matrix, "worst_case_accuracy", rows=["model"], columns=[])


def test_an_attack_in_a_ball_has_no_median_norm() -> None:
    found = value("median_norm", frame(attacked(0)).drop(columns="size"))
    assert isinstance(found, metrics.Withheld)
    assert "not for the nearest" in found.reason


def test_the_median_over_trainings_is_their_mean() -> None:
    cell_data = [CellData(frame(attacked(seed)), {}, f"seed{seed}", BUDGET) for seed in (1, 2)]
    found = metrics.estimate_replicas(METRICS["median_norm"], cell_data)
    alone = [value("median_norm", reading.records).value for reading in cell_data]
    assert found.value == pytest.approx(slow.mean(alone))
    assert found.trainings == 2


def test_transfers_count_within_the_budget_of_their_source() -> None:
    records = attacked(3)
    generator = np.random.default_rng(8)
    moved = [
        TransferRecord(
            image=r.image,
            label=r.label,
            target=None,
            source_success=is_fooled(r, None) if counted(r) else None,
            clean_prediction=r.label if generator.random() < 0.7 else 0,
            clean_confidence=0.5,
            prediction=int(generator.integers(0, 3)),
            confidence=0.5,
            target_confidence=None,
            linf=r.linf,
            l2=r.l2,
            l1=r.l1,
            l0=r.l0,
            violation=None,
        )
        for r in records
    ]
    given = frame(moved)
    sources = [m for m in moved if m.source_success is not None]
    won = sum(m.source_success and m.l2 <= BUDGET.eps for m in sources) / len(sources)
    assert value("source_success", given).value == pytest.approx(won)
    right = [m for m in moved if m.clean_prediction == m.label]
    share = sum(is_fooled(m, BUDGET) for m in right) / len(right)
    assert value("target_success", given).value == share
    fooled = [m for m in right if m.source_success and m.l2 <= BUDGET.eps]
    found = value("transfer_rate", given)
    assert (found.value, found.n) == (
        sum(is_fooled(m, BUDGET) for m in fooled) / len(fooled),
        len(fooled),
    )


def problems(tiny: dict[str, Any], **changes: Any) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        suites.read({**tiny, **changes})
    return [str(problem) for problem in caught.value.problems]


def test_mistakes_in_budgets_are_reported(tiny: dict[str, Any]) -> None:
    attacks = {"fgsm": {"eps": 0.1, "budget": {"norm": "linf", "eps": 0.1}}, "blend": {"budget": 3}}
    reported = problems(
        tiny, attacks=attacks, budget=[{"norm": "l2", "eps": 1}, {"norm": "l2", "eps": 2}]
    )
    assert len(reported) == 3, reported
    assert (
        "budget[1]: 'l2' has two budgets, expected one for each norm" in reported[0] + reported[1]
    )
    assert any("attacks.fgsm.budget: the attack promises its own: linf 0.1" in t for t in reported)
    assert any("attacks.blend.budget: got 3" in t for t in reported)


@pytest.mark.parametrize(
    ("cascade", "expected"),
    [
        (["fgsm"], "attacks.all.cascade: got ['fgsm'], expected at least 2"),
        ("fgsm", "attacks.all.cascade: got 'fgsm', expected a list"),
        (["fgsm", "pgdd"], "attacks.all.cascade[1]: 'pgdd' is no attack of this suite"),
        (["fgsm", "aimed"], "attacks.all.cascade[1]: 'aimed' has a target of its own"),
        (["fgsm", "wide"], "fgsm linf 0.1; wide linf 0.2, expected one budget"),
        (["blend", "free"], "its attacks promise no budget"),
    ],
)
def test_mistakes_in_cascades_are_reported(
    tiny: dict[str, Any], cascade: Any, expected: str
) -> None:
    attacks = {
        "fgsm": {"eps": 0.1},
        "wide": {"plugin": "fgsm", "eps": 0.2},
        "aimed": {"plugin": "fgsm", "eps": 0.1, "target": 1},
        "blend": {},
        "free": {"plugin": "blend", "steps": 3},
        "all": {"cascade": cascade},
    }
    [reported] = problems(tiny, attacks=attacks)
    assert expected in reported


def run(tiny: dict[str, Any], store: Path, **changes: Any) -> Matrix:
    session.run({**tiny, "transfer": {}, **changes}, store=store, reports=None)
    return Matrix.last(Store(store))


def entry(matrix: Matrix, label: str) -> Any:
    [found] = [e for e in matrix.entries if e.label == label]
    return found


def test_another_budget_judges_the_same_images_anew(tiny: dict[str, Any], tmp_path: Path) -> None:
    attacks = {"blend": {}, "own": {"plugin": "blend", "budget": {"norm": "l2", "eps": 0.05}}}
    rates = {}
    keys = {}
    for eps in (1.2, 1.5, None):
        budget = {} if eps is None else {"budget": {"norm": "l2", "eps": eps}}
        matrix = run(tiny, tmp_path, attacks=attacks, **budget)
        one = entry(matrix, "attack linear/blend")
        assert one.state == "done"
        keys[eps] = one.key
        rates[eps] = matrix.estimate([one], METRICS["success_rate"])
        assert matrix.records(one)["size"].equals(matrix.records(one)["l2"])
        own = entry(matrix, "attack linear/own")
        assert (own.value("budget"), own.key) == ("l2 0.05", one.key)
    assert len(set(keys.values())) == 1
    assert 0 < rates[1.2].value < rates[1.5].value
    assert isinstance(rates[None], metrics.Withheld)
    free = entry(matrix, "attack linear/blend")
    assert matrix.estimate([free], METRICS["median_norm"]).value > 0


def test_a_cascade_runs_each_attack_on_what_is_still_correct(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    attacks = {
        "pgd": {"eps": 0.035, "steps": 5},
        "fgsm": {"eps": 0.035},
        "all": {"cascade": ["pgd", "fgsm"]},
        "aimed": {"cascade": ["pgd", "fgsm"], "target": 1},
    }
    matrix = run(tiny, tmp_path, attacks=attacks)
    single, whole = entry(matrix, "attack linear/fgsm"), entry(matrix, "attack linear/all")
    assert whole.facts["cascade"] == "fgsm, pgd"  # the cheapest first
    assert whole.value("budget") == "linf 0.035"
    first, after = matrix.records(single), matrix.records(whole)
    right = metrics.right_before(first)
    stages = matrix.stored(whole).summary["stages"]
    assert stages["fgsm"]["images"] == right.sum()
    standing = right & metrics.right_after(first)
    assert stages["pgd"]["images"] == standing.sum() > 0
    # one more pass each sees whether it is fooled
    assert stages["pgd"]["forwards"] == (5 + 1) * standing.sum()
    assert stages["fgsm"]["forwards"] == (1 + 1) * right.sum()
    # what fgsm fools the cascade fools, by the very same image
    down = metrics.fooled(first) & right
    assert metrics.fooled(after)[down].all()
    assert (after["linf"][down] == first["linf"][down]).all()
    # what is still correct is left as it was
    robust = right & ~metrics.fooled(after)
    assert (after["linf"][robust] == 0).all()
    aimed = matrix.records(entry(matrix, "attack linear/aimed"))
    assert (aimed["target"] == 1).all()


def test_a_cascade_leaves_alone_what_is_wrong_before() -> None:
    torch = pytest.importorskip("torch")
    fgsm = registry.load("attacks", "fgsm")

    class Both(Cascade):
        """Two steps of one attack."""

        norm: ClassVar[Any] = "linf"
        eps: float = 0.05

        @property
        def parts(self) -> dict[str, Attack]:
            return {"small": fgsm(eps=self.eps / 2), "large": fgsm(eps=self.eps)}

    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 3))
    classifier = Classifier(network, (0.5,) * 3, (0.3,) * 3)
    images = torch.rand(60, 3, 4, 4)
    labels = torch.arange(60) % 3
    right = classifier(images).argmax(1) == labels
    made = Both().perturb(classifier, images, labels, generator=torch.Generator())
    moved = (made - images).abs().flatten(1).amax(1)
    assert (moved[~right] == 0).all()
    assert set(moved[right].mul(1000).round().int().tolist()) == {0, 25, 50}
    assert (classifier(made[moved > 0]).argmax(1) != labels[moved > 0]).all()
    assert classifier.stages["small"]["images"] == right.sum()
    robust = int((right & (moved.mul(1000).round() != 25)).sum())
    assert classifier.stages["large"]["images"] == robust
    assert Both().passes == 2
    assert "its part 'small' cannot" not in str(Both().unsuited(classes=3, image_shape=(3, 4, 4)))


def test_names_are_not_what_a_cascade_is(tiny: dict[str, Any], tmp_path: Path) -> None:
    plain = {"fgsm": {"eps": 0.2}, "pgd": {"eps": 0.2, "steps": 2}}
    renamed = {"a": {"plugin": "fgsm", "eps": 0.2}, "b": {"plugin": "pgd", "eps": 0.2, "steps": 2}}
    one = run(tiny, tmp_path, attacks={**plain, "all": {"cascade": ["fgsm", "pgd"]}})
    two = run(tiny, tmp_path, attacks={**renamed, "every": {"cascade": ["b", "a"]}})
    assert entry(one, "attack linear/all").key == entry(two, "attack linear/every").key


@pytest.mark.slow
def test_the_page_reports_norms_and_what_each_part_of_a_cascade_did(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    attacks = {
        "blend": {"budget": {"norm": "l2", "eps": 1.5}},
        "fgsm": {"eps": 0.035},
        "pgd": {"eps": 0.035, "steps": 5},
        "all": {"cascade": ["pgd", "fgsm"]},
        "aimed": {"cascade": ["pgd", "fgsm"], "target": 1},
        "sweep": {"plugin": "fgsm", "grid": {"eps": [0.02, 0.05]}},
    }
    suite = {**tiny, "transfer": None, "attacks": attacks}
    session.run(suite, store=tmp_path / "store", reports=tmp_path / "reports")
    page = (tmp_path / "reports" / "tiny" / "README.md").read_text(encoding="utf-8")
    assert (tmp_path / "reports" / "tiny" / "figures" / "norms-l2.svg").is_file()
    assert "## Nearest adversarial images" in page
    assert (tmp_path / "reports" / "tiny" / "figures" / "robust-accuracy.svg").is_file()
    matrix = Matrix.last(Store(tmp_path / "store"))
    for label in ("linear/all", "linear/aimed", "gaudy/all"):
        rows = [
            [cell.strip() for cell in line.split("|")[1:-1]]
            for line in page.splitlines()
            if line.startswith(f"| {label} ") and " fgsm " in line + " "
        ]
        stages = matrix.stored(entry(matrix, f"attack {label}")).summary["stages"]
        [images, fooled] = [int(number) for number in rows[0][2:4]]
        assert images == stages["fgsm"]["images"]
        assert fooled == images - stages.get("pgd", {"images": 0})["images"]
