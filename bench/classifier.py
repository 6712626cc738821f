"""The model as attacks see it: from pixels in [0, 1] to logits, frozen, counting its passes.

Normalisation lives inside, so eps is in pixels and nowhere else. This room does not know where
weights come from or what becomes of logits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from bench import fingerprint
from bench.errors import PluginError, WeightsError
from bench.records import JSON

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.forms import Forms
    from bench.tensors import Images, Labels, Logits


class Pixels(nn.Module):
    """A network behind its normalisation: from pixels in [0, 1] to logits."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, mean: torch.Tensor, std: torch.Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def forward(self, images: Images) -> Logits:
        """Return the logits of images, float32 in [0, 1]."""
        logits: torch.Tensor = self.network((images - self.mean) / self.std)
        return logits


class Classifier(nn.Module):
    """A network behind its normalisation and its shields, in eval mode, its weights frozen.

    Args:
        network: from normalised images to logits.
        mean, std: of each channel, for pixels in [0, 1]; std positive.
        shielded: makes of the network behind its normalisation what is asked instead of it.

    Attributes:
        forwards, backwards: images that went through, since :meth:`reset`.
        filler: how many images at the end of each batch only fill it up, and are not counted; set
            by a plugin that does so.
        stages: images, passes and seconds of each part of an attack; see :func:`bench.api.stage`.

    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        network: nn.Module,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        shielded: Callable[[nn.Module], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)
        self.forwards = 0
        self.backwards = 0
        self.shield = None if shielded is None else shielded(Pixels(network, self.mean, self.std))
        self.filler = 0
        self.stages: dict[str, dict[str, float]] = {}
        self._trace: Trace | None = None
        self.requires_grad_(requires_grad=False)
        self.eval()

    def forward(self, images: Images) -> Logits:
        """Return the logits of images, float32 in [0, 1]."""
        logits: torch.Tensor = (
            self.network((images - self.mean) / self.std)
            if self.shield is None
            else self.shield(images)
        )
        self.forwards += len(images) - self.filler
        if logits.requires_grad:
            logits.register_hook(self._count_backward)  # type: ignore[no-untyped-call]
        if self._trace is not None:
            self._trace.note(logits.detach())
        return logits

    def _count_backward(self, gradient: torch.Tensor) -> None:
        self.backwards += len(gradient) - self.filler

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
    def guarded(self, culprit: str) -> Iterator[None]:
        """Detect weights or buffers that changed inside.

        Whatever else a plugin does to a classifier is undone by giving it one of its own.

        Raises:
            PluginError: naming ``culprit``.

        """
        before = [(name, held.clone()) for name, held in self._held()]
        yield
        after = self._held()
        if [name for name, _ in before] != [name for name, _ in after] or not all(
            torch.equal(first, then) for (_, first), (_, then) in zip(before, after, strict=True)
        ):
            raise PluginError.of(
                culprit,
                "changed the weights or buffers of the classifier",
                "a classifier left as it was",
                "its images have no verdict; mend the plugin",
            )

    def _held(self) -> list[tuple[str, torch.Tensor]]:
        """Return the weights, the buffers, the normalisation and what shields hold."""
        whole = self.network if self.shield is None else self.shield
        state = whole.state_dict().items()
        tensors = [(name, value.detach()) for name, value in state if torch.is_tensor(value)]
        return [*tensors, ("mean", self.mean), ("std", self.std)]


class Trace:
    """At which model call each image of a batch first fooled the classifier."""

    def __init__(self, labels: Labels, targets: Labels | None) -> None:
        self.labels = labels
        self.targets = targets
        self.calls = 0
        self.first = torch.full_like(labels, -1)

    def note(self, logits: Logits) -> None:
        """Look at the logits of one call."""
        if logits.shape[0] != len(self.labels):
            raise PluginError.of(
                "a traceable attack",
                f"asked for {logits.shape[0]} images in a batch of {len(self.labels)}",
                "every model call to be an iterate of the whole batch",
                "declare traceable = False",
            )
        predictions = logits.argmax(1)
        fooled = predictions != self.labels if self.targets is None else predictions == self.targets
        self.first[fooled & (self.first < 0)] = self.calls
        self.calls += 1

    @property
    def steps(self) -> list[int | None]:
        """The step of each image; the number of calls where only the final image can have done it.

        None throughout where nothing was traced.
        """
        if self.calls == 0:
            return [None] * len(self.labels)
        return [step if step >= 0 else self.calls for step in self.first.tolist()]


def state_arrays(network: nn.Module) -> dict[str, NDArray[Any]]:
    """Return a network's weights and buffers as arrays, by name."""
    found: dict[str, NDArray[Any]] = {}
    for name, value in network.state_dict().items():
        found.update(_arrays(name, value))
    return found


def _arrays(name: str, value: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    """Take a state's entry apart: quantised weights come in one with their scales and biases."""
    if isinstance(value, tuple | list):
        for place, part in enumerate(value):
            yield from _arrays(f"{name}.{place}", part)
    elif isinstance(value, torch.Tensor) and value.is_quantized:
        yield name, value.int_repr().cpu().numpy()
        is_whole = value.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric)
        scale = torch.tensor(value.q_scale()) if is_whole else value.q_per_channel_scales()
        zero = torch.tensor(value.q_zero_point()) if is_whole else value.q_per_channel_zero_points()
        yield f"{name}.scale", scale.cpu().numpy()
        yield f"{name}.zero_point", zero.cpu().numpy()
    elif isinstance(value, torch.Tensor):
        yield name, value.detach().cpu().numpy()


def normalisation_arrays(classifier: Classifier) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return mean and std of each channel."""
    return classifier.mean.cpu().numpy().ravel(), classifier.std.cpu().numpy().ravel()


def output_digests(
    architecture: Mapping[str, JSON],
    arrays: Mapping[str, NDArray[Any]],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    forms: Forms | None = None,
) -> dict[str, str]:
    """Digest weights alone, and the classifier: the weights with what makes a function of them."""
    weights = fingerprint.of_arrays(arrays)
    parts: list[JSON] = [dict(architecture), weights, list(mean), list(std)]
    if forms is not None and forms.steps:
        parts.append(forms.plain)
    whole = fingerprint.fingerprint(parts)
    return {"weights": weights, "classifier": whole}


def load_strictly(network: nn.Module, arrays: Mapping[str, NDArray[Any]], where: str) -> None:
    """Load weights into a network: every name, every shape, nothing more.

    Raises:
        WeightsError: naming what is missing, surplus or of another shape.

    """
    state = network.state_dict()
    missing = sorted(state.keys() - arrays.keys())
    surplus = sorted(arrays.keys() - state.keys())
    shapes = [
        f"{name} is {tuple(arrays[name].shape)} not {tuple(state[name].shape)}"
        for name in sorted(state.keys() & arrays.keys())
        if tuple(arrays[name].shape) != tuple(state[name].shape)
    ]
    wrong = [
        f"{what}: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}"  # noqa: PLR2004
        for what, names in {"missing": missing, "surplus": surplus, "shape": shapes}.items()
        if names
    ]
    if wrong:
        raise WeightsError.of(
            where,
            "does not load strictly: " + "; ".join(wrong),
            f"the {len(state)} weights and buffers of the architecture",
            "give the file that belongs to it; no other weights take its place",
        )
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    network.load_state_dict(tensors, strict=True)


def read_weights(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Read a file of weights; nothing is ever unpickled.

    Args:
        path: ``.safetensors``, or ``.pt``/``.pth`` read with ``weights_only=True``, holding a
            state dict, or one under ``state_dict``, ``model_state_dict`` or ``model``.

    Returns:
        The arrays by name, and the header's texts (empty for ``.pt``).

    Raises:
        WeightsError: where the file is missing or holds no state dict.

    """
    where = str(path)
    if not path.is_file():
        raise WeightsError.of(
            where, "no such file", "a file of weights", "no other weights take its place"
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="pt") as file:
                arrays = {name: file.get_tensor(name).numpy() for name in file.keys()}  # noqa: SIM118 (no mapping)
                return arrays, file.metadata() or {}
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken file can break its reader in many ways
        raise WeightsError.of(
            where,
            f"cannot be read: {str(error).splitlines()[0]}",
            ".safetensors, or .pt that weights_only=True reads",
            "save network.state_dict(), not the network",
        ) from error
    for name in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
            break
    if (
        not isinstance(content, dict)
        or not content
        or not all(isinstance(value, torch.Tensor) for value in content.values())
    ):
        raise WeightsError.of(where, "holds no state dict", "tensors by name")
    return {name: tensor.cpu().numpy() for name, tensor in content.items()}, {}


def header_normalisation(
    header: Mapping[str, str],
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return mean and std from the header of a file of weights that bench wrote."""
    if "mean" not in header or "std" not in header:
        return None
    return tuple(json.loads(header["mean"])), tuple(json.loads(header["std"]))
