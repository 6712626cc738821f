"""Finds the layer of a network whose output is the map that class activation methods weigh.

It is found by running the network once and looking at what comes out of each module, so that no
architecture has to be known by name. The one exception are timm's plain vision transformers, whose
maps are rows of tokens: only the model knows its grid. This room does not know what is done with a
layer.
"""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import UsageError, nearest
from bench.tensors import Images

_MAP_AXES = 4
"""Of a map: image, channel, height, width; or image, height, width, channel."""
_TOKEN_AXES = 3
"""Of rows of tokens: image, token, channel."""


@dataclass(frozen=True)
class Layer:
    """A module of the network, and how its output is read as a map.

    Attributes:
        name: dotted, inside the network.
        channels: the axis of the output that holds channels: 1, or 3 or 2 where they come last.
        grid: (height, width) of the tokens, or None where the output has two spatial axes.
        prefix: how many tokens come before those of the grid.

    """

    name: str
    module: nn.Module
    channels: int
    grid: tuple[int, int] | None = None
    prefix: int = 0

    def as_map(self, output: Tensor) -> Tensor:
        """Return a module's output, or the gradient there, as (image, channel, height, width)."""
        if self.grid is not None:
            tokens = output[:, self.prefix :]
            output = tokens.reshape(len(tokens), *self.grid, -1)
        return output if self.channels == 1 else output.movedim(-1, 1)


@dataclass(frozen=True)
class _Run:
    """One completed call of a module."""

    name: str
    module: nn.Module
    output: Tensor


@torch.enable_grad()
def find(classifier: nn.Module, image: Images, layer: str | None, where: str) -> Layer:
    """Find the layer to explain by, running one image through the classifier.

    A named one is taken, if its output is a map. Else, for timm's vision transformers, it is the
    first normalisation of the last block: behind it, a class token has already gathered what it
    will, and no gradient reaches the other tokens. For every other network it is the last module
    to finish whose output

    - has four axes, of one image, more than one position, and a gradient from the logits;
    - does not come out of a pooling module (one that is called so), nor from inside one;
    - is the only output of that module: of one that runs twice, hooks mix up the maps;
    - is not followed by rows of tokens, as the maps at the foot of a transformer are.

    An activation that works in place is no trouble: the activation or its container finishes last,
    and whoever hooks a module gives a copy to what follows.

    Args:
        classifier: with a ``network``; in eval mode.
        image: one, (1, channel, height, width).
        layer: dotted name inside the network, or None.
        where: what errors name.

    Raises:
        UsageError: where there is no such layer, its output is no map, or nothing is found.

    """
    network: nn.Module = classifier.network  # type: ignore[assignment]
    runs, logits = _watched(classifier, network, image)
    calls = Counter(run.name for run in runs)
    once = [run for run in runs if calls[run.name] == 1]
    readable = {run.name: read for run in once if (read := _read(network, run)) is not None}
    if layer is not None:
        return _named(network, layer, readable, where)
    norm = _last_norm(network)
    name = norm if norm is not None else _last_map(network, runs, set(readable), logits)
    if name not in readable:
        raise UsageError.of(
            where,
            "finds no layer that runs once and whose output is a map of more than one position",
            "a convolutional network or a vision transformer of timm, on images that are not tiny",
            "name one as 'layer:', or choose an explainer that needs none",
        )
    return readable[name]


def _watched(classifier: nn.Module, network: nn.Module, image: Images) -> tuple[list[_Run], Tensor]:
    """Run an image and return what each module gave, in order of completion; and the logits."""
    runs: list[_Run] = []
    handles = []
    for name, module in network.named_modules():

        def note(called: nn.Module, _: Any, output: object, name: str = name) -> None:
            if isinstance(output, Tensor):
                runs.append(_Run(name, called, output))

        handles.append(module.register_forward_hook(note))
    try:
        logits: Tensor = classifier(image.detach().clone().requires_grad_())
    finally:
        for handle in handles:
            handle.remove()
    return runs, logits


def _read(network: nn.Module, run: _Run) -> Layer | None:
    """Return a module as a layer, or None where its output cannot be read as a map."""
    shape = run.output.shape
    if shape[:1] != (1,):
        return None
    if run.output.ndim == _MAP_AXES:
        last = getattr(network, "output_fmt", "") == "NHWC"
        last = last and not isinstance(run.module, nn.Conv2d)
        height, width = (shape[1], shape[2]) if last else (shape[2], shape[3])
        return Layer(run.name, run.module, 3 if last else 1) if height * width > 1 else None
    grid = getattr(getattr(network, "patch_embed", None), "grid_size", None)
    prefix = getattr(network, "num_prefix_tokens", 0)
    if run.output.ndim == _TOKEN_AXES and grid and shape[1] == prefix + grid[0] * grid[1]:
        return Layer(run.name, run.module, 2, (grid[0], grid[1]), prefix)
    return None


def _last_map(
    network: nn.Module, runs: list[_Run], readable: set[str], logits: Tensor
) -> str | None:
    """Name the last module that gave a map, as :func:`find` says; None where there is none."""
    pools = {n for n, m in network.named_modules() if "pool" in type(m).__name__.lower()}
    pooled = {id(run.output) for run in runs if run.name in pools}
    for run in reversed([run for run in runs if not _is_inside(run.name, pools)]):
        if run.output.ndim == _TOKEN_AXES and len(run.output) == 1 and run.output.shape[1] > 1:
            return None
        if (
            run.name in readable
            and run.output.ndim == _MAP_AXES
            and id(run.output) not in pooled
            and _reaches(run.output, logits)
        ):
            return run.name
    return None


def _is_inside(name: str, containers: set[str]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:length]) in containers for length in range(1, len(parts) + 1))


def _reaches(output: Tensor, logits: Tensor) -> bool:
    """Whether a gradient leads from the logits back to an output."""
    if not (output.requires_grad and logits.requires_grad):
        return False
    gradients = torch.autograd.grad(logits.sum(), output, allow_unused=True, retain_graph=True)
    return gradients[0] is not None


def _last_norm(network: nn.Module) -> str | None:
    """Name the first normalisation of the last block of a transformer of timm; None for others."""
    blocks = getattr(network, "blocks", None)
    grid = getattr(getattr(network, "patch_embed", None), "grid_size", None)
    if grid is None or not isinstance(blocks, nn.Sequential | nn.ModuleList) or not len(blocks):
        return None
    return f"blocks.{len(blocks) - 1}.norm1"


def _named(network: nn.Module, name: str, readable: dict[str, Layer], where: str) -> Layer:
    found = readable.get(name)
    if found is not None:
        return found
    exists = name in dict(network.named_modules())
    raise UsageError.of(
        where,
        f"'{name}' gives no map of more than one position, or runs more than once"
        if exists
        else f"the network has no layer '{name}'",
        f"one of the {len(readable)} layers that give one map",
        nearest(name, difflib.get_close_matches(name, readable, n=8, cutoff=0)),
    )
