"""Training recipes: everything that decides what training makes of a model and data.

A recipe is a frozen value with no torch in it, so that a suite can be read, checked and planned
without torch. :mod:`bench.training` carries it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bench.records import JSON

Augmentation = Literal[
    "flip",
    "rotation",
    "affine",
    "resized_crop",
    "colour_jitter",
    "grey",
    "erasing",
    "mixup",
    "cutmix",
]
Preset = Literal["reference", "strong"]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "reference": {
        "epochs": 50,
        "batch_size": 32,
        "optimizer": "adam",
        "lr": 1e-3,
        "weight_decay": 1e-4,
        "scheduler": "cosine",
        "patience": 10,
        "augment": ("flip", "rotation", "colour_jitter", "resized_crop"),
        "seed": 42,
    },
    "strong": {
        "epochs": 60,
        "batch_size": 64,
        "optimizer": "adamw",
        "lr": 3e-3,
        "weight_decay": 0.05,
        "scheduler": "one_cycle",
        "label_smoothing": 0.1,
        "augment": ("flip", "affine", "colour_jitter"),
    },
}
"""Recipes by name. ``reference`` is what courses teach, early stopping on held-out images included;
``strong`` runs a fixed schedule to its end and selects nothing on held-out images."""


class Recipe(BaseModel):
    """How a model is trained.

    Without ``patience``, a fixed schedule to its end: no held-out image selects anything. In a
    suite, ``train: strong`` names a preset and ``train: {preset: strong, epochs: 30}`` departs from
    it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Preset | None = Field(None, description="the recipe that the other keys depart from")
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
        description="on each training batch: flip (horizontal); rotation (to 15 degrees); affine "
        "(rotation, scale 0.9 to 1.1, shift to 10 %); resized_crop (70 to 100 % of the area, "
        "stretched to 4:3); colour_jitter (brightness, contrast, saturation to 0.2, hue to 0.1); "
        "grey (one image in five); erasing (a box of 10 to 40 % a side, every other image); mixup "
        "and cutmix (every other image)",
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="stop after so many epochs without a better accuracy on 'valid' (at equal "
        "accuracy, a lower loss), and keep the best epoch's weights; unset: the last epoch's",
    )
    grow_from: int | None = Field(
        None,
        ge=8,
        description="pixels of the shorter side of training images in the first fifth of the "
        "epochs, from where they grow fifth by fifth to their full size in the last; for models "
        "that take images of any size; unset: full size in all",
    )
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="bf16: forward passes of training under autocast"
    )
    seed: int | None = Field(
        None, ge=0, lt=2**63, description="of weights, order, noise; the suite's if unset"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, given: Any) -> Any:
        """Fill in what the preset says and the suite does not."""
        values = {"preset": given} if isinstance(given, str) else given
        for name, value in values.items() if isinstance(values, dict) else ():
            if isinstance(value, bool):  # pydantic would take it for 1 or 0
                raise ValueError(f"got '{name}: {value}', expected no yes or no")  # noqa: TRY004 (pydantic's)
        if not isinstance(values, dict) or values.get("preset") is None:
            return values
        name = values["preset"]
        if not isinstance(name, str) or name not in PRESETS:
            raise ValueError(f"got the preset {name!r}, expected one of " + ", ".join(PRESETS))
        return {**PRESETS[name], **values}

    @property
    def label(self) -> str:
        """The preset and what departs from it; ``own`` without a preset."""
        if self.preset is None:
            return "own"
        usual = Recipe.model_validate(self.preset)
        apart = [
            f"{name}={getattr(self, name)}"
            for name in Recipe.model_fields
            if name != "seed" and getattr(self, name) != getattr(usual, name)
        ]
        return f"{self.preset} ({', '.join(apart)})" if apart else self.preset

    def identity(self) -> dict[str, JSON]:
        """Return what decides the weights, besides the seed: all that departs from the defaults.

        So a new key, whose default changes nothing, parts no recipe from its results. A default
        that changes needs the train cell's revision raised.
        """
        departing: dict[str, JSON] = self.model_dump(
            mode="json", exclude={"seed", "preset"}, exclude_defaults=True
        )
        return departing
