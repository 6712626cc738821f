"""Images that show one picture, changed in ways that pixels do not survive; and honest others."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from bench.data import resemblance

Pixels = np.ndarray


def scenes(count: int, seed: int, side: int = 64) -> Pixels:
    """Pictures of smooth shapes: sums of a few waves, each of its own."""
    generator = np.random.default_rng(seed)
    down, across = np.mgrid[0:side, 0:side] / side
    found = []
    for _ in range(count):
        waves = np.zeros((side, side, 3))
        for _ in range(8):
            fy, fx = generator.uniform(-4, 4, 2)
            phase, tint = generator.uniform(0, 6.28), generator.uniform(0.3, 1, 3)
            waves += np.cos(6.28 * (fy * down + fx * across) + phase)[:, :, None] * tint
        found.append(127 + 40 * waves / waves.std())
    return np.clip(found, 0, 255).astype(np.uint8)


def compressed(image: Pixels) -> Pixels:
    blob = io.BytesIO()
    Image.fromarray(image).save(blob, "JPEG", quality=40)
    return np.asarray(Image.open(blob))


def cropped(image: Pixels) -> Pixels:
    side = image.shape[0]
    box = (0.03 * side, 0.06 * side, 0.93 * side, 0.96 * side)
    return np.asarray(Image.fromarray(image).resize((side, side), Image.BILINEAR, box=box))


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "mirrored": lambda image: image[:, ::-1],
    "upside-down": lambda image: image[::-1],
    "brighter": lambda image: np.clip(0.8 * image + 40, 0, 255).astype(np.uint8),
    "shifted": lambda image: np.roll(image, 1, axis=1),
    "compressed": compressed,
    "cropped": cropped,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_among_others(change: str) -> None:
    first, second = scenes(60, 0), scenes(20, 1)
    second[7] = CHANGES[change](first[41])
    found = resemblance.twins(resemblance.grey(first), resemblance.grey(second))
    assert found.pairs == ((41, 7),)
    assert found.looked_at == 20


def test_in_the_smallest_pictures_mirrors_shifts_and_brightness_are_found() -> None:
    digits = (load_digits().images[:600] * 255 / 16).astype(np.uint8)[..., None]
    first, second = digits[:500], digits[500:].copy()
    for place, change in enumerate(("mirrored", "brighter", "shifted")):
        second[place] = CHANGES[change](first[40 + place])
    found = resemblance.twins(resemblance.grey(first), resemblance.grey(second))
    assert found.pairs == ((40, 0), (41, 1), (42, 2))


def test_honest_digits_are_no_twins() -> None:
    digits = (load_digits().images * 255 / 16).astype(np.uint8)[..., None]
    first, second = (resemblance.grey(part) for part in (digits[:1400], digits[1400:]))
    assert resemblance.twins(first, second).pairs == ()


@pytest.mark.slow
def test_honest_photographs_are_no_twins(photographs: Path) -> None:
    def read(split: str) -> resemblance.Grey:
        files = sorted((photographs / split).rglob("*.jpg"))
        images = [Image.open(file).convert("RGB").resize((64, 64)) for file in files]
        return resemblance.grey(np.stack([np.asarray(image) for image in images]))

    train = read("train")
    for split in ("valid", "test"):
        assert resemblance.twins(train, read(split)).pairs == ()


def test_flat_images_show_nothing() -> None:
    flat = np.full((30, 16, 16, 1), 100, dtype=np.uint8)
    found = resemblance.twins(resemblance.grey(flat), resemblance.grey(flat + 20))
    assert found.pairs == ()


def test_of_too_many_images_some_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resemblance, "PAIRS", 300)
    first, second = (resemblance.grey(scenes(count, count)) for count in (30, 20))
    assert resemblance.twins(first, second).looked_at == 10
