"""Zeros are counted among the weights that layers compute with."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bench.classifier.counting import layers, multiplications, nonzero_parameters, sparsity
from bench.classifier.layers import layer_weights


class Rounded(nn.Linear):
    """A layer that computes with whole numbers."""

    def effective_weights(self, stored: torch.Tensor) -> torch.Tensor:
        return stored.round()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(images, self.effective_weights(self.weight), self.bias)


def test_a_layer_declares_the_weights_that_it_computes_with() -> None:
    layer = Rounded(4, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.2, 0.4, 0.6, 1.0]]))
    network = nn.Sequential(layer)
    assert sparsity(network) == 0.5
    assert nonzero_parameters(network) == 2
    assert layers(network, torch.zeros(1, 4))[0].zeros == 2
    assert sparsity(nn.Sequential(nn.Linear(4, 1))) == 0


WIDTH = 8


class Attention(nn.Module):
    """What never asks its output projection's ``forward``: it hands its weights on."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        return self.head(mixed.mean(1))


class Functional(nn.Module):
    """Weights that are used by functions: of another layer, transposed, in parts, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.third = nn.Linear(WIDTH, WIDTH)
        self.third.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.linear(x, self.first.weight, self.first.bias)  # 64
        x = self.third(x)  # 64, by the same weights
        x = x @ self.second.weight  # 64
        half = nn.functional.linear(x, self.second.weight[: WIDTH // 2])  # 32
        return torch.einsum("bi,oi->bo", half, self.second.weight[:, : WIDTH // 2])  # 32


class AddsBack(nn.Module):
    """Dense weights are added to sparse ones: nothing is multiplied by a zero."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, WIDTH)
        self.register_buffer("rest", torch.ones(WIDTH, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.layer.weight + self.rest)


class Masks(nn.Module):
    """Half of dense weights is masked as they are used."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, WIDTH)
        self.register_buffer("mask", torch.arange(WIDTH * WIDTH).view(WIDTH, WIDTH) % 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.layer.weight * self.mask)


class Steps(nn.Module):
    """A gradient is taken on the way to the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            leaf = x.detach().clone().requires_grad_()
            (gradient,) = torch.autograd.grad(self.layer(leaf).logsumexp(1).sum(), leaf)
        return self.layer(x + gradient.sign())


def made(kind: type[nn.Module], **zeros: int) -> nn.Module:
    """Make a network whose named layers have so many zeros, the first of their weights."""
    torch.manual_seed(0)
    network = kind().eval().requires_grad_(False)
    for name, count in zeros.items():
        weight = network.get_submodule(name.replace("__", ".")).weight
        weight.fill_(1.0).view(-1)[:count] = 0.0
    return network


def test_weights_that_are_handed_on_are_counted() -> None:
    network = made(Attention, attention__out_proj=WIDTH * WIDTH)
    tokens = torch.zeros(1, 4, WIDTH)
    found = {layer.name: layer for layer in layers(network, tokens)}
    assert (found["attention.out_proj"].uses, found["head"].uses) == (4, 1)
    assert found["attention.out_proj"].skipped == 4 * WIDTH * WIDTH
    products = 4 * 4 * WIDTH * WIDTH + 2 * 4 * 4 * WIDTH + 2 * WIDTH
    assert multiplications(network, tokens) == products


def test_weights_are_followed_through_functions_views_and_other_layers() -> None:
    network = made(Functional, first=16, second=32)  # the first rows
    found = {layer.name: layer for layer in layers(network, torch.zeros(1, WIDTH))}
    assert list(found) == ["first", "second"]
    assert (found["first"].uses, found["first"].skipped) == (2, 2 * 16)
    # whole: 32 of 64; its upper half: 32 of 32; its left half: 16 of 32
    assert (found["second"].uses, found["second"].skipped) == (2, 32 + 32 + 16)
    assert multiplications(network, torch.zeros(1, WIDTH)) == 4 * 64


def test_what_is_multiplied_counts_not_what_is_stored() -> None:
    (dense,) = layers(made(AddsBack, layer=64), torch.zeros(1, WIDTH))
    assert (dense.zeros, dense.skipped) == (64, 0)
    (masked,) = layers(made(Masks), torch.zeros(1, WIDTH))
    assert (masked.zeros, masked.skipped) == (0, 32)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "wrap",
    [
        lambda layer: layer,
        nn.utils.weight_norm,
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.spectral_norm,
    ],
)
def test_weights_that_are_made_of_others_are_followed(wrap: Any) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(wrap(nn.Linear(WIDTH, 4)), nn.ReLU(), nn.Linear(4, 2))
    network.eval().requires_grad_(False)
    assert [layer.uses for layer in layers(network, torch.zeros(3, WIDTH))] == [3, 3]


def test_a_network_that_takes_a_gradient_is_counted() -> None:
    network = made(Steps, layer=16)
    # forward twice and back once, each by all weights
    assert multiplications(network, torch.zeros(1, WIDTH)) == 3 * 64
    (layer,) = layers(network, torch.zeros(1, WIDTH))
    assert (layer.uses, layer.skipped) == (3, 3 * 16)


def hooked(network: nn.Module, image: torch.Tensor) -> dict[str, int]:
    """Count the uses of ordinary layers by hooks: the oracle, which sees modules alone."""
    uses: dict[str, int] = {}

    def count(name: str, layer: Any, given: torch.Tensor, out: torch.Tensor) -> None:
        met = given if isinstance(layer, nn.ConvTranspose2d) else out
        uses[name] = uses.get(name, 0) + met.numel() // layer.weight.shape[0]

    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            layer.register_forward_hook(
                lambda layer, given, out, name=name: count(name, layer, given[0], out)
            )
    with torch.inference_mode():
        network(image)
    return dict(uses)


@pytest.mark.parametrize("name", ["plain", "resnet", "vit"])
def test_ordinary_networks_have_the_figures_of_hooks_and_of_torchs_counter(name: str) -> None:
    import timm

    torch.manual_seed(0)
    network: nn.Module = {
        "plain": lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, groups=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, groups=4),
            nn.ConvTranspose2d(8, 4, 2, 2),
            nn.Flatten(),
            nn.Linear(4 * 12 * 12, 5),
        ),
        "resnet": lambda: timm.create_model("test_resnet", num_classes=5),
        "vit": lambda: timm.create_model("test_vit", num_classes=5, img_size=32),
    }[name]()
    network.eval().requires_grad_(False)
    image = torch.zeros(1, 3, 16 if name == "plain" else 32, 16 if name == "plain" else 32)
    for weight in layer_weights(network).values():
        weight.view(-1)[::3] = 0.0
    expected = hooked(network, image)
    attention = sdpa_kernel(SDPBackend.MATH)  # it knows no formula for the CPU's fused kernel
    with attention, torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(image)
    assert multiplications(network, image) == counter.get_total_flops() // 2
    found = layers(network, image)
    assert {layer.name: layer.uses for layer in found} == expected
    assert all(layer.skipped == layer.zeros * layer.uses for layer in found)
