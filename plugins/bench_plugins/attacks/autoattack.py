"""AutoAttack, as the field means it.

This room knows which attacks it is made of, and with which parameters. It does not know how they
work, nor how images that remain correct are kept apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from bench.api import Attack, Cascade
from bench.records import Norm
from bench_plugins.attacks.table import APGD, APGDT, FAB, Square

_STEPS = 100
_TARGET_CLASSES = 9
_QUERIES = 5000
_EOT_ITER = 20


class AutoAttack(Cascade):
    """APGD, targeted APGD, targeted FAB and Square, each on the images that remain correct.

    The version ``standard``: APGD on the cross-entropy and APGD-T, 100 steps each; FAB-T, 100
    steps; Square, 5000 queries; APGD-T and FAB-T aim at the 9 likeliest wrong classes, or at all
    where there are fewer; one start each. The version ``rand``, for classifiers that are random:
    APGD on the cross-entropy and on the dlr loss, 100 steps of 20 averaged gradients.

    Source: Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of
        Diverse Parameter-free Attacks", 2020, section 6. Its parts are computed by torchattacks.
    Deviations: none intended. torchattacks' own AutoAttack is not used: its version "standard"
        takes 10 steps, aims at all wrong classes of 10 however many there are, and seeds itself
        from the clock.
    """

    wraps: ClassVar[str | None] = "torchattacks"
    caveats: ClassVar[tuple[str, ...]] = tuple(f"apgd-t: {caveat}" for caveat in APGDT.caveats)
    caveats_in: ClassVar[Mapping[Norm, tuple[str, ...]]] = {
        norm: tuple(f"apgd-t: {caveat}" for caveat in caveats)
        for norm, caveats in APGDT.caveats_in.items()
    }

    norm: Literal["linf", "l2"] = Field("linf", description="of the ball")
    eps: float = Field(8 / 255, ge=0, description="radius in the norm, for pixels of [0, 1]")
    version: Literal["standard", "rand"] = Field(
        "standard", description="rand: for classifiers that are random"
    )

    @property
    def parts(self) -> Mapping[str, Attack]:
        """The attacks by name, in the order of the paper."""
        ball = {"norm": self.norm, "eps": self.eps}
        long = {**ball, "steps": _STEPS}
        if self.version == "rand":
            averaged = {**long, "eot_iter": _EOT_ITER}
            return {
                "apgd-ce": APGD.model_validate({**averaged, "loss": "ce"}),
                "apgd-dlr": APGD.model_validate({**averaged, "loss": "dlr"}),
            }
        aimed = {**long, "target_classes": _TARGET_CLASSES}
        return {
            "apgd-ce": APGD.model_validate({**long, "loss": "ce"}),
            "apgd-t": APGDT.model_validate(aimed),
            "fab-t": FAB.model_validate({**aimed, "multi_targeted": True}),
            "square": Square.model_validate({**ball, "n_queries": _QUERIES}),
        }
