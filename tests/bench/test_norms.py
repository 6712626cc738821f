"""Norms against sums over the pixels, one at a time."""

from __future__ import annotations

import math
import random

import pytest
import torch

from bench.norms import NORMS, TOLERANCE, measure


def slow(norm: str, image: list[list[list[float]]]) -> float:
    values = [abs(value) for channel in image for row in channel for value in row]
    if norm == "linf":
        return max(values)
    if norm == "l2":
        return math.sqrt(math.fsum(value * value for value in values))
    if norm == "l1":
        return math.fsum(values)
    pixels = zip(*[[value for row in channel for value in row] for channel in image], strict=True)
    return float(sum(any(value != 0 for value in pixel) for pixel in pixels))


@pytest.mark.parametrize("norm", NORMS)
def test_norms_agree_with_a_slow_replica(norm: str) -> None:
    generator = random.Random(3)
    batch = [
        [
            [[generator.choice([0.0, generator.uniform(-1, 1)]) for _ in range(5)] for _ in "hhhh"]
            for _ in "rgb"
        ]
        for _ in range(6)
    ]
    batch.append([[[0.0] * 5] * 4] * 3)
    perturbation = torch.tensor(batch, dtype=torch.float64)
    measured = measure(norm, perturbation)
    assert measured.dtype == torch.float64
    assert measured.tolist() == pytest.approx([slow(norm, image) for image in batch], rel=1e-12)
    assert measured[-1] == 0


def test_l0_counts_pixels_not_values() -> None:
    perturbation = torch.zeros(1, 3, 4, 4)
    perturbation[0, :, 1, 1] = 0.5  # three values of one pixel
    perturbation[0, 2, 0, 3] = -1e-30  # one value of another, however small
    assert measure("l0", perturbation).tolist() == [2]


@pytest.mark.parametrize("norm", NORMS)
def test_norms_are_measured_in_float64(norm: str) -> None:
    # 0.1 in float32 is 0.100000001490116...: float64 keeps that, and sums it exactly enough
    perturbation = torch.full((1, 3, 100, 100), 0.1, dtype=torch.float32)
    value = float(torch.tensor(0.1, dtype=torch.float32))
    exact = {"linf": value, "l2": value * math.sqrt(30_000), "l1": value * 30_000, "l0": 10_000}
    # float32 would be off by 1e-7 of the value at best
    assert measure(norm, perturbation).item() == pytest.approx(exact[norm], rel=1e-12)


@pytest.mark.parametrize("norm", NORMS)
def test_memory_layout_does_not_matter(norm: str) -> None:
    perturbation = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    last = perturbation.to(memory_format=torch.channels_last)
    assert torch.allclose(measure(norm, last), measure(norm, perturbation), rtol=1e-14, atol=0)


def test_the_tolerance_is_for_rounding_only() -> None:
    # float32 near 1 has steps of 6e-8; the smallest budget of 8 bits is 1/255 = 4e-3
    assert 6e-8 < TOLERANCE <= 1e-6
