"""Runs attacks of torchattacks: the only room that imports it.

It serves 3.3.0 to 3.5.1, and keeps their habits in here: they draw from the global generators,
print, change the classifier's mode, leave gradients behind, want to be given a seed and a number of
classes, reshape gradients in a way that memory formats forbid, and have a normalisation switch that
must stay off. It does not know what any attack does.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Collection, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from bench import seeds
from bench.api import padded
from bench.errors import PluginError
from bench.tensors import Images, Labels

if TYPE_CHECKING:
    from torch import Generator, device
    from torch.nn import Module

Precision: TypeAlias = Literal["fp32", "bf16"]
Want: TypeAlias = Literal["seed", "n_classes", "labels", "targets", "cpu"]

_HARMLESS = (
    "divide by zero encountered",  # OnePixel of 3.3.0, where all its candidates are alike
    "__array__ implementation doesn.t accept a copy keyword",  # SparseFool, with NumPy 2
)
"""Warnings about an attack's code, not about its result; the beginnings of their messages."""


def run(
    name: str,
    classifier: Module,
    images: Images,
    labels: Labels,
    *,
    targets: Labels | None,
    generator: Generator,
    wants: Collection[Want] = (),
    precision: Precision = "fp32",
    **parameters: Any,
) -> Images:
    """Run one attack of torchattacks on one batch.

    One number drawn from ``generator`` seeds the global generators. They are restored, and so
    are the classifier's modes, hooks, gradients and ``requires_grad``, after an exception too.

    Args:
        name: the attack's class in torchattacks.
        classifier: from pixels in [0, 1] to logits.
        images: float32 in [0, 1].
        labels: true classes; not given to the attack where there are targets.
        targets: classes to reach, or None: untargeted.
        generator: on the CPU.
        wants: what else the attack must be given: ``seed``, for the generators that it seeds
            itself; ``n_classes``, how many there are, at most the parameter of that name;
            ``labels``, the true ones beside the targets; ``targets``, always: untargeted, the
            class after the true one; ``cpu``, images there, wherever the classifier is.
        precision: what the classifier computes in; logits are float32 whatever it is.
        parameters: what the attack's constructor takes.

    Raises:
        PluginError: where the installed torchattacks has no such attack.

    """
    import torch

    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    with seeds.forked(seed), _restored(classifier), torch.enable_grad():
        model = _facade()(classifier, precision, images.device).eval()
        if "seed" in wants:
            parameters["seed"] = seed
        if "n_classes" in wants:
            parameters["n_classes"] = min(_classes(classifier, images), parameters["n_classes"])
        if "targets" in wants and targets is None:
            targets = (labels + 1) % _classes(classifier, images)
        attack = _attack(name, model, parameters)
        given = images.contiguous().to("cpu" if "cpu" in wants else images.device)
        attack.set_device(given.device)
        if targets is not None:
            _aim(attack, targets if "labels" in wants else None)
        _leave_normalization_off(attack)
        aims = labels if targets is None or "labels" in wants else targets
        with warnings.catch_warnings():
            for message in _HARMLESS:
                warnings.filterwarnings("ignore", message)
            adversarial_images: Images = attack(given, aims)
    return adversarial_images.detach().to(images.device)


def _classes(classifier: Module, images: Images) -> int:
    """Count the classes by asking for the logits of one image, which is not counted as a pass."""
    import torch

    with torch.no_grad(), padded(classifier, 1):
        return int(classifier(images[:1]).shape[1])


@cache
def _facade() -> Callable[[Module, Precision, device], Module]:
    """Define what torchattacks is given in place of the classifier.

    Its class, and that it has no ``mean`` or ``std``, matter: torchattacks takes those of a
    ``RobModel`` (3.4.0: of any model) for a normalisation that it may undo. Gradients come back
    contiguous, since PGDL2, FAB, JSMA and others use ``view`` on them.
    """
    import torch

    class Contiguous(torch.autograd.Function):
        @staticmethod
        def forward(_: Any, images: Images) -> Images:
            return images.view_as(images)

        @staticmethod
        def backward(_: Any, gradient: Images) -> Images:
            return gradient.contiguous()

    class Facade(torch.nn.Module):
        def __init__(self, classifier: Module, precision: Precision, where: device) -> None:
            super().__init__()
            self.classifier = classifier
            self.low = precision == "bf16"
            self.where = where

        def forward(self, images: Images) -> Any:
            seen = Contiguous.apply(images.to(self.where))
            with torch.autocast(self.where.type, torch.bfloat16, enabled=self.low):
                logits = self.classifier(seen)
            return logits.float().to(images.device)

    return Facade


def _attack(name: str, model: Module, parameters: dict[str, Any]) -> Any:
    import torchattacks

    constructor = getattr(torchattacks, name, None)
    if constructor is None:
        raise PluginError.of(
            f"torchattacks {torchattacks.__version__}",
            f"has no attack '{name}'",
            "a version that has it",
            "install another version of torchattacks",
        )
    with _silence():
        return constructor(model, **parameters)


def _aim(attack: Any, targets: Labels | None) -> None:
    """Set an attack to targeted: at these classes or, if None, at the labels of its call.

    (3.3.0 has no ``set_mode_targeted_by_label``, which does the latter in 3.5.1.)
    """
    with _silence():
        attack.set_mode_targeted_by_function(
            lambda _, labels: labels if targets is None else targets
        )


def _leave_normalization_off(attack: Any) -> None:
    """Switch the normalisation off, in attacks that an attack runs too."""
    for each in (attack, *attack.__dict__.get("_attacks", {}).values()):
        each.normalization_used = None
    attack._set_normalization_applied(None)  # noqa: SLF001 (the setter that reaches inner attacks)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Swallow what is printed; never around a whole attack, where others may print too.

    (3.3.0 prints when it is set to targeted, and knows no ``quiet``.)
    """
    with contextlib.redirect_stdout(io.StringIO()):
        yield


@contextlib.contextmanager
def _restored(classifier: Module) -> Iterator[None]:
    """Put back, at the end, modes and hooks of modules, gradients and ``requires_grad``."""
    modes = [(module, module.training) for module in classifier.modules()]
    hooks = [
        (attribute, dict(attribute))
        for module in classifier.modules()
        for name, attribute in vars(module).items()
        if "_hooks" in name and isinstance(attribute, dict)
    ]
    parameters = [(p, p.requires_grad, p.grad) for p in classifier.parameters()]
    for parameter, _, _ in parameters:
        parameter.grad = None  # else the attack would add to the very tensor that is put back
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for attribute, content in hooks:
            attribute.clear()
            attribute.update(content)
        for parameter, requires_grad, gradient in parameters:
            parameter.requires_grad_(requires_grad)
            parameter.grad = gradient
