"""Noise: the control that every attack must beat.

This room draws signs. It never asks the classifier anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from bench.api import Attack
from bench.norms import Norm
from bench.tensors import Images, Labels

if TYPE_CHECKING:
    from torch import Generator
    from torch.nn import Module


class Noise(Attack):
    """Add or subtract eps at random at each value: a control that should change next to nothing.

    As far from the image as an attack of the same eps in the linf norm, in a direction that knows
    nothing of the classifier. Targets would change nothing, so they are not honoured.

    Source: the control of Goodfellow, Shlens and Szegedy, "Explaining and Harnessing Adversarial
        Examples", 2015, section 7 (random perturbations under the max norm).
    Deviations: the result is clamped to [0, 1].
    """

    norm: ClassVar[Norm | None] = "linf"
    batch_invariant: ClassVar[bool] = True
    is_control: ClassVar[bool] = True

    eps: float = Field(8 / 255, ge=0, le=1, description="change of each value, in pixels of [0, 1]")

    def perturb(
        self,
        classifier: Module,
        images: Images,
        labels: Labels,
        *,
        targets: Labels | None = None,
        generator: Generator,
    ) -> Images:
        """Return the noisy images; one number a value is drawn, image after image."""
        import torch

        # torch draws bounded integers one by one, so that the stream is the same however it is cut
        bits = torch.randint(0, 2, images.shape, generator=generator, dtype=torch.int8)
        signs = (2 * bits - 1).to(images)
        noisy: Images = (images + self.eps * signs).clamp(0, 1)
        return noisy

    @property
    def passes(self) -> int:
        """None: the classifier is not called."""
        return 0
