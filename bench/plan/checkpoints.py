"""Shipped checkpoints: found by what they were trained from, written by ``bench export``.

A checkpoint matches on architecture, recipe, data and seed; another torch or an edited comment does
not part it from its suite. The header says how it came to be.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import fingerprint
from bench.cells.train import TrainCell
from bench.errors import WeightsError
from bench.records import JSON
from bench.suite import shipped

if TYPE_CHECKING:
    from numpy.typing import NDArray


def claim(cell: TrainCell) -> dict[str, JSON]:
    """Return what a checkpoint must match: what training it was."""
    architecture = {k: v for k, v in cell.architecture.identity.items() if k != "library"}
    given = cell.architecture.entry.plugin.normalization()
    return {
        "architecture": architecture,
        "recipe": cell.recipe.identity(),
        "data": cell.images.digest,
        "held_out": cell.held_out.digest if cell.held_out is not None else None,
        "seed": cell.seed,
        "normalisation": [list(part) for part in given] if given is not None else None,
        **({} if cell.step is None else {"step": cell.step.identity}),
    }


def find(cell: TrainCell) -> Path | None:
    """Return the shipped checkpoint that training would make again, if there is one."""
    if cell.parents:
        return None  # it depends on the weights that it starts from, or whose logits it learns
    wanted = fingerprint.fingerprint(claim(cell))
    return next((path for path, made in _claims() if made == wanted), None)


@cache
def _claims() -> tuple[tuple[Path, str], ...]:
    return tuple(_read_claims(shipped("checkpoints")))


def _read_claims(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.glob("*.safetensors")):
        header = read_header(path)
        claimed = json.loads(header.get("bench", "{}")).get("claim")
        if claimed is not None:  # that of a variant which depends on other weights makes none
            yield path, fingerprint.fingerprint(claimed)


def read_header(path: Path) -> dict[str, str]:
    """Read the texts in the header of a safetensors file, without torch.

    Raises:
        WeightsError: where the file is none.

    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            header: dict[str, str] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError.of(
            str(path), f"cannot be read: {error}", "a safetensors file"
        ) from error
    return header


def write(
    path: Path,
    arrays: Mapping[str, NDArray[Any]],
    texts: Mapping[str, str],
    account: Mapping[str, JSON],
) -> None:
    """Write a checkpoint: weights, what it takes to load them, and the account of their making.

    Args:
        path: the file.
        arrays: the weights.
        texts: mean and std, and the applied of a network that was reduced.
        account: plain values.

    """
    import numpy as np
    from safetensors.numpy import save

    path.parent.mkdir(parents=True, exist_ok=True)
    header = {**texts, "bench": fingerprint.canonical(dict(account))}
    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    path.write_bytes(save(whole, metadata=header))
