"""Attacks: they return images, and never grade themselves."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from bench.api.plugin import Plugin
from bench.norms import TOLERANCE, measure
from bench.records import Budget, Norm
from bench.tensors import Images, Labels

if TYPE_CHECKING:
    from torch import Generator
    from torch.nn import Module


class Attack(Plugin):
    """A method that looks for adversarial images.

    Class variables:
        norm: the norm that the attack bounds or minimises; None where it bounds none.
        targetable: whether ``targets`` are honoured.
        traceable: whether the model calls of one :meth:`perturb` are its iterates, in order, each
            with the whole batch: only then is ``steps_to_success`` told.
        batch_invariant: whether an image's result does not depend on the batch it came in; where
            it does, the batch size is part of the identity.
        minimum_norm: whether it looks for the nearest adversarial image, rather than for any in a
            ball: then the suite's ``budget`` says what counts as near enough.
        caveats: known faults, a sentence each, that are told beside every number of the attack.

    A subclass may give ``norm`` as a field ("linf", "l2"), where the suite chooses it.
    """

    norm: ClassVar[Norm | None]
    targetable: ClassVar[bool] = False
    traceable: ClassVar[bool] = False
    batch_invariant: ClassVar[bool] = False
    minimum_norm: ClassVar[bool] = False
    caveats: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def perturb(
        self,
        classifier: Module,
        images: Images,
        labels: Labels,
        *,
        targets: Labels | None = None,
        generator: Generator,
    ) -> Images:
        """Return adversarial images for one batch.

        Args:
            classifier: from pixels in [0, 1] to logits; in eval mode, weights frozen. It is the
                attack's own copy. It counts passes; see :func:`padded`.
            images: float32 in [0, 1], shape (image, channel, height, width).
            labels: true classes, int64.
            targets: the classes to reach instead, or None: untargeted.
            generator: the only source of randomness, on the CPU, one for the whole cell.

        Returns:
            Images of the same shape, dtype and device, within [0, 1] and the budget. They are
            measured, never clipped: one that is out of its budget has no verdict.

        """

    @property
    def budget(self) -> Budget | None:
        """The ball that every image must lie in; None where the attack promises none."""
        eps = getattr(self, "eps", None)
        return None if self.norm is None or eps is None else Budget(self.norm, float(eps))

    @property
    def passes(self) -> int:
        """Forward and backward passes that an image costs, roughly: for estimates of time only."""
        steps = getattr(self, "steps", None)
        return steps if isinstance(steps, int) else 1

    def unsuited(self, *, classes: int, image_shape: tuple[int, int, int]) -> str | None:
        """Say why this attack cannot run on such data, or None; its cells are skipped then."""
        return None


class Cascade(Attack):
    """Several attacks in a row, each on the images that still stand.

    Images that are wrong before any attack are left as they are, and so is one that no attack
    fells. A part's image counts only within the cascade's budget.
    """

    @property
    @abstractmethod
    def parts(self) -> Mapping[str, Attack]:
        """The attacks by name, in the order in which they run."""

    def perturb(
        self,
        classifier: Module,
        images: Images,
        labels: Labels,
        *,
        targets: Labels | None = None,
        generator: Generator,
    ) -> Images:
        """Return for each image what the first attack that fells it made of it."""
        import torch

        def fells(tried: Images, rows: Labels) -> Labels:
            with torch.no_grad():
                predictions = classifier(tried).argmax(1)
            fallen: Labels = (
                predictions != labels[rows] if targets is None else predictions == targets[rows]
            )
            return fallen

        done = images.clone()
        everything = torch.arange(len(images), device=images.device)
        standing = everything[~fells(images, everything)]
        for name, part in self.parts.items():
            if len(standing) == 0:
                break
            with stage(classifier, name, len(standing)):
                found = part.perturb(
                    classifier,
                    images[standing],
                    labels[standing],
                    targets=None if targets is None else targets[standing],
                    generator=generator,
                )
                fell = fells(found, standing) & self._is_near(found, images[standing])
            done[standing[fell]] = found[fell]
            standing = standing[~fell]
        return done

    def _is_near(self, found: Images, images: Images) -> Labels:
        """Say which images lie within the budget; all do where there is none."""
        import torch

        if self.budget is None:
            return torch.ones(len(images), dtype=torch.bool, device=images.device)
        size = measure(self.budget.norm, found - images)
        return size <= self.budget.eps + TOLERANCE

    @property
    def passes(self) -> int:
        """What all parts cost together, as if nothing fell."""
        return sum(part.passes for part in self.parts.values())

    def unsuited(self, *, classes: int, image_shape: tuple[int, int, int]) -> str | None:
        """Say which part cannot run on such data, and why."""
        for name, part in self.parts.items():
            reason = part.unsuited(classes=classes, image_shape=image_shape)
            if reason is not None:
                return f"its part '{name}' cannot: {reason}"
        return None


@contextmanager
def padded(classifier: Module, copies: int) -> Iterator[None]:
    """Say that each batch inside ends with copies that only fill it up: they are not counted."""
    vars(classifier)["padding"] = copies
    try:
        yield
    finally:
        vars(classifier)["padding"] = 0


@contextmanager
def stage(classifier: Module, name: str, images: int) -> Iterator[None]:
    """Say that what is asked inside belongs to one part of an attack, and how many images it met.

    The cell's summary tells images, passes and seconds of each part.
    """
    stages: dict[str, dict[str, float]] = vars(classifier).setdefault("stages", {})
    account = stages.setdefault(name, {"images": 0, "forwards": 0, "backwards": 0, "seconds": 0.0})
    before = {count: vars(classifier).get(count, 0) for count in ("forwards", "backwards")}
    started = time.perf_counter()
    try:
        yield
    finally:
        account["images"] += images
        account["seconds"] += time.perf_counter() - started
        for count, counted in before.items():
            account[count] += vars(classifier).get(count, 0) - counted
