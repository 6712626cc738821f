"""The hashes that identities are made of: golden, and sensitive to what matters only."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import UsageError
from bench.fingerprint import canonical, fingerprint, of_arrays, of_file

cheap = settings(derandomize=True, database=None, deadline=None)

VALUE = {
    "steps": 40,
    "eps": 0.1,
    "name": "Größe",
    "attack": "fgsm",
    "nested": {"b": [1e-7, 2.0], "a": 1},
    "flags": [True, False, None],
}
CANONICAL = (
    '{"attack":"fgsm","eps":0.1,"flags":[true,false,null],"name":"Größe",'
    '"nested":{"a":1,"b":[1e-07,2.0]},"steps":40}'
)
GOLDEN = "deac977beb93045826399aabded695220df1bbe25cd61479ebb5743afce153d1"
"""sha256sum of the line above, as UTF-8. If it moves, every stored result of every user is lost."""


def test_the_golden_hash() -> None:
    assert canonical(VALUE) == CANONICAL
    assert fingerprint(VALUE) == GOLDEN


def test_the_golden_hash_of_arrays() -> None:
    # sha256 of '["a","<f4",[2]]', the bytes of 1.0 and 2.0, '["b","|u1",[1,2]]', the bytes 7 and 8
    arrays = {
        "b": np.array([[7, 8]], dtype=np.uint8),
        "a": np.array([1, 2], dtype=np.dtype("<f4")),
    }
    assert of_arrays(arrays) == "eff4eb173577ff7fc1fef1a5b59a44053cb4866757cedad4c2cb5d8c88ebf1c5"


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abé", max_size=3), inner),
    max_leaves=8,
)


def reversed_keys(value):
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@given(plain)
@cheap
def test_the_order_of_keys_does_not_matter(value) -> None:
    assert fingerprint(reversed_keys(value)) == fingerprint(value)


@given(plain, plain)
@cheap
def test_values_that_are_written_apart_hash_apart(first, second) -> None:
    assert (fingerprint(first) == fingerprint(second)) == (repr_of(first) == repr_of(second))


def repr_of(value) -> str:
    """Write a value in another way than JSON: types and all."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{k!r}:{repr_of(value[k])}" for k in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(repr_of, value)) + "]"
    return repr(value)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([1, 2], [2, 1]),
        (1, "1"),
        (True, 1),
        (None, "null"),
        (0.1, 0.1 + 2**-55),
        ({"a": {"b": 1}}, {"a": {}, "b": 1}),
        ([[1], 2], [1, [2]]),
        ({"a": None}, {}),
    ],
)
def test_what_differs_hashes_apart(first, second) -> None:
    assert fingerprint(first) != fingerprint(second)


def test_a_number_of_numpy_is_the_number() -> None:
    assert fingerprint({"eps": np.float64(0.1)}) == fingerprint({"eps": 0.1})


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (math.nan, "identity: "),
        ({"eps": math.inf}, "identity.eps: "),
        ({"a": [0, -math.inf]}, "identity.a[1]: "),
        ((1, 2), "identity: "),
        ({"a": {1, 2}}, "identity.a: "),
        (b"bytes", "identity: "),
        ({"a": {1: 2}}, "identity.a: "),
        (np.int64(3), "identity: "),
        (Path("x"), "identity: "),
    ],
)
def test_what_json_has_no_place_for_is_refused_with_its_place(value, where: str) -> None:
    with pytest.raises(UsageError) as error:
        fingerprint(value)
    assert str(error.value).startswith(where)


# Arrays

BASE = np.arange(6, dtype=np.int32).reshape(2, 3)


@pytest.mark.parametrize(
    "other",
    [
        {"b": BASE},
        {"a": BASE.astype(np.int64)},
        {"a": BASE.view(np.uint32)},
        {"a": BASE.astype(">i4")},
        {"a": BASE.reshape(3, 2)},
        {"a": BASE.reshape(6)},
        {"a": BASE.T},
        {"a": BASE + 1},
        {"a": BASE, "b": BASE},
        {},
    ],
    ids=["name", "width", "sign", "endian", "shape", "rank", "turned", "bytes", "more", "none"],
)
def test_name_dtype_shape_and_bytes_of_arrays_matter(other: dict[str, np.ndarray]) -> None:
    assert of_arrays(other) != of_arrays({"a": BASE})


def test_a_number_is_not_a_list_of_one() -> None:
    assert of_arrays({"a": np.array(3.0)}) != of_arrays({"a": np.array([3.0])})


def test_empty_arrays_of_other_shapes_differ() -> None:
    assert of_arrays({"a": np.zeros((0, 3))}) != of_arrays({"a": np.zeros((3, 0))})


@pytest.mark.parametrize(
    "same",
    [
        np.asfortranarray(BASE),
        np.repeat(BASE, 2, axis=1)[:, ::2],
        BASE[::-1][::-1],
        np.ascontiguousarray(BASE.transpose(1, 0)).transpose(1, 0),
    ],
    ids=["fortran", "strided", "twice-reversed", "transposed"],
)
def test_memory_layout_of_arrays_does_not_matter(same: np.ndarray) -> None:
    assert of_arrays({"a": same}) == of_arrays({"a": BASE})


def test_a_memory_mapped_array_is_its_content(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", BASE)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert of_arrays({"a": mapped}) == of_arrays({"a": BASE})


def test_the_order_of_arrays_does_not_matter() -> None:
    first, second = {"a": BASE, "b": BASE + 1}, {"b": BASE + 1, "a": BASE}
    assert of_arrays(first) == of_arrays(second)
    assert of_arrays(first) != of_arrays({"a": BASE + 1, "b": BASE})


def test_a_file_is_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"\x00\r\n" * 100_000)
    assert of_file(file) == hashlib.sha256(b"\x00\r\n" * 100_000).hexdigest()
