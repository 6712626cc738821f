"""What a run leaves for people: the page, the CSV files, figures, lines on the console."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from conftest import tiny_suite
from matplotlib.figure import Figure
from PIL import Image
from planted import Planted

import bench
from bench.audit import audit
from bench.errors import UsageError
from bench.figures import curves, style
from bench.records import EvaluateRecord, Result
from bench.report import attacks, evaluation, explanations, markdown
from bench.report import page as pages
from bench.runner import console
from bench.tables import DASH


@pytest.fixture(scope="module")
def folder(module_plugins: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store and reports of one run, for all that only read them."""
    folder = tmp_path_factory.mktemp("run")
    suite = tiny_suite()
    suite["description"] = "What it is for."
    suite["attacks"]["raises"] = {}
    table = {"metric": "robust_accuracy", "title": "One table", "intervals": True}
    bench.run(
        suite | {"tables": {"one": table}}, store=folder / "store", reports=folder / "reports"
    )
    return folder


@pytest.fixture
def outcome(folder: Path) -> bench.Outcome:
    return bench.open_last(store=folder / "store")


def test_the_page_is_rendered_from_the_store(
    outcome: bench.Outcome, folder: Path, tmp_path: Path
) -> None:
    page = (folder / "reports" / "tiny" / "README.md").read_text()
    table = outcome.table("robust_accuracy", intervals=True)
    assert table.render("github").partition("\n\n")[0] in page
    for words in (
        "# tiny",
        "What it is for.",
        "## One table",
        "95 % Wilson interval",
        "failed: RuntimeError: lost my way",
        "## Missing",
        "4 of 24 cells have no result",
        "| north   |",
        "drawn by seed 7",
        "- threads: 1",
        "- memory_format: channels_last",
    ):
        assert words in page, words
    again = pages.write(outcome.matrix, tmp_path / "again")
    assert again.read_text() == page


def test_the_csv_holds_plain_numbers(outcome: bench.Outcome, folder: Path) -> None:
    text = (folder / "reports" / "tiny" / "one.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    frame = outcome.table("robust_accuracy").frame()
    assert len(rows) == len(frame)
    for row, (_, known) in zip(rows, frame.iterrows(), strict=True):
        assert row["attack"] == known["attack"]
        if row["value"]:
            assert float(row["value"]) == known["value"]
            assert 0 <= float(row["low"]) <= float(row["value"]) <= float(row["high"]) <= 1
        else:
            assert row["note"]


def test_a_figure_draws_each_model_s_curve(outcome: bench.Outcome, tmp_path: Path) -> None:
    path = curves.success(outcome.matrix, "success_rate", ["fgsm"], tmp_path / "figure.svg")
    assert ET.parse(path).getroot().tag.endswith("svg")
    again = curves.success(outcome.matrix, "success_rate", ["fgsm"], tmp_path / "again.svg")
    assert again.read_bytes() == path.read_bytes()
    lines = curves._lines(outcome.matrix, "success_rate", ["fgsm"])
    assert set(lines) == {("linear", "fgsm"), ("gaudy", "fgsm")}
    reported = outcome.table("success_rate", where={"group": "fgsm", "model": "linear"}).frame()
    assert [point.value for _, point in lines["linear", "fgsm"]] == list(reported["value"])
    with pytest.raises(UsageError, match="no cell of nobody"):
        curves.success(outcome.matrix, "success_rate", ["nobody"], path)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (75, "1 min 15 s"), (7325, "2 h 02 min")],
)
def test_durations(seconds: float, words: str) -> None:
    assert console.duration(seconds) == words


def test_lines_report_what_was_computed(
    tiny: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for is_first in (True, False):
        done = bench.run(tiny, store=tmp_path / "s", reports=None, listener=console.Lines())
        cells = len(done.matrix.entries) + len(done.matrix.probes)
        expected = cells if is_first else 0
        shown = capsys.readouterr().err.splitlines()
        lines = [line for line in shown if not line.startswith("note: ")]
        assert lines[0] == f"tiny: {cells} cells, {cells - expected} in the store"
        assert len([line for line in lines if "] done " in line]) == expected
    assert f"[{cells}/{cells}] done transfer" not in lines


@pytest.mark.slow
def test_tables_of_an_earlier_run_do_not_stay(
    outcome: bench.Outcome, folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(folder / "reports" / "tiny", tmp_path / "tiny")
    one = (folder / "one.csv").rename(folder / "mine.csv")  # no report lists it: a user's own
    outcome.matrix.run["tables"]["other"] = outcome.matrix.run["tables"].pop("one")
    pages.write(outcome.matrix, folder)
    assert {path.name for path in folder.iterdir()} == {
        *(".bench-report.json", "README.md", "figures", "mine.csv", "other.csv"),
    }
    assert one.is_file()
    page = (folder / "README.md").read_text()
    assert "eps=0.2, alpha=0.05, steps=5, random_start=True" in page  # what pgd was
    assert "| gaudy   | trained   |" in page


def test_a_notebook_gets_records_with_parameters_and_the_images(outcome: bench.Outcome) -> None:
    frame = outcome.frame()
    rows = frame[(frame["kind"] == "attack") & (frame["attack"] == "pgd")]
    assert set(rows["eps"]) == {0.2}
    assert set(rows["steps"]) == {5}
    images = outcome.adversarial_images("linear/pgd")
    assert images.shape == (20, 3, 8, 8)
    with pytest.raises(UsageError, match="did you mean 'linear/pgd'"):
        outcome.adversarial_images("linear/pdg")
    assert repr(outcome).startswith("<Outcome of ")


# Pages of runs that nobody computed


def evaluated(
    planted: Planted, model: str, pairs: Sequence[tuple[int, int]], channels: int = 3
) -> None:
    """Plant predictions by (class, predicted class), with an image of each mistake."""
    records = [EvaluateRecord(f"test/{i}", *pair, 0.5) for i, pair in enumerate(pairs)]
    wrong = [r.image for r in records if r.label != r.prediction]
    images = np.random.default_rng(0).integers(0, 256, (len(wrong), 8, 8, channels), np.uint8)
    planted.put(
        "evaluate",
        model,
        Result(
            records=records,
            arrays={"examples": images} if wrong else {},
            summary={"images": len(records), "examples": wrong},
        ),
    )


def pictured(
    planted: Planted,
    model: str,
    images: Sequence[tuple[int, int]],
    explainer: str = "saliency",
    channels: int = 3,
) -> None:
    """Plant a gallery of images by (class, predicted class).

    Each image is of one value, its position, so that a figure shows which it is.
    """
    records = [EvaluateRecord(f"test/{i}", *pair, 0.5) for i, pair in enumerate(images)]
    summary = {"images": len(images)}
    result = Result(records=records, arrays=pictures(len(images), channels), summary=summary)
    planted.put("gallery", model, result, explainer=explainer)


def pictures(count: int, channels: int = 3) -> dict[str, Any]:
    values = np.arange(count, dtype=np.uint8)[:, None, None, None]
    heatmaps = np.random.default_rng(1).random((count, 8, 8)).astype(np.float32)
    return {"images": np.tile(values, (1, 8, 8, channels)), "heatmaps": heatmaps}


def older(planted: Planted, model: str, images: Sequence[tuple[int, int]], explainer: str) -> None:
    """Plant the same gallery in the explain cell of an older run, between images not shown."""
    mixed = [each for pair in images for each in ((pair, True), ((1, 1), False))]
    records: list[Any] = [
        OlderRecord(f"test/{i}", *pair, 0.5, not shown, shown)
        for i, (pair, shown) in enumerate(mixed)
    ]
    arrays = pictures(len(mixed))
    arrays["images"] //= 2
    result = Result(records=records, arrays=arrays, summary={"images": len(images)})
    planted.put("explain", model, result, explainer=explainer)


@dataclass(frozen=True, slots=True)
class OlderRecord:
    """One image of an explain cell from before there were galleries, as far as pages read it."""

    image: str
    label: int
    prediction: int
    confidence: float
    measured: bool
    shown: bool


def page_of(planted: Planted, folder: Path) -> str:
    return pages.write(planted.matrix, folder).read_text(encoding="utf-8")


def touched(*drawn: Any) -> Path:
    """Leave an empty figure where one is to be drawn."""
    path: Path = drawn[-1].with_suffix(".svg")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize(("classes", "is_drawn"), [(3, True), (40, True), (41, False), (60, False)])
def test_a_matrix_that_cannot_be_read_is_not_drawn(
    planted: Planted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    classes: int,
    is_drawn: bool,
) -> None:
    if classes == 40:  # drawing 1,600 numbers takes seconds
        monkeypatch.setattr(evaluation.drawings, "confusion", touched)
    planted.classes = [f"class{i}" for i in range(classes)]
    pairs = [(i, i) for i in range(classes) for _ in range(3)]
    evaluated(planted, "many", [*pairs, (0, 1), (0, 1), (2, 0)])
    page = page_of(planted, tmp_path / "page")
    names = {path.name for path in (tmp_path / "page" / "figures").iterdir()}
    assert ("confusion-many.svg" in names) is is_drawn
    assert ("Confusion matrix of many" in page) is is_drawn
    assert ("The same as a table" in page) is is_drawn
    # what stays of it: scores of every class, and the mistakes
    assert "confusions-many.svg" in names
    for name in planted.classes:
        assert re.search(rf"^\| {name} +\| +\d", page, re.MULTILINE), name
    assert re.search(r"\| class0 +\| class1 +\| 2 of 5 ", page)


@pytest.mark.slow
def test_a_gallery_of_many_classes_ends(planted: Planted, tmp_path: Path) -> None:
    """Forty rows, of the first classes: it is to be looked at."""
    planted.classes = [f"class{i}" for i in range(60)]
    evaluated(planted, "many", [(i, i) for i in range(60)])
    pictured(planted, "many", [(i, i) for i in range(60)])
    page = page_of(planted, tmp_path / "page")
    assert "figures/explanations-many-right.svg" in page
    with Image.open(tmp_path / "page" / "figures" / "explanations-many-right.png") as picture:
        # 0.94 inches a row and 0.4 above, at 200 dots an inch
        assert picture.height == pytest.approx(200 * (0.94 * 40 + 0.4), abs=1)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("height", [1, 8])
def test_images_of_any_number_of_channels_are_shown(channels: int, height: int) -> None:
    """One as grey, three as colours, of any other the mean: two or five are no colours."""
    image = np.random.default_rng(2).integers(0, 256, (height, 7, channels), np.uint8)
    axes = Figure().subplots()
    style.show(axes, image)
    (drawn,) = axes.images
    found = np.asarray(drawn.get_array())
    if channels == 3:
        assert (found == image).all()
    else:
        assert found.shape == (height, 7)
        assert (found == image.astype(int).sum(2) // channels).all()
        assert drawn.get_clim() == (0, 255)  # or else a dark image would be shown bright


def test_a_page_shows_images_of_two_channels(planted: Planted, tmp_path: Path) -> None:
    evaluated(planted, "radar", [(0, 0), (1, 1), (0, 1)], channels=2)
    pictured(planted, "radar", [(0, 0), (0, 1)], channels=2)
    page = page_of(planted, tmp_path / "page")
    for name in ("confusions-radar", "explanations-radar-right", "explanations-radar-wrong"):
        assert f"figures/{name}.svg" in page
        assert (tmp_path / "page" / "figures" / f"{name}.png").is_file()


@pytest.mark.parametrize("model", ["plain", "half%25", "m%41", "a+b@eps=0.5,x"])
def test_links_lead_to_the_figures_whatever_models_are_called(
    planted: Planted, tmp_path: Path, model: str
) -> None:
    """A browser reads %41 as A; the file is called as the model is."""
    evaluated(planted, model, [(0, 0), (1, 1), (0, 1)])
    pictured(planted, model, [(0, 0), (0, 1)])
    page = page_of(planted, tmp_path / "page")
    links = set(re.findall(r'src="([^"]+)"', page)) | set(
        re.findall(r"\]\((figures/[^)]+)\)", page)
    )
    there = {f"figures/{path.name}" for path in (tmp_path / "page" / "figures").iterdir()}
    assert {unquote(link) for link in links} == there
    assert len(there) == 2 * 4  # a matrix, its images, two galleries; SVG and PNG
    if "%" in model:
        assert not links & there
    assert any(model in name for name in there)


# Latency


BUSY_WORDS = "Other processes took more than 10% of the machine during a timing"


@pytest.mark.parametrize(
    ("busy", "reported", "cell"),
    [(0.0, False, "0 %"), (None, False, ""), (0.1, False, "10 %"), (0.3, True, "30 %")],
)
def test_the_page_says_where_something_else_was_busy(
    planted: Planted, tmp_path: Path, busy: float | None, reported: bool, cell: str
) -> None:
    planted.latency("quiet", [1.0, 2.0, 6.0], busy=0.0)
    planted.latency("other", [2.0] * 4, batch=16, busy=busy)
    page = page_of(planted, tmp_path / "page")
    rows = [
        [word.strip() for word in line.split("|")[1:-1]]
        for line in page.partition("## Latency")[2].splitlines()
        if line.startswith(("| quiet ", "| other "))
    ]
    # 1, 2, 6: mean 3, variance (4 + 1 + 9) / 2, 95 % at 2 + 0.9 * 4
    assert rows == [
        ["quiet", "1", "1", "3.00", "2.65", "2.00", "5.60", "3", "0 %"],
        ["other", "16", "1", "2.00", "0.00", "2.00", "2.00", "4", cell],
    ]
    assert (BUSY_WORDS in page) is reported
    assert "On Abacus 9, 2 cores, after 3 runs to warm up" in page


def test_without_a_timing_there_is_no_section_on_it(planted: Planted, tmp_path: Path) -> None:
    evaluated(planted, "m", [(0, 0)])
    assert "## Latency" not in page_of(planted, tmp_path / "page")


# Classes


def test_a_class_without_images_has_a_dash_where_nothing_is_defined() -> None:
    # a: 2 of 3 found, 2 of 3 said; b: never said; c: said once, of no image; d: neither
    counts = np.zeros((4, 4))
    counts[0, [0, 2]] = 2, 1
    counts[1, 0] = 1
    rows = [list(row) for row in evaluation.class_table([counts], ["a", "b", "c", "d"]).rows]
    assert rows == [
        ["a", "66.7 %", "66.7 %", "66.7 %", "3"],
        ["b", DASH, "0.0 %", "0.0 %", "1"],
        ["c", "0.0 %", DASH, "0.0 %", "0"],
        ["d", DASH, DASH, DASH, "0"],
        # over the three that occur, what is undefined counting 0: 66.7 / 3
        ["macro mean", "22.2 %", "22.2 %", "22.2 %", "4"],
    ]


def test_scores_of_classes_are_means_over_trainings_not_of_their_sum() -> None:
    """As in the table of all models; summing first would weigh a training by what it says."""
    first = np.array([[4.0, 0.0], [4.0, 0.0]])  # says a always: precision of a 4 in 8
    second = np.array([[1.0, 3.0], [0.0, 4.0]])  # precision of a 1 in 1
    table = evaluation.class_table([first, second], ["a", "b"])
    rows = [list(row) for row in table.rows]
    # precision of a (1/2 + 1) / 2, recall (1 + 1/4) / 2; of b (0 + 4/7) / 2, (0 + 1) / 2
    assert [row[:3] for row in rows] == [
        ["a", "75.0 %", "62.5 %"],
        ["b", "28.6 %", "50.0 %"],
        ["macro mean", "51.8 %", "56.2 %"],
    ]
    assert [row[4] for row in rows] == ["4", "4", "8"]  # images, not images times trainings


# Galleries


@pytest.mark.parametrize("plant", [pictured, older])
def test_galleries_show_what_was_picked_for_them_and_nothing_else(
    plant: Callable[..., None],
    planted: Planted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, list[tuple[int, str, int]]] = {}

    def gallery(shown: Any, explainers: Any, path: Path) -> Path:
        seen[path.name] = [
            (int(one.image[0, 0, 0]), one.words.replace("\n", " "), len(one.heatmaps))
            for one in shown
        ]
        assert explainers == ["saliency", "grad_cam"]
        return path.with_suffix(".svg")

    monkeypatch.setattr(explanations.drawings, "gallery", gallery)
    images = [(0, 0), (1, 1), (1, 0), (0, 1), (0, 0)]
    for explainer in ("saliency", "grad_cam"):
        plant(planted, "m", images, explainer=explainer)
    list(explanations.section(planted.matrix, tmp_path))
    assert seen == {  # by class, then as they were picked
        "explanations-m-right": [
            (0, "even 50 %", 2),
            (4, "even 50 %", 2),
            (1, "odd 50 %", 2),
        ],
        "explanations-m-wrong": [
            (3, "even predicted as odd 50 %", 2),
            (2, "odd predicted as even 50 %", 2),
        ],
    }


def test_without_a_picked_image_there_is_no_gallery(planted: Planted, tmp_path: Path) -> None:
    planted.put("gallery", "m", Result(summary={"images": 0}), explainer="saliency")
    page = page_of(planted, tmp_path / "page")
    assert "m: images" not in page


# What the page says of images


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        ((), None),
        (("explain",), "Explainers work on 10 images of test, drawn by seed 7."),
        (("attack",), "Attacks work on 10 images of test, drawn by seed 7."),
        (
            ("attack", "explain"),
            "Attacks and Explainers work on 10 images of test, drawn by seed 7.",
        ),
    ],
)
def test_the_page_says_what_worked_on_a_sample(planted: Planted, kinds, words) -> None:
    evaluated(planted, "m", [(0, 0)])
    for kind in kinds:
        planted.put(
            kind, "m", Result(summary={"images": 1}), **({kind: "x"} if kind == "attack" else {})
        )
    assert pages._worked_on(planted.matrix) == (words or "")


def test_copies_of_an_image_in_two_splits_are_one_image_each(planted: Planted) -> None:
    """Two copies in train of three in test are six pairs, and three images that are judged."""
    pairs = [[f"train/{i}", f"test/{j}"] for i in range(2) for j in range(3)]
    planted.leaks = [{"splits": ["train", "test"], "images": pairs}]
    page = markdown.render(pages._data(planted.matrix))
    assert "**3 images of test are in train too**, pixel for pixel: test/0 is train/0" in page


def test_the_page_says_what_whole_trainings_and_folds_worked_on(planted: Planted) -> None:
    for model, replica in (("whole", None), ("cut", "fold1of2"), ("cut", "fold2of2")):
        planted.put("explain", model, Result(summary={"images": 1}), replica=replica)
    assert pages._worked_on(planted.matrix) == (
        "Explainers work on 10 images of test or, cross-validated, of each fold held out, "
        "drawn by seed 7."
    )


def test_a_grid_whose_rates_are_all_withheld_spoils_no_page(tmp_path: Path) -> None:
    planted = Planted(tmp_path)
    for eps in (0.1, 0.2):
        broken = {0: "leaves [0, 1]"}
        planted.attack("net", f"pgd@eps={eps}", [True] * 40, eps=eps, broken=broken)
    page = markdown.render(attacks.section(planted.matrix, tmp_path, audited=audit(planted.matrix)))
    assert "Robust accuracy over eps" not in page


def test_lines_over_eps_keep_other_parameters_apart_and_put_trainings_together(
    tmp_path: Path,
) -> None:
    planted = Planted(tmp_path)
    for seed, more in (("seed1", 0), ("seed2", 4)):
        for eps, hits in ((0.1, 10), (0.2, 20)):
            for steps in (5, 40):
                fooled = [i < hits + steps // 10 + more for i in range(40)]
                name = f"pgd@eps={eps},steps={steps}"
                planted.attack("net", name, fooled, eps=eps, replica=seed)
    lines = curves._lines(planted.matrix, "robust_accuracy", ["pgd"])
    assert set(lines) == {("net", "pgd@steps=5"), ("net", "pgd@steps=40")}
    assert [eps for eps, _ in lines["net", "pgd@steps=40"]] == [0.1, 0.2]
    means = [found.value for _, found in lines["net", "pgd@steps=40"]]
    assert means == pytest.approx([1 - 16 / 40, 1 - 26 / 40])  # 14 and 18, 24 and 28 are fooled


def test_a_point_of_a_line_has_all_trainings_or_is_not_drawn(tmp_path: Path) -> None:
    """Those that are left would stand for all of them."""
    planted = Planted(tmp_path)
    for replica in ("seed1", "seed2"):
        for eps in (0.1, 0.2):
            lost = (eps, replica) == (0.2, "seed2")
            reported = {"eps": eps, "replica": replica, "state": "failed" if lost else "done"}
            planted.attack("net", f"pgd@eps={eps}", [i < 10 for i in range(40)], **reported)
    lines = curves._lines(planted.matrix, "robust_accuracy", ["pgd"])
    assert [eps for eps, _ in lines["net", "pgd"]] == [0.1]


def test_the_nearest_images_of_each_variant_have_a_line(tmp_path: Path) -> None:
    planted = Planted(tmp_path)
    for variant in ("original", "jpeg"):
        facts = {"minimum_norm": True}
        planted.attack("net", "bisection", [True] * 20, variant=variant, facts=facts)
    entries = [e for e in planted.matrix.entries if e.kind == "attack"]
    drawn = [attacks._reach(planted.matrix, entry) for entry in entries]
    assert [line.model for line in drawn] == ["net", "net/jpeg"]


def test_the_curve_of_one_epoch_is_a_point(tmp_path: Path) -> None:
    planted = Planted(tmp_path)
    planted.reduced("net", "half", "magnitude", "fine_tune")
    path = curves.training(planted.matrix, tmp_path / "training.svg")
    assert '<use xlink:href="#' in path.read_text(encoding="utf-8").partition('id="line2d')[2]
    with Image.open(path.with_suffix(".png")) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    shade = np.array([int(style.colour(0)[i : i + 2], 16) for i in (1, 3, 5)])
    assert (np.abs(pixels - shade).max(1) < 30).sum() > 20  # the point, and its mark in the legend


def test_many_lines_are_drawn_in_a_panel_for_each_group_with_one_legend(tmp_path: Path) -> None:
    planted = Planted(tmp_path)
    variants = [f"v{place}" for place in range(9)]
    for variant in variants:
        for group in ("fgsm", "pgd"):
            for eps in (0.1, 0.2):
                fooled = [i < 100 * eps for i in range(40)]
                planted.attack("net", f"{group}@eps={eps}", fooled, eps=eps, variant=variant)
    path = curves.success(planted.matrix, "robust_accuracy", ["fgsm", "pgd"], tmp_path / "a.svg")
    text = path.read_text(encoding="utf-8")
    for label in (*(f"net/{variant}" for variant in variants), "fgsm", "pgd"):
        assert text.count(f"<!-- {label} -->") == 1


@pytest.mark.parametrize("target", [None, 1])
def test_figures_of_targeted_attacks_say_whom_they_count(
    planted: Planted, tmp_path: Path, target: int | None
) -> None:
    """In the table of each attack on variants, as in the suite's tables."""
    words = "robust_accuracy also of images of the target's own class"
    fooled = [i < 5 for i in range(20)]
    planted.reduced("net", "half", "magnitude")
    for variant in ("original", "half"):
        planted.attack("net", "fgsm", fooled, target=target, variant=variant)
    page = page_of(planted, tmp_path / "page")
    section = page.partition("### Robustness: fgsm")[2].partition("\n##")[0]
    assert "robust_accuracy" in section
    assert (words in section) is (target is not None)
