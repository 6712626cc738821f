"""Twins of int8 networks: float networks that round as the int8 network does, with gradients.

A twin is made by the FX graph mode of ``torch.ao.quantization``: batch normalisation is folded into
the weights before it, and what quantises is part of the graph, as modules. Those modules are our
own: weights are rounded by scales that follow them, activations by scales that were calibrated
once, and nothing else is kept: a twin's state is weights, biases, scales and zero points.

This room knows no parameters and no forms.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.ao.quantization import HistogramObserver, ObserverBase, QConfig, QConfigMapping
from torch.ao.quantization.quantize_fx import convert_fx, fuse_fx, prepare_qat_fx
from torch.fx import GraphModule

from bench import seeds
from bench.errors import PluginError, explained, named
from bench.tensors import Images

LEVELS = 128
"""Of an activation: 7 bits. Processors without VNNI add products of bytes in pairs, in 16 bits;
with 8 bits these would saturate, and give other answers than elsewhere."""
_LARGEST = 127
_SMALLEST_SCALE = torch.finfo(torch.float32).eps
_BATCH = 32
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class Activations(ObserverBase):
    """Rounds activations to 128 levels between two ends that were calibrated, and clips beyond."""

    scale: Tensor
    zero_point: Tensor

    def __init__(self) -> None:
        super().__init__(dtype=torch.quint8, is_dynamic=False)
        self.qscheme = torch.per_tensor_affine
        self.quant_min, self.quant_max = 0, LEVELS - 1
        self.register_buffer("scale", torch.tensor(1.0))
        self.register_buffer("zero_point", torch.tensor(0, dtype=torch.int32))
        self.watching: list[HistogramObserver] = []  # no part of the module: no histogram is kept

    def forward(self, maps: Tensor) -> Tensor:
        """Round, or look on while calibrating."""
        for observer in self.watching:
            observer(maps)
            return maps
        return torch.fake_quantize_per_tensor_affine(
            maps, self.scale, self.zero_point, self.quant_min, self.quant_max
        )

    def calculate_qparams(self, **_: object) -> tuple[Tensor, Tensor]:
        """Return scale and zero point."""
        return self.scale, self.zero_point

    def watch(self) -> None:
        """Begin to look on."""
        observer = HistogramObserver(
            dtype=torch.quint8, quant_min=self.quant_min, quant_max=self.quant_max
        )
        observer.dst_nbins = LEVELS
        self.watching = [observer]

    def settle(self) -> None:
        """Take the ends that lose least of what was seen."""
        for observer in self.watching:
            scale, zero_point = observer.calculate_qparams()
            self.scale.copy_(scale.squeeze())
            self.zero_point.copy_(zero_point.squeeze())
        self.watching = []


class Weights(ObserverBase):
    """Rounds weights to multiples of a scale: each output channel's largest weight is 127 of it."""

    def __init__(self, **_: object) -> None:
        super().__init__(dtype=torch.qint8, is_dynamic=False)
        self.qscheme = torch.per_channel_symmetric
        self.quant_min, self.quant_max = -_LARGEST, _LARGEST
        self.ch_axis = 0
        self.scale = torch.ones(1)

    def forward(self, weight: Tensor) -> Tensor:
        """Round by the scales of the weights as they are; gradients pass straight through."""
        self.scale = scales(weight)
        return torch.fake_quantize_per_channel_affine(
            weight,
            self.scale,
            torch.zeros_like(self.scale, dtype=torch.int32),
            self.ch_axis,
            self.quant_min,
            self.quant_max,
        )

    def effective_weights(self, stored: Tensor) -> Tensor:
        """Return the weights that the layer computes with: those it stores, rounded."""
        return self.forward(stored)

    def calculate_qparams(self, **_: object) -> tuple[Tensor, Tensor]:
        """Return the scales of the weights that were rounded last, and zeros."""
        return self.scale, torch.zeros_like(self.scale, dtype=torch.int64)


def scales(weight: Tensor) -> Tensor:
    """Return the scale of each output channel."""
    largest = weight.detach().abs().flatten(1).amax(1)
    return (largest / _LARGEST).clamp_min(_SMALLEST_SCALE)


def twin_of(network: nn.Module, example: Images, where: str) -> nn.Module:
    """Build the twin of a network, in eval mode; its activations are not calibrated.

    Raises:
        PluginError: for a network that cannot be traced, or is a twin already.

    """
    if is_twin(network):
        raise PluginError.of(where, "got a network that is quantised already", "one that is not")
    others = {str(each.dtype)[6:] for each in network.parameters() if each.dtype != torch.float32}
    if others:
        raise PluginError.of(
            where,
            f"got a network whose weights are {', '.join(sorted(others))}",
            "float32, whose scales int8 kernels take",
            "leave this step out for this model, or build it in float32",
        )
    with (
        quiet(),
        seeds.preserved(),  # modules that are replaced draw fresh weights first
        explained(
            lambda error: PluginError.of(
                where,
                f"cannot follow the network: {named(error)}",
                "a forward that torch.fx can trace: no branches on what the images hold",
                "leave this step out for this model",
            )
        ),
    ):
        network.eval()  # which may return nothing
        folded = fuse_fx(network)
        mapping = QConfigMapping().set_global(_qconfig())
        for kind in _TRANSPOSED:  # no twin rounds their weights
            mapping.set_object_type(kind, None)
        twin: nn.Module = prepare_qat_fx(folded.train(), mapping, (example,))
    if not any(isinstance(module, Weights) for module in twin.modules()):
        raise PluginError.of(where, "finds nothing to quantise", "a Conv or Linear layer")
    # a bias that folding adds would not learn
    return twin.eval().requires_grad_(requires_grad=True)


def _qconfig() -> QConfig:
    return QConfig(activation=Activations, weight=Weights)  # type: ignore[no-untyped-call]


def is_twin(network: nn.Module) -> bool:
    """Whether a network is a twin."""
    return any(isinstance(module, Activations | Weights) for module in network.modules())


@torch.no_grad()
def calibrate(twin: nn.Module, images: Images) -> None:
    """Choose the ends of all activations by what images make of them."""
    rounding = [module for module in twin.modules() if isinstance(module, Activations)]
    with quiet():
        for module in rounding:
            module.watch()
        for batch in images.split(_BATCH):  # type: ignore[no-untyped-call]
            twin(batch)
        for module in rounding:
            module.settle()


def deployed(twin: nn.Module, where: str) -> nn.Module:
    """Return the int8 network of a twin, which is left as it is.

    Raises:
        PluginError: for a network that is no twin, and where torch has no engine for int8.

    """
    if not isinstance(twin, GraphModule):
        raise PluginError.of(where, "got a network that is no twin", "what it made itself")
    with quiet(), engine(where), seeds.preserved():
        network: nn.Module = convert_fx(_reshaping(copy.deepcopy(twin)).eval())
    return network


def _reshaping(network: GraphModule) -> GraphModule:
    """Have a network copy maps that it cannot view: those of int8 always lie channels last."""
    for node in network.graph.nodes:
        if node.op == "call_method" and node.target == "view":
            node.target = "reshape"
    network.recompile()
    return network


def packed(twin: nn.Module) -> Mapping[str, Tensor]:
    """Return what is shipped: bytes and scales in place of rounded weights, and all else as it is.

    Weights need no zero points: they are symmetric.
    """
    tensors: dict[str, Tensor] = dict(twin.state_dict())
    for name, layer in twin.named_modules():
        if isinstance(getattr(layer, "weight_fake_quant", None), Weights):
            weight = layer.get_parameter("weight").detach()
            scale = scales(weight)
            shape = (-1, *[1] * (weight.ndim - 1))
            tensors[f"{name}.weight"] = (weight / scale.view(shape)).round().to(torch.int8)
            tensors[f"{name}.weight_scale"] = scale
    return tensors


@contextmanager
def engine(where: str) -> Iterator[None]:
    """Have torch pack int8 weights for x86 where it can, else as it does by default."""
    before = torch.backends.quantized.engine
    offered = [name for name in torch.backends.quantized.supported_engines if name != "none"]
    if not offered:
        raise PluginError.of(where, "torch has no engine for int8", "x86 or qnnpack")
    preferred = [name for name in ("x86", before, "qnnpack") if name in offered]
    torch.backends.quantized.engine = (preferred or offered)[0]
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


@contextmanager
def quiet() -> Iterator[None]:
    """Silence torch's notice that its quantisation will move."""
    with warnings.catch_warnings():
        for message in (
            "torch.ao.quantization is deprecated",
            "torch.quantize_per_tensor, torch.quantize_per_channel",
        ):
            warnings.filterwarnings("ignore", message)
        yield
