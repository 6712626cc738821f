"""The worst case over a run: images that remain correct at a budget, and when it is withheld."""

from __future__ import annotations

import json

import pytest
from planted import Planted

from bench import tables
from bench.audit import Audit, Finding
from bench.compare.models import Comparison
from bench.compare.recommendation import recommend
from bench.metrics import METRICS
from bench.suite.sections import Choice

IMAGES = 20
NONE = [False] * IMAGES


def first(count: int) -> list[bool]:
    return [i < count for i in range(IMAGES)]


def last(count: int) -> list[bool]:
    return first(count)[::-1]


def table(planted: Planted) -> tables.Table:
    return tables.build(
        planted.matrix, "worst_case_accuracy", rows=["model"], columns=["budget"], audited=None
    )


def place(planted: Planted, model: str = "net") -> tables.Place:
    shown = table(planted)
    row, column = shown.rows.index((model,)), shown.columns.index(("linf 0.1",))
    return shown.places[row, column]


def value(planted: Planted) -> float | None:
    found = place(planted)
    assert found.estimate is not None, found.note
    return found.estimate.value


def test_every_attack_on_the_model_counts(planted: Planted) -> None:
    planted.attack("net", "fgsm", first(4))
    planted.attack("net", "pgd", last(5))
    planted.attack("other", "pgd", first(20))
    assert value(planted) == (IMAGES - 9) / IMAGES


@pytest.mark.parametrize("state", ["failed", "blocked", "to do"])
@pytest.mark.parametrize("order", [("fgsm", "pgd"), ("pgd", "fgsm")])
def test_an_attack_without_a_result_withholds_it(
    planted: Planted, state: str, order: tuple[str, str]
) -> None:
    """What pgd would have fooled nobody knows: fgsm alone is no worst case."""
    for name in order:
        reported = {"state": state, "reason": "boom"} if name == "pgd" else {}
        planted.attack("net", name, NONE, **reported)
    found = place(planted)
    assert found.estimate is None
    assert found.note == f"net/pgd {state}: boom"
    assert "100.0 %" not in str(table(planted))
    assert "[1]" in str(table(planted))


@pytest.mark.parametrize("is_part", [False, True])
def test_what_was_left_out_is_named(planted: Planted, is_part: bool) -> None:
    """Skipped, not selected, or left to do by ``--only``: the figure is that of the others."""
    planted.attack("net", "fgsm", first(4))
    planted.attack("net", "cw", NONE, state="skipped", reason="too few classes")
    planted.attack("net", "pgd@eps=0.2", NONE, eps=0.2, state="skipped")
    if is_part:
        planted.attack("net", "bim", NONE, state="to do")
    matrix = planted.matrix
    left = {"fab": "linf 0.1", "square": "l2 0.1"}
    matrix.run.update(unselected=left, is_part=is_part)
    shown = tables.build(matrix, "worst_case_accuracy", rows=["budget"], columns=["model"])
    found = shown.places[0, 0]
    assert found.estimate is not None
    assert found.estimate.value == (IMAGES - 4) / IMAGES
    others = ", bim (not run)" if is_part else ""
    assert found.note == (
        f"decided by fgsm; not counted: cw (skipped: too few classes){others}, fab (not selected)"
    )
    assert f"80.0 % ({IMAGES}) [1]" in str(shown)
    assert "[1] decided by fgsm; not counted: cw" in str(shown)


def test_the_attack_that_decides_is_named(planted: Planted) -> None:
    """The one that alone fools the most; of equals, the first in the run."""
    planted.attack("net", "fgsm", first(4))
    planted.attack("net", "pgd", last(6))
    planted.attack("net", "bim", last(6))
    assert place(planted).note == "decided by pgd, which fools 6 of the 10 images"


def test_transferred_images_may_decide(planted: Planted) -> None:
    planted.attack("net", "pgd@eps=0.0313725", first(3), eps=0.0313725)
    planted.attack("other", "pgd@eps=0.0313725", first(20), eps=0.0313725)
    planted.transfer("other", "net", "pgd@eps=0.0313725", first(6))
    shown = table(planted)
    note = shown.places[shown.rows.index(("net",)), 0].note
    assert note == "decided by pgd@eps=8/255 made on other"


def test_nobody_decides_where_nobody_fools(planted: Planted) -> None:
    planted.attack("net", "fgsm", NONE)
    assert place(planted).note == "no attack fools an image"


def marked(planted: Planted, *labels: str, metric: str = "robust_accuracy") -> str | None:
    """The marks on the worst case where cells carry one."""
    mark = Finding("weak", labels, frozenset({metric}), "a mark", {}, None, is_mark=True)
    shown = tables.build(
        planted.matrix,
        *("worst_case_accuracy",),
        rows=["model"],
        columns=["budget"],
        audited=Audit((), {}, (), (mark,)),
    )
    [place] = json.loads(shown.render("json"))["places"]
    assert ("[1, a]" in str(shown)) is (place["marks"] is not None)
    return place["marks"]


def test_what_is_in_doubt_with_the_deciding_attack_is_in_doubt(planted: Planted) -> None:
    planted.attack("net", "fgsm", first(4))
    planted.attack("net", "pgd", first(9))
    assert marked(planted, "attack net/pgd") == "weak"
    assert marked(planted, "attack net/fgsm") is None  # a weak attack leaves it as it is
    assert marked(planted, "attack net/pgd", metric="linf") is None


def test_what_names_the_worst_case_is_printed_whichever_cell_it_names(planted: Planted) -> None:
    """A stronger reference is a case on any of the attacks of the budget."""
    planted.attack("net", "fgsm", first(4))
    planted.attack("net", "pgd", first(9))
    for name in ("fgsm", "pgd"):
        assert marked(planted, f"attack net/{name}", metric="worst_case_accuracy") == "weak"


def test_attacks_without_any_result_stand_in_the_table(planted: Planted) -> None:
    planted.attack("net", "fgsm", NONE, state="failed", reason="boom")
    planted.attack("net", "pgd", NONE, state="failed", reason="bang")
    assert place(planted).note == "net/fgsm failed: boom; and 1 other"


def test_an_attack_that_broke_its_budget_withholds_it(planted: Planted) -> None:
    planted.attack("net", "fgsm", NONE)
    planted.attack("net", "pgd", first(10), broken={3: "over budget: linf 0.2 > eps 0.1"})
    found = place(planted)
    assert found.estimate is None
    assert found.note == "net/pgd: 1 of 20 images: over budget: linf 0.2 > eps 0.1"


def test_what_happened_at_another_budget_withholds_nothing(planted: Planted) -> None:
    """Of a cell without some verdicts, the images that have one count all the same."""
    planted.attack("net", "pgd@eps=0.1", first(2), eps=0.1)
    planted.attack("net", "pgd@eps=0.2", NONE, eps=0.2, state="failed", reason="boom")
    planted.attack("net", "pgd@eps=0.05", last(3), eps=0.05, broken={0: "not finite"})
    assert value(planted) == (IMAGES - 5) / IMAGES


def test_transferred_images_count(planted: Planted) -> None:
    planted.attack("net", "pgd", first(3))
    planted.attack("other", "pgd", first(20))
    planted.transfer("other", "net", "pgd", last(6))
    assert value(planted) == (IMAGES - 9) / IMAGES
    assert place(planted, "other").estimate.value == 0.0


def test_transferred_images_of_every_source_count_for_each_training(planted: Planted) -> None:
    """A replica meets what was judged on it; a model without replicas, what any source made."""
    for replica, fooled in (("seed1", 2), ("seed2", 4)):
        planted.attack("net", "pgd", first(fooled), replica=replica)
        planted.transfer("other", "net", "pgd", last(fooled), replica=replica)
        planted.attack("other", "fgsm", NONE)
        planted.transfer("net", "other", "pgd", first(2 * fooled), replica=replica)
    found = place(planted).estimate
    assert found.trainings == 2
    assert found.value == pytest.approx((IMAGES - 6) / IMAGES)
    assert place(planted, "other").estimate.value == pytest.approx((IMAGES - 8) / IMAGES)


@pytest.mark.parametrize("state", ["failed", "blocked"])
def test_a_transfer_without_a_result_withholds_it(planted: Planted, state: str) -> None:
    planted.attack("net", "pgd", first(3))
    planted.transfer("other", "net", "pgd", NONE, state=state, reason="boom")
    assert place(planted).note == f"other>net/pgd {state}: boom"


def test_a_skipped_transfer_made_no_images(planted: Planted) -> None:
    """The attack cannot run on its source, which says nothing of the target."""
    planted.attack("net", "pgd", first(3))
    planted.transfer("other", "net", "pgd", NONE, state="skipped", reason="needs three channels")
    assert value(planted) == (IMAGES - 3) / IMAGES


def test_a_targeted_attack_that_causes_any_error_counts(planted: Planted) -> None:
    """Target 0 is the class of every other image: those count for no success, but are wrong."""
    planted.attack("net", "pgd", first(8), target=0)
    assert value(planted) == (IMAGES - 8) / IMAGES


def test_nobody_is_recommended_for_an_attack_that_failed(planted: Planted) -> None:
    planted.evaluate("net", first(20))
    planted.attack("net", "fgsm", NONE)
    planted.attack("net", "pgd", NONE, state="failed", reason="boom")
    found = recommend(Comparison(planted.matrix), Choice(best="worst_case_accuracy"))
    assert found.best is None
    assert "net/pgd failed: boom" in found.refused["net"]


def test_it_is_withheld_over_all_replicas_where_one_lacks_an_attack(planted: Planted) -> None:
    planted.attack("net", "pgd", NONE, replica="seed1")
    planted.attack("net", "pgd", NONE, replica="seed2", state="failed", reason="boom")
    assert place(planted).note == "net:seed2/pgd failed: boom"


def test_a_budget_written_in_another_way_is_the_same(planted: Planted) -> None:
    planted.attack("net", "fgsm", NONE, eps=0.1)
    planted.attack("net", "pgd", NONE, eps=0.1 + 1e-12, state="failed", reason="boom")
    assert place(planted).estimate is None


def test_its_definition_says_when_it_is_withheld() -> None:
    assert "withheld" in METRICS["worst_case_accuracy"].definition.lower()
