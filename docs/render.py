"""Renders what can be rendered: no figure, parameter or definition in the docs is typed.

``python docs/render.py`` writes everything, running ``problem_b`` for the README's table and
picture (from the store, if it is there). ``--check`` fails where a page that depends on no run is
not what would be rendered.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import os
import sys
from pathlib import Path

from typer.testing import CliRunner

import bench
from bench import cli, listing, registry
from bench.metrics import METRICS
from bench.store import Store

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
NOTE = "<!-- rendered by docs/render.py -->\n\n"


def metrics_page() -> str:
    """Every metric with its definition."""
    lines = [
        NOTE + "# Metrics",
        "",
        "Per image first, always: every figure is an aggregate of stored per-image records. Each",
        "rate comes with n and a 95 % Wilson interval, each mean with a 95 % bootstrap interval. A",
        "rate is withheld where an image of its cell has no verdict. An empty denominator prints a",
        "dash, never 0 %.",
        "",
        "| metric | unit | of cells | definition |",
        "| --- | --- | --- | --- |",
    ]
    for metric in METRICS.values():
        kinds = ", ".join(metric.kinds)
        lines.append(f"| `{metric.name}` | {metric.unit} | {kinds} | {metric.definition} |")
    return "\n".join(lines) + "\n"


def plugins_page() -> str:
    """Every first-party plugin as ``bench describe`` tells it."""
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
        lines += ["```", listing.parameters(plugin), "```", ""]
    return "\n".join(lines)


def commands_page() -> str:
    """Every command's help."""
    os.environ["COLUMNS"] = "96"
    os.environ["TERM"] = "dumb"
    runner = CliRunner()
    lines = [NOTE + "# Commands", ""]
    for name in ("run", "plan", "check", "table", "list", "describe", "why", "schema", "export"):
        text = runner.invoke(cli.app, [name, "--help"], prog_name="bench").stdout
        text = "\n".join(line.rstrip() for line in text.strip().splitlines())
        lines += [f"## bench {name}", "", "```", text, "```", ""]
    return "\n".join(lines)


CHECKED = {"metrics.md": metrics_page, "plugins.md": plugins_page}
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
    from bench.figures import curves

    store = Store(ROOT / ".bench")
    outcome = bench.run(str(ROOT / "suites" / "problem_b.yaml"), store=store.url, reports=None)
    matrix = outcome.matrix
    curves.success(matrix, "success_rate", ["fgsm", "fgsm-targeted"], DOCS / "success_rate.svg")
    readme = ROOT / "README.md"
    text = between(
        readme.read_text(encoding="utf-8"), "results", f"\n{outcome.table('success_rate')}\n"
    )
    readme.write_text(text, encoding="utf-8")


def main() -> int:
    """Render, or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        return check()
    for name, render in PAGES.items():
        (DOCS / name).write_text(render(), encoding="utf-8")
    results()
    return 0


if __name__ == "__main__":
    sys.exit(main())
