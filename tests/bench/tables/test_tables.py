"""Tables against the records that they speak of, counted by hand; every format says the same."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import importable
from planted import Planted

from bench import statistics, tables
from bench.commands import run as session
from bench.errors import StoreError, UsageError
from bench.matrix import Entry, Matrix
from bench.metrics import METRICS
from bench.store import Store
from bench.suite.document import parse_value
from bench.tables import Table, words

EPS = 8 / 255
RECIPE = {"epochs": 2, "batch_size": 16, "lr": 0.01}
SUITE = {
    "suite": "to-lay-out",
    "seed": 7,
    "dataset": {"plugin": "blobs", "channels": 1, "train": 48},
    "images": {"count": 20},
    "models": {"linear": {"train": RECIPE}, "gaudy": {"train": RECIPE}},
    "attacks": {
        "fgsm": {"grid": {"eps": [EPS, 0.2]}},
        "fgsm-targeted": {"plugin": "fgsm", "eps": 0.2, "target": 1},
        "identity": {"eps": 0.3},
        "greedy": {"eps": 0.1},
        "raises": {},
        "colour_only": {},
    },
    "transfer": {},
    "audit": "off",
    "run": {"threads": 1, "device": "cpu"},
}
SOUND = ["fgsm@eps=0.0313725", "fgsm@eps=0.2", "fgsm-targeted", "identity"]
"""Attacks with a verdict; 8 / 255 = 0.0313725 to six digits."""


@pytest.fixture(scope="module")
def matrix(plugin_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    """Run a suite once: attacks that work, one that oversteps, one that raises, one unsuited."""
    store = tmp_path_factory.mktemp("tables") / "store"
    with importable(plugin_folder):
        session.run(SUITE, store=store, reports=None)
    # all that follows reads the disk only
    return Matrix.last(Store(store), "to-lay-out")


def entry(matrix: Matrix, kind: str, **values: Any) -> Entry:
    (found,) = [
        e
        for e in matrix.entries
        if e.kind == kind and all(e.value(name) == value for name, value in values.items())
    ]
    return found


def rows(matrix: Matrix, kind: str, **values: Any) -> list[dict[str, Any]]:
    return matrix.records(entry(matrix, kind, **values)).to_dict("records")


def counted(records: list[dict[str, Any]], target: int | None) -> tuple[int, int]:
    """Count successes and those that could be: the definition, in plain Python."""
    hits = n = 0
    for record in records:
        if record["clean_prediction"] == record["label"] and record["label"] != target:
            n += 1
            after = record["prediction"]
            hits += after != record["label"] if target is None else after == target
    return hits, n


def places(table: Table) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return the places of a table by their row and column values."""
    names = [*table.row_names, *table.column_names]
    return {tuple(place[name] for name in names): place for place in table._long()}


# Figures


def test_success_rates_are_those_of_the_records(matrix: Matrix) -> None:
    found = places(tables.build(matrix))
    for attack in SOUND:
        for model in ("linear", "gaudy"):
            target = 1 if attack == "fgsm-targeted" else None
            hits, n = counted(rows(matrix, "attack", attack=attack, model=model), target)
            expected = statistics.rate(hits, n)
            place = found[attack, model]
            assert (place["value"], place["low"], place["high"], place["n"]) == (
                dataclasses.astuple(expected)[:4]
            )
    values = {place["value"] for place in found.values()}
    assert len(values) > 3  # or else the suite would show nothing


def test_transfer_rates_are_those_of_the_records(matrix: Matrix) -> None:
    table = tables.build(matrix, "transfer_rate", columns=["source", "model"])
    found = places(table)
    assert table.columns == (("linear", "gaudy"), ("gaudy", "linear"))
    for attack in SOUND:
        for source, model in table.columns:
            target = 1 if attack == "fgsm-targeted" else None
            records = rows(matrix, "transfer", attack=attack, model=model, source=source)
            fooled = [record for record in records if record["source_success"] is True]
            hits, n = counted(fooled, target)
            assert found[attack, source, model]["n"] == n
            if n:
                assert found[attack, source, model]["value"] == hits / n


def test_the_layout_decides_which_kind_of_cell_is_meant(matrix: Matrix) -> None:
    # clean accuracy: all 30 test images where there is no attack, the 20 drawn ones where there is
    alone = places(tables.build(matrix, "clean_accuracy", rows=["model"], columns=[]))
    assert set(alone) == {("linear",), ("gaudy",)}
    for (model,), place in alone.items():
        records = rows(matrix, "evaluate", model=model)
        assert place["n"] == len(records) == 30
        assert place["value"] == sum(r["label"] == r["prediction"] for r in records) / 30
    attacked = places(tables.build(matrix, "clean_accuracy", rows=["attack"]))
    assert attacked["identity", "linear"]["n"] == 20
    transferred = tables.build(matrix, "robust_accuracy", columns=["source", "model"])
    assert transferred.columns == (("linear", "gaudy"), ("gaudy", "linear"))
    picked = tables.build(matrix, "robust_accuracy", where={"source": "gaudy"})
    assert picked.columns == (("linear",),)


def test_rows_and_columns_keep_the_order_of_the_suite(matrix: Matrix) -> None:
    table = tables.build(matrix)
    assert [row for (row,) in table.rows] == [*SOUND, "greedy", "raises", "colour_only"]
    assert table.columns == (("linear",), ("gaudy",))
    turned = tables.build(matrix, rows=["model"], columns=["attack"])
    assert (turned.rows, turned.columns) == (table.columns, table.rows)
    assert {key[::-1]: place for key, place in places(turned).items()}.keys() == (
        places(table).keys()
    )


def test_tables_are_laid_out_by_parameters_too(matrix: Matrix) -> None:
    table = tables.build(
        matrix, rows=["group", "eps", "target"], columns=["model"], where={"plugin": "fgsm"}
    )
    assert table.rows == (("fgsm", EPS, None), ("fgsm", 0.2, None), ("fgsm-targeted", 0.2, 1))


def test_norms_are_reported_in_pixels(matrix: Matrix) -> None:
    table = tables.build(matrix, "linf", rows=["attack"], where={"model": "linear"})
    found = places(table)
    assert found["identity", "linear"]["value"] == 0
    # a step of eps from pixels that are 50 of 255 away from the range at least: 110 + 30 - 60
    assert found["fgsm@eps=0.0313725", "linear"]["value"] == pytest.approx(EPS, abs=1e-6)
    assert ["fgsm@eps=8/255", "0.0314 (20)"] in github_cells(str(table))


def test_whole_figures_have_no_interval(matrix: Matrix) -> None:
    found = places(tables.build(matrix, "forwards", intervals=True))
    assert found["identity", "linear"]["value"] == 0
    assert found["fgsm@eps=0.2", "linear"]["value"] >= 1
    assert found["fgsm@eps=0.2", "linear"]["n"] == 20
    assert (
        "["
        not in str(tables.build(matrix, "forwards", where={"attack": "identity"})).split("\n\n")[0]
    )


# What there is no figure for


def test_places_without_a_figure_say_why(matrix: Matrix) -> None:
    found = places(tables.build(matrix))
    reasons = {attack: found[attack, "linear"]["note"] for attack, _ in found}
    assert [reasons[attack] for attack in SOUND] == [None] * 4
    # greedy oversteps on every second image of 20, by twice its eps
    assert re.fullmatch(r"10 of 20 images: over budget: linf 0\.2\d* > eps 0\.1", reasons["greedy"])
    assert reasons["raises"] == "failed: RuntimeError: lost my way"
    assert reasons["colour_only"] == "skipped: needs 3 channels, the data has 1"
    for attack in ("greedy", "raises", "colour_only"):
        assert [found[attack, "linear"][name] for name in ("value", "low", "high", "n")] == [
            None
        ] * 4


def test_children_of_failed_cells_are_blocked_by_name(matrix: Matrix) -> None:
    found = places(tables.build(matrix, "transfer_rate", columns=["source", "model"]))
    assert found["raises", "linear", "gaudy"]["note"].startswith("blocked: attack linear/raises")
    assert found["greedy", "gaudy", "linear"]["note"].startswith("10 of 20 images: over budget")
    assert found["colour_only", "linear", "gaudy"]["note"].startswith("skipped: ")


def test_footnotes_are_numbered_and_said_once(matrix: Matrix) -> None:
    text = tables.build(matrix).render("github")
    grid, _, under = text.partition("\n\n")
    marks = re.findall(r"withheld \[(\d+)\]", grid)
    notes = dict(re.findall(r"^\[(\d+)\] (.*)$", under, re.MULTILINE))
    assert set(marks) == set(notes)
    assert len(set(notes.values())) == len(notes)
    assert len(marks) == 6  # three attacks on two models
    assert notes[marks[2]] == "failed: RuntimeError: lost my way"


def test_missing_cells_are_counted(matrix: Matrix) -> None:
    assert tables.build(matrix).remarks == ("Missing: 4 of 14 cells (2 failed, 2 skipped).",)
    transfer = tables.build(matrix, "transfer_rate", columns=["source", "model"])
    assert transfer.remarks == ("Missing: 4 of 14 cells (2 blocked, 2 skipped).",)
    assert tables.build(matrix, where={"attack": "identity"}).remarks == ()


def test_an_empty_denominator_prints_a_dash(matrix: Matrix) -> None:
    table = tables.build(
        matrix, "transfer_rate", columns=["source", "model"], where={"attack": "identity"}
    )
    for place in table.places.values():
        assert (place.estimate.value, place.estimate.n) == (None, 0)
    grid = table.render("github").partition("\n\n")[0]
    assert grid.count(f"{tables.DASH} (0)") == 2
    assert "0.0 %" not in grid


def test_notes_of_the_run_stand_under_every_table(matrix: Matrix) -> None:
    noted = Matrix(matrix.store, {**matrix.run, "notes": ["20 images instead of 100"]})
    assert tables.build(noted, where={"attack": "identity"}).remarks == (
        "20 images instead of 100",
    )
    assert "20 images instead of 100" in tables.build(noted).render("latex")


# What is refused


def test_two_cells_are_never_pooled(matrix: Matrix) -> None:
    with pytest.raises(UsageError) as error:
        tables.build(matrix, rows=["model"], columns=[])
    text = str(error.value)
    assert "fgsm@eps=0.2" in text
    assert "share one place" in text
    assert "attack" in text.partition("one of: ")[2]
    assert "eps" in text.partition("one of: ")[2]
    assert "model" not in text.partition("one of: ")[2].split(", ")


def test_what_distinguishes_the_pooled_cells_can_be_picked(matrix: Matrix) -> None:
    table = tables.build(matrix, rows=["model"], columns=[], where={"attack": "identity"})
    assert set(places(table)) == {("linear",), ("gaudy",)}


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        ({"rows": ["atack"]}, "--rows: 'atack' is no dimension of this run; did you mean 'attack'"),
        ({"columns": ["modle"]}, "--columns: 'modle' is no dimension of this run; did you mean 'm"),
        ({"where": {"epss": 1}}, "--where: 'epss' is no dimension of this run; did you mean 'eps"),
        ({"metric": "sucess_rate"}, "--metric: got 'sucess_rate', expected a metric; did you mean"),
    ],
)
def test_unknown_names_come_with_the_nearest(matrix: Matrix, layout: Any, text: str) -> None:
    with pytest.raises(UsageError) as error:
        tables.build(matrix, **layout)
    assert str(error.value).startswith(text)


def test_a_cell_that_the_store_lost_is_reported(matrix: Matrix) -> None:
    cells = [{**cell, "key": "0" * 64} for cell in matrix.run["cells"]]
    with pytest.raises(StoreError, match=r"no longer holds attack linear/fgsm@eps=0\.0313725"):
        tables.build(Matrix(matrix.store, {**matrix.run, "cells": cells}))


# Picking


@pytest.mark.parametrize(
    ("where", "attacks"),
    [
        ({"eps": EPS}, SOUND[:1]),
        ({"eps": parse_value("8/255")}, SOUND[:1]),
        ({"eps": "8/255"}, SOUND[:1]),
        ({"eps": 0.0313725}, SOUND[:1]),
        ({"attack": "fgsm@eps=8/255"}, SOUND[:1]),
        ({"budget": "linf 8/255"}, SOUND[:1]),
        ({"eps": 0.2}, SOUND[1:3]),
        ({"eps": 0.2, "targeted": True}, SOUND[2:3]),
        ({"eps": 0.2, "targeted": "false"}, SOUND[1:2]),
        ({"target": 1}, SOUND[2:3]),
        ({"plugin": "fgsm", "model": "gaudy"}, SOUND[:3]),
        ({"group": "fgsm"}, SOUND[:2]),
        ({"attack": "identity"}, SOUND[3:]),
    ],
    ids=repr,
)
def test_where_picks_cells(matrix: Matrix, where: dict[str, Any], attacks: list[str]) -> None:
    table = tables.build(matrix, where=where)
    assert [row for (row,) in table.rows] == attacks
    if "model" in where:
        assert table.columns == ((where["model"],),)


@pytest.mark.parametrize("where", [{"eps": 0.25}, {"attack": "nobody"}], ids=repr)
def test_a_condition_that_no_cell_meets_is_refused(matrix: Matrix, where: dict[str, Any]) -> None:
    (name,) = where
    with pytest.raises(
        UsageError, match=rf"no cell with success_rate has {name}=.*{name} to be one of"
    ):
        tables.build(matrix, where=where)


@pytest.mark.parametrize("form", tables.FORMATS)
def test_a_table_of_nothing_says_so(matrix: Matrix, form: Any) -> None:
    table = tables.build(Matrix(matrix.store, {**matrix.run, "cells": []}))
    text = table.render(form)
    if form != "csv":
        plain = text.replace(r"\_", "_")
        assert "No cell of this run has success_rate: a suite asks for it by attacks:." in plain
    assert len(table.frame()) == 0


# Formats

FIGURE = re.compile(
    r"(?P<value>[\d.]+)( %)?( \[(?P<low>[\d.]+), (?P<high>[\d.]+)\])? \((?P<n>\d+)\)"
    r"( \[[a-z](, [a-z])*\])?"  # what the audit found: few images
)


def agrees(text: str, estimate: statistics.Estimate, *, intervals: bool) -> bool:
    """Say whether a printed share is the estimate, to the digit that is printed."""
    match = FIGURE.fullmatch(text)
    if match is None or int(match["n"]) != estimate.n:
        return False
    # one decimal of a percentage
    reported = [float(match[name]) for name in ("value", "low", "high") if match[name]]
    meant = [estimate.value, estimate.low, estimate.high][: 3 if intervals else 1]
    return len(reported) == len(meant) and all(
        abs(t - 100 * m) <= 0.05 + 1e-9 for t, m in zip(reported, meant, strict=True)
    )


def github_cells(text: str) -> list[list[str]]:
    lines = text.partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def latex_cells(text: str) -> list[list[str]]:
    body = text.partition("\\toprule")[2].partition("\\bottomrule")[0]
    lines = [line for line in body.splitlines() if "&" in line]
    plain = [re.sub(r"\\(?=[%_#&])", "", line.rstrip().removesuffix("\\\\")) for line in lines]
    return [[cell.strip() for cell in line.split("&")] for line in plain]


@pytest.mark.parametrize("intervals", [False, True])
@pytest.mark.parametrize("form", ["github", "latex"])
def test_printed_tables_read_back_as_the_same_numbers(
    matrix: Matrix, form: Any, intervals: bool
) -> None:
    table = tables.build(matrix, intervals=intervals)
    text = table.render(form)
    header, *body = github_cells(text) if form == "github" else latex_cells(text)
    if form == "github":
        assert set("".join(body.pop(0))) <= set("-: ")
    assert header == ["attack", "linear", "gaudy"]
    assert [line[0] for line in body] == ["fgsm@eps=8/255", *(row for (row,) in table.rows[1:])]
    figures = 0
    for i, line in enumerate(body):
        for j, cell in enumerate(line[1:]):
            estimate = table.places[i, j].estimate
            if estimate is None:
                assert cell.startswith("withheld [")
            else:
                assert agrees(cell, estimate, intervals=intervals), (cell, estimate)
                figures += 1
    assert figures == 8  # four attacks on two models
    assert METRICS["success_rate"].definition in text
    assert ("95 % Wilson interval" in text.replace(r"\%", "%")) is intervals


def test_csv_reads_back_as_the_same_numbers(matrix: Matrix) -> None:
    table = tables.build(matrix, columns=["model", "eps"])
    read = list(csv.DictReader(io.StringIO(table.render("csv"))))
    assert len(read) == len(table.places)
    for line, (place, found) in zip(read, sorted(table.places.items()), strict=True):
        assert line["attack"] == table.rows[place[0]][0]
        assert line["model"] == table.columns[place[1]][0]
        assert float(line["eps"]) == table.columns[place[1]][1]
        assert line["key"] == (found.entries[0].key or "")
        if found.estimate is None:
            assert (line["value"], line["n"], line["note"]) == ("", "", found.note)
        else:
            # repr writes floats so that they read back the same, bit for bit
            assert float(line["value"]) == found.estimate.value
            assert float(line["low"]) == found.estimate.low
            assert float(line["high"]) == found.estimate.high
            assert int(line["n"]) == found.estimate.n


def test_json_reads_back_as_the_same_numbers(matrix: Matrix) -> None:
    table = tables.build(matrix, title="Success")
    read = json.loads(table.render("json"))
    assert (read["title"], read["metric"]) == ("Success", "success_rate")
    assert read["definition"] == METRICS["success_rate"].definition
    assert read["remarks"] == list(table.remarks)
    for place, reported in zip(sorted(table.places), read["places"], strict=True):
        found = table.places[place]
        assert (reported["attack"], reported["model"]) == (
            table.rows[place[0]][0],
            table.columns[place[1]][0],
        )
        known = found.estimate
        numbers = dataclasses.astuple(known)[:4] if known else (None,) * 4
        assert (reported["value"], reported["low"], reported["high"], reported["n"]) == numbers
        assert reported["note"] == (found.note or None)
        assert reported["key"] == found.entries[0].key


def test_a_table_without_columns_has_the_metric_as_its_header(matrix: Matrix) -> None:
    table = tables.build(matrix, "clean_accuracy", rows=["model"], columns=[])
    header, _, *body = github_cells(table.render("github"))
    assert header == ["model", "clean_accuracy"]
    assert len(body) == 2


def test_a_table_is_a_frame_of_plain_numbers(matrix: Matrix) -> None:
    table = tables.build(matrix)
    frame = table.frame()
    assert list(frame.columns) == [
        "attack", "model", "metric", "value", "low", "high", "n", "trainings",
        "note", "findings", "marks", "key"
    ]  # fmt: skip
    kept = frame[frame["value"].notna()]
    assert kept["value"].tolist() == [
        place.estimate.value for _, place in sorted(table.places.items()) if place.estimate
    ]
    assert frame["value"].dtype == float


def test_a_table_prints_as_markdown(matrix: Matrix) -> None:
    table = tables.build(matrix)
    assert str(table) == repr(table) == table._repr_markdown_() == table.render("github")


def test_means_bear_an_interval(matrix: Matrix) -> None:
    table = tables.build(matrix, "l2", where={"attack": SOUND[1], "model": "gaudy"}, intervals=True)
    values = [r["l2"] for r in rows(matrix, "attack", attack=SOUND[1], model="gaudy")]
    (place,) = table.places.values()
    assert place.estimate == statistics.mean(values, (0, None))
    assert "95 % Gaffke interval" in str(table)


@pytest.mark.parametrize(
    ("hits", "n", "printed"),
    [
        (90, 100, "90.0 % [82.6, 94.5] (100)"),
        # the interval is 0.8 points wide, but one image of 500 moves the rate by 0.2
        (500, 500, "100.0 % [99.2, 100.0] (500)"),
        (5000, 10_000, "50.0 % [49.0, 51.0] (10000)"),
        (9512, 10_000, "95.12 % [94.68, 95.53] (10000)"),
        (0, 10_000, "0.00 % [0.00, 0.04] (10000)"),
        (9999, 10_000, "99.99 % [99.94, 100.00] (10000)"),
        (99_990, 100_000, "99.990 % [99.982, 99.995] (100000)"),
    ],
)
def test_digits_follow_the_interval(hits: int, n: int, printed: str) -> None:
    found = statistics.rate(hits, n)
    assert tables.figure(found, METRICS["success_rate"], intervals=True) == printed
    alone = tables.figure(found, METRICS["success_rate"], intervals=False)
    assert alone == f"{printed.partition('[')[0]}({n})"


def test_ends_that_differ_look_different() -> None:
    found = statistics.Estimate(0.99984, 0.99981, 0.99987, 100)
    reported = tables.figure(found, METRICS["confidence"], intervals=True)
    assert reported == "99.98 % [99.98, 99.99] (100)"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (8 / 255, "8/255"),
        (0.5 / 255, "0.001961"),
        (12 / 255, "12/255"),
        (512 / 255, "512/255"),
        # a short decimal is what was written, whether or not it is a number of levels
        (0.2, "0.2"),
        (0.03, "0.03"),
        (1.0, "1"),
        (0.0, "0"),
        (1 / 3, "0.3333"),
        (0.0313, "0.0313"),
        ("pgd@eps=0.0313725", "pgd@eps=8/255"),
        ("pgd@eps=0.0156863,steps=40", "pgd@eps=4/255,steps=40"),
        ("pgd@alpha=0.1,eps=0.00784314", "pgd@alpha=0.1,eps=2/255"),
        ("linf 0.0313725", "linf 8/255"),
        ("pgd@eps=0.0313726", "pgd@eps=0.0313726"),  # not what 8/255 is to six digits
        ("pgd@eps=0.2", "pgd@eps=0.2"),
        ("net-0.0313725", "net-0.0313725"),
    ],
)
def test_a_radius_is_written_as_people_do(value: Any, written: str) -> None:
    assert tables.words.text_of(value) == written


def test_coordinates_stay_as_they_are_in_plain_numbers(matrix: Matrix) -> None:
    table = tables.build(matrix, rows=["attack", "eps"])
    assert table.rows[0] == ("fgsm@eps=0.0313725", EPS)
    assert table.frame()["attack"].iloc[0] == "fgsm@eps=0.0313725"
    assert github_cells(str(table))[2][:2] == ["fgsm@eps=8/255", "8/255"]


@pytest.mark.parametrize(
    ("metric", "attack", "is_stated"),
    [
        ("robust_accuracy", "fgsm-targeted", True),
        ("robust_error", "fgsm-targeted", True),
        ("success_rate", "fgsm-targeted", False),
        ("robust_accuracy", "identity", False),
    ],
)
def test_what_becomes_of_the_target_s_own_class_is_stated(
    matrix: Matrix, metric: str, attack: str, is_stated: bool
) -> None:
    table = tables.build(matrix, metric, rows=["attack"], where={"attack": attack})
    expected = (
        f"Targeted attacks: {metric} also of images of the target's own class, which count as "
        "robust where they are right before and after."
    )
    assert table.remarks == ((expected,) if is_stated else ())


# The run beside the tables


def test_all_records_come_as_one_frame(matrix: Matrix) -> None:
    frame = matrix.frame()
    done = [e for e in matrix.entries if e.state == "done"]
    sizes = {"evaluate": 30, "attack": 20, "transfer": 20}
    assert len(frame) == sum(sizes.get(e.kind, 0) for e in done)
    chosen = frame[(frame["kind"] == "attack") & (frame["attack"] == SOUND[1])]
    assert chosen.groupby("model").size().to_dict() == {"gaudy": 20, "linear": 20}


def test_classes_are_counted_in_a_table(matrix: Matrix) -> None:
    header, body = tables.class_distribution(matrix.run)
    assert header == ["class", "train", "test"]
    # labels go round 0, 1, 2: 48 / 3 and 30 / 3
    assert body == [[name, "16", "10"] for name in ("north", "east", "south")] + [
        ["all", "48", "30"]
    ]


# Several metrics


def test_several_metrics_stand_side_by_side(matrix: Matrix) -> None:
    names = ["success_rate", "l2", "forwards"]
    table = tables.build(matrix, names, columns=["model"])
    assert table.column_names == ("model", "metric")
    alone = {
        name: {
            (row, column): place
            for (i, j), place in single.places.items()
            for row, column in [(single.rows[i], single.columns[j])]
        }
        for name, single in ((name, tables.build(matrix, name)) for name in names)
    }
    assert len(table.places) == sum(map(len, alone.values())) > 0
    for (i, j), place in table.places.items():
        *column, name = table.columns[j]
        assert place == alone[name][table.rows[i], tuple(column)]
        assert place.metric is METRICS[name]
    text = str(table)
    for name in names:
        assert f"{name}: {METRICS[name].definition}" in text


def test_metrics_may_stand_in_the_rows_and_in_every_format(matrix: Matrix) -> None:
    where = {"group": "fgsm", "model": "linear"}
    names = ["success_rate", "robust_accuracy"]
    table = tables.build(matrix, names, rows=["eps"], columns=["metric"], where=where)
    turned = tables.build(matrix, names, rows=["metric"], columns=["eps"], where=where)
    assert table.rows == turned.columns == ((EPS,), (0.2,))
    assert table.columns == turned.rows == (("success_rate",), ("robust_accuracy",))
    assert {(j, i): place for (i, j), place in table.places.items()} == turned.places
    reported = list(csv.DictReader(io.StringIO(table.render("csv"))))
    assert [row["metric"] for row in reported] == names * 2
    assert json.loads(table.render("json"))["metric"] == "success_rate, robust_accuracy"
    assert "Wilson interval" in str(dataclasses.replace(table, intervals=True))
    both = tables.build(matrix, ["success_rate", "l2"], intervals=True)
    assert "95 % Wilson or Gaffke interval" in str(both)


def test_an_unknown_metric_among_several_is_reported(matrix: Matrix) -> None:
    with pytest.raises(UsageError, match="did you mean 'success_rate'"):
        tables.build(matrix, ["l2", "succes_rate"])
    with pytest.raises(UsageError, match="metric"):
        tables.build(matrix, [])
    with pytest.raises(UsageError, match="no dimension"):
        tables.build(matrix, where={"metric": "l2"})


def test_the_words_on_n_stand_only_where_there_is_an_n(tmp_path: Path) -> None:
    planted = Planted(tmp_path)
    planted.profile("net", parameters=10)
    planted.evaluate("net", [True, False])
    for metric, has_n in (("parameters", False), ("clean_accuracy", True)):
        text = tables.build(planted.matrix, metric, rows=["model"], columns=[]).render("github")
        assert ("In parentheses: n" in text) is has_n
        assert ("(2)" in text) is has_n


def test_footnotes_are_printed_by_latex_too(matrix: Matrix) -> None:
    text = tables.build(matrix).render("latex")
    notes = text.partition(r"\end{tabular}")[2].splitlines()[1:]
    assert all(line.startswith(r"\par\noindent{\footnotesize ") for line in notes)
    assert any("[1] " in line for line in notes)
    assert r"fgsm-targeted" in text
    assert not re.search(r"(?<!\\)[%&#_]", "".join(notes))


def test_a_variant_alone_is_not_taken_for_the_original(tmp_path: Path) -> None:
    planted = Planted(tmp_path)
    planted.attack("net", "pgd", [True] * 30, variant="half")
    planted.transfer("other", "net", "pgd", [True] * 30, variant="half")
    assert tables.build(planted.matrix).column_names == ("model", "variant")
    moved = tables.build(planted.matrix, "transfer_rate")
    assert moved.column_names == ("source", "model", "variant")
    rowed = tables.build(planted.matrix, rows="variant")
    assert (rowed.row_names, rowed.column_names) == (("variant",), ("model",))


@pytest.mark.parametrize(
    ("low", "high"), [(1.0, math.inf), (math.inf, math.inf), (-math.inf, 1.0), (math.nan, 1.0)]
)
@pytest.mark.parametrize("metric", ["steps_50", "median_norm", "clean_accuracy"])
def test_an_interval_without_an_end_is_written(metric: str, low: float, high: float) -> None:
    found = statistics.Estimate(0.5, low, high, 12)
    for intervals in (True, False):
        assert "0.5" in words.figure(found, METRICS[metric], intervals=intervals).replace(
            "50.0", "0.5"
        )
