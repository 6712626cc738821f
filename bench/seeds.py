"""Seeds derived from names, and global generators that are put back.

Every random draw of a run goes back to the suite's seed through :func:`derive`. Libraries that draw
from the global generators run inside :func:`forked`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np

from bench.fingerprint import fingerprint
from bench.records import JSON


def derive(*names: JSON) -> int:
    """Derive a seed in [0, 2**63) from a suite's seed and the names of what it is for.

    >>> derive(42, "images") == derive(42, "images") != derive(43, "images")
    True
    """
    return int(fingerprint(list(names))[:16], 16) >> 1


@contextmanager
def forked(seed: int) -> Iterator[None]:
    """Seed the global generators of torch, numpy and random; restore all of them at the end.

    For libraries that draw from the global generators.
    """
    with preserved():
        reseed(seed)
        yield


def reseed(seed: int) -> None:
    """Seed the global generators of torch, numpy and random, for good: within :func:`preserved`."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    _seed_torch(seed)


def _seed_torch(seed: int) -> None:
    """Seed torch's global generators.

    Where there is no accelerator, not by :func:`torch.manual_seed`: for devices that are not there
    it formats the stack of each call, which takes milliseconds.
    """
    import torch

    if _has_accelerator():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


@cache
def _has_accelerator() -> bool:
    import torch

    return bool(torch.accelerator.is_available())


@contextmanager
def preserved() -> Iterator[None]:
    """Restore the global generators of torch, numpy and random at the end.

    They are restored after an exception too, those of every CUDA device included.
    """
    import torch

    python_state = random.getstate()
    numpy_state = np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
