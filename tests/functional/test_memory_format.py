"""Networks that view their maps as vectors run in every cell, on colour and on grey images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench
from bench.matrix import Matrix
from bench.report import markdown
from bench.report import page as pages


@pytest.fixture
def viewing(tiny: dict[str, Any]) -> dict[str, Any]:
    """A suite with a cell of every kind that asks a network, on one that needs its maps plain."""
    recipe = tiny["models"]["linear"]
    return tiny | {
        "images": {"count": 4},
        "models": {"viewed": recipe, "gaudy": recipe},
        "variants": {
            "original": [],
            "pruned": [{"magnitude": {"sparsity": 0.5}}, {"fine_tune": {"epochs": 1}}],
            "smooth": ["gaussian_smoothing"],
        },
        "attacks": {"pgd": {"eps": 0.1, "steps": 2}, "autoattack": {"eps": 0.02}},
        "explainers": {"saliency": {}, "grad_cam": {}},
        "explain_attacks": ["pgd"],
        "profile": {"batches": [1, 2]},
        "sensitivity": {"step": {"magnitude": {"sparsity": 0.8}}, "attack": "pgd"},
        "audit": {"extent": "cheap", "reference_images": 2},
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "wanted"),
    [
        ({"plugin": "blobs"}, "channels_last"),
        ({"plugin": "digits"}, "channels_last"),
        ({"plugin": "blobs", "channels": 1}, "contiguous"),
    ],
)
def test_a_network_that_views_its_maps_runs_everywhere(
    viewing: dict[str, Any], tmp_path: Path, dataset: dict[str, Any], wanted: str
) -> None:
    viewing["dataset"] = dataset
    viewing["run"]["memory_format"] = wanted
    if dataset["plugin"] == "blobs":  # of three classes, which the usual version takes for too few
        viewing["attacks"]["autoattack"]["version"] = "rand"
    outcome = bench.run(viewing, store=tmp_path / "store", reports=tmp_path / "reports")
    assert_it_ran_everywhere(outcome.matrix, wanted)
    page = (tmp_path / "reports" / "tiny" / "README.md").read_text(encoding="utf-8")
    assert (NOTE in page) == (wanted == "channels_last")


def test_a_network_that_views_its_maps_runs_in_a_cell_of_each_kind(
    viewing: dict[str, Any], tmp_path: Path
) -> None:
    small = {
        "images": {"count": 2},
        "models": {"viewed": {"train": {"epochs": 1, "batch_size": 48, "lr": 0.01}}},
        "attacks": {"pgd": {"eps": 0.1, "steps": 1}},
        "explainers": {"saliency": {}},
        "profile": {"batches": [1]},
        "audit": "off",
    }
    viewing["variants"].pop("smooth")
    matrix = bench.run(viewing | small, store=tmp_path / "store", reports=None).matrix
    assert_it_ran_everywhere(matrix, "channels_last")
    assert NOTE in markdown.render(pages._settings(matrix))


NOTE = "- memory_format of viewed: contiguous, since its network fails on channels-last maps"


def assert_it_ran_everywhere(matrix: Matrix, wanted: str) -> None:
    undone = [e for e in (*matrix.entries, *matrix.probes) if e.state != "done"]
    assert {e.label: e.reason for e in undone if "passes an image" not in e.reason} == {}
    kinds = {entry.kind for entry in matrix.entries}
    assert {*("train", "evaluate", "attack", "explain", "transfer", "latency")} <= kinds
    assert {*("profile", "drift", "sensitivity", "compress", "interim")} <= kinds
    for entry in matrix.entries:
        if entry.kind in {"evaluate", "train", "latency"}:
            used = "contiguous" if entry.coordinates.model == "viewed" else wanted
            assert matrix.stored(entry).summary["memory_format"] == used, entry.label


@pytest.mark.parametrize("channels", [3, 1])
def test_images_have_the_strides_of_their_shape(
    plugins: Path, tmp_path: Path, channels: int
) -> None:
    """Of one channel, torch takes both orders for contiguous, and computes in the other."""
    suite = {"suite": "s", "dataset": {"plugin": "blobs", "channels": channels}}
    read = bench.suite.read(suite | {"models": {"linear": {"train": "reference"}}})
    images, _ = bench.data.prepare(read.dataset, tmp_path).split("test").tensors()
    assert images.stride() == np.empty(images.shape, np.int8).strides
