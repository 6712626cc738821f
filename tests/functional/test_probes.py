"""The audit on real runs: which probes it plans, a model that hides its gradients, honest demos."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import importable
from test_cli import call

import bench
from bench.api import Cascade
from bench.audit import Audit, audit
from bench.cells.attack import AttackCell
from bench.cells.probe import GradientsCell, ProbeCell, RepeatCell
from bench.commands import run as session
from bench.plan import Plan
from bench.plan.probes import (
    CHEAP_IMAGES,
    CHEAP_PASSES,
    FEW_STEPS,
    LARGE_STEPS,
    REPEATED_IMAGES,
)
from bench.store import Store

ROOT = Path(__file__).parent.parent.parent
RECIPE = {"epochs": 12, "batch_size": 16, "lr": 0.01}
MASKED: dict[str, Any] = {
    "suite": "masked",
    "seed": 7,
    "dataset": {"plugin": "blobs", "train": 240, "test": 90},
    "images": {"count": 90},
    "models": {
        "rounding": {"plugin": "quantised", "train": RECIPE},
        "plain": {"plugin": "quantised", "rounds": False, "train": RECIPE},
    },
    "attacks": {
        "noise": {"eps": 0.1},
        "fgsm": {"eps": 0.1},
        "pgd": {"eps": 0.1, "steps": 10},
    },
    "transfer": {},
    "run": {"threads": 1, "device": "cpu"},
}


# Which probes are planned


def planned(suite: dict[str, Any], folder: Path) -> Plan:
    return session.make_plan(suite, Store(folder / "store"))


def probes(plan: Plan) -> dict[str, ProbeCell]:
    """The probes of a plan that vary attacks, by what is under their model."""
    cells = [step.cell for step in plan.steps if type(step.cell) is ProbeCell]
    return {str(cell.coordinates.attack): cell for cell in cells}


@pytest.fixture
def one(tiny: dict[str, Any]) -> dict[str, Any]:
    """A suite with one model and 40 images, the audit as it is by default."""
    tiny["models"].pop("gaudy")
    tiny.pop("audit")
    tiny["images"] = {"count": 40}
    tiny["dataset"]["test"] = 40
    return tiny


def test_an_attack_is_varied_by_the_names_of_its_parameters(
    one: dict[str, Any], tmp_path: Path
) -> None:
    one["attacks"] = {"pgd": {"eps": 0.1, "alpha": 0.01, "steps": 40}}
    found = probes(planned(one, tmp_path))
    assert set(found) == {
        *(f"pgd~{probe}" for probe in ("eps-0", "large-eps", "doubled-steps")),
        *("noise~linf=0.1", "fgsm~linf=0.1"),
    }
    plugins = {name: cell.entry.plugin.parameters() for name, cell in found.items()}
    own = {"eps": 0.1, "alpha": 0.01, "steps": 40, "random_start": True}
    assert plugins["pgd~doubled-steps"] == own | {"steps": 80}
    assert plugins["pgd~eps-0"] == own | {"eps": 0, "steps": FEW_STEPS}
    # 40 steps of a tenth of eps each: fewer steps go as far in a ball ten times as large
    large = plugins["pgd~large-eps"]
    assert large == own | {"eps": 1.0, "steps": LARGE_STEPS, "alpha": pytest.approx(0.4)}
    assert large["alpha"] * large["steps"] / large["eps"] == pytest.approx(0.01 * 40 / 0.1)
    for cell in found.values():
        assert len(cell.images) == CHEAP_IMAGES
        assert cell.facts["of"] == ("pgd" if "pgd" in cell.label else None)


def test_a_step_that_follows_eps_goes_on_following_it(one: dict[str, Any], tmp_path: Path) -> None:
    one["attacks"] = {"pgd": {"eps": 0.1, "steps": 4}, "pgdl2": {"eps": 0.5, "steps": 4}}
    found = probes(planned(one, tmp_path))
    assert found["pgd~large-eps"].entry.plugin.parameters()["alpha"] == 1 / 4
    assert found["pgd~large-eps"].entry.plugin.parameters()["steps"] == 4
    # 3 x 8 x 8 values, each of which may change by 1
    assert found["pgdl2~large-eps"].entry.budget.eps == pytest.approx(192**0.5)
    assert not [name for name in found if "l2=" in name]  # one step and noise are of linf


def test_one_point_of_a_grid_is_probed_and_the_suite_serves_itself(
    one: dict[str, Any], tmp_path: Path
) -> None:
    one["attacks"] = {
        "fgsm": {"grid": {"eps": [0.05, 0.1, 0.2]}},
        "pgd": {"eps": 0.2, "steps": 5},
        "pgd-targeted": {"plugin": "pgd", "eps": 0.2, "steps": 5, "target": 1},
        "noise": {"eps": 0.2},
    }
    assert set(probes(planned(one, tmp_path))) == {
        *("fgsm@eps=0.1~eps-0", "fgsm@eps=0.1~large-eps", "noise~linf=0.1"),
        *("pgd~eps-0", "pgd~large-eps", "pgd~doubled-steps"),
    }


def test_a_suite_s_own_extremes_take_no_probe_away(one: dict[str, Any], tmp_path: Path) -> None:
    """A grid from 0 to 1, and the same attack with its steps doubled: rules ask for the probes."""
    one["attacks"] = {
        "fgsm": {"grid": {"eps": [0, 0.1, 1.0]}},
        "pgd": {"eps": 0.1, "steps": 5},
        "pgd-long": {"plugin": "pgd", "eps": 0.1, "steps": 10},
    }
    wanted = {"fgsm@eps=0.1~eps-0", "fgsm@eps=0.1~large-eps", "pgd~doubled-steps"}
    assert wanted <= set(probes(planned(one, tmp_path)))


def test_what_cannot_be_varied_is_not(one: dict[str, Any], tmp_path: Path) -> None:
    one["budget"] = {"norm": "l2", "eps": 0.5}
    one["attacks"] = {
        "blend": {"steps": 20},  # looks for the nearest image: it has no eps
        "unbounded": {},
        "gn": {},
        "autoattack": {"eps": 0.1},
        "onepixel": {},
        "fgsm": {"eps": 0.1},
        "pgd": {"eps": 0.1},
        "both": {"cascade": ["fgsm", "pgd"]},
    }
    found = probes(planned(one, tmp_path))
    assert {name for name in found if "blend" in name} == {"blend~doubled-steps"}
    assert {name for name in found if "onepixel" in name} == {"onepixel~doubled-steps"}
    for cell in found.values():
        assert not isinstance(cell.entry.plugin, Cascade)
        assert cell.entry.plugin_name not in {"unbounded", "gn"}
    assert "noise~linf=0.1" in found


def test_what_is_dear_is_left_to_a_full_audit(one: dict[str, Any], tmp_path: Path) -> None:
    one["attacks"] = {"square": {"eps": 0.1, "n_queries": 5000}, "pgd": {"eps": 0.1, "steps": 99}}
    skips = {s.cell.label: s.skip for s in planned(one, tmp_path).steps if s.skip is not None}
    dear = ("eps-0", "large-eps", "repeat")
    assert set(skips) == {f"probe linear/square~{probe}" for probe in dear}
    assert all("at most: 'audit: full'" in words for words in skips.values())
    assert CHEAP_PASSES >= 2 * 99  # pgd, its steps doubled
    full = planned({**one, "audit": "full"}, tmp_path)
    assert not [step for step in full.steps if step.skip is not None]
    assert {len(cell.images) for cell in probes(full).values()} == {40}


def test_no_probe_where_the_audit_is_off(one: dict[str, Any], tmp_path: Path) -> None:
    kinds = {step.cell.kind for step in planned({**one, "audit": "off"}, tmp_path).steps}
    assert "probe" not in kinds


def test_one_replica_stands_for_all(one: dict[str, Any], tmp_path: Path) -> None:
    one["models"]["linear"]["seeds"] = [1, 2]
    one["attacks"] = {"fgsm": {"eps": 0.1}}
    cells = [step.cell for step in planned(one, tmp_path).steps if step.cell.kind == "probe"]
    assert {cell.coordinates.replica for cell in cells} == {"seed1"}
    assert sum(isinstance(cell, GradientsCell) for cell in cells) == 1


def test_a_shield_is_probed_like_a_model(one: dict[str, Any], tmp_path: Path) -> None:
    one["variants"] = {"original": [], "coarse": ["bit_depth"]}
    one["attacks"] = {"fgsm": {"eps": 0.1}}
    cells = [step.cell for step in planned(one, tmp_path).steps if step.cell.kind == "probe"]
    counts = [sum(cell.coordinates.variant == v for cell in cells) for v in one["variants"]]
    assert counts[0] == counts[1] > 0


def test_a_probe_changes_no_other_cell(one: dict[str, Any], tmp_path: Path) -> None:
    with_probes, without = (
        planned({**one, "audit": extent}, tmp_path) for extent in ("cheap", "off")
    )
    kept = [s for s in with_probes.steps if s.cell.kind not in ("probe", "reference")]
    assert [s.cell.label for s in kept] == [s.cell.label for s in without.steps]
    assert [s.cell.inputs for s in kept] == [s.cell.inputs for s in without.steps]
    assert all(type(s.cell) is not AttackCell for s in with_probes.steps[len(kept) :])


def test_each_group_is_repeated_on_a_few_images(one: dict[str, Any], tmp_path: Path) -> None:
    one["attacks"] = {
        "fgsm": {"grid": {"eps": [0.05, 0.1, 0.2]}},
        "fgsm-targeted": {"plugin": "fgsm", "eps": 0.1, "target": 1},
        "noise": {"eps": 0.1},
        "both": {"cascade": ["fgsm@eps=0.1", "noise"]},
    }
    cells = [step.cell for step in planned(one, tmp_path).steps if type(step.cell) is RepeatCell]
    names = {cell.coordinates.attack for cell in cells}
    assert names == {f"{n}~repeat" for n in ("fgsm@eps=0.1", "fgsm-targeted", "noise", "both")}
    assert {len(cell.images) for cell in cells} == {REPEATED_IMAGES}


# A model that hides its gradients


@pytest.fixture(scope="module")
def masked(
    plugin_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("masked")
    with importable(plugin_folder):
        outcome = bench.run(MASKED, store=folder / "store", reports=folder / "reports")
    return {
        "folder": folder,
        "outcome": bench.open_last("masked", folder / "store"),
        "counts": outcome.counts,
        "env": {"PYTHONPATH": str(plugin_folder)},
    }


def test_a_model_that_hides_its_gradients_looks_robust(masked: dict[str, Any]) -> None:
    table = masked["outcome"].table("robust_accuracy").frame().set_index(["attack", "model"])
    assert table.loc[("pgd", "rounding"), "value"] > 0.9
    assert table.loc[("pgd", "plain"), "value"] < 0.1


def test_the_audit_says_why_it_is_not(masked: dict[str, Any]) -> None:
    findings = masked["outcome"].audit.findings
    for attack in ("fgsm", "pgd"):
        [finding] = [f for f in findings if f"attack rounding/{attack}" in f.cells]
        assert finding.rule == "gradient-misleads"  # whose effects the others are
        effects = {"no-gradients", "survives-large-eps", "transfer-beats-white-box"}
        assert effects <= {*finding.also}
    # what was made on the other is in doubt where it is judged
    own = ("evaluate plain", "attack plain/", "transfer plain>plain")
    assert not [f for f in findings if any(cell.startswith(own) for cell in f.cells)]


def test_its_numbers_carry_the_footnotes(masked: dict[str, Any]) -> None:
    text = str(masked["outcome"].table())
    grid, _, under = text.partition("\n\n")
    cells = [[cell.strip() for cell in line.split("|")] for line in grid.splitlines()]
    reported = {row[1]: row[2:4] for row in cells[2:]}
    assert "[" in reported["pgd"][0]
    assert "[" not in reported["pgd"][1]
    assert "[" in reported["noise"][0]  # as every figure of the model
    assert "a control, no attack: plain/noise fools 0 of 90 images, pgd at the same budget" in under
    assert "rounding: the loss of 32 of 32 images has no gradient" in under
    page = (masked["folder"] / "reports" / "masked" / "README.md").read_text(encoding="utf-8")
    assert "- **gradient-misleads**: rounding has no gradient, or none that is finite" in page
    rows = csv.DictReader(
        io.StringIO((masked["folder"] / "reports" / "masked" / "success.csv").read_text())
    )
    reported = {(row["attack"], row["model"]): row["findings"] for row in rows}
    assert "no-gradients" in reported["pgd", "rounding"]
    assert reported["pgd", "plain"] == ""


def test_probes_are_cells_that_nobody_sees(masked: dict[str, Any]) -> None:
    matrix = masked["outcome"].matrix
    assert {entry.state for entry in matrix.probes} == {"done"}
    repeats = [entry for entry in matrix.probes if entry.facts["probe"] == "repeat"]
    assert len(repeats) == 2 * 3
    # gradients; fgsm; pgd: the rest is in the suite
    probes = [entry for entry in matrix.probes if entry.kind == "probe"]
    assert len(probes) == len(repeats) + 2 * (1 + 2 + 3)
    assert len([entry for entry in matrix.probes if entry.kind == "contract"]) == 2
    assert masked["counts"] == {"done": len(matrix.entries)}
    for entry in probes:
        assert "arrays" not in matrix.stored(entry).files
        expected = REPEATED_IMAGES if entry in repeats else CHEAP_IMAGES
        assert len(matrix.records(entry)) == expected
    images = set(matrix.records(matrix.entries[-1])["image"])
    assert all(set(matrix.records(entry)["image"]) < images for entry in probes)


def test_the_command_prints_findings_and_may_be_strict(masked: dict[str, Any]) -> None:
    store = ("--store", str(masked["folder"] / "store"))
    done = call(masked, "audit", *store)
    assert done.returncode == 0, done.stderr
    findings = masked["outcome"].audit.findings
    count = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
    assert f"Audit: {count}, but 2 rules could not look: mute, stumbles; " in done.stdout
    assert all(finding.sentence in done.stdout for finding in findings)
    assert call(masked, "audit", "--strict", "--suite", "masked", *store).returncode == 1
    lost = call(masked, "audit", "--suite", "maskd", *store)
    assert lost.returncode == 2
    assert "one of masked" in lost.stderr
    why = call(masked, "why", "probe rounding/pgd~large-eps", *store)
    assert why.returncode == 0, why.stderr
    assert '"eps": 1.0' in why.stdout


@pytest.mark.usefixtures("plugins")  # the rules that made it are still installed
def test_what_was_found_is_noted_beside_the_run(masked: dict[str, Any]) -> None:
    outcome = bench.open_last("masked", masked["folder"] / "store")
    noted = outcome.matrix.run["audit"]
    assert Audit.of(noted) == audit(outcome.matrix) == outcome.audit


def test_a_run_ends_with_a_line_on_its_audit(one: dict[str, Any], tmp_path: Path) -> None:
    """Where nothing is found, ``--strict`` is content; a probe that fails fails no run."""
    one["suite"] = "brief"
    one["models"]["linear"]["train"]["epochs"] = 12
    one["attacks"] = {"noise": {"eps": 0.05}, "cautious": {}}
    suite = tmp_path / "brief.yaml"
    suite.write_text(bench.fingerprint.canonical(one))
    here = {"folder": tmp_path, "env": {"PYTHONPATH": ""}}
    done = call(here, "run", "brief.yaml")
    assert done.returncode == 0, done.stderr
    last = done.stderr.splitlines()[-1]
    assert "audit: no finding, but " in last
    assert "falls-with-eps, survives-large-eps" in last
    assert last.endswith("; see 'bench audit'")
    strict = call(here, "audit", "--strict")
    assert strict.returncode == 0, strict.stdout
    assert "Audit: no finding, but " in strict.stdout
    assert "probe linear/cautious~large-eps: failed: ValueError: too far" in strict.stdout, (
        strict.stdout
    )


# Honest demos


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_the_audit_is_silent_on_problem_b(seed: int, tmp_path: Path) -> None:
    """The shipped weights, on images and with random starts drawn by another seed.

    ``python benchmarks/honest_runs.py problem_b`` does so under five.
    """
    outcome = bench.run(
        ROOT / "suites" / "problem_b.yaml",
        store=tmp_path / "store",
        reports=None,
        threads=1,
        seed=seed,
        settings=[f"models.{name}.train.seed=42" for name in ("simple_cnn", "resnet_small")],
    )
    assert {e.kind for e in outcome.matrix.entries} == {"load", "evaluate", "attack", "transfer"}
    assert outcome.audit.findings == ()
    assert sum(count > 0 for count in outcome.audit.cases.values()) >= 13 + 6  # and the contract
