"""Files of a report: what they are called, and which of them a report may remove.

Knows nothing of what they show.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

MANIFEST = ".bench-report.json"
"""In a report's folder: a list of the files that the last report wrote."""

_KEPT = re.compile(r"[A-Za-z0-9_.,=@%+-]")


def file_name(*names: str) -> str:
    """Write names as the name of one file; different names never have the same.

    Letters, digits and ``_ . , = @ % + -`` stay. A slash inside a name is ``~``, a colon ``!``, and
    ``~~`` separates two names. Of any other character each byte of its UTF-8 is ``^`` and two
    hexadecimal digits; so is a dot at the start. Names in decomposed Unicode keep ASCII only, as
    some file systems compose them. Some ignore whether a letter is a capital: what has
    capitals ends with ``^^`` and their places, as a hexadecimal number.

    >>> file_name("net/pruned-20%", "pgd@eps=8/255"), file_name("a b", "."), file_name("Net")
    ('net~pruned-20%~~pgd@eps=8~255', 'a^20b~~^2e', 'Net^^1')
    """
    return "~~".join(_quoted(name) + _capitals(name) for name in names)


def _capitals(name: str) -> str:
    places = sum(1 << place for place, sign in enumerate(name) if sign != sign.lower())
    return f"^^{places:x}" if places else ""


def _quoted(name: str) -> str:
    is_composed = unicodedata.is_normalized("NFC", name)
    last = len(name) - 1
    written = []
    for place, sign in enumerate(name):
        is_inside = 0 < place < last and name[place - 1] != "/"
        if sign == "/" and is_inside:
            written.append("~")
        elif sign == ":":
            written.append("!")
        elif sign == "." and place == 0:
            written.append("^2e")
        elif _KEPT.match(sign) or (is_composed and not sign.isascii() and sign.isalnum()):
            written.append(sign)
        else:
            written.extend(f"^{byte:02x}" for byte in sign.encode("utf-8", "surrogateescape"))
    return "".join(written)


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Yield an empty folder for a report, whose files then replace those of the last report.

    Of the files in ``folder``, those that the last report's manifest lists and this one did not
    write are removed; all others stay. An exception leaves the last report as it was.

    Raises:
        OSError: where the folder cannot be written.

    """
    folder.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".bench-report-", dir=folder))
    try:
        yield fresh
        files = (path for path in fresh.rglob("*") if path.is_file())
        written = sorted(path.relative_to(fresh).as_posix() for path in files)
        earlier = _listed(folder)
        _list(folder, sorted({*earlier, *written}))  # whatever ends this midway, all are listed
        for name in written:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (fresh / name).replace(folder / name)
        for name in sorted(set(earlier) - set(written)):
            _remove(folder, name)
        _list(folder, written)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _listed(folder: Path) -> list[str]:
    """Return the files that the last report wrote; none where no manifest says so."""
    try:
        names = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _list(folder: Path, names: Sequence[str]) -> None:
    text = json.dumps({"files": list(names)}, indent=1, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def _remove(folder: Path, name: str) -> None:
    """Remove a file, and the folders that it leaves empty; nothing outside the report's folder."""
    parts = PurePosixPath(name).parts
    path = folder.joinpath(*parts)
    if ".." in parts or not path.parent.resolve().is_relative_to(folder.resolve()):
        return
    if path.is_file():
        path.unlink()
    for parent in path.parents:
        if parent == folder or not parent.is_dir() or any(parent.iterdir()):
            return
        parent.rmdir()
