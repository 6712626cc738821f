"""A network is laid out channels last where it computes so, and stays as it is otherwise."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from bench.classifier import layout
from bench.classifier.classifier import Classifier

SHAPE = (3, 4, 4)


class Viewing(nn.Sequential):
    """Views maps as vectors; ``backward_only`` where only gradients fail on channels last."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self[1](self[0](images))
        return self[2](maps.view(len(maps), -1))


def viewing() -> nn.Module:
    torch.manual_seed(3)
    return Viewing(nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.Linear(80, 2))


class Backward(torch.autograd.Function):
    """A step whose gradient needs maps that are not channels last."""

    @staticmethod
    def forward(context, maps):
        return maps.clone()

    @staticmethod
    def backward(context, gradient):
        return gradient.view(-1).view(gradient.shape)


class Delayed(nn.Sequential):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self[1](Backward.apply(self[0](images)).relu().mean((2, 3)))


def test_a_usual_network_lies_channels_last() -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(20, 2))
    layout.lay_out(network, SHAPE, "channels_last")
    assert layout.of(network) == "channels_last"
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert not network._forward_pre_hooks


def test_a_traced_network_is_tried_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    """Where it fails, torch prints its code."""

    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 5, 3, padding=1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.first(images).view(images.size(0), -1)

    network = torch.fx.symbolic_trace(Views())
    layout.lay_out(network, SHAPE, "channels_last")
    assert layout.of(network) == "contiguous"
    assert not capsys.readouterr().err


@pytest.mark.parametrize("grey", [False, True])
def test_a_network_that_views_lies_contiguous_whatever_images_come(grey: bool) -> None:
    network = viewing() if not grey else nn.Sequential(Expand(), viewing())
    shape = (1, 4, 4) if grey else SHAPE
    classifier = Classifier(network, (0.0,) * shape[0], (1.0,) * shape[0])
    layout.lay_out(classifier, shape, "channels_last")
    assert layout.of(classifier) == "contiguous"
    images = torch.rand(2, *shape)
    last = images.permute(0, 2, 3, 1).clone().permute(0, 3, 1, 2)
    own = copy.deepcopy(classifier)
    assert torch.equal(own(images), own(last))
    own(last.requires_grad_()).sum().backward()
    assert last.grad.count_nonzero()


class Expand(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.expand(-1, 3, -1, -1)


def test_gradients_are_tried_too() -> None:
    network = Delayed(nn.Conv2d(3, 5, 3), nn.Linear(5, 2))
    layout.lay_out(network, SHAPE, "channels_last")
    assert layout.of(network) == "contiguous"


def test_trying_leaves_nothing_behind() -> None:
    network = viewing().train()
    network[1].eval()
    state = copy.deepcopy(network.state_dict())
    generator = torch.get_rng_state()
    layout.lay_out(network, SHAPE, "channels_last")
    assert [part.training for part in network] == [True, False, True]
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(generator, torch.get_rng_state())


def test_what_fails_either_way_is_left_to_fail_where_it_is_used() -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(7, 2))
    layout.lay_out(network, SHAPE, "channels_last")
    assert layout.of(network) == "channels_last"
    assert not network._forward_pre_hooks


def test_networks_within_shields_keep_their_own_layout() -> None:
    """Which was laid out first, the network alone or behind its shield, changes nothing."""
    plain = Classifier(viewing(), (0.0,) * 3, (1.0,) * 3)
    layout.lay_out(plain, SHAPE, "channels_last")
    smoothing = nn.Conv2d(3, 3, 3, padding=1, bias=False)
    shielded = Classifier(
        plain.network, (0.0,) * 3, (1.0,) * 3, lambda inner: nn.Sequential(smoothing, inner)
    )
    layout.lay_out(shielded, SHAPE, "channels_last")
    assert plain.network[0].weight.is_contiguous()
    assert shielded(torch.rand(2, *SHAPE)).shape == (2, 2)
    assert layout.of(shielded) == "contiguous"
