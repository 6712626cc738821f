"""The main job on real input: problem_b on digits and on photographs, and the wheel."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import bench
from bench import statistics
from bench.matrix import Entry, Matrix
from bench.metrics import success

ROOT = Path(__file__).parent.parent.parent
SUITE = ROOT / "suites" / "problem_b.yaml"


def assert_budgets_hold(matrix: Matrix) -> None:
    """Every image lies within its eps; fgsm's reach it, for pixels have room."""
    for entry in matrix.entries:
        if entry.kind != "attack":
            continue
        records = matrix.records(entry)
        eps = float(entry.facts["eps"])
        assert records["violation"].isna().all()
        assert (records["linf"] <= eps + 1e-6).all()
        if entry.facts["plugin"] == "fgsm":
            assert (records["linf"] >= eps - 1e-6).mean() > 0.9


def assert_pgd_is_not_below_fgsm(matrix: Matrix) -> None:
    """At equal eps, by paired test: no significant loss, and no fewer successes in all."""
    entries = {
        (e.coordinates.model, e.coordinates.attack): e for e in matrix.entries if e.kind == "attack"
    }
    worse = []
    for (model, attack), entry in entries.items():
        if entry.facts["plugin"] != "pgd":
            continue
        group = "fgsm-targeted" if entry.facts["targeted"] else "fgsm"
        twin = entries[model, f"{group}@eps={entry.facts['eps']:g}"]
        pgd, fgsm = won(matrix, entry), won(matrix, twin)
        assert list(pgd.index) == list(fgsm.index)
        found = statistics.mcnemar(pgd, fgsm)
        worse.append(found.only_second > found.only_first and found.p_value < 0.05)
        if entry.facts["eps"] == 0.1 and not entry.facts["targeted"]:
            assert pgd.sum() >= fgsm.sum(), (model, attack)
    assert len(worse) == 8  # two models, two budgets, untargeted and targeted
    assert not any(worse)


def won(matrix: Matrix, entry: Entry):
    return success(matrix.records(entry))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> bench.Outcome:
    store = tmp_path_factory.mktemp("digits")
    return bench.run(SUITE, store=store, reports=None, threads=1)


@pytest.mark.slow
def test_problem_b_on_digits(digits: bench.Outcome) -> None:
    matrix = digits.matrix
    assert set(digits.counts) == {"done"}
    labels = {entry.label for entry in matrix.entries}
    assert {"load simple_cnn", "load resnet_small"} <= labels  # shipped, so nothing is trained
    assert_budgets_hold(matrix)
    assert_pgd_is_not_below_fgsm(matrix)
    accuracy = digits.table("clean_accuracy", rows=["model"], columns=[]).frame()
    assert (accuracy["value"] > 0.98).all()


@pytest.mark.slow
def test_the_readme_s_table_is_what_is_printed(digits: bench.Outcome) -> None:
    """Other processors may round an image over; they may not make another table."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    reported = readme.partition("<!-- results -->")[2].partition("<!-- /results -->")[0]
    ours = str(digits.table("success_rate"))
    figure = r" +([\d.]+) % \((\d+)\)(?: *\[[a-z, ]+\])* *\|"  # with its marks
    row = re.compile(rf"^\| (\S+) +\|{figure}{figure}$", re.MULTILINE)
    printed, written = row.findall(ours), row.findall(reported)
    assert len(printed) == 15
    assert [line[0] for line in printed] == [line[0] for line in written]
    for mine, theirs in zip(printed, written, strict=True):
        for a, b in zip(mine[1:], theirs[1:], strict=True):
            assert abs(float(a) - float(b)) <= 3.5, (mine, theirs)  # three images of ninety


@pytest.mark.slow
def test_problem_b_on_photographs(photographs: Path, tmp_path: Path) -> None:
    """Few epochs and steps, real photographs: trained, not shipped, and reported."""
    outcome = bench.run(
        SUITE,
        store=tmp_path / "store",
        reports=tmp_path / "reports",
        dataset="sports10",
        data_root=str(photographs),
        threads=1,
        settings=[
            "models.simple_cnn.train.epochs=4",
            "models.resnet_small.train.epochs=1",
            "attacks.pgd.steps=8",
            "attacks.pgd-targeted.steps=8",
            "attacks.pgd-strong.steps=15",
            "attacks.pgd-strong-targeted.steps=15",
        ],
    )
    matrix = outcome.matrix
    assert set(outcome.counts) == {"done"}
    assert {"train simple_cnn", "train resnet_small"} <= {entry.label for entry in matrix.entries}
    assert_budgets_hold(matrix)
    assert_pgd_is_not_below_fgsm(matrix)
    assert matrix.run["notes"] == ["50 images instead of 100: test of sports10 has no more"]
    page = (tmp_path / "reports" / "problem_b" / "README.md").read_text()
    assert "| weightlifting" in page
    assert "1593" in page  # all training photographs, in the table of the classes


@pytest.mark.slow
def test_the_wheel_carries_suites_and_checkpoints(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for suite in (ROOT / "suites").glob("*.yaml"):
        assert f"bench/shipped/suites/{suite.name}" in names
    for checkpoint in (ROOT / "checkpoints").glob("*.safetensors"):
        assert f"bench/shipped/checkpoints/{checkpoint.name}" in names
    assert "bench_plugins/attacks/table.py" in names
    assert not [name for name in names if name.startswith(("tests", "reports", "docs"))]
    target = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
         "--target", str(target), str(wheel)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    code = "from bench.suite import shipped, locate; print(shipped('checkpoints'), locate('quick'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(target), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(target) in done.stdout.split()[0]
    assert str(target) in done.stdout.split()[1]
