"""Training on attacked images.

This room knows the recipe. How a batch is attacked, it leaves to the room that kinds share.
"""

from __future__ import annotations

from pydantic import Field

from bench.api import Augmentation, Hardening, Recipe
from bench_plugins.attacked_batches import AttackedBatches


class AdversarialTraining(AttackedBatches, Hardening):
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
