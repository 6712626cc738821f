"""Training batches that are attacked as they come: what makes a network robust.

Shared by the kinds of plugins that train. This room knows two attacks, in a few lines of its own:
what makes it robust may not depend on what attacks. It does not know how weights are updated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from bench.api import Tuning
from bench.records import JSON
from bench.tensors import Images, Labels

if TYPE_CHECKING:
    from torch import Generator
    from torch.nn import Module

_FGSM_STEP = 1.25
_PGD_REACH = 2.5


class AttackedBatches(Tuning):
    """What a training on attacked images is asked: by which attack, how far, and how many."""

    attack: Literal["fgsm", "pgd"] = Field("pgd", description="what the batches are attacked by")
    eps: float = Field(8 / 255, ge=0, le=1, description="radius in linf, in pixels of [0, 1]")
    alpha: float | None = Field(
        None,
        gt=0,
        le=2,
        description="size of a step, in pixels; unset: 1.25 eps (fgsm), 2.5 eps / steps (pgd)",
    )
    steps: int = Field(7, ge=1, le=1000, description="of pgd; fgsm takes one")
    share: float = Field(1.0, gt=0, le=1, description="of each batch that is attacked")

    def parameters(self) -> dict[str, JSON]:
        """Return the parameters as they are used: one training has one identity.

        A step of the usual size is one that was not given, and a single step counts none.
        """
        usual = type(self).model_fields["steps"].default
        steps, alpha = self.course
        plain = self.model_copy(update={"alpha": None})
        found = super().parameters()
        found["steps"] = usual if self.attack == "fgsm" else steps
        found["alpha"] = None if plain.course[1] == alpha else alpha
        return found

    @property
    def course(self) -> tuple[int, float]:
        """The number of steps, and the size of each in pixels."""
        steps = 1 if self.attack == "fgsm" else self.steps
        usual = _FGSM_STEP if self.attack == "fgsm" else _PGD_REACH / steps
        return steps, usual * self.eps if self.alpha is None else self.alpha

    def adversarial_batch(
        self, classifier: Module, images: Images, labels: Labels, *, generator: Generator
    ) -> Images:
        """Return the batch, its first images attacked: it comes in random order."""
        import torch

        count = max(1, round(self.share * len(images)))
        clean, truth = images[:count], labels[:count]
        start = torch.rand(clean.shape, generator=generator).to(clean)
        attacked = (clean + self.eps * (2 * start - 1)).clamp(0, 1)
        steps, alpha = self.course
        for _ in range(steps):
            attacked.requires_grad_()
            with torch.enable_grad():
                logits = classifier(attacked).float()
                loss = torch.nn.functional.cross_entropy(logits, truth, reduction="sum")
                (gradient,) = torch.autograd.grad(loss, attacked)
            moved = attacked.detach() + alpha * gradient.sign()
            attacked = moved.clamp(clean - self.eps, clean + self.eps).clamp(0, 1)
        return torch.cat([attacked.detach(), images[count:]])
