"""Reductions with a form, and reductions that break their promises, each in one way."""

from __future__ import annotations

from pydantic import Field

from bench.api import Reduction


class Forgetful(Reduction):
    """Set the smallest weights of each layer to zero, and let training take them back.

    Source: none.
    """

    sparsity: float = Field(0.5, ge=0, lt=1)

    @property
    def sparsity_target(self):
        """Promise it all the same."""
        return self.sparsity

    def reduce(self, network, images, labels, *, generator):
        """Zero."""
        import torch
        from torch import nn

        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                weight = layer.weight.detach().view(-1)
                smallest = torch.argsort(weight.abs())[: round(self.sparsity * weight.numel())]
                weight[smallest] = 0.0
        return network, None


class Scaled(Reduction):
    """Multiply the logits by a factor, which the form holds and no weight; pack half floats.

    Source: none.
    """

    factor: float = 2.0

    def reduce(self, network, images, labels, *, generator):
        """Wrap the network."""
        form = {"factor": self.factor}
        return self.rebuild(network, form, image_shape=tuple(images.shape[1:])), form

    def rebuild(self, network, form, *, image_shape):
        """Wrap the network again."""
        from torch import nn

        class Times(nn.Module):
            def forward(self, logits):
                return form["factor"] * logits

        return nn.Sequential(network, Times())

    def packed(self, network):
        """Round to half floats."""
        state = network.state_dict()
        return {name: t.half() if t.is_floating_point() else t for name, t in state.items()}


class Misbuilt(Scaled):
    """Rebuild another network than was made."""

    def rebuild(self, network, form, *, image_shape):
        """Return the network as it was."""
        return network

    def reduce(self, network, images, labels, *, generator):
        """Wrap the network."""
        from torch import nn

        return nn.Sequential(network), None


class Calibrated(Scaled):
    """Look at images, and yet have layers to be kept to."""

    layers: tuple[str, ...] = ()

    @property
    def images_wanted(self):
        """Ask for some."""
        return 4


class Crumbling(Forgetful):
    """Raise in its middle."""

    def reduce(self, network, images, labels, *, generator):
        """Raise."""
        raise RuntimeError("fell to pieces")


class TwoFaced(Forgetful):
    """Have the name of a defense."""


class Idle(Reduction):
    """Promise to make the network smaller, and leave it as it is."""

    def reduce(self, network, images, labels, *, generator):
        """Do nothing."""
        return network, None
