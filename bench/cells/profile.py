"""The profile cell: how large a model is, how sparse, and how much it computes for one image."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar

from bench.cells.cell import Cell, Parent
from bench.cells.subject import Subject
from bench.cells.workbench import Compute, Workbench
from bench.forms import Forms
from bench.records import JSON, Kind, Result
from bench.store import Stored

if TYPE_CHECKING:
    from torch import Tensor, nn

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

        found = {parents[role].key: role for role in self.subject.answering}  # each once
        networks, sizes, packed_sizes = nn.ModuleList(), [], []
        for role in found.values():
            header = workbench.store.header(parents[role])
            network = workbench.network(self.subject.answering[role], parents[role]).eval()
            packed = Forms.of(header, parents[role].label).packed(network)
            arrays = {name: tensor.cpu().contiguous().numpy() for name, tensor in packed.items()}
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
        # of several networks, each is told where it is judged by itself
        single = layers(networks[0], image) if len(networks) == 1 else []
        return Result(
            summary={
                "layers": [layer.plain for layer in single],
                "nonzero_macs": macs - skipped,
                "parameters": sum(each.numel() for each in networks.parameters()),
                "buffers": sum(each.numel() for each in networks.buffers()),
                "nonzero_parameters": nonzero_parameters(networks),
                "sparsity": sparsity(networks),
                "size_bytes": sum(sizes),
                "size_compressed_bytes": sum(packed_sizes),
                "compressor": f"zlib {zlib.ZLIB_RUNTIME_VERSION}, level {_LEVEL}",
                "macs": macs,
                "macs_counter": f"FlopCounterMode of torch {torch.__version__}, halved; one image",
            }
        )


def _nonzero(tensor: Tensor) -> int:
    return int(tensor.count_nonzero())


def nonzero_parameters(network: nn.Module) -> int:
    """Count the parameters that are not zero, as the network computes with them: rounded, say."""
    from bench.training import layer_weights

    kept = {id(w): _effective(network, name, w) for name, w in layer_weights(network).items()}
    return sum(_nonzero(kept.get(id(each), each)) for each in network.parameters())


def sparsity(network: nn.Module) -> float | None:
    """Return the share of zeros, in [0, 1], among the weights of all Conv and Linear layers.

    The weights are those that the layers compute with, masks applied; biases do not count, and a
    weight that layers share counts once. None for a network without such layers.
    """
    from bench.training import layer_weights

    weights = [_effective(network, name, w) for name, w in layer_weights(network).items()]
    total = sum(weight.numel() for weight in weights)
    if not total:
        return None
    return 1 - sum(_nonzero(weight) for weight in weights) / total


def _effective(network: nn.Module, name: str, weight: Tensor) -> Tensor:
    """Return the weights that a layer computes with: rounded, where they are quantised."""
    rounded = getattr(network.get_submodule(name.rpartition(".")[0]), "weight_fake_quant", None)
    return weight if rounded is None else rounded(weight)


@dataclass(frozen=True)
class Layer:
    """A Conv or Linear layer: its weights, and how often each is multiplied for one image."""

    name: str
    shape: tuple[int, ...]
    weights: int
    zeros: int
    uses: int

    @property
    def skipped(self) -> int:
        """The multiplications by a zero."""
        return self.zeros * self.uses

    @property
    def plain(self) -> dict[str, JSON]:
        """Plain values, for a summary."""
        return {**asdict(self), "shape": list(self.shape), "macs": self.weights * self.uses}


def layers(network: nn.Module, image: Tensor) -> list[Layer]:
    """Count the zeros of every Conv and Linear layer, and the places that it is applied at.

    Args:
        network: in eval mode, on the CPU.
        image: one, of the shape that the network takes.

    """
    import torch
    from torch.nn.modules.conv import _ConvTransposeNd

    from bench.training import layer_weights

    weights = layer_weights(network)
    uses = dict.fromkeys(weights, 0)

    def counting(name: str) -> Callable[..., None]:
        def count(layer: nn.Module, given: tuple[Tensor], made: Tensor) -> None:
            # a weight is used at each place of the output; transposed, at each of the input
            met = given[0] if isinstance(layer, _ConvTransposeNd) else made
            uses[name] += met.numel() // weights[name].shape[0]

        return count

    hooks = []
    for place, layer in network.named_modules():
        # layers that share their weights all use them; a parametrised weight is made anew
        same = [name for name, weight in weights.items() if weight is getattr(layer, "weight", 0)]
        own = f"{place}.weight".lstrip(".")
        if same or own in weights:
            hooks.append(layer.register_forward_hook(counting([*same, own][0])))
    try:
        with torch.inference_mode():
            network(image)
    finally:
        for hook in hooks:
            hook.remove()
    found = []
    for name, weight in weights.items():
        effective = _effective(network, name, weight)
        zeros = effective.numel() - _nonzero(effective)
        place = name.rpartition(".")[0]
        found.append(Layer(place, tuple(weight.shape), weight.numel(), zeros, uses[name]))
    return found


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
