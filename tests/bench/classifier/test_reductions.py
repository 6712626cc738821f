"""Applied reductions: stored, read and built again, or an error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import bench
from bench import registry
from bench.classifier.reductions import AppliedReduction, AppliedReductions
from bench.classifier.weights import output_digests, state_arrays
from bench.commands import run as session
from bench.errors import BenchError, PluginError, WeightsError
from bench.store import Store

SHAPE = (3, 8, 8)


def made(name: str, form: Any = None, **parameters: Any) -> AppliedReduction:
    return AppliedReduction(name, registry.load("compressors", name)(**parameters), form)


@pytest.fixture
def applied(plugins: Path) -> AppliedReductions:
    halved = made("magnitude", sparsity=0.5, layers=("1",))
    return AppliedReductions().then(halved).then(made("scaled", {"factor": 3.0}, factor=3.0))


def test_forms_come_back_from_a_header_as_they_were(applied: AppliedReductions) -> None:
    header = applied.header
    assert all(isinstance(value, str) for value in header.values())
    again = AppliedReductions.of({"mean": "[0]", **header}, "a file")
    assert again == applied
    assert again.plain == applied.plain
    assert again.header == header


def test_where_nothing_was_reduced_nothing_is_reported(plugins: Path) -> None:
    assert AppliedReductions().header == {}
    assert AppliedReductions.of({"mean": "[0]"}, "a file") == AppliedReductions()
    assert not AppliedReductions().answers_otherwise


GOOD = {"name": "scaled", "parameters": {"factor": 3.0}, "form": {"factor": 3.0}}


@pytest.mark.parametrize(
    ("text", "error", "reported"),
    [
        ("[", WeightsError, "cannot be understood"),
        ("null", WeightsError, "cannot be understood"),
        ("3", WeightsError, "cannot be understood"),
        ('"scaled"', WeightsError, "cannot be understood"),
        ("[null]", WeightsError, "cannot be understood"),
        ('{"name": "scaled"}', WeightsError, "cannot be understood"),
        ([{}], WeightsError, "'name'"),
        ([{"name": "scaled"}], WeightsError, "'parameters'"),
        ([{"name": "scaled", "parameters": {}}], WeightsError, "'form'"),
        ([{**GOOD, "parameters": {"factr": 3}}], WeightsError, "factr"),
        ([{**GOOD, "parameters": {"factor": "much"}}], WeightsError, "factor"),
        ([{**GOOD, "parameters": None}], WeightsError, "cannot be understood"),
        ([{**GOOD, "name": "fine_tune", "parameters": {}}], WeightsError, "reduces nothing"),
        ([{**GOOD, "name": "scald"}], PluginError, "did you mean 'scaled'"),
        ([{**GOOD, "name": ["scaled"]}], PluginError, "is not installed"),
        ([GOOD, {**GOOD, "name": "jpeg"}], PluginError, "is not installed"),  # a defense
    ],
)
def test_a_header_that_lies_is_an_error_that_names_the_file(
    plugins: Path, text: Any, error: type[BenchError], reported: str
) -> None:
    """Or else a network would be judged that is not the one that was reduced."""
    header = {"forms": text if isinstance(text, str) else json.dumps(text)}
    with pytest.raises(error) as caught:
        AppliedReductions.of(header, "weights.safetensors")
    assert reported in str(caught.value)
    if error is WeightsError:
        assert str(caught.value).startswith("weights.safetensors: ")


def test_a_network_is_rebuilt_in_the_order_of_its_reductions(applied: AppliedReductions) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 3)).eval()
    images = torch.rand(2, *SHAPE)
    logits = network(images)
    first = AppliedReductions((*applied.steps, made("scaled", {"factor": 0.5}, factor=0.5)))
    rebuilt = first.rebuild(network, SHAPE)
    assert torch.equal(rebuilt(images), 0.5 * (3.0 * logits))
    assert list(rebuilt.state_dict()) == ["0.0.1.weight", "0.0.1.bias"]
    assert first.deploy(rebuilt) is rebuilt
    assert {t.dtype for t in first.packed(rebuilt).values()} == {torch.float16}
    assert {t.dtype for t in AppliedReductions().packed(network).values()} == {torch.float32}


def test_the_same_weights_in_another_form_are_another_classifier(
    applied: AppliedReductions,
) -> None:
    arrays = state_arrays(nn.Linear(4, 3))
    reported = {"plugin": "linear"}
    digests = [
        output_digests(reported, arrays, (0.5,), (0.2,), known)
        for known in (
            None,
            AppliedReductions(),
            applied,
            AppliedReductions(applied.steps[1:]),
            AppliedReductions(applied.steps[:1]),
            AppliedReductions(applied.steps[::-1]),
            AppliedReductions((applied.steps[0], made("scaled", {"factor": 4.0}, factor=3.0))),
            AppliedReductions((applied.steps[0], made("scaled", {"factor": 3.0}, factor=4.0))),
        )
    ]
    assert len({digest["weights"] for digest in digests}) == 1
    assert digests[0] == digests[1]
    assert len({digest["classifier"] for digest in digests}) == len(digests) - 1


# Elsewhere

CHILD = """
import json, sys, torch
from bench import plan
from bench.commands import run as session
from bench.cells.workbench import Workbench
from bench.store import Store
suite, store = json.loads(sys.argv[1]), Store(sys.argv[2])
made = session.make_plan(suite, store)
known = {s.step.cell.label: s for s in plan.statuses(made, store)}
cell = known["evaluate gaudy/chained"].step.cell
stored = known[cell.subject.weights.label].stored
with made.compute.applied(), torch.inference_mode():
    classifier = cell.subject.judged(Workbench(store, made.compute), {"classifier": stored})
    print(classifier(made.images.tensors()[0]).numpy().tobytes().hex())
"""


@pytest.mark.slow
def test_another_process_gets_the_same_logits_bit_for_bit(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    """Those of the stored weights in a network that is built here by hand."""
    steps = [{"magnitude": {"sparsity": 0.5}}, {"fine_tune": {"epochs": 1}}, {"scaled": None}]
    suite = {
        **tiny,
        "models": {"gaudy": tiny["models"]["gaudy"]},
        "variants": {"chained": steps},
        "attacks": {},
        "transfer": None,
    }
    outcome = bench.run(suite, store=tmp_path, reports=None)
    assert set(outcome.counts) == {"done"}
    child = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(suite), str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr
    store = Store(tmp_path)
    (entry,) = [e for e in outcome.matrix.entries if e.label.endswith("@3-scaled")]
    stored = outcome.matrix.stored(entry)
    arrays, header = store.arrays(stored), store.header(stored)
    network = registry.load("models", "gaudy")().build(classes=3, image_shape=SHAPE).eval()
    state = {name.removeprefix("0."): torch.from_numpy(a.copy()) for name, a in arrays.items()}
    network.load_state_dict(state)
    mean, std = (
        torch.tensor(json.loads(header[name])).view(1, -1, 1, 1) for name in ("mean", "std")
    )
    made = session.make_plan(suite, store)
    last = torch.channels_last
    with made.compute.applied(), torch.inference_mode():
        images = made.images.tensors()[0].to(memory_format=last)
        logits = 2.0 * network.to(memory_format=last)((images - mean) / std)
    assert child.stdout.strip() == logits.numpy().tobytes().hex()
    assert int((state["0.weight"] == 0).sum() + (state["6.weight"] == 0).sum()) == 156  # of 312


def test_a_reduction_that_rebuilds_another_network_fails_at_once(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    """Or else its weights would be stored, and no cell after it could load them."""
    suite = {**tiny, "variants": {"odd": ["misbuilt"]}, "attacks": {}, "transfer": None}
    outcome = bench.run(suite, store=tmp_path, reports=None)
    failed = {e.label: e.reason for e in outcome.matrix.entries if e.state == "failed"}
    assert set(failed) == {f"compress {model}/odd@1-misbuilt" for model in ("linear", "gaudy")}
    assert all("rebuilds a network whose weights have other names" in r for r in failed.values())
    assert {e.state for e in outcome.matrix.entries if e.kind == "evaluate"} == {"blocked"}
