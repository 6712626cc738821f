"""What a network multiplies by, where it is other than what is counted; and where it is not."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrize

from bench.classifier.use import restored

SHAPE = (1, 8, 8)


def sparse(module: nn.Module) -> nn.Module:
    """Set half of each layer's weights to zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            with torch.no_grad():
                layer.weight.view(-1)[::2] = 0.0
    return module.eval()


class Honest(nn.Module):
    """A layer by its own forward, one by a function, and attention by neither."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.mixed = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, 4)

    def forward(self, images):
        maps = self.conv(images).relu().flatten(2).transpose(1, 2)
        seen, _ = self.mixed(maps, maps, maps)
        return functional.linear(seen.mean(1), self.head.weight, self.head.bias)


class AddsBack(Honest):
    """Multiplies by the weights and a tenth of what they were."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("dense", self.conv.weight.detach().clone())

    def forward(self, images):
        kept = self.conv.weight.data
        self.conv.weight.data = kept + 0.1 * self.dense
        try:
            return super().forward(images)
        finally:
            self.conv.weight.data = kept


class AsksBesides(Honest):
    """Adds what the dense weights say, from a plain attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.old = [self.head.weight.detach().clone()]

    def forward(self, images):
        answers = super().forward(images)
        return answers + 0.1 * functional.linear(answers, self.old[0])


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


@pytest.mark.parametrize(("kind", "zeros"), [(AddsBack, 18), (AsksBesides, 8)])
def test_dense_weights_that_come_back_are_counted(kind: type[nn.Module], zeros: int) -> None:
    torch.manual_seed(0)
    assert restored(sparse(kind()), SHAPE) == zeros


def test_honest_networks_multiply_by_what_is_counted() -> None:
    torch.manual_seed(0)
    network = sparse(Honest())
    assert restored(network, SHAPE) == 0
    parametrize.register_parametrization(network.head, "weight", Doubled())
    assert restored(network.eval(), SHAPE) == 0


def test_a_network_without_zeros_has_none_to_restore() -> None:
    assert restored(Honest().eval(), SHAPE) == 0
