"""What figures make of names that do not fit."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from bench.figures.evaluation import confusion
from bench.figures.style import shortened

LONG = [f"{'a very long name of a class ' * 5}{number}" for number in range(2)]


def test_short_names_stay_and_long_ones_differ() -> None:
    assert shortened(["dog", "cat"]) == ["dog", "cat"]
    names = shortened(["x" * 120, "x" * 121, "x" * 122])
    assert len(set(names)) == 3
    assert max(map(len, names)) <= 24


def test_names_of_120_letters_leave_room_for_the_figure(tmp_path: Path) -> None:
    """matplotlib warns where axes have no room, and a warning is an error here."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = confusion(np.eye(2), LONG, "net " + "y" * 120, tmp_path / "confusion.svg")
    with Image.open(path.with_suffix(".png")) as picture:
        width, height = picture.size
    assert 0.3 < width / height < 3
    text = path.read_text(encoding="utf-8")
    assert LONG[0] not in text
    assert "…" in text
