"""Every offered attack under one contract.

An attack that fails a check for reasons of its own says so in its row (``faults``), and is expected
to fail it: a fault that goes away is noticed.
"""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Callable, Mapping
from importlib import metadata
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import grad

from bench import registry
from bench.api import Attack
from bench.cells.workbench import Compute
from bench.classifier.classifier import Classifier
from bench.norms import TOLERANCE, measure
from bench.records import Budget
from bench_plugins.attacks import autoattack, table
from bench_plugins.attacks.generated import Wrapped


def load(name: str) -> Any:
    return registry.load("attacks", name.partition(":")[0])


OFFERED = [o.name for o in registry.offers("attacks") if o.module.startswith("bench_plugins.")]
NAMES = [*OFFERED, *(f"{name}:l2" for name in OFFERED if "norm" in load(name).model_fields)]
"""The attacks; those that have a choice of norm, in both."""

CHEAP: Mapping[str, Mapping[str, Any]] = {
    **dict.fromkeys(
        ("apgd", "apgd:l2", "apgdt", "apgdt:l2", "fab", "fab:l2"), MappingProxyType({"steps": 5})
    ),
    "cw": {"steps": 20, "lr": 0.05, "c": 5.0},
    "eaden": {"binary_search_steps": 2, "max_iterations": 20, "initial_const": 1.0},
    "eadl1": {"binary_search_steps": 2, "max_iterations": 20, "initial_const": 1.0},
    "onepixel": {"pixels": 8, "steps": 3, "popsize": 40},
    "pixle": {"restarts": 20, "max_iterations": 5},
    "pgdrs": {"noise_sd": 0.02, "noise_batch_size": 2},
    "pgdrsl2": {"noise_sd": 0.02, "noise_batch_size": 2},
    "sinifgsm": {"m": 2},
    "sparsefool": {"steps": 3},
    "spsa": {"nb_iter": 6, "nb_sample": 32},
    "square": {"n_queries": 50},
    "square:l2": {"n_queries": 200, "eps": 3},
    "auto_pgd": {"steps": 8},
    "auto_pgd:l2": {"steps": 8},
    "fmn": {"steps": 30},
    "fmn:l2": {"steps": 30},
    "square_attack": {"queries": 100},
    "square_attack:l2": {"queries": 200, "eps": 3},
    "tifgsm": {"len_kernel": 3},
    "vmifgsm": {"N": 2},
    "vnifgsm": {"N": 2},
}
"""Parameters that make attacks quick, and strong enough for the small classifiers of this file."""

LARGE = {"eps": 0.1, "max_epsilon": 0.1}
"""Radii at which hardly an image of this file remains correct; ten times as much in l2."""

DRAWS_NOTHING = {
    *("vanila", "fgsm", "bim", "upgd", "mifgsm", "nifgsm", "sinifgsm", "pifgsm", "pifgsmpp"),
    *("cw", "deepfool", "sparsefool", "jsma", "eadl1", "eaden", "fab", "bisection"),
}
CONTROLS = {"vanila", "gn", "noise"}
ALWAYS = {
    *("vanila", "gn", "noise", "fgsm", "pgd", "pgdl2", "mifgsm", "cw", "deepfool", "fab", "square"),
    *("apgd", "tifgsm", "bisection", "auto_pgd", "fmn", "square_attack"),
}
"""The attacks that the fast tests try in every way; the others in those of ``EASY``."""

EASY = {"none", "budget", "zero", "targets", "restored"}
COUNT = 8
CLASSES = 4
SHAPE = (3, 8, 8)


def cases(check: str, *, only: Callable[[type[Attack]], bool] = lambda _: True) -> list[Any]:
    """The attacks that a check is for: expected to fail where they say that they do.

    A fault of one norm only has that norm in its name: ``certainty:l2``.
    """
    found = []
    for name in NAMES:
        plugin = load(name)
        if not only(plugin):
            continue
        is_fast = check in EASY or name.partition(":")[0] in ALWAYS
        marks = [] if is_fast else [pytest.mark.slow]
        fault = getattr(plugin, "faults", {}).get(check + "".join(name.partition(":")[1:]))
        if fault is not None:
            # the plugin says why; strict: a fault that is mended has to leave its list
            marks.append(pytest.mark.xfail(strict=True, reason=fault))
        missing = plugin().unsuited(classes=CLASSES, image_shape=SHAPE)
        if missing is not None:
            marks.append(pytest.mark.skip(reason=missing))
        found.append(pytest.param(name, marks=marks))
    return found


def radius(plugin: type[Attack]) -> str | None:
    return next((name for name in LARGE if name in plugin.model_fields), None)


def is_wrapped(plugin: type[Attack]) -> bool:
    return issubclass(plugin, Wrapped)


def follows_gradients(plugin: type[Attack]) -> bool:
    return "precision" in plugin.model_fields


def attack(name: str, **parameters: Any) -> Attack:
    """An attack, quick, with a large radius where it has one."""
    plugin = load(name)
    name, colon, norm = name.partition(":")
    chosen = {"norm": norm} if norm else {}
    size = radius(plugin)
    wide = (
        {} if size is None else {size: LARGE[size] * (10 if plugin(**chosen).norm == "l2" else 1)}
    )
    found = plugin(**{**chosen, **wide, **CHEAP.get(f"{name}{colon}{norm}", {}), **parameters})
    assert isinstance(found, Attack)
    return found


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def data(count: int, classes: int = CLASSES, shape: tuple[int, ...] = SHAPE) -> tuple[Any, Any]:
    """Images of as many patterns as there are classes, in noise, and which pattern each has."""
    patterns = torch.rand(classes, *shape, generator=generator(1))
    labels = torch.arange(count) % classes
    noise = torch.rand(count, *shape, generator=generator(2))
    return 0.4 + 0.12 * patterns[labels] + 0.04 * noise, labels


def trained(network: nn.Module, **of: Any) -> Classifier:
    """A classifier of the patterns, all right on them."""
    images, labels = data(32, **of)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.2)
    channels = images.shape[1]
    classifier = Classifier(network, (0.5,) * channels, (0.25,) * channels)
    classifier.requires_grad_(requires_grad=True)
    parameters = list(network.parameters())
    for _ in range(60):
        loss = nn.functional.cross_entropy(classifier(images), labels)
        with torch.no_grad():
            for parameter, slope in zip(parameters, grad(loss, parameters), strict=True):
                parameter.sub_(0.01 * slope.sign())
    assert (classifier(images).argmax(1) == labels).all()
    return classifier.requires_grad_(requires_grad=False)


def convolutions(
    classes: int = CLASSES, shape: tuple[int, int, int] = SHAPE, **more: nn.Module
) -> nn.Module:
    layers = [nn.Conv2d(shape[0], 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()]
    return nn.Sequential(
        *layers, nn.Linear((shape[1] // 2) * (shape[2] // 2) * 4, classes), *more.values()
    )


@pytest.fixture(autouse=True)
def _short_autoattack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoattack, "_STEPS", 5)
    monkeypatch.setattr(autoattack, "_QUERIES", 30)


@pytest.fixture(scope="module")
def convolutional() -> Classifier:
    return trained(convolutions())


@pytest.fixture(scope="module")
def turned(convolutional: Classifier) -> Classifier:
    """The same, its weights and with them its maps stored with channels last."""
    return copy.deepcopy(convolutional).to(memory_format=torch.channels_last)


@pytest.fixture(scope="module")
def linear() -> Classifier:
    return trained(nn.Sequential(nn.Flatten(), nn.Linear(192, CLASSES)))


def fooled(classifier: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    with torch.no_grad():
        return float((classifier(images).argmax(1) != labels).float().mean())


def check_success(name: str, rate: float) -> None:
    """One that looks for the nearest must find it; one with a radius may have too little room."""
    if name in CONTROLS:
        assert rate < 0.4
    else:
        assert rate > (0.9 if load(name).minimum_norm else 0.4)


def check_range_and_budget(plugin: Attack, result: torch.Tensor, images: torch.Tensor) -> None:
    assert (result.shape, result.dtype) == (images.shape, images.dtype)
    assert not result.requires_grad
    assert result.isfinite().all()
    assert result.min() >= -TOLERANCE
    assert result.max() <= 1 + TOLERANCE
    if plugin.budget is not None:
        assert measure(plugin.budget.norm, result - images).max() <= plugin.budget.eps + TOLERANCE


# the table itself


def test_the_version_in_use_is_the_one_that_planning_sees_and_make_asks_for() -> None:
    import torchattacks

    here = torchattacks.__version__
    assert metadata.version("torchattacks") == here == os.environ.get("TORCHATTACKS", here)


def test_the_table_is_what_torchattacks_offers() -> None:
    import torchattacks

    rows = {row.class_name: row for row in vars(table).values() if is_row(row)}
    offered = set(torchattacks.__all__)
    assert offered <= rows.keys() | table.LEFT_OUT.keys()
    assert not rows.keys() & table.LEFT_OUT.keys()
    here = {name for name, row in rows.items() if not row().unsuited(classes=4, image_shape=SHAPE)}
    assert here <= offered
    for name in offered & rows.keys() - here:
        assert "it needs torchattacks" in str(rows[name]().unsuited(classes=4, image_shape=SHAPE))


def is_row(row: object) -> bool:
    return isinstance(row, type) and issubclass(row, Wrapped) and row is not Wrapped


@pytest.mark.parametrize("name", cases("none", only=is_wrapped))
def test_a_row_offers_every_parameter_or_says_why_not(name: str) -> None:
    import inspect

    import torchattacks

    plugin = load(name)
    theirs = set(inspect.signature(getattr(torchattacks, plugin.class_name)).parameters)
    ours = {spec.name or name for name, spec in plugin.table.items() if name != "precision"}
    reported = {"model", "verbose", *plugin.wants} | plugin.withheld.keys()
    assert theirs - reported <= ours <= theirs
    assert name.partition(":")[0] == plugin.class_name.lower()
    assert set(plugin.faults.values()) <= set(plugin.model_construct().all_caveats)
    assert {check.partition(":")[0] for check in plugin.faults} <= CHECKS


CHECKS = {
    *("budget", "zero", "rises", "targets", "restored", "seed", "batch", "channels_last"),
    *(
        "black_and_white",
        "bf16",
        "cuda",
        "suited",
        "negative_logits",
        "certainty",
        "flat",
        "traceable",
    ),
}


# images


@pytest.mark.parametrize("name", cases("budget"))
def test_images_stay_in_range_and_budget(name: str, convolutional: Classifier) -> None:
    images, labels = data(COUNT)
    kept = images.clone()
    plugin = attack(name)
    result = plugin.perturb(convolutional, images, labels, generator=generator())
    assert torch.equal(images, kept)
    check_range_and_budget(plugin, result, images)
    assert torch.equal(result, images) == (name == "vanila")


@pytest.mark.parametrize("name", cases("none", only=lambda plugin: radius(plugin) is not None))
def test_a_radius_is_a_budget(name: str) -> None:
    plugin = attack(name)
    assert plugin.budget == Budget(plugin.norm, getattr(plugin, str(radius(load(name)))))


def test_the_budget_of_onepixel_is_a_number_of_pixels() -> None:
    assert attack("onepixel", pixels=3).budget == Budget("l0", 3)


@pytest.mark.parametrize("name", cases("zero", only=lambda plugin: radius(plugin) is not None))
def test_a_radius_of_zero_changes_nothing(name: str, convolutional: Classifier) -> None:
    images, labels = data(COUNT)
    size = radius(load(name))
    plugin = attack(name, **{str(size): 0.0})
    assert torch.equal(plugin.perturb(convolutional, images, labels, generator=generator()), images)


@pytest.mark.parametrize("name", cases("rises", only=lambda plugin: radius(plugin) is not None))
def test_success_rises_with_the_radius(name: str, linear: Classifier) -> None:
    images, labels = data(COUNT)
    size = str(radius(load(name)))
    largest = getattr(attack(name), size)
    rates = []
    for share in (0.02, 0.2, 0.4, 1.0):
        plugin = attack(name, **{size: share * largest})
        result = plugin.perturb(linear, images, labels, generator=generator())
        rates.append(fooled(linear, result, labels))
    assert rates == sorted(rates)
    assert rates[0] == 0
    assert (rates[-1] > 0.8) == (name not in CONTROLS)


@pytest.mark.parametrize("name", cases("rises", only=lambda plugin: radius(plugin) is None))
def test_an_attack_without_a_radius_fools(name: str, linear: Classifier) -> None:
    images, labels = data(COUNT)
    result = attack(name).perturb(linear, images, labels, generator=generator())
    check_success(name, fooled(linear, result, labels))


@pytest.mark.parametrize("name", cases("targets", only=lambda plugin: plugin.targetable))
def test_targets_are_reached(name: str, convolutional: Classifier) -> None:
    images, labels = data(COUNT)
    targets = (labels + 2) % CLASSES
    result = attack(name).perturb(
        convolutional, images, labels, targets=targets, generator=generator()
    )
    assert fooled(convolutional, images, targets) == 1
    assert fooled(convolutional, result, targets) < 0.4


@pytest.mark.parametrize("loss", ["ce", "dlr", "margin"])
def test_targets_are_reached_with_each_loss(loss: str, convolutional: Classifier) -> None:
    images, labels = data(COUNT)
    targets = (labels + 2) % CLASSES
    result = attack("upgd", loss=loss).perturb(
        convolutional, images, labels, targets=targets, generator=generator()
    )
    assert fooled(convolutional, result, targets) < 0.4


@pytest.mark.parametrize("name", cases("none", only=lambda p: is_wrapped(p) and not p.targetable))
def test_targets_are_refused_for_a_reason(name: str, convolutional: Classifier) -> None:
    images, labels = data(COUNT)
    targets = (labels + 2) % CLASSES
    plugin: Any = attack(name)

    def run() -> torch.Tensor:
        return plugin.perturb(convolutional, images, labels, targets=targets, generator=generator())

    if plugin.refusal is None:
        with pytest.raises(ValueError, match="Targeted mode is not supported"):
            run()
    else:
        assert fooled(convolutional, run(), targets) > 0.5


@pytest.mark.parametrize("name", cases("black_and_white"))
def test_black_and_white_images_are_fooled_too(name: str, linear: Classifier) -> None:
    images = torch.rand(COUNT, *SHAPE, generator=generator(3)).gt(0.5).float()
    labels = linear(images).argmax(1)
    plugin = attack(name)
    size = radius(type(plugin))
    if size is not None:  # half of the values can only move one way
        plugin = plugin.model_copy(update={size: 2 * getattr(plugin, size)})
    result = plugin.perturb(with_a_gap_of(5, linear, images), images, labels, generator=generator())
    check_range_and_budget(plugin, result, images)
    check_success(name, fooled(linear, result, labels))


@pytest.mark.parametrize("name", cases("negative_logits"))
def test_a_constant_added_to_all_logits_changes_nothing(name: str, linear: Classifier) -> None:
    images, labels = data(COUNT)
    shifted = nn.Sequential(linear, Rescale(shift=-50))
    result = attack(name).perturb(shifted, images, labels, generator=generator())
    check_success(name, fooled(linear, result, labels))


@pytest.mark.parametrize("name", cases("certainty"))
def test_a_classifier_that_is_certain_is_fooled_too(name: str, linear: Classifier) -> None:
    images, labels = data(COUNT)
    certain = with_a_gap_of(60, linear, images)  # logits whose softmax is 1 in float32
    result = attack(name).perturb(certain, images, labels, generator=generator())
    check_success(name, fooled(linear, result, labels))


@pytest.mark.parametrize("name", cases("flat"))
def test_a_gradient_of_zero_yields_images_all_the_same(name: str, linear: Classifier) -> None:
    images, labels = data(COUNT)
    plugin = attack(name)
    flat = nn.Sequential(linear, Rescale(scale=0))
    check_range_and_budget(
        plugin, plugin.perturb(flat, images, labels, generator=generator()), images
    )


class FlatOnce(nn.Module):
    """At one of its calls, logits whose gradient is zero."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at, self.calls = at, 0

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return 0 * logits if self.calls == self.at else logits


@pytest.mark.parametrize("name", ["mifgsm", "nifgsm", "difgsm", "tifgsm", "upgd"])
def test_momentum_is_lost_for_good_where_a_gradient_is_zero_once(
    name: str, linear: Classifier
) -> None:
    images, labels = data(COUNT)

    def reach(name: str) -> float:
        flat = nn.Sequential(linear, FlatOnce(at=2))
        result = attack(name).perturb(flat, images, labels, generator=generator())
        return float(measure("linf", result - images).max())

    step = LARGE["eps"] / 4
    assert reach("bim") == pytest.approx(LARGE["eps"], abs=TOLERANCE)
    assert reach(name) == pytest.approx(step, abs=TOLERANCE)  # the first step, and no other
    assert table.STUCK in load(name).caveats


@pytest.mark.parametrize("name", cases("bf16", only=follows_gradients))
def test_bf16_reaches_the_classifier_and_nothing_else(name: str, convolutional: Classifier) -> None:
    images, labels = data(COUNT)
    plain, low = attack(name), attack(name, precision="bf16")
    assert "precision" not in plain.parameters()
    assert low.parameters() == {**plain.parameters(), "precision": "bf16"}
    seen: list[torch.dtype] = []
    with convolutional.register_forward_hook(lambda *call: seen.append(call[2].dtype)):
        result = low.perturb(convolutional, images, labels, generator=generator())
    assert torch.bfloat16 in seen
    check_range_and_budget(low, result, images)
    assert fooled(convolutional, result, labels) > 0.4


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("onepixel", {"pixels": 5, "steps": 6, "popsize": 50}),
        ("pixle", {"restarts": 10, "max_iterations": 5}),
    ],
)
def test_a_search_over_probabilities_is_weaker_where_they_are_all_one(
    name: str, parameters: dict[str, Any], linear: Classifier
) -> None:
    images, labels = data(COUNT)
    plugin = attack(name, **parameters)
    certain = with_a_gap_of(60, linear, images)
    rates = [
        fooled(linear, plugin.perturb(model, images, labels, generator=generator()), labels)
        for model in (linear, certain)
    ]
    assert rates[1] <= 0.5 * rates[0]
    assert table.ALIKE in plugin.caveats


def with_a_gap_of(gap: float, classifier: Classifier, images: torch.Tensor) -> nn.Module:
    """The classifier, its logits scaled so that the two largest lie that far apart, on average."""
    top = classifier(images).topk(2).values
    return nn.Sequential(classifier, Rescale(scale=gap / float((top[:, 0] - top[:, 1]).mean())))


class Rescale(nn.Module):
    """Changes logits, but not predictions."""

    def __init__(self, scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return self.scale * logits + self.shift


@pytest.mark.parametrize("name", cases("channels_last"))
def test_channels_may_come_last(name: str, turned: Classifier) -> None:
    images, labels = data(COUNT)
    images = images.to(memory_format=torch.channels_last)
    plugin = attack(name)
    result = plugin.perturb(turned, images, labels, generator=generator())
    check_range_and_budget(plugin, result, images)
    check_success(name, fooled(turned, result, labels))


# what draws, and what depends on its batch


@pytest.mark.parametrize("name", cases("seed"))
def test_the_seed_decides_alone(name: str, convolutional: Classifier) -> None:
    images, labels = data(COUNT)

    def run(seed: int) -> torch.Tensor:
        torch.manual_seed(random.randrange(100))
        np.random.seed(random.randrange(100))
        return attack(name).perturb(convolutional, images, labels, generator=generator(seed))

    first = run(0)
    assert torch.equal(first, run(0))
    assert torch.equal(first, run(1)) == (name.partition(":")[0] in DRAWS_NOTHING)


@pytest.mark.parametrize("name", cases("batch", only=lambda plugin: plugin.batch_invariant))
def test_the_batch_changes_nothing_where_that_is_said(name: str, convolutional: Classifier) -> None:
    images, labels = data(COUNT)

    def run(size: int) -> torch.Tensor:
        stream = generator()
        parts = [
            attack(name).perturb(
                convolutional, images[i : i + size], labels[i : i + size], generator=stream
            )
            for i in range(0, len(images), size)
        ]
        return torch.cat(parts)

    whole = run(COUNT)
    assert torch.equal(run(1), whole)
    assert torch.equal(run(3), whole)


@pytest.mark.parametrize("name", cases("traceable", only=lambda plugin: plugin.traceable))
def test_the_calls_of_a_traceable_attack_are_its_iterates(name: str, linear: Classifier) -> None:
    images, labels = data(COUNT)
    plugin = attack(name)
    calls: list[torch.Tensor] = []
    linear.reset()
    handle = linear.register_forward_pre_hook(
        lambda _, inputs: calls.append(inputs[0].detach().clone())
    )
    with handle, linear.tracing(labels, None, on=True) as trace:
        result = plugin.perturb(linear, images, labels, generator=generator())
    assert len(calls) == trace.calls <= plugin.passes
    assert linear.forwards == trace.calls * len(images)
    for call in calls:
        check_range_and_budget(plugin, call, images)
    assert all(not torch.equal(*pair) for pair in list(pairwise(calls))[:1])
    assert fooled(linear, result, labels) > 0.4
    assert all(step is not None for step in trace.steps)


# what is left as it was


def state(model: nn.Module) -> list[Any]:
    numpy_state: Any = np.random.get_state()
    return [
        [tensor.tolist() for tensor in model.state_dict().values()],
        [module.training for module in model.modules()],
        [len(module._forward_hooks) for module in model.modules()],
        [parameter.requires_grad for parameter in model.parameters()],
        [None if p.grad is None else p.grad.tolist() for p in model.parameters()],
        torch.get_rng_state().tolist(),
        numpy_state[1].tolist(),
        random.getstate(),
    ]


class Fragile(nn.Module):
    """Raises at one of its calls; counts them."""

    def __init__(self, at: int | None) -> None:
        super().__init__()
        self.at = at
        self.calls = 0

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls == self.at:
            raise RuntimeError("out of memory")
        return logits


def used(at: int | None = None) -> tuple[nn.Module, Fragile]:
    """A network with mixed modes, a frozen layer, a hook, and a gradient that someone may need."""
    fragile = Fragile(at)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 4), fragile
    )
    network[0].register_forward_hook(lambda *_: None)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        for parameter in network.parameters():
            nn.init.normal_(parameter)
    network[0](torch.ones(1, *SHAPE)).sum().backward()
    network[3].requires_grad_(requires_grad=False)
    network[1].eval()
    return network, fragile


@pytest.mark.parametrize("name", cases("restored"))
def test_everything_is_left_as_it_was(name: str) -> None:
    images, labels = data(4)
    network, fragile = used()
    before = state(network)
    attack(name).perturb(network, images, labels, generator=generator())
    assert state(network) == before
    assert (fragile.calls == 0) == (name in CONTROLS)
    for at in {1, 3} & set(range(1, fragile.calls + 1)):
        network, fragile = used(at)
        before = state(network)
        with pytest.raises(RuntimeError, match="out of memory"):
            attack(name).perturb(network, images, labels, generator=generator())
        assert state(network) == before


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", cases("cuda"))
def test_it_runs_on_cuda_and_leaves_its_generator(name: str, convolutional: Classifier) -> None:
    images, labels = data(COUNT)
    torch.cuda.manual_seed(1)
    before = torch.cuda.get_rng_state()
    model = copy.deepcopy(convolutional).cuda()
    plugin = attack(name)
    with Compute("cuda", "contiguous", COUNT, threads=1).applied():  # as in a cell
        first, again = (
            plugin.perturb(model, images.cuda(), labels.cuda(), generator=generator())
            for _ in range(2)
        )
    assert first.is_cuda
    assert torch.equal(first, again)
    check_range_and_budget(plugin, first, images.cuda())
    assert torch.equal(torch.cuda.get_rng_state(), before)


# data that an attack cannot bear

KINDS: Mapping[str, tuple[int, tuple[int, int, int]]] = {
    "two classes": (2, (3, 8, 8)),
    "three classes": (3, (3, 8, 8)),
    "one channel": (4, (1, 8, 8)),
    "oblong": (4, (3, 8, 12)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", cases("suited"))
def test_what_data_it_bears_is_said(
    name: str, kind: str, classifiers: Mapping[str, Classifier]
) -> None:
    classes, shape = KINDS[kind]
    images, labels = data(4, classes, shape)
    plugin = attack(name)
    reason = plugin.unsuited(classes=classes, image_shape=shape)
    if reason is None:
        result = plugin.perturb(classifiers[kind], images, labels, generator=generator())
        check_range_and_budget(plugin, result, images)
    elif is_wrapped(type(plugin)):
        with pytest.raises((RuntimeError, IndexError, AssertionError)):
            plugin.perturb(classifiers[kind], images, labels, generator=generator())


@pytest.mark.parametrize(
    "sides", [(4, 4), (8, 8), (12, 12), (13, 13), (14, 14), (16, 16), (24, 24), (25, 25), (8, 32)]
)
def test_square_says_which_sizes_it_bears_in_the_l2_norm(sides: tuple[int, int]) -> None:
    shape = (3, *sides)
    images, _ = data(4, shape=shape)
    network = convolutions(shape=shape)
    labels = network(images).argmax(1)
    plugin = attack("square", norm="l2", eps=0.1)

    def run() -> torch.Tensor:
        return plugin.perturb(network, images, labels, generator=generator())

    if plugin.unsuited(classes=CLASSES, image_shape=shape) is None:
        check_range_and_budget(plugin, run(), images)
    else:
        with pytest.raises((RuntimeError, ZeroDivisionError)):
            run()


@pytest.fixture(scope="module")
def classifiers() -> Mapping[str, Classifier]:
    return {
        kind: trained(convolutions(classes, shape), classes=classes, shape=shape)
        for kind, (classes, shape) in KINDS.items()
    }
