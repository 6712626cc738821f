"""The command line: parses words, calls one function, sets the exit code.

Exit codes: 0 all is well; 1 some cell failed, a strict audit found something, or a required
recommendation names no model; 2 the user must change something; 130 Ctrl-C.
Heavy imports are inside the commands, so that ``bench --help`` is quick and commands that only
read the disk never import torch. The file is long because it is one command after another.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from bench.errors import BenchError, UsageError
from bench.records import write_name

if TYPE_CHECKING:
    from bench.audit import Audit
    from bench.matrix import Matrix
    from bench.plan import Plan
    from bench.runner import Listener, Run
    from bench.suite.overrides import Overrides

app = typer.Typer(
    no_args_is_help=True,
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

_INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it."""

SuiteArgument = Annotated[str, typer.Argument(help="A suite file, or the name of a shipped suite.")]
StoreOption = Annotated[
    str | None, typer.Option("--store", help="Where results are. [default: $BENCH_STORE or .bench]")
]
ModelsOption = Annotated[
    str | None, typer.Option("--models", help="Names, with commas between; all: every model.")
]
AttacksOption = Annotated[
    list[str] | None,
    typer.Option(
        "--attacks", help="Names of attacks or of grids, with commas between; repeatable."
    ),
]
DatasetOption = Annotated[str | None, typer.Option("--dataset", help="Name of a dataset plugin.")]
RootOption = Annotated[str | None, typer.Option("--data-root", help="The dataset's folder.")]
ImagesOption = Annotated[int | None, typer.Option("--images", help="How many images to attack.")]
SeedOption = Annotated[int | None, typer.Option("--seed", help="The suite's seed.")]
DeviceOption = Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda.")]
ThreadsOption = Annotated[
    int | None,
    typer.Option("--threads", help="Number of torch threads; it changes trained weights."),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="path=value in the suite; repeatable.")
]
OnlyOption = Annotated[
    str | None, typer.Option("--only", help="Run one cell, and those that it needs.")
]


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Measure image classifiers: how accurate, and how robust against adversarial attack."""
    if version:
        from bench import __version__

        typer.echo(f"bench {__version__}")
        raise typer.Exit(0)


def main() -> NoReturn:
    """Run the command line; a user's mistake is explained, not traced."""
    try:
        app(standalone_mode=True)
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            # CPython remembers a KeyboardInterrupt that passed through a library's own code, and
            # would end by the signal instead of this code
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(_INTERRUPTED)
        raise
    except BenchError as error:
        for problem in error.problems:
            typer.echo(f"error: {problem}", err=True)
        if len(error.problems) > 1:
            typer.echo(f"{len(error.problems)} errors", err=True)
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    sys.exit(0)


def _overrides(
    models: str | None,
    attacks: list[str] | None,
    dataset: str | None,
    data_root: str | None,
    images: int | None,
    seed: int | None,
    device: str | None,
    threads: int | None,
    sets: list[str] | None,
) -> Overrides:
    from bench.suite.overrides import Overrides

    return Overrides(
        models=[name.strip() for name in models.split(",")] if models is not None else None,
        attacks=attacks or None,
        dataset=dataset,
        data_root=data_root,
        images=images,
        seed=seed,
        device=device,
        threads=threads,
        sets=sets or (),
    )


@app.command()
def run(
    suite: SuiteArgument,
    store: StoreOption = None,
    models: ModelsOption = None,
    attacks: AttacksOption = None,
    dataset: DatasetOption = None,
    data_root: RootOption = None,
    images: ImagesOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    sets: SetOption = None,
    only: OnlyOption = None,
    reports: Annotated[Path, typer.Option(help="Where tables are written.")] = Path("reports"),
    tensorboard: Annotated[
        Path | None, typer.Option(help="Write training curves there, as epochs end.")
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            "--require",
            help="Exit with 1 where this recommendation of the suite names no model; repeatable.",
        ),
    ] = None,
) -> None:
    """Run a suite: compute what the store does not have, print and write its tables."""
    import shlex

    from bench import runner
    from bench.commands import run as session
    from bench.store import Store

    overrides = _overrides(models, attacks, dataset, data_root, images, seed, device, threads, sets)
    place = Store(store)
    command = shlex.join(["bench", *sys.argv[1:]])
    try:
        made = session.make_plan(suite, place, overrides)
    except KeyboardInterrupt:
        _stop("interrupted", command)
    _check_required(require or [], made, only)
    chosen = None if only is None else made.needed_by(only)
    for problem in session.refused_tables(made, place) if only is None else ():
        typer.echo(f"note: {problem}", err=True)
    done = runner.execute(runner.Run(made, place, suite, command, chosen), _listener(tensorboard))
    if done.interrupted:
        count = f"{done.counts['done']} of {len(done.plan.steps)} cells"
        _stop(f"interrupted after {count}, which are stored", command)
    _conclude(done, reports, require or [])


def _check_required(names: list[str], made: Plan, only: str | None) -> None:
    """Refuse what ``--require`` cannot mean, before anything runs."""
    from bench.report import recommending

    if names and only is not None:
        raise UsageError.of(
            "--require", "is given with --only", "all cells of the suite", "leave one of them out"
        )
    if names:
        recommending.check_names(names, made.suite.recommend)


def _stop(words: str, command: str) -> NoReturn:
    """Exit as after Ctrl-C, and print the command that goes on."""
    typer.echo(f"{words}; run the same command to go on:\n  {command}", err=True)
    raise typer.Exit(_INTERRUPTED)


def _listener(tensorboard: Path | None) -> Listener:
    """Return what shows a run on the screen, and writes training curves where that is wanted."""
    from bench.runner import console, events

    if tensorboard is None:
        return console.screen()
    from bench.runner.tensorboard import TensorBoard

    return events.to_all(console.screen(), TensorBoard(tensorboard))


def _conclude(done: Run, reports: Path, required: list[str]) -> NoReturn:
    """Print the first table and what was done, write the report, and exit."""
    from bench import audit
    from bench.commands import run as session

    matrix = session.conclude(done)
    audited = audit.known(matrix)
    if done.only is None:
        _print_first_table(matrix, audited)
    _print_counts(done)
    for status in done.failed:
        typer.echo(write_name(f"failed: {status.step.cell.label}: {status.reason}"), err=True)
    if done.failed:
        label = write_name(done.failed[0].step.cell.label)
        typer.echo(f"see 'bench why \"{label}\"'", err=True)
    if done.only is None:
        typer.echo(f"tables: {session.write_report(matrix, reports)}", err=True)
        is_silent = not (audited.findings or audited.unseen)
        typer.echo(audited.summary + ("" if is_silent else "; see 'bench audit'"), err=True)
    unmet = _print_recommendations(matrix, required) if done.only is None else []
    raise typer.Exit(1 if done.failed or unmet else 0)


def _print_recommendations(matrix: Matrix, required: list[str]) -> list[str]:
    """Print what is recommended; returns what is required and names no model."""
    from bench.report.recommending import Recommendations

    found = Recommendations(matrix)
    if found.text:
        typer.echo(f"recommendations:\n{found.text}", err=True)
    unmet = found.unmet(required)
    for name in unmet:
        typer.echo(f"required: {name}: {found.found[name].conclusion}", err=True)
    return unmet


def _print_first_table(matrix: Matrix, audited: Audit) -> None:
    """Print the suite's first table that has a cell."""
    from bench.report import page

    built, _ = page.suite_tables(matrix, audited)
    shown = next((table for table in built.values() if table.places), None)
    if shown is not None:
        typer.echo(f"{shown.title}\n\n{shown}")


def _print_counts(done: Run) -> None:
    """Print how many cells are in each state, and which sources changed since they were run."""
    from bench.commands import why as explanation
    from bench.runner import console

    counted = ", ".join(f"{number} {state}" for state, number in done.counts.items())
    words = f"{done.computed} computed" if done.computed else "nothing was computed"
    typer.echo(f"\n{counted}; {words}; {console.duration(done.seconds)}", err=True)
    changed = explanation.changed_since(done)
    if changed:
        typer.echo(
            f"note: the source of {', '.join(changed)} changed since some of these cells were "
            "computed; if results changed, raise a revision: see 'bench why CELL'",
            err=True,
        )


@app.command()
def plan(
    suite: SuiteArgument,
    store: StoreOption = None,
    models: ModelsOption = None,
    attacks: AttacksOption = None,
    dataset: DatasetOption = None,
    data_root: RootOption = None,
    images: ImagesOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    sets: SetOption = None,
) -> None:
    """Show the cells of a suite: done, to do, depends on a parent, skipped with the reason."""
    from collections import Counter

    from bench.commands import run as session
    from bench.plan import statuses
    from bench.store import Store

    overrides = _overrides(models, attacks, dataset, data_root, images, seed, device, threads, sets)
    place = Store(store)
    made = session.make_plan(suite, place, overrides)
    found = statuses(made, place)
    for status in found:
        words = {
            "depends": f"on {status.reason}",
            "blocked": f"by {status.reason}",
        }.get(status.state, status.reason)
        key = status.key[:12] if status.key else ""
        line = write_name(f"{status.step.cell.label}  {words}".rstrip())
        typer.echo(f"{status.state:8} {key:12} {line}")
    counts = Counter(status.state for status in found)
    for note in (*made.notes, *session.refused_tables(made, place)):
        typer.echo(f"note: {note}")
    typer.echo(", ".join(f"{number} {state}" for state, number in counts.items()))


@app.command()
def check(
    suite: SuiteArgument,
    models: ModelsOption = None,
    attacks: AttacksOption = None,
    dataset: DatasetOption = None,
    data_root: RootOption = None,
    sets: SetOption = None,
    store: StoreOption = None,  # noqa: ARG001 (all commands take it; nothing is read or written)
) -> None:
    """Validate a suite file: every error at once."""
    from bench import suite as suites

    overrides = _overrides(models, attacks, dataset, data_root, None, None, None, None, sets)
    read = suites.read(suite, overrides)
    typer.echo(
        f"{read.name}: valid; dataset {read.dataset.name}, models: {len(read.models)}, "
        f"variants: {len(read.variants)}, attacks: {len(read.attacks)}"
    )


@app.command()
def table(
    suite: Annotated[str | None, typer.Option(help="Of this suite's last run.")] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="See 'bench list metrics'; several with commas between. [default: success_rate]"
        ),
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option(
            help="Dimensions, with commas between. [default: what the metric's cells have]"
        ),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Dimensions. [default: the models judged]")
    ] = None,
    where: Annotated[list[str] | None, typer.Option(help="dimension=value; repeatable.")] = None,
    form: Annotated[str, typer.Option("--format", help="github, csv, json or latex.")] = "github",
    intervals: Annotated[bool, typer.Option("--intervals", help="Print 95 % intervals.")] = False,
    compare: Annotated[
        str | None,
        typer.Option(
            "--compare",
            help="model: robustness of models and variants side by side, with paired tests.",
        ),
    ] = None,
    store: StoreOption = None,
) -> None:
    """Print a table of the last run; reads the disk only."""
    from bench import tables
    from bench.commands import run as session

    forms = {name: name for name in tables.FORMATS}
    if form not in forms:
        raise UsageError.of("--format", f"got '{form}'", "one of " + ", ".join(forms))
    outcome = session.open_last(suite, store)
    if compare is not None:
        given = {"--metric": metric, "--rows": rows, "--columns": columns, "--where": where}
        _check_compare(compare, [name for name, value in given.items() if value is not None])
        typer.echo(outcome.side_by_side().render(forms[form]))
        return
    made = outcome.table(
        _names(metric or "success_rate"),
        rows=None if rows is None else _names(rows),
        columns=None if columns is None else _names(columns),
        where=dict(_condition(text) for text in where or ()),
        intervals=intervals,
    )
    typer.echo(made.render(forms[form]))


def _check_compare(what: str, others: list[str]) -> None:
    """Refuse what cannot be compared, and options that lay out another table."""
    if what != "model":
        raise UsageError.of(
            "--compare", f"got '{what}'", "model", "models and their variants are compared together"
        )
    if others:
        raise UsageError.of(
            "--compare", f"is given with {', '.join(others)}", "neither", "leave one of them out"
        )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _condition(text: str) -> tuple[str, Any]:
    from bench.suite.document import parse_value

    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError.of("--where", f"got '{text}'", "dimension=value, as in eps=8/255")
    return name.strip(), parse_value(value)


@app.command("audit")
def audit_(
    suite: Annotated[str | None, typer.Option(help="Of this suite's last run.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 where there is a finding.")
    ] = False,
    form: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
    store: StoreOption = None,
) -> None:
    """Print what the audit finds in the last run; reads the disk only."""
    from bench.commands import run as session
    from bench.report import audits, plain

    if form not in ("text", "json"):
        raise UsageError.of("--format", f"got '{form}'", "text or json")
    outcome = session.open_last(suite, store)
    if form == "json":
        document = {"run": outcome.matrix.run["name"], **outcome.audit.plain}
        typer.echo(json.dumps(document, indent=1, ensure_ascii=False))
    else:
        typer.echo(f"{outcome.matrix.run['name']}\n")
        typer.echo(plain.render(audits.found(outcome.audit)))
    raise typer.Exit(1 if strict and outcome.audit.findings else 0)


@app.command("list")
def list_(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="datasets, models, attacks, explainers, compressors, defenses; "
            "metrics, rules; suites."
        ),
    ] = None,
    store: StoreOption = None,  # noqa: ARG001 (all commands take it; nothing is read or written)
) -> None:
    """List the plugins that are installed; or metrics, rules, or shipped suites."""
    from bench.commands import catalog

    typer.echo(catalog.installed(kind))


@app.command()
def describe(
    plugin: Annotated[str, typer.Argument(help="A plugin's name, or kind/name.")],
    data_root: RootOption = None,
    store: StoreOption = None,
) -> None:
    """Describe a plugin: parameters, types, ranges, defaults, source, norms."""
    from bench.commands import catalog
    from bench.store import Store

    typer.echo(catalog.describe(plugin, data_root, Store(store)))


@app.command()
def why(
    cell: Annotated[
        str, typer.Argument(help="The beginning of a key, or a label of the last run.")
    ],
    suite: Annotated[str | None, typer.Option(help="Look in this suite's last run.")] = None,
    store: StoreOption = None,
) -> None:
    """Explain a cell: its identity, parents, provenance, error, and how to run it alone."""
    from bench.commands import why as explanation
    from bench.store import Store

    typer.echo(explanation.explain(cell, Store(store), suite))


@app.command()
def schema(
    store: StoreOption = None,  # noqa: ARG001 (all commands take it; nothing is read or written)
) -> None:
    """Print the JSON Schema of suite files, with the parameters of every installed plugin."""
    from bench.suite import json_schema as schemas

    document, broken = schemas.suite_schema()
    for words in broken:
        typer.echo(f"note: left out: {words}", err=True)
    typer.echo(json.dumps(document, indent=2))


@app.command()
def export(
    suite: SuiteArgument,
    to: Annotated[Path, typer.Option(help="A folder.")] = Path("checkpoints"),
    store: StoreOption = None,
    models: ModelsOption = None,
    dataset: DatasetOption = None,
    data_root: RootOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    sets: SetOption = None,
) -> None:
    """Write the trained models of a suite as safetensors files that say how they were made."""
    from bench.commands import export as exports
    from bench.commands import run as session
    from bench.store import Store

    overrides = _overrides(models, None, dataset, data_root, None, seed, device, threads, sets)
    place = Store(store)
    made = session.make_plan(suite, place, overrides)
    for path in exports.write(made, place, to):
        typer.echo(str(path))
