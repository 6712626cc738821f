"""What the tests of plugins share: one thread, so that two cores are not fought over."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def photographs() -> Path:
    repository = Path(__file__).parents[2]
    data = Path(os.environ.get("BENCH_TEST_DATA", repository.parent / "shared" / "data"))
    folder = data / "sports10"
    if not folder.is_dir():
        pytest.skip(f"no photographs: {folder} does not exist (BENCH_TEST_DATA names the folder)")
    return folder
