"""AppliedReductions: what reductions made of a network, so that it can be built again elsewhere.

A form is plain values, kept beside the weights that load into the network. This room does not know
what any reduction does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from bench import registry
from bench.api import Reduction
from bench.errors import WeightsError
from bench.records import JSON

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

KEY = "forms"
"""Where the header of a file of weights lists them."""


@dataclass(frozen=True)
class AppliedReduction:
    """One reduction, and what it takes to build its network again."""

    name: str
    plugin: Reduction
    form: JSON

    @property
    def plain(self) -> dict[str, JSON]:
        """What the header holds, and what decides the network's function beside the weights."""
        return {
            "name": self.name,
            **registry.identity("compressors", self.name, self.plugin),
            "parameters": self.plugin.parameters(),
            "form": self.form,
        }


@dataclass(frozen=True)
class AppliedReductions:
    """The reductions that a network went through, the first first."""

    steps: tuple[AppliedReduction, ...] = ()

    @classmethod
    def of(cls, header: Mapping[str, str], where: str) -> AppliedReductions:
        """Read the header of a file of weights; of a network that nothing reduced, there are none.

        Raises:
            WeightsError: where the header cannot be understood.
            PluginError: where a reduction is not installed.

        """
        if KEY not in header:
            return cls()
        try:
            written = json.loads(header[KEY])
            return cls(tuple(_form(each) for each in written))
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise WeightsError.of(
                where,
                f"lists reductions that cannot be understood: {error}",
                "what bench wrote",
                "make the file again with this version",
            ) from error

    def then(self, form: AppliedReduction) -> AppliedReductions:
        """Return these, and one more."""
        return AppliedReductions((*self.steps, form))

    @property
    def header(self) -> dict[str, str]:
        """What the header of a file of weights says of them; nothing where there are none."""
        return {KEY: json.dumps(self.plain)} if self.steps else {}

    @property
    def plain(self) -> list[JSON]:
        """Plain values."""
        return [step.plain for step in self.steps]

    @property
    def answers_otherwise(self) -> bool:
        """Whether what is judged is not the network itself, but what a reduction deploys."""
        return any(step.plugin.gradients != "exact" for step in self.steps)

    def rebuild(self, network: Module, image_shape: tuple[int, int, int]) -> Module:
        """Give a network the modules and shapes of the reduced one; any weights."""
        for step in self.steps:
            network.eval()
            network = step.plugin.rebuild(network, step.form, image_shape=image_shape)
        return network

    def deploy(self, network: Module) -> Module:
        """Return what is judged; may change the network."""
        for step in self.steps:
            network = step.plugin.deploy(network)
        return network

    def packed(self, network: Module) -> Mapping[str, Tensor]:
        """Return what would be shipped of a network: as the last reduction packs it.

        Where another network is deployed, as the last reduction that deploys one packs it.
        """
        if not self.steps:
            return dict(network.state_dict())
        plugins = [step.plugin for step in self.steps]
        deploying = [plugin for plugin in plugins if plugin.gradients != "exact"]
        return (deploying or plugins)[-1].packed(network)


def _form(written: Mapping[str, JSON]) -> AppliedReduction:
    name = str(written["name"])
    plugin = registry.load("compressors", name).model_validate(written["parameters"])
    if not isinstance(plugin, Reduction):
        raise TypeError(f"'{name}' reduces nothing")
    return AppliedReduction(name, plugin, written["form"])
