"""PGD on the digits models: an attack cell of bench against bare torchattacks, Foolbox and ART.

    python benchmarks/attacks.py

Bare torchattacks is what a script does: the network in a module that normalises, and one call for
each batch. Every other competitor takes turns with it (bare, one, bare, another, bare, ...) and is
reported as a ratio to the bare calls just before and after it: the median over rounds, the range.
All use the same weights, images, batches, eps, alpha, steps and a random start.

A cell is timed as it times itself (the attack, with the classifier that counts and traces, and the
guard of its weights) and as a whole (with the copy of the classifier, the digests and the verdict
of the referee; what the model says of the clean images is known from the warm-up). It is timed in
the memory format of suites, and in that of the bare call.

Then gradients in bf16, if the plugin has them: their cost, and whether success under them differs
from fp32 by more than two random starts differ under fp32. Ends with 1 where a bar is missed.
Foolbox and ART come with ``pip install 'bench-classifiers[peers]'``, and are left out where absent.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench import machine, registry, runner, suite
from bench.api import Attack
from bench.cells.attack import AttackCell
from bench.cells.workbench import Workbench
from bench.classifier.classifier import Classifier
from bench.commands import run as session
from bench.data import ImageSet
from bench.referee import attacks as referee
from bench.runner import Run
from bench.statistics import holm, mcnemar
from bench.store import Store, Stored

MODELS = ("simple_cnn", "resnet_small")
EPS, ALPHA = 0.03, 0.01
"""Those of pgd in suites/problem_b.yaml."""

CELL, LIKE_FOR_LIKE, WHOLE = "bench, the attack", "bench, the attack, contiguous", "bench, the cell"
BF16 = "bench, the attack, bf16"
BARS = {CELL: 1.05, LIKE_FOR_LIKE: 1.05, BF16: 0.55}
BUSY = 0.05
"""The share of the cores' time beyond which others disturb a timing."""

LADDER = (0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12)
HALF, MIDDLE = 0.5, (0.2, 0.8)
"""The success rate at which seeds and precisions differ most, and how far from it they still do."""
SIGNIFICANT = 0.05


class Naive(nn.Module):
    """A network as a script wraps it: nothing is frozen, counted or traced."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of pixels in [0, 1]."""
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits


@dataclass(frozen=True)
class Case:
    """One model to attack: its cell, where cells run, and its weights in the store."""

    cell: AttackCell
    workbench: Workbench
    parents: Mapping[str, Stored]

    @property
    def judged(self) -> Classifier:
        """The classifier that verdicts are given on."""
        return self.cell.subject.judged(self.workbench, self.parents)

    @property
    def steps(self) -> int:
        """The steps of PGD."""
        return int(getattr(self.cell.entry.plugin, "steps"))  # noqa: B009 (no field of every attack)

    def naive(self) -> Naive:
        """Return a network of its own, as it comes from a file: contiguous, not frozen."""
        network = Naive(self.judged.network, self.judged.mean, self.judged.std)
        own = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
        return own.requires_grad_(requires_grad=True).eval()

    def attacked_by(self, plugin: Attack) -> Case:
        """Return the same case with another attack."""
        return replace(self, cell=replace(self.cell, entry=replace(self.cell.entry, plugin=plugin)))

    def of(self, images: ImageSet) -> Case:
        """Return the same case with other images."""
        return replace(self, cell=replace(self.cell, images=images))

    def contiguous(self) -> Case:
        """Return the same case in the other memory format."""
        compute = replace(self.cell.compute, memory_format="contiguous")
        workbench = Workbench(self.workbench.store, compute)
        return replace(self, cell=replace(self.cell, compute=compute), workbench=workbench)


@dataclass(frozen=True)
class Turn:
    """One attack on all images: seconds by the names of what was timed, and what came out."""

    seconds: Mapping[str, float]
    adversarial_images: Tensor


Competitor = Callable[[], Turn]
OnBatch = Callable[[Tensor, Tensor], Tensor]


def in_a_cell(case: Case, *names: str) -> Competitor:
    """Run the cell as a run would; names are those of the attack and, if given, of the whole."""

    def competitor() -> Turn:
        started = time.perf_counter()
        with case.cell.compute.applied():
            result = case.cell.run(case.workbench, case.parents)
        whole = time.perf_counter() - started
        attack = result.summary["seconds"]
        if not isinstance(attack, float):
            raise TypeError("the cell does not record its seconds")
        images = torch.from_numpy(result.arrays["adversarial_images"])
        return Turn(dict(zip(names, (attack, whole), strict=False)), images)

    return competitor


def batch_by_batch(case: Case, name: str, attack: OnBatch) -> Competitor:
    """Attack the cell's images in the cell's batches."""
    images, labels = case.cell.images.tensors()
    size = case.cell.compute.batch_size

    def competitor() -> Turn:
        started = time.perf_counter()
        parts = [
            attack(images[start : start + size], labels[start : start + size])
            for start in range(0, len(images), size)
        ]
        return Turn({name: time.perf_counter() - started}, torch.cat(parts))

    return competitor


def bare(case: Case, network: nn.Module) -> OnBatch:
    """Call torchattacks as its README does."""
    import torchattacks

    attack: OnBatch = torchattacks.PGD(
        network, eps=EPS, alpha=ALPHA, steps=case.steps, random_start=True
    )
    return attack


def foolbox_pgd(case: Case) -> OnBatch:
    """Call Foolbox as its README does."""
    from foolbox.attacks import LinfPGD
    from foolbox.models.pytorch import PyTorchModel

    model = PyTorchModel(case.naive(), bounds=(0, 1), device="cpu")
    attack = LinfPGD(abs_stepsize=ALPHA, steps=case.steps, random_start=True)
    return lambda images, labels: attack(model, images, labels, epsilons=EPS)[1]


def art_pgd(case: Case) -> OnBatch:
    """Call ART as its notebooks do."""
    from art.attacks.evasion import ProjectedGradientDescent  # type: ignore[import-untyped]
    from art.estimators.classification import PyTorchClassifier  # type: ignore[import-untyped]

    classifier = PyTorchClassifier(
        case.naive(),
        loss=nn.CrossEntropyLoss(),
        input_shape=case.cell.subject.architecture.image_shape,
        nb_classes=case.cell.subject.architecture.classes,
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )
    attack = ProjectedGradientDescent(
        classifier,
        norm=np.inf,
        eps=EPS,
        eps_step=ALPHA,
        max_iter=case.steps,
        num_random_init=1,
        batch_size=case.cell.compute.batch_size,
        verbose=False,
    )
    return lambda images, labels: torch.from_numpy(attack.generate(images.numpy(), labels.numpy()))


PEERS: Mapping[str, tuple[str, Callable[[Case], OnBatch]]] = {
    "Foolbox": ("foolbox", foolbox_pgd),
    "ART": ("adversarial-robustness-toolbox", art_pgd),
}


def version(distribution: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(distribution)
    return None


def pgd(**parameters: float | str) -> Attack:
    """Return bench's plugin."""
    plugin = registry.load("attacks", "pgd").model_validate(parameters)
    if not isinstance(plugin, Attack):
        raise TypeError("pgd is no attack")
    return plugin


def has_precision() -> bool:
    """Say whether bench's plugin can compute gradients in bf16."""
    return "precision" in registry.load("attacks", "pgd").model_fields


def cases(folder: Path, given: argparse.Namespace) -> Iterator[Case]:
    """Load the shipped checkpoints of problem_b into a store; yield the attack cell of each."""
    whole = suite.read("problem_b").document.data
    shortened = {name: whole[name] for name in ("suite", "seed", "dataset", "models")}
    shortened["audit"] = "off"  # probes are attacks too
    shortened["images"] = {"from": ["test"], "count": None}
    shortened["attacks"] = {"pgd": {"eps": EPS, "alpha": ALPHA, "steps": given.steps}}
    shortened["run"] = {"models": given.models, "threads": given.threads, "device": "cpu"}
    store = Store(folder)
    plan = session.make_plan(shortened, store)
    cells = [step.cell for step in plan.steps if isinstance(step.cell, AttackCell)]
    weights = frozenset(p.cell.label for cell in cells for p in cell.parents.values())
    run = runner.execute(Run(plan, store, "problem_b", "benchmarks/attacks.py", only=weights))
    for cell in cells:
        found = {role: run.statuses[p.cell.label].stored for role, p in cell.parents.items()}
        parents = {role: one for role, one in found.items() if one and one.kind == "load"}
        if parents.keys() != found.keys():
            raise SystemExit(f"{cell.coordinates.model}: no shipped checkpoint was loaded")
        yield Case(cell, Workbench(store, plan.compute), parents)


def competitors_of(case: Case) -> list[Competitor]:
    """Return all that take turns with bare torchattacks on one model."""
    channels_last = case.naive().to(memory_format=torch.channels_last)
    found = [
        batch_by_batch(case, "torchattacks, again", bare(case, case.naive())),
        batch_by_batch(case, "torchattacks, channels-last", bare(case, channels_last)),
        in_a_cell(case, CELL, WHOLE),
        in_a_cell(case.contiguous(), LIKE_FOR_LIKE),
    ]
    if has_precision():
        low = pgd(eps=EPS, alpha=ALPHA, steps=case.steps, precision="bf16")
        found.append(in_a_cell(case.attacked_by(low), BF16))
    found += [
        batch_by_batch(case, name, prepare(case))
        for name, (distribution, prepare) in PEERS.items()
        if version(distribution) is not None
    ]
    return found


def success(case: Case, adversarial_images: Tensor) -> NDArray[np.bool_]:
    """Say of each image that was right before whether it is wrong now, as the referee sees it."""
    labels = case.cell.images.tensors()[1]
    right = case.workbench.verdict(case.judged, case.cell.images).predictions == labels
    wrong = referee.classify(case.judged, adversarial_images).predictions != labels
    found: NDArray[np.bool_] = wrong[right].numpy()
    return found


def warm_up(case: Case, competitors: Sequence[Competitor], rounds: int) -> dict[str, float]:
    """Run all, untimed; return success rates, so that all are seen to attack equally well."""
    rates: dict[str, float] = {}
    for competitor in list(competitors) * rounds:
        turn = competitor()
        rates |= dict.fromkeys(turn.seconds, float(success(case, turn.adversarial_images).mean()))
    return rates


def take_turns(
    reference: Competitor, competitors: Sequence[Competitor], rounds: int
) -> dict[str, list[float]]:
    """Return, for each round, the reference's seconds, and the ratios of all others to it.

    A ratio is to the mean of the reference just before and just after.
    """
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        ((name, before),) = reference().seconds.items()
        spent = [before]
        for competitor in competitors:
            seconds = competitor().seconds
            (after,) = reference().seconds.values()
            for each, one in seconds.items():
                found.setdefault(each, []).append(2 * one / (before + after))
            spent.append(after)
            before = after
        found.setdefault(name, []).append(statistics.fmean(spent))
    return found


def time_model(case: Case, given: argparse.Namespace) -> list[str]:
    """Print what every competitor costs on one model; return the bars that were missed."""
    case = case.of(ImageSet(case.cell.images.data, case.cell.images.positions[: given.images]))
    model, reference = case.cell.coordinates.model, "torchattacks"
    bare_call = batch_by_batch(case, reference, bare(case, case.naive()))
    competitors = competitors_of(case)
    rates = warm_up(case, [bare_call, *competitors], given.warmup)
    with machine.timing_lock(), machine.busy_elsewhere() as load:
        found = take_turns(bare_call, competitors, given.rounds)
    print(f"\n{model}: {len(case.cell.images)} images, batches of {case.cell.compute.batch_size}, "
          f"{case.steps} steps, {given.rounds} rounds after {given.warmup} to warm up; "
          f"torchattacks {statistics.median(found.pop(reference)):.2f} s")  # fmt: skip
    print("| competitor | ratio | lowest | highest | success | bar |")
    print("| --- | ---: | ---: | ---: | ---: | --- |")
    missed = []
    for name, ratios in found.items():
        ratio, bar = statistics.median(ratios), bar_of(name)
        is_missed = bar is not None and ratio > bar
        words = "" if bar is None else f"{bar:.2f}: {'MISSED' if is_missed else 'held'}"
        print(f"| {name} | {ratio:.2f} | {min(ratios):.2f} | {max(ratios):.2f} "
              f"| {rates[name]:.0%} | {words} |")  # fmt: skip
        missed += [f"{model}: {name} {ratio:.2f} > {bar:.2f}"] if is_missed else []
    print(told_of_others(load.share), flush=True)
    return missed


def bar_of(name: str) -> float | None:
    """Return the ratio that a competitor must not exceed here, or None."""
    return None if name == BF16 and not machine.bf16_instructions() else BARS.get(name)


def told_of_others(share: float | None) -> str:
    """Say what other processes did meanwhile."""
    if share is None:
        return "what other processes did meanwhile is not known"
    words = "; too much: run it again on a quiet machine" if share > BUSY else ""
    return f"others used {share:.0%} of the cores' time{words}"


def outcomes(case: Case, plugin: Attack, seed: int) -> NDArray[np.bool_]:
    """Attack from one random start; return for each image right before whether it was fooled."""
    classifier = case.cell.subject.attacked(case.workbench, case.parents)
    generator = torch.Generator().manual_seed(seed)
    attack = batch_by_batch(
        case,
        "",
        lambda images, labels: plugin.perturb(classifier, images, labels, generator=generator),
    )
    with case.cell.compute.applied():
        return success(case, attack().adversarial_images)


def telling_eps(case: Case) -> float:
    """Return the eps of the ladder at which nearest to half of some images are misclassified."""
    few = case.of(ImageSet(case.cell.images.data, case.cell.images.positions[:50]))
    distances: dict[float, float] = {}
    for eps in LADDER:
        rate = float(outcomes(few, pgd(eps=eps, steps=case.steps), 0).mean())
        distances[eps] = abs(rate - HALF)
        if rate >= HALF:
            break
    return min(distances, key=distances.__getitem__)


def compare_precisions(case: Case, given: argparse.Namespace) -> list[str]:
    """Print how often bf16 and fp32 differ from one start, and fp32 from start to start.

    Images count that one fools and the other does not, on average over starts: that rates
    are equal may be luck. A significant paired test is a miss too.
    """
    images = case.cell.images
    case = case.of(ImageSet(images.data, images.positions[: given.agreement_images]))
    model, eps = case.cell.coordinates.model, telling_eps(case)
    seeds = range(1, given.seeds + 1)
    found = {
        (precision, seed): outcomes(case, pgd(eps=eps, steps=case.steps, precision=precision), seed)
        for precision in ("fp32", "bf16")
        for seed in seeds
    }
    count = len(found["fp32", 1])
    print(f"\n{model}: eps {eps:g}, {count} test images right before, {case.steps} steps")
    print("| start | success | against | successes more or less | images that disagree | p |")
    print("| --- | ---: | --- | ---: | ---: | ---: |")
    pairs = [(("bf16", seed), ("fp32", seed)) for seed in seeds]
    pairs += [(("fp32", a), ("fp32", b)) for a, b in itertools.combinations(seeds, 2)]
    changed: dict[str, list[int]] = {"bf16": [], "fp32": []}
    p_values = []
    for first, second in pairs:
        a, b = found[first], found[second]
        test = mcnemar(a, b)
        changed[first[0]].append(test.only_first + test.only_second)
        p_values += [test.p_value] if first[0] == "bf16" else []
        print(f"| {first[0]}, {first[1]} | {a.mean():.1%} | {second[0]}, {second[1]} "
              f"| {test.only_first - test.only_second:+d} | {changed[first[0]][-1]} "
              f"| {test.p_value:.2g} |")  # fmt: skip
    low, high = MIDDLE
    if not low <= found["fp32", 1].mean() <= high:
        return [f"{model}: no eps of the ladder has a success rate at which seeds differ"]
    by_precision, by_seed = (statistics.fmean(changed[name]) for name in ("bf16", "fp32"))
    is_missed = by_precision > by_seed or min(holm(p_values)) < SIGNIFICANT
    words = f"bf16 changes the outcome of {by_precision:.1f} images, another seed {by_seed:.1f}"
    print(f"{words}: {'MISSED' if is_missed else 'held'}", flush=True)
    return [f"{model}: {words}"] if is_missed else []


def tell_machine(given: argparse.Namespace) -> None:
    """Print what decides the speed, and what is left out."""
    facts = machine.describe("cpu")
    print(", ".join(f"{name} {facts[name]}" for name in ("cpu", "cores", "instructions")))
    print(f"{given.threads} threads")
    libraries = ["torch", "torchattacks", *(name for name, _ in PEERS.values())]
    print(", ".join(f"{name} {version(name) or 'is not installed'}" for name in libraries))
    for name, (distribution, _) in PEERS.items():
        if version(distribution) is None:
            print(f"{name} is left out: pip install 'bench-classifiers[peers]'")
    if not has_precision():
        print("bench's pgd has no parameter precision: bf16 is left out")
    elif not machine.bf16_instructions():
        print(f"the processor emulates bf16: the bar of {BARS[BF16]} for it does not apply")


def main(words: Sequence[str] | None = None) -> int:
    """Time all, compare precisions; return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--images", type=int, default=50, help="to attack, in each turn")
    parser.add_argument("--steps", type=int, default=10, help="of PGD")
    parser.add_argument("--rounds", type=int, default=5, help="of turns; the median counts")
    parser.add_argument("--warmup", type=int, default=1, help="rounds before, untimed")
    parser.add_argument("--threads", type=int, default=1, help="of torch, in all")
    parser.add_argument("--seeds", type=int, default=3, help="random starts under each precision")
    parser.add_argument("--agreement-images", type=int, default=300,
                        help="to compare bf16 with fp32 on; 0: do not")  # fmt: skip
    given = parser.parse_args(words)
    if min(given.images, given.steps, given.rounds, given.warmup, given.seeds - 1) < 1:
        parser.error("images, steps, rounds and warmup are at least 1, seeds at least 2")
    torch.set_num_threads(given.threads)
    tell_machine(given)
    with tempfile.TemporaryDirectory() as folder:
        all_cases = list(cases(Path(folder), given))
        missed = [line for case in all_cases for line in time_model(case, given)]
        if has_precision() and given.agreement_images:
            missed += [line for case in all_cases for line in compare_precisions(case, given)]
    print("\n" + ("missed: " + "; ".join(missed) if missed else "every bar that applies is held"))
    return int(bool(missed))


if __name__ == "__main__":
    raise SystemExit(main())
