"""One epoch of training on photographs: bench's trainer against a plain DataLoader loop.

    python benchmarks/training.py --data-root path/to/sports10

The plain loop is what a course teaches: PIL opens and resizes each file, torchvision's transforms
augment it, a DataLoader with two workers collects batches. Both train the same network with the
recipe ``reference`` for one epoch; the two take turns, and the best of each counts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from bench import data, registry, training
from bench.api import Model
from bench.cells.train import channel_statistics
from bench.recipes import Recipe
from bench.suite import DatasetEntry

SIZE = 32


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
    training.train(network, images, labels, recipe, mean=mean, std=std, seed=0)
    return time.perf_counter() - started


def main() -> None:
    """Time both, in turns, and print their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-root", type=Path, required=True, help="sports10's folder")
    parser.add_argument("--repeats", type=int, default=3, help="epochs of each; the best counts")
    parser.add_argument("--threads", type=int, default=2, help="of torch, in both")
    parser.add_argument("--workers", type=int, default=2, help="of the DataLoader")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    recipe = Recipe.model_validate({"preset": "reference", "epochs": 1, "patience": None})
    plugin = registry.load("datasets", "sports10").model_validate({"root": str(given.data_root)})
    with tempfile.TemporaryDirectory() as cache:
        entry = DatasetEntry("sports10", "sports10", plugin)  # type: ignore[arg-type]
        split = data.prepare(entry, Path(cache)).split("train")
        images, labels = split.tensors()
        mean, std = channel_statistics(split)
    print(f"{len(images)} photographs, batches of {recipe.batch_size}, {given.threads} threads, "
          f"{given.workers} workers, torch {torch.__version__}")  # fmt: skip
    print("| model | plain DataLoader, s | bench, s | ratio |")
    print("| --- | --- | --- | --- |")
    for name in ("simple_cnn", "resnet_small"):
        model = registry.load("models", name)()
        times: dict[str, list[float]] = {"plain": [], "ours": []}
        for _ in range(given.repeats):
            plain, ours = (build(model) for _ in range(2))
            times["ours"].append(our_epoch(ours, images, labels, mean, std, recipe))
            times["plain"].append(
                plain_epoch(plain, given.data_root, mean, std, recipe, given.workers)
            )
        best = {kind: min(seconds) for kind, seconds in times.items()}
        ratio = best["plain"] / best["ours"]
        print(f"| {name} | {best['plain']:.2f} | {best['ours']:.2f} | {ratio:.2f} |")


def build(model: object) -> nn.Module:
    """Build a network with the same fresh weights."""
    if not isinstance(model, Model):
        raise TypeError("no model")
    torch.manual_seed(0)
    network: nn.Module = model.build(classes=10, image_shape=(3, SIZE, SIZE))
    return network


if __name__ == "__main__":
    main()
