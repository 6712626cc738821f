"""Metrics of a stranger: one by itself, a table of two, and broken ones."""

from __future__ import annotations

from bench.api import Metric


class Overconfidence(Metric):
    """Mean confidence of the predictions that are wrong."""

    kinds = ("evaluate",)
    better = "lower"
    mean = True

    def values(self, records):
        wrong = records["prediction"] != records["label"]
        return records["confidence"][wrong]


class Timidity(Metric):
    """Images that are right with a confidence under one half."""

    name = "timidity"
    kinds = ("evaluate",)

    def values(self, records):
        return (records["prediction"] == records["label"]) & (records["confidence"] < 0.5)


class BytesPerParameter(Metric):
    """Stored bytes over numbers of the network."""

    name = "bytes_per_parameter"
    unit = "score"
    kinds = ("profile",)

    def figure(self, summary, original):
        return summary["size_bytes"] / summary["parameters"]


TABLE = {"timidity": Timidity, "bytes_per_parameter": BytesPerParameter()}


class Clumsy(Metric):
    """Asks for a column that no record has."""

    kinds = ("evaluate",)

    def values(self, records):
        return records["no such column"]


class Undefined(Metric):
    kinds = ("evaluate",)


class Misplaced(Metric):
    """Of cells that there are none of."""

    kinds = ("dream",)
