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
            with the whole batch: only then is ``steps_to_success`` reported.
        batch_invariant: whether an image's result does not depend on the batch it came in; where
            it does, the batch size is part of the identity.
        minimum_norm: whether it looks for the nearest adversarial image, rather than for any in a
            ball: then the suite's ``budget`` says what counts as near enough.
        caveats: known faults, a sentence each, that stand beside every number of the attack.
        caveats_in: those that it has in one norm only, by norm.
        is_control: whether it spends its budget in no direction, as noise does: what attacks are
            compared with.
        is_single_step: whether it spends its budget in one step along the gradient: what attacks
            of several steps are compared with.
        is_reference: whether the audit's reference is made of it: what a run's own attacks are
            compared with. It says with which parameters in :meth:`references`.
        reference_stage: where it stands in the reference: those of a lower stage run first.
        radius_parameter, steps_parameter, step_size_parameter: which parameters are the radius of
            its ball, its number of steps and the length of one, where it has them.

    A subclass may give ``norm``, ``targetable`` and ``caveats`` as class variables, as fields
    (where the suite chooses) or as properties.
    """

    if TYPE_CHECKING:  # a class variable, a field and a property may each stand for a property

        @property
        def norm(self) -> Norm | None:
            """The norm that it bounds or minimises."""

        @property
        def targetable(self) -> bool:
            """Whether it honours targets."""

        @property
        def caveats(self) -> tuple[str, ...]:
            """Its known faults."""

    else:
        norm: ClassVar[Norm | None]
        targetable: ClassVar[bool] = False
        caveats: ClassVar[tuple[str, ...]] = ()

    traceable: ClassVar[bool] = False
    batch_invariant: ClassVar[bool] = False
    minimum_norm: ClassVar[bool] = False
    is_control: ClassVar[bool] = False
    is_single_step: ClassVar[bool] = False
    is_reference: ClassVar[bool] = False
    reference_stage: ClassVar[int] = 0
    radius_parameter: ClassVar[str] = "eps"
    steps_parameter: ClassVar[str] = "steps"
    step_size_parameter: ClassVar[str] = "alpha"
    caveats_in: ClassVar[Mapping[Norm, tuple[str, ...]]] = {}

    @property
    def own_caveats(self) -> tuple[str, ...]:
        """The known faults that this attack has in its norm."""
        in_norm = () if self.norm is None else self.caveats_in.get(self.norm, ())
        return (*self.caveats, *in_norm)

    @property
    def all_caveats(self) -> tuple[str, ...]:
        """The known faults in every norm."""
        return (*self.caveats, *(each for found in self.caveats_in.values() for each in found))

    @classmethod
    def __pydantic_init_subclass__(cls, **_: object) -> None:
        """Refuse a parameter that has the name of a property: it would be ignored.

        Raises:
            TypeError: naming it.

        """
        for name in cls.model_fields:
            if isinstance(getattr(Attack, name, None), property):
                raise TypeError(
                    f"{cls.__name__}: the parameter '{name}' hides Attack.{name}: give it another "
                    "name, and declare what it is (steps_parameter, step_size_parameter)"
                )

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
        radius = self._declared(self.radius_parameter)
        return None if self.norm is None or radius is None else Budget(self.norm, float(radius))

    @property
    def iterations(self) -> int | None:
        """How many steps it takes; None where it declares none."""
        steps = self._declared(self.steps_parameter)
        return 1 if self.is_single_step else None if steps is None else int(steps)

    @property
    def step_size(self) -> float | None:
        """How long a step is, in the attack's norm; None where it declares none."""
        size = self._declared(self.step_size_parameter)
        return None if size is None else float(size)

    @property
    def gradient_samples(self) -> int:
        """Over how many gradients each step averages: more than one on classifiers that draw."""
        return 1

    @property
    def passes(self) -> int:
        """Forward and backward passes that an image costs, roughly: for estimates of time only."""
        return self.iterations or 1

    def _declared(self, name: str) -> float | None:
        """Return the number that a parameter has as it is used; None where there is no such."""
        value = self.parameters().get(name) if name in type(self).model_fields else None
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def unsuited(self, *, classes: int, image_shape: tuple[int, int, int]) -> str | None:
        """Say why this attack cannot run on such data, or None; its cells are skipped then."""
        return None

    @classmethod
    def references(
        cls, norm: Norm, eps: float, *, classes: int, thorough: bool, exact: bool
    ) -> Mapping[str, Attack]:
        """Configure it for the audit's reference: by name, in the order in which they run.

        They run on the images that nothing has fooled yet. One that looks for the nearest image
        serves all budgets of a norm, and is asked once.

        Args:
            norm: of the budget; an attack that does not have it returns nothing.
            eps: of the budget; of several, where it looks for the nearest, the smallest.
            classes: how many the data has.
            thorough: whether time matters less than what is found.
            exact: whether the verdict is that of the classifier that attacks are given. Where it
                is not, to end at the first success would look weak: what looks for the nearest
                image returns nothing.

        """
        return {}


class Cascade(Attack):
    """Several attacks in a row, each on the images that remain correct.

    Images that are wrong before any attack are left as they are, and so is one that no attack
    fools. A part's image counts only within the cascade's budget.
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
        """Return for each image what the first attack that fools it made of it."""
        import torch

        def fools(tried: Images, rows: Labels) -> Labels:
            with torch.no_grad():
                predictions = classifier(tried).argmax(1)
            fooled: Labels = (
                predictions != labels[rows] if targets is None else predictions == targets[rows]
            )
            return fooled

        done = images.clone()
        everything = torch.arange(len(images), device=images.device)
        left = everything[~fools(images, everything)]
        for name, part in self.parts.items():
            if len(left) == 0:
                break
            with stage(classifier, name, len(left)):
                found = part.perturb(
                    classifier,
                    images[left],
                    labels[left],
                    targets=None if targets is None else targets[left],
                    generator=generator,
                )
                won = fools(found, left) & self._is_near(found, images[left])
            done[left[won]] = found[won]
            left = left[~won]
        return done

    def _is_near(self, found: Images, images: Images) -> Labels:
        """Say which images lie within the budget; all do where there is none."""
        import torch

        if self.budget is None:
            return torch.ones(len(images), dtype=torch.bool, device=images.device)
        size = measure(self.budget.norm, found - images)
        return size <= self.budget.eps + TOLERANCE

    @property
    def gradient_samples(self) -> int:
        """The least of any part."""
        return min(part.gradient_samples for part in self.parts.values())

    @property
    def passes(self) -> int:
        """What all parts cost together, as if no image was fooled."""
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

    The cell's summary holds images, passes and seconds of each part.
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
