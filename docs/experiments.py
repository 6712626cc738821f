"""Renders the pages of results of long runs: each from finished runs in a store.

``python docs/experiments.py PAGE --store DIR``. No figure is typed; a run that is missing is named.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from render import attacks_page, between

from bench import metrics, statistics, tables
from bench.audit import known
from bench.compare.claim_tests import claim_tests
from bench.compare.claims import CLAIMS, PRUNING, Claim
from bench.compare.model_tests import Test
from bench.compare.models import Comparison, Row
from bench.compare.variants import Compression
from bench.figures import curves
from bench.matrix import Entry, Matrix
from bench.metrics import METRICS
from bench.report import audits, blocks, choosing, compression, grids, markdown, training
from bench.report import findings as claimed
from bench.report import page as report
from bench.store import Store

DOCS = Path(__file__).parent
NOTE = "<!-- rendered by docs/experiments.py -->\n\n"


class MissingError(Exception):
    """The store lacks what a page is rendered from."""


def finished(store: Store, suite: str) -> Matrix:
    """Return the last run of a suite.

    Raises:
        MissingError: where there is none, or cells of it have no result.

    """
    if not store.runs(suite):
        raise MissingError(f"{store.url} has no run of {suite}: run suites/{suite}.yaml")
    matrix = Matrix.last(store, suite)
    cells = (*matrix.entries, *matrix.probes)
    missing = [cell.label for cell in cells if cell.state not in {"done", "skipped"}]
    if missing:
        some = ", ".join(missing[:5])
        raise MissingError(f"{len(missing)} cells of {suite} have no result: {some}")
    return matrix


# The recipes


def cross_validation(store: Store) -> str:
    """Render the comparison of the recipes, and their accuracy on held-out images."""
    folded, held_out = (finished(store, name) for name in ("cross_validation", "held_out"))
    tests = [
        (row, test)
        for row, test in _tests(folded)
        if test.first.partition("-")[0] == test.second.partition("-")[0]
    ]
    curves.training(folded, DOCS / "cross_validation.svg")
    (DOCS / "cross_validation.png").unlink()
    return _page(
        "Does `strong` beat `reference`?",
        _intro(folded, "cross_validation", "held_out", page="cross_validation"),
        "## Cross-validation",
        *_left_out(folded),
        _table(folded, "clean_accuracy", ["model"]),
        "The recipes on the same architecture, fold by fold; trainings that share images are less "
        "evidence than they seem, so the test is corrected for that. DECISIONS.md says what was "
        "seen before the recipe was settled.",
        shown(choosing.tests_table(tests)),
        "Between these very trainings, image by image (McNemar's exact test over all photographs):",
        _pooled(folded, [test for row, test in tests if row.metric.name == "clean_accuracy"]),
        _table(folded, "clean_accuracy", ["model", "replica"]),
        "![Training curves of all folds](cross_validation.svg)",
        "Solid: on augmented batches. Dashed: on `valid`, which `reference` stops and selects on.",
        shown(training.table(folded)),
        "## Held-out photographs",
        held_out.run["description"].strip(),
        *_left_out(held_out),
        _table(held_out, "clean_accuracy", ["model"]),
        _table(held_out, "clean_accuracy", ["model", "replica"]),
        _made_with(folded),
    )


def pruning(store: Store) -> str:
    """Render what pruning costs on the folds of the cross-validation."""
    matrix = finished(store, "pruning")
    accuracy = [
        (row, test)
        for row, test in _tests(matrix)
        if row.metric.name == "clean_accuracy"
        and test.first.partition("/")[0] == test.second.partition("/")[0]
        and {"pruned-80%", "random-80%"} == {_variant(test.first), _variant(test.second)}
    ]
    return _page(
        "What does pruning cost?",
        _intro(matrix, "pruning", page="pruning"),
        *_left_out(matrix),
        _table(matrix, "clean_accuracy", ["variant"], ["model"]),
        "Before fine-tuning:",
        _table(matrix, "accuracy_before", ["variant"], ["model"]),
        shown(*_raised(compression.flips(Compression(matrix)), -1)),
        "## By magnitude, or at random?",
        "Fold by fold; trainings that share images are less evidence than they seem, so the test "
        "is corrected for that.",
        shown(choosing.tests_table(accuracy)),
        "Between these very trainings, image by image (McNemar's exact test over all photographs):",
        _pooled(matrix, [test for _, test in accuracy]),
        "## Each training",
        _table(matrix, "clean_accuracy", ["model", "variant", "replica"]),
        _table(matrix, "sparsity", ["model", "variant"]),
        _made_with(matrix),
    )


def _variant(model_variant: str) -> str:
    return model_variant.partition("/")[2]


def _tests(matrix: Matrix) -> list[tuple[Row, Test]]:
    return [(row, test) for row in Comparison(matrix).rows for test in row.tests]


def _pooled(matrix: Matrix, tests: Sequence[Test]) -> str:
    """Write which photographs only one of two model variants has right."""
    comparison = Comparison(matrix)
    rows = []
    for test in tests:
        right = []
        for model in (test.first, test.second):
            entries = comparison.entries("evaluate", model)
            [records] = metrics.by_training(matrix.cell_data(entries))
            records = records.set_index("image").sort_index()
            right.append((records["label"] == records["prediction"]).to_numpy(bool))
        found = statistics.mcnemar(*right)
        rows.append(
            [test.first, test.second, found.only_first, found.only_second, f"{found.p_value:.1e}"]
        )
    headers = ["model", "other", "only the first right", "only the other right", "p"]
    return shown(blocks.Table.of(headers, rows))


# Common claims


_FINDINGS: Mapping[str, tuple[str, Sequence[Claim]]] = {
    "findings": ("On attacks and transfer", CLAIMS),
    "findings_pruning": ("On pruning", PRUNING),
}


def findings(store: Store) -> str:
    """Render which common claims hold; a suite without a finished run is named as missing."""
    parts: list[str] = []
    reasons: list[str] = []
    for suite, (heading, claims) in _FINDINGS.items():
        try:
            matrix = finished(store, suite)
        except MissingError as error:
            reasons.append(str(error))
            parts.append(f"**Not part of this page: {suite}, whose run is not finished.**")
        else:
            parts += [f"## {heading}", _intro(matrix, suite, page="findings")]
            parts += _claimed(matrix, claims)
    if len(reasons) == len(_FINDINGS):
        raise MissingError("; ".join(reasons))
    return _page("Which common claims hold?", *parts)


def _claimed(matrix: Matrix, claims: Sequence[Claim]) -> Iterator[str]:
    """Write the tests of one run's claims, its tables and its audit."""
    audited = known(matrix)
    tests = claim_tests(matrix, claims)
    yield shown(*claimed.section(tests, level=3, marks=Comparison(matrix).marks))
    yield "### The figures"
    for built in report.suite_tables(matrix, audited)[0].values():
        yield f"#### {built.title}"
        yield _apart(built)
    yield "### Audit of this run"
    yield shown(*audits.found(audited))
    yield _made_with(matrix)


# Attacks


_READ_WITH_CARE = """\
Success: of the images that were right before; n in parentheses, and few: see what
fails, not who wins. Passes are for one image. No verdict: images left [0, 1]."""


def attacks(store: Store) -> str:
    """Put what a run of the suite ``attacks`` measured into the page on attacks."""
    matrix = finished(store, "attacks")
    models = Comparison(matrix).models
    cells = {
        (entry.coordinates.attack, entry.coordinates.model): entry
        for entry in matrix.entries
        if entry.kind == "attack"
    }
    rows = []
    for attack in dict.fromkeys(name for name, _ in cells):
        found = [cells[attack, model] for model in models]
        figures = [
            _measured(matrix, entry, name)
            for name in ("success_rate", "forwards", "backwards")
            for entry in found
        ]
        rows.append([attack, str(found[0].facts.get("budget") or tables.DASH), *figures])
    names = ("success", "forwards", "backwards")
    headers = ["attack", "budget", *(f"{name}, {model}" for name in names for model in models)]
    measured = [
        matrix.run["description"].strip(),
        shown(blocks.Table.of(headers, rows)),
        _READ_WITH_CARE,
        "    bench run suites/attacks.yaml && python docs/experiments.py attacks --store .bench",
    ]
    return between(attacks_page(), "measured", "\n\n".join(measured))


def _measured(matrix: Matrix, entry: Entry, name: str) -> str:
    """Write one figure of one cell; the page of a run has the reason where it is withheld."""
    found = matrix.estimate([entry], METRICS[name])
    if isinstance(found, metrics.Withheld):
        return "no verdict" if "leaves" in found.reason else tables.DASH
    if found.value is None:
        return tables.DASH
    if name == "success_rate":
        return tables.figure(found, METRICS[name], intervals=False)
    return tables.number(found.value, METRICS[name].unit)


# What pages share


def shown(*parts: blocks.Block) -> str:
    """Write blocks as a part of a page."""
    return markdown.render(parts).strip("\n")


def _raised(parts: Iterable[blocks.Block], levels: int) -> Iterator[blocks.Block]:
    """Move headings down by some levels."""
    for part in parts:
        is_heading = isinstance(part, blocks.Heading)
        yield replace(part, level=part.level + levels) if is_heading else part


def _page(title: str, *blocks: str) -> str:
    return NOTE + "\n\n".join([f"# {title}", *(block for block in blocks if block)]) + "\n"


def _intro(matrix: Matrix, *suites: str, page: str) -> str:
    """Write what the run is for, and the commands that it and the page are made by."""
    commands = [f"    bench run suites/{name}.yaml --data-root path/to/sports10" for name in suites]
    commands.append(f"    python docs/experiments.py {page} --store .bench")
    return "\n\n".join([matrix.run["description"].strip(), "\n".join(commands)])


def _left_out(matrix: Matrix) -> list[str]:
    """Name the models of the suite that the run did not have."""
    run = {entry.coordinates.model for entry in matrix.entries}
    missing = [name for name in matrix.run["document"]["models"] if name not in run]
    return [f"**Not part of this run: {', '.join(missing)}.**"] if missing else []


def _table(matrix: Matrix, metric: str, rows: Sequence[str], columns: Sequence[str] = ()) -> str:
    """Write one figure; with intervals, unless each training has a row of its own."""
    intervals = METRICS[metric].values is not None and "replica" not in rows
    built = tables.build(matrix, metric, rows=rows, columns=columns, intervals=intervals)
    return _apart(built)


def _apart(table: tables.Table) -> str:
    """Write a table with a blank line after it and between the lines under it."""
    return shown(*grids.laid_out(table))


def _made_with(matrix: Matrix) -> str:
    versions = matrix.run["versions"]
    return (
        "Made with " + ", ".join(f"{k} {v}" for k, v in versions.items() if k != "platform") + "."
    )


PAGES: Mapping[str, Callable[[Store], str]] = {
    "cross_validation": cross_validation,
    "pruning": pruning,
    "findings": findings,
    "attacks": attacks,
}


def main(words: Sequence[str] | None = None) -> int:
    """Render one page; return 1 where the store lacks its runs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("page", choices=PAGES)
    parser.add_argument("--store", default=".bench", help="where its suites were run")
    given = parser.parse_args(words)
    try:
        text = PAGES[given.page](Store(given.store))
    except MissingError as error:
        print(error, file=sys.stderr)
        return 1
    (DOCS / f"{given.page}.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
