"""A network of the user's own code, with the user's own weights.

This room knows how to import a callable and what its source hashes to. It does not know how weights
are read, nor which network is right.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, JsonValue

from bench.api import Model
from bench.errors import PluginError, UsageError, explained, named
from bench.records import JSON

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

    from torch.nn import Module

_WHERE = "model checkpoint: architecture"


def _names_a_callable(text: str) -> str:
    source, _, attribute = text.rpartition(":")
    is_module = all(part.isidentifier() for part in source.split("."))
    if not attribute.isidentifier() or not (source.endswith(".py") or is_module):
        raise ValueError(
            f"got '{text}', expected 'package.module:callable' or 'path/file.py:callable'"
        )
    return text


class Checkpoint(Model):
    """A callable of yours that returns a network, and a file of weights for it.

    The callable is called with ``kwargs`` and nothing else: bench does not pass it the number of
    classes, but refuses a network that returns another. A ``file.py`` must be self-contained (its
    folder is not put on the import path). The SHA-256 of the source file that is named is part of
    the architecture's identity; sources that it imports are not.
    """

    architecture: Annotated[str, AfterValidator(_names_a_callable)] = Field(
        description="package.module:callable or path/file.py:callable"
    )
    kwargs: dict[str, JsonValue] = Field(
        default_factory=dict, description="what the callable is called with"
    )
    weights: Path = Field(description=".safetensors or .pt file, loaded strictly")
    mean: tuple[float, ...] = Field(description="of each channel, pixels in [0, 1]")
    std: tuple[float, ...] = Field(description="of each channel")

    def structure(self) -> dict[str, JSON]:
        """Return the callable, its arguments and its source's SHA-256; no folder's name.

        Raises:
            UsageError: where the source is missing.

        """
        file = self._file()
        source = file if file is not None else _source(self._module())
        name = f"{file.name}:{self._attribute()}" if file is not None else self.architecture
        return {
            **super().structure(),
            "architecture": name,
            "source": None if source is None else hashlib.sha256(source.read_bytes()).hexdigest(),
        }

    def sources(self) -> tuple[str, ...]:
        """Return the packages of a module; a file's SHA-256 is part of :meth:`structure`."""
        if self._file() is not None:
            return ()
        package, _, _ = self._module().rpartition(".")
        return tuple({name: None for name in (self._module(), package) if name})

    def build(self, *, classes: int, image_shape: tuple[int, int, int]) -> Module:
        """Import the callable, call it, and try its network on one image.

        Raises:
            UsageError: where the file, the module or the callable is missing, or the network does
                not fit the dataset.
            PluginError: where the code fails, or returns something else than a network.

        """
        from torch import nn

        from bench_plugins.models.probe import try_one_image

        where = f"{_WHERE} '{self.architecture}'"
        network = self._called(where)
        if not isinstance(network, nn.Module):
            raise PluginError.of(
                where,
                f"returned a {type(network).__name__}",
                "a torch.nn.Module",
                "name a class or a function that returns the network",
            )
        try_one_image(
            network,
            where=where,
            classes=classes,
            image_shape=image_shape,
            action="correct 'kwargs:', or choose the dataset it was made for",
        )
        return network

    def _called(self, where: str) -> object:
        module = self._imported(where)
        attribute = self._attribute()
        found: Callable[..., object] | None = getattr(module, attribute, None)
        if not callable(found):
            names = sorted(n for n, v in vars(module).items() if callable(v) and n[0] != "_")
            raise UsageError.of(
                where,
                f"has no callable '{attribute}'",
                "one of " + ", ".join(names) if names else "a class or a function",
                "correct the name after the colon",
            )
        with explained(
            lambda error: PluginError.of(
                where,
                f"failed when called: {named(error)}",
                "a network",
                "correct 'kwargs:' or the code",
            )
        ):
            return found(**self.kwargs)

    def _imported(self, where: str) -> ModuleType:
        file = self._file()
        if file is None:
            _source(self._module())
        with explained(
            lambda error: PluginError.of(
                where, f"failed to import: {named(error)}", "code that imports", "mend it"
            )
        ):
            return importlib.import_module(self._module()) if file is None else _executed(file)

    def _attribute(self) -> str:
        return self.architecture.rpartition(":")[2]

    def _module(self) -> str:
        return self.architecture.rpartition(":")[0]

    def _file(self) -> Path | None:
        """Return the ``file.py``, None where a module is named."""
        path = Path(self._module())
        if path.suffix != ".py":
            return None
        if not path.is_file():
            raise UsageError.of(
                f"{_WHERE} '{self.architecture}'",
                f"there is no file {path}",
                "a file of Python code, relative to the current directory",
                "correct the path before the colon",
            )
        return path


def _executed(file: Path) -> ModuleType:
    """Execute a file as a module named after its content, so that an edited one is another."""
    name = "bench_checkpoint_" + hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} has no loader")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look modules up by name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _source(module: str) -> Path | None:
    """Locate a module's source file, importing neither it nor its parents.

    Returns:
        The file, or None where the module has none (built in, or compiled).

    Raises:
        UsageError: where there is no such module.

    """
    folders: list[str] | None = None
    spec: ModuleSpec | None = None
    name = ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
        specs = (find(name, folders) for find in finders if find is not None)
        spec = next((found for found in specs if found is not None), None)
        if spec is None:
            raise UsageError.of(
                f"{_WHERE} '{module}'",
                f"there is no module '{name}'",
                "an installed module, or path/file.py",
                "install it, or correct the name before the colon",
            )
        folders = list(spec.submodule_search_locations or [])
    origin = spec.origin if spec is not None else None
    return Path(origin) if origin is not None and origin.endswith(".py") else None
