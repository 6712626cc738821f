"""A suite file, read and validated as a whole: every error at once, each with file and line.

The result is a frozen :class:`Suite` that holds plugin instances. Plugins are loaded to check their
parameters, nothing is computed. This room does not know what will be done with a suite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.errors import Problem, SuiteError, nearest
from bench.suite import document
from bench.suite.attacks import Attacks
from bench.suite.choices import Choices
from bench.suite.document import Document
from bench.suite.entries import (
    AttackEntry,
    DatasetEntry,
    ExplainerEntry,
    ModelEntry,
    Sensitivity,
    StepEntry,
    Suite,
    VariantEntry,
)
from bench.suite.models import Models
from bench.suite.overrides import Overrides, apply
from bench.suite.problems import Findings
from bench.suite.references import References, dimensions_of
from bench.suite.sections import Layout
from bench.suite.variants import STEPS, Variants

__all__ = [
    "STEPS",
    "AttackEntry",
    "DatasetEntry",
    "ExplainerEntry",
    "ModelEntry",
    "Sensitivity",
    "StepEntry",
    "Suite",
    "VariantEntry",
    "locate",
    "read",
    "shipped",
]


def shipped(folder: str) -> Path:
    """Return the folder of files that come with bench: ``suites`` or ``checkpoints``.

    They lie inside an installed package, and beside the package in a checkout.
    """
    package = Path(__file__).parent.parent
    installed = package / "shipped" / folder
    return installed if installed.is_dir() else package.parent / folder


def locate(source: str) -> Path:
    """Find a suite file by its path or, shipped with bench, by its name.

    Raises:
        SuiteError: where there is none.

    """
    path = Path(source)
    if path.is_file():
        return path
    known = {file.stem: file for file in sorted(shipped("suites").glob("*.yaml"))}
    if source in known:
        return known[source]
    raise SuiteError.of(
        source,
        "no such suite",
        "a YAML file or the name of a shipped suite",
        nearest(source, known),
    )


def read(source: str | Path | Mapping[str, Any], overrides: Overrides | None = None) -> Suite:
    """Read and validate a suite.

    Args:
        source: path of a YAML file, name of a shipped suite, or the plain values of one.
        overrides: what the command line changes.

    Raises:
        SuiteError: with every problem that was found.

    """
    if isinstance(source, Mapping):
        doc = Document(dict(source), "suite")
    else:
        path = locate(str(source))
        try:
            doc = document.parse(path.read_text(encoding="utf-8"), str(path))
        except UnicodeDecodeError as error:
            raise SuiteError.of(str(path), f"is not text: {error}", "UTF-8") from error
    if not isinstance(doc.data, dict):
        raise SuiteError.of(doc.name, f"holds a {type(doc.data).__name__}", "a mapping")
    return _validated(apply(doc, overrides or Overrides()), overrides or Overrides())


def _validated(doc: Document, overrides: Overrides) -> Suite:
    """Read everything, then raise if anything was wrong."""
    findings = Findings(doc)
    layout = findings.parse(Layout, doc.data, ())
    raw = doc.data
    models = Models(findings)
    dataset = models.dataset(raw.get("dataset"))
    known = tuple(models.read(raw.get("models")))
    attacks = Attacks(findings).read(raw)
    explainers = tuple(models.explainers(raw.get("explainers")))
    steps = Variants(findings)
    variants = tuple(steps.read(raw.get("variants")))
    steps.check_members(variants, raw.get("models"))
    References(findings).check(raw, attacks)
    Choices(findings).check(raw.get("recommend"), attacks, explainers, dimensions_of(attacks))
    sensitivity = steps.sensitivity(raw.get("sensitivity"), attacks)
    attacks = _selected(findings, attacks, overrides.attacks)
    findings.raise_any()
    if layout is None or dataset is None:
        raise TypeError("a suite without a layout or a dataset has problems")
    return Suite(
        name=layout.suite,
        description=layout.description,
        seed=layout.seed,
        dataset=dataset,
        images=layout.images,
        models=known,
        variants=variants,
        attacks=attacks,
        transfer=layout.transfer,
        explainers=explainers,
        examples=layout.examples,
        explain_attacks=layout.explain_attacks,
        explain_variants=layout.explain_variants,
        gallery=layout.gallery,
        profile=layout.profile,
        sensitivity=sensitivity,
        recommend=layout.recommend,
        tables=layout.tables,
        audit=layout.audit,
        run=layout.run,
        document=doc,
    )


def _selected(
    findings: Findings, attacks: tuple[AttackEntry, ...], names: Sequence[str] | None
) -> tuple[AttackEntry, ...]:
    """Keep the attacks that ``--attacks`` names, by group or by full name."""
    if names is None:
        return attacks
    known = {attack.name for attack in attacks} | {attack.group for attack in attacks}
    # the name of a grid's point has commas of its own
    names = [n for name in names for n in ([name] if name in known else name.split(","))]
    for name in names:
        if name not in known:
            problem = Problem(
                "--attacks", f"'{name}' is no attack of this suite", "", nearest(name, known)
            )
            findings.problems.append((0, problem))
    return tuple(a for a in attacks if a.name in names or a.group in names)
