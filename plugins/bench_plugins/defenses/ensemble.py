"""Several variants that vote.

This room knows who is asked and how the votes are joined; it does not know who they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator

from bench.api import Gradients, Shield

if TYPE_CHECKING:
    from torch.nn import Module


class Ensemble(Shield):
    """The majority of several variants' predictions.

    Each member has one vote; ties go to the class of the largest summed softmax. Logits are the log
    of the shares of votes, with half a vote more that the mean softmax shares out. Who votes is
    said in ``of`` and nowhere else: the classifier behind the ensemble has a vote only
    if it is named there, so a step before the ensemble is an error.

    Votes have no gradient: attacks see the log of the mean softmax of the members instead, each
    member through what attacks see of it. The two disagree where the majority is unsure and the
    minority sure, so an attack's own notion of success is not the verdict's there.

    Source: Hansen and Salamon, "Neural Network Ensembles", 1990 (majority); mean softmax for
        attacks: Liu, Chen, Liu and Song, "Delving into Transferable Adversarial Examples and
        Black-box Attacks", 2017 (ensemble-based approaches).
    Deviations: ties, which a majority leaves open, are broken as described.
    """

    gradients: ClassVar[Gradients] = "straight_through"
    ignores_base_model: ClassVar[bool] = True
    surrogate_agrees: ClassVar[bool] = False

    of: tuple[str, ...] = Field(
        min_length=2,
        description="who votes: variants, as 'variant' (of this model) or 'model/variant'",
    )

    @field_validator("of")
    @classmethod
    def _is_distinct(cls, of: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in of if of.count(name) > 1})
        if twice:
            raise ValueError(f"got {', '.join(twice)} twice, expected one vote for each")
        return of

    @property
    def members(self) -> tuple[str, ...]:
        """Who votes."""
        return self.of

    def defend(self, classifier: Module, members: Sequence[Module], *, seed: int) -> Module:
        """Return the vote; ``seed`` decides nothing."""
        from bench_plugins.defenses.layers import Joined, tally

        return Joined(members, tally)

    def surrogate(self, classifier: Module, members: Sequence[Module], *, seed: int) -> Module:
        """Return the log of the mean softmax."""
        from bench_plugins.defenses.layers import Joined, average

        return Joined(members, average)
