"""The referee: measures what an attack returned, and judges it on the classifier itself.

Norms, range, predictions and success are measured here and nowhere else, in one way for every
attack. Nothing is clipped or repaired: an image outside [0, 1] or over its budget has no verdict.
The referee does not know how images were made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from bench import norms
from bench.classifier.classifier import Classifier
from bench.errors import PluginError
from bench.records import (
    NORMS,
    AttackRecord,
    Budget,
    EvaluateRecord,
    TransferRecord,
    success_of,
)
from bench.tensors import Images, Labels, PerImage

BATCH = 32
"""The referee shows a network exactly so many images at once, always, repeating the last where
there are fewer: kernels add in another order in batches of another size, and a verdict may depend
neither on the batch size of an attack nor on the company that an image comes in."""


@dataclass(frozen=True)
class Verdict:
    """What a classifier makes of images: predicted classes and softmax of every class (float64)."""

    predictions: Labels
    probabilities: PerImage

    def confidence(self, classes: Labels | None = None) -> PerImage:
        """Return the softmax of given classes, or of the predicted ones."""
        chosen = self.predictions if classes is None else classes
        return self.probabilities.gather(1, chosen[:, None])[:, 0]


@torch.no_grad()
def classify(classifier: Classifier, images: Images) -> Verdict:
    """Classify images, in the same way whatever the batch size of the run.

    Raises:
        PluginError: where the model does not return logits of shape (image, class).

    """
    device = classifier.mean.device
    parts = []
    for batch in images.split(BATCH):  # type: ignore[no-untyped-call]
        fill = batch[-1:].expand(BATCH - len(batch), -1, -1, -1)
        logits = classifier(torch.cat([batch, fill]).to(device))
        if not isinstance(logits, torch.Tensor) or logits.ndim != 2:  # noqa: PLR2004 (image, class)
            raise PluginError.of("model", f"returned {_describe(logits)}", "logits (image, class)")
        parts.append(logits[: len(batch)].double().cpu())
    logits = torch.cat(parts)
    return Verdict(logits.argmax(1), logits.softmax(1))


def check_finite(verdict: Verdict) -> None:
    """Check that a classifier gave finite logits.

    Raises:
        PluginError: where it did not.

    """
    if not verdict.probabilities.isfinite().all():
        raise PluginError.of(
            "model", "returns logits that are not finite", "finite logits", "look at its weights"
        )


def _describe(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"{value.dtype} of shape {tuple(value.shape)}"
    return type(value).__name__


def evaluate(verdict: Verdict, labels: Labels, names: Sequence[str]) -> list[EvaluateRecord]:
    """Judge unattacked images.

    Raises:
        PluginError: where the model's logits are not finite.

    """
    check_finite(verdict)
    confidence = verdict.confidence()
    return [
        EvaluateRecord(
            image=name,
            label=int(labels[i]),
            prediction=int(verdict.predictions[i]),
            confidence=float(confidence[i]),
        )
        for i, name in enumerate(names)
    ]


def check_form(adversarial_images: object, images: Images, culprit: str) -> Images:
    """Check that an attack returned a float32 tensor of the images' shape.

    Raises:
        PluginError: naming ``culprit``.

    """
    expected = f"{images.dtype} of shape {tuple(images.shape)}"
    if (
        not isinstance(adversarial_images, torch.Tensor)
        or adversarial_images.shape != images.shape
        or adversarial_images.dtype != images.dtype
    ):
        raise PluginError.of(
            culprit, f"returned {_describe(adversarial_images)}", expected, "mend the plugin"
        )
    return adversarial_images.detach().to("cpu", memory_format=torch.contiguous_format)


def violations(
    images: Images, adversarial_images: Images, budget: Budget | None
) -> list[str | None]:
    """Say of each image why it can have no verdict, or None: not finite, out of range, over budget.

    The tolerance, for rounding, is :data:`bench.norms.TOLERANCE`.
    """
    perturbation = adversarial_images.double() - images.double()
    finite = adversarial_images.flatten(1).isfinite().all(1)
    lowest = adversarial_images.double().flatten(1).amin(1)
    highest = adversarial_images.double().flatten(1).amax(1)
    size = norms.measure(budget.norm, perturbation) if budget else None
    found: list[str | None] = []
    for i in range(len(images)):
        if not finite[i]:
            found.append("is not finite")
        elif lowest[i] < -norms.TOLERANCE or highest[i] > 1 + norms.TOLERANCE:
            found.append(f"leaves [0, 1]: {lowest[i]:.4g} to {highest[i]:.4g}")
        elif budget and size is not None and size[i] > budget.eps + norms.TOLERANCE:
            found.append(f"over budget: {budget.norm} {size[i]:.6g} > eps {budget.eps:.6g}")
        else:
            found.append(None)
    return found


def judge_attack(
    before: Verdict,
    after: Verdict,
    images: Images,
    adversarial_images: Images,
    labels: Labels,
    names: Sequence[str],
    *,
    target: int | None,
    budget: Budget | None,
    steps: Sequence[int | None],
) -> list[AttackRecord]:
    """Measure and judge adversarial images on the classifier that they were made on.

    Args:
        before: the classifier's verdict on the images before the attack.
        after: its verdict on the adversarial images.
        images, adversarial_images: float32, (image, channel, height, width), on the CPU.
        labels: true classes.
        names: of the images.
        target: the class that was aimed at, or None.
        budget: the ball that images must lie in, or None.
        steps: for each image, the model call at which the attack first saw it fooled, the number
            of calls if the final image must decide, or None where the attack is not traceable.

    """
    broken = violations(images, adversarial_images, budget)
    broken = _without_logits(broken, before, after)
    perturbation = adversarial_images.double() - images.double()
    sizes = {norm: norms.measure(norm, perturbation) for norm in NORMS}
    before_confidence, after_confidence = before.confidence(), after.confidence()
    target_confidence = None if target is None else after.probabilities[:, target]
    records = []
    for i, name in enumerate(names):
        valid = broken[i] is None
        finite = broken[i] != "is not finite"
        prediction = int(after.predictions[i])
        label = int(labels[i])
        fooled = prediction != label if target is None else prediction == target
        records.append(
            AttackRecord(
                image=name,
                label=label,
                target=target,
                clean_prediction=int(before.predictions[i]),
                clean_confidence=_finite(before_confidence[i]),
                prediction=prediction if valid else None,
                confidence=float(after_confidence[i]) if valid else None,
                target_confidence=_at(target_confidence, i) if valid else None,
                linf=_at(sizes["linf"], i) if finite else None,
                l2=_at(sizes["l2"], i) if finite else None,
                l1=_at(sizes["l1"], i) if finite else None,
                l0=_at(sizes["l0"], i) if finite else None,
                steps_to_success=steps[i] if valid and fooled else None,
                violation=broken[i],
                success=success_of(
                    label, target, int(before.predictions[i]), prediction if valid else None
                ),
            )
        )
    return records


@dataclass(frozen=True)
class Origin:
    """What the verdict on its source says of an adversarial image.

    ``success`` is None where the image was wrong before, or its class is the target; ``sizes`` are
    the norms of its perturbation, where they are finite.
    """

    success: bool | None
    violation: str | None
    sizes: Mapping[str, float | None]


def judge_transfer(
    classifier: Classifier,
    before: Verdict,
    adversarial_images: Images,
    source: Sequence[Origin],
    labels: Labels,
    names: Sequence[str],
    *,
    target: int | None,
) -> list[TransferRecord]:
    """Judge adversarial images on another classifier than they were made on.

    Args:
        before: the target classifier's verdict on the images before the attack.
        source: for each image, the verdict on the model that it was made on.

    """
    after = classify(classifier, adversarial_images)
    broken = _without_logits([origin.violation for origin in source], before, after)
    before_confidence, after_confidence = before.confidence(), after.confidence()
    target_confidence = None if target is None else after.probabilities[:, target]
    return [
        TransferRecord(
            image=name,
            label=int(labels[i]),
            target=target,
            source_success=source[i].success,
            clean_prediction=int(before.predictions[i]),
            clean_confidence=_finite(before_confidence[i]),
            prediction=int(after.predictions[i]) if broken[i] is None else None,
            confidence=float(after_confidence[i]) if broken[i] is None else None,
            target_confidence=_at(target_confidence, i) if broken[i] is None else None,
            **source[i].sizes,
            violation=broken[i],
        )
        for i, name in enumerate(names)
    ]


def _without_logits(
    broken: Sequence[str | None], before: Verdict, after: Verdict
) -> list[str | None]:
    """Add to violations the images whose logits are not finite though the image is."""
    finite = (before.probabilities + after.probabilities).isfinite().all(1)
    return [
        violation or (None if finite[i] else "the model's logits are not finite")
        for i, violation in enumerate(broken)
    ]


def _at(values: PerImage | None, position: int) -> float | None:
    return None if values is None else float(values[position])


def _finite(value: PerImage) -> float | None:
    return float(value) if value.isfinite() else None
