"""Why a cell is not run although the suite asks for it, in the words that stand in its place."""

from __future__ import annotations

import pytest

from bench.plan import Plan

RECIPE = {"epochs": 1, "batch_size": 16, "lr": 0.01}
SMOOTHED = {"randomized_smoothing": {"sigma": 0.1, "votes": 2, "averaged": 2}}


def reasons(made: Plan, kind: str) -> dict[str, str | None]:
    return {str(s.cell.coordinates): s.skip for s in made.steps if s.cell.kind == kind}


def test_an_attack_that_does_not_suit_the_data_is_skipped_and_no_other_is(plan_of) -> None:
    made = plan_of(
        dataset={"plugin": "blobs", "channels": 1},
        attacks={"colour_only": {}, "identity": {"eps": 0.1}},
    )
    assert reasons(made, "attack") == {
        "linear/colour_only": "needs 3 channels, the data has 1",
        "linear/identity": None,
    }


def test_a_plugin_that_cannot_even_answer_costs_its_own_cells(plan_of) -> None:
    made = plan_of(attacks={"speechless": {}, "identity": {"eps": 0.1}})
    found = reasons(made, "attack")
    assert found["linear/speechless"].startswith("its unsuited() raised ")
    assert found["linear/identity"] is None


def test_an_attack_that_stops_early_is_not_run_where_the_verdict_is_another_s(plan_of) -> None:
    made = plan_of(
        variants={"original": [], "smooth": [SMOOTHED], "jpeg": ["jpeg"]},
        budget={"norm": "l2", "eps": 0.5},
        attacks={"bisection": {}, "fgsm": {"eps": 0.1}},
    )
    found = reasons(made, "attack")
    assert "'randomized_smoothing' answers otherwise there" in found["linear/smooth/bisection"]
    del found["linear/smooth/bisection"]
    # one that follows gradients is run, and a shield whose stand-in answers as it does stops none
    assert set(found.values()) == {None}
    assert len(found) == 5


def test_what_is_judged_elsewhere_shares_the_reason_of_its_source(plan_of) -> None:
    made = plan_of(
        models={name: {"train": RECIPE} for name in ("linear", "gaudy")},
        dataset={"plugin": "blobs", "channels": 1},
        attacks={"colour_only": {}},
        transfer={},
    )
    assert set(reasons(made, "transfer").values()) == {"needs 3 channels, the data has 1"}


def test_folds_are_not_judged_on_each_other_s_images(plan_of) -> None:
    # a fold's images are what the whole training learned from
    folded = {"train": RECIPE, "folds": 2}
    made = plan_of(
        models={"linear": folded, "gaudy": {"train": RECIPE}},
        attacks={"identity": {"eps": 0.1}},
        transfer={},
    )
    found = reasons(made, "transfer")
    assert found
    assert set(found.values()) == {"the two are judged on other images"}


@pytest.mark.parametrize(("explainer", "is_skipped"), [("grad_cam", True), ("brightness", False)])
def test_an_explainer_of_one_layer_needs_one_network(
    plan_of, explainer: str, is_skipped: bool
) -> None:
    made = plan_of(
        models={"simple_cnn": {"train": RECIPE}},
        dataset={"plugin": "blobs", "size": 16},
        variants={"original": [], "smooth": [SMOOTHED]},
        explainers={explainer: {}},
    )
    found = reasons(made, "explain")
    assert found[f"simple_cnn/{explainer}"] is None
    reported = found[f"simple_cnn/smooth/{explainer}"]
    assert (reported is not None) is is_skipped
    if reported is not None:
        assert f"'{explainer}' reads one layer of one network" in reported


def test_bytes_are_not_judged_where_their_kernels_are_not(plan_of) -> None:
    sections = {
        "variants": {"original": [], "bytes": ["int8"]},
        "models": {"simple_cnn": {"train": RECIPE}},
        "dataset": {"plugin": "blobs", "size": 16},
    }
    assert set(reasons(plan_of(**sections), "evaluate").values()) == {None}
    on_gpu = plan_of(**sections, run={"threads": 1, "device": "cuda"})  # planned, not run
    assert reasons(on_gpu, "evaluate") == {
        "simple_cnn": None,
        "simple_cnn/bytes": "runs on cpu only: choose with --device",
    }
