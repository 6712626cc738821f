"""What an audit says of itself: no finding only where all could look, and each fact once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from planted import Planted

from bench import tables
from bench.api import Case, Evidence, Rule
from bench.audit import Audit, audit, noted
from bench.matrix import Matrix
from bench.records import AUDIT_KINDS, Result
from bench.report import audits, plain

IMAGES = 40


def first(count: int, n: int = IMAGES) -> list[bool]:
    return [i < count for i in range(n)]


class Says(Rule):
    """Makes the cases that a test wants."""

    sees = matters = needs = "what a test plants"
    concerns = frozenset({"success_rate"})

    def __init__(self, name: str, *cases: dict[str, Any], **facts: Any) -> None:
        self.name, self.planted = name, cases
        self.__dict__ |= facts

    def look(self, _: Evidence) -> list[Case]:
        usual = {"sentence": "wrong", "figures": {}, "p_value": None, "is_material": True}
        return [Case(**{**usual, **case}) for case in self.planted]


def found(matrix: Matrix, *rules: Rule) -> Sequence[tuple[tuple[str, ...], tuple[str, ...], str]]:
    return [(f.rules, f.cells, f.sentence) for f in audit(matrix, rules).carried]


# No finding only where every rule that applies could look


def test_no_finding_is_said_where_all_could_look(planted: Planted) -> None:
    planted.attack("net", "pgd", first(20))
    said = audit(planted.matrix, [Says("calm", {"cells": (), "is_material": False})])
    assert said.summary == "audit: no finding; 1 of 1 rules had something to look at"


@pytest.mark.parametrize("state", ["failed", "blocked", "skipped", "to do"])
def test_a_probe_without_a_result_is_no_silence(planted: Planted, state: str) -> None:
    planted.attack("net", "pgd", first(20))
    planted.probe("net", "pgd", "doubled-steps", first(20), state=state, reason="no luck")
    said = audit(planted.matrix)
    assert said.findings == ()
    assert said.summary.startswith("audit: no finding, but 1 rule could not look: unconverged; ")
    assert said.unseen == (("unconverged", f"probe net/pgd~doubled-steps: {state}: no luck"),)
    page = plain.render(audits.found(said))
    assert "Rules that apply and could not look, with the reason:" in page


@pytest.mark.parametrize("kind", AUDIT_KINDS)
def test_every_kind_of_cell_of_the_audit_counts(planted: Planted, kind: str) -> None:
    planted.attack("net", "pgd", first(20))
    facts = {"probe": "sought", "of": None}
    planted.put(kind, "net", Result(), facts=facts, state="failed", reason="boom")
    asks = Says("asks", {"cells": (), "is_material": False}, probes=("sought",))
    said = audit(planted.matrix, [asks])
    assert "no finding, but 1 rule could not look: asks" in said.summary


def test_a_rule_that_raised_is_no_silence(planted: Planted) -> None:
    said = audit(planted.matrix, [Says("stumbles", {"cells": "a label"}), Says("calm")])
    assert "no finding, but 1 rule could not look: stumbles" in said.summary


def test_cells_that_failed_are_no_silence(planted: Planted) -> None:
    planted.attack("net", "pgd", first(20), state="failed", reason="boom")
    said = audit(planted.matrix, [Says("calm")])
    assert said.summary.startswith("audit: no finding, but 1 cell had no result to look at; ")


def test_an_audit_that_is_off_says_so(planted: Planted) -> None:
    planted.attack("net", "pgd", first(20))
    planted.document = {"audit": "off"}
    said = audit(planted.matrix)
    assert "no finding, but " in said.summary
    assert "over-budget" not in dict(said.unseen)
    assert dict(said.unseen)["moves-at-zero"].endswith("the audit is off")


def test_a_rule_that_does_not_apply_is_no_gap(planted: Planted) -> None:
    planted.attack("net", "pgd", first(20))
    said = audit(planted.matrix)
    assert "not-averaged" in dict(said.gaps)
    assert "not-averaged" not in dict(said.unseen)
    assert "no finding; " in said.summary


def test_findings_do_not_hide_what_could_not_be_looked_at(planted: Planted) -> None:
    rules = [Says("sees", {"cells": ()}), Says("stumbles", {"cells": "a label"})]
    assert "1 finding, but 1 rule could not look: stumbles" in audit(planted.matrix, rules).summary


# Each fact once


def test_the_same_sentence_of_one_rule_is_listed_once(planted: Planted) -> None:
    rule = Says("r", {"cells": ("a",)}, {"cells": ("b",)}, {"cells": ("c",), "sentence": "other"})
    assert found(planted.matrix, rule) == [
        (("r",), ("a", "b"), "wrong"),
        (("r",), ("c",), "other"),
    ]


def test_what_a_finding_explains_is_listed_with_it(planted: Planted) -> None:
    cause = Says("cause", {"cells": ("a", "b"), "sentence": "deaf"}, explains=("effect",))
    effect = Says("effect", {"cells": ("a",)}, {"cells": ("c",), "sentence": "elsewhere"})
    listed = [(("cause", "effect"), ("a", "b"), "deaf; wrong"), (("effect",), ("c",), "elsewhere")]
    assert found(planted.matrix, cause, effect) == listed
    assert sorted(found(planted.matrix, effect, cause)) == sorted(listed)


def test_a_mark_is_not_merged_into_a_finding(planted: Planted) -> None:
    cause = Says("cause", {"cells": ("a",)}, explains=("effect",))
    effect = Says("effect", {"cells": ("a",), "is_mark": True})
    assert [rules for rules, *_ in found(planted.matrix, cause, effect)] == [
        ("cause",),
        ("effect",),
    ]


def test_vanished_gradients_and_their_effects_are_one_finding(planted: Planted) -> None:
    """The model has no gradients: an attack that then finds nothing is the same fact."""
    planted.attack("net", "pgd", first(0))
    planted.gradients("net", [0.0] * IMAGES)
    planted.probe("net", "pgd", "large-eps", first(0), eps=1.0)
    [finding] = audit(planted.matrix).findings
    assert finding.rules == ("no-gradients", "survives-large-eps")
    assert "has no gradient" in finding.sentence
    assert "stay right" in finding.sentence


def test_a_table_of_rates_of_few_images_has_one_finding_a_metric(planted: Planted) -> None:
    for name in ("fgsm", "pgd", "bim"):
        planted.attack("net", name, first(1, 1))
    sentences = [f.sentence for f in audit(planted.matrix).findings if f.rule == "few-images"]
    assert len(sentences) == 2
    assert all(" rests on 1 image: " in words for words in sentences)


# What is noted and printed


def test_what_is_noted_is_read_again(planted: Planted) -> None:
    planted.attack("net", "pgd", first(0), state="failed")
    planted.gradients("net", [0.0] * IMAGES)
    said = audit(planted.matrix)
    assert Audit.of(json.loads(json.dumps(noted(said)))) == said


def test_marks_are_footnotes_and_have_a_heading_of_their_own(planted: Planted) -> None:
    planted.attack("net", "pgd", first(20))
    cells = ("attack net/pgd",)
    rules = [
        Says("wrong", {"cells": cells, "sentence": "a finding"}),
        Says("beside", {"cells": cells, "sentence": "a mark", "is_mark": True}),
    ]
    said = audit(planted.matrix, rules)
    text = str(tables.build(planted.matrix, audited=said))
    assert "50.0 % (40) [a, b]" in text
    assert "[a] a finding\n[b] a mark" in text.replace("\n\n", "\n")
    page = plain.render(audits.found(said))
    assert page.index("wrong: a finding") < page.index("Marks,") < page.index("beside: a mark")
    assert "1 finding; " in page
    [place] = json.loads(tables.build(planted.matrix, audited=said).render("json"))["places"]
    assert (place["findings"], place["marks"]) == ("wrong", "beside")
