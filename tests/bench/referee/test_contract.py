"""The model contract: each plant is caught by its own check, and honest networks by none."""

from __future__ import annotations

import random
from collections.abc import Callable

import breaches
import numpy as np
import pytest
import torch
from examined import examined, images, model_of, network, violated
from torch import nn

from bench.classifier.classifier import Classifier
from bench.errors import WeightsError
from bench.referee.contract import behaviour
from bench.referee.contract.examination import CHECKS, examine

Make = Callable[[], nn.Module]


def table(made: dict[str, Make]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("make", made.values(), ids=made.keys())


@table(breaches.HONEST)
def test_an_honest_network_violates_nothing(make: Make) -> None:
    checks = examined(make)
    assert {check.state for check in checks.values()} == {"ok"}, checks
    assert tuple(checks) == CHECKS


@pytest.mark.parametrize("classes", [2, 100])
def test_few_and_many_classes_are_honest(classes: int) -> None:
    assert violated(lambda: network(classes), classes) == set()
    assert violated(lambda: breaches.Around(after=lambda z: z.softmax(1), classes=classes), classes)


@table(breaches.NO_LOGITS)
def test_what_is_no_logits_is_seen(make: Make) -> None:
    assert examined(make)["logits"].state == "violated"


@table(breaches.BY_BATCH)
def test_an_answer_that_depends_on_the_batch_is_seen(make: Make) -> None:
    assert violated(make) == {"batch"}


@table(breaches.BY_HISTORY)
def test_an_answer_that_depends_on_history_is_seen(make: Make) -> None:
    assert "state" in violated(make)


@table(breaches.BY_MODE)
def test_another_function_while_gradients_are_followed_is_seen(make: Make) -> None:
    assert violated(make) == {"mode"}


@table(breaches.OUTSIDE)
def test_numbers_outside_the_weights_are_seen(make: Make) -> None:
    assert violated(make) == {"weights"}


@table(breaches.MISLEADING)
def test_a_gradient_that_misleads_is_seen(make: Make) -> None:
    assert violated(make) == {"gradient"}


# What a check says, and what the examination leaves as it was


def test_softmax_of_probabilities_is_what_is_measured() -> None:
    """Rows that sum to one by chance on one image are no probabilities."""
    outputs = torch.tensor([[0.25, 0.75], [0.5, 0.5], [0.9, 0.1]], dtype=torch.float64)
    assert behaviour.logits(outputs, 2).state == "violated"
    assert behaviour.logits(torch.cat([outputs, outputs[:1] * 1.5]), 2).state == "ok"
    assert behaviour.logits(outputs.log(), 2).state == "ok"
    assert behaviour.logits(outputs, 3).words.startswith("returns 2 numbers for an image")


def test_the_slope_is_measured_in_closed_form() -> None:
    """A hook that scales gradients by c makes the slope 1 / c of what the gradient says."""
    for scale in (-1.0, 0.1, 4.0):
        figures = examined(lambda scale=scale: breaches.Hooked(lambda g: scale * g))["gradient"]
        assert figures.figures["slope_over_gradient"] == pytest.approx(1 / scale, rel=0.01)
        assert figures.figures["precision"] == "float64"


def test_what_does_not_compute_in_float64_is_measured_in_float32() -> None:
    class Picky(breaches.Hooked):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.dtype != torch.float32:
                raise TypeError("float32 only")
            return super().forward(x)

    check = examined(lambda: Picky(lambda g: -g))["gradient"]
    assert (check.state, check.figures["precision"]) == ("violated", "float32")


def test_a_constant_answer_has_no_gradient_to_check() -> None:
    check = examined(lambda: breaches.Around(after=lambda z: 0 * z + torch.arange(4.0).to(z)))
    assert check["gradient"].state == "not applicable"


def test_an_answer_that_is_nearly_a_constant_has_none_either() -> None:
    """Logits that images move by less than rounding: the slopes are of rounding."""
    check = examined(lambda: breaches.Around(after=lambda z: 1e-14 * z + torch.arange(4.0).to(z)))
    assert check["gradient"].state == "not applicable"


def test_an_exception_costs_only_its_own_check() -> None:
    class Fragile(breaches.Around):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.requires_grad:
                raise RuntimeError("no gradients today")
            return super().forward(x)

    checks = examined(Fragile)
    failed = {name for name, check in checks.items() if check.state == "failed"}
    assert failed == {"mode", "gradient"}
    assert "no gradients today" in checks["gradient"].words


def test_a_declared_random_model_is_known() -> None:
    noisy = breaches.BY_HISTORY["noise"]
    checks = examined(noisy, is_randomised=True)
    assert not [check for check in checks.values() if check.state in ("violated", "failed")]
    assert checks["state"].state == "not applicable"
    assert checks["gradient"].state == "ok"  # the same noise on both sides of a step


def test_a_declared_stand_in_is_judged_by_where_it_leads() -> None:
    fine = breaches.Around(before=breaches.straight_through(3)).before
    assert examined(lambda: breaches.Around(before=fine))["gradient"].state == "violated"
    declared = examined(lambda: breaches.Around(before=fine), is_straight_through=True)
    assert declared["gradient"].state == "ok"
    for change in (lambda g: -g, lambda g: 0 * g):
        turned = examined(lambda change=change: breaches.Hooked(change), is_straight_through=True)
        assert turned["gradient"].state == "violated"


def test_what_cannot_be_built_again_is_looked_into() -> None:
    def fails() -> Classifier:
        raise WeightsError.of("model 'net'", "cannot be built twice")

    for make in (breaches.PlainList, breaches.PlainTensor, breaches.Closed):
        for rebuilt in (None, fails):
            check = examined(make, rebuilt=rebuilt)["weights"]
            assert check.state == "violated", (make, check)
    assert examined(network, rebuilt=None)["weights"].state == "ok"


def test_the_examination_leaves_generators_and_the_model_alone() -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    one = model_of(network)
    before = {name: value.clone() for name, value in one.judged().state_dict().items()}
    examine(one, images())
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1] == np.random.get_state()[1]).all()
    assert states[2] == random.getstate()
    after = one.judged().state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_one_image_is_enough_to_see_a_breach() -> None:
    for make in (breaches.BY_BATCH["statistics of the batch"], breaches.MISLEADING["reversed"]):
        checks = examine(model_of(make), images(1))
        assert [check for check in checks if check.state == "violated"]
    assert {check.state for check in examine(model_of(network), images(1))} == {"ok"}


def test_a_constant_is_no_number_outside_where_answers_are_drawn() -> None:
    class Drawn(breaches.Constants):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.dropout(super().forward(x), 0.3)

    assert violated(Drawn) == {"state"}
