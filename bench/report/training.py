"""The pages' part on training: recipes, time and memory, and the curves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.figures import curves
from bench.matrix import Matrix
from bench.report.blocks import Block, Heading, Table
from bench.report.pictures import embedded


def section(matrix: Matrix, folder: Path) -> Iterator[Block]:
    """Write how the models were trained; figures go into ``folder``."""
    path = curves.training(matrix, folder / "training")
    if path is None:
        return
    yield Heading("Training")
    yield embedded(
        path,
        "Solid: on augmented training batches. Dashed: on held-out images, with the kept epoch, "
        "where the recipe looks at them",
    )
    yield table(matrix)


def table(matrix: Matrix) -> Table:
    """Write what each training took: epochs, which of them was kept, time and memory."""
    rows = []
    for entry in matrix.entries:
        if entry.kind == "train" and entry.state == "done":
            summary: Any = matrix.stored(entry).summary
            epochs = summary["epochs"]
            memory, load = summary["peak_memory_bytes"], summary.get("busy_elsewhere")
            rows.append(
                [
                    str(entry.coordinates),
                    entry.facts["recipe"],
                    entry.facts["training_seed"],
                    entry.facts["training_images"],
                    f"{summary['kept_epoch']} of {len(epochs)}",
                    f"{summary['training_seconds']:.1f}",
                    f"{1000 * summary['training_seconds'] / len(epochs):.0f}",
                    "" if memory is None else f"{memory / 1e6:.0f}",
                    "" if load is None else f"{100 * load:.0f} %",
                ]
            )
    headers = ["training", "recipe", "seed", "images", "kept epoch", "s", "ms an epoch"]
    headers += ["peak MB of a step", "others"]
    return Table.of(headers, rows)
