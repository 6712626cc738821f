"""What a run looks like on a screen, from events alone."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bench.runner.console import Bar, Lines
from bench.runner.events import CellFinished, CellStarted, Event, Progress, RunFinished, RunStarted

LABEL = "attack net/[bold]fgsm[/bold]"
EVENTS: list[Event] = [
    RunStarted("tiny", 3, 1, ("20 images instead of [100]",)),
    CellFinished("train net", "train", "net", "done", "", False, 1, 3, None),
    CellStarted(LABEL, "attack", 65.0),
    Progress(LABEL, 0.5, "step 5"),
    CellFinished(LABEL, "attack", "net", "failed", "lost my way [x]", False, 2, 3, 5.0),
    CellFinished("attack net/pgd", "attack", "net", "done", "", True, 3, 3, None),
    RunFinished({"done": 2, "failed": 1}, 1, False, 2.0),
]


def test_lines_say_what_was_computed_or_failed(capsys: pytest.CaptureFixture[str]) -> None:
    show = Lines()
    for event in EVENTS:
        show(event)
    assert capsys.readouterr().err.splitlines() == [
        "note: 20 images instead of [100]",
        "tiny: 3 cells, 1 in the store",
        f"[2/3] failed {LABEL}: lost my way [x], 5 s left",
        "[3/3] done attack net/pgd",
    ]


def test_a_long_cell_has_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 5.0, 11.0, 11.0, 12.0, 21.5, 21.5])
    monkeypatch.setattr("bench.runner.console.time.perf_counter", lambda: next(clock))
    show = Lines()
    show(CellStarted("train net", "train", None))
    for share in (0.1, 0.2, 0.3, 0.4):
        show(Progress("train net", share, "epoch"))
    assert capsys.readouterr().err.splitlines() == [
        *("  train net: 20% (epoch)", "  train net: 40% (epoch)"),
    ]


@pytest.mark.parametrize("width", [60, 100])
def test_the_bar_is_one_line_and_names_are_no_markup(width: int) -> None:
    sink = io.StringIO()
    console = Console(file=sink, force_terminal=True, width=width, color_system=None)
    show = Bar(console)
    for event in EVENTS:
        show(event)
        if isinstance(event, Progress):
            bar = console.render_lines(show.progress.get_renderable(), console.options)
            [line] = bar
            words = "".join(segment.text for segment in line)
            assert len(words) <= width
            assert "1/3" in words
            assert "1 min 05 s left" in words
            assert ("[bold]fgsm" in words) is (width == 100)
    written = sink.getvalue()
    assert "note: 20 images instead of [100]" in written
    assert f"failed: {LABEL}" in written


def test_radii_are_written_as_they_were(capsys: pytest.CaptureFixture[str]) -> None:
    label = "attack net/fgsm@eps=0.0313725"
    show = Lines()
    show(CellFinished(label, "attack", "net", "failed", "boom", False, 1, 1, None))
    assert "failed attack net/fgsm@eps=8/255: boom" in capsys.readouterr().err
    sink = io.StringIO()
    bar = Bar(Console(file=sink, width=100, color_system=None))
    bar(RunStarted("tiny", 1, 0, ()))
    bar(CellFinished(label, "attack", "net", "failed", "boom", False, 1, 1, None))
    bar(RunFinished({"failed": 1}, 0, False, 1.0))
    assert "failed: attack net/fgsm@eps=8/255: boom" in sink.getvalue()
