"""What a network multiplies by, held against the weights that are counted.

A weight that is counted as zero may be multiplied as something else: where ``forward`` adds a
dense copy to it, or asks one besides. Operands that are the same for two inputs are weights,
whatever module, buffer or plain attribute they come from. This room does not know what compresses.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from bench import seeds
from bench.classifier.counting import effective_weights

_PRODUCTS = frozenset(
    {"convolution", "mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "linear", "_convolution"}
)


class _Operands(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps what is multiplied, product by product."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[torch.Tensor] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Do an operation; note the tensors of a product."""
        if func.overloadpacket.__name__ in _PRODUCTS:
            self.found += [each.clone() for each in args if isinstance(each, torch.Tensor)]
        return func(*args, **(kwargs or {}))


def restored(network: nn.Module, image_shape: tuple[int, int, int], *, seed: int = 0) -> int:
    """Count the weights that are counted as zeros and multiplied as something else.

    Args:
        network: in eval mode, on the CPU.
        image_shape: (channel, height, width).
        seed: of the two inputs.

    """
    counted = [weight.detach() for weight in effective_weights(network).values()]
    sparse = [weight for weight in counted if int(weight.count_nonzero()) < weight.numel()]
    if not sparse:
        return 0
    others = [
        operand
        for operand in _constants(network, image_shape, seed)
        if not _is_in(operand, counted)
    ]
    back = 0
    for weight in sparse:
        filled = int(weight.count_nonzero())
        alike = [other for other in others if other.numel() == weight.numel()]
        if alike:  # each stands for one weight
            densest = max(alike, key=lambda other: int(other.count_nonzero()))
            others = [other for other in others if other is not densest]
            back += max(0, int(densest.count_nonzero()) - filled)
    return back


def _constants(
    network: nn.Module, image_shape: tuple[int, int, int], seed: int
) -> list[torch.Tensor]:
    """Return the operands of a network's products that do not depend on its input."""
    runs = []
    generator = torch.Generator().manual_seed(seed)
    for _ in range(2):
        images = torch.rand(1, *image_shape, generator=generator)
        with seeds.forked(seed), torch.no_grad(), _Operands() as operands:
            network(images)
        runs.append(operands.found)
    first, second = runs
    if len(first) != len(second):
        return []
    kept: list[torch.Tensor] = []
    for one, two in zip(first, second, strict=True):
        if one.shape == two.shape and torch.equal(one, two) and not _is_in(one, kept):
            kept.append(one)
    return kept


def _is_in(tensor: torch.Tensor, others: list[torch.Tensor]) -> bool:
    """Say whether a tensor is one of others, or its transpose."""
    return any(
        torch.equal(tensor, other)
        if tensor.shape == other.shape
        else tensor.ndim == other.ndim == 2  # noqa: PLR2004 (a matrix)
        and tensor.T.shape == other.shape
        and torch.equal(tensor.T, other)
        for other in others
        if tensor.numel() == other.numel()
    ) or any(
        tensor.shape == other.shape[::-1] and torch.equal(tensor.T, other)
        for other in others
        if tensor.ndim == other.ndim == 2  # noqa: PLR2004 (a square matrix)
    )
