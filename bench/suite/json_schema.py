"""The JSON Schema of suite files, for editors: sections, and the parameters of plugins."""

from __future__ import annotations

from typing import Any

from bench import registry
from bench.api.recipes import PRESETS, Recipe
from bench.errors import PluginError
from bench.suite.sections import Layout, Replication, VariantSelection

_FRACTION = {"type": "string", "pattern": r"^[-+]?\d+(\.\d+)?/\d+(\.\d+)?$"}
_OWN: dict[str, dict[str, Any]] = {
    "datasets": {},
    "models": {
        "train": {"anyOf": [{"enum": list(PRESETS)}, {"$ref": "#/$defs/Recipe"}]},
        **{name: {"$ref": f"#/$defs/Replication/properties/{name}"} for name in ("seeds", "folds")},
        "variants": {"$ref": "#/$defs/VariantSelection/properties/variants"},
    },
    "attacks": {
        "target": {"type": "integer", "minimum": 0},
        "grid": {"type": "object", "additionalProperties": {"type": "array"}},
        "budget": {"$ref": "#/$defs/Ball"},
    },
    "explainers": {},
    "compressors": {},
    "defenses": {},
}
"""Keys of an entry that are the suite's, not the plugin's."""


_CASCADE = {
    "type": "object",
    "description": "attacks in a row, cheapest first, each on what still stands",
    "required": ["cascade"],
    "properties": {
        "cascade": {"type": "array", "items": {"type": "string"}, "minItems": 2},
        "target": _OWN["attacks"]["target"],
    },
    "additionalProperties": False,
}


def suite_schema() -> tuple[dict[str, Any], list[str]]:
    """Return the schema, and a line for each plugin that had to be left out."""
    schema: dict[str, Any] = Layout.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "A suite of bench"
    definitions = schema.setdefault("$defs", {})
    definitions["Ball"] = _numbers(definitions["Ball"])
    definitions["Recipe"] = _numbers(Recipe.model_json_schema())
    definitions["VariantSelection"] = VariantSelection.model_json_schema()
    definitions["Replication"] = Replication.model_json_schema()
    broken: list[str] = []
    entries: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in _OWN}
    for offer in registry.offers():
        try:
            plugin = registry.load(offer.kind, offer.name)
        except PluginError as error:
            broken.append(str(error))
            continue
        name = f"{offer.kind[:-1]}-{offer.name}"
        parameters = plugin.model_json_schema()
        definitions.update(parameters.pop("$defs", {}))
        definitions[name] = _entry(offer.kind, offer.name, parameters)
        entries[offer.kind][offer.name] = {"$ref": f"#/$defs/{name}"}
    properties = schema["properties"]
    for kind in ("models", "attacks", "explainers"):
        cascades = [_CASCADE] if kind == "attacks" else []
        anything = {"anyOf": [*entries[kind].values(), *cascades, _NULL]}
        properties[kind]["additionalProperties"] = anything
        properties[kind]["properties"] = {
            name: {"if": _NAMES_A_PLUGIN, "then": anything, "else": {"anyOf": [entry, _NULL]}}
            for name, entry in entries[kind].items()
        }
    steps = {**entries["compressors"], **entries["defenses"]}
    step = {"anyOf": [{"enum": list(steps)}, _step(steps)]}
    properties["variants"]["additionalProperties"] = {"type": "array", "items": step}
    definitions["Sensitivity"]["properties"]["step"] = step
    properties["dataset"] = {"anyOf": [{"type": "string"}, *entries["datasets"].values()]}
    return schema, broken


_NAMES_A_PLUGIN = {"type": "object", "required": ["plugin"]}
"""An entry that does not is of the plugin that its key names."""
_NULL = {"type": "null"}


def _entry(kind: str, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an entry that uses one plugin; without ``plugin`` its key names it."""
    entry: dict[str, Any] = _numbers(
        {
            "type": "object",
            "description": parameters.get("description", ""),
            "properties": {
                "plugin": {"const": name},
                **_OWN[kind],
                **parameters.get("properties", {}),
            },
            "additionalProperties": False,
        }
    )
    return entry


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
