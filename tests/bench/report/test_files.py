"""Names of a report's files, and which of them a later report removes."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.files import MANIFEST, file_name, replaced

NAMES = st.lists(
    st.text(st.sampled_from("ab-~^/.:!5 é猫\u0301%"), min_size=1), min_size=1, max_size=3
)


@given(NAMES, NAMES)
def test_different_names_have_different_files(names: list[str], others: list[str]) -> None:
    assert (file_name(*names) == file_name(*others)) is (names == others)


@given(NAMES)
def test_a_file_is_in_its_folder_on_every_system(names: list[str]) -> None:
    name = file_name(*names)
    assert not name.startswith(".")
    assert not set(name) & set('/\\:*?"<>| \n')
    assert unicodedata.is_normalized("NFC", name)


@given(NAMES, NAMES)
def test_files_differ_where_capitals_are_small_letters(names: list[str], others: list[str]) -> None:
    """As on the disks of Windows and macOS: Net and net are two models."""
    spelled = [name.replace("b", "A") for name in names]
    other = [name.replace("b", "A") for name in others]
    same = file_name(*spelled).lower() == file_name(*other).lower()
    assert same is (spelled == other)
    assert file_name("Net").lower() != file_name("net").lower() != file_name("nEt").lower()


def test_names_that_suites_use_stay_as_they_are() -> None:
    assert file_name("simple_cnn") == "simple_cnn"
    assert file_name("a/b") != file_name("a-b") == "a-b"
    assert file_name("net/pruned-20%", "pgd@eps=0.1,steps=5") == (
        "net~pruned-20%~~pgd@eps=0.1,steps=5"
    )
    assert file_name("猫") == "猫"


def write(folder: Path, **files: str) -> None:
    with replaced(folder) as fresh:
        for name, text in files.items():
            path = fresh / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def left(folder: Path) -> set[str]:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return found - {MANIFEST}


def test_a_report_removes_what_the_last_one_wrote_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    write(folder, page="1", examples__net__one="1", examples__net__two="1")
    (folder / "mine.csv").write_text("a user's own")
    (folder / "examples" / "net" / "notes").write_text("a user's own")
    write(folder, page="2", examples__net__two="2", examples__other__one="2")
    assert left(folder) == {
        *("page", "examples/net/two", "examples/other/one", "mine.csv", "examples/net/notes"),
    }
    assert (folder / "page").read_text() == (folder / "examples/net/two").read_text() == "2"
    write(folder, page="3")
    assert left(folder) == {"page", "mine.csv", "examples/net/notes"}
    assert not (folder / "examples" / "other").exists()
    listed = json.loads((folder / MANIFEST).read_text())["files"]
    assert listed == ["page"]


def test_a_report_that_fails_leaves_the_last_one_as_it_was(tmp_path: Path) -> None:
    write(tmp_path, page="1", figure="1")
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    with pytest.raises(FileExistsError):
        write(tmp_path, page="2", page__under="a file is no folder")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("text", ["", "[]", "{", '{"files": "page"}', '{"files": [1, null]}'])
def test_a_manifest_that_says_nothing_removes_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "page").write_text("a user's own")
    (tmp_path / MANIFEST).write_text(text)
    write(tmp_path, other="1")
    assert left(tmp_path) == {"page", "other"}


def test_nothing_outside_the_folder_is_removed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("a user's own")
    folder = tmp_path / "reports"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    names = ["../outside/file", str(outside / "file"), "link/file", "..", "."]
    (folder / MANIFEST).write_text(json.dumps({"files": names}))
    write(folder, page="1")
    assert (outside / "file").is_file()
