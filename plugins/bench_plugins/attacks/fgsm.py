"""The fast gradient sign method.

This room knows its one parameter, and how to make its result the same in every batch. It does not
know how the step is computed, nor whether it succeeds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from bench.api import Attack, filled_up
from bench.norms import Norm
from bench.tensors import Images, Labels

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module

_BATCH = 16
"""How many images torchattacks is given at a time, always.

It averages the loss over its batch, and kernels round differently in batches of different size:
either can turn the sign of a gradient that is nearly zero. In batches of one size, filled up with
copies of the last image, an image meets the same divisor (a power of two: dividing by it is exact)
and the same kernels, whatever batch it came in.
"""


class FGSM(Attack):
    """One step of size eps along the sign of the loss's gradient.

    Source: Goodfellow, Shlens and Szegedy, "Explaining and Harnessing Adversarial Examples", 2015,
        section 4; the targeted form as in Kurakin et al., "Adversarial Machine Learning at Scale",
        2017, equation 3. Computed by torchattacks' FGSM.
    Deviations: none; images are run in batches of 16, so that results do not depend on the suite's.
    """

    wraps: ClassVar[str | None] = "torchattacks"
    norm: ClassVar[Norm | None] = "linf"
    targetable: ClassVar[bool] = True
    batch_invariant: ClassVar[bool] = True

    eps: float = Field(8 / 255, ge=0, le=1, description="step, in pixels of [0, 1]")

    def perturb(
        self,
        classifier: Module,
        images: Images,
        labels: Labels,
        *,
        targets: Labels | None = None,
        generator: Generator,
    ) -> Images:
        """Return the images after the step, clamped to [0, 1]; ``generator`` decides nothing."""
        import torch

        from bench_plugins.attacks import torchattacks

        done = []
        for start in range(0, len(images), _BATCH):
            part = slice(start, start + _BATCH)
            with filled_up(classifier, _BATCH - len(images[part])):
                adversarial_images = torchattacks.run(
                    "FGSM",
                    classifier,
                    _filled(images[part]),
                    _filled(labels[part]),
                    targets=None if targets is None else _filled(targets[part]),
                    generator=generator,
                    eps=self.eps,
                )
            done.append(adversarial_images[: len(images[part])])
        return torch.cat(done) if done else images.clone()


def _filled(part: Tensor) -> Tensor:
    """Repeat the last entry until there are as many as a batch holds."""
    missing = _BATCH - len(part)
    return part if missing == 0 else part[[*range(len(part)), *[-1] * missing]]
