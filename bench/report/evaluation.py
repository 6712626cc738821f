"""The pages' part on evaluation: scores of each class, confusion matrices, frequent confusions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.compare.classes import class_scores, confusions, frequent_confusions, macro_scores
from bench.compare.models import Comparison
from bench.figures import evaluation as drawings
from bench.matrix import Entry, Matrix
from bench.report.blocks import Block, Details, Heading, Paragraph, Table
from bench.report.pictures import embedded, named
from bench.tables import DASH

if TYPE_CHECKING:
    from numpy.typing import NDArray


LARGEST = 40
"""With more classes a matrix is no longer read, and tables of classes are long."""

_MOST = 8
"""Frequent confusions in the table."""


def section(matrix: Matrix, folder: Path) -> Iterator[Block]:
    """Write the classes that each model confuses; figures go into ``folder``."""
    comparison = Comparison(matrix)
    classes: list[str] = matrix.run["dataset"]["classes"]
    for model in comparison.models:
        found = comparison.entries("evaluate", model)
        if not found or any(entry.state != "done" for entry in found):
            continue
        counts = confusions(matrix, found)
        yield Heading(f"{model}: classes")
        yield class_table(counts, classes)
        if len(classes) <= LARGEST:
            yield from _matrix_of(model, counts, classes, folder)
        yield from _frequent(matrix, model, found, counts, folder)


def class_table(counts: Sequence[NDArray[np.float64]], classes: list[str]) -> Table:
    """Write precision, recall, F1 and support of each class, and their means, over trainings.

    A class that no image has, or that nothing is predicted as, has a dash; in means it counts 0, as
    scikit-learn has it.
    """
    scores = [*class_scores(counts), macro_scores(counts)]
    rows = [
        [
            name,
            *(DASH if s is None else _percent(s) for s in (one.precision, one.recall, one.f1)),
            f"{one.support:.0f}",
        ]
        for name, one in zip([*classes, "macro mean"], scores, strict=True)
    ]
    headers = ["class", "precision", "recall", "F1", "support"]
    return Table.of(headers, rows, left=1)


def _percent(share: Any) -> str:
    return f"{100 * share:.1f} %"


def _matrix_of(
    model: str, parts: Sequence[NDArray[np.float64]], classes: list[str], folder: Path
) -> Iterator[Block]:
    several = f", summed over {len(parts)} trainings" if len(parts) > 1 else ""
    counts, title = np.sum(parts, axis=0), f"{model}{several}"
    path = drawings.confusion(counts, classes, title, folder / named("confusion", model))
    yield embedded(path, f"Confusion matrix of {title}", width=520)
    rows = [[name, *(f"{n:.0f}" if n else "" for n in counts[i])] for i, name in enumerate(classes)]
    yield Details(
        "The same as a table: true classes down, predicted across",
        (Table.of(["", *classes], rows),),
    )


def _frequent(
    matrix: Matrix,
    model: str,
    entries: list[Entry],
    counts: Sequence[NDArray[np.float64]],
    folder: Path,
) -> Iterator[Block]:
    """Write the most frequent confusions, with images of the first training or fold."""
    classes: list[str] = matrix.run["dataset"]["classes"]
    frequent = frequent_confusions(counts, _MOST)
    if not frequent:
        yield Paragraph("No image is misclassified.")
        return
    yield Paragraph("Most frequent confusions:")
    rows = [
        [classes[one.label], classes[one.prediction], f"{one.images} of {one.support}"]
        for one in frequent
    ]
    yield Table.of(["true", "predicted as", "images"], rows)
    entry = next((e for e in entries if "arrays" in matrix.stored(e).files), None)
    if entry is not None:
        path = _pictured(matrix, model, entry, folder)
        of = f" ({entry.coordinates.replica})" if entry.coordinates.replica else ""
        yield embedded(path, f"Most frequent confusions of {model}{of}, the most confident first")


def _pictured(matrix: Matrix, model: str, entry: Entry, folder: Path) -> Path:
    classes: list[str] = matrix.run["dataset"]["classes"]
    stored = matrix.stored(entry)
    records = matrix.store.records(stored).set_index("image")
    names: Any = stored.summary["examples"]
    rows: list[tuple[str, int]] = []
    captions = []
    for name in names:
        record: Mapping[str, Any] = records.loc[name]
        words = (
            f"{classes[int(record['label'])]} predicted as\n{classes[int(record['prediction'])]}"
        )
        if rows and rows[-1][0] == words:
            rows[-1] = (words, rows[-1][1] + 1)
        else:
            rows.append((words, 1))
        captions.append(f"confidence {100 * record['confidence']:.0f} %")
    images = matrix.store.arrays(stored)["examples"]
    return drawings.examples(images, captions, rows, folder / named("confusions", model))
