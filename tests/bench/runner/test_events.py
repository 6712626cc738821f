"""Events of a run: plain, frozen, picklable, and in the order in which things happen."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest

import bench
from bench.runner import events
from bench.runner.events import (
    CellFinished,
    CellStarted,
    Event,
    Measured,
    Progress,
    RunFinished,
    RunStarted,
    to_all,
)

EXAMPLES: list[Event] = [
    RunStarted("tiny", 3, 1, ("a note",)),
    CellStarted("train net", "train", None),
    Progress("train net", 0.5, "epoch 1 of 2"),
    Measured("train net", "net:seed1", {"epoch": 1, "loss": 0.25, "valid_loss": None}),
    CellFinished("train net", "train", "net", "done", "", True, 2, 3, 1.5, ({"epoch": 1},)),
    RunFinished({"done": 2, "failed": 1}, 1, False, 2.5),
]


def plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(plain(each) for each in value)
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and plain(each) for key, each in value.items())
    return value is None or type(value) in (str, int, float, bool)


def test_every_event_has_an_example_here() -> None:
    assert [type(event) for event in EXAMPLES] == list(get_args(events.Event))


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_an_event_is_frozen_plain_and_the_same_after_pickling(event: Event) -> None:
    again = pickle.loads(pickle.dumps(event))
    assert type(again) is type(event)
    assert again == event
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.label = "another"  # type: ignore[misc,union-attr]
    assert all(plain(getattr(event, field.name)) for field in dataclasses.fields(event))


def test_a_run_reports_what_it_does(tiny: dict[str, Any], tmp_path: Path) -> None:
    tiny["attacks"]["raises"] = {}
    seen: list[Event] = []
    again: list[Event] = []
    bench.run(tiny, store=tmp_path / "s", reports=None, listener=seen.append)
    bench.run(tiny, store=tmp_path / "s", reports=None, listener=again.append)

    for found in (seen, again):
        assert all(pickle.loads(pickle.dumps(event)) == event for event in found)
        assert isinstance(found[0], RunStarted)
        assert isinstance(found[-1], RunFinished)
        assert sum(isinstance(e, RunStarted | RunFinished) for e in found) == 2
        ends = [event for event in found if isinstance(event, CellFinished)]
        assert [event.finished for event in ends] == list(range(1, found[0].cells + 1))
        assert {event.cells for event in ends} == {found[0].cells}
        states = [event.state for event in ends]
        assert {state: states.count(state) for state in set(states)} == found[-1].counts
        assert sum(event.computed for event in ends) == found[-1].computed

    started = [event.label for event in seen if isinstance(event, CellStarted)]
    failed = [e.label for e in seen if isinstance(e, CellFinished) and e.state == "failed"]
    assert seen[0].stored == 0
    assert again[0].stored == seen[-1].counts["done"] == seen[-1].computed
    assert len(started) == seen[-1].computed + len(failed)
    # what failed is tried again, what the store has is not
    assert [e.label for e in again if isinstance(e, CellStarted)] == failed
    assert failed
    place = next(i for i, e in enumerate(seen) if getattr(e, "label", "") == "train linear")
    epochs = [e for e in seen if isinstance(e, Measured) and e.label == "train linear"]
    end = next(e for e in seen if isinstance(e, CellFinished) and e.label == "train linear")
    assert isinstance(seen[place], CellStarted)
    assert [dict(e.figures) for e in epochs] == [dict(each) for each in end.epochs]
    assert {e.name for e in epochs} == {end.name} == {"linear"}
    earlier = next(e for e in again if isinstance(e, CellFinished) and e.label == "train linear")
    assert earlier.epochs == end.epochs
    assert not earlier.computed


def test_a_listener_that_fails_ends_the_run_and_hears_so(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    heard: list[Event] = []

    def listen(event: Event) -> None:
        heard.append(event)
        if isinstance(event, CellStarted):
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        bench.run(tiny, store=tmp_path / "s", reports=None, listener=listen)
    assert isinstance(heard[-1], RunFinished)


def test_several_listeners_get_each_event_in_turn() -> None:
    heard: list[tuple[str, Event]] = []
    listen = to_all(
        lambda event: heard.append(("one", event)), lambda event: heard.append(("two", event))
    )
    for event in EXAMPLES:
        listen(event)
    assert heard == [(name, event) for event in EXAMPLES for name in ("one", "two")]
