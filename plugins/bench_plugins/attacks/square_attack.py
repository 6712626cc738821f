"""The Square Attack: random squares at the edge of the ball, kept where they help.

This room asks for logits only. It never sees a gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from bench.api import Attack
from bench.norms import Norm
from bench.tensors import Images, Labels, Perturbation
from bench_plugins.attacks.searching import Draws, lengths, margin, picked, projected

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module

_HALVED_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Of 10,000 queries, those after which the squares' area is halved."""
_SCHEDULE = 10000
_PATCHES = 5
_LEAST_SIDE = 3


class SquareAttack(Attack):
    """Change a random square of the image at a time, and keep it where the margin shrinks.

    Within linf the search starts from vertical stripes, and each square changes by eps in one
    direction a channel; within l2 mass is moved from one square into a pattern in another. Squares
    shrink as queries go on. An image that is fooled is left alone.

    Source: Andriushchenko, Croce, Flammarion and Hein, "Square Attack: a Query-efficient Black-box
        Adversarial Attack via Random Search", 2020, algorithms 1 to 3.
    Deviations: squares of the l2 norm may be as small as the image, and of an even side there.
    """

    targetable: ClassVar[bool] = True
    is_reference: ClassVar[bool] = True
    reference_stage: ClassVar[int] = 3

    norm: Literal["linf", "l2"] = Field("linf", description="of the ball")
    eps: float = Field(8 / 255, ge=0, description="radius in the norm, for pixels of [0, 1]")
    queries: int = Field(5000, ge=1, description="images that are shown to the classifier, at most")
    share: float = Field(0.8, gt=0, le=1, description="of the image that the first squares cover")

    @property
    def passes(self) -> int:
        """Its queries, half a pass each."""
        return max(1, self.queries // 2)

    @classmethod
    def references(
        cls, norm: Norm, eps: float, *, classes: int, thorough: bool, exact: bool
    ) -> Mapping[str, Attack]:
        """Ask a few times; how often a square is halved follows from how often it is asked."""
        if norm not in ("linf", "l2"):
            return {}
        queries = 5000 if thorough else 30
        return {"square_attack": cls.model_validate({"norm": norm, "eps": eps, "queries": queries})}

    def perturb(
        self,
        classifier: Module,
        images: Images,
        labels: Labels,
        *,
        targets: Labels | None = None,
        generator: Generator,
    ) -> Images:
        """Return for each image the point of the smallest margin."""
        import torch

        draws = Draws.of(generator, len(images))
        best = images.clone()
        search = _Search(torch.arange(len(images), device=images.device), images, images, draws)
        margins = torch.full((len(images),), torch.inf, device=images.device)
        for query in range(self.queries):
            tried = self._tried(search, query)
            rows = search.rows
            with torch.no_grad():
                found = margin(classifier(tried), labels[rows], picked(targets, rows))
            is_better = found < margins[rows]
            margins[rows] = torch.where(is_better, found, margins[rows])
            kept = torch.where(is_better.view(-1, 1, 1, 1), tried, search.best)
            best[rows] = kept
            search = search.only(kept, margins[rows] >= 0)
            if not len(search.rows):
                break
        return best

    def _tried(self, search: _Search, query: int) -> Images:
        """Return what is shown to the classifier next."""
        if query == 0:
            begun = self._stripes(search) if self.norm == "linf" else self._pattern(search)
            return (search.images + begun).clamp(0, 1)
        side = _side(search.images, self.share / 2 ** _halvings(query, self.queries))
        change = self._square if self.norm == "linf" else self._moved_mass
        return (search.images + change(search, query, side)).clamp(0, 1)

    def _stripes(self, search: _Search) -> Perturbation:
        """Return one value a column and channel."""
        _, channels, _, width = search.images.shape
        drawn = search.draws.uniform(0, (channels, 1, width), search.images)
        return self.eps * _signs(drawn).expand_as(search.images)

    def _square(self, search: _Search, query: int, side: int) -> Perturbation:
        """Put a square of one value a channel over what was best."""
        import torch

        channels = search.images.shape[1]
        drawn = search.draws.uniform(query, (channels + 2,), search.images)
        inside = _inside(search.images, drawn[:, 0], drawn[:, 1], side)
        value = self.eps * _signs(drawn[:, 2:]).view(-1, channels, 1, 1)
        return torch.where(inside, value, search.best - search.images)

    def _pattern(self, search: _Search) -> Perturbation:
        """Tile the image with patterns of random signs, of the ball's radius."""
        import torch

        images = search.images
        _, channels, height, width = images.shape
        side = max(min(height, width) // _PATCHES, 1)
        rows, columns = height // side, width // side
        signs = _signs(search.draws.uniform(0, (channels, rows, columns), images))
        tiles = signs.repeat_interleave(side, 2).repeat_interleave(side, 3)
        tiles = tiles * _peaks(side, images).repeat(rows, columns)
        made = torch.zeros_like(images)
        made[:, :, : rows * side, : columns * side] = tiles
        return made * (self.eps / lengths("l2", made).clamp_min(1e-12))

    def _moved_mass(self, search: _Search, query: int, side: int) -> Perturbation:
        """Move the mass of one square into a pattern in another (algorithm 3)."""
        import torch

        images, change = search.images, search.best - search.images
        channels = images.shape[1]
        side = min(max(side, _LEAST_SIDE) | 1, *images.shape[2:])
        drawn = search.draws.uniform(query, (channels + 5,), images)
        first = _inside(images, drawn[:, 0], drawn[:, 1], side)
        second = _inside(images, drawn[:, 2], drawn[:, 3], side)
        mass = (change * (first | second)).square().flatten(2).sum(2).view(-1, channels, 1, 1)
        spare = (self.eps**2 - lengths("l2", change).square()).clamp_min(0) / channels
        peaks = _peaks(side, images)
        is_turned = drawn[:, 4].view(-1, 1, 1, 1) < 1 / 2
        pattern = torch.where(is_turned, peaks.mT, peaks) * _signs(drawn[:, 5:]).view(
            -1, channels, 1, 1
        )
        within = change[first.expand_as(change)].view(-1, channels, side, side)
        old = within / lengths("l2", within).clamp_min(1e-12)
        pattern = pattern + old
        size = pattern.square().flatten(2).sum(2).sqrt().view(-1, channels, 1, 1)
        pattern = pattern / size.clamp_min(1e-12) * (spare + mass).sqrt()
        made = change * ~second
        made[first.expand_as(made)] = pattern.flatten()
        made = made * (self.eps / lengths("l2", made).clamp_min(1e-12))
        return projected("l2", made, self.eps)


@dataclass(frozen=True)
class _Search:
    """The images that are not fooled yet, and the best that was made of each."""

    rows: Tensor
    images: Images
    best: Images
    draws: Draws

    def only(self, best: Images, kept: Labels) -> _Search:
        """Return it with some of its images, and with the best of now."""
        if kept.all():
            return _Search(self.rows, self.images, best, self.draws)
        rows = kept.nonzero()[:, 0]
        return _Search(self.rows[rows], self.images[rows], best[rows], self.draws.picked(rows))


def _halvings(query: int, queries: int) -> int:
    """Return how often the squares' area has been halved."""
    return sum(query * _SCHEDULE / queries > at for at in _HALVED_AT)


def _side(images: Images, share: float) -> int:
    """Return the side of a square that covers a share of the image."""
    height, width = images.shape[2:]
    return min(max(round(sqrt(share * height * width)), 1), height, width)


def _signs(drawn: Tensor) -> Tensor:
    """Return -1 or 1 for numbers in [0, 1)."""
    return 2.0 * (drawn >= 1 / 2) - 1.0


def _inside(images: Images, row: Tensor, column: Tensor, side: int) -> Tensor:
    """Mark for each image a square at a place drawn in [0, 1): (image, 1, height, width)."""
    import torch

    height, width = images.shape[2:]
    marks = []
    for drawn, size in ((row, height), (column, width)):
        first = (drawn * (size - side + 1)).long()[:, None]
        places = torch.arange(size, device=images.device)[None, :]
        marks.append((places >= first) & (places < first + side))
    return (marks[0][:, :, None] & marks[1][:, None, :])[:, None]


def _peaks(side: int, like: Tensor) -> Tensor:
    """Return two hills, one up and one down, of Euclidean length 1: (side, side)."""
    import torch

    half = side // 2
    made = torch.zeros(side, side, device=like.device, dtype=like.dtype)
    if half:
        made[:half] = _hill(half, side, like)
    made[half:] = -_hill(side - half, side, like)
    length: Tensor = made.norm()
    return made / length


def _hill(height: int, width: int, like: Tensor) -> Tensor:
    """Return steps that rise towards the middle, of Euclidean length 1."""
    import torch

    made = torch.zeros(height, width, device=like.device, dtype=like.dtype)
    middle = (height // 2 + 1, width // 2 + 1)
    for step in range(max(middle)):
        top, left = middle[0] - 1 - step, middle[1] - 1 - step
        reach = 2 * step + 1
        made[max(top, 0) : top + reach, max(left, 0) : left + reach] += 1 / (step + 1) ** 2
    length: Tensor = made.norm()
    return made / length
