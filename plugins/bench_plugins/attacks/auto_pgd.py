"""Auto-PGD: projected gradient ascent with momentum, whose step is halved by how the loss goes.

This room knows one loss at a time. It does not know what other attacks find.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from bench.api import Attack
from bench.norms import Norm
from bench.tensors import Images, Labels, Logits, PerImage
from bench_plugins.attacks.ascent import Done, State
from bench_plugins.attacks.searching import (
    Draws,
    fools,
    gradient,
    lengths,
    margin,
    normalised,
    picked,
    projected,
)

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module

_MOMENTUM = 0.75
_RATIO_CLASSES = 3
_TARGETED_RATIO_CLASSES = 4


class AutoPGD(Attack):
    """Gradient ascent in a ball, with momentum, without a step size to choose.

    The step is twice eps at first. At checkpoints, at 22 % of the steps and then more and more
    often, it is halved and the search goes on from the best point so far where the loss rose in
    less than 75 % of the steps, or neither the step nor the best loss has changed since the last
    checkpoint. Returned is a point that fools, the last that was found, or else the one of the
    largest loss.

    Source: Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of
        Diverse Parameter-free Attacks", 2020, algorithm 1 and section 4 (the loss ``dlr``).
    Deviations: the cross-entropy is followed as the logarithm of the odds, which rises with it, has
        its gradient but for a positive factor, and does not underflow where a classifier is
        certain. ``margin`` is the difference that ``dlr`` divides, for fewer classes.
    """

    targetable: ClassVar[bool] = True
    is_reference: ClassVar[bool] = True
    reference_stage: ClassVar[int] = 2

    norm: Literal["linf", "l2"] = Field("linf", description="of the ball")
    eps: float = Field(8 / 255, ge=0, description="radius in the norm, for pixels of [0, 1]")
    steps: int = Field(100, ge=1, description="of each start")
    starts: int = Field(1, ge=1, description="each at a random point of the ball")
    loss: Literal["ce", "dlr", "margin"] = Field(
        "ce", description="cross-entropy, ratio of logits' differences, or their difference"
    )
    stop_at_success: bool = Field(
        default=False, description="whether images that are fooled leave the batch"
    )

    @property
    def passes(self) -> int:
        """A gradient a step, and one at each start."""
        return (self.steps + 1) * self.starts

    @classmethod
    def references(
        cls, norm: Norm, eps: float, *, classes: int, thorough: bool, exact: bool
    ) -> Mapping[str, Attack]:
        """Follow the cross-entropy, then the ratio of differences, or what there is of it."""
        if norm not in ("linf", "l2"):
            return {}
        ratio = "dlr" if classes >= _TARGETED_RATIO_CLASSES else "margin"
        steps = 100 if thorough else 10
        ball = {"norm": norm, "eps": eps, "steps": steps, "stop_at_success": exact}
        return {
            f"auto_pgd {loss}": cls.model_validate({**ball, "loss": loss}) for loss in ("ce", ratio)
        }

    def unsuited(self, *, classes: int, image_shape: tuple[int, int, int]) -> str | None:
        """Say that the ratio takes the third largest logit."""
        if self.loss == "dlr" and classes < _RATIO_CLASSES:
            return f"it needs {_RATIO_CLASSES} classes or more for its loss 'dlr'"
        return None

    def perturb(
        self,
        classifier: Module,
        images: Images,
        labels: Labels,
        *,
        targets: Labels | None = None,
        generator: Generator,
    ) -> Images:
        """Return for each image a point of its ball that fools, or that of the largest loss."""
        import torch

        draws = Draws.of(generator, len(images))
        done = Done(
            images.clone(),
            torch.full((len(images),), -torch.inf, device=images.device),
            torch.zeros(len(images), dtype=torch.bool, device=images.device),
        )
        for start in range(self.starts):
            rows = (
                (~done.fooled).nonzero()[:, 0]
                if self.stop_at_success
                else torch.arange(len(images), device=images.device)
            )
            if len(rows):
                self._climb(
                    classifier,
                    (rows, images[rows], labels[rows], picked(targets, rows)),
                    draws.picked(rows),
                    start,
                    done,
                )
        return done.images

    def _climb(
        self,
        classifier: Module,
        batch: tuple[Tensor, Images, Labels, Labels | None],
        draws: Draws,
        start: int,
        done: Done,
    ) -> None:
        """Search from one start; what is found is noted in ``done``."""
        import torch

        rows, images, labels, targets = batch
        begun = self._start(images, draws, start)
        loss = partial(self._loss, labels=labels, targets=targets)
        logits, slope = gradient(classifier, begun, loss)
        first = loss(logits)
        done.note(rows, begun, first, fools(logits, labels, targets))
        state = State.begun(rows, images, labels, targets, begun, first, slope, 2 * self.eps)
        checkpoints = _checkpoints(self.steps)
        last = 0
        for step in range(self.steps):
            if self.stop_at_success:
                state = state.only(~done.fooled[state.rows])
            if not len(state.rows):
                return
            moved = self._moved(state, momentum=_MOMENTUM if step else 1.0)
            loss = partial(self._loss, labels=state.labels, targets=state.targets)
            if step + 1 < self.steps:
                logits, slope = gradient(classifier, moved, loss)
            else:  # nothing follows its gradient
                with torch.no_grad():
                    logits, slope = classifier(moved), state.slope
            value = loss(logits)
            done.note(state.rows, moved, value, fools(logits, state.labels, state.targets))
            state = state.stepped(moved, value, slope)
            if step + 1 in checkpoints:
                state = state.looked_at(step + 1 - last)
                last = step + 1

    def _start(self, images: Images, draws: Draws, start: int) -> Images:
        """Return a random point of each ball."""
        shape = tuple(images.shape[1:])
        if self.norm == "linf":
            drawn = 2 * draws.uniform(start, shape, images) - 1
            drawn = drawn / lengths("linf", drawn)
        else:
            drawn = normalised(draws.normal(start, shape, images))
        return self._within(images, self.eps * drawn)

    def _within(self, images: Images, perturbation: Tensor) -> Images:
        kept = projected(self.norm, perturbation, self.eps)
        return (images + kept).clamp(0, 1)

    def _moved(self, state: State, momentum: float) -> Images:
        """Take a step, mixed with the one before."""
        ascent = state.slope.sign() if self.norm == "linf" else normalised(state.slope)
        ahead = self._within(state.images, state.at + state.length * ascent - state.images)
        mixed = (
            state.at + momentum * (ahead - state.at) + (1 - momentum) * (state.at - state.before)
        )
        return self._within(state.images, mixed - state.images)

    def _loss(self, logits: Logits, labels: Labels, targets: Labels | None) -> PerImage:
        """Return what is raised: the larger, the nearer to success."""
        import torch

        lead = margin(logits, labels, targets)
        if self.loss == "margin":
            return -lead
        own = labels if targets is None else targets
        if self.loss == "ce":
            others = logits.scatter(1, own[:, None], -torch.inf).logsumexp(1)
            odds = others - logits.gather(1, own[:, None])[:, 0]
            return odds if targets is None else -odds
        ordered = logits.sort(1, descending=True).values
        if targets is None:
            return -lead / (ordered[:, 0] - ordered[:, 2] + 1e-12)
        third = ordered[:, 2:4].mean(1)
        away = logits.gather(1, labels[:, None]) - logits.gather(1, targets[:, None])
        return -away[:, 0] / (ordered[:, 0] - third + 1e-12)


def _checkpoints(steps: int) -> frozenset[int]:
    """Return the steps after which the search is looked at."""
    period, least, shrinks = (max(int(share * steps), 1) for share in (0.22, 0.06, 0.03))
    found, at = set(), 0
    while at + period <= steps:
        at += period
        found.add(at)
        period = max(period - shrinks, least)
    return frozenset(found)
