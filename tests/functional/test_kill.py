"""kill -9 at any moment loses at most the cell in flight; Ctrl-C ends cleanly."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

import bench
from bench.store import Store


def start(suite: Path, store: Path, folder: Path) -> subprocess.Popen[str]:
    """Start a run in a process of its own."""
    command = [sys.executable, "-m", "bench", "run", str(suite), "--store", str(store)]
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,  # noqa: PLW1509 (this process has no threads that matter)
    )


def heed_ctrl_c() -> None:
    """Undo what a shell does to those that it starts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def cells(store: Path) -> int:
    return len(list(store.glob("cells/*/*/cell.json")))


def records(store: Path, suite: str) -> dict[str, pd.DataFrame]:
    matrix = bench.open_last(suite, store).matrix
    found = {e.label: matrix.records(e) for e in matrix.entries if e.state == "done"}
    return {label: frame for label, frame in found.items() if frame is not None}


@pytest.fixture
def suite(tiny: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny, sort_keys=False))
    return path


def kill_and_resume(
    suite: Path, name: str, tmp_path: Path, kills: int, seed: int, folder: Path
) -> None:
    undisturbed = tmp_path / "undisturbed"
    done = start(suite, undisturbed, folder)
    done.communicate()
    assert done.returncode == 0
    whole = cells(undisturbed)
    generator = random.Random(seed)
    store = tmp_path / "disturbed"
    for _ in range(kills):
        known = cells(store)
        if known >= whole - 1:
            break
        wanted = generator.randrange(known + 1, whole)
        process = start(suite, store, folder)
        while cells(store) < wanted and process.poll() is None:
            time.sleep(0.002)
        time.sleep(generator.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL  # it was met in its middle
    assert cells(store) > 0
    last = start(suite, store, folder)
    last.communicate()
    assert last.returncode == 0
    ours, theirs = records(store, name), records(undisturbed, name)
    assert ours.keys() == theirs.keys()
    for label, frame in ours.items():
        pd.testing.assert_frame_equal(frame, theirs[label], check_exact=True, obj=label)
    for key in Store(store).keys():  # noqa: SIM118 (no mapping)
        assert Store(store).find(key) is not None


@pytest.mark.slow
def test_killed_runs_resume_to_the_same_records(suite: Path, tmp_path: Path) -> None:
    kill_and_resume(suite, "tiny", tmp_path, kills=3, seed=1, folder=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_quick_killed_at_random_moments(tmp_path: Path, seed: int) -> None:
    kill_and_resume(Path("quick"), "quick", tmp_path, kills=4, seed=seed, folder=tmp_path)


def test_a_kill_while_a_cell_is_written_leaves_no_cell(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest is written last: without it the data files are no result."""
    store = tmp_path / "store"
    link = os.link

    class Killed(BaseException):
        """What SIGKILL would do here."""

    def die(source: str, target: str) -> None:
        if len(list(store.glob("cells/*/*/cell.json"))) == 3:
            raise Killed
        link(source, target)

    monkeypatch.setattr(os, "link", die)
    with pytest.raises(Killed):
        bench.run(tiny, store=store, reports=None)
    assert len(Store(store).keys()) == 3
    monkeypatch.undo()
    whole = bench.run(tiny, store=store, reports=None)
    assert set(whole.counts) == {"done"}


def test_ctrl_c_ends_cleanly_and_says_how_to_go_on(suite: Path, tmp_path: Path) -> None:
    text = suite.read_text().replace("epochs: 2", "epochs: 4000", 1)  # the first model takes long
    suite.write_text(text)
    process = start(suite, tmp_path / "store", tmp_path)
    assert process.stderr.readline().endswith(" cells, 0 in the store\n")
    time.sleep(1.0)  # somewhere in the first cell, which takes minutes
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert f"bench run {suite}" in errors
    assert "interrupted after 0 of" in errors


def test_ctrl_c_is_heeded_where_a_library_swallows_it(tiny: dict[str, Any], tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        tiny["attacks"] = {"stubborn": {}, "fgsm": {"eps": 0.1}}
        with pytest.raises(KeyboardInterrupt):
            bench.run(tiny, store=tmp_path / "store", reports=None)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    run = bench.open_last(store=tmp_path / "store").matrix.run
    assert run["interrupted"]
    states = {cell["label"]: cell["state"] for cell in run["cells"]}
    assert states["train linear"] == "done"
    assert states["attack gaudy/fgsm"] == "depends"  # as it was planned; it was not come to


@pytest.mark.slow
def test_the_index_can_be_deleted(tiny: dict[str, Any], tmp_path: Path) -> None:
    store = tmp_path / "store"
    bench.run(tiny, store=store, reports=None)
    before = str(bench.open_last(store=store).table("success_rate", intervals=True))
    (store / "index.sqlite").unlink()
    assert str(bench.open_last(store=store).table("success_rate", intervals=True)) == before
    assert (store / "index.sqlite").exists()
    again = bench.run(tiny, store=store, reports=None)
    name = again.matrix.run["name"]
    place = Store(store)
    assert all(place.find(e.key).provenance["run"] != name for e in again.matrix.entries)


@pytest.mark.slow
def test_two_runs_share_a_store(suite: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    both = [start(suite, store, tmp_path) for _ in range(2)]
    for process in both:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    shared = records(store, "tiny")
    alone = start(suite, tmp_path / "alone", tmp_path)
    alone.communicate()
    for label, frame in records(tmp_path / "alone", "tiny").items():
        pd.testing.assert_frame_equal(frame, shared[label], check_exact=True, obj=label)
