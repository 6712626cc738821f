"""Which part of its ball an attack used: channels, places, signs, and how much of the radius.

Counted over images that were moved, whatever became of them. This room does not say what is enough.
"""

from __future__ import annotations

from bench import norms
from bench.records import JSON, TOLERANCE, Budget
from bench.tensors import Images

IMAGES = 64
"""How many images are looked at, at most."""

EDGE = 0.99
"""From which share of the radius on a value lies at the edge."""


def reach(images: Images, adversarial_images: Images, budget: Budget | None) -> dict[str, JSON]:
    """Measure which part of a ball images lie in.

    Args:
        images, adversarial_images: float32, (image, channel, height, width), on the CPU.
        budget: the ball; None where there is none.

    Returns:
        ``images`` that were moved; of those ``channels``, the share of images in which each is
        moved; ``places``, the mean share of places that are moved, of those where no channel lies
        at 0 or 1, which may have nowhere to go; ``touched``, the number of values that are moved
        and might have gone either way, and ``raised``, how many of them were; ``edge``, the share
        of values at the edge of an linf ball, or at 0 or 1; ``used``, the largest norm as a share
        of the radius.

    """
    perturbation = (adversarial_images - images).double().nan_to_num()
    moved = (perturbation.abs() > TOLERANCE).flatten(1).any(1)
    kept, before = perturbation[moved][:IMAGES], images[moved][:IMAGES]
    found: dict[str, JSON] = {"images": len(kept)}
    if not len(kept):
        return found
    touched = kept.abs() > TOLERANCE
    is_free = (before > 0) & (before < 1)
    places = is_free.all(1)
    found["channels"] = [float(share) for share in touched.flatten(2).any(2).double().mean(0)]
    found["places"] = (
        float((touched.any(1) & places).sum() / places.sum()) if places.any() else None
    )
    found["touched"] = int((touched & is_free).sum())
    found["raised"] = int((touched & is_free & (kept > 0)).sum())
    if budget is not None and budget.eps > 0:
        after = before + kept
        at_limit = (after <= TOLERANCE) | (after >= 1 - TOLERANCE)
        found["edge"] = float(((kept.abs() >= EDGE * budget.eps) | at_limit).double().mean())
        found["used"] = float(norms.measure(budget.norm, kept).max()) / budget.eps
    return found
