"""What all plugins share."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict

from bench.records import JSON

if TYPE_CHECKING:
    pass


class Plugin(BaseModel, ABC):
    """What all plugins share.

    Class variables:
        revision: raise it by hand whenever a change of the code changes what it returns; it is part
            of every identity, so that old results are not taken for new ones.
        wraps: the distribution on the package index that does the work, if any ("torchattacks");
            its version is part of every identity.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, arbitrary_types_allowed=False
    )

    revision: ClassVar[int] = 1
    wraps: ClassVar[str | None] = None

    def parameters(self) -> dict[str, JSON]:
        """Return the parameters as plain values: what identities and tables see."""
        return self.model_dump(mode="json")
