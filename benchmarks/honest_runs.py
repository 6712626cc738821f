"""What the audit says of honest runs, and what its own cells cost beside the attacks.

    python benchmarks/honest_runs.py SUITE [--seeds 42 1 2 3 4] [--models simple_cnn] [--threads 1]

Runs a shipped suite under several seeds: the weights are the shipped ones, the images and the
random starts are drawn by the seed. Prints for each seed the findings, how many marks there are,
which rules could not look, and the seconds of the attacks, of the contracts, of the references and
of the probes, as they were noted when each cell was computed, with the ratio of contracts and
references together to the attacks. Ends with 1 where there is more than one finding in all.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import bench
from bench.suite import shipped


def main() -> int:
    """Run, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("suite", help="the name of a shipped suite")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 1, 2, 3, 4])
    parser.add_argument("--models", nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--store", type=Path, help="keeps the results there")
    options = parser.parse_args()
    found = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in options.seeds:
            store = (options.store or Path(folder)) / f"seed{seed}"
            outcome = run(options.suite, seed, store, options.models, options.threads)
            found += len(outcome.audit.findings)
            print(report(seed, outcome), flush=True)
    print(f"{found} findings in {len(options.seeds)} runs of {options.suite}")
    return int(found > 1)


def run(
    suite: str, seed: int, store: Path, models: list[str] | None, threads: int
) -> bench.Outcome:
    """Run a suite under a seed, with the weights that were trained under its own."""
    path = shipped("suites") / f"{suite}.yaml"
    read = bench.suite.read(path)
    recipes = [model.name for model in read.models if model.recipe is not None]
    return bench.run(
        path,
        store=store,
        reports=None,
        models=models,
        threads=threads,
        seed=seed,
        settings=[f"models.{name}.train.seed={read.seed}" for name in recipes],
    )


def report(seed: int, outcome: bench.Outcome) -> str:
    """Write what the audit says of a run, and what its cells cost."""
    matrix, audited = outcome.matrix, outcome.audit
    seconds: Counter[str] = Counter()
    for entry in (*matrix.entries, *matrix.probes):
        if entry.state == "done":
            seconds[entry.kind] += float(matrix.stored(entry).provenance["seconds"])
    own = seconds["contract"] + seconds["reference"]
    lines = [f"seed {seed}: {audited.summary}; {len(audited.remarks)} marks"]
    lines += [f"  {finding.rule}: {finding.sentence}" for finding in audited.findings]
    lines += [f"  failed: {e.label}: {e.reason}" for e in matrix.entries if e.state == "failed"]
    parts = [f"{kind} {seconds[kind]:.1f}" for kind in ("attack", "contract", "reference", "probe")]
    ratio = own / seconds["attack"] if seconds["attack"] else float("nan")
    lines.append(f"  seconds: {', '.join(parts)}; contract and reference to attacks {ratio:.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
