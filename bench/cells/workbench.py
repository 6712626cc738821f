"""What running cells share: architectures, classifiers kept in memory, the device, the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from bench import fingerprint, registry, seeds
from bench.api.models import strange_normalisation
from bench.classifier.reductions import AppliedReductions
from bench.errors import (
    BenchError,
    ModelError,
    PluginError,
    UsageError,
    WeightsError,
    explained,
    named_shortly,
)
from bench.records import JSON
from bench.store import Store, Stored
from bench.suite import ModelEntry

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from bench.classifier.classifier import Classifier
    from bench.classifier.faults import Model
    from bench.data import ImageSet
    from bench.referee.attacks import Verdict

_KEPT = 8
"""How many classifiers stay in memory."""

_FORMATS = {"channels_last": "channels_last", "contiguous": "nchw"}
"""What identities call a memory format: ``contiguous`` is what grey images were computed channels
last by."""


@dataclass(frozen=True)
class Architecture:
    """A model plugin, configured for the classes and the shape of some data."""

    entry: ModelEntry
    classes: int
    image_shape: tuple[int, int, int]

    @property
    def identity(self) -> dict[str, JSON]:
        """What decides the function that given weights compute."""
        return {
            **registry.identity("models", self.entry.plugin_name, self.entry.plugin),
            "parameters": self.entry.plugin.structure(),
            "classes": self.classes,
            "image_shape": list(self.image_shape),
        }

    @property
    def culprit(self) -> str:
        """How errors name the model."""
        return f"model '{self.entry.name}' (plugin {self.entry.plugin_name})"

    @property
    def model(self) -> Model:
        """How errors of the network name the model, and what images it takes."""
        from bench.classifier.faults import Model

        return Model(self.culprit, self.image_shape)

    def build(self, seed: int = 0, *, pretrained: bool = False) -> nn.Module:
        """Build the network, with fresh weights drawn by a seed or with its library's own."""
        plugin = self.entry.plugin
        make = plugin.build_pretrained if pretrained else plugin.build
        with seeds.forked(seed), self._blamed("cannot be built"):
            network = make(classes=self.classes, image_shape=self.image_shape)
        check_module(network, self.culprit)
        return network

    def _blamed(self, what: str) -> AbstractContextManager[None]:
        """Have what the model's own code raises name the model."""
        return explained(lambda error: faults_of_code(self.culprit, what, error))

    def load(
        self,
        arrays: Mapping[str, NDArray[Any]],
        where: str,
        applied: AppliedReductions | None = None,
        *,
        seed: int = 0,
    ) -> nn.Module:
        """Build the network, as reductions left it, and load weights into it, strictly.

        The weights take the place of those that ``seed`` draws: it may not matter.
        """
        from bench.classifier.weights import load_strictly

        network = self._skeleton(applied, seed)
        with self._blamed("does not take its weights"):
            load_strictly(network, arrays, where)
        return network

    def load_file(
        self, arrays: Mapping[str, NDArray[Any]], where: str, applied: AppliedReductions
    ) -> tuple[nn.Module, str]:
        """Load what a file holds, and return what stood before every name and was taken off."""
        from bench.classifier.weights import load_strictly, without_prefix

        network = self._skeleton(applied)
        with self._blamed("does not take its weights"):
            named, prefix = without_prefix(arrays, network)
            load_strictly(network, named, where)
        return network, prefix

    def _skeleton(self, applied: AppliedReductions | None, seed: int = 0) -> nn.Module:
        """Build the network as reductions left it, with any weights."""
        network = self.build(seed)
        return network if applied is None else applied.rebuild(network, self.image_shape)

    def check_normalisation(
        self, mean: tuple[float, ...], std: tuple[float, ...], where: str
    ) -> None:
        """Check that mean and std have one number for each channel, and are of pixels in [0, 1]."""
        if not len(mean) == len(std) == self.image_shape[0]:
            raise WeightsError.of(
                where,
                f"mean and std have {len(mean)} and {len(std)} numbers",
                f"{self.image_shape[0]}: one for each channel of the data",
                "give as many in the suite",
            )
        reason = strange_normalisation(mean, std)
        if reason is not None:
            raise WeightsError.of(
                where,
                reason,
                "mean and std of pixels in [0, 1]",
                "divide those of pixels from 0 to 255 by 255",
            )


def faults_of_code(culprit: str, what: str, error: Exception) -> BenchError:
    """Return the error of a model whose own code raised something."""
    words = f"{what}: {named_shortly(error)}"
    return ModelError.of(culprit, words, "a torch.nn.Module that works", "mend the model's code")


def check_module(built: object, culprit: str) -> None:
    """Check that a plugin built a module.

    Raises:
        PluginError: naming ``culprit``.

    """
    from torch import nn

    if not isinstance(built, nn.Module):
        raise PluginError.of(culprit, f"built a {type(built).__name__}", "a torch.nn.Module")


@dataclass(frozen=True)
class Compute:
    """How numbers are computed: what may change their last digits, and so is in identities."""

    device: str
    memory_format: Literal["channels_last", "contiguous"]
    batch_size: int
    threads: int
    precision: Literal["fp32"] = "fp32"

    def identity(self, *, batch_size: bool = False, threads: bool = False) -> dict[str, JSON]:
        """Return the part of an identity; with what the work is not invariant to."""
        parts: dict[str, JSON] = {
            "device": self.device.partition(":")[0],
            "memory_format": _FORMATS[self.memory_format],
            "precision": self.precision,
        }
        if batch_size:
            parts["batch_size"] = self.batch_size
        if threads:
            parts["threads"] = self.threads
        return parts

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Have torch compute so, and put its settings back at the end.

        fp32 means fp32: TF32, which torch allows in convolutions by default, keeps 10 bits. On a
        GPU, algorithms are the deterministic ones.
        """
        import torch

        threads, matmul = torch.get_num_threads(), torch.backends.cuda.matmul.allow_tf32
        torch.set_num_threads(self.threads)
        torch.backends.cuda.matmul.allow_tf32 = False
        exact = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        try:
            with exact:
                yield
        finally:
            torch.set_num_threads(threads)
            torch.backends.cuda.matmul.allow_tf32 = matmul

    def check_device(self) -> None:
        """Check that the device is there.

        Raises:
            UsageError: where it is not.

        """
        if not self.device.startswith("cuda"):
            return
        import torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        number = int(self.device.partition(":")[2] or 0)
        if number >= count:
            raise UsageError.of(
                f"device '{self.device}'",
                "is not there",
                f"cpu, or one of {count} GPUs that torch can use" if count else "cpu",
                "choose with --device",
            )


@dataclass
class Workbench:
    """Where cells run: a store, one device, and the classifiers that were built last.

    ``notify`` is given the share of the current cell that is done, and a few words; ``measure`` the
    figures of each of its steps, such as an epoch's.
    """

    store: Store
    compute: Compute
    notify: Callable[[float, str], None] = lambda _share, _words: None
    measure: Callable[[Mapping[str, JSON]], None] = lambda _figures: None
    _classifiers: dict[str, Classifier] = field(default_factory=dict)
    _verdicts: WeakKeyDictionary[Classifier, dict[str, Verdict]] = field(
        default_factory=WeakKeyDictionary
    )

    def place(self, module: nn.Module, image_shape: tuple[int, int, int]) -> nn.Module:
        """Move a network or a classifier to the device, and into the memory format if it can."""
        from bench.classifier import layout

        module.to(self.compute.device)
        layout.lay_out(module, image_shape, self.compute.memory_format)
        return module

    def network(self, architecture: Architecture, weights: Stored, *, seed: int = 0) -> nn.Module:
        """Return a fresh copy, on the CPU, of the network that a cell made.

        Args:
            architecture: of the weights.
            weights: the cell.
            seed: what the network is built from, before it is given the weights.

        Raises:
            WeightsError: where the store holds other weights than were made.

        """
        where = f"cell {weights.key[:12]} ({weights.label})"
        arrays = self.store.arrays(weights)
        if fingerprint.of_arrays(arrays) != weights.outputs["weights"]:
            raise WeightsError.of(where, "holds other weights than were made", "its own digest")
        return architecture.load(
            arrays, where, AppliedReductions.of(self.store.header(weights), where), seed=seed
        )

    def classifier(
        self,
        architecture: Architecture,
        weights: Stored,
        *,
        twin: bool = False,
        fresh: bool = False,
    ) -> Classifier:
        """Return the classifier of the weights that a cell made, without shields.

        Args:
            architecture: of the weights.
            weights: the cell.
            twin: the network that has gradients, where a reduction deploys another.
            fresh: build one of its own, which nobody else is given.

        """
        from bench.classifier.classifier import Classifier
        from bench.classifier.layers import in_eval_mode
        from bench.classifier.weights import header_normalisation

        header = self.store.header(weights)
        applied = AppliedReductions.of(header, weights.label)

        def make() -> Classifier:
            normalisation = header_normalisation(header)
            if normalisation is None:
                raise WeightsError.of(weights.label, "has no mean and std", "both")
            network = in_eval_mode(self.network(architecture, weights))
            return Classifier(
                network if twin else applied.deploy(network),
                *normalisation,
                model=architecture.model,
            )

        suffix = " twin" if twin and applied.answers_otherwise else ""
        key = weights.outputs["classifier"] + suffix
        return self.kept(key, make, architecture.image_shape, fresh=fresh)

    def kept(
        self,
        key: str,
        make: Callable[[], Classifier],
        image_shape: tuple[int, int, int],
        *,
        fresh: bool = False,
    ) -> Classifier:
        """Return a classifier that was made before, or make it and put it on the device."""
        if fresh:
            made = make()
            self.place(made, image_shape)
            return made
        if key not in self._classifiers:
            made = make()
            self.place(made, image_shape)
            while len(self._classifiers) >= _KEPT:
                self._classifiers.pop(next(iter(self._classifiers)))
            self._classifiers[key] = made
        return self._classifiers[key]

    def verdict(self, classifier: Classifier, images: ImageSet) -> Verdict:
        """Return a classifier's verdict on images before any attack; one that was given is kept."""
        from bench.referee import attacks as referee

        known = self._verdicts.setdefault(classifier, {})
        if images.digest not in known:
            known[images.digest] = referee.classify(classifier, images.tensors()[0])
        return known[images.digest]

    def forget_classifiers(self) -> None:
        """Drop what is in memory: after a plugin failed, a classifier may not be what it was."""
        self._classifiers.clear()
