"""The benchmark behind the table of coverage would notice an interval that falls short."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "coverage.py"


@pytest.mark.slow
def test_a_few_samples_of_every_interval_cover() -> None:
    found = subprocess.run(
        [sys.executable, SCRIPT, "--quick"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout
    assert "short" not in found.stdout


def test_an_interval_that_falls_short_is_noticed() -> None:
    """Student's, of ten lognormal values, holds the truth in about 84 of 100 samples."""
    from scipy.stats import sem, t

    known = runpy.run_path(str(SCRIPT))

    def student(generator: np.random.Generator, samples: int, n: int):
        values, truth = known["lognormal"](generator, (samples, n))
        reach = t.ppf(0.975, n - 1) * sem(values, axis=1)
        return known["held"](values.mean(1) - reach, values.mean(1) + reach, truth)

    bad = known["Cell"]("Student", "lognormal", student)
    coverage, printed = known["simulate"](bad, 10, 2000)
    assert printed == 1
    assert coverage < 0.88 < known["LEAST"]
    good = next(c for c in known["cells"]() if (c.method, c.population) == ("mean", "lognormal"))
    assert known["simulate"](good, 10, 500)[0] > 0.92


def test_every_printed_interval_but_wilson_s_covers_in_the_table() -> None:
    """Of what stands in the docs; where none is printed, nothing can be wrong."""
    document = json.loads((ROOT / "docs" / "coverage.json").read_text(encoding="utf-8"))
    assert document["samples"] == 10_000
    known = runpy.run_path(str(SCRIPT))
    expected = {(c.method, c.population, n) for c in known["cells"]() for n in c.sizes}
    assert {tuple(row[:3]) for row in document["cells"]} == expected
    short = [
        row
        for row in document["cells"]
        if row[0] != known["WILSON"] and row[3] is not None and row[3] < known["LEAST"]
    ]
    assert short == []
