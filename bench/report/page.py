"""The page of a run as blocks, and its files: all from the store, nothing typed.

It states n, intervals, settings and what is missing. Knows nothing of how cells were computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bench import tables
from bench.audit import Audit, known
from bench.errors import UsageError
from bench.matrix import Matrix
from bench.records import DECLARED_FACTS, JSON, SHIELD_FACTS, write_name
from bench.report import (
    attacks,
    audits,
    choosing,
    compression,
    evaluation,
    examples,
    explanations,
    grids,
    markdown,
    recommending,
    robustness,
    timing,
    training,
    transfers,
)
from bench.report.blocks import (
    Block,
    Bullets,
    Code,
    Heading,
    Link,
    Paragraph,
    Preformatted,
    Prose,
    Strong,
    Table,
)
from bench.report.files import file_name, replaced
from bench.report.pictures import FOLDER


def suite_tables(matrix: Matrix, audited: Audit) -> tuple[dict[str, tables.Table], list[str]]:
    """Build the tables that the suite declares; a suite that declares none gets the usual ones.

    Args:
        matrix: of one run.
        audited: its audit, whose findings are printed on the figures that they concern.

    Returns:
        The tables by name, and a line on each that cannot be laid out, as when ``--attacks`` left
        nothing that has one of its dimensions.

    """
    declared: dict[str, dict[str, Any]] = matrix.run["tables"] or _usual(matrix)
    built: dict[str, tables.Table] = {}
    refused: list[str] = []
    for name, table in declared.items():
        try:
            built[name] = tables.build(
                matrix,
                table["metric"],
                rows=table["rows"],
                columns=table["columns"],
                where=table["where"],
                intervals=table["intervals"],
                title=table["title"] or name,
                audited=audited,
            )
        except UsageError as error:
            refused.append(f"table '{name}' is left out: {error}")
    return built, refused


def _usual(matrix: Matrix) -> dict[str, dict[str, Any]]:
    usual: dict[str, dict[str, Any]] = {}
    kinds = {entry.kind for entry in matrix.entries}
    plain = {"where": {}, "intervals": False, "title": ""}
    judged = tables.judged(matrix)
    if "attack" in kinds:
        usual["success"] = {
            "metric": "success_rate",
            "rows": ["attack"],
            "columns": judged,
            **plain,
        }
    if "evaluate" in kinds:
        usual["accuracy"] = {"metric": "clean_accuracy", "rows": judged, "columns": [], **plain}
    if "transfer" in kinds:
        usual["transfer"] = {
            "metric": "transfer_rate",
            "rows": ["attack"],
            "columns": ["source", *judged],
            **plain,
        }
    return usual


def write(matrix: Matrix, folder: Path) -> Path:
    """Write ``README.md``, a CSV file for each table, recommendations and figures.

    They replace those that the last report in this folder wrote; other files stay.

    Returns:
        The page's path.

    """
    audited = known(matrix)
    built, refused = suite_tables(matrix, audited)
    with replaced(folder) as fresh:
        for name, table in built.items():
            text = table.render("csv") + "\n"
            (fresh / f"{file_name(name)}.csv").write_text(text, encoding="utf-8")
        if matrix.run.get("recommend"):
            text = recommending.Recommendations(matrix).json
            (fresh / recommending.FILE).write_text(text, encoding="utf-8")
        blocks = _blocks(matrix, audited, built, refused, fresh / FOLDER)
        (fresh / PAGE).write_text(markdown.render(blocks), encoding="utf-8")
    return folder / PAGE


PAGE = "README.md"


def _blocks(
    matrix: Matrix,
    audited: Audit,
    built: dict[str, tables.Table],
    refused: list[str],
    figures: Path,
) -> Iterator[Block]:
    run = matrix.run
    yield Heading(run["suite"], 1)
    if run["description"]:
        yield Prose(run["description"])
    yield from _tables(built)
    yield from map(Paragraph, refused)
    yield from audits.section(audited, matrix)
    for section in (
        partial(choosing.section, audited=audited),
        robustness.section,
        timing.section,
        partial(compression.section, audited=audited),
        evaluation.section,
        training.section,
        partial(attacks.section, audited=audited),
        partial(transfers.section, audited=audited),
        examples.section,
        explanations.section,
    ):
        yield from section(matrix, figures)
    yield from _missing(matrix)
    yield from _entries(matrix)
    yield from _data(matrix)
    yield from _settings(matrix)


def _tables(built: Mapping[str, tables.Table]) -> Iterator[Block]:
    """Print the suite's tables, each with its remarks and where its plain numbers are."""
    for name, table in built.items():
        yield Heading(table.title)
        yield from grids.laid_out(table)
        yield Paragraph(("Plain numbers: ", Link(f"{name}.csv", f"{file_name(name)}.csv")))


def _data(matrix: Matrix) -> Iterator[Block]:
    """Name the images, and those that occur in two splits."""
    run = matrix.run
    yield Heading("Data")
    data = run["dataset"]
    digest = Code(data["digest"][:12])
    yield Paragraph((Code(data["plugin"]), ", digest ", digest, f". {_worked_on(matrix)}"))
    yield Table.of(*tables.class_distribution(run), left=1)
    leaks = run["dataset"].get("leaks", [])
    if not leaks:
        yield Paragraph("No image occurs in two splits, pixel for pixel.")
    for leak in leaks:
        one, other = leak["splits"]
        pairs = ", ".join(f"{second} is {first}" for first, second in leak["images"][:10])
        count = len({twin for _, twin in leak["images"]})
        words = f"{count} images of {other} are in {one} too"
        yield Paragraph((Strong(words), f", pixel for pixel: {pairs}"))
    for found in run["dataset"].get("near_duplicates", []):
        one, other = found["splits"]
        pairs = ", ".join(f"{second} and {first}" for first, second in found["images"][:10])
        words = f"{len(found['images'])} images of {one} and {other} show nearly the same"
        yield Paragraph((Strong(words), f", flipped, cropped, brighter or compressed: {pairs}"))


def _settings(matrix: Matrix) -> Iterator[Block]:
    """Write the settings of the run, and its command."""
    run = matrix.run
    yield Heading("Settings")
    made_with = {**run["settings"], **run["versions"]}
    settings = (f"{name}: {value}" for name, value in made_with.items())
    yield Bullets((*settings, *_contiguous(matrix)))
    yield Paragraph(("Run ", Code(run["name"]), ", made by"))
    yield Preformatted(run["command"])


def _contiguous(matrix: Matrix) -> Iterator[str]:
    """Name the models that were not computed in the memory format of the run."""
    done = [e for e in matrix.entries if e.kind == "evaluate" and e.state == "done"]
    used = {e.coordinates.model: matrix.stored(e).summary.get("memory_format") for e in done}
    wanted = matrix.run["settings"].get("memory_format")
    names = [name for name, known in used.items() if known not in (None, wanted)]
    if names:
        yield (
            f"memory_format of {', '.join(names)}: contiguous, since its network fails on "
            "channels-last maps"
        )


_NO_PARAMETERS = (
    *("group", "targeted", "minimum_norm", "traceable", "caveats"),
    *SHIELD_FACTS,
    *DECLARED_FACTS,
)
"""Facts of attack cells that are shown elsewhere."""


def _entries(matrix: Matrix) -> Iterator[Block]:
    """Write the weights of the models and the parameters of the attacks."""
    weights = {
        entry.coordinates.model_variant: str(entry.facts["weights"])
        for entry in matrix.entries
        if "weights" in entry.facts
    }
    yield Heading("Models")
    yield Table.of(["model", "weights"], list(weights.items()))
    found = {e.coordinates.attack: e.facts for e in matrix.entries if e.kind == "attack"}
    if not found:
        return
    shown = ("plugin", "norm", "target")
    rows = []
    for name, facts in found.items():
        hidden = {*shown, *_NO_PARAMETERS}
        parameters = ", ".join(
            f"{key}={_written(value)}" for key, value in facts.items() if key not in hidden
        )
        known = (facts[key] if facts[key] is not None else tables.DASH for key in shown)
        rows.append([write_name(str(name)), *known, parameters])
    yield Heading("Attacks")
    yield Table.of(["attack", *shown, "parameters"], rows)


def _written(value: JSON) -> str:
    """Write a parameter whole, but for a radius in 255ths."""
    short = tables.text_of(value)
    return short if isinstance(value, float) and "/" in short else str(value)


def _worked_on(matrix: Matrix) -> str:
    """Write which images attacks and explainers worked on, if there were any."""
    run = matrix.run
    kinds = {"attack": "Attacks", "explain": "Explainers"}
    working = [entry for entry in matrix.entries if entry.kind in kinds]
    if not working:
        return ""
    found = {kinds[entry.kind] for entry in working}
    folds = {entry.coordinates.is_fold for entry in working}
    splits = [] if folds == {True} else [" and ".join(run["dataset"]["splits"])]
    of = " or, cross-validated, of ".join([*splits, *["each fold held out"] * (True in folds)])
    images = run["dataset"]["images"]
    words = f"{' and '.join(sorted(found))} work on {images} images of {of}"
    return f"{words}, drawn by seed {run['seed']}."


def _missing(matrix: Matrix) -> Iterator[Block]:
    missing = [entry for entry in matrix.entries if entry.state != "done"]
    if not missing:
        return
    yield Heading("Missing")
    yield Paragraph(f"{len(missing)} of {len(matrix.entries)} cells have no result:")
    yield Bullets(
        tuple(
            f"{entry.label}: {entry.state}" + (f" ({entry.reason})" if entry.reason else "")
            for entry in missing
        )
    )
