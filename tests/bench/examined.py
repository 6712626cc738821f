"""Tiny networks to examine: honest ones, and ones that break one part of their contract."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from bench.classifier.classifier import Classifier
from bench.referee.contract.answers import Check
from bench.referee.contract.examination import Model, examine

SHAPE = (3, 8, 8)


def network(classes: int = 4, width: int = 8) -> nn.Sequential:
    """A small convolutional network with what most have."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(width * 16, classes),
    )


def seeded(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """Build a network from a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


def images(count: int = 12) -> torch.Tensor:
    """Images as 8 bits hold them, with black margins as digits have."""
    drawn = torch.randint(0, 256, (count, *SHAPE), generator=torch.Generator().manual_seed(9))
    drawn[:, :, :2] = 0
    return drawn.float() / 255


def classifier_of(made: nn.Module) -> Classifier:
    return Classifier(made, (0.4, 0.5, 0.6), (0.3, 0.25, 0.2))


def model_of(make: Callable[[], nn.Module], classes: int = 4, **options: Any) -> Model:
    """What is examined of a network that can be built again and given its state dict."""
    first = classifier_of(seeded(make))

    def rebuilt() -> Classifier:
        again = seeded(make, 1)
        again.load_state_dict(first.network.state_dict())
        return classifier_of(again)

    def own() -> Classifier:
        return copy.deepcopy(first)

    given: dict[str, Any] = {"judged": own, "attacked": own, "plain": own, "rebuilt": rebuilt}
    return Model(**{**given, "classes": classes, **options})


def examined(make: Callable[[], nn.Module], classes: int = 4, **options: Any) -> dict[str, Check]:
    """The checks of a network, by name."""
    return {check.name: check for check in examine(model_of(make, classes, **options), images())}


def violated(make: Callable[[], nn.Module], classes: int = 4, **options: Any) -> set[str]:
    """The names of the checks that a network violates; all others were carried out."""
    checks = examined(make, classes, **options)
    assert not [check for check in checks.values() if check.state == "failed"], checks
    return {name for name, check in checks.items() if check.state == "violated"}
