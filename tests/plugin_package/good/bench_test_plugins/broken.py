"""Classes that break the contract of plugins, each in one way."""

from __future__ import annotations

from typing import Any, ClassVar

from bench.api import Attack


class Impostor:
    """No plugin at all."""


class Unsigned(Attack):
    """Its perturb takes the wrong arguments."""

    norm: ClassVar[Any] = "linf"

    def perturb(self, model: Any, x: Any) -> Any:  # type: ignore[override]
        """Take what nobody gives."""
        return x


class Unnormed(Attack):
    """Its norm does not exist."""

    norm: ClassVar[Any] = "l3"

    def perturb(self, classifier, images, labels, *, targets=None, generator):  # type: ignore[no-untyped-def]
        """Do nothing."""
        return images


class Unfinished(Attack):
    """It has no perturb."""

    norm: ClassVar[Any] = None
