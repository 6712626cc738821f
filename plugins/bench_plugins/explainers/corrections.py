"""What single methods of pytorch-grad-cam get wrong, put right.

Each correction replaces one method of one object of the library; the library itself stays as it is,
and is not imported here. This room does not know how an object is made or run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench_plugins.explainers.layers import Layer

Array: TypeAlias = NDArray[Any]
Target: TypeAlias = Callable[[Tensor], Tensor]

_AT_ONCE = 32
"""How many ablated copies of an image are run through the network together."""


def correct(method: str, cam: Any, place: Layer) -> None:
    """Put right what a method of the library gets wrong, on one object of it.

    Args:
        method: the class in pytorch-grad-cam.
        cam: an object of it.
        place: the layer that it looks at.

    """
    if method == "GradCAMPlusPlus":
        cam.get_cam_weights = plus_plus_weights
    elif method == "AblationCAM":
        cam.get_cam_weights = lambda *given: ablation_weights(cam, place, *given)
    elif method == "ScoreCAM":
        cam.get_cam_weights = _unhooked(cam, cam.get_cam_weights)
    elif method == "ShapleyCAM":
        cam.get_cam_image = lambda *given: shapley_map(cam, place, *given)
    elif method in {"EigenCAM", "EigenGradCAM", "KPCA_CAM"}:
        project = cam.get_cam_image
        cam.get_cam_image = lambda *given: _projected(method, project, *given)


def score(method: str, target: int) -> Target:
    """Return what is explained: a function of one image's logits.

    The logit of the target; for ShapleyCAM, the utility that its paper calls ReST: the logit and
    the logarithm of the softmax, added.

    Raises:
        IndexError: when called with logits of which none is the target's.

    """

    def explained(logits: Tensor) -> Tensor:
        if not 0 <= target < len(logits):  # a negative one would count from the end
            raise IndexError(f"target {target} is not one of {len(logits)} classes")
        logit = logits[target]
        return logit + logits.log_softmax(0)[target] if method == "ShapleyCAM" else logit

    return explained


def unhook(cam: Any) -> None:
    """Remove the library's hooks, and drop what they stored.

    Its own ``release`` first detaches what it stored, which fails on views, and leaves the hooks.
    Left in place while a method runs an image a thousand times, they would store each run.
    """
    store = cam.activations_and_grads
    for handle in store.handles:
        handle.remove()
    store.handles, store.activations, store.gradients = [], [], []


@contextlib.contextmanager
def twice_differentiable(method: str) -> Iterator[None]:
    """Have attention computed in a way that has a second derivative, where a method needs one."""
    if method != "ShapleyCAM":
        yield
        return
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(SDPBackend.MATH):
        yield


def plus_plus_weights(
    _images: Tensor, _layer: nn.Module, _targets: Sequence[Target], activations: Array, grads: Array
) -> Array:
    """Return Grad-CAM++'s weights: equation 7 with the alphas of equation 19.

    With ``g`` the gradient and ``S`` the sum of a channel's activations, alpha is
    ``g^2 / (2 g^2 + S g^3)``, which is ``1 / (2 + S g)`` wherever g is not zero, and the weight is
    the sum of ``alpha * max(g, 0)``. The library adds 1e-6 to the divisor: behind an average pool
    of 7 x 7 g^2 is about that size, and weights become nearly those of g^3. A negative S, which the
    paper does not know, counts as zero: the divisor could vanish.
    """
    rising = np.maximum(grads.astype(np.float64), 0)
    total = np.maximum(activations.sum((2, 3), keepdims=True, dtype=np.float64), 0)
    weights: Array = (rising / (2 + total * rising)).sum((2, 3))
    return weights


def ablation_weights(
    cam: Any,
    place: Layer,
    images: Tensor,
    _layer: nn.Module,
    targets: Sequence[Target],
    activations: Array,
    _grads: None,
) -> Array:
    """Return Ablation-CAM's weights for one image: how far the score drops without each channel.

    The library divides the drop by the score, which turns all weights round where the score is
    negative; sets channels to -10,000,000 where any activation is not positive; and leaves its own
    layer in the model after an exception. Here the drop is not divided (for one image, that only
    scales the map), and channels are set to zero by a hook.
    """
    unhook(cam)
    channels = torch.arange(activations.shape[1], device=images.device)

    def scores(ablated: Tensor) -> Tensor:
        def silence(_: nn.Module, __: Any, output: Tensor) -> Tensor:
            silenced = output.clone()
            rows = torch.arange(len(ablated), device=output.device)
            silenced.movedim(place.channels, 1)[rows, ablated] = 0
            return silenced

        handle = place.module.register_forward_hook(silence)
        try:
            logits = cam.model(images.expand(len(ablated), -1, -1, -1).contiguous())
        finally:
            handle.remove()
        return torch.stack([targets[0](row) for row in logits])

    with torch.no_grad():
        whole = targets[0](cam.model(images)[0])
        drops = [whole - scores(part) for part in channels.split(_AT_ONCE)]  # type: ignore[no-untyped-call]
    weights: Array = torch.cat(drops)[None].cpu().numpy()
    return weights


def _unhooked(cam: Any, weigh: Callable[..., Array]) -> Callable[..., Array]:
    """Return a method that first removes the hooks: it runs an image for each channel."""

    def weights(*given: Any) -> Array:
        unhook(cam)
        return weigh(*given)

    return weights


def shapley_map(
    cam: Any,
    place: Layer,
    images: Tensor,
    layer: nn.Module,
    targets: Sequence[Target],
    activations: Tensor,
    grads: Tensor,
    _smooth: bool,
) -> Array:
    """Return ShapleyCAM's weighted sum, from activations that are maps.

    The library reads tokens, or channels that come last, as maps for the weights and then forgets
    to for what is weighed: transformers fail there.
    """
    weights = cam.get_cam_weights(images, layer, targets, activations, grads)
    maps = place.as_map(activations).detach().cpu().numpy()
    weighed: Array = (weights[:, :, None, None] * maps).sum(1)
    return weighed


def _projected(
    method: str,
    project: Callable[..., Array],
    images: Tensor,
    layer: nn.Module,
    targets: Sequence[Target],
    activations: Array,
    grads: Array | None,
    smooth: bool,
) -> Array:
    """Return a projection on the first component, turned the right way round.

    A component has no sign of its own, so that LAPACK may turn every map inside out, and the
    library then cuts off what is negative. With gradients, high must mean what raises the logit:
    the map goes with the sum of gradient times activation. Without, the larger extreme is positive
    (Chung and Ying, "Seg-Eigen-CAM", 2025, equation 13). What is not a number, the library takes
    for zero; here it stays.
    """
    with_gradients = method == "EigenGradCAM" and grads is not None
    weighed = grads * activations if with_gradients else activations
    if not np.isfinite(weighed).all():
        return np.full_like(weighed[:, 0], np.nan)
    if method == "KPCA_CAM":
        projection = project(images, layer, targets, activations, grads, smooth)
    else:
        projection = first_component(weighed)
    if with_gradients:
        evidence = weighed.sum(1)
        inverted = (projection * (evidence - evidence.mean())).sum() < 0
    else:
        inverted = -projection.min() > projection.max()
    return -projection if inverted else projection


def first_component(maps: Array) -> Array:
    """Project the positions of one image's maps on their first principal component.

    As the library does, up to the sign, but without the components that nobody looks at: behind
    2048 channels, those cost it a hundred times as much.

    Args:
        maps: (1, channel, height, width).

    Returns:
        (1, height, width).

    """
    positions = torch.from_numpy(np.ascontiguousarray(maps[0])).flatten(1).T
    left, values, _ = torch.linalg.svd(positions - positions.mean(0), full_matrices=False)
    projection: Array = (left[:, 0] * values[0]).numpy().reshape(1, *maps.shape[2:])
    return projection
