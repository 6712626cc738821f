"""A classifier under Gaussian noise, and what can be proved of it.

This room knows how noise becomes a verdict and a radius. It does not know what is under the noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from bench.api import Certificates, Gradients, Shield
from bench.tensors import Images

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module

_AT_ONCE = 128
"""How many noisy copies of an image are classified in one batch."""


class RandomizedSmoothing(Shield):
    """The class that a classifier most often gives to an image under Gaussian noise.

    The verdict is the majority over ``votes`` noises that are drawn once from the seed, the same
    for every image, so that an answer depends neither on the batch nor on what was asked before;
    ties go to the larger mean softmax. Attacks see the log of the mean softmax over ``averaged``
    other noises, fresh at each call (EOT).

    The proof: the class that leads among ``selection`` noises is counted among ``samples`` others;
    with p a lower bound of its chance by Clopper and Pearson, which fails in a share of at most
    ``alpha`` of the images, the radius is sigma times the normal quantile of p. It abstains where p
    is at most a half.

    Source: Cohen, Rosenfeld and Kolter, "Certified Adversarial Robustness via Randomized
        Smoothing", 2019, section 3.2.2 (CERTIFY). For attacks: Salman et al., "Provably Robust Deep
        Learning via Adversarially Trained Smoothed Classifiers", 2019, section 2.
    Deviations: the verdict takes the majority and never abstains (their PREDICT does), with few
        votes of fixed noise; the proof is of the smoothed classifier, which those votes estimate.
        They prove with 100,000 samples: with 1,000 no radius is above 2.46 sigma.
    """

    randomised: ClassVar[bool] = True
    surrogate_agrees: ClassVar[bool] = False
    proof_only: ClassVar[frozenset[str]] = frozenset({"samples", "selection", "alpha"})
    gradients: ClassVar[Gradients] = "expectation"

    sigma: float = Field(0.25, gt=0, le=1, description="of the noise, in pixels of [0, 1]")
    votes: int = Field(32, ge=1, le=100_000, description="noises for a verdict")
    averaged: int = Field(8, ge=1, le=100_000, description="noises that attacks average over")
    samples: int = Field(1000, ge=1, le=1_000_000, description="noises that prove a radius")
    selection: int = Field(100, ge=1, le=1_000_000, description="noises that choose what to prove")
    alpha: float = Field(0.001, gt=0, lt=0.5, description="chance that a proof is wrong")

    @property
    def draws(self) -> int:
        """As ``averaged`` has it."""
        return self.averaged

    def defend(self, classifier: Module, members: Sequence[Module], *, seed: int) -> Module:
        """Return the majority under noise that is always the same."""
        from bench_plugins.defenses.layers import Noised, tally

        return Noised(
            classifier, sigma=self.sigma, count=self.votes, seed=seed, join=tally, fresh=False
        )

    def surrogate(self, classifier: Module, members: Sequence[Module], *, seed: int) -> Module:
        """Return the log of the mean softmax under fresh noise."""
        from bench_plugins.defenses.layers import Noised, average

        return Noised(
            classifier, sigma=self.sigma, count=self.averaged, seed=seed, join=average, fresh=True
        )

    def certify(self, classifier: Module, images: Images, *, generator: Generator) -> Certificates:
        """Prove image by image, so that the noise does not depend on the batch."""
        import torch

        predictions = torch.full((len(images),), -1)
        radii = torch.zeros(len(images), dtype=torch.float64)
        with torch.no_grad():
            for place, image in enumerate(images):
                leading = self._counts(classifier, image, self.selection, generator).argmax()
                counts = self._counts(classifier, image, self.samples, generator)
                chance = lower_bound(int(counts[leading]), self.samples, self.alpha)
                if chance > 0.5:  # noqa: PLR2004 (a majority)
                    predictions[place] = leading
                    radii[place] = self.sigma * NormalDist().inv_cdf(chance)
        return Certificates(predictions, radii)

    def _counts(
        self, classifier: Module, image: Tensor, samples: int, generator: Generator
    ) -> Tensor:
        """Count how often each class is predicted of an image under noise."""
        import torch

        counts: Tensor | int = 0
        for start in range(0, samples, _AT_ONCE):
            shape = (min(_AT_ONCE, samples - start), *image.shape)
            noise = torch.randn(shape, generator=generator).to(image)
            logits = classifier(image + self.sigma * noise)
            counts = counts + torch.bincount(logits.argmax(1).cpu(), minlength=logits.shape[1])
        return torch.as_tensor(counts)


def lower_bound(successes: int, trials: int, alpha: float) -> float:
    """Return what a chance is at least, but for a share ``alpha`` of cases (Clopper-Pearson)."""
    from scipy.stats import beta

    return 0.0 if successes == 0 else float(beta.ppf(alpha, successes, trials - successes + 1))
