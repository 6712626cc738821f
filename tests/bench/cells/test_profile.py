"""Counts against closed forms, bytes against the disk, latencies against a network that sleeps."""

from __future__ import annotations

import gc
import json
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.numpy import save
from torch import nn

from bench import fingerprint, machine, registry
from bench.api import Model
from bench.cells import latency
from bench.cells.latency import LatencyCell
from bench.cells.load import LoadCell
from bench.cells.profile import ProfileCell
from bench.cells.subject import Subject
from bench.cells.workbench import Architecture, Compute, Workbench
from bench.classifier.counting import multiplications, sparsity
from bench.classifier.reductions import AppliedReduction, AppliedReductions
from bench.classifier.weights import state_arrays
from bench.data import ImageSet, Prepared
from bench.errors import PluginError
from bench.records import Coordinates, Result
from bench.store import Store, Stored
from bench.suite import ModelEntry

CLASSES = 10
SHAPE = (3, 32, 32)


class Planted(Model):
    """A model that is built by whatever function a test plants."""

    make: ClassVar[Callable[[], nn.Module]]

    def build(self, *, classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
        """Build it."""
        return Planted.make()


class Bench:
    """A store with the weights of one network, and the cells that measure it."""

    def __init__(self, folder: Path, plugin: Model, name: str = "planted") -> None:
        self.store = Store(folder / "store")
        self.folder = folder
        self.compute = Compute("cpu", "channels_last", batch_size=8, threads=1)
        self.architecture = Architecture(ModelEntry(name, name, plugin, None), CLASSES, SHAPE)
        self.weights = LoadCell(Coordinates(name), self.architecture, None, None)
        self.subject = Subject(self.architecture, self.weights)
        network = self.architecture.build(seed=3)
        arrays = state_arrays(network)
        header = {"mean": json.dumps([0.5] * 3), "std": json.dumps([0.25] * 3)}
        digest = fingerprint.of_arrays(arrays)
        self.stored = self.put(
            Result(arrays=arrays, header=header, outputs={"weights": digest, "classifier": digest})
        )

    def put(self, result: Result) -> Stored:
        key = fingerprint.fingerprint([str(self.folder), len(self.store.keys())])
        return self.store.put(key, "load", Coordinates("planted"), {}, result, {})

    @property
    def parents(self) -> dict[str, Stored]:
        return {"classifier": self.stored}

    @property
    def profile(self) -> ProfileCell:
        return ProfileCell(Coordinates("planted"), self.subject, self.compute)

    def latency(self, **changes: Any) -> LatencyCell:
        known = {
            "coordinates": Coordinates("planted"),
            "subject": self.subject,
            "images": self.images(changes.pop("count", 5)),
            "batch": 1,
            "compute": self.compute,
            "warmup": 3,
            "runs": 7,
        }
        return LatencyCell(**{**known, **changes})

    def images(self, count: int) -> ImageSet:
        """Some images, the first of which is black, the next a little brighter, and so on."""
        channels, height, width = SHAPE
        pixels = np.arange(count, dtype=np.uint8)[:, None, None, None]
        self.folder.joinpath("data").mkdir(exist_ok=True)
        np.save(
            self.folder / "data" / "pixels.npy",
            np.broadcast_to(pixels, (count, height, width, channels)),
        )
        np.save(self.folder / "data" / "labels.npy", np.zeros(count, np.int64))
        names = tuple(map(str, range(count)))
        classes = tuple("abcdefghij")
        data = Prepared("planted", self.folder / "data", classes, {"test": (0, count)}, {}, names)
        return ImageSet(data, np.arange(count))

    def run(self, cell: ProfileCell | LatencyCell) -> Result:
        with self.compute.applied():
            return cell.run(Workbench(self.store, self.compute), self.parents)


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bench]:
    """Plant a network; the lock of timings lies in the test's own folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def planted(make: Callable[[], nn.Module]) -> Bench:
        monkeypatch.setattr(Planted, "make", make, raising=False)
        return Bench(tmp_path, Planted())

    return planted


# Counts


@pytest.mark.parametrize(
    ("name", "parameters"),
    # as published for ten classes of 32 x 32 RGB images
    [("simple_cnn", 620_810), ("resnet_small", 2_777_674)],
)
def test_parameters_of_known_networks(name: str, parameters: int, tmp_path: Path) -> None:
    bench = Bench(tmp_path, registry.load("models", name)(), name)
    summary = bench.run(bench.profile).summary
    assert summary["parameters"] == parameters
    # fresh weights hold no zeros but the biases of batch norm, which are no Conv or Linear weights
    assert summary["sparsity"] == 0
    assert summary["nonzero_parameters"] <= parameters
    assert summary["size_bytes"] > 4 * parameters


def mixed() -> nn.Module:
    """Plain, strided, dilated and grouped convolutions, a transposed one, batch norm, a linear."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),  # to 32 x 32
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 5, stride=2, padding=2, groups=4),  # to 16 x 16
        nn.Conv2d(8, 6, 3, dilation=2),  # to 12 x 12
        nn.ConvTranspose2d(6, 4, 2, stride=2),  # to 24 x 24
        nn.AvgPool2d(4),  # to 6 x 6
        nn.Flatten(),
        nn.Linear(4 * 6 * 6, 10),
    )


def test_counts_are_those_of_the_closed_form(plant: Callable[..., Bench]) -> None:
    bench = plant(mixed)
    summary = bench.run(bench.profile).summary
    macs = (
        32 * 32 * 8 * (3 * 3 * 3)
        + 16 * 16 * 8 * (8 // 4 * 5 * 5)
        + 12 * 12 * 6 * (8 * 3 * 3)
        + 12 * 12 * 6 * (4 * 2 * 2)  # each input pixel is spread over 2 x 2 of 4 channels
        + 144 * 10
    )
    assert summary["macs"] == macs
    weights = 8 * 27 + 8 * 50 + 6 * 72 + 6 * 16 + 144 * 10
    biases = 0 + 8 + 6 + 4 + 10
    assert summary["parameters"] == weights + biases + 2 * 8
    assert summary["buffers"] == 2 * 8 + 1  # running mean and variance, and how often they were
    assert torch.__version__ in summary["macs_counter"]


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("kind", ["library", "own"])
def test_attention_is_counted(kind: str, fast: bool) -> None:
    """Its fused kernels hide from the counter: zero multiplications in a whole transformer."""
    tokens, width = 10, 16

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.into, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            # older counters know no formula for the fused kernel of the CPU
            assert not torch.backends.cuda.flash_sdp_enabled()
            query, key, value = self.into(x).view(1, tokens, 3, 4, 4).permute(2, 0, 3, 1, 4)
            y = nn.functional.scaled_dot_product_attention(query, key, value)
            return self.out(y.transpose(1, 2).reshape(1, tokens, width))

    library = nn.TransformerEncoderLayer(width, 4, 2 * width, batch_first=True)
    network = (library if kind == "library" else Own()).eval().requires_grad_(False)
    expected = 4 * tokens * width * width + 2 * tokens * tokens * width
    if kind == "library":
        expected += 2 * tokens * width * 2 * width  # its two linear layers
    before = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(fast)
        assert multiplications(network, torch.zeros(1, tokens, width)) == expected
        assert torch.backends.mha.get_fastpath_enabled() is fast
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def test_multiplications_by_zeros_are_counted_layer_by_layer(plant: Callable[..., Bench]) -> None:
    """Of each kind of layer its own share of zeros; a weight is used at every place it moves to."""
    shares = {"0": 2, "3": 3, "4": 4, "5": 5, "8": 6}  # every second, third, ... weight is zero
    places = {"0": 32 * 32, "3": 16 * 16, "4": 12 * 12, "5": 12 * 12, "8": 1}

    def planted() -> nn.Module:
        network = mixed()
        with torch.no_grad():
            for name, every in shares.items():
                network.get_submodule(name).weight.fill_(1.0).view(-1)[::every] = 0.0
        return network

    bench = plant(planted)
    summary = bench.run(bench.profile).summary
    weights = {"0": 8 * 27, "3": 8 * 50, "4": 6 * 72, "5": 6 * 16, "8": 144 * 10}
    zeros = {name: -(-count // shares[name]) for name, count in weights.items()}
    reported = {layer["name"]: layer for layer in summary["layers"]}
    assert {name: layer["weights"] for name, layer in reported.items()} == weights
    assert {name: layer["zeros"] for name, layer in reported.items()} == zeros
    assert {name: layer["uses"] for name, layer in reported.items()} == places
    assert {n: layer["macs"] for n, layer in reported.items()} == {
        name: weights[name] * places[name] for name in weights
    }
    assert sum(layer["macs"] for layer in reported.values()) == summary["macs"]
    skipped = sum(zeros[name] * places[name] for name in weights)
    assert summary["nonzero_macs"] == summary["macs"] - skipped
    assert summary["sparsity"] == pytest.approx(sum(zeros.values()) / sum(weights.values()))
    assert reported["3"]["shape"] == [8, 2, 5, 5]


class Repeated(nn.Module):
    """A layer that is applied to each of 5 tokens, and again by another that shares its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.last = nn.Linear(4, 10)
        with torch.no_grad():
            self.first.weight.fill_(1.0)[0] = 0.0  # 4 of 16
            self.last.weight.fill_(1.0)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = images.flatten(1)[:, :20].view(-1, 5, 4)
        return self.last(self.first(self.second(self.second(tokens)))[:, 0])


def test_shared_weights_count_once_and_are_multiplied_as_often_as_they_are_used(plant) -> None:
    bench = plant(Repeated)
    summary = bench.run(bench.profile).summary
    assert [layer["name"] for layer in summary["layers"]] == ["first", "last"]
    assert [layer["uses"] for layer in summary["layers"]] == [3 * 5, 1]
    assert summary["sparsity"] == pytest.approx(4 / (16 + 40))
    assert summary["macs"] == 3 * 5 * 16 + 40
    assert summary["nonzero_macs"] == 3 * 5 * (16 - 4) + 40


def test_what_is_packed_is_what_is_weighed(plant: Callable[..., Bench], plugins: Path) -> None:
    """Half floats: half the bytes of the weights; the network that is counted is the whole one."""
    plugin = registry.load("compressors", "scaled")(factor=1.5)
    network = plugin.rebuild(sparse(), {"factor": 1.5}, image_shape=SHAPE)
    forms = AppliedReductions((AppliedReduction("scaled", plugin, {"factor": 1.5}),))
    bench = plant(sparse)
    arrays = state_arrays(network)
    header = {"mean": json.dumps([0.5] * 3), "std": json.dumps([0.25] * 3), **forms.header}
    digest = fingerprint.of_arrays(arrays)
    outputs = {"weights": digest, "classifier": digest + "x"}
    bench.stored = bench.put(Result(arrays=arrays, header=header, outputs=outputs))
    summary = bench.run(bench.profile).summary
    halves = {name: a.astype(np.float16) if a.dtype == np.float32 else a
              for name, a in arrays.items()}  # fmt: skip
    whole = len(save(arrays, metadata=header))
    assert summary["size_bytes"] == len(save(halves, metadata=header))
    floats = sum(a.size for a in arrays.values() if a.dtype == np.float32)
    assert whole - summary["size_bytes"] == pytest.approx(2 * floats, abs=64)  # alignment
    assert summary["sparsity"] == pytest.approx(50 / 296)
    assert summary["parameters"] == 216 + 8 + 2 * 8 + 80 + 10


def sparse() -> nn.Module:
    """A network with planted zeros: 20 of 216 weights, 30 of 80, all in batch norm and biases."""
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 10),
    )  # fmt: skip
    with torch.no_grad():
        for layer, zeros in ((network[0], 20), (network[4], 30)):
            layer.weight.fill_(0.5)
            layer.weight.view(-1)[:zeros] = 0
            layer.bias.zero_()
        network[1].weight.zero_()
        network[1].bias.zero_()
        network[0].weight.view(-1)[25] = -1e-30  # small, negative, and no zero
        network[0].weight.view(-1)[0] = -0.0  # a zero
    return network


def test_zeros_are_counted_in_conv_and_linear_weights(plant: Callable[..., Bench]) -> None:
    bench = plant(sparse)
    summary = bench.run(bench.profile).summary
    assert summary["sparsity"] == pytest.approx((20 + 30) / (216 + 80), abs=1e-12)
    assert summary["nonzero_parameters"] == (216 - 20) + (80 - 30)
    assert summary["parameters"] == 216 + 8 + 2 * 8 + 80 + 10
    # dense: a zero is multiplied like any other number
    assert summary["macs"] == 30 * 30 * 216 + 80


def test_sparsity_is_of_the_weights_that_layers_compute_with() -> None:
    from torch.nn.utils import prune

    layer = nn.Linear(8, 10)
    prune.l1_unstructured(layer, "weight", amount=60)
    assert sparsity(layer) == pytest.approx(60 / 80)
    half = nn.Linear(8, 10)

    class Mask(nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return weight * (torch.arange(8) < 4)

    torch.nn.utils.parametrize.register_parametrization(half, "weight", Mask())
    assert sparsity(half) == 0.5
    # several at once: each is asked for its weight anew
    assert sparsity(nn.Sequential(layer, half, nn.Linear(8, 10))) == pytest.approx(100 / 240)


def test_a_shared_weight_counts_once() -> None:
    first, second, third = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    with torch.no_grad():
        first.weight.zero_()
    assert sparsity(nn.Sequential(first, second, third)) == 0.5


def test_without_layers_there_is_no_sparsity() -> None:
    assert sparsity(nn.Sequential(nn.Flatten(), nn.ReLU())) is None


def test_bytes_are_those_on_the_disk(plant: Callable[..., Bench]) -> None:
    bench = plant(sparse)
    summary = bench.run(bench.profile).summary
    (file,) = bench.store.folder.rglob("*.safetensors")
    assert summary["size_bytes"] == file.stat().st_size
    # many equal numbers: far below the 4 bytes that each has
    assert summary["size_compressed_bytes"] < summary["size_bytes"] / 2
    assert "zlib" in summary["compressor"]
    assert "level 9" in summary["compressor"]


def test_a_profile_does_not_change_the_classifier(plant: Callable[..., Bench]) -> None:
    bench = plant(mixed)
    workbench = Workbench(bench.store, bench.compute)
    classifier = workbench.classifier(bench.architecture, bench.stored)
    before, training = fingerprint.of_arrays(state_arrays(classifier)), classifier.training
    first = bench.profile.run(workbench, bench.parents)
    assert fingerprint.of_arrays(state_arrays(classifier)) == before
    assert (classifier.training, classifier.forwards) == (training, 0)
    for _ in range(5):  # the bytes of a file of weights are not the same twice, their number is
        assert bench.profile.run(workbench, bench.parents) == first


def test_a_profile_depends_on_the_weights_alone(plant: Callable[..., Bench]) -> None:
    bench = plant(mixed)
    key = bench.profile.key(bench.parents)
    for other in (
        Compute("cpu", "contiguous", batch_size=8, threads=1),
        Compute("cuda:1", "channels_last", batch_size=99, threads=7),
    ):
        cell = ProfileCell(Coordinates("planted"), bench.subject, other)
        assert cell.key(bench.parents) == key
    changed = bench.put(Result(outputs={"classifier": "another"}))
    assert bench.profile.key({"classifier": changed}) != key


# Latency

SEEN: list[tuple[int, ...]] = []
SUMS: list[list[float]] = []
STATES: list[tuple[bool, bool, bool]] = []


class Sleeper(nn.Module):
    """Sleeps 2 ms a call, and notes what it saw."""

    def __init__(self, seconds: float = 0.002) -> None:
        super().__init__()
        self.seconds = seconds
        self.bias = nn.Parameter(torch.zeros(CLASSES))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        SEEN.append(tuple(images.shape))
        SUMS.append(images.mean((1, 2, 3)).tolist())
        last = images.is_contiguous(memory_format=torch.channels_last)
        STATES.append((gc.isenabled(), torch.is_inference_mode_enabled(), last))
        time.sleep(self.seconds)
        return self.bias.expand(len(images), CLASSES)


@pytest.fixture
def sleeper(plant: Callable[..., Bench]) -> Bench:
    bench = plant(Sleeper)
    for notes in (SEEN, SUMS, STATES):
        notes.clear()
    return bench


TRIALS = 5
"""Passes before any is counted: of the layout, and of whether a copy answers as its original."""


@pytest.mark.parametrize("batch", [1, 4])
def test_the_batch_that_is_recorded_is_the_batch_that_was_seen(sleeper: Bench, batch: int) -> None:
    cell = sleeper.latency(batch=batch)
    summary = sleeper.run(cell).summary
    passes = SEEN[TRIALS:]
    assert len(passes) == cell.warmup + cell.runs
    assert set(passes) == {(batch, *SHAPE)}
    assert summary["batch"] == batch
    assert (summary["warmup"], summary["runs"], summary["images"]) == (3, 7, 7)


def test_what_is_timed_takes_as_long_as_it_sleeps(sleeper: Bench) -> None:
    result = sleeper.run(sleeper.latency(batch=2, runs=30))
    milliseconds, summary = result.arrays["milliseconds"], result.summary
    assert milliseconds.dtype == np.float64
    assert milliseconds.shape == (30,)
    assert milliseconds.min() >= 2  # a sleep is never shorter than it was asked to be
    # generous: but nanoseconds or seconds taken for milliseconds would be far outside
    assert summary["latency_ms_median"] < 1000
    ordered = sorted(milliseconds)
    mean = sum(ordered) / 30
    variance = sum((each - mean) ** 2 for each in ordered) / 29
    assert summary["latency_ms"] == pytest.approx(mean)
    assert summary["latency_ms_std"] == pytest.approx(math.sqrt(variance))
    assert summary["latency_ms_median"] == pytest.approx((ordered[14] + ordered[15]) / 2)
    # 95 % of the way from rank 0 to rank 29: between 27 and 28
    assert summary["latency_ms_p95"] == pytest.approx(0.45 * ordered[27] + 0.55 * ordered[28])
    assert summary["images_per_second"] == pytest.approx(2 / (mean / 1000))
    json.dumps(dict(summary), allow_nan=False)


def test_it_is_timed_as_it_is_deployed(sleeper: Bench) -> None:
    """No garbage is collected, no gradient kept; the input came in the memory format."""
    assert gc.isenabled()
    sleeper.run(sleeper.latency(batch=2))
    warm, timed = STATES[TRIALS : TRIALS + 3], STATES[TRIALS + 3 :]
    assert set(timed) == {(False, True, True)}
    assert {state[1:] for state in warm} == {(True, True)}
    assert gc.isenabled()
    STATES.clear()
    plain = Compute("cpu", "contiguous", batch_size=8, threads=1)
    cell = sleeper.latency(batch=2, compute=plain)
    cell.run(Workbench(sleeper.store, plain), sleeper.parents)
    assert {state[2] for state in STATES} == {False}


def test_collection_that_was_off_stays_off(sleeper: Bench) -> None:
    gc.disable()
    try:
        sleeper.run(sleeper.latency())
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_too_few_images_are_repeated(sleeper: Bench) -> None:
    sleeper.run(sleeper.latency(batch=5, count=2))
    # the images have the values 0 and 1 of 255; the classifier takes off 0.5 and divides by 0.25
    black, brighter = -2.0, (1 / 255 - 0.5) / 0.25
    assert SUMS[-1] == pytest.approx([black, brighter, black, brighter, black], abs=1e-5)


def test_another_batch_than_the_record_would_name_is_an_error(
    sleeper: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = torch.rand(4, *SHAPE)
    monkeypatch.setattr(LatencyCell, "_images", lambda cell, layout: wrong)
    with pytest.raises(PluginError, match=r"7 passes on batches of \[4\], expected.*of 1;"):
        sleeper.run(sleeper.latency(batch=1))
    assert gc.isenabled()


def test_the_record_says_where_it_was_taken(
    sleeper: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered: list[str] = []
    lock = machine.timing_lock

    def watched(waiting: Callable[[], None]):
        entered.append(f"{len(SEEN)} passes so far")
        return lock(waiting)

    monkeypatch.setattr(latency.machine, "timing_lock", watched)
    two = Compute("cpu", "channels_last", batch_size=8, threads=2)
    before = torch.get_num_threads()
    with two.applied():
        cell = sleeper.latency(compute=two)
        summary = cell.run(Workbench(sleeper.store, two), sleeper.parents).summary
    assert torch.get_num_threads() == before
    assert entered == [f"{TRIALS} passes so far"]  # nothing was timed
    assert (summary["threads"], summary["device"]) == (2, "cpu")
    assert summary["machine"] == machine.describe("cpu")
    busy = summary["busy_elsewhere"]
    assert busy is None or 0 <= busy <= 1


def test_one_run_has_no_deviation(sleeper: Bench) -> None:
    assert sleeper.run(sleeper.latency(runs=1)).summary["latency_ms_std"] is None


def test_each_batch_is_a_cell_of_its_own(sleeper: Bench) -> None:
    one, four = sleeper.latency(), sleeper.latency(batch=4)
    assert (one.label, four.label) == (
        "latency planted@batch=1",
        "latency planted@batch=4",
    )
    assert one.facts == {"batch": 1, "threads": 1}
    assert one.key(sleeper.parents) != four.key(sleeper.parents)


@pytest.mark.parametrize(
    "change",
    [
        {"runs": 8},
        {"warmup": 4},
        {"compute": Compute("cpu", "channels_last", batch_size=8, threads=2)},
        {"compute": Compute("cpu", "contiguous", batch_size=8, threads=1)},
    ],
    ids=["runs", "warmup", "threads", "memory_format"],
)
def test_what_a_latency_depends_on(sleeper: Bench, change: dict[str, Any]) -> None:
    key = sleeper.latency().key(sleeper.parents)
    assert sleeper.latency(**change).key(sleeper.parents) != key


def test_a_latency_depends_on_the_machine_and_not_on_the_images(
    sleeper: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = sleeper.latency(count=2).key(sleeper.parents)
    assert sleeper.latency(count=3).key(sleeper.parents) == key
    monkeypatch.setattr(latency.machine, "identity", lambda device: "another")
    assert sleeper.latency(count=2).key(sleeper.parents) != key
