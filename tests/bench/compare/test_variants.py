"""Compression: what is planned and shared, what layers cost, what the page says."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import importable
from planted import Planted, binomial, first
from torch.nn import functional

import bench
from bench import registry, statistics
from bench.audit import audit
from bench.cells.evaluate import InterimCell
from bench.cells.train import TrainCell
from bench.classifier.weights import load_strictly
from bench.commands import run as session
from bench.compare.recommendation import recommend
from bench.compare.variants import Compression
from bench.matrix import Entry
from bench.metrics import METRICS, Withheld
from bench.plan import Plan
from bench.records import ORIGINAL
from bench.report import choosing, compression, layers, markdown
from bench.report import page as pages
from bench.store import Store
from bench.suite.sections import Choice

RECIPE = {"epochs": 2, "batch_size": 16, "lr": 0.01}
TUNED = {"fine_tune": {"epochs": 1}}
HALF = {"magnitude": {"sparsity": 0.5}}
MOST = {"magnitude": {"sparsity": 0.8}}


# What is planned


@pytest.fixture
def plan_of(tiny: dict[str, Any], tmp_path: Path):
    def make(variants: dict[str, Any], **sections: Any) -> Plan:
        models = {"linear": {"train": RECIPE, **sections.pop("replicas", {})}}
        attacks = {"fgsm": {"eps": 0.1}}
        values = {**tiny, "models": models, "attacks": attacks, "variants": variants, **sections}
        return session.make_plan(values, Store(tmp_path / "store"))

    return make


def cells(made: Plan, *kinds: str) -> dict[str, Any]:
    return {s.cell.label: s.cell for s in made.steps if s.cell.kind in kinds}


def test_a_chain_of_steps_is_a_chain_of_cells(plan_of) -> None:
    made = plan_of({"original": [], "twice": [HALF, TUNED, MOST, TUNED]})
    labels = [step.cell.label for step in made.steps]
    assert len(labels) == len(set(labels))
    chain = cells(made, "train", "compress")
    assert list(chain) == [
        "train linear",
        "compress linear/twice@1-magnitude",
        "train linear/twice@2-fine_tune",
        "compress linear/twice@3-magnitude",
        "train linear/twice@4-fine_tune",
    ]
    for one, other in itertools.pairwise(chain):
        assert {role: p.cell.label for role, p in chain[other].parents.items()} == {"start": one}
    assert [c.holds_zeros for c in chain.values() if isinstance(c, TrainCell)] == [
        False,
        True,
        True,
    ]
    assert [s.cell.label for s in made.steps].index(list(chain)[-1]) < labels.index(
        "evaluate linear/twice"
    )
    # before: what the last training began with; after: what it ended with
    (interim,) = cells(made, "interim").values()
    assert isinstance(interim, InterimCell)
    assert interim.subject.weights.label == "compress linear/twice@3-magnitude"
    judged = cells(made, "evaluate", "attack")
    assert (
        judged["evaluate linear/twice"].subject.weights is chain["train linear/twice@4-fine_tune"]
    )
    assert judged["attack linear/twice/fgsm"].subject == judged["evaluate linear/twice"].subject
    assert len(judged["evaluate linear/twice"].subject.reductions) == 2


@pytest.mark.parametrize(
    ("steps", "interim"),
    [
        ([TUNED], None),  # nothing was lost that training could win back
        ([HALF], None),
        ([HALF, TUNED], "1-magnitude"),
        ([TUNED, HALF], None),
        ([TUNED, HALF, TUNED], "2-magnitude"),
        ([HALF, TUNED, "scaled"], "1-magnitude"),
        ([{"adversarial_training": {"from_scratch": True}}, HALF], None),
    ],
    ids=str,
)
def test_what_there_was_before_is_judged_where_a_reduced_variant_is_trained(
    plan_of, steps: list[Any], interim: str | None
) -> None:
    made = plan_of({"original": [], "v": steps})
    found = cells(made, "interim")
    assert set(found) == (set() if interim is None else {"interim linear/v"})
    for cell in found.values():
        assert cell.subject.weights.label == f"compress linear/v@{interim}"
    trained = [c for c in cells(made, "train").values() if c.coordinates.variant == "v"]
    reduced = [i for i, step in enumerate(steps) if step == HALF]
    held = [bool(reduced) and int(c.step.label[0]) - 1 > reduced[0] for c in trained]
    assert [c.holds_zeros for c in trained] == held


@pytest.mark.parametrize(
    "replicas", [{"seeds": [1, 2]}, {"folds": 3}, {"seeds": [1, 2], "folds": 2}], ids=str
)
def test_each_training_has_variants_of_its_own(plan_of, replicas: dict[str, Any]) -> None:
    """Those of a fold start from that fold's weights, and see no image that it holds out."""
    made = plan_of({"original": [], "v": [HALF, TUNED]}, replicas=replicas, dataset="twins")
    trained, reduced = cells(made, "train"), cells(made, "compress")
    count = len(replicas.get("seeds", [None])) * (replicas.get("folds") or 1)
    assert len(reduced) == count
    assert len(trained) == 2 * count
    for cell in reduced.values():
        replica = cell.coordinates.replica
        base = trained[f"train linear:{replica}"]
        tuned = trained[f"train linear:{replica}/v@2-fine_tune"]
        assert cell.start is base
        assert tuned.start is cell
        assert cell.images.digest == tuned.images.digest == base.images.digest
        assert cell.seed == tuned.seed == base.seed
        judged = cells(made, "evaluate")[f"evaluate linear:{replica}/v"]
        assert not set(judged.images.names) & set(tuned.images.names)
        assert (
            judged.images.digest
            == cells(made, "evaluate")[f"evaluate linear:{replica}"].images.digest
        )
        assert judged.subject.weights is tuned
    folds = {(c.seed, c.images.digest) for c in reduced.values()}
    assert len(folds) == count


def test_what_was_taken_away_is_counted_of_all_trainings_and_timed_of_one(plan_of) -> None:
    more = {"profile": {"batches": [1], "runs": 100}}
    more["sensitivity"] = {"step": MOST, "attack": "fgsm"}
    made = plan_of({"original": [], "v": [HALF]}, replicas={"seeds": [1, 2]}, **more)
    assert list(cells(made, "profile")) == [
        f"profile linear:{seed}{variant}" for seed in ("seed1", "seed2") for variant in ("", "/v")
    ]
    assert {label.partition("@")[0] for label in cells(made, "latency")} == {
        "latency linear:seed1",
        "latency linear:seed1/v",
    }
    assert list(cells(made, "sensitivity")) == ["sensitivity linear:seed1"]


# What is shared


def computed(outcome: bench.Outcome, store: Path) -> set[str]:
    """The labels of the cells that this very run computed."""
    place, name = Store(store), outcome.matrix.run["name"]
    found = {entry.label: place.find(entry.key) for entry in outcome.matrix.entries if entry.key}
    return {label for label, cell in found.items() if cell and cell.provenance["run"] == name}


def test_one_sparsity_more_costs_its_own_cells_and_a_name_costs_nothing(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    values = {
        **tiny,
        "models": {"linear": {"train": RECIPE}},
        "attacks": {"fgsm": {"eps": 0.1}},
        "transfer": {"from": ["original"], "to": "all"},
        "explainers": {"brightness": {}},
        "explain_variants": True,
        "sensitivity": {"step": MOST, "attack": "fgsm"},
        "variants": {"original": [], "half": [HALF, TUNED]},
    }
    first = bench.run(values, store=tmp_path, reports=None)
    assert set(first.counts) == {"done"}
    assert len(computed(first, tmp_path)) == sum(first.counts.values())
    values["variants"] = {**values["variants"], "most": [MOST, TUNED]}
    more = bench.run(values, store=tmp_path, reports=None)
    assert computed(more, tmp_path) == {
        "compress linear/most@1-magnitude",
        "train linear/most@2-fine_tune",
        "interim linear/most",
        "evaluate linear/most",
        "attack linear/most/fgsm",
        "transfer linear>linear/most/fgsm",
        "explain linear/most/brightness",
        "gallery linear/most/brightness",
        "drift linear/most/brightness",
    }
    # a chain that begins alike begins with the cells that are there; a name parts no results
    renamed = {
        "original": [],
        "longer": [HALF, TUNED, MOST],
        "fifty": [HALF, TUNED],
        "eighty": [MOST, TUNED],
    }
    values["variants"] = renamed
    again = bench.run(values, store=tmp_path, reports=None)
    assert computed(again, tmp_path) == {  # what it was before training, the half one was too
        "compress linear/longer@3-magnitude",
        "evaluate linear/longer",
        "attack linear/longer/fgsm",
        "transfer linear>linear/longer/fgsm",
        "explain linear/longer/brightness",
        "gallery linear/longer/brightness",
        "drift linear/longer/brightness",
    }
    keys = {entry.label: entry.key for entry in again.matrix.entries}
    old = {entry.label: entry.key for entry in more.matrix.entries}
    for label, key in old.items():
        now = label.replace("/half", "/fifty").replace("/most", "/eighty")
        assert keys[now] == key, label
    assert keys["train linear/longer@2-fine_tune"] == keys["train linear/fifty@2-fine_tune"]


# What a run of reduced variants is


VARIANTS: dict[str, list[Any]] = {
    "original": [],
    "same": [{"magnitude": {"sparsity": 0.0}}],
    "half": [HALF, TUNED],
    "most": [MOST, TUNED],
    "lost": [{"forgetful": {"sparsity": 0.5}}, TUNED],
    "broken": ["crumbling", TUNED],
}


@pytest.fixture(scope="module")
def ran(plugin_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[bench.Outcome]:
    """A whole run of one model in several variants, with its page."""
    with importable(plugin_folder):
        torch.set_num_threads(1)
        folder = tmp_path_factory.mktemp("compressed")
        values = {
            "suite": "tiny",
            "seed": 7,
            "dataset": "blobs",
            "images": {"count": 20},
            "models": {"gaudy": {"train": {**RECIPE, "epochs": 6}}},
            "variants": VARIANTS,
            "attacks": {"fgsm": {"eps": 0.1}, "identity": {}},
            "transfer": {"from": ["original"], "to": "all"},
            "explainers": {"saliency": {}},
            "explain_variants": True,
            "gallery": {"right": 1, "wrong": 0},
            "sensitivity": {"step": MOST, "attack": "fgsm"},
            "profile": {"batches": [1, 4], "warmup": 1, "runs": 100},
            "recommend": {"robust": {"best": "robust_accuracy@attack=fgsm"}},
            "audit": "off",
            "run": {"threads": 1, "device": "cpu"},
        }
        yield bench.run(values, store=folder / "store", reports=None)


def entry(outcome: bench.Outcome, label: str) -> Entry:
    (found,) = [e for e in outcome.matrix.entries if e.label == label]
    return found


def weights_of(outcome: bench.Outcome, label: str) -> dict[str, np.ndarray]:
    matrix = outcome.matrix
    return matrix.store.arrays(matrix.stored(entry(outcome, label)))


LAYERS = {"0": 8 * 3 * 9, "6": 32 * 3}
"""The Conv and Linear layers of the gaudy network, and their weights."""


@pytest.mark.slow
def test_zeros_stay_through_training_to_the_weight(ran: bench.Outcome) -> None:
    total = sum(LAYERS.values())
    for variant, share in (("half", 0.5), ("most", 0.8)):
        cut = weights_of(ran, f"compress gaudy/{variant}@1-magnitude")
        tuned = weights_of(ran, f"train gaudy/{variant}@2-fine_tune")
        zeros = {name: cut[f"{name}.weight"] == 0 for name in LAYERS}
        assert sum(int(z.sum()) for z in zeros.values()) == round(share * total)
        for name, zero in zeros.items():
            weight = tuned[f"{name}.weight"]
            assert ((weight == 0) == zero).all()
            assert not np.signbit(weight[zero]).any()
            assert not np.signbit(cut[f"{name}.weight"][zero]).any()  # magnitude leaves -0.0
        summary = ran.matrix.stored(entry(ran, f"profile gaudy/{variant}")).summary
        assert summary["sparsity"] == pytest.approx(round(share * total) / total, abs=1e-12)
        assert {x["name"]: x["zeros"] for x in summary["layers"]} == {
            name: int(zero.sum()) for name, zero in zeros.items()
        }


def test_who_does_not_hold_what_it_promises_is_flagged_and_who_does_is_not(
    ran: bench.Outcome,
) -> None:
    findings = [f for f in audit(ran.matrix).findings if f.rule == "sparsity-missed"]
    assert len(findings) == 1
    assert "gaudy/lost" in findings[0].sentence
    assert "50 % of the weights were to be zero" in findings[0].sentence
    reported = {
        e.coordinates.variant: e.facts.get("sparsity_target")
        for e in ran.matrix.entries
        if e.kind == "profile" and e.state == "done"
    }
    assert reported == {"original": None, "same": 0.0, "half": 0.5, "most": 0.8, "lost": 0.5}


def test_what_a_chain_promises_is_what_is_left_of_all_its_promises(plan_of) -> None:
    """Zeros that there are count among those that a later step asks for, and channels take some."""
    share = {n: {"magnitude": {"sparsity": n / 10}} for n in (2, 5, 8)}
    variants = {
        "original": [],
        "more": [share[5], TUNED, share[8]],
        "less": [share[8], share[5]],
        "of-each": ["n_m", share[2]],
        "fewer-weights": ["structured", share[5]],
        "fewer-zeros": [share[5], "structured"],
        "again": [share[5], "structured", share[2]],
        "rounded": [share[5], "int8"],
    }
    made = plan_of(variants, profile={"batches": [1]})
    found = {cell.coordinates.variant: cell.facts for cell in cells(made, "profile").values()}
    assert found == {
        "original": {},
        "more": {"sparsity_target": 0.8},
        "less": {"sparsity_target": 0.8},
        "of-each": {"sparsity_target": 0.2, "sparsity_at_least": True},
        "fewer-weights": {"sparsity_target": 0.5},
        "fewer-zeros": {},
        "again": {"sparsity_target": 0.2, "sparsity_at_least": True},
        "rounded": {"sparsity_target": 0.5, "sparsity_at_least": True},
    }


def test_what_fails_blocks_its_own_cells_only(ran: bench.Outcome) -> None:
    states = {e.label: e.state for e in ran.matrix.entries if e.state != "done"}
    assert states.pop("compress gaudy/broken@1-crumbling") == "failed"
    assert set(states.values()) == {"blocked"}
    assert all("gaudy/broken" in label for label in states)


# What layers bear


def replica_of(outcome: bench.Outcome) -> Any:
    """The original, built by hand: a function from weights to logits."""
    matrix = outcome.matrix
    stored = matrix.stored(entry(outcome, "train gaudy"))
    network = registry.load("models", "gaudy")().build(classes=3, image_shape=(3, 8, 8)).eval()
    load_strictly(network, matrix.store.arrays(stored), "the test")
    return network, matrix.store.header(stored)


def test_each_layer_is_pruned_by_itself_and_attacked(ran: bench.Outcome) -> None:
    """Against a sort by hand, and FGSM by its formula."""
    import json

    matrix = ran.matrix
    found = entry(ran, "sensitivity gaudy")
    records, summary = matrix.records(found), matrix.stored(found).summary
    network, header = replica_of(ran)
    mean, std = (
        torch.tensor(json.loads(header[name])).view(1, -1, 1, 1) for name in ("mean", "std")
    )
    attacked = entry(ran, "attack gaudy/fgsm")
    arrays = matrix.store.arrays(matrix.stored(attacked))
    images = torch.from_numpy(arrays["images"].transpose(0, 3, 1, 2).copy()).float() / 255
    whole = matrix.records(attacked)
    labels = torch.tensor(whole["label"].to_numpy(dtype=np.int64))
    assert list(records["layer"].unique()) == ["", "0", "6"]
    for layer in ("", "0", "6"):
        pruned = copy.deepcopy(network)
        if layer:
            weight = pruned.get_submodule(layer).weight.detach().view(-1)
            ordered = sorted(range(len(weight)), key=lambda i: abs(float(weight[i])))
            weight[ordered[: round(0.8 * len(weight))]] = 0.0
            share = round(0.8 * LAYERS[layer]) / LAYERS[layer]
            assert summary["sparsity"][layer] == pytest.approx(share)
        shown = images.clone().requires_grad_()
        logits = pruned((shown - mean) / std)
        functional.cross_entropy(logits, labels).backward()
        moved = (images + 0.1 * shown.grad.sign()).clamp(0, 1)
        after = pruned((moved - mean) / std).argmax(1)
        rows = records[records["layer"] == layer]
        assert list(rows["image"]) == list(whole["image"])
        assert list(rows["prediction"]) == logits.argmax(1).tolist()
        assert list(rows["adversarial_prediction"]) == after.tolist()
    first = records[records["layer"] == ""]
    assert list(first["prediction"]) == list(whole["clean_prediction"])
    assert list(first["adversarial_prediction"]) == list(whole["prediction"])
    assert summary["layers"] == 2


# Explanations of variants


def test_the_same_weights_have_the_same_explanations(ran: bench.Outcome) -> None:
    matrix = ran.matrix
    same = matrix.records(entry(ran, "drift gaudy/same/saliency"))
    assert same["heatmap_similarity"].dropna().to_numpy() == pytest.approx(1)
    assert len(same["heatmap_similarity"].dropna()) > 0
    assert (same["heatmap_overlap"].dropna() == 1).all()
    assert (same["prediction"] == same["clean_prediction"]).all()
    most = matrix.records(entry(ran, "drift gaudy/most/saliency"))
    assert most["heatmap_similarity"].mean() < 0.99
    # both sides are judged: the original's class is explained on each
    for label, column in (
        ("evaluate gaudy", "clean_prediction"),
        ("evaluate gaudy/most", "prediction"),
    ):
        judged = matrix.records(entry(ran, label)).set_index("image")["prediction"]
        assert list(most[column]) == list(judged.loc[most["image"]])
    assert entry(ran, "drift gaudy/broken/saliency").state == "blocked"
    assert not [e for e in matrix.entries if e.label == "drift gaudy/saliency"]


def test_figures_stand_beside_those_of_the_original(ran: bench.Outcome) -> None:
    matrix = ran.matrix
    summaries = {
        v: matrix.stored(entry(ran, f"profile gaudy{v}")).summary for v in ("", "/most", "/same")
    }
    first, own = summaries[""], summaries["/most"]
    for name, numerator, denominator in (
        ("compression_ratio", "size_bytes", "size_bytes"),
        ("compressed_ratio", "size_compressed_bytes", "size_compressed_bytes"),
        ("theoretical_speed_up", "macs", "nonzero_macs"),
    ):
        found = matrix.estimate([entry(ran, "profile gaudy/most")], METRICS[name])
        assert found.value == pytest.approx(first[numerator] / own[denominator]), name
        whole = matrix.estimate([entry(ran, "profile gaudy")], METRICS[name])
        assert whole.value == pytest.approx(1), name
    assert own["macs"] == first["macs"]
    assert own["size_compressed_bytes"] < first["size_compressed_bytes"]
    assert summaries["/same"]["nonzero_macs"] == first["macs"]
    # four images take their time four times: a batch is compared with the same batch
    for batch in (1, 4):
        mine, theirs = (entry(ran, f"latency gaudy{v}@batch={batch}") for v in ("/most", ""))
        found = matrix.estimate([mine], METRICS["speed_up"])
        ms = [matrix.stored(e).summary["latency_ms"] for e in (theirs, mine)]
        assert found.value == pytest.approx(ms[0] / ms[1])
    recovered = matrix.estimate([entry(ran, "evaluate gaudy/most")], METRICS["recovery_rate"])
    accuracies = [
        matrix.estimate([entry(ran, f"evaluate gaudy{v}")], METRICS["clean_accuracy"]).value
        for v in ("/most", "")
    ]
    assert recovered.value == pytest.approx(accuracies[0] / accuracies[1])
    assert recovered.low <= recovered.value <= recovered.high


# The page


def test_zeros_of_layers_are_the_mean_over_trainings(planted: Planted, tmp_path: Path) -> None:
    for seed, zeros in ((1, 90), (2, 70)):
        replica = f"seed{seed}"
        planted.reduced("net", "half", "magnitude", replica=replica)
        for variant, count in ((ORIGINAL, 0), ("half", zeros)):
            layer = {"name": "head", "shape": [10, 10], "weights": 100, "zeros": count, "uses": 1}
            planted.profile("net", variant=variant, replica=replica, layers=[layer])
    text = markdown.render(layers.section(Compression(planted.matrix), tmp_path))
    assert re.search(r"\| head +\| +80.0 %", text)
    assert "the mean over its trainings" in text


@pytest.fixture(scope="module")
def written(ran: bench.Outcome, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The part of the page, and the folder of its figures."""
    folder = tmp_path_factory.mktemp("page")
    return markdown.render(
        compression.section(ran.matrix, folder, audited=audit(ran.matrix))
    ), folder


def part_of(planted: Planted, folder: Path) -> str:
    matrix = planted.matrix
    return markdown.render(compression.section(matrix, folder, audited=audit(matrix)))


def rows_of(page: str, title: str) -> list[list[str]]:
    """The rows of the first table after a title, its head first."""
    after = page.partition(f"{title}\n")[2].splitlines()
    found: list[list[str]] = []
    for line in after:
        if line.startswith("|"):
            found.append([cell.strip() for cell in line.strip("|").split("|")])
        elif found:
            break
    return [found[0], *found[2:]]


@pytest.mark.slow
def test_the_page_reports_what_was_made_and_what_it_cost(written: tuple[str, Path]) -> None:
    page, _ = written
    assert page.startswith("## Compression")
    assert "- `half`: magnitude (sparsity 0.5), then fine_tune (epochs 1)" in page
    head, *rows = rows_of(page, "## Compression")
    assert head == ["variant", "sparsity", "accuracy_before", "clean_accuracy", "recovery_rate"]
    assert [row[0] for row in rows] == [
        "gaudy", "gaudy/same", "gaudy/half", "gaudy/most", "gaudy/lost", "gaudy/broken",
    ]  # fmt: skip
    by_name = {row[0]: row for row in rows}
    assert by_name["gaudy"][1] == "0.0 %"
    assert by_name["gaudy/half"][1] == "50.0 %"
    assert by_name["gaudy/same"][2] == ""  # nothing was trained after it
    assert re.fullmatch(r"[\d.]+ % \[[\d., ]+\] \(30\)", by_name["gaudy/half"][2])
    assert by_name["gaudy/broken"][3] == "blocked"
    assert "withheld: " not in page
    for words in (
        "### Decisions that flipped",
        "### Layers of gaudy",
        "### Sensitivity of the lay",
    ):
        assert words in page, words
    assert "Traceback" not in page
    assert "nan" not in page.lower()


def test_the_page_has_its_figures(written: tuple[str, Path]) -> None:
    page, folder = written
    for name in (
        *("sparsity-accuracy", "sparsity-cost", "sparsity-robustness", "layers-gaudy"),
        *("sensitivity-gaudy", "trades"),
    ):
        assert f"figures/{name}.svg" in page, name
        assert (folder / f"{name}.svg").is_file()
        assert (folder / f"{name}.png").is_file()


def sparse_and_slow(planted: Planted, milliseconds: float) -> None:
    planted.document["variants"] = {"original": [], "most": [MOST, "fine_tune"]}
    planted.evaluate("net", first(38))
    planted.reduced("net", "most", "magnitude", "fine_tune")
    planted.evaluate("net", first(36), variant="most")
    for variant, runs, nonzero in (("original", 2.0, 1000), ("most", milliseconds, 200)):
        planted.profile(
            "net", variant=variant, macs=1000, nonzero_macs=nonzero, layers=[],
            sparsity=1 - nonzero / 1000, parameters=50, nonzero_parameters=nonzero // 20,
            size_bytes=400, size_compressed_bytes=100 + nonzero // 10,
        )  # fmt: skip
        planted.latency("net", [runs] * 100, variant=variant)
        planted.latency("net", [2 * runs] * 100, batch=16, variant=variant)


@pytest.mark.parametrize(("milliseconds", "idle"), [(2.1, True), (0.5, False)])
def test_the_page_says_where_zeros_make_nothing_faster(
    planted: Planted, tmp_path: Path, milliseconds: float, idle: bool
) -> None:
    sparse_and_slow(planted, milliseconds)
    page = part_of(planted, tmp_path / "page")
    head, original, most = rows_of(page, "### Work and time")
    assert head[:4] == ["variant", "macs", "nonzero_macs", "theoretical_speed_up"]
    assert most[3] == "5.000"
    assert original[-1] == "1.000"
    assert most[-1] == f"{2.0 / milliseconds:.3f}"
    assert ("Faster in theory, but not in these timings: net/most" in page) is idle


def test_a_page_without_the_original_or_with_holes_is_written(
    planted: Planted, tmp_path: Path
) -> None:
    """Whatever is not there leaves a gap, and no traceback."""
    planted.reduced("net", "most", "magnitude", "fine_tune")  # the document says no steps
    planted.evaluate("net", first(30), variant="most")
    planted.attack("net", "pgd", first(10), variant="most")
    planted.profile("net", variant="most", sparsity=0.8, macs=10, nonzero_macs=2, layers=[])
    planted.latency("net", [1.0] * 100, variant="most")
    planted.put(
        "latency", "net", bench.records.Result(), variant="most", state="failed",
        reason="lost", facts={"batch": 16, "threads": 1},
    )  # fmt: skip
    planted.put(
        "sensitivity", "net", bench.records.Result(), state="blocked", reason="train net",
        facts={"met_by": "pgd", "step": "magnitude"},
    )  # fmt: skip
    page = pages.write(planted.matrix, tmp_path / "page").read_text(encoding="utf-8")
    head, row, original = rows_of(page, "## Compression")
    assert (row[0], original) == ("net/most", ["net", *[""] * (len(head) - 1)])
    assert row[-1] == "withheld [1]"
    assert "[1] the original of the model has no such cell in this run" in page


def test_an_attack_without_a_verdict_on_layers_has_no_figure(
    planted: Planted, tmp_path: Path
) -> None:
    """Taken for a success it would make a layer seem to bear less than it does."""
    from bench.records import Result, SensitivityRecord

    planted.reduced("net", "most", "magnitude")
    planted.evaluate("net", first(40))
    records = [
        SensitivityRecord(f"test/{i}", 0, layer, 0, None if layer == "b" and i == 3 else 0)
        for layer in ("", "a", "b")
        for i in range(40)
    ]
    summary = {"images": 40, "layers": 2, "sparsity": {"a": 0.8, "b": 0.8}}
    facts = {"met_by": "pgd", "step": "magnitude"}
    planted.put("sensitivity", "net", Result(records=records, summary=summary), facts=facts)
    page = part_of(planted, tmp_path / "page")
    _, one, other = rows_of(page, "### Sensitivity of the layers of net")
    assert one == ["a", "80.0 %", "0.0", "0.0"]
    assert other == ["b", "80.0 %", "0.0", "no verdict"]


def test_the_strongest_attack_leaves_the_original_the_fewest_images(planted: Planted) -> None:
    planted.evaluate("net", first(40))
    planted.reduced("net", "half", "magnitude")
    planted.evaluate("net", first(40), variant="half")
    assert Compression(planted.matrix).strongest_attack is None
    for name, fooled, of_variant in (("fgsm", 10, 40), ("pgd", 30, 0), ("free", 40, 40)):
        facts = {"budget": None} if name == "free" else {}  # without a budget it has no rate
        planted.attack("net", name, first(fooled), facts=facts)
        planted.attack("net", name, first(of_variant), variant="half", facts=facts)
    assert Compression(planted.matrix).strongest_attack == "pgd"


# Which to choose


def test_a_choice_may_rest_on_one_attack(planted: Planted) -> None:
    """Of two variants whose difference under fgsm is the other way round."""
    planted.evaluate("net", first(40))
    for variant, pgd, fgsm in (("original", 35, 20), ("a", 10, 30), ("b", 12, 5), ("c", 30, 5)):
        planted.attack("net", "pgd", first(pgd), variant=variant)
        planted.attack("net", "fgsm", first(fgsm), variant=variant, eps=0.2)
    reported = planted.comparison
    found = recommend(reported, Choice(best="robust_accuracy@attack=pgd"))
    assert (found.best, found.value) == ("net/a", 30 / 40)
    # corrected over all pairs: those of the best come first
    raw = [binomial(abs(n - m), 0) for n, m in itertools.combinations((10, 35, 12, 30), 2)]
    expected = dict(zip(("net", "net/b", "net/c"), statistics.holm(raw)[:3], strict=True))
    assert found.others == pytest.approx(expected)
    text = markdown.text(
        choosing.recommendation(reported, "r", Choice(best="robust_accuracy@attack=pgd"))
    )
    assert "**net/a**, 75.0 %" in text
    assert "Not significantly better than net/b" in text
    other = recommend(reported, Choice(best="robust_accuracy@attack=fgsm"))
    assert other.best == "net/b"
    assert other.others["net/c"] == 1.0
    # a bound on one attack leaves out who is not known to keep it
    choice = Choice(
        best="robust_accuracy@attack=fgsm", where=("robust_accuracy@attack=pgd >= 50 %",)
    )
    bound = recommend(reported, choice)
    assert bound.best == "net/b"
    assert set(bound.refused) == {"net", "net/c"}


def test_what_is_counted_needs_no_test_though_no_table_compares_it(planted: Planted) -> None:
    for name, size in (("a", 300), ("b", 200), ("c", 200)):
        planted.evaluate(name, first(40))
        planted.profile(name, size_compressed_bytes=size)
    found = recommend(planted.comparison, Choice(best="size_compressed_bytes"))
    assert (found.best, found.others) == ("b", {"a": 0.0, "c": 1.0})
    text = markdown.text(
        choosing.recommendation(planted.comparison, "s", Choice(best="size_compressed_bytes"))
    )
    assert "Equal to c: the first in the suite is named." in text
    assert "Better than a, as counted." in text


def test_a_figure_beside_the_original_is_withheld_without_it(planted: Planted) -> None:
    planted.reduced("net", "half", "magnitude")
    planted.evaluate("net", first(30), variant="half")
    (own,) = planted.comparison.entries("evaluate", "net/half")
    found = planted.matrix.estimate([own], METRICS["recovery_rate"])
    assert isinstance(found, Withheld)
    planted.evaluate("net", first(40))
    matrix = planted.matrix
    found = matrix.estimate([own], METRICS["recovery_rate"])
    assert found.value == pytest.approx(30 / 40)
    choice = Choice(best="clean_accuracy", where=("recovery_rate >= 0.8",))
    refused = recommend(planted.comparison, choice).refused["net/half"]
    assert refused.startswith("recovery_rate >= 0.8 cannot be told: 75.0 % [")
