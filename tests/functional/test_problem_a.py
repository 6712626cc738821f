"""Train, evaluate, measure, explain, choose: a small suite, from the command to the page."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

import bench
from bench.matrix import Entry, Matrix
from bench.report import page as pages
from bench.store import Store, Stored

RECIPE = {"epochs": 2, "batch_size": 16, "lr": 0.01}
PATIENT = {**RECIPE, "epochs": 3, "patience": 2, "augment": ["flip", "erasing"]}
SUITE: dict[str, Any] = {
    "suite": "tiny-a",
    "seed": 7,
    "dataset": "twins",
    "images": {"count": 6},
    "models": {
        "patient": {"plugin": "gaudy", "train": PATIENT},
        "seeded": {"plugin": "gaudy", "train": RECIPE, "seeds": [1, 2]},
        "folded": {"plugin": "gaudy", "train": RECIPE, "folds": 2},
    },
    "explainers": {"saliency": {}, "grad_cam": {}},
    "gallery": {"right": 1, "wrong": 1},
    "profile": {"batches": [1], "warmup": 1, "runs": 100},
    "recommend": {
        "best": {},
        "tiny": {"best": "clean_accuracy", "where": ["size_bytes <= 1e6", "latency_ms < 1e5"]},
    },
    "run": {"threads": 1, "device": "cpu"},
}


@dataclass
class Made:
    """A run of the suite, and where its page is."""

    store: Path
    reports: Path
    outcome: bench.Outcome

    @property
    def folder(self) -> Path:
        return self.reports / "tiny-a"

    @property
    def matrix(self) -> Matrix:
        return self.outcome.matrix

    def entries(self, kind: str) -> list[Entry]:
        return [entry for entry in self.matrix.entries if entry.kind == kind]

    def stored(self, kind: str) -> dict[str, Stored]:
        return {str(e.coordinates): self.matrix.stored(e) for e in self.entries(kind)}


@pytest.fixture(scope="module")
def made(module_plugins: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("problem_a")
    store, reports = folder / "store", folder / "reports"
    return Made(store, reports, bench.run(SUITE, store=store, reports=reports))


# The page


def test_every_cell_is_done(made: Made) -> None:
    # trainings, judged, explained and shown twice: 1, 2 seeds, 2 folds; size and time once a model
    assert made.outcome.counts == {"done": 5 * (1 + 1 + 2 + 2) + 3 * 2}


def test_the_page_names_each_figure_that_there_is_and_no_other(made: Made) -> None:
    page = (made.folder / "README.md").read_text()
    named = set(re.findall(r"figures/[^\s\"')\]]+", page))
    there = {f"figures/{path.name}" for path in (made.folder / "figures").iterdir()}
    assert named == there
    assert {"figures/training.svg", "figures/front.svg"} <= named
    for model in ("patient", "seeded", "folded"):
        assert f"figures/confusion-{model}.svg" in named
        assert f"figures/explanations-{model}-right.svg" in named


def test_every_figure_is_an_image_that_others_can_read(made: Made) -> None:
    files = sorted((made.folder / "figures").iterdir())
    assert {path.suffix for path in files} == {".svg", ".png"}
    assert {p.stem for p in files if p.suffix == ".svg"} == {
        p.stem for p in files if p.suffix == ".png"
    }
    for path in files:
        if path.suffix == ".svg":
            assert ET.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"
        else:
            with Image.open(path) as image:
                assert np.asarray(image.convert("L")).std() > 1  # not blank
                assert min(image.size) > 100


def test_the_page_says_what_was_measured(made: Made) -> None:
    page = (made.folder / "README.md").read_text()
    for words in (
        "## Models side by side",
        "## Accuracy against cost",
        "## Recommendations",
        "**best** (best `clean_accuracy`)",
        "**tiny** (best `clean_accuracy` with `size_bytes <= 1e6` and `latency_ms < 1e5`)",
        "## seeded: classes",
        "## Training",
        "## Explanations",
        "patient: images classified correctly",
        "images of test are in train too**",
        "Cross-validated: each image is judged by a training that did not see it.",
    ):
        assert words in page, words
    assert "nan" not in page.lower().replace("explanation", "")
    assert "## Missing" not in page


@pytest.mark.slow
def test_the_page_is_rendered_from_the_store_alone(made: Made, tmp_path: Path) -> None:
    """Byte for byte; figures of an earlier run, which the page does not name, do not stay."""
    matrix = bench.open_last(store=made.store).matrix
    shutil.copytree(made.folder, tmp_path, dirs_exist_ok=True)
    manifest = tmp_path / ".bench-report.json"
    for name in json.loads(manifest.read_text())["files"]:
        (tmp_path / name).write_text("of an earlier run")
    gone = [f"figures/confusion-gone.{suffix}" for suffix in ("svg", "png")]
    for name in gone:
        (tmp_path / name).write_text("of an earlier run")
    listed = json.loads(manifest.read_text())
    listed["files"] += gone
    manifest.write_text(json.dumps(listed))
    pages.write(matrix, tmp_path)
    names = {path.relative_to(made.folder) for path in made.folder.rglob("*")}
    assert {path.relative_to(tmp_path) for path in tmp_path.rglob("*")} == names
    for name in names:
        if (tmp_path / name).is_file():
            assert (tmp_path / name).read_bytes() == (made.folder / name).read_bytes(), name


def test_the_second_time_nothing_is_computed(made: Made) -> None:
    again = bench.run(SUITE, store=made.store, reports=None)
    name = again.matrix.run["name"]
    assert name != made.matrix.run["name"]
    assert [e.key for e in again.matrix.entries] == [e.key for e in made.matrix.entries]
    for entry in again.matrix.entries:
        assert again.matrix.stored(entry).provenance["run"] != name


def test_a_figure_of_an_explanation_is_compared_on_common_ground(made: Made) -> None:
    """The sample is one for all models that are judged on the test images."""
    table = made.outcome.table("faithfulness", rows=["explainer"], columns=["model"])
    assert {row for (row,) in table.rows} == {"saliency", "grad_cam"}
    for place in table.places.values():
        assert place.estimate is not None
    sizes = {table.columns[j][0]: p.estimate for (_, j), p in table.places.items()}
    assert (sizes["patient"].n, sizes["patient"].trainings) == (6, 1)
    assert (sizes["seeded"].n, sizes["seeded"].trainings) == (6, 2)
    assert sizes["folded"].n == 12  # six of each fold


# Training


def test_what_was_trained_is_stored(made: Made) -> None:
    stored = made.stored("train")
    assert set(stored) == {
        *("patient", "seeded:seed1", "seeded:seed2", "folded:fold1of2", "folded:fold2of2")
    }
    assert len({one.outputs["weights"] for one in stored.values()}) == 5
    for name, one in stored.items():
        epochs: Any = one.summary["epochs"]
        assert one.summary["resumed"] is False
        assert one.summary["training_seconds"] == sum(epoch["seconds"] for epoch in epochs)
        assert (epochs[0]["valid_loss"] is None) is (name != "patient")
    assert not list((made.store / "partial").iterdir())  # nothing is left over
    # counted: the same step, whatever the process trained in between
    peaks = {name: one.summary["peak_memory_bytes"] for name, one in stored.items()}
    assert peaks["seeded:seed1"] == peaks["seeded:seed2"] > 0


# Galleries


def test_galleries_hold_right_and_wrong_images_of_each_class(made: Made) -> None:
    judged = {str(e.coordinates): made.matrix.records(e) for e in made.entries("evaluate")}
    cases = set()
    for entry in made.entries("gallery"):
        shown = made.matrix.records(entry)
        known = judged[str(entry.coordinates).partition("/")[0]].set_index("image")
        pd.testing.assert_frame_equal(  # the same predictions as elsewhere
            shown.set_index("image"), known.loc[shown["image"]], check_exact=True
        )
        assert shown["image"].is_unique
        for label in range(3):
            for is_right in (True, False):
                fits, seen = (
                    frame[
                        (frame["label"] == label)
                        & ((frame["label"] == frame["prediction"]) == is_right)
                    ]
                    for frame in (known, shown)
                )
                # one of each, as the suite asks
                assert len(seen) == min(1, len(fits)), (entry.label, label, is_right)
                cases.add((is_right, bool(len(fits))))
        assert_pictured(made, entry, len(shown))
    assert {(True, True), (False, True)} <= cases  # there were both to be found


def test_the_sample_is_measured(made: Made) -> None:
    for entry in made.entries("explain"):
        records = made.matrix.records(entry)
        assert len(records) == 6
        assert records["faithfulness"].notna().all()
        assert_pictured(made, entry, 6)


def assert_pictured(made: Made, entry: Entry, count: int) -> None:
    arrays = made.matrix.store.arrays(made.matrix.stored(entry))
    assert arrays["heatmaps"].shape == (count, 8, 8)
    assert arrays["images"].shape == (count, 8, 8, 3)
    assert np.isfinite(arrays["heatmaps"]).all()


def test_a_model_that_is_always_right_has_no_gallery_of_mistakes(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    tiny["dataset"] = {"plugin": "blobs", "noise": 0}
    tiny["models"] = {"linear": {"train": {"epochs": 20, "batch_size": 16, "lr": 0.03}}}
    tiny.update(attacks={}, transfer=None, explainers={"saliency": {}})
    outcome = bench.run(tiny, store=tmp_path / "store", reports=tmp_path / "reports")
    accuracy = outcome.table("clean_accuracy", rows=["model"], columns=[]).frame()["value"]
    assert list(accuracy) == [1.0]
    page = (tmp_path / "reports" / "tiny" / "README.md").read_text()
    assert "images classified correctly" in page
    assert "images misclassified" not in page
    assert "No image is misclassified." in page


# Explainers that misbehave


FAILED = {
    "blind": "explainer 'blind' (plugin blind): returned a map that is not finite",
    "misshapen": "explainer 'misshapen' (plugin misshapen): returned torch.float32 of shape (",
    "meddler": "explainer 'meddler' (plugin meddler): changed the weights or buffers",
    "faint": "RuntimeError: saw nothing",
}


def explained(outcome: bench.Outcome, name: str) -> tuple[pd.DataFrame, Any]:
    found = [e for e in outcome.matrix.entries if e.kind == "explain"]
    (entry,) = [e for e in found if e.coordinates.explainer == name]
    return outcome.matrix.records(entry), outcome.matrix.store.arrays(outcome.matrix.stored(entry))


@pytest.mark.slow
def test_an_explainer_that_misbehaves_costs_its_own_cell_only(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    tiny["models"] = {"gaudy": {"train": RECIPE}}
    tiny["images"] = {"count": 6}
    tiny.update(attacks={}, transfer=None)
    tiny["explainers"] = {name: {} for name in (*FAILED, "grey_only", "brightness", "saliency")}
    outcome = bench.run(tiny, store=tmp_path / "store", reports=tmp_path / "reports")
    states = {e.coordinates.explainer: e for e in outcome.matrix.entries if e.kind == "explain"}
    for name, reason in FAILED.items():
        assert states[name].state == "failed"
        assert states[name].reason.startswith(reason)
        assert outcome.matrix.store.find(states[name].key) is None  # never kept as a result
    assert (states["grey_only"].state, states["grey_only"].reason) == (
        "skipped",
        "needs 1 channel, the data has 3",
    )
    # each explains, and shows
    assert outcome.counts == {"done": 2 + 2 * 2, "failed": 2 * 4, "skipped": 2}
    page = (tmp_path / "reports" / "tiny" / "README.md").read_text()
    assert "10 of 16 cells have no result" in page
    assert "figures/explanations-gaudy-right.svg" in page
    tiny["explainers"] = {"brightness": {}, "saliency": {}}
    single = bench.run(tiny, store=tmp_path / "single", reports=None)
    for name in ("brightness", "saliency"):
        one, other = explained(outcome, name), explained(single, name)
        pd.testing.assert_frame_equal(one[0], other[0], check_exact=True)
        assert all((one[1][key] == other[1][key]).all() for key in one[1])
    # what looks at pixels only finds the same in any network
    assert np.allclose(explained(single, "brightness")[0]["randomisation_similarity"], 1)
    assert (explained(single, "saliency")[0]["randomisation_similarity"] < 0.99).all()


# Interrupted, and TensorBoard

LONG = {
    "suite": "long",
    "seed": 7,
    "dataset": "twins",
    "models": {
        "gaudy": {"train": {**RECIPE, "epochs": 60, "patience": 60, "augment": ["flip", "erasing"]}}
    },
    "run": {"threads": 1, "device": "cpu"},
}


@dataclass
class Interrupted:
    """A training that was killed and taken up again, beside one that was left alone."""

    folder: Path
    killed_at: int

    def training(self, store: str) -> Stored:
        place = Store(self.folder / store)
        (found,) = [s for s in place.match("") if s.kind == "train"]
        return found


def command(folder: Path, store: str, *options: str) -> list[str]:
    words = [sys.executable, "-m", "bench", "run", str(folder / "long.yaml")]
    return [*words, "--store", str(folder / store), "--reports", str(folder / "reports"), *options]


@pytest.fixture(scope="module")
def interrupted(module_plugins: Path, tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    folder = tmp_path_factory.mktemp("interrupted")
    (folder / "long.yaml").write_text(yaml.safe_dump(LONG))
    whole = command(folder, "whole", "--tensorboard", str(folder / "whole-logs"))
    subprocess.run(whole, cwd=folder, check=True, capture_output=True)
    again = command(folder, "killed", "--tensorboard", str(folder / "killed-logs"))
    process = subprocess.Popen(again, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    partial = folder / "killed" / "partial"
    while process.poll() is None and not (partial.is_dir() and any(partial.glob("[!.]*"))):
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL  # it was met in its middle
    (state,) = [path for path in partial.iterdir() if not path.name.startswith(".")]
    assert not list((folder / "killed").glob("cells/*/*/cell.json"))
    body = state.read_bytes()[32:]  # behind its digest: who made it, a line, and the state
    done = body.partition(b"\n")[2]
    subprocess.run(again, cwd=folder, check=True, capture_output=True)
    return Interrupted(folder, _epochs_in(done))


def _epochs_in(state: bytes | None) -> int:
    import io

    import torch

    assert state is not None
    return len(torch.load(io.BytesIO(state), weights_only=True)["history"])


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_where_it_would_have(interrupted: Interrupted) -> None:
    assert 1 <= interrupted.killed_at < 60
    resumed, whole = interrupted.training("killed"), interrupted.training("whole")
    assert resumed.summary["resumed"] is True
    assert whole.summary["resumed"] is False
    assert resumed.key == whole.key
    assert resumed.outputs == whole.outputs  # the digest of the weights among them
    assert "weights" in whole.outputs
    assert resumed.summary["kept_epoch"] == whole.summary["kept_epoch"]
    histories: Any = [one.summary["epochs"] for one in (resumed, whole)]
    for mine, theirs in zip(*histories, strict=True):
        assert {**mine, "seconds": 0} == {**theirs, "seconds": 0}
    assert not [
        p for p in (interrupted.folder / "killed" / "partial").iterdir() if p.name[0] != "."
    ]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read a log as TensorBoard does: every scalar, its steps and values."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def assert_log_is_the_curve(log: dict[str, list[tuple[int, float]]], stored: Stored) -> None:
    epochs: Any = stored.summary["epochs"]
    figures = {name for name, value in epochs[0].items() if value is not None} - {
        "epoch",
        "seconds",
    }
    assert {"loss", "accuracy", "lr"} <= figures
    assert set(log) == figures
    for name in figures:
        assert [step for step, _ in log[name]] == [epoch["epoch"] for epoch in epochs], name
        values = [value for _, value in log[name]]
        assert values == pytest.approx([epoch[name] for epoch in epochs], rel=1e-6)  # float32


@pytest.mark.slow
def test_tensorboard_shows_the_curve_that_is_stored(interrupted: Interrupted) -> None:
    log = scalars(interrupted.folder / "whole-logs" / "long" / "gaudy")
    assert_log_is_the_curve(log, interrupted.training("whole"))
    assert "valid_accuracy" in log


@pytest.mark.slow
def test_tensorboard_shows_all_epochs_once_after_a_kill(interrupted: Interrupted) -> None:
    log = scalars(interrupted.folder / "killed-logs" / "long" / "gaudy")
    assert_log_is_the_curve(log, interrupted.training("killed"))


def test_tensorboard_shows_what_was_trained_earlier(made: Made, tmp_path: Path) -> None:
    from bench.runner.tensorboard import TensorBoard

    board = TensorBoard(tmp_path)
    for _ in range(2):  # a log that is there already is replaced
        bench.run(SUITE, store=made.store, reports=None, listener=board)
    trained = made.stored("train")
    assert {path.name for path in (tmp_path / "tiny-a").iterdir()} == {
        name.replace(":", "!") for name in trained
    }
    for name, stored in trained.items():
        assert_log_is_the_curve(scalars(tmp_path / "tiny-a" / name.replace(":", "!")), stored)


def test_a_folder_for_logs_that_cannot_be_is_an_error(tiny: dict[str, Any], tmp_path: Path) -> None:
    from bench.errors import UsageError
    from bench.runner.tensorboard import TensorBoard

    (tmp_path / "file").write_text("in the way")
    tiny.update(attacks={}, transfer=None)
    with pytest.raises(UsageError, match=r"--tensorboard .*file: cannot be written"):
        bench.run(
            tiny, store=tmp_path / "store", reports=None, listener=TensorBoard(tmp_path / "file")
        )
