"""What the command line changes in a suite file, written into its document before it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import SuiteError
from bench.suite import document
from bench.suite.document import Document


@dataclass(frozen=True)
class Overrides:
    """What the command line changes in a suite file; None changes nothing.

    ``models`` and ``attacks`` hold names (``all``: every model that the suite declares; an attack's
    name selects all that its grid expands to). ``sets`` holds ``path=value`` texts.
    """

    models: Sequence[str] | None = None
    attacks: Sequence[str] | None = None
    dataset: str | None = None
    data_root: str | None = None
    images: int | None = None
    seed: int | None = None
    device: str | None = None
    threads: int | None = None
    sets: Sequence[str] = ()

    def words(self) -> list[str]:
        """Return the options of the command line that say the same."""
        words: list[str] = []
        if self.models is not None:
            words += ["--models", ",".join(self.models)]
        for name in self.attacks or ():
            words += ["--attacks", name]
        for option in ("dataset", "data_root", "images", "seed", "device", "threads"):
            value = getattr(self, option)
            if value is not None:
                words += [f"--{option.replace('_', '-')}", str(value)]
        for text in self.sets:
            words += ["--set", text]
        return words


def apply(doc: Document, overrides: Overrides) -> Document:
    """Write overrides into a document; the paths that they set remember the option's name.

    ``sets`` come last, so that they can reach into what the other options put there.
    """
    doc = _apply_dataset(doc, overrides)
    if overrides.models is not None:
        models = "all" if list(overrides.models) == ["all"] else list(overrides.models)
        doc = doc.with_value(("run", "models"), models, "--models")
    for option, place in {
        "images": ("images", "count"),
        "seed": ("seed",),
        "device": ("run", "device"),
        "threads": ("run", "threads"),
    }.items():
        value = getattr(overrides, option)
        if value is not None:
            doc = doc.with_value(place, value, f"--{option}")
    for text in overrides.sets:
        keys, value = _assignment(text)
        if keys[0] == "dataset" and len(keys) > 1 and isinstance(doc.data.get("dataset"), str):
            doc = doc.with_value(("dataset",), {"plugin": doc.data["dataset"]}, f"--set {text}")
        doc = doc.with_value(keys, value, f"--set {text}")
    return doc


def _apply_dataset(doc: Document, overrides: Overrides) -> Document:
    """Name another dataset, or give the suite's another root; the same one keeps its parameters."""
    now = doc.data.get("dataset")
    named = now.get("plugin") if isinstance(now, dict) else now
    if overrides.dataset is not None and overrides.dataset != named:
        doc = doc.with_value(("dataset",), {"plugin": overrides.dataset}, "--dataset")
    if overrides.data_root is not None:
        if isinstance(doc.data.get("dataset"), str):
            doc = doc.with_value(("dataset",), {"plugin": doc.data["dataset"]}, "--data-root")
        doc = doc.with_value(("dataset", "root"), overrides.data_root, "--data-root")
    return doc


def _assignment(text: str) -> tuple[document.Path, Any]:
    """Split ``path=value`` at the first "=" that is not within the path's brackets."""
    path, equals, value = text.partition("=")
    while path.count("[") > path.count("]") and equals:
        more, equals, value = value.partition("=")
        path = f"{path}={more}"
    keys = document.parse_path(path)
    if not equals or not keys:
        raise SuiteError.of(f"--set {text}", "is not of the form path=value", "attacks.pgd.eps=0.1")
    return keys, document.parse_value(value)
