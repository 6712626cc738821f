"""Lists and describes what is installed: plugins, metrics, rules, shipped suites."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from tabulate import tabulate

from bench import data, registry
from bench.api import KINDS, VALUES, Attack, Dataset, Explainer, Plugin
from bench.audit import RULES
from bench.errors import UsageError, nearest
from bench.metrics import METRICS
from bench.records import write_eps
from bench.registry import Offer
from bench.registry.offered import Offered
from bench.store import Store
from bench.suite import DatasetEntry, shipped


def installed(kind: str | None = None) -> str:
    """List plugins of one kind, metrics, rules, shipped suites, or plugins of all kinds.

    Imports no plugin but metrics and rules, whose entry points name tables.

    Raises:
        UsageError: for an unknown kind.

    """
    if kind == "metrics":
        rows = [[m.name, _source(METRICS.offer(m.name)), m.definition] for m in METRICS.values()]
        return _listed(METRICS, rows, "definition")
    if kind == "rules":
        rows = [[rule.name, _source(RULES.offer(rule.name)), rule.sees] for rule in RULES.values()]
        return _listed(RULES, rows, "what it sees")
    if kind == "suites":
        return "\n".join(path.stem for path in sorted(shipped("suites").glob("*.yaml")))
    if kind is not None and kind not in KINDS:
        known = [*KINDS, *VALUES, "suites"]
        raise UsageError.of(
            "kind", f"got '{kind}'", "one of " + ", ".join(known), nearest(kind, known)
        )
    rows = [
        [offer.kind, offer.name, _source(offer), registry.summary(offer)]
        for offer in registry.offers(kind)
    ]
    table = tabulate(rows, ["kind", "name", "from", "what it is"], tablefmt="plain")
    return "\n\n".join([table, *(registry.strangers() if kind is None else ())])


def _source(offer: Offer) -> str:
    """Name the distribution that offers something."""
    return f"{offer.distribution} {offer.version}"


def _listed(offered: Offered[Any], rows: list[list[str]], meaning: str) -> str:
    """Write what is offered as a table, and under it what cannot be used, and why."""
    table = tabulate(
        rows, ["name", "from", meaning], tablefmt="plain", maxcolwidths=[None, None, 90]
    )
    return "\n\n".join([table, *map(str, offered.faults.values())])


def describe(name: str, data_root: str | None, store: Store) -> str:
    """Describe a plugin; a dataset whose images are there shows how many each class has.

    Args:
        name: of the plugin, or of a metric or a rule; ``kind/name`` where several kinds have one of
            that name.
        data_root: a dataset's folder.
        store: where decoded datasets are kept.

    Raises:
        UsageError, PluginError: where there is no such plugin.

    """
    kind, _, plain = name.partition("/")
    if plain and kind.removesuffix("s") in ("metric", "rule"):
        name = _value(kind.removesuffix("s"), plain)
    if name in METRICS:
        metric, source = METRICS[name], _source(METRICS.offer(name))
        cells = f"of {', '.join(metric.kinds)} cells, in {metric.unit}"
        return f"{name} (metric), {source}, {cells}\n\n{metric.definition}"
    if name in RULES:
        rule, source = RULES[name], _source(RULES.offer(name))
        return f"{name} (rule), {source}: sees {rule.sees}\n\n{rule.matters}\n\nneeds: {rule.needs}"
    offer = _find(name)
    plugin = registry.load(offer.kind, offer.name)
    parts = [
        f"{offer.name} ({offer.kind[:-1]}), {_source(offer)}, {offer.target}",
        inspect.getdoc(plugin) or "",
        "\n".join(f"{key}: {value}" for key, value in _facts(plugin).items()),
        parameters(plugin),
    ]
    if issubclass(plugin, Dataset):
        parts.append(_distribution(offer, plugin, data_root, store))
    return "\n\n".join(parts).rstrip()


def _facts(plugin: type[Plugin]) -> dict[str, Any]:
    """Return what a plugin declares besides its parameters; of attacks, with the default ones."""
    facts: dict[str, Any] = {"revision": plugin.revision}
    if plugin.wraps:
        facts["library"] = f"{plugin.wraps} {registry.installed_version(plugin.wraps)}"
    if issubclass(plugin, Attack):
        usual = plugin.model_construct()
        facts["norm"] = usual.norm or "none"
        for flag in ("targetable", "traceable", "batch_invariant", "minimum_norm"):
            facts[flag] = "yes" if getattr(usual, flag) else "no"
        for number, caveat in enumerate(usual.all_caveats, 1):
            facts[f"caveat {number}"] = caveat
    if issubclass(plugin, Explainer):
        facts["batch_invariant"] = "yes" if plugin.batch_invariant else "no"
    return facts


def _value(kind: str, name: str) -> str:
    """Return the name of a metric or a rule that is installed.

    Raises:
        UsageError: with the nearest ones.

    """
    known: Offered[Any] = METRICS if kind == "metric" else RULES
    if name not in known:
        raise UsageError.of("plugin", f"'{name}' is no {kind}", "", nearest(name, known))
    return name


def _find(name: str) -> Offer:
    kind, slash, plain = name.partition("/")
    if slash:
        return registry.find(kind if kind in KINDS else f"{kind}s", plain)
    matches = [offer for offer in registry.offers() if offer.name == name]
    if len({offer.kind for offer in matches}) > 1:
        choices = " or ".join(f"'{offer.kind}/{name}'" for offer in matches)
        raise UsageError.of("plugin", f"'{name}' is of several kinds", choices)
    if not matches:
        known = [*(offer.name for offer in registry.offers()), *METRICS, *RULES]
        raise UsageError.of("plugin", f"'{name}' is not installed", "", nearest(name, known))
    return registry.find(matches[0].kind, name)


def parameters(plugin: type[Plugin]) -> str:
    """Write a plugin's parameters with types, defaults, ranges and meanings."""
    properties = plugin.model_json_schema().get("properties", {})
    rows = []
    for name, field in plugin.model_fields.items():
        detail = properties.get(name, {})
        value = field.get_default(call_default_factory=True)
        default = "required" if field.is_required() else _default(value)
        rows.append([name, _type(detail), default, _range(detail), detail.get("description", "")])
    if not rows:
        return "no parameters"
    return tabulate(
        rows,
        ["parameter", "type", "default", "range", "meaning"],
        tablefmt="plain",
        maxcolwidths=[None, 24, 28, None, 60],
        disable_numparse=True,
    )


def _default(value: Any) -> str:
    """Write a default whole, but for a radius in 255ths."""
    if isinstance(value, float) and "/" in write_eps(value):
        return write_eps(value)
    return str(value) if isinstance(value, Path) else repr(value)


def _type(detail: dict[str, Any]) -> str:
    if "enum" in detail:
        return " | ".join(str(value) for value in detail["enum"])
    if "anyOf" in detail:
        return " | ".join(_type(arm) for arm in detail["anyOf"])
    kind = str(detail.get("type", "any"))
    return {"number": "float", "integer": "int", "boolean": "bool", "string": "str"}.get(kind, kind)


def _range(detail: dict[str, Any]) -> str:
    signs = {
        "minimum": ">=",
        "exclusiveMinimum": ">",
        "maximum": "<=",
        "exclusiveMaximum": "<",
    }
    arms = [detail, *detail.get("anyOf", ())]
    found = [f"{sign} {arm[name]:g}" for arm in arms for name, sign in signs.items() if name in arm]
    return ", ".join(found)


def _distribution(offer: Offer, plugin: type[Dataset], data_root: str | None, store: Store) -> str:
    """Write how many images of each class there are, where the dataset can be read from here."""
    root = plugin.model_fields.get("root")
    if data_root is not None and root is None:
        raise UsageError.of("--data-root", f"'{offer.name}' has no root", "a dataset with a folder")
    if data_root is None and root is not None:
        default = root.get_default()
        if root.is_required() or not Path(str(default)).is_dir():
            return "images of each class: name the folder with --data-root"
    instance = plugin.model_validate({} if data_root is None else {"root": data_root})
    entry = DatasetEntry(offer.name, offer.name, instance)
    prepared = data.prepare(entry, data.cache_folder(store.folder))
    counts = prepared.class_counts()
    rows = [[name, *(counts[split][name] for split in counts)] for name in prepared.classes]
    rows.append(["all", *(sum(counts[split].values()) for split in counts)])
    return tabulate(rows, ["class", *counts], tablefmt="github")
