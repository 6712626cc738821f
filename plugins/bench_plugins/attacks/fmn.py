"""FMN: the nearest adversarial image, by steps whose ball follows the boundary.

This room knows how the ball shrinks and grows. It does not know which budgets are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from math import cos, pi
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from bench.api import Attack
from bench.norms import Norm
from bench.tensors import Images, Labels
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

_DUAL: Mapping[Norm, Norm] = {"linf": "l1", "l2": "l2", "l1": "linf"}
_HALVINGS = 6
"""How often the way from an image to noise is halved: to a 64th of it."""


class FMN(Attack):
    """The nearest adversarial image in a norm: steps along the margin's gradient, in a moving ball.

    The ball shrinks while the image in it is adversarial and grows while it is not, by a share that
    falls from step to step; before the first success its radius is a linear estimate of the
    distance. The first start is the image; then, in turn, a random point as far away as the nearest
    that was found, and noise, halved down to the boundary. The nearest image of all starts is
    returned, and the image itself where none was found.

    Source: Pintor, Roli, Brendel and Biggio, "Fast Minimum-norm Adversarial Attacks through
        Adaptive Norm Constraints", 2021, algorithm 1.
    Deviations: an estimated radius is larger by the share of its step, as others are. l0 counts
        pixels, not values. Where the gradient is 0 the direction is random. Of
        the starts, the paper has the image, and images of another class.
    """

    targetable: ClassVar[bool] = True
    minimum_norm: ClassVar[bool] = True
    is_reference: ClassVar[bool] = True
    reference_stage: ClassVar[int] = 1

    norm: Norm = Field("linf", description="in which the nearest is looked for")
    steps: int = Field(100, ge=1, description="of each start")
    starts: int = Field(2, ge=1, description="the image, a random point, noise, and so on in turn")
    alpha: float = Field(1.0, gt=0, description="Euclidean length of the first step")
    alpha_final: float = Field(0.01, gt=0, description="of the last step, as a share of alpha")
    gamma: float = Field(0.05, gt=0, lt=1, description="share by which the ball changes at first")
    gamma_final: float = Field(0.001, gt=0, lt=1, description="share by which it changes at last")
    enough: float = Field(
        0, ge=0, description="distance at which the search for an image ends; 0: never"
    )

    @property
    def passes(self) -> int:
        """A gradient a step."""
        return self.steps * self.starts

    @classmethod
    def references(
        cls, norm: Norm, eps: float, *, classes: int, thorough: bool, exact: bool
    ) -> Mapping[str, Attack]:
        """Look from the image and from a random point, until the smallest budget is reached."""
        if not exact:
            return {}
        steps, starts = (200, 4) if thorough else (10, 2)
        return {"fmn": cls(norm=norm, steps=steps, starts=starts, enough=eps)}

    def perturb(
        self,
        classifier: Module,
        images: Images,
        labels: Labels,
        *,
        targets: Labels | None = None,
        generator: Generator,
    ) -> Images:
        """Return the nearest adversarial images that were found; images where none was."""
        import torch

        best = images.clone()
        sizes = torch.full((len(images), 1, 1, 1), torch.inf, device=images.device)
        draws = Draws.of(generator, len(images))
        for start in range(self.starts):
            rows = (sizes.flatten() > self.enough).nonzero()[:, 0]
            if len(rows) == 0:
                break
            search = _Search(
                rows, images[rows], labels[rows], picked(targets, rows), draws.picked(rows)
            )
            begun = self._begun(start, classifier, search, sizes[rows])
            self._walk(classifier, search, begun, start, best, sizes)
        return best

    def _begun(
        self, start: int, classifier: Module, search: _Search, sizes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the perturbations to start from, and the radii of their balls."""
        import torch

        shape, images = search.images.shape[1:], search.images
        unbounded = torch.full_like(sizes, 1.0 if self.norm == "l0" else torch.inf)
        if start == 0:
            return torch.zeros_like(images), unbounded
        drawn = search.draws.uniform(_counter(start, 0), tuple(shape), images)
        if start % 2 == 1 and self.norm != "l0":
            far = sizes.where(sizes.isfinite(), lengths(self.norm, torch.ones_like(images)) / 4)
            direction = 2 * drawn - 1
            moved = direction * far / lengths(self.norm, direction)
            return (images + moved).clamp(0, 1) - images, far
        moved = _to_boundary(classifier, search, drawn - images)
        return moved, lengths(self.norm, moved)

    def _walk(
        self,
        classifier: Module,
        search: _Search,
        begun: tuple[Tensor, Tensor],
        start: int,
        best: Images,
        sizes: Tensor,
    ) -> None:
        """Take the steps of one start; what is nearer than before is noted in ``best``."""
        import torch

        moved, radii = begun
        found = radii.isfinite() if start else torch.zeros_like(radii, dtype=torch.bool)
        for step in range(self.steps):
            share = (1 + cos(pi * step / self.steps)) / 2
            alpha = self.alpha * (self.alpha_final + (1 - self.alpha_final) * share)
            gamma = self.gamma_final + (self.gamma - self.gamma_final) * share
            loss = partial(margin, labels=search.labels, targets=search.targets)
            logits, slope = gradient(classifier, search.images + moved, loss)
            fooled = fools(logits, search.labels, search.targets).view(-1, 1, 1, 1)
            size = lengths(self.norm, moved)
            is_nearer = (fooled & (size < sizes[search.rows])).flatten()
            rows = search.rows[is_nearer]
            best[rows] = (search.images + moved)[is_nearer]
            sizes[rows] = size[is_nearer]
            found = found | fooled
            lead = loss(logits).abs().view(-1, 1, 1, 1)
            radii = self._radii(radii, fooled, found, size, lead, slope, sizes[search.rows], gamma)
            slope = _or_random(slope, search.draws, _counter(start, step + 1))
            moved = projected(self.norm, moved - alpha * normalised(slope), radii)
            moved = (search.images + moved).clamp(0, 1) - search.images
            kept = sizes[search.rows].flatten() > self.enough
            if not kept.all():
                search, moved, radii, found = (
                    search.only(kept),
                    *(each[kept] for each in (moved, radii, found)),
                )
            if not len(moved):
                return

    def _radii(
        self,
        radii: Tensor,
        fooled: Tensor,
        found: Tensor,
        size: Tensor,
        lead: Tensor,
        slope: Tensor,
        sizes: Tensor,
        gamma: float,
    ) -> Tensor:
        """Return the next radii: smaller where an image is fooled, larger where it is not."""
        import torch

        if self.norm == "l0":
            smaller = torch.minimum((radii - 1).minimum((radii * (1 - gamma)).floor()), sizes)
            larger = (radii + 1).maximum((radii * (1 + gamma)).floor())
            return torch.where(fooled, smaller, larger).clamp_min(1)
        smaller = torch.minimum(radii * (1 - gamma), sizes)
        larger = radii * (1 + gamma)
        distance = size + lead / lengths(_DUAL[self.norm], slope).clamp_min(1e-12)
        estimated = distance * (1 + gamma)  # beyond the boundary, not on it
        return torch.where(fooled, smaller, torch.where(found, larger, estimated))


@dataclass(frozen=True)
class _Search:
    """The images that are still looked at; ``rows`` are their places in the batch."""

    rows: Tensor
    images: Images
    labels: Labels
    targets: Labels | None
    draws: Draws

    def only(self, kept: Tensor) -> _Search:
        """Return it with some of its images."""
        values: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        chosen = kept.nonzero()[:, 0]
        draws = self.draws.picked(chosen)
        parts: dict[str, Any] = {
            name: picked(value, chosen) for name, value in values.items() if name != "draws"
        }
        return _Search(**parts, draws=draws)


def _counter(start: int, step: int) -> int:
    return (start << 20) + step


def _or_random(slope: Tensor, draws: Draws, counter: int) -> Tensor:
    """Put a random direction where there is none."""
    is_flat = lengths("linf", slope).flatten() == 0
    if not is_flat.any():
        return slope
    rows = is_flat.nonzero()[:, 0]
    slope = slope.clone()
    slope[rows] = draws.picked(rows).normal(counter, tuple(slope.shape[1:]), slope)
    return slope


def _to_boundary(classifier: Module, search: _Search, away: Tensor) -> Tensor:
    """Halve the way to points that may be adversarial; all of it where they are not."""
    import torch

    reached = torch.ones(len(away), 1, 1, 1, device=away.device)
    below = torch.zeros_like(reached)
    for _ in range(_HALVINGS):
        middle = (reached + below) / 2
        with torch.no_grad():
            logits = classifier((search.images + middle * away).clamp(0, 1))
        fooled = fools(logits, search.labels, search.targets).view(-1, 1, 1, 1)
        reached, below = (
            torch.where(fooled, middle, reached),
            torch.where(fooled, below, middle),
        )
    return (search.images + reached * away).clamp(0, 1) - search.images
