"""Projected gradient descent.

This room knows its parameters and which step size goes with which eps. It does not know how steps
are computed, nor whether they succeed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from bench.api import Attack
from bench.norms import Norm
from bench.records import JSON
from bench.tensors import Images, Labels

if TYPE_CHECKING:
    from torch import Generator
    from torch.nn import Module


class PGD(Attack):
    """Steps of size alpha along the sign of the loss's gradient, projected into the eps ball.

    Where ``alpha`` is not given, it is eps / 4, the ratio of torchattacks' defaults (2/255 and
    8/255). torchattacks keeps 2/255 whatever eps is, so that a sweep over eps would flatten.

    Source: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", 2018,
        section 2.1. Computed by torchattacks' PGD.
    Deviations: alpha follows eps, as said above; one random start, where the paper also restarts.
    """

    wraps: ClassVar[str | None] = "torchattacks"
    norm: ClassVar[Norm | None] = "linf"
    targetable: ClassVar[bool] = True
    traceable: ClassVar[bool] = True

    eps: float = Field(8 / 255, ge=0, le=1, description="radius, in pixels of [0, 1]")
    alpha: float | None = Field(
        None, gt=0, le=1, description="step, in pixels of [0, 1]; eps / 4 where not given"
    )
    steps: int = Field(10, ge=1, description="number of steps")
    random_start: bool = Field(default=True, description="begin at a uniform point of the ball")

    def parameters(self) -> dict[str, JSON]:
        """Return the parameters, with the alpha that is used."""
        return {**super().parameters(), "alpha": self._alpha()}

    def perturb(
        self,
        classifier: Module,
        images: Images,
        labels: Labels,
        *,
        targets: Labels | None = None,
        generator: Generator,
    ) -> Images:
        """Return the images after the last step; ``generator`` decides the random start."""
        from bench_plugins.attacks import torchattacks

        return torchattacks.run(
            "PGD",
            classifier,
            images,
            labels,
            targets=targets,
            generator=generator,
            eps=self.eps,
            alpha=self._alpha(),
            steps=self.steps,
            random_start=self.random_start,
        )

    def _alpha(self) -> float:
        return self.eps / 4 if self.alpha is None else self.alpha
