"""The trainer: carries out a recipe on whole batches of tensors.

The same network, images, recipe, seed, device and thread count give the same weights, bit for bit,
also where training went on from the state after any epoch. The trainer does not know what the
weights are for, nor where states are kept.
"""

from __future__ import annotations

import contextlib
import io
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from bench import seeds
from bench.api.recipes import Recipe
from bench.classifier.layers import layer_weights
from bench.errors import UsageError
from bench.records import JSON
from bench.tensors import Images, Labels, Logits, Scalar
from bench.training.augmentation import augment

_DIVERGED = "the loss is not finite"
_STAGES = 5
"""Of the size of images, in a recipe that has them grow."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training images.

    ``loss`` and ``accuracy`` are means over the augmented batches, ``valid_loss`` and
    ``valid_accuracy`` those on the held-out images after it, None where nothing is held out.
    """

    epoch: int
    loss: float
    accuracy: float
    lr: float
    seconds: float
    valid_loss: float | None = None
    valid_accuracy: float | None = None

    def plain(self) -> dict[str, JSON]:
        """Return plain values, for a summary."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Progress:
    """What the trainer tells after each epoch.

    ``state`` writes all that going on from here needs, as bytes; called only where it is wanted.
    """

    epoch: Epoch
    state: Callable[[], bytes]


class DivergedError(ArithmeticError):
    """Training ran into a loss that is not finite."""


class StateError(ValueError):
    """A kept state does not belong to the training that is to go on from it."""


@dataclass(frozen=True)
class Examples:
    """Labelled images, float32 in [0, 1], and the normalisation of each channel."""

    images: Images
    labels: Labels
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def to(self, device: torch.device) -> Examples:
        """Return them on a device."""
        return Examples(self.images.to(device), self.labels.to(device), self.mean, self.std)

    def normalised(self, images: Images) -> torch.Tensor:
        """Subtract the mean and divide by the spread of each channel."""
        centre = torch.tensor(self.mean, device=images.device).view(1, -1, 1, 1)
        spread = torch.tensor(self.std, device=images.device).view(1, -1, 1, 1)
        return (images - centre) / spread


def train(
    network: nn.Module,
    images: Images,
    labels: Labels,
    recipe: Recipe,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    seed: int,
    held_out: tuple[Images, Labels] | None = None,
    hooks: TrainingHooks | None = None,
    state: bytes | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> list[Epoch]:
    """Train a network in place.

    Args:
        network: from normalised images to logits; left in eval mode.
        images: float32 in [0, 1], on the CPU.
        labels: their classes.
        recipe: what to do.
        mean, std: of each channel, subtracted and divided after augmentation.
        seed: of the order of images, of augmentation and of dropout.
        held_out: what a recipe with ``patience`` stops and selects on; asked for by such only.
        hooks: what departs from plain training.
        state: what a :class:`Progress` of the same training wrote; goes on from there.
        progress: called after each epoch.

    Raises:
        DivergedError: where the loss is not finite.
        StateError: where ``state`` is not of this training; the network is spoiled then.
        UsageError: where the network does not take the images that the recipe has it begin with.

    """
    if recipe.patience is not None and held_out is None:
        raise ValueError("a recipe with patience needs held_out images to look at")
    if len(images) < 2:  # noqa: PLR2004 (batch normalisation needs two)
        raise ValueError(f"{len(images)} training images, expected two or more")
    device = next(network.parameters()).device
    examples = Examples(images, labels, mean, std).to(device)
    watched = None if held_out is None else Examples(*held_out, mean, std).to(device)
    with seeds.forked(seed):
        loop = _TrainingLoop(network, recipe, len(images), seed, hooks)
        _check_growing(network, examples, recipe)
        if state is not None:
            loop.resume(state)
        while loop.goes_on:
            epoch = loop.advance(examples, watched)
            progress(Progress(epoch, loop.state))
    loop.conclude()
    return loop.history


def rehearse(
    network: nn.Module,
    images: Images,
    labels: Labels,
    recipe: Recipe,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    seed: int,
    hooks: TrainingHooks | None = None,
) -> None:
    """Take two of a training's steps on its first batch, to see what a step needs.

    Two, since from the second on a step holds the optimizer's state; on images at their full size,
    also where the recipe has them grow. Arguments as of :func:`train`; the network is spoiled.
    """
    device = next(network.parameters()).device
    batch = slice(recipe.batch_size)
    examples = Examples(images[batch], labels[batch], mean, std).to(device)
    full = recipe.model_copy(update={"grow_from": None})
    with seeds.forked(seed):
        loop = _TrainingLoop(network, full, len(images), seed, hooks)
        for _ in range(2):
            loop.step_through(examples)


@dataclass(frozen=True)
class TrainingHooks:
    """What departs from plain training.

    Attributes:
        adversarial_batch: makes of each augmented batch what is learned from: as
            :meth:`bench.api.Tuning.adversarial_batch`.
        loss: makes of the recipe's loss what is minimised: as :meth:`bench.api.Tuning.loss`.
        teacher: a network, frozen, whose logits ``loss`` is given.
        holds_zeros: weights of Conv and Linear layers that are zero at the start stay so.

    """

    adversarial_batch: Callable[..., Images] | None = None
    loss: Callable[[Logits, Logits | None, Scalar], Scalar] | None = None
    teacher: nn.Module | None = None
    holds_zeros: bool = False


class _AsPixels(nn.Module):
    """A network in training as an attack sees it: from pixels in [0, 1] to logits."""

    def __init__(self, network: nn.Module, examples: Examples) -> None:
        super().__init__()
        self.network = network
        self.examples = examples

    def forward(self, images: Images) -> torch.Tensor:
        """Return the logits of images."""
        logits: torch.Tensor = self.network(self.examples.normalised(images))
        return logits


class _TrainingLoop:
    """A training as it goes: all that changes from epoch to epoch."""

    def __init__(
        self, network: nn.Module, recipe: Recipe, count: int, seed: int, hooks: TrainingHooks | None
    ) -> None:
        self.network = network
        self.recipe = recipe
        self.optimizer = _optimizer(network, recipe)
        steps = recipe.epochs * math.ceil(count / recipe.batch_size)
        self.scheduler = _scheduler(self.optimizer, recipe, steps)
        self.generator = torch.Generator().manual_seed(seed)
        self.history: list[Epoch] = []
        self.best: dict[str, torch.Tensor] | None = None
        self.hooks = TrainingHooks() if hooks is None else hooks
        # which weights are to stay at zero
        weights = layer_weights(network).values() if self.hooks.holds_zeros else ()
        self.held = [(weight, weight.detach() == 0) for weight in weights]

    @property
    def goes_on(self) -> bool:
        """Whether there is another epoch."""
        done = len(self.history)
        patience = self.recipe.patience
        if patience is not None and done - kept(self.history, self.recipe) >= patience:
            return False
        return done < self.recipe.epochs

    def advance(self, examples: Examples, watched: Examples | None) -> Epoch:
        """Train one epoch, and look at the held-out images if there are any."""
        started = time.perf_counter()
        loss, accuracy = self.step_through(examples)
        number = len(self.history) + 1
        if not math.isfinite(loss):
            raise DivergedError(f"{_DIVERGED} in epoch {number}: lower lr in the recipe")
        held = (None, None) if watched is None else _judge(self.network, watched, self.recipe)
        lr = float(self.scheduler.get_last_lr()[0])
        epoch = Epoch(number, loss, accuracy, lr, time.perf_counter() - started, *held)
        self.history.append(epoch)
        if self.recipe.patience is not None and kept(self.history, self.recipe) == number:
            self.best = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        return epoch

    def step_through(self, examples: Examples) -> tuple[float, float]:
        """Take the optimizer's steps over all images; return mean loss and share right."""
        recipe, device = self.recipe, examples.labels.device
        classes = _classes(self.network, examples)
        side = side_in(recipe, len(self.history) + 1, min(examples.images.shape[2:]))
        order = torch.randperm(len(examples.images), generator=self.generator).to(device)
        total = torch.zeros((), device=device)
        right = torch.zeros((), device=device)
        seen = 0
        self.network.train()
        for batch in order.split(recipe.batch_size):  # type: ignore[no-untyped-call]
            if len(batch) == 1:  # batch normalisation needs two
                self.scheduler.step()
                continue
            labels = examples.labels[batch]
            pixels, targets = augment(
                examples.images[batch], labels, recipe.augment, classes, self.generator
            )
            pixels = self._adversarial_batch(examples, _shrunk(pixels, side), labels)
            shown = examples.normalised(pixels)
            with _precision(recipe, device):
                logits = self.network(shown)
            logits = logits.float()
            loss = functional.cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing)
            loss = self._loss(shown, logits, loss)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self._zero()
            self.scheduler.step()
            total += loss.detach() * len(batch)
            right += (logits.argmax(1) == labels).sum()
            seen += len(batch)
        self.network.eval()
        return total.item() / seen, right.item() / seen

    def _loss(self, shown: torch.Tensor, logits: Logits, plain: Scalar) -> Scalar:
        """Return what is minimised on a batch."""
        if self.hooks.loss is None:
            return plain
        teacher_logits = None
        if self.hooks.teacher is not None:
            with torch.no_grad():
                teacher_logits = self.hooks.teacher(shown).float()
        return self.hooks.loss(logits, teacher_logits, plain)

    @torch.no_grad()
    def _zero(self) -> None:
        """Put the weights that are to stay at zero back there: without a sign, or it is stored."""
        for weight, is_zero in self.held:
            weight.masked_fill_(is_zero, 0.0)

    def _adversarial_batch(self, examples: Examples, pixels: Images, labels: Labels) -> Images:
        """Attack a batch on the network as it stands, in eval mode."""
        if self.hooks.adversarial_batch is None:
            return pixels
        self.network.eval()
        attacked = self.hooks.adversarial_batch(
            _AsPixels(self.network, examples), pixels, labels, generator=self.generator
        )
        self.network.train()
        return attacked.detach()

    def conclude(self) -> None:
        """Put the best epoch's weights back, where the recipe selects."""
        if self.best is not None:
            self.network.load_state_dict(self.best)
        self.network.eval()

    def state(self) -> bytes:
        """Write everything that the next epoch depends on."""
        sink = io.BytesIO()
        torch.save(
            {
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scheduler": self.scheduler.state_dict(),
                "generator": self.generator.get_state(),
                "random": torch.get_rng_state(),
                "cuda": _cuda_states(self.network),
                "history": [epoch.plain() for epoch in self.history],
                "best": self.best,
            },
            sink,
        )
        return sink.getvalue()

    def resume(self, state: bytes) -> None:
        """Go on from what :meth:`state` wrote; nothing is unpickled but plain values."""
        try:
            self._restore(torch.load(io.BytesIO(state), weights_only=True))
        except Exception as error:  # a state of another version can break in many ways
            raise StateError(str(error)) from error

    def _restore(self, known: dict[str, Any]) -> None:
        self.network.load_state_dict(known["network"])
        self.optimizer.load_state_dict(known["optimizer"])
        self.scheduler.load_state_dict(known["scheduler"])
        self.generator.set_state(known["generator"])
        torch.set_rng_state(known["random"])
        if known["cuda"]:
            torch.cuda.set_rng_state_all(known["cuda"])
        names = [field.name for field in fields(Epoch)]
        self.history = [Epoch(**{name: told[name] for name in names}) for told in known["history"]]
        self.best = known["best"]


def _cuda_states(network: nn.Module) -> list[torch.Tensor]:
    """Return the states of the GPUs' generators, where the network lies on one."""
    on_gpu = next(network.parameters()).device.type == "cuda"
    return torch.cuda.get_rng_state_all() if on_gpu else []


def kept(history: Sequence[Epoch], recipe: Recipe) -> int:
    """Return the number of the epoch whose weights are kept: the best, or the last; 0 of none."""
    if recipe.patience is None or not history:
        return len(history)
    return max(history, key=_merit).epoch


def side_in(recipe: Recipe, epoch: int, full: int) -> int:
    """Return the shorter side of the images of an epoch, counted from 1, in pixels.

    Sides grow in equal steps, each for as many epochs, and the last epochs see ``full``, the side
    of the images as they are.

    Source: Tan and Le, "EfficientNetV2: Smaller Models and Faster Training", 2021, section 4.2.
    Deviation: augmentation stays as it is.
    """
    if recipe.grow_from is None:
        return full
    ahead = (recipe.epochs - epoch) * _STAGES // recipe.epochs
    return full - round((full - recipe.grow_from) * ahead / (_STAGES - 1))


def _shrunk(images: Images, side: int) -> Images:
    """Return images whose shorter side has so many pixels; themselves, if it has."""
    full = min(images.shape[2:])
    if side == full:
        return images
    size = [round(length * side / full) for length in images.shape[2:]]
    return functional.interpolate(images, size, mode="bilinear", antialias=True).clamp(0, 1)


def _check_growing(network: nn.Module, examples: Examples, recipe: Recipe) -> None:
    """Refuse to begin with images that are larger than those there are, or that do not fit."""
    if recipe.grow_from is None:
        return
    where, full = f"grow_from: {recipe.grow_from}", min(examples.images.shape[2:])
    if recipe.grow_from > full:
        raise UsageError.of(where, f"the images have {full} pixels a side", f"at most {full}")
    small = _shrunk(examples.images[:1], recipe.grow_from)
    try:
        with torch.no_grad():
            network.eval()(examples.normalised(small))
    except Exception as error:  # a network may refuse a size in its own words
        size = f"{small.shape[2]} x {small.shape[3]}"
        words = str(error).partition("\n")[0]
        raise UsageError.of(
            where,
            f"the model does not take images of {size} pixels ({type(error).__name__}: {words})",
            "a model that takes images of any size",
            "leave grow_from out of its recipe",
        ) from error


def _merit(epoch: Epoch) -> tuple[float, float]:
    """Order epochs by accuracy on the held-out images, then by loss there."""
    accuracy, loss = epoch.valid_accuracy, epoch.valid_loss
    return (-1.0 if accuracy is None else accuracy, -math.inf if loss is None else -loss)


def _classes(network: nn.Module, examples: Examples) -> int:
    """Count the logits."""
    with torch.no_grad():
        network.eval()
        logits: torch.Tensor = network(examples.normalised(examples.images[:1]))
    return logits.shape[1]


def _precision(recipe: Recipe, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    if recipe.precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


@torch.no_grad()
def _judge(network: nn.Module, watched: Examples, recipe: Recipe) -> tuple[float, float]:
    """Return the loss and the accuracy on held-out images."""
    network.eval()
    logits = torch.cat(
        [
            network(watched.normalised(batch)).float()
            for batch in watched.images.split(recipe.batch_size)  # type: ignore[no-untyped-call]
        ]
    )
    loss = functional.cross_entropy(logits, watched.labels)
    return loss.item(), (logits.argmax(1) == watched.labels).float().mean().item()


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    parameters = network.parameters()
    match recipe.optimizer:
        case "adamw":
            return torch.optim.AdamW(
                parameters, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
            )
        case "adam":
            return torch.optim.Adam(
                parameters, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
            )
        case "sgd":
            return torch.optim.SGD(
                parameters,
                lr=recipe.lr,
                momentum=0.9,
                nesterov=True,
                weight_decay=recipe.weight_decay,
            )


def _scheduler(
    optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    match recipe.scheduler:
        case "one_cycle":
            return torch.optim.lr_scheduler.OneCycleLR(
                optimizer, max_lr=recipe.lr, total_steps=steps + 1, cycle_momentum=False
            )
        case "cosine":
            return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
        case "constant":
            return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
