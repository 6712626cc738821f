"""The trainer: the recipe is what happens, twice the same, also after an interruption."""

from __future__ import annotations

import copy
import io
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from bench import machine
from bench.api.recipes import PRESETS, Recipe
from bench.classifier import layers
from bench.errors import UsageError
from bench.training import examples, loop, schedule, trainer
from bench.training.augmentation import augment
from bench.training.loop import TrainingHooks
from bench.training.schedule import Epoch

MEAN, STD = (0.5,) * 3, (0.25,) * 3
OPTIMIZERS = ["adamw", "adam", "sgd"]
SCHEDULERS = ["one_cycle", "cosine", "constant"]


def data(count: int = 60, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    images = torch.rand(count, 3, 8, 8, generator=generator) * 0.3
    images[torch.arange(count), labels] += 0.5
    return images, labels


def hard(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images that are not distinguished at once, so that epochs differ in accuracy."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    images = torch.rand(count, 3, 8, 8, generator=generator) * 0.8
    images[torch.arange(count), labels] += 0.06
    return images, labels


def network(seed: int = 1) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(),
        nn.Linear(144, 3),
    )  # fmt: skip


def train(recipe: Recipe, seed: int = 5, **kwargs: Any) -> tuple[nn.Module, list[Epoch]]:
    images, labels = kwargs.pop("data", data())
    model = kwargs.pop("network", None) or network()
    history = trainer.train(model, images, labels, recipe, mean=MEAN, std=STD, seed=seed, **kwargs)
    return model, history


def same_weights(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def timeless(history: list[Epoch]) -> list[Epoch]:
    return [replace(epoch, seconds=0.0) for epoch in history]


ALL = Recipe(epochs=3, batch_size=16, augment=("flip", "affine", "colour_jitter"))


# The same again


def test_the_same_seed_gives_the_same_weights_and_another_gives_others() -> None:
    first, second, other = (train(ALL, seed)[0].state_dict() for seed in (5, 5, 6))
    assert same_weights(first, second)
    assert not same_weights(first, other)


def test_training_leaves_global_generators_alone() -> None:
    before = torch.get_rng_state()
    model = network()
    torch.set_rng_state(before)
    train(ALL, network=model)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_training_goes_on_from_any_epoch_as_if_nothing_had_been(optimizer, scheduler) -> None:
    """Weights, buffers and history, bit for bit: dropout, augmentation and patience included."""
    recipe = Recipe(
        epochs=5, batch_size=16, lr=0.01, optimizer=optimizer, scheduler=scheduler, patience=3,
        augment=("flip", "affine", "colour_jitter", "erasing", "cutmix"), label_smoothing=0.1,
    )  # fmt: skip
    images = {"data": hard(50, 1), "held_out": hard(30, 2)}  # 50 = 3 * 16 + 2
    states: list[bytes] = []
    whole, history = train(
        recipe, **images, progress=lambda reported: states.append(reported.state())
    )
    assert len(states) == len(history) >= 4
    for done, state in enumerate(states, 1):
        again: list[Epoch] = []
        resumed, reported = train(
            recipe, **images, network=network(99), state=state,
            progress=lambda one, again=again: again.append(one.epoch),
        )  # fmt: skip
        assert same_weights(resumed.state_dict(), whole.state_dict()), done
        assert timeless(reported) == timeless(history)
        assert reported[:done] == history[:done]  # their seconds too
        assert again == reported[done:]  # what was done before is not reported again
        assert not resumed.training


@pytest.mark.parametrize("part", ["network", "optimizer", "scheduler", "generator", "torch"])
def test_no_part_of_a_state_is_idle(part: str) -> None:
    """With that of another epoch in its place, the end is another: the test above can fail."""
    recipe = ALL.model_copy(update={"scheduler": "cosine"})
    states: list[bytes] = []
    whole, _ = train(recipe, progress=lambda reported: states.append(reported.state()))
    first, second = (torch.load(io.BytesIO(state), weights_only=True) for state in states[:2])
    sink = io.BytesIO()
    torch.save({**first, part: second[part]}, sink)
    mixed, _ = train(recipe, state=sink.getvalue())
    assert not same_weights(mixed.state_dict(), whole.state_dict())


# Epochs


def test_it_learns_and_reports_each_epoch() -> None:
    reported: list[schedule.Progress] = []
    model, history = train(Recipe(epochs=12, batch_size=16, lr=0.01), progress=reported.append)
    assert [progress.epoch for progress in reported] == history
    assert [epoch.epoch for epoch in history] == list(range(1, 13))
    assert history[-1].loss < history[0].loss
    assert {(epoch.valid_loss, epoch.valid_accuracy) for epoch in history} == {(None, None)}
    images, labels = data()
    assert not model.training
    assert (model((images - 0.5) / 0.25).argmax(1) == labels).float().mean() > 0.95


class Spy(nn.Module):
    """A linear model that remembers the batches it was trained on."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layer = nn.Linear(192, 3)
        self.seen: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen.append(images[:, 0, 0, 0].detach() * 0.25 + 0.5)
        return self.layer(images.flatten(1))


def test_an_epoch_sees_every_image_once() -> None:
    spy = Spy()
    images, _ = data()
    train(Recipe(epochs=2, batch_size=16), network=spy)
    seen = torch.cat(spy.seen)
    assert len(seen) == 2 * 60
    for epoch in seen.split(60):
        assert torch.allclose(epoch.sort().values, images[:, 0, 0, 0].sort().values, atol=1e-6)
    assert not torch.equal(seen[:60], seen[60:])  # in another order


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_optimizer_with_every_scheduler(optimizer: str, scheduler: str) -> None:
    recipe = Recipe(epochs=4, batch_size=16, lr=0.01, optimizer=optimizer, scheduler=scheduler)
    _, history = train(recipe)
    rates = [epoch.lr for epoch in history]
    if scheduler == "constant":
        assert rates == [0.01] * 4
    else:
        assert rates[-1] < 1e-4 < max(rates[:2])  # both end near zero
    assert history[-1].loss < history[0].loss


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_trains(preset: str) -> None:
    recipe = Recipe(preset=preset, epochs=2)
    assert train(recipe, held_out=data(12, 1) if recipe.patience else None)[1][-1].loss > 0


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_last_batch_of_one_is_left_out_and_the_schedule_goes_on(scheduler: str) -> None:
    """33 = 2 * 16 + 1; batch normalisation makes nothing of one image."""
    recipe = Recipe(epochs=3, batch_size=16, lr=0.01, optimizer="sgd", scheduler=scheduler)
    _, history = train(recipe, data=data(33))
    assert all(math.isfinite(epoch.loss) for epoch in history)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.01)
    plan = schedule.scheduler(optimizer, recipe, 9)  # three steps an epoch, the empty one too
    rates = []
    for step in range(1, 10):
        optimizer.step()
        plan.step()
        if step % 3 == 0:
            rates.append(plan.get_last_lr()[0])
    assert [epoch.lr for epoch in history] == rates
    spy = Spy()
    train(recipe, data=data(33), network=spy)
    assert [len(batch) for batch in spy.seen] == [16] * 6
    left = [set(torch.cat(spy.seen[i : i + 2]).tolist()) for i in (0, 2, 4)]
    assert len(set.intersection(*left)) < 32  # not the same image each time


def test_mean_loss_and_accuracy_are_those_of_the_images_that_were_seen() -> None:
    """One batch of 16, one of 4: each image counts once."""
    images, labels = data(20)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    recipe = Recipe(epochs=1, batch_size=16, lr=1e-9, optimizer="sgd", scheduler="constant")
    with torch.no_grad():
        logits = model((images - 0.5) / 0.25)  # at this rate nothing is learned
    _, (epoch,) = train(recipe, network=model, data=(images, labels))
    assert epoch.loss == pytest.approx(nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)
    assert epoch.accuracy == int((logits.argmax(1) == labels).sum()) / 20


# Steps, against a plain loop


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


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("name", [(), ("mixup",), ("cutmix",)])
def test_smoothed_and_mixed_targets_give_the_loss_and_the_step_of_the_closed_form(
    name: Any, smoothing: float
) -> None:
    """q = (1 - s) t + s / 3; the loss is -q log p, its gradient at the logits p - q."""
    images, labels = data(16)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    weight = model[1].weight.detach().clone().double()
    recipe = Recipe(
        epochs=1, batch_size=16, lr=0.1, optimizer="sgd", scheduler="constant", weight_decay=0,
        label_smoothing=smoothing, augment=name,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(5)  # the trainer's own: first the order, then this
    order = torch.randperm(16, generator=generator)
    pixels, targets = augment(images[order], labels[order], name, 3, generator)
    if targets.ndim == 1:
        targets = torch.eye(3)[targets]
    inputs = ((pixels - 0.5) / 0.25).flatten(1).double()
    q = (1 - smoothing) * targets.double() + smoothing / 3
    p = (inputs @ weight.T + model[1].bias.detach().double()).softmax(1)
    loss = -(q * p.log()).sum(1).mean()
    gradient = (p - q).T @ inputs / 16
    _, (epoch,) = train(recipe, network=model, data=(images, labels))
    assert epoch.loss == pytest.approx(loss.item(), rel=1e-5)
    # Nesterov's first step with momentum 0.9 is 1.9 gradients long
    assert torch.allclose(model[1].weight.double(), weight - 0.1 * 1.9 * gradient, atol=1e-5)


def test_a_loss_that_is_not_finite_is_reported() -> None:
    with pytest.raises(loop.DivergedError, match=r"epoch 1.*lower lr"):
        train(Recipe(epochs=1, lr=10, optimizer="sgd", scheduler="constant"), data=(
            data()[0] * float("inf"), data()[1],
        ))  # fmt: skip


# Images that grow


class AnySize(nn.Module):
    """Takes images of any size, and notes which it was trained on."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.convolution, self.linear = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3)
        self.seen: list[tuple[int, ...]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen.append(tuple(images.shape[2:]))
        return self.linear(self.convolution(images).mean((2, 3)))


@pytest.mark.parametrize(
    ("epochs", "sides"),
    [
        (1, [16]),
        (2, [12, 16]),
        (5, [8, 10, 12, 14, 16]),
        (10, [8, 8, 10, 10, 12, 12, 14, 14, 16, 16]),
    ],
)
def test_images_grow_to_their_full_size(epochs: int, sides: list[int]) -> None:
    model, images = AnySize(), torch.rand(16, 3, 24, 16)
    train(
        Recipe(epochs=epochs, batch_size=16, grow_from=8),
        network=model, data=(images, torch.arange(16) % 3),
    )  # fmt: skip
    assert model.seen == [(side * 3 // 2, side) for side in sides]


def test_a_shrunk_image_is_the_mean_of_what_each_pixel_covers() -> None:
    """Where half the side is left, antialiasing weighs four pixels a side: 1, 3, 3, 1 of 8."""
    images = torch.rand(2, 3, 16, 16)
    weights = torch.tensor([1.0, 3, 3, 1]) / 8
    kernel = (weights[:, None] * weights).expand(3, 1, 4, 4)
    slow = nn.functional.conv2d(images, kernel, stride=2, padding=1, groups=3)
    inner = slice(1, -1)
    assert torch.allclose(
        examples.shrunk(images, 8)[:, :, inner, inner], slow[:, :, inner, inner], atol=1e-6
    )


def test_growth_that_the_model_or_the_images_do_not_allow_is_reported() -> None:
    images = (torch.rand(16, 3, 16, 16), torch.arange(16) % 3)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(768, 3))

    class Strict(AnySize):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            assert images.shape[2] == 16, "16 pixels, please"
            return super().forward(images)

    for network, words in ((flat, "RuntimeError"), (Strict(), "AssertionError: 16 pixels, please")):
        reported = rf"does not take images of 8 x 8 pixels \({words}.*leave grow_from out"
        with pytest.raises(UsageError, match=reported):
            train(Recipe(epochs=5, grow_from=8), network=network, data=images)
    with pytest.raises(UsageError, match="16 pixels a side, expected at most 16"):
        train(Recipe(epochs=5, grow_from=17), network=AnySize(), data=images)


# Held-out images


def stopped(recipe: Recipe, seed: int) -> tuple[nn.Module, list[Epoch], list[dict[str, Any]]]:
    """Train with an eye on held-out images; return the weights after every epoch too."""
    model, weights = network(), []
    _, history = train(
        recipe, seed, network=model, data=hard(48, 1), held_out=hard(30, 2),
        progress=lambda _: weights.append(copy.deepcopy(model.state_dict())),
    )  # fmt: skip
    return model, history, weights


@pytest.mark.parametrize("patience", [1, 2, 4])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_training_stops_patience_epochs_after_the_best_and_keeps_it(patience, seed) -> None:
    recipe = Recipe(epochs=40, batch_size=16, lr=0.03, scheduler="constant", patience=patience)
    model, history, weights = stopped(recipe, seed)
    best = 0
    for i, epoch in enumerate(history):  # the rule, by hand
        known = history[best]
        if (epoch.valid_accuracy, -epoch.valid_loss) > (known.valid_accuracy, -known.valid_loss):
            best = i
        assert i - best < patience or i == len(history) - 1  # it went on no longer
    assert len(history) < 40  # or else nothing was stopped
    assert len(history) - 1 - best == patience
    assert schedule.kept(history, recipe) == best + 1
    assert same_weights(model.state_dict(), weights[best])
    assert not same_weights(model.state_dict(), weights[-1])
    model.eval()
    images, labels = hard(30, 2)
    right = (model((images - 0.5) / 0.25).argmax(1) == labels).float().mean()
    assert right == pytest.approx(history[best].valid_accuracy)


def test_what_is_reported_of_held_out_images_is_measured_on_all_of_them() -> None:
    """Without augmentation, dropout or smoothing; in batches of 16, 30 images are 16 and 14."""
    recipe = Recipe(
        epochs=1, batch_size=16, patience=1, label_smoothing=0.2, augment=("cutmix", "grey")
    )
    model, (epoch,), _ = stopped(recipe, 1)
    images, labels = hard(30, 2)
    with torch.no_grad():
        logits = model((images - 0.5) / 0.25)
    loss = nn.functional.cross_entropy(logits, labels)
    assert epoch.valid_loss == pytest.approx(loss.item(), rel=1e-5)
    assert epoch.valid_accuracy == pytest.approx((logits.argmax(1) == labels).float().mean().item())


def test_where_nothing_gets_better_the_first_epoch_is_kept() -> None:
    """Without a bias, and black after normalisation: every class is as likely, always."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3, bias=False))
    weights = []
    recipe = Recipe(epochs=20, batch_size=16, patience=3)
    _, history = train(
        recipe, network=model, held_out=(torch.full((9, 3, 8, 8), 0.5), torch.arange(9) % 3),
        progress=lambda _: weights.append(copy.deepcopy(model.state_dict())),
    )  # fmt: skip
    assert {epoch.valid_loss for epoch in history} == {history[0].valid_loss}
    assert len(history) == 1 + 3
    assert same_weights(model.state_dict(), weights[0])


@pytest.mark.parametrize(
    ("reported", "kept"),
    [
        ([(0.5, 1.0), (0.7, 2.0), (0.6, 0.1)], 2),  # accuracy decides, whatever the loss
        ([(0.5, 1.0), (0.7, 2.0), (0.7, 1.9)], 3),  # then the loss
        ([(0.7, 1.9), (0.7, 2.0), (0.5, 0.1)], 1),
        ([(0.7, 1.9), (0.7, 1.9), (0.7, 1.9)], 1),  # then the first
        ([(0.2, 3.0)], 1),
        ([], 0),
    ],
)
def test_which_epoch_is_kept(reported: list[tuple[float, float]], kept: int) -> None:
    history = [
        Epoch(i, 1.0, 0.5, 0.1, 0.0, valid_loss=loss, valid_accuracy=accuracy)
        for i, (accuracy, loss) in enumerate(reported, 1)
    ]
    assert schedule.kept(history, Recipe(patience=5)) == kept
    assert schedule.kept(history, Recipe()) == len(history)


def test_without_patience_nothing_is_selected_on_held_out_images() -> None:
    recipe = Recipe(epochs=6, batch_size=16, lr=0.03, scheduler="constant")
    alone, history = train(recipe, data=hard(48, 1))
    watched, reported = train(recipe, data=hard(48, 1), held_out=hard(30, 2))
    assert len(history) == len(reported) == 6
    assert same_weights(alone.state_dict(), watched.state_dict())
    assert schedule.kept(reported, recipe) == 6


def test_looking_at_held_out_images_changes_no_weight() -> None:
    """Until the training stops, epoch by epoch; augmentation and dropout draw as they did."""
    recipe = Recipe(epochs=4, batch_size=16, lr=0.01, augment=("flip", "mixup"))
    patient = recipe.model_copy(update={"patience": 10})
    one: list[Any] = []
    model = network()
    train(recipe, network=model, data=hard(48, 1),
          progress=lambda _: one.append(copy.deepcopy(model.state_dict())))  # fmt: skip
    _, _, other = stopped(patient, 5)
    assert len(one) == len(other) == 4
    assert all(same_weights(a, b) for a, b in zip(one, other, strict=True))


def test_patience_without_held_out_images_is_refused() -> None:
    """It would keep the first epoch's weights, and report it to nobody."""
    with pytest.raises(ValueError, match="held_out"):
        train(Recipe(epochs=3, batch_size=16, patience=1))


# Zeros that are held

WEIGHTS = ("0.weight", "5.weight")
HELD = TrainingHooks(holds_zeros=True)


def pruned(seed: int = 1) -> nn.Module:
    """A network of whose Conv and Linear weights every third is zero, some of the biases too."""
    model = network(seed)
    with torch.no_grad():
        for name in WEIGHTS:
            model.get_parameter(name).view(-1)[::3] = 0.0
        model.get_parameter("5.bias")[:1] = 0.0
    return model


def zeros(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: model.get_parameter(name).detach() == 0 for name in WEIGHTS}


@pytest.mark.parametrize(
    "given",
    [
        {"optimizer": "adam", "weight_decay": 0.0},
        {"optimizer": "adamw", "weight_decay": 0.5},
        {"optimizer": "sgd", "weight_decay": 0.1, "lr": 0.05},  # with momentum: see the recipe
        {"optimizer": "adam", "scheduler": "one_cycle", "patience": 2},
    ],
    ids=lambda given: f"{given['optimizer']}{'-patience' if 'patience' in given else ''}",
)
def test_zeros_that_are_held_stay_and_no_others_come(given: dict[str, Any]) -> None:
    recipe = Recipe(**{"epochs": 4, "batch_size": 16, "lr": 0.01, **given})
    more = {"held_out": hard(30, 2)} if recipe.patience else {}
    before = pruned()
    states: list[bytes] = []
    whole, history = train(
        recipe, network=pruned(), hooks=HELD, **more,
        progress=lambda reported: states.append(reported.state()),
    )  # fmt: skip
    for name, expected in zeros(before).items():
        weight = whole.get_parameter(name).detach()
        assert torch.equal(weight == 0, expected), name
        assert not torch.signbit(weight[expected]).any()  # or else each would cost a bit on disk
        assert (weight != before.get_parameter(name))[~expected].all()  # it was trained
    assert whole.get_parameter("5.bias")[0] != 0  # only weights are held
    for state in states[:-1]:
        resumed, _ = train(recipe, network=pruned(), hooks=HELD, state=state, **more)
        assert same_weights(resumed.state_dict(), whole.state_dict())
    # the same training without holding them, to the same length: the test above can fail
    loose, _ = train(recipe, network=pruned(), hooks=TrainingHooks(), **more)
    for name, expected in zeros(before).items():
        assert not (zeros(loose)[name] & expected).any()
    assert len(history) >= 2


def test_a_weight_that_layers_share_is_held_in_both() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(192, 192), nn.Linear(192, 192, bias=False)
            self.second.weight = self.first.weight
            self.last = nn.Linear(192, 3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            hidden = self.first(images.flatten(1)).relu()
            return self.last(self.second(hidden).relu())

    torch.manual_seed(0)
    model = Tied()
    with torch.no_grad():
        model.first.weight[:, ::2] = 0.0
    assert list(layers.layer_weights(model)) == ["first.weight", "last.weight"]
    train(Recipe(epochs=2, batch_size=16, lr=0.01), network=model, hooks=HELD)
    assert model.second.weight is model.first.weight
    assert (model.second.weight[:, ::2] == 0).all()
    assert (model.second.weight[:, 1::2] != 0).all()


def test_what_training_hooks_minimise_is_what_is_trained() -> None:
    """A teacher's logits are those of the same batch, normalised; no loss moves no weight."""
    teacher = network(7).eval().requires_grad_(requires_grad=False)
    seen: list[tuple[torch.Tensor, torch.Tensor | None]] = []

    def loss(logits: torch.Tensor, teacher_logits: torch.Tensor | None, plain: torch.Tensor) -> Any:
        seen.append((logits.detach(), teacher_logits))
        return 0 * plain if teacher_logits is None else (logits - teacher_logits).square().mean()

    recipe = Recipe(epochs=12, batch_size=20, lr=0.01, optimizer="adam", weight_decay=0)
    before = copy.deepcopy(network().state_dict())
    still, _ = train(recipe, hooks=TrainingHooks(loss=loss))
    for name, value in still.named_parameters():
        assert torch.equal(value, before[name]), name
    assert all(teacher_logits is None for _, teacher_logits in seen)
    seen.clear()
    train(recipe, hooks=TrainingHooks(loss=loss, teacher=teacher))
    apart = [float((logits - teacher_logits).square().mean()) for logits, teacher_logits in seen]
    assert sum(apart[-3:]) < sum(apart[:3]) / 2
    images, _ = data()
    rows = torch.cat(
        [teacher_logits for _, teacher_logits in seen[:3]]
    )  # one epoch: every image once
    known = teacher((images - 0.5) / 0.25)
    assert ((rows[:, None] - known).abs().amax(2).amin(1) < 1e-5).all()
    assert not any(p.grad is not None for p in teacher.parameters())


# Precision


def kinds_of_numbers(precision: Any) -> tuple[set[torch.dtype], set[torch.dtype], nn.Module]:
    """Train; return what the layers gave while training, what while judging, and the network."""
    model = network()
    seen: dict[bool, set[torch.dtype]] = {True: set(), False: set()}
    for layer in (model[0], model[-1]):
        layer.register_forward_hook(lambda m, _i, output: seen[m.training].add(output.dtype))
    recipe = Recipe(epochs=12, batch_size=16, lr=0.01, precision=precision, patience=12)
    train(recipe, network=model, held_out=data(12, 1))
    return seen[True], seen[False], model


def test_bf16_trains_in_bf16_and_nothing_else_does() -> None:
    trained, judged, half = kinds_of_numbers("bf16")
    assert trained == {torch.bfloat16}
    assert judged == {torch.float32}
    single_trained, single_judged, single = kinds_of_numbers("fp32")
    assert single_trained == single_judged == {torch.float32}
    assert {p.dtype for p in (*half.parameters(), *single.parameters())} == {torch.float32}
    assert not same_weights(half.state_dict(), single.state_dict())
    images, labels = data()
    half.eval()
    assert (half((images - 0.5) / 0.25).argmax(1) == labels).float().mean() > 0.95


# Rehearsal


def peak(recipe: Recipe, count: int) -> int | None:
    """Count what a rehearsal on so many images holds, its network included."""
    images, labels = data(count)
    with machine.peak_memory("cpu") as found:
        net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 1000), nn.Linear(1000, 3))
        trainer.rehearse(net, images, labels, recipe, mean=MEAN, std=STD, seed=1)
    return found.bytes


@pytest.mark.parametrize(("optimizer", "least", "most"), [("adam", 4, 4.1), ("sgd", 3, 5.1)])
def test_a_rehearsal_holds_weights_gradients_and_the_optimizer_s_state(
    optimizer: str, least: float, most: float
) -> None:
    """Adam keeps two numbers a weight; momentum one, and up to two while it takes its step."""
    weights = 4 * ((3 * 8 * 8 + 1) * 1000 + 1001 * 3)
    found = peak(Recipe(optimizer=optimizer, batch_size=2), 2)
    assert least * weights < found < most * weights


def test_a_rehearsal_grows_with_the_batch_not_with_the_images_or_the_epochs() -> None:
    small = peak(Recipe(batch_size=64), 64)
    assert peak(Recipe(batch_size=64, epochs=7), 640) == small
    assert peak(Recipe(batch_size=512), 640) > 1.5 * small


def test_a_rehearsal_takes_images_at_their_full_size_and_teachers_of_lessons() -> None:
    sides: list[int] = []

    def adversarial_batch(model: nn.Module, images: Any, labels: Any, *, generator: Any) -> Any:
        sides.append(images.shape[-1])
        return images

    asked: list[Any] = []
    pupil = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 3))

    def loss(logits: Any, teacher_logits: Any, plain: Any) -> Any:
        asked.append(teacher_logits)
        return plain

    recipe = Recipe(batch_size=4, epochs=50, grow_from=8, patience=3)
    images, labels = torch.rand(9, 3, 16, 16), torch.arange(9) % 3
    hooks = TrainingHooks(adversarial_batch, loss, copy.deepcopy(pupil))
    trainer.rehearse(pupil, images, labels, recipe, mean=MEAN, std=STD, seed=1, hooks=hooks)
    assert sides == [16, 16]
    assert [teacher_logits.shape for teacher_logits in asked] == [(4, 3), (4, 3)]


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_training_of_a_single_step_can_be_rehearsed_and_global_generators_stay(
    scheduler: str,
) -> None:
    """A rehearsal takes two steps, which the schedule has to allow."""
    recipe = Recipe(epochs=1, batch_size=8, scheduler=scheduler, augment=("flip", "cutmix"))
    net = network()  # with dropout
    before = torch.get_rng_state()
    trainer.rehearse(net, *data(8), recipe, mean=MEAN, std=STD, seed=1)
    assert torch.equal(before, torch.get_rng_state())
