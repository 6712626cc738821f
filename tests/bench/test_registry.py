"""Plugins are found by name, distinguished by distribution, and refused one at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import forget_plugins, install

from bench import registry
from bench.api import KINDS, Attack
from bench.commands import catalog
from bench.errors import PluginError, UsageError
from bench.registry import Offer


@pytest.fixture(scope="module")
def twin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a second distribution, which offers a name that the first one offers too."""
    target = tmp_path_factory.mktemp("twin")
    install("twin", target)
    return target


@pytest.fixture
def twin(plugins: Path, twin_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have both distributions installed."""
    monkeypatch.syspath_prepend(str(twin_folder))
    forget_plugins()
    return twin_folder


def reported(kind: str, name: str) -> str:
    with pytest.raises(PluginError) as error:
        registry.load(kind, name)
    (problem,) = error.value.problems
    return str(problem)


def test_offers_bear_their_distribution(plugins: Path) -> None:
    found = {(offer.kind, offer.name): offer for offer in registry.offers()}
    assert found["attacks", "identity"] == Offer(
        "attacks",
        "identity",
        "bench-test-plugins",
        "1.2.3",
        "bench_test_plugins.attacks:Identity",
    )
    assert found["attacks", "fgsm"].distribution == "bench-classifiers"
    assert [offer.kind for offer in registry.offers("models")] == (
        ["models"] * len(registry.offers("models"))
    )
    assert len(registry.offers()) == sum(len(registry.offers(kind)) for kind in KINDS)


def test_offers_are_sorted_by_kind_and_name(plugins: Path) -> None:
    order = [(list(KINDS).index(offer.kind), offer.name) for offer in registry.offers()]
    assert order == sorted(order)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="got 'explainer', expected one of datasets, models, att"):
        registry.offers("explainer")


def test_good_plugins_load_beside_broken_ones(plugins: Path) -> None:
    for name in ("identity", "greedy", "raises", "colour_only", "fgsm", "pgd"):
        assert issubclass(registry.load("attacks", name), Attack)
    assert registry.load("models", "linear").__module__ == "bench_test_plugins.models"
    assert registry.load("datasets", "ragged").__name__ == "Ragged"


def test_a_missing_plugin_comes_with_the_nearest_of_its_kind(plugins: Path) -> None:
    assert reported("attacks", "idenity") == (
        "attack plugin 'idenity': is not installed; did you mean 'identity'? "
        "(see 'bench list attacks')"
    )
    # a model of that name would not do for a dataset
    assert "linear" not in reported("datasets", "linear").partition("is not installed")[2]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("unimportable", "failed to import: RuntimeError: this module cannot be imported"),
        ("missing", "failed to import: AttributeError: "),
        ("impostor", "is <class 'bench_test_plugins.broken.Impostor'>, expected a subclass of "),
        ("unsigned", "has the signature (self, model: 'Any', x: 'Any') -> 'Any': "),
        ("unnormed", "got 'l3', expected None or one of linf, l2, l1, l0"),
        ("unfinished", "lacks perturb"),
    ],
)
def test_a_broken_plugin_is_reported_with_its_distribution_and_fault(
    plugins: Path, name: str, fault: str
) -> None:
    text = reported("attacks", name)
    assert text.startswith(f"attack plugin '{name}' of bench-test-plugins 1.2.3: ")
    assert fault in text


def test_the_table_of_broken_plugins_is_whole(plugins: Path) -> None:
    broken = set()
    for offer in registry.offers():
        try:
            registry.load(offer.kind, offer.name)
        except PluginError:
            broken.add(offer.name)
    assert broken == {"unimportable", "missing", "impostor", "unsigned", "unnormed", "unfinished"}


def test_a_name_that_two_distributions_offer_names_both(twin: Path) -> None:
    text = reported("attacks", "disputed")
    assert "attack plugin 'disputed': is offered twice" in text
    assert "bench-test-plugins 1.2.3 (bench_test_plugins.attacks:Identity)" in text
    assert "bench-twin-plugins 0.9 (bench_twin_plugins:Disputed)" in text
    assert "uninstall one" in text
    # neither of the two was imported, and nothing else is affected
    assert "bench_twin_plugins" not in sys.modules
    assert registry.load("attacks", "identity").__name__ == "Identity"


def test_one_of_two_distributions_alone_is_fine(plugins: Path) -> None:
    assert registry.load("attacks", "disputed").__name__ == "Identity"


def test_a_distribution_found_twice_on_the_path_offers_once(
    plugins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = len(registry.offers())
    monkeypatch.setattr(sys, "path", [*sys.path, str(plugins)])
    registry._offers.cache_clear()
    assert len(registry.offers()) == count


# Summaries

IMPORTS_NOTHING = """
import json, sys
from bench import registry
found = {f"{o.kind}/{o.name}": registry.summary(o) for o in registry.offers()}
heavy = {"torch", "torchvision", "torchattacks", "timm", "sklearn", "PIL", "pandas", "matplotlib"}
mine = [m for m in sys.modules if m.startswith(("bench_test_plugins", "bench_plugins"))]
print(json.dumps([found, sorted(heavy & set(sys.modules)), mine]))
"""


def test_summaries_are_read_without_importing_anything(plugins: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS_NOTHING], capture_output=True, text=True, check=True
    )
    found, heavy, mine = json.loads(done.stdout)
    assert heavy == mine == []
    assert found["datasets/blobs"] == (
        "Three classes of noisy images, each with a bright corner of its own."
    )
    assert found["attacks/identity"] == "Return the images as they are."
    assert found["attacks/impostor"] == "No plugin at all."
    assert found["attacks/unimportable"] == ""  # its module holds no such class
    assert found["attacks/missing"] == ""
    assert found["attacks/fgsm"]


def test_sources_are_found_without_importing(plugins: Path) -> None:
    path = registry.source("bench_test_plugins.unimportable")
    assert path == plugins / "bench_test_plugins" / "unimportable.py"
    assert registry.source("bench_test_plugins.nowhere") is None
    assert registry.source("nowhere.at.all") is None
    assert registry.source("math") is None  # no Python source


# Identities


def test_an_identity_names_distribution_revision_and_library(plugins: Path) -> None:
    identity = registry.load("attacks", "identity")()
    assert registry.identity("attacks", "identity", identity) == {
        "plugin": "bench-test-plugins:identity",
        "revision": 1,
    }
    fgsm = registry.load("attacks", "fgsm")
    version = registry.installed_version("torchattacks")
    assert version[0].isdigit()
    assert registry.identity("attacks", "fgsm", fgsm()) == {
        "plugin": "bench-classifiers:fgsm",
        "revision": fgsm.revision,
        "library": f"torchattacks {version}",
    }


def test_a_library_that_is_not_installed_is_missing() -> None:
    assert registry.installed_version("no-such-distribution-of-anybody") == "missing"


def test_a_group_that_bench_does_not_know_is_reported(plugins: Path, twin: Path) -> None:
    words = (
        "bench-twin-plugins 0.9 offers 'misspelt' in the entry-point group 'bench.atacks', which "
        "bench does not know: did you mean 'attacks'?"
    )
    assert registry.strangers() == [words]
    assert catalog.installed().endswith(words)


def test_every_group_of_this_source_is_known() -> None:
    assert registry.strangers() == []
