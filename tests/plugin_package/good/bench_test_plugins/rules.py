"""Rules of a stranger: one that looks, and broken ones."""

from __future__ import annotations

from bench.api import Case, Rule


class TooConfident(Rule):
    """Look for models that are surer than they are right."""

    sees = "a model is surer of its predictions than it is right"
    matters = "Whoever trusts its confidence is misled."
    needs = "an evaluated model"
    concerns = frozenset({"clean_accuracy", "overconfidence"})

    def look(self, evidence):
        for entry in evidence.done("evaluate"):
            records = evidence.records(entry)
            confidence = float(records["confidence"].mean())
            right = float((records["prediction"] == records["label"]).mean())
            words = f"{entry.coordinates} is {confidence:.0%} sure, and right of {right:.0%}"
            figures = {"confidence": confidence, "right": right}
            yield Case((entry.label,), words, figures, None, confidence > right + 0.1)


class Stumbles(Rule):
    """Fail at the first look."""

    sees = "nothing"
    matters = "A rule that fails may not take the audit down."
    needs = "luck"

    def look(self, evidence):
        raise ZeroDivisionError("no luck")


class Mute(Rule):
    """Say nothing of itself."""

    def look(self, evidence):
        return []
