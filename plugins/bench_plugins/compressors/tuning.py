"""Training that goes on after a reduction. Nothing here knows what was reduced.

Zeros that a reduction made are held by the trainer, so that no step here has to.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from bench.api import Augmentation, FineTuning, Recipe
from bench.tensors import Logits, Scalar
from bench_plugins.attacked_batches import AttackedBatches


class TrainingOn(FineTuning):
    """The recipe of what trains on: the parameters of one, with a small learning rate."""

    epochs: int = Field(10, ge=1, le=10_000, description="passes over the training images")
    lr: float = Field(1e-4, gt=0, le=10, description="learning rate, the peak of a schedule")
    batch_size: int = Field(32, ge=2, le=65_536, description="images a step")
    optimizer: Literal["adamw", "adam", "sgd"] = Field("adam", description="as in a recipe")
    weight_decay: float = Field(0.0, ge=0, le=10, description="the optimizer's weight decay")
    scheduler: Literal["one_cycle", "cosine", "constant"] = Field(
        "constant", description="learning rate over the steps"
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="of the cross-entropy")
    augment: tuple[Augmentation, ...] = Field(
        (), description="on each training batch, as in a model's recipe"
    )

    @property
    def recipe(self) -> Recipe:
        """How the weights are trained on."""
        own = Recipe.model_fields.keys() & type(self).model_fields
        return Recipe(**{name: getattr(self, name) for name in own})


class FloatTraining(TrainingOn):
    """Training on of a network that computes with floats: with coarser ones, if asked."""

    precision: Literal["fp32", "bf16"] = Field("fp32", description="as in a model's recipe")


class FineTune(FloatTraining):
    """Train on from the weights there are, with a small learning rate.

    Source: Han et al., "Learning Both Weights and Connections for Efficient Neural Networks", 2015,
        section 3.3.
    Deviations: Adam in place of their stochastic gradient descent; dropout stays as it is.
    """


class Distill(FloatTraining):
    """Train on with the original as teacher: its probabilities are learned beside the labels.

    Both probabilities are softened by a temperature. What is minimised is ``weight`` times their
    divergence, times the temperature squared, which keeps its gradients as large as those of the
    cross-entropy that makes up the rest.

    Source: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015,
        section 2.
    Deviations: the Kullback-Leibler divergence in place of the cross-entropy with soft targets:
        another number, with the same gradients. The student begins with the weights there are.
    """

    uses_teacher: ClassVar[bool] = True

    temperature: float = Field(4.0, gt=0, le=1000, description="by which logits are divided")
    weight: float = Field(0.9, ge=0, le=1, description="of what the original teaches; labels: rest")

    def loss(self, logits: Logits, teacher_logits: Logits | None, plain: Scalar) -> Scalar:
        """Return the weighted sum of both parts."""
        from torch.nn.functional import kl_div, log_softmax

        if teacher_logits is None:
            raise ValueError("the original's logits are needed")
        soft = kl_div(
            log_softmax(logits / self.temperature, 1),
            log_softmax(teacher_logits / self.temperature, 1),
            reduction="batchmean",
            log_target=True,
        )
        return self.weight * self.temperature**2 * soft + (1 - self.weight) * plain


class AdversarialFinetune(AttackedBatches, FloatTraining):
    """Train on from the weights there are, on images that are attacked as they come.

    Both attacks maximise the cross-entropy within an l-infinity ball: from a random start in it,
    ``fgsm`` takes one step along the sign of the gradient, ``pgd`` several, each followed by a
    projection into the ball and into [0, 1].

    Source: Jeddi, Shafiee and Wong, "A Simple Fine-tuning Is All You Need: Towards Robust Deep
        Learning Via Adversarial Fine-tuning", 2020, section 3; the attacks: Madry et al., "Towards
        Deep Learning Models Resistant to Adversarial Attacks", 2018, section 3 (PGD); Wong, Rice
        and Kolter, "Fast Is Better than Free: Revisiting Adversarial Training", 2020, algorithm 3
        (FGSM with a random start, step 1.25 eps).
    Deviations: the learning rate follows ``scheduler``, not their slow start and fast decay. The
        network is in eval mode while it is attacked. The step of PGD is 2.5 eps / steps unless
        given.
    """
