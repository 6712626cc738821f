"""Datasets: labelled images in splits."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.api.plugin import Plugin
from bench.records import JSON
from bench.tensors import PixelArray

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Split:
    """One part of a dataset.

    Attributes:
        images: as many arrays as there are labels, each uint8 of shape (height, width, channel),
            all of one shape; may be a generator, so that large folders need not fit in memory.
        labels: class indices.
        names: what each image is called in records: unique within the dataset.

    """

    images: Iterable[PixelArray]
    labels: Sequence[int]
    names: Sequence[str]


@dataclass(frozen=True)
class Content:
    """All that a dataset holds: the names of its classes, and its splits by name."""

    classes: Sequence[str]
    splits: Mapping[str, Split]


class Dataset(Plugin):
    """Labelled images in named splits (``train``, ``valid``, ``test``).

    The core decodes a dataset once into a memory-mapped cache, and reads it again only when
    :meth:`stamp`, a parameter, the revision or the library changes. Pixels are bytes here and
    float32 in [0, 1] everywhere else.
    """

    @abstractmethod
    def read(self) -> Content:
        """Read the dataset.

        Raises:
            DataError: where something is missing or malformed.

        """

    def stamp(self) -> JSON:
        """Return a cheap plain value that changes whenever the source on disk changes."""
        return None
