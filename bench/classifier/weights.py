"""Weights as arrays: out of a network, strictly into a network, and their digests.

This room does not know how weights were made, nor how they lie in a file.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from bench import fingerprint
from bench.classifier.classifier import Classifier
from bench.errors import BenchError, WeightsError
from bench.records import JSON

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.classifier.reductions import AppliedReductions

_SHOWN = 5
"""How many names of each kind an error lists."""


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
        held = value.detach().cpu()
        # numpy has no bfloat16: float32 holds it, and loads into it, without loss
        yield name, (held.float() if held.dtype == torch.bfloat16 else held).numpy()


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
    """Load weights into a network: every name, every shape, no other kind of number, nothing more.

    As torch's own strict load, it forgives a batch normalisation whose count of batches is missing.

    Raises:
        WeightsError: naming what is missing, surplus, of another shape or of another kind.

    """
    state = {name: held for name, held in network.state_dict().items() if torch.is_tensor(held)}
    counts = {name: state[name].cpu().numpy() for name in _batch_counts(network) & state.keys()}
    given = {**counts, **arrays}
    wrong = {
        "missing": sorted(state.keys() - given.keys()),
        "surplus": sorted(given.keys() - state.keys()),
        "shape": [
            f"{name} is {tuple(array.shape)} not {tuple(state[name].shape)}"
            for name, array in sorted(given.items())
            if name in state and tuple(array.shape) != tuple(state[name].shape)
        ],
        "type": [
            f"{name} is {array.dtype} not {str(state[name].dtype).removeprefix('torch.')}"
            for name, array in sorted(given.items())
            if name in state and not _is_of_kind(array, state[name])
        ],
    }
    if any(wrong.values()):
        raise _misfit(where, wrong, [*arrays], [*state])
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in given.items()}
    network.load_state_dict(tensors, strict=True)


def _batch_counts(network: nn.Module) -> set[str]:
    """Name the counts that batch normalisation keeps beside its statistics; older files lack them.

    Nothing is computed with them but the averages of a training without momentum.
    """
    return {
        f"{place}.num_batches_tracked".lstrip(".")
        for place, module in network.named_modules()
        if isinstance(module, _NormBase)
    }


def _is_of_kind(array: NDArray[Any], held: torch.Tensor) -> bool:
    """Whether numbers are of the kind that a network keeps there: whole ones are no weights."""
    if held.is_quantized:
        return True
    if held.is_floating_point():
        return array.dtype.kind == "f"
    return array.dtype.kind != "f" or bool((array == np.rint(array)).all())


def _misfit(
    where: str, wrong: Mapping[str, list[str]], given: list[str], wanted: list[str]
) -> BenchError:
    """Say what does not fit: a few of each kind, and what stands before the names."""
    parts = [
        f"{what}: {', '.join(names[:_SHOWN])}{' ...' if len(names) > _SHOWN else ''}"
        for what, names in wrong.items()
        if names
    ]
    action = "give the file that belongs to it; no other weights take its place"
    if wrong["missing"] or wrong["surplus"]:
        parts += _prefixes(given, wanted)
    elif wrong["type"] and not wrong["shape"]:
        action = "give the weights as the floating-point numbers that the network computes with"
    return WeightsError.of(
        where,
        "does not load strictly: " + "; ".join(parts),
        f"the {len(wanted)} weights and buffers of the architecture",
        action,
    )


def _prefixes(given: list[str], wanted: list[str]) -> Iterator[str]:
    """Say which prefix stands before names on one side alone."""
    for names, others, whose in ((given, wanted, "file"), (wanted, given, "architecture")):
        first = Counter(name.partition(".")[0] for name in names if "." in name)
        known = {*others}
        for prefix, count in first.most_common(1):
            bare = {name.removeprefix(f"{prefix}.") for name in names}
            if len(bare & known) > len({*names} & known):
                without = [name for name in names if not name.startswith(f"{prefix}.")]
                apart = f", not before {', '.join(without[:2])}" if without else ""
                of = f"{count} of the {whose}'s {len(names)} names"
                yield f"'{prefix}.' stands before {of}{apart}"


def without_prefix(
    arrays: Mapping[str, NDArray[Any]], network: nn.Module
) -> tuple[dict[str, NDArray[Any]], str]:
    """Take off what stands before every name, where the names are the network's without it.

    Tools that wrap networks leave such a prefix: ``module.``, ``_orig_mod.``, ``model.``.

    Returns:
        The arrays, and the prefix that was taken off: empty where there was none.

    """
    wanted = network.state_dict().keys()
    forgiven = _batch_counts(network)
    first = [*next(iter(arrays), "").split(".")[:-1]]
    for count in range(len(first) + 1):
        prefix = "".join(f"{part}." for part in first[:count])
        if not all(name.startswith(prefix) for name in arrays):
            break
        names = {name.removeprefix(prefix) for name in arrays}
        if names <= wanted and wanted - names <= forgiven:
            return {name.removeprefix(prefix): each for name, each in arrays.items()}, prefix
    return dict(arrays), ""


def header_normalisation(
    header: Mapping[str, str],
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return mean and std from the header of a file of weights that bench wrote."""
    if "mean" not in header or "std" not in header:
        return None
    return tuple(json.loads(header["mean"])), tuple(json.loads(header["std"]))
