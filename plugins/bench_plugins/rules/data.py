"""Rules on data: what images were judged, and what of them was known before.

Cells that were judged on the same images share what is wrong with those: it is one case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.api import Case, Entry, Evidence, Rule
from bench.api.rules import CLAIMS
from bench.records import JSON

MANY = 0.05
"""The share of images that are others' copies from which on a rate says something else."""


class Leaked(Rule):
    """Look for judged images that stand in the training images too, pixel for pixel."""

    name = "leaked"
    sees = "an image is judged that stands in the training images too"
    matters = "To be right about an image that was learned is memory."
    needs = "a model that is not cross-validated"
    concerns = "models"
    revision = 2

    def look(self, evidence: Evidence) -> Iterator[Case]:
        yield from _known_before(evidence, evidence.dataset.get("leaks", []), "stand in train too")


class NearlyLeaked(Rule):
    """Look for judged images that show what a training image shows, though the pixels differ."""

    name = "nearly-leaked"
    sees = "a training image, flipped, cropped, brighter or compressed anew, is judged"
    matters = "A model that learned a picture need not understand it to be right about its copy."
    needs = "a model that is not cross-validated, and data that were looked through"
    concerns = "models"

    def look(self, evidence: Evidence) -> Iterator[Case]:
        found = evidence.dataset.get("near_duplicates")
        if found is not None:
            yield from _known_before(evidence, found, "show what images of train show")


def _known_before(
    evidence: Evidence, found: Sequence[Mapping[str, Any]], words: str
) -> Iterator[Case]:
    """Make a case for each set of images that was judged: how many of them were learned from."""
    pairs = [
        pair if leak["splits"][1] != "train" else pair[::-1]
        for leak in found
        if "train" in leak["splits"]
        for pair in leak["images"]
    ]
    twins: dict[str, str] = {judged: trained for trained, judged in pairs}
    for entries, images in _judged(evidence, read=bool(twins)):
        known = [name for name in images if name in twins]
        example = f": {known[0]} is {twins[known[0]]}" if known else ""
        sentence = f"{len(known)} of {len(images)} judged images {words}{example}"
        counts: dict[str, JSON] = {"n": len(images), "leaked": len(known)}
        cells = tuple(entry.label for entry in entries)
        yield Case(cells, sentence, counts, None, bool(known))


def _judged(
    evidence: Evidence, *, read: bool, folds: bool = False
) -> Iterator[tuple[list[Entry], tuple[str, ...]]]:
    """Gather the cells with rates by the images that they were judged on.

    Args:
        evidence: of a run.
        read: whether the names of the images are wanted: they may be thousands.
        folds: whether models count that were cross-validated.

    """
    found: dict[tuple[str, ...], list[Entry]] = {}
    for kind in CLAIMS:
        for entry in evidence.done(kind):
            if folds or not entry.coordinates.is_fold:
                images = tuple(evidence.records(entry).index) if read else ()
                found.setdefault(images, []).append(entry)
    for images, entries in found.items():
        yield entries, images


class CountedTwice(Rule):
    """Look for judged images that are equal: n is the number of images that differ."""

    name = "counted-twice"
    sees = "one image is judged several times"
    matters = (
        "Copies say the same again: the interval is that of so many images, and only those that "
        "differ were asked."
    )
    needs = "a run that notes equal images"
    concerns = "models"

    def look(self, evidence: Evidence) -> Iterator[Case]:
        groups: Sequence[Sequence[str]] | None = evidence.dataset.get("duplicates")
        if groups is None:
            return
        first = {name: group[0] for group in groups for name in group}
        for entries, images in _judged(evidence, read=bool(first), folds=True):
            distinct = len({first.get(name, name) for name in images})
            surplus = len(images) - distinct
            words = (
                f"of {len(images)} judged images {distinct} differ: the others are copies, pixel "
                "for pixel"
            )
            counts: dict[str, JSON] = {"n": len(images), "distinct": distinct}
            cells = tuple(entry.label for entry in entries)
            is_mark = surplus <= MANY * len(images)
            yield Case(cells, words, counts, None, surplus > 0, is_mark=is_mark)


class JudgedOnTrain(Rule):
    """Look for weights that nobody here trained, judged on images of ``train``."""

    name = "judged-on-train"
    sees = "weights from elsewhere are judged on images of 'train'"
    matters = "What they learned from is not known, and may be these images: memory, then."
    needs = "a model whose weights come from a file or a library"
    concerns = "models"

    def look(self, evidence: Evidence) -> Iterator[Case]:
        is_train = "train" in evidence.dataset.get("splits", [])
        for load in evidence.done("load"):
            model = load.coordinates.model
            cells = tuple(
                entry.label
                for kind in CLAIMS
                for entry in evidence.done(kind)
                if entry.coordinates.model == model
            )
            words = (
                f"{model}: its weights come from {load.facts.get('weights')}, and {len(cells)} "
                "cells judge it on images of 'train', from which it may have learned"
            )
            yield Case(cells, words, {"cells": len(cells)}, None, is_train and bool(cells))


RULES = (
    Leaked,
    NearlyLeaked,
    CountedTwice,
    JudgedOnTrain,
)
