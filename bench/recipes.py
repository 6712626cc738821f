"""Training recipes: everything that decides what training makes of a model and data.

A recipe is a frozen value with no torch in it, so that a suite can be read, checked and planned
without torch. :mod:`bench.training` carries it out.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Augmentation = Literal["flip", "affine", "colour_jitter"]


class Recipe(BaseModel):
    """How a model is trained: a fixed schedule to its end; no held-out image selects anything."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(20, ge=1, le=10_000, description="passes over the training images")
    batch_size: int = Field(64, ge=2, le=65_536, description="images a step")
    optimizer: Literal["adamw", "adam", "sgd"] = Field(
        "adamw", description="torch.optim's; sgd with Nesterov momentum 0.9"
    )
    lr: float = Field(3e-3, gt=0, le=10, description="peak learning rate")
    weight_decay: float = Field(5e-4, ge=0, le=10, description="the optimizer's weight decay")
    scheduler: Literal["one_cycle", "cosine", "constant"] = Field(
        "one_cycle", description="learning rate over the steps"
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="of the cross-entropy")
    augment: tuple[Augmentation, ...] = Field(
        (),
        description="on each training batch: horizontal flip; rotation to 15 degrees, scale "
        "0.9 to 1.1 and shift to 10 %; brightness, contrast and saturation to 0.2",
    )
    seed: int | None = Field(
        None, ge=0, description="of weights, order, noise; the suite's if unset"
    )
