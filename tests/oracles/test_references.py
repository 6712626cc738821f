"""Whether the audit's reference finds what PGD misses on networks trained with single steps.

Such networks learn to lead small steps astray (Wong, Rice and Kolter 2020, "catastrophic
overfitting"). Networks that were trained otherwise are honest: PGD finds on them what there is.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from bench import registry
from bench.api import Attack
from bench.api.rules import POINTS
from bench.classifier.classifier import Classifier

JUDGED = 200


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Digits as large and as stark as those of MNIST, in one order."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = torch.tensor(found.images, dtype=torch.float32)[:, None] / 16
    images = functional.interpolate(images, size=(28, 28), mode="bilinear").clamp(0, 1)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return ((images - 0.35) * 2 + 0.35).clamp(0, 1)[order], torch.tensor(found.target)[order]


def trained(eps: float, step: float, epochs: int = 20) -> Classifier:
    """A small network, trained on images that one step from a random point made."""
    images, labels = (part[:1297] for part in digits())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            *(nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(32 * 49, 100), nn.ReLU(), nn.Linear(100, 10)),
        )
        optimizer = torch.optim.Adam(network.parameters(), 5e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=epochs * 13)
        for _ in range(epochs):
            for rows in torch.randperm(len(images)).split(100):
                x, y = images[rows], labels[rows]
                moved = ((torch.rand_like(x) * 2 - 1) * eps).requires_grad_()
                loss = functional.cross_entropy(network((x + moved).clamp(0, 1)), y)
                [slope] = torch.autograd.grad(loss, moved)
                moved = (moved.detach() + step * slope.sign()).clamp(-eps, eps)
                optimizer.zero_grad()
                functional.cross_entropy(network((x + moved).clamp(0, 1)), y).backward()
                optimizer.step()
                schedule.step()
    return Classifier(network, (0.0,), (1.0,))


def attack(name: str, **parameters: object) -> Attack:
    plugin = registry.load("attacks", name)(**parameters)
    assert isinstance(plugin, Attack)
    return plugin


def gap(classifier: Classifier, eps: float) -> float:
    """By which share of the images PGD falls short of itself and the reference together."""
    images, labels = (part[-JUDGED:] for part in digits())

    def left(plugin: Attack, rows: torch.Tensor) -> torch.Tensor:
        found = plugin.perturb(
            classifier, images[rows], labels[rows], generator=torch.Generator().manual_seed(0)
        )
        assert (found - images[rows]).abs().max() <= eps + 1e-6 or plugin.minimum_norm
        is_near = (found - images[rows]).abs().flatten(1).amax(1) <= eps + 1e-6
        with torch.no_grad():
            is_wrong = classifier(found).argmax(1) != labels[rows]
        return rows[~(is_wrong & is_near)]

    with torch.no_grad():
        right = (classifier(images).argmax(1) == labels).nonzero()[:, 0]
    after = left(attack("pgd", eps=eps, alpha=0.01, steps=40), right)
    kept = after
    for name in ("fmn", "auto_pgd", "square_attack"):
        made = registry.load("attacks", name).references(  # type: ignore[attr-defined]
            "linf", eps, classes=10, thorough=False, exact=True
        )
        for plugin in made.values():
            kept = left(plugin, kept) if len(kept) else kept
    return (len(after) - len(kept)) / len(right)


@pytest.mark.slow
def test_a_network_trained_with_single_steps_is_found_out() -> None:
    assert gap(trained(eps=0.3, step=0.375), 0.3) >= POINTS


@pytest.mark.slow
@pytest.mark.parametrize("eps", [0.03, 0.1])
def test_honest_networks_are_left_in_peace(eps: float) -> None:
    assert gap(trained(eps=0.0, step=0.0), eps) < POINTS / 2
    assert gap(trained(eps=0.1, step=0.1), eps) < POINTS / 2
