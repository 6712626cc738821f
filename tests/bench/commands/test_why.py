"""A cell explained: what its key is made of, who its parents are, what changed, how to run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from planted import Planted

from bench import registry
from bench.commands import run as session
from bench.commands import why
from bench.errors import UsageError
from bench.store import Store


@pytest.fixture
def store(tiny: dict[str, Any], tmp_path: Path) -> Store:
    """A run with one attack that works and one that fails."""
    tiny["models"] = {"linear": {"train": {"epochs": 1, "batch_size": 16, "lr": 0.01}}}
    tiny["attacks"] = {"fgsm": {"grid": {"eps": ["8/255", 0.2]}}, "raises": {}}
    del tiny["transfer"]
    session.run(tiny, store=tmp_path / "store", reports=None)
    return Store(tmp_path / "store")


def test_a_result_is_explained_from_its_key_to_its_command(store: Store) -> None:
    text = why.explain("linear/fgsm@eps=0.2", store)
    matrix = session.open_last(None, store.url).matrix
    (entry,) = [e for e in matrix.entries if e.is_called("linear/fgsm@eps=0.2")]
    assert text.startswith("attack linear/fgsm@eps=0.2: done\n")
    assert f"key: {entry.key}" in text
    assert '"eps": 0.2' in text.partition("identity")[2].partition("parents")[0]
    # its one parent is the training, whose key it names
    trained = next(e for e in matrix.entries if e.kind == "train")
    parents = text.partition("\nparents\n")[2].partition("\noutputs\n")[0]
    assert f"train linear {trained.key[:12]}" in parents
    assert text.rstrip().endswith("--only 'attack linear/fgsm@eps=0.2'")
    assert "drift since\n  none" in text


def test_a_key_s_beginning_a_label_and_the_name_in_tables_mean_one_cell(store: Store) -> None:
    label = why.explain("attack linear/fgsm@eps=0.0313725", store)
    key = label.partition("key: ")[2][:8]
    assert why.explain("linear/fgsm@eps=8/255", store) == label
    assert why.explain(key, store) == label


def test_a_failure_is_explained_with_its_traceback(store: Store) -> None:
    text = why.explain("linear/raises", store)
    assert text.startswith("attack linear/raises: failed: RuntimeError: lost my way")
    assert "Traceback (most recent call last)" in text
    assert "identity" in text
    assert text.rstrip().endswith("--only 'attack linear/raises'")


def test_what_is_no_cell_comes_with_the_nearest(store: Store) -> None:
    with pytest.raises(UsageError, match=r"not in the store.*'attack linear/raises'"):
        why.explain("attack linear/raise", store)


def test_a_beginning_of_several_keys_is_refused(tmp_path: Path) -> None:
    planted = Planted(tmp_path)
    planted.evaluate("net", [True])
    planted.evaluate("other", [True])
    with pytest.raises(UsageError, match="'0000' begins 2 keys"):
        why.explain("0000", planted.store)


def test_a_name_that_several_cells_go_by_is_refused_with_their_labels(store: Store) -> None:
    # the training and the evaluation of the model have the same coordinates
    with pytest.raises(UsageError) as error:
        why.explain("linear", store)
    assert "'linear' is the name of several" in str(error.value)
    assert "'train linear' or 'evaluate linear'" in str(error.value)


def test_a_source_that_changed_since_is_named(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = registry.source_digest
    monkeypatch.setattr(
        registry, "source_digest", lambda m: "another" if m == "bench.referee" else known(m)
    )
    text = why.explain("evaluate linear", store)
    drift = text.partition("\ndrift since\n")[2].partition("\n\n")[0]
    assert drift == "  source of bench.referee changed: raise its revision if results changed"


def test_a_library_of_another_version_is_named(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = registry.installed_version
    monkeypatch.setattr(
        registry, "installed_version", lambda name: "9.9" if name == "timm" else known(name)
    )
    drift = why.explain("evaluate linear", store).partition("\ndrift since\n")[2]
    assert drift.partition("\n\n")[0] == f"  timm was {known('timm')}, is 9.9"


def test_the_command_names_the_one_cell_only_whatever_it_named_before(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = store.last_run()
    account["command"] = "bench run tiny.yaml --only 'evaluate linear' --seed 7"
    store.put_run(account["name"], account)
    text = why.explain("linear/fgsm@eps=0.2", store)
    expected = "  bench run tiny.yaml --seed 7 --only 'attack linear/fgsm@eps=0.2'"
    assert text.splitlines()[-1] == expected
