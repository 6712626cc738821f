"""The measurements against peers run, print ratios, and end with 1 where a bar is missed."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

SCRIPT = Path(__file__).parent.parent.parent / "benchmarks" / "attacks.py"
TINY = ["--images", "2", "--steps", "1", "--rounds", "1", "--models", "simple_cnn"]


@pytest.fixture
def attacks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmarks_attacks", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_a_ratio_is_to_the_turns_before_and_after(attacks: ModuleType) -> None:
    def model_variant(**seconds: list[float]):
        return lambda: attacks.Turn({n: s.pop(0) for n, s in seconds.items()}, torch.empty(0))

    found = attacks.take_turns(
        model_variant(bare=[1.0, 3.0, 5.0, 2.0, 2.0, 2.0]),
        [model_variant(cell=[4.0, 1.0], whole=[6.0, 2.0]), model_variant(peer=[8.0, 4.0])],
        rounds=2,
    )
    assert found == {
        "cell": [2.0, 0.5],
        "whole": [3.0, 1.0],
        "peer": [2.0, 2.0],
        "bare": [3.0, 2.0],
    }


@pytest.mark.parametrize(
    ("bar", "expected"), [pytest.param(1e9, 0, marks=pytest.mark.slow), (0.0, 1)]
)
def test_a_missed_bar_is_the_exit_code(
    attacks: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    bar: float,
    expected: int,
) -> None:
    monkeypatch.setattr(attacks, "BARS", dict.fromkeys(attacks.BARS, bar))
    monkeypatch.setattr(attacks, "PEERS", {"Peer": ("no-such-distribution", None)})
    assert attacks.main([*TINY, "--agreement-images", "0"]) == expected
    reported = capsys.readouterr().out
    assert "Peer is left out: pip install" in reported
    ratio = r"\d+\.\d\d"
    row = rf"\| bench, the attack \| {ratio} \| {ratio} \| {ratio} \| \d+% \| .*: (held|MISSED) \|"
    assert re.search(row, reported).group(1) == ("MISSED" if expected else "held")


@pytest.mark.slow
def test_the_script_measures_every_library() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, *TINY, "--seeds", "2", "--agreement-images", "20"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr  # tiny timings may miss a bar
    assert done.returncode == ("missed: " in done.stdout)
    rows = re.findall(r"^\| (.*?) \| \d+\.\d\d \|", done.stdout, re.MULTILINE)
    assert rows[:3] == ["torchattacks, again", "torchattacks, channels-last", "bench, the attack"]
    for name in ("Foolbox", "ART"):
        assert (name in rows) != (f"{name} is left out" in done.stdout)
    assert re.search(r"^\| bf16, 2 \| \d+\.\d% \| fp32, 2 \|", done.stdout, re.MULTILINE)


# False alarms


@pytest.fixture
def alarms(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    path = SCRIPT.with_name("false_alarms.py")
    spec = importlib.util.spec_from_file_location("benchmarks_false_alarms", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_a_run_without_a_fault_is_not_accused(
    alarms: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All rules that ask chance look, but for those that need two models."""
    monkeypatch.setattr(alarms, "MODELS", 1)
    [audited] = alarms.simulate(1, 40, 1)
    by_chance = {
        *("moves-at-zero", "falls-with-eps", "survives-large-eps", "unconverged"),
        *("weaker-than-one-step", "weaker-than-another", "no-better-than-noise"),
        *("no-gradients", "no-better-than-chance"),
    }
    assert {name for name, count in audited.cases.items() if count} >= by_chance
    assert audited.findings == ()
    assert alarms.report([audited]) == 0
    assert "0 of 1 runs without a fault have a finding: 0.00%" in capsys.readouterr().out


@pytest.mark.slow
def test_without_a_correction_over_the_run_honest_runs_are_accused(
    alarms: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not any(audited.findings for audited in alarms.simulate(4, 60, 1))
    monkeypatch.setattr("bench.statistics.holm", list)
    assert any(audited.findings for audited in alarms.simulate(4, 60, 1))
