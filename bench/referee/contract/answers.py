"""How a model is asked, how two answers are compared, and what a check finds.

Every question is asked in one way: float32 pixels, a batch on the classifier's device, the global
generators seeded. This room knows no check.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, TypeAlias

import torch

from bench import seeds
from bench.classifier.classifier import Classifier
from bench.errors import PluginError
from bench.records import JSON
from bench.tensors import Images, Logits, PerImage

FEW = 4
"""Images that are asked at once in most questions: what depends on the batch does so in small
ones, too, and always the same number, since kernels add in another order in other batches."""

TOLERANCE = 0.005
"""The share of the logits' range by which two answers may differ: rounding stays below 1e-4."""

State: TypeAlias = Literal["ok", "violated", "not applicable", "failed"]
Mode: TypeAlias = Literal["no_grad", "enable_grad", "requires_grad", "inference_mode"]


@dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes:
        name: of the check.
        state: ``failed`` where it could not be carried out.
        words: what the model does, where it is violated; else why there is no answer.
        figures: what was measured.

    """

    name: str
    state: State
    words: str = ""
    figures: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def plain(self) -> dict[str, JSON]:
        """Return plain values."""
        return {**asdict(self), "figures": dict(self.figures)}


def found(name: str, words: str, figures: Mapping[str, JSON], *, is_violated: bool) -> Check:
    """Return a check that was carried out; ``words`` count where it is violated."""
    return Check(name, "violated" if is_violated else "ok", words if is_violated else "", figures)


def ask(classifier: Classifier, images: Images, *, seed: int = 0, mode: Mode = "no_grad") -> Logits:
    """Return a model's logits in float64, on the CPU; the global generators are seeded for good.

    Raises:
        PluginError: where they are no logits of shape (image, class).

    """
    batch = images.to(classifier.mean.device, classifier.mean.dtype, copy=True)
    seeds.reseed(seed)
    with _grad_mode(mode):
        if mode == "requires_grad":
            batch.requires_grad_()
        logits = classifier(batch)
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or len(logits) != len(images):  # noqa: PLR2004 (image, class)
        got = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise PluginError.of("model", f"returned {got}", "logits (image, class)")
    return logits.detach().clone().double().cpu()


def _grad_mode(mode: Mode) -> torch.enable_grad | torch.no_grad | torch.inference_mode:
    if mode == "inference_mode":
        return torch.inference_mode()
    return torch.no_grad() if mode == "no_grad" else torch.enable_grad()


def apart(first: Logits, then: Logits) -> PerImage:
    """Return how far two answers about each image differ, as a share of the logits' range.

    The range is the widest between two classes of one image; where all logits are alike, their
    size.
    """
    widest = (first.amax(1) - first.amin(1)).amax()
    size = widest if widest > 0 else first.abs().amax()
    share = (then - first).abs().amax(1) / (size if size > 0 else torch.ones(()))
    worst: PerImage = share.nan_to_num(nan=torch.inf)
    return worst


def differs(shares: PerImage) -> bool:
    """Whether two answers differ: about two images at least, so that no rounding of one decides.

    Votes and bytes round an answer to the next of a few, where a sum lies on the edge.
    """
    return int((shares > TOLERANCE).sum()) >= min(2, len(shares))


def filled(images: Images, count: int) -> Images:
    """Return so many images: the first of those there are, and mixtures of them with noise."""
    if len(images) >= count:
        return images[:count]
    generator = torch.Generator().manual_seed(0)
    made = [images]
    while sum(map(len, made)) < count:
        made.append((images + torch.rand(images.shape, generator=generator)) / 2)
    return torch.cat(made)[:count]


def others(images: Images) -> Images:
    """Return images that look like none of these: their negatives, mixed with noise."""
    noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(1))
    return (1 - images + noise) / 2


def largest(shares: PerImage) -> JSON:
    """Return the largest share as a plain number; of what is not finite, None."""
    worst = float(shares.max())
    return round(worst, 6) if worst < float("inf") else None


def share_in_words(shares: PerImage) -> str:
    """Write how far answers differ at most."""
    worst = float(shares.max())
    if worst == float("inf"):
        return "by logits that are not finite"
    return f"by up to {100 * worst:.3g} % of the logits' range"
