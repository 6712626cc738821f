"""Steps from a model to a variant of it: what defends, what trains on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from bench.api.plugin import Plugin
from bench.api.recipes import Recipe
from bench.tensors import Images, Labels, Logits, PerImage, Scalar

if TYPE_CHECKING:
    from torch import Generator
    from torch.nn import Module


Gradients: TypeAlias = Literal["exact", "straight_through", "expectation"]
"""How attacks see through a defense: it is differentiable; its backward pass stands for one that
is not (BPDA); or they average over its randomness (EOT)."""


class VariantStep(Plugin):
    """One step from a model to a variant of it: a :class:`Compressor` or a :class:`Defense`."""

    def unsuited(self, *, classes: int, image_shape: tuple[int, int, int]) -> str | None:
        """Say why this step cannot work on such data, or None; its cells are skipped then."""
        return None


class Tuning(VariantStep):
    """What a step that trains has: on from the weights there are, or from fresh ones.

    Class variables:
        uses_teacher: whether :meth:`loss` is given the original's logits of the same images.
    """

    uses_teacher: ClassVar[bool] = False

    @property
    @abstractmethod
    def recipe(self) -> Recipe:
        """How the weights are trained."""

    @property
    def is_from_scratch(self) -> bool:
        """Whether training begins with fresh weights, rather than with the variant's so far."""
        return False

    def adversarial_batch(
        self, classifier: Module, images: Images, labels: Labels, *, generator: Generator
    ) -> Images:
        """Return what the classifier learns from instead of a batch of images.

        Args:
            classifier: from pixels in [0, 1] to logits, as trained so far; in eval mode.
            images: float32 in [0, 1], already augmented.
            labels: true classes.
            generator: on the CPU; its state is kept when training is interrupted.

        """
        return images

    def loss(self, logits: Logits, teacher_logits: Logits | None, plain: Scalar) -> Scalar:
        """Return what is minimised on one batch.

        Args:
            logits: of the batch that is learned from, shape (image, class).
            teacher_logits: the original's, of the same batch; None unless :attr:`uses_teacher`.
            plain: the recipe's own loss, the cross-entropy.

        """
        return plain


class Defense(VariantStep):
    """What makes a variant of a model hold out better: a shield, a hardening or a detector.

    Class variables:
        randomised: whether it draws random numbers.
        gradients: how attacks see through it.
    """

    randomised: ClassVar[bool] = False
    gradients: ClassVar[Gradients] = "exact"


class Shield(Defense):
    """A defense at inference: it stands between the images and the classifier's answer.

    Class variables:
        ignores_base_model: whether it answers without the classifier that it stands before, so that
            what else is done to that has no effect.
        surrogate_agrees: whether the surrogate answers as what is judged does. Where it does not,
            attacks that stop once it is fooled would be taken for weak, and are not run.
        proof_only: parameters that decide what is proved, and no answer.
    """

    ignores_base_model: ClassVar[bool] = False
    surrogate_agrees: ClassVar[bool] = True
    proof_only: ClassVar[frozenset[str]] = frozenset()

    @property
    def draws(self) -> int:
        """How many random draws each gradient of the surrogate averages over; one follows noise."""
        return 1

    @property
    def members(self) -> tuple[str, ...]:
        """The variants that it asks besides, as ``variant`` or ``model/variant``."""
        return ()

    @abstractmethod
    def defend(self, classifier: Module, members: Sequence[Module], *, seed: int) -> Module:
        """Return what is judged.

        Args:
            classifier: from pixels in [0, 1] to logits, with the shields before this one; frozen.
            members: the same of each of :attr:`members`.
            seed: what a randomised shield draws by. An image's answer may depend on it, but not on
                the batch that the image comes in, nor on how often was asked.

        Returns:
            A module from pixels in [0, 1] to logits, in eval mode.

        """

    def surrogate(self, classifier: Module, members: Sequence[Module], *, seed: int) -> Module:
        """Return what attacks and explainers are given instead: useful gradients, equal answers.

        Where :attr:`gradients` is ``straight_through`` or ``expectation``, this is what makes them.
        """
        return self.defend(classifier, members, seed=seed)

    def certify(
        self, classifier: Module, images: Images, *, generator: Generator
    ) -> Certificates | None:
        """Prove how far each prediction holds; None for a shield that proves nothing.

        Args:
            classifier: what this shield stands before.
            images: float32 in [0, 1], one batch.
            generator: the only source of randomness, on the CPU.

        """
        return None


class Hardening(Defense, Tuning):
    """A defense in training: batches are attacked as they come."""

    @abstractmethod
    def adversarial_batch(
        self, classifier: Module, images: Images, labels: Labels, *, generator: Generator
    ) -> Images:
        """Return what the classifier learns from instead; see :meth:`Tuning.adversarial_batch`."""


class Detector(Defense):
    """A defense that answers as the classifier does, and scores which images look attacked."""

    @abstractmethod
    def score(self, classifier: Module, images: Images) -> PerImage:
        """Return how suspicious each image is: any scale, the higher the more."""


@dataclass(frozen=True)
class Certificates:
    """What a shield proves of a batch.

    Attributes:
        predictions: classes; -1 where it abstains.
        radii: l2, in pixels of [0, 1]; 0 where it abstains. Within it the prediction is the same.

    """

    predictions: Labels
    radii: PerImage
