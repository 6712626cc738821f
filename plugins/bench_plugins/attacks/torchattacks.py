"""Runs attacks of torchattacks: the only room that imports it.

It serves 3.3.0 and 3.5.1, and keeps their habits in here: they draw from the global generators,
print, change the classifier's mode, leave gradients behind, and have a normalisation switch that
must stay off. It does not know what any attack does.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench import seeds
from bench.errors import PluginError
from bench.tensors import Images, Labels

if TYPE_CHECKING:
    from torch import Generator
    from torch.nn import Module


def run(
    name: str,
    classifier: Module,
    images: Images,
    labels: Labels,
    *,
    targets: Labels | None,
    generator: Generator,
    **parameters: float | bool,
) -> Images:
    """Run one attack of torchattacks on one batch.

    One number drawn from ``generator`` seeds the global generators. They are restored, and so
    are the classifier's modes, gradients and ``requires_grad``, after an exception too.

    Args:
        name: the attack's class in torchattacks.
        classifier: from pixels in [0, 1] to logits.
        images: float32 in [0, 1].
        labels: true classes; ignored where there are targets.
        targets: classes to reach, or None: untargeted.
        generator: on the CPU.
        parameters: what the attack's constructor takes.

    Raises:
        PluginError: where the installed torchattacks has no such attack.

    """
    import torch

    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    with seeds.forked(seed), _restored(classifier), torch.enable_grad():
        attack = _attack(name, classifier, parameters)
        attack.set_device(images.device)
        if targets is not None:
            with _silence():
                attack.set_mode_targeted_by_function(_given)
        attack.normalization_used = None
        attack._set_normalization_applied(None)  # noqa: SLF001 (the setter that reaches inner attacks)
        adversarial_images: Images = attack(images, labels if targets is None else targets)
    return adversarial_images.detach()


def _given(images: Images, labels: Labels) -> Labels:  # noqa: ARG001 (torchattacks passes both)
    """Map the labels that an attack was called with to targets: as they are.

    (3.3.0 has no ``set_mode_targeted_by_label``, which does the same in 3.5.1.)
    """
    return labels


def _attack(name: str, classifier: Module, parameters: dict[str, float | bool]) -> Any:
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
        return constructor(classifier, **parameters)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Swallow what is printed; never around a whole attack, where others may print too.

    (3.3.0 prints when it is set to targeted, and knows no ``quiet``.)
    """
    with contextlib.redirect_stdout(io.StringIO()):
        yield


@contextlib.contextmanager
def _restored(classifier: Module) -> Iterator[None]:
    """Put back, at the end, modules' modes and parameters' gradients and ``requires_grad``."""
    modes = [(module, module.training) for module in classifier.modules()]
    parameters = [(p, p.requires_grad, p.grad) for p in classifier.parameters()]
    for parameter, _, _ in parameters:
        parameter.grad = None  # else the attack would add to the very tensor that is put back
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, requires_grad, gradient in parameters:
            parameter.requires_grad_(requires_grad)
            parameter.grad = gradient
