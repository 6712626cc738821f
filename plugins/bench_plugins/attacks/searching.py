"""What searches for adversarial images share: margins, gradients, balls, draws for each image.

This room knows one step of a search. It does not know which steps an attack takes, or why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from bench.norms import Norm
from bench.tensors import Images, Labels, Logits, PerImage, Perturbation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Generator, Tensor
    from torch.nn import Module

    Integers = NDArray[np.uint64]

TINY = 1e-30
"""A length below which a direction is none."""


def margin(logits: Logits, labels: Labels, targets: Labels | None) -> PerImage:
    """By how much an image is not fooled: its class's logit over the best other one.

    With targets: the best other logit over that of the target. Negative where it is fooled.
    """
    import torch

    own = labels if targets is None else targets
    others = logits.scatter(1, own[:, None], -torch.inf).amax(1)
    lead: PerImage = logits.gather(1, own[:, None])[:, 0] - others
    return lead if targets is None else -lead


def fools(logits: Logits, labels: Labels, targets: Labels | None) -> Labels:
    """Say of each image whether its prediction is wrong, or its target."""
    predictions = logits.argmax(1)
    fooled: Labels = predictions != labels if targets is None else predictions == targets
    return fooled


def picked(targets: Labels | None, rows: Tensor) -> Labels | None:
    """Return the targets of some images, if there are any."""
    return None if targets is None else targets[rows]


def gradient(
    classifier: Module, images: Images, loss: Callable[[Logits], PerImage]
) -> tuple[Logits, Perturbation]:
    """Return logits, and each image's gradient of its loss; 0 where there is none."""
    import torch

    moving = images.detach().clone().requires_grad_()
    with torch.enable_grad():
        logits = classifier(moving)
        value = loss(logits).sum()
        if not value.requires_grad:
            return logits.detach(), torch.zeros_like(images)
        [found] = torch.autograd.grad(value, moving, allow_unused=True)
    if found is None:
        return logits.detach(), torch.zeros_like(images)
    return logits.detach(), found.nan_to_num(0.0, 0.0, 0.0)


def lengths(norm: Norm, perturbation: Perturbation) -> Tensor:
    """Return each image's length in a norm, (image, 1, 1, 1); of l0, its changed pixels."""
    match norm:
        case "linf":
            found = perturbation.abs().flatten(1).amax(1)
        case "l2":
            found = perturbation.flatten(1).norm(dim=1)
        case "l1":
            found = perturbation.abs().flatten(1).sum(1)
        case "l0":
            found = (perturbation != 0).any(1).flatten(1).sum(1).to(perturbation.dtype)
    return found.view(-1, 1, 1, 1)


def normalised(direction: Perturbation) -> Perturbation:
    """Return directions of Euclidean length 1; 0 where there is none.

    They are scaled by their largest value first: squares of small ones are 0.
    """
    largest = lengths("linf", direction)
    scaled = direction / largest.clamp_min(TINY)
    return scaled / lengths("l2", scaled).clamp_min(TINY)


def projected(norm: Norm, perturbation: Perturbation, eps: Tensor | float) -> Perturbation:
    """Return the nearest perturbations within balls; ``eps`` may be one an image, (image, 1, 1, 1).

    Of l0, those that keep the pixels that were changed most.
    """
    import torch

    radii = torch.as_tensor(eps, dtype=perturbation.dtype, device=perturbation.device)
    radii = radii.expand(len(perturbation), 1, 1, 1)
    match norm:
        case "linf":
            return torch.minimum(torch.maximum(perturbation, -radii), radii)
        case "l2":
            return perturbation * (radii / lengths("l2", perturbation).clamp_min(TINY)).clamp_max(1)
        case "l1":
            return _in_l1_ball(perturbation, radii.flatten())
        case "l0":
            sizes = perturbation.abs().sum(1).flatten(1)
            ranks = sizes.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
            kept: Tensor = ranks < radii.view(-1, 1)
            return perturbation * kept.view(-1, 1, *perturbation.shape[2:])


def _in_l1_ball(perturbation: Perturbation, radii: Tensor) -> Perturbation:
    """Shrink all values by one amount an image, those below it to 0.

    Source: Duchi et al. 2008, "Efficient Projections onto the l1-Ball", figure 1.
    """
    import torch

    sizes = perturbation.abs().flatten(1)
    ordered = sizes.sort(1, descending=True).values
    sums = ordered.cumsum(1) - radii[:, None]
    counts = torch.arange(1, sizes.shape[1] + 1, device=sizes.device)
    last = (ordered * counts > sums).sum(1).clamp_min(1)
    amount = (sums.gather(1, last[:, None] - 1)[:, 0] / last).clamp_min(0)
    is_within = (sizes.sum(1) <= radii).view(-1, 1, 1, 1)
    shrunk = perturbation.sign() * (perturbation.abs() - amount.view(-1, 1, 1, 1)).clamp_min(0)
    return torch.where(is_within, perturbation, shrunk)


@dataclass(frozen=True)
class Draws:
    """Random numbers for each image by a seed of its own, whatever company it is in.

    A number follows from the seed, a counter and its place, by the mixing of SplitMix64 (Steele,
    Lea and Flood 2014).
    """

    seeds: Integers

    @classmethod
    def of(cls, generator: Generator, count: int) -> Draws:
        """Draw a seed for each image, one after the other."""
        import numpy as np
        import torch

        # torch draws bounded integers one by one, so that the stream is the same however it is cut
        drawn = torch.randint(2**31 - 1, (count,), generator=generator)
        return cls(_mixed(drawn.numpy().astype(np.uint64)))

    def picked(self, rows: Tensor) -> Draws:
        """Return those of some images."""
        return Draws(self.seeds[rows.cpu().numpy()])

    def uniform(self, counter: int, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Draw numbers in [0, 1) for each image, (image, *shape)."""
        import numpy as np
        import torch

        places = np.arange(prod(shape), dtype=np.uint64) + np.uint64(counter << 32)
        mixed = _mixed(self.seeds[:, None] + _mixed(places)[None, :])
        numbers = (mixed >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)
        return torch.from_numpy(numbers).view(-1, *shape).to(like.device)

    def normal(self, counter: int, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Draw standard normal numbers for each image, (image, *shape), by Box and Muller."""
        import torch

        pairs = self.uniform(counter, (2, *shape), like)
        radius = (-2 * (1 - pairs[:, 0]).log()).sqrt()
        return radius * (2 * torch.pi * pairs[:, 1]).cos()


def _mixed(numbers: Any) -> Any:
    """Mix 64-bit integers; sums and products wrap."""
    import numpy as np

    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
