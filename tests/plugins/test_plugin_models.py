"""Each model: what it builds, and what it refuses."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from bench import registry
from bench.api import Model
from bench.errors import PluginError, UsageError, WeightsError
from bench_plugins.models.checkpoint import Checkpoint
from bench_plugins.models.resnet_small import ResNetSmall
from bench_plugins.models.simple_cnn import SimpleCNN
from bench_plugins.models.timm import Timm

NETWORK = """
from torch import nn

class Net(nn.Module):
    def __init__(self, classes=7, width=4):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)
        )

    def forward(self, images):
        return self.layers(images)

def number():
    return 3

def broken():
    raise KeyError("oh")

value = 1
"""

NORMAL = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


def write(tmp_path: Path, text: str = NETWORK, name: str = "net.py") -> Path:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return file


def checkpoint(architecture: str, **more: Any) -> Checkpoint:
    given = {"architecture": architecture, "weights": "w.safetensors", **NORMAL, **more}
    return Checkpoint.model_validate(given)


TABLE: dict[str, Callable[[Path], Model]] = {
    "simple_cnn": lambda _: SimpleCNN(),
    "resnet_small": lambda _: ResNetSmall(),
    "timm": lambda _: Timm(architecture="test_resnet"),
    "checkpoint": lambda path: checkpoint(f"{write(path)}:Net"),
}


def test_each_first_party_model_has_a_row() -> None:
    offered = {o.name for o in registry.offers("models") if o.module.startswith("bench_plugins")}
    assert offered == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_a_model_builds_a_trainable_network(name: str, tmp_path: Path) -> None:
    model = TABLE[name](tmp_path)
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    network = model.build(classes=7, image_shape=(3, 40, 32))
    assert network.training
    assert all(module.training for module in network.modules())
    logits = network(torch.rand(4, 3, 40, 32))
    assert logits.shape == (4, 7)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert not torch.equal(before, torch.random.get_rng_state())  # fresh weights were drawn


@pytest.mark.parametrize("name", TABLE)
def test_the_seed_decides_the_weights(name: str, tmp_path: Path) -> None:
    model = TABLE[name](tmp_path)

    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        network = model.build(classes=7, image_shape=(3, 32, 32))
        return nn.utils.parameters_to_vector(network.parameters())

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@pytest.mark.parametrize("name", TABLE)
def test_identity_leaves_out_where_weights_come_from(name: str, tmp_path: Path) -> None:
    model = TABLE[name](tmp_path)
    assert not {"weights", "mean", "std", "pretrained"} & set(model.structure())
    again = type(model).model_validate(model.parameters())
    assert again == model


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameter_counts() -> None:
    # by hand, SimpleCNN: 960 + 18,624 + 74,112 in the blocks, 524,544 + 2,570 in the linear layers
    assert parameters(SimpleCNN().build(classes=10, image_shape=(3, 32, 32))) == 620_810
    assert parameters(ResNetSmall().build(classes=10, image_shape=(3, 32, 32))) == 2_777_674


@pytest.mark.parametrize("plugin", [SimpleCNN, ResNetSmall])
@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 17, 30), (4, 64, 64)])
def test_any_size_from_16_and_any_channels(
    plugin: type[Model], shape: tuple[int, int, int]
) -> None:
    network = plugin().build(classes=3, image_shape=shape)
    assert network(torch.rand(2, *shape)).shape == (2, 3)


@pytest.mark.parametrize("plugin", [SimpleCNN, ResNetSmall])
def test_smaller_images_are_refused(plugin: type[Model]) -> None:
    with pytest.raises(UsageError, match="got images of 15 x 40 pixels, expected 16 x 16"):
        plugin().build(classes=3, image_shape=(3, 15, 40))


def test_simple_cnn_drops_out_where_it_should() -> None:
    network = SimpleCNN().build(classes=10, image_shape=(3, 32, 32))
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [0.5, 0.3]


def test_resnet_small_halves_twice_and_projects_twice() -> None:
    network = ResNetSmall().build(classes=10, image_shape=(3, 32, 32))
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert all(m.bias is None for m in convolutions)
    assert sum(m.kernel_size == (1, 1) for m in convolutions) == 2
    seen: list[tuple[int, ...]] = []
    for stage in network.get_submodule("stages").children():
        stage.register_forward_hook(lambda _module, _inputs, output: seen.append(output.shape[1:]))
    network(torch.rand(1, 3, 32, 32))
    assert seen == [(64, 32, 32), (128, 16, 16), (256, 8, 8)]


# timm


def test_an_unknown_architecture_is_reported_its_neighbours() -> None:
    with pytest.raises(UsageError, match=r"has no 'resnet81'.*did you mean .*'resnet18'"):
        Timm(architecture="resnet81").build(classes=10, image_shape=(3, 32, 32))


def test_an_unknown_tag_is_reported_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no pretrained tag 'bogus', expected one of .*tv_in1k"):
        Timm(architecture="resnet18.bogus").build(classes=10, image_shape=(3, 32, 32))


def test_a_transformer_needs_its_image_size() -> None:
    with pytest.raises(UsageError, match=r"fails on an image of 3 x 32 x 32.*img_size: 32"):
        Timm(architecture="vit_tiny_patch16_224").build(classes=5, image_shape=(3, 32, 32))
    fitting = Timm(architecture="test_vit", kwargs={"img_size": 32})
    assert fitting.build(classes=5, image_shape=(3, 32, 32))(torch.rand(2, 3, 32, 32)).shape == (
        2,
        5,
    )
    assert fitting.structure() == {"architecture": "test_vit", "kwargs": {"img_size": 32}}


def test_timm_takes_the_datas_channels() -> None:
    network = Timm(architecture="test_resnet").build(classes=5, image_shape=(1, 32, 32))
    assert network(torch.rand(2, 1, 32, 32)).shape == (2, 5)


def test_wrong_kwargs_are_explained() -> None:
    with pytest.raises(UsageError, match=r"unexpected keyword argument 'widht'.*correct 'kwargs:'"):
        Timm(architecture="test_resnet", kwargs={"widht": 2}).build(
            classes=5, image_shape=(3, 32, 32)
        )


@pytest.mark.parametrize("key", ["num_classes", "in_chans", "pretrained_cfg", "checkpoint_path"])
def test_kwargs_cannot_set_what_bench_sets(key: str) -> None:
    with pytest.raises(ValidationError, match=f"kwargs cannot hold {key}"):
        Timm(architecture="test_resnet", kwargs={key: 1})


def test_features_without_a_head_are_refused() -> None:
    with pytest.raises(UsageError, match=r"returns list .*expected logits of shape \(1, 5\)"):
        Timm(architecture="test_resnet", kwargs={"features_only": True}).build(
            classes=5, image_shape=(3, 32, 32)
        )


def test_pretrained_and_weights_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="exclude each other"):
        Timm(architecture="test_resnet", pretrained=True, weights=Path("w.safetensors"))


def test_a_pretrained_head_of_another_size_is_never_replaced() -> None:
    model = Timm(architecture="test_resnet.r160_in1k", pretrained=True)
    assert model.has_pretrained
    with pytest.raises(WeightsError, match=r"pretrained on 1000 classes, expected 10.*untrained"):
        model.build_pretrained(classes=10, image_shape=(3, 160, 160))


def test_pretrained_weights_of_another_depth_are_never_adapted() -> None:
    with pytest.raises(WeightsError, match="images of 3 channels, expected 1"):
        Timm(architecture="test_resnet", pretrained=True).build_pretrained(
            classes=1000, image_shape=(1, 160, 160)
        )


def test_an_architecture_without_weights_says_so() -> None:
    with pytest.raises(WeightsError, match="has no pretrained weights"):
        Timm(architecture="resnet200", pretrained=True).build_pretrained(
            classes=1000, image_shape=(3, 224, 224)
        )


def test_a_failed_download_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    from timm.models import _builder

    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("no route to the hub")

    monkeypatch.setattr(_builder, "load_state_dict_from_hf", offline)
    with pytest.raises(WeightsError, match=r"cannot bring its weights .*no route.*'weights:'"):
        Timm(architecture="test_resnet", pretrained=True).build_pretrained(
            classes=1000, image_shape=(3, 160, 160)
        )


def test_pretrained_weights_that_arrive_are_the_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm
    from timm.models import _builder

    torch.manual_seed(5)
    source = timm.create_model("test_resnet", pretrained=False)
    monkeypatch.setattr(_builder, "load_state_dict_from_hf", lambda *_, **__: source.state_dict())
    network = Timm(architecture="test_resnet", pretrained=True).build_pretrained(
        classes=1000, image_shape=(3, 160, 160)
    )
    expected = source.state_dict()
    assert all(torch.equal(value, expected[k]) for k, value in network.state_dict().items())


def test_normalisation_is_given_or_that_of_the_pretrained_weights() -> None:
    half = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert Timm(architecture="resnet18").normalization() is None
    imagenet = Timm(architecture="resnet18", pretrained=True).normalization()
    assert imagenet == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    given = Timm(architecture="resnet18", pretrained=True, mean=half[0], std=half[1])
    assert given.normalization() == half


# checkpoint


def test_only_kwargs_reach_the_callable(tmp_path: Path) -> None:
    file = write(tmp_path)
    with pytest.raises(UsageError, match=r"returns \(1, 7\).*expected logits of shape \(1, 10\)"):
        checkpoint(f"{file}:Net").build(classes=10, image_shape=(3, 32, 32))
    network = checkpoint(f"{file}:Net", kwargs={"classes": 10, "width": 2}).build(
        classes=10, image_shape=(3, 32, 32)
    )
    assert parameters(network) == 2 * 27 + 2 + 2 * 10 + 10


def test_an_edited_file_is_another_network_and_another_identity(tmp_path: Path) -> None:
    file = write(tmp_path)
    model = checkpoint(f"{file}:Net")
    identity = model.structure()
    first = model.build(classes=7, image_shape=(3, 32, 32))
    write(tmp_path, NETWORK.replace("width=4", "width=5"))
    assert model.structure() != identity
    assert parameters(model.build(classes=7, image_shape=(3, 32, 32))) != parameters(first)


def test_the_folder_is_no_part_of_the_identity(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = (checkpoint(f"{write(tmp_path / f)}:Net").structure() for f in "ab")
    assert one == two
    assert one["architecture"] == "net.py:Net"


def test_a_module_is_hashed_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "some_package").mkdir()
    write(tmp_path / "some_package", "raise RuntimeError('imported')", "__init__.py")
    file = write(tmp_path / "some_package")
    monkeypatch.syspath_prepend(tmp_path)
    model = checkpoint("some_package.net:Net")
    before = model.structure()
    assert before["architecture"] == "some_package.net:Net"
    file.write_text(NETWORK + "\n", encoding="utf-8")
    assert model.structure()["source"] != before["source"]
    with pytest.raises(PluginError, match="failed to import: RuntimeError: imported"):
        model.build(classes=7, image_shape=(3, 32, 32))
    assert "some_package.net" not in sys.modules


def test_a_module_of_a_library_is_built() -> None:
    model = checkpoint("torchvision.models:squeezenet1_1", kwargs={"num_classes": 4})
    assert model.structure()["source"]
    network = model.build(classes=4, image_shape=(3, 64, 64))
    assert network.training


MISTAKES: dict[str, tuple[str, type[Exception], str]] = {
    "no file": ("{folder}/other.py:Net", UsageError, "there is no file"),
    "no callable": (
        "{folder}/net.py:Nett",
        UsageError,
        r"has no callable 'Nett', expected one of Net",
    ),
    "a value": ("{folder}/net.py:value", UsageError, "has no callable 'value'"),
    "no network": (
        "{folder}/net.py:number",
        PluginError,
        "returned a int, expected a torch.nn.Mod",
    ),
    "an exception": ("{folder}/net.py:broken", PluginError, "failed when called: KeyError: 'oh'"),
    "bad syntax": ("{folder}/bad.py:Net", PluginError, "failed to import: SyntaxError"),
    "no module": ("no_such_module.net:Net", UsageError, "there is no module 'no_such_module'"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_explained(case: str, tmp_path: Path) -> None:
    architecture, error, message = MISTAKES[case]
    write(tmp_path)
    write(tmp_path, "def (:", "bad.py")
    model = checkpoint(architecture.format(folder=tmp_path))
    with pytest.raises(error, match=message):
        model.build(classes=7, image_shape=(3, 32, 32))
    assert not [name for name in sys.modules if "bench_checkpoint" in name and "bad" in name]


def test_a_missing_source_is_reported_when_planning(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        checkpoint(f"{tmp_path}/none.py:Net").structure()


@pytest.mark.parametrize("text", ["net.py", "net.py:", ":Net", "net/x:Net", "net.py:a b"])
def test_an_architecture_names_a_source_and_a_callable(text: str) -> None:
    with pytest.raises(ValidationError, match=r"expected 'package\.module:callable'"):
        checkpoint(text)


@pytest.mark.parametrize("key", ["weights", "mean", "std"])
def test_a_checkpoint_needs_its_weights_and_normalisation(key: str) -> None:
    given = {"architecture": "net.py:Net", "weights": "w.pt", **NORMAL}
    del given[key]
    with pytest.raises(ValidationError, match=key):
        Checkpoint.model_validate(given)
