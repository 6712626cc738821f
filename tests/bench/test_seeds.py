"""Derived seeds never move; the global generators are always put back."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from bench import seeds


def draws() -> list[float]:
    """Draw from every global generator, then put nothing back."""
    return [random.random(), float(np.random.random()), float(torch.rand(()))]


@pytest.fixture
def expected() -> list[float]:
    """Seed the global generators, and return what they give next."""
    for _ in range(2):
        random.seed(5)
        np.random.seed(6)
        torch.manual_seed(7)
        first = draws()
    random.seed(5)
    np.random.seed(6)
    torch.manual_seed(7)
    return first


@pytest.mark.parametrize(
    ("names", "seed"),
    [
        # the first 16 hexadecimal digits of sha256('[42,"images"]'), halved
        ((42, "images"), 1199048957107397945),
        # the same of '[42,"attack",{"eps":0.1}]'
        ((42, "attack", {"eps": 0.1}), 2736388969119157094),
    ],
)
def test_derived_seeds_are_golden(names: tuple[object, ...], seed: int) -> None:
    assert seeds.derive(*names) == seed


def test_derived_seeds_differ_by_name_and_fit_torch_and_numpy() -> None:
    made = {seeds.derive(seed, name) for seed in range(50) for name in ("a", "b", "ab")}
    made |= {seeds.derive("a", "b"), seeds.derive("b", "a"), seeds.derive(["a", "b"])}
    assert len(made) == 153  # 50 seeds x 3 names, and the three
    assert all(0 <= seed < 2**63 for seed in made)
    for seed in made:
        torch.Generator().manual_seed(seed)
        np.random.default_rng(seed)


def test_forked_gives_the_same_draws_for_the_same_seed() -> None:
    with seeds.forked(11):
        first = draws()
    with seeds.forked(11):
        again = draws()
    with seeds.forked(12):
        other = draws()
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_forked_takes_the_largest_derived_seed() -> None:
    with seeds.forked(2**63 - 1):
        draws()


@pytest.mark.parametrize("context", [lambda: seeds.forked(1), seeds.preserved])
def test_the_global_generators_are_put_back(expected: list[float], context) -> None:
    with context():
        draws()
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
    assert draws() == expected


@pytest.mark.parametrize("context", [lambda: seeds.forked(1), seeds.preserved])
def test_the_global_generators_are_put_back_after_an_exception(
    expected: list[float], context
) -> None:
    def leave() -> None:
        with context():
            draws()
            raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        leave()
    assert draws() == expected


def test_preserved_does_not_seed(expected: list[float]) -> None:
    with seeds.preserved():
        assert draws() == expected
    assert draws() == expected
