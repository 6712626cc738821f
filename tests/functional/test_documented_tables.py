"""Every table that the guides show how to print is printed, from a small run."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, importable
from typer.testing import CliRunner

from bench import cli
from bench.commands import run as session

COMMANDS = sorted(
    {
        line.split("  #")[0].strip()
        for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.strip().startswith("bench table")
    }
)

RECIPE = {"epochs": 3, "batch_size": 16, "lr": 0.01}
PLAIN: dict[str, Any] = {
    "suite": "problem_a",
    "seed": 7,
    "dataset": {"plugin": "blobs"},
    "images": {"count": 12},
    "models": {
        "simple_cnn": {"plugin": "linear", "train": RECIPE, "seeds": [1, 2]},
        "resnet_small": {"plugin": "gaudy", "train": RECIPE},
    },
    "attacks": {
        "fgsm": {"grid": {"eps": [0.1, 0.3]}},
        "fgsm-targeted": {"plugin": "fgsm", "eps": 0.3, "target": 1},
        "pgd": {"eps": 0.3, "steps": 2},
        "bisection": {"halvings": 3, "scan": 4},
    },
    "budget": {"norm": "linf", "eps": 0.3},
    "transfer": {},
    "profile": {"batches": [1], "warmup": 1},
    "audit": "off",
    "run": {"threads": 1, "device": "cpu"},
}
WHOLE: dict[str, Any] = {
    **PLAIN,
    "suite": "problem_b_full",
    "models": {
        **PLAIN["models"],
        "resnet_small": {**PLAIN["models"]["resnet_small"], "variants": ["original"]},
    },
    "variants": {
        "original": [],
        "smoothed": [
            {
                "randomized_smoothing": {
                    "sigma": 0.1,
                    "votes": 2,
                    "averaged": 2,
                    "samples": 20,
                    "selection": 5,
                }
            }
        ],
        "squeezed": ["feature_squeezing"],
        "pruned": [{"magnitude": {"sparsity": 0.5}}, {"fine_tune": {"epochs": 1}}],
    },
    "explainers": {"saliency": {}},
    "explain_attacks": ["pgd"],
    "explain_variants": True,
}
COMPRESSED: dict[str, Any] = {**WHOLE, "suite": "problem_c", "explain_attacks": []}
SUITES = (PLAIN, WHOLE, COMPRESSED)


@pytest.fixture(scope="module")
def store(plugin_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with the last runs of a suite without variants and of two with them."""
    folder = tmp_path_factory.mktemp("documented") / "store"
    with importable(plugin_folder):
        for suite in SUITES:
            outcome = session.run(suite, store=folder, reports=None)
            assert set(outcome.counts) <= {"done", "skipped"}
    return folder


def test_the_guides_show_the_layouts_that_people_print() -> None:
    """Or else the next test would test nothing."""
    reported = "\n".join(COMMANDS)
    for word in (
        "--rows eps --columns metric",
        "--columns attack",
        "targeted=true",
        "targeted=false",
        "transfer_rate",
        "worst_case_accuracy",
        "certified_accuracy",
        "detection_auroc",
        "median_norm,norm_80",
        "steps_50,steps_80",
    ):
        assert word in reported


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_documented_table_is_printed_with_figures(command: str, store: Path) -> None:
    words = shlex.split(command)[1:]
    suites = [[]] if "--suite" in words else [["--suite", s["suite"]] for s in SUITES]
    reported = []
    for suite in suites:
        asked = [*words, *suite, "--store", str(store)]
        printed = CliRunner().invoke(cli.app, asked)
        reported.append(printed.output)
        if printed.exit_code == 0:
            plain = CliRunner().invoke(cli.app, [*asked, "--format", "csv"]).output
            if any(row["value"] for row in csv.DictReader(io.StringIO(plain))):
                return
    pytest.fail("\n".join(reported))
