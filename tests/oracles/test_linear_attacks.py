"""Closed-form truth: what attacks must reach on a linear classifier of two classes.

For logits ``w . x + b``, moving each value by eps against the gradient changes the margin by
``eps * |w_other - w_label|_1``; that is the most that L-infinity allows. So an image is
misclassified exactly where its margin is smaller, as long as no value meets 0 or 1. In the same way
the nearest image of the other class lies at the margin over that weight difference's norm: its l1
norm for L-infinity, l2 for l2, L-infinity for l1.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from bench import registry
from bench.api import Attack
from bench.classifier.classifier import Classifier
from bench.norms import Norm, measure
from bench.referee import attacks as referee

SWEEP = (0.004, 0.01, 0.02, 0.05)
COUNT = 96
SHAPE = (3, 8, 8)


@pytest.fixture(scope="module")
def linear() -> Classifier:
    torch.manual_seed(3)
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    with torch.no_grad():
        network[1].bias.add_(10)  # positive logits: the margin of CW and EAD wants them
    return Classifier(network, (0.5, 0.4, 0.3), (0.2, 0.3, 0.25))


def images_and_labels(classifier: Classifier, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    # room for the largest eps on both sides of every value
    images = 0.1 + 0.8 * torch.rand(count, *SHAPE, generator=generator)
    with torch.no_grad():
        return images, classifier(images).argmax(1)


def difference(classifier: Classifier) -> torch.Tensor:
    """The weights of one class less those of the other, of pixels in [0, 1], in float64."""
    weight = classifier.network[1].weight.double().view(2, *SHAPE) / classifier.std.double()
    return (weight[1] - weight[0]).detach()


def margins(classifier: Classifier, images: torch.Tensor) -> torch.Tensor:
    """By how much each image's label wins, in float64, without calling the classifier."""
    shift = (difference(classifier) * classifier.mean[0].double()).sum()
    bias = classifier.network[1].bias.double().diff().detach()
    return ((images.double() * difference(classifier)).sum((1, 2, 3)) - shift + bias).abs()


def reaches(classifier: Classifier) -> dict[Norm, float]:
    """How far a step of length 1 in each norm moves the margin, at most."""
    weight = difference(classifier)
    return {
        "linf": float(weight.abs().sum()),
        "l2": float(weight.square().sum().sqrt()),
        "l1": float(weight.abs().max()),
    }


def attack(name: str, **parameters: Any) -> Attack:
    plugin = registry.load("attacks", name)(**parameters)
    assert isinstance(plugin, Attack)
    missing = plugin.unsuited(classes=2, image_shape=SHAPE)
    if missing is not None:
        pytest.skip(missing)
    return plugin


def run(
    plugin: Attack,
    classifier: Classifier,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    batch: int,
    targeted: bool,
) -> torch.Tensor:
    """Attack in batches; return the images."""
    if targeted and not plugin.targetable:
        pytest.skip("it does not honour targets")
    generator = torch.Generator().manual_seed(5)
    parts = []
    for part in torch.arange(len(images)).split(batch):
        targets = 1 - labels[part] if targeted else None
        parts.append(
            plugin.perturb(
                classifier, images[part], labels[part], targets=targets, generator=generator
            )
        )
    return torch.cat(parts)


def misclassified(
    plugin: Attack,
    classifier: Classifier,
    images: torch.Tensor,
    found: torch.Tensor,
    labels: torch.Tensor,
) -> torch.Tensor:
    """Which images the referee finds misclassified, each within its budget."""
    records = referee.judge_attack(
        referee.classify(classifier, images),
        referee.classify(classifier, found),
        images,
        found,
        labels,
        [str(i) for i in range(len(images))],
        target=None,
        budget=plugin.budget,
        steps=[None] * len(images),
    )
    assert all(record.violation is None for record in records)
    return torch.tensor([record.prediction != record.label for record in records])


# in an L-infinity ball

STEPPED = {"steps": 4}
"""With an alpha of eps / 2 these cross the whole ball."""

EXACT: dict[str, dict[str, Any]] = {
    "fgsm": {},
    "ffgsm": {"alpha": 2.0},
    "pifgsm": {"num_iter_set": 3, "amplification": 3},
    "difgsm": {**STEPPED, "diversity_prob": 0},
    "tifgsm": {**STEPPED, "diversity_prob": 0, "len_kernel": 1},
    "apgd": {"steps": 2},
    "auto_pgd": {"steps": 8},
    **dict.fromkeys(("bim", "rfgsm", "pgd", "eotpgd", "upgd", "pgdrs"), STEPPED),
    **dict.fromkeys(("mifgsm", "nifgsm"), STEPPED),
    "sinifgsm": {**STEPPED, "m": 2},
    "vmifgsm": {**STEPPED, "N": 2},
    "vnifgsm": {**STEPPED, "N": 2},
}
"""Attacks that must reach the corner of the ball, and parameters with which they can."""

INEXACT = {
    "tpgd": "it leaves the clean prediction in either direction",
    "jitter": "its gradient is not that of the margin",
    "pifgsmpp": "it smooths the gradient",
    "fab": "it stops a little beyond the boundary",
    "square": "it searches at random",
    "spsa": "it estimates the gradient at random",
    "square_attack": "it searches at random",
    "apgdt": "it needs four classes",
    "autoattack": "it needs four classes",
    "noise": "it is a control",
}


def test_every_attack_in_an_linf_ball_is_exact_or_it_is_said_why_not() -> None:
    offered = {
        offer.name
        for offer in registry.offers("attacks")
        if offer.module.startswith("bench_plugins.")
        and (budget := registry.load("attacks", offer.name)().budget) is not None  # type: ignore[attr-defined]
        and budget.norm == "linf"
    }
    assert offered == EXACT.keys() | INEXACT.keys()
    assert not EXACT.keys() & INEXACT.keys()


def in_ball(name: str, eps: float) -> Attack:
    parameters = dict(EXACT[name])
    if "steps" in parameters and name not in ("apgd", "auto_pgd"):
        parameters["alpha"] = eps / 2
    if "alpha" in parameters and name == "ffgsm":
        parameters["alpha"] *= eps
    return attack(name, **parameters, **{"max_epsilon" if name == "pifgsm" else "eps": eps})


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize(
    ("name", "batch"),
    [
        *((name, 32) for name in EXACT),
        # one image at a time takes long: of one attack among the fast tests
        ("fgsm", 1),
        *(pytest.param(name, 1, marks=pytest.mark.slow) for name in EXACT if name != "fgsm"),
    ],
)
def test_success_is_what_geometry_says(
    linear: Classifier, name: str, batch: int, targeted: bool
) -> None:
    images, labels = images_and_labels(linear, COUNT if batch > 1 else COUNT // 12)
    margin = margins(linear, images)
    rates = []
    for eps in SWEEP:
        plugin = in_ball(name, eps)
        found = run(plugin, linear, images, labels, batch=batch, targeted=targeted)
        expected = margin < eps * reaches(linear)["linf"]
        assert torch.equal(misclassified(plugin, linear, images, found, labels), expected), eps
        rates.append(float(expected.float().mean()))
    assert rates[0] < 0.3  # an oracle that says yes or no to all tests nothing
    assert rates[-1] > 0.7


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("alpha", [0.25, 1.0])
def test_pgd_does_not_depend_on_its_step(linear: Classifier, alpha: float, targeted: bool) -> None:
    images, labels = images_and_labels(linear, COUNT)
    for eps in SWEEP:
        plugin = attack("pgd", eps=eps, alpha=alpha * eps, steps=round(2 / alpha))
        found = run(plugin, linear, images, labels, batch=32, targeted=targeted)
        expected = margins(linear, images) < eps * reaches(linear)["linf"]
        assert torch.equal(misclassified(plugin, linear, images, found, labels), expected)


# in a Euclidean ball


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("pgdl2", {}),
        ("pgdrsl2", {"noise_sd": 0.1}),
        ("apgd", {"norm": "l2"}),
        ("auto_pgd", {"norm": "l2", "steps": 30}),
    ],
)
def test_euclidean_success_is_what_geometry_says(
    linear: Classifier, name: str, parameters: dict[str, Any], targeted: bool
) -> None:
    images, labels = images_and_labels(linear, COUNT)
    distance = margins(linear, images) / reaches(linear)["l2"]
    for eps in (0.05, 0.2, 0.4):
        plugin = attack(name, eps=eps, **parameters)
        found = run(plugin, linear, images, labels, batch=32, targeted=targeted)
        fooled = misclassified(plugin, linear, images, found, labels)
        assert not fooled[distance > eps].any()
        assert fooled[1.25 * distance < eps].all()
        assert 0 < fooled.sum() < COUNT


# as near as can be


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize(
    ("name", "norm", "parameters"),
    [
        ("cw", "l2", {"c": 3, "steps": 200, "lr": 0.003}),
        ("deepfool", "l2", {}),
        ("fab", "l2", {"norm": "l2", "eps": 5}),
        ("fab", "linf", {"eps": 1}),
        ("fmn", "linf", {}),
        ("fmn", "l2", {"norm": "l2"}),
        ("fmn", "l1", {"norm": "l1", "steps": 80}),
        ("eaden", "l2", {"beta": 1e-4}),
        ("eadl1", "l1", {"beta": 1e-2}),
    ],
)
def test_the_nearest_image_is_found(
    linear: Classifier, name: str, norm: Norm, parameters: dict[str, Any], targeted: bool
) -> None:
    images, labels = images_and_labels(linear, COUNT // 2)
    plugin = attack(name, **parameters)
    found = run(plugin, linear, images, labels, batch=32, targeted=targeted)
    assert misclassified(plugin, linear, images, found, labels).all()
    ratio = measure(norm, found - images) * reaches(linear)[norm] / margins(linear, images)
    assert ratio.min() > 0.999  # nearer than the boundary is only rounding
    assert ratio.max() < 1.25


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_square_attack_fools_no_image_beyond_its_reach(linear: Classifier, norm: Norm) -> None:
    images, labels = images_and_labels(linear, COUNT // 2)
    distance = margins(linear, images) / reaches(linear)[norm]
    eps = float(distance.median())
    plugin = attack("square_attack", norm=norm, eps=eps, queries=150)
    fell = misclassified(
        plugin,
        linear,
        images,
        run(plugin, linear, images, labels, batch=32, targeted=False),
        labels,
    )
    assert not fell[distance > eps].any()
    assert fell[4 * distance < eps].all()
    assert fell.any()


def test_few_pixels_are_changed(linear: Classifier) -> None:
    """FMN in l0 counts pixels: at most twice as many as the best ones, moved to 0 or 1."""
    images, labels = images_and_labels(linear, COUNT // 4)
    weight = difference(linear) * (1 - 2 * labels)[:, None, None, None]
    room = torch.where(weight > 0, 1 - images, images)
    gains = (room * weight.abs()).sum(1).flatten(1).sort(1, descending=True).values.cumsum(1)
    least = (gains < margins(linear, images)[:, None]).sum(1) + 1
    plugin = attack("fmn", norm="l0", steps=100)
    found = run(plugin, linear, images, labels, batch=32, targeted=False)
    assert misclassified(plugin, linear, images, found, labels).all()
    changed = measure("l0", found - images)
    assert (changed >= least).all()
    assert (changed <= 2 * least + 1).all()


def test_few_values_are_changed(linear: Classifier) -> None:
    images, labels = images_and_labels(linear, COUNT // 2)
    weight = difference(linear) * (1 - 2 * labels)[:, None, None, None]
    room = torch.where(weight > 0, 1 - images, images)  # values move to 0 or 1, the best first
    gains = (room * weight.abs()).flatten(1).sort(1, descending=True).values.cumsum(1)
    least = (gains < margins(linear, images)[:, None]).sum(1) + 1
    plugin = attack("sparsefool", lam=1)  # the default, 3, goes three times as far as it must
    found = run(plugin, linear, images, labels, batch=32, targeted=False)
    assert misclassified(plugin, linear, images, found, labels).all()
    changed = (found != images).flatten(1).sum(1)
    assert (changed >= least).all()
    assert (changed <= 2 * least).all()
