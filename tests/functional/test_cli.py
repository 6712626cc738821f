"""The commands, as a person uses them: words in, text and an exit code out."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench import cli, registry
from bench.records import AUDIT_KINDS


def run_bench(
    *words: str, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *words]
    whole = {**os.environ, **(env or {})}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=whole)


@pytest.fixture(scope="module")
def session(plugin_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One run of a small suite, in a folder of its own, for all that only read it."""
    folder = tmp_path_factory.mktemp("cli")
    suite = {
        "suite": "small",
        "description": "Two attacks, one of which cannot work.",
        "seed": 7,
        "dataset": "blobs",
        "images": {"from": ["test"], "count": 20},
        "models": {
            "linear": {"train": {"epochs": 2, "batch_size": 16, "lr": 0.01}},
            "gaudy": {"train": {"epochs": 1, "batch_size": 16, "lr": 0.01}},
        },
        "attacks": {"fgsm": {"grid": {"eps": [0.05, "8/255"]}}, "raises": {}, "greedy": {}},
        "transfer": {"from": ["linear"], "to": "all"},
        "audit": "off",
        "run": {"threads": 1, "models": ["linear"]},
    }
    text = yaml.safe_dump(suite, sort_keys=False).replace("'8/255'", "8/255")
    (folder / "small.yaml").write_text(text)
    env = {"PYTHONPATH": str(plugin_folder)}
    made = {"folder": folder, "env": env}
    return {**made, "done": call(made, "run", "small.yaml", "--models", "all")}


def call(session: dict[str, Any], *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as it is run, but in this process: starting one costs seconds."""
    out, err = io.StringIO(), io.StringIO()
    registry._offers.cache_clear()
    registry.load.cache_clear()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(session["folder"])
        patch.syspath_prepend(session["env"]["PYTHONPATH"])
        patch.setattr(sys, "argv", ["bench", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
    registry._offers.cache_clear()
    registry.load.cache_clear()
    return subprocess.CompletedProcess(words, end.value.code or 0, out.getvalue(), err.getvalue())


def test_run_prints_a_table_and_what_failed(session: dict[str, Any]) -> None:
    done = session["done"]
    assert done.returncode == 1  # raises failed, the others went on
    assert "| attack" in done.stdout
    assert "withheld [" in done.stdout
    assert "failed: attack linear/raises: RuntimeError: lost my way" in done.stderr
    assert "Traceback" not in done.stderr
    # two models: train, evaluate, four attacks each; four transfers from linear to gaudy
    kinds = [line.split()[2] for line in done.stderr.splitlines() if line.startswith("[")]
    assert len([kind for kind in kinds if kind not in AUDIT_KINDS]) == 16
    assert f"small: {len(kinds)} cells, 0 in the store" in done.stderr


def test_run_writes_its_tables(session: dict[str, Any]) -> None:
    folder = session["folder"] / "reports" / "small"
    page = (folder / "README.md").read_text()
    for words in ("# small", "Missing", "raises", "| class", "seed 7", "batch_size: 50"):
        assert words in page
    rows = list(csv.DictReader(io.StringIO((folder / "success.csv").read_text())))
    assert {row["attack"] for row in rows} >= {"fgsm@eps=0.05", "greedy", "raises"}


@pytest.mark.slow
def test_running_again_computes_only_what_failed(session: dict[str, Any]) -> None:
    again = call(session, "run", "small.yaml", "--models", "all")
    assert "nothing was computed" in again.stderr
    assert again.returncode == 1


def test_plan_says_where_every_cell_stands(session: dict[str, Any], tmp_path: Path) -> None:
    fresh = call(session, "plan", "small.yaml", "--store", str(tmp_path / "empty"))
    assert fresh.returncode == 0
    assert "to do" in fresh.stdout
    assert "depends" in fresh.stdout
    assert "on train linear" in fresh.stdout
    full = call(session, "plan", "small.yaml", "--models", "all")
    # raises failed on both models, and its transfer is to follow
    *_, last = full.stdout.splitlines()
    assert re.fullmatch(r"\d+ done, 2 to do, 1 depends", last)


def test_check_reports_every_error_at_once_without_a_traceback(
    session: dict[str, Any], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        "suite: bad\nseeds: 3\ndataset: blob\nmodels:\n  linear: {}\nattacks:\n  pgd: {epz: 1}\n"
    )
    done = call(session, "check", str(bad))
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[-1] == "4 errors"
    assert f"{bad}:2: seeds: unknown key; did you mean 'seed'?" in done.stderr
    assert "did you mean 'blobs'?" in done.stderr
    assert f"{bad}:5: models.linear: has no weights" in done.stderr
    assert f"{bad}:7: attacks.pgd.epz: unknown key; did you mean 'eps'?" in done.stderr


def test_table_needs_no_torch(session: dict[str, Any], tmp_path: Path) -> None:
    """Where importing torch fails, tables are printed all the same."""
    (tmp_path / "torch.py").write_text("raise ImportError('torch is not to be had here')")
    blocked = {"PYTHONPATH": str(tmp_path)}
    probe = subprocess.run(
        [sys.executable, "-c", "import torch"],
        env={**os.environ, **blocked},
        check=False,
        capture_output=True,
    )
    assert probe.returncode != 0
    for words in (["--intervals"], ["--suite", "small", "--format", "csv"]):
        done = run_bench("table", *words, cwd=session["folder"], env=blocked)
        assert done.returncode == 0, done.stderr
        assert "fgsm@eps=0.05" in done.stdout


def test_table_layouts(session: dict[str, Any]) -> None:
    turned = call(
        session, "table", "--rows", "model", "--columns", "attack", "--where", "group=fgsm"
    )
    assert turned.stdout.splitlines()[0].startswith("| model")
    assert "greedy" not in turned.stdout
    by_eps = call(
        session, "table", "--rows", "eps", "--where", "group=fgsm", "--where", "model=linear"
    )
    assert "8/255" in by_eps.stdout
    fraction = call(session, "table", "--where", "eps=8/255")
    assert "fgsm@eps=0.05" not in fraction.stdout
    document = json.loads(call(session, "table", "--format", "json", "--metric", "linf").stdout)
    assert document["metric"] == "linf"
    transfer = call(session, "table", "--metric", "transfer_rate")
    assert "linear to gaudy" in transfer.stdout.splitlines()[0]
    pooled = call(session, "table", "--rows", "model", "--columns", "")
    assert pooled.returncode == 2
    assert "share one place" in pooled.stderr


def test_wrong_words_are_explained(session: dict[str, Any], tmp_path: Path) -> None:
    cases = {
        ("table", "--metric", "sucess_rate"): "did you mean 'success_rate'?",
        ("table", "--rows", "atack"): "did you mean 'attack'",
        ("table", "--format", "html"): "one of github, csv, json, latex",
        ("table", "--suite", "smal"): "one of small",
        ("table", "--store", str(tmp_path)): "holds no run",
        ("run", "quik"): "did you mean 'quick'?",
        ("run", "small.yaml", "--set", "run"): "path=value",
        ("run", "small.yaml", "--only", "attack nobody"): "no cell of this run",
        ("describe", "pdg"): "did you mean 'pgd'?",
        ("list", "attack"): "did you mean 'attacks'?",
        ("why", "nothing"): "is not in the store",
        ("check", "small.yaml", "--set", "tables.t={metric: linf, rows: [atack]}"): (
            "tables.t.rows[0]: 'atack' is no dimension; did you mean 'attack' or 'batch'?"
        ),
        ("check", "small.yaml", "--set", "tables={a/b: {metric: linf}}"): "has the name 'a/b'",
        ("check", "small.yaml", "--set", "run.models=[]"): "at least 1",
        ("run", "small.yaml", "--dataset", "torchvision"): "dataset.name: is missing",
    }
    for words, answer in cases.items():
        done = call(session, *words)
        assert done.returncode == 2, words
        assert answer in done.stderr, words
        assert "Traceback" not in done.stderr, words


def test_why_explains_a_result_and_a_failure(session: dict[str, Any]) -> None:
    done = call(session, "why", "linear/fgsm@eps=0.05")
    assert done.returncode == 0, done.stderr
    for words in (
        "attack linear/fgsm@eps=0.05: done",
        '"plugin": "bench-classifiers:fgsm"',
        "train linear",
        "torchattacks",
        "drift since\n  none",
        "--only 'attack linear/fgsm@eps=0.05'",
    ):
        assert words in done.stdout, words
    transfer = call(session, "why", "linear>gaudy/fgsm@eps=0.05")
    assert transfer.stdout.count("attack linear/fgsm@eps=0.05") == 2  # its images, its verdict
    assert "no longer in the store" not in transfer.stdout
    failed = call(session, "why", "attack linear/raises")
    assert "RuntimeError: lost my way" in failed.stdout
    assert "Traceback" in failed.stdout  # a plugin's own, kept in the store
    key = next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("key:"))
    assert call(session, "why", key[:10]).stdout == done.stdout


def test_the_command_that_why_gives_runs_only_that_cell(
    session: dict[str, Any], tmp_path: Path
) -> None:
    single = call(
        session, "run", "small.yaml", "--models", "all", "--store", str(tmp_path / "s"),
        "--only", "attack gaudy/fgsm@eps=0.05",
    )  # fmt: skip
    assert single.returncode == 0, single.stderr
    assert "2 done; 2 computed" in single.stderr


def test_describe_and_list(session: dict[str, Any]) -> None:
    listed = call(session, "list").stdout
    for words in ("bench-classifiers", "bench-test-plugins 1.2.3", "unimportable", "fgsm"):
        assert words in listed
    described = call(session, "describe", "pgd").stdout
    for words in ("eps", "alpha", "steps", "random_start", "norm: linf", "Source:", "torchattacks"):
        assert words in described
    counted = call(session, "describe", "blobs").stdout
    assert "| north" in counted
    assert "32" in counted  # a third of the 96 training images


def test_the_version_is_the_distribution_s(session: dict[str, Any]) -> None:
    assert call(session, "--version").stdout == f"bench {metadata.version('bench-classifiers')}\n"


def test_schema_is_json(session: dict[str, Any]) -> None:
    done = call(session, "schema")
    assert "simple_cnn" in done.stdout
    assert json.loads(done.stdout)["$schema"].startswith("https://json-schema.org")
    assert "unimportable" in done.stderr  # left out, and said so


def test_a_table_that_nothing_is_left_for_is_a_remark(
    session: dict[str, Any], tmp_path: Path
) -> None:
    words = ["run", "small.yaml", "--attacks", "fgsm", "--store", str(tmp_path / "s")]
    words += ["--set", "tables={all: {metric: linf}, radius: {metric: linf, rows: [max_epsilon]}}"]
    words += ["--set", "attacks.unbounded={}"]
    done = call(session, *words)
    assert done.returncode == 0, done.stderr
    assert "fgsm@eps=0.05" in done.stdout
    assert "table 'radius' is left out: --rows: 'max_epsilon' is no dimension" in done.stderr


def test_a_folder_for_reports_that_cannot_be_written_costs_no_result(
    session: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    words = ["run", "small.yaml", "--attacks", "fgsm", "--store", str(tmp_path / "s")]
    done = call(session, *words, "--reports", str(tmp_path / "file"))
    assert done.returncode == 2
    assert "| attack" in done.stdout  # printed before it is written
    assert "choose with --reports" in done.stderr
    assert "Traceback" not in done.stderr
    again = call(session, *words, "--reports", str(tmp_path / "folder"))
    assert "nothing was computed" in again.stderr
