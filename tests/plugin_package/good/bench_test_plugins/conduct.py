"""Attacks that do less than they say, each in one way; and one that does it all."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from pydantic import Field

from bench.api import Attack


class Steady(Attack):
    """Take signed steps along the gradient, as many as it says, on every image: honest.

    Source: none.
    """

    norm: ClassVar[Any] = "linf"
    targetable: ClassVar[bool] = True

    eps: float = Field(0.1, ge=0, le=1)
    steps: int = Field(8, ge=1)

    def perturb(self, classifier, images, labels, *, targets=None, generator):
        """Step."""
        adversarial_images = self.start(images, generator)
        for step in range(self.steps):
            if self.stops(classifier, adversarial_images, labels, step):
                break
            adversarial_images = self.stepped(
                classifier, adversarial_images, images, labels, targets
            )
        return adversarial_images

    def start(self, images, generator):
        """Start at the images."""
        return images

    def stops(self, classifier, adversarial_images, labels, step):
        """Go on."""
        return False

    def stepped(self, classifier, adversarial_images, images, labels, targets):
        """Take one step, and stay in the ball."""
        step = self.eps / 4 * self.direction(classifier, adversarial_images, labels, targets)
        moved = (adversarial_images + step - images).clamp(-self.eps, self.eps)
        return (images + moved).clamp(0, 1)

    def direction(self, classifier, adversarial_images, labels, targets):
        """Return the sign of the gradient."""
        import torch

        asked = adversarial_images.clone().requires_grad_()
        wanted = labels if targets is None else targets
        loss = torch.nn.functional.cross_entropy(classifier(asked), wanted, reduction="sum")
        [gradient] = torch.autograd.grad(loss, asked)
        return gradient.sign() if targets is None else -gradient.sign()


class Hasty(Steady):
    """Stop the whole batch at the first image that is fooled."""

    def stops(self, classifier, adversarial_images, labels, step):
        """Look at one image too few."""
        return bool((classifier(adversarial_images).argmax(1) != labels).any())


class Shortened(Steady):
    """Take three steps, whatever is asked for."""

    def stops(self, classifier, adversarial_images, labels, step):
        """Count to three."""
        return step == 3


class Halved(Steady):
    """Follow the first half of a batch only, twice as often: the average is what is expected."""

    def stepped(self, classifier, adversarial_images, images, labels, targets):
        """Step twice, on half of the images."""
        half = len(images) // 2
        parts = [None if part is None else part[:half] for part in (images, labels, targets)]
        front = adversarial_images[:half]
        for _ in range(2):
            front = super().stepped(classifier, front, *parts)
        return adversarial_images.clone().index_copy_(0, labels.new_tensor(range(half)), front)


class Repeated(Steady):
    """Ask for the first image again and again in the places of all others."""

    def direction(self, classifier, adversarial_images, labels, targets):
        """Follow the first image; move nobody else."""
        alone = adversarial_images[:1].expand(len(labels), -1, -1, -1)
        found = super().direction(classifier, alone, labels[:1].expand(len(labels)), None)
        return found * (labels.new_tensor(range(len(labels))) == 0).view(-1, 1, 1, 1)


class Unmoved(Steady):
    """Take the gradients of all images, and move the first half of them."""

    def direction(self, classifier, adversarial_images, labels, targets):
        """Leave the others where they are."""
        found = super().direction(classifier, adversarial_images, labels, targets)
        found[len(labels) // 2 :] = 0
        return found


class Finished(Steady):
    """Leave alone the images that are fooled, and go on with the others: honest."""

    def stepped(self, classifier, adversarial_images, images, labels, targets):
        """Step where it is of use."""
        left = (classifier(adversarial_images).argmax(1) == labels).nonzero()[:, 0]
        if not len(left):
            return adversarial_images
        parts = [None if part is None else part[left] for part in (images, labels, targets)]
        moved = super().stepped(classifier, adversarial_images[left], *parts)
        return adversarial_images.clone().index_copy_(0, left, moved)


class Red(Steady):
    """Move the first channel only."""

    def direction(self, classifier, adversarial_images, labels, targets):
        """Leave the other channels."""
        found = super().direction(classifier, adversarial_images, labels, targets)
        found[:, 1:] = 0
        return found


class Framed(Steady):
    """Move the pixels of the upper quarter only."""

    def direction(self, classifier, adversarial_images, labels, targets):
        """Leave the rest."""
        found = super().direction(classifier, adversarial_images, labels, targets)
        found[:, :, found.shape[2] // 4 :] = 0
        return found


class Positive(Steady):
    """Only add."""

    def direction(self, classifier, adversarial_images, labels, targets):
        """Never subtract."""
        return super().direction(classifier, adversarial_images, labels, targets).clamp(min=0)


class Timid(Steady):
    """Search a quarter of the ball that it names."""

    def stepped(self, classifier, adversarial_images, images, labels, targets):
        """Stay close."""
        moved = super().stepped(classifier, adversarial_images, images, labels, targets) - images
        return (images + moved.clamp(-self.eps / 4, self.eps / 4)).clamp(0, 1)


class Unseeded(Steady):
    """Draw its start from a generator that nobody seeds."""

    def start(self, images, generator):
        """Start anywhere."""
        import numpy as np
        import torch

        drawn = np.random.default_rng().uniform(-self.eps, self.eps, tuple(images.shape))
        return (images + torch.as_tensor(drawn, dtype=images.dtype)).clamp(0, 1)


class Clocked(Steady):
    """Seed its start from the clock."""

    def start(self, images, generator):
        """Start by the time."""
        import torch

        own = torch.Generator().manual_seed(time.perf_counter_ns())
        drawn = torch.rand(images.shape, generator=own) * 2 - 1
        return (images + self.eps * drawn).clamp(0, 1)


class Remembering(Steady):
    """Start where the last cell ended."""

    last: ClassVar[list[Any]] = []

    def perturb(self, classifier, images, labels, *, targets=None, generator):
        """Step, and remember how far."""
        found = super().perturb(classifier, images, labels, targets=targets, generator=generator)
        self.last[:] = [float((found - images).mean())]
        return found

    def start(self, images, generator):
        """Start with what is remembered."""
        moved = 3 * (self.last[0] if self.last else 0.01)
        return (images + max(-self.eps, min(self.eps, moved))).clamp(0, 1)


class Warm(Steady):
    """Find a direction for the first cell that asks, and start there ever after."""

    known: ClassVar[list[Any]] = []

    def start(self, images, generator):
        """Start where the first images of all were brighter than their mean."""
        if not self.known:
            self.known.append((images[:1] - images.mean()).sign())
        return (images + self.eps * self.known[0]).clamp(0, 1)


class Drawn(Steady):
    """Draw its start from the generator that it is given: honest."""

    def start(self, images, generator):
        """Start where the seed says."""
        import torch

        drawn = torch.rand(images.shape, generator=generator) * 2 - 1
        return (images + self.eps * drawn).clamp(0, 1)
