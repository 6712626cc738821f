"""Every metric against a replica in plain Python, written from its definition.

Records go through a real store, so that the columns have the types that metrics meet.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas import DataFrame

from bench import metrics, statistics
from bench.metrics import METRICS, Withheld
from bench.records import (
    AttackRecord,
    CertifyRecord,
    Coordinates,
    DriftRecord,
    EvaluateRecord,
    ExplainRecord,
    Record,
    Result,
    TransferRecord,
    success_of,
)
from bench.statistics import NOTHING, Estimate
from bench.store import Store
from bench_plugins.metrics.families import Quotient

CLASSES = 4
COUNT = 60

EXPLAINED = (
    *("faithfulness", "faithfulness_of_chance", "faithfulness_gain", "deletion_auc"),
    *("insertion_auc", "randomisation_similarity", "empty_heatmap"),
)

# Replicas


def right_before(record: Any) -> bool:
    return record.clean_prediction == record.label


def right_after(record: Any) -> bool:
    return record.prediction == record.label


def counts(record: Any) -> bool:
    """Right before, and the target is another class than its own."""
    return right_before(record) and (record.target is None or record.target != record.label)


def won(record: Any) -> bool:
    if record.target is None:
        return record.prediction != record.label
    return record.prediction == record.target


def successes(records: Sequence[Any]) -> list[Any]:
    return [record for record in records if counts(record) and won(record)]


def known(records: Sequence[Any], column: str) -> list[float]:
    values = [getattr(record, column) for record in records]
    return [float(value) for value in values if value is not None]


def clean_accuracy(records: Sequence[Any]) -> list[bool]:
    if isinstance(records[0], EvaluateRecord):
        return [record.prediction == record.label for record in records]
    return [right_before(record) for record in records]


REPLICAS: dict[str, Callable[[Sequence[Any]], list[bool] | list[float]]] = {
    "success_rate": lambda rs: [won(r) for r in rs if counts(r)],
    "clean_accuracy": clean_accuracy,
    "accuracy_before": clean_accuracy,
    "robust_accuracy": lambda rs: [right_before(r) and right_after(r) for r in rs],
    "robust_error": lambda rs: [not (right_before(r) and right_after(r)) for r in rs],
    "healed": lambda rs: [not right_before(r) and right_after(r) for r in rs],
    "linf": lambda rs: known(rs, "linf"),
    "l2": lambda rs: known(rs, "l2"),
    "l1": lambda rs: known(rs, "l1"),
    "l0": lambda rs: known(rs, "l0"),
    "confidence": lambda rs: known(rs, "confidence"),
    "target_confidence": lambda rs: known(rs, "target_confidence"),
    "linf_of_successes": lambda rs: known(successes(rs), "linf"),
    "l2_of_successes": lambda rs: known(successes(rs), "l2"),
    "l1_of_successes": lambda rs: known(successes(rs), "l1"),
    "l0_of_successes": lambda rs: known(successes(rs), "l0"),
    "confidence_of_successes": lambda rs: known(successes(rs), "confidence"),
    "target_confidence_of_successes": lambda rs: known(successes(rs), "target_confidence"),
    "steps_to_success": lambda rs: known(successes(rs), "steps_to_success"),
    "source_success": lambda rs: [r.source_success for r in rs if r.source_success is not None],
    "target_success": lambda rs: [won(r) for r in rs if counts(r)],
    "transfer_rate": lambda rs: [won(r) for r in rs if r.source_success and counts(r)],
    "heatmap_similarity": lambda rs: known(rs, "heatmap_similarity"),
    "heatmap_overlap": lambda rs: known(rs, "heatmap_overlap"),
    "certified_accuracy": lambda rs: [r.prediction == r.label for r in rs],
    "certified_radius": lambda rs: [r.radius if r.prediction == r.label else 0.0 for r in rs],
    **{name: lambda rs, name=name: known(rs, name) for name in EXPLAINED},
}
WEIGHTED = {"macro_precision", "macro_recall", "macro_f1", "calibration_error", "median_norm"}
WEIGHTED |= {"detection_auroc", "norm_80", "steps_50", "steps_80", "recovery_rate"}
"""Figures that are no mean over images: test_scores.py and test_budgets.py hold their replicas.

That of the recovery rate stands below.
"""

ACROSS = {name for name, metric in METRICS.items() if metric.worst_case}
"""Figures over several attacks: test_budgets.py holds their replica."""

QUOTIENTS: dict[str, Callable[[dict[str, float], dict[str, float]], float]] = {
    "compression_ratio": lambda first, own: first["size_bytes"] / own["size_bytes"],
    "compressed_ratio": (
        lambda first, own: first["size_compressed_bytes"] / own["size_compressed_bytes"]
    ),
    "theoretical_speed_up": lambda first, own: first["macs"] / own["nonzero_macs"],
    "speed_up": lambda first, own: first["latency_ms"] / own["latency_ms"],
}
"""Figures of the original's cell, ``first``, and of the variant's."""

WHOLE = {name for name in METRICS if METRICS[name].kinds[0] in ("train", "profile", "latency")}
WHOLE |= {"forwards", "backwards", "seconds"}
WHOLE -= set(QUOTIENTS)
"""Figures that the cell's summary holds; nothing of them is per image."""

MEANS = {name for name in REPLICAS if name.startswith(("l", "confidence", "target_c", "steps"))}
MEANS |= {*EXPLAINED} - {"empty_heatmap"}
MEANS |= {"certified_radius", "heatmap_similarity", "heatmap_overlap"}


def oracle(name: str, records: Sequence[Any]) -> Estimate:
    values = REPLICAS[name](records)
    if name in MEANS:
        is_of_one = name.startswith(("confidence", "target_confidence"))
        signed = name in {*EXPLAINED, "heatmap_similarity", "heatmap_overlap"}
        limits = (0, 1) if is_of_one else (None, None) if signed else (0, None)
        return statistics.mean(values, limits)
    return statistics.rate(sum(values), len(values))


# Records


def attacked(generator: random.Random, position: int, target: int | None) -> AttackRecord:
    label = generator.randrange(CLASSES)
    before = label if generator.random() < 0.7 else generator.randrange(CLASSES)
    confidence, after = generator.random(), generator.randrange(CLASSES)
    return AttackRecord(
        image=f"test/{position}",
        label=label,
        target=target,
        clean_prediction=before,
        clean_confidence=confidence,
        prediction=after,
        confidence=generator.random(),
        target_confidence=None if target is None else generator.random(),
        linf=generator.random(),
        l2=3 * generator.random(),
        l1=20 * generator.random(),
        l0=float(generator.randrange(64)),
        steps_to_success=generator.choice([None, 0, 1, 7, 40]),
        violation=None,
        success=success_of(label, target, before, after),
    )


def transferred(generator: random.Random, position: int, target: int | None) -> TransferRecord:
    label = generator.randrange(CLASSES)
    return TransferRecord(
        image=f"test/{position}",
        label=label,
        target=target,
        source_success=generator.choice([None, False, True, True]),
        clean_prediction=label if generator.random() < 0.7 else generator.randrange(CLASSES),
        clean_confidence=generator.random(),
        prediction=generator.randrange(CLASSES),
        confidence=generator.random(),
        target_confidence=None if target is None else generator.random(),
        linf=generator.random(),
        l2=3 * generator.random(),
        l1=20 * generator.random(),
        l0=float(generator.randrange(64)),
        violation=None,
    )


def evaluated(generator: random.Random, position: int, _: int | None) -> EvaluateRecord:
    return EvaluateRecord(
        image=f"test/{position}",
        label=generator.randrange(CLASSES),
        prediction=generator.randrange(CLASSES),
        confidence=generator.random(),
    )


def explained(generator: random.Random, position: int, _: int | None) -> ExplainRecord:
    figures: dict[str, Any] = {name: generator.random() for name in EXPLAINED}
    figures["empty_heatmap"] = generator.random() < 0.3
    figures["randomisation_similarity"] = generator.choice([None, generator.random()])
    return ExplainRecord(
        image=f"test/{position}",
        label=generator.randrange(CLASSES),
        prediction=generator.randrange(CLASSES),
        confidence=generator.random(),
        **figures,
    )


def certified(generator: random.Random, position: int, _: int | None) -> CertifyRecord:
    return CertifyRecord(
        image=f"test/{position}",
        label=generator.randrange(CLASSES),
        prediction=generator.choice([None, *range(CLASSES)]),
        radius=generator.random(),
    )


def drifted(generator: random.Random, position: int, _: int | None) -> DriftRecord:
    return DriftRecord(
        image=f"test/{position}",
        label=generator.randrange(CLASSES),
        clean_prediction=generator.randrange(CLASSES),
        prediction=generator.randrange(CLASSES),
        heatmap_similarity=generator.choice([None, generator.random()]),
        heatmap_overlap=generator.choice([None, generator.random()]),
        violation=None,
    )


MAKERS = {
    "attack": attacked, "transfer": transferred, "evaluate": evaluated, "explain": explained,
    "certify": certified, "drift": drifted, "interim": evaluated,
}  # fmt: skip


def make(kind: str, *, seed: int, target: int | None = None, count: int = COUNT) -> list[Any]:
    generator = random.Random(seed)
    return [MAKERS[kind](generator, position, target) for position in range(count)]


def changed(records: Sequence[Any], **columns: Any) -> list[Any]:
    """Copy records with some columns set, and what follows from them."""
    made = [replace(record, **columns) for record in records]
    return [decided(one) if isinstance(one, AttackRecord) else one for one in made]


def decided(record: AttackRecord) -> AttackRecord:
    """Return a record with the success that its other columns make it."""
    known = (record.label, record.target, record.clean_prediction, record.prediction)
    return replace(record, success=success_of(*known))


BUDGETED = {"budget": {"norm": "linf", "eps": 0.1}}


@pytest.fixture
def frame(tmp_path: Path) -> Callable[[Sequence[Record]], DataFrame]:
    """Write records to a store, and read them."""

    def through(records: Sequence[Record]) -> DataFrame:
        store = Store(tmp_path / "store")
        key = f"{len(store.keys()):064x}"
        where = Coordinates("m")
        return store.records(store.put(key, "attack", where, {}, Result(records=records), BUDGETED))

    return through


PLACES = [
    (name, kind)
    for name, metric in METRICS.items()
    if not metric.worst_case
    for kind in metric.kinds
]


def test_every_metric_has_a_replica_and_no_replica_lacks_its_metric() -> None:
    assert set(REPLICAS) | WHOLE | WEIGHTED | ACROSS | set(QUOTIENTS) == set(METRICS)
    plain = {name for name, metric in METRICS.items() if metric.values is None}
    assert plain == WHOLE | WEIGHTED | set(QUOTIENTS)
    assert {n for n, metric in METRICS.items() if isinstance(metric, Quotient)} == set(QUOTIENTS)
    assert {name for name, metric in METRICS.items() if metric.weighted is not None} == WEIGHTED


@pytest.mark.parametrize("target", [None, 1], ids=["untargeted", "targeted"])
@pytest.mark.parametrize("kind", MAKERS)
def test_every_metric_agrees_with_its_replica(frame, kind: str, target: int | None) -> None:
    for seed in range(3):
        records = make(kind, seed=seed, target=target)
        stored = frame(records)
        for name in (n for n, k in PLACES if k == kind and n not in WHOLE | WEIGHTED):
            found = metrics.estimate(METRICS[name], stored, BUDGETED)
            assert found == oracle(name, records), name


@pytest.mark.parametrize("name", EXPLAINED)
def test_what_is_only_shown_counts_in_no_figure(frame, name: str) -> None:
    """In older files, even if a figure of it were stored; being shown takes nothing away either."""
    records = make("explain", seed=1)
    sample = [r for i, r in enumerate(records) if i % 5]
    loud = {**dict.fromkeys(EXPLAINED, 1e6), "empty_heatmap": True}
    planted = [r if i % 5 else changed([r], **loud)[0] for i, r in enumerate(records)]
    places = np.arange(len(records))
    older = frame(planted).assign(measured=places % 5 > 0, shown=places % 3 == 0)
    found = metrics.estimate(METRICS[name], older, {})
    assert found == metrics.estimate(METRICS[name], frame(sample), {}) == oracle(name, sample)
    assert metrics.estimate(METRICS[name], older.assign(shown=False), {}) == found


def test_the_random_records_meet_every_case() -> None:
    # or else the test above would pass a metric that forgets one
    records = [r for seed in range(3) for r in make("attack", seed=seed, target=1)]
    cases = {(right_before(r), right_after(r), r.label == 1, won(r)) for r in records}
    # right after and reaching the target coincide for class 1 and exclude each other elsewhere
    expected = {
        (before, after, own, after if own else hit)
        for before in (True, False)
        for after in (True, False)
        for own in (True, False)
        for hit in ((True, False) if not after else (False,))
    }
    assert cases == expected


def test_the_definitions_by_hand(frame) -> None:
    """Six images: one healed, two lost, one kept, one wrong throughout, one lost to the target."""
    plain = make("attack", seed=0, count=6)
    verdicts = [(0, 1, 0), (0, 0, 2), (3, 3, 1), (2, 2, 2), (1, 0, 2), (3, 3, 0)]
    records = [
        changed([r], label=label, clean_prediction=before, prediction=after)[0]
        for r, (label, before, after) in zip(plain, verdicts, strict=True)
    ]
    values = {
        name: metrics.estimate(METRICS[name], frame(records), BUDGETED)
        for name in ("success_rate", "clean_accuracy", "robust_accuracy", "robust_error", "healed")
    }
    # right before: the 2nd, 3rd, 4th and 6th; of these only the 4th is right after
    assert (values["success_rate"].value, values["success_rate"].n) == (3 / 4, 4)
    assert (values["clean_accuracy"].value, values["clean_accuracy"].n) == (4 / 6, 6)
    assert (values["robust_accuracy"].value, values["robust_accuracy"].n) == (1 / 6, 6)
    assert (values["robust_error"].value, values["robust_error"].n) == (5 / 6, 6)
    assert (values["healed"].value, values["healed"].n) == (1 / 6, 6)
    aimed = metrics.estimate(METRICS["success_rate"], frame(changed(records, target=0)), BUDGETED)
    # the 2nd is of class 0 already; of the 3rd, 4th and 6th only the 6th becomes 0
    assert (aimed.value, aimed.n) == (1 / 3, 3)


# Empty denominators


@pytest.mark.parametrize("count", [1, 2, 60])
@pytest.mark.parametrize("name", ["macro_precision", "macro_recall", "macro_f1"])
def test_a_sample_without_an_error_leaves_a_macro_score_in_doubt(
    frame, name: str, count: int
) -> None:
    """As Wilson's interval of a share does, and less so the more images there are."""
    records = [EvaluateRecord(f"test/{i}", i % 2, i % 2, 0.75) for i in range(count)]
    found = metrics.estimate(METRICS[name], frame(records), {})
    assert isinstance(found, Estimate)
    assert (found.value, found.n) == (1, count)
    if count < 6:  # of two classes
        assert (found.low, found.high) == (None, None)
        assert found.lacks == "images of a class below 3: no interval"
    else:
        assert found.low == pytest.approx(0.025 ** (1 / count))  # Clopper and Pearson's
        assert found.high == 1


@pytest.mark.parametrize("kind", ["attack", "transfer"])
def test_where_nothing_was_right_before_there_is_no_success_rate(frame, kind: str) -> None:
    records = [
        changed([r], clean_prediction=(r.label + 1) % CLASSES)[0] for r in make(kind, seed=1)
    ]
    stored = frame(records)
    names = {"success_rate", "target_success", "transfer_rate"}
    names |= {n for n in MEANS if n.endswith(("success", "successes"))}
    for name in (n for n, k in PLACES if k == kind and n in names):
        assert metrics.estimate(METRICS[name], stored, BUDGETED) == NOTHING, name
    assert metrics.estimate(METRICS["robust_accuracy"], stored, BUDGETED).value == 0


@pytest.mark.parametrize(
    ("kind", "name"), [("attack", "success_rate"), ("transfer", "target_success")]
)
def test_where_every_image_is_of_the_target_class_there_is_no_success_rate(
    frame, kind: str, name: str
) -> None:
    records = changed(make(kind, seed=2, target=1), label=1, clean_prediction=1)
    assert metrics.estimate(METRICS[name], frame(records), BUDGETED) == NOTHING


def test_where_nothing_fooled_the_source_nothing_transfers(frame) -> None:
    stored = frame(changed(make("transfer", seed=2), source_success=False))
    assert metrics.estimate(METRICS["transfer_rate"], stored, BUDGETED) == NOTHING
    assert metrics.estimate(METRICS["source_success"], stored, BUDGETED).value == 0
    unknown = frame(changed(make("transfer", seed=2), source_success=None))
    assert metrics.estimate(METRICS["source_success"], unknown, BUDGETED) == NOTHING
    assert metrics.estimate(METRICS["transfer_rate"], unknown, BUDGETED) == NOTHING


def test_without_a_target_there_is_no_confidence_in_it(frame) -> None:
    stored = frame(make("attack", seed=2))
    for name in ("target_confidence", "target_confidence_of_successes"):
        assert metrics.estimate(METRICS[name], stored, BUDGETED) == NOTHING


def test_an_attack_whose_calls_are_no_iterates_has_no_steps(frame) -> None:
    stored = frame(changed(make("attack", seed=2), steps_to_success=None))
    assert metrics.estimate(METRICS["steps_to_success"], stored, BUDGETED) == NOTHING


def test_a_start_that_fools_counts_zero_steps(frame) -> None:
    records = changed(
        make("attack", seed=2, count=4),
        label=0,
        clean_prediction=0,
        prediction=1,
        steps_to_success=0,
    )
    found = metrics.estimate(METRICS["steps_to_success"], frame(records), BUDGETED)
    assert found == Estimate(0, None, None, 4, lacks="n below 5: no interval")


# Images without a verdict


@pytest.mark.parametrize("kind", ["attack", "transfer"])
def test_one_image_without_a_verdict_withholds_all_but_the_clean_accuracy(frame, kind: str) -> None:
    records = make(kind, seed=4, target=1)
    broken = changed(
        records[5:7],
        prediction=None,
        confidence=None,
        target_confidence=None,
        violation="over budget: linf 0.2 > eps 0.1",
    )
    if kind == "transfer":
        broken = changed(broken, source_success=None)
    records[5:7] = broken
    stored = frame(records)
    reason = Withheld(f"2 of {COUNT} images: over budget: linf 0.2 > eps 0.1")
    for name in (n for n, k in PLACES if k == kind and n not in WHOLE | WEIGHTED):
        found = metrics.estimate(METRICS[name], stored, BUDGETED)
        if name == "clean_accuracy":
            assert found == oracle(name, records)
        else:
            assert found == reason, name


def test_only_what_was_there_before_the_attack_needs_no_verdict() -> None:
    assert {n for n, metric in METRICS.items() if not metric.needs_verdict} == {
        *("clean_accuracy", "accuracy_before")
    }


def test_every_image_without_norms_withholds_too(frame) -> None:
    lost = changed(
        make("attack", seed=4),
        **dict.fromkeys(("prediction", "confidence", "linf", "l2", "l1", "l0")),
        violation="not finite",
    )
    for name in ("success_rate", "linf", "l0_of_successes"):
        found = metrics.estimate(METRICS[name], frame(lost), BUDGETED)
        assert found == Withheld(f"{COUNT} of {COUNT} images: not finite")


# Figures of the whole cell


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_figures_of_the_whole_cell_come_from_its_summary(frame, name: str) -> None:
    stored = frame(make("attack", seed=0))
    summary = {"images": COUNT, name: 41}
    assert metrics.estimate(METRICS[name], stored, summary) == Estimate(41.0, None, None, COUNT)
    assert metrics.estimate(METRICS[name], stored, {"images": COUNT}) == NOTHING


def test_a_cell_without_records_has_no_rate() -> None:
    assert metrics.estimate(METRICS["success_rate"], None, {"images": 3, **BUDGETED}) == NOTHING


# What the definitions imply


@pytest.mark.parametrize("target", [None, 1])
def test_identities_between_metrics_hold(frame, target: int | None) -> None:
    stored = frame(make("attack", seed=9, target=target))

    def value(name: str) -> float:
        return metrics.estimate(METRICS[name], stored, BUDGETED).value

    assert value("robust_accuracy") + value("robust_error") == pytest.approx(1)
    assert value("robust_accuracy") <= value("clean_accuracy")
    assert value("healed") <= 1 - value("clean_accuracy")
    if target is None:
        # untargeted: the share of the right ones that was lost
        lost = 1 - value("robust_accuracy") / value("clean_accuracy")
        assert value("success_rate") == pytest.approx(lost)


def test_without_a_budget_there_is_no_rate() -> None:
    for name, metric in METRICS.items():
        if metric.needs_budget:
            found = metrics.estimate(metric, None, {"budget": None})
            assert isinstance(found, Withheld), name
            assert "no budget" in found.reason
    assert {n for n, m in METRICS.items() if m.needs_budget} == {
        "success_rate",
        "robust_accuracy",
        "robust_error",
        "healed",
        "source_success",
        "target_success",
        "transfer_rate",
        "worst_case_accuracy",
    }


# Beside the original


def beside(
    frame: Any, first: Sequence[Any], own: Sequence[Any], seed: str = ""
) -> metrics.CellData:
    """The records of a variant beside those of its original, as the matrix reads them."""
    named = frame(first).set_index("image").add_prefix("original_")
    return metrics.CellData(frame(own).join(named, on="image"), {}, seed, None, {})


def recovered(first: Sequence[Any], own: Sequence[Any], counts: Sequence[int]) -> float:
    """The replica: right of the variant over right of the original, an image as often as drawn."""
    right = [
        sum(n for r, n in zip(records, counts, strict=True) if r.prediction == r.label)
        for records in (own, first)
    ]
    return right[0] / right[1]


def judged(wrong: Sequence[int], count: int = COUNT) -> list[EvaluateRecord]:
    """Images of which some are wrong."""
    return [EvaluateRecord(f"test/{i}", 0, 1 if i in wrong else 0, 0.9) for i in range(count)]


def test_the_recovery_rate_is_a_quotient_of_accuracies_on_the_same_images(frame) -> None:
    for seed in range(3):
        chosen = random.Random(seed)
        first, own = (
            judged([i for i in range(COUNT) if chosen.random() < share]) for share in (0.2, 0.4)
        )
        turned = list(reversed(own))  # records are matched by image, not by place
        found = metrics.estimate_replicas(METRICS["recovery_rate"], [beside(frame, first, turned)])
        assert found.value == pytest.approx(recovered(first, own, [1] * COUNT))
        assert found.n == COUNT
        assert found.low <= found.value <= found.high
        # the interval is that of images drawn anew, each with both its verdicts
        generator = np.random.default_rng(0)
        draws = [
            recovered(first, own, generator.multinomial(COUNT, [1 / COUNT] * COUNT))
            for _ in range(2000)
        ]
        assert found.low == pytest.approx(np.quantile(draws, 0.025), abs=0.05)
        assert found.high == pytest.approx(np.quantile(draws, 0.975), abs=0.05)


def test_the_recovery_rate_by_hand(frame) -> None:
    """54 of 60 right before; 45 after: 45 / 54; of the original itself 1, without a doubt."""
    first, own = judged(range(6)), judged(range(15))
    found = metrics.estimate_replicas(METRICS["recovery_rate"], [beside(frame, first, own)])
    assert found.value == pytest.approx(45 / 54)
    itself = metrics.estimate_replicas(METRICS["recovery_rate"], [beside(frame, first, first)])
    # that all 54 images are kept leaves it in doubt, as a share would be: 54 / (54 + z ** 2)
    assert itself.value == 1
    assert (itself.low, itself.high) == pytest.approx((54 / 57.8415, 57.8415 / 54), abs=1e-4)
    # more is possible, and is not cut off
    better = metrics.estimate_replicas(METRICS["recovery_rate"], [beside(frame, own, first)])
    assert better.value == pytest.approx(54 / 45)
    assert better.high > 54 / 45
    # an original that has nothing right has nothing to recover
    lost = metrics.estimate_replicas(
        METRICS["recovery_rate"], [beside(frame, judged(range(COUNT)), own)]
    )
    assert lost == NOTHING


def test_the_recovery_rate_of_several_trainings_is_their_mean(frame) -> None:
    pairs = [(judged(range(6)), judged(range(12))), (judged(range(3)), judged(range(30)))]
    cell_data = [
        beside(frame, first, own, f"seed{i}") for i, (first, own) in enumerate(pairs, start=1)
    ]
    found = metrics.estimate_replicas(METRICS["recovery_rate"], cell_data)
    each = [recovered(first, own, [1] * COUNT) for first, own in pairs]
    assert found.value == pytest.approx(sum(each) / 2)
    assert found.trainings == 2
    assert found.low < found.value < found.high
    # folds of one training are one sample: not the mean of two quotients
    parts = [beside(frame, first, own, "") for first, own in pairs]
    for number, reading in enumerate(parts):
        names = [f"fold{number}/{i}" for i in range(COUNT)]
        reading.records["image"] = names
    whole = metrics.estimate_replicas(METRICS["recovery_rate"], parts)
    assert whole.value == pytest.approx((48 + 30) / (54 + 57))
    assert (whole.n, whole.trainings) == (2 * COUNT, 1)


@given(
    st.integers(2, 40).flatmap(
        lambda n: st.lists(
            st.lists(st.tuples(st.booleans(), st.booleans()), min_size=n, max_size=n),
            min_size=1,
            max_size=3,
        )
    )
)
@settings(max_examples=40, deadline=None)
def test_the_interval_of_the_recovery_rate_contains_it(verdicts) -> None:
    cell_data = []
    for number, pairs in enumerate(verdicts):
        frame = DataFrame(
            {
                "image": [f"test/{i}" for i in range(len(pairs))],
                "label": 0,
                "prediction": [0 if own else 1 for own, _ in pairs],
                "original_prediction": [0 if first else 1 for _, first in pairs],
            }
        )
        cell_data.append(metrics.CellData(frame, {}, f"seed{number}", None, {}))
    found = metrics.estimate_replicas(METRICS["recovery_rate"], cell_data)
    if any(not any(first for _, first in pairs) for pairs in verdicts):
        assert found == NOTHING
        return
    if len(verdicts[0]) < 5:
        assert (found.low, found.high) == (None, None)
        assert found.lacks == "n below 5: no interval"
        return
    assert found.low < found.high  # also where a variant is right on just what its original is
    assert found.low <= found.value * (1 + 1e-9)
    assert found.value <= found.high * (1 + 1e-9)


@pytest.mark.parametrize("name", sorted(QUOTIENTS))
def test_quotients_are_those_of_their_replicas(name: str) -> None:
    known = ("size_bytes", "size_compressed_bytes", "macs", "nonzero_macs", "latency_ms")
    generator = random.Random(4)
    cell_data, values = [], []
    for seed in range(3):
        first, own = ({each: 1 + 9 * generator.random() for each in known} for _ in range(2))
        cell_data.append(metrics.CellData(None, {**own, "images": 7}, f"s{seed}", None, first))
        values.append(QUOTIENTS[name](first, own))
    found = metrics.estimate_replicas(METRICS[name], cell_data[:1])
    assert found == Estimate(pytest.approx(values[0]), None, None, 7)
    every = metrics.estimate_replicas(METRICS[name], cell_data)
    assert every == Estimate(pytest.approx(sum(values) / 3), None, None, 7, 3)
    for lacking in ({}, {"latency_ms": 0, "nonzero_macs": 0}):
        nothing = metrics.CellData(None, lacking, "", None, cell_data[0].original)
        assert metrics.estimate_replicas(METRICS[name], [nothing]) == NOTHING


@pytest.mark.parametrize("name", ["recovery_rate", *QUOTIENTS])
def test_without_the_original_what_is_beside_it_is_withheld(frame, name: str) -> None:
    assert METRICS[name].beside_original
    alone = metrics.CellData(frame(judged([1])), {"size_bytes": 3, "latency_ms": 1})
    found = metrics.estimate_replicas(METRICS[name], [alone])
    assert isinstance(found, Withheld)
    assert "original" in found.reason


def test_only_these_are_beside_the_original() -> None:
    """Or else a figure of a variant would be one of two networks, and nobody would know."""
    assert {n for n, m in METRICS.items() if m.beside_original} == {"recovery_rate", *QUOTIENTS}


# Over trainings


@pytest.mark.parametrize("name", ["success_rate", "target_success"])
def test_a_training_that_has_nothing_to_count_leaves_no_mean(frame, name: str) -> None:
    """One of two trainings has every image wrong already: its rate of success is undefined."""
    (kind,) = METRICS[name].kinds
    some = make(kind, seed=3)
    none = [changed([r], clean_prediction=(r.label + 1) % CLASSES)[0] for r in some]
    cell_data = [
        metrics.CellData(frame(records), BUDGETED, seed)
        for seed, records in (("seed1", some), ("seed2", none))
    ]
    alone = metrics.estimate_replicas(METRICS[name], cell_data[:1])
    assert alone.value is not None
    assert metrics.estimate_replicas(METRICS[name], cell_data) == NOTHING
    assert metrics.estimate_replicas(METRICS[name], cell_data[1:] * 2) == NOTHING


def test_which_way_a_metric_is_better_is_reported_where_one_is() -> None:
    """Of an attack's figures, seen by who defends; means of norms say nothing either way."""
    lower = {name for name, metric in METRICS.items() if metric.better == "lower"}
    higher = {name for name, metric in METRICS.items() if metric.better == "higher"}
    assert lower == {
        *("success_rate", "robust_error", "calibration_error", "deletion_auc"),
        *("parameters", "size_bytes", "size_compressed_bytes", "macs"),
        *("latency_ms", "latency_ms_median", "training_seconds", "peak_memory_bytes"),
    }
    assert higher == {
        *("clean_accuracy", "robust_accuracy", "images_per_second", "median_norm"),
        *("norm_80", "steps_50", "steps_80", "worst_case_accuracy"),
        *("macro_precision", "macro_recall", "macro_f1"),
        *("faithfulness", "faithfulness_gain", "insertion_auc"),
        *("certified_accuracy", "certified_radius", "detection_auroc"),
        *("heatmap_similarity", "heatmap_overlap"),
        *("accuracy_before", "recovery_rate", *QUOTIENTS),
    }
