"""The statistics behind every printed number: intervals, paired tests, correction over a family.

Pure functions of counts and of arrays of numbers; they know nothing of models or attacks.
"""

from bench.statistics.bootstrap import (
    Drawn,
    Statistic,
    drawn,
    paired,
    resampled,
    resamples_for,
    share,
    within,
)
from bench.statistics.intervals import (
    CONFIDENCE,
    NOTHING,
    RESAMPLES,
    Difference,
    Estimate,
    mean,
    quantile_of_t,
    rate,
    wilson_variance,
)
from bench.statistics.tests import (
    PairedTest,
    at_least,
    holm,
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
    "PairedTest",
    "Statistic",
    "at_least",
    "drawn",
    "holm",
    "mcnemar",
    "mean",
    "paired",
    "paired_shares",
    "paired_variance",
    "quantile_of_t",
    "rate",
    "resampled",
    "resamples_for",
    "share",
    "sign_flips",
    "wilson_variance",
    "within",
]
