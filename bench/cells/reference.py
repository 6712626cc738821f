"""The reference cell: strong attacks on what a run's own attacks left correct.

The referee measures and judges what they return, like that of any attack. This room does not know
what the audit makes of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from bench import fingerprint, registry, seeds
from bench.api import Attack
from bench.cells.attack import AttackCell
from bench.cells.cell import Cell, Parent, package_of
from bench.cells.subject import Subject
from bench.cells.workbench import Compute, Workbench
from bench.data import ImageSet
from bench.records import JSON, TOLERANCE, Budget, Kind, Norm, ReferenceRecord, Result
from bench.store import Stored

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bench.classifier.classifier import Classifier
    from bench.tensors import Images, Labels

    Marks = NDArray[np.bool_]
    Sizes = NDArray[np.float64]


@dataclass(frozen=True)
class Attempt:
    """One attack of the reference; ``eps`` is None where it serves all budgets of the norm."""

    name: str
    plugin_name: str
    plugin: Attack
    eps: float | None

    @property
    def identity(self) -> dict[str, JSON]:
        """What it is, and with which parameters."""
        plugin = registry.identity("attacks", self.plugin_name, self.plugin)
        return {**plugin, "parameters": self.plugin.parameters(), "eps": self.eps}

    @property
    def culprit(self) -> str:
        """How errors name it."""
        return f"attack '{self.name}' of the reference (plugin {self.plugin_name})"


@dataclass(frozen=True)
class ReferenceCell(Cell):
    """A model variant, the run's own attacks on it in one norm, and what attacks it after them.

    Each image is attacked until something fools it. Of those that the run's own attacks left
    correct within a budget, at most ``count`` are taken, the same of every model; None: all.
    """

    kind: ClassVar[Kind] = "reference"

    subject: Subject
    attacks: tuple[AttackCell, ...]
    norm: Norm
    budgets: tuple[float, ...]
    attempts: tuple[Attempt, ...]
    count: int | None
    images: ImageSet
    suite_seed: int
    compute: Compute

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The weights, and what the run's own attacks made."""
        own = {_role(cell): Parent(cell, "records") for cell in self.attacks}
        return {**self.subject.parents, **own}

    @property
    def optional(self) -> frozenset[str]:
        """The attacks: one that has no result fooled nothing."""
        return frozenset(_role(cell) for cell in self.attacks)

    @property
    def inputs(self) -> dict[str, JSON]:
        """The budgets, what is run, the images, the seed, and how numbers are computed."""
        return {
            "norm": self.norm,
            "budgets": list(self.budgets),
            "attempts": [attempt.identity for attempt in self.attempts],
            "count": self.count,
            "images": self.images.named_digest,
            "seed": seeds.derive(self.suite_seed, "reference", self.images.digest),
            **self.compute.identity(batch_size=True),
            **self.subject.identity,
        }

    @property
    def facts(self) -> dict[str, JSON]:
        """What it is for, and the budgets that it serves."""
        return {
            "probe": "reference",
            "of": None,
            "norm": self.norm,
            "budgets": list(self.budgets),
            **self.subject.facts,
        }

    @property
    def modules(self) -> tuple[str, ...]:
        """The cell, its judges, and the packages of the attacks and of the model's plugins."""
        return (
            *super().modules,
            *("bench.referee", "bench.classifier", "bench.norms"),
            *sorted({package_of(attempt.plugin) for attempt in self.attempts}),
            *self.subject.packages,
        )

    @property
    def work(self) -> tuple[str, float]:
        """The passes of all that is run, as if half of the images were left for it."""
        passes = sum(2.0 * attempt.plugin.passes for attempt in self.attempts)
        images = min(len(self.images), self.count or len(self.images))
        return f"model {self.coordinates.model}", passes * images / 2

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Attack what is left, one attack after the other, and have it judged."""
        import numpy as np

        attacked = self.subject.attacked(workbench, parents)
        judged = self.subject.judged(workbench, parents)
        before = workbench.verdict(judged, self.images)
        labels = self.images.tensors()[1]
        clean = before.predictions.numpy()
        is_right = clean == labels.numpy()
        state = self._begun(workbench, parents, is_right)
        accounts: list[dict[str, JSON]] = []
        started = time.perf_counter()
        for place, attempt in enumerate(self.attempts):
            rows = state.open_at(attempt.eps)
            if len(rows):
                accounts.append(self._attempted(attempt, rows, attacked, judged, state))
            workbench.notify((place + 1) / len(self.attempts), attempt.name)
        records = [
            record
            for budget in state.budgets
            for record in budget.records(self.images.names, labels.tolist(), clean.tolist())
        ]
        seconds = time.perf_counter() - started
        tried = int(np.any([budget.tried for budget in state.budgets], axis=0).sum())
        plain: list[JSON] = [asdict(record) for record in records]
        return Result(
            records=records,
            outputs={"records": fingerprint.fingerprint(plain)},
            summary={
                "images": tried,
                "forwards": attacked.forwards / max(1, tried),
                "backwards": attacked.backwards / max(1, tried),
                "seconds": seconds,
                "attempts": [*accounts],
            },
        )

    def _begun(
        self, workbench: Workbench, parents: Mapping[str, Stored], is_right: Marks
    ) -> _State:
        """Find what the run's own attacks left correct, and choose of it."""
        import numpy as np

        least = np.full(len(self.images), np.inf)
        places = {name: place for place, name in enumerate(self.images.names)}
        for role in sorted(self.optional & parents.keys()):
            records = workbench.store.records(parents[role])
            is_wrong = (records["prediction"] != records["label"]).fillna(value=False)
            found = records[is_wrong.astype(bool) & records["violation"].isna()]
            rows = [places[name] for name in found["image"]]
            np.minimum.at(least, rows, found[self.norm].astype(float).to_numpy())
        seed = seeds.derive(self.suite_seed, "reference images", self.images.digest)
        order = np.random.default_rng(seed).permutation(len(self.images))
        budgets = []
        for eps in self.budgets:
            is_left = is_right & (least > eps + TOLERANCE)
            chosen = order[is_left[order]][: self.count]
            is_tried = np.zeros_like(is_left)
            is_tried[chosen] = True
            budgets.append(_AtBudget(eps, is_left, is_tried))
        return _State(tuple(budgets))

    def _attempted(
        self,
        attempt: Attempt,
        rows: Sequence[int],
        attacked: Classifier,
        judged: Classifier,
        state: _State,
    ) -> dict[str, JSON]:
        """Run one attack and note what it fooled; return what it cost."""
        from bench import norms
        from bench.referee import attacks as referee

        forwards, backwards = attacked.forwards, attacked.backwards
        images, labels = (part[rows] for part in self.images.tensors())
        started = time.perf_counter()
        produced = self._perturbed(attempt, attacked, images, labels)
        budget = None if attempt.eps is None else Budget(self.norm, attempt.eps)
        violations = referee.violations(images, produced, budget)
        after = referee.classify(judged, produced)
        finite = after.probabilities.isfinite().all(1)
        is_wrong = ((after.predictions != labels) & finite).tolist()
        sizes = norms.measure(self.norm, produced - images).tolist()
        fooled = 0
        for row, *found in zip(rows, is_wrong, sizes, violations, strict=True):
            fooled += state.note(row, attempt.name, *found)
        return {
            "method": attempt.name,
            "eps": attempt.eps,
            "images": len(rows),
            "fooled": fooled,
            "forwards": attacked.forwards - forwards,
            "backwards": attacked.backwards - backwards,
            "seconds": time.perf_counter() - started,
        }

    def _perturbed(
        self, attempt: Attempt, attacked: Classifier, images: Images, labels: Labels
    ) -> Images:
        """Return what an attack makes of images, batch by batch."""
        import torch

        from bench.referee import attacks as referee

        device, size = self.compute.device, self.compute.batch_size
        seed = seeds.derive(self.suite_seed, "reference", attempt.identity, self.images.digest)
        generator = torch.Generator().manual_seed(seed)
        parts = []
        with seeds.forked(seed), attacked.guarded(attempt.culprit):
            for start in range(0, len(images), size):
                batch = images[start : start + size]
                produced = attempt.plugin.perturb(
                    attacked,
                    batch.to(device, copy=True),
                    labels[start : start + size].to(device, copy=True),
                    generator=generator,
                )
                parts.append(referee.check_form(produced, batch, attempt.culprit))
        return torch.cat(parts)


def _role(cell: AttackCell) -> str:
    return f"attack {cell.entry.name}"


@dataclass
class _AtBudget:
    """What is known of each image within one budget."""

    eps: float
    left: Marks
    tried: Marks
    methods: dict[int, tuple[str, float]] = field(default_factory=dict)
    violations: dict[int, str] = field(default_factory=dict)

    def is_open(self, row: int) -> bool:
        """Whether an image is attacked here, and nothing has fooled it yet."""
        return bool(self.tried[row]) and row not in self.methods

    def records(
        self, names: Sequence[str], labels: Sequence[int], clean: Sequence[int]
    ) -> Iterator[ReferenceRecord]:
        """Return what there is to say of each image."""
        for row, name in enumerate(names):
            method, size = self.methods.get(row, (None, None))
            yield ReferenceRecord(
                image=name,
                label=labels[row],
                eps=self.eps,
                clean_prediction=clean[row],
                left=bool(self.left[row]),
                tried=bool(self.tried[row]),
                method=method,
                size=size,
                violation=None if method else self.violations.get(row),
            )


@dataclass(frozen=True)
class _State:
    """All budgets of a norm, the smallest first: what fools within one fools within the larger."""

    budgets: tuple[_AtBudget, ...]

    def open_at(self, eps: float | None) -> list[int]:
        """Return the images that are still attacked at a budget; None: at any."""
        asked = [each for each in self.budgets if eps is None or each.eps == eps]
        count: Any = len(self.budgets[0].left)
        return [row for row in range(count) if any(each.is_open(row) for each in asked)]

    def note(
        self, row: int, method: str, is_wrong: bool, size: float, violation: str | None
    ) -> bool:
        """Note what an attack made of an image; return whether it fools it within a budget."""
        fools = False
        for each in self.budgets:
            if not each.is_open(row):
                continue
            if violation is not None:
                each.violations[row] = violation
            elif is_wrong and size <= each.eps + TOLERANCE:
                each.methods[row] = (method, size)
                fools = True
        return fools
