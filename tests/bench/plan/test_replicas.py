"""Several trainings of one recipe: folds and seeds, from the suite to the figures in tables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import importable
from planted import compared
from scipy import stats

from bench import data, machine, registry, statistics, tables
from bench.api import Content
from bench.api.recipes import PRESETS, Recipe
from bench.cells.evaluate import EvaluateCell
from bench.cells.train import TrainCell
from bench.cells.workbench import Workbench
from bench.commands import run as session
from bench.data import Prepared
from bench.errors import BenchError, DataError, SuiteError
from bench.matrix import Matrix
from bench.metrics import METRICS, CellData, Withheld, estimate_replicas
from bench.plan import Plan
from bench.store import Store
from bench.suite import DatasetEntry

RECIPE = {"epochs": 1, "batch_size": 16, "lr": 0.01}


@pytest.fixture
def prepare(plugins: Path, tmp_path: Path) -> Callable[..., Prepared]:
    def make(name: str = "twins", **parameters: Any) -> Prepared:
        plugin = registry.load("datasets", name)(**parameters)
        return data.prepare(DatasetEntry(name, name, plugin), tmp_path / "cache")

    return make


# Folds


@pytest.mark.parametrize(("count", "of"), [(96, 3), (97, 5), (50, 4), (31, 10)])
def test_each_training_image_is_held_out_once_and_never_learned_from_then(
    prepare, count: int, of: int
) -> None:
    whole = prepare("blobs", train=count)
    train = whole.split("train")
    held_out: list[int] = []
    for number in range(1, of + 1):
        rest, fold = whole.fold(number, of, seed=7)
        assert set(rest.positions) | set(fold.positions) == set(train.positions)
        assert not set(rest.positions) & set(fold.positions)
        assert list(rest.positions) == sorted(rest.positions)  # both keep their order
        assert list(fold.positions) == sorted(fold.positions)
        held_out += fold.positions.tolist()
    assert sorted(held_out) == train.positions.tolist()


@pytest.mark.parametrize(("count", "of"), [(96, 3), (97, 5), (50, 4), (31, 10)])
def test_classes_are_dealt_out_evenly(prepare, count: int, of: int) -> None:
    whole = prepare("blobs", train=count)
    folds = [whole.fold(number, of, seed=7)[1] for number in range(1, of + 1)]
    sizes = [len(fold) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    for label in range(3):
        counts = [int((fold.labels == label).sum()) for fold in folds]
        assert max(counts) - min(counts) <= 1


def test_a_seed_decides_the_folds(prepare) -> None:
    whole = prepare()
    same = [whole.fold(1, 3, seed=7)[1].positions.tolist() for _ in range(2)]
    assert same[0] == same[1]
    others = {tuple(whole.fold(1, 3, seed=seed)[1].positions) for seed in range(5)}
    assert len(others) == 5
    digests = {whole.fold(number, 3, seed=7)[0].digest for number in (1, 2, 3)}
    assert len(digests) == 3


def test_folds_do_not_depend_on_what_other_images_there_are(prepare) -> None:
    """Other test images make no other folds: of the training images alone."""
    one, other = prepare("blobs", test=30), prepare("blobs", test=60)
    for number in (1, 2):
        assert [one.names[p] for p in one.fold(number, 2, 7)[1].positions] == [
            other.names[p] for p in other.fold(number, 2, 7)[1].positions
        ]


def test_more_folds_than_images_of_a_class_are_refused(prepare) -> None:
    whole = prepare("blobs", train=10)  # 4, 3 and 3
    assert len(whole.fold(3, 3, 0)[1]) > 0
    with pytest.raises(DataError, match="a class with 3 training images, expected at least one fo"):
        whole.fold(1, 4, 0)


# Twins


def test_twins_are_found_and_only_they(prepare) -> None:
    whole = prepare("twins")
    assert {frozenset(group) for group in whole.duplicates} == {
        frozenset({"train/4", "train/7"}),
        frozenset({"train/0", "test/0", "test/3"}),
        frozenset({"valid/8", "test/5"}),
    }
    leaks = whole.leaks()
    assert {k: {frozenset(pair) for pair in pairs} for k, pairs in leaks.items()} == {
        ("train", "test"): {frozenset({"train/0", "test/0"}), frozenset({"train/0", "test/3"})},
        tuple(s for s in whole.splits if s in ("valid", "test")): {
            frozenset({"valid/8", "test/5"})
        },
    }
    assert prepare("blobs").duplicates == ()
    assert prepare("blobs").leaks() == {}


def test_the_cache_remembers_twins(prepare) -> None:
    assert prepare("twins").duplicates == prepare("twins").duplicates != ()


def test_twins_are_reported(plan_of) -> None:
    made = plan_of(models={"linear": {"train": RECIPE}})
    reported = "; ".join(made.notes)
    assert (
        "2 images of test are in train of twins too, pixel for pixel: test/0 is train/0" in reported
    )
    assert "1 images of test are in valid of twins too" in reported
    assert "fold" not in reported
    folded = plan_of(models={"linear": {"train": RECIPE, "folds": 3}})
    # of the training images: 0, whose twins are test images, and 4 and 7
    assert "3 images of the folds have a duplicate" in "; ".join(folded.notes)


def test_bf16_that_is_emulated_is_reported(plan_of, monkeypatch) -> None:
    models = {
        "linear": {"train": {**RECIPE, "precision": "bf16"}, "seeds": [1, 2]},
        "gaudy": {"train": RECIPE},
    }
    sparse = {"magnitude": {"sparsity": 0.5}}
    variants = {
        "original": [],
        "tuned": [sparse, {"fine_tune": {"precision": "bf16"}}],
        "tuned-fp32": [sparse, "fine_tune"],
    }
    for known in ((), ("avx512_bf16",)):
        monkeypatch.setattr(machine, "bf16_instructions", lambda known=known: known)
        made = plan_of(models=models, variants=variants)
        reported = [note for note in made.notes if "bf16" in note]
        if known:
            assert reported == []
        else:
            of_model, of_step = reported
            assert "linear trains in bf16, which this processor emulates" in of_model
            assert "--set models.linear.train.precision=fp32" in of_model
            assert "tuned trains in bf16" in of_step
            assert "--set variants.tuned[1].fine_tune.precision=fp32" in of_step


# Plans


@pytest.fixture
def plan_of(plugins: Path, tmp_path: Path) -> Callable[..., Plan]:
    def make(**sections: Any) -> Plan:
        suite = {
            "suite": "replicas",
            "seed": 7,
            "dataset": "twins",
            "images": {"count": 10},
            "attacks": {"fgsm": {"eps": 0.1}},
            "run": {"threads": 1, "device": "cpu"},
            **sections,
        }
        return session.make_plan(suite, Store(tmp_path / "store"))

    return make


def labels(made: Plan, kind: str) -> list[str]:
    return [step.cell.label for step in made.steps if step.cell.kind == kind]


def cells(made: Plan, kind: type) -> list[Any]:
    return [step.cell for step in made.steps if isinstance(step.cell, kind)]


def test_labels_say_which_training_a_cell_is_of(plan_of) -> None:
    made = plan_of(
        models={
            "plain": {"plugin": "linear", "train": RECIPE},
            "seeded": {"plugin": "linear", "train": RECIPE, "seeds": [3, 5]},
            "folded": {"plugin": "linear", "train": RECIPE, "folds": 2},
            "both": {"plugin": "linear", "train": RECIPE, "seeds": [3, 5], "folds": 2},
        },
        explainers={"brightness": {}},
        profile={"batches": [1, 2]},
    )
    replicas = [
        *("plain", "seeded:seed3", "seeded:seed5", "folded:fold1of2", "folded:fold2of2"),
        *("both:seed3-fold1of2", "both:seed3-fold2of2"),
        *("both:seed5-fold1of2", "both:seed5-fold2of2"),
    ]
    for kind in ("train", "evaluate"):
        assert labels(made, kind) == [f"{kind} {name}" for name in replicas]
    assert labels(made, "attack") == [f"attack {name}/fgsm" for name in replicas]
    assert labels(made, "explain") == [f"explain {name}/brightness" for name in replicas]
    # size and speed are of the architecture: the first training stands for all
    firsts = ["plain", "seeded:seed3", "folded:fold1of2", "both:seed3-fold1of2"]
    assert labels(made, "profile") == [f"profile {name}" for name in firsts]
    assert labels(made, "latency") == [
        f"latency {name}@batch={batch}" for name in firsts for batch in (1, 2)
    ]
    every = [step.cell.label for step in made.steps]
    assert len(set(every)) == len(every)


def test_no_two_trainings_are_one(plan_of) -> None:
    made = plan_of(
        models={"m": {"plugin": "linear", "train": RECIPE, "seeds": [3, 5, 7], "folds": 3}}
    )
    trainings = cells(made, TrainCell)
    assert len({cell.key({}) for cell in trainings}) == len(trainings) == 9
    assert Counter(cell.seed for cell in trainings) == {3: 3, 5: 3, 7: 3}
    assert (
        len({cell.images.digest for cell in trainings}) == 3
    )  # folds are the suite's, not a seed's


def test_a_seed_that_is_the_suites_own_is_the_same_training(plan_of) -> None:
    """So that seeds added later cost themselves only."""
    alone = plan_of(models={"m": {"plugin": "linear", "train": RECIPE}})
    seeded = plan_of(models={"m": {"plugin": "linear", "train": RECIPE, "seeds": [7, 8]}})
    (key,) = {cell.key({}) for cell in cells(alone, TrainCell)}
    assert [cell.key({}) == key for cell in cells(seeded, TrainCell)] == [True, False]


def test_no_training_is_judged_on_what_it_learned_from(plan_of) -> None:
    made = plan_of(
        models={
            "folded": {"plugin": "linear", "train": RECIPE, "folds": 4},
            "seeded": {"plugin": "linear", "train": RECIPE, "seeds": [1, 2]},
        },
        explainers={"brightness": {}},
    )
    learned = {str(cell.coordinates): set(cell.images.positions) for cell in cells(made, TrainCell)}
    judged = {}
    for step in made.steps:
        cell = step.cell
        if cell.kind in ("evaluate", "attack", "explain"):
            name = str(cell.coordinates).partition("/")[0]
            seen = set(cell.images.positions) | set(
                getattr(cell, "evaluated", cell.images).positions
            )
            assert not seen & learned[name], cell.label
            judged.setdefault((cell.kind, name.partition(":")[0]), []).extend(cell.images.positions)
    train = set(made.data.split("train").positions)
    assert sorted(judged["evaluate", "folded"]) == sorted(train)  # each once, by another training
    assert set(judged["evaluate", "seeded"]) == set(made.data.split("test").positions)
    assert {len(c.images) for c in cells(made, EvaluateCell)} == {24, 30}  # 96 / 4, and the test


def test_held_out_images_are_looked_at_with_patience_only(plan_of) -> None:
    made = plan_of(
        models={
            "fixed": {"plugin": "linear", "train": RECIPE},
            "patient": {"plugin": "linear", "train": {**RECIPE, "patience": 2}},
            "folded": {"plugin": "linear", "train": {**RECIPE, "patience": 2}, "folds": 2},
        }
    )
    watched = {cell.coordinates.model: cell.held_out for cell in cells(made, TrainCell)}
    assert watched["fixed"] is None
    valid = made.data.split("valid").positions
    for name in ("patient", "folded"):
        assert list(watched[name].positions) == list(valid)


def test_transfer_pairs_replicas_with_their_like_on_the_same_images(plan_of) -> None:
    made = plan_of(
        models={
            "a": {"plugin": "linear", "train": RECIPE, "seeds": [1, 2]},
            "b": {"plugin": "gaudy", "train": RECIPE, "seeds": [1, 2]},
            "c": {"plugin": "linear", "train": RECIPE, "folds": 2},
            "d": {"plugin": "gaudy", "train": RECIPE, "folds": 2},
            "e": {"plugin": "gaudy", "train": RECIPE},
        },
        transfer={},
    )
    skipped = {s.cell.label: s.skip for s in made.steps if s.cell.kind == "transfer" and s.skip}
    assert set(labels(made, "transfer")) - skipped.keys() == {
        f"transfer {source}>{target}/fgsm"
        for source, target in [
            *(("a", "b:seed1"), ("a", "b:seed2"), ("b", "a:seed1"), ("b", "a:seed2")),
            *(("c", "d:fold1of2"), ("c", "d:fold2of2"), ("d", "c:fold1of2"), ("d", "c:fold2of2")),
            # one that is trained once stands beside each seed, on the same test images
            *(("e", "a:seed1"), ("e", "a:seed2"), ("e", "b:seed1"), ("e", "b:seed2")),
            *(("a", "e:seed1"), ("a", "e:seed2"), ("b", "e:seed1"), ("b", "e:seed2")),
        ]
    }
    # one that is judged on the test images beside a fold: reported, not left out in silence
    folds = [f"{model}:fold{number}of2" for model in "cd" for number in (1, 2)]
    assert skipped == dict.fromkeys(
        [f"transfer e>{fold}/fgsm" for fold in folds]
        + [f"transfer {fold[0]}>e{fold[1:]}/fgsm" for fold in folds],
        "the two are judged on other images",
    )
    for step in made.steps:
        if step.cell.kind == "transfer":
            source, target = step.cell.parents["adversarial_images"].cell, step.cell
            same = source.images.digest == target.images.digest
            assert same is (step.skip is None)
            replicas = {source.coordinates.replica, target.coordinates.replica}
            assert len(replicas - {None}) <= 1


def test_what_an_attack_cannot_do_is_the_reason_before_what_transfer_cannot(plan_of) -> None:
    made = plan_of(
        models={
            "c": {"plugin": "linear", "train": RECIPE, "folds": 2},
            "e": {"plugin": "gaudy", "train": RECIPE},
        },
        dataset={"plugin": "twins", "channels": 1},
        attacks={"fgsm": {"eps": 0.1}, "colour_only": {"eps": 0.1}},
        transfer={"from": ["c"], "to": ["e"]},
    )
    reasons = {s.cell.label: s.skip for s in made.steps if s.cell.kind == "transfer"}
    lacking = "needs 3 channels, the data has 1"
    assert reasons == {
        **{f"transfer c>e:fold{n}of2/fgsm": "the two are judged on other images" for n in (1, 2)},
        **{f"transfer c>e:fold{n}of2/colour_only": lacking for n in (1, 2)},
    }


def test_folds_need_no_test_split(
    plugins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their images are all of train: the plan, the run and its page ask for no other split."""
    blobs = registry.load("datasets", "blobs")
    whole = blobs.read
    monkeypatch.setattr(
        blobs,
        "read",
        lambda self: Content(whole(self).classes, {"train": self._split("train", 48, 1)}),
    )
    suite = {
        **RUN,
        "suite": "untested",
        "models": {"folded": {"plugin": "linear", "train": RECIPE, "folds": 2}},
    }
    done = session.run(suite, store=tmp_path / "store", reports=tmp_path / "reports")
    assert set(done.counts) == {"done"}
    assert len(done.matrix.frame().query("kind == 'evaluate'")) == 48
    page = (tmp_path / "reports" / "untested" / "README.md").read_text(encoding="utf-8")
    assert "Attacks work on 20 images of each fold held out, drawn by seed 7." in page
    suite["models"] = {"plain": {"plugin": "linear", "train": RECIPE}}
    with pytest.raises(DataError, match="has no split 'test', expected one of train"):
        session.make_plan(suite, Store(tmp_path / "store"))


# What is refused


@pytest.fixture
def refused(plugins: Path, tmp_path: Path, monkeypatch) -> Callable[[str], list[str]]:
    monkeypatch.chdir(tmp_path)

    def reported(text: str) -> list[str]:
        Path("s.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(SuiteError) as error:
            session.make_plan("s.yaml", Store(tmp_path / "store"))
        return [str(problem) for problem in error.value.problems]

    return reported


SUITE = """suite: s
dataset: twins
images:
  from: [test, valid]
models:
  linear:
    train: {patience: 3}
  gaudy:
    train: {}
"""


def test_no_verdict_is_given_on_images_that_a_model_was_selected_on(refused, plan_of) -> None:
    (reported,) = refused(SUITE)
    assert reported == (
        "s.yaml:4: images.from: holds 'valid', on which the training of 'linear' is stopped and "
        "selected, expected splits that selected nothing; take valid out, or train without patience"
    )
    values = yaml.safe_load(SUITE)
    values["models"]["linear"]["train"] = {}
    assert plan_of(images=values["images"], models=values["models"]).images.positions.size > 0
    # folds are judged on training images, which selected nothing
    values["models"]["linear"] = {"train": {"patience": 3}, "folds": 2}
    plan_of(images=values["images"], models=values["models"])


def test_no_verdict_is_given_on_images_that_a_model_learned_from(refused, plan_of) -> None:
    text = SUITE.replace("[test, valid]", "[train, test]")
    assert refused(text) == [
        f"s.yaml:4: images.from: holds 'train', from which '{model}' learns, expected splits that "
        "it does not see; take train out, or cross-validate with folds:"
        for model in ("linear", "gaudy")
    ]
    both = refused(text.replace("[train, test]", "[train, valid]"))
    assert [problem.partition("holds ")[2].split(",")[0] for problem in both] == [
        *("'train'", "'train'", "'valid'")
    ]
    # folds are judged on what they hold out, whatever images.from says
    values = yaml.safe_load(text)
    for model in values["models"].values():
        model["folds"] = 2
    plan_of(images=values["images"], models=values["models"])


def test_a_variant_that_trains_on_learns_from_the_training_images(
    plan_of, plugins, tmp_path
) -> None:
    weights = tmp_path / "w.pt"
    weights.write_bytes(b"")
    variants = {"original": [], "half": ["magnitude"], "tuned": ["magnitude", "fine_tune"]}
    judged = {
        "images": {"from": ["train"]},
        "models": {"linear": {"weights": str(weights)}},
        "variants": variants,
    }
    with pytest.raises(SuiteError) as caught:
        plan_of(**judged)
    assert [problem.what for problem in caught.value.problems] == [
        "holds 'train', from which 'linear/tuned' learns"
    ]
    chosen = {"variants": ["original", "half"], "threads": 1, "device": "cpu"}
    plan_of(**judged, run=chosen)  # who learns is no part of this run
    plan_of(**judged | {"images": {"from": ["test"]}})


def test_weights_that_were_not_trained_here_may_be_judged_on_any_split(plan_of, tmp_path) -> None:
    """Nobody knows what they learned from, as the plan says; the suite's author may."""
    weights = tmp_path / "w.pt"
    weights.write_bytes(b"")
    models = {"linear": {"weights": str(weights)}}
    made = plan_of(images={"from": ["train"]}, models=models)
    assert len(made.images) == 96
    expected = (
        f"linear is judged on images of 'train', and its weights come from {weights}: what they "
        "learned from is not known, and may be these images"
    )
    assert expected in made.notes
    assert not any("judged on images of" in note for note in plan_of(models=models).notes)


def test_patience_without_a_split_to_look_at_is_reported_as_such(plan_of) -> None:
    with pytest.raises(BenchError, match=r"patience: needs the split 'valid'"):
        plan_of(dataset="blobs", models={"linear": {"train": {"patience": 3}}})


@pytest.mark.parametrize(
    ("entry", "line", "text"),
    [
        ("{train: {seed: 3}, seeds: [1, 2]}", "seeds", "is given beside train.seed, expected one"),
        ("{weights: w.pt, folds: 3}", "folds", "has nothing to repeat, expected a model with trai"),
        ("{weights: w.pt, seeds: [1]}", "seeds", "has nothing to repeat, expected a model with tr"),
        ("{train: {}, folds: 1}", "folds", "got 1, expected greater than or equal to 2"),
        ("{train: {}, seeds: []}", "seeds", "names no seed"),
        ("{train: {}, seeds: [1, 2, 1]}", "seeds", "names a seed twice"),
        ("{train: {}, seeds: [-1]}", "seeds[0]", "got -1, expected greater than or equal to 0"),
        ("{train: strnog}", "train", "got the preset 'strnog', expected one of reference, strong"),
        ("{train: {preset: 3}}", "train", "got the preset 3, expected one of reference, strong"),
        ("{train: {preset: strong, epoch: 3}}", "train.epoch", "unknown key"),
    ],
)
def test_replicas_and_presets_that_make_no_sense_are_reported(refused, entry, line, text) -> None:
    (reported,) = refused(f"suite: s\ndataset: twins\nmodels:\n  linear: {entry}\n")
    assert reported.startswith(f"s.yaml:4: models.linear.{line}: {text}")


def test_a_preset_and_its_keys_written_out_are_one_recipe() -> None:
    strong = Recipe.model_validate("strong")
    assert strong.epochs == PRESETS["strong"]["epochs"]
    assert strong.preset == "strong"
    written = strong.model_dump(exclude={"preset"})
    assert Recipe(**written).identity() == strong.identity()
    shorter = Recipe(preset="strong", epochs=30)
    assert {**strong.identity(), "epochs": 30} == shorter.identity()
    assert Recipe(preset="reference").identity() != strong.identity()
    assert Recipe(preset="reference").seed == 42
    assert "seed" not in Recipe(preset="reference").identity()  # the cell has it
    assert Recipe().identity() == {}  # defaults part nothing
    assert Recipe(precision="bf16").identity() == {"precision": "bf16"}


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ({}, "own"),
        ({"epochs": 60, "seed": 3}, "own"),
        ("strong", "strong"),
        ("reference", "reference"),
        ({"preset": "strong", "epochs": 30}, "strong (epochs=30)"),
        ({"preset": "strong", "epochs": 60}, "strong"),  # as it was
        ({"preset": "strong", "seed": 3}, "strong"),  # which is a column of its own
        ({"preset": "strong", "lr": 0.01, "epochs": 30}, "strong (epochs=30, lr=0.01)"),
        ({"preset": "reference", "patience": None}, "reference (patience=None)"),
        ({"preset": "strong", "precision": "bf16"}, "strong (precision=bf16)"),
    ],
)
def test_a_recipe_is_called_by_its_preset_and_what_departs_from_it(given, label: str) -> None:
    assert Recipe.model_validate(given).label == label


def test_a_recipe_s_label_parts_what_its_identity_parts(plan_of) -> None:
    """Two recipes of one preset never go by one name, in the table of trainings as in tables."""
    recipes = ["strong", {"preset": "strong", "epochs": 30}, {"preset": "strong", "lr": 0.01}]
    made = plan_of(
        models={f"m{i}": {"plugin": "linear", "train": one} for i, one in enumerate(recipes)}
    )
    trainings = cells(made, TrainCell)
    reported = [cell.facts["recipe"] for cell in trainings]
    assert reported == ["strong", "strong (epochs=30)", "strong (lr=0.01)"]
    assert len({str(cell.recipe.identity()) for cell in trainings}) == len(set(reported)) == 3


# Interrupted trainings


@pytest.fixture
def left_over(plan_of) -> tuple[Plan, Store, TrainCell]:
    """A training of three epochs that lost its machine after the first."""
    made = plan_of(
        models={"linear": {"train": {**RECIPE, "epochs": 3, "augment": ["flip"]}}}, attacks={}
    )
    (cell,) = cells(made, TrainCell)
    store = Store(made.data.folder.parent / "interrupted")
    with pytest.raises(KeyboardInterrupt):
        cell.run(Lost(store, made.compute), {})
    return made, store, cell


class Lost(Workbench):
    """Interrupts when an epoch is reported, whose state was kept before."""

    def __init__(self, store: Store, compute: Any) -> None:
        super().__init__(store, compute)
        self.notify = self.interrupt

    def interrupt(self, _share: float, _words: str) -> None:
        raise KeyboardInterrupt


def test_a_training_goes_on_from_what_its_own_code_left(left_over) -> None:
    made, store, cell = left_over
    epochs: list[Any] = []
    workbench = Workbench(store, made.compute)
    workbench.measure = epochs.append
    found = cell.run(workbench, {})
    assert found.summary["resumed"] is True
    assert [reported["epoch"] for reported in epochs] == [2, 3]
    whole = cell.run(Workbench(Store(made.data.folder.parent / "whole"), made.compute), {})
    assert found.outputs == whole.outputs


@pytest.mark.parametrize("changed", ["bench.training", "bench_test_plugins"])
def test_a_state_that_other_code_left_is_not_gone_on_from(
    left_over, changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else an epoch of one trainer and two of another would pass for three of this one."""
    made, store, cell = left_over
    assert any(module.startswith(changed) for module in cell.modules)
    digest = registry.source_digest
    monkeypatch.setattr(
        registry,
        "source_digest",
        lambda name: "another" if name.startswith(changed) else digest(name),
    )
    epochs: list[Any] = []
    workbench = Workbench(store, made.compute)
    workbench.measure = epochs.append
    found = cell.run(workbench, {})
    assert found.summary["resumed"] is False
    assert [reported["epoch"] for reported in epochs] == [1, 2, 3]


# Figures over replicas

RUN = {
    "suite": "estimate_replicas",
    "seed": 7,
    "dataset": {"plugin": "blobs", "train": 48},
    "images": {"count": 20},
    "models": {
        "folded": {"plugin": "linear", "train": RECIPE, "folds": 3},
        "seeded": {"plugin": "gaudy", "train": {**RECIPE, "epochs": 3}, "seeds": [1, 2, 3]},
        "both": {"plugin": "linear", "train": RECIPE, "seeds": [1, 2], "folds": 2},
        "plain": {"plugin": "linear", "train": RECIPE},
    },
    "attacks": {"fgsm": {"eps": 0.2}},
    "run": {"threads": 1, "device": "cpu"},
}


@pytest.fixture(scope="module")
def matrix(plugin_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    store = tmp_path_factory.mktemp("replicas") / "store"
    with importable(plugin_folder):
        done = session.run(RUN, store=store, reports=None)
        assert set(done.counts) == {"done"}
    return Matrix.last(Store(store), "estimate_replicas")


def test_a_rehearsal_that_fails_costs_a_training_its_peak_memory_and_nothing_else(
    plugins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("out of memory")

    suite = {**RUN, "models": {"plain": RUN["models"]["plain"]}, "attacks": {}}
    weights = []
    for name in ("whole", "failing"):
        assert set(session.run(suite, store=tmp_path / name, reports=None).counts) == {"done"}
        matrix = Matrix.last(Store(tmp_path / name), "estimate_replicas")
        (training,) = (matrix.stored(entry) for entry in matrix.entries if entry.kind == "train")
        weights.append(training.outputs["weights"])
        assert (training.summary["peak_memory_bytes"] is None) is (name == "failing")
        monkeypatch.setattr("bench.training.trainer.rehearse", refuse)
    assert weights[0] == weights[1]


def records(matrix: Matrix, kind: str, model: str) -> dict[str, list[dict[str, Any]]]:
    """Per-image records as plain dictionaries, by replica."""
    return {
        str(entry.coordinates.replica): matrix.records(entry).to_dict("records")
        for entry in matrix.entries
        if entry.kind == kind and entry.coordinates.model == model
    }


def place(matrix: Matrix, model: str, metric: str = "clean_accuracy", **layout: Any):
    table = tables.build(matrix, metric, **{"rows": ["model"], "columns": [], **layout})
    (row,) = [i for i, row in enumerate(table.rows) if row[0] == model]
    return table.places[row, 0]


def right(reported: list[dict[str, Any]]) -> list[bool]:
    return [one["label"] == one["prediction"] for one in reported]


@pytest.mark.slow
def test_folds_are_one_sample_of_all_training_images(matrix: Matrix) -> None:
    folds = records(matrix, "evaluate", "folded")
    assert [len(part) for part in folds.values()] == [16, 16, 16]
    pooled = [hit for part in folds.values() for hit in right(part)]
    assert len({one["image"] for part in folds.values() for one in part}) == 48
    found = place(matrix, "folded")
    shares = [np.mean(right(part)) for part in folds.values()]
    reach = stats.t.ppf(0.975, 2) * math.sqrt((1 / 3 + 1 / 2) * np.var(shares, ddof=1))
    images = statistics.rate(sum(pooled), 48)
    assert (found.estimate.value, found.estimate.n) == (images.value, 48)
    assert (found.estimate.low, found.estimate.high) == pytest.approx(
        (
            max(0, min(images.low, images.value - reach)),
            min(1, max(images.high, images.value + reach)),
        )
    )
    assert 0 < sum(pooled) < 48
    assert len(found.entries) == 3


def test_seeds_are_averaged_and_counted(matrix: Matrix) -> None:
    trainings = records(matrix, "evaluate", "seeded")
    rates = [sum(right(reported)) / 30 for reported in trainings.values()]
    assert len(rates) == 3
    assert len(set(rates)) > 1  # or else nothing is averaged
    found = place(matrix, "seeded").estimate
    assert found.value == pytest.approx(sum(rates) / 3)
    assert (found.n, found.trainings) == (30, 3)
    assert found.low <= min(found.value, found.high) <= 1
    assert found.low < found.high
    text = str(tables.build(matrix, "clean_accuracy", rows=["model"], columns=[], intervals=True))
    assert (
        f"{100 * found.value:.1f} % [{100 * found.low:.1f}, {100 * found.high:.1f}] (30 x 3)"
        in text
    )
    assert "(48)" in text
    assert "x trainings; the figure is the mean over them" in text
    assert (
        "In brackets: 95 % Wilson interval; of several trainings, Student's t over images and "
        "trainings. In parentheses: n, the images that count, x trainings; the figure is the mean "
        "over them."
    ) in text
    alone = tables.build(
        matrix, "clean_accuracy", rows=["model"], columns=[], intervals=True,
        where={"model": "plain"},
    )  # fmt: skip
    assert "In brackets: 95 % Wilson interval. In parentheses: n, the images that count." in str(
        alone
    )
    assert "Cross-validated: each image is judged by a training that did not see it." in text
    assert "corrected t's over folds" in text


def test_folds_of_each_seed_are_put_together_first(matrix: Matrix) -> None:
    trainings = records(matrix, "evaluate", "both")
    rates = []
    for seed in (1, 2):
        parts = [
            reported for name, reported in trainings.items() if name.startswith(f"seed{seed}-")
        ]
        assert len(parts) == 2
        rates.append(sum(sum(right(reported)) for reported in parts) / 48)
    found = place(matrix, "both").estimate
    assert found.value == pytest.approx(sum(rates) / 2)
    assert (found.n, found.trainings) == (48, 2)


def test_rates_with_a_denominator_of_their_own_are_averaged_too(matrix: Matrix) -> None:
    """Success counts the images right before, which each training decides for itself."""
    rates, sizes = [], []
    for reported in records(matrix, "attack", "seeded").values():
        counted = [one for one in reported if one["clean_prediction"] == one["label"]]
        rates.append(sum(one["prediction"] != one["label"] for one in counted) / len(counted))
        sizes.append(len(counted))
    found = place(matrix, "seeded", "success_rate").estimate
    assert found.value == pytest.approx(sum(rates) / 3)
    assert (found.n, found.trainings) == (max(sizes), 3)


def test_figures_that_cells_hold_whole_are_averaged(matrix: Matrix) -> None:
    seconds = [
        matrix.stored(e).summary["training_seconds"]
        for e in matrix.entries
        if e.kind == "train" and e.coordinates.model == "seeded"
    ]
    found = place(matrix, "seeded", "training_seconds").estimate
    assert found.value == pytest.approx(sum(seconds) / 3)
    assert found.trainings == 3


def test_replicas_can_be_laid_out_one_by_one(matrix: Matrix) -> None:
    table = tables.build(
        matrix, "clean_accuracy", rows=["replica"], columns=[], where={"model": "seeded"}
    )
    assert table.rows == (("seed1",), ("seed2",), ("seed3",))
    for row, reported in zip(range(3), records(matrix, "evaluate", "seeded").values(), strict=True):
        assert table.places[row, 0].estimate == statistics.rate(sum(right(reported)), 30)


def test_a_replica_that_is_missing_withholds_the_figure(matrix: Matrix) -> None:
    cells = [dict(cell) for cell in matrix.run["cells"]]
    for cell in cells:
        if cell["label"] in ("evaluate seeded:seed2", "evaluate folded:fold3of3"):
            cell.update(state="failed", reason="lost my way")
    broken = Matrix(matrix.store, {**matrix.run, "cells": cells})
    for model in ("seeded", "folded"):
        found = place(broken, model)
        assert found.estimate is None
        assert found.note == "1 of 3 replicas failed: lost my way"
    assert place(broken, "plain").estimate == place(matrix, "plain").estimate
    text = str(tables.build(broken, "clean_accuracy", rows=["model"], columns=[]))
    assert "withheld [1]" in text
    assert "Missing: 2 of 11 cells (2 failed)." in text  # 3 + 3 + 4 + 1


def test_an_order_of_folds_changes_no_figure(matrix: Matrix) -> None:
    turned = Matrix(matrix.store, {**matrix.run, "cells": matrix.run["cells"][::-1]})
    for model in ("folded", "both"):
        one, other = place(matrix, model).estimate, place(turned, model).estimate
        assert one.value == pytest.approx(other.value)
        assert one.n == other.n
    for name in ("macro_f1", "calibration_error"):
        entries = [e for e in matrix.entries if e.label.startswith("evaluate folded")]
        assert matrix.estimate(entries, METRICS[name]) == matrix.estimate(
            entries[::-1], METRICS[name]
        )


# Resampling


def mean_of(values: Any) -> statistics.Statistic:
    numbers = np.asarray(values, dtype=float)
    return lambda weights: weights @ numbers / weights.sum(1)


def test_of_one_training_the_interval_is_student_s() -> None:
    """Of a mean, the variance of the draws is in closed form: that of the sample, over n."""
    values = np.random.default_rng(3).normal(size=30)
    found = statistics.resampled([mean_of(values)], 30, resamples=20_000)
    assert found.value == pytest.approx(values.mean())
    assert (found.n, found.trainings) == (30, 1)
    low, high = stats.t.interval(0.95, 29, values.mean(), stats.sem(values))
    # a variance from 20,000 draws errs by about sqrt(2 / 20,000) = 0.01
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.03 * (high - low))
    assert statistics.resampled([mean_of(values[:19])], 19).lacks == "n below 20: no interval"
    assert statistics.resampled([mean_of([1.0] * 20)], 20).lacks == "all alike: no interval"


def test_the_interval_over_trainings_is_satterthwaite_s() -> None:
    """Means have bootstrap variances in closed form: those of the images' means, over n."""
    generator = np.random.default_rng(3)
    values = generator.normal(size=(3, 40)) + generator.normal(size=(3, 1))
    found = statistics.resampled([mean_of(row) for row in values], 40, resamples=20_000)
    assert found.value == pytest.approx(values.mean())
    assert (found.n, found.trainings) == (40, 3)
    of_images = values.mean(0).var() / 40
    of_trainings = values.mean(1).var(ddof=1) / 3
    freedom = (of_images + of_trainings) ** 2 / (of_images**2 / 39 + of_trainings**2 / 2)
    reach = stats.t.ppf(0.975, freedom) * math.sqrt(of_images + of_trainings)
    # a variance from 20,000 draws errs by about sqrt(2 / 20,000) = 0.01
    assert found.high - found.value == pytest.approx(reach, rel=0.03)
    assert found.value - found.low == pytest.approx(reach, rel=0.03)


def test_equal_figures_give_equal_intervals_and_seeds_matter() -> None:
    figures = [mean_of(np.arange(9)), mean_of(np.arange(9) * 2)]
    assert statistics.resampled(figures, 9) == statistics.resampled(figures, 9)
    assert statistics.resampled(figures, 9) != statistics.resampled(figures, 9, seed=1)
    nothing = lambda weights: np.full(len(weights), np.nan)
    assert statistics.resampled([mean_of(range(9)), nothing], 9) == statistics.NOTHING
    assert statistics.resampled([nothing], 0) == statistics.NOTHING


def flawless(trainings: int, count: int = 100) -> statistics.Estimate | Withheld:
    """Estimate the accuracy of trainings that have every image right."""
    reported = pd.DataFrame(
        {
            "image": [f"test/{i}" for i in range(count)],
            "label": pd.array([0] * count, dtype="Int64"),
            "prediction": pd.array([0] * count, dtype="Int64"),
        }
    )
    cell_data = [CellData(reported, {}, f"seed{seed}") for seed in range(trainings)]
    return estimate_replicas(METRICS["clean_accuracy"], cell_data)


def test_trainings_without_an_error_are_not_taken_to_be_without_any() -> None:
    """A model wrong on 2 % has 100 images right once in eight (0.98 ** 100 = 0.13).

    Three trainings on these images are little more evidence than one: of the images there are as
    many. Wilson's interval of 100 of 100 begins at 100 / 103.84 = 0.963.
    """
    alone, found = flawless(1), flawless(3)
    assert alone == statistics.rate(100, 100)
    assert alone.low == pytest.approx(0.963, abs=5e-4)
    assert (found.value, found.high, found.n, found.trainings) == (1, 1, 100, 3)
    assert found.low < found.high
    assert found.low < 0.97
    assert flawless(3, 1000).low > found.low  # more images say more


@pytest.mark.parametrize(
    ("trainings", "between_trainings", "between_images"),
    [(1, 0.0, 1.0), (2, 0.05, 1.0), (3, 0.05, 1.0), (3, 0.13, 1.0), (3, 1.0, 0.1)],
    ids=["one", "two", "three", "as-much-as-images", "more-than-images"],
)
def test_the_interval_covers_the_truth_at_least_as_often_as_it_says(
    trainings: int, between_trainings: float, between_images: float
) -> None:
    """Figures that differ by training, by image, and by both; 60 images: 1 / sqrt(60) = 0.13."""
    generator = np.random.default_rng(9)
    trials, covered = 120, 0
    for _ in range(trials):
        values = (
            between_trainings * generator.normal(size=(trainings, 1))
            + between_images * generator.normal(size=(1, 60))
            + between_images * generator.normal(size=(trainings, 60))
        )
        found = statistics.resampled([mean_of(row) for row in values], 60, resamples=300)
        covered += found.low <= 0 <= found.high
    # four standard errors of sqrt(0.95 * 0.05 / 120) = 0.02 below
    assert covered / trials >= 0.87


# Paired


def test_a_planted_difference_is_found() -> None:
    generator = np.random.default_rng(1)
    shared = generator.normal(size=80)
    better, worse = shared + 0.5, shared + 0.3 * generator.normal(size=80)
    found = compared([mean_of(better)], [mean_of(worse)], 80)
    assert found.value == pytest.approx(better.mean() - worse.mean())
    assert found.p_value == pytest.approx(2 / 2001)  # the least that 2000 draws can say
    assert 0 < found.low < found.value < found.high
    # not paired, the images alone would hide it: their spread is 1 / sqrt(80), twice
    apart = generator.permutation(worse)
    assert compared([mean_of(better)], [mean_of(apart)], 80).high > found.high


def test_without_a_difference_p_values_are_even() -> None:
    generator = np.random.default_rng(2)
    found = []
    for _ in range(200):
        shared = generator.normal(size=50)
        one, other = (mean_of(shared + generator.normal(size=50)) for _ in range(2))
        found.append(compared([one], [other], 50, resamples=300).p_value)
    # even in [0, 1], of 200: three standard errors are 0.11 at a half and 0.05 at a twentieth
    assert 0.39 <= np.mean(np.array(found) < 0.5) <= 0.61
    assert np.mean(np.array(found) < 0.05) <= 0.10


def test_what_is_the_same_is_not_distinguished() -> None:
    values = mean_of(np.random.default_rng(3).random(30))
    found = compared([values], [values], 30)
    assert (found.value, found.low, found.high, found.p_value) == (0, None, None, 1)
    assert found.lacks == "all alike: no interval"


def test_who_comes_first_changes_the_sign_only() -> None:
    generator = np.random.default_rng(6)
    one, other = (mean_of(generator.random(40)) for _ in range(2))
    found, turned = compared([one], [other], 40), compared([other], [one], 40)
    assert turned.value == -found.value
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    assert turned.p_value == found.p_value


def test_who_comes_first_changes_next_to_nothing_with_several_trainings() -> None:
    """Each model's trainings are drawn with numbers of their own."""
    generator = np.random.default_rng(7)
    one, other = (
        [mean_of(row) for row in generator.random((3, 40)) + 0.02 * generator.random((3, 1))]
        for _ in range(2)
    )
    found = compared(one, other, 40, resamples=20_000)
    turned = compared(other, one, 40, resamples=20_000)
    assert turned.value == pytest.approx(-found.value)
    width = found.high - found.low
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low), abs=0.05 * width)
    assert turned.p_value == pytest.approx(found.p_value, abs=0.02)


@pytest.mark.parametrize(("several", "most"), [(3, 0.11), (5, 0.08)])
def test_a_single_training_is_taken_to_vary_as_the_others_beside_it_do(
    several: int, most: float
) -> None:
    """Without a difference of recipes, one training beside several seldom looks better or worse.

    Trainings differ by 1, images by 0.1. The variance of the difference, (1 / several + 1) s^2,
    rests on the spread of the several alone: for three, Satterthwaite's 3.2 degrees of freedom
    are used where 2 would be right, and 9 % look different, not 5 %; for five, 6 %. Were the
    single one taken not to vary at all, it would be 16 % and 32 %.
    """
    generator = np.random.default_rng(several)
    trials, distinguished = 2000, 0
    for _ in range(trials):
        shared = generator.normal(size=(1, 30))
        one, other = (
            [
                mean_of(row)
                for row in 0.1 * (shared + generator.normal(size=(count, 30)))
                + generator.normal(size=(count, 1))
            ]
            for count in (1, several)
        )
        found = compared(one, other, 30, resamples=100)
        distinguished += found.p_value < 0.05
    # three standard errors, of sqrt(0.09 * 0.91 / 2000) = 0.0064 and 0.0053, above 9 % and 6 %
    assert distinguished / trials <= most


def test_a_single_training_and_several_make_an_interval_as_wide_as_both_vary() -> None:
    """Closed form, with images that do not differ: s^2 (1 / 3 + 1), whoever comes first."""
    levels = [0.1, 0.5, 0.3]
    several = [mean_of([level] * 20) for level in levels]
    found = compared(several, [mean_of([0.0] * 20)], 20, resamples=50)
    turned = compared([mean_of([0.0] * 20)], several, 20, resamples=50)
    error = math.sqrt(np.var(levels, ddof=1) * (1 / 3 + 1))
    parts = np.var(levels, ddof=1) * np.array([1 / 3, 1])
    reach = stats.t.ppf(0.975, parts.sum() ** 2 / (parts**2 / 2).sum()) * error
    assert found.value == pytest.approx(0.3)
    assert (found.low, found.high) == pytest.approx((0.3 - reach, 0.3 + reach))
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


def test_no_p_value_is_nothing() -> None:
    """Of trainings that all agree t is infinite; what drew so few samples cannot say so much."""
    better, worse = ([mean_of([level] * 20)] * 3 for level in (0.9, 0.1))
    found = compared(better, worse, 20, resamples=100)
    assert found.p_value == pytest.approx(2 / 101)


# Within trainings


def test_a_difference_within_trainings_has_the_interval_of_a_mean_over_them() -> None:
    """What trainings have in common cancels: were they taken for others, it would be wider."""
    generator = np.random.default_rng(8)
    level = generator.normal(size=(3, 1))
    one, other = (level + generator.normal(size=(3, 40)) for _ in range(2))
    apart = [mean_of(row) for row in one - other + 1]
    found, mean = statistics.within(apart, 40), statistics.resampled(apart, 40)
    assert (found.value, found.low, found.high) == (mean.value, mean.low, mean.high)
    unpaired = compared([mean_of(r) for r in one + 1], [mean_of(r) for r in other], 40)
    assert found.value == pytest.approx(unpaired.value)
    assert found.high - found.low < unpaired.high - unpaired.low
    assert found.p_value < unpaired.p_value


def test_within_a_single_training_it_is_the_paired_bootstrap() -> None:
    one, other = np.random.default_rng(9).random((2, 40))
    found = statistics.within([mean_of(one - other)], 40)
    paired = compared([mean_of(one)], [mean_of(other)], 40)
    assert (found.value, found.low, found.high, found.p_value) == pytest.approx(
        (paired.value, paired.low, paired.high, paired.p_value)
    )


@pytest.mark.parametrize("between_trainings", [0.0, 0.1, 1.0])
def test_without_a_difference_few_trainings_are_seldom_distinguished(
    between_trainings: float,
) -> None:
    generator = np.random.default_rng(10)
    trials, distinguished = 400, 0
    for _ in range(trials):
        values = (
            between_trainings * generator.normal(size=(3, 1))
            + generator.normal(size=(1, 60))
            + generator.normal(size=(3, 60))
        )
        found = statistics.within([mean_of(row) for row in values], 60, resamples=200)
        distinguished += found.p_value < 0.05
    # three standard errors of sqrt(0.05 * 0.95 / 400) = 0.011 above, and 0.02 for the
    # degrees of freedom, which Satterthwaite only approximates
    assert distinguished / trials <= 0.05 + 0.033 + 0.02


# One recipe, however it is spelled


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"train": "strong"}, {"train": {"preset": "strong"}}),
        ({"train": "strong"}, {"train": dict(PRESETS["strong"])}),
        ({"train": {}}, {"train": {**Recipe().model_dump(exclude={"seed"})}}),
        ({"train": {"lr": 1}}, {"train": {"lr": "1/1"}}),
        ({"train": {"epochs": 3}}, {"train": {"epochs": 3, "seed": 7}}),
        ({"train": {"seed": 9}}, {"train": {}, "seeds": [9]}),
        ({"train": "reference"}, {"train": dict(PRESETS["reference"])}),
    ],
)
def test_one_training_has_one_identity(plan_of, one: Any, other: Any) -> None:
    keys = [
        next(step.cell for step in plan_of(models={"linear": model}).steps).key({})
        for model in (one, other)
    ]
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"eps": 0.1}, {"eps": 0.1, "alpha": 2.5 / 7 * 0.1}),
        ({"attack": "fgsm", "eps": 0.1}, {"attack": "fgsm", "eps": 0.1, "alpha": 0.125}),
        ({"attack": "fgsm", "eps": 0.1}, {"attack": "fgsm", "eps": 0.1, "steps": 3}),
        ({}, {"epochs": 10, "from_scratch": False}),
    ],
)
def test_one_training_of_a_variant_has_one_identity(plan_of, one: Any, other: Any) -> None:
    keys = []
    for parameters in (one, other):
        made = plan_of(
            models={"linear": {"train": {}}},
            variants={"hard": [{"adversarial_training": parameters}]},
        )
        (cell,) = [
            s.cell for s in made.steps if isinstance(s.cell, TrainCell) and s.cell.step is not None
        ]
        keys.append(cell.inputs)
    assert keys[0] == keys[1]


def test_another_step_of_an_attack_is_another_training(plan_of) -> None:
    found = []
    for parameters in ({"alpha": 0.01}, {"alpha": 0.02}, {"steps": 3}, {"steps": 4}):
        variants = {"hard": [{"adversarial_training": {"eps": 0.1, **parameters}}]}
        made = plan_of(models={"linear": {"train": {}}}, variants=variants)
        found.append(str([s.cell.inputs for s in made.steps if isinstance(s.cell, TrainCell)]))
    assert len(set(found)) == 4
