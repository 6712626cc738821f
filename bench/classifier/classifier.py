"""The model as attacks see it: from pixels in [0, 1] to logits, frozen, counting its passes.

Normalisation lives inside, so eps is in pixels and nowhere else. This room does not know where
weights come from or what becomes of logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import nn

from bench import seeds
from bench.classifier import faults
from bench.classifier.faults import Model
from bench.classifier.passes import Passes, Trace
from bench.errors import ModelError, PluginError

if TYPE_CHECKING:
    from bench.records import Budget
    from bench.tensors import Images, Labels, Logits


def _is_equal(first: torch.Tensor, then: torch.Tensor) -> bool:
    """Whether two tensors hold the same values; what is no number is equal to its like."""
    if torch.equal(first, then):
        return True
    return first.is_floating_point() and bool(
        torch.allclose(first, then, rtol=0, atol=0, equal_nan=True)
    )


def _changed(first: dict[str, torch.Tensor], then: dict[str, torch.Tensor]) -> set[str]:
    """Name the tensors that differ, or are in one alone."""
    return {
        name
        for name in first.keys() | then.keys()
        if name not in first or name not in then or not _is_equal(first[name], then[name])
    }


def _is_near(first: object, then: object) -> bool:
    """Whether two answers are equal to rounding; what are no tensors, of one type."""
    if not isinstance(first, torch.Tensor) or not isinstance(then, torch.Tensor):
        return type(first) is type(then)
    return first.shape == then.shape and torch.allclose(
        first, then, rtol=1e-3, atol=1e-5, equal_nan=True
    )


class Pixels(nn.Module):
    """A network behind its normalisation: from pixels in [0, 1] to logits."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, network: nn.Module, mean: torch.Tensor, std: torch.Tensor, model: Model | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.model = model or Model()
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def forward(self, images: Images) -> Logits:
        """Return the logits of images, float32 in [0, 1]."""
        with self.model.named(images, self.mean):
            logits = self.network((images - self.mean) / self.std)
            checked: Logits = self.model.checked(logits, images, self.mean)
            return checked


class Classifier(nn.Module):
    """A network behind its normalisation and its shields, in eval mode, its weights frozen.

    Args:
        network: from normalised images to logits.
        mean, std: of each channel, for pixels in [0, 1]; std positive.
        shielded: makes of the network behind its normalisation what is asked instead of it.
        model: how errors name it.

    Attributes:
        forwards, backwards: images that went through, since :meth:`reset`.
        padding: how many images at the end of each batch only fill it up, and are not counted; set
            by a plugin that does so.
        stages: images, passes and seconds of each part of an attack; see :func:`bench.api.stage`.
        passes: of each image of a batch, where they are counted one by one.
        again: builds an equal one, to be asked whose fault an exception is.

    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        network: nn.Module,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        shielded: Callable[[nn.Module], nn.Module] | None = None,
        model: Model | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.model = model or Model()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)
        self.forwards = 0
        self.backwards = 0
        pixels = Pixels(network, self.mean, self.std, self.model)
        self.shield = None if shielded is None else shielded(pixels)
        self.again: Callable[[], Classifier] | None = None
        self._is_lent = False
        self._asked: Images | None = None
        self.padding = 0
        self.stages: dict[str, dict[str, float]] = {}
        self.passes: Passes | None = None
        self._trace: Trace | None = None
        self.requires_grad_(requires_grad=False)
        self.eval()

    def forward(self, images: Images) -> Logits:
        """Return the logits of images, float32 in [0, 1]."""
        asked = images.view_as(images) if images.requires_grad else images
        logits = self._plain(asked) if self.shield is None else self.shield(asked)
        self.forwards += len(images) - self.padding
        if logits.requires_grad:
            logits.register_hook(self._count_backward)
        if self.passes is not None:
            self._count_each(self.passes, asked, logits)
        if self._trace is not None:
            self._trace.note(logits.detach())
        return logits

    def _plain(self, images: Images) -> Logits:
        """Ask the network; while a plugin has it, that may have put in what raises."""
        if self._is_lent:
            self._asked = images.detach() if self.model.takes(images, self.mean) else self._asked
            logits = self.network((images - self.mean) / self.std)
        else:
            with self.model.named(images, self.mean):
                logits = self.network((images - self.mean) / self.std)
        checked: Logits = self.model.checked(logits, images, self.mean)
        return checked

    def _count_backward(self, gradient: torch.Tensor) -> None:
        self.backwards += len(gradient) - self.padding

    def _count_each(self, passes: Passes, asked: Images, logits: Logits) -> None:
        """Count the passes of each image; what only fills a batch up is nobody's."""
        rows = passes.rows(asked[: len(asked) - self.padding])
        passes.asked(asked, rows)
        if logits.requires_grad:
            logits.register_hook(lambda _: passes.followed(rows))  # type: ignore[no-untyped-call]
        if asked.requires_grad:
            asked.register_hook(lambda grad: passes.felt(grad, rows))  # type: ignore[no-untyped-call]

    def reset(self) -> None:
        """Set the counts of passes to zero."""
        self.forwards = self.backwards = 0
        self.stages = {}

    @contextmanager
    def tracing(self, labels: Labels, targets: Labels | None, *, on: bool) -> Iterator[Trace]:
        """Note at which call each image of a batch first fools the classifier, where it is on."""
        trace = Trace(labels, targets)
        self._trace = trace if on else None
        try:
            yield trace
        finally:
            self._trace = None

    @contextmanager
    def counting(self, images: Images, budget: Budget | None) -> Iterator[Passes]:
        """Count the passes of each image of a batch."""
        self.passes = passes = Passes(images, budget)
        try:
            yield passes
        finally:
            self.passes = None

    @contextmanager
    def guarded(self, culprit: str) -> Iterator[None]:
        """Detect weights or buffers that changed inside.

        Whatever else a plugin does to a classifier is undone by giving it one of its own. A network
        that changes them itself whenever it is asked is no fault of the plugin.

        Raises:
            PluginError: naming ``culprit``.
            ModelError: where the network itself changes what it computes with.

        """
        before = self._snapshot()
        self._is_lent = True
        try:
            with self._blaming():
                yield
        finally:
            self._is_lent = False
        changed = _changed(before, self._snapshot())
        if changed and not changed <= self._changed_by_itself():
            raise PluginError.of(
                culprit,
                "changed the weights or buffers of the classifier",
                "a classifier left as it was",
                "its images have no verdict; mend the plugin",
            )

    def _blaming(self) -> AbstractContextManager[None]:
        """Have an exception of a plugin name the model, where it is the model's own."""
        if self.again is None or self.model.image_shape is None:
            return nullcontext()
        grey = torch.full((2, *self.model.image_shape), 0.5, device=self.mean.device)
        return faults.blaming(
            self.again, lambda: grey if self._asked is None else self._asked, self.model.culprit
        )

    def _changed_by_itself(self) -> set[str]:
        """Name what changes of the network when it is simply asked, if its answers stay.

        Raises:
            ModelError: where they do not, or weights change.

        """
        if self.model.image_shape is None:
            return set()
        black = torch.zeros(2, *self.model.image_shape, device=self.mean.device)
        weights = {name for name, _ in (self.shield or self.network).named_parameters()}
        before = self._snapshot()
        with seeds.preserved(), torch.no_grad():
            first = self._asked_alone(black)
            changed = _changed(before, self._snapshot())
            again = self._asked_alone(black)
        if changed and (changed & weights or not _is_equal(first, again)):
            raise ModelError.of(
                self.model.culprit,
                f"changes its own weights or buffers when asked: {', '.join(sorted(changed)[:5])}",
                "a network that answers by its weights, in eval mode, and leaves them as they are",
                "make layers in __init__, and update state in training mode only",
            )
        return changed

    def answers_as(self, other: Classifier) -> bool:
        """Whether its network gives the answers of another's; true where nobody says to what.

        A copy whose hooks write into its original answers by what that was asked before: so both
        are asked two things.
        """
        if self.model.image_shape is None or self is other:
            return True
        shape = (2, *self.model.image_shape)
        images = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(self.mean.device)
        return all(_is_near(self._alone(each), other._alone(each)) for each in (images, 1 - images))

    def _alone(self, images: Images) -> object:
        """Ask the network by itself; None where it fails."""
        try:
            with seeds.forked(0), torch.no_grad(), self.model.named(images, self.mean):
                return self.network((images - self.mean) / self.std)
        except ModelError:
            return None

    def _asked_alone(self, images: Images) -> Logits:
        """Ask without counting."""
        with self.model.named(images, self.mean):
            normalised = (images - self.mean) / self.std
            logits: torch.Tensor = (
                self.network(normalised) if self.shield is None else self.shield(images)
            )
            return logits

    def _snapshot(self) -> dict[str, torch.Tensor]:
        return {name: held.clone() for name, held in self._held()}

    def _held(self) -> list[tuple[str, torch.Tensor]]:
        """Return the weights, the buffers, the normalisation and what shields hold."""
        whole = self.network if self.shield is None else self.shield
        state = whole.state_dict().items()
        tensors = [(name, value.detach()) for name, value in state if torch.is_tensor(value)]
        return [*tensors, ("mean", self.mean), ("std", self.std)]
