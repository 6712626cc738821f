"""Suite files: every mistake reported at once and once, with file, line, path and what would do."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import suite
from bench.errors import SuiteError
from bench.suite import shipped
from bench.suite.overrides import Overrides


@pytest.fixture(autouse=True)
def _plugins(plugins: Path) -> None:
    """Have the package of test plugins installed."""


def _sparsity(read: Any) -> float:
    return read.variants[0].steps[0].plugin.sparsity


def problems(source: Any, overrides: Overrides | None = None) -> list[str]:
    with pytest.raises(SuiteError) as error:
        suite.read(source, overrides)
    return [str(problem) for problem in error.value.problems]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write a suite file, and name it by a short path."""
    monkeypatch.chdir(tmp_path)

    def put(text: str) -> str:
        Path("s.yaml").write_text(text, encoding="utf-8")
        return "s.yaml"

    return put


# All errors at once

MISTAKES = """\
suite: a bad name
seed: -1
dataset:
  plugin: blobs
  trian: 3
images: {from: [test], count: 0}
models:
  linear: {}
  gaudy:
    train: {epochs: 0, epoch: 3}
  twice: {plugin: linear, train: {}, weights: w.safetensors}
  lineer: {train: {}}
  number: 3
attacks:
  fgsm: {epps: 0.1}
  pgd: {steps: many}
  noise: {target: 1}
  identity: {target: one}
  greedy: {grid: [1]}
  bright: {grid: {eps: [0.1, 0.1]}}
  disputd:
transfer: {from: [linaer], too: all}
run: {models: [gaudi], batch_size: 0}
tables:
  first: {metric: sucess_rate}
  second: {rows: [attack]}
  third: {metric: success_rate, column: [model]}
extra: 1
"""

REPORTED = [
    (1, "suite", "got 'a bad name', expected"),
    (2, "seed", "got -1, expected greater than or equal to 0"),
    (5, "dataset.trian", "unknown key; did you mean 'train'?"),
    (6, "images.count", "got 0, expected greater than or equal to 1"),
    (8, "models.linear", "has no weights, expected one of train:"),
    (10, "models.gaudy.train.epochs", "got 0, expected greater than or equal to 1"),
    (10, "models.gaudy.train.epoch", "unknown key; did you mean 'epochs'?"),
    (11, "models.twice", "has weights from two places, expected one of train:"),
    (12, "models.lineer", "model plugin 'lineer' is not installed; did you mean 'linear'?"),
    (13, "models.number", "got 3, expected"),
    (15, "attacks.fgsm.epps", "unknown key; did you mean 'eps'?"),
    (16, "attacks.pgd.steps", "got 'many', expected a whole number"),
    (17, "attacks.noise.target", "'noise' does not honour targets"),
    (18, "attacks.identity.target", "got 'one', expected the index of a class"),
    (19, "attacks.greedy.grid", "got [1], expected a mapping from parameters to lists"),
    (20, "attacks.bright.grid", "gives 'bright@eps=0.1' twice"),
    (21, "attacks.disputd", "attack plugin 'disputd' is not installed; did you mean 'disputed'?"),
    (
        22,
        "transfer.from[0]",
        "'linaer' is no model of this suite; did you mean 'lineer' or 'linear'?",
    ),
    (22, "transfer.too", "unknown key; did you mean 'to'?"),
    (23, "run.models[0]", "'gaudi' is no model of this suite; did you mean 'gaudy'?"),
    (23, "run.batch_size", "got 0, expected greater than or equal to 1"),
    (25, "tables.first.metric", "'sucess_rate' is no metric; did you mean 'success_rate'"),
    (26, "tables.second.metric", "is missing"),
    (27, "tables.third.column", "unknown key; did you mean 'columns'?"),
    (28, "extra", "unknown key; there is attacks, audit, budget, dataset, description, examples,"),
]


def test_every_mistake_is_reported_once_where_it_stands(write) -> None:
    reported = problems(write(MISTAKES))
    for line, path, text in REPORTED:
        beginning = f"s.yaml:{line}: {path}: {text}"
        assert [one for one in reported if one.startswith(beginning)] != [], "\n".join(reported)
    assert len(reported) == len(REPORTED), "\n".join(reported)


def test_mistakes_are_reported_in_the_order_of_the_file(write) -> None:
    lines = [int(one.split(":")[1]) for one in problems(write(MISTAKES))]
    assert lines == sorted(lines)


def test_overrides_do_not_hide_mistakes_and_their_own_bear_the_options_name(write, tiny) -> None:
    reported = problems(
        tiny,
        Overrides(
            models=["linaer"],
            attacks=["fgms"],
            data_root="/data",
            images=0,
            seed=-1,
            sets=["attacks.pgd.steps=0", "attacks[fgsm-targeted].epps=1"],
        ),
    )
    for beginning in (
        "--models: run.models[0]: 'linaer' is no model of this suite; did you mean 'linear'?",
        "--attacks: 'fgms' is no attack of this suite; did you mean 'fgsm'",
        "--data-root: dataset.root: unknown key",
        "--images: images.count: got 0, expected",
        "--seed: seed: got -1, expected",
        "--set attacks.pgd.steps=0: attacks.pgd.steps: got 0, expected",
        "--set attacks[fgsm-targeted].epps=1: attacks.fgsm-targeted.epps: unknown key",
    ):
        assert [one for one in reported if one.startswith(beginning)] != [], (beginning, reported)
    assert len(reported) == 7


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("run.models", 3),
        ("run.models", "linear"),
        ("transfer.to", 3),
        ("dataset", 3),
        ("tables", {"t": {"metric": "l2", "where": {"eps": [1]}}}),
        ("images.count", "many"),
        ("attacks", [1]),
        ("models", {}),
    ],
)
def test_one_mistake_is_one_problem(tiny, path: str, value: Any) -> None:
    place = tiny
    *above, last = path.split(".")
    for key in above:
        place = place[key]
    place[last] = value
    reported = problems(tiny)
    assert len(reported) == 1, reported
    assert reported[0].startswith(f"suite: {path}")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("models",), 3),
        (("models",), ["linear"]),
        (("models",), None),
        (("models", "linear"), ["train"]),
        (("models", "linear", "plugin"), ["linear"]),
        (("models", "linear", "train"), "mighty"),
        (("models", "linear", "train"), {"patience": True}),
        (("models", "linear", "train"), {"seed": 2**63}),
        (("attacks",), 3),
        (("attacks", "pgd"), 3),
        (("attacks", "pgd", "plugin"), {"a": 1}),
        (("attacks", "pgd", "grid"), {"eps": 3}),
        (("attacks", "pgd", "grid"), {"eps": []}),
        (("attacks", "pgd", "grid"), {}),
        (("attacks", "pgd", "target"), True),
        (("dataset",), None),
        (("dataset",), [1]),
        (("dataset", "plugin"), None),
        (("dataset", "plugin"), 3),
        (("images",), 3),
        (("images", "from"), []),
        (("run",), 3),
        (("run", "models"), [3]),
        (("run", "models"), [["linear"]]),
        (("transfer",), "all"),
        (("transfer", "to"), [{"a": 1}]),
        (("tables",), 3),
        (("tables",), {"t": 3}),
        (("tables",), {"t": {"metric": 3}}),
        (("tables",), {"t": {"metric": {"l2": 1}}}),
        (("suite",), None),
        (("seed",), "one"),
    ],
    ids=repr,
)
def test_values_of_another_shape_are_reported_at_their_place(
    tiny, path: tuple[str, ...], value: Any
) -> None:
    tiny["run"]["models"] = ["linear"]
    place = tiny
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert [one for one in problems(tiny) if ".".join(path[:2]) in one] != []


def test_a_mistake_in_a_grid_names_the_parameter(tiny) -> None:
    tiny["attacks"] = {"fgsm": {"grid": {"eps": [0.1, 2]}}}
    (reported,) = problems(tiny)
    assert "eps" in reported
    assert "got 2" in reported


def test_every_mistake_in_a_grid_is_reported(tiny) -> None:
    tiny["attacks"] = {"fgsm": {"grid": {"eps": [2, 0.1, 3]}}}
    reported = problems(tiny)
    assert [one for one in reported if "got 2" in one] != []
    assert [one for one in reported if "got 3" in one] != []


def test_a_parameter_that_a_grid_varies_cannot_be_fixed_too(tiny) -> None:
    tiny["attacks"] = {"fgsm": {"eps": 0.3, "grid": {"eps": [0.1]}}}
    (reported,) = problems(tiny)
    assert "attacks.fgsm" in reported


def test_two_attacks_cannot_have_one_name(tiny) -> None:
    # the second would take the place of the first in the plan
    tiny["attacks"] = {
        "fgsm@eps=0.1": {"plugin": "fgsm", "eps": 0.1, "target": 1},
        "fgsm": {"grid": {"eps": [0.1]}},
    }
    (reported,) = problems(tiny)
    assert "fgsm@eps=0.1" in reported


def test_a_split_cannot_be_named_twice(tiny) -> None:
    # every image would count twice, and every interval be too narrow
    tiny["images"]["from"] = ["test", "test"]
    (reported,) = problems(tiny)
    assert reported.startswith("suite: images.from")


def test_a_broken_plugin_is_reported_with_its_distribution(tiny) -> None:
    tiny["attacks"]["unimportable"] = {}
    (reported,) = problems(tiny)
    assert reported.startswith(
        "suite: attacks.unimportable: attack plugin 'unimportable' of bench-test-plugins 1.2.3 "
        "failed to import: RuntimeError: this module cannot be imported"
    )


@pytest.mark.parametrize(
    ("budget", "reported"),
    [
        ({"norm": "l2"}, "budget.eps: is missing, expected radius"),
        ({"norm": "l2", "esp": 1}, "budget.esp: unknown key; did you mean 'eps'?"),
        ({"norm": "l3", "eps": 1}, "budget.norm: got 'l3', expected 'linf', 'l2', 'l1' or 'l0'"),
        ({"norm": "l2", "eps": 0}, "budget.eps: got 0, expected greater than 0"),
        ([{"norm": "l2", "eps": "half"}], "budget[0].eps: got 'half', expected a number"),
        ([{"norm": "l2", "eps": 1}] * 2, "budget[1]: 'l2' has two budgets, expected one for each"),
        (3, "budget: got 3"),
    ],
)
def test_a_budget_is_one_wherever_it_stands(tiny, budget: Any, reported: str) -> None:
    assert any(
        line.startswith(f"suite: {reported}") for line in problems({**tiny, "budget": budget})
    )
    if isinstance(budget, dict):
        tiny["attacks"]["blend"] = {"budget": budget}
        place = f"suite: attacks.blend.{reported}"
        assert any(line.startswith(place) for line in problems(tiny))


@pytest.mark.parametrize(
    ("cascade", "reported"),
    [
        (["pgd"], "attacks.both.cascade: got ['pgd'], expected"),
        (["pgd", "pgd"], "attacks.both.cascade: got ['pgd', 'pgd'], expected each attack once"),
        (["pgd", "fgsm"], "attacks.both.cascade[1]: 'fgsm' is no attack of this suite, expected"),
        (["pgd", "fgsm-targeted"], "attacks.both.cascade[1]: 'fgsm-targeted' has a target of its"),
        (["pgd", "fgsm@eps=0.05"], "attacks.both.cascade: pgd linf 0.2; fgsm@eps=0.05 linf 0.05,"),
        (
            ["pgd", "both"],
            "attacks.both.cascade[1]: 'both' is a cascade, expected attacks that are",
        ),
        (["blend", "brush"], "attacks.both.cascade: its attacks promise no budget, expected a"),
    ],
)
def test_mistakes_in_cascades_are_reported(tiny, cascade: list[str], reported: str) -> None:
    tiny["attacks"] |= {"blend": {}, "brush": {"plugin": "blend", "steps": 3}}
    tiny["attacks"]["both"] = {"cascade": cascade}
    (line,) = problems(tiny)
    assert line.startswith(f"suite: {reported}")


def test_a_cascade_of_an_attack_with_a_mistake_adds_no_problem(tiny) -> None:
    tiny["attacks"]["both"] = {"cascade": ["pgd", "pdg2"]}
    tiny["attacks"]["pdg2"] = {"plugin": "pgd", "epps": 1}
    (line,) = problems(tiny)
    assert line.startswith("suite: attacks.pdg2.epps: unknown key")


def test_a_cascade_names_attacks_whatever_else_is_wrong_with_it(tiny) -> None:
    tiny["attacks"]["both"] = {"cascade": ["pgd", "pdg"], "eps": 3}
    reported = problems(tiny)
    assert [line.partition(":")[2].partition(":")[0].strip() for line in reported] == [
        "attacks.both.cascade[1]",
        "attacks.both.eps",
    ]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("attacks.pgd.eps", True),
        ("attacks.pgd.steps", False),
        ("images.count", True),
        ("run.threads", True),
        ("variants", {"half": [{"magnitude": {"sparsity": True}}]}),
        ("models.linear.train.epochs", True),
        ("seed", True),
        ("gallery", {"right": True}),
    ],
)
def test_a_yes_or_no_is_no_number(tiny, path: str, value: Any) -> None:
    place = tiny
    *above, last = path.split(".")
    for key in above:
        place = place[key]
    place[last] = value
    (line,) = problems(tiny)
    assert path.partition(".")[0] in line
    assert "no yes or no" in line


# Values of a program


def test_paths_are_text_and_tuples_are_lists(tiny, tmp_path: Path) -> None:
    tiny["models"]["mine"] = {
        "plugin": "linear",
        "weights": tmp_path / "w.safetensors",
        "mean": (0.5,),
        "std": (0.2,),
    }
    read = suite.read({**tiny, "images": {"from": ("test",)}})
    assert read.models[-1].plugin.weights == tmp_path / "w.safetensors"
    assert read.document.data["models"]["mine"]["weights"] == str(tmp_path / "w.safetensors")
    assert read.document.data["models"]["mine"]["std"] == [0.2]
    assert json.loads(json.dumps(read.document.data)) == read.document.data


@pytest.mark.parametrize(
    ("number", "plain"),
    [
        (np.float64(0.25), 0.25),
        (np.float32(0.25), 0.25),
        (np.int64(1), 1),
        (Fraction(8, 255), 8 / 255),
    ],
    ids=lambda value: type(value).__name__,
)
def test_numbers_of_other_types_are_numbers(tiny, number: Real, plain: float) -> None:
    tiny["attacks"]["pgd"]["eps"] = number
    read = suite.read(tiny)
    found = read.document.data["attacks"]["pgd"]["eps"]
    assert (type(found), found) == (type(plain), plain)
    assert read.attacks[-1].plugin.eps == plain


def test_a_value_that_holds_itself_is_refused(tiny) -> None:
    tiny["attacks"]["pgd"] = tiny["attacks"]
    assert problems(tiny) == ["suite: is nested without end, expected plain values"]


def test_what_is_no_plain_value_is_reported_with_all_the_rest(tiny) -> None:
    tiny["attacks"]["pgd"]["eps"] = {0.1, 0.2}
    tiny["models"]["linear"]["train"] = object
    tiny["run"][3] = "three"
    reported = problems(tiny)
    assert [line.partition(", expected ")[0] for line in reported] == [
        f"suite: models.linear.train: holds a type: {object!r}",
        "suite: attacks.pgd.eps: holds a set: " + repr({0.1, 0.2}),
        "suite: run: has the key 3",
    ]
    assert all("; give what a YAML file would hold" in line for line in reported)


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("attacks.pgd.eps", "8/255", lambda read: read.attacks[-1].plugin.eps),
        ("attacks.fgsm.grid.eps", ["8/255"], lambda read: read.attacks[0].plugin.eps),
        ("models.linear.train.lr", "8/255", lambda read: read.models[0].recipe.lr),
        ("budget", {"norm": "l2", "eps": "8/255"}, lambda read: read.budget[0].eps),
        ("variants", {"half": [{"magnitude": {"sparsity": "8/255"}}]}, _sparsity),
        (
            "tables",
            {"t": {"metric": "l2", "where": {"eps": "8/255"}}},
            lambda read: read.tables["t"].where["eps"],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_text_of_a_fraction_is_a_number_where_one_is_due(
    tiny, path: str, value: Any, found: Callable[[Any], Any]
) -> None:
    place = tiny
    *above, last = path.split(".")
    for key in above:
        place = place[key]
    place[last] = value
    assert found(suite.read({**tiny, "description": "1/2"})) == 8 / 255
    assert suite.read({**tiny, "description": "1/2"}).description == "1/2"


def test_a_fraction_of_zero_is_no_number(tiny) -> None:
    tiny["attacks"]["pgd"]["eps"] = "1/0"
    (reported,) = problems(tiny)
    assert reported.startswith("suite: attacks.pgd.eps: got '1/0', expected a number")


# Files


def test_a_missing_file_comes_with_the_nearest_shipped_suites() -> None:
    (reported,) = problems("quik")
    assert reported.startswith("quik: no such suite, expected a YAML file or the name of a shipped")
    assert "did you mean 'quick'?" in reported


def test_a_list_is_no_suite(write) -> None:
    assert problems(write("- a\n- b\n")) == ["s.yaml: holds a list, expected a mapping"]


def test_a_word_is_no_suite(write) -> None:
    assert problems(write("quick\n")) == ["s.yaml: holds a str, expected a mapping"]


def test_an_empty_file_lacks_all_that_is_required(write) -> None:
    for text in ("", "# nothing yet\n"):
        reported = problems(write(text))
        assert sorted(one.split(": ")[1] for one in reported) == ["dataset", "models", "suite"]
        assert all(one.startswith("s.yaml:1: ") and "is missing" in one for one in reported)


def test_a_file_that_is_not_yaml_is_reported_with_its_line(write) -> None:
    (reported,) = problems(write("suite: s\nmodels: {linear: [\n"))
    assert reported.startswith("s.yaml:3: not YAML: ")


def test_a_file_that_is_not_utf_8_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_bytes("suite: größe\n".encode("latin-1"))
    (reported,) = problems(file)
    assert "s.yaml" in reported


@pytest.mark.parametrize("name", [path.stem for path in sorted(shipped("suites").glob("*.yaml"))])
def test_every_shipped_suite_is_valid_and_bears_its_files_name(name: str) -> None:
    read = suite.read(name)
    assert read.name == name
    assert read.selected
    assert read.tables
    assert suite.read(suite.locate(name)).attacks == read.attacks


def test_a_file_in_the_folder_comes_before_a_shipped_name(write) -> None:
    text = "suite: mine\ndataset: blobs\nmodels: {linear: {train: {}}}\n"
    Path(write(text)).rename("quick")
    assert suite.read("quick").name == "mine"


# What a valid suite holds


def test_a_suite_holds_configured_plugins(tiny) -> None:
    read = suite.read(tiny)
    assert (read.name, read.seed, read.dataset.name) == ("tiny", 7, "blobs")
    assert [model.name for model in read.models] == ["linear", "gaudy"]
    assert read.models[0].recipe.epochs == 2
    assert read.models[0].recipe.lr == 0.01
    assert read.images.splits == ("test",)
    assert read.images.count == 20
    assert read.attacks[-1].plugin.parameters() == {
        "eps": 0.2,
        "alpha": 0.05,
        "steps": 5,
        "random_start": True,
    }


def test_defaults_are_as_small_as_a_suite_can_be() -> None:
    read = suite.read(
        {"suite": "s", "dataset": "blobs", "models": {"linear": {"train": {}}}, "attacks": {}}
    )
    assert (read.seed, read.images.splits, read.images.count) == (0, ("test",), 100)
    assert read.attacks == ()
    assert read.transfer is None
    assert [model.name for model in read.selected] == ["linear"]


def test_an_entry_without_parameters_may_be_left_empty(write) -> None:
    text = "suite: s\ndataset: blobs\nmodels: {linear: {train: {}}}\nattacks: {pgd: }\n"
    read = suite.read(write(text))
    assert [(a.name, a.plugin_name) for a in read.attacks] == [("pgd", "pgd")]


def test_the_dataset_may_be_a_name_or_a_mapping(tiny) -> None:
    plain = suite.read({**tiny, "dataset": "blobs"}).dataset
    mapped = suite.read({**tiny, "dataset": {"plugin": "blobs", "noise": 3}}).dataset
    assert plain.plugin.parameters()["noise"] == 60  # its default
    assert mapped.plugin.parameters() == {**plain.plugin.parameters(), "noise": 3}


def test_a_suite_is_frozen(tiny) -> None:
    read = suite.read(tiny)
    with pytest.raises(ValueError, match="frozen"):
        read.seed = 1
    with pytest.raises(ValueError, match="frozen"):
        read.attacks[0].plugin.eps = 1.0


# Grids


def names(source: Any, **overrides: Any) -> list[str]:
    return [attack.name for attack in suite.read(source, Overrides(**overrides)).attacks]


def test_a_grid_expands_to_named_points_in_order(tiny) -> None:
    tiny["attacks"] = {
        "sweep": {"plugin": "pgd", "steps": 3, "grid": {"eps": [8 / 255, 0.5], "alpha": [1, 0.01]}},
        "pgd": {"grid": {"random_start": [True, False]}},
    }
    read = suite.read(tiny)
    assert [(a.name, a.group, a.plugin_name) for a in read.attacks] == [
        # 8 / 255 = 0.03137254..., six digits of it
        ("sweep@eps=0.0313725,alpha=1", "sweep", "pgd"),
        ("sweep@eps=0.0313725,alpha=0.01", "sweep", "pgd"),
        ("sweep@eps=0.5,alpha=1", "sweep", "pgd"),
        ("sweep@eps=0.5,alpha=0.01", "sweep", "pgd"),
        ("pgd@random_start=True", "pgd", "pgd"),
        ("pgd@random_start=False", "pgd", "pgd"),
    ]
    assert read.attacks[0].plugin.eps == 8 / 255
    assert [a.plugin.steps for a in read.attacks[:4]] == [3] * 4
    assert [a.plugin.alpha for a in read.attacks[:4]] == [1, 0.01, 1, 0.01]


def test_a_target_holds_for_every_point_of_a_grid(tiny) -> None:
    tiny["attacks"] = {"fgsm": {"target": 2, "grid": {"eps": [0.1, 0.2]}}, "pgd": {}}
    assert [a.target for a in suite.read(tiny).attacks] == [2, 2, None]


# Overrides


@pytest.mark.parametrize(
    ("models", "selected"),
    [
        (None, ["gaudy"]),
        (["linear"], ["linear"]),
        (["all"], ["linear", "gaudy"]),
        (["gaudy", "linear"], ["linear", "gaudy"]),
    ],
)
def test_models_may_be_picked(tiny, models: list[str] | None, selected: list[str]) -> None:
    tiny["run"]["models"] = ["gaudy"]
    read = suite.read(tiny, Overrides(models=models))
    assert [model.name for model in read.selected] == selected


@pytest.mark.parametrize(
    ("attacks", "selected"),
    [
        (None, ["fgsm@eps=0.05", "fgsm@eps=0.2", "fgsm-targeted", "pgd"]),
        (["fgsm"], ["fgsm@eps=0.05", "fgsm@eps=0.2"]),
        (["fgsm@eps=0.2"], ["fgsm@eps=0.2"]),
        (["pgd", "fgsm@eps=0.2"], ["fgsm@eps=0.2", "pgd"]),
        (["fgsm", "fgsm@eps=0.2"], ["fgsm@eps=0.05", "fgsm@eps=0.2"]),
        (["fgsm@eps=0.2,pgd"], ["fgsm@eps=0.2", "pgd"]),
    ],
)
def test_attacks_may_be_picked_by_group_or_full_name(tiny, attacks, selected: list[str]) -> None:
    assert names(tiny, attacks=attacks) == selected


def test_an_attack_that_is_none_comes_with_the_nearest(tiny) -> None:
    assert problems(tiny, Overrides(attacks=["pgd", "fgsm-tageted"])) == [
        "--attacks: 'fgsm-tageted' is no attack of this suite; did you mean 'fgsm-targeted'?"
    ]


def test_plain_values_are_overridden(tiny) -> None:
    read = suite.read(tiny, Overrides(images=5, seed=11, device="cuda:1", threads=3))
    assert (read.images.count, read.seed, read.run.device, read.run.threads) == (5, 11, "cuda:1", 3)
    unchanged = suite.read(tiny)
    assert (unchanged.images.count, unchanged.seed) == (20, 7)
    assert tiny["seed"] == 7


def test_a_dataset_is_replaced_with_its_parameters(tiny) -> None:
    tiny["dataset"] = {"plugin": "blobs", "noise": 3}
    read = suite.read(tiny, Overrides(dataset="digits"))
    assert read.dataset.plugin_name == "digits"


def test_a_root_is_given_to_whatever_dataset_there_is(tiny, tmp_path: Path) -> None:
    for dataset in ("image_folder", {"plugin": "image_folder", "size": 16}):
        read = suite.read({**tiny, "dataset": dataset}, Overrides(data_root=str(tmp_path)))
        assert str(read.dataset.plugin.parameters()["root"]) == str(tmp_path)
    both = Overrides(dataset="image_folder", data_root=str(tmp_path))
    assert str(suite.read(tiny, both).dataset.plugin.parameters()["root"]) == str(tmp_path)


def test_set_reaches_everything(tiny) -> None:
    read = suite.read(
        tiny,
        Overrides(
            sets=[
                "attacks.pgd.eps=8/255",
                "attacks.fgsm.grid.eps[1]=1e-1",
                "models.linear.train.epochs=3",
                "attacks.noise.eps=0.5",
                "images.from=[train]",
            ]
        ),
    )
    assert [a.name for a in read.attacks] == [
        "fgsm@eps=0.05",
        "fgsm@eps=0.1",
        "fgsm-targeted",
        "pgd",
        "noise",
    ]
    assert read.attacks[3].plugin.eps == 8 / 255
    assert read.models[0].recipe.epochs == 3
    assert read.images.splits == ("train",)


def test_the_document_remembers_overrides(tiny) -> None:
    read = suite.read(tiny, Overrides(seed=9, models=["linear"]))
    assert read.document.data["seed"] == 9
    assert read.document.data["run"]["models"] == ["linear"]


# Weights


def test_weights_of_a_file_are_one_source(tiny) -> None:
    tiny["models"] = {"linear": {"weights": "w.safetensors", "mean": [0.5], "std": [0.2]}}
    (model,) = suite.read(tiny).models
    assert model.recipe is None
    assert model.plugin.weights == Path("w.safetensors")


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"mean": [0.5]}, "mean and std go together: give both or neither"),
        ({"mean": [0.5], "std": [0.1, 0.2]}, "mean and std need one number for each channel"),
        ({"mean": [0.5], "std": [0]}, "std must be positive"),
    ],
)
def test_half_a_normalisation_is_refused(tiny, parameters: dict[str, Any], complaint: str) -> None:
    tiny["models"] = {"linear": {"weights": "w.safetensors", **parameters}}
    assert problems(tiny) == [f"suite: models.linear: {complaint}"]


def test_reading_leaves_the_values_that_it_was_given_alone(tiny) -> None:
    before = repr(tiny)
    suite.read(tiny, Overrides(models=["linear"], sets=["attacks.pgd.eps=0.1"], images=3))
    assert repr(tiny) == before


def test_a_table_may_lay_out_several_metrics(tiny: dict[str, Any]) -> None:
    several = {"metric": ["success_rate", "l2"], "rows": ["eps"], "columns": ["metric"]}
    found = suite.read({**tiny, "tables": {"both": several}})
    assert found.tables["both"].metric == ("success_rate", "l2")
    wrong = {"metric": ["success_rate", "l22"], "where": {"metric": "l2"}}
    with pytest.raises(SuiteError) as caught:
        suite.read({**tiny, "tables": {"both": wrong}})
    reported = [str(problem) for problem in caught.value.problems]
    assert any("'l22' is no metric; did you mean 'l2'" in line for line in reported)
    assert any("tables.both.where.metric: 'metric' is no dimension" in line for line in reported)


def test_a_sensitivity_to_what_fools_everything_is_refused(tiny: dict[str, Any]) -> None:
    tiny["attacks"]["bisection"] = {}
    step = {"magnitude": {"sparsity": 0.5}}
    tiny["sensitivity"] = {"step": step, "attack": "bisection"}
    with pytest.raises(SuiteError, match=r"sensitivity.attack: 'bisection' looks for the nearest"):
        suite.read(tiny)
