"""The pages' part on examples: images of each attack as PNG, and what is known of them as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import metrics
from bench.figures import examples as drawings
from bench.matrix import Entry, Matrix
from bench.records import NORMS
from bench.report.blocks import Block, Heading, Link, Paragraph
from bench.report.files import file_name
from bench.report.pictures import embedded, named

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER = "examples"
"""Beside the page: a folder for each model and variant, in it one for each attack."""


def section(matrix: Matrix, figures: Path) -> Iterator[Block]:
    """Write the files of as many images of each attack as the suite asks for, and galleries."""
    count = matrix.run.get("examples", 0)
    attacks = [
        entry
        for entry in matrix.entries
        if count and entry.kind == "attack" and entry.state == "done"
    ]
    if not attacks:
        return
    yield Heading("Examples")
    words = (
        f"Of each attack, {count} images, successes first: PNG, and JSON with labels, "
        "probabilities, norms and steps, in "
    )
    yield Paragraph((words, Link(FOLDER, FOLDER), "."))
    seen: set[tuple[str, str]] = set()
    for entry in attacks:
        place = (entry.coordinates.model_variant, str(entry.coordinates.attack))
        if place in seen:  # another replica
            continue
        seen.add(place)
        folder = figures.parent / FOLDER / file_name(place[0]) / file_name(place[1])
        shown = list(_write(matrix, entry, folder, count))
        path = drawings.gallery(shown, figures / named("examples", *place))
        yield embedded(path, f"{place[0]} under {place[1]}", width=360)


def _write(matrix: Matrix, entry: Entry, folder: Path, count: int) -> Iterator[drawings.Example]:
    """Write the files of some images of one attack, and return what they show."""
    from PIL import Image

    arrays: dict[str, NDArray[Any]] = matrix.store.arrays(matrix.stored(entry))
    records: Any = matrix.records(entry)
    classes: list[str] = matrix.run["dataset"]["classes"]
    fooled = metrics.success(records)
    successes = [int(i) for i in fooled.index[fooled]]
    rest = [i for i in range(len(records)) if i not in successes]
    folder.mkdir(parents=True, exist_ok=True)
    for row in (successes + rest)[:count]:
        record = metrics.plain(records.iloc[[row]])[0]
        before, after = (arrays[name][row] for name in ("clean_probabilities", "probabilities"))
        example = drawings.Example(
            arrays["images"][row].transpose(2, 0, 1).astype(np.float32) / 255,
            arrays["adversarial_images"][row],
            _words("original", classes, before),
            _words("adversarial", classes, after),
        )
        name = file_name(str(record["image"]))
        described = _described(entry, record, classes, before, after)
        judged = record["violation"] is None
        described |= {"success": row in successes if judged else None, "factor": example.factor}
        (folder / f"{name}.json").write_text(
            json.dumps(described, indent=1, ensure_ascii=False), encoding="utf-8"
        )
        strip = np.concatenate(example.pictures, axis=1)
        Image.fromarray(strip.squeeze(2) if strip.shape[2] == 1 else strip).save(
            folder / f"{name}.png"
        )
        yield example


def _words(what: str, classes: list[str], probabilities: NDArray[np.float32]) -> str:
    """Write the predicted class of an image, and its probability."""
    if not np.isfinite(probabilities).all():
        return what
    return f"{what}\n{classes[int(probabilities.argmax())]} {100 * probabilities.max():.0f} %"


def _described(
    entry: Entry,
    record: dict[str, Any],
    classes: list[str],
    before: NDArray[np.float32],
    after: NDArray[np.float32],
) -> dict[str, Any]:
    """Return all that is known of one image; what is not, is null."""

    def by_class(probabilities: NDArray[np.float32]) -> dict[str, float | None]:
        return {
            name: float(p) if np.isfinite(p) else None
            for name, p in zip(classes, probabilities, strict=True)
        }

    def known(index: Any) -> str | None:
        return None if index is None else classes[int(index)]

    return {
        "image": record["image"],
        "cell": entry.label,
        "key": entry.key,
        "attack": dict(entry.facts),
        "label": known(record["label"]),
        "target": known(record["target"]),
        "clean_prediction": known(record["clean_prediction"]),
        "prediction": known(record["prediction"]),
        "clean_probabilities": by_class(before),
        "probabilities": by_class(after),
        "norms": {norm: record[norm] for norm in NORMS},
        "steps_to_success": record["steps_to_success"],
        "violation": record["violation"],
    }
