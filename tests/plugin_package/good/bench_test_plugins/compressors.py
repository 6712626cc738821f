"""A compressor that does not keep what it promises."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from bench.api import Reduction


class Forgetful(Reduction):
    """Set every other weight to zero, and let training take it back."""

    holds_zeros: ClassVar[bool] = False

    sparsity: float = Field(0.5, ge=0.5, le=0.5)

    @property
    def sparsity_target(self):
        """Half of them."""
        return self.sparsity

    def reduce(self, network, images, labels, *, generator):
        """Prune, and say nothing of it."""
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.detach().view(-1)[::2] = 0.0
        return network, None
