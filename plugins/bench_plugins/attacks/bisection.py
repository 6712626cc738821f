"""The least eps at which one step of FGSM fools: a threshold for each image.

This room knows how to search. It does not know whether what it finds succeeds in the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from bench.api import Attack
from bench.norms import Norm
from bench.tensors import Images, Labels

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module


class Bisection(Attack):
    """The smallest eps at which a step along the gradient's sign fools, bisected for each image.

    A few sizes are tried in order, since more eps does not always fool more; between the first that
    fools and the one before it, the interval is halved. Where none fools, the image stays as it is.
    ``median_norm`` and ``norm_80`` are then the eps at which 50 % and 80 % of the images are
    misclassified.

    Source: the step of Goodfellow, Shlens and Szegedy, "Explaining and Harnessing Adversarial
        Examples", 2015, section 4; the search is ours.
    Deviations: one gradient, that of the image, serves all sizes, as in FGSM.
    """

    norm: ClassVar[Norm | None] = "linf"
    targetable: ClassVar[bool] = True
    minimum_norm: ClassVar[bool] = True

    largest: float = Field(0.5, gt=0, le=1, description="largest eps tried, in pixels of [0, 1]")
    scan: int = Field(16, ge=1, description="sizes that are tried before halving, evenly spaced")
    halvings: int = Field(8, ge=0, description="how often the interval is halved")

    @property
    def passes(self) -> int:
        """One gradient, and a pass for each size."""
        return 1 + self.scan + self.halvings

    def perturb(
        self,
        classifier: Module,
        images: Images,
        labels: Labels,
        *,
        targets: Labels | None = None,
        generator: Generator,
    ) -> Images:
        """Return each image at the smallest step that fools; ``generator`` decides nothing."""
        import torch

        direction = _direction(classifier, images, labels, targets)

        def fooled(sizes: Tensor) -> Tensor:
            with torch.no_grad():
                predictions = classifier(_moved(images, direction, sizes)).argmax(1)
            is_fooled: Tensor = predictions != labels if targets is None else predictions == targets
            return is_fooled

        below = torch.zeros(len(images), device=images.device)
        above = torch.full_like(below, float("inf"))
        for step in range(self.scan + 1):
            sizes = torch.full_like(below, self.largest * step / self.scan)
            first = fooled(sizes) & above.isinf()
            above = torch.where(first, sizes, above)
            below = torch.where(above.isinf(), sizes, below)
        for _ in range(self.halvings):
            middle = torch.where(above.isinf(), below, (below + above) / 2)
            is_hit = fooled(middle) & above.isfinite()
            above = torch.where(is_hit, middle, above)
            below = torch.where(is_hit, below, middle)
        return _moved(images, direction, torch.where(above.isinf(), 0.0, above))


def _direction(
    classifier: Module, images: Images, labels: Labels, targets: Labels | None
) -> Tensor:
    """Return the sign of the loss's gradient, towards the target where there is one."""
    import torch
    from torch.nn import functional

    moving = images.detach().clone().requires_grad_()
    with torch.enable_grad():
        logits = classifier(moving)
        wanted = labels if targets is None else targets
        loss = functional.cross_entropy(logits, wanted, reduction="sum")
        [gradient] = torch.autograd.grad(loss, moving)
    return gradient.sign() if targets is None else -gradient.sign()


def _moved(images: Images, direction: Tensor, sizes: Tensor) -> Images:
    moved: Images = (images + sizes.view(-1, 1, 1, 1) * direction).clamp(0, 1).detach()
    return moved
