"""The pages' part on explanations: galleries, and the metrics of heatmaps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import metrics, tables
from bench.compare.models import Comparison
from bench.figures import explanations as drawings
from bench.matrix import Entry, Matrix
from bench.report import grids
from bench.report.blocks import Block, Heading
from bench.report.pictures import embedded, named

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame

_ROWS = 40
"""Of one gallery at most."""

_MEASURES = ("faithfulness", "faithfulness_gain", "randomisation_similarity", "empty_heatmap")


def section(matrix: Matrix, folder: Path) -> Iterator[Block]:
    """Write what explainers show; figures go into ``folder``."""
    comparison = Comparison(matrix)
    galleries = {model: _galleries(matrix, comparison, model) for model in comparison.models}
    explained = [e for e in matrix.entries if e.kind == "explain" and e.state == "done"]
    if not explained and not any(galleries.values()):
        return
    yield from _drifts(matrix, comparison, folder)
    yield Heading("Explanations")
    for measure in _MEASURES:
        columns = tables.judged(matrix)
        table = tables.build(matrix, measure, rows=["explainer"], columns=columns, intervals=True)
        yield from grids.laid_out(table)
    for model, found in galleries.items():
        first = [e for e in found if e.coordinates.replica == found[0].coordinates.replica]
        for is_right, words in ((True, "classified correctly"), (False, "misclassified")):
            path = _gallery(matrix, model, first, folder, is_right=is_right)
            if path is not None:
                yield Heading(f"{model}: images {words}", 3)
                yield embedded(
                    path,
                    f"{model}, {words}: image, heatmap of the predicted class, both",
                )


def _galleries(matrix: Matrix, comparison: Comparison, model: str) -> list[Entry]:
    """Return the cells that hold what is shown of a model; some show nothing.

    In older runs explain cells hold it: their records say which images are shown.
    """
    shown, explained = (
        [e for e in comparison.entries(kind, model) if e.state == "done"]
        for kind in ("gallery", "explain")
    )
    if shown:
        return [e for e in shown if matrix.stored(e).summary["images"]]
    return [e for e in explained if "shown" in _read(matrix, e)[0]]


def _drifts(matrix: Matrix, comparison: Comparison, folder: Path) -> Iterator[Block]:
    """Write how far attacks change the heatmaps, and show some images before and after."""
    found = [
        e
        for e in matrix.entries
        if e.kind == "drift" and e.coordinates.attack and e.state == "done"
    ]
    if not found:
        return
    yield Heading("Explanations under attack")
    for measure in ("heatmap_similarity", "heatmap_overlap"):
        rows = ["model", "variant", "attack"]
        table = tables.build(matrix, measure, rows=rows, columns=["explainer"], intervals=True)
        yield from grids.laid_out(table)
    for model in comparison.models:
        cells = [e for e in found if e.coordinates.model_variant == model and e.coordinates.attack]
        attacks = dict.fromkeys(str(entry.coordinates.attack) for entry in cells)
        for attack in attacks:
            path = _before_and_after(matrix, model, attack, cells, folder)
            words = f"{model} under {attack}: each image before and after, the predicted class"
            yield embedded(path, words)


def _before_and_after(
    matrix: Matrix, model: str, attack: str, cells: list[Entry], folder: Path
) -> Path:
    """Draw the maps of the images that are kept, clean and attacked in turn."""
    mine = [e for e in cells if e.coordinates.attack == attack]
    mine = [e for e in mine if e.coordinates.replica == mine[0].coordinates.replica]
    kept = [_read(matrix, entry) for entry in mine]
    records, first = kept[0]
    classes: list[str] = matrix.run["dataset"]["classes"]
    shown = []
    for place, row in enumerate(first["shown"].tolist()):
        record = metrics.plain(records.iloc[[row]])[0]
        for images, maps, column, words in (
            ("images", "heatmaps", "clean_prediction", "clean"),
            ("adversarial_images", "adversarial_heatmaps", "prediction", "attacked"),
        ):
            picture = (255 * first[images][place]).round().astype("uint8").transpose(1, 2, 0)
            predicted = record[column]
            judged = "no verdict" if predicted is None else classes[int(predicted)]
            caption = f"{words}\n{judged}"
            heatmaps = [arrays[maps][place] for _, arrays in kept]
            shown.append(drawings.Explained(picture, caption, heatmaps))
    names = [str(entry.coordinates.explainer) for entry in mine]
    return drawings.gallery(shown, names, folder / named("drift", model, attack))


def _gallery(
    matrix: Matrix, model: str, entries: list[Entry], folder: Path, *, is_right: bool
) -> Path | None:
    """Draw the gallery of one model; None where it has no such image."""
    if not entries:
        return None
    known = [_read(matrix, entry) for entry in entries]
    records = known[0][0]
    records = records[records["shown"]] if "shown" in records else records
    fits = records[(records["label"] == records["prediction"]) == is_right]
    rows = [int(position) for position in fits.sort_values("label", kind="stable").index][:_ROWS]
    if not rows:
        return None
    classes: list[str] = matrix.run["dataset"]["classes"]
    shown = []
    for row in rows:
        record: Any = records.loc[row]
        words = classes[int(record["label"])]
        if not is_right:
            words += f"\npredicted as\n{classes[int(record['prediction'])]}"
        words += f"\n{100 * record['confidence']:.0f} %"
        heatmaps = [arrays["heatmaps"][row] for _, arrays in known]
        shown.append(drawings.Explained(known[0][1]["images"][row], words, heatmaps))
    names = [str(entry.coordinates.explainer) for entry in entries]
    name = f"{named('explanations', model)}-{'right' if is_right else 'wrong'}"
    return drawings.gallery(shown, names, folder / name)


def _read(matrix: Matrix, entry: Entry) -> tuple[DataFrame, dict[str, NDArray[np.generic]]]:
    stored = matrix.stored(entry)
    return matrix.store.records(stored), matrix.store.arrays(stored)
