"""The Markdown page of a run, and its tables as CSV: rendered from the store, never typed.

Says n, intervals, settings and what is missing. Knows nothing of how cells were computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tabulate import tabulate

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
    timing,
    training,
    transfers,
)
from bench.report.files import file_name, replaced
from bench.report.pictures import FOLDER
from bench.tables import Table, markup


def suite_tables(matrix: Matrix, audited: Audit) -> tuple[dict[str, Table], list[str]]:
    """Build the tables that the suite declares; a suite that declares none gets the usual ones.

    Args:
        matrix: of one run.
        audited: its audit, whose findings are printed on the figures that they concern.

    Returns:
        The tables by name, and a line on each that cannot be laid out, as when ``--attacks`` left
        nothing that has one of its dimensions.

    """
    declared: dict[str, dict[str, Any]] = matrix.run["tables"] or _usual(matrix)
    built: dict[str, Table] = {}
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
    """Write ``README.md``, a CSV file for each table, and figures; returns the page's path.

    They take the place of what the last report in this folder wrote; other files stay.
    """
    audited = known(matrix)
    built, refused = suite_tables(matrix, audited)
    with replaced(folder) as fresh:
        for name, table in built.items():
            text = table.render("csv") + "\n"
            (fresh / f"{file_name(name)}.csv").write_text(text, encoding="utf-8")
        lines = list(_page(matrix, audited, built, refused, fresh / FOLDER))
        (fresh / PAGE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / PAGE


PAGE = "README.md"


def _page(
    matrix: Matrix, audited: Audit, built: dict[str, Table], refused: list[str], figures: Path
) -> Iterator[str]:
    run = matrix.run
    yield f"# {run['suite']}"
    yield ""
    if run["description"]:
        yield run["description"].strip()
        yield ""
    yield from _tables(built)
    for words in refused:
        yield words
        yield ""
    yield from audits.section(audited)
    for section in (
        partial(choosing.section, audited=audited),
        timing.section,
        partial(compression.section, audited=audited),
        evaluation.section,
        training.section,
        partial(attacks.section, audited=audited),
        transfers.section,
        examples.section,
        explanations.section,
    ):
        yield from section(matrix, figures)
    yield from _missing(matrix)
    yield from _entries(matrix)
    yield from _data(matrix)
    yield from _settings(matrix)


def _tables(built: Mapping[str, Table]) -> Iterator[str]:
    """Print the suite's tables, each with its remarks and where its plain numbers are."""
    for name, table in built.items():
        yield f"## {table.title}"
        yield ""
        # a blank line keeps the table and each remark apart in Markdown
        grid, gap, under = table.render("github").partition("\n\n")
        if gap:
            yield grid
            yield ""
        for line in (under or grid).splitlines():
            yield line
            yield ""
        yield f"Plain numbers: [{name}.csv]({quote(file_name(name))}.csv)"
        yield ""


def _data(matrix: Matrix) -> Iterator[str]:
    """Say what the images are, and which of them stand in two splits."""
    run = matrix.run
    yield "## Data"
    yield ""
    data = run["dataset"]
    yield f"`{data['plugin']}`, digest `{data['digest'][:12]}`. " + _worked_on(matrix)
    yield ""
    yield tables.class_distribution(run)
    yield ""
    leaks = run["dataset"].get("leaks", [])
    if not leaks:
        yield "No image stands in two splits, pixel for pixel."
        yield ""
    for leak in leaks:
        one, other = leak["splits"]
        pairs = ", ".join(f"{second} is {first}" for first, second in leak["images"][:10])
        count = len({twin for _, twin in leak["images"]})
        yield (
            f"**{count} images of {other} stand in {one} too**, pixel for pixel: "
            f"{markup.markdown(pairs)}"
        )
        yield ""


def _settings(matrix: Matrix) -> Iterator[str]:
    """Say how the run was made."""
    run = matrix.run
    yield "## Settings"
    yield ""
    for name, value in {**run["settings"], **run["versions"]}.items():
        yield f"- {name}: {value}"
    yield from _contiguous(matrix)
    yield ""
    yield f"Run `{run['name']}`, made by"
    yield ""
    yield f"    {run['command']}"


def _contiguous(matrix: Matrix) -> Iterator[str]:
    """Name the models that were not computed in the memory format of the run."""
    done = [e for e in matrix.entries if e.kind == "evaluate" and e.state == "done"]
    used = {e.coordinates.model: matrix.stored(e).summary.get("memory_format") for e in done}
    wanted = matrix.run["settings"].get("memory_format")
    names = [markup.markdown(name) for name, known in used.items() if known not in (None, wanted)]
    if names:
        yield (
            f"- memory_format of {', '.join(names)}: contiguous, since its network fails on maps "
            "that lie channels last"
        )


_NO_PARAMETERS = (
    *("group", "targeted", "minimum_norm", "traceable", "caveats"),
    *SHIELD_FACTS,
    *DECLARED_FACTS,
)
"""Facts of attack cells that are told elsewhere."""


def _entries(matrix: Matrix) -> Iterator[str]:
    """Say what the models' weights are and what the attacks' parameters are."""
    weights = {
        entry.coordinates.model_variant: str(entry.facts["weights"])
        for entry in matrix.entries
        if "weights" in entry.facts
    }
    yield "## Models"
    yield ""
    yield tabulate(list(weights.items()), ["model", "weights"], tablefmt="github")
    yield ""
    found = {e.coordinates.attack: e.facts for e in matrix.entries if e.kind == "attack"}
    if not found:
        return
    shown = ("plugin", "norm", "target")
    rows = []
    for name, facts in found.items():
        hidden = {*shown, *_NO_PARAMETERS}
        told = ", ".join(
            f"{key}={_written(value)}" for key, value in facts.items() if key not in hidden
        )
        known = (facts[key] if facts[key] is not None else tables.DASH for key in shown)
        rows.append([write_name(str(name)), *known, told])
    yield "## Attacks"
    yield ""
    yield tabulate(rows, ["attack", *shown, "parameters"], tablefmt="github", disable_numparse=True)
    yield ""


def _written(value: JSON) -> str:
    """Write a parameter whole, but for a radius in 255ths."""
    short = tables.text_of(value)
    return short if isinstance(value, float) and "/" in short else str(value)


def _worked_on(matrix: Matrix) -> str:
    """Say which images attacks and explainers worked on, where there were any."""
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


def _missing(matrix: Matrix) -> Iterator[str]:
    missing = [entry for entry in matrix.entries if entry.state != "done"]
    if not missing:
        return
    yield "## Missing"
    yield ""
    yield f"{len(missing)} of {len(matrix.entries)} cells have no result:"
    yield ""
    for entry in missing:
        yield f"- {entry.label}: {entry.state}" + (f" ({entry.reason})" if entry.reason else "")
    yield ""
