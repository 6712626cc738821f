"""Files of weights: arrays by name, wherever tools put them. Nothing is ever unpickled.

This room knows no network: whether the arrays fit one is decided in another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bench.classifier import contents
from bench.errors import BenchError, WeightsError, explained, named_shortly

if TYPE_CHECKING:
    from numpy.typing import NDArray

USUAL = ("state_dict", "model_state_dict", "model")
"""Where in a ``.pt`` file a state dict is looked for, if it is not at the top."""

_WIDENED = (torch.float16, torch.bfloat16)
_PLAIN = (
    *(torch.float64, torch.float32, torch.bool, torch.uint8),
    *(torch.int8, torch.int16, torch.int32, torch.int64),
)
_DEPTH = 3


@dataclass(frozen=True)
class WeightsFile:
    """What a file of weights holds.

    Attributes:
        arrays: by name; those of 16 bits widened to float32.
        header: the texts of a ``.safetensors`` file; empty for others.
        remarks: what a person should know of how it was read.

    """

    arrays: dict[str, NDArray[Any]]
    header: dict[str, str]
    remarks: tuple[str, ...] = ()


def read_weights(path: Path, key: str | None = None) -> WeightsFile:
    """Read a file of weights; nothing is ever unpickled.

    Args:
        path: ``.safetensors``, or ``.pt``/``.pth`` read with ``weights_only=True``, holding a
            state dict, or one under one of :data:`USUAL`.
        key: where else the state dict lies.

    Raises:
        WeightsError: where the file is missing or holds no state dict, or tensors of no use.

    """
    where = str(path)
    if not path.is_file():
        raise WeightsError.of(
            where, "no such file", "a file of weights", "no other weights take its place"
        )
    if path.suffix == ".safetensors":
        content, header = _safetensors(path)
    else:
        content, header = _loaded(path), {}
    state, remarks = _state_dict(content, key, where)
    arrays = {name: _array(name, tensor, where) for name, tensor in state.items()}
    return WeightsFile(arrays, header, remarks)


def _safetensors(path: Path) -> tuple[Any, dict[str, str]]:
    from safetensors import safe_open

    with (
        explained(
            lambda error: WeightsError.of(
                str(path),
                f"cannot be read: {named_shortly(error)}",
                "a .safetensors file",
                "copy or fetch it again, or save it anew",
            )
        ),
        safe_open(path, framework="pt") as file,
    ):
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        return tensors, file.metadata() or {}


def _loaded(path: Path) -> Any:
    def refusal(error: Exception) -> BenchError:
        found = contents.of(path, error)
        expected = ".safetensors, or .pt that torch reads with weights_only=True"
        return WeightsError.of(str(path), found.what, expected, found.action)

    with explained(refusal):
        return torch.load(path, map_location="cpu", weights_only=True)


def _state_dict(
    content: Any, key: str | None, where: str
) -> tuple[Mapping[str, torch.Tensor], tuple[str, ...]]:
    """Find the state dict: under a key, at the top, or in one of the usual places."""
    if key is not None:
        under = _under(content, key)
        if not _is_state_dict(under):
            what = f"holds no state dict under '{key}'"
            if under is not None:
                what += f", but {contents.listed(under)}"
            raise _refusal(content, what, where)
        return under, ()
    if _is_state_dict(content):
        return content, ()
    keyed = content if isinstance(content, Mapping) else {}
    usual = next((name for name in USUAL if _is_state_dict(keyed.get(name))), None)
    if usual is None:
        raise _refusal(content, "holds no state dict", where)
    others = [path for path in _places(content) if path != usual]
    if not others:
        return keyed[usual], ()
    listed = ", ".join(f"'{other}'" for other in others)
    remark = (
        f"of {Path(where).name}, what lies under '{usual}' was loaded, not what lies under "
        f"{listed}: 'weights_key:' names another"
    )
    return keyed[usual], (remark,)


def _refusal(content: Any, what: str, where: str) -> BenchError:
    """Name what there is instead, and what to do with it."""
    places = list(_places(content))
    mixed = isinstance(content, Mapping) and any(map(_is_tensor, content.values()))
    if places:
        action = f"give the key: weights_key: {' or '.join(places[:_DEPTH])}"
    elif mixed or any(isinstance(v, Mapping) for v in getattr(content, "values", list)()):
        action = "save the tensors alone, by their names"
    else:
        action = "save network.state_dict() as the file"
    usual = ", ".join(f"'{name}'" for name in USUAL)
    return WeightsError.of(
        where,
        f"{what}: it holds {contents.listed(content)}",
        f"tensors by name, at the top or under one of {usual}",
        action,
    )


def _under(content: Any, key: str) -> Any:
    """Return what lies under a key, whose dots may part keys of one within another."""
    if not isinstance(content, Mapping):
        return None
    if key in content:
        return content[key]
    parts = key.split(".")
    for count in range(len(parts) - 1, 0, -1):
        first = ".".join(parts[:count])
        if first in content:
            return _under(content[first], ".".join(parts[count:]))
    return None


def _places(content: Any, depth: int = _DEPTH) -> Iterator[str]:
    """Yield the keys under which state dicts lie."""
    if not isinstance(content, Mapping) or depth == 0:
        return
    for key, value in content.items():
        if _is_state_dict(value):
            yield str(key)
        else:
            yield from (f"{key}.{inner}" for inner in _places(value, depth - 1))


def _is_tensor(value: object) -> bool:
    return isinstance(value, torch.Tensor)


def _is_state_dict(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(name, str) for name in content)
        and all(map(_is_tensor, content.values()))
    )


def _array(name: str, tensor: torch.Tensor, where: str) -> NDArray[Any]:
    """Return a tensor as an array, 16 bits widened to 32.

    Raises:
        WeightsError: for a type or a layout that are no weights.

    """
    held = tensor.detach()
    kind = str(held.dtype).removeprefix("torch.")
    if held.is_quantized or held.dtype not in (*_PLAIN, *_WIDENED):
        raise WeightsError.of(
            where,
            f"'{name}' is of type {kind}",
            "float32, float64, or float16 and bfloat16, which are widened to float32",
            "save it in one of these types",
        )
    if held.layout != torch.strided or held.is_meta:
        raise WeightsError.of(
            where,
            f"'{name}' is {'without values' if held.is_meta else f'of layout {held.layout}'}",
            "dense tensors",
            "save it dense",
        )
    array: NDArray[Any] = (held.float() if held.dtype in _WIDENED else held).cpu().numpy()
    return array
