"""What heatmaps are worth, and how far they move."""

from __future__ import annotations

from bench.api import Metric
from bench.records import Kind
from bench_plugins.metrics.families import Column

_EXPLAIN: tuple[Kind, ...] = ("explain",)
_DRIFT: tuple[Kind, ...] = ("drift",)
_OF_TWO = (
    "of two heatmaps of an image, over all evaluated images ({}): before and after an attack, each "
    "of the class that is predicted; without an attack, the original's and the variant's, both of "
    "the class that the original predicts."
)

METRICS: tuple[Metric, ...] = (
    Column(
        "faithfulness",
        "insertion_auc - deletion_auc: how much sooner confidence follows the pixels that the "
        "heatmap ranks first.",
        "score",
        _EXPLAIN,
        "higher",
    ),
    Column("faithfulness_of_chance", "The same for a random order of pixels.", "score", _EXPLAIN),
    Column(
        "faithfulness_gain",
        "faithfulness - faithfulness_of_chance, image by image; an explainer whose interval "
        "includes 0 is not shown to be better than chance.",
        "score",
        _EXPLAIN,
        "higher",
    ),
    Column(
        "deletion_auc",
        "Mean softmax of the explained class as pixels are blurred, most important first "
        "(Petsiuk et al. 2018).",
        "score",
        _EXPLAIN,
        "lower",
    ),
    Column(
        "insertion_auc",
        "The same as pixels are put back into a blurred image, most important first.",
        "score",
        _EXPLAIN,
        "higher",
    ),
    Column(
        "randomisation_similarity",
        "Spearman correlation of the heatmap with that of the same network with random weights "
        "(Adebayo et al. 2018): near 1, the map says nothing of what was learned.",
        "score",
        _EXPLAIN,
    ),
    Column(
        "empty_heatmap",
        "Share of heatmaps that are the same everywhere.",
        "share",
        _EXPLAIN,
        mean=False,
    ),
    Column(
        "heatmap_similarity",
        "Spearman correlation " + _OF_TWO.format("Adebayo et al. 2018"),
        "score",
        _DRIFT,
        "higher",
    ),
    Column(
        "heatmap_overlap",
        "Overlap of the top 20 % " + _OF_TWO.format("Ghorbani et al. 2019"),
        "score",
        _DRIFT,
        "higher",
    ),
)
