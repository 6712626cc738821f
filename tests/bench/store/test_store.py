"""Cells are written once and read back exactly; files are the truth, the index is a copy."""

from __future__ import annotations

import errno
import json
import math
import os
import random
import sqlite3
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.errors import StoreError
from bench.records import AttackRecord, Coordinates, EvaluateRecord, Result, TransferRecord
from bench.store import Store, Stored

KEY = "ab" + "0" * 62
OTHER = "ab" + "1" * 62
THIRD = "cd" + "2" * 62
WHERE = Coordinates("cnn", attack="pgd@eps=0.1")

ATTACKS = [
    AttackRecord("test/0", 3, None, 3, 0.75, 5, 0.1, None, 0.1, 1 / 3, 5e-324, 7.0, 0, None, True),
    AttackRecord(
        "tést/\u2028|,1",
        9,
        1,
        0,
        1.0,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        "not finite",
        None,
    ),
    AttackRecord(
        "test/2", 2**40, 1, 2, 0.1 + 0.2, 1, 1e-17, 1e300, 0.0, -0.0, 1e-8, 64.0, 40, None, False
    ),
]
TRANSFERS = [
    TransferRecord("a", 1, None, None, 1, 0.5, 2, 0.25, None, 0.1, 0.5, 2.0, 3.0, None),
    TransferRecord("b", 1, 2, True, 1, 0.5, None, None, None, 0.1, 0.5, 2.0, 3.0, "out of range"),
    TransferRecord("c", 1, 2, False, 1, 0.5, 2, 0.25, 0.25, 0.1, 0.5, 2.0, 3.0, None),
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def put(store: Store, key: str = KEY, **result: Any) -> Stored:
    return store.put(key, "attack", WHERE, {"seed": 3}, Result(**result), {"time": "now"})


def again(store: Store) -> Store:
    """Open the same store anew, as the next command does."""
    return Store(store.url)


def cell(store: Store, key: str = KEY) -> Path:
    assert store.folder is not None
    return store.folder / "cells" / key[:2] / key


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return records as plain Python values, missing ones as None."""
    return [
        {
            name: None
            if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))
            else value
            for name, value in row.items()
        }
        for row in frame.to_dict("records")
    ]


def same(value: Any, expected: Any) -> bool:
    """Compare bit for bit, and type for type."""
    if isinstance(expected, float):
        return isinstance(value, float) and value.hex() == expected.hex()
    return type(value) is type(expected) and value == expected


# Round trips


@pytest.mark.parametrize("records", [ATTACKS, TRANSFERS], ids=["attack", "transfer"])
def test_records_come_back_as_they_were(store: Store, records: list[Any]) -> None:
    put(store, records=records)
    frame = again(store).records(again(store).find(KEY))
    assert list(frame.columns) == [field.name for field in fields(records[0])]
    for row, record in zip(rows(frame), records, strict=True):
        for name, expected in asdict(record).items():
            assert same(row[name], expected), name


def test_columns_have_one_type_even_where_every_value_is_missing(store: Store) -> None:
    empty = [
        TransferRecord("a", 1, None, None, 1, 0.5, None, None, None, None, None, None, None, None),
        TransferRecord("b", 1, None, None, 1, 0.5, None, None, None, None, None, None, None, None),
    ]
    full = [TransferRecord("a", 1, 2, True, 1, 0.5, 2, 0.5, 0.5, 0.1, 0.5, 2.0, 3.0, "why")]
    missing = store.records(put(store, KEY, records=empty)).dtypes
    present = store.records(put(store, OTHER, records=full)).dtypes
    assert missing.drop("violation").equals(present.drop("violation"))
    for name in ("label", "target", "clean_prediction", "prediction"):
        assert missing[name] == pd.Int64Dtype()
    assert missing["source_success"] == pd.BooleanDtype()
    assert missing["confidence"] == np.float64


def test_random_floats_come_back_bit_for_bit(store: Store) -> None:
    generator = random.Random(1)
    values = [generator.uniform(0, 1) * 10.0 ** generator.randint(-20, 3) for _ in range(500)]
    records = [EvaluateRecord(str(i), 0, 0, value) for i, value in enumerate(values)]
    frame = store.records(put(store, records=records))
    assert [v.hex() for v in frame["confidence"].tolist()] == [v.hex() for v in values]


def arrays() -> dict[str, np.ndarray]:
    images = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5) / 7
    return {
        "plain": images,
        "channels_last": np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        "fortran": np.asfortranarray(images),
        "strided": images[:, :, ::2, ::-1],
        "number": np.array(5, dtype=np.int64),
        "one": np.array([5], dtype=np.int64),
        "empty": np.zeros((0, 3), dtype=np.float32),
        "bytes": np.arange(256, dtype=np.uint8),
        "bools": np.array([True, False]),
        "halves": np.array([0.1, -0.0], dtype=np.float16),
        "doubles": np.array([0.1, 5e-324, np.inf]),
    }


@pytest.mark.parametrize("name", arrays())
def test_arrays_come_back_as_they_were(store: Store, name: str) -> None:
    array = arrays()[name]
    put(store, arrays={name: array})
    found = again(store).arrays(again(store).find(KEY))
    assert list(found) == [name]
    assert found[name].dtype == array.dtype
    assert found[name].shape == array.shape
    assert found[name].tobytes() == array.tobytes()  # tobytes writes in C order, whatever lies how


def test_the_manifest_comes_back_as_it_was(store: Store) -> None:
    where = Coordinates("cnn", "pruned", "pgd", "other/original")
    identity = {"kind": "transfer", "parameters": {"eps": 0.1, "alpha": None}, "list": [1, "ü"]}
    result = Result(
        arrays={"a": np.zeros(1)},
        header={"mean": "[0.1, 0.2]", "ü": "ß\n"},
        outputs={"classifier": "f" * 64},
        summary={"images": 3, "loss": [0.1 + 0.2, 1e-300], "none": None},
    )
    store.put(KEY, "transfer", where, identity, result, {"versions": {"torch": "2"}})
    found = again(store).find(KEY)
    assert (found.key, found.kind, found.coordinates) == (KEY, "transfer", where)
    assert found.identity == identity
    assert found.outputs == {"classifier": "f" * 64}
    assert found.summary == {"images": 3, "loss": [0.1 + 0.2, 1e-300], "none": None}
    assert found.provenance == {"versions": {"torch": "2"}}
    assert set(found.files) == {"arrays"}
    assert found.label == "transfer other>cnn/pruned/pgd"
    assert again(store).header(found) == {"mean": "[0.1, 0.2]", "ü": "ß\n"}


def test_put_returns_what_find_finds(store: Store) -> None:
    assert store.find(KEY) is None
    assert put(store, records=ATTACKS) == store.find(KEY) == again(store).find(KEY)
    assert store.find(OTHER) is None


def test_a_cell_without_records_or_arrays_says_so(store: Store) -> None:
    found = put(store, summary={"images": 0})
    for read, word in ((store.records, "records"), (store.arrays, "arrays")):
        with pytest.raises(StoreError, match=rf"{KEY[:12]}.*holds no {word}"):
            read(found)


# Written once


def test_the_second_put_of_a_key_keeps_the_first(store: Store) -> None:
    first = put(store, records=ATTACKS, summary={"seconds": 1})
    second = put(again(store), records=ATTACKS[:1], summary={"seconds": 2})
    assert second == first
    (store.folder / "index.sqlite").unlink()  # the files say so too
    assert again(store).find(KEY) == first
    assert len(again(store).records(again(store).find(KEY))) == len(ATTACKS)


def test_keys_are_listed_from_the_files(store: Store) -> None:
    for key in (THIRD, KEY, OTHER):
        put(store, key)
    assert store.keys() == [KEY, OTHER, THIRD]
    assert [found.key for found in store.match("ab")] == [KEY, OTHER]
    assert [found.key for found in store.match(KEY[:4])] == [KEY]
    assert [found.key for found in store.match("")] == [KEY, OTHER, THIRD]
    assert store.match("ee") == store.match("%") == store.match("a_") == []


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    for name in ("old [1]", "what?", "a*b", "ü b", "50%", "a#b"):
        store = Store(tmp_path / name)
        put(store, records=ATTACKS)
        store.put_run("20260101T000000.000000Z-a-1", {"suite": "a"})
        assert store.keys() == [KEY], name
        assert len(store.runs()) == 1, name
        assert len(again(store).records(again(store).find(KEY))) == len(ATTACKS), name


def test_left_over_files_are_no_cells(store: Store) -> None:
    put(store, records=ATTACKS)
    # what kill -9 leaves: temporary files, and data without a manifest
    unfinished = cell(store, OTHER)
    unfinished.mkdir(parents=True)
    (unfinished / "records-0123456789abcdef.parquet").write_bytes(b"data")
    (unfinished / ".cell.json-1a2b3c4d").write_bytes(b'{"key": ')
    (cell(store) / ".cell.json-1a2b3c4d").write_bytes(b"{")
    for opened in (store, again(store)):
        assert opened.keys() == [KEY]
        assert opened.find(OTHER) is None
        assert opened.find(KEY) is not None
    assert put(again(store), OTHER, records=ATTACKS[:1]).key == OTHER
    assert len(again(store).records(again(store).find(OTHER))) == 1


def test_nothing_temporary_is_left_behind(store: Store) -> None:
    put(store, records=ATTACKS, arrays={"a": np.zeros(3)})
    put(store, records=ATTACKS, arrays={"a": np.zeros(3)})
    store.fail(OTHER, {"error": "x"})
    store.put_run("20260101T000000.000000Z-a-1", {})
    names = [path.name for path in store.folder.rglob("*") if path.is_file()]
    assert not [name for name in names if name.startswith(".")]
    assert len([name for name in names if name.endswith((".parquet", ".safetensors"))]) == 2


def test_a_removed_cell_is_gone(store: Store) -> None:
    put(store)
    put(store, OTHER)
    (cell(store) / "cell.json").unlink()
    for opened in (again(store), store):
        assert opened.find(KEY) is None
        assert opened.keys() == [OTHER]
        assert [found.key for found in opened.match("")] == [OTHER]


def test_a_removed_cell_does_not_match(store: Store) -> None:
    put(store)
    put(store, OTHER)
    (cell(store) / "cell.json").unlink()
    assert [found.key for found in again(store).match("")] == [OTHER]


def test_a_cell_that_the_index_has_not_heard_of_is_found_and_matched(
    store: Store, tmp_path: Path
) -> None:
    put(store)
    store.match("")  # the index is written
    elsewhere = Store(tmp_path / "elsewhere")
    put(elsewhere, THIRD, records=ATTACKS)
    # as rsync brings cells from another machine, or as a kill leaves them before they are indexed
    cell(store, THIRD).parent.mkdir(parents=True)
    cell(elsewhere, THIRD).rename(cell(store, THIRD))
    assert [found.key for found in again(store).match("cd")] == [THIRD]
    assert again(store).find(THIRD) is not None


def test_results_outlast_a_power_cut_and_unfinished_work_need_not(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    store.put_partial(KEY, "maker", b"blob")
    assert synced == []
    put(store, KEY, records=ATTACKS, arrays={"a": np.zeros(2)})
    assert len(synced) == 3  # records, arrays, and the manifest


# The index is a copy


def empty_database(path: Path, version: int) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (x)")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


def remove(path: Path) -> None:
    path.unlink()


def garble(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 40)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "deleted": remove,
    "empty": lambda path: path.write_bytes(b""),
    "garbage": garble,
    "truncated": truncate,
    "no tables": lambda path: (path.unlink(), empty_database(path, 0))[0],
    "no tables, version of today": lambda path: (path.unlink(), empty_database(path, 1))[0],
    "version of tomorrow": lambda path: (path.unlink(), empty_database(path, 99))[0],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_lost_index_is_rebuilt_from_the_files(
    store: Store, damage: Callable[[Path], None]
) -> None:
    keys = [f"{i:02x}" + f"{i:062x}" for i in range(16)]  # enough for several pages of SQLite
    before = [put(store, key, summary={"i": key}) for key in keys]
    index = store.folder / "index.sqlite"
    assert index.is_file()
    damage(index)
    assert [again(store).find(key) for key in keys] == before
    assert again(store).match("") == before
    damage(index)
    assert again(store).match("") == before
    assert put(again(store), THIRD).key == THIRD
    assert len(again(store).match("")) == 17


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_an_index_that_is_lost_under_an_open_store_is_rebuilt(
    store: Store, damage: Callable[[Path], None]
) -> None:
    keys = [f"{i:02x}" + f"{i:062x}" for i in range(16)]
    before = [put(store, key, summary={"i": key}) for key in keys]
    damage(store.folder / "index.sqlite")
    assert [store.find(key) for key in keys] == before
    assert put(store, THIRD).key == THIRD
    assert len(store.match("")) == 17


# Damage to the truth


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: os.truncate(path, path.stat().st_size // 2),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
        lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
    ],
    ids=["truncated", "empty", "gone", "one-bit"],
)
@pytest.mark.parametrize("name", ["records", "arrays", "header"])
def test_a_damaged_file_is_reported_with_its_cell(store: Store, name: str, damage) -> None:
    found = put(store, records=ATTACKS, arrays={"a": np.zeros(3)}, header={"a": "b"})
    file = "records" if name == "records" else "arrays"
    damage(cell(store) / found.files[file])
    with pytest.raises(StoreError) as error:
        getattr(again(store), name)(again(store).find(KEY))
    text = str(error.value)
    assert KEY[:12] in text
    assert found.label in text
    assert found.files[file] in text


@pytest.mark.parametrize(
    "blob",
    [b"", b"{", b"\xff\xfe", b"[]", b"null", b"{}", b'{"format": 1, "key": "x"}'],
    ids=["empty", "half", "binary", "list", "null", "no-keys", "few-keys"],
)
def test_an_unreadable_manifest_is_reported_with_its_cell(store: Store, blob: bytes) -> None:
    put(store)
    put(store, OTHER)
    (cell(store) / "cell.json").write_bytes(blob)
    (store.folder / "index.sqlite").unlink()
    with pytest.raises(StoreError, match=KEY[:12]):
        again(store).find(KEY)


def test_an_unreadable_account_of_a_run_is_reported_with_its_name(store: Store) -> None:
    run = "20260101T000000.000000Z-a-1"
    store.put_run(run, {"suite": "a"})
    (store.folder / "runs" / f"{run}.json").write_bytes(b'{"suite"')
    with pytest.raises(StoreError, match=run):
        store.last_run()


@pytest.mark.parametrize(
    "use",
    [
        lambda store: store.find(KEY),
        put,
        lambda store: store.put_run("20260101T000000.000000Z-a-1", {}),
        lambda store: store.fail(KEY, {"error": "x"}),
        lambda store: store.match("ab"),
    ],
    ids=["find", "put", "put_run", "fail", "match"],
)
def test_a_store_that_is_a_file_is_reported(tmp_path: Path, use: Callable[[Store], object]) -> None:
    (tmp_path / "README.md").write_text("not a folder")
    with pytest.raises(StoreError, match="README"):
        use(Store(tmp_path / "README.md"))


def test_a_url_that_fsspec_cannot_open_is_reported() -> None:
    with pytest.raises(StoreError, match="store 'nowhere://x'"):
        Store("nowhere://x")


# Failures


def test_a_failure_is_noted_and_forgiven_on_success(store: Store) -> None:
    assert store.failure(KEY) is None
    store.forgive(KEY)
    store.fail(KEY, {"error": "first", "traceback": "…\n"})
    store.fail(KEY, {"error": "second"})
    assert again(store).failure(KEY) == {"error": "second"}
    assert again(store).find(KEY) is None
    assert again(store).keys() == []
    put(again(store))
    assert again(store).failure(KEY) is None


def test_failures_of_other_cells_are_kept(store: Store) -> None:
    store.fail(OTHER, {"error": "x"})
    put(store)
    assert store.failure(OTHER) == {"error": "x"}


# Work that is under way

BLOB = b"weights\n\x00\nof an epoch"  # with what parts the maker from it


def test_an_unfinished_state_comes_back_to_its_maker_only(store: Store) -> None:
    assert store.partial(KEY, "trainer") is None
    store.put_partial(KEY, "trainer", BLOB)
    assert again(store).partial(KEY, "trainer") == BLOB
    for other in ("another", "train", "trainer2", ""):
        assert store.partial(KEY, other) is None
    assert store.partial(OTHER, "trainer") is None
    assert store.find(KEY) is None  # no cell


def test_an_unfinished_state_is_replaced_and_dropped_when_the_cell_is_done(store: Store) -> None:
    store.put_partial(KEY, "old", b"first")
    store.put_partial(KEY, "new", BLOB)
    assert store.partial(KEY, "old") is None
    assert store.partial(KEY, "new") == BLOB
    put(store)
    assert store.partial(KEY, "new") is None


@pytest.mark.parametrize("damage", ["cut", "maker", "blob", "empty"])
def test_a_state_that_is_not_whole_is_none(store: Store, damage: str) -> None:
    """A training then starts anew, which costs time and no result."""
    store.put_partial(KEY, "trainer", BLOB)
    (path,) = (store.folder / "partial").iterdir()
    whole = path.read_bytes()
    assert whole.count(b"trainer") == 1
    path.write_bytes(
        {
            "cut": whole[:-1],
            "maker": whole.replace(b"trainer", b"another"),
            "blob": whole.replace(b"weights", b"veights"),
            "empty": b"",
        }[damage]
    )
    for maker in ("trainer", "another"):
        assert store.partial(KEY, maker) is None


# Runs


def run_name(second: int, suite: str) -> str:
    return f"20260101T0000{second:02}.000000Z-{suite}-1a2b3c"


def test_the_last_run_of_a_suite_is_found_whatever_dashes_names_have(store: Store) -> None:
    for second, suite in enumerate(["a", "a-b", "b", "a-b-c", "a", "a.b"]):
        store.put_run(run_name(second, suite), {"suite": suite, "second": second})
    assert again(store).last_run()["second"] == 5
    for suite, second in {"a": 4, "a-b": 1, "b": 2, "a-b-c": 3, "a.b": 5}.items():
        assert again(store).last_run(suite) == {"suite": suite, "second": second}
        assert all(f"-{suite}-" in name for name in store.runs(suite))
    assert store.runs("a") == [run_name(0, "a"), run_name(4, "a")]
    assert store.runs("a-") == store.runs("-b") == store.runs("a-b-") == []


def test_runs_are_listed_in_time(store: Store) -> None:
    for second in (7, 3, 11):
        store.put_run(run_name(second, "a"), {})
    assert store.runs() == [run_name(second, "a") for second in (3, 7, 11)]


def test_an_account_may_be_replaced(store: Store) -> None:
    store.put_run(run_name(0, "a"), {"state": 1})
    store.put_run(run_name(0, "a"), {"state": 2})
    assert store.last_run() == {"state": 2}
    assert len(store.runs()) == 1


def test_a_missing_run_names_the_suites_that_there_are(store: Store) -> None:
    with pytest.raises(StoreError, match="holds no run, expected a run; start one"):
        store.last_run()
    store.put_run(run_name(0, "a-b"), {})
    store.put_run(run_name(1, "c"), {})
    with pytest.raises(StoreError, match="no run of suite 'd', expected a run of one of a-b, c"):
        store.last_run("d")


# Without hard links


@pytest.fixture(
    params=[errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV], ids=errno.errorcode.get
)
def linkless(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system such as exFAT, or a share of another machine."""

    def refuse(source: str, target: str) -> None:
        raise OSError(request.param, os.strerror(request.param), source, None, target)

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("linkless")
def test_a_cell_is_stored_where_there_are_no_hard_links(store: Store) -> None:
    first = put(store, records=ATTACKS, summary={"seconds": 1})
    assert put(again(store), records=ATTACKS[:1], summary={"seconds": 2}) == first
    (store.folder / "index.sqlite").unlink()
    assert again(store).find(KEY) == first
    names = [path.name for path in store.folder.rglob("*") if path.is_file()]
    assert not [name for name in names if name.startswith(".")]


@pytest.mark.usefixtures("linkless")
def test_without_hard_links_two_threads_still_see_one_winner(store: Store) -> None:
    test_two_threads_with_stores_of_their_own_write_the_same_cells(store)


@pytest.mark.usefixtures("linkless")
def test_without_hard_links_a_kill_in_the_middle_leaves_no_cell(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """What SIGKILL would do here."""

    def die(self: Path, target: Path) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", die)
        with pytest.raises(Killed):
            put(store, records=ATTACKS)
    assert again(store).find(KEY) is None
    assert put(again(store), records=ATTACKS).key == KEY


@pytest.mark.usefixtures("linkless")
def test_what_cannot_be_written_is_an_error_without_hard_links_too(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(StoreError, match=r"cannot be written: .*No space left"):
        put(store, records=ATTACKS)
    assert again(store).find(KEY) is None


# Several at once


def test_two_threads_with_stores_of_their_own_write_the_same_cells(store: Store) -> None:
    keys = [f"{i:064x}" for i in range(12)]
    barrier = threading.Barrier(2)
    errors: list[Exception] = []
    seen: list[list[Stored]] = []

    def work(name: str) -> None:
        try:
            mine = again(store)
            barrier.wait()
            seen.append([put(mine, key, records=ATTACKS, summary={"by": name}) for key in keys])
        except Exception as error:  # noqa: BLE001 (reported by the test)
            errors.append(error)

    workers = [threading.Thread(target=work, args=[name]) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert errors == []
    assert again(store).keys() == keys
    assert [found.key for found in again(store).match("")] == keys
    # both saw one and the same winner of every cell, and so do the files
    (store.folder / "index.sqlite").unlink()
    assert seen[0] == seen[1] == [again(store).find(key) for key in keys]


WRITER = """
import sys
from bench.records import Coordinates, EvaluateRecord, Result
from bench.store import Store

store = Store(sys.argv[1])
for i in range(9):
    key = f"{i:064x}" if i % 2 else sys.argv[2] * 2 + f"{i:062x}"
    records = [EvaluateRecord("a", 0, 0, 0.5)]
    summary = {"by": sys.argv[2]}
    store.put(key, "evaluate", Coordinates("m"), {}, Result(records=records, summary=summary), {})
"""


def test_two_processes_share_a_store(store: Store) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, store.url, name], stderr=subprocess.PIPE)
        for name in "ab"
    ]
    for process in processes:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said.decode()
    # 4 odd numbers are shared; each process has 5 even ones of its own
    assert len(store.keys()) == 4 + 2 * 5
    assert [found.key for found in store.match("")] == store.keys()
    for found in store.match(""):
        assert len(store.records(found)) == 1


# Other places


def test_a_store_may_lie_anywhere_that_fsspec_reaches() -> None:
    store = Store(f"memory://{uuid.uuid4().hex}/deep")
    assert store.folder is None
    assert store.find(KEY) is None
    store.fail(KEY, {"error": "x"})
    first = put(store, records=ATTACKS, arrays=arrays(), header={"a": "b"})
    assert put(store, records=ATTACKS[:1]) == first
    assert again(store).find(KEY) == first
    assert again(store).failure(KEY) is None
    assert [f.key for f in again(store).match("ab")] == again(store).keys() == [KEY]
    assert len(store.records(first)) == len(ATTACKS)
    assert store.header(first) == {"a": "b"}
    for name, array in store.arrays(first).items():
        assert array.tobytes() == arrays()[name].tobytes()
    store.put_run(run_name(0, "a-b"), {"suite": "a-b"})
    assert again(store).last_run("a-b") == {"suite": "a-b"}


def test_the_place_comes_from_the_argument_then_the_environment_then_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Store().folder == tmp_path / ".bench"
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "env"))
    assert Store().folder == tmp_path / "env"
    assert Store(tmp_path / "given").folder == tmp_path / "given"
    monkeypatch.setenv("BENCH_STORE", "")
    assert Store().folder == tmp_path / ".bench"


def test_looking_into_an_empty_place_writes_no_cells(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert store.keys() == store.runs() == []
    assert not (tmp_path / "store").exists()


def test_a_manifest_is_plain_json_that_names_its_files(store: Store) -> None:
    found = put(store, records=ATTACKS, arrays={"a": np.zeros(3)})
    manifest = json.loads((cell(store) / "cell.json").read_text(encoding="utf-8"))
    assert manifest["key"] == KEY
    on_disk = {path.name for path in cell(store).iterdir()}
    assert on_disk == {"cell.json", *found.files.values()}
    for name, file in manifest["files"].items():
        assert file.startswith(f"{name}-")
