"""The referee: norms, range, success; nothing repaired, and the same in any company."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.classifier.classifier import Classifier
from bench.errors import PluginError
from bench.records import AttackRecord, Budget
from bench.referee import attacks as referee

NAMES = [str(i) for i in range(6)]
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


class Brightest(nn.Module):
    """Predicts the brightest channel: a model whose predictions can be read off the pixels."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))


@pytest.fixture
def classifier() -> Classifier:
    return Classifier(Brightest(), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def image_of(channel: int) -> torch.Tensor:
    image = torch.full((3, 4, 4), 0.3)
    image[channel] = 0.5
    return image


def judge(classifier: Classifier, adversarial: torch.Tensor, **kwargs) -> list[AttackRecord]:
    images = torch.stack([image_of(int(label)) for label in LABELS])
    given = {"target": None, "budget": None, "steps": [None] * 6, **kwargs}
    before, after = (referee.classify(classifier, part) for part in (images, adversarial))
    return referee.judge_attack(before, after, images, adversarial, LABELS, NAMES, **given)


def originals() -> torch.Tensor:
    return torch.stack([image_of(int(label)) for label in LABELS])


def test_norms_are_measured_by_hand(classifier: Classifier) -> None:
    adversarial = originals()
    adversarial[0, 0, 0, 0] += 0.25
    adversarial[0, 1, 0, 0] -= 0.125
    adversarial[0, 2, 3, 3] += 0.0625
    record = judge(classifier, adversarial)[0]
    assert record.linf == pytest.approx(0.25, abs=1e-7)
    assert record.l1 == pytest.approx(0.25 + 0.125 + 0.0625, abs=1e-6)
    assert record.l2 == pytest.approx((0.25**2 + 0.125**2 + 0.0625**2) ** 0.5, abs=1e-6)
    assert record.l0 == 2  # pixels, not values
    assert judge(classifier, adversarial)[1].linf == 0


def test_success_is_judged_on_the_model(classifier: Classifier) -> None:
    adversarial = originals()
    adversarial[1] = image_of(2)
    record = judge(classifier, adversarial, steps=[5] * 6)[1]
    assert (record.clean_prediction, record.prediction) == (1, 2)
    assert record.steps_to_success == 5
    assert judge(classifier, adversarial, steps=[5] * 6)[0].steps_to_success is None
    targeted = judge(classifier, adversarial, steps=[5] * 6, target=2)
    # the images of class 2 are predicted as the target without any attack
    assert [record.steps_to_success for record in targeted] == [None, 5, 5, None, None, 5]
    softmax = torch.tensor([0.3, 0.3, 0.5], dtype=torch.float64).softmax(0)
    assert targeted[1].target_confidence == pytest.approx(softmax[2].item(), abs=1e-6)
    assert targeted[0].target_confidence == pytest.approx(softmax[0].item(), abs=1e-6)
    assert record.target_confidence is None


@pytest.mark.parametrize(
    ("value", "violation"),
    [
        (float("nan"), "is not finite"),
        (float("inf"), "is not finite"),
        (-1e-5, "leaves [0, 1]: -1e-05 to 0.5"),
        (1 + 1e-5, "leaves [0, 1]: 0.3 to 1"),
        (0.3 + 0.2 + 1e-5, "over budget: linf 0.20001 > eps 0.2"),
        (0.3 + 0.2 + 5e-7, None),  # within the tolerance of 1e-6
        (0.3, None),
    ],
)
def test_an_image_out_of_bounds_has_no_verdict(
    classifier: Classifier, value: float, violation: str | None
) -> None:
    adversarial = originals()
    adversarial[3, 1, 2, 2] = value
    records = judge(
        classifier,
        adversarial,
        budget=Budget("linf", 0.2 if violation is None or "over" in violation else 1.0),
    )
    assert records[3].violation == violation
    assert [record.violation for i, record in enumerate(records) if i != 3] == [None] * 5
    for name in ("prediction", "confidence", "steps_to_success"):
        if violation is not None:
            assert getattr(records[3], name) is None
    assert (records[3].linf is None) == (violation == "is not finite")


def test_a_verdict_does_not_depend_on_the_company() -> None:
    """Bit for bit: alone, in pairs, in a hundred; that is what batches of one size are for."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 256, 64),
        nn.ReLU(), nn.Linear(64, 10),
    ).to(memory_format=torch.channels_last)  # fmt: skip
    classifier = Classifier(network, (0.5,) * 3, (0.5,) * 3)
    images = torch.rand(100, 3, 16, 16)
    together = referee.classify(classifier, images).probabilities
    for size in (1, 2, 33, 64):
        apart = torch.cat(
            [referee.classify(classifier, part).probabilities for part in images.split(size)]
        )
        assert torch.equal(together, apart), size


def test_a_model_without_finite_logits_never_looks_robust() -> None:
    class Broken(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits = images.mean((2, 3))
            return logits / (logits[:, :1] < 0.45)  # infinite for images of channel 0

    broken = Classifier(Broken(), (0.0,) * 3, (1.0,) * 3)
    records = judge(broken, originals())
    assert [record.violation is None for record in records] == [False, True, True] * 2
    assert records[0].violation == "the model's logits are not finite"
    with pytest.raises(PluginError, match="not finite"):
        referee.evaluate(referee.classify(broken, originals()), LABELS, NAMES)


@pytest.mark.parametrize(
    "returned",
    [None, torch.zeros(2, 3, 4, 3), torch.zeros(1, 3, 4, 4), torch.zeros(2, 3, 4, 4).double(), [1]],
    ids=["nothing", "shape", "count", "dtype", "list"],
)
def test_what_is_no_batch_of_images_is_refused(returned: object) -> None:
    with pytest.raises(PluginError, match="attack x: returned"):
        referee.check_form(returned, torch.zeros(2, 3, 4, 4), "attack x")


def test_logits_must_be_of_images_and_classes() -> None:
    flat = Classifier(nn.Flatten(0), (0.0,) * 3, (1.0,) * 3)
    with pytest.raises(PluginError, match="expected logits"):
        referee.classify(flat, torch.rand(2, 3, 4, 4))
