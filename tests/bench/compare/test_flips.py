"""Decisions that flipped, and gains of robustness that transfer confirms, on planted records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import Planted, binomial, first
from scipy import stats

from bench import statistics
from bench.compare.flips import MASKED, Flips, _flips
from bench.compare.flips import flips as flipped
from bench.compare.variants import Compression
from bench.report import compression, markdown


def last(count: int, of: int = 40) -> list[bool]:
    return first(count, of)[::-1]


def flips(planted: Planted) -> dict[tuple[str, str | None], Flips]:
    return {(f.variant, f.attack): f for f in flipped(Compression(planted.matrix))}


def page_of(planted: Planted) -> str:
    return markdown.render(compression.flips(Compression(planted.matrix)))


def test_decisions_that_flipped_are_counted_and_tested(planted: Planted) -> None:
    planted.reduced("net", "half", "magnitude", "fine_tune")
    planted.evaluate("net", first(38))  # right but for the last two
    planted.evaluate("net", last(30), variant="half")  # right but for the first ten
    planted.attack("net", "fgsm", first(12))
    planted.attack("net", "fgsm", last(25), variant="half")
    found = flips(planted)
    assert set(found) == {("net/half", None), ("net/half", "fgsm")}
    clean, fgsm = found["net/half", None], found["net/half", "fgsm"]
    assert (clean.lost, clean.won, clean.n) == (10, 2, 40)
    # remain correct on the original: 12 to 39; on the variant: 0 to 14
    assert (fgsm.lost, fgsm.won, fgsm.n) == (25, 12, 40)
    raw = [binomial(10, 2), binomial(25, 12)]
    assert [clean.p_value, fgsm.p_value] == pytest.approx(statistics.holm(raw))
    assert clean.p_value == pytest.approx(2 * raw[0])  # the smaller of two
    assert {clean.test, fgsm.test} == {"McNemar's exact test"}
    assert (clean.gain, fgsm.gain) == ("", "")


def test_the_family_of_the_correction_is_all_variants_of_a_run(planted: Planted) -> None:
    planted.evaluate("net", first(40))
    for variant, wrong in (("a", 6), ("b", 7), ("c", 12)):
        planted.reduced("net", variant, "magnitude")
        planted.evaluate("net", first(40 - wrong), variant=variant)
    planted.evaluate("net", first(1), variant="shielded")  # reduced by nothing: not asked
    found = flips(planted)
    assert set(found) == {("net/a", None), ("net/b", None), ("net/c", None)}
    raw = [binomial(n, 0) for n in (6, 7, 12)]
    assert [f.p_value for f in found.values()] == pytest.approx(statistics.holm(raw))


def gained(planted: Planted, **reported: Any) -> None:
    """A variant on which 30 images fewer are fooled, to 10 of 40."""
    planted.reduced("net", "half", "magnitude")
    planted.attack("net", "pgd", first(40), **reported)
    planted.attack("net", "pgd", first(10), variant="half", **reported)


@pytest.mark.parametrize(
    ("transferred", "gain", "words"),
    [
        (None, "not tested", "better (no transfer to test it)"),
        (first(10), "confirmed", "better, confirmed by transfer"),
        (
            last(5),
            "confirmed",
            "better, confirmed by transfer",
        ),  # five more are wrong
        (first(40), MASKED, "**masked gradients**"),
        (last(28), MASKED, "**masked gradients**"),  # two left of thirty: no longer significant
    ],
    ids=["no transfer", "no more are fooled", "five more", "all are fooled", "nearly all"],
)
def test_a_gain_counts_where_it_holds_against_the_originals_images(
    planted: Planted, tmp_path: Path, transferred: list[bool] | None, gain: str, words: str
) -> None:
    gained(planted)
    if transferred is not None:
        planted.transfer("net", "net", "pgd", transferred, variant="half")
    (found,) = flips(planted).values()
    assert (found.lost, found.won, found.gain) == (0, 30, gain)
    assert words in page_of(planted)


def test_what_others_made_undoes_no_gain(planted: Planted) -> None:
    """Images that were made on another variant are no transfer from the original."""
    gained(planted)
    planted.transfer("other", "net", "pgd", first(40), variant="half")
    assert flips(planted)["net/half", "pgd"].gain == "not tested"


def test_a_loss_and_what_chance_explains_are_no_gain(planted: Planted) -> None:
    planted.reduced("net", "half", "magnitude")
    planted.attack("net", "pgd", first(10))
    planted.attack("net", "pgd", first(30), variant="half")
    planted.attack("net", "fgsm", first(12))
    planted.attack("net", "fgsm", first(10), variant="half")
    for name in ("pgd", "fgsm"):
        planted.transfer("net", "net", name, first(40), variant="half")
    found = flips(planted)
    assert (found["net/half", "pgd"].won, found["net/half", "pgd"].gain) == (0, "")
    assert (found["net/half", "fgsm"].won, found["net/half", "fgsm"].gain) == (2, "")


def test_where_a_cell_is_missing_or_has_no_verdict_nothing_is_reported(planted: Planted) -> None:
    planted.reduced("net", "half", "magnitude")
    planted.evaluate("net", first(40))
    planted.evaluate("net", first(20), variant="half", state="failed", reason="lost")
    planted.attack("net", "fgsm", first(10))
    broken = {3: "over budget: linf 0.2 > eps 0.1"}
    planted.attack("net", "fgsm", first(40), variant="half", broken=broken)
    planted.attack("net", "pgd", first(10))
    assert flips(planted) == {}


def test_flips_of_several_trainings_are_tested_over_trainings(planted: Planted) -> None:
    """Pooled, 30 to 0; but the trainings are three, and the test knows."""
    for seed in (1, 2, 3):
        reported = {"replica": f"seed{seed}"}
        planted.reduced("net", "half", "magnitude", **reported)
        planted.attack("net", "pgd", first(30), **reported)
        planted.attack("net", "pgd", first(20 + seed), variant="half", **reported)
        planted.transfer("net", "net", "pgd", first(20 + seed), variant="half", **reported)
    found = flips(planted)["net/half", "pgd"]
    assert (found.lost, found.won, found.n) == (0, 9 + 8 + 7, 120)
    assert "Student's t over images and trainings" in found.test
    assert found.gain == "confirmed"


def test_a_gain_of_one_training_of_three_does_not_hold(planted: Planted) -> None:
    """Against the original's images 20 of 24 are left, all in one training."""
    for seed, fooled in ((1, 0), (2, 30), (3, 30)):
        reported = {"replica": f"seed{seed}"}
        planted.reduced("net", "half", "magnitude", **reported)
        planted.attack("net", "pgd", first(30), **reported)
        planted.attack("net", "pgd", first(8 + seed), variant="half", **reported)
        planted.transfer("net", "net", "pgd", first(fooled), variant="half", **reported)
    found = flips(planted)["net/half", "pgd"]
    assert found.p_value < 0.05
    assert found.gain == "not confirmed"  # nor are gradients masked in every training


def test_a_gain_that_few_transferred_images_blur_is_no_evidence_of_masked_gradients(
    planted: Planted, tmp_path: Path
) -> None:
    """The variant's own attack fools 17 of its images, those of the original 4 others only."""
    planted.reduced("net", "half", "magnitude")
    planted.attack("net", "pgd", first(25))
    planted.attack("net", "pgd", first(17), variant="half")
    planted.transfer("net", "net", "pgd", last(4), variant="half")
    found = flips(planted)["net/half", "pgd"]
    assert (found.lost, found.won) == (0, 8)
    assert found.p_value == pytest.approx(binomial(0, 8))
    assert found.gain == "not confirmed"  # 8 won, 4 lost: p = 0.39
    page = page_of(planted)
    assert "better, not confirmed by transfer" in page
    assert "**masked gradients**" not in page


def test_a_few_images_that_flip_in_every_training_are_few_images(planted: Planted) -> None:
    """Student's t over trainings that agree trusts them; flipped signs of five images do not."""
    for seed in (1, 2, 3):
        reported = {"replica": f"seed{seed}"}
        planted.reduced("net", "half", "magnitude", **reported)
        planted.evaluate("net", first(40), **reported)
        planted.evaluate("net", first(35), variant="half", **reported)
    found = flips(planted)["net/half", None]
    assert found.p_value > 0.05  # 2 / 2 ** 5 = 0.0625


@pytest.mark.parametrize("seeds", [[None], ["seed1", "seed2", "seed3"]])
def test_where_nothing_flipped_a_loss_is_still_possible(
    seeds: list[str | None], planted: Planted
) -> None:
    for seed in seeds:
        planted.reduced("net", "half", "magnitude", replica=seed)
        planted.evaluate("net", first(40), replica=seed)
        planted.evaluate("net", first(40), variant="half", replica=seed)
    found = flips(planted)["net/half", None]
    assert (found.difference.value, found.p_value) == (0, 1)
    assert found.difference.low < found.difference.lower_bound < -0.03
    assert found.difference.high > 0.03


def test_flips_of_folds_are_those_of_all_their_images(planted: Planted) -> None:
    """Each image is held out once; a fold's variant is compared with that fold's original."""
    for fold in (1, 2, 3):
        reported = {"replica": f"fold{fold}of3", "prefix": f"fold{fold}"}
        planted.reduced("net", "half", "magnitude", replica=reported["replica"])
        planted.evaluate("net", first(40), **reported)
        planted.evaluate("net", first(30 + fold), variant="half", **reported)
    found = flips(planted)["net/half", None]
    assert (found.lost, found.won, found.n) == (9 + 8 + 7, 0, 120)
    # as a lead of models: by the corrected t, where image by image it seems surer than it is
    assert found.test == "corrected t test over folds"
    apart = np.array([-9, -8, -7]) / 40
    error = np.sqrt((1 / 3 + 1 / 2) * apart.var(ddof=1))
    assert found.p_value == pytest.approx(2 * stats.t.sf(-apart.mean() / error, 2))
    assert found.p_value > 1000 * binomial(24, 0)
    assert found.difference.lower_bound == pytest.approx(-0.2 - stats.t.ppf(0.95, 2) * error)


def test_flips_of_folds_of_several_seeds_know_no_more_folds(planted: Planted) -> None:
    """Trainings that agree fold by fold add no fold; each is compared with its own original."""
    for seed in ("", "seed1-", "seed2-"):
        net = "many" if seed else "net"
        for fold, lost in ((1, 9), (2, 8), (3, 4)):
            reported = {"replica": f"{seed}fold{fold}of3", "prefix": f"fold{fold}"}
            planted.reduced(net, "half", "magnitude", replica=reported["replica"])
            planted.evaluate(net, first(40), **reported)
            planted.evaluate(net, first(40 - lost), variant="half", **reported)
    found = {flip.variant: flip for flip in _flips(Compression(planted.matrix))}
    once, often = found["net/half"], found["many/half"]
    assert once.test == often.test == "corrected t test over folds"
    assert often.p_value == pytest.approx(once.p_value)
    assert often.difference.lower_bound == pytest.approx(once.difference.lower_bound)


def test_families_are_the_steps_that_made_the_weights(planted: Planted) -> None:
    planted.reduced("net", "a", "magnitude", "fine_tune", "magnitude", "fine_tune")
    planted.reduced("net", "b", "magnitude")
    planted.reduced("net", "c", "magnitude", "fine_tune", "int8")
    planted.reduced("net", "d", "fine_tune")  # reduces nothing
    planted.reduced("net", "e", "magnitude", "fine_tune")
    each = {"magnitude": {"sparsity": "1/2", "scope": "layer"}}
    planted.document["variants"] = {"e": [each, "fine_tune"], "b": [{"magnitude": None}]}
    planted.evaluate("net", first(40))
    planted.evaluate("other", first(40))
    known = Compression(planted.matrix)
    assert known.families == {
        "net/a": "magnitude, fine_tune, magnitude, fine_tune",
        "net/b": "magnitude",
        "net/c": "magnitude, fine_tune, int8",
        "net/e": "magnitude (scope layer), fine_tune",
    }
    assert known.model_variants == ["net/a", "net/b", "net/c", "net/e", "net"]
