"""One epoch of training on photographs: bench's trainer against a plain DataLoader loop.

    python benchmarks/training.py --data-root path/to/sports10

The plain loop is what a course teaches: PIL opens and resizes each file, torchvision's transforms
augment it, a DataLoader with two workers collects batches. Both train the same network with the
recipe ``reference`` for one epoch; bench in fp32, and in bf16 where the processor multiplies it.
They take turns, and the best of each counts. Ends with 1 where neither precision reaches the bar.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from bench import data, machine, registry
from bench.api import Model
from bench.api.recipes import Recipe
from bench.cells.train import channel_statistics
from bench.suite import DatasetEntry
from bench.training import trainer

SIZE = 32
BARS = {"simple_cnn": 3.5, "resnet_small": 2.0}
"""How many times as fast as the plain loop an epoch is to be, on two cores."""


def plain_epoch(
    network: nn.Module,
    root: Path,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    recipe: Recipe,
    workers: int,
) -> float:
    """Train one epoch as a course would; returns seconds."""
    steps = transforms.Compose(
        [
            transforms.Resize((SIZE, SIZE)),
            transforms.RandomHorizontalFlip(),
            transforms.RandomRotation(15),
            transforms.ColorJitter(0.2, 0.2, 0.2, 0.1),
            transforms.RandomResizedCrop(SIZE, scale=(0.7, 1.0)),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    folder = datasets.ImageFolder(str(root / "train"), steps)
    loader = DataLoader(folder, recipe.batch_size, shuffle=True, num_workers=workers)
    optimizer = torch.optim.Adam(
        network.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay
    )
    loss_of = nn.CrossEntropyLoss()
    network.train()
    started = time.perf_counter()
    for images, labels in loader:
        optimizer.zero_grad()
        loss_of(network(images), labels).backward()
        optimizer.step()
    return time.perf_counter() - started


def our_epoch(
    network: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    recipe: Recipe,
) -> float:
    """Train one epoch with bench's trainer; returns seconds."""
    network.to(memory_format=torch.channels_last)
    started = time.perf_counter()
    trainer.train(network, images, labels, recipe, mean=mean, std=std, seed=0)
    return time.perf_counter() - started


def precisions() -> dict[str, Recipe]:
    """Return the recipes that bench is timed with: bf16 only where the processor multiplies it."""
    plain = Recipe.model_validate({"preset": "reference", "epochs": 1, "patience": None})
    if not machine.bf16_instructions():
        return {"fp32": plain}
    return {"fp32": plain, "bf16": plain.model_copy(update={"precision": "bf16"})}


def main() -> int:
    """Time all, in turns, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-root", type=Path, required=True, help="sports10's folder")
    parser.add_argument("--repeats", type=int, default=3, help="epochs of each; the best counts")
    parser.add_argument("--threads", type=int, default=2, help="of torch, in all")
    parser.add_argument("--workers", type=int, default=2, help="of the DataLoader")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    recipes = precisions()
    plugin = registry.load("datasets", "sports10").model_validate({"root": str(given.data_root)})
    with tempfile.TemporaryDirectory() as cache:
        entry = DatasetEntry("sports10", "sports10", plugin)  # type: ignore[arg-type]
        split = data.prepare(entry, Path(cache)).split("train")
        images, labels = split.tensors()
        mean, std = channel_statistics(split)
    batch_size = recipes["fp32"].batch_size
    print(f"{len(images)} photographs, batches of {batch_size}, {given.threads} threads, "
          f"{given.workers} workers, torch {torch.__version__}")  # fmt: skip
    if "bf16" not in recipes:
        print("this processor has no instructions for bf16: it is left out")
    columns = [f"{column} |" for name in recipes for column in (f"bench {name}, s", "ratio")]
    print(f"| model | plain DataLoader, s | {' '.join(columns)}")
    print("| --- " * (2 + len(columns)) + "|")
    missed = 0
    for name, bar in BARS.items():
        model = registry.load("models", name)()
        times: dict[str, list[float]] = {"plain": [], **{precision: [] for precision in recipes}}
        for _ in range(given.repeats):
            for precision, recipe in recipes.items():
                seconds = our_epoch(build(model), images, labels, mean, std, recipe)
                times[precision].append(seconds)
            times["plain"].append(
                plain_epoch(
                    build(model), given.data_root, mean, std, recipes["fp32"], given.workers
                )
            )
        best = {kind: min(seconds) for kind, seconds in times.items()}
        ratios = {precision: best["plain"] / best[precision] for precision in recipes}
        cells = [f"{best[p]:.2f} | {ratio:.2f}" for p, ratio in ratios.items()]
        print(f"| {name} | {best['plain']:.2f} | {' | '.join(cells)} |")
        missed += max(ratios.values()) < bar
    print("bars: " + ", ".join(f"{name} {bar}" for name, bar in BARS.items()))
    return int(missed > 0)


def build(model: object) -> nn.Module:
    """Build a network with the same fresh weights."""
    if not isinstance(model, Model):
        raise TypeError("no model")
    torch.manual_seed(0)
    network: nn.Module = model.build(classes=10, image_shape=(3, SIZE, SIZE))
    return network


if __name__ == "__main__":
    sys.exit(main())
