"""The norms that measure how far an adversarial image lies from its original.

Pure functions on tensors. They measure; they never clip or project.
"""

from __future__ import annotations

from bench.records import NORMS, TOLERANCE, Norm
from bench.tensors import PerImage, Perturbation

__all__ = ["NORMS", "TOLERANCE", "Norm", "measure"]


def measure(norm: Norm, perturbation: Perturbation) -> PerImage:
    """Measure each image's perturbation, in float64.

    Args:
        norm: ``linf`` largest absolute change of a value, ``l2`` Euclidean length, ``l1`` sum of
            absolute changes, ``l0`` number of *pixels* (not values) with any change.
        perturbation: adversarial minus original images, shape (image, channel, height, width).

    Returns:
        One float64 a image; for pixels in [0, 1], ``linf`` lies in [0, 1].

    """
    change = perturbation.double()
    match norm:
        case "linf":
            return change.flatten(1).abs().amax(1)
        case "l2":
            return change.flatten(1).square().sum(1).sqrt()
        case "l1":
            return change.flatten(1).abs().sum(1)
        case "l0":
            return (change != 0).any(1).flatten(1).sum(1).double()
