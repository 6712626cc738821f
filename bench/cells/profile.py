"""The profile cell: how large a model is, how sparse, and how much it computes for one image."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bench.cells.cell import Cell, Parent
from bench.cells.subject import Subject
from bench.cells.workbench import Compute, Workbench
from bench.records import JSON, Kind, Result
from bench.store import Stored

if TYPE_CHECKING:
    from torch import Tensor, nn

_LEVEL = 9


@dataclass(frozen=True)
class ProfileCell(Cell):
    """A model to count: nothing here depends on images, on the device or on the time."""

    kind: ClassVar[Kind] = "profile"

    subject: Subject
    compute: Compute

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The weights."""
        return self.subject.parents

    @property
    def inputs(self) -> dict[str, JSON]:
        """The precision, which decides the bytes; counts do not depend on where they are made."""
        return {"precision": self.compute.precision, **self.subject.identity}

    @property
    def modules(self) -> tuple[str, ...]:
        """The cell, the classifier, and the package of the model's plugin."""
        return (*super().modules, "bench.classifier", *self.subject.packages)

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Count on a copy, on the CPU."""
        import torch
        from safetensors.numpy import save

        from bench.classifier import state_arrays

        weights = parents["classifier"]
        classifier = self.subject.copied(workbench, parents).cpu()
        network = classifier.network
        arrays = {name: np.asarray(a, order="C") for name, a in state_arrays(network).items()}
        stored = save(arrays, metadata=workbench.store.header(weights))
        # safetensors writes texts in an order of its own each time: other bytes, as many of them
        plain = save(arrays)
        image = torch.zeros(1, *self.subject.architecture.image_shape)
        return Result(
            summary={
                "parameters": sum(each.numel() for each in network.parameters()),
                "buffers": sum(each.numel() for each in network.buffers()),
                "nonzero_parameters": sum(_nonzero(each) for each in network.parameters()),
                "sparsity": sparsity(network),
                "size_bytes": len(stored),
                "size_compressed_bytes": len(zlib.compress(plain, _LEVEL)),
                "compressor": f"zlib {zlib.ZLIB_RUNTIME_VERSION}, level {_LEVEL}",
                "macs": multiplications(classifier, image),
                "macs_counter": f"FlopCounterMode of torch {torch.__version__}, halved; one image",
            }
        )


def _nonzero(tensor: Tensor) -> int:
    return int(tensor.count_nonzero())


def sparsity(network: nn.Module) -> float | None:
    """Return the share of zeros, in [0, 1], among the weights of all Conv and Linear layers.

    The weights are those that the layers compute with, masks applied; biases do not count, and a
    weight that layers share counts once. None for a network without such layers.
    """
    from torch import nn
    from torch.nn.modules.conv import _ConvNd

    layers = (layer for layer in network.modules() if isinstance(layer, _ConvNd | nn.Linear))
    # a dictionary keeps each weight alive, so that no two go by one id
    weights = {id(weight): weight for weight in (layer.weight for layer in layers)}
    total = sum(weight.numel() for weight in weights.values())
    if not total:
        return None
    return 1 - sum(_nonzero(weight) for weight in weights.values()) / total


def multiplications(network: nn.Module, images: Tensor) -> int:
    """Count the multiply-accumulates of one pass, on the CPU, dense: zeros are multiplied too.

    Convolutions and matrix products count; sums, activations, normalisation and pooling do not.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with _decomposed(), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(images)
    return int(counter.get_total_flops()) // 2


@contextmanager
def _decomposed() -> Iterator[None]:
    """Have attention computed step by step: not every torch's counter sees its fused kernels."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
