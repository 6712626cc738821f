"""Where an ascent of several images is: its points, the best of them, and how long steps are.

This room knows when a step is halved. It does not know the loss, nor the ball.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from bench.tensors import Images, Labels, PerImage

if TYPE_CHECKING:
    from torch import Tensor

_PROGRESS = 0.75
"""The share of steps since the last look that must raise the loss: rho."""


@dataclass(frozen=True)
class Done:
    """The best of all starts: a point that fools, or that of the largest loss."""

    images: Images
    losses: PerImage
    fooled: Labels

    def note(self, rows: Tensor, points: Images, losses: PerImage, fooled: Labels) -> None:
        """Take over points that fool, and where none did those of a larger loss."""
        better = fooled | (~self.fooled[rows] & (losses > self.losses[rows]))
        self.images[rows[better]] = points[better]
        self.losses[rows[better]] = losses[better]
        self.fooled[rows[fooled]] = True


@dataclass(frozen=True)
class State:
    """A search of several images: where each is, was before, and was best."""

    rows: Tensor
    images: Images
    labels: Labels
    targets: Labels | None
    at: Images
    before: Images
    value: PerImage
    slope: Tensor
    best: Images
    best_value: PerImage
    best_slope: Tensor
    length: Tensor
    rises: Tensor
    looked_value: PerImage
    was_halved: Labels

    @classmethod
    def begun(
        cls,
        rows: Tensor,
        images: Images,
        labels: Labels,
        targets: Labels | None,
        at: Images,
        value: PerImage,
        slope: Tensor,
        length: float,
    ) -> Self:
        """Return the state at the start."""
        import torch

        lengths = torch.full((len(rows), 1, 1, 1), length, dtype=at.dtype, device=at.device)
        rises = torch.zeros(len(rows), device=at.device)
        return cls(
            *(rows, images, labels, targets, at, at, value, slope, at, value, slope),
            *(lengths, rises, value, torch.ones_like(rows, dtype=torch.bool)),
        )

    def only(self, kept: Labels) -> State:
        """Return the state of some of the images."""
        if kept.all():
            return self
        values: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        chosen: dict[str, Any] = {n: None if v is None else v[kept] for n, v in values.items()}
        return State(**chosen)

    def stepped(self, at: Images, value: PerImage, slope: Tensor) -> State:
        """Return the state after a step."""
        import torch

        better = value > self.best_value
        wide = better.view(-1, 1, 1, 1)
        return State(
            *(self.rows, self.images, self.labels, self.targets, at, self.at, value, slope),
            torch.where(wide, at, self.best),
            torch.where(better, value, self.best_value),
            torch.where(wide, slope, self.best_slope),
            self.length,
            self.rises + (value > self.value),
            *(self.looked_value, self.was_halved),
        )

    def looked_at(self, steps: int) -> State:
        """Halve the step where it does not help, and go on from the best point there."""
        import torch

        is_slow = self.rises <= _PROGRESS * steps
        is_stuck = ~self.was_halved & (self.looked_value >= self.best_value)
        halved = is_slow | is_stuck
        wide = halved.view(-1, 1, 1, 1)
        return State(
            *(self.rows, self.images, self.labels, self.targets),
            torch.where(wide, self.best, self.at),
            self.before,
            torch.where(halved, self.best_value, self.value),
            torch.where(wide, self.best_slope, self.slope),
            *(self.best, self.best_value, self.best_slope),
            torch.where(wide, self.length / 2, self.length),
            torch.zeros_like(self.rises),
            self.best_value,
            halved,
        )
