"""Which image each row of a pass is: how often each image of a batch was asked for, and followed.

Attacks may ask for a part of a batch, for several copies of it, or for one image again and again;
an average over the batch says the same of all of them. This room does not know what attacks do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from bench import norms
from bench.errors import PluginError
from bench.records import TOLERANCE, Budget

if TYPE_CHECKING:
    from bench.tensors import Images, Labels, Logits, PerImage

_ROUNDING = 1.001
"""How far beyond its ball an iterate may lie, as a factor."""


class Passes:
    """The passes of each image of a batch.

    Attributes:
        forwards, backwards: of each image.
        moved: whether it was ever asked for at another place than its own.
        pulled: whether a gradient at its pixels was ever other than zero.

    """

    def __init__(self, images: Images, budget: Budget | None) -> None:
        self._images = images
        self._budget = budget
        self.forwards = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        self.backwards = torch.zeros_like(self.forwards)
        self.moved = torch.zeros_like(self.forwards, dtype=torch.bool)
        self.pulled = torch.zeros_like(self.moved)

    def __deepcopy__(self, memo: dict[int, object]) -> Passes:
        """Return itself: what a copy of a classifier is asked is asked in the same attack."""
        return self

    def asked(self, images: Images, rows: Labels) -> None:
        """Count a pass forward of some images, as :meth:`rows` knows them."""
        self.forwards.index_add_(0, rows, torch.ones_like(rows))
        if images.shape[1:] == self._images.shape[1:]:
            apart = (images.detach()[: len(rows)] - self._images[rows]).abs().flatten(1).amax(1)
            self.moved[rows[apart > TOLERANCE]] = True

    def followed(self, rows: Labels) -> None:
        """Count a gradient of some images."""
        self.backwards.index_add_(0, rows, torch.ones_like(rows))

    def felt(self, gradient: Images, rows: Labels) -> None:
        """Note where a gradient at pixels is other than zero."""
        self.pulled[rows[gradient[: len(rows)].flatten(1).any(1)]] = True

    def rows(self, images: Images) -> Labels:
        """Say which image of the batch each row is: itself, a copy, or the nearest.

        A row of a whole batch is its own image, unless it lies in the ball of another and not in
        its own. Rows of parts are the nearest image; several copies are in the order of the batch,
        or image by image.
        """
        count, own = len(images), torch.arange(len(self._images), device=self._images.device)
        if images.shape[1:] != self._images.shape[1:]:
            return own[:count] if count <= len(own) else own.repeat(-(-count // len(own)))[:count]
        images = images.detach()
        if count == len(own):
            return self._corrected(images, own)
        if count and count % len(own) == 0:
            copies = count // len(own)
            ways = own.repeat(copies), own.repeat_interleave(copies)
            return min(ways, key=lambda way: float((images - self._images[way]).abs().sum()))
        return self._nearest(images)

    def _corrected(self, images: Images, own: Labels) -> Labels:
        """Find the rows of a whole batch that stand in the place of another image."""
        if self._budget is None:
            return own
        outside = ~self._is_near(images - self._images)
        if not outside.any():
            return own
        nearest = self._nearest(images[outside])
        belongs = self._is_near(images[outside] - self._images[nearest])
        rows = own.clone()
        rows[outside] = torch.where(belongs, nearest, own[outside])
        return rows

    def _is_near(self, perturbation: Images) -> Labels:
        if self._budget is None:
            raise TypeError("no budget, no ball")
        size: PerImage = norms.measure(self._budget.norm, perturbation)
        return size <= self._budget.eps * _ROUNDING + TOLERANCE

    def _nearest(self, images: Images) -> Labels:
        distances = torch.cdist(images.flatten(1).float(), self._images.flatten(1).float())
        nearest: Labels = distances.argmin(1)
        return nearest

    def shared(self, counts: Labels) -> list[int]:
        """Return counts of each image; equal images, which nobody can distinguish, share theirs."""
        groups: dict[bytes, list[int]] = {}
        for place, image in enumerate(self._images.cpu()):
            groups.setdefault(image.numpy().tobytes(), []).append(place)
        found = counts.tolist()
        for places in groups.values():
            mean = sum(found[place] for place in places) // len(places)
            for place in places:
                found[place] = mean
        return found


class Trace:
    """At which model call each image of a batch first fooled the classifier."""

    def __init__(self, labels: Labels, targets: Labels | None) -> None:
        self.labels = labels
        self.targets = targets
        self.calls = 0
        self.first = torch.full_like(labels, -1)

    def note(self, logits: Logits) -> None:
        """Look at the logits of one call."""
        if logits.shape[0] != len(self.labels):
            raise PluginError.of(
                "a traceable attack",
                f"asked for {logits.shape[0]} images in a batch of {len(self.labels)}",
                "every model call to be an iterate of the whole batch",
                "declare traceable = False",
            )
        predictions = logits.argmax(1)
        fooled = predictions != self.labels if self.targets is None else predictions == self.targets
        self.first[fooled & (self.first < 0)] = self.calls
        self.calls += 1

    @property
    def steps(self) -> list[int | None]:
        """The step of each image; the number of calls where only the final image can have done it.

        None throughout where nothing was traced.
        """
        if self.calls == 0:
            return [None] * len(self.labels)
        return [step if step >= 0 else self.calls for step in self.first.tolist()]
