"""The compressors: what they take away, what stays away, and what is built again elsewhere."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import importable
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn
from torch.nn import functional

from bench import registry, seeds
from bench.api import FineTuning, Reduction
from bench.api.recipes import Recipe
from bench.audit import audit
from bench.classifier.classifier import Classifier
from bench.classifier.counting import layers, multiplications, nonzero_parameters, sparsity
from bench.classifier.layers import layer_weights
from bench.classifier.reductions import AppliedReductions
from bench.classifier.weight_files import read_weights
from bench.classifier.weights import header_normalisation, load_strictly, state_arrays
from bench.commands import export
from bench.commands import run as session
from bench.errors import PluginError, UsageError
from bench.matrix import Matrix
from bench.store import Store
from bench.suite import shipped
from bench.training.loop import TrainingHooks
from bench.training.schedule import Progress
from bench.training.trainer import train
from bench_plugins.compressors import twins as int8_twins

SHAPE = (3, 16, 16)
CLASSES = 10
NAMES = [o.name for o in registry.offers("compressors") if o.module.startswith("bench_plugins.")]
REDUCTIONS = [n for n in NAMES if issubclass(registry.load("compressors", n), Reduction)]
TUNINGS = [n for n in NAMES if issubclass(registry.load("compressors", n), FineTuning)]
AWARE = "quantization_aware"
BYTES = ("int8", AWARE)
MASKING = ["magnitude", "random", "n_m"]
MODELS = ["simple_cnn", "resnet_small"]


def made(name: str, **parameters: Any) -> Any:
    return registry.load("compressors", name)(**parameters)


def fresh(model: str, seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> nn.Module:
    with seeds.forked(seed):
        plugin = registry.load("models", model)()
        return plugin.build(classes=CLASSES, image_shape=shape).eval()


@pytest.fixture(scope="module")
def known() -> dict[str, nn.Module]:
    """Networks whose normalisation has seen images, and whose logits differ."""
    found = {}
    for name in MODELS:
        network = fresh(name)
        with torch.no_grad(), seeds.forked(3):
            network.train()
            for _ in range(10):
                network(images(32))
            for module in network.modules():
                if isinstance(module, nn.Linear):
                    module.weight.mul_(4)
        found[name] = network.eval()
    return found


def images(count: int = 16, seed: int | None = None) -> torch.Tensor:
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return torch.randn(count, *SHAPE, generator=generator)


def labels(count: int = 16) -> torch.Tensor:
    return torch.arange(count) % CLASSES


def reduced(plugin: Any, network: nn.Module, seed: int = 0) -> tuple[nn.Module, Any]:
    """What a plugin makes of a copy, and the form as it comes back from a header."""
    count = min(max(1, plugin.images_wanted), 32)
    found, form = plugin.reduce(
        copy.deepcopy(network),
        images(count, seed=1),
        labels(count),
        generator=torch.Generator().manual_seed(seed),
    )
    return found.eval(), json.loads(json.dumps(form))


def chained(steps: list[Any], network: nn.Module) -> tuple[nn.Module, list[Any]]:
    applied = []
    for plugin in steps:
        network, form = reduced(plugin, network)
        applied.append(form)
    return network, applied


def zeros(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight == 0 for name, weight in layer_weights(network).items()}


# Every plugin


@pytest.mark.parametrize("name", NAMES)
def test_a_compressor_states_what_it_is(name: str) -> None:
    text = registry.load("compressors", name).__doc__ or ""
    assert "Source:" in text
    assert "Deviations:" in text.partition("Source:")[2]
    plugin = made(name)
    assert json.loads(json.dumps(plugin.parameters())) == plugin.parameters()
    assert plugin.unsuited(classes=CLASSES, image_shape=SHAPE) is None


@pytest.mark.parametrize(
    ("name", "model"),
    [
        # what computes in bytes takes seconds there, and does the same with each layer
        pytest.param(n, m, marks=[pytest.mark.slow] if m == "resnet_small" and n in BYTES else [])
        for n in REDUCTIONS
        for m in MODELS
    ],
)
def test_a_reduction_owes_what_the_porch_says(
    name: str, model: str, known: dict[str, nn.Module]
) -> None:
    plugin = made(name, **({"importance": "taylor", "images": 8} if name == "structured" else {}))
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first, form = reduced(plugin, known[model])
    assert torch.equal(torch.get_rng_state(), before)
    weights = state_arrays(first)
    if model == "simple_cnn":
        torch.manual_seed(12)  # what the global generator holds changes nothing
        second, again = reduced(plugin, known[model])
        assert form == again
        for key, value in state_arrays(second).items():
            assert np.array_equal(value, weights[key]), key
    before = torch.get_rng_state()
    elsewhere = plugin.rebuild(fresh(model, seed=9), form, image_shape=SHAPE)
    assert torch.equal(torch.get_rng_state(), before)
    load_strictly(elsewhere, weights, "here")
    shown = images(4, seed=2)
    assert torch.equal(elsewhere.eval()(shown), first(shown))
    for network in (first, elsewhere):
        assert not any(module.training for module in network.modules())
        assert not any(m._forward_hooks or m._backward_hooks for m in network.modules())
        assert all(parameter.grad is None for parameter in network.parameters())
        assert all(parameter.requires_grad for parameter in network.parameters())
    assert first(shown).shape == (4, CLASSES)
    assert (sparsity(first) or 0) > 0.3 or plugin.sparsity_target is None
    judged = plugin.deploy(copy.deepcopy(first))
    assert torch.equal(judged(shown), first(shown)) == (plugin.gradients == "exact")
    assert len(plugin.packed(first)) >= len(weights)


# Masks


def slow_sort(network: nn.Module, share: float) -> dict[str, list[int]]:
    """The places that are zero once the smallest share is gone, layer by layer."""
    everything = sorted(
        (abs(value), name, place)
        for name, weight in layer_weights(network).items()
        for place, value in enumerate(weight.detach().flatten().tolist())
    )
    gone: dict[str, list[int]] = {name: [] for name in layer_weights(network)}
    for _, name, place in everything[: round(share * len(everything))]:
        gone[name].append(place)
    return {name: sorted(places) for name, places in gone.items()}


def little(seed: int) -> nn.Module:
    """A network whose weights a slow loop can go through."""
    with seeds.forked(seed):
        return nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.ReLU(),
            nn.Conv2d(4, 8, 3, groups=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 6, bias=False),
            nn.Linear(6, CLASSES),
        ).eval()


@settings(max_examples=25, deadline=None)
@given(share=st.floats(0, 0.99), seed=st.integers(0, 2**31))
def test_magnitude_takes_what_a_slow_sort_would(share: float, seed: int) -> None:
    network = little(seed)
    pruned, _ = reduced(made("magnitude", sparsity=share), network)
    for name, places in slow_sort(network, share).items():
        weight = layer_weights(pruned)[name].flatten()
        assert (weight == 0).nonzero().flatten().tolist() == places
        kept = weight != 0
        assert torch.equal(weight[kept], layer_weights(network)[name].flatten()[kept])


@pytest.mark.parametrize("model", MODELS)
def test_magnitude_takes_what_a_sort_would_of_whole_networks(model: str) -> None:
    network = fresh(model)
    whole = torch.cat([w.detach().abs().flatten() for w in layer_weights(network).values()])
    order = np.argsort(whole.numpy(), kind="stable")
    for share in (0.2, 0.5, 0.8) if model == "simple_cnn" else (0.8,):
        pruned, _ = reduced(made("magnitude", sparsity=share), network)
        expected = torch.zeros(len(whole), dtype=torch.bool)
        expected[order[: round(share * len(whole))]] = True
        found = torch.cat([mask.flatten() for mask in zeros(pruned).values()])
        assert torch.equal(found, expected)


@settings(max_examples=25, deadline=None)
@given(share=st.floats(0, 0.99), seed=st.integers(0, 2**31))
def test_a_share_of_each_layer_is_a_share_of_the_whole(share: float, seed: int) -> None:
    network = little(seed)
    pruned, _ = reduced(made("magnitude", sparsity=share, scope="layer"), network)
    total = gone = 0
    for name, mask in zeros(pruned).items():
        size, count = mask.numel(), int(mask.sum())
        assert abs(count - share * size) < 1
        smallest = layer_weights(network)[name].detach().abs().flatten().argsort()[:count]
        assert sorted(smallest.tolist()) == mask.flatten().nonzero().flatten().tolist()
        total, gone = total + size, gone + count
    assert gone == round(share * total)


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_random_takes_as_many_of_each_layer_and_others(scope: str) -> None:
    network = fresh("simple_cnn")
    magnitude, _ = reduced(made("magnitude", sparsity=0.7, scope=scope), network)
    one, _ = reduced(made("random", sparsity=0.7, scope=scope), network, seed=1)
    other, _ = reduced(made("random", sparsity=0.7, scope=scope), network, seed=2)
    for name, mask in zeros(one).items():
        assert mask.sum() == zeros(magnitude)[name].sum() == zeros(other)[name].sum()
        weight = layer_weights(network)[name].detach().abs().flatten()
        # any weights: those taken are as large as those left, to within some standard errors
        gap = weight[mask.flatten()].mean() - weight[~mask.flatten()].mean()
        assert gap.abs() < 5 * weight.std() / min(mask.sum(), (~mask).sum()) ** 0.5
    assert any(not torch.equal(mask, zeros(other)[name]) for name, mask in zeros(one).items())


def test_random_after_another_reduction_takes_of_what_is_left() -> None:
    first, _ = reduced(made("random", sparsity=0.5), little(0))
    second, _ = reduced(made("random", sparsity=0.8), first, seed=1)
    assert sparsity(second) == pytest.approx(0.8, abs=0.5 / 150)
    for name, mask in zeros(first).items():
        assert zeros(second)[name][mask].all()


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (1, 2)])
def test_of_each_m_the_n_largest_are_kept(n: int, m: int) -> None:
    network = nn.Sequential(
        nn.Conv2d(8, 6, 3),
        nn.Conv2d(6, 4, 1),  # six inputs are no multiple of four
        nn.Conv2d(8, 8, (1, 2), groups=2),
        nn.ConvTranspose2d(8, 5, 2),
        nn.Linear(12, 3),
    )
    pruned, _ = reduced(made("n_m", n=n, m=m), network)
    for layer, before in zip(pruned, network, strict=True):
        weight, old = layer.weight.detach(), before.weight.detach()
        if isinstance(layer, nn.ConvTranspose2d):
            weight, old = weight.transpose(0, 1), old.transpose(0, 1)
        if weight.shape[1] % m:
            assert torch.equal(weight, old)
            continue
        for place in np.ndindex(weight.shape[0], *weight.shape[2:]):
            row = weight[place[0], :, *place[1:]]
            whole = old[place[0], :, *place[1:]]
            for start in range(0, len(row), m):
                block = whole[start : start + m].tolist()
                largest = sorted(block, key=abs, reverse=True)[:n]
                expected = [value if value in largest else 0.0 for value in block]
                assert row[start : start + m].tolist() == expected


def test_n_of_m_are_checked() -> None:
    with pytest.raises(ValidationError, match="expected fewer"):
        made("n_m", n=4, m=4)
    alone, _ = reduced(made("n_m", layers=("classifier.2",)), fresh("simple_cnn"))
    shares = {name: float(mask.float().mean()) for name, mask in zeros(alone).items()}
    assert shares.pop("classifier.2.weight") == 0.5
    assert not any(shares.values())


def test_a_layer_that_is_not_there_is_reported() -> None:
    with pytest.raises(UsageError, match=r"did you mean .*'classifier\.2'"):
        reduced(made("magnitude", layers=("classifier.3",)), fresh("simple_cnn"))


# Training on


def quick(name: str, **parameters: Any) -> Any:
    given = {"epochs": 3, "batch_size": 16, "lr": 0.01, **parameters}
    if name == "adversarial_finetune":
        given |= {"attack": "fgsm", "eps": 0.1}
    if name == "quantization_aware":
        given |= {"images": 16}
    return made(name, **given)


def tuned(
    plugin: Any, network: nn.Module, state: bytes | None = None, **more: Any
) -> tuple[nn.Module, list[bytes]]:
    """What training makes of a copy, and the states after each epoch."""
    kept: list[bytes] = []

    def keep(progress: Progress) -> None:
        kept.append(progress.state())

    network = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(4)
    train(
        network,
        torch.rand(48, 3, 8, 8, generator=generator),
        torch.arange(48) % CLASSES,
        plugin.recipe,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        seed=5,
        hooks=TrainingHooks(
            plugin.adversarial_batch,
            plugin.loss,
            little(77) if plugin.uses_teacher else None,
            **more,
        ),
        state=state,
        progress=keep,
    )
    return network, kept


@pytest.mark.parametrize("masks", MASKING)
@pytest.mark.parametrize(
    ("tuning", "parameters"),
    [
        *((name, {}) for name in TUNINGS if name != "quantization_aware"),
        ("fine_tune", {"optimizer": "sgd", "weight_decay": 0.01}),
        ("fine_tune", {"optimizer": "adamw", "weight_decay": 0.1, "scheduler": "one_cycle"}),
    ],
)
def test_what_is_zero_stays_zero_and_the_rest_learns(
    masks: str, tuning: str, parameters: dict[str, Any]
) -> None:
    plugin = quick(tuning, **parameters)
    pruned, _ = reduced(made(masks), little(0))
    trained, states = tuned(plugin, pruned, holds_zeros=made(masks).holds_zeros)
    for name, mask in zeros(pruned).items():
        assert torch.equal(zeros(trained)[name], mask)
        changed = layer_weights(trained)[name] != layer_weights(pruned)[name]
        assert changed[~mask].float().mean() > 0.9
    resumed, _ = tuned(plugin, pruned, states[0], holds_zeros=True)
    for name, value in trained.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value)
    forgotten, _ = tuned(plugin, pruned)
    assert (sparsity(forgotten) or 0) < 0.1  # so holding them is what holds them


def test_zeros_stay_through_rounding() -> None:
    pruned, _ = reduced(made("magnitude", sparsity=0.5), little(0))
    twin, _ = reduced_little(made("int8", images=16), pruned)
    trained, _ = tuned(quick("quantization_aware"), twin, holds_zeros=True)
    for name, mask in zeros(twin).items():
        assert torch.equal(zeros(trained)[name], mask)
    assert all(
        torch.equal(trained.state_dict()[name], value)
        for name, value in twin.state_dict().items()
        if "activation" in name
    )
    moved = [
        not torch.equal(trained.state_dict()[name], value)
        for name, value in twin.state_dict().items()
        if name.endswith("weight")
    ]
    assert all(moved)


def reduced_little(plugin: Any, network: nn.Module) -> tuple[nn.Module, Any]:
    return plugin.reduce(
        copy.deepcopy(network),
        torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(6)),
        labels(16),
        generator=torch.Generator(),
    )


def test_the_default_recipe_is_one_for_all_that_trains_on() -> None:
    usual = Recipe(
        epochs=10, lr=1e-4, batch_size=32, optimizer="adam", weight_decay=0, scheduler="constant"
    )
    assert {name: made(name).recipe for name in TUNINGS} == dict.fromkeys(TUNINGS, usual)
    odd = {"epochs": 3, "label_smoothing": 0.1, "augment": ("flip",), "scheduler": "cosine"}
    for name in TUNINGS:
        assert made(name, **odd).recipe == usual.model_copy(update=odd)
        assert not made(name).is_from_scratch


@pytest.mark.parametrize("name", [name for name in TUNINGS if name != "quantization_aware"])
def test_zeros_hold_in_bf16_too_and_other_weights_come_of_it(name: str) -> None:
    pruned, _ = reduced(made("magnitude"), little(0))
    exact, low = (
        tuned(quick(name, precision=precision), pruned, holds_zeros=True)[0]
        for precision in ("fp32", "bf16")
    )
    for weight, mask in zeros(pruned).items():
        assert torch.equal(zeros(low)[weight], mask)
    pairs = [(exact.state_dict()[key], value) for key, value in low.state_dict().items()]
    assert any(not torch.equal(*pair) for pair in pairs)
    assert all(value.dtype != torch.bfloat16 for _, value in pairs)


def test_rounding_to_bytes_is_not_trained_in_bf16() -> None:
    """Its 8 digits cannot distinguish the levels of activations from what lies between them."""
    with pytest.raises(ValidationError, match="precision"):
        made("quantization_aware", precision="bf16")


def test_the_loss_of_distillation_is_hinton_s() -> None:
    plugin = made("distill", temperature=3.0, weight=0.7)
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(5, 4, generator=generator, dtype=torch.float64).requires_grad_()
    teacher = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    truth = torch.tensor([0, 1, 2, 3, 0])
    plain = functional.cross_entropy(student, truth)
    found = plugin.loss(student, teacher, plain)
    divergence = 0.0
    for own, other in zip(student.tolist(), teacher.tolist(), strict=True):
        p, q = (np.exp(np.array(row) / 3) / np.exp(np.array(row) / 3).sum() for row in (other, own))
        divergence += float((p * np.log(p / q)).sum()) / 5
    assert found.item() == pytest.approx(0.7 * 9 * divergence + 0.3 * plain.item())
    # the gradients are those of the cross-entropy with soft targets
    soft = functional.cross_entropy(student / 3, (teacher / 3).softmax(1))
    (expected,) = torch.autograd.grad(0.7 * 9 * soft + 0.3 * plain, student, retain_graph=True)
    assert torch.allclose(torch.autograd.grad(found, student)[0], expected)
    assert plugin.uses_teacher
    with pytest.raises(ValueError, match="the original's logits"):
        plugin.loss(student, None, plain)


def test_batches_are_attacked_as_in_adversarial_training() -> None:
    other = registry.load("defenses", "adversarial_training")(eps=0.1, steps=3, share=0.5)
    plugin = made("adversarial_finetune", eps=0.1, steps=3, share=0.5)
    network, pixels = little(0), torch.rand(8, 3, 8, 8)
    first, second = (
        each.adversarial_batch(
            network, pixels, labels(8), generator=torch.Generator().manual_seed(1)
        )
        for each in (plugin, other)
    )
    assert torch.equal(first, second)
    assert torch.equal(first[4:], pixels[4:])
    assert ((first[:4] - pixels[:4]).abs() <= 0.1 + 1e-6).all()
    assert not torch.equal(first[:4], pixels[:4])


# Channels


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("importance", ["magnitude", "taylor"])
@pytest.mark.parametrize("model", MODELS)
def test_channels_are_gone(
    model: str, importance: str, scope: str, known: dict[str, nn.Module]
) -> None:
    plugin = made("structured", importance=importance, scope=scope, images=16)
    smaller, _ = reduced(plugin, known[model])
    before = sum(parameter.numel() for parameter in known[model].parameters())
    after = sum(parameter.numel() for parameter in smaller.parameters())
    assert 0.15 < after / before < 0.4  # a quarter, where every layer keeps half
    assert multiplications(smaller, images(1)) < 0.5 * multiplications(known[model], images(1))
    assert sparsity(smaller) == 0
    heads = [m for m in smaller.modules() if isinstance(m, nn.Linear)]
    assert heads[-1].out_features == CLASSES
    assert heads[-1].in_features < 256
    if scope == "layer":
        shapes = [w.shape for w in layer_weights(known[model]).values()]
        for shape, weight in zip(shapes, layer_weights(smaller).values(), strict=True):
            assert weight.shape[0] == (shape[0] if weight is heads[-1].weight else shape[0] // 2)


def test_the_channels_that_weigh_least_go() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, CLASSES)
    )
    light = [1, 2, 5]
    with torch.no_grad():
        network[0].weight[light] *= 0.01
        network[4].weight[:, light] *= 0.01
    smaller, form = reduced(made("structured"), network)
    assert form == [["0", True, light]]
    assert torch.equal(smaller[0].weight, network[0].weight[[0, 3, 4]])
    assert torch.equal(smaller[4].weight, network[4].weight[:, [0, 3, 4]])


def test_the_head_is_recognised_by_its_logits_not_by_its_name() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.classifier = nn.Conv2d(3, 8, 3)
            self.first = nn.Conv2d(8, CLASSES, 1)
            self.aside = nn.Linear(CLASSES, CLASSES)  # never runs

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.first(self.classifier(pixels)).mean((2, 3))

    smaller, _ = reduced(made("structured"), Odd())
    assert smaller.first.weight.shape == (CLASSES, 4, 1, 1)
    assert smaller(images(2)).shape == (2, CLASSES)


def test_a_network_that_cannot_be_pruned_or_quantised_is_reported() -> None:
    class Stubborn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Conv2d(3, 8, 3)
            self.two = nn.Linear(8, CLASSES)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            maps = self.one(pixels)
            if maps.sum() > 1e9:
                return maps
            return self.two(maps.mean((2, 3)).reshape(-1, 8))  # eight, whatever is left

    with pytest.raises(PluginError, match="compressor structured"):
        reduced(made("structured"), Stubborn())
    with pytest.raises(PluginError, match="cannot follow the network"):
        reduced(made("int8"), Stubborn())
    with pytest.raises(PluginError, match="nothing to quantise"):
        reduced(made("int8"), nn.Sequential(nn.Flatten(), nn.ReLU()))
    twin, _ = reduced(made("int8", images=4), little(0))
    with pytest.raises(PluginError, match="quantised already"):
        reduced(made("int8", images=4), twin)
    with pytest.raises(PluginError, match="no layer gives"):
        reduced(made("structured"), nn.Sequential(nn.Conv2d(3, 8, 16), nn.Flatten(), nn.GLU()))


# Bytes


@pytest.fixture(scope="module")
def quantised(known: dict[str, nn.Module]) -> dict[str, tuple[nn.Module, nn.Module]]:
    """For each model its twin, and the int8 network."""
    plugin = made("int8", images=32)
    twins = {name: reduced(plugin, network)[0] for name, network in known.items()}
    return {name: (twin, plugin.deploy(twin)) for name, twin in twins.items()}


@pytest.mark.parametrize(
    "model",
    [pytest.param(m, marks=pytest.mark.slow if m == "resnet_small" else ()) for m in MODELS],
)
def test_twin_and_bytes_answer_alike(
    model: str, known: dict[str, nn.Module], quantised: dict[str, tuple[nn.Module, nn.Module]]
) -> None:
    twin, judged = quantised[model]
    shown = images(128, seed=8)
    before = state_arrays(twin)
    with torch.no_grad():
        floats, rounded, answers = known[model](shown), twin(shown), judged(shown)
    spread = floats.std()
    # where both round near a tie, they part by a level, in each layer
    assert (rounded - answers).abs().max() < 0.5 * spread
    assert (rounded - answers).abs().mean() < 0.06 * spread
    assert (rounded.argmax(1) == answers.argmax(1)).float().mean() > 0.95
    assert (floats.argmax(1) == answers.argmax(1)).float().mean() > 0.85
    assert not torch.equal(floats, rounded)
    assert all(np.array_equal(value, before[name]) for name, value in state_arrays(twin).items())
    assert torch.equal(copy.deepcopy(judged)(shown), answers)
    assert torch.equal(copy.deepcopy(twin)(shown), rounded)
    # of a tensor of weights, what is kept is bytes and scales
    kept = state_arrays(judged)
    kinds = {name: array.dtype for name, array in kept.items() if array.ndim > 1}
    assert len(kinds) == len(layer_weights(twin))
    assert set(kinds.values()) == {np.dtype(np.int8)}


@pytest.mark.parametrize("model", MODELS)
def test_bytes_are_rounded_weights(
    model: str, quantised: dict[str, tuple[nn.Module, nn.Module]]
) -> None:
    twin, judged = quantised[model]
    packed = made("int8").packed(twin)
    deployed = state_arrays(judged)
    for name, weight in layer_weights(twin).items():
        scale = packed[f"{name}_scale"]
        assert packed[name].dtype == torch.int8
        for row, own, step in zip(packed[name], weight.detach(), scale.tolist(), strict=True):
            assert row.abs().max() == 127
            assert (row.float() * step - own).abs().max() <= 0.501 * step
        there = name if name in deployed else f"{name.removesuffix('weight')}_packed_params._packed"
        own = next(array for key, array in deployed.items() if key.startswith(there))
        # ties may be rounded otherwise
        assert (own != packed[name].numpy()).mean() < 1e-3


def test_gradients_pass_straight_through(quantised: dict[str, tuple[nn.Module, nn.Module]]) -> None:
    twin, judged = quantised["resnet_small"]
    shown = images(8, seed=3).requires_grad_()
    (found,) = torch.autograd.grad(functional.cross_entropy(twin(shown), labels(8)), shown)
    assert torch.isfinite(found).all()
    assert (found.flatten(1).abs().amax(1) > 0).all()
    assert not judged(shown).requires_grad


@pytest.mark.parametrize(
    ("model", "explainer"),
    [("simple_cnn", "saliency"), ("simple_cnn", "grad_cam"), ("resnet_small", "grad_cam")],
)
def test_a_twin_can_be_explained(
    model: str, explainer: str, quantised: dict[str, tuple[nn.Module, nn.Module]]
) -> None:
    classifier = Classifier(copy.deepcopy(quantised[model][0]), (0.5,) * 3, (0.25,) * 3)
    plugin = registry.load("explainers", explainer)()
    with classifier.guarded("the explainer"):
        found = plugin.explain(
            classifier, torch.rand(2, *SHAPE), labels(2), generator=torch.Generator()
        )
    assert found.shape == (2, 16, 16)
    assert found.std() > 0


def test_a_quarter_of_the_bytes_is_shipped(
    known: dict[str, nn.Module], quantised: dict[str, tuple[nn.Module, nn.Module]]
) -> None:
    from safetensors.torch import save

    def size(tensors: dict[str, torch.Tensor]) -> int:
        return len(save({name: tensor.contiguous().clone() for name, tensor in tensors.items()}))

    whole = size(known["resnet_small"].state_dict())
    assert size(dict(made("int8").packed(quantised["resnet_small"][0]))) < 0.3 * whole


def test_the_engine_is_put_back(quantised: dict[str, tuple[nn.Module, nn.Module]]) -> None:
    before = torch.backends.quantized.engine
    others = [name for name in torch.backends.quantized.supported_engines if name != "none"]
    try:
        for name in others:
            torch.backends.quantized.engine = name
            made("int8").deploy(quantised["simple_cnn"][0])
            assert torch.backends.quantized.engine == name
    finally:
        torch.backends.quantized.engine = before


CHAINS: dict[str, Callable[[], list[Any]]] = {
    "magnitude, int8": lambda: [made("magnitude", sparsity=0.5), made("int8", images=16)],
    "structured, int8": lambda: [made("structured"), made("int8", images=16)],
    "n_m, structured": lambda: [made("n_m"), made("structured")],
    "structured, magnitude, int8": lambda: [
        made("structured", pruning_ratio=0.25),
        made("magnitude", sparsity=0.8),
        made("int8", images=16),
    ],
}


@pytest.mark.parametrize("name", CHAINS)
def test_chains_are_built_again(name: str, known: dict[str, nn.Module]) -> None:
    steps = CHAINS[name]()
    network, applied = chained(steps, known["simple_cnn"])
    again = fresh("simple_cnn", seed=5)
    for plugin, form in zip(steps, applied, strict=True):
        again = plugin.rebuild(again, form, image_shape=SHAPE)
    load_strictly(again, state_arrays(network), name)
    shown = images(8, seed=1)
    assert torch.equal(again.eval()(shown), network(shown))
    judged = steps[-1].deploy(network)
    assert torch.equal(steps[-1].deploy(again)(shown), judged(shown))
    target = next((s.sparsity_target for s in steps if s.sparsity_target is not None), None)
    if target is not None:  # rounding adds some zeros
        assert target - 1e-4 <= (sparsity(network) or 0) < target + 0.1
        counted = layers(network, images(1))
        share = sum(layer.zeros for layer in counted) / sum(layer.weights for layer in counted)
        assert share == pytest.approx(sparsity(network))


@pytest.mark.parametrize(
    "model", ["simple_cnn", pytest.param("resnet_small", marks=pytest.mark.slow)]
)
def test_a_trained_network_answers_in_bytes_as_in_floats(model: str) -> None:
    """The checkpoints that ship, on the images they are judged on."""
    content = registry.load("datasets", "digits")().read()
    file = read_weights(shipped("checkpoints") / f"{model}-digits-seed42.safetensors")
    arrays, header = file.arrays, file.header
    mean, std = (torch.tensor(part).view(1, -1, 1, 1) for part in header_normalisation(header))

    def pixels(split: str, count: int) -> torch.Tensor:
        some = np.stack(list(islice(content.splits[split].images, count)))
        return (torch.from_numpy(some).permute(0, 3, 1, 2) / 255 - mean) / std

    shown = pixels("test", 100)
    network = fresh(model, shape=tuple(shown.shape[1:]))
    load_strictly(network, arrays, model)
    plugin = made("int8", images=64)
    generator = torch.Generator()
    twin, _ = plugin.reduce(copy.deepcopy(network), pixels("train", 64), None, generator=generator)
    with torch.no_grad():
        floats, rounded, answers = (n(shown) for n in (network, twin, plugin.deploy(twin)))
    # at most one image in a hundred on the brink
    assert (rounded.argmax(1) == answers.argmax(1)).sum() >= 99
    assert (floats.argmax(1) == answers.argmax(1)).sum() >= 99
    assert (rounded - answers).abs().mean() < 0.03 * floats.std()


# Runs

STEPS: dict[str, list[Any]] = {
    "thin": [
        {"structured": {"importance": "taylor", "images": 16}},
        {"distill": {"epochs": 1}},
        {"int8": {"images": 16}},
    ],
    "bytes": [{"magnitude": {"sparsity": 0.5}}, {"int8": {"images": 16}}],
    "aware": [{"magnitude": {"sparsity": 0.5}}, {AWARE: {"epochs": 1, "images": 16}}],
    "kept": ["magnitude", {"fine_tune": {"epochs": 1}}],
    "lost": ["forgetful", {"fine_tune": {"epochs": 1, "lr": 0.003}}],
}


@pytest.fixture(scope="module")
def ran(
    plugin_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[dict[str, Any], Store, Matrix]]:
    """A run of every variant on small images, with a compressor that loses its zeros."""
    folder = tmp_path_factory.mktemp("compressed")
    suite = {
        "suite": "compressed",
        "seed": 7,
        "dataset": {"plugin": "blobs", "size": 16, "train": 48},
        "images": {"from": ["test"], "count": 12},
        "models": {"simple_cnn": {"train": {"epochs": 2, "batch_size": 16, "lr": 0.003}}},
        "variants": {"original": [], **STEPS},
        "attacks": {"fgsm": {"eps": 0.1}},
        "profile": {"batches": [1]},
        "audit": "off",
        "run": {"threads": 1, "device": "cpu"},
    }
    with importable(plugin_folder):
        session.run(suite, store=folder / "store", reports=None)
        store = Store(folder / "store")
        yield suite, store, Matrix.last(store)


def entry(matrix: Matrix, label: str) -> Any:
    return next(each for each in matrix.entries if each.label == label)


@pytest.mark.slow
def test_every_variant_is_made_and_judged(ran: tuple[dict[str, Any], Store, Matrix]) -> None:
    _, _, matrix = ran
    failed = {each.label: each.reason for each in matrix.entries if each.state != "done"}
    assert not failed
    labels = {each.label for each in matrix.entries}
    for label in (
        "compress simple_cnn/aware@1-magnitude",
        f"compress simple_cnn/aware@2-{AWARE}",
        f"train simple_cnn/aware@2-{AWARE}",
        "interim simple_cnn/aware",
        "attack simple_cnn/bytes/fgsm",
    ):
        assert label in labels
    # attacks on bytes have gradients, and the records say whose
    attack = entry(matrix, "attack simple_cnn/bytes/fgsm")
    assert attack.facts["gradients"] == "straight_through"
    assert matrix.records(attack)["linf"].min() == pytest.approx(0.1, abs=1e-6)
    assert matrix.stored(attack).summary["backwards"] == 1


@pytest.mark.slow
def test_sparsity_is_counted_on_what_is_judged(ran: tuple[dict[str, Any], Store, Matrix]) -> None:
    _, _, matrix = ran
    reported = {
        name: matrix.stored(entry(matrix, f"profile simple_cnn/{name}")).summary for name in STEPS
    }
    weights = 32 * 3 * 9 + 64 * 32 * 9 + 128 * 64 * 9 + 2048 * 256 + 256 * 3
    assert abs(reported["kept"]["sparsity"] - 0.5) * weights <= 1
    assert reported["thin"]["sparsity"] < 0.1
    for name in ("bytes", "aware"):  # rounding adds some
        assert 0.5 - 1 / weights <= reported[name]["sparsity"] < 0.6
    assert reported["lost"]["sparsity"] < 0.3
    original = matrix.stored(entry(matrix, "profile simple_cnn")).summary
    assert reported["bytes"]["size_bytes"] < 0.3 * original["size_bytes"]
    assert reported["thin"]["size_bytes"] < 0.1 * original["size_bytes"]
    assert reported["thin"]["macs"] < 0.4 * original["macs"]
    assert reported["bytes"]["macs"] == reported["kept"]["macs"] == original["macs"]


@pytest.mark.slow
def test_lost_zeros_are_flagged_and_no_others(ran: tuple[dict[str, Any], Store, Matrix]) -> None:
    _, _, matrix = ran
    found = [f for f in audit(matrix).findings if f.rule == "sparsity-missed"]
    assert [f.cells for f in found] == [("profile simple_cnn/lost",)]


@pytest.mark.slow
def test_files_of_variants_answer_in_another_process(
    ran: tuple[dict[str, Any], Store, Matrix], tmp_path: Path
) -> None:
    suite, store, matrix = ran
    paths = list(export.write(session.make_plan(suite, store), store, tmp_path / "weights"))
    named = {path.name: str(path) for path in paths}
    assert set(named) == {
        "simple_cnn-blobs-seed7.safetensors",
        *(f"simple_cnn-{name}-blobs-seed7.safetensors" for name in STEPS),
    }
    kept = ["thin", "aware"]
    loading = {key: value for key, value in suite.items() if key not in ("variants", "profile")}
    loading["models"] = {
        name: {
            "plugin": "simple_cnn",
            "weights": named[f"simple_cnn-{name}-blobs-seed7.safetensors"],
        }
        for name in kept
    }
    place = str(tmp_path / "other")
    code = "import sys, json, bench; bench.run(json.loads(sys.argv[1]), store=sys.argv[2])"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, json.dumps(loading), place],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    loaded = Matrix.last(Store(place))
    assert {each.state for each in loaded.entries} == {"done"}
    for name in kept:
        for kind, attack in (("evaluate", ""), ("attack", "/fgsm")):
            here = entry(matrix, f"{kind} simple_cnn/{name}{attack}")
            there = entry(loaded, f"{kind} {name}{attack}")
            assert loaded.records(there).equals(matrix.records(here))
            assert here.facts == there.facts
    # of a network from a file the promise is known too
    made = session.make_plan({**loading, "profile": {"batches": [1]}}, store)
    promised = next(s.cell for s in made.steps if s.cell.label == "profile aware")
    assert promised.facts == {"sparsity_target": 0.5, "sparsity_at_least": True}


@pytest.mark.slow
def test_verdicts_are_those_of_the_bytes(ran: tuple[dict[str, Any], Store, Matrix]) -> None:
    suite, store, matrix = ran
    plan = session.make_plan(suite, store)
    network = registry.load("models", "simple_cnn")().build(classes=3, image_shape=SHAPE)
    weights = next(e for e in matrix.entries if e.label == f"train simple_cnn/aware@2-{AWARE}")
    header = store.header(matrix.stored(weights))
    applied = AppliedReductions.of(header, "aware")
    twin = applied.rebuild(network, SHAPE)
    load_strictly(twin, store.arrays(matrix.stored(weights)), "aware")
    reported = matrix.records(entry(matrix, "evaluate simple_cnn/aware"))["confidence"]
    pixels, _ = plan.data.select(["test"]).tensors()
    confidences = []
    for judged in (applied.deploy(twin.eval()), twin):
        classifier = Classifier(judged, *header_normalisation(header))
        with torch.no_grad():
            confidences.append(classifier(pixels).softmax(1).amax(1).numpy())
    assert np.allclose(reported, confidences[0], atol=1e-6)
    assert not np.allclose(reported, confidences[1], atol=1e-6)


@pytest.mark.parametrize("name", ["magnitude", "random", "n_m"])
def test_layers_that_compute_with_other_weights_than_they_keep_are_refused(name: str) -> None:
    from timm.layers import StdConv2d
    from torch.nn.utils import parametrizations

    standardised = nn.Sequential(StdConv2d(4, 8, 3), nn.Flatten(), nn.Linear(8, 3))
    normed = nn.Sequential(parametrizations.weight_norm(nn.Linear(8, 8)), nn.Linear(8, 3))
    for network, layer in ((standardised, "StdConv2d"), (normed, "Linear")):
        with pytest.raises(UsageError, match=f"{layer} computes with weights that it makes"):
            made(name).reduce(network, images(1), labels(1), generator=torch.Generator())


def test_channels_that_stay_although_some_were_to_go_are_no_variant() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)
    )
    plugin = made("structured", pruning_ratio=0.5, round_to=8)
    with pytest.raises(PluginError, match="nothing was taken away, though 50% were to be"):
        plugin.reduce(network, images(1), labels(1), generator=torch.Generator())


@pytest.mark.parametrize(
    ("name", "parameters", "reported"),
    [
        ("simple_cnn", {"pruning_ratio": 0.99}, "381 of 480 .* features.4, features.0 would"),
        ("regnetx_002", {"pruning_ratio": 0.9}, "571 of 7160 .* s1.b1.conv2.conv, .* and 23 more"),
        ("regnetx_002", {"pruning_ratio": 0.9, "scope": "global"}, r"\d+ of 7160 .*scope: layer"),
    ],
)
def test_channels_that_stay_because_all_were_to_go_are_reported(
    name: str, parameters: dict[str, Any], reported: str
) -> None:
    """torch-pruning leaves such layers whole, and a variant would be named for what it is not."""
    import timm

    torch.manual_seed(0)
    network = (
        fresh(name) if name == "simple_cnn" else timm.create_model(name, num_classes=CLASSES)
    ).eval()
    plugin = made("structured", **parameters)
    with pytest.raises(PluginError, match=reported):
        plugin.reduce(network, images(2), labels(2), generator=torch.Generator())


def test_weights_that_round_to_zero_are_no_nonzero_parameters() -> None:
    network = little(0)
    with torch.no_grad():
        for weight in layer_weights(network).values():
            weight.view(-1)[0] = 1e-6  # below half a step
    twin, _ = reduced_little(made("int8", images=16), network)
    weights = sum(weight.numel() for weight in layer_weights(twin).values())
    zeros = round(sparsity(twin) * weights)
    assert zeros >= len(layer_weights(twin))
    others = sum(int(p.count_nonzero()) for p in twin.parameters()) - weights
    assert nonzero_parameters(twin) == weights - zeros + others


@pytest.mark.parametrize("channels", [3, 1])
def test_a_network_that_views_its_maps_computes_in_bytes(channels: int) -> None:
    """Maps of int8 lie channels last, however their images lie."""

    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(channels, 4, 3, padding=1)
            self.last = nn.Linear(4 * 8 * 8, 3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            maps = self.first(images).relu()
            return self.last(maps.view(maps.size(0), -1))

    images = torch.rand(4, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    twin = int8_twins.twin_of(Views(), images[:1], "here")
    int8_twins.calibrate(twin, images)
    logits = int8_twins.deployed(twin, "here")(images)
    torch.testing.assert_close(logits, twin(images), atol=0.1, rtol=0)
