"""Variants: what a suite may say, and how they are planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import bench
from bench import suite as suites
from bench.commands import run as session
from bench.errors import SuiteError
from bench.matrix import Matrix
from bench.store import Store
from bench.suite.overrides import Overrides


def problems(tiny: dict[str, Any], variants: dict[str, Any], **more: Any) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        suites.read({**tiny, "variants": variants, **more})
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("variants", "reported"),
    [
        ({"original": ["jpeg"]}, "variants.original: has steps, expected none"),
        ({"bare": []}, "variants.bare: has no step"),
        ({"odd": ["jpg"]}, "did you mean 'jpeg'"),
        ({"odd": [{"jpeg": {"qualty": 3}}]}, "did you mean 'quality'"),
        ({"odd": [{"jpeg": {}, "bit_depth": {}}]}, "expected NAME or {NAME:"),
        ({"odd": ["magnitud"]}, "variants.odd[0]: 'magnitud' is no installed step, expected a plu"),
        ({"odd": ["magnitud"]}, "did you mean 'magnitude'"),
        ({"odd": [{"magnitude": {"sparsity": 1}}]}, "variants.odd[0].magnitude.sparsity"),
        ({"odd": ["two_faced"]}, "'two_faced' is offered as compressors and as defenses"),
        (
            {"undone": ["magnitude", {"adversarial_training": {"from_scratch": True}}]},
            "variants.undone[1]: 'adversarial_training' begins with fresh weights, and undoes 'mag",
        ),
        ({"two": ["feature_squeezing", "feature_squeezing"]}, "has two detectors"),
        ({"all": [{"ensemble": {"of": ["jpeg", "nobody"]}}], "jpeg": ["jpeg"]}, "'nobody' is no"),
        (
            {
                "one": [{"ensemble": {"of": ["two", "original"]}}],
                "two": [{"ensemble": {"of": ["original", "jpeg"]}}],
                "original": [],
                "jpeg": ["jpeg"],
            },
            "'two' asks others in turn",
        ),
        (
            {"all": ["bit_depth", {"ensemble": {"of": ["original", "jpeg"]}}], "jpeg": ["jpeg"]},
            "variants.all[0]: 'bit_depth' has no effect: 'ensemble' asks its members only",
        ),
        (
            {
                "all": [{"ensemble": {"of": ["original", "jpeg"]}}, "adversarial_training"],
                "jpeg": ["jpeg"],
            },
            "variants.all[1]: 'adversarial_training' has no effect",
        ),
    ],
)
def test_mistakes_in_variants_are_reported(
    tiny: dict[str, Any], variants: Any, reported: str
) -> None:
    found = problems(tiny, variants)
    assert any(reported in problem for problem in found), found


@pytest.mark.parametrize(
    ("sensitivity", "reported"),
    [
        ({"step": "fine_tune", "attack": "pgd"}, "sensitivity.step: 'fine_tune' has no layers:"),
        ({"step": "jpeg", "attack": "pgd"}, "sensitivity.step: 'jpeg' has no layers:"),
        ({"step": "forgetful", "attack": "pgd"}, "'forgetful' has no layers:"),
        ({"step": "calibrated", "attack": "pgd"}, "'calibrated' looks at images"),
        ({"step": "magnitud", "attack": "pgd"}, "did you mean 'magnitude'"),
        ({"step": "magnitude", "attack": "pgdd"}, "sensitivity.attack: 'pgdd' is no attack of th"),
        ({"step": "magnitude", "attack": "pgdd"}, "did you mean 'pgd'"),
        ({"step": "magnitude", "attack": "fgsm"}, "'fgsm' is no attack"),  # which of its grid?
        ({"step": "magnitude"}, "sensitivity.attack"),
        ({"attack": "pgd"}, "sensitivity.step"),
    ],
)
def test_mistakes_in_what_layers_bear_are_reported(
    tiny: dict[str, Any], sensitivity: Any, reported: str
) -> None:
    found = problems(tiny, {"original": []}, sensitivity=sensitivity)
    assert any(reported in problem for problem in found), found


def test_what_layers_bear_is_read(tiny: dict[str, Any]) -> None:
    step = {"magnitude": {"sparsity": 0.8}}
    found = suites.read({**tiny, "sensitivity": {"step": step, "attack": "fgsm@eps=0.2"}})
    assert found.sensitivity.attack.name == "fgsm@eps=0.2"
    assert found.sensitivity.step.plugin.sparsity == 0.8
    # an attack that this run leaves out can still meet the layers
    chosen = Overrides(attacks=["pgd"])
    found = suites.read({**tiny, "sensitivity": {"step": step, "attack": "fgsm@eps=0.2"}}, chosen)
    assert found.sensitivity.attack.name == "fgsm@eps=0.2"


def test_names_of_variants_are_checked_elsewhere(tiny: dict[str, Any]) -> None:
    found = problems(
        tiny,
        {"original": [], "coarse": ["bit_depth"]},
        run={"variants": ["corse"]},
        transfer={"from": ["linear/coarse"], "to": ["linear/corse"]},
    )
    assert len(found) == 2, found
    assert all("did you mean" in problem for problem in found)


def test_a_variant_is_judged_beside_its_original(tiny: dict[str, Any], tmp_path: Path) -> None:
    suite = {
        **tiny,
        "variants": {"original": [], "coarse": [{"bit_depth": {"bits": 1}}]},
        "attacks": {"fgsm": {"eps": 0.1}},
        "transfer": {"from": ["original"], "to": ["coarse"]},
    }
    session.run(suite, store=tmp_path / "store", reports=tmp_path / "reports")
    matrix = Matrix.last(Store(tmp_path / "store"))
    assert {entry.state for entry in matrix.entries} == {"done"}
    labels = {entry.label for entry in matrix.entries}
    assert "attack linear/coarse/fgsm" in labels
    assert "transfer linear>linear/coarse/fgsm" in labels
    assert not any(label.startswith("transfer linear/coarse>") for label in labels)
    # one training serves both, and the verdict is the coarse one's own
    assert len([e for e in matrix.entries if e.kind == "train"]) == 2
    plain, coarse = (
        matrix.records(next(e for e in matrix.entries if e.label == label))
        for label in ("evaluate linear", "evaluate linear/coarse")
    )
    assert not plain["confidence"].equals(coarse["confidence"])
    page = (tmp_path / "reports" / "tiny" / "README.md").read_text(encoding="utf-8")
    assert "linear/coarse" in page
    chosen = {**suite, "run": {**suite["run"], "variants": ["original"]}, "transfer": None}
    session.run(chosen, store=tmp_path / "store", reports=None)
    assert not any("coarse" in e.label for e in Matrix.last(Store(tmp_path / "store")).entries)


def test_what_follows_an_ensemble_or_detects_attacks_is_no_mistake(tiny: dict[str, Any]) -> None:
    committee = {"ensemble": {"of": ["original", "jpeg"]}}
    kept = {
        "original": [],
        "jpeg": ["jpeg"],
        "coarse": [committee, "bit_depth"],
        "watched": ["feature_squeezing", committee],
    }
    assert len(suites.read({**tiny, "variants": kept}).variants) == 4


@pytest.mark.slow
def test_what_members_are_called_parts_no_results(tiny: dict[str, Any], tmp_path: Path) -> None:
    def keys(first: str, **more: Any) -> list[str]:
        variants = {
            first: ["jpeg"],
            "coarse": [{"bit_depth": {"bits": 1}}],
            "finer": [{"bit_depth": {"bits": 5}}],
            "all": [{"ensemble": {"of": more.get("of", [first, "coarse"])}}],
        }
        attacks = {"fgsm": {"eps": 0.1}}
        session.run(
            {**tiny, "variants": variants, "attacks": attacks, "transfer": None},
            store=tmp_path / "store",
            reports=None,
        )
        entries = Matrix.last(Store(tmp_path / "store")).entries
        return [str(e.key) for e in entries if e.coordinates.variant == "all"]

    one = keys("jpeg")
    assert len(one) == 4  # two models: an evaluation and an attack each
    assert keys("squeezed") == one
    assert not {*keys("jpeg", of=["jpeg", "finer"])} & {*one}


def test_a_model_is_run_in_the_variants_that_it_names(tiny: dict[str, Any], tmp_path: Path) -> None:
    models = {**tiny["models"], "gaudy": {**tiny["models"]["gaudy"], "variants": ["original"]}}
    suite = {
        **tiny,
        "models": models,
        "variants": {"original": [], "coarse": ["bit_depth"], "jpeg": ["jpeg"]},
        "attacks": {"fgsm": {"eps": 0.1}},
    }
    session.run(suite, store=tmp_path / "store", reports=None)
    found = [e for e in Matrix.last(Store(tmp_path / "store")).entries if e.kind == "evaluate"]
    assert [e.coordinates.model_variant for e in found] == [
        "linear",
        "linear/coarse",
        "linear/jpeg",
        "gaudy",
    ]
    fewer = {**suite, "run": {**suite["run"], "variants": ["coarse"]}}
    session.run(fewer, store=tmp_path / "store", reports=None)
    found = [e for e in Matrix.last(Store(tmp_path / "store")).entries if e.kind == "evaluate"]
    assert [e.coordinates.model_variant for e in found] == ["linear/coarse"]
    nobody = {**fewer, "run": {**fewer["run"], "models": ["gaudy"]}}
    with pytest.raises(SuiteError, match="names no variant that any model of this run has"):
        session.run(nobody, store=tmp_path / "store", reports=None)


def test_the_variants_that_a_model_names_are_checked(tiny: dict[str, Any]) -> None:
    models = {"linear": {**tiny["models"]["linear"], "variants": ["originall"]}}
    [reported] = problems(tiny, {"original": [], "jpeg": ["jpeg"]}, models=models)
    assert "models.linear.variants[0]: 'originall' is no variant of this suite" in reported
    models = {"linear": {**tiny["models"]["linear"], "variants": []}}
    [reported] = problems(tiny, {"original": [], "jpeg": ["jpeg"]}, models=models)
    assert "models.linear.variants" in reported


def test_the_images_of_chosen_attacks_are_judged_elsewhere(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    chosen = {**tiny["transfer"], "attacks": ["fgsm", "pgd"]}
    session.run({**tiny, "transfer": chosen}, store=tmp_path / "store", reports=None)
    found = [e for e in Matrix.last(Store(tmp_path / "store")).entries if e.kind == "transfer"]
    assert [e.coordinates.attack for e in found] == ["fgsm@eps=0.05", "fgsm@eps=0.2", "pgd"] * 2
    wrong = {**tiny["transfer"], "attacks": ["fgsm", "pdg"]}
    with pytest.raises(SuiteError, match=r"transfer.attacks\[1\]: 'pdg' is no attack"):
        suites.read({**tiny, "transfer": wrong})


def test_what_reads_one_layer_is_skipped_where_there_is_none(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    """Grad-CAM needs one map of an image: several networks, or several passes, have several."""
    suite = {
        **tiny,
        "variants": {
            "original": [],
            "jpeg": ["jpeg"],
            "smoothed": ["randomized_smoothing"],
            "all": [{"ensemble": {"of": ["original", "jpeg"]}}],
        },
        "attacks": {"pgd": {"eps": 0.1}},
        "explainers": {"saliency": {}, "grad_cam": {}},
        "explain_attacks": ["pgd"],
        "explain_variants": True,
    }
    planned = session.make_plan(suite, Store(tmp_path / "store"))
    reasons = {
        (step.cell.kind, step.cell.coordinates.variant): step.skip
        for step in planned.steps
        if step.cell.coordinates.explainer == "grad_cam" and step.cell.coordinates.model == "linear"
    }
    skipped = {place for place, reason in reasons.items() if reason is not None}
    assert {variant for _, variant in skipped} == {"smoothed", "all"}
    assert {variant for _, variant in reasons.keys() - skipped} == {"original", "jpeg"}
    assert {kind for kind, _ in skipped} == {kind for kind, _ in reasons}
    assert reasons["explain", "all"] == (
        "'grad_cam' reads one layer of one network, and 'ensemble' asks several networks, or one "
        "several times"
    )
    others = [s for s in planned.steps if s.cell.coordinates.explainer == "saliency"]
    assert not any(step.skip for step in others)


@pytest.mark.slow
def test_work_is_counted_of_all_that_answers(tiny: dict[str, Any], tmp_path: Path) -> None:
    """A shield that asks several times, or several networks, multiplies; and so do their zeros.

    What computes in bytes works as its float twin does; what does not answer is not counted, and
    what answers twice is there once.
    """
    half = {"magnitude": {"sparsity": 0.5}}
    smoothing = {"randomized_smoothing": {"votes": 3, "averaged": 5}}
    suite = {
        **tiny,
        "models": {"linear": tiny["models"]["linear"]},
        "variants": {
            "original": [],
            "half": [half],
            "smoothed": [half, smoothing],
            "both": [{"ensemble": {"of": ["original", "half"]}}],
            "bytes": ["int8"],
            "smoothed-bytes": ["int8", smoothing],
            "both-bytes": [{"ensemble": {"of": ["half", "bytes"]}}],
            "jpeg": ["jpeg"],
            "same": [{"ensemble": {"of": ["half", "smoothed"]}}],
        },
        "attacks": {"fgsm": {"eps": 0.1}},
        "transfer": None,
        "profile": {"batches": [1], "warmup": 1, "runs": 100},
    }
    matrix = bench.run(suite, store=tmp_path / "store", reports=None).matrix
    found = {
        entry.coordinates.variant: matrix.stored(entry).summary
        for entry in matrix.entries
        if entry.kind == "profile"
    }
    whole, kept = found["original"]["macs"], found["half"]["nonzero_macs"]
    assert 0 < kept < whole == found["half"]["macs"]
    assert (found["smoothed"]["macs"], found["smoothed"]["nonzero_macs"]) == (3 * whole, 3 * kept)
    assert (found["both"]["macs"], found["both"]["nonzero_macs"]) == (2 * whole, whole + kept)
    assert found["bytes"]["macs"] == whole
    assert found["smoothed-bytes"]["macs"] == 3 * whole
    assert found["both-bytes"]["macs"] == 2 * whole
    assert found["same"]["macs"] == 4 * whole
    sizes = ("parameters", "nonzero_parameters", "size_bytes", "size_compressed_bytes")
    for name in sizes:
        one, other = found["original"][name], found["half"][name]
        assert found["both"][name] == one + other
        assert found["both-bytes"][name] == other + found["bytes"][name]
        assert found["same"][name] == found["smoothed"][name] == other
        assert found["jpeg"][name] == one
    assert found["both"]["sparsity"] == pytest.approx(found["half"]["sparsity"] / 2)


def test_attacks_that_stop_where_they_are_fooled_are_skipped_where_the_verdict_is_anothers(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    suite = {
        **tiny,
        "variants": {
            "original": [],
            "jpeg": ["jpeg"],
            "smoothed": ["randomized_smoothing"],
            "both": [{"ensemble": {"of": ["original", "jpeg"]}}],
            "bytes": [{"int8": {"images": 16}}],
        },
        "attacks": {
            "fgsm": {"eps": 0.1},
            "pgd": {"eps": 0.1},
            "bisection": {},
            "all": {"cascade": ["fgsm", "pgd"]},
        },
        "budget": {"norm": "linf", "eps": 0.1},
        "models": {"linear": tiny["models"]["linear"]},
        "explainers": {"saliency": {}},
        "explain_attacks": ["bisection"],
    }
    planned = session.make_plan(suite, Store(tmp_path / "store"))
    skipped: dict[str, set[str]] = {}
    for step in planned.steps:
        if step.skip is not None and "would look weaker than it is" in step.skip:
            where = step.cell.coordinates
            variant = (where.source or where.variant).rpartition("/")[2]
            skipped.setdefault(step.cell.kind, set()).add(f"{variant}/{where.attack}")
    spoiled = {
        f"{variant}/{attack}"
        for variant in ("smoothed", "both", "bytes")
        for attack in ("bisection", "all")
    }
    assert skipped["attack"] == skipped["transfer"] == spoiled
    assert skipped["drift"] == {name for name in spoiled if name.endswith("bisection")}
    assert set(skipped) == {"attack", "transfer", "drift"}


def test_what_no_pair_can_give_is_reported(tiny: dict[str, Any], tmp_path: Path) -> None:
    recipe = tiny["models"]["linear"]
    apart = {"linear": {**recipe, "seeds": [1, 2]}, "gaudy": {**recipe, "seeds": [3, 4]}}
    suite = {**tiny, "models": apart, "variants": {"jpeg": ["jpeg"]}, "explain_variants": True}
    suite["explainers"] = {"saliency": {}}
    notes = session.make_plan(suite, Store(tmp_path / "store")).notes
    assert any("nothing is transferred" in note for note in notes)
    assert any("explain_variants compares with the original" in note for note in notes)
    suite["models"]["gaudy"] = {**recipe, "seeds": [2, 4]}
    suite["variants"] = {"original": [], "jpeg": ["jpeg"]}
    assert session.make_plan(suite, Store(tmp_path / "store")).notes == ()


def smoothing(tiny: dict[str, Any], folder: Path, **parameters: Any) -> dict[str, Any]:
    """The cells of a variant that is smoothed, by kind."""
    suite = {
        **tiny,
        "models": {"linear": tiny["models"]["linear"]},
        "variants": {"noisy": [{"randomized_smoothing": parameters}, "feature_squeezing"]},
        "attacks": {"pgd": {"eps": 0.1}},
        "transfer": None,
    }
    planned = session.make_plan(suite, Store(folder / "store"))
    return {step.cell.kind: step.cell for step in planned.steps}


def test_one_draw_is_no_average(tiny: dict[str, Any], tmp_path: Path) -> None:
    reported = [
        smoothing(tiny, tmp_path, averaged=count)["attack"].facts["averaged"] for count in (1, 2)
    ]
    assert reported == [False, True]


def test_what_only_a_proof_takes_is_no_part_of_an_answer(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    one, other = (smoothing(tiny, tmp_path, samples=count) for count in (100, 200))
    for kind in ("evaluate", "attack", "detect"):
        assert one[kind].inputs == other[kind].inputs
    assert one["certify"].inputs != other["certify"].inputs
    apart = smoothing(tiny, tmp_path, votes=64)
    assert apart["evaluate"].inputs != one["evaluate"].inputs


def test_what_a_detector_draws_by_is_part_of_its_identity(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    seeds = [
        smoothing({**tiny, "seed": seed}, tmp_path)["detect"].inputs["seed"] for seed in (7, 8)
    ]
    assert seeds[0] != seeds[1]


def test_a_table_that_would_pool_variants_is_reported_before_anything_runs(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    pooled = {"metric": "success_rate", "rows": ["model"], "columns": ["attack"]}
    suite = {**tiny, "variants": {"original": [], "jpeg": ["jpeg"]}, "tables": {"robust": pooled}}
    store = Store(tmp_path / "store")
    [reported] = session.refused_tables(session.make_plan(suite, store), store)
    assert "table 'robust' is left out" in reported
    assert reported.partition("one of: ")[2] == "variant"
    pooled["rows"] = ["model", "variant"]
    assert session.refused_tables(session.make_plan(suite, store), store) == []
