"""Training that goes on after a reduction. Nothing here knows what was reduced.

Zeros that a reduction made are held by the trainer, so that no step here has to.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bench.api import Augmentation, FineTuning, Recipe


class FineTune(FineTuning):
    """Train on from the weights there are, with a small learning rate.

    Source: Han et al., "Learning Both Weights and Connections for Efficient Neural Networks", 2015,
        section 3.3.
    """

    epochs: int = Field(10, ge=1, le=10_000, description="passes over the training images")
    lr: float = Field(1e-4, gt=0, le=10, description="learning rate, the peak of a schedule")
    batch_size: int = Field(32, ge=2, le=65_536, description="images a step")
    optimizer: Literal["adamw", "adam", "sgd"] = Field("adam", description="as in a recipe")
    weight_decay: float = Field(0.0, ge=0, le=10, description="the optimizer's weight decay")
    scheduler: Literal["one_cycle", "cosine", "constant"] = Field(
        "constant", description="learning rate over the steps"
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="of the cross-entropy")
    augment: tuple[Augmentation, ...] = Field(
        (), description="on each training batch, as in a model's recipe"
    )

    @property
    def recipe(self) -> Recipe:
        """How the weights are trained on."""
        return Recipe(
            epochs=self.epochs,
            lr=self.lr,
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            weight_decay=self.weight_decay,
            scheduler=self.scheduler,
            label_smoothing=self.label_smoothing,
            augment=self.augment,
        )
