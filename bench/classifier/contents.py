"""What a file holds that is no file of weights, for its error. Nothing in it is ever executed.

Pickles are read as a list of operations: names are seen, nothing is imported and no object is made.
This room does not know what weights are for.
"""

from __future__ import annotations

import pickletools
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

_HARMLESS = (
    *("torch", "torch._utils", "torch.storage", "torch._tensor", "torch.nn.parameter"),
    *("torch.serialization", "collections", "numpy", "_codecs"),
)
"""Modules whose names stand in files that torch.save writes, or within objects of others."""

_SHOWN = 3
_MEGABYTE = 1 << 20
_STARTS = {
    b"version https://git-lfs": (
        "is a pointer of Git LFS, not the file itself",
        "fetch it with 'git lfs pull'",
    ),
    b"\x89HDF": ("is an HDF5 file, as Keras writes", "save it as tensors by name"),
    b"\x93NUMPY": ("is a file of numpy", "save it as tensors by name"),
    b"\x1f\x8b": ("is compressed by gzip", "unpack it"),
    b"<": ("is a page of text, as of a download that failed", "fetch the file again"),
}
_ALONE = "read it where you trust it, and save its state dict alone"


@dataclass(frozen=True)
class Found:
    """What is wrong with a file, and what to do."""

    what: str
    action: str


@dataclass
class _Pickle:
    """What a pickle names: objects, each with the last text before it, and all texts."""

    objects: dict[str, str] = field(default_factory=dict)
    texts: set[str] = field(default_factory=set)

    def read(self, content: bytes) -> None:
        """Add what one stream names; it may end early or be no pickle."""
        stream = BytesIO(content)
        last = ["", "", ""]
        try:
            while stream.tell() < len(content):
                for operation, argument, _ in pickletools.genops(stream):
                    if isinstance(argument, str) and "UNICODE" in operation.name:
                        self.texts.add(argument)
                        last = [*last[1:], argument]
                    elif operation.name == "GLOBAL":
                        self.objects.setdefault(str(argument).replace(" ", "."), last[-1])
                    elif operation.name == "STACK_GLOBAL":
                        self.objects.setdefault(f"{last[1]}.{last[2]}", last[0])
        except (ValueError, IndexError, KeyError, OverflowError, MemoryError):
            return  # what follows is no pickle: the tensors' bytes

    @property
    def is_network(self) -> bool:
        """Whether a module was pickled whole."""
        return {"_modules", "_parameters", "training"} <= self.texts

    def strange(self) -> Iterator[tuple[str, str]]:
        """Yield objects that are no tensors, each with the key that it lies under."""
        for name, under in self.objects.items():
            module = name.rpartition(".")[0]
            if module not in _HARMLESS:
                yield name, under


def of(path: Path, error: Exception) -> Found:
    """Say why torch cannot read a file as tensors, and what would help."""
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        return Found("is empty", "copy or fetch it again")
    for magic, (what, action) in _STARTS.items():
        if start.startswith(magic):
            return Found(what, action)
    if start[8:9] == b"{":
        return Found("is a safetensors file by its content", "name it .safetensors")
    if zipfile.is_zipfile(path):
        return _of_archive(path, error)
    seen = _Pickle()
    with path.open("rb") as file:
        seen.read(file.read(64 * _MEGABYTE))
    return _of_pickle(seen, error)


def _of_archive(path: Path, error: Exception) -> Found:
    seen = _Pickle()
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if any(name.endswith("constants.pkl") for name in names):
                return Found(
                    "is a TorchScript archive, which holds code",
                    "give the state dict of the network within: torch.jit.load(file).state_dict()",
                )
            if names and all(name.endswith(".npy") for name in names):
                return Found("is an archive of numpy arrays", "save it as tensors by name")
            for name in (each for each in names if each.endswith("data.pkl")):
                seen.read(archive.read(name))
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError):  # the last: of compression
        return Found("is an archive that is damaged", "copy or fetch it again")
    return _of_pickle(seen, error)


def _of_pickle(seen: _Pickle, error: Exception) -> Found:
    if seen.is_network:
        kinds = [name for name, _ in seen.strange() if not name.startswith("torch.")]
        return Found(
            f"is a network saved whole{f' ({kinds[0]})' if kinds else ''}, which needs its code",
            "save network.state_dict(), not the network",
        )
    strange = [f"{name} under '{under}'" if under else name for name, under in seen.strange()]
    if strange:
        more = f" and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
        listed = ", ".join(strange[:_SHOWN])
        return Found(f"holds objects besides tensors: {listed}{more}", _ALONE)
    reason = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).partition("\n")[0].partition(". ")[0]
    return Found(f"cannot be read: {reason}", "copy or fetch it again, or save it anew")


def listed(content: object) -> str:
    """Name what a mapping holds: tensors by their number, the rest by key and type."""
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    tensors = sum(_is_tensor(value) for value in content.values())
    shown = [f"{tensors} {'tensor' if tensors == 1 else 'tensors'}"] if tensors else []
    others = {key: value for key, value in content.items() if not _is_tensor(value)}
    for key, value in list(others.items())[: 2 * _SHOWN]:
        inner = len(value) if isinstance(value, Mapping) else 0
        kind = f"{inner} tensors" if inner and all(map(_is_tensor, value.values())) else ""
        shown.append(f"'{key}' ({kind or type(value).__name__})")
    more = len(others) - 2 * _SHOWN
    shown += [f"{more} more"] if more > 0 else []
    return (
        " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown) or "nothing"
    )


def _is_tensor(value: object) -> bool:
    import torch

    return isinstance(value, torch.Tensor)
