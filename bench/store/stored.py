"""A cell that a store holds, and its manifest."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bench.errors import StoreError
from bench.records import JSON, Coordinates
from bench.store.index import FORMAT


@dataclass(frozen=True)
class Stored:
    """A cell that a store holds."""

    key: str
    kind: str
    coordinates: Coordinates
    identity: dict[str, Any]
    outputs: dict[str, str]
    summary: dict[str, JSON]
    provenance: dict[str, JSON]
    files: dict[str, str]

    @property
    def label(self) -> str:
        """The name of the cell in plans and messages."""
        return f"{self.kind} {self.coordinates}"

    @property
    def manifest(self) -> dict[str, Any]:
        """What the store writes of the cell; :meth:`of` reads it."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def of(cls, manifest: Any, where: str, folder: str) -> Stored:
        """Read a manifest.

        Args:
            manifest: what its file or the index holds.
            where: which cell of which store, for an error.
            folder: of the cell, for an error.

        Raises:
            StoreError: where it is of another format, or not whole.

        """
        if isinstance(manifest, dict) and manifest.get("format") != FORMAT:
            raise StoreError.of(
                where,
                f"is of format {manifest.get('format')}",
                f"format {FORMAT}, which this version of bench reads",
                "name another store with --store, or another version of bench",
            )
        try:
            return cls(
                key=manifest["key"],
                kind=manifest["kind"],
                coordinates=Coordinates(**manifest["coordinates"]),
                identity=manifest["identity"],
                outputs=manifest["outputs"],
                summary=manifest["summary"],
                provenance=manifest["provenance"],
                files=manifest["files"],
            )
        except (KeyError, TypeError) as error:
            raise StoreError.of(
                where,
                f"has a manifest that lacks or misplaces {error}",
                "what bench wrote",
                f"remove {folder} and run again",
            ) from error
