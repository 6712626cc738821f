"""Files of weights as tools leave them: what loads, with which numbers, and what is said."""

from __future__ import annotations

import argparse
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bench.classifier.weight_files import read_weights
from bench.classifier.weights import load_strictly, state_arrays, without_prefix
from bench.errors import WeightsError


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def saved(tmp_path: Path, content: Any, name: str = "net.pt") -> Path:
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save_file(content, str(path))
    else:
        torch.save(content, path)
    return path


def loaded(path: Path, key: str | None = None) -> tuple[nn.Module, str]:
    """Load a file into a network of other weights, as the load cell does."""
    made = network(seed=1)
    arrays, prefix = without_prefix(read_weights(path, key).arrays, made)
    load_strictly(made, arrays, str(path))
    return made, prefix


def refused(path: Path, key: str | None = None) -> str:
    with pytest.raises(WeightsError) as caught:
        loaded(path, key)
    (problem,) = caught.value.problems
    assert problem.where == str(path)
    assert problem.what
    assert problem.expected
    assert problem.action
    text = str(caught.value)
    assert "two options" not in text
    assert "\n" not in text
    assert "\x1b" not in text
    return text


def test_the_names_of_unlike_networks_are_listed_a_few_of_each(tmp_path: Path) -> None:
    other = nn.Sequential(*(nn.Linear(3, 3) for _ in range(9)))
    text = refused(saved(tmp_path, other.state_dict()))
    assert "missing: 1.running_mean, 1.running_var;" in text
    assert "surplus: 2.bias, 2.weight, 4.bias, 4.weight, 5.bias ..." in text
    assert "shape: 0.bias is (3,) not (4,)" in text


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("where", ["net.pt", "net.safetensors", "nested"])
def test_other_floating_point_types_load_as_rounded(
    tmp_path: Path, kind: torch.dtype, where: str
) -> None:
    state = network().state_dict()
    rounded = {n: t.to(kind) if t.is_floating_point() else t for n, t in state.items()}
    if where == "nested":
        path = saved(tmp_path, {"state_dict": rounded, "epoch": 3})
    else:
        path = saved(tmp_path, rounded, where)
    made, prefix = loaded(path)
    assert prefix == ""
    for name, tensor in made.state_dict().items():
        assert torch.equal(tensor, rounded[name].to(tensor.dtype)), name


def test_parameters_with_gradients_load(tmp_path: Path) -> None:
    first = network()
    whole = {**dict(first.named_parameters()), **dict(first.named_buffers())}
    for content in (whole, {"model": whole}):
        made, _ = loaded(saved(tmp_path, content))
        assert torch.equal(made[0].weight, first[0].weight)


@pytest.mark.parametrize("kind", [torch.int8, torch.int64, torch.uint8, torch.bool])
def test_whole_numbers_are_no_weights(tmp_path: Path, kind: torch.dtype) -> None:
    state = network().state_dict()
    state["3.weight"] = (state["3.weight"] * 100).to(kind)
    text = refused(saved(tmp_path, state))
    assert f"type: 3.weight is {str(kind).removeprefix('torch.')} not float32" in text


def test_whole_numbers_count_where_the_network_counts(tmp_path: Path) -> None:
    state = network().state_dict()
    state["1.num_batches_tracked"] = torch.tensor(7.0)  # averaged, as some tools leave it
    assert int(loaded(saved(tmp_path, state))[0][1].num_batches_tracked) == 7
    state["1.num_batches_tracked"] = torch.tensor(7.5)
    assert "1.num_batches_tracked is float32 not int64" in refused(saved(tmp_path, state))


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "complex64"])
def test_types_that_are_no_weights_are_named(tmp_path: Path, kind: str) -> None:
    state = network().state_dict()
    state["3.bias"] = state["3.bias"].to(getattr(torch, kind))
    assert f"'3.bias' is of type {kind}" in refused(saved(tmp_path, state))


@pytest.mark.filterwarnings("ignore")
def test_sparse_and_absent_values_are_refused(tmp_path: Path) -> None:
    state = network().state_dict()
    for tensor in (
        state["3.weight"].to_sparse(),
        state["3.weight"].to("meta"),
    ):
        assert "'3.weight' is " in refused(saved(tmp_path, {**state, "3.weight": tensor}))


def test_a_missing_count_of_batches_is_forgiven_and_nothing_else(tmp_path: Path) -> None:
    state = network().state_dict()
    old = {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")}
    made, _ = loaded(saved(tmp_path, old))
    twin = network(seed=1)
    twin.load_state_dict(old, strict=True)  # torch's own strict load, as an oracle
    assert all(
        torch.equal(a, b)
        for a, b in zip(made.state_dict().values(), twin.state_dict().values(), strict=True)
    )
    prefixed = {f"module.{n}": t for n, t in old.items()}
    assert loaded(saved(tmp_path, prefixed))[1] == "module."
    del old["1.running_mean"]
    assert "missing: 1.running_mean" in refused(saved(tmp_path, old))


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.", "module.module.", "net."]
)
def test_a_prefix_before_every_name_is_taken_off(tmp_path: Path, prefix: str) -> None:
    state = network().state_dict()
    made, taken = loaded(saved(tmp_path, {prefix + name: t for name, t in state.items()}))
    assert taken == prefix
    assert all(torch.equal(t, state[name]) for name, t in made.state_dict().items())


def test_a_prefix_of_the_network_itself_stays() -> None:
    wrapped = nn.DataParallel(network())
    arrays = state_arrays(wrapped)
    assert without_prefix(arrays, wrapped) == (arrays, "")


def test_a_prefix_before_some_names_is_named(tmp_path: Path) -> None:
    state = {f"model.{name}": t for name, t in network().state_dict().items()}
    text = refused(saved(tmp_path, {**state, "criterion.weight": torch.ones(2)}))
    assert "'model.' stands before 9 of the file's 10 names, not before criterion.weight" in text


def test_a_prefix_that_the_file_lacks_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, network().state_dict())
    with pytest.raises(WeightsError, match=r"'module\.' stands before 9 of the architecture's 9"):
        load_strictly(nn.DataParallel(network()), read_weights(path).arrays, "here")


def test_other_places_are_named_and_can_be_given(tmp_path: Path) -> None:
    state = network().state_dict()
    content = {"net": state, "acc": 93.1, "epoch": 3, "avg": {"ema": state}}
    path = saved(tmp_path, content)
    text = refused(path)
    assert "'net' (9 tensors), 'acc' (float), 'epoch' (int) and 'avg' (dict)" in text
    assert "give the key: weights_key: net or avg.ema" in text
    for key in ("net", "avg.ema"):
        assert torch.equal(loaded(path, key)[0][0].weight, state["0.weight"])
    assert "holds no state dict under 'nett'" in refused(path, "nett")
    assert "under 'acc'" in refused(path, "acc")
    dotted = saved(tmp_path, {"a.b": {"c": state}})
    assert torch.equal(loaded(dotted, "a.b.c")[0][0].weight, state["0.weight"])


def test_what_lies_beside_tensors_is_named(tmp_path: Path) -> None:
    state = network().state_dict()
    text = refused(saved(tmp_path, {**state, "epoch": 3}))
    assert "holds 9 tensors and 'epoch' (int)" in text
    assert "save the tensors alone" in text
    assert "holds a list" in refused(saved(tmp_path, [state]))
    assert "holds 'loss' (int)" in refused(saved(tmp_path, {"loss": 3}))
    assert "holds nothing" in refused(saved(tmp_path, {}))


def test_which_of_several_was_loaded_is_said(tmp_path: Path) -> None:
    state = OrderedDict(network().state_dict())
    path = saved(tmp_path, {"state_dict": state, "state_dict_ema": state, "epoch": 3})
    (remark,) = read_weights(path).remarks
    assert "under 'state_dict' was loaded, not what lies under 'state_dict_ema'" in remark
    assert read_weights(path, "state_dict_ema").remarks == ()


class Own(nn.Linear):
    """A network that would be pickled by its class."""


def test_objects_are_named_and_never_made(tmp_path: Path) -> None:
    state = network().state_dict()
    arguments = argparse.Namespace(lr=0.1)
    for legacy in (True, False):
        path = tmp_path / "old.pt"
        content = {"state_dict": state, "best_acc": np.float64(93.1), "args": arguments}
        torch.save(content, path, _use_new_zipfile_serialization=legacy)
        text = refused(path)
        assert "scalar under 'best_acc'" in text
        assert "argparse.Namespace under 'args'" in text
        assert "network.state_dict()" not in text
        torch.save(Own(3, 2), path, _use_new_zipfile_serialization=legacy)
        text = refused(path)
        assert "is a network saved whole" in text
        assert "Own" in text
        assert "save network.state_dict(), not the network" in text


@pytest.mark.filterwarnings("ignore")
def test_files_of_other_kinds_are_named(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.jit.save(torch.jit.script(nn.Linear(3, 2)), str(path))
    assert "TorchScript" in refused(path)
    np.savez(tmp_path / "net.npz", a=np.ones(2))
    assert "numpy" in refused((tmp_path / "net.npz").rename(path))
    for content, words in (
        (b"", "is empty"),
        (b"<html>", "a page of text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        (b"PK\x03\x04 and no more", "cannot be read"),
        (b"nothing", "cannot be read"),
    ):
        path.write_bytes(content)
        assert words in refused(path)
    save_file(network().state_dict(), str(path))
    assert "safetensors" in refused(path)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing")
    assert "cannot be read" in refused(broken)


def test_weights_of_16_bits_within_a_network_come_back(tmp_path: Path) -> None:
    first = nn.Linear(3, 2).bfloat16()
    arrays = state_arrays(first)
    assert arrays["weight"].dtype == np.float32  # numpy has no bfloat16
    again = nn.Linear(3, 2).bfloat16()
    load_strictly(again, arrays, "here")
    assert torch.equal(first.weight, again.weight)
