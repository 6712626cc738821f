"""Training on attacked images.

This room knows two attacks, in a few lines of its own: what hardens may not depend on what attacks.
It does not know how weights are updated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from bench.api import Augmentation, Hardening, Recipe
from bench.tensors import Images, Labels

if TYPE_CHECKING:
    from torch import Generator
    from torch.nn import Module

_FGSM_STEP = 1.25
_PGD_REACH = 2.5


class AdversarialTraining(Hardening):
    """Learn from images that are attacked as they come, on the network as trained so far.

    Both attacks maximise the cross-entropy within an l-infinity ball: from a random start in it,
    ``fgsm`` takes one step along the sign of the gradient, ``pgd`` several, each followed by a
    projection into the ball and into [0, 1].

    Source: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", 2018,
        section 3 (PGD); Wong, Rice and Kolter, "Fast Is Better than Free: Revisiting Adversarial
        Training", 2020, algorithm 3 (FGSM with a random start, step 1.25 eps); a share of each
        batch: Kurakin, Goodfellow and Bengio, "Adversarial Machine Learning at Scale", 2017,
        algorithm 1.
    Deviations: the network is in eval mode while it is attacked. Kurakin et al. weigh the two parts
        of a batch; here every image counts the same. The step of PGD is 2.5 eps / steps unless
        given, where Madry et al. choose one for each data set.
    """

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
    from_scratch: bool = Field(
        default=False, description="begin with fresh weights, rather than with the variant's so far"
    )
    epochs: int = Field(10, ge=1, le=10_000, description="passes over the training images")
    lr: float = Field(1e-3, gt=0, le=10, description="peak learning rate of adamw, one cycle")
    batch_size: int = Field(64, ge=2, le=65_536, description="images a step")
    augment: tuple[Augmentation, ...] = Field(
        (), description="on each batch before it is attacked, as in a model's recipe"
    )

    @property
    def recipe(self) -> Recipe:
        """How the weights are trained: epochs, lr, batch size and augmentation as given."""
        return Recipe(
            epochs=self.epochs, lr=self.lr, batch_size=self.batch_size, augment=self.augment
        )

    @property
    def is_from_scratch(self) -> bool:
        """Whether training begins with fresh weights."""
        return self.from_scratch

    @property
    def course(self) -> tuple[int, float]:
        """The number of steps, and the size of each in pixels."""
        steps = 1 if self.attack == "fgsm" else self.steps
        usual = _FGSM_STEP if self.attack == "fgsm" else _PGD_REACH / steps
        return steps, usual * self.eps if self.alpha is None else self.alpha

    def harden(
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
