"""The porch: what the author of a plugin imports.

A plugin is one class whose fields are its YAML parameters (pydantic: typed, validated, documented,
frozen) and whose methods do the work. It is offered through an entry point, whose name is the
plugin's name. An attack returns images and nothing else: it never grades itself.

Importing this module does not import torch; a plugin may import torch wherever it likes, but one
that does so inside its methods can be listed, checked and planned without torch.
"""

from __future__ import annotations

from collections.abc import Mapping

from bench.api.attacks import Attack, Cascade, padded, stage
from bench.api.compressors import Compressor, FineTuning, Reduction, Zeros
from bench.api.data import Content, Dataset, Split
from bench.api.entries import Entry
from bench.api.explainers import Explainer
from bench.api.metrics import Metric
from bench.api.models import Model
from bench.api.plugin import Plugin
from bench.api.recipes import Augmentation, Recipe
from bench.api.rules import Case, Evidence, Rule
from bench.api.steps import (
    Certificates,
    Defense,
    Detector,
    Gradients,
    Hardening,
    Shield,
    Tuning,
    VariantStep,
)

__all__ = [
    "KINDS",
    "VALUES",
    "Attack",
    "Augmentation",
    "Cascade",
    "Case",
    "Certificates",
    "Compressor",
    "Content",
    "Dataset",
    "Defense",
    "Detector",
    "Entry",
    "Evidence",
    "Explainer",
    "FineTuning",
    "Gradients",
    "Hardening",
    "Metric",
    "Model",
    "Plugin",
    "Recipe",
    "Reduction",
    "Rule",
    "Shield",
    "Split",
    "Tuning",
    "VariantStep",
    "Zeros",
    "padded",
    "stage",
]

KINDS: Mapping[str, type[Plugin]] = {
    "datasets": Dataset,
    "models": Model,
    "attacks": Attack,
    "explainers": Explainer,
    "compressors": Compressor,
    "defenses": Defense,
}
"""Kinds of plugin by the name of their entry-point group, less ``bench.``."""

VALUES: Mapping[str, type] = {"metrics": Metric, "rules": Rule}
"""Kinds of plugin that are values, without parameters or torch: one entry may offer several."""
