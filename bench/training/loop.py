"""A training as it goes: everything that changes from step to step, and its state in bytes.

The same network, images, recipe, seed, device and thread count give the same weights, bit for bit,
also where training went on from the state after any epoch.
"""

from __future__ import annotations

import contextlib
import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from bench.api.recipes import Recipe
from bench.classifier.layers import layer_weights
from bench.errors import explained
from bench.tensors import Images, Labels, Logits, Scalar
from bench.training.augmentation import augment
from bench.training.examples import Examples, shrunk, side_in
from bench.training.schedule import Epoch, kept, optimizer, scheduler

_DIVERGED = "the loss is not finite"


class DivergedError(ArithmeticError):
    """Training ran into a loss that is not finite."""


class StateError(ValueError):
    """A kept state does not belong to the training that is to go on from it."""


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


class TrainingLoop:
    """A training as it goes: all that changes from epoch to epoch."""

    def __init__(
        self, network: nn.Module, recipe: Recipe, count: int, seed: int, hooks: TrainingHooks | None
    ) -> None:
        self.network = network
        self.recipe = recipe
        self.optimizer = optimizer(network, recipe)
        steps = recipe.epochs * math.ceil(count / recipe.batch_size)
        self.scheduler = scheduler(self.optimizer, recipe, steps)
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
            pixels = self._adversarial_batch(examples, shrunk(pixels, side), labels)
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
                "torch": torch.get_rng_state(),
                "cuda": _cuda_states(self.network),
                "history": [epoch.plain() for epoch in self.history],
                "best": self.best,
            },
            sink,
        )
        return sink.getvalue()

    def resume(self, state: bytes) -> None:
        """Go on from what :meth:`state` wrote; nothing is unpickled but plain values."""
        with explained(lambda error: StateError(str(error))):
            self._restore(torch.load(io.BytesIO(state), weights_only=True))

    def _restore(self, known: dict[str, Any]) -> None:
        self.network.load_state_dict(known["network"])
        self.optimizer.load_state_dict(known["optimizer"])
        self.scheduler.load_state_dict(known["scheduler"])
        self.generator.set_state(known["generator"])
        torch.set_rng_state(known["torch"])
        if known["cuda"]:
            torch.cuda.set_rng_state_all(known["cuda"])
        names = [field.name for field in fields(Epoch)]
        self.history = [
            Epoch(**{name: values[name] for name in names}) for values in known["history"]
        ]
        self.best = known["best"]


def _cuda_states(network: nn.Module) -> list[torch.Tensor]:
    """Return the states of the GPUs' generators, where the network lies on one."""
    on_gpu = next(network.parameters()).device.type == "cuda"
    return torch.cuda.get_rng_state_all() if on_gpu else []


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
