"""Weights as arrays: out of a network and a file, strictly into a network, and their digests.

Nothing is ever unpickled. This room does not know how weights were made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from bench import fingerprint
from bench.classifier.classifier import Classifier
from bench.errors import WeightsError, explained
from bench.records import JSON

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.classifier.reductions import AppliedReductions


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
    applied: AppliedReductions | None = None,
) -> dict[str, str]:
    """Digest weights alone, and the classifier: the weights with what makes a function of them."""
    weights = fingerprint.of_arrays(arrays)
    parts: list[JSON] = [dict(architecture), weights, list(mean), list(std)]
    if applied is not None and applied.steps:
        parts.append(applied.plain)
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
    with explained(
        lambda error: WeightsError.of(
            where,
            "cannot be read: " + str(error).partition("\n")[0],
            ".safetensors, or .pt that weights_only=True reads",
            "save network.state_dict(), not the network",
        )
    ):
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="pt") as file:
                arrays = {name: file.get_tensor(name).numpy() for name in file.keys()}  # noqa: SIM118 (no mapping)
                return arrays, file.metadata() or {}
        content = torch.load(path, map_location="cpu", weights_only=True)
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
