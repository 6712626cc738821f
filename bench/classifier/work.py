"""The multiplications of a pass, and which of them are by whose weights, seen as torch does them.

Weights are followed from where they are stored to where they are multiplied, through views, copies
and whatever is made of them value by value. So it does not matter which module's ``forward`` uses
them, nor whether one does. This room does not know what layers are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


class Work(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts multiply-accumulates, by torch's own formulas, and those by given weights.

    Attributes:
        macs: of everything: convolutions and matrix products, dense.
        by: of each weight.
        skipped: of each weight, those by a zero.

    """

    def __init__(self, sources: Mapping[str, Sequence[torch.Tensor]]) -> None:
        """Follow weights.

        Args:
            sources: of each weight, by its name, the weight itself or what it is made of; the
                first says how many values it has.

        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0
        self.by: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self._sizes = {name: tensors[0].numel() for name, tensors in sources.items()}
        self._names: dict[int, str] = {}
        self._held: list[torch.Tensor] = []  # or its memory might be another's, by the same address
        for place in range(max(map(len, sources.values()), default=0)):
            for name, tensors in sources.items():
                if place < len(tensors):
                    self._follow(tensors[place], name)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Do an operation, and count it; what is made of others is taken apart first."""
        kwargs = kwargs or {}
        formula = (
            flop_registry.get(func.overloadpacket) if hasattr(func, "overloadpacket") else None
        )
        if formula is None and hasattr(func, "decompose"):
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        out = func(*args, **kwargs)
        if formula is None:
            self._pass_on(out, (*args, *kwargs.values()))
        else:
            macs = int(formula(*args, **kwargs, out_val=out)) // 2
            self.macs += macs
            self._note(macs, (*args, *kwargs.values()))
        return out

    def _note(self, macs: int, given: Sequence[Any]) -> None:
        """Count a product by whose weights it is; of two, those with more zeros."""
        found = [
            (held.numel() - int(held.count_nonzero()), held.numel(), name)
            for held, name in self._followed(given)
        ]
        if found:
            zeros, size, name = max(found)
            self.by[name] += macs
            self.skipped[name] += macs * zeros // size

    def _pass_on(self, made: Any, given: Sequence[Any]) -> None:
        """Follow what is made of a weight: it alone, or value by value with others."""
        followed = list(self._followed(given))
        if not followed:
            return
        name = followed[0][1]
        alone = sum(isinstance(leaf, torch.Tensor) for leaf in tree_leaves(given)) == 1
        for leaf in tree_leaves(made):
            if isinstance(leaf, torch.Tensor) and (
                leaf.numel() == self._sizes[name] or (alone and leaf.numel() > 1)
            ):
                self._follow(leaf, name)

    def _follow(self, tensor: torch.Tensor, name: str) -> None:
        address = _address(tensor)
        if address and address not in self._names:
            self._names[address] = name
            self._held.append(tensor)

    def _followed(self, given: Sequence[Any]) -> Iterator[tuple[torch.Tensor, str]]:
        for leaf in tree_leaves(given):
            if isinstance(leaf, torch.Tensor) and leaf.numel():
                name = self._names.get(_address(leaf))
                if name is not None:
                    yield leaf, name


def _address(tensor: torch.Tensor) -> int:
    """Return where a tensor's memory begins; 0 where it has none of its own."""
    if tensor.layout != torch.strided or tensor.is_meta:
        return 0
    return tensor.untyped_storage().data_ptr()
