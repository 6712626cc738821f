"""What tests share: an installed package of plugins, a tiny suite, and photographs."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from bench import registry

ROOT = Path(__file__).parent.parent
PACKAGES = Path(__file__).parent / "plugin_package"


def pytest_sessionstart() -> None:
    """Refuse to test an installation that is older than the entry points of this source."""
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for group, points in stated["entry-points"].items():
        found = {(point.name, point.value) for point in metadata.entry_points(group=group)}
        if missing := sorted(points.items() - found):
            pytest.exit(f"not installed: {group} {missing[0]}: run 'pip install --no-deps -e .'", 2)


def pytest_collection_finish() -> None:
    """Have the collector of garbage leave alone what is there for good: a tenth of a run's time."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _no_wait_for_disks() -> Iterator[None]:
    """Let no test wait for the disk: files of tests need not outlast a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _file: None)
        yield


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Keep timings and digits apart from how many cores a machine has."""
    os.environ.pop("BENCH_STORE", None)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def install(package: str, target: Path) -> None:
    """Install a package of plugins into a folder, as pip does."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--target", str(target), str(PACKAGES / package)]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="session")
def plugin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the good package of plugins, installed; on no path yet."""
    target = tmp_path_factory.mktemp("plugins")
    install("good", target)
    return target


@pytest.fixture
def plugins(plugin_folder: Path) -> Iterator[Path]:
    """Make the package of plugins importable for a test."""
    with importable(plugin_folder):
        yield plugin_folder


@pytest.fixture(scope="module")
def module_plugins(plugin_folder: Path) -> Iterator[Path]:
    """Make the package of plugins importable for all tests of a module."""
    with importable(plugin_folder):
        yield plugin_folder


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Make the plugins in a folder importable, for this process and those that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", str(folder))
        forget_plugins()
        yield
    forget_plugins()


def forget_plugins() -> None:
    """Have the registry look again at what is installed."""
    registry._offers.cache_clear()
    registry.load.cache_clear()


@pytest.fixture
def tiny(plugins: Path) -> dict[str, Any]:
    """The plain values of a suite that runs in about a second."""
    return tiny_suite()


def tiny_suite() -> dict[str, Any]:
    """Return plain values that no other test holds."""
    return {
        "suite": "tiny",
        "seed": 7,
        "dataset": {"plugin": "blobs"},
        "images": {"from": ["test"], "count": 20},
        "models": {
            "linear": {"train": {"epochs": 2, "batch_size": 16, "lr": 0.01}},
            "gaudy": {"train": {"epochs": 2, "batch_size": 16, "lr": 0.01}},
        },
        "attacks": {
            "fgsm": {"grid": {"eps": [0.05, 0.2]}},
            "fgsm-targeted": {"plugin": "fgsm", "eps": 0.2, "target": 1},
            "pgd": {"eps": 0.2, "alpha": 0.05, "steps": 5},
        },
        "transfer": {"from": "all", "to": "all"},
        "audit": "off",  # its probes have tests of their own, and would double every run
        "run": {"threads": 1, "device": "cpu"},
    }


@pytest.fixture(scope="session")
def photographs() -> Path:
    """The folder of the ten sports' photographs; skips where there is none."""
    folder = Path(os.environ.get("BENCH_TEST_DATA", ROOT / ".." / "shared" / "data")) / "sports10"
    if not folder.is_dir():
        pytest.skip(f"no photographs at {folder}: set BENCH_TEST_DATA to a folder with sports10/")
    return folder
