"""A cascade that a suite lists: its own attacks, cheapest first, each on what remains correct.

This room does not know how a suite is read, nor how attacks work.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from bench.api import Attack, Cascade
from bench.norms import Norm
from bench.records import JSON, Budget


class Listed(Cascade):
    """Attacks of a suite in a row, each on the images that remain correct.

    Source: the ensemble of Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an
        Ensemble of Diverse Parameter-free Attacks", 2020, section 6, for any list of attacks.
    """

    members: tuple[tuple[str, Attack], ...] = Field(min_length=2, description="names, attacks")
    within: Budget = Field(description="the ball that an image must lie in to count")

    @property
    def parts(self) -> Mapping[str, Attack]:
        """The attacks, those first that ask for fewer passes."""
        return dict(sorted(self.members, key=lambda member: member[1].passes))

    @property
    def norm(self) -> Norm:
        """The norm of the common budget."""
        return self.within.norm

    @property
    def budget(self) -> Budget:
        """The common budget."""
        return self.within

    @property
    def targetable(self) -> bool:
        """Whether every part honours targets."""
        return all(part.targetable for part in self.parts.values())

    @property
    def caveats(self) -> tuple[str, ...]:
        """Those of the parts."""
        return tuple(
            f"{name}: {caveat}" for name, part in self.parts.items() for caveat in part.own_caveats
        )

    def parameters(self) -> dict[str, JSON]:
        """Return what decides the result: the parts' parameters in their order, and the budget."""
        return {
            "parts": [part.parameters() for part in self.parts.values()],
            "budget": f"{self.within.norm} {self.within.eps:g}",
        }
