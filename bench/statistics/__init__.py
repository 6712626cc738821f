"""The statistics behind every printed number: intervals, paired tests, correction over a family.

Pure functions of counts and of arrays of numbers; they know nothing of models or attacks.
"""

from bench.statistics.bootstrap import (
    Drawn,
    drawn,
    paired,
    resampled,
    resamples_for,
    share,
    within,
)
from bench.statistics.class_scores import (
    macro,
)
from bench.statistics.draws import (
    Statistic,
)
from bench.statistics.intervals import (
    CONFIDENCE,
    NOTHING,
    RESAMPLES,
    Difference,
    Estimate,
    quantile_of_t,
    rate,
    wilson_variance,
)
from bench.statistics.means import (
    Limits,
    mean,
    mean_difference,
)
from bench.statistics.p_values import (
    PValue,
    holm,
    p_equals,
    written,
)
from bench.statistics.scores import (
    auroc,
    paired_ratio,
    quantile,
)
from bench.statistics.tests import (
    PairedTest,
    at_least,
    mcnemar,
    paired_shares,
    paired_variance,
    sign_flips,
)

__all__ = [
    "CONFIDENCE",
    "NOTHING",
    "RESAMPLES",
    "Difference",
    "Drawn",
    "Estimate",
    "Limits",
    "PValue",
    "PairedTest",
    "Statistic",
    "at_least",
    "auroc",
    "drawn",
    "holm",
    "macro",
    "mcnemar",
    "mean",
    "mean_difference",
    "p_equals",
    "paired",
    "paired_ratio",
    "paired_shares",
    "paired_variance",
    "quantile",
    "quantile_of_t",
    "rate",
    "resampled",
    "resamples_for",
    "share",
    "sign_flips",
    "wilson_variance",
    "within",
    "written",
]
