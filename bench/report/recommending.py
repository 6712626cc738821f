"""Recommendations outside the page: in a terminal, and as a file for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.compare.models import Comparison
from bench.compare.recommendation import Recommendation, recommend
from bench.errors import Problem, UsageError, nearest
from bench.matrix import Matrix
from bench.records import JSON
from bench.report import choosing, plain
from bench.report.blocks import Bullets
from bench.suite.sections import Choice

FILE = "recommendations.json"


@dataclass(frozen=True)
class Recommendations:
    """What a suite's recommendations come to in a run."""

    matrix: Matrix

    @cached_property
    def comparison(self) -> Comparison:
        """The models of the run, compared."""
        return Comparison(self.matrix)

    @cached_property
    def choices(self) -> Mapping[str, Choice]:
        """What the suite asks for, by name."""
        asked: Mapping[str, object] = self.matrix.run.get("recommend") or {}
        return {name: Choice.model_validate(raw) for name, raw in asked.items()}

    @cached_property
    def found(self) -> Mapping[str, Recommendation]:
        """What is recommended, by name."""
        return {name: recommend(self.comparison, each) for name, each in self.choices.items()}

    @property
    def plain(self) -> dict[str, JSON]:
        """Plain values: of each recommendation, what it rests on and whom it leaves out."""
        return {
            "run": self.matrix.run["name"],
            "suite": self.matrix.run["suite"],
            "recommendations": [
                _finite(found.plain(name, self.choices[name])) for name, found in self.found.items()
            ],
        }

    @property
    def json(self) -> str:
        """The same as a text."""
        return json.dumps(self.plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @property
    def text(self) -> str:
        """What a terminal shows; nothing where the suite asks for none."""
        if not self.choices:
            return ""
        items = (
            choosing.recommendation(self.comparison, name, choice)
            for name, choice in self.choices.items()
        )
        return plain.render([Bullets(tuple(items))])

    def unmet(self, names: Sequence[str]) -> list[str]:
        """Return those of some recommendations by which no model is recommended."""
        return [name for name in names if self.found[name].best is None]


def check_names(asked: Sequence[str], known: Mapping[str, object]) -> None:
    """Refuse what is no recommendation of a suite.

    Raises:
        UsageError: with the nearest ones.

    """
    wrong = [name for name in asked if name not in known]
    if wrong:
        expected = "one of " + ", ".join(known) if known else "a suite with 'recommend:'"
        raise UsageError(
            *(
                Problem(
                    "--require",
                    f"'{name}' is no recommendation of this suite",
                    expected,
                    nearest(name, known) or "see 'recommend:' of the suite",
                )
                for name in wrong
            )
        )


def _finite(values: dict[str, JSON]) -> dict[str, JSON]:
    """Write numbers that JSON has no way to write as texts."""
    return {name: _written(value) for name, value in values.items()}


def _written(value: JSON) -> JSON:
    if isinstance(value, list):
        return [_written(each) for each in value]
    if isinstance(value, dict):
        return _finite(value)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
