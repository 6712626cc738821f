"""Variants beside the original of their model: their families, and their figures.

It tests nothing. No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.compare.models import Comparison
from bench.matrix import Entry, Matrix
from bench.metrics import METRICS
from bench.statistics import Estimate


@dataclass(frozen=True)
class Compression:
    """The variants of a run beside their originals."""

    matrix: Matrix

    @cached_property
    def comparison(self) -> Comparison:
        """The model variants, compared."""
        return Comparison(self.matrix)

    @cached_property
    def families(self) -> dict[str, str]:
        """What makes the weights of each reduced model variant, as ``magnitude, fine_tune``.

        Numbers are left out, as the sparsity: what differs in those only is one family.
        """
        found: dict[str, dict[int, str]] = {}
        reduced = set()
        for entry in self.matrix.entries:
            if entry.kind in ("compress", "train") and "step" in entry.facts:
                model_variant = entry.coordinates.model_variant
                place, _, step = str(entry.facts["step"]).partition("-")
                words = self._words(entry.coordinates.variant, int(place))
                found.setdefault(model_variant, {})[int(place)] = step + words
                reduced |= {model_variant} if entry.kind == "compress" else set()
        return {
            name: ", ".join(steps[place] for place in sorted(steps))
            for name, steps in found.items()
            if name in reduced
        }

    def _words(self, variant: str, place: int) -> str:
        """Return the parameters of a step that are no numbers, as `` (scope layer)``."""
        steps = self.matrix.run["variants"].get(variant, [])
        given = steps[place - 1]["parameters"] if len(steps) >= place else {}
        words = [
            f"{key} {value}"
            for key, value in given.items()
            if isinstance(value, bool) or (isinstance(value, str) and not value[:1].isdigit())
        ]
        return f" ({', '.join(words)})" if words else ""

    @cached_property
    def model_variants(self) -> list[str]:
        """The reduced variants and their originals, in the plan's order."""
        models = {name.partition("/")[0] for name in self.families}
        return [name for name in self.comparison.models if name in self.families or name in models]

    def original(self, variant: str) -> str:
        """Return the model variant that a variant is compared with."""
        return variant.partition("/")[0]

    def estimate(self, name: str, entries: Sequence[Entry]) -> Estimate | None:
        """Return a figure of one model variant; None where there is none to draw."""
        if not entries:
            return None
        found = self.comparison.estimate(entries, METRICS[name])
        return found if isinstance(found, Estimate) and found.value is not None else None

    def value(self, name: str, model_variant: str) -> float | None:
        """Return a figure that a model variant has one cell of; None where there is none."""
        found = self.estimate(name, self.entries(METRICS[name].kinds[0], model_variant))
        return None if found is None else found.value

    @property
    def batches(self) -> list[int]:
        """The batches that were timed, in the run's order."""
        found = (e.facts["batch"] for e in self.matrix.entries if e.kind == "latency")
        return list(dict.fromkeys(int(str(batch)) for batch in found))

    def timed(self, model_variant: str, batch: int) -> list[Entry]:
        """Return the timings of a model variant at a batch."""
        return [e for e in self.entries("latency", model_variant) if e.facts["batch"] == batch]

    @property
    def attacks(self) -> list[str]:
        """The attacks of the run, in its order."""
        names = (e.coordinates.attack for e in self.matrix.entries if e.kind == "attack")
        return list(dict.fromkeys(name for name in names if name is not None))

    @property
    def strongest_attack(self) -> str | None:
        """The attack after which the first model variant has the fewest images right."""
        left: dict[str, float] = {}
        for attack in self.attacks:
            cells = self.entries("attack", self.model_variants[0], attack)
            found = self.estimate("robust_accuracy", cells)
            if found is not None and found.value is not None:
                left[attack] = found.value
        return min(left, key=lambda attack: left[attack]) if left else None

    def entries(self, kind: str, model_variant: str, attack: str | None = None) -> list[Entry]:
        """Return the cells of a model variant: one for each replica, done or not."""
        found = self.comparison.entries(kind, model_variant)
        return [entry for entry in found if entry.coordinates.attack == attack]
