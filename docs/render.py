"""Renders what can be rendered: no figure, parameter or definition in the docs is typed.

``python docs/render.py`` writes everything, running ``problem_b`` for the README's table and
picture (from the store, if it is there). ``--check`` fails where a page that depends on no run is
not what would be rendered. Pages of runs that take hours are rendered by ``docs/experiments.py``.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import json
import os
import re
import sys
import textwrap
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter
from tabulate import tabulate
from typer.testing import CliRunner

import bench
from bench import cli, registry, tables
from bench.api import Plugin, Recipe
from bench.api.rules import POINTS
from bench.audit import LEVEL, RULES
from bench.cells.contract import IMAGES as CONTRACT_IMAGES
from bench.commands import catalog
from bench.figures import curves
from bench.metrics import METRICS
from bench.plan.probes import (
    CHEAP_IMAGES,
    CHEAP_PASSES,
    FEW_STEPS,
    LARGE_STEPS,
    REPEATED_IMAGES,
)
from bench.records import Budget
from bench.referee.attacks import BATCH
from bench.referee.contract.answers import TOLERANCE
from bench.referee.contract.behaviour import ROUNDED
from bench.referee.contract.gradients import HIGH, LOW, PARTIAL
from bench.statistics import bootstrap, class_scores, means, scores
from bench.store import Store
from bench.suite import Suite
from bench.suite.sections import (
    Auditing,
    Choice,
    Gallery,
    Images,
    Profile,
    Settings,
    TableSpec,
    Transfer,
)
from bench.suite.steps import WrittenSensitivity
from bench.suite.written import (
    WrittenAttack,
    WrittenCascade,
    WrittenDataset,
    WrittenExplainer,
    WrittenModel,
)
from bench_plugins.rules.conduct import FLIPS
from bench_plugins.rules.models import BETTER, USEFUL, WIDEST, ZERO_GRADIENTS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
NOTE = "<!-- rendered by docs/render.py -->\n\n"


def metrics_page() -> str:
    """Every metric with its definition."""
    lines = [
        NOTE + "# Metrics",
        "",
        "Per image first, always: every figure is an aggregate of stored per-image records. Each",
        "rate comes with n and a 95 % Wilson interval, each other figure of images with one whose",
        "[coverage](#coverage) stands below; over several trainings, all come with one over images",
        "and trainings. A rate is withheld where an image of its cell has no verdict. An empty",
        "denominator prints a dash, never 0 %.",
        "",
        "| metric | unit | of cells | definition |",
        "| --- | --- | --- | --- |",
    ]
    for metric in METRICS.values():
        kinds = ", ".join(metric.kinds)
        lines.append(f"| `{metric.name}` | {metric.unit} | {kinds} | {metric.definition} |")
    return "\n".join(lines) + "\n\n" + coverage()


def coverage() -> str:
    """How often intervals hold the truth, as benchmarks/coverage.py found it."""
    found = json.loads((DOCS / "coverage.json").read_text(encoding="utf-8"))
    sizes = sorted({n for _, _, n, _, _ in found["cells"]})
    rows: dict[tuple[str, str], dict[int, str]] = {}
    least: dict[str, float] = {}
    for method, population, n, share, printed in found["cells"]:
        words = "–" if share is None else f"{share:.3f}"  # noqa: RUF001 (a dash)
        words += "" if share is None or printed > ALWAYS else f" ({printed:.0%})"
        rows.setdefault((method, population), {})[n] = words
        least[method] = min(least.get(method, 1.0), 1.0 if share is None else share)
    body = [[*names, *(each.get(n, "") for n in sizes)] for names, each in rows.items()]
    text = f"""## Coverage

How often a 95 % interval holds the truth, of {found["samples"]:,} simulated samples for each
method, population and n; seeded. `{found["command"]}` counts anew and writes what this page is
rendered from. In parentheses: the share of samples that have an interval, where not all have; the
others print the figure, and say why (`n below {means.LEAST}: no interval`, `all alike: no
interval`). A dash: hardly any has one.

- Rates have Wilson's interval, the field's standard; it is short of 95 % where a share is near
  0 or 1.
- Means have Gaffke's: of shares between 0 and 1, which is Clopper and Pearson's where they are
  zeros and ones; where an end is not known, with one that the sample suggests. Least n
  {means.LEAST}.
- Quantiles lie between two values of the sample (n of {scores.least_of_quantile(0.5)} for a median,
  {scores.least_of_quantile(0.8)} for 80 %).
- `recovery_rate` has Nam and Blackwelder's score interval of a ratio of paired shares.
- Macro scores have that of Korn and Graubard: Clopper and Pearson's, of as many images as count.
  Each class has {class_scores.LEAST_OF_CLASS} images at least.
- `detection_auroc` has DeLong's on the logit scale, one score of each kind added;
  {scores.LEAST_SCORES} successes at least.
- Over trainings: Student's t with Satterthwaite's degrees of freedom, at least as wide as the
  interval of one training.
- Differences: of rates, Bonett and Price's; of means, as means; of other figures, Student's t with
  the variance of a Bayesian bootstrap, from {bootstrap.LEAST_OF_SCORES} images on.
  `calibration_error`, which few images raise, has none, nor has what a cell holds whole (sizes,
  times, passes).
"""
    summary = tabulate(
        [[method, f"{share:.3f}"] for method, share in least.items()],
        ["interval", "least coverage"],
        tablefmt="github",
        disable_numparse=True,
    )
    table = tabulate(
        body,
        ["interval", "population", *(f"n = {n}" for n in sizes)],
        tablefmt="github",
        disable_numparse=True,
    )
    return f"{_filled(text)}\n{summary}\n\n{table}\n"


ALWAYS = 0.9995
"""A share of samples above this is printed as all."""


def plugins_page() -> str:
    """Every first-party plugin as ``bench describe`` prints it."""
    lines = [
        NOTE + "# Plugins",
        "",
        "What `bench describe NAME` prints, for those that come along.",
        "",
    ]
    for offer in registry.offers():
        if offer.distribution != "bench-classifiers":
            continue
        plugin = registry.load(offer.kind, offer.name)
        lines += [f"## {offer.name} ({offer.kind[:-1]})", "", inspect.getdoc(plugin) or "", ""]
        lines += ["```", catalog.parameters(plugin), "```", ""]
    return "\n".join(lines)


REFERENCE_IMAGES = Auditing().reference_images


def audit_page() -> str:
    """Describe how the audit works, and every rule."""
    parts = (_opening, _significance, _contract, _probes, _reference, _rules)
    return NOTE + _filled("".join(part() for part in parts))


def _opening() -> str:
    """Say what becomes of findings and marks."""
    return """# Audit

After every run, rules look for what no sound evaluation would show. What they find stands as a
footnote on the very numbers that it concerns (`87.5 % (40) [a]`), in the column `findings` of
CSV and JSON, on the page of the run, and in `bench audit` (`--format json` for programs);
`bench audit --strict` exits with 1 where there is a finding. A **mark** is printed in the same
places, in the column `marks`, and is nobody's mistake: it is no finding.

"No finding" is said only where every rule that applies had its evidence. Where a probe has no
result, a rule raised or the audit is off, the line reads "no finding, but 2 rules could not look",
and page and command list them with the reason, apart from the rules that do not apply to the run.

Each fact is listed once: what a rule finds of several cells in the same words, and what follows
from another finding on the same cells, as images that survive any eps follow from gradients that
vanish. All rules that found it are named.

"""


def _significance() -> str:
    """Say when a rule fires."""
    return f"""## When a rule fires

Never on chance. What is certain (an image over its budget) is reported as it is. Where images are
counted, the test is exact and one-sided: McNemar's on the same images, or a binomial one. A
finding has p < {LEVEL}, by Holm over all cases of all rules in the run, so that a run without a
fault has a finding with a probability of {100 * LEVEL:.0f} % at most; and it is worth reporting:
two rates lie {100 * POINTS:.0f} points apart or more. So a rule is silent where a run has too
few images, and its silence is no proof. How often a run without a fault is accused is simulated
by `python benchmarks/false_alarms.py`, which draws runs whose every number is chance; `python
benchmarks/honest_runs.py problem_b` prints what it says of a shipped suite under five seeds, and
what contract and reference cost beside the attacks.

- Chance is the accuracy of always saying the same. A model is no better than chance where
  chance explains its accuracy (p >= {BETTER}) and an accuracy {100 * USEFUL:.0f} points above
  it can be excluded.
- Gradients are in doubt where more than {100 * ZERO_GRADIENTS:.0f} % of the images have none:
  where a model is certain, single ones underflow.
- With eps 0, {100 * FLIPS:.0f} % of the predictions may turn by rounding; no image may move.
- Of the images that remain correct under noise, an attack must fool at least the share that
  noise fools of all, taken at the lower end of its interval. Where noise fools under
  {100 * POINTS:.0f} %, nothing is reported.
- The 95 % interval of a rate is too wide beyond {100 * WIDEST:.0f} points. Only rates whose n
  the suite chooses are looked at: a `transfer_rate` is of the images that fooled the source.
- An attack is iterative if it takes more than one gradient of an image, as was counted. Steps,
  step size and radius are those that it declares. A sparsity may be off by one weight.
- Steps are counted for each image that remained correct, whatever part of a batch it was asked
  for in: gradients, or forward passes of an attack that takes no gradient.

"""


def _contract() -> str:
    """Describe what is checked of each model."""
    return f"""## The model contract

What makes every number of a model mean something is checked once for each model variant, shields
and replicas included: cells of their own (`contract net`), children of the weights, on
{CONTRACT_IMAGES} images at most, also with `audit: off`. They take some hundred passes of single
images. Their identity holds the weights, the shields, the images and the source of the model's
package: whoever edits a network has it checked again, and nothing else is computed anew. What a
model breaks is a finding on every figure of it, transferred images included; what its variants
break in the same way is the same finding. A check that cannot be carried out is a gap.

- Logits: finite, one for each class, and no probabilities: outputs that are never negative and
  whose sums are the same on every image, but for rounding ({ROUNDED} of them).
- The batch: the same images in another order, beside other images, beside copies of themselves
  and in a batch of {BATCH}. Answers differ where two images or more do by over
  {100 * TOLERANCE:.1f} % of the logits' range.
- History: the same images again, five times, after others and after images that look like them,
  with other global seeds each time; numbers in the model that grow with the calls are set far
  ahead. A shield that declares to be random is known, and no finding.
- The mode: `no_grad`, `enable_grad`, images that require gradients, inference mode.
- The weights: the network is built again from another seed and given the same weights;
  parameters that it reaches through lists, dicts, functions or globals and does not register.
- The gradient of a random projection of the logits, beside central differences: along it, the
  median slope must be {LOW} to {HIGH:.0f} times its length; in random directions it may miss the
  true one by {100 * PARTIAL:.0f} % of its length. What does not agree in float32 is measured
  again in float64, with a step that lies between two kinks. A gradient that is declared to pass
  straight through (`jpeg`, `int8`) must lead upwards.

"""


def _probes() -> str:
    """Describe the probes."""
    return f"""## Probes

What the audit must see and no table shows are cells of their own. For each model and variant
(of several trainings the first) and each untargeted attack (of a grid the point in the middle
of its eps): the attack with eps 0, with an eps by which any image can become any other, and
with its steps doubled; one step and noise at the same linf eps, unless the suite has them; and
each attack, targeted ones and controls too, twice with one seed. For each model and variant: the
length of the loss's gradient at each image.

`audit: cheap`, the default, takes {CHEAP_IMAGES} images at most, and no probe that costs more
than {CHEAP_PASSES} passes an image; attacks are repeated on {REPEATED_IMAGES} images. `full`
takes all images and all probes, and repeats on {CHEAP_IMAGES}. `off` takes none; rules that
need no probe look all the same. With eps 0 attacks take {FEW_STEPS} steps at most, with a large
eps {LARGE_STEPS}. Cascades are repeated and not varied, nor is the eps of an attack that looks
for the nearest image. A probe that fails fails no run.

"""


def _reference() -> str:
    """Describe the reference."""
    return f"""## The reference

For each model and variant, and each norm that the suite attacks in, attacks that declare themselves
strong run on the images that the run's own attacks leave correct: the **reference**. A budget is a
norm and an eps that the suite attacks at, that of `budget:` included; what only controls ran at is
none. An image of any attack of the run that lies within the budget counts, aimed or not. First
comes what looks for the nearest image and serves all budgets of the norm at once (`fmn`, from
several starts), then, from the smallest budget on, `auto_pgd` on the cross-entropy and on the
ratio of logits' differences, and `square_attack`, each on what is left; an image that is fooled
is left alone, and counts at all larger budgets. Norms, range and predictions are judged by the
referee, like those of any attack. The page prints n, what was left, tried and fooled, by which
attack, and the passes.

At most {REFERENCE_IMAGES} images of each budget are tried, the same of every model, and with short
searches: `audit: {{extent: cheap, reference_images: 500}}` takes more. `full` takes all images
and long searches. `off` runs none. An attack of the run that failed fooled nothing. Where attacks
are given something else than what answers, the nearest image says little, and is not looked for.

An untargeted attack of several gradients is weaker than the reference where what the run and the
reference know to be fooled together exceeds it by {100 * POINTS:.0f} points: of what was left
and not tried, as large a share is taken to be fooled as of what was tried. The worst case carries
a mark where the reference fools more than everything in the run, transferred images included;
a rate at a budget at which nothing but single steps ran carries the mark "one step only" with
the reference beside it. That a model hides its gradients is said only where transferred images
fool more than an attack and the reference does, too.

"""


def _rules() -> str:
    """List every rule."""
    rows = "\n".join(f"| `{rule.name}` | {rule.sees} | {rule.matters} |" for rule in RULES.values())
    return f"""## The rules

| rule | sees | why it matters |
| --- | --- | --- |
{rows}
"""


def _filled(text: str) -> str:
    """Wrap paragraphs and list items anew, for what was put into them is of any length."""
    blocks = []
    for block in text.split("\n\n"):
        items = re.split(r"\n(?=- )", block) if block.startswith("- ") else [block]
        is_prose = not block.startswith(("#", "|"))
        wrap = partial(textwrap.fill, width=96, break_on_hyphens=False, break_long_words=False)
        filled = (
            wrap(" ".join(item.split()), subsequent_indent="  " if item.startswith("- ") else "")
            for item in items
        )
        blocks.append("\n".join(filled) if is_prose else block)
    return "\n\n".join(blocks).rstrip("\n") + "\n"


def commands_page() -> str:
    """Every command's help."""
    os.environ["COLUMNS"] = "96"
    os.environ["TERM"] = "dumb"
    runner = CliRunner()
    lines = [NOTE + "# Commands", ""]
    names = "run plan check table audit list describe why schema export"
    for name in names.split():
        text = runner.invoke(cli.app, [name, "--help"], prog_name="bench").stdout
        text = "\n".join(line.rstrip() for line in text.strip().splitlines())
        lines += [f"## bench {name}", "", "```", text, "```", ""]
    return "\n".join(lines)


def attacks_page() -> str:
    """Every attack of torchattacks: what it is, needs and gets wrong; what was measured is kept."""
    path = DOCS / "attacks.md"
    known = path.read_text(encoding="utf-8") if path.exists() else ""
    measured = known.partition("<!-- measured -->\n")[2].partition("<!-- /measured -->")[0]
    offers = [o for o in registry.offers("attacks") if o.distribution == "bench-classifiers"]
    plugins = {offer.name: registry.load("attacks", offer.name) for offer in offers}
    rows, sections = [], []
    for name, plugin in plugins.items():
        usual = plugin.model_construct()
        rows.append(
            [
                f"[{name}](#{name})",
                _norms(plugin, usual),
                "the nearest" if usual.minimum_norm else "any in the ball",
                *(
                    "yes" if getattr(usual, flag) else ""
                    for flag in ("targetable", "traceable", "batch_invariant")
                ),
                ", ".join(need.requirement for need in getattr(usual, "needs", ())),
                getattr(usual, "since", ""),
            ]
        )
        sections += [f"## {name}", "", inspect.getdoc(plugin) or "", ""]
        caveats = usual.all_caveats
        sections += [f"- {caveat}" for caveat in caveats] + [""] * bool(caveats)
    headers = ["attack", "norm", "looks for", "targets", "steps", "any batch", "needs", "since"]
    return "\n".join(
        [
            NOTE + "# Attacks",
            "",
            "Attacks of torchattacks and our own, and what is true of each. Targets: honours them.",
            "Steps: its model calls are its iterates: it has `steps_to_success`. Any batch: an",
            "image's result does not depend on the batch it came in. Since: the oldest version of",
            "torchattacks in which it works. Under each, its known faults: they are printed beside",
            "its numbers. Parameters are in [plugins.md](plugins.md).",
            "",
            tabulate(rows, headers, tablefmt="github", disable_numparse=True),
            "",
            "## Measured",
            "",
            "<!-- measured -->",
            f"{measured}<!-- /measured -->",
            "",
            *sections,
        ]
    )


def suites_page() -> str:
    """Every key of a suite, from the models that suites are validated by."""
    lines = [
        NOTE + "# Suite reference",
        "",
        "Every key that a suite takes besides the parameters of plugins, which stand in",
        "[plugins.md](plugins.md). [suites.md](suites.md) shows them at work; `bench schema`",
        "prints them for editors. Every number may be written as a fraction: `8/255`.",
        "",
    ]
    for title, model in {
        "A suite": Suite,
        "dataset": WrittenDataset,
        "images": Images,
        "An entry of models": WrittenModel,
        "train": Recipe,
        "An entry of attacks": WrittenAttack,
        "An entry of attacks that is a cascade": WrittenCascade,
        "budget": Budget,
        "transfer": Transfer,
        "An entry of explainers": WrittenExplainer,
        "gallery": Gallery,
        "profile": Profile,
        "sensitivity": WrittenSensitivity,
        "An entry of recommend": Choice,
        "An entry of tables": TableSpec,
        "audit, as a mapping": Auditing,
        "run": Settings,
    }.items():
        lines += [f"## {title}", "", inspect.getdoc(model) or "", "", _keys(model), ""]
    return "\n".join(lines)


def _keys(model: type) -> str:
    """Lay out the keys of a model: what each takes, and what it is where it is left out."""
    schema = TypeAdapter(model).json_schema()
    required = schema.get("required", ())
    lines = ["| key | takes | left out | meaning |", "| --- | --- | --- | --- |"]
    for key, value in schema["properties"].items():
        usual = value.get("default")
        is_plain = "default" in value and not isinstance(usual, dict)
        usual = f"`{json.dumps(usual)}`" if is_plain else ""
        left_out = "an error" if key in required else usual
        words = (f"`{key}`", _values(value), left_out, value.get("description", ""))
        lines.append(f"| {' | '.join(words)} |")
    return "\n".join(lines)


def _values(schema: Mapping[str, Any]) -> str:
    """Say in words what a JSON Schema takes."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_values(arm) for arm in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{each}`" for each in schema.get("enum", [schema.get("const")]))
    if "$ref" in schema:
        return "a mapping"
    if schema.get("type") == "array":
        return f"a list of {_values(schema.get('items', {}))}"
    limits = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    words = [f"{text} {schema[name]}" for name, text in limits.items() if name in schema]
    names = {"object": "a mapping", "string": "text", "boolean": "true or false", "null": "null"}
    kind = str(schema.get("type", "an entry"))
    return ", ".join([names.get(kind, kind), *words])


def _norms(plugin: type[Plugin], usual: Plugin) -> str:
    """Name an attack's norm, or those that the suite may choose from."""
    field = plugin.model_fields.get("norm")
    choice = get_args(field.annotation) if field is not None else ()
    return " or ".join(choice) or getattr(usual, "norm", None) or tables.DASH


CHECKED = {
    "metrics.md": metrics_page,
    "plugins.md": plugins_page,
    "attacks.md": attacks_page,
    "audit.md": audit_page,
    "suite_reference.md": suites_page,
}
PAGES = {**CHECKED, "commands.md": commands_page}  # the words around commands are a library's


def check() -> int:
    """Compare the pages with what would be rendered."""
    wrong = 0
    for name, render in CHECKED.items():
        path = DOCS / name
        now = path.read_text(encoding="utf-8") if path.exists() else ""
        if now != render():
            wrong = 1
            print(f"docs/{name} is not what 'make docs' renders", file=sys.stderr)
            diff = difflib.unified_diff(now.splitlines(), render().splitlines(), lineterm="")
            print("\n".join(list(diff)[:20]), file=sys.stderr)
    return wrong


def between(text: str, name: str, content: str) -> str:
    """Replace what stands between two markers of the README."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}{content}\n{end}{tail}"


def results() -> None:
    """Run problem_b and put its table and its picture into the README."""
    store = Store(ROOT / ".bench")
    outcome = bench.run(str(ROOT / "suites" / "problem_b.yaml"), store=store.url, reports=None)
    matrix = outcome.matrix
    curves.success(matrix, "success_rate", ["fgsm", "fgsm-targeted"], DOCS / "success_rate.svg")
    (DOCS / "success_rate.png").unlink()  # the README shows the SVG
    readme = ROOT / "README.md"
    text = between(
        readme.read_text(encoding="utf-8"), "results", f"\n{outcome.table('success_rate')}\n"
    )
    readme.write_text(text, encoding="utf-8")


def main() -> int:
    """Render, or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if given.check:
        return check()
    for name, render in PAGES.items():
        (DOCS / name).write_text(render(), encoding="utf-8")
    results()
    return 0


if __name__ == "__main__":
    sys.exit(main())
