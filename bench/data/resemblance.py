"""Which images of two splits show one picture: flipped, cropped, shifted, brighter, compressed.

Each image is a small grey picture. All pairs are compared coarsely, by one matrix product; the
best few of each image are laid over each other at several crops and shifts. What is reported
stands out of what honest images of the same data resemble each other by. This room does not know
what images are used for; it imports no torch.

Source: correlation of small grey pictures as in Torralba, Fergus and Freeman, "80 Million Tiny
    Images", 2008; near-duplicates between splits: Barz and Denzler, "Do We Train on Test Data?",
    2020.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.tensors import PixelStack

Grey: TypeAlias = "NDArray[np.float32]"
"""Small grey pictures, (image, height, width)."""
SIDE = 32
"""The longest side of a small picture."""

COARSE = 8
"""The longest side of what all pairs are compared by."""

CANDIDATES = 3
"""How many images are laid over each, for each way of turning it."""

CLOSE = 0.5
"""The coarse correlation from which on two images are laid over each other."""

SAME = 0.93
"""The correlation from which on two pictures may be the same, if others are less alike."""

CERTAIN = 0.9995
"""The correlation from which on they are, however alike others are."""

SPREADS = 5.0
"""By how many spreads a pair must stand out of what others that are no twins come to."""

MORE_SPREADS = 7.0
"""The same for pictures so simple that others come close to being the same."""

SIMPLE = 0.9
"""The middle of what others come to in simple pictures: digits, say."""

FLAT = 2.0
"""Pictures whose grey levels, of 255, spread by less show nothing."""

PAIRS = 2_000_000_000
"""How many pairs are compared at most: of larger data, some images of the smaller split."""

MANY = 2000
"""From how many images on crops are looked for in the likeliest other only."""

FEW = 8
"""Of fewer images nobody knows what others come to: twins must be certain."""

_CROPS = (1.0, 0.9, 0.8, 0.7)
_PLACES = tuple((down, across) for down in (0.0, 0.5, 1.0) for across in (0.0, 0.5, 1.0))
_STEPS = (0.06, 0.06, 0.03, 0.03, 0.015, 0.0075)
_SEARCHED = 12
_LEAST = 12
"""Sides from which on crops are tried: in smaller pictures too much resembles."""

_BLOCK = 2048


@dataclass(frozen=True)
class Twins:
    """Pairs of positions, of the first images and of the second, and how many were looked at."""

    pairs: tuple[tuple[int, int], ...]
    looked_at: int


def grey(pixels: PixelStack, side: int = SIDE) -> Grey:
    """Return small grey pictures: means over areas, of one shape, none larger than ``side``."""
    height, width = pixels.shape[1:3]
    scale = max(1.0, max(height, width) / side)
    down, across = (_means(n, max(1, round(n / scale))) for n in (height, width))
    parts = []
    for start in range(0, len(pixels), _BLOCK):
        levels = np.asarray(pixels[start : start + _BLOCK], dtype=np.float32)
        weights = _LUMINANCE if levels.shape[3] == len(_LUMINANCE) else None
        flat = levels @ weights if weights is not None else levels.mean(3)
        parts.append(down @ flat @ across.T)
    return np.concatenate(parts)


_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@cache
def _means(size: int, small: int) -> NDArray[np.float32]:
    """Return what takes means over equal parts of a line."""
    whole = np.zeros(1, dtype=np.float32), np.ones(1, dtype=np.float32)
    return np.asarray(_windows(size, *whole, small=small)[0])


def _windows(
    size: int, start: NDArray[np.float32], length: NDArray[np.float32], small: int | None = None
) -> NDArray[np.float32]:
    """Return what stretches windows of a line, in shares of it, over as many places."""
    small = size if small is None else small
    shares = np.arange(small + 1, dtype=np.float32) / np.float32(small)
    edges = size * (start[:, None] + length[:, None] * shares)
    places = np.arange(size, dtype=np.float32)
    ends = np.minimum(edges[:, 1:, None], places + 1)
    weights = np.clip(ends - np.maximum(edges[:, :-1, None], places), 0, None)
    return np.asarray(weights / weights.sum(2, keepdims=True), dtype=np.float32)


def twins(first: Grey, second: Grey) -> Twins:
    """Find the images of two splits that show the same picture.

    Args:
        first, second: as :func:`grey` returns them, of one shape.

    """
    if len(first) > len(second):
        found = twins(second, first)
        return Twins(tuple((two, one) for one, two in found.pairs), found.looked_at)
    looked_at = min(len(first), max(1, PAIRS // max(1, len(second))))
    chosen = np.linspace(0, len(first) - 1, looked_at).astype(np.int64)
    chosen = chosen[first[chosen].std((1, 2)) >= FLAT]
    known = np.flatnonzero(second.std((1, 2)) >= FLAT)
    if not len(chosen) or not len(known):
        return Twins((), looked_at)
    best, others = _closest(first, second, chosen, known)
    limit = _limit(others)
    ranked = zip(chosen.tolist(), best, strict=True)
    return Twins(tuple((int(one), two) for one, (r, two) in ranked if r >= limit), looked_at)


def _closest(
    first: Grey, second: Grey, chosen: NDArray[np.int64], known: NDArray[np.int64]
) -> tuple[list[tuple[float, int]], list[float]]:
    """Return for each image its likeliest twin, and the correlation of the next, which is none."""
    found: dict[int, dict[int, float]] = {one: {} for one in chosen.tolist()}
    for one, two, likeliest, turned in _candidates(first, second, chosen, known):
        searched = likeliest if len(chosen) > MANY else np.ones_like(likeliest)
        laid = _laid_over(turned, second[two], searched)
        for here, there, r in zip(one.tolist(), two.tolist(), laid.tolist(), strict=True):
            found[here][there] = max(r, found[here].get(there, -1.0))
    ranked = [sorted(((r, two) for two, r in row.items()), reverse=True) for row in found.values()]
    best = [row[0] if row else (0.0, -1) for row in ranked]
    return best, [row[1][0] if len(row) > 1 else 0.0 for row in ranked]


def _limit(others: list[float]) -> float:
    """Return the correlation that stands out of what images come to that are no twins."""
    if len(others) < FEW:
        return CERTAIN
    z = np.arctanh(np.clip(others, 0, _BELOW_ONE))
    middle = np.median(z)
    spread = 1.4826 * np.median(np.abs(z - middle))
    spreads = SPREADS if np.tanh(middle) < SIMPLE else MORE_SPREADS
    outlying = float(np.tanh(middle + spreads * spread))
    return min(max(SAME, outlying), CERTAIN)


_BELOW_ONE = 1 - 1e-9


def _candidates(
    first: Grey, second: Grey, chosen: NDArray[np.int64], known: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], Grey]]:
    """Yield for some first images their likeliest twins, and the first images as turned.

    Of each pair: both positions, and whether the second is the likeliest of all.
    """
    coarse = _normal(_coarse(second[known]))
    for start in range(0, len(chosen), _BLOCK):
        part = chosen[start : start + _BLOCK]
        for turned, shifted in _turned(first[part]):
            r = _normal(_coarse(shifted)) @ coarse.T
            few = min(CANDIDATES, r.shape[1])
            top = np.argpartition(-r, few - 1, axis=1)[:, :few]
            known_r = np.take_along_axis(r, top, 1)
            rows, places = np.nonzero(known_r >= CLOSE)
            if len(rows):
                likeliest = places == known_r.argmax(1)[rows]
                yield part[rows], known[top[rows, places]], likeliest, turned[rows]


def _turned(pictures: Grey) -> Iterator[tuple[Grey, Grey]]:
    """Yield pictures as they are and as mirrors show them, each with what is compared coarsely.

    In the smallest pictures a place is much: there they are shifted to be found.
    """
    height, width = pictures.shape[1:]
    shifts = [(0, 0)]
    if min(height, width) < _LEAST:
        shifts += [(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1) if down or across]
    for turned in (pictures, pictures[:, :, ::-1], pictures[:, ::-1]):
        edged = np.pad(turned, ((0, 0), (1, 1), (1, 1)), mode="edge")
        for down, across in shifts:
            rows, columns = (
                slice(1 + down, 1 + down + height),
                slice(1 + across, 1 + across + width),
            )
            yield turned, edged[:, rows, columns]


def _coarse(pictures: Grey, side: int = COARSE) -> Grey:
    """Return means over areas, of a side of so many places at most."""
    height, width = pictures.shape[1:]
    scale = max(1.0, max(height, width) / side)
    down, across = (_means(n, max(1, round(n / scale))) for n in (height, width))
    return np.asarray(down @ pictures @ across.T, dtype=np.float32)


def _normal(pictures: Grey) -> NDArray[np.float32]:
    """Return pictures as vectors of mean 0 and length 1: their products are correlations."""
    flat = pictures.reshape(len(pictures), -1)
    flat = flat - flat.mean(1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(length, 1e-6), dtype=np.float32)


def _laid_over(one: Grey, two: Grey, searched: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return for pairs of pictures the largest correlation at any shift; of some, at any crop."""
    best = np.full(len(one), -1.0, dtype=np.float32)
    for start in range(0, len(one), _BLOCK):
        part = slice(start, start + _BLOCK)
        for shifted, other in _shifts(one[part], two[part]):
            best[part] = np.maximum(best[part], (_normal(shifted) * _normal(other)).sum(1))
    if min(one.shape[1:]) >= _LEAST:
        places = np.flatnonzero(searched)
        for start in range(0, len(places), _BLOCK):
            rows = places[start : start + _BLOCK]
            crops = np.maximum(_within(one[rows], two[rows]), _within(two[rows], one[rows]))
            best[rows] = np.maximum(best[rows], crops)
    return best


def _within(crop: Grey, whole: Grey) -> NDArray[np.float32]:
    """Return the largest correlation of pictures with a window of others, which is searched for."""
    small = [_coarse(part, _SEARCHED) for part in (crop, whole)]
    wanted = _normal(small[0])
    best = np.full(len(crop), -1.0, dtype=np.float32)
    windows = np.zeros((len(crop), 3), dtype=np.float32)  # how long, and where it begins
    for length in _CROPS:
        for down, across in _PLACES:
            tried = np.tile([length, (1 - length) * down, (1 - length) * across], (len(crop), 1))
            _keep(best, windows, tried.astype(np.float32), wanted, small[1])
    wanted = _normal(crop)
    best[:] = -1.0
    _keep(best, windows, windows.copy(), wanted, whole)
    for step in _STEPS:
        for axis in range(3):
            for by in (-step, step):
                moved = windows.copy()
                moved[:, axis] += by
                moved[:, 0] = moved[:, 0].clip(_CROPS[-1], 1)
                moved[:, 1:] = np.clip(moved[:, 1:], 0, 1 - moved[:, :1])
                _keep(best, windows, moved, wanted, whole)
    return best


def _keep(
    best: NDArray[np.float32],
    windows: NDArray[np.float32],
    tried: NDArray[np.float32],
    wanted: NDArray[np.float32],
    whole: Grey,
) -> None:
    """Try a window of each picture, and keep it where it is better."""
    height, width = whole.shape[1:]
    length, down, across = tried.T
    rows, columns = _windows(height, down, length), _windows(width, across, length)
    seen = np.asarray(rows @ whole @ columns.swapaxes(1, 2), dtype=np.float32)
    r = (_normal(seen) * wanted).sum(1)
    better = r > best
    best[better] = r[better]
    windows[better] = tried[better]


def _shifts(one: Grey, two: Grey) -> Iterator[tuple[Grey, Grey]]:
    """Lay pictures over each other, shifted by a place at most."""
    height, width = one.shape[1:]
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            rows, columns = (_shared(n, d) for n, d in ((height, down), (width, across)))
            yield one[:, rows[0], columns[0]], two[:, rows[1], columns[1]]


def _shared(size: int, shift: int) -> tuple[slice, slice]:
    """Return the parts of two lines that lie over each other, one shifted."""
    kept = size - abs(shift)
    return slice(max(0, shift), max(0, shift) + kept), slice(max(0, -shift), max(0, -shift) + kept)
