"""Why a cell is not run although the suite asks for it: the reasons in its place.

Nothing is computed here, and torch is not imported.
"""

from __future__ import annotations

from bench.api import Attack, Cascade, Explainer, Shield, VariantStep
from bench.cells.workbench import Compute
from bench.data import Prepared
from bench.errors import BenchError, PluginError, explained, named
from bench.plan.model_variants import ModelVariant
from bench.suite import AttackEntry, ExplainerEntry


def unfit(variant: ModelVariant, data: Prepared, compute: Compute) -> str | None:
    """Return why the steps of a model variant cannot run on the data or the device, or None."""
    reasons = [unsuited(step.plugin, data) for step in variant.steps]
    reasons.append(_misplaced(variant, compute))
    return next((reason for reason in reasons if reason is not None), None)


def unattacked(
    entry: AttackEntry, variant: ModelVariant, data: Prepared, compute: Compute
) -> str | None:
    """Return why an attack cannot run on a variant, or would look weak on it, or None."""
    reason = unsuited(entry.plugin, data) or unfit(variant, data, compute)
    other = variant.subject.answers_otherwise
    if (
        reason is None
        and other
        and (entry.plugin.minimum_norm or isinstance(entry.plugin, Cascade))
    ):
        return (
            f"it stops as soon as what it is given is fooled, and {other} answers otherwise there: "
            "it would look weaker than it is"
        )
    return reason


def unexplained(
    entry: ExplainerEntry, variant: ModelVariant, data: Prepared, compute: Compute
) -> str | None:
    """Return why an explainer cannot run on a variant, or None."""
    reason = unsuited(entry.plugin, data) or unfit(variant, data, compute)
    if reason is not None or not entry.plugin.looks_inside:
        return reason
    for shield in variant.shields:
        plugin = shield.plugin
        if isinstance(plugin, Shield) and (plugin.members or plugin.gradients == "expectation"):
            return (
                f"'{entry.name}' reads one layer of one network, and '{shield.name}' asks several "
                "networks, or one several times"
            )
    return None


def _misplaced(variant: ModelVariant, compute: Compute) -> str | None:
    """Return why a variant cannot run on the device, or None."""
    device = compute.device.partition(":")[0]
    for reduction in variant.subject.reductions:
        if device not in reduction.devices:
            return f"runs on {', '.join(reduction.devices)} only: choose with --device"
    return None


def unsuited(plugin: Attack | Explainer | VariantStep, data: Prepared) -> str | None:
    """Ask a plugin why it cannot run on the data; one whose answer is an error is skipped too."""
    try:
        with explained(lambda error: PluginError.of("unsuited()", f"raised {named(error)}")):
            return plugin.unsuited(classes=len(data.classes), image_shape=data.image_shape)
    except BenchError as error:
        return f"its unsuited() raised {named(error.__cause__ or error)}"
