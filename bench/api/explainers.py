"""Explainers: where a classifier looks."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from bench.api.plugin import Plugin
from bench.tensors import Heatmaps, Images, Labels

if TYPE_CHECKING:
    from torch import Generator
    from torch.nn import Module


class Explainer(Plugin):
    """A method that says which pixels a prediction rests on.

    Class variables:
        batch_invariant: whether an image's heatmap does not depend on the batch it came in; where
            it does, the batch size is part of the identity.
        looks_inside: whether it reads a layer, of which an image must have one map.
    """

    batch_invariant: ClassVar[bool] = False
    looks_inside: ClassVar[bool] = False

    @abstractmethod
    def explain(
        self, classifier: Module, images: Images, targets: Labels, *, generator: Generator
    ) -> Heatmaps:
        """Return a heatmap for each image of one batch.

        Args:
            classifier: from pixels in [0, 1] to logits; in eval mode, weights frozen. It is the
                explainer's own copy; ``classifier.network`` is the model behind the normalisation.
            images: float32 in [0, 1], shape (image, channel, height, width).
            targets: the classes whose logits are explained, int64.
            generator: the only source of randomness, on the CPU, one for the whole cell.

        Returns:
            float32 of shape (image, height, width), finite; the higher, the more the logit rests
            on that pixel. Any scale. A map that is the same everywhere explains nothing, and is
            counted as empty.

        """

    def unsuited(self, *, classes: int, image_shape: tuple[int, int, int]) -> str | None:
        """Say why this explainer cannot run on such data, or None; its cells are skipped then."""
        return None
