"""Scalars of YAML 1.2, lines, repeated keys, anchors, paths; nothing but plain values."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import SuiteError
from bench.suite.document import Document, dotted, parse, parse_path, parse_value
from bench.suite.overrides import Overrides, apply

cheap = settings(derandomize=True, database=None, deadline=None)


def lines_of(error: pytest.ExceptionInfo[SuiteError]) -> list[str]:
    return [str(problem) for problem in error.value.problems]


# Scalars


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("3E2", 300.0),
        ("1.5e+2", 150.0),
        (".5", 0.5),
        ("2.", 2.0),
        ("-0.25", -0.25),
        ("8/255", 8 / 255),
        ("-1/2", -0.5),
        ("0.5/2", 0.25),
        ("42", 42),
        ("+7", 7),
        ("-7", -7),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        (".INF", math.inf),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("10:30", "10:30"),
        ("1_000", "1_000"),
        ("2024-01-31", "2024-01-31"),
        ("0b11", "0b11"),
        ("tRUE", "tRUE"),
        ("1e", "1e"),
        ("8/", "8/"),
        ("a/255", "a/255"),
        ("1/2/3", "1/2/3"),
        ("1.2.3", "1.2.3"),
        ("'42'", "42"),
        ('"8/255"', "8/255"),
        ("'no'", "no"),
        ("!!str 42", "42"),
        ("fgsm@eps=0.1", "fgsm@eps=0.1"),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2_and_fractions_are_numbers(
    text: str, value: Any
) -> None:
    got = parse(f"x: {text}", "s").data["x"]
    assert got == value
    assert type(got) is type(value)
    assert parse_value(text) == value


@pytest.mark.parametrize("text", [".nan", ".NaN", ".NAN"])
def test_not_a_number_is_a_float(text: str) -> None:
    assert math.isnan(parse_value(text))


@given(st.floats(allow_nan=False, allow_infinity=False))
@cheap
def test_a_float_written_by_python_reads_back_the_same(number: float) -> None:
    assert parse_value(repr(number)) == number


@given(st.integers(0, 10**6), st.integers(1, 10**6))
@cheap
def test_a_fraction_is_its_quotient(numerator: int, denominator: int) -> None:
    assert parse_value(f"{numerator}/{denominator}") == numerator / denominator


def test_a_fraction_of_zero_is_an_error_with_its_line() -> None:
    with pytest.raises(SuiteError) as error:
        parse("a: 1\nb: 1/0\nc: 2/0.0\n", "s.yaml")
    assert lines_of(error) == [
        "s.yaml:2: '1/0' divides by zero, expected a number",
        "s.yaml:3: '2/0.0' divides by zero, expected a number",
    ]


def test_an_empty_value_is_none() -> None:
    assert parse("a:\nb: {c: }\n", "s").data == {"a": None, "b": {"c": None}}
    assert parse_value("") is None
    assert parse_value("  ") is None


@pytest.mark.parametrize("text", ["", "\n\n", "# only words\n", "---\n"])
def test_nothing_reads_as_no_keys(text: str) -> None:
    assert parse(text, "s").data in ({}, None)


def test_values_of_the_command_line_may_be_lists_and_mappings() -> None:
    assert parse_value("[a, 8/255]") == ["a", 8 / 255]
    assert parse_value("{a: 1e-3}") == {"a": 0.001}


# Lines

NESTED = """\
suite: s
attacks:
  fgsm:
    eps: 0.1
    grid:
      steps:
        - 1
        - 2
  pgd: {eps: 0.1,
        alpha: 2}
models:

  linear:
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("suite",), 1),
        (("attacks",), 2),
        (("attacks", "fgsm"), 3),
        (("attacks", "fgsm", "eps"), 4),
        (("attacks", "fgsm", "grid", "steps"), 6),
        (("attacks", "fgsm", "grid", "steps", 1), 8),
        (("attacks", "pgd", "eps"), 9),
        (("attacks", "pgd", "alpha"), 10),
        (("models", "linear"), 13),
    ],
)
def test_every_value_remembers_its_line(path: tuple[str | int, ...], line: int) -> None:
    doc = parse(NESTED, "dir/s.yaml")
    assert doc.where(path) == f"dir/s.yaml:{line}: {dotted(path)}"
    assert doc.line(path) == line


def test_a_value_that_is_not_there_is_placed_at_what_holds_it() -> None:
    doc = parse(NESTED, "s.yaml")
    assert doc.where(("attacks", "fgsm", "target")) == "s.yaml:3: attacks.fgsm.target"
    assert doc.where(("dataset",)) == "s.yaml:1: dataset"
    assert doc.where(()) == "s.yaml:1"


def test_plain_values_have_no_line() -> None:
    doc = Document({"a": 1}, "suite")
    assert doc.where(("a",)) == "suite: a"
    assert doc.line(("a",)) == 0


# Repeated keys


def test_a_key_that_stands_twice_names_both_lines() -> None:
    with pytest.raises(SuiteError) as error:
        parse("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\na: 2\n", "s.yaml")
    assert sorted(lines_of(error)) == [
        "s.yaml:5: b.c: is here twice, first in line 3, expected each key once",
        "s.yaml:6: a: is here twice, first in line 1, expected each key once",
    ]


def test_a_key_that_is_no_word_is_refused() -> None:
    with pytest.raises(SuiteError, match=r"s:2: b: has a key that is no word"):
        parse("b:\n  ? [1, 2]\n  : 3\n", "s")


# Anchors


def test_aliases_and_merge_keys_are_resolved() -> None:
    doc = parse(
        "base: &base {a: 1, b: 2}\n"
        "same: *base\n"
        "more: {<<: *base, b: 3, c: 4}\n"
        "both: {<<: [*base, {b: 9, d: 5}]}\n",
        "s",
    )
    assert doc.data == {
        "base": {"a": 1, "b": 2},
        "same": {"a": 1, "b": 2},
        "more": {"a": 1, "b": 3, "c": 4},
        "both": {"a": 1, "b": 2, "d": 5},
    }


def test_a_mapping_that_overrides_what_it_merged_may_be_used_again() -> None:
    doc = parse(
        "base: &base {a: 1, b: 2}\nmore: &more {<<: *base, b: 3}\nagain: *more\n",
        "s",
    )
    assert doc.data["again"] == doc.data["more"] == {"a": 1, "b": 3}


def test_two_uses_of_an_anchor_do_not_share_what_is_set_in_one() -> None:
    doc = parse("a: &x {p: {q: 1}}\nb: *x\n", "s").with_value(("a", "p", "q"), 2, "--set")
    assert doc.data == {"a": {"p": {"q": 2}}, "b": {"p": {"q": 1}}}


# What is not YAML, and what is more than plain values


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", 3),
        ("a: 1\n b: 2\n", 2),
        ("a: 1\nb: *nobody\n", 2),
        ("a: 1\n---\nb: 2\n", 2),
        ("a: 1\nb: {<<: 3}\n", 2),
    ],
    ids=["open-list", "indent", "unknown-alias", "two-documents", "merge-of-a-number"],
)
def test_what_is_not_yaml_is_reported_with_its_line(text: str, line: int) -> None:
    with pytest.raises(SuiteError) as error:
        parse(text, "s.yaml")
    assert lines_of(error)[0].startswith(f"s.yaml:{line}: ")


def test_a_file_with_a_control_character_is_not_yaml() -> None:
    with pytest.raises(SuiteError, match=r"^s\.yaml"):
        parse("a: 1\nb: \x00\n", "s.yaml")


def test_an_anchor_within_itself_is_refused() -> None:
    with pytest.raises(SuiteError, match=r"^s\.yaml"):
        parse("a: &a [1, *a]\n", "s.yaml")


@pytest.mark.parametrize(
    "value",
    [
        "!!python/name:os.system",
        "!!python/object/apply:os.system ['true']",
        "!!python/object:os.Base {a: 1}",
        "!!python/tuple [1, 2]",
        "!!set {a, b}",
        "!!binary aGk=",
        "!mine 3",
        "!mine [3]",
    ],
)
def test_tags_are_refused_with_their_line(value: str) -> None:
    with pytest.raises(SuiteError) as error:
        parse(f"a: 1\nb: {value}\n", "s.yaml")
    assert lines_of(error)[0].startswith("s.yaml:2")
    assert "tag" in lines_of(error)[0]


@pytest.mark.parametrize("value", ["!!int abc", "!!float abc", "!fraction abc"])
def test_a_tag_that_its_text_does_not_honour_is_refused(value: str) -> None:
    with pytest.raises(SuiteError, match=r"^s\.yaml:2"):
        parse(f"a: 1\nb: {value}\n", "s.yaml")


# Paths


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("attacks", "pgd", "eps"), "attacks.pgd.eps"),
        (("attacks", "fgsm@eps=0.1", "target"), "attacks[fgsm@eps=0.1].target"),
        (("images", "from", 0), "images.from[0]"),
        (("a", 1, 2, "b"), "a[1][2].b"),
        (("resnet.small",), "[resnet.small]"),
        (("classes", "7"), "classes.7"),
        ((), ""),
    ],
)
def test_paths_are_written_and_read(path: tuple[str | int, ...], text: str) -> None:
    assert dotted(path) == text
    assert parse_path(text) == path


keys = st.one_of(
    st.text("abz019@=,._-%/ éß", min_size=1, max_size=8),
    st.integers(0, 1000),
)


@given(st.lists(keys, max_size=5).map(tuple))
@cheap
def test_reading_a_path_undoes_writing_it(path: tuple[str | int, ...]) -> None:
    assert parse_path(dotted(path)) == path


# Setting values


def test_setting_changes_a_copy_and_remembers_the_option() -> None:
    doc = parse(NESTED, "s.yaml")
    changed = doc.with_value(("attacks", "fgsm", "eps"), 0.2, "--set x")
    assert doc.data["attacks"]["fgsm"]["eps"] == 0.1
    assert changed.data["attacks"]["fgsm"]["eps"] == 0.2
    assert changed.where(("attacks", "fgsm", "eps")) == "--set x: attacks.fgsm.eps"
    assert changed.where(("attacks", "fgsm", "grid")) == "s.yaml:5: attacks.fgsm.grid"


def test_setting_a_mapping_forgets_the_lines_of_what_it_replaced() -> None:
    changed = parse(NESTED, "s.yaml").with_value(("attacks",), {"pgd": {"eps": 3}}, "--set x")
    assert changed.where(("attacks", "pgd", "eps")) == "--set x: attacks.pgd.eps"


def test_setting_fills_in_mappings_that_are_not_there_yet() -> None:
    changed = parse(NESTED, "s").with_value(("models", "linear", "train", "epochs"), 3, "--set")
    assert changed.data["models"] == {"linear": {"train": {"epochs": 3}}}
    assert parse("a: 1", "s").with_value(("run", "models"), ["a"], "--models").data["run"] == {
        "models": ["a"]
    }


def test_setting_reaches_into_lists_but_not_past_their_end() -> None:
    doc = parse("a: [1, 2]", "s")
    assert doc.with_value(("a", 1), 9, "--set").data == {"a": [1, 9]}
    with pytest.raises(SuiteError, match=r"--set x: 'a\[2\]' cannot be set"):
        doc.with_value(("a", 2), 9, "--set x")
    with pytest.raises(SuiteError, match=r"--set x: 'a\[2\]' is not in the suite"):
        doc.with_value(("a", 2, "b"), 9, "--set x")


def test_setting_below_a_plain_value_is_refused() -> None:
    with pytest.raises(SuiteError, match=r"--set x: 'dataset\.root' cannot be set"):
        parse("dataset: digits", "s").with_value(("dataset", "root"), "/", "--set x")


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("attacks.fgsm.eps=8/255", ("attacks", "fgsm", "eps"), 8 / 255),
        ("attacks[fgsm@eps=0.1].target=3", ("attacks", "fgsm@eps=0.1", "target"), 3),
        ("attacks[a@x=1,y=0.5].target=3", ("attacks", "a@x=1,y=0.5", "target"), 3),
        ("attacks.fgsm.grid.steps[0]=5", ("attacks", "fgsm", "grid", "steps", 0), 5),
        ("description=a=b", ("description",), "a=b"),
        ("description=[a, b]", ("description",), ["a", "b"]),
        ("models.linear=", ("models", "linear"), None),
    ],
)
def test_set_splits_at_the_first_equals_sign_outside_of_brackets(
    text: str, path: tuple[str | int, ...], value: Any
) -> None:
    changed = apply(parse(NESTED, "s"), Overrides(sets=[text]))
    place = changed.data
    for key in path:
        place = place[key]
    assert place == value
    assert changed.where(path) == f"--set {text}: {dotted(path)}"


@pytest.mark.parametrize("text", ["eps", "=3", "", ".=3", "attacks[fgsm=3"])
def test_set_without_a_path_or_a_value_is_refused(text: str) -> None:
    with pytest.raises(SuiteError, match="--set"):
        apply(parse(NESTED, "s"), Overrides(sets=[text]))


def test_a_later_set_wins() -> None:
    changed = apply(parse(NESTED, "s"), Overrides(sets=["suite=a", "suite=b"]))
    assert changed.data["suite"] == "b"
