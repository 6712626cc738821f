"""Plugins that are values, each by its name: metrics and rules.

One entry offers a class, a value, or a table of several. Only a table itself knows the names in
it, so the first look imports all entries of the kind. One that fails costs only those who name it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, ValuesView
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from bench import registry
from bench.errors import BenchError, PluginError, explained, named
from bench.registry import Offer


class Value(Protocol):
    """What the core asks of any of them."""

    name: str

    @property
    def fault(self) -> str:
        """What is missing for it to be used, or nothing."""
        ...


T = TypeVar("T", bound=Value)


@dataclass(frozen=True)
class _Found(Generic[T]):
    """What was found: values with who offers each, and what is wrong with the others, by name."""

    offers: tuple[Offer, ...]
    values: Mapping[str, tuple[Offer, T]]
    faults: Mapping[str, BenchError]


class Offered(Mapping[str, T]):
    """The values of one kind that are installed. Nothing is imported before the first look.

    Iteration meets those that can be used. To look up one that cannot is a :class:`PluginError`
    that says why: it fails to import, breaks its contract, or is offered twice.
    """

    def __init__(self, kind: str, base: type[Any]) -> None:
        self.kind = kind
        self._base = base
        self._known: _Found[T] | None = None
        self._installed: tuple[Offer, ...] | None = None

    def __getitem__(self, name: str) -> T:
        found = self._found
        if name in found.faults:
            raise found.faults[name]
        return found.values[name][1]

    def __contains__(self, name: object) -> bool:
        found = self._found
        return name in found.values or name in found.faults

    def __iter__(self) -> Iterator[str]:
        return iter(self._found.values)

    def __len__(self) -> int:
        return len(self._found.values)

    def values(self) -> ValuesView[T]:
        """Return those that can be used."""
        return {name: value for name, (_, value) in self._found.values.items()}.values()

    @property
    def faults(self) -> Mapping[str, BenchError]:
        """What is wrong with those that cannot be used, by the name of the value or the entry."""
        return self._found.faults

    def offer(self, name: str) -> Offer:
        """Return who offers a value."""
        return self._found.values[name][0]

    @property
    def _found(self) -> _Found[T]:
        installed = registry.everything()
        if self._known is None or self._installed is not installed:
            offers = tuple(registry.offers(self.kind))
            if self._known is None or self._known.offers != offers:
                self._known = self._look(offers)
            self._installed = installed
        return self._known

    def _look(self, offers: tuple[Offer, ...]) -> _Found[T]:
        """Import all entries, and sort out what cannot be used."""
        by_name: dict[str, list[tuple[Offer, T]]] = {}
        faults: dict[str, BenchError] = {}
        for offer in offers:
            try:
                for value in self._read(offer):
                    by_name.setdefault(value.name, []).append((offer, value))
            except PluginError as error:
                faults[offer.name] = error
        for name, found in by_name.items():
            if len(found) > 1:
                faults[name] = registry.clash(self.kind, name, [offer for offer, _ in found])
        values = {name: found[0] for name, found in by_name.items() if name not in faults}
        return _Found(offers, values, faults)

    def _read(self, offer: Offer) -> list[T]:
        """Import an entry: a class or a value, whose name is the entry's, or a table of them."""
        where = offer.place
        found = registry.imported(offer)
        with explained(lambda error: PluginError.of(where, f"raised {named(error)}")):
            if isinstance(found, (type, self._base)):
                return [self._checked(found, offer.name, where)]
            listed: Iterable[Any] = found.values() if isinstance(found, Mapping) else found
            return [self._checked(value, None, where) for value in listed]

    def _checked(self, found: object, name: str | None, where: str) -> T:
        """Make a value of a class, and check it against what its base promises.

        Args:
            found: a class or a value.
            name: that it must have; None where it has its own, in a table.
            where: for errors.

        """
        value = found() if isinstance(found, type) and issubclass(found, self._base) else found
        if not isinstance(value, self._base):
            wanted = f"a subclass of bench.api.{self._base.__name__}, or a table of such"
            raise PluginError.of(where, f"offers {found!r}", wanted, "derive from it")
        value.name = value.name or name or ""
        if not value.name or name not in (None, value.name):
            wanted = "a name" if name is None else f"the entry point's, '{name}'"
            raise PluginError.of(where, f"name: got '{value.name}'", wanted)
        if value.fault:
            raise PluginError.of(where, f"{value.name}: {value.fault}")
        checked: T = value
        return checked
