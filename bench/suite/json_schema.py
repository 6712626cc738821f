"""The JSON Schema of suite files, for editors: sections, and the parameters of plugins."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from bench import registry
from bench.api.recipes import PRESETS
from bench.errors import PluginError
from bench.metrics import METRICS
from bench.suite.steps import STEPS, WrittenSensitivity
from bench.suite.suite import Suite
from bench.suite.written import (
    WrittenAttack,
    WrittenCascade,
    WrittenDataset,
    WrittenExplainer,
    WrittenModel,
)

_FRACTION = {"type": "string", "pattern": r"^[-+]?\d+(\.\d+)?/\d+(\.\d+)?$"}
_WRITTEN = {
    each.kind: each for each in (WrittenDataset, WrittenModel, WrittenAttack, WrittenExplainer)
}
"""What a suite states of plugins, by their kind; of steps it states nothing."""


def suite_schema() -> tuple[dict[str, Any], list[str]]:
    """Return the schema, and a line for each plugin that had to be left out."""
    schema: dict[str, Any] = Suite.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "A suite of bench"
    definitions = schema.setdefault("$defs", {})
    own = {kind: _taken(written, definitions) for kind, written in _WRITTEN.items()}
    entries, broken = _plugins(definitions, own)
    properties = schema["properties"]
    cascade = {"$ref": "#/$defs/WrittenCascade"}
    definitions["WrittenCascade"] = WrittenCascade.model_json_schema()
    for kind in ("models", "attacks", "explainers"):
        cascades = [cascade] if kind == "attacks" else []
        anything = {"anyOf": [*entries[kind].values(), *cascades, _NULL]}
        properties[kind]["additionalProperties"] = anything
        properties[kind]["properties"] = {
            name: {"if": _NAMES_A_PLUGIN, "then": anything, "else": {"anyOf": [entry, _NULL]}}
            for name, entry in entries[kind].items()
        }
    properties["models"]["minProperties"] = 1
    steps = {name: entry for kind in STEPS for name, entry in entries[kind].items()}
    step = {"anyOf": [{"enum": list(steps)}, _step(steps)]}
    properties["variants"]["additionalProperties"] = {"type": "array", "items": step}
    sensitivity = WrittenSensitivity.model_json_schema()
    sensitivity["properties"]["step"] |= step
    properties["sensitivity"] = {"anyOf": [sensitivity, _NULL]}
    properties["dataset"] = {"anyOf": [{"type": "string"}, *entries["datasets"].values()]}
    budget = {"$ref": "#/$defs/Budget"}
    properties["budget"] = {"anyOf": [budget, properties["budget"]]}
    _name_metrics(definitions)
    return _numbers(schema), [*broken, *map(str, METRICS.faults.values())]


def _name_metrics(definitions: dict[str, Any]) -> None:
    """List the metrics where a table names some, and a recommendation one, with its cell."""
    definitions["metric"] = {"enum": list(METRICS), "description": "see 'bench list metrics'"}
    name = {"$ref": "#/$defs/metric"}
    table = definitions["TableSpec"]["properties"]["metric"]
    table["anyOf"] = [name, {**table["anyOf"][1], "items": name}]
    pattern = rf"^\s*({'|'.join(METRICS)})\s*(@.*)?$"
    definitions["Choice"]["properties"]["best"]["pattern"] = pattern


def _taken(written: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the suite's own keys of an entry; what they refer to joins the definitions."""
    schema = written.model_json_schema()
    definitions.update(schema.get("$defs", {}))
    keys: dict[str, Any] = schema["properties"]
    if "train" in keys:  # a validator of its own takes the name of a preset
        keys["train"] = {"anyOf": [{"enum": list(PRESETS)}, *keys["train"]["anyOf"]]}
    return keys


def _plugins(
    definitions: dict[str, Any], own: dict[str, dict[str, Any]]
) -> tuple[dict[str, dict[str, dict[str, Any]]], list[str]]:
    """Define the entry of every plugin; return references by kind and name, and what is broken."""
    broken: list[str] = []
    entries: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in (*own, *STEPS)}
    for offer in registry.offers():
        if offer.kind not in entries:
            continue
        try:
            plugin = registry.load(offer.kind, offer.name)
        except PluginError as error:
            broken.append(str(error))
            continue
        name = f"{offer.kind[:-1]}-{offer.name}"
        parameters = plugin.model_json_schema()
        definitions.update(parameters.pop("$defs", {}))
        definitions[name] = {
            "type": "object",
            "description": parameters.get("description", ""),
            "properties": {
                **own.get(offer.kind, {}),
                "plugin": {"const": offer.name},
                **parameters.get("properties", {}),
            },
            "additionalProperties": False,
        }
        entries[offer.kind][offer.name] = {"$ref": f"#/$defs/{name}"}
    return entries, broken


_NAMES_A_PLUGIN = {"type": "object", "required": ["plugin"]}
"""An entry that does not is of the plugin that its key names."""
_NULL = {"type": "null"}


def _step(entries: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the schema of one step of a variant: one compressor or defense and its parameters."""
    return {
        "type": "object",
        "properties": {name: {"anyOf": [entry, _NULL]} for name, entry in entries.items()},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }


def _numbers(schema: Any) -> Any:
    """Let every number be written as a fraction too."""
    if isinstance(schema, dict):
        changed = {key: _numbers(value) for key, value in schema.items()}
        if changed.get("type") == "number":
            described = {k: changed.pop(k) for k in ("description", "default") if k in changed}
            return {"anyOf": [changed, _FRACTION], **described}
        return changed
    if isinstance(schema, list):
        return [_numbers(item) for item in schema]
    return schema
