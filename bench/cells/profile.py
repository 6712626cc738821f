"""The profile cell: how large a model is, how sparse, and how much it computes for one image."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from bench.cells.cell import Cell, Parent
from bench.cells.subject import Subject
from bench.cells.workbench import Compute, Workbench
from bench.classifier.counting import (
    effective_weights,
    layers,
    multiplications,
    nonzero_parameters,
    sparsity,
)
from bench.classifier.reductions import AppliedReductions
from bench.records import JSON, Kind, Result
from bench.store import Stored

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_LEVEL = 9


@dataclass(frozen=True)
class ProfileCell(Cell):
    """A model to count: nothing here depends on images, on the device or on the time."""

    kind: ClassVar[Kind] = "profile"
    revision: ClassVar[int] = 4  # sizes are of all that answers, bytes counted as their float twin

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
    def facts(self) -> dict[str, JSON]:
        """How sparse the reductions promise that the network is, and whether it may be sparser."""
        target, at_least = None, False
        for reduction in self.subject.reductions:
            if reduction.sparsity_target is not None:  # zeros that there are count among those
                target = max(target or 0.0, reduction.sparsity_target)
            elif reduction.earlier_zeros == "more":
                at_least = True
            elif reduction.earlier_zeros == "unknown":
                target, at_least = None, at_least or target is not None
        if target is None:
            return {}
        return {"sparsity_target": target, **({"sparsity_at_least": True} if at_least else {})}

    @property
    def modules(self) -> tuple[str, ...]:
        """The cell, the classifier, and the package of the model's plugin."""
        return (*super().modules, "bench.classifier", *self.subject.packages)

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Count on a copy, on the CPU."""
        import torch
        from safetensors.numpy import save
        from torch import nn

        from bench.classifier import faults
        from bench.classifier.layers import in_eval_mode
        from bench.classifier.use import restored

        found = {parents[role].key: role for role in self.subject.answering}  # each once
        networks, sizes, packed_sizes = nn.ModuleList(), [], []
        for role in found.values():
            header = workbench.store.header(parents[role])
            architecture = self.subject.answering[role]
            network = in_eval_mode(workbench.network(architecture, parents[role]))
            faults.check_layers(network, architecture.culprit)
            packed = AppliedReductions.of(header, parents[role].label).packed(network)
            arrays = {name: _bytes_of(tensor) for name, tensor in packed.items()}
            # safetensors writes texts in an order of its own each time: other bytes, as many
            plain = save(arrays) + json.dumps(header, sort_keys=True).encode()
            networks.append(network)
            sizes.append(len(save(arrays, metadata=header)))
            packed_sizes.append(len(zlib.compress(plain, _LEVEL)))
        image = torch.zeros(1, *self.subject.architecture.image_shape)
        # shields compute too: what is counted is all that answers, or its float twin
        classifier = self.subject.counted(workbench, parents).cpu()
        macs = multiplications(classifier, image)
        skipped = sum(layer.skipped for layer in layers(classifier, image))
        # of several networks, each is listed where it is judged by itself
        single = layers(networks[0], image) if len(networks) == 1 else []
        return Result(
            summary={
                "layers": [layer.plain for layer in single],
                "nonzero_macs": macs - skipped,
                "parameters": sum(each.numel() for each in networks.parameters()),
                "buffers": sum(each.numel() for each in networks.buffers()),
                "nonzero_parameters": nonzero_parameters(networks),
                "sparsity": sparsity(networks),
                "zeros": sum(_zeros(weights) for weights in effective_weights(networks).values()),
                "restored": sum(
                    restored(each, self.subject.architecture.image_shape) for each in networks
                ),
                "size_bytes": sum(sizes),
                "size_compressed_bytes": sum(packed_sizes),
                "compressor": f"zlib {zlib.ZLIB_RUNTIME_VERSION}, level {_LEVEL}",
                "macs": macs,
                "macs_counter": f"flop_counter of torch {torch.__version__}, halved; one image",
            }
        )


def _zeros(weights: Tensor) -> int:
    return weights.numel() - int(weights.count_nonzero())


def _bytes_of(tensor: Tensor) -> NDArray[Any]:
    """Return an array of as many bytes: numpy has no bfloat16."""
    import torch

    held = tensor.cpu().contiguous()
    return (held.view(torch.int16) if held.dtype == torch.bfloat16 else held).numpy()
