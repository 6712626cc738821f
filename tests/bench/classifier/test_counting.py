"""Zeros are counted among the weights that layers compute with."""

from __future__ import annotations

import torch
from torch import nn

from bench.classifier.counting import layers, nonzero_parameters, sparsity


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
