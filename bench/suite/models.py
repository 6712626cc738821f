"""The data and the models of a suite, and the methods that explain them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.api import Dataset, Explainer, Model
from bench.api.recipes import Recipe
from bench.suite import document
from bench.suite.entries import DatasetEntry, ExplainerEntry, ModelEntry
from bench.suite.section import Section, entries
from bench.suite.sections import Replication, VariantSelection


class Models(Section):
    """Reads the dataset, the models, and the explainers."""

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

    def read(self, raw: Any) -> Iterator[ModelEntry]:
        """Read the models; each needs exactly one source of weights."""
        for name, entry in entries(raw):
            path = ("models", name)
            own = {"plugin", "train", *Replication.model_fields, *VariantSelection.model_fields}
            parameters = {k: v for k, v in entry.items() if k not in own}
            plugin_name = entry.get("plugin", name)
            plugin = self.plugin("models", plugin_name, parameters, path)
            recipe = None
            if entry.get("train") is not None:
                recipe = self.parse(Recipe, entry["train"], (*path, "train"))
                if recipe is None:
                    continue
            replication = self.replication(entry, recipe, path)
            named = {key: entry[key] for key in VariantSelection.model_fields if key in entry}
            extension = self.parse(VariantSelection, named, path)
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
        for name, entry in entries(raw):
            path = ("explainers", name)
            parameters = {k: v for k, v in entry.items() if k != "plugin"}
            plugin_name = entry.get("plugin", name)
            plugin = self.plugin("explainers", plugin_name, parameters, path)
            if isinstance(plugin, Explainer):
                yield ExplainerEntry(name, plugin_name, plugin)
