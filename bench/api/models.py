"""Models: how a network is built, and where its weights come from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from bench.api.plugin import Plugin
from bench.records import JSON

if TYPE_CHECKING:
    from torch.nn import Module


def strange_normalisation(mean: Sequence[float], std: Sequence[float]) -> str | None:
    """Say why a normalisation cannot belong to pixels in [0, 1], or None.

    Their mean lies there, too, and their std is at most 1/2: what scales them may be at most 1.
    """
    if not all(0 <= each <= 1 for each in mean):
        return f"has mean {_written(mean)}"
    if not all(0 < each <= 1 for each in std):
        return f"has std {_written(std)}"
    return None


def _written(values: Sequence[float]) -> str:
    return f"[{', '.join(f'{each:.6g}' for each in values)}]"


class Model(Plugin):
    """An architecture, and where its weights come from if the suite does not train it.

    Parameters that every model has: ``weights``, a ``.safetensors`` or ``.pt`` file to load
    strictly, and ``weights_key``, where in it they lie; ``mean`` and ``std``,
    the normalisation of each channel, done inside the classifier.
    """

    weights: Annotated[
        Path | None, Field(description=".safetensors or .pt file, loaded strictly")
    ] = None
    weights_key: Annotated[
        str | None, Field(description="where in the file they lie, if in no usual place: ema.net")
    ] = None
    mean: Annotated[
        tuple[float, ...] | None, Field(description="of each channel, pixels in [0, 1]")
    ] = None
    std: Annotated[tuple[float, ...] | None, Field(description="of each channel")] = None

    @model_validator(mode="after")
    def _normalisation_is_whole(self) -> Model:
        if self.weights_key is not None and self.weights is None:
            raise ValueError("got weights_key without weights: it is a place in that file")
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together: give both or neither")
        if self.mean is not None and self.std is not None:
            if len(self.mean) != len(self.std):
                raise ValueError("mean and std need one number for each channel")
            if min(self.std) <= 0:
                raise ValueError("std must be positive")
            reason = strange_normalisation(self.mean, self.std)
            if reason is not None:
                raise ValueError(
                    f"{reason}, expected mean and std of pixels in [0, 1]; those of pixels from 0 "
                    "to 255 are divided by 255 (128 -> 128/255)"
                )
        return self

    @abstractmethod
    def build(self, *, classes: int, image_shape: tuple[int, int, int]) -> Module:
        """Build the network with fresh weights, never downloading any.

        Args:
            classes: how many logits.
            image_shape: (channel, height, width).

        Returns:
            A module from *normalised* images to logits.

        """

    @property
    def has_pretrained(self) -> bool:
        """Whether :meth:`build_pretrained` brings weights of its own."""
        return False

    def build_pretrained(self, *, classes: int, image_shape: tuple[int, int, int]) -> Module:
        """Build the network with the weights that its library offers.

        Raises:
            WeightsError: where they cannot be had.

        """
        raise TypeError(f"{type(self).__name__} has no pretrained weights")

    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Return (mean, std) of each channel, or None: of the training images, or the file's."""
        if self.mean is None or self.std is None:
            return None
        return self.mean, self.std

    def parameters(self) -> dict[str, JSON]:
        """Return the parameters as plain values; a key that is not given is none."""
        found = super().parameters()
        if self.weights_key is None:
            found.pop("weights_key", None)
        return found

    def sources(self) -> tuple[str, ...]:
        """Return packages and modules beside the plugin's own that the network's code lies in."""
        return ()

    def structure(self) -> dict[str, JSON]:
        """Return the parameters that decide the function which given weights compute."""
        return {
            name: value
            for name, value in self.parameters().items()
            if name not in {"weights", "weights_key", "mean", "std"}
        }
