"""Frozen values that travel through the program: records, results, states, coordinates.

A *record* is what one cell says of one image. Records are plain dataclasses with typed columns, so
that the store can write them without guessing. No torch here, and no file formats.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from numpy.typing import NDArray

JSON: TypeAlias = "str | int | float | bool | list[JSON] | dict[str, JSON] | None"
Norm: TypeAlias = Literal["linf", "l2", "l1", "l0"]
NORMS: tuple[Norm, ...] = get_args(Norm)

State: TypeAlias = Literal["done", "to do", "depends", "failed", "skipped", "blocked"]
Kind: TypeAlias = Literal[
    "load",
    "train",
    "compress",
    "evaluate",
    "interim",
    "profile",
    "latency",
    "explain",
    "gallery",
    "attack",
    "transfer",
    "certify",
    "detect",
    "drift",
    "probe",
    "sensitivity",
    "contract",
    "reference",
]

AUDIT_KINDS: tuple[Kind, ...] = ("probe", "contract", "reference")
"""The kinds of cells that are there for the audit only: no table shows them, and none fails a
run."""

ORIGINAL = "original"
"""The variant of a model with no compressor, no defense and no fine-tuning."""

SHIELD_FACTS = ("defense", "gradients", "randomised", "averaged")
"""Facts of a cell that follow from its variant: from the shields around the network."""

DECLARED_FACTS = (
    *("control", "single_step", "iterations", "step_size", "gradient_samples"),
    *("radius_parameter", "steps_parameter", "step_size_parameter"),
)
"""Facts of an attack's cell that its plugin declares: they follow from plugin and parameters."""


TOLERANCE = 1e-6
"""How far a norm may exceed eps, or a pixel [0, 1]: float32 rounding, as when normalisation is
undone, reaches 6e-8."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The ball that a perturbation must lie in: a norm and its radius in pixels of [0, 1]."""

    # what pydantic checks, and reports, where a suite writes one; so is the metadata of fields
    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}

    norm: Norm = field(metadata={"description": "in which distances are measured"})
    eps: float = field(
        metadata={"gt": 0, "description": "radius; pixels of [0, 1], for l0 a number of pixels"}
    )

    def __str__(self) -> str:
        return f"{self.norm} {self.eps:.6g}"


def write_eps(eps: float) -> str:
    """Write a radius as people do: in 255ths where no short decimal says the same.

    Thirds stay decimals: 85/255 is nobody's eps.
    """
    levels = round(_LEVELS * eps)
    short = f"{eps:.4g}"
    is_level = abs(_LEVELS * eps - levels) <= _ROUNDING and levels % (_LEVELS // 3)
    return f"{levels}/{_LEVELS}" if is_level and float(short) != eps else short


def write_name(name: str) -> str:
    """Write the name of a grid's point or a budget for people: ``pgd@eps=8/255``.

    Its coordinate holds six digits, ``pgd@eps=0.0313725``.
    """
    return _NUMBER.sub(_in_levels, name)


def visible(text: str) -> str:
    r"""Write what is no sign as Python escapes it; spaces, tabs and line breaks stay.

    Control characters steer a terminal and may not stand in XML; others turn the direction of
    what follows.

    >>> visible("a\x1b[31m\u202e b")
    'a\\x1b[31m\\u202e b'
    """
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


_STEERING = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffe\uffff]"
)


def _in_levels(found: re.Match[str]) -> str:
    """Write one number in 255ths where it is one to the digits that it has."""
    level = round(_LEVELS * float(found[0])) / _LEVELS
    return write_eps(level) if f"{level:.6g}" == found[0] else found[0]


_LEVELS = 255
_ROUNDING = 1e-6
_NUMBER = re.compile(r"(?<=[= ])\d\.\d{5,}(?=$|[,/~ :;)])")


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Where in the matrix a cell stands; None on the axes that it does not have.

    ``model`` and ``variant`` are those being judged. ``source`` is set on transfer cells only: the
    model and variant, as ``model/variant``, that the adversarial images were made on. ``replica``
    is one of several trainings of the same recipe: another seed, another fold held out.
    """

    model: str
    variant: str = ORIGINAL
    attack: str | None = None
    source: str | None = None
    replica: str | None = None
    explainer: str | None = None

    @property
    def model_variant(self) -> str:
        """The model, and the variant where it is not the original: what figures compare."""
        return self.model if self.variant == ORIGINAL else f"{self.model}/{self.variant}"

    @property
    def training(self) -> str:
        """Which seed was trained, whatever the fold: folds of one seed belong together."""
        return (self.replica or "").partition("fold")[0].rstrip("-")

    @property
    def is_fold(self) -> bool:
        """Whether this is one part of a cross-validation."""
        return "fold" in (self.replica or "")

    def __str__(self) -> str:
        model = self.model if self.replica is None else f"{self.model}:{self.replica}"
        parts = [model if self.variant == ORIGINAL else f"{model}/{self.variant}"]
        parts += [name for name in (self.attack, self.explainer) if name is not None]
        if self.source is not None:
            parts.insert(0, f"{self.source.removesuffix('/' + ORIGINAL)}>")
            return f"{parts[0]}{'/'.join(parts[1:])}"
        return "/".join(parts)


AXES = ("model", "replica", "variant", "attack", "explainer", "source")
"""The coordinates, in the order in which tables name them."""


@dataclass(frozen=True, slots=True)
class EvaluateRecord:
    """One image as a model sees it, unattacked. ``confidence``: softmax of the predicted class."""

    image: str
    label: int
    prediction: int
    confidence: float


@dataclass(frozen=True, slots=True)
class AttackRecord:
    """One image before and after an attack, as the referee measured it.

    ``violation`` says why there is no verdict (over budget, out of range, not finite, logits that
    are not finite, when ``clean_confidence`` may be None); the
    predictions after it are None then, while the norms are still recorded where they are finite.
    ``target`` is None for untargeted attacks. ``steps_to_success`` is None where the attack never
    fooled the model or does not declare its model calls to be its iterates. Norms are of pixels in
    [0, 1]; ``l0`` counts pixels. ``success`` is what :func:`success_of` decides, whatever budget
    the suite scores the attack in; files from before it lack the column.
    """

    image: str
    label: int
    target: int | None
    clean_prediction: int
    clean_confidence: float | None
    prediction: int | None
    confidence: float | None
    target_confidence: float | None
    linf: float | None
    l2: float | None
    l1: float | None
    l0: float | None
    steps_to_success: int | None
    violation: str | None
    success: bool | None


def success_of(
    label: int, target: int | None, clean_prediction: int, prediction: int | None
) -> bool | None:
    """Decide whether an image is a success of an attack.

    Returns:
        None where it does not count: it was wrong before, its class is the target, or there is no
        verdict on it (``prediction`` is None).

    """
    if prediction is None or clean_prediction != label or target == label:
        return None
    return prediction != label if target is None else prediction == target


@dataclass(frozen=True, slots=True)
class TransferRecord:
    """One adversarial image, made on a source model, as another model sees it.

    ``source_success`` is the verdict on the source; ``clean_prediction`` and the rest are the
    target model's. The norms and ``violation`` are inherited from the source's record.
    """

    image: str
    label: int
    target: int | None
    source_success: bool | None
    clean_prediction: int
    clean_confidence: float | None
    prediction: int | None
    confidence: float | None
    target_confidence: float | None
    linf: float | None
    l2: float | None
    l1: float | None
    l0: float | None
    violation: str | None


@dataclass(frozen=True, slots=True)
class ExplainRecord:
    """One image whose predicted class was explained, and what the heatmap is worth.

    ``randomisation_similarity`` is None where one of the two maps is the same everywhere. Older
    files hold the gallery, too: their columns ``measured`` and ``shown`` say what an image is for,
    and figures of what is only shown are None.
    """

    image: str
    label: int
    prediction: int
    confidence: float
    empty_heatmap: bool
    deletion_auc: float
    insertion_auc: float
    faithfulness: float
    faithfulness_of_chance: float
    faithfulness_gain: float
    randomisation_similarity: float | None


@dataclass(frozen=True, slots=True)
class SensitivityRecord:
    """One image on a model of which one layer is pruned; ``layer`` is empty where none is.

    ``adversarial_prediction`` is None where the attack's image has no verdict.
    """

    image: str
    label: int
    layer: str
    prediction: int
    adversarial_prediction: int | None


@dataclass(frozen=True, slots=True)
class CertifyRecord:
    """One image around which a prediction is proved to hold.

    ``prediction`` is None where the shield abstains; ``radius`` is l2, in pixels of [0, 1].
    """

    image: str
    label: int
    prediction: int | None
    radius: float


@dataclass(frozen=True, slots=True)
class DetectRecord:
    """One image as a detector sees it, before and after an attack.

    ``success`` is the attack's, None where the image was wrong before; the norms and ``violation``
    are inherited from the attack's record. Scores: the higher, the more suspicious.
    """

    image: str
    label: int
    success: bool | None
    clean_score: float
    adversarial_score: float
    linf: float | None
    l2: float | None
    l1: float | None
    l0: float | None
    violation: str | None


@dataclass(frozen=True, slots=True)
class DriftRecord:
    """One image before and after an attack, and how alike the two explanations are.

    Each explains the class that is predicted. Figures are None where a map is the same everywhere,
    and where the attack's image has no verdict: ``violation``, of the attack's record, says why.
    """

    image: str
    label: int
    clean_prediction: int
    prediction: int | None
    heatmap_similarity: float | None
    heatmap_overlap: float | None
    violation: str | None


@dataclass(frozen=True, slots=True)
class GradientRecord:
    """The loss's gradient at one unattacked image: its Euclidean length, None where not finite."""

    image: str
    label: int
    gradient: float | None


@dataclass(frozen=True, slots=True)
class ReferenceRecord:
    """One image within one budget, as the audit's reference leaves it.

    ``left``: it was right before, and none of the run's own attacks misclassifies it within the
    budget. ``tried``: the reference attacked it there. ``method`` names the attack of the reference
    that fooled it, and ``size`` is how far it moved it, in the budget's norm; None where none did.
    ``violation`` says why the last of its attacks has no verdict.
    """

    image: str
    label: int
    eps: float
    clean_prediction: int
    left: bool
    tried: bool
    method: str | None
    size: float | None
    violation: str | None


Record: TypeAlias = (
    EvaluateRecord
    | AttackRecord
    | TransferRecord
    | ExplainRecord
    | CertifyRecord
    | DetectRecord
    | DriftRecord
    | SensitivityRecord
    | GradientRecord
    | ReferenceRecord
)


@dataclass(frozen=True, slots=True)
class Result:
    """What running a cell brought: records, arrays, digests of what children use, and a summary.

    ``outputs`` maps an output's name to its digest: the only thing that children's identities see.
    ``arrays`` are stored as safetensors, with ``header`` beside them. ``summary`` holds what is not
    per image: passes, seconds, curves. Only ``summary`` may hold timings.
    """

    records: Sequence[Record] = ()
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    header: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    summary: Mapping[str, JSON] = field(default_factory=dict)
