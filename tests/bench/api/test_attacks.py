"""What an attack declares of itself, and that the core asks nothing else."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import pytest
from pydantic import Field

from bench import registry
from bench.api import Attack
from bench.plan import probes
from bench.records import Budget, Norm
from bench_plugins.attacks.autoattack import AutoAttack
from bench_plugins.attacks.noise import Noise
from bench_plugins.attacks.table import APGD, EOTPGD, FGSM, PGD, PIFGSM


class Usual(Attack):
    """An attack whose parameters have the usual names."""

    eps: float = 0.1
    alpha: float = 0.02
    steps: int = 7

    def perturb(self, classifier: Any, images: Any, labels: Any, **_: Any) -> Any:
        return images


class Plain(Usual):
    """The same, in one norm."""

    norm: ClassVar[Norm | None] = "linf"


class Foreign(Plain):
    """The same, by other names."""

    radius_parameter: ClassVar[str] = "reach"
    steps_parameter: ClassVar[str] = "rounds"
    step_size_parameter: ClassVar[str] = "stride"

    eps: ClassVar[float] = 0.9
    reach: float = 0.1
    stride: float = 0.02
    rounds: int = 7


def test_usual_names_need_no_declaration_and_others_one() -> None:
    for plugin in (Plain(), Foreign()):
        assert plugin.budget == Budget("linf", 0.1)
        assert (plugin.iterations, plugin.step_size, plugin.passes) == (7, 0.02, 7)
        assert plugin.gradient_samples == 1
    for norm in ("linf", "l2"):
        assert ByNorm.model_validate({"norm": norm}).budget == Budget(norm, 0.1)
    assert not Computed().targetable


class ByNorm(Usual):
    """An attack whose norm is a field."""

    norm: Literal["linf", "l2"] = Field(default="linf")


class Computed(Plain):
    """An attack of which a property says whether it is targetable."""

    @property
    def targetable(self) -> bool:
        """Only with many steps."""
        return self.steps > 10


def test_what_first_party_attacks_declare() -> None:
    assert (FGSM.is_single_step, FGSM().iterations) == (True, 1)
    assert (Noise.is_control, Noise().iterations) == (True, None)
    assert PGD.model_validate({"eps": 0.4}).step_size == pytest.approx(0.1)  # it follows eps
    assert PIFGSM.model_validate({"max_epsilon": 0.2}).budget == Budget("linf", 0.2)
    assert EOTPGD.model_validate({"eot_iter": 3}).gradient_samples == 3
    assert APGD().gradient_samples == 1
    assert AutoAttack(version="rand").gradient_samples == 20
    assert AutoAttack().gradient_samples == 1


def test_a_parameter_that_would_be_ignored_is_refused() -> None:
    with (
        pytest.warns(UserWarning, match="shadows an attribute"),
        pytest.raises(TypeError, match=r"hides Attack.iterations: .*steps_parameter"),
    ):

        class _Hidden(Plain):
            """Its parameter has the name of a property."""

            iterations: int = 3


class Drift(Plain):
    """A control of a stranger's."""

    is_control: ClassVar[bool] = True


class Ring(Drift):
    """Another, in a norm that no control of bench is in."""

    norm: ClassVar[Norm | None] = "l2"


def test_references_are_found_by_what_they_declare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that come with bench go first, whatever strangers call theirs."""
    strangers: dict[str, type[Attack]] = {"a": Drift, "b": Ring}
    offers, load = registry.offers("attacks"), registry.load
    more = [registry.Offer("attacks", name, "a-stranger", "1", "a:A") for name in strangers]
    monkeypatch.setattr(registry, "offers", lambda _kind=None: [*more, *offers])
    monkeypatch.setattr(
        registry, "load", lambda kind, name: strangers.get(name) or load(kind, name)
    )
    found = {
        (what, norm): probes._reference(what, Budget(norm, 0.1))
        for what in ("control", "single-step")
        for norm in ("linf", "l2")
    }
    names = {place: entry and entry.plugin_name for place, entry in found.items()}
    assert names == {
        ("control", "linf"): "noise",
        ("single-step", "linf"): "fgsm",
        ("control", "l2"): "b",
        ("single-step", "l2"): None,
    }
