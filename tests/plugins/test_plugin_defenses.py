"""The defenses: what they do to pixels, votes, weights and proofs, against slow replicas."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from scipy.ndimage import median_filter
from scipy.stats import norm
from torch import nn
from torch.nn import functional

from bench import metrics, registry
from bench.api import Hardening, Shield
from bench.classifier.classifier import Classifier
from bench.commands import run as session
from bench.errors import SuiteError
from bench.matrix import Matrix
from bench.metrics import METRICS
from bench.store import Store
from bench.training.loop import TrainingHooks
from bench.training.trainer import train

SHAPE = (3, 8, 8)
CLASSES = 3
SHIELDS = ["jpeg", "gaussian_smoothing", "bit_depth", "ensemble", "randomized_smoothing"]
TRANSFORMATIONS = ["jpeg", "gaussian_smoothing", "bit_depth"]


def made(name: str, **parameters: Any) -> Any:
    if name == "ensemble":
        parameters = {"of": ["a", "b", "c"], **parameters}
    return registry.load("defenses", name)(**parameters)


def network(seed: int, channels: int = 3) -> Classifier:
    torch.manual_seed(seed)
    layers = nn.Sequential(
        nn.Conv2d(channels, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, CLASSES)
    )
    return Classifier(layers, (0.5,) * channels, (0.1,) * channels)


def images(count: int = 8, channels: int = 3, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, 8, 8, generator=generator)


def both(name: str, **parameters: Any) -> tuple[nn.Module, nn.Module]:
    """What is judged, and what attacks are given."""
    shield = made(name, **parameters)
    members = [network(seed) for seed in (1, 2, 3)] if name == "ensemble" else []
    return (
        shield.defend(network(0), members, seed=5).eval(),
        shield.surrogate(network(0), members, seed=6).eval(),
    )


def gradient(module: nn.Module, pixels: torch.Tensor) -> torch.Tensor | None:
    """The gradient of the first logits; None where nothing leads back to the pixels."""
    given = pixels.clone().requires_grad_()
    logits = module(given)[:, 0].sum()
    return torch.autograd.grad(logits, given)[0] if logits.requires_grad else None


@pytest.mark.parametrize("name", SHIELDS)
def test_an_answer_depends_neither_on_the_batch_nor_on_what_was_asked_before(name: str) -> None:
    judged, _ = both(name)
    pixels = images()
    whole = judged(pixels)
    alone = torch.cat([judged(pixels[i : i + 1]) for i in range(len(pixels))])
    assert torch.allclose(alone, whole, atol=1e-5)  # convolutions add in another order
    assert torch.equal(alone.argmax(1), whole.argmax(1))
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(1))
    assert torch.allclose(judged(pixels[order]), whole[order], atol=1e-5)
    assert torch.equal(judged(pixels), whole)
    assert torch.isfinite(whole).all()
    assert whole.unique(dim=0).shape[0] > 1


@pytest.mark.parametrize("name", SHIELDS)
def test_attacks_have_finite_gradients_and_the_answers_that_are_judged(name: str) -> None:
    judged, surrogate = both(name, **({"averaged": 32} if "random" in name else {}))
    pixels = images(32)
    given = gradient(surrogate, pixels)
    assert given is not None
    assert torch.isfinite(given).all()
    assert (given.flatten(1).abs().amax(1) > 0).all()
    same = judged(pixels).argmax(1) == surrogate(pixels).argmax(1)
    if name in TRANSFORMATIONS:
        assert torch.equal(judged(pixels), surrogate(pixels))
    else:  # votes and mean probabilities part where votes are close
        assert same.float().mean() > 0.7


@pytest.mark.parametrize("name", ["jpeg", "bit_depth"])
def test_gradients_pass_straight_through_what_has_none(name: str) -> None:
    judged, surrogate = both(name)
    pixels = images()
    hidden = gradient(judged, pixels)
    assert hidden is None or not hidden.any()
    seen = judged.transformation(pixels)
    expected = gradient(network(0), seen)
    assert torch.equal(gradient(surrogate, pixels), expected)
    assert made(name).gradients == "straight_through"


def test_the_blur_has_its_own_gradient() -> None:
    judged, surrogate = both("gaussian_smoothing")
    pixels = images(2).double()
    given = pixels.clone().requires_grad_()
    assert torch.autograd.gradcheck(judged.transformation, (given,), fast_mode=True)
    assert torch.equal(gradient(judged, pixels.float()), gradient(surrogate, pixels.float()))
    assert made("gaussian_smoothing").gradients == "exact"


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_bits_are_those_of_a_slow_replica(bits: int) -> None:
    pixels = images(2)
    found = both("bit_depth", bits=bits)[0].transformation(pixels)
    levels = [level / (2**bits - 1) for level in range(2**bits)]
    for value, given in zip(found.flatten().tolist(), pixels.flatten().tolist(), strict=True):
        assert value == pytest.approx(min(levels, key=lambda level: abs(level - given)), abs=1e-6)
    assert torch.equal(both("bit_depth", bits=bits)[0].transformation(found), found)


@pytest.mark.parametrize(("sigma", "size"), [(0.5, 3), (1.0, 5), (2.0, 15)])
def test_the_blur_is_that_of_a_slow_replica(sigma: float, size: int) -> None:
    pixels = images(2)
    found = both("gaussian_smoothing", sigma=sigma, kernel_size=size)[0].transformation(pixels)
    half = size // 2
    padded = np.pad(
        pixels.numpy().astype(float), ((0, 0), (0, 0), (half,) * 2, (half,) * 2), "reflect"
    )
    expected = np.zeros(pixels.shape)
    total = 0.0
    for i, j in itertools.product(range(-half, half + 1), repeat=2):
        weight = math.exp(-(i * i + j * j) / (2 * sigma**2))
        total += weight
        expected += weight * padded[:, :, half + i : half + i + 8, half + j : half + j + 8]
    assert np.allclose(found.numpy(), expected / total, atol=1e-6)


@pytest.mark.parametrize(("channels", "quality"), [(3, 75), (1, 75), (3, 20)])
def test_jpeg_is_what_the_codec_decodes(channels: int, quality: int, tmp_path: Path) -> None:
    pixels = images(3, channels)
    shielded = made("jpeg", quality=quality).defend(network(0, channels), [], seed=0)
    found = shielded.transformation(pixels)
    for given, seen in zip(pixels, found, strict=True):
        array = np.rint(given.numpy() * 255).astype(np.uint8).transpose(1, 2, 0)
        Image.fromarray(array.squeeze()).save(tmp_path / "it.jpg", quality=quality)
        decoded = np.asarray(Image.open(tmp_path / "it.jpg")).reshape(8, 8, channels)
        assert np.array_equal(
            seen.numpy().transpose(1, 2, 0), np.float32(decoded) / np.float32(255)
        )
        assert not np.array_equal(decoded, array)  # noise is lost: it was compressed
    assert len(shielded(pixels[:0])) == 0


def test_data_that_do_not_suit_are_said() -> None:
    four = {"classes": 3, "image_shape": (4, 8, 8)}
    assert "the images have 4" in made("jpeg").unsuited(**four)
    reported = made("gaussian_smoothing", kernel_size=17).unsuited(**four)
    assert reported == "a kernel of 17 pixels is too large for images of 8x8"
    assert made("gaussian_smoothing", kernel_size=15).unsuited(**four) is None
    for name in ("bit_depth", "ensemble", "randomized_smoothing", "feature_squeezing"):
        assert made(name).unsuited(**four) is None
    for channels in (1, 3):
        assert made("jpeg").unsuited(classes=3, image_shape=(channels, 8, 8)) is None


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("jpeg", {"quality": 100}),
        ("bit_depth", {"bits": 9}),
        ("gaussian_smoothing", {"kernel_size": 4}),
        ("ensemble", {"of": ["a"]}),
        ("ensemble", {"of": ["a", "b", "a"]}),
        ("randomized_smoothing", {"sigma": 0}),
        ("adversarial_training", {"augment": ["flop"]}),
        ("adversarial_training", {"share": 0}),
    ],
)
def test_parameters_out_of_range_are_refused(name: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        made(name, **parameters)


class Says(nn.Module):
    """Gives each image of a batch the logits that it was given."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        return self.logits


@pytest.mark.parametrize("voters", [2, 3, 4, 7])
def test_the_ensemble_follows_its_majority(voters: int) -> None:
    count = 200
    generator = torch.Generator().manual_seed(voters)
    logits = torch.randn(voters, count, 4, generator=generator) * 3
    logits[0, 0] = torch.tensor([0.0, 500.0, 0.0, 0.0])  # whose softmax is zero elsewhere
    members = [Says(each) for each in logits]
    shield = made("ensemble", of=[str(i) for i in range(voters)])
    assert shield.members == tuple(str(i) for i in range(voters))
    found = shield.defend(network(0), members, seed=0)(images(count))
    mean = shield.surrogate(network(0), members, seed=0)(images(count))
    assert torch.isfinite(found).all()
    assert torch.allclose(found.exp().sum(1), torch.ones(count), atol=1e-5)
    ties = 0
    for i in range(count):
        votes, chances = [0] * 4, [0.0] * 4
        for row in logits[:, i].double().tolist():
            votes[row.index(max(row))] += 1
            whole = sum(math.exp(x - max(row)) for x in row)
            chances = [
                c + math.exp(x - max(row)) / whole for c, x in zip(chances, row, strict=True)
            ]
        leaders = [k for k in range(4) if votes[k] == max(votes)]
        ties += len(leaders) > 1
        assert found[i].argmax() == max(leaders, key=lambda k: chances[k])
        assert mean[i].exp().tolist() == pytest.approx([c / voters for c in chances], abs=1e-5)
    assert 0 < ties < count


def test_the_classifier_behind_an_ensemble_has_no_vote_of_its_own() -> None:
    members = [network(seed) for seed in (1, 2)]
    shield = made("ensemble", of=["a", "b"])
    one, other = (shield.defend(network(seed), members, seed=0)(images()) for seed in (0, 9))
    assert torch.equal(one, other)


def test_smoothing_votes_as_a_loop_does() -> None:
    judged, surrogate = both("randomized_smoothing", votes=9, sigma=0.3)
    pixels = images(6)
    inner = network(0)
    found = judged(pixels)
    # the noises: what the inner classifier is shown, less the image
    shown: list[torch.Tensor] = []
    inner.register_forward_pre_hook(lambda _, given: shown.append(given[0]))
    shield = made("randomized_smoothing", votes=9, sigma=0.3)
    again = shield.defend(inner, [], seed=5)(pixels)
    assert torch.equal(again, found)
    assert len(shown) == 9
    noises = torch.stack([each - pixels for each in shown])
    assert torch.allclose(noises, noises[:, :1].expand_as(noises), atol=1e-6)
    assert noises.std() == pytest.approx(0.3, rel=0.1)
    plain = network(0)
    votes = functional.one_hot(torch.stack([plain(each).argmax(1) for each in shown]), CLASSES).sum(
        0
    )
    for row, count in zip(found, votes, strict=True):
        assert count[row.argmax()] == count.max()
    # other seeds draw other noise; what attacks ask draws anew each time, and the same in a copy
    assert not torch.equal(shield.defend(plain, [], seed=7)(pixels), found)
    first, second = surrogate(pixels), surrogate(pixels)
    assert not torch.equal(first, second)
    fresh = shield.surrogate(network(0), [], seed=6)
    assert torch.equal(fresh(pixels), first)
    assert shield.randomised


def test_the_expectation_is_the_mean_of_many() -> None:
    sigma, pixels = 0.2, images(3)
    shield = made("randomized_smoothing", sigma=sigma, averaged=1500)
    found = shield.surrogate(network(0), [], seed=1)(pixels).exp()
    generator = torch.Generator().manual_seed(9)
    noise = torch.randn(1500, *SHAPE, generator=generator) * sigma
    for image, chances in zip(pixels, found, strict=True):
        expected = network(0)(image + noise).softmax(1).mean(0)
        # the standard error of a share among 1500 is below 0.013: three of them
        assert torch.allclose(chances, expected, atol=0.04)


def tail(successes: int, trials: int, chance: float) -> float:
    """The chance of so many successes or more, by hand."""
    return math.fsum(
        math.comb(trials, k) * chance**k * (1 - chance) ** (trials - k)
        for k in range(successes, trials + 1)
    )


@pytest.mark.parametrize("successes", [0, 1, 30, 45, 49, 50])
def test_the_lower_bound_is_that_of_clopper_and_pearson(successes: int) -> None:
    from bench_plugins.defenses.randomized_smoothing import lower_bound

    alpha, trials = 0.01, 50
    low, high = 0.0, 1.0
    for _ in range(60):  # bisection: the chance under which so many are as rare as alpha
        middle = (low + high) / 2
        low, high = (middle, high) if tail(successes, trials, middle) < alpha else (low, middle)
    expected = 0.0 if successes == 0 else low
    assert lower_bound(successes, trials, alpha) == pytest.approx(expected, abs=1e-9)


def test_certificates_are_those_of_a_slow_replica() -> None:
    sigma, alpha, samples, selection = 0.15, 0.05, 150, 20
    shield = made(
        "randomized_smoothing", sigma=sigma, alpha=alpha, samples=samples, selection=selection
    )
    pixels, classifier = images(8), network(0)
    found = shield.certify(classifier, pixels, generator=torch.Generator().manual_seed(4))
    halves = torch.Generator().manual_seed(4)
    parts = [shield.certify(classifier, part, generator=halves) for part in pixels.split(3)]
    assert torch.equal(torch.cat([part.radii for part in parts]), found.radii)
    generator = torch.Generator().manual_seed(4)
    for i, image in enumerate(pixels):
        counts = []
        for number in (selection, samples):
            drawn = [min(128, number - start) for start in range(0, number, 128)]
            noisy = [
                image + sigma * each
                for size in drawn
                for each in torch.randn(size, *SHAPE, generator=generator)
            ]
            predictions = [int(classifier(each[None]).argmax()) for each in noisy]
            counts.append([predictions.count(k) for k in range(CLASSES)])
        leader = counts[0].index(max(counts[0]))
        low, high = 0.0, 1.0
        for _ in range(50):
            middle = (low + high) / 2
            rare = tail(counts[1][leader], samples, middle) < alpha
            low, high = (middle, high) if rare else (low, middle)
        if low > 0.5:
            assert found.predictions[i] == leader
            assert found.radii[i] == pytest.approx(sigma * norm.ppf(low), abs=1e-7)
        else:
            assert (found.predictions[i], found.radii[i]) == (-1, 0)
    assert len(found.predictions.unique()) > 1


def test_the_radius_of_a_linear_classifier_is_never_above_the_distance() -> None:
    """Two classes and a plane between them: under any noise, the distance to it is the radius."""
    generator = torch.Generator().manual_seed(2)
    weights = torch.randn(192, generator=generator)
    plane = nn.Linear(192, 2)
    with torch.no_grad():
        plane.weight.copy_(torch.stack([weights, -weights]))
        plane.bias.zero_()
    classifier = Classifier(nn.Sequential(nn.Flatten(), plane), (0.0,) * 3, (1.0,) * 3)
    unit = (weights / weights.norm()).view(SHAPE)
    base = images(1, seed=3)[0]
    base -= (base * unit).sum() * unit  # on the plane
    distances = torch.tensor([0.0, 0.002, 0.1, 0.2, -0.3, 0.45])
    pixels = base + distances.view(-1, 1, 1, 1) * unit
    sigma = 0.25
    few = made("randomized_smoothing", sigma=sigma, samples=200)
    many = made("randomized_smoothing", sigma=sigma, samples=5000)
    proved = {}
    for name, shield in {"few": few, "many": many}.items():
        proved[name] = shield.certify(
            classifier, pixels, generator=torch.Generator().manual_seed(5)
        )
        assert (proved[name].radii <= distances.abs() + 1e-6).all()
        # on the boundary it abstains, and where it is as good as on it
        assert proved[name].predictions[:2].tolist() == [-1, -1]
        assert proved[name].radii[:2].tolist() == [0, 0]
        sides = torch.where(distances[2:] > 0, 0, 1)
        assert torch.equal(proved[name].predictions[2:], sides)
    gap = distances.abs() - proved["many"].radii
    assert (gap[2:] < 0.05).all()
    assert (gap[2:] < distances.abs()[2:] - proved["few"].radii[2:]).all()


ATTACKS = [
    {"attack": "fgsm", "eps": 0.1},
    {"attack": "pgd", "eps": 0.1, "steps": 5},
    {"attack": "pgd", "eps": 0.05, "alpha": 0.2, "steps": 3},
    {"attack": "fgsm", "eps": 0.05, "alpha": 0.01},
]


@pytest.mark.parametrize("parameters", ATTACKS)
def test_attacked_batches_stay_in_the_ball_and_raise_the_loss(parameters: dict[str, Any]) -> None:
    hardening = made("adversarial_training", **parameters)
    classifier = network(0)
    classifier.requires_grad_()  # as in training
    pixels = images(40)
    pixels[0], pixels[1] = 0, 1
    with torch.no_grad():
        labels = classifier(pixels).argmax(1)
    kept = pixels.clone()

    def attacked(seed: int, given: Hardening = hardening) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return given.adversarial_batch(classifier, pixels, labels, generator=generator)

    found = attacked(1)
    assert torch.equal(pixels, kept)
    assert not found.requires_grad
    assert all(weight.grad is None for weight in classifier.parameters())
    assert (found - pixels).abs().max() <= parameters["eps"] + 1e-6
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.equal(attacked(1), found)
    assert not torch.equal(attacked(2), found)
    with torch.no_grad():
        before = functional.cross_entropy(classifier(pixels), labels, reduction="none")
        after = functional.cross_entropy(classifier(found), labels, reduction="none")
    assert (after > before).float().mean() > 0.9
    assert after.mean() > before.mean() * 1.1
    start = attacked(1, made("adversarial_training", **{**parameters, "alpha": 1e-9}))
    with torch.no_grad():
        idle = functional.cross_entropy(classifier(start), labels, reduction="none")
    assert after.mean() > idle.mean() * 1.1  # it is the steps that do it, not the random start
    part = attacked(1, made("adversarial_training", share=0.25, **parameters))
    moved = (part != pixels).flatten(1).any(1)
    assert moved.tolist() == [True] * 10 + [False] * 30


def test_pgd_raises_the_loss_more_than_one_step() -> None:
    classifier, pixels = network(0), images(40)
    labels = classifier(pixels).argmax(1)
    losses = {}
    for attack in ("fgsm", "pgd"):
        hardening = made("adversarial_training", attack=attack, eps=0.05, steps=10)
        found = hardening.adversarial_batch(
            classifier, pixels, labels, generator=torch.Generator().manual_seed(0)
        )
        losses[attack] = functional.cross_entropy(classifier(found), labels)
    assert losses["pgd"] > losses["fgsm"]


def test_attacks_of_a_linear_classifier_end_in_the_corner() -> None:
    """In a ball, the loss of a linear classifier of two classes is largest in one corner."""
    plane = nn.Linear(192, 2)
    classifier = Classifier(nn.Sequential(nn.Flatten(), plane), (0.0,) * 3, (1.0,) * 3)
    pixels = images(10) * 0.6 + 0.2
    labels = torch.arange(10) % 2
    slope = (plane.weight[1] - plane.weight[0]).sign().view(SHAPE)
    corner = pixels + 0.1 * slope * (1 - 2 * labels).view(-1, 1, 1, 1)
    for parameters in ({"attack": "pgd", "steps": 7}, {"attack": "fgsm", "alpha": 0.2}):
        hardening = made("adversarial_training", eps=0.1, **parameters)
        found = hardening.adversarial_batch(
            classifier, pixels, labels, generator=torch.Generator().manual_seed(0)
        )
        assert torch.allclose(found, corner, atol=1e-6)


def test_the_recipe_is_what_was_asked_for() -> None:
    given = {"epochs": 3, "lr": 0.02, "batch_size": 16, "augment": ["flip"]}
    hardening = made("adversarial_training", from_scratch=True, **given)
    reported = hardening.recipe.model_dump(mode="json")
    assert {name: reported[name] for name in given} == given
    assert hardening.is_from_scratch
    assert not made("adversarial_training").is_from_scratch
    assert made("adversarial_training", attack="fgsm", eps=0.1).course == (1, pytest.approx(0.125))
    assert made("adversarial_training", eps=0.1, steps=10).course == (10, pytest.approx(0.025))


def test_training_on_attacked_images_is_deterministic_and_holds_out_better() -> None:
    """Two features: one strong, one weak but many, which an attack turns round."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 2
    signs = (2 * labels - 1).view(-1, 1, 1, 1).float()
    pixels = 0.5 + 0.02 * torch.randn(200, 1, 8, 8, generator=generator)
    pixels += 0.03 * signs
    pixels[:, :, :1, :1] += 0.35 * signs
    pixels = pixels.clamp(0, 1)
    hardening = made("adversarial_training", eps=0.06, steps=3, epochs=10, lr=0.03)

    def trained(adversarial_batch: Any) -> nn.Module:
        torch.manual_seed(1)
        built = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
        given = {
            "mean": (0.5,),
            "std": (0.1,),
            "seed": 2,
            "hooks": TrainingHooks(adversarial_batch),
        }
        train(built, pixels, labels, hardening.recipe, **given)
        return built

    plain, hard = trained(None), trained(hardening.adversarial_batch)
    assert torch.equal(trained(hardening.adversarial_batch)[1].weight, hard[1].weight)
    robust = {}
    for name, built in {"plain": plain, "hard": hard}.items():
        classifier = Classifier(built, (0.5,), (0.1,))
        judge = made("adversarial_training", eps=0.06, steps=10)
        found = judge.adversarial_batch(classifier, pixels, labels, generator=generator)
        robust[name] = (classifier(found).argmax(1) == labels).float().mean()
        assert (classifier(pixels).argmax(1) == labels).float().mean() > 0.95
    assert robust["hard"] > robust["plain"] + 0.2


@pytest.mark.parametrize("size", [2, 3])
def test_squeezing_scores_are_those_of_a_slow_replica(size: int) -> None:
    pixels, classifier = images(6), network(0)
    detector = made("feature_squeezing", bits=4, median=size)
    found = detector.score(classifier, pixels)
    array = pixels.numpy()
    squeezed = [
        np.rint(array * 15) / 15,
        median_filter(array, size=(1, 1, size, size), mode="reflect"),
    ]
    for i in range(len(pixels)):
        seen = classifier(pixels[i : i + 1]).softmax(1)[0].tolist()
        distances = []
        for each in squeezed:
            other = classifier(torch.tensor(each[i : i + 1]).float()).softmax(1)[0].tolist()
            distances.append(sum(abs(a - b) for a, b in zip(seen, other, strict=True)))
        assert found[i].item() == pytest.approx(max(distances), abs=1e-5)
    assert 0 < found.min() < found.max() <= 2


VARIANTS = {
    "original": [],
    "bits": [{"bit_depth": {"bits": 2}}],
    "jpeg": ["jpeg"],
    "hardened": [{"adversarial_training": {"epochs": 1, "attack": "fgsm", "eps": 0.1}}],
    "smoothed": [
        {"randomized_smoothing": {"sigma": 0.1, "samples": 100, "selection": 20, "votes": 16}}
    ],
    "squeezed": ["feature_squeezing"],
    "all": [{"ensemble": {"of": ["original", "bits", "linear/smoothed"]}}],
}
NEAR = 0.1


@pytest.fixture
def suite(tiny: dict[str, Any]) -> dict[str, Any]:
    pgd = {"plugin": "pgdl2", "eps": NEAR, "alpha": NEAR / 4, "steps": 10}
    models = {"linear": {**tiny["models"]["linear"], "train": {"epochs": 12, "lr": 0.01}}}
    attacks = {"fgsm": {"eps": 0.1}, "near": pgd}
    return {**tiny, "models": models, "attacks": attacks, "transfer": {}, "variants": VARIANTS}


@pytest.mark.slow
def test_defended_models_are_variants(suite: dict[str, Any], tmp_path: Path) -> None:
    outcome = session.run(suite, store=tmp_path, reports=None)
    matrix = Matrix.last(Store(tmp_path))
    by_label = {entry.label: entry for entry in matrix.entries}
    assert {entry.state for entry in matrix.entries} == {"done"}, outcome.counts

    def facts(variant: str) -> list[Any]:
        reported = by_label[f"attack linear/{variant}/fgsm".replace("original/", "")].facts
        return [reported.get(name) for name in ("defense", "gradients", "randomised", "averaged")]

    assert facts("original") == facts("hardened") == facts("squeezed") == [None] * 4
    assert facts("bits") == ["bit_depth", "straight_through", False, True]
    assert facts("jpeg") == ["jpeg", "straight_through", False, True]
    assert facts("smoothed") == ["randomized_smoothing", "expectation", True, True]
    assert facts("all") == ["ensemble", "straight_through, expectation", True, True]

    weights = {
        entry.label: matrix.stored(entry).outputs["weights"]
        for entry in matrix.entries
        if entry.kind == "train"
    }
    assert len(weights) == len(set(weights.values())) == 2

    robust = METRICS["robust_accuracy"]
    for variant in ("bits", "jpeg", "smoothed", "all"):
        entry = by_label[f"attack linear/{variant}/fgsm"]
        rate = matrix.estimate([entry], METRICS["success_rate"])
        assert rate.value > 0  # attacks see through it

    detected = by_label["detect linear/squeezed/fgsm"]
    auroc = matrix.estimate([detected], METRICS["detection_auroc"])
    assert 0 <= auroc.value <= 1

    proof = matrix.records(by_label["certify linear/smoothed"])
    held = (proof["prediction"] == proof["label"]) & (proof["radius"] >= NEAR)
    robust_rate = matrix.estimate([by_label["attack linear/smoothed/near"]], robust)
    assert 0 < held.mean() <= robust_rate.value
    certified = matrix.estimate(
        [by_label["certify linear/smoothed"]], METRICS["certified_accuracy"]
    )
    clean = matrix.estimate([by_label["evaluate linear/smoothed"]], METRICS["clean_accuracy"])
    assert held.mean() <= certified.value
    assert not isinstance(clean, metrics.Withheld)

    runs = set((tmp_path / "cells").rglob("*"))
    again = session.run(suite, store=tmp_path, reports=None)
    assert again.counts == outcome.counts
    assert set((tmp_path / "cells").rglob("*")) == runs != set()
    second = {e.label: matrix.stored(e).key for e in Matrix.last(Store(tmp_path)).entries}
    assert second == {e.label: e.key for e in matrix.entries}


def test_members_that_do_not_exist_are_reported(suite: dict[str, Any], tmp_path: Path) -> None:
    variants = {"original": [], "all": [{"ensemble": {"of": ["original", "bitz"]}}]}
    with pytest.raises(SuiteError, match="'bitz' is no variant of this suite"):
        session.run({**suite, "variants": variants}, store=tmp_path, reports=None)


def test_each_defense_is_of_a_kind_and_tested_here() -> None:
    offered = {o.name for o in registry.offers("defenses") if o.module.startswith("bench_plugins.")}
    shields = {name for name in offered if issubclass(registry.load("defenses", name), Shield)}
    assert shields == set(SHIELDS)
    assert offered == shields | {"adversarial_training", "feature_squeezing"}
