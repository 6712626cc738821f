"""Explainers against slow replicas, closed forms and finite differences.

The replicas of class activation methods are written from their papers, in float64, with loops, on
maps that are computed here; they share no code with the plugins or with the libraries behind them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from bench.classifier.classifier import Classifier
from bench_plugins.explainers.class_activation import (
    KPCACAM,
    AblationCAM,
    ClassActivation,
    EigenCAM,
    EigenGradCAM,
    GradCAM,
    GradCAMElementWise,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    RandomCAM,
    ScoreCAM,
    ShapleyCAM,
    XGradCAM,
)
from bench_plugins.explainers.integrated_gradients import IntegratedGradients
from bench_plugins.explainers.saliency import Saliency

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
HEIGHT, WIDTH, CLASSES = 12, 16, 4
TARGETS = torch.tensor([2, 0, 3])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images() -> Tensor:
    return torch.rand(len(TARGETS), 3, HEIGHT, WIDTH, generator=generator(1))


def explained(explainer: ClassActivation | Saliency, classifier: Classifier) -> Tensor:
    return explainer.explain(classifier, images(), TARGETS, generator=generator())


# gradients


class Smooth(nn.Module):
    """A network without kinks, so that differences give its derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.act = nn.Softplus()
        self.head = nn.Linear(4 * (HEIGHT - 2) * (WIDTH - 2), CLASSES)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.2, generator=generator(2))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.act(self.conv(images)).flatten(1))
        return logits


@pytest.fixture(scope="module")
def smooth() -> Classifier:
    return Classifier(Smooth(), MEAN, STD).double()


def test_saliency_is_the_largest_difference_quotient(smooth: Classifier) -> None:
    found = Saliency().explain(smooth, images().double(), TARGETS, generator=generator())
    step = 1e-5  # the error of central differences is step^2, and rounding's 1e-16 / step
    for i, target in enumerate(TARGETS.tolist()):
        steps = torch.eye(3 * HEIGHT * WIDTH, dtype=torch.float64).view(-1, 3, HEIGHT, WIDTH) * step
        image = images()[i].double()
        with torch.no_grad():
            rise = smooth(image + steps)[:, target] - smooth(image - steps)[:, target]
        expected = (rise / (2 * step)).abs().view(3, HEIGHT, WIDTH).amax(0)
        assert expected.std() > 0.01  # it is not flat
        assert torch.allclose(found[i], expected, atol=1e-8)


@pytest.mark.parametrize("baseline", [0.0, 0.3])
def test_integrated_gradients_are_complete(smooth: Classifier, baseline: float) -> None:
    explainer = IntegratedGradients(n_steps=40, baseline=baseline)
    x = images().double()
    attributions = explainer.attributions(smooth, x, TARGETS)
    with torch.no_grad():
        rise = (smooth(x) - smooth(torch.full_like(x, baseline))).gather(1, TARGETS[:, None])[:, 0]
    assert rise.abs().min() > 0.1  # there is something to explain
    # captum keeps its weights in float32: 1e-7 of the parts, which are larger than their sum
    assert torch.allclose(attributions.sum((1, 2, 3)), rise, atol=1e-5)
    heatmaps = explainer.explain(smooth, x, TARGETS, generator=generator())
    assert torch.equal(heatmaps, attributions.sum(1).clamp(min=0))
    assert (attributions.sum(1) < 0).any()  # so that the positive part differs from the whole


def test_few_steps_are_less_complete(smooth: Classifier) -> None:
    x = images().double()
    with torch.no_grad():
        rise = (smooth(x) - smooth(torch.zeros_like(x))).gather(1, TARGETS[:, None])[:, 0]
    errors = [
        IntegratedGradients(n_steps=n, method="riemann_left").attributions(smooth, x, TARGETS)
        for n in (4, 40)
    ]
    few, many = ((e.sum((1, 2, 3)) - rise).abs() for e in errors)
    assert (many < few / 5).all()  # a left sum's error falls as 1 / n, here to a tenth
    assert many.max() > 1e-5  # and n_steps and method are really passed on


@pytest.mark.parametrize("baseline", [0.0, 0.6])
def test_gradients_of_a_linear_classifier_are_its_weights(baseline: float) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * HEIGHT * WIDTH, CLASSES))
    nn.init.normal_(network[1].weight, generator=generator(3))
    classifier = Classifier(network, MEAN, STD)
    weight = network[1].weight.view(CLASSES, 3, HEIGHT, WIDTH)[TARGETS] / classifier.std
    explainer = IntegratedGradients(baseline=baseline)
    expected = (weight * (images() - baseline)).sum(1).clamp(min=0)
    found = explainer.explain(classifier, images(), TARGETS, generator=generator())
    assert torch.allclose(found, expected, atol=1e-4)  # float32, sums of values near 10
    assert torch.allclose(explained(Saliency(), classifier), weight.abs().amax(1), atol=1e-5)


# class activation


class Plain(nn.Module):
    """A convolution with a ReLU, a pool over quarters, and a head that is not linear."""

    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU())
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 10), act, nn.Linear(10, CLASSES)
        )
        for i, parameter in enumerate(self.parameters()):
            nn.init.normal_(parameter, std=0.5, generator=generator(20 + i))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits


@pytest.fixture(scope="module", params=[nn.ReLU(), nn.Softplus()], ids=["relu", "softplus"])
def plain(request: pytest.FixtureRequest) -> Classifier:
    return Classifier(Plain(request.param), MEAN, STD)


class Case:
    """What a replica may look at: one image, its maps and their gradient, in float64."""

    def __init__(self, classifier: Classifier, image: Tensor, target: int) -> None:
        self.image, self.target = image.double(), target
        self.whole = copy.deepcopy(classifier).double()
        normalised = (self.image - self.whole.mean) / self.whole.std
        self.maps = self.whole.network.features(normalised)[0].detach()
        leaf = self.maps.clone().requires_grad_()
        (self.grad,) = torch.autograd.grad(self.logit(leaf), leaf)

    def logit(self, maps: Tensor) -> Tensor:
        return self.whole.network.head(maps[None])[0, self.target]

    def logit_of(self, image: Tensor) -> Tensor:
        with torch.no_grad():
            return self.whole(image[None])[0, self.target]


def channels(case: Case) -> range:
    return range(len(case.maps))


def weighted(case: Case, weight: Callable[[int], float | Tensor]) -> Tensor:
    total = torch.zeros_like(case.maps[0])
    for k in channels(case):
        total += weight(k) * case.maps[k]
    return total


def grad_cam(case: Case) -> Tensor:
    return weighted(case, lambda k: case.grad[k].mean())


def grad_cam_plus_plus(case: Case) -> Tensor:
    def weight(k: int) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for g in case.grad[k].flatten():
            if g > 0:  # alpha is needed only where the ReLU of equation 7 lets it through
                alpha = g**2 / (2 * g**2 + case.maps[k].sum() * g**3)
                total += alpha * g
        return total

    return weighted(case, weight)


def xgrad_cam(case: Case) -> Tensor:
    def weight(k: int) -> Tensor:
        total = case.maps[k].sum()
        return (case.grad[k] * case.maps[k]).sum() / total if total > 0 else total

    return weighted(case, weight)


def hires_cam(case: Case) -> Tensor:
    return weighted(case, lambda k: case.grad[k])


def layer_cam(case: Case) -> Tensor:
    return weighted(case, lambda k: case.grad[k].clamp(min=0))


def element_wise(case: Case) -> Tensor:
    return (case.grad * case.maps).clamp(min=0).sum(0)


def ablation_cam(case: Case) -> Tensor:
    def weight(k: int) -> Tensor:
        without = case.maps.clone()
        without[k] = 0
        return case.logit(case.maps) - case.logit(without)

    return weighted(case, lambda k: weight(k).detach())


def score_cam(case: Case) -> Tensor:
    scores = []
    for k in channels(case):
        mask = nn.functional.interpolate(
            case.maps[None, k : k + 1], (HEIGHT, WIDTH), mode="bilinear", align_corners=True
        )[0, 0]
        mask = (mask - mask.min()) / (mask.max() - mask.min() + 1e-8)
        scores.append(case.logit_of(case.image * mask))
    weights = torch.stack(scores).softmax(0)
    return weighted(case, lambda k: weights[k])


def shapley_cam(case: Case) -> Tensor:
    def utility(maps: Tensor) -> Tensor:
        logits = case.whole.network.head(maps[None])[0]
        return logits[case.target] + logits.log_softmax(0)[case.target]

    def gradient(maps: Tensor) -> Tensor:
        leaf = maps.clone().requires_grad_()
        return torch.autograd.grad(utility(leaf), leaf)[0]

    step = 1e-5  # the Hessian times the activations is how the gradient changes along them
    along = (gradient(case.maps * (1 + step)) - gradient(case.maps * (1 - step))) / (2 * step)
    weights = (gradient(case.maps) - along / 2).mean((1, 2))
    return weighted(case, lambda k: weights[k])


def component(maps: Tensor) -> Tensor:
    """Iterate to the first principal component of the positions, and project on it."""
    rows = maps.flatten(1).T
    rows = rows - rows.mean(0)
    direction = torch.ones(rows.shape[1], dtype=torch.float64)
    for _ in range(5000):
        direction = rows.T @ (rows @ direction)
        direction /= direction.norm()
    return (rows @ direction).view(maps.shape[1:])


def eigen_cam(case: Case) -> Tensor:
    found = component(case.maps)
    return found if found.max() > -found.min() else -found


def eigen_grad_cam(case: Case) -> Tensor:
    products = case.grad * case.maps
    found = component(products)
    evidence = products.sum(0)
    return found if (found * (evidence - evidence.mean())).sum() > 0 else -found


REPLICAS: dict[str, tuple[ClassActivation, Callable[[Case], Tensor]]] = {
    "grad_cam": (GradCAM(), grad_cam),
    "grad_cam_plus_plus": (GradCAMPlusPlus(), grad_cam_plus_plus),
    "xgrad_cam": (XGradCAM(), xgrad_cam),
    "hires_cam": (HiResCAM(), hires_cam),
    "layer_cam": (LayerCAM(), layer_cam),
    "grad_cam_element_wise": (GradCAMElementWise(), element_wise),
    "ablation_cam": (AblationCAM(), ablation_cam),
    "score_cam": (ScoreCAM(), score_cam),
    "shapley_cam": (ShapleyCAM(), shapley_cam),
    "eigen_cam": (EigenCAM(), eigen_cam),
    "eigen_grad_cam": (EigenGradCAM(), eigen_grad_cam),
    "kpca_cam": (KPCACAM(kernel="linear"), eigen_cam),  # with that kernel it is Eigen-CAM
}


def stretched(maps: Tensor) -> Tensor:
    """Cut off what is negative, scale to [0, 1], and interpolate between the centres of cells."""
    maps = maps.clamp(min=0)
    maps = (maps - maps.min()) / (1e-7 + maps.max() - maps.min())
    height, width = maps.shape
    found = torch.zeros(HEIGHT, WIDTH, dtype=torch.float64)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            v = min(max((y + 0.5) * height / HEIGHT - 0.5, 0), height - 1)
            u = min(max((x + 0.5) * width / WIDTH - 0.5, 0), width - 1)
            top, left = math.floor(v), math.floor(u)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            upper = maps[top, left] * (left + 1 - u) + maps[top, right] * (u - left)
            lower = maps[bottom, left] * (left + 1 - u) + maps[bottom, right] * (u - left)
            found[y, x] = upper * (top + 1 - v) + lower * (v - top)
    return (found - found.min()) / (1e-7 + found.max() - found.min())


@pytest.mark.parametrize("name", REPLICAS)
def test_a_class_activation_method_is_its_paper(name: str, plain: Classifier) -> None:
    explainer, replica = REPLICAS[name]
    found = explained(explainer, plain)
    flat = 0
    for i, target in enumerate(TARGETS.tolist()):
        expected = stretched(replica(Case(plain, images()[i], target)))
        flat += int(expected.max() == 0)
        # maps of order 1 from activations in float32, of which each sums some hundred products
        assert torch.allclose(found[i].double(), expected, atol=1e-4), name
    assert flat < len(TARGETS)  # zeros alone would prove nothing


def test_the_replicas_differ_from_each_other(plain: Classifier) -> None:
    """Say that the test above can distinguish one method from another."""
    case = Case(plain, images()[0], int(TARGETS[0]))
    found = {name: stretched(replica(case)) for name, (_, replica) in REPLICAS.items()}
    # a linear kernel is Eigen-CAM; behind a ReLU the signs of gradient and product are the same
    same = {"kpca_cam", "grad_cam_element_wise"}
    assert torch.allclose(found["layer_cam"], found["grad_cam_element_wise"])
    names = [name for name in REPLICAS if name not in same]
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            assert (found[first] - found[second]).abs().max() > 0.01, (first, second)


# tokens


def vision_transformer() -> Classifier:
    from bench_plugins.models.timm import Timm

    torch.manual_seed(7)
    kwargs = {"img_size": [HEIGHT, WIDTH], "patch_size": 4, "reg_tokens": 2}
    kwargs |= {"depth": 2, "embed_dim": 24, "num_heads": 2}
    plugin = Timm(architecture="vit_tiny_patch16_224", kwargs=kwargs)
    network = plugin.build(classes=CLASSES, image_shape=(3, HEIGHT, WIDTH))
    nn.init.normal_(network.head.weight, generator=generator(8))  # logits that are worth explaining
    return Classifier(network, MEAN, STD)


@pytest.mark.parametrize("name", ["grad_cam", "hires_cam", "ablation_cam"])
def test_a_transformers_tokens_are_its_map(name: str) -> None:
    classifier, (explainer, replica) = vision_transformer(), REPLICAS[name]
    found = explained(explainer, classifier)
    double = copy.deepcopy(classifier).double()
    block = double.network.blocks[1]
    rows, columns, prefix = HEIGHT // 4, WIDTH // 4, 3  # a class token and two registers

    for i, target in enumerate(TARGETS.tolist()):
        image = images()[i : i + 1].double()
        kept: list[Tensor] = []
        handle = block.norm1.register_forward_hook(lambda *given, kept=kept: kept.append(given[2]))
        with torch.no_grad():
            double(image)
        handle.remove()
        tokens = kept[0]

        def logit(tokens: Tensor, image: Tensor = image, target: int = target) -> Tensor:
            handle = block.norm1.register_forward_hook(lambda *_: tokens)
            logits = double(image)
            handle.remove()
            return logits[0, target]

        def as_map(tokens: Tensor) -> Tensor:
            return tokens[0, prefix:].T.reshape(-1, rows, columns)

        leaf = tokens.clone().requires_grad_()
        case = SimpleNamespace(maps=as_map(tokens), grad=None, logit=None)
        case.grad = as_map(torch.autograd.grad(logit(leaf), leaf)[0])
        if name == "ablation_cam":  # a channel is silenced in every token
            drops = []
            for k in range(tokens.shape[2]):
                without = tokens.clone()
                without[:, :, k] = 0
                drops.append((logit(tokens) - logit(without)).detach())
            expected = stretched(weighted(case, drops.__getitem__))
        else:
            expected = stretched(replica(case))
        assert torch.allclose(found[i].double(), expected, atol=1e-3), i
    assert found.max() == pytest.approx(1, abs=1e-4)


# a network whose answer is known


class Spot(nn.Module):
    """Class 1 counts how much red there is; class 0 how little."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1, bias=False)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 0.1, 0.1]])[..., None, None])
            self.head.weight.copy_(torch.tensor([[-1.0, 0.5], [1.0, 0.1]]))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.pool(self.relu(self.conv(images))).flatten(1))
        return logits


SPOT = [e for e, _ in REPLICAS.values()] + [IntegratedGradients()]


@pytest.mark.parametrize("explainer", SPOT, ids=lambda e: type(e).__name__)
def test_what_the_class_looks_for_is_what_is_shown(explainer: ClassActivation) -> None:
    image = 0.1 * torch.rand(1, 3, HEIGHT, WIDTH, generator=generator(4))
    image[:, 0, 6:10, 1:5] = 1
    classifier = Classifier(Spot(), (0.0,) * 3, (1.0,) * 3)
    heatmap = explainer.explain(classifier, image, torch.tensor([1]), generator=generator())[0]
    inside = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    inside[6:10, 1:5] = True
    assert heatmap[inside].min() > 2 * heatmap[~inside].max()


def test_random_weights_are_the_control_that_does_not_know(plain: Classifier) -> None:
    maps = [
        RandomCAM().explain(plain, images(), TARGETS, generator=generator(seed))
        for seed in range(20)
    ]
    stack = torch.stack(maps).flatten(1)
    # twenty draws of six weights: on average they have nothing to do with each other
    correlations = torch.corrcoef(stack)[~torch.eye(20, dtype=torch.bool)]
    assert correlations.mean().abs() < 0.3
    assert correlations.min() < -0.3
