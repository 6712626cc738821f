"""Photographs of ten sports, brought by the user.

This room knows which ten classes there are. It does not know how images are stored.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from bench.api import Content
from bench.errors import DataError
from bench_plugins.datasets.image_folder import ImageFolder


class Sports10(ImageFolder):
    """The ten-class part of the "100 Sports Image Classification" photographs.

    An image folder whose classes are exactly those in ``CLASSES``.
    """

    CLASSES: ClassVar[tuple[str, ...]] = (
        "baseball",
        "basketball",
        "football",
        "golf",
        "hockey",
        "rugby",
        "swimming",
        "tennis",
        "volleyball",
        "weightlifting",
    )

    root: Path = Field(
        Path("data/sports10"),
        description="folder of the splits; relative to the current directory",
    )

    def read(self) -> Content:
        """List the files, as an image folder does.

        Raises:
            DataError: also where the classes are not the ten.

        """
        content = super().read()
        missing = sorted(set(self.CLASSES) - set(content.classes))
        surplus = sorted(set(content.classes) - set(self.CLASSES))
        if missing or surplus:
            parts = [
                f"{word} {', '.join(names)}"
                for word, names in (("lacks", missing), ("also has", surplus))
                if names
            ]
            raise DataError.of(
                str(self.root),
                " and ".join(parts),
                "the ten classes of sports10",
                "give the folder of the ten (--data-root), or take the dataset 'image_folder'",
            )
        return content
