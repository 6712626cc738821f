"""The trainer: the recipe is what happens, twice the same, and augmentation stays in range."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from bench import training
from bench.recipes import Recipe


def data(count: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 3
    images = torch.rand(count, 3, 8, 8, generator=generator) * 0.3
    images[torch.arange(count), labels] += 0.5
    return images, labels


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(),
        nn.Linear(144, 3),
    )  # fmt: skip


def train(recipe: Recipe, seed: int = 5, **kwargs) -> tuple[nn.Module, list[training.Epoch]]:
    images, labels = kwargs.pop("data", data())
    model = kwargs.pop("network", None) or network()
    history = training.train(
        model, images, labels, recipe, mean=(0.5,) * 3, std=(0.25,) * 3, seed=seed, **kwargs
    )
    return model, history


ALL = Recipe(epochs=3, batch_size=16, augment=("flip", "affine", "colour_jitter"))


def test_the_same_seed_gives_the_same_weights_and_another_gives_others() -> None:
    first, second, other = (train(ALL, seed)[0].state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_training_leaves_global_generators_alone() -> None:
    before = torch.get_rng_state()
    model = network()
    torch.set_rng_state(before)
    train(ALL, network=model)
    assert torch.equal(torch.get_rng_state(), before)


def test_it_learns_and_tells_each_epoch() -> None:
    told: list[training.Epoch] = []
    model, history = train(Recipe(epochs=12, batch_size=16, lr=0.01), progress=told.append)
    assert told == history
    assert [epoch.number for epoch in history] == list(range(1, 13))
    assert history[-1].loss < history[0].loss
    images, labels = data()
    assert not model.training
    assert (model((images - 0.5) / 0.25).argmax(1) == labels).float().mean() > 0.95


def test_an_epoch_sees_every_image_once() -> None:
    class Spy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(192, 3)
            self.seen: list[torch.Tensor] = []

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.seen.append(images[:, 0, 0, 0].detach().clone())
            return self.layer(images.flatten(1))

    spy = Spy()
    images, _ = data()
    train(Recipe(epochs=2, batch_size=16), network=spy)
    seen = torch.cat(spy.seen) * 0.25 + 0.5
    assert len(seen) == 2 * 60
    for epoch in seen.split(60):
        assert torch.allclose(epoch.sort().values, images[:, 0, 0, 0].sort().values, atol=1e-6)
    assert not torch.equal(seen[:60], seen[60:])  # in another order


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("scheduler", ["one_cycle", "cosine", "constant"])
def test_every_optimizer_with_every_scheduler(optimizer: str, scheduler: str) -> None:
    recipe = Recipe(epochs=4, batch_size=16, lr=0.01, optimizer=optimizer, scheduler=scheduler)
    _, history = train(recipe)
    rates = [epoch.lr for epoch in history]
    if scheduler == "constant":
        assert rates == [0.01] * 4
    else:
        assert rates[-1] < 1e-4 < max(rates[:2])  # both end near zero
    assert history[-1].loss < history[0].loss


def test_the_first_step_is_torch_s_own() -> None:
    """One full batch, no dropout: what a plain loop makes of it."""
    images, labels = data(16)
    ours = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    theirs = copy.deepcopy(ours)
    recipe = Recipe(
        epochs=1, batch_size=16, lr=0.1, optimizer="sgd", scheduler="constant",
        weight_decay=0.01, label_smoothing=0.1,
    )  # fmt: skip
    train(recipe, network=ours, data=(images, labels))
    optimizer = torch.optim.SGD(
        theirs.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01
    )
    loss = nn.functional.cross_entropy(theirs((images - 0.5) / 0.25), labels, label_smoothing=0.1)
    loss.backward()
    optimizer.step()
    for mine, plain in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(mine, plain, atol=1e-6)


def test_a_loss_that_is_not_finite_is_told() -> None:
    with pytest.raises(training.DivergedError, match=r"epoch 1.*lower lr"):
        train(Recipe(epochs=1, lr=10, optimizer="sgd", scheduler="constant"), data=(
            data()[0] * float("inf"), data()[1],
        ))  # fmt: skip


@pytest.mark.parametrize("name", ["flip", "affine", "colour_jitter"])
def test_augmentation_stays_in_range_and_changes_images_each_in_its_own_way(name: str) -> None:
    image = data(1)[0]
    images = image.expand(32, -1, -1, -1)
    made = training.augment(images, (name,), torch.Generator().manual_seed(0))
    assert made.shape == images.shape
    assert made.min() >= 0
    assert made.max() <= 1
    different = len({tuple(one.flatten().tolist()) for one in made})
    assert different == 2 if name == "flip" else different == 32
    assert torch.equal(images, image.expand(32, -1, -1, -1))  # the originals are untouched


def test_flip_mirrors_left_and_right() -> None:
    images = data(40)[0]
    made = training.augment(images, ("flip",), torch.Generator().manual_seed(0))
    mirrored = (made == images.flip(3)).flatten(1).all(1)
    same = (made == images).flatten(1).all(1)
    assert (mirrored ^ same).all()
    assert 5 < mirrored.sum() < 35  # a fair coin, forty times
