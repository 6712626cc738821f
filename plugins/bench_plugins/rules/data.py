"""Rules on data: what images were judged, and what of them was known before."""

from __future__ import annotations

from collections.abc import Iterator

from bench.api import Case, Evidence, Rule
from bench.api.rules import CLAIMS
from bench.records import JSON


class Leaked(Rule):
    """Look for judged images that stand in the training images too, pixel for pixel."""

    name = "leaked"
    sees = "an image is judged that stands in the training images too"
    matters = "To be right about an image that was learned is memory."
    needs = "a model that is not cross-validated"
    concerns = "models"
    revision = 2

    def look(self, evidence: Evidence) -> Iterator[Case]:
        pairs = [
            pair if leak["splits"][1] != "train" else pair[::-1]
            for leak in evidence.dataset.get("leaks", [])
            if "train" in leak["splits"]
            for pair in leak["images"]
        ]
        twins: dict[str, str] = {judged: trained for trained, judged in pairs}
        for kind in CLAIMS:
            for entry in evidence.done(kind):
                if entry.coordinates.is_fold:
                    continue
                images = (
                    list(evidence.records(entry).index) if twins else []
                )  # they may be thousands
                known = [name for name in images if name in twins]
                example = f": {known[0]} is {twins[known[0]]}" if known else ""
                words = f"{len(known)} of {len(images)} judged images stand in train too{example}"
                counts: dict[str, JSON] = {"n": len(images), "leaked": len(known)}
                yield Case((entry.label,), words, counts, None, bool(known))


RULES = (Leaked,)
