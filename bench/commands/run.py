"""One call of a notebook or the command line: plan a suite, run it, open its results."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import data, plan, runner, suite, tables
from bench.audit import Audit, audit, known, noted
from bench.compare.models import Comparison
from bench.compare.recommendation import Recommendation
from bench.compare.robustness_table import compared
from bench.errors import UsageError
from bench.matrix import Matrix
from bench.plan import Plan
from bench.records import JSON
from bench.report import page
from bench.report.recommending import Recommendations
from bench.runner import Listener, Run
from bench.store import Store
from bench.suite.overrides import Overrides
from bench.tables import Sheet, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame

REPORTS = "reports"


@dataclass(frozen=True)
class Outcome:
    """The results of a run, read from the store."""

    matrix: Matrix

    def table(
        self,
        metric: str | Sequence[str] = "success_rate",
        *,
        rows: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        where: Mapping[str, JSON] | None = None,
        intervals: bool = False,
    ) -> Table:
        """Lay a metric, or several, out; prints as Markdown, and as a table in a notebook.

        Arguments are those of :func:`bench.tables.build`, and of ``bench table``.

        Raises:
            UsageError: for an unknown metric or dimension; it names the options of the command.

        """
        return tables.build(
            self.matrix,
            metric,
            rows=rows,
            columns=columns,
            where=where,
            intervals=intervals,
            audited=self.audit,
        )

    def side_by_side(self) -> Sheet:
        """Lay the models out beside each other, under each attack, with paired tests."""
        return compared(Comparison(self.matrix))

    @cached_property
    def audit(self) -> Audit:
        """The audit of the run."""
        return known(self.matrix)

    @cached_property
    def recommendations(self) -> Mapping[str, Recommendation]:
        """What the suite's recommendations come to, by name."""
        return Recommendations(self.matrix).found

    def frame(self) -> DataFrame:
        """Return all per-image records with their cells' coordinates."""
        return self.matrix.frame()

    def __repr__(self) -> str:
        states = ", ".join(f"{number} {state}" for state, number in self.counts.items())
        return f"<Outcome of {self.matrix.run['name']}: {states}>"

    def adversarial_images(self, label: str) -> NDArray[np.float32]:
        """Return an attack's images: ``outcome.adversarial_images("simple_cnn/pgd")``.

        Raises:
            UsageError: where no finished attack of the run is called so.

        """
        return self.matrix.adversarial_images(label)

    @property
    def counts(self) -> dict[str, int]:
        """Count the cells in each state."""
        counts: dict[str, int] = {}
        for entry in self.matrix.entries:
            counts[entry.state] = counts.get(entry.state, 0) + 1
        return counts


def make_plan(
    source: str | Path | Mapping[str, Any], store: Store, overrides: Overrides | None = None
) -> Plan:
    """Read a suite, prepare its data and lay out its cells.

    Raises:
        SuiteError, DataError, WeightsError: where the suite, its images or weights are wrong.

    """
    read = suite.read(source, overrides)
    prepared = data.prepare(read.dataset, data.cache_folder(store.folder))
    return plan.build(read, prepared)


def refused_tables(made: Plan, store: Store) -> list[str]:
    """Return a line on each table of a suite that no results can fill."""
    from bench.report import page

    planned = Run(made, store, "", "")
    planned.statuses = {step.cell.label: plan.Status(step, "to do") for step in made.steps}
    nothing = Audit((), {}, ())
    return page.suite_tables(Matrix(store, planned.account()), nothing)[1]


def conclude(done: Run) -> Matrix:
    """Audit a run that has ended, and store the findings with its account.

    Raises:
        StoreError: where the store cannot be written.

    """
    account = done.account()
    account["audit"] = noted(audit(Matrix(done.store, account)))
    done.store.put_run(done.name, account)
    return Matrix(done.store, account)


def write_report(matrix: Matrix, reports: Path) -> Path:
    """Write a run's page and its tables; returns the page.

    Raises:
        UsageError: where the folder cannot be written.

    """
    folder = reports / str(matrix.run["suite"])
    try:
        return page.write(matrix, folder)
    except OSError as error:
        raise UsageError.of(
            str(folder),
            f"cannot be written: {error}",
            "a folder for tables",
            "choose with --reports; all results are in the store, run the same command again",
        ) from error


def run(
    source: str | Path | Mapping[str, Any],
    *,
    store: str | Path | None = None,
    reports: str | Path | None = REPORTS,
    models: Sequence[str] | None = None,
    attacks: Sequence[str] | None = None,
    dataset: str | None = None,
    data_root: str | None = None,
    images: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    threads: int | None = None,
    settings: Sequence[str] = (),
    listener: Listener | None = None,
) -> Outcome:
    """Run a suite: whatever the store does not have yet is computed.

    Args:
        source: path of a suite file, name of a shipped suite, or the plain values of a suite.
        store: where results are (default: ``BENCH_STORE``, or ``.bench``).
        reports: where the tables are written; None writes none.
        models, attacks, dataset, data_root, images, seed, device, threads: override the suite.
        settings: ``path=value`` texts that override anything else.
        listener: gets the run's events, see :mod:`bench.runner.events`.

    Returns:
        The results, failed cells included: see ``counts``.

    Raises:
        SuiteError, DataError, WeightsError, StoreError: before anything is computed.
        KeyboardInterrupt: what was finished is stored.

    """
    overrides = Overrides(
        models=models,
        attacks=attacks,
        dataset=dataset,
        data_root=data_root,
        images=images,
        seed=seed,
        device=device,
        threads=threads,
        sets=settings,
    )
    place = Store(store)
    made = make_plan(source, place, overrides)
    name = made.suite.name if isinstance(source, Mapping) else str(source)
    command = shlex.join(["bench", "run", name, *overrides.words()])
    done = runner.execute(Run(made, place, name, command), listener)
    if done.interrupted:
        raise KeyboardInterrupt
    matrix = conclude(done)
    if reports is not None:
        write_report(matrix, Path(reports))
    return Outcome(matrix)


def open_last(suite_name: str | None = None, store: str | Path | None = None) -> Outcome:
    """Open the last run in a store, of one suite or of any; computes nothing.

    Raises:
        StoreError: where there is none.

    """
    return Outcome(Matrix.last(Store(store), suite_name))
