"""A suite file, read and validated as a whole: every error at once, each with file and line.

The result is a frozen :class:`Suite` that holds plugin instances. Plugins are loaded to check their
parameters, nothing is computed. This room does not know what will be done with a suite.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import constraints, document, registry
from bench.api import (
    Attack,
    Dataset,
    Detector,
    Explainer,
    Model,
    Plugin,
    Reduction,
    Shield,
    Tuning,
    VariantStep,
)
from bench.cascade import Listed
from bench.document import Document
from bench.errors import BenchError, Problem, SuiteError, nearest
from bench.layout import (
    DIMENSIONS,
    Ball,
    Choice,
    Extension,
    Extent,
    Gallery,
    Images,
    Layout,
    Profile,
    Replication,
    Settings,
    TableSpec,
    Transfer,
)
from bench.metrics import METRICS
from bench.overrides import Overrides, apply
from bench.recipes import Recipe
from bench.records import JSON, ORIGINAL, Budget
from bench.validation import Findings


@dataclass(frozen=True)
class Named:
    """A plugin under the name that the suite gives it.

    ``plugin_name`` is the entry point's name, ``plugin`` the configured instance.
    """

    name: str
    plugin_name: str


@dataclass(frozen=True)
class DatasetEntry(Named):
    """The suite's dataset."""

    plugin: Dataset


@dataclass(frozen=True)
class ModelEntry(Named):
    """A model, the recipe that trains it (None: it brings its weights), and how often.

    ``variants`` are those of the suite that it is run in; None: all.
    """

    plugin: Model
    recipe: Recipe | None
    replication: Replication = field(default_factory=Replication)
    variants: tuple[str, ...] | None = None


@dataclass(frozen=True)
class AttackEntry(Named):
    """An attack.

    ``group`` is the key in the suite file that a grid was expanded from; ``budget`` the ball in
    which an image counts as a success: the attack's own or, where it promises none, the suite's.
    """

    plugin: Attack
    group: str
    target: int | None
    budget: Budget | None = None
    members: tuple[AttackEntry, ...] = ()

    @property
    def identity(self) -> dict[str, JSON]:
        """What decides the result, besides the parameters; of a cascade, that of its members."""
        if not self.members:
            return registry.identity("attacks", self.plugin_name, self.plugin)
        parts: list[JSON] = [member.identity for member in self.members]
        return {"plugin": "bench:cascade", "revision": Listed.revision, "members": parts}


@dataclass(frozen=True)
class ExplainerEntry(Named):
    """An explainer."""

    plugin: Explainer


@dataclass(frozen=True)
class StepEntry(Named):
    """One step of a variant: a compressor or a defense. ``position`` counts from 1."""

    plugin: VariantStep
    kind: str = "defenses"
    position: int = 1

    @property
    def identity(self) -> dict[str, JSON]:
        """What decides what it does; whom it asks is told by who they are, not by their names."""
        told = registry.identity(self.kind, self.plugin_name, self.plugin)
        names: JSON = [*self.plugin.members] if isinstance(self.plugin, Shield) else []
        parameters = self.plugin.parameters()
        own = {key: value for key, value in parameters.items() if not names or value != names}
        return {**told, "parameters": own}

    @property
    def label(self) -> str:
        """Which step of its variant it is."""
        return f"{self.position}-{self.name}"


@dataclass(frozen=True)
class VariantEntry:
    """A model after some steps; ``original`` has none."""

    name: str
    steps: tuple[StepEntry, ...] = ()


@dataclass(frozen=True)
class Sensitivity:
    """What is done to each layer alone, and the attack on what comes out."""

    step: StepEntry
    attack: AttackEntry


@dataclass(frozen=True)
class Suite:
    """A whole, valid suite. ``document`` is what it was read from, overrides included."""

    name: str
    description: str
    seed: int
    dataset: DatasetEntry
    images: Images
    models: tuple[ModelEntry, ...]
    variants: tuple[VariantEntry, ...]
    attacks: tuple[AttackEntry, ...]
    transfer: Transfer | None
    explainers: tuple[ExplainerEntry, ...]
    examples: int
    explain_attacks: tuple[str, ...]
    explain_variants: bool
    gallery: Gallery
    profile: Profile | None
    sensitivity: Sensitivity | None
    recommend: Mapping[str, Choice]
    tables: Mapping[str, TableSpec]
    audit: Extent
    run: Settings
    document: Document

    def selected_variants(self, model: ModelEntry) -> tuple[VariantEntry, ...]:
        """Return the variants of a model that this run is for."""
        return tuple(
            variant
            for variant in self.variants
            if (self.run.variants == "all" or variant.name in self.run.variants)
            and (model.variants is None or variant.name in model.variants)
        )

    @property
    def selected(self) -> tuple[ModelEntry, ...]:
        """The models that this run is for."""
        if self.run.models == "all":
            return self.models
        return tuple(model for model in self.models if model.name in self.run.models)


def shipped(folder: str) -> Path:
    """Return the folder of files that come with bench: ``suites`` or ``checkpoints``.

    They lie inside an installed package, and beside the package in a checkout.
    """
    package = Path(__file__).parent
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
    return _Reader(apply(doc, overrides or Overrides())).read(overrides or Overrides())


STEPS = ("compressors", "defenses")
"""The kinds of plugin that the steps of a variant are."""

_OWN = {"plugin", "target", "grid", "budget"}
"""Keys of an attack's entry that are not the plugin's parameters."""


class _Reader(Findings):
    """Reads one document, and collects problems while it does."""

    def read(self, overrides: Overrides) -> Suite:
        """Read everything, then raise if anything was wrong."""
        layout = self.parse(Layout, self.doc.data, ())
        raw = self.doc.data
        dataset = self.dataset(raw.get("dataset"))
        models = tuple(self.models(raw.get("models")))
        plain = tuple(self.attacks(raw.get("attacks"), tuple(self.balls(raw.get("budget")))))
        attacks = (*plain, *self.cascades(raw.get("attacks"), plain))
        explainers = tuple(self.explainers(raw.get("explainers")))
        variants = tuple(self.variants(raw.get("variants")))
        self.check_members(variants, raw.get("models"))
        self.check_names(raw, attacks)
        sensitivity = self.sensitivity(raw.get("sensitivity"), attacks)
        attacks = self.select_attacks(attacks, overrides.attacks)
        self.raise_any()
        if layout is None or dataset is None:
            raise TypeError("a suite without a layout or a dataset has problems")
        return Suite(
            name=layout.suite,
            description=layout.description,
            seed=layout.seed,
            dataset=dataset,
            images=layout.images,
            models=models,
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
            document=self.doc,
        )

    def plugin(
        self,
        kind: str,
        name: Any,
        parameters: Mapping[str, Any],
        path: document.Path,
        moved: Mapping[str, document.Path] | None = None,
    ) -> Plugin | None:
        """Load and configure a plugin; problems are noted."""
        if not isinstance(name, str):
            self.report((*path, "plugin"), f"got {name!r}", "the name of a plugin")
            return None
        try:
            plugin_class = registry.load(kind, name)
        except BenchError as error:
            for problem in error.problems:
                self.report(
                    path, f"{problem.where} {problem.what}", problem.expected, problem.action
                )
            return None
        return self.parse(plugin_class, dict(parameters), path, moved)

    def dataset(self, raw: Any) -> DatasetEntry | None:
        """Read the dataset, given as a name or as a mapping with a plugin."""
        entry = {"plugin": raw} if isinstance(raw, str) else raw
        if not isinstance(entry, dict):
            return None
        if "plugin" not in entry:
            self.report(("dataset",), "names no plugin", "dataset: NAME or dataset: {plugin: NAME}")
            return None
        name = entry["plugin"]
        parameters = {key: value for key, value in entry.items() if key != "plugin"}
        plugin = self.plugin("datasets", name, parameters, ("dataset",))
        return DatasetEntry(name, name, plugin) if isinstance(plugin, Dataset) else None

    def models(self, raw: Any) -> Iterator[ModelEntry]:
        """Read the models; each needs exactly one source of weights."""
        for name, entry in _entries(raw):
            path = ("models", name)
            own = {"plugin", "train", *Replication.model_fields, *Extension.model_fields}
            parameters = {k: v for k, v in entry.items() if k not in own}
            plugin_name = entry.get("plugin", name)
            plugin = self.plugin("models", plugin_name, parameters, path)
            recipe = None
            if entry.get("train") is not None:
                recipe = self.parse(Recipe, entry["train"], (*path, "train"))
                if recipe is None:
                    continue
            replication = self.replication(entry, recipe, path)
            named = {key: entry[key] for key in Extension.model_fields if key in entry}
            extension = self.parse(Extension, named, path)
            if replication is None or extension is None or not isinstance(plugin, Model):
                continue
            sources = [recipe is not None, plugin.weights is not None, plugin.has_pretrained]
            if sum(sources) != 1:
                self.report(
                    path,
                    "has no weights" if not any(sources) else "has weights from two places",
                    "one of train: (a recipe), weights: (a file) or a pretrained plugin",
                )
                continue
            yield ModelEntry(name, plugin_name, plugin, recipe, replication, extension.variants)

    def replication(
        self, entry: Mapping[str, Any], recipe: Recipe | None, path: document.Path
    ) -> Replication | None:
        """Read how often a model is trained; one that is not trained has no seeds or folds."""
        given = {key: entry[key] for key in Replication.model_fields if key in entry}
        if recipe is None:
            for key in given:
                self.report((*path, key), "has nothing to repeat", "a model with train:")
        elif "seeds" in given and "seed" in (
            entry["train"] if isinstance(entry["train"], dict) else ()
        ):
            self.report((*path, "seeds"), "stands beside train.seed", "one of the two")
        return self.parse(Replication, given, path)

    def explainers(self, raw: Any) -> Iterator[ExplainerEntry]:
        """Read the explainers."""
        for name, entry in _entries(raw):
            path = ("explainers", name)
            parameters = {k: v for k, v in entry.items() if k != "plugin"}
            plugin_name = entry.get("plugin", name)
            plugin = self.plugin("explainers", plugin_name, parameters, path)
            if isinstance(plugin, Explainer):
                yield ExplainerEntry(name, plugin_name, plugin)

    def variants(self, raw: Any) -> Iterator[VariantEntry]:
        """Read the variants, each a list of steps; a suite that names none has the original."""
        if not raw:
            yield VariantEntry(ORIGINAL)
        for name, steps in raw.items() if isinstance(raw, dict) else ():
            if not isinstance(steps, list):
                continue  # reported with the layout
            read = [self.step(step, ("variants", name, place)) for place, step in enumerate(steps)]
            if name == ORIGINAL and steps:
                self.report(("variants", name), "has steps", f"none: '{ORIGINAL}' is the model")
            if sum(step is not None and isinstance(step.plugin, Detector) for step in read) > 1:
                self.report(("variants", name), "has two detectors", "one in each variant")
            self.check_fresh(name, read)
            self.check_effect(name, read)
            if name != ORIGINAL and not steps:
                self.report(("variants", name), "has no step", f"one, or the name '{ORIGINAL}'")
            yield VariantEntry(name, tuple(step for step in read if step is not None))

    def check_fresh(self, name: str, steps: Sequence[StepEntry | None]) -> None:
        """Check that no step throws away the weights that others made."""
        made: StepEntry | None = None
        for place, step in enumerate(steps):
            plugin = None if step is None else step.plugin
            if made and step and isinstance(plugin, Tuning) and plugin.is_from_scratch:
                self.report(
                    ("variants", name, place),
                    f"'{step.name}' begins with fresh weights, and undoes '{made.name}'",
                    f"it before '{made.name}', or training that goes on",
                )
            if isinstance(plugin, Reduction | Tuning):
                made = step

    def sensitivity(self, raw: Any, attacks: Sequence[AttackEntry]) -> Sensitivity | None:
        """Read what is done to one layer at a time, and by which attack it is met."""
        if not isinstance(raw, dict):
            return None
        path: document.Path = ("sensitivity", "step")
        step = self.step(raw["step"], path) if "step" in raw else None
        plugin = None if step is None else step.plugin
        if step is not None and not (
            isinstance(plugin, Reduction) and "layers" in type(plugin).model_fields
        ):
            self.report(
                path, f"'{step.name}' has no layers:", "a compressor that can be kept to one"
            )
            return None
        if step is not None and isinstance(plugin, Reduction) and plugin.images_wanted:
            self.report(path, f"'{step.name}' looks at images", "a compressor that needs none")
            return None
        known = {attack.name: attack for attack in attacks}
        attack = raw.get("attack")
        self.check_name(("sensitivity", "attack"), attack, known, "is no attack of this suite")
        return Sensitivity(step, known[attack]) if step and attack in known else None

    def step(self, raw: Any, path: document.Path) -> StepEntry | None:
        """Read one step: a plugin's name, or a mapping of it to its parameters."""
        given = {raw: None} if isinstance(raw, str) else raw
        if not isinstance(given, dict) or len(given) != 1:
            self.report(path, f"got {raw!r}", "NAME or {NAME: {parameter: value}}")
            return None
        [(name, parameters)] = given.items()
        if not isinstance(parameters, dict | None):
            self.report((*path, name), f"got {parameters!r}", "a mapping of parameters")
            return None
        kinds = [k for k in STEPS if any(offer.name == name for offer in registry.offers(k))]
        if len(kinds) != 1:
            self.report_step(name, kinds, path)
            return None
        plugin = self.plugin(kinds[0], name, parameters or {}, (*path, name))
        position = path[-1] + 1 if isinstance(path[-1], int) else 1
        if not isinstance(plugin, VariantStep):
            return None
        return StepEntry(name, name, plugin, kinds[0], position)

    def report_step(self, name: str, kinds: Sequence[str], path: document.Path) -> None:
        """Note that no plugin has a step's name, or that plugins of two kinds have it."""
        if kinds:
            self.report(path, f"'{name}' is offered as {' and as '.join(kinds)}", "one plugin")
            return
        known = [offer.name for kind in STEPS for offer in registry.offers(kind)]
        self.report(path, f"'{name}' is no installed step", "a plugin", nearest(name, known))

    def check_effect(self, name: str, steps: Sequence[StepEntry | None]) -> None:
        """Check that every step has an effect beside a shield that asks its members only."""
        alone = [
            (place, step.name)
            for place, step in enumerate(steps)
            if step is not None
            and isinstance(step.plugin, Shield)
            and step.plugin.asks_members_only
        ]
        if not alone:
            return
        last, asking = alone[-1]
        for place, step in enumerate(steps):
            if step is None or isinstance(step.plugin, Detector):
                continue
            if place < last or not isinstance(step.plugin, Shield):
                self.report(
                    ("variants", name, place),
                    f"'{step.name}' has no effect: '{asking}' asks its members only",
                    f"beside '{asking}' a detector, and shields after it",
                    "put it into a variant that is asked",
                )

    def check_members(self, variants: Sequence[VariantEntry], models: Any) -> None:
        """Check that the variants that shields ask exist, and ask no others in turn."""
        known = {variant.name: variant for variant in variants}
        names = models if isinstance(models, dict) else {}
        for variant in variants:
            for place, step in enumerate(variant.steps):
                for asked in step.plugin.members if isinstance(step.plugin, Shield) else ():
                    model, slash, wanted = asked.rpartition("/")
                    path = ("variants", variant.name, place)
                    if slash and model not in names:
                        self.check_name(path, model, names, "is no model of this suite")
                    self.check_name(path, wanted, known, "is no variant of this suite")
                    inner = known[wanted].steps if wanted in known else ()
                    if any(isinstance(s.plugin, Shield) and s.plugin.members for s in inner):
                        self.report(path, f"'{wanted}' asks others in turn", "one that does not")

    def balls(self, raw: Any) -> Iterator[Ball]:
        """Read the budgets for attacks that promise none; each norm has one at most."""
        known: set[str] = set()
        for place, given in enumerate(raw if isinstance(raw, list) else [raw] if raw else []):
            path = ("budget", place) if isinstance(raw, list) else ("budget",)
            if not isinstance(given, dict):
                continue  # reported with the layout
            ball = self.parse(Ball, given, path)
            if ball is None:
                continue
            if ball.norm in known:
                self.report(path, f"'{ball.norm}' has two budgets", "one for each norm")
            known.add(ball.norm)
            yield ball

    def attacks(self, raw: Any, balls: Sequence[Ball]) -> Iterator[AttackEntry]:
        """Read the attacks and expand their grids."""
        seen: dict[str, str] = {}
        for group, entry in _entries(raw):
            if "cascade" in entry:
                continue
            path = ("attacks", group)
            fixed = {k: v for k, v in entry.items() if k not in _OWN}
            target, grid = self.target(entry, path), entry.get("grid")
            plugin_name = entry.get("plugin", group)
            for name, point in self.expand(group, grid, fixed, path):
                if seen.setdefault(name, group) != group:
                    self.report(path, f"'{name}' is the name of two attacks", "names that differ")
                moved = dict.fromkeys(point, (*path, "grid"))
                plugin = self.plugin("attacks", plugin_name, {**fixed, **point}, path, moved)
                if not isinstance(plugin, Attack):
                    continue
                self.check_targetable(plugin, plugin_name, target, path)
                budget = self.budget(entry, plugin, balls, path)
                yield AttackEntry(name, plugin_name, plugin, group, target, budget)

    def target(self, entry: Mapping[str, Any], path: document.Path) -> int | None:
        """Read the class that an attack aims at."""
        target = entry.get("target")
        if target is None or (isinstance(target, int) and not isinstance(target, bool)):
            return target
        self.report((*path, "target"), f"got {target!r}", "the index of a class")
        return None

    def check_targetable(
        self, plugin: Attack, plugin_name: str, target: int | None, path: document.Path
    ) -> None:
        """Check that an attack with a target honours it."""
        if target is not None and not plugin.targetable:
            self.report(
                (*path, "target"),
                f"'{plugin_name}' does not honour targets",
                "an attack that is targetable",
                f"see 'bench describe {plugin_name}'",
            )

    def budget(
        self,
        entry: Mapping[str, Any],
        plugin: Attack,
        balls: Sequence[Ball],
        path: document.Path,
    ) -> Budget | None:
        """Decide in which ball an attack's images count: its own, the entry's or the suite's."""
        if plugin.budget is not None:
            if "budget" in entry:
                self.report(
                    (*path, "budget"),
                    f"the attack promises its own: {plugin.budget}",
                    "a budget only for attacks that promise none",
                    "take it out",
                )
            return plugin.budget
        if "budget" in entry:
            own = self.parse(Ball, entry["budget"], (*path, "budget"))
            balls = () if own is None else (own,)
        else:
            balls = [ball for ball in balls if ball.norm == plugin.norm]
        return Budget(balls[0].norm, balls[0].eps) if balls else None

    def cascades(self, raw: Any, plain: Sequence[AttackEntry]) -> Iterator[AttackEntry]:
        """Read the attacks that are lists of others, each run on what still stands."""
        for name, entry in _entries(raw):
            if "cascade" not in entry:
                continue
            path = ("attacks", name)
            for key in entry.keys() - {"cascade", "target"}:
                self.report((*path, key), "stands beside cascade", "cascade and target only")
            members = self.members(entry["cascade"], plain, (*path, "cascade"))
            budgets = {member.budget for member in members}
            if len(members) < 2 or len(budgets) != 1:  # noqa: PLR2004 (one attack is no cascade)
                if len(budgets) > 1:
                    told = "; ".join(f"{member.name} {member.budget}" for member in members)
                    self.report(
                        (*path, "cascade"), told, "one budget: a rate belongs to a norm and an eps"
                    )
                continue
            [budget] = budgets
            if budget is None:
                self.report(
                    (*path, "cascade"),
                    "its attacks promise no budget",
                    "a budget, which says what falls",
                    "give them one: budget: {norm: l2, eps: 0.5}",
                )
                continue
            ordered = sorted(members, key=lambda member: member.plugin.passes)
            plugin = Listed(
                members=tuple((member.name, member.plugin) for member in ordered), within=budget
            )
            target = self.target(entry, path)
            self.check_targetable(plugin, name, target, path)
            yield AttackEntry(name, "cascade", plugin, name, target, budget, tuple(ordered))

    def members(
        self, raw: Any, plain: Sequence[AttackEntry], path: document.Path
    ) -> list[AttackEntry]:
        """Find the attacks that a cascade names: untargeted ones, one point of a grid."""
        known = {attack.name: attack for attack in plain}
        names = raw if isinstance(raw, list) else []
        if len(set(map(str, names))) < 2:  # noqa: PLR2004 (one attack is no cascade)
            self.report(path, f"got {raw!r}", "a list of two attacks of this suite or more")
            return []
        for place, name in enumerate(names):
            if name not in known:
                self.report(
                    (*path, place),
                    f"'{name}' is no attack of this suite",
                    "an attack's full name: of a grid, one of its points",
                    nearest(str(name), known),
                )
            elif known[name].target is not None:
                self.report(
                    (*path, place),
                    f"'{name}' has a target of its own",
                    "untargeted attacks",
                    "give the cascade a target instead",
                )
        return [known[name] for name in names if name in known and known[name].target is None]

    def expand(
        self, group: str, grid: Any, fixed: Mapping[str, Any], path: document.Path
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Expand a grid to named points: ``fgsm@eps=0.1``."""
        if grid is None:
            yield group, {}
            return
        if (
            not isinstance(grid, dict)
            or not grid
            or not all(isinstance(values, list) and values for values in grid.values())
        ):
            expected = "a mapping from parameters to lists that are not empty"
            self.report((*path, "grid"), f"got {grid!r}", expected)
            yield group, {}  # its other parameters are looked at all the same
            return
        for key in grid.keys() & fixed.keys():
            self.report((*path, key), "is fixed here and varied by the grid", "one of the two")
        names: set[str] = set()
        for values in itertools.product(*grid.values()):
            point = dict(zip(grid, values, strict=True))
            words = ",".join(f"{key}={_short(value)}" for key, value in point.items())
            name = f"{group}@{words}"
            if name in names:
                self.report((*path, "grid"), f"gives '{name}' twice", "values that differ")
            names.add(name)
            yield name, point

    def check_names(self, raw: Mapping[str, Any], attacks: Sequence[AttackEntry]) -> None:
        """Check that the models, metrics and dimensions that other sections name exist."""
        models = raw.get("models")
        known = models if isinstance(models, dict) else {}
        variants = raw.get("variants")
        kinds = (variants if isinstance(variants, dict) else {}) or {ORIGINAL: []}
        both = {*known, *kinds, *(f"{model}/{kind}" for model in known for kind in kinds)}
        for section, key, among, told in (
            ("run", "models", known, "model"),
            ("run", "variants", kinds, "variant"),
            ("transfer", "from", both if variants else known, "model"),
            ("transfer", "to", both if variants else known, "model"),
        ):
            part = raw.get(section)
            names = part.get(key) if isinstance(part, dict) else None
            for name in names if isinstance(names, list) else ():
                self.check_name((section, key), name, among, f"is no {told} of this suite")
        for model, entry in _entries(models):
            asked = entry.get("variants")
            for place, name in enumerate(asked if isinstance(asked, list) else ()):
                at: document.Path = ("models", model, "variants", place)
                self.check_name(at, name, kinds, "is no variant of this suite")
        named = {name for attack in attacks for name in (attack.name, attack.group)}
        transfer = raw.get("transfer")
        for path, asked in (
            (("explain_attacks",), raw.get("explain_attacks")),
            (
                ("transfer", "attacks"),
                transfer.get("attacks") if isinstance(transfer, dict) else (),
            ),
        ):
            for place, name in enumerate(asked if isinstance(asked, list) else ()):
                self.check_name((*path, place), name, named, "is no attack of this suite")
        self.check_choices(raw.get("recommend"), {attack.name for attack in attacks})
        tables = raw.get("tables")
        parameters = {name for attack in attacks for name in attack.plugin.parameters()}
        dimensions = {*DIMENSIONS, *parameters}
        for title, table in tables.items() if isinstance(tables, dict) else ():
            if isinstance(table, dict):
                self.check_table(("tables", title), table, dimensions)

    def check_choices(self, raw: Any, attacks: Collection[str]) -> None:
        """Check that recommendations name metrics, bounds and attacks that exist."""
        for name, choice in raw.items() if isinstance(raw, dict) else ():
            if not isinstance(choice, dict):
                continue
            path = ("recommend", name)
            best = self.check_figure((*path, "best"), choice.get("best"), attacks)
            self.check_name((*path, "best"), best, METRICS, "is no metric")
            if isinstance(best, str) and best in METRICS and METRICS[best].better is None:
                known = [name for name, metric in METRICS.items() if metric.better is not None]
                self.report(
                    (*path, "best"),
                    f"of '{best}' neither more nor less is better",
                    ", ".join(known),
                )
            texts = choice.get("where")
            for place, text in enumerate(texts if isinstance(texts, list) else ()):
                if not isinstance(text, str):
                    continue
                try:
                    found = constraints.parse(text)
                except ValueError as error:
                    self.report((*path, "where", place), str(error))
                    continue
                self.check_name((*path, "where", place), found.metric, METRICS, "is no metric")
                self.check_bound((*path, "where", place), found)
                self.check_where((*path, "where", place), found.where, attacks)

    def check_figure(self, path: document.Path, text: Any, attacks: Collection[str]) -> Any:
        """Check the name of a figure; return its metric."""
        if not isinstance(text, str):
            return text
        try:
            metric, where = constraints.figure(text)
        except ValueError as error:
            self.report(path, str(error))
            return None
        self.check_where(path, where, attacks)
        return metric

    def check_where(
        self, path: document.Path, where: tuple[str, str] | None, attacks: Collection[str]
    ) -> None:
        """Check that what picks one of several cells is a dimension and, if so, an attack."""
        if where is not None:
            self.check_name(path, where[0], (*DIMENSIONS, "eps"), "is no dimension")
        if where is not None and where[0] == "attack":
            self.check_name(path, where[1], attacks, "is no attack of this suite")

    def check_bound(self, path: document.Path, found: constraints.Constraint) -> None:
        """Check that a bound is in its metric's unit."""
        metric = METRICS.get(found.metric)
        if metric is None:
            return
        if metric.unit == "share" and not 0 <= found.bound <= 1:
            self.report(path, f"got {found.text}", f"a share, 0 to 1: {found.bound:g} % perhaps")
        if metric.unit != "share" and found.is_percent:
            self.report(path, f"got {found.text}", f"a number without %: {metric.unit}")

    def check_table(
        self, path: document.Path, table: Mapping[str, Any], dimensions: Iterable[str]
    ) -> None:
        """Check that a table's metrics and dimensions exist."""
        given = table.get("metric")
        for name in given if isinstance(given, list) else [given]:
            self.check_name((*path, "metric"), name, METRICS, "is no metric")
        for key in ("rows", "columns", "where"):
            known = [*dimensions] if key == "where" else [*dimensions, "metric"]
            names = table.get(key)
            for name in names if isinstance(names, list | dict) else ():
                self.check_name((*path, key), name, known, "is no dimension")

    def check_name(
        self, path: document.Path, name: Any, known: Iterable[str], complaint: str
    ) -> None:
        """Check that a name is known; what is no text at all was reported with the layout."""
        if isinstance(name, str) and name not in known:
            self.report(path, f"'{name}' {complaint}", action=nearest(name, known))

    def select_attacks(
        self, attacks: tuple[AttackEntry, ...], names: Sequence[str] | None
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
                self.problems.append((0, problem))
        return tuple(a for a in attacks if a.name in names or a.group in names)


def _entries(raw: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the well-formed entries of a section; the rest was reported with the layout."""
    if isinstance(raw, dict):
        for name, entry in raw.items():
            if entry is None or isinstance(entry, dict):
                yield name, entry or {}


def _short(value: JSON) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
