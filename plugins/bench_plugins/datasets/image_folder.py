"""Images in folders: one folder a split, in it one folder a class.

This room knows the layout, and how a file becomes an array of bytes. It does not know which classes
there should be.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from bench.api import Content, Dataset, Split
from bench.errors import DataError
from bench.records import JSON
from bench.tensors import PixelArray

if TYPE_CHECKING:
    from PIL.Image import Image

_FOLDERS = {"train": ("train",), "valid": ("valid", "val", "validation"), "test": ("test",)}
"""What the folder of each split may be called."""

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})

_LEFT_BY_SYSTEMS = frozenset({"thumbs.db", "desktop.ini"})
"""Files that systems leave in folders of images, as are those whose names begin with a dot."""

_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
"""Pillow's modes that become RGB without losing depth; it would clip the others in silence."""


class ImageFolder(Dataset):
    """Images in ``root/{train,valid,test}/class/``, resized whole to squares.

    ``valid`` may also be called ``val`` or ``validation``, and may be missing; ``train`` and
    ``test`` may not. Classes are the folders' names, the same in each split: in the order of
    their numbers where all are numbers (0, 1, 2, ... 10), or else sorted as text. Files are JPEG,
    PNG, BMP or WebP of eight bits a channel, turned upright as their EXIF says, made RGB
    (transparency is dropped), and resized with an antialiased bilinear filter, which changes the
    aspect of what is not square.
    """

    wraps: ClassVar[str | None] = "pillow"

    root: Path = Field(description="folder of the splits; relative to the current directory")
    size: int = Field(32, ge=8, le=4096, description="height and width after resizing, in pixels")

    def read(self) -> Content:
        """List the files; they are decoded one by one, when their split is iterated.

        Raises:
            DataError: where the layout is not as described, or a file does not decode.

        """
        folders = self._folders()
        classes = self._classes(folders)
        splits: dict[str, Split] = {}
        for split, folder in folders.items():
            files = [_files(folder / name) for name in classes]
            splits[split] = Split(
                images=Pictures([file for group in files for file in group], self.size),
                labels=[label for label, group in enumerate(files) for _ in group],
                names=[
                    f"{split}/{name}/{file.name}"
                    for name, group in zip(classes, files, strict=True)
                    for file in group
                ],
            )
        return Content(classes=classes, splits=splits)

    def stamp(self) -> JSON:
        """Hash each file's path below the root, its size and its time of change, class by class.

        In the classes' order: images that were decoded in another are not taken for these.
        """
        seen: list[JSON] = []
        for folder in self._folders().values():
            for group in _subfolders(folder):
                for file in _files(folder / group):
                    status = file.stat()
                    path = file.relative_to(self.root).as_posix()
                    seen.append([path, status.st_size, status.st_mtime_ns])
        return hashlib.sha256(json.dumps(seen).encode()).hexdigest()

    def _folders(self) -> dict[str, Path]:
        if not self.root.is_dir():
            raise DataError.of(
                str(self.root),
                "is not a folder" if self.root.exists() else "does not exist",
                "a folder with train/CLASS/*.jpg and test/CLASS/*.jpg",
                "put the images there, or give another folder ('root:' or --data-root)",
            )
        found: dict[str, Path] = {}
        for split, names in _FOLDERS.items():
            present = [self.root / name for name in names if (self.root / name).is_dir()]
            if len(present) > 1:
                raise DataError.of(
                    str(self.root),
                    f"holds {' and '.join(folder.name for folder in present)}",
                    f"one folder for the split '{split}'",
                    "remove or merge one of them",
                )
            if present:
                found[split] = present[0]
            elif split != "valid":
                raise DataError.of(
                    str(self.root),
                    f"has no folder '{split}'",
                    f"{split}/CLASS/*.jpg in it",
                    "add it, or give another folder ('root:' or --data-root)",
                )
        return found

    def _classes(self, folders: dict[str, Path]) -> list[str]:
        classes = _subfolders(folders["train"])
        for folder in folders.values():
            lacking, surplus = _apart(classes, _subfolders(folder))
            differences = [
                f"{what} {', '.join(names)}"
                for what, names in (("lacks", lacking), ("also has", surplus))
                if names
            ]
            if differences:
                raise DataError.of(
                    str(folder),
                    " and ".join(differences),
                    f"the classes of {folders['train']}",
                    "make the folders' names the same in each split",
                )
        return classes


@dataclass(frozen=True)
class Pictures:
    """Files, decoded anew each time they are iterated, with one in memory at a time."""

    files: Sequence[Path]
    size: int

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[PixelArray]:
        for file in self.files:
            yield decode(file, self.size)


def decode(file: Path, size: int) -> PixelArray:
    """Decode one file to bytes of shape (size, size, 3).

    Raises:
        DataError: where it cannot be decoded, or has more than eight bits a channel.

    """
    import numpy as np
    from PIL import Image

    try:
        # broken notes on how a picture was taken are no fault of its pixels
        with (
            warnings.catch_warnings(action="ignore", category=UserWarning),
            Image.open(file) as opened,
        ):
            picture = _upright_rgb(opened, file)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError.of(
            str(file),
            f"does not decode ({str(error) or type(error).__name__})",
            "a whole JPEG, PNG, BMP or WebP image",
            "replace it or take it out of the folder",
        ) from error
    return np.array(picture.resize((size, size), Image.Resampling.BILINEAR))


def _upright_rgb(opened: Image, file: Path) -> Image:
    from PIL import ImageOps

    if opened.mode not in _EIGHT_BIT_MODES:
        raise DataError.of(
            str(file),
            f"has Pillow's mode {opened.mode}",
            "eight bits a channel",
            "convert it, choosing how its values become bytes",
        )
    upright = ImageOps.exif_transpose(opened)
    if upright.mode == "P" and "transparency" in upright.info:
        # Pillow warns where such a palette goes straight to RGB; through RGBA the colours are equal
        upright = upright.convert("RGBA")
    return upright.convert("RGB")


def _subfolders(folder: Path) -> list[str]:
    names = [p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
    if not names:
        raise DataError.of(
            str(folder),
            "has no folders in it",
            "one folder for each class",
            "sort the images into such",
        )
    if all(map(_is_number, names)):
        return sorted(names, key=lambda name: (Decimal(name), name))
    return sorted(names)


def _apart(wanted: Sequence[str], found: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return what names lack and have besides; those that only look the same, as they are written.

    An accent may be part of its letter, or a sign of its own after it.
    """
    lacking, surplus = {*wanted} - {*found}, {*found} - {*wanted}

    def looks(names: set[str]) -> set[str]:
        return {unicodedata.normalize("NFC", name) for name in names}

    alike = looks(lacking) & looks(surplus)

    def shown(name: str) -> str:
        if unicodedata.normalize("NFC", name) not in alike:
            return name
        return f"{name} (written {name!a})"

    return [shown(name) for name in sorted(lacking)], [shown(name) for name in sorted(surplus)]


def _is_number(name: str) -> bool:
    return re.fullmatch(r"[-+]?\d+(\.\d+)?", name) is not None


def _files(folder: Path) -> list[Path]:
    """List a class's files by name; what is neither image nor left by a system is an error."""
    entries = sorted(
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith(".") and entry.name.lower() not in _LEFT_BY_SYSTEMS
    )
    strange = [e for e in entries if e.suffix.lower() not in _SUFFIXES or not e.is_file()]
    if strange:
        raise DataError.of(
            str(strange[0]),
            "is no image that can be read"
            + (f" (nor are {len(strange) - 1} more beside it)" if strange[1:] else ""),
            "files ending in " + ", ".join(sorted(_SUFFIXES)),
            "convert it or take it out of the folder",
        )
    if not entries:
        raise DataError.of(
            str(folder),
            "has no images in it",
            "one or more",
            "add some, or remove the class everywhere",
        )
    return entries
