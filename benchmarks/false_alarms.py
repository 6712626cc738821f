"""How often the audit accuses a run without a fault: runs whose every number is drawn by chance.

    python benchmarks/false_alarms.py [--runs 1000] [--images 100] [--seed 1]

No network is asked. Each run has models, attacks on each within two budgets, their probes, images
made on other models, and the reference, if there is one; all rules look at it as at any run. Where
a rule asks whether something is larger, what is drawn is as large as it may be: one step fools as
many images as several, twice the steps as many as before, and so on. So a finding is a false alarm,
and honest runs, which keep away from these edges, have fewer. Prints the share of runs with a
finding, with its 95 % interval, by which rules, and how many cases a run had; ends with 1 where the
interval lies above what the audit promises.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from bench import statistics
from bench.audit import LEVEL, RULES, Audit, audit
from bench.matrix import Entry
from bench.records import Coordinates

MODELS = 3
CLASSES = 10
CHEAP = 32
BUDGETS = (0.03, 0.1)
RIVALS = ("pgd", "bim", "auto")
CHANGED = 0.06
"""The share of images whose outcome is drawn anew between two attacks that are equally strong."""

NOISE = 0.15
"""The share of images that noise fools: where it fools fewer, a rule looks away."""


@dataclass
class Drawn:
    """A run whose cells were drawn, as rules see a run."""

    generator: np.random.Generator
    images: int
    entries: list[Entry] = field(default_factory=list)
    probes: list[Entry] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    summaries: dict[str, dict[str, Any]] = field(default_factory=dict)
    run: Mapping[str, Any] = field(
        default_factory=lambda: {
            "dataset": {
                "classes": [str(i) for i in range(CLASSES)],
                "splits": ["test"],
                "leaks": [],
                "near_duplicates": [],
                "duplicates": [],
            },
            "audit_extent": "cheap",
        }
    )

    def records(self, entry: Entry) -> pd.DataFrame | None:
        """Return what was drawn of a cell's images."""
        found = self.tables.get(entry.label)
        return None if found is None else found.copy()

    def stored(self, entry: Entry) -> SimpleNamespace:
        """Return what was drawn of a cell besides."""
        return SimpleNamespace(summary=self.summaries[entry.label])

    def put(
        self,
        kind: str,
        place: Coordinates,
        table: pd.DataFrame | None,
        facts: Mapping[str, Any],
        **summary: Any,
    ) -> None:
        """Add a cell."""
        label = f"{kind} {place}"
        entry = Entry(label, kind, place, dict(facts), "done", label, "")
        (self.probes if kind in ("probe", "reference") else self.entries).append(entry)
        if table is not None:
            self.tables[label] = table
        self.summaries[label] = summary

    def share(self, of: float, count: int | None = None) -> np.ndarray:
        """Draw of some images whether each is among a share."""
        return self.generator.random(self.images if count is None else count) < of


def attacked(fooled: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """Return the records of an attack on images that were right."""
    count = len(fooled)
    return pd.DataFrame(
        {
            "image": [f"test/{i}" for i in range(count)],
            "label": labels[:count],
            "target": pd.array([None] * count, dtype="Int64"),
            "clean_prediction": labels[:count],
            "prediction": np.where(fooled, (labels[:count] + 1) % CLASSES, labels[:count]),
            "linf": 0.0,
            "violation": pd.Series([None] * count, dtype=object),
            "success": pd.array(fooled, dtype="boolean"),
        }
    )


def facts(name: str, eps: float, **others: Any) -> dict[str, Any]:
    """Return what an attack's cell says of itself."""
    return {
        "group": name,
        "plugin": name.partition("~")[0],
        "norm": "linf",
        "eps": eps,
        "budget": f"linf {eps:g}",
        "target": None,
        "targeted": False,
        "minimum_norm": False,
        "control": False,
        "single_step": False,
        "caveats": [],
        **others,
    }


def draw(generator: np.random.Generator, images: int) -> Drawn:
    """Draw a run: models, what attacks on each fool, and what probes see."""
    run = Drawn(generator, images)
    labels = np.arange(images) % CLASSES
    for number in range(MODELS):
        _draw_model(run, f"net{number}", labels)
    return run


def _draw_model(run: Drawn, model: str, labels: np.ndarray) -> None:
    """Draw a model that is as accurate as a useful one is at the least, and all that attacks it."""
    generator, place = run.generator, Coordinates(model)
    right = run.share(1 / CLASSES + 0.2)
    said = np.where(right, labels, (labels + 1) % CLASSES)
    table = pd.DataFrame({"image": [f"test/{i}" for i in range(run.images)], "label": labels})
    run.put("evaluate", place, table.assign(prediction=said, confidence=0.5), {})
    lengths = np.where(run.share(0.05, CHEAP), 0.0, 1.0)
    gradients = pd.DataFrame({"image": table["image"][:CHEAP], "gradient": lengths})
    at = Coordinates(model, attack="loss~gradients")
    run.put("probe", at, gradients, {"probe": "gradients", "of": None})
    _draw_idle(run, model, labels)
    for eps in BUDGETS:
        _draw_budget(run, model, eps, generator.uniform(0.2, 0.8), labels)


def _draw_budget(run: Drawn, model: str, eps: float, strength: float, labels: np.ndarray) -> None:
    """Draw attacks of one budget that are equally strong, and their probes."""
    common = run.share(strength)

    def again(count: int | None = None) -> np.ndarray:
        """Draw what an attack as strong as the others fools."""
        fresh = run.share(strength)
        return np.where(run.share(CHANGED), fresh, common)[:count]

    def put(kind: str, name: str, fooled: np.ndarray, backwards: float, **others: Any) -> None:
        at = Coordinates(model, attack=f"{name}@eps={eps:g}")
        run.put(
            kind,
            at,
            attacked(fooled, labels),
            facts(f"{name}@eps={eps:g}", eps, **others),
            backwards=backwards,
        )

    made = {name: again() for name in ("fgsm", *RIVALS)}
    put("attack", "fgsm", made["fgsm"], 1.0, single_step=True)
    for name in RIVALS:
        put("attack", name, made[name], 10.0, iterations=10)
    _draw_reference(run, model, eps, labels, ~np.any([*made.values()], axis=0), again())
    of = {"probe": "doubled-steps", "of": f"pgd@eps={eps:g}", "steps": 20}
    put("probe", "pgd~doubled-steps", again(CHEAP), 20.0, **of)
    of |= {"probe": "eps-0"}
    put("probe", "pgd~eps-0", run.share(0.01, CHEAP), 5.0, **of)
    fooled = ~run.share(1 / CLASSES, CHEAP)
    at = Coordinates(model, attack=f"pgd~large-eps@eps={eps:g}")
    large = facts(f"pgd@eps={eps:g}", 1.0, probe="large-eps", of=f"pgd@eps={eps:g}")
    run.put("probe", at, attacked(fooled, labels), large, backwards=10.0)
    for other in range(MODELS):
        if f"net{other}" != model:
            at = Coordinates(model, attack=f"pgd@eps={eps:g}", source=f"net{other}/original")
            run.put("transfer", at, attacked(again(), labels), facts("pgd", eps))


def _draw_reference(
    run: Drawn, model: str, eps: float, labels: np.ndarray, left: np.ndarray, fooled: np.ndarray
) -> None:
    """Draw a reference that is as strong as the attacks, on what they left."""
    table = pd.DataFrame(
        {
            "image": [f"test/{i}" for i in range(run.images)],
            "label": labels,
            "eps": eps,
            "clean_prediction": labels,
            "left": left,
            "tried": left,
            "method": np.where(left & fooled, "strong", None),
            "size": eps,
            "violation": pd.Series([None] * run.images, dtype=object),
        }
    )
    place = Coordinates(model, attack=f"reference@eps={eps:g}")
    known = {"probe": "reference", "of": None, "norm": "linf", "budgets": [eps]}
    run.put("reference", place, table, known)


def _draw_idle(run: Drawn, model: str, labels: np.ndarray) -> None:
    """Draw an attack that adds to what noise fools no more than noise would."""
    noise = run.share(NOISE)
    idle = run.share(NOISE)
    for name, fooled, more in (
        ("noise", noise, {"control": True, "backwards": 0.0}),
        ("idle", idle, {"iterations": 10, "backwards": 10.0}),
    ):
        passes = more.pop("backwards")
        at = Coordinates(model, attack=name)
        table = attacked(fooled, labels)
        run.put("attack", at, table, facts(name, 0.05, **more), backwards=passes)


def simulate(runs: int, images: int, seed: int) -> Iterator[Audit]:
    """Audit runs that were drawn."""
    for number in range(runs):
        yield audit(draw(np.random.default_rng([seed, number]), images))  # type: ignore[arg-type]


def report(found: Sequence[Audit]) -> int:
    """Print what was found, and return the exit code."""
    accused = [audited for audited in found if audited.findings]
    known = statistics.rate(len(accused), len(found))
    low, high = known.low or 0.0, known.high or 0.0
    cases = np.mean([sum(audited.cases.values()) for audited in found])
    rules = Counter(rule for audited in accused for rule in {f.rule for f in audited.findings})
    looked = {name for audited in found for name, count in audited.cases.items() if count}
    print(f"{len(accused)} of {len(found)} runs without a fault have a finding:", end=" ")
    print(f"{len(accused) / len(found):.2%} (95 % interval {low:.2%} to {high:.2%})")
    print(f"{cases:.0f} cases a run, of {len(looked)} of {len(RULES)} rules; at most {LEVEL:.0%}")
    for name, count in rules.most_common():
        print(f"  {name}: {count}")
    return int(low > LEVEL)


def main(words: Sequence[str] | None = None) -> int:
    """Simulate, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(words)
    return report(list(simulate(given.runs, given.images, given.seed)))


if __name__ == "__main__":
    sys.exit(main())
