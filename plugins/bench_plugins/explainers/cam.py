"""Runs class activation methods of pytorch-grad-cam: the only room that imports it.

It keeps the library's habits in here. Its ``with`` block prints an IndexError and goes on without a
result, so it is never used. It fails on frozen weights: gradients are asked of the image instead,
and the weights stay as they are. It drops gradients of others, changes modes, leaves hooks where it
fails, stores what is changed in place later, draws progress bars, and loses images that have no
target. What single methods get wrong is put right in :mod:`bench_plugins.explainers.corrections`.
This room does not know what any method does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from bench import seeds
from bench.api import padded
from bench.errors import PluginError
from bench.tensors import Heatmaps, Images, Labels
from bench_plugins.explainers import corrections, layers
from bench_plugins.explainers.layers import Layer


def explain(
    method: str,
    classifier: nn.Module,
    images: Images,
    targets: Labels,
    *,
    layer: str | None,
    generator: Generator,
    **parameters: str | float | None,
) -> Heatmaps:
    """Run one method of pytorch-grad-cam on one batch, an image at a time.

    One number drawn from ``generator`` for each image seeds the global generators while it runs.
    They are restored, and so are the classifier's modes, hooks, gradients and ``requires_grad``,
    after an exception too.

    Args:
        method: the class in pytorch-grad-cam.
        classifier: with a ``network``.
        images: float32 in [0, 1].
        targets: the classes to explain, one for each image.
        layer: dotted name inside the network, or None: see :func:`layers.find`.
        generator: on the CPU.
        parameters: what the method's constructor takes beside model and layers.

    Returns:
        float32, (image, height, width), in [0, 1]; on the device of the images.

    Raises:
        PluginError: where the installed library lacks the method, or returns no finite map.
        UsageError: where there is no such layer, or none is found.

    """
    constructor = _constructor(method)
    heatmaps = torch.zeros(len(images), *images.shape[2:], device=images.device)
    rows = list(zip(range(len(images)), targets.tolist(), strict=True))
    if not rows:
        return heatmaps
    with _restored(classifier):
        with padded(classifier, 1):  # looking for the layer explains nothing: it is not counted
            place = layers.find(classifier, images[:1], layer, f"explainer {method}: layer")
        for i, target in rows:
            image = images[i : i + 1]
            seed = int(torch.randint(2**63 - 1, (), generator=generator))
            with seeds.forked(seed), _without_bars(), np.errstate(all="ignore"):
                found = _map(constructor, method, classifier, image, target, place, parameters)
            heatmaps[i] = _checked(found, image, f"explainer {method} at layer '{place.name}'")
    return heatmaps


def _constructor(method: str) -> Callable[..., Any]:
    import pytorch_grad_cam

    found: Callable[..., Any] | None = getattr(pytorch_grad_cam, method, None)
    if found is None:
        from importlib.metadata import version

        raise PluginError.of(
            f"grad-cam {version('grad-cam')}",
            f"has no method '{method}'",
            "a version that has it",
            "install a newer version of grad-cam",
        )
    return found


def _map(
    constructor: Callable[..., Any],
    method: str,
    classifier: nn.Module,
    image: Images,
    target: int,
    place: Layer,
    parameters: dict[str, Any],
) -> Any:
    """Return what the library makes of one image, leaving no hook behind."""
    cam = constructor(
        model=classifier,
        target_layers=[place.module],
        reshape_transform=place.as_map,
        **parameters,
    )
    shield = place.module.register_forward_hook(_copy)
    try:
        corrections.correct(method, cam, place)
        asks = bool(cam.uses_gradients)
        with torch.set_grad_enabled(asks), corrections.twice_differentiable(method):
            return cam(
                input_tensor=image.detach().clone().requires_grad_(asks),
                targets=[corrections.score(method, target)],
            )
    finally:
        shield.remove()
        corrections.unhook(cam)


def _copy(_: nn.Module, __: Any, output: Tensor) -> Tensor:
    """Give a copy to what follows: what the library stored must not be changed in place."""
    return output.clone()


def _checked(found: Any, image: Images, where: str) -> Tensor:
    """Return a map as a tensor.

    Raises:
        PluginError: where it is none, of another size than the image, or not finite.

    """
    shape = (1, *image.shape[2:])
    if not isinstance(found, np.ndarray) or found.shape != shape:
        got = found.shape if isinstance(found, np.ndarray) else type(found).__name__
        raise PluginError.of(where, f"returned {got}", f"an array of shape {shape}")
    if not np.isfinite(found).all():
        raise PluginError.of(
            where,
            "returned a map that is not finite",
            "finite activations and gradients",
            "look at the model's weights, or name another 'layer:'",
        )
    return torch.from_numpy(found[0])


@contextlib.contextmanager
def _without_bars() -> Iterator[None]:
    """Have Score-CAM count in silence."""
    from pytorch_grad_cam import score_cam

    bars = score_cam.tqdm
    score_cam.tqdm = SimpleNamespace(tqdm=iter)
    try:
        yield
    finally:
        score_cam.tqdm = bars


@contextlib.contextmanager
def _restored(classifier: nn.Module) -> Iterator[None]:
    """Freeze a classifier in eval mode; put back, at the end, how it was."""
    modes = [(module, module.training) for module in classifier.modules()]
    parameters = [(p, p.requires_grad, p.grad) for p in classifier.parameters()]
    classifier.eval()
    classifier.requires_grad_(requires_grad=False)
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, requires_grad, gradient in parameters:
            parameter.requires_grad_(requires_grad)
            parameter.grad = gradient
