"""Finds plugins through entry points, and validates each one when it is named.

Nothing is imported before somebody names it, so a plugin that fails to import costs only those who
use it. Two distributions that offer one name are an error naming both. This room does not know what
plugins are for.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any

from bench.api import (
    KINDS,
    VALUES,
    Attack,
    Dataset,
    Detector,
    Explainer,
    FineTuning,
    Hardening,
    Model,
    Plugin,
    Reduction,
    Shield,
)
from bench.errors import BenchError, PluginError, UsageError, explained, named, nearest
from bench.records import NORMS
from bench.registry import sources
from bench.registry.sources import source as source
from bench.registry.sources import source_digest as source_digest

OWN = "bench-classifiers"
"""The distribution that this package and the first-party plugins come in."""

_HOOKS: Mapping[type[Plugin], tuple[str, dict[str, Any]]] = {
    Dataset: ("read", {}),
    Model: ("build", {"classes": 10, "image_shape": (3, 32, 32)}),
    Attack: (
        "perturb",
        {"classifier": 0, "images": 0, "labels": 0, "targets": None, "generator": 0},
    ),
    Explainer: ("explain", {"classifier": 0, "images": 0, "targets": 0, "generator": 0}),
    Shield: ("defend", {"classifier": 0, "members": (), "seed": 0}),
    Hardening: ("adversarial_batch", {"classifier": 0, "images": 0, "labels": 0, "generator": 0}),
    Detector: ("score", {"classifier": 0, "images": 0}),
    Reduction: ("reduce", {"network": 0, "images": 0, "labels": 0, "generator": 0}),
    FineTuning: ("loss", {"logits": 0, "teacher_logits": 0, "plain": 0}),
}
"""For each class to derive from, what the core calls and the arguments that it calls it with."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A plugin that some installed distribution offers, not imported yet."""

    kind: str
    name: str
    distribution: str
    version: str
    target: str

    @property
    def module(self) -> str:
        """The module that defines the plugin's class."""
        return self.target.partition(":")[0]

    @property
    def place(self) -> str:
        """How errors name it."""
        return f"{self.kind[:-1]} plugin '{self.name}' of {self.distribution} {self.version}"


@cache
def _offers() -> tuple[Offer, ...]:
    found: dict[tuple[str, str, str, str], Offer] = {}
    points = metadata.entry_points()
    for group in points.groups:
        kind = group.removeprefix("bench.")
        for point in points.select(group=group) if kind != group else ():
            name = point.dist.name if point.dist else "?"
            version = point.dist.version if point.dist else "?"
            found[kind, point.name, name, point.value] = Offer(
                kind, point.name, name, version, point.value
            )
    order = [*KINDS, *VALUES, *sorted({offer.kind for offer in found.values()})]
    return tuple(sorted(found.values(), key=lambda o: (order.index(o.kind), o.name)))


def everything() -> tuple[Offer, ...]:
    """Return all that is installed: the same object until it is looked up anew."""
    return _offers()


def offers(kind: str | None = None) -> list[Offer]:
    """List what is installed, of one kind or of all that :data:`bench.api.KINDS` has.

    Imports no plugin.

    Raises:
        UsageError: for an unknown kind.

    """
    if kind is not None and kind not in (*KINDS, *VALUES):
        raise UsageError.of("kind", f"got '{kind}'", "one of " + ", ".join([*KINDS, *VALUES]))
    return [
        offer for offer in _offers() if offer.kind == kind or (kind is None and offer.kind in KINDS)
    ]


def strangers() -> list[str]:
    """Say which installed entry points are of a kind that bench does not know, a sentence each."""
    known = [*KINDS, *VALUES]
    found: dict[tuple[str, str, str], list[str]] = {}
    for offer in _offers():
        if offer.kind not in known:
            names = found.setdefault((offer.kind, offer.distribution, offer.version), [])
            names.append(f"'{offer.name}'")
    return [
        f"{distribution} {version} offers {', '.join(names)} in the entry-point group "
        f"'bench.{kind}', which bench does not know: {nearest(kind, known)}"
        for (kind, distribution, version), names in found.items()
    ]


def find(kind: str, name: str) -> Offer:
    """Find the one offer of a name.

    Raises:
        PluginError: where there is none (with the nearest names), or more than one.

    """
    candidates = offers(kind)
    matches = [offer for offer in candidates if offer.name == name]
    if not matches:
        raise PluginError.of(
            f"{kind[:-1]} plugin '{name}'",
            "is not installed",
            action=nearest(name, [offer.name for offer in candidates])
            + f" (see 'bench list {kind}')",
        )
    if len(matches) > 1:
        raise clash(kind, name, matches)
    return matches[0]


def clash(kind: str, name: str, offered: Sequence[Offer]) -> BenchError:
    """Return the error that a name is offered more than once."""
    sources = " and ".join(f"{o.distribution} {o.version} ({o.target})" for o in offered)
    return PluginError.of(
        f"{kind[:-1]} plugin '{name}'",
        f"is offered twice: by {sources}",
        "one distribution for one name",
        "uninstall one of them",
    )


@cache
def load(kind: str, name: str) -> type[Plugin]:
    """Import and validate a plugin.

    Raises:
        PluginError: where it is missing, offered twice, fails to import or breaks its contract.

    """
    offer = find(kind, name)
    plugin = imported(offer)
    _validate(plugin, KINDS[kind], offer.place)
    checked: type[Plugin] = plugin
    return checked


def imported(offer: Offer) -> Any:
    """Import what an entry point names.

    Raises:
        PluginError: where that fails, for whatever reason.

    """
    module_name, _, attribute = offer.target.partition(":")
    with explained(
        lambda error: PluginError.of(
            offer.place,
            f"failed to import: {named(error)}",
            f"'{offer.target}' to be importable",
            "mend or uninstall it; suites that do not name it are not affected",
        )
    ):
        return getattr(importlib.import_module(module_name), attribute)


def _validate(plugin: object, base: type[Plugin], where: str) -> None:
    if not (isinstance(plugin, type) and issubclass(plugin, base)):
        raise PluginError.of(
            where, f"is {plugin!r}", f"a subclass of bench.api.{base.__name__}", "derive from it"
        )
    if abstract := sorted(getattr(plugin, "__abstractmethods__", ())):
        raise PluginError.of(where, "lacks " + ", ".join(abstract), "every abstract method", "")
    if not inspect.getdoc(plugin) or inspect.getdoc(plugin) == inspect.getdoc(base):
        raise PluginError.of(where, "has no docstring", "one that says what it is", "write it")
    derived = next((known for known in _HOOKS if issubclass(plugin, known)), None)
    if derived is None:
        known = ", ".join(known.__name__ for known in _HOOKS if issubclass(known, base))
        raise PluginError.of(where, f"derives from {base.__name__} alone", f"one of {known}", "")
    hook, arguments = _HOOKS[derived]
    _check_signature(getattr(plugin, hook), arguments, f"{where}: {hook}")
    if issubclass(plugin, Attack) and "norm" not in plugin.model_fields:
        norm = getattr(plugin, "norm", "")
        if norm is not None and not isinstance(norm, property) and norm not in NORMS:
            got = f"got {norm!r}" if norm else "is not declared"
            raise PluginError.of(f"{where}: norm", got, "None or one of " + ", ".join(NORMS))


def _check_signature(hook: Callable[..., object], arguments: dict[str, Any], where: str) -> None:
    signature = inspect.signature(hook)
    try:
        signature.bind(None, **arguments)
    except TypeError as error:
        raise PluginError.of(
            where,
            f"has the signature {signature}: {error}",
            "the arguments self, " + ", ".join(arguments),
            "take the signature of bench.api",
        ) from error


def summary(offer: Offer) -> str:
    """Return the first line of a plugin's docstring by parsing its source, importing nothing."""
    return sources.summary(offer.module, offer.target.partition(":")[2])


def requirements() -> tuple[str, ...]:
    """Name the distributions that this one depends on, without its extras."""
    needed = metadata.requires(OWN) or ()
    return tuple(re.split(r"[^\w.-]", need)[0] for need in needed if "extra ==" not in need)


@cache
def installed_version(distribution: str) -> str:
    """Return the installed version of a distribution, or ``missing``."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "missing"


def identity(kind: str, name: str, plugin: Plugin) -> dict[str, Any]:
    """Return the part of an identity that names a plugin: all but its parameters."""
    offer = find(kind, name)
    entry: dict[str, Any] = {
        "plugin": f"{offer.distribution}:{name}",
        "revision": type(plugin).revision,
    }
    if plugin.wraps is not None:
        entry["library"] = f"{plugin.wraps} {installed_version(plugin.wraps)}"
    return entry
