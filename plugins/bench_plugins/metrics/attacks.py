"""What attacks do to a model: rates, sizes of perturbations, steps, and what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.api import Metric, outcomes
from bench.api.outcomes import Values
from bench.records import Kind
from bench_plugins.metrics.families import Column, Quantile, Whole

if TYPE_CHECKING:
    from pandas import DataFrame

_ATTACK: tuple[Kind, ...] = ("attack",)
_JUDGED: tuple[Kind, ...] = ("attack", "transfer")


class SuccessRate(Metric):
    """Untargeted: of the images right before, those wrong after. Targeted: of the images
    right before whose class is not the target, those predicted as the target after.
    """

    name = "success_rate"
    kinds = _ATTACK
    needs_budget = True
    better = "lower"

    def values(self, records: DataFrame) -> Values:
        """Return the success of every eligible image."""
        return outcomes.success(records)


class RobustAccuracy(Metric):
    """Right before and after, over all evaluated images."""

    name = "robust_accuracy"
    kinds = _JUDGED
    needs_budget = True
    of_every_image = True
    better = "higher"

    def values(self, records: DataFrame) -> Values:
        """Return which images are right both times."""
        return outcomes.right_before(records) & outcomes.right_after(records)


class RobustError(Metric):
    """1 - robust_accuracy; many papers call this the success rate."""

    name = "robust_error"
    kinds = _JUDGED
    needs_budget = True
    of_every_image = True
    better = "lower"

    def values(self, records: DataFrame) -> Values:
        """Return which images are wrong once at least."""
        return ~(outcomes.right_before(records) & outcomes.right_after(records))


class Healed(Metric):
    """Wrong before, right after, over all evaluated images."""

    name = "healed"
    kinds = _JUDGED
    needs_budget = True

    def values(self, records: DataFrame) -> Values:
        """Return which images are right only after."""
        return ~outcomes.right_before(records) & outcomes.right_after(records)


class WorstCase(Metric):
    """Right before, and right after every image of the run that lies within the budget,
    transferred ones included; a targeted attack that causes any error counts. The attack
    that alone fools the most of these images decides, and is named; so are attacks at that
    budget that were skipped or not selected. Withheld where one failed or broke it.
    """

    name = "worst_case_accuracy"
    kinds = _ATTACK
    needs_budget = True
    worst_case = True
    better = "higher"

    def values(self, records: DataFrame) -> Values:
        """Return which images are right before and after every attack."""
        return records["robust_to_all"]


def _steps(records: DataFrame) -> Values:
    """Return the step at which each eligible image was fooled; infinite where it was not.

    Nothing where the attack does not report its steps, which all images that it fooled would
    have; where it fooled none, ``traceable`` says whether it would have reported them.
    """
    counted = records[outcomes.eligible(records)]
    fooled = outcomes.fooled(counted)
    is_traced = "traceable" in counted and bool(counted["traceable"].all())
    steps = counted["steps_to_success"].astype(float)
    if steps[fooled].isna().any() or not (fooled.any() or is_traced):
        return steps[:0]
    return steps.where(fooled, float("inf"))


_OVER = {False: "all evaluated images.", True: "the successes."}

_NORMS = {
    "linf": "L-infinity norm",
    "l2": "L2 norm",
    "l1": "L1 norm",
    "l0": "number of changed pixels",
}
_CONFIDENCES = {"confidence": "predicted class", "target_confidence": "target class"}

METRICS: tuple[Metric, ...] = (
    SuccessRate(),
    RobustAccuracy(),
    WorstCase(),
    RobustError(),
    Healed(),
    *(
        Column(
            f"{norm}{'_of_successes' if of_successes else ''}",
            f"Mean {name} of the perturbation, over {_OVER[of_successes]}",
            "count" if norm == "l0" else "pixels",
            _ATTACK,
            column=norm,
            of_successes=of_successes,
        )
        for norm, name in _NORMS.items()
        for of_successes in (False, True)
    ),
    *(
        Column(
            f"{column}{'_of_successes' if of_successes else ''}",
            f"Mean softmax of the {name} after the attack, over {_OVER[of_successes]}",
            "share",
            _JUDGED,
            column=column,
            of_successes=of_successes,
        )
        for column, name in _CONFIDENCES.items()
        for of_successes in (False, True)
    ),
    Quantile(
        "median_norm",
        "Median size, in the attack's own norm, of the perturbations, over the images that "
        "success_rate counts; infinite where the attack failed. Only for attacks that look "
        "for the nearest adversarial image.",
        "pixels",
        outcomes.norm_to_success,
        0.5,
        needs_minimum=True,
    ),
    Quantile(
        "norm_80",
        "The size within which 80 % of those images are misclassified; of median_norm, 50 %.",
        "pixels",
        outcomes.norm_to_success,
        0.8,
        needs_minimum=True,
    ),
    *(
        Quantile(
            f"steps_{percent}",
            f"The step by which {percent} % of the images that success_rate counts are "
            "misclassified; infinite where fewer are. Only for attacks whose model calls are their "
            "iterates.",
            "count",
            _steps,
            percent / 100,
        )
        for percent in (50, 80)
    ),
    Column(
        "steps_to_success",
        "Mean step at which the attack first fooled the model, over the successes; 0 is a "
        "random start that already fools. Only for attacks whose model calls are their iterates.",
        "count",
        _ATTACK,
        of_successes=True,
    ),
    Whole(
        "forwards",
        "Forward passes an image, through what was attacked: where a defense asks several "
        "networks, or one several times, all that counts as one pass.",
        "count",
        "attack",
    ),
    Whole("backwards", "Backward passes an image, counted likewise.", "count", "attack"),
    Whole("seconds", "Wall-clock time of the attack, all images.", "seconds", "attack"),
)
