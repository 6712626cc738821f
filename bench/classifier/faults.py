"""Whose fault an exception is: a model's own, or that of the plugin that asked it.

A plugin fails where a network fails within it. So the network is asked by itself: what it does then
is its own, and its error names the model. This room does not know what plugins do.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from bench import seeds
from bench.errors import BenchError, ModelError, explained, named_shortly

if TYPE_CHECKING:
    from bench.tensors import Images

_Module = TypeVar("_Module", bound=nn.Module)

_OF_GRADIENTS = ("grad", "nonetype", "inference tensor", "differentia")
"""What stands in errors of those who were given no gradient."""

_MEND = "mend the model's code; the attack, explainer or compressor did nothing wrong"


def is_scripted(network: nn.Module) -> bool:
    """Whether weights lie in modules of torch.jit, whose layers cannot be seen or changed."""
    return any(
        isinstance(part, torch.jit.ScriptModule) and next(part.parameters(), None) is not None
        for part in network.modules()
    )


def check_layers(network: nn.Module, culprit: str) -> None:
    """Refuse a network whose layers cannot be seen.

    Raises:
        ModelError: naming the model.

    """
    if is_scripted(network):
        raise ModelError.of(
            culprit,
            "is a scripted module (torch.jit), whose layers cannot be seen or changed",
            "the torch.nn.Module itself",
            "return it without torch.jit.script or trace; attacks take scripted ones, too",
        )


def failed(culprit: str, what: str, error: BaseException) -> BenchError:
    """Return the error of a network that raised something."""
    words = f"{what}: {named_shortly(error)}"
    if isinstance(error, torch.OutOfMemoryError):
        return ModelError.of(culprit, words, "memory for a batch", "lower 'run.batch_size'")
    return ModelError.of(culprit, words, "a network that takes the dataset's images", _MEND)


@dataclass(frozen=True)
class Model:
    """How errors name a model, and what images it takes: None where nobody says."""

    culprit: str = "model"
    image_shape: tuple[int, int, int] | None = None

    @contextmanager
    def named(self, images: Images, like: torch.Tensor) -> Iterator[None]:
        """Have what a network raises name the model, if it was given images of the data.

        Raises:
            ModelError: where it was; else whoever asked is at fault, and the exception passes.

        """
        try:
            yield
        except (Exception, SystemExit) as error:
            if not isinstance(error, BenchError) and self.takes(images, like):
                raise failed(self.culprit, "fails in its forward pass", error) from error
            raise

    def takes(self, images: Images, like: torch.Tensor) -> bool:
        """Whether images are as the data's: else whoever asks is at fault."""
        return (
            isinstance(images, torch.Tensor)
            and (images.dtype, images.device) == (like.dtype, like.device)
            and len(images) > 0
            and tuple(images.shape[1:]) == self.image_shape
        )

    def checked(self, logits: Any, images: Images, like: torch.Tensor) -> Any:
        """Check that a network answered images of the data with logits.

        Raises:
            ModelError: where it did not.

        """
        if self.takes(images, like) and (
            not isinstance(logits, torch.Tensor)
            or logits.ndim != 2  # noqa: PLR2004 (image, class)
            or len(logits) != len(images)
            or not logits.is_floating_point()
        ):
            what = type(logits).__name__
            if isinstance(logits, torch.Tensor):
                what = f"{logits.dtype} of shape {tuple(logits.shape)}"
            raise ModelError.of(
                self.culprit,
                f"returned {what} for {len(images)} images",
                "logits (image, class)",
                "return the logits alone, one row for each image",
            )
        return logits


@contextmanager
def blaming(
    fresh: Callable[[], nn.Module], images: Callable[[], Images], culprit: str
) -> Iterator[None]:
    """Have an exception of a plugin name the model, where it is the model's own.

    Args:
        fresh: makes what the plugin was given, untouched: from pixels, or what it takes, to logits.
        images: returns some that it takes.
        culprit: names the model.

    Raises:
        ModelError: where the model by itself fails, cannot be copied, or lets no gradient through.

    """
    try:
        yield
    except (Exception, SystemExit) as error:
        if not isinstance(error, ModelError):
            _check(fresh(), images(), culprit, error)
        raise


def _check(network: nn.Module, images: Images, culprit: str, error: BaseException) -> None:
    """Ask a network by itself, forward and backward.

    Raises:
        ModelError: where it fails.

    """
    words = str(error).lower()
    if "scriptmodule" in words or (isinstance(error, BenchError) and is_scripted(network)):
        check_layers(network, culprit)
    if isinstance(error, BenchError) and "layer" not in words:
        return
    leaf = images.detach().clone().requires_grad_()
    with seeds.preserved(), torch.enable_grad():
        with explained(lambda own: failed(culprit, "fails in its forward pass", own)):
            logits = network(leaf)
        if not isinstance(logits, torch.Tensor):
            raise ModelError.of(
                culprit,
                f"returns {type(logits).__name__}",
                "logits (image, class)",
                "return the logits alone",
            )
        gradient = None
        if logits.requires_grad:
            with explained(lambda own: failed(culprit, "fails in its backward pass", own)):
                (gradient,) = torch.autograd.grad(logits.sum(), leaf, allow_unused=True)
    is_of_gradients = isinstance(error, BenchError) or any(each in words for each in _OF_GRADIENTS)
    if gradient is None and is_of_gradients:
        raise ModelError.of(
            culprit,
            "its forward pass lets no gradient through to the pixels",
            "a network that is differentiable, in eval mode, too",
            "take no_grad, inference_mode, detach(), item() and numpy() out of its forward pass",
        )
    _check_copy(network, culprit, error)


def _check_copy(network: nn.Module, culprit: str, error: BaseException) -> None:
    """Say that a network cannot be copied, where this is what the plugin failed by."""

    def uncopied(own: Exception) -> BenchError:
        return ModelError.of(
            culprit,
            f"cannot be copied: {named_shortly(own)}",
            "a network that copy.deepcopy copies",
            "keep locks, files, threads and results of earlier passes out of its attributes",
        )

    try:
        with explained(uncopied):
            copy.deepcopy(network)
    except ModelError as found:
        if str(found.__cause__) == str(error):
            raise


def copied(module: _Module, again: Callable[[], _Module]) -> _Module:
    """Return a copy of a module; where Python cannot copy it, one that is built again."""
    try:
        with explained(lambda error: ModelError.of("", named_shortly(error))):
            return copy.deepcopy(module)
    except ModelError:
        return again()
