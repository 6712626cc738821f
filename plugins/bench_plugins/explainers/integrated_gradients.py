"""Integrated gradients: the gradient summed up along the way from an even image.

This room knows captum's parameters, and how to make one map of a value for each channel. It does
not know how the integral is computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from bench.api import Explainer
from bench.tensors import Heatmaps, Images, Labels, Perturbation

if TYPE_CHECKING:
    from torch import Generator
    from torch.nn import Module

_AT_ONCE = 16
"""How many points of the way are run through the network together: this bounds memory."""


class IntegratedGradients(Explainer):
    """What each pixel adds to the logit on the way from an even image to this one.

    The attributions of all values add up to the logit's rise from the baseline to the image, but
    for the error of the numerical integral. A value that equals the baseline gets nothing: with a
    black baseline, black pixels explain nothing. The map is the sum over the channels of a pixel,
    where it is positive: what speaks for the class.

    Source: Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", 2017, equations 1
        and 3. Computed by captum.
    Deviations: the integral is a Gauss-Legendre quadrature where the paper takes a Riemann sum
        (set ``method`` to ``riemann_right`` for the paper's); negative sums are set to zero, where
        the paper leaves the choice to who draws the map; images are run one at a time, so that
        results do not depend on the batch.
    """

    wraps: ClassVar[str | None] = "captum"
    batch_invariant: ClassVar[bool] = True

    n_steps: int = Field(50, ge=2, description="points at which the gradient is taken")
    method: Literal[
        "gausslegendre", "riemann_left", "riemann_middle", "riemann_right", "riemann_trapezoid"
    ] = Field("gausslegendre", description="how the integral is approximated")
    baseline: float = Field(0, ge=0, le=1, description="grey level to start from; 0 is black")

    def explain(
        self, classifier: Module, images: Images, targets: Labels, *, generator: Generator
    ) -> Heatmaps:
        """Return the positive part of the attributions' sum over channels; nothing is drawn."""
        return self.attributions(classifier, images, targets).sum(1).clamp(min=0)

    def attributions(self, classifier: Module, images: Images, targets: Labels) -> Perturbation:
        """Return what captum attributes to each value, signed; in the images' dtype."""
        import torch
        from captum.attr import IntegratedGradients as Captum

        attributions = torch.zeros_like(images, memory_format=torch.contiguous_format)
        for i, target in zip(range(len(images)), targets.tolist(), strict=True):
            attributions[i] = Captum(classifier).attribute(
                images[i : i + 1].detach(),
                baselines=self.baseline,
                target=target,
                n_steps=self.n_steps,
                method=self.method,
                internal_batch_size=_AT_ONCE,
            )[0]
        return attributions
