"""The plain gradient.

This room knows how to take a logit's gradient with respect to the pixels. It does not know whether
the map that comes of it is true.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bench.api import Explainer
from bench.tensors import Heatmaps, Images, Labels

if TYPE_CHECKING:
    from torch import Generator
    from torch.nn import Module


class Saliency(Explainer):
    """How strongly the logit answers to each pixel: the size of its gradient.

    The largest absolute derivative over the channels of a pixel. Pixels are those of [0, 1], so
    the classifier's normalisation is part of what is differentiated.

    Source: Simonyan, Vedaldi and Zisserman, "Deep Inside Convolutional Networks: Visualising Image
        Classification Models and Saliency Maps", 2014, section 3.1.
    Deviations: none; images are run one at a time, so that results do not depend on the batch.
    """

    batch_invariant: ClassVar[bool] = True

    def explain(
        self, classifier: Module, images: Images, targets: Labels, *, generator: Generator
    ) -> Heatmaps:
        """Return max over channels of abs(d logit / d pixel); ``generator`` decides nothing."""
        import torch

        heatmaps = images.new_zeros(len(images), *images.shape[2:])
        for i, target in zip(range(len(images)), targets.tolist(), strict=True):
            image = images[i : i + 1].detach().clone().requires_grad_()
            with torch.enable_grad():
                logit = classifier(image)[0, target]
                (gradient,) = torch.autograd.grad(logit, image)
            heatmaps[i] = gradient[0].abs().amax(0)
        return heatmaps
