"""Every metric, defined once. ``docs/metrics.md`` is rendered from this room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from bench.metrics import classification
from bench.metrics.metric import Metric, Unit
from bench.metrics.outcomes import (
    auroc_of,
    column_of,
    detected,
    fooled_source,
    norm_to_success,
    proved,
    quantile_of,
    recovered,
    right_after,
    right_before,
    right_unattacked,
    robust_to_all,
    steps_to_success,
    success,
    transferred,
)
from bench.records import Kind

_EVALUATE: tuple[Kind, ...] = ("evaluate",)
_EXPLAIN: tuple[Kind, ...] = ("explain",)
_ATTACK: tuple[Kind, ...] = ("attack",)
_JUDGED: tuple[Kind, ...] = ("attack", "transfer")
_TRANSFER: tuple[Kind, ...] = ("transfer",)

_MEASURED: tuple[
    tuple[str, str, Unit, tuple[Kind, ...], Literal["higher", "lower"] | None], ...
] = (
    ("parameters", "Trainable numbers of the network.", "count", ("profile",), "lower"),
    ("nonzero_parameters", "Those that are not zero.", "count", ("profile",), None),
    ("sparsity", "Zeros among Conv and Linear weights.", "share", ("profile",), None),
    (
        "nonzero_macs",
        "Those of macs whose weight is not zero; dense kernels do the others all the same.",
        "count",
        ("profile",),
        None,
    ),
    ("size_bytes", "Weights and buffers as a safetensors file.", "bytes", ("profile",), "lower"),
    ("size_compressed_bytes", "The same file, compressed.", "bytes", ("profile",), "lower"),
    (
        "macs",
        "Multiply-accumulate operations for one image: torch's FlopCounterMode / 2.",
        "count",
        ("profile",),
        "lower",
    ),
    (
        "latency_ms",
        (
            "Mean time for one batch; the images lie on the device. See the dimensions batch and "
            "threads."
        ),
        "ms",
        ("latency",),
        "lower",
    ),
    ("latency_ms_std", "Standard deviation over the timed runs.", "ms", ("latency",), None),
    ("latency_ms_median", "Median over the timed runs.", "ms", ("latency",), "lower"),
    ("images_per_second", "The batch over its mean time.", "count", ("latency",), "higher"),
    (
        "busy_elsewhere",
        "Share of the machine's cores that other processes used during the timing.",
        "share",
        ("latency",),
        None,
    ),
    ("training_seconds", "Time of all epochs.", "seconds", ("train",), "lower"),
    ("kept_epoch", "The epoch whose weights were kept.", "count", ("train",), None),
    (
        "peak_memory_bytes",
        (
            "Most that tensors of one training step hold at once, counted: weights, gradients, the "
            "optimizer's state, activations of a batch. On two devices, two figures."
        ),
        "bytes",
        ("train",),
        "lower",
    ),
)
_EXPLAINED: tuple[tuple[str, str, Unit, Literal["higher", "lower"] | None], ...] = (
    (
        "faithfulness",
        (
            "insertion_auc - deletion_auc: how much sooner confidence follows the pixels that the "
            "heatmap ranks first."
        ),
        "score",
        "higher",
    ),
    ("faithfulness_of_chance", "The same for a random order of pixels.", "score", None),
    (
        "faithfulness_gain",
        (
            "faithfulness - faithfulness_of_chance, image by image; an explainer whose interval "
            "includes 0 has not been told apart from chance."
        ),
        "score",
        "higher",
    ),
    (
        "deletion_auc",
        (
            "Mean softmax of the explained class as pixels are blurred, most important first "
            "(Petsiuk et al. 2018)."
        ),
        "score",
        "lower",
    ),
    (
        "insertion_auc",
        "The same as pixels are put back into a blurred image, most important first.",
        "score",
        "higher",
    ),
    (
        "randomisation_similarity",
        (
            "Spearman correlation of the heatmap with that of the same network with random weights "
            "(Adebayo et al. 2018): near 1, the map tells nothing of what was learned."
        ),
        "score",
        None,
    ),
    ("empty_heatmap", "Share of heatmaps that are the same everywhere.", "share", None),
)

_QUOTIENTS: tuple[tuple[str, str, tuple[Kind, ...], tuple[str, str]], ...] = (
    (
        "compression_ratio",
        "size_bytes of the model's original over that of the variant.",
        ("profile",),
        ("size_bytes", "size_bytes"),
    ),
    (
        "compressed_ratio",
        "The same of size_compressed_bytes: what zeros and coarse weights save on disk.",
        ("profile",),
        ("size_compressed_bytes", "size_compressed_bytes"),
    ),
    (
        "theoretical_speed_up",
        (
            "macs of the original over nonzero_macs of the variant: what would be saved if no zero "
            "were multiplied. What the time says is speed_up."
        ),
        ("profile",),
        ("macs", "nonzero_macs"),
    ),
    (
        "speed_up",
        "latency_ms of the model's original over that of the variant, at the same batch.",
        ("latency",),
        ("latency_ms", "latency_ms"),
    ),
)

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "success_rate",
            "Untargeted: of the images right before, those wrong after. Targeted: of the images "
            "right before whose class is not the target, those predicted as the target after.",
            "share",
            _ATTACK,
            success,
            needs_budget=True,
            better="lower",
        ),
        Metric(
            "clean_accuracy",
            "Right before any attack, over all evaluated images.",
            "share",
            ("evaluate", "attack", "transfer"),
            right_unattacked,
            needs_verdict=False,
            better="higher",
        ),
        *(
            Metric(
                f"macro_{name}",
                f"{told}; the mean over the classes that occur (sklearn: average='macro', "
                "zero_division=0).",
                "share",
                _EVALUATE,
                weighted=classification.macro(name),
                macro=True,
                better="higher",
            )
            for name, told in {
                "precision": "Of the images predicted as a class, the share that is",
                "recall": "Of the images of a class, the share predicted as it",
                "f1": "Harmonic mean of precision and recall of a class",
            }.items()
        ),
        Metric(
            "calibration_error",
            "Expected calibration error: over 15 equal bins of confidence, the mean distance of "
            "confidence and accuracy, weighted by how many images a bin holds (Guo et al. 2017). "
            "Few images raise it.",
            "share",
            _EVALUATE,
            weighted=classification.calibration_error,
            biased=True,
            better="lower",
        ),
        Metric(
            "robust_accuracy",
            "Right before and after, over all evaluated images.",
            "share",
            _JUDGED,
            lambda records: right_before(records) & right_after(records),
            needs_budget=True,
            of_every_image=True,
            better="higher",
        ),
        Metric(
            "worst_case_accuracy",
            "Right before, and right after every image of the run that lies within the budget, "
            "transferred ones included; a targeted attack that causes any error counts. Withheld "
            "where an attack at that budget failed, was skipped or broke it.",
            "share",
            _ATTACK,
            robust_to_all,
            needs_budget=True,
            worst_case=True,
            better="higher",
        ),
        Metric(
            "robust_error",
            "1 - robust_accuracy; many papers call this the success rate.",
            "share",
            _JUDGED,
            lambda records: ~(right_before(records) & right_after(records)),
            needs_budget=True,
            of_every_image=True,
            better="lower",
        ),
        Metric(
            "healed",
            "Wrong before, right after, over all evaluated images.",
            "share",
            _JUDGED,
            lambda records: ~right_before(records) & right_after(records),
            needs_budget=True,
        ),
        *(
            Metric(
                f"{norm}{'_of_successes' if of_successes else ''}",
                f"Mean {name} of the perturbation, over "
                + ("the successes." if of_successes else "all evaluated images."),
                "count" if norm == "l0" else "pixels",
                _ATTACK,
                column_of(norm, of_successes=of_successes),
                mean=True,
            )
            for norm, name in {
                "linf": "L-infinity norm",
                "l2": "L2 norm",
                "l1": "L1 norm",
                "l0": "number of changed pixels",
            }.items()
            for of_successes in (False, True)
        ),
        *(
            Metric(
                f"{column}{'_of_successes' if of_successes else ''}",
                f"Mean softmax of the {name} after the attack, over "
                + ("the successes." if of_successes else "all evaluated images."),
                "share",
                _JUDGED,
                column_of(column, of_successes=of_successes),
                mean=True,
            )
            for column, name in {
                "confidence": "predicted class",
                "target_confidence": "target class",
            }.items()
            for of_successes in (False, True)
        ),
        Metric(
            "median_norm",
            "Median size, in the attack's own norm, of the perturbations, over the images that "
            "success_rate counts; infinite where the attack failed. Only for attacks that look "
            "for the nearest adversarial image.",
            "pixels",
            _ATTACK,
            weighted=quantile_of(norm_to_success, 0.5),
            counts=norm_to_success,
            needs_minimum=True,
            better="higher",
        ),
        Metric(
            "norm_80",
            "The size within which 80 % of those images fall; of median_norm, 50 %.",
            "pixels",
            _ATTACK,
            weighted=quantile_of(norm_to_success, 0.8),
            counts=norm_to_success,
            needs_minimum=True,
            better="higher",
        ),
        *(
            Metric(
                f"steps_{percent}",
                f"The step by which {percent} % of the images that success_rate counts have "
                "fallen; infinite where fewer fall. Only for attacks whose model calls are their "
                "iterates.",
                "count",
                _ATTACK,
                weighted=quantile_of(steps_to_success, percent / 100),
                counts=steps_to_success,
                better="higher",
            )
            for percent in (50, 80)
        ),
        Metric(
            "steps_to_success",
            "Mean step at which the attack first fooled the model, over the successes; 0 is a "
            "random start that already fools. Only for attacks whose model calls are their "
            "iterates.",
            "count",
            _ATTACK,
            column_of("steps_to_success", of_successes=True),
            mean=True,
        ),
        *(
            Metric(name, definition, unit, kinds, better=better)
            for name, definition, unit, kinds, better in _MEASURED
        ),
        *(
            Metric(
                name,
                definition,
                unit,
                _EXPLAIN,
                column_of(name),
                mean=unit != "share",
                better=better,
            )
            for name, definition, unit, better in _EXPLAINED
        ),
        *(
            Metric(
                name,
                f"{told} of two heatmaps of an image, over all evaluated images ({source}): before "
                "and after an attack, each of the class that is predicted; without an attack, the "
                "original's and the variant's, both of the class that the original predicts.",
                "score",
                ("drift",),
                column_of(name),
                mean=True,
                better="higher",
            )
            for name, told, source in (
                ("heatmap_similarity", "Spearman correlation", "Adebayo et al. 2018"),
                ("heatmap_overlap", "Overlap of the top 20 %", "Ghorbani et al. 2019"),
            )
        ),
        Metric(
            "certified_accuracy",
            "Predicted right, and proved to stay so within some radius, over all images.",
            "share",
            ("certify",),
            proved,
            better="higher",
        ),
        Metric(
            "certified_radius",
            "Mean l2 radius within which the right prediction is proved; 0 where it is wrong or "
            "the shield abstains (average certified radius, Zhai et al. 2020).",
            "pixels",
            ("certify",),
            lambda records: records["radius"].where(proved(records), 0.0),
            mean=True,
            better="higher",
        ),
        Metric(
            "detection_auroc",
            "Chance that the image of a success scores higher with the detector than an "
            "unattacked image; a half is guessing. The attack does not know of the detector.",
            "score",
            ("detect",),
            weighted=auroc_of,
            counts=detected,
            better="higher",
        ),
        Metric(
            "accuracy_before",
            "Right before the last training of a reduced variant, over all evaluated images. "
            "clean_accuracy is of the whole variant: of what follows that training, too.",
            "share",
            ("interim",),
            right_unattacked,
            needs_verdict=False,
            better="higher",
        ),
        Metric(
            "recovery_rate",
            "Accuracy of a variant over that of its model's original, on the same images.",
            "share",
            _EVALUATE,
            weighted=recovered,
            beside_original=True,
            better="higher",
        ),
        *(
            Metric(
                name,
                definition,
                "score",
                kinds,
                beside_original=True,
                quotient=quotient,
                better="higher",
            )
            for name, definition, kinds, quotient in _QUOTIENTS
        ),
        Metric(
            "forwards",
            "Forward passes an image, through what was attacked: where a defense asks several "
            "networks, or one several times, all that counts as one pass.",
            "count",
            _ATTACK,
        ),
        Metric("backwards", "Backward passes an image, counted likewise.", "count", _ATTACK),
        Metric("seconds", "Wall-clock time of the attack, all images.", "seconds", _ATTACK),
        Metric(
            "source_success",
            "The attack's success rate on the model that its images were made on.",
            "share",
            _TRANSFER,
            fooled_source,
            needs_budget=True,
        ),
        Metric(
            "target_success",
            "Of the images that the target model had right, those that it now has wrong (targeted: "
            "predicts as the target class, of those whose class is not the target).",
            "share",
            _TRANSFER,
            success,
            needs_budget=True,
        ),
        Metric(
            "transfer_rate",
            "target_success, among the images that fooled the source model only.",
            "share",
            _TRANSFER,
            transferred,
            needs_budget=True,
        ),
    )
}
