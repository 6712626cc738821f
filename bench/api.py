"""The porch: what the author of a plugin imports.

A plugin is one class whose fields are its YAML parameters (pydantic: typed, validated, documented,
frozen) and whose methods do the work. It is offered through an entry point, whose name is the
plugin's name. An attack returns images and nothing else: it never grades itself.

Importing this module does not import torch; a plugin may import torch wherever it likes, but one
that does so inside its methods can be listed, checked and planned without torch.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bench.norms import TOLERANCE, measure
from bench.recipes import Augmentation, Recipe
from bench.records import JSON, Budget, Norm
from bench.tensors import Heatmaps, Images, Labels, Logits, PerImage, PixelArray, Scalar

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module

__all__ = [
    "KINDS",
    "Attack",
    "Augmentation",
    "Cascade",
    "Certificates",
    "Compressor",
    "Content",
    "Dataset",
    "Defense",
    "Detector",
    "Explainer",
    "FineTuning",
    "Gradients",
    "Hardening",
    "Model",
    "Plugin",
    "Recipe",
    "Reduction",
    "Shield",
    "Split",
    "Tuning",
    "VariantStep",
    "Zeros",
    "filled_up",
    "stage",
]


class Plugin(BaseModel, ABC):
    """What all plugins share.

    Class variables:
        revision: raise it by hand whenever a change of the code changes what it returns; it is part
            of every identity, so that old results are not taken for new ones.
        wraps: the distribution on the package index that does the work, if any ("torchattacks");
            its version is part of every identity.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, arbitrary_types_allowed=False
    )

    revision: ClassVar[int] = 1
    wraps: ClassVar[str | None] = None

    def parameters(self) -> dict[str, JSON]:
        """Return the parameters as plain values: what identities and tables see."""
        return self.model_dump(mode="json")


@dataclass(frozen=True)
class Split:
    """One part of a dataset.

    Attributes:
        images: as many arrays as there are labels, each uint8 of shape (height, width, channel),
            all of one shape; may be a generator, so that large folders need not fit in memory.
        labels: class indices.
        names: what each image is called in records: unique within the dataset.

    """

    images: Iterable[PixelArray]
    labels: Sequence[int]
    names: Sequence[str]


@dataclass(frozen=True)
class Content:
    """All that a dataset holds: the names of its classes, and its splits by name."""

    classes: Sequence[str]
    splits: Mapping[str, Split]


class Dataset(Plugin):
    """Labelled images in named splits (``train``, ``valid``, ``test``).

    The core decodes a dataset once into a memory-mapped cache, and reads it again only when
    :meth:`stamp`, a parameter, the revision or the library changes. Pixels are bytes here and
    float32 in [0, 1] everywhere else.
    """

    @abstractmethod
    def read(self) -> Content:
        """Read the dataset.

        Raises:
            DataError: where something is missing or malformed.

        """

    def stamp(self) -> JSON:
        """Return a cheap plain value that changes whenever the source on disk changes."""
        return None


class Model(Plugin):
    """An architecture, and where its weights come from if the suite does not train it.

    Parameters that every model has: ``weights``, a ``.safetensors`` or ``.pt`` file to load
    strictly; ``mean`` and ``std``, the normalisation of each channel, done inside the classifier.
    """

    weights: Annotated[
        Path | None, Field(description=".safetensors or .pt file, loaded strictly")
    ] = None
    mean: Annotated[
        tuple[float, ...] | None, Field(description="of each channel, pixels in [0, 1]")
    ] = None
    std: Annotated[tuple[float, ...] | None, Field(description="of each channel")] = None

    @model_validator(mode="after")
    def _normalisation_is_whole(self) -> Model:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together: give both or neither")
        if self.mean is not None and self.std is not None:
            if len(self.mean) != len(self.std):
                raise ValueError("mean and std need one number for each channel")
            if min(self.std) <= 0:
                raise ValueError("std must be positive")
        return self

    @abstractmethod
    def build(self, *, classes: int, image_shape: tuple[int, int, int]) -> Module:
        """Build the network with fresh weights, never downloading any.

        Args:
            classes: how many logits.
            image_shape: (channel, height, width).

        Returns:
            A module from *normalised* images to logits.

        """

    @property
    def has_pretrained(self) -> bool:
        """Whether :meth:`build_pretrained` brings weights of its own."""
        return False

    def build_pretrained(self, *, classes: int, image_shape: tuple[int, int, int]) -> Module:
        """Build the network with the weights that its library offers.

        Raises:
            WeightsError: where they cannot be had.

        """
        raise TypeError(f"{type(self).__name__} has no pretrained weights")

    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Return (mean, std) of each channel, or None: of the training images, or the file's."""
        if self.mean is None or self.std is None:
            return None
        return self.mean, self.std

    def structure(self) -> dict[str, JSON]:
        """Return the parameters that decide the function which given weights compute."""
        return {
            name: value
            for name, value in self.parameters().items()
            if name not in {"weights", "mean", "std"}
        }


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
                attack's own copy. It counts passes; see :func:`filled_up`.
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


class Explainer(Plugin):
    """A method that says which pixels a prediction rests on.

    Class variables:
        batch_invariant: whether an image's heatmap does not depend on the batch it came in; where
            it does, the batch size is part of the identity.
        looks_inside: whether it reads a layer, of which an image must have one map.
    """

    batch_invariant: ClassVar[bool] = False
    looks_inside: ClassVar[bool] = False

    @abstractmethod
    def explain(
        self, classifier: Module, images: Images, targets: Labels, *, generator: Generator
    ) -> Heatmaps:
        """Return a heatmap for each image of one batch.

        Args:
            classifier: from pixels in [0, 1] to logits; in eval mode, weights frozen. It is the
                explainer's own copy; ``classifier.network`` is the model behind the normalisation.
            images: float32 in [0, 1], shape (image, channel, height, width).
            targets: the classes whose logits are explained, int64.
            generator: the only source of randomness, on the CPU, one for the whole cell.

        Returns:
            float32 of shape (image, height, width), finite; the higher, the more the logit rests
            on that pixel. Any scale. A map that is the same everywhere explains nothing, and is
            counted as empty.

        """

    def unsuited(self, *, classes: int, image_shape: tuple[int, int, int]) -> str | None:
        """Say why this explainer cannot run on such data, or None; its cells are skipped then."""
        return None


Gradients: TypeAlias = Literal["exact", "straight_through", "expectation"]
"""How attacks see through a defense: it is differentiable; its backward pass stands for one that
is not (BPDA); or they average over its randomness (EOT)."""

Zeros: TypeAlias = Literal["kept", "more", "unknown"]
"""What a reduction makes of the zeros that earlier ones made: it keeps their share, or adds others,
or changes how many weights there are."""


class VariantStep(Plugin):
    """One step from a model to a variant of it: a :class:`Compressor` or a :class:`Defense`."""

    def unsuited(self, *, classes: int, image_shape: tuple[int, int, int]) -> str | None:
        """Say why this step cannot work on such data, or None; its cells are skipped then."""
        return None


class Tuning(VariantStep):
    """What a step that trains has: on from the weights there are, or from fresh ones.

    Class variables:
        is_taught: whether :meth:`loss` is given the original's logits of the same images.
    """

    is_taught: ClassVar[bool] = False

    @property
    @abstractmethod
    def recipe(self) -> Recipe:
        """How the weights are trained."""

    @property
    def is_from_scratch(self) -> bool:
        """Whether training begins with fresh weights, rather than with the variant's so far."""
        return False

    def harden(
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

    def loss(self, logits: Logits, taught: Logits | None, plain: Scalar) -> Scalar:
        """Return what is minimised on one batch.

        Args:
            logits: of the batch that is learned from, shape (image, class).
            taught: the original's logits of the same batch; None unless :attr:`is_taught`.
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
        asks_members_only: whether it answers without the classifier that it stands before, so that
            what else is done to that has no effect.
    """

    asks_members_only: ClassVar[bool] = False

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
    def harden(
        self, classifier: Module, images: Images, labels: Labels, *, generator: Generator
    ) -> Images:
        """Return what the classifier learns from instead; see :meth:`Tuning.harden`."""


class Detector(Defense):
    """A defense that answers as the classifier does, and tells which images look attacked."""

    @abstractmethod
    def score(self, classifier: Module, images: Images) -> PerImage:
        """Return how suspicious each image is: any scale, the higher the more."""


class Compressor(VariantStep):
    """What makes a variant of a model cheaper: a reduction, or the fine-tuning after one."""


class Reduction(Compressor):
    """A change of the network: fewer, sparser or coarser weights.

    The weights that a reduction leaves are stored, and beside them its *form*: what else it takes
    to build a network that they load into. So the network can be built again elsewhere, to
    bit-equal logits.

    Class variables:
        randomised: whether it draws random numbers.
        holds_zeros: whether the zeros that it makes among the weights of Conv and Linear layers are
            to stay: training that follows leaves them at zero.
        gradients: ``straight_through`` where :meth:`deploy` answers instead of the network, and
            attacks, explainers and training are given the network: its differentiable twin.
        earlier_zeros: what becomes of the share of zeros that earlier reductions promised, among
            the weights that layers compute with.
        devices: types of device that what is judged runs on.
    """

    randomised: ClassVar[bool] = False
    holds_zeros: ClassVar[bool] = False
    earlier_zeros: ClassVar[Zeros] = "kept"
    gradients: ClassVar[Gradients] = "exact"
    devices: ClassVar[tuple[str, ...]] = ("cpu", "cuda")

    @property
    def sparsity_target(self) -> float | None:
        """The share of zeros among all Conv and Linear weights that it promises, if it does."""
        return None

    @property
    def images_wanted(self) -> int:
        """How many training images :meth:`reduce` looks at."""
        return 0

    @abstractmethod
    def reduce(
        self, network: Module, images: Images, labels: Labels, *, generator: Generator
    ) -> tuple[Module, JSON]:
        """Reduce a network.

        Args:
            network: from *normalised* images to logits, in eval mode; may be changed in place.
            images: :attr:`images_wanted` normalised training images; at least one, for its shape.
            labels: their classes.
            generator: the only source of randomness, on the CPU.

        Returns:
            The reduced network, and its form: plain values that :meth:`rebuild` needs.

        """

    def rebuild(self, network: Module, form: JSON, *, image_shape: tuple[int, int, int]) -> Module:
        """Return a network with the modules, and the shapes of weights, of a reduced one.

        Args:
            network: as :meth:`reduce` was given it, with any weights; may be changed in place.
            form: what :meth:`reduce` returned.
            image_shape: (channel, height, width).

        """
        return network

    def deploy(self, network: Module) -> Module:
        """Return what answers in place of the network; may change it."""
        return network

    def packed(self, network: Module) -> Mapping[str, Tensor]:
        """Return what would be shipped: tensors by name, in the types that they are stored in."""
        return dict(network.state_dict())


class FineTuning(Compressor, Tuning):
    """Training that goes on from the weights that a variant has so far."""


@dataclass(frozen=True)
class Certificates:
    """What a shield proves of a batch.

    Attributes:
        predictions: classes; -1 where it abstains.
        radii: l2, in pixels of [0, 1]; 0 where it abstains. Within it the prediction is the same.

    """

    predictions: Labels
    radii: PerImage


@contextmanager
def filled_up(classifier: Module, copies: int) -> Iterator[None]:
    """Say that each batch inside ends with copies that only fill it up: they are not counted."""
    vars(classifier)["filler"] = copies
    try:
        yield
    finally:
        vars(classifier)["filler"] = 0


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


KINDS: Mapping[str, type[Plugin]] = {
    "datasets": Dataset,
    "models": Model,
    "attacks": Attack,
    "explainers": Explainer,
    "compressors": Compressor,
    "defenses": Defense,
}
"""Kinds of plugin by the name of their entry-point group, less ``bench.``."""
