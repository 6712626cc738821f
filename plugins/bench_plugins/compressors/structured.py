"""Structured pruning: whole channels are taken away, and tensors become smaller.

Which channels hang together, and which matter, torch-pruning says. This room sees to it that the
logits stay as many, that the network still works, and that it can be built again elsewhere.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from bench.api import Reduction, Zeros
from bench.errors import BenchError, PluginError, explained, named
from bench.records import JSON
from bench.tensors import Images, Labels
from bench_plugins.compressors.layers import prunable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Generator
    from torch.nn import Module

_WHERE = "compressor structured"
_BATCH = 32
"""How many images at once go through the network where Taylor's importance is measured."""


class Structured(Reduction):
    """Take away the channels that matter least, with all that hangs on them.

    Channels that additions, normalisation or flattening tie together go together. Those of the last
    layer, the logits, stay. ``magnitude`` measures the squared length of the weights of a channel
    and of what hangs on it; ``taylor`` by how much the loss on training images would change, to
    first order. Parameters shrink by about the square of what stays of the channels.

    Source: Fang et al., "DepGraph: Towards Any Structural Pruning", 2023, section 3; Li et al.,
        "Pruning Filters for Efficient ConvNets", 2017, section 3.1 (magnitude); Molchanov et al.,
        "Importance Estimation for Neural Network Pruning", 2019, section 3 (Taylor). Computed by
        torch-pruning.
    Deviations: magnitude is the mean of squares over the layers of a group, divided by its mean
        over the group's channels; Taylor's takes absolute values of weight times gradient, so, and
        leaves out those of batch normalisation.
    """

    wraps: ClassVar[str | None] = "torch-pruning"
    earlier_zeros: ClassVar[Zeros] = "unknown"

    pruning_ratio: float = Field(0.5, ge=0, lt=1, description="share of the channels taken away")
    importance: Literal["magnitude", "taylor"] = Field(
        "magnitude", description="what a channel is worth"
    )
    scope: Literal["global", "layer"] = Field(
        "layer", description="among which channels: of the whole network, or the same share of each"
    )
    round_to: int | None = Field(
        None, ge=1, description="what is left is made a multiple of so many channels"
    )
    images: int = Field(256, ge=1, description="training images that taylor looks at")

    @property
    def images_wanted(self) -> int:
        """The images of Taylor's importance; magnitude needs none."""
        return self.images if self.importance == "taylor" else 0

    def reduce(
        self, network: Module, images: Images, labels: Labels, *, generator: Generator
    ) -> tuple[Module, JSON]:
        """Prune, and return what was taken away of which layer."""
        import torch_pruning

        head = _head(network, images[:1])
        if self.importance == "taylor":
            _differentiate(network, images, labels)
        measures = {
            "magnitude": torch_pruning.importance.GroupMagnitudeImportance,
            "taylor": torch_pruning.importance.GroupTaylorImportance,
        }
        with explained(lambda error: _refusal(f"torch-pruning fails: {named(error)}")):
            pruner = torch_pruning.pruner.BasePruner(
                network,
                images[:1],
                importance=measures[self.importance](),
                global_pruning=self.scope == "global",
                pruning_ratio=self.pruning_ratio,
                round_to=self.round_to,
                ignored_layers=[head],
                # the library's defaults are shared by all its pruners, and keep networks alive
                in_channel_groups={},
                out_channel_groups={},
                num_heads={},
            )
            groups = _sizes(pruner)
            pruner.step()
        network.zero_grad(set_to_none=True)
        _check(network, images[:1], _logits(head))
        history: Any = pruner.pruning_history()
        if self.pruning_ratio and not history:
            raise _refusal(f"nothing was taken away, though {self.pruning_ratio:.0%} were to be")
        self._check_taken(groups)
        return network, [[name, bool(outputs), sorted(idxs)] for name, outputs, idxs in history]

    def _check_taken(self, groups: Sequence[tuple[str, int, Callable[[], int]]]) -> None:
        """Refuse where less was taken away than was asked for.

        torch-pruning leaves a group whole that would lose all its channels, without a warning.
        """
        asked = taken = 0
        whole = []
        for name, before, count in groups:
            gone = before - count()
            # rounded as torch-pruning rounds; of one channel, none can go
            wanted = before - int(before * (1 - self.pruning_ratio)) if before > 1 else 0
            asked, taken = asked + wanted, taken + gone
            if wanted and not gone:
                whole.append(name)
        spare = len(groups) * ((self.round_to or 1) - 1 + (self.scope == "global"))
        if whole and taken + spare < asked:
            named = ", ".join(whole[:3]) + (f" and {len(whole) - 3} more" if whole[3:] else "")
            raise PluginError.of(
                _WHERE,
                f"{taken} of {sum(before for _, before, _ in groups)} channels went, though "
                f"{self.pruning_ratio:.0%} were to: {named} would have lost all, and stayed whole",
                "a channel left in each layer",
                "lower pruning_ratio" + (", or scope: layer" if self.scope == "global" else ""),
            )

    def rebuild(self, network: Module, form: JSON, *, image_shape: tuple[int, int, int]) -> Module:
        """Take away the same channels again."""
        import torch
        import torch_pruning

        if not isinstance(form, list):
            raise TypeError(f"a {type(form).__name__} is no list of what was taken away")
        with torch.enable_grad():
            graph = torch_pruning.DependencyGraph().build_dependency(
                network, example_inputs=torch.zeros(1, *image_shape)
            )
        graph.load_pruning_history(form)
        network.zero_grad(set_to_none=True)
        return network


def _sizes(pruner: Any) -> Sequence[tuple[str, int, Callable[[], int]]]:
    """Return the groups of channels that hang together: a name, how many there are, a recount."""
    graph, found = pruner.DG, []
    for group in graph.get_all_groups(
        ignored_layers=pruner.ignored_layers, root_module_types=pruner.root_module_types
    ):
        root = group[0].dep.target.module
        name = group[0].dep.target.name.partition(" ")[0]
        found.append((name, graph.get_out_channels(root), partial(graph.get_out_channels, root)))
    return found


def _head(network: Module, image: Images) -> Module:
    """Return the layer that makes the logits: the last to run that gives as many numbers.

    Raises:
        PluginError: where there is none.

    """
    import torch

    ran: list[Module] = []
    layers = prunable(network).values()
    hooks = [layer.register_forward_hook(lambda layer, *_: ran.append(layer)) for layer in layers]
    try:
        with torch.no_grad():
            logits = network(image)
    finally:
        for hook in hooks:
            hook.remove()
    for layer in reversed(ran):
        if _logits(layer) == logits.shape[1]:
            return layer
    raise _refusal(f"no layer gives {logits.shape[1]} numbers, as there are logits")


def _logits(layer: Any) -> int:
    """Count the numbers that a Conv or Linear layer gives."""
    count: int = layer.out_features if hasattr(layer, "out_features") else layer.out_channels
    return count


def _differentiate(network: Module, images: Images, labels: Labels) -> None:
    """Leave at each weight the gradient of the mean loss."""
    import torch

    network.zero_grad(set_to_none=True)
    for batch, truth in zip(images.split(_BATCH), labels.split(_BATCH), strict=True):  # type: ignore[no-untyped-call]
        with torch.enable_grad():
            loss = torch.nn.functional.cross_entropy(network(batch), truth, reduction="sum")
        (loss / len(images)).backward()  # type: ignore[no-untyped-call]


def _check(network: Module, image: Images, classes: int) -> None:
    """Run the pruned network forth and back.

    Raises:
        PluginError: where that fails, or the logits are others.

    """
    import torch

    try:
        with (
            torch.enable_grad(),
            explained(lambda error: _refusal(f"the pruned network fails: {named(error)}")),
        ):
            logits = network(image)
            logits.sum().backward()
    finally:
        network.zero_grad(set_to_none=True)
    if logits.shape != (len(image), classes):
        raise _refusal(f"the pruned network gives logits of shape {tuple(logits.shape)}")


def _refusal(what: str) -> BenchError:
    return PluginError.of(
        _WHERE,
        what,
        "a network that torch-pruning can follow",
        "leave this step out for this model; before it, let no other quantise",
    )
