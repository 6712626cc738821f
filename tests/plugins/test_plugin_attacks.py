"""Each attack, against classifiers whose answer is known, and against what it must leave alone."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench.api import Attack, Model
from bench.errors import PluginError
from bench.norms import TOLERANCE, measure
from bench.records import Budget
from bench_plugins.attacks import torchattacks as adapter
from bench_plugins.attacks.autoattack import AutoAttack
from bench_plugins.attacks.noise import Noise
from bench_plugins.attacks.table import APGD, APGDT, CW, FGSM, PGD
from bench_plugins.models.resnet_small import ResNetSmall
from bench_plugins.models.simple_cnn import SimpleCNN

TABLE: dict[str, Attack] = {"fgsm": FGSM(), "pgd": PGD(steps=3), "noise": Noise()}
SHAPE = (3, 6, 6)


class Linear(nn.Module):
    """Logits that are linear in the pixels: the gradient has a closed form."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 6 * 6, classes)
        fixed = torch.Generator().manual_seed(3)
        nn.init.normal_(self.layer.weight, generator=fixed)
        nn.init.normal_(self.layer.bias, generator=fixed)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layer(images.flatten(1))
        return logits


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(count: int = 12, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.rand(count, *SHAPE, generator=generator(1))
    images[0] = 0  # black and white images press against the bounds
    images[1] = 1
    return images, torch.randint(classes, (count,), generator=generator(2))


def classifier() -> nn.Module:
    return Linear().eval().requires_grad_(requires_grad=False)


@pytest.mark.parametrize("name", TABLE)
def test_images_stay_in_range_and_budget(name: str) -> None:
    attack = TABLE[name]
    images, labels = batch()
    kept = images.clone()
    result = attack.perturb(classifier(), images, labels, generator=generator())
    assert torch.equal(images, kept)
    assert (result.shape, result.dtype) == (images.shape, images.dtype)
    assert not result.requires_grad
    assert result.min() >= 0
    assert result.max() <= 1
    assert attack.budget == Budget("linf", 8 / 255)
    reached = measure("linf", result - images)
    assert reached.max() <= 8 / 255 + TOLERANCE
    assert reached.min() > 7 / 255  # it uses its budget on each image, the black and white ones too


@pytest.mark.parametrize("name", TABLE)
def test_one_seed_one_result(name: str) -> None:
    images, labels = batch()

    def run(seed: int) -> torch.Tensor:
        return TABLE[name].perturb(classifier(), images, labels, generator=generator(seed))

    torch.manual_seed(11)
    first = run(0)
    torch.manual_seed(12)  # the global generator decides nothing
    assert torch.equal(first, run(0))
    assert torch.equal(first, run(1)) == (name == "fgsm")  # which draws nothing


@pytest.mark.parametrize("name", TABLE)
def test_no_budget_no_change(name: str) -> None:
    images, labels = batch()
    attack = TABLE[name].model_copy(update={"eps": 0.0})
    assert torch.equal(attack.perturb(classifier(), images, labels, generator=generator()), images)


@pytest.mark.parametrize("name", TABLE)
def test_it_runs_where_gradients_are_off(name: str) -> None:
    images, labels = batch()
    with torch.no_grad():
        result = TABLE[name].perturb(classifier(), images, labels, generator=generator())
        assert not torch.is_grad_enabled()
    assert not torch.equal(result, images)


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_an_attack_raises_the_loss_and_lowers_the_targets(name: str) -> None:
    images, labels = batch(40)
    model = classifier()
    loss = nn.CrossEntropyLoss(reduction="none")
    result = TABLE[name].perturb(model, images, labels, generator=generator())
    assert (loss(model(result), labels) > loss(model(images), labels)).all()
    targets = (labels + 1) % 4
    assert TABLE[name].targetable
    result = TABLE[name].perturb(model, images, labels, targets=targets, generator=generator())
    assert (loss(model(result), targets) < loss(model(images), targets)).all()
    # the labels have no say where there are targets
    other = TABLE[name].perturb(model, images, targets, targets=targets, generator=generator())
    assert torch.equal(other, result)


def test_noise_is_not_targetable_and_never_calls_the_classifier() -> None:
    assert not Noise.targetable
    assert Noise().passes == 0
    images, labels = batch()
    Noise().perturb(nn.Module(), images, labels, generator=generator())


# closed forms


def gradient_sign(model: Linear, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The sign of W'(softmax - onehot), in float64, written without autograd."""
    weight = model.layer.weight.double()
    logits = images.flatten(1).double() @ weight.T + model.layer.bias.double()
    gradient = (logits.softmax(1) - nn.functional.one_hot(labels, 4)) @ weight
    assert gradient.abs().min() > 1e-12  # else float32 could tell another sign
    return gradient.sign().float().view_as(images)


@pytest.mark.parametrize("eps", [0.003, 8 / 255, 0.3])
@pytest.mark.parametrize("targeted", [False, True])
def test_fgsm_on_a_linear_classifier_is_its_formula(eps: float, targeted: bool) -> None:
    images, labels = batch(20)
    model = Linear().eval()
    targets = (labels + 1) % 4 if targeted else None
    sign = gradient_sign(model, images, labels if targets is None else targets)
    step = eps * (sign if targets is None else -sign)
    expected = (images + step).clamp(0, 1)
    result = FGSM(eps=eps).perturb(model, images, labels, targets=targets, generator=generator())
    assert torch.equal(result, expected)


def test_pgd_on_two_classes_reaches_the_corner_of_the_ball() -> None:
    # with two classes the sign of the gradient is the same everywhere, so the optimum is a corner
    images, labels = batch(20, classes=2)
    model = Linear(classes=2).eval()
    weight = model.layer.weight
    direction = (weight[1] - weight[0]).sign() * (1 - 2 * labels[:, None])
    expected = (images + 0.1 * direction.view_as(images)).clamp(0, 1)
    attack = PGD(eps=0.1, steps=9)  # alpha is eps / 4: eight steps cross the whole ball
    result = attack.perturb(model, images, labels, generator=generator())
    assert (result - expected).abs().max() < TOLERANCE


def test_one_step_of_pgd_without_a_random_start_is_fgsm() -> None:
    images, labels = batch(16)
    one = PGD(eps=0.02, alpha=0.02, steps=1, random_start=False)
    result = one.perturb(classifier(), images, labels, generator=generator())
    expected = FGSM(eps=0.02).perturb(classifier(), images, labels, generator=generator())
    assert (result - expected).abs().max() < TOLERANCE


def test_pgds_calls_are_its_iterates() -> None:
    seen: list[torch.Tensor] = []
    model = classifier()
    model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    images, labels = batch()
    assert PGD.traceable
    PGD(steps=4, random_start=False).perturb(model, images, labels, generator=generator())
    assert [len(call) for call in seen] == [len(images)] * 4
    assert torch.equal(seen[0], images)
    moved = [float(measure("linf", call - images).max()) for call in seen]
    assert moved == pytest.approx([i * 2 / 255 for i in range(4)], abs=TOLERANCE)


def test_alpha_follows_eps_and_is_reported() -> None:
    assert PGD().parameters()["alpha"] == 2 / 255  # torchattacks' default, bit for bit
    assert PGD(eps=0.1).parameters()["alpha"] == 0.1 / 4
    assert PGD(eps=0.1, alpha=0.01).parameters()["alpha"] == 0.01
    assert PGD(steps=7).passes == 7
    images, labels = batch()
    given, derived = PGD(eps=0.1, alpha=0.025), PGD(eps=0.1)
    assert torch.equal(
        given.perturb(classifier(), images, labels, generator=generator()),
        derived.perturb(classifier(), images, labels, generator=generator()),
    )


def test_a_random_start_is_used() -> None:
    images, labels = batch()
    seen: list[torch.Tensor] = []
    model = classifier()
    model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    PGD(steps=1).perturb(model, images, labels, generator=generator())
    start = seen[0] - images
    assert 0 < measure("linf", start).max() <= 8 / 255 + TOLERANCE
    assert start.unique().numel() > 100


# batches


def in_batches(
    attack: Attack, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, size: int
) -> torch.Tensor:
    stream = generator()
    return torch.cat(
        [
            attack.perturb(model, images[i : i + size], labels[i : i + size], generator=stream)
            for i in range(0, len(images), size)
        ]
    )


@pytest.mark.parametrize(
    ("plugin", "side"),
    [(SimpleCNN, 32), pytest.param(ResNetSmall, 16, marks=pytest.mark.slow)],
)
def test_fgsm_is_the_same_in_every_batch(plugin: type[Model], side: int) -> None:
    torch.manual_seed(0)
    model = plugin().build(classes=10, image_shape=(3, side, side)).eval()
    images = torch.rand(100, 3, side, side, generator=generator(4))
    labels = torch.randint(10, (100,), generator=generator(5))
    assert FGSM.batch_invariant
    whole = in_batches(FGSM(), model, images, labels, 64)
    assert not torch.equal(whole, images)
    for size in (1, 7):
        assert torch.equal(in_batches(FGSM(), model, images, labels, size), whole), size


def test_fgsm_on_a_confident_classifier_is_the_same_in_every_batch() -> None:
    # gradients near float32's smallest number: divided by 64 they are zero, by 1 they are not
    images, _ = batch(64)
    model = Linear().eval()
    logits = model(images)
    gap = logits.topk(2).values.diff().abs().median().item()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(100 / gap)
    labels = logits.argmax(1)
    arguments = {"targets": None, "generator": generator(), "eps": 0.1}
    alone = [
        adapter.run("FGSM", model, i[None], n[None], **arguments)
        for i, n in zip(images, labels, strict=True)
    ]
    whole = adapter.run("FGSM", model, images, labels, **arguments)
    assert not torch.equal(torch.cat(alone), whole)  # torchattacks by itself is not invariant
    results = [in_batches(FGSM(eps=0.1), model, images, labels, size) for size in (1, 7, 64)]
    assert torch.equal(results[0], results[2])
    assert torch.equal(results[1], results[2])


def test_noise_is_the_same_in_every_batch() -> None:
    images, labels = batch(100)
    assert Noise.batch_invariant
    whole = in_batches(Noise(), classifier(), images, labels, 100)
    for size in (1, 7, 64):
        assert torch.equal(in_batches(Noise(), classifier(), images, labels, size), whole), size
    signs = (whole[2:] - images[2:]).sign()
    assert abs(float(signs.mean())) < 0.04  # 10,584 signs: the standard error is 0.01


def test_an_attack_that_depends_on_its_batch_says_so() -> None:
    images, labels = batch(40)
    results = [in_batches(PGD(), classifier(), images, labels, size) for size in (1, 40)]
    assert not torch.equal(*results)  # the random starts differ
    assert not PGD.batch_invariant


# what the adapter leaves alone


class Dirty:
    """An attack of torchattacks with all its bad habits at once."""

    fails = False

    def __init__(self, model: nn.Module, **_: object) -> None:
        self.model = model
        self.normalization_used: object = {"mean": 1}
        self.applied: bool | None = True
        print("constructed")  # noqa: T201

    def set_device(self, device: torch.device) -> None:
        self.device = device

    def set_mode_targeted_by_function(self, _: object) -> None:
        print("targeted")  # noqa: T201

    def _set_normalization_applied(self, flag: bool | None) -> None:
        self.applied = flag

    def __call__(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        assert self.normalization_used is None
        assert self.applied is None
        self.model.train()
        for module in self.model.modules():
            module.register_forward_hook(lambda *_: None)
            module._forward_pre_hooks.clear()
        for parameter in self.model.parameters():
            parameter.requires_grad_(requires_grad=True)
        self.model(images).sum().backward()
        noise = torch.rand(()) + np.random.rand() + random.random()
        if self.fails:
            raise RuntimeError("halfway")
        return images + noise


def state(model: nn.Module) -> tuple[Any, ...]:
    numpy_state: Any = np.random.get_state()
    return (
        torch.get_rng_state().tolist(),
        numpy_state[1].tolist(),
        random.getstate(),
        [module.training for module in model.modules()],
        [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()],
        [parameter.requires_grad for parameter in model.parameters()],
        [None if p.grad is None else p.grad.tolist() for p in model.parameters()],
    )


def a_used_network() -> nn.Module:
    """A network with mixed modes, a frozen layer and a gradient that somebody may still need."""
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(108), nn.Linear(108, 4), nn.Dropout())
    network(torch.rand(5, *SHAPE)).sum().backward()
    network.eval()
    network[3].train()
    network[1].register_forward_pre_hook(lambda *_: None)
    network[2].requires_grad_(requires_grad=False)
    return network


@pytest.mark.parametrize("fails", [False, True])
def test_the_adapter_puts_everything_back(
    fails: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torchattacks

    monkeypatch.setattr(torchattacks, "Dirty", Dirty, raising=False)
    monkeypatch.setattr(Dirty, "fails", fails)
    network = a_used_network()
    images, labels = batch()
    before = state(network)

    def run() -> torch.Tensor:
        return adapter.run("Dirty", network, images, labels, targets=labels, generator=generator())

    if fails:
        with pytest.raises(RuntimeError, match="halfway"):
            run()
    else:
        first = run()
        torch.rand(3)
        torch.manual_seed(8)
        network[1].eval()
        assert torch.equal(first, run())
        torch.set_rng_state(torch.tensor(before[0], dtype=torch.uint8))
    assert state(network) == before
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_a_classifier_that_fails_is_left_as_it_was(name: str) -> None:
    model = Linear()
    model.train()
    calls: list[int] = []

    def fail(*_: object) -> None:
        calls.append(1)
        raise RuntimeError("out of memory")

    model.register_forward_hook(fail)
    images, labels = batch()
    before = state(model)
    with pytest.raises(RuntimeError, match="out of memory"):
        TABLE[name].perturb(model, images, labels, generator=generator())
    assert calls
    assert state(model) == before


class RobModel(Linear):
    """Named and equipped as torchattacks 3.5.1 wants models whose normalisation it takes over."""

    mean = torch.tensor([0.4, 0.4, 0.4])
    std = torch.tensor([0.2, 0.2, 0.2])


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_the_normalisation_switch_stays_off(name: str) -> None:
    images, labels = batch()
    trap = RobModel().eval()
    plain = Linear().eval()
    plain.load_state_dict(trap.state_dict())
    results = [
        TABLE[name].perturb(model, images, labels, generator=generator()) for model in (trap, plain)
    ]
    assert torch.equal(*results)


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    images, labels = batch()
    PGD().perturb(classifier(), images, labels, targets=labels, generator=generator())
    assert capsys.readouterr().out == ""


def test_an_attack_that_the_version_lacks_is_named() -> None:
    with pytest.raises(PluginError, match=r"torchattacks 3\.\d.*has no attack 'Nonsense'"):
        adapter.run("Nonsense", classifier(), *batch(), targets=None, generator=generator())


@pytest.mark.parametrize("plugin", [APGD, APGDT, AutoAttack])
def test_a_fault_in_one_norm_is_printed_in_that_norm_only(plugin: Callable[..., Attack]) -> None:
    assert not [caveat for caveat in plugin(norm="linf").own_caveats if "l2" in caveat]
    assert len([caveat for caveat in plugin(norm="l2").own_caveats if "l2" in caveat]) == 1
    assert set(plugin(norm="l2").own_caveats) <= set(plugin().all_caveats)


def test_faults_of_every_norm_are_those_of_each() -> None:
    assert CW().own_caveats == CW.caveats == CW().all_caveats != ()


@pytest.mark.parametrize(
    ("plugin", "parameters"),
    [
        (FGSM, {"eps": -0.1}),
        (FGSM, {"eps": 8}),
        (PGD, {"steps": 0}),
        (PGD, {"alpha": 0}),
        (Noise, {"eps": float("nan")}),
        (PGD, {"step": 3}),
    ],
)
def test_parameters_out_of_range_are_refused(
    plugin: Callable[..., Attack], parameters: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="validation error"):
        plugin(**parameters)
