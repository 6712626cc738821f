"""The pages' part on evaluation: scores of each class, confusion matrices, frequent confusions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tabulate import tabulate

from bench import metrics, scores
from bench.comparison import Comparison
from bench.figures import evaluation as drawings
from bench.matrix import Entry, Matrix
from bench.report.pictures import embedded

if TYPE_CHECKING:
    from numpy.typing import NDArray


def section(matrix: Matrix, folder: Path) -> Iterator[str]:
    """Write what each model gets right and wrong; figures go into ``folder``."""
    comparison = Comparison(matrix)
    entries = {model: comparison.entries("evaluate", model) for model in comparison.models}
    for model, found in entries.items():
        if not found or any(entry.state != "done" for entry in found):
            continue
        counts, trainings = confusion(matrix, found)
        several = f", summed over {trainings} trainings" if trainings > 1 else ""
        yield f"## {model}: classes"
        yield ""
        yield class_table(counts, matrix.run["dataset"]["classes"], trainings)
        yield ""
        yield from _matrix_of(matrix, model, counts, several, folder)
        yield from _confusions(matrix, model, found, counts, folder)


def confusion(matrix: Matrix, entries: list[Entry]) -> tuple[NDArray[np.float64], int]:
    """Count a model's images by (class, predicted class); of several trainings, all together.

    Returns:
        The counts, and how many trainings they are of.

    """
    classes = len(matrix.run["dataset"]["classes"])
    trainings = metrics.by_training(matrix.readings(entries))
    counts = sum(
        (
            scores.confusion(
                records["label"].to_numpy(dtype=np.int64),
                records["prediction"].to_numpy(dtype=np.int64),
                classes,
            )
            for records in trainings
        ),
        np.zeros((classes, classes)),
    )
    return counts, len(trainings)


def class_table(counts: NDArray[np.float64], classes: list[str], trainings: int = 1) -> str:
    """Write precision, recall, F1 and support of each class, and their means."""
    found = scores.per_class(counts)
    shown = [found[score] for score in ("precision", "recall", "f1")]
    support = found["support"] / trainings
    rows = [
        [name, *(f"{100 * score[i]:.1f} %" for score in shown), f"{support[i]:.0f}"]
        for i, name in enumerate(classes)
    ]
    occurs = counts.sum(0) + counts.sum(1) > 0
    means = [f"{100 * score[occurs].mean():.1f} %" for score in shown]
    rows.append(["macro mean", *means, f"{support.sum():.0f}"])
    headers = ["class", "precision", "recall", "F1", "support"]
    return tabulate(
        rows, headers, tablefmt="github", colalign=["left", *["right"] * 4], disable_numparse=True
    )


def _matrix_of(
    matrix: Matrix, model: str, counts: NDArray[np.float64], several: str, folder: Path
) -> Iterator[str]:
    classes: list[str] = matrix.run["dataset"]["classes"]
    title = f"{model}{several}"
    path = drawings.confusion(counts, classes, title, folder / f"confusion-{model}")
    yield from embedded(path, f"Confusion matrix of {title}", width=520)
    rows = [[name, *(f"{n:.0f}" if n else "" for n in counts[i])] for i, name in enumerate(classes)]
    yield "<details><summary>The same as a table: true classes down, predicted across</summary>"
    yield ""
    yield tabulate(rows, ["", *classes], tablefmt="github", disable_numparse=True)
    yield ""
    yield "</details>"
    yield ""


def _confusions(
    matrix: Matrix, model: str, entries: list[Entry], counts: NDArray[np.float64], folder: Path
) -> Iterator[str]:
    """Write the most frequent confusions, with images of the first training or fold."""
    classes: list[str] = matrix.run["dataset"]["classes"]
    wrong = counts * (1 - np.eye(len(classes)))
    order = [
        divmod(int(cell), len(classes)) for cell in np.argsort(-wrong, axis=None, kind="stable")[:8]
    ]
    frequent = [(true, said) for true, said in order if wrong[true, said]]
    if not frequent:
        yield "No image is predicted wrong."
        yield ""
        return
    support = counts.sum(1)
    yield "Most frequent confusions:"
    yield ""
    yield tabulate(
        [
            [classes[true], classes[said], f"{wrong[true, said]:.0f} of {support[true]:.0f}"]
            for true, said in frequent
        ],
        ["true", "predicted as", "images"],
        tablefmt="github",
    )
    yield ""
    path = _pictured(matrix, model, entries, folder)
    if path is not None:
        yield from embedded(path, f"Images that {model} is most often, and most surely, wrong on")


def _pictured(matrix: Matrix, model: str, entries: list[Entry], folder: Path) -> Path | None:
    entry = next((e for e in entries if "arrays" in matrix.stored(e).files), None)
    if entry is None:
        return None
    classes: list[str] = matrix.run["dataset"]["classes"]
    stored = matrix.stored(entry)
    records = matrix.store.records(stored).set_index("image")
    names: Any = stored.summary["examples"]
    rows: list[tuple[str, int]] = []
    captions = []
    for name in names:
        record: Mapping[str, Any] = records.loc[name]
        words = f"{classes[int(record['label'])]} taken for\n{classes[int(record['prediction'])]}"
        if rows and rows[-1][0] == words:
            rows[-1] = (words, rows[-1][1] + 1)
        else:
            rows.append((words, 1))
        captions.append(f"{100 * record['confidence']:.0f} % sure")
    images = matrix.store.arrays(stored)["examples"]
    return drawings.examples(images, captions, rows, folder / f"confusions-{model}")
