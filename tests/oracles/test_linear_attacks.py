"""Closed-form truth: what FGSM and PGD must reach on a linear classifier of two classes.

For logits ``w . x + b``, moving each value by eps against the gradient changes the margin by
``eps * |w_other - w_label|_1``; that is the most that L-infinity allows. So an image falls exactly
where its margin is smaller, as long as no value meets 0 or 1.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench import referee
from bench.classifier import Classifier
from bench_plugins.attacks.table import FGSM, PGD

EPS = 0.03
COUNT = 200


@pytest.fixture(scope="module")
def linear() -> Classifier:
    torch.manual_seed(3)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    return Classifier(network, (0.5, 0.4, 0.3), (0.2, 0.3, 0.25))


def images_and_labels(classifier: Classifier) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    # room for eps on both sides of every value
    images = EPS + (1 - 2 * EPS) * torch.rand(COUNT, 3, 8, 8, generator=generator)
    with torch.no_grad():
        labels = classifier(images).argmax(1)
    return images, labels


def closed_form(classifier: Classifier, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Which images must fall within eps, in float64."""
    weight = classifier.network[1].weight.double().view(2, 3, 8, 8) / classifier.std.double()
    logits = (images.double() * weight[:, None]).sum((2, 3, 4)).T
    shift = (weight * classifier.mean.double()).sum((1, 2, 3))
    logits = logits - shift + classifier.network[1].bias.double()
    rows = torch.arange(len(labels))
    margin = logits[rows, labels] - logits[rows, 1 - labels]
    reach = EPS * (weight[0] - weight[1]).abs().sum()
    return margin < reach


@pytest.mark.parametrize("batch", [1, 32, COUNT])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize(
    "attack",
    [FGSM(eps=EPS), PGD(eps=EPS, alpha=0.01, steps=6), PGD(eps=EPS, alpha=EPS, steps=2)],
    ids=["fgsm", "pgd", "pgd in two steps"],
)
def test_success_is_what_geometry_says(linear, attack, batch: int, targeted: bool) -> None:
    images, labels = images_and_labels(linear)
    falls = closed_form(linear, images, labels)
    assert 0.1 < falls.float().mean() < 0.9  # an oracle that says yes or no to all tests nothing
    generator = torch.Generator().manual_seed(5)
    parts = []
    for start in range(0, COUNT, batch):
        part = slice(start, start + batch)
        targets = 1 - labels[part] if targeted else None
        parts.append(
            attack.perturb(linear, images[part], labels[part], targets=targets, generator=generator)
        )
    records = referee.judge_attack(
        linear,
        referee.classify(linear, images),
        images,
        torch.cat(parts),
        labels,
        [str(i) for i in range(COUNT)],
        target=None,
        budget=attack.budget,
        steps=[None] * COUNT,
    )
    assert all(record.violation is None for record in records)
    found = torch.tensor([record.prediction != record.label for record in records])
    assert torch.equal(found, falls)
