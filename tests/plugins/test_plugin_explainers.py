"""Each explainer, on each kind of network: what it must return, and what it must leave alone."""

import copy
import random
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench import fingerprint, registry
from bench.api import Explainer, Model
from bench.classifier.classifier import Classifier
from bench.classifier.weights import state_arrays
from bench.errors import PluginError, UsageError
from bench_plugins.explainers import cam, corrections, layers
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
from bench_plugins.models.resnet_small import ResNetSmall
from bench_plugins.models.simple_cnn import SimpleCNN
from bench_plugins.models.timm import Timm

TABLE: dict[str, Explainer] = {
    "saliency": Saliency(),
    "integrated_gradients": IntegratedGradients(n_steps=18),  # more than captum is given at once
    "grad_cam": GradCAM(),
    "grad_cam_plus_plus": GradCAMPlusPlus(),
    "xgrad_cam": XGradCAM(),
    "hires_cam": HiResCAM(),
    "layer_cam": LayerCAM(),
    "grad_cam_element_wise": GradCAMElementWise(),
    "eigen_cam": EigenCAM(),
    "eigen_grad_cam": EigenGradCAM(),
    "kpca_cam": KPCACAM(),
    "ablation_cam": AblationCAM(),
    "score_cam": ScoreCAM(),
    "shapley_cam": ShapleyCAM(),
    "random_cam": RandomCAM(),
}
CAMS = [name for name, explainer in TABLE.items() if isinstance(explainer, ClassActivation)]
CLASSES = 5
COUNT = 2
VIT = {"img_size": [32, 48], "patch_size": 16, "depth": 2}
MODELS: dict[str, tuple[Model, tuple[int, int, int], str]] = {
    # the plugin, the shape of its images, and the layer that must be found
    "simple_cnn": (SimpleCNN(), (3, 16, 20), "features.10"),
    "resnet_small": (ResNetSmall(), (3, 16, 20), "stages"),
    "resnet": (Timm(architecture="test_resnet"), (3, 64, 96), "layer4"),
    "mobilenet": (Timm(architecture="mobilenetv3_small_050"), (3, 64, 96), "blocks"),
    "convnext": (Timm(architecture="test_convnext"), (3, 64, 96), "norm_pre"),
    "efficientnet": (Timm(architecture="test_efficientnet"), (1, 64, 96), "bn2"),
    "vit": (
        Timm(architecture="vit_tiny_patch16_224", kwargs=VIT),
        (3, 32, 48),
        "blocks.1.norm1",
    ),
    "swin": (
        Timm(
            architecture="swin_tiny_patch4_window7_224",
            kwargs={"img_size": [64, 96], "depths": [1, 1, 1, 1], "embed_dim": 24},
        ),
        (3, 64, 96),
        "norm",
    ),
}


@cache
def _classifier(name: str) -> Classifier:
    plugin, shape, _ = MODELS[name]
    torch.manual_seed(6)
    network = plugin.build(classes=CLASSES, image_shape=shape)
    channels = shape[0]
    return Classifier(network, (0.5, 0.4, 0.3)[:channels], (0.2, 0.3, 0.25)[:channels])


def classifier(name: str = "simple_cnn") -> Classifier:
    return copy.deepcopy(_classifier(name))


def batch(name: str = "simple_cnn", count: int = COUNT) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.rand(count, *MODELS[name][1], generator=generator(1))
    return images, torch.arange(count) % CLASSES


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def explained(name: str, model: str = "simple_cnn", seed: int = 0) -> torch.Tensor:
    images, targets = batch(model)
    return TABLE[name].explain(classifier(model), images, targets, generator=generator(seed))


def test_every_explainer_that_is_offered_has_a_row() -> None:
    offered = {o.name for o in registry.offers("explainers") if o.module.startswith("bench_plug")}
    assert offered == set(TABLE)
    for name, explainer in TABLE.items():
        assert registry.load("explainers", name) is type(explainer)


# maps


def on(*models: str) -> list[Any]:
    """Every explainer on these models; slow are most of them on other than the small ones.

    All find their layer and call the network as those do that are left.
    """
    rows = []
    for name in TABLE:
        for model in models:
            kept = name in {"saliency", "integrated_gradients", "grad_cam", "eigen_cam"}
            costly = not kept and model not in {"simple_cnn", "vit"}
            rows.append(pytest.param(name, model, marks=[pytest.mark.slow] if costly else []))
    return rows


@pytest.mark.parametrize(("name", "model"), on(*MODELS))
def test_a_map_for_each_image(name: str, model: str) -> None:
    images, targets = batch(model)
    kept = images.clone()
    heatmaps = TABLE[name].explain(classifier(model), images, targets, generator=generator())
    assert torch.equal(images, kept)
    assert not images.requires_grad
    assert heatmaps.shape == (COUNT, *images.shape[2:])
    assert heatmaps.dtype == torch.float32
    assert not heatmaps.requires_grad
    assert heatmaps.isfinite().all()
    assert heatmaps.min() >= 0
    # an untrained network may have nothing that speaks for a class, but not for all of them
    assert (heatmaps.flatten(1).std(1) > 0).any()


@pytest.mark.parametrize("name", TABLE)
def test_one_seed_one_result(name: str) -> None:
    torch.manual_seed(11)
    np.random.seed(11)
    first = explained(name)
    torch.manual_seed(12)  # the global generators decide nothing
    np.random.seed(12)
    assert torch.equal(first, explained(name))
    assert torch.equal(first, explained(name, seed=1)) == (name != "random_cam")


@pytest.mark.parametrize("name", TABLE)
def test_it_runs_where_gradients_are_off(name: str) -> None:
    expected = explained(name)
    with torch.no_grad():
        assert torch.equal(explained(name), expected)
        assert not torch.is_grad_enabled()


@pytest.mark.parametrize("name", TABLE)
def test_the_target_has_a_say(name: str) -> None:
    model, (images, targets) = classifier(), batch()
    first, other = (
        TABLE[name].explain(model, images, t, generator=generator()) for t in (targets, targets + 1)
    )
    blind = {"eigen_cam", "kpca_cam", "random_cam"}  # as their docstrings say
    assert torch.equal(first, other) == (name in blind)


@pytest.mark.parametrize(("name", "model"), on("simple_cnn", "resnet_small", "vit"))
def test_batch_invariance_is_as_declared(name: str, model: str) -> None:
    explainer = TABLE[name]
    assert explainer.batch_invariant
    network, (images, targets) = classifier(model), batch(model, 3)
    whole = explainer.explain(network, images, targets, generator=generator())
    for size in (1, 2):
        stream = generator()
        parts = [
            explainer.explain(network, i, t, generator=stream)
            for i, t in zip(images.split(size), targets.split(size), strict=True)
        ]
        assert torch.equal(torch.cat(parts), whole), size


@pytest.mark.parametrize(("name", "model"), on("simple_cnn", "resnet_small"))
def test_channels_last_changes_rounding_only(name: str, model: str) -> None:
    images, targets = batch(model)
    turned = classifier(model).to(memory_format=torch.channels_last)
    heatmaps = TABLE[name].explain(
        turned,
        images.to(memory_format=torch.channels_last),
        targets,
        generator=generator(),
    )
    assert heatmaps.is_contiguous()
    # maps are of order 1, or a hundredth for plain gradients; float32 kernels agree to 1e-5
    assert torch.allclose(heatmaps, explained(name, model), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", TABLE)
def test_no_images_no_maps(name: str) -> None:
    images, targets = batch()
    none = TABLE[name].explain(classifier(), images[:0], targets[:0], generator=generator())
    assert none.shape == (0, *images.shape[2:])


@pytest.mark.parametrize("name", TABLE)
def test_as_many_targets_as_images(name: str) -> None:
    images, targets = batch()
    with pytest.raises(ValueError, match="zip"):
        TABLE[name].explain(classifier(), images, targets[:1], generator=generator())


# what is left alone


def hooks(module: nn.Module) -> list[int]:
    kinds = [kind for kind in vars(module) if kind.endswith("_hooks")]
    return [len(getattr(module, kind)) for kind in sorted(kinds)]


def state(model: Classifier) -> tuple[Any, ...]:
    numpy_state: Any = np.random.get_state()
    return (
        torch.get_rng_state().tolist(),
        numpy_state[1].tolist(),
        random.getstate(),
        fingerprint.of_arrays(state_arrays(model)),
        [(name, id(module), module.training) for name, module in model.named_modules()],
        [hooks(module) for module in model.modules()],
        [len(p._backward_hooks or {}) for p in model.parameters()],
        [p.requires_grad for p in model.parameters()],
        [None if p.grad is None else p.grad.tolist() for p in model.parameters()],
        model.padding,
    )


def a_used_classifier() -> Classifier:
    """One with a weight that is not frozen, a gradient, a mode and a hook somebody may need."""
    model = classifier()
    bias = model.network.classifier[5].bias
    bias.requires_grad_()
    model(batch()[0]).sum().backward()
    assert bias.grad is not None
    model.network.features[2].train()
    model.network.features[2].register_forward_hook(lambda *_: None)
    return model


def test_frozen_weights_are_what_the_contract_promises() -> None:
    assert not any(p.requires_grad for p in classifier().parameters())


@pytest.mark.parametrize("name", TABLE)
def test_a_classifier_is_left_as_it_was(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    images, targets = batch()
    for model in (a_used_classifier(), classifier()):
        before = state(model)
        TABLE[name].explain(model, images, targets, generator=generator())
        assert state(model) == before
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""  # no word, no progress bar


@pytest.mark.parametrize("when", [0, 1, 2, "backward"])
@pytest.mark.parametrize("name", TABLE)
def test_a_classifier_that_fails_is_left_as_it_was(name: str, when: int | str) -> None:
    model = a_used_classifier()
    calls: list[int] = []

    def fail(*_: object) -> None:
        raise IndexError("out of memory")  # the exception that the library would swallow

    def count(_: nn.Module, __: object, output: torch.Tensor) -> None:
        calls.append(1)
        if when == "backward" and output.requires_grad:
            output.register_hook(fail)
        if len(calls) - 1 == when:
            fail()

    model.network.classifier[2].register_forward_hook(count)
    images, targets = batch(count=3)
    before = state(model)
    with pytest.raises(IndexError, match="out of memory"):
        TABLE[name].explain(model, images, targets, generator=generator())
    assert calls
    assert state(model) == before


@pytest.mark.parametrize("name", CAMS)
def test_looking_for_the_layer_is_not_counted(name: str) -> None:
    counts = []
    for explainer in (TABLE[name], type(TABLE[name])(layer="features.10")):
        model, (images, targets) = classifier(), batch()
        explainer.explain(model, images, targets, generator=generator())
        counts.append((model.forwards, model.backwards))
    assert counts[0] == counts[1]
    channels = 128  # of the last map: a pass for each, beside the image itself
    passes = {"score_cam": 1 + channels, "ablation_cam": 2 + channels}.get(name, 1)
    assert counts[0][0] == COUNT * passes, counts


# what the adapter guards against


@pytest.mark.parametrize("target", [CLASSES, -1])
def test_a_target_that_is_no_class_is_not_swallowed(target: int) -> None:
    images, _ = batch()
    model = classifier()
    before = state(model)
    with pytest.raises(IndexError, match="is not one of 5 classes"):
        GradCAM().explain(model, images[:1], torch.tensor([target]), generator=generator())
    assert state(model) == before


class Reported:
    """A method that returns what it is given."""

    returned: Any = None

    def __init__(self, model: nn.Module, target_layers: list[nn.Module], **_: object) -> None:
        from pytorch_grad_cam import ActivationsAndGradients

        self.uses_gradients = True
        self.activations_and_grads = ActivationsAndGradients(model, target_layers, None)

    def __call__(self, input_tensor: torch.Tensor, targets: list[Callable[..., object]]) -> Any:
        return self.returned


@pytest.mark.parametrize(
    ("returned", "reported"),
    [
        (None, "returned NoneType"),
        (np.zeros((2, 16, 20), np.float32), r"returned \(2, 16, 20\)"),
        (np.full((1, 16, 20), np.nan, np.float32), "not finite"),
    ],
)
def test_an_output_that_is_no_map_is_an_error(
    returned: object, reported: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pytorch_grad_cam

    monkeypatch.setattr(pytorch_grad_cam, "Reported", Reported, raising=False)
    monkeypatch.setattr(Reported, "returned", returned)
    model = classifier()
    before = state(model)
    with pytest.raises(PluginError, match=reported):
        cam.explain("Reported", model, *batch(), layer=None, generator=generator())
    assert state(model) == before


@pytest.mark.parametrize("name", CAMS)
def test_weights_that_are_not_finite_are_an_error(name: str) -> None:
    model, (images, targets) = classifier(), batch()
    with torch.no_grad():
        model.network.features[8].weight[0] = torch.nan
    with pytest.raises(PluginError, match=r"CAM.* at layer 'features.10'.*not finite"):
        TABLE[name].explain(model, images, targets, generator=generator())


def test_a_method_that_the_version_lacks_is_named() -> None:
    with pytest.raises(PluginError, match=r"grad-cam \d.*has no method 'Nonsense'"):
        cam.explain("Nonsense", classifier(), *batch(), layer=None, generator=generator())


@pytest.mark.parametrize("side", [16, 64])  # scikit-learn takes another way above 200 positions
@pytest.mark.parametrize("name", CAMS)
def test_a_dead_layer_gives_empty_maps_and_no_error(name: str, side: int) -> None:
    model, targets = classifier(), torch.tensor([0])
    images = torch.rand(1, 3, side, side, generator=generator(1))
    with torch.no_grad():
        for parameter in model.network.features[9].parameters():
            parameter.zero_()
    heatmaps = TABLE[name].explain(model, images, targets, generator=generator())
    assert torch.equal(heatmaps, torch.zeros_like(heatmaps))


class InPlace(nn.Module):
    """A normalisation whose output is overwritten by what follows, in place or not."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        fixed = generator(3)
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.inplace = inplace
        self.head = nn.Linear(6, CLASSES)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=fixed)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = nn.functional.relu(self.norm(self.conv(images)), inplace=self.inplace)
        logits: torch.Tensor = self.head(maps.mean((2, 3)))
        return logits


@pytest.mark.parametrize("name", CAMS)
def test_what_is_overwritten_in_place_is_explained_as_it_was(name: str) -> None:
    images, targets = batch()
    results = [
        TABLE[name].explain(
            Classifier(InPlace(inplace=inplace), (0.5,) * 3, (0.25,) * 3),
            images,
            targets,
            generator=generator(),
        )
        for inplace in (True, False)
    ]
    assert torch.equal(*results)
    assert (results[0].flatten(1).std(1) > 0).any()


# layers


@pytest.mark.parametrize("model", MODELS)
def test_the_layer_that_is_found(model: str) -> None:
    network, (images, _) = classifier(model), batch(model)
    found = layers.find(network, images[:1], None, "here")
    assert found.name == MODELS[model][2]
    assert found.module is network.network.get_submodule(found.name)
    assert found.grid == ((2, 3) if model == "vit" else None)
    assert found.prefix == (1 if model == "vit" else 0)
    assert found.channels == {"vit": 2, "swin": 3}.get(model, 1)
    output = None

    def keep(_: nn.Module, __: object, returned: torch.Tensor) -> None:
        nonlocal output
        output = found.as_map(returned)

    found.module.register_forward_hook(keep)
    network(images)
    height, width = images.shape[2:]
    assert output is not None
    assert output.shape[2] / output.shape[3] == pytest.approx(height / width, rel=0.25)


def test_tokens_are_laid_out_row_by_row_after_the_prefix() -> None:
    place = layers.Layer("norm", nn.Identity(), 2, (2, 3), prefix=2)
    tokens = torch.arange(8.0)[None, :, None] + torch.tensor([0.0, 100.0])  # two channels
    expected = torch.tensor([[2.0, 3, 4], [5, 6, 7]])
    assert torch.equal(place.as_map(tokens), torch.stack([expected, expected + 100])[None])
    last = layers.Layer("norm", nn.Identity(), 3)
    maps = torch.rand(1, 4, 5, 6)
    assert torch.equal(last.as_map(maps), maps.permute(0, 3, 1, 2))


class Twice(nn.Module):
    """One activation that runs twice, a pool in the middle of a name, and a side branch."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.aside = nn.Conv2d(4, 4, 1)
        self.relu = nn.ReLU()
        self.pool = nn.Sequential(nn.AvgPool2d(2), nn.Dropout())
        self.head = nn.Linear(4, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.relu(self.second(self.relu(self.first(images))))
        self.aside(maps.detach())
        logits: torch.Tensor = self.head(self.pool(maps).mean((2, 3)))
        return logits


class Tokens(nn.Module):
    """A transformer that is nobody's: its only map is the one at its foot."""

    def __init__(self) -> None:
        super().__init__()
        self.foot = nn.Conv2d(3, 4, 4, 4)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.norm(self.foot(images).flatten(2).mT).mean(1))
        return logits


def plain(network: nn.Module) -> Classifier:
    return Classifier(network, (0.0,) * 3, (1.0,) * 3)


def test_a_layer_must_run_once_and_reach_the_logits() -> None:
    images, _ = batch()
    assert layers.find(plain(Twice()), images[:1], None, "here").name == "second"
    with pytest.raises(UsageError, match=r"'relu' gives no map .* or runs more than once"):
        layers.find(plain(Twice()), images[:1], "relu", "here")


def test_a_network_without_a_map_is_refused_and_a_named_layer_taken() -> None:
    images, targets = batch()
    for network in (Tokens(), nn.Sequential(nn.Flatten(), nn.Linear(960, CLASSES))):
        with pytest.raises(UsageError, match=r"GradCAM: layer: finds no layer.*name one as"):
            GradCAM().explain(plain(network), images, targets, generator=generator())
    assert layers.find(plain(Tokens()), images[:1], "foot", "here").name == "foot"


def test_a_named_layer_is_used() -> None:
    model, (images, targets) = classifier(), batch()
    named = GradCAM(layer="features.6").explain(model, images, targets, generator=generator())
    assert not torch.equal(named, explained("grad_cam"))
    same = GradCAM(layer="features.10").explain(model, images, targets, generator=generator())
    assert torch.equal(same, explained("grad_cam"))


@pytest.mark.parametrize(
    ("layer", "reported"),
    [
        ("feature.10", r"GradCAM: layer: the network has no layer 'feature.10'.*'features.10'"),
        ("classifier.2", "'classifier.2' gives no map"),
        ("xyz", r"has no layer 'xyz', expected one of the 13 layers .*; there is "),
    ],
)
def test_a_layer_that_is_none_comes_with_the_nearest(layer: str, reported: str) -> None:
    model = classifier()
    before = state(model)
    with pytest.raises(UsageError, match=reported):
        GradCAM(layer=layer).explain(model, *batch(), generator=generator())
    assert state(model) == before


# what single methods get wrong


def from_the_library(method: str, model: Classifier, layer: str = "features.10") -> torch.Tensor:
    """Run a method of the library as it is, and return its maps."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    images, targets = batch()
    model.requires_grad_(requires_grad=True)
    place = model.network.get_submodule(layer)
    found = getattr(pytorch_grad_cam, method)(model, [place])(
        images, [ClassifierOutputTarget(int(t)) for t in targets]
    )
    return torch.from_numpy(found)


def test_where_nothing_is_put_right_the_library_is_followed() -> None:
    for name in ("grad_cam", "xgrad_cam", "hires_cam", "layer_cam", "grad_cam_element_wise"):
        expected = from_the_library(type(TABLE[name]).method, classifier())
        # batches of three round otherwise than single images
        assert torch.allclose(explained(name), expected, atol=1e-4), name


def scaled(factor: float, shift: float = 0.0) -> Classifier:
    """A classifier whose logits are multiplied, and then shifted: classes rank as before."""
    model = classifier()
    with torch.no_grad():
        model.network.classifier[5].weight.mul_(factor)
        model.network.classifier[5].bias.mul_(factor).add_(shift)
    return model


def test_small_gradients_do_not_change_what_plus_plus_weighs() -> None:
    # alpha is 1 / (2 + S g): with gradients near zero it is a half, whatever their size
    images, targets = batch()
    small, smaller = (
        GradCAMPlusPlus().explain(scaled(factor), images, targets, generator=generator())
        for factor in (1e-3, 1e-4)
    )
    assert torch.allclose(small, smaller, atol=1e-2)
    by_itself = [from_the_library("GradCAMPlusPlus", scaled(factor)) for factor in (1e-3, 1e-4)]
    by_half = from_the_library("LayerCAM", scaled(1e-4))
    assert not torch.allclose(by_itself[0], small, atol=1e-2)
    assert not torch.allclose(by_half, small, atol=1e-2)  # so that the first line can fail


@pytest.mark.filterwarnings("ignore:invalid value")
def test_ablation_does_not_turn_round_where_logits_are_negative(
    capfd: pytest.CaptureFixture[str],
) -> None:
    images, targets = batch()
    high, low = (
        AblationCAM().explain(scaled(1, shift), images, targets, generator=generator())
        for shift in (4, -4)
    )
    assert torch.allclose(high, low, atol=1e-3)  # logits of 4 round to 5e-7, drops are near 1e-3
    library = [from_the_library("AblationCAM", scaled(1, shift)) for shift in (4, -4)]
    assert not torch.allclose(*library, atol=0.1)
    capfd.readouterr()  # its progress bars


@pytest.mark.parametrize("name", ["eigen_cam", "eigen_grad_cam"])
def test_the_sign_that_lapack_gives_does_not_matter(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = explained(name)
    first_component = corrections.first_component
    monkeypatch.setattr(corrections, "first_component", lambda maps: -first_component(maps))
    assert torch.equal(explained(name), expected)


def test_a_component_is_the_librarys_but_for_the_sign() -> None:
    from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

    maps = torch.rand(1, 7, 4, 5, generator=generator()).numpy()
    ours, theirs = corrections.first_component(maps), get_2d_projection(maps)
    assert np.allclose(np.abs(ours), np.abs(theirs), atol=1e-5)
    assert np.allclose(ours * np.sign(ours[0, 0, 0] * theirs[0, 0, 0]), theirs, atol=1e-5)


@pytest.mark.parametrize("name", ["score_cam", "ablation_cam"])
def test_nothing_is_stored_while_an_image_runs_many_times(name: str) -> None:
    model, (images, targets) = classifier(), batch()
    seen: list[int] = []
    place = model.network.features[10]
    model.register_forward_pre_hook(lambda *_: seen.append(len(place._forward_hooks)))
    TABLE[name].explain(model, images[:1], targets[:1], generator=generator())
    # looking (1), the image (the library's two and the shield), then the shield and the ablation
    assert seen[:2] == [1, 3]
    assert max(seen[2:]) <= (2 if name == "ablation_cam" else 1)
    assert len(seen) > 5


def test_shapley_is_not_grad_cam_under_another_name() -> None:
    assert not torch.allclose(explained("shapley_cam"), explained("grad_cam"), atol=1e-2)
    logits = torch.tensor([1.0, 2.0, 3.0])
    assert corrections.score("GradCAM", 1)(logits) == 2
    utility = 2 + torch.log_softmax(logits, 0)[1]
    assert corrections.score("ShapleyCAM", 1)(logits) == pytest.approx(float(utility))


def test_integrated_gradients_bound_their_memory() -> None:
    asked: list[int] = []
    model, (images, targets) = classifier(), batch()
    model.register_forward_pre_hook(lambda _, inputs: asked.append(len(inputs[0])))
    IntegratedGradients(n_steps=40).explain(model, images, targets, generator=generator())
    assert max(asked) == 16
    assert sum(asked) == 40 * COUNT


@pytest.mark.parametrize(
    ("plugin", "parameters"),
    [
        (IntegratedGradients, {"n_steps": 1}),
        (IntegratedGradients, {"method": "simpson"}),
        (IntegratedGradients, {"baseline": 1.5}),
        (KPCACAM, {"kernel": "precomputed"}),
        (KPCACAM, {"gamma": 0}),
        (GradCAM, {"gamma": 1.0}),
        (Saliency, {"layer": "features.10"}),
    ],
)
def test_parameters_out_of_range_are_refused(
    plugin: Callable[..., Explainer], parameters: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="validation error"):
        plugin(**parameters)


@pytest.mark.parametrize("kernel", ["linear", "poly", "rbf", "sigmoid", "cosine"])
def test_kernels_are_passed_on(kernel: str) -> None:
    model, (images, targets) = classifier(), batch()
    linear, found = (
        KPCACAM(kernel=k, gamma=0.5).explain(model, images, targets, generator=generator())
        for k in ("linear", kernel)
    )
    assert torch.equal(linear, found) == (kernel == "linear")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", TABLE)
def test_explainers_run_on_cuda_and_leave_its_generator(name: str) -> None:
    images, targets = batch()
    model = classifier().cuda()  # seeds all generators when it is first built
    torch.cuda.manual_seed(1)
    before = torch.cuda.get_rng_state()
    heatmaps = TABLE[name].explain(model, images.cuda(), targets.cuda(), generator=generator())
    assert heatmaps.is_cuda
    assert torch.equal(torch.cuda.get_rng_state(), before)
    # maps are of order 1, or a hundredth for plain gradients; float32 kernels agree to 1e-4
    assert torch.allclose(heatmaps.cpu(), explained(name), atol=1e-2, rtol=1e-2)
