"""Any architecture of timm.

This room knows how to ask timm for a network and for pretrained weights that fit the data as they
are. It does not know how to adapt weights: what does not fit is an error.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, JsonValue, model_validator

from bench.api import Model
from bench.errors import BenchError, UsageError, WeightsError, explained, named
from bench.records import JSON

if TYPE_CHECKING:
    from torch.nn import Module

_SET_HERE = frozenset({"num_classes", "in_chans", "checkpoint_path", "model_name", "cache_dir"})


class Timm(Model):
    """A network of timm, by its name there (``resnet18``, ``vit_tiny_patch16_224``, ...).

    Pretrained weights are used only as they are, with their own head: timm would replace a head of
    another size by an untrained one, and a first layer of another depth by a sum, without a word.
    """

    wraps: ClassVar[str | None] = "timm"

    architecture: str = Field(description="timm's name, with or without a pretrained tag")
    pretrained: bool = Field(default=False, description="take timm's weights, with their own head")
    kwargs: dict[str, JsonValue] = Field(
        default_factory=dict, description="more for timm.create_model, such as img_size"
    )

    @model_validator(mode="after")
    def _one_source_of_weights(self) -> Timm:
        if self.pretrained and self.weights is not None:
            raise ValueError("pretrained and weights exclude each other: give one")
        taken = sorted(
            key for key in self.kwargs if key in _SET_HERE or key.startswith("pretrained")
        )
        if taken:
            raise ValueError(f"kwargs cannot hold {', '.join(taken)}: bench sets those itself")
        return self

    @property
    def has_pretrained(self) -> bool:
        """Whether timm's own weights are wanted."""
        return self.pretrained

    def build(self, *, classes: int, image_shape: tuple[int, int, int]) -> Module:
        """Build the network with fresh weights.

        Raises:
            UsageError: for a name that timm does not know, and for images that do not fit.

        """
        self._pretrained_cfg()
        return self._create(classes, image_shape)

    def build_pretrained(self, *, classes: int, image_shape: tuple[int, int, int]) -> Module:
        """Build the network with timm's weights, downloading them where they are not cached.

        Raises:
            UsageError: as in :meth:`build`.
            WeightsError: where there are none, where they have another number of classes or of
                channels, or where they cannot be downloaded.

        """
        cfg = self._pretrained_cfg()
        where = f"model timm: {self.architecture}"
        if cfg is None or not cfg.has_weights:
            raise WeightsError.of(
                where, "has no pretrained weights", "", "set 'pretrained: false' and train it"
            )
        if cfg.num_classes != classes:
            raise WeightsError.of(
                where,
                f"is pretrained on {cfg.num_classes} classes",
                f"{classes}, as the dataset has: another head would be untrained",
                "fine-tune it on the dataset and give the file as 'weights:'",
            )
        if cfg.input_size[0] != image_shape[0]:
            raise WeightsError.of(
                where,
                f"is pretrained on images of {cfg.input_size[0]} channels",
                f"{image_shape[0]}, as the dataset has",
                "fine-tune it on the dataset and give the file as 'weights:'",
            )
        return self._create(classes, image_shape, pretrained=True)

    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Return what was given; else what the pretrained weights were trained with; else None."""
        given = super().normalization()
        if given is not None or not self.pretrained:
            return given
        cfg = self._pretrained_cfg()
        return None if cfg is None else (tuple(cfg.mean), tuple(cfg.std))

    def structure(self) -> dict[str, JSON]:
        """Return the name and the extra arguments; not where weights come from."""
        return {k: v for k, v in super().structure().items() if k != "pretrained"}

    def _pretrained_cfg(self) -> Any:
        """Return timm's account of the pretrained weights, None where there is none.

        Raises:
            UsageError: for an architecture or a tag that timm does not know.

        """
        import timm

        name, _, tag = self.architecture.partition(".")
        if not timm.is_model(name):
            close = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
            raise UsageError.of(
                "model timm: architecture",
                f"timm {timm.__version__} has no '{self.architecture}'",
                "a name of timm.list_models()",
                "did you mean " + " or ".join(f"'{match}'" for match in close) + "?"
                if close
                else "",
            )
        try:
            return timm.get_pretrained_cfg(self.architecture)
        except RuntimeError as error:
            tags = sorted(full.partition(".")[2] for full in timm.list_pretrained(f"{name}.*"))
            raise UsageError.of(
                "model timm: architecture",
                f"'{name}' has no pretrained tag '{tag}'",
                "one of " + ", ".join(tags) if tags else "no tag",
                "correct it or leave it out",
            ) from error

    def _create(
        self, classes: int, image_shape: tuple[int, int, int], *, pretrained: bool = False
    ) -> Module:
        import timm

        from bench_plugins.models.probe import try_one_image

        where = f"model timm: {self.architecture}"
        kwargs: dict[str, Any] = self.kwargs

        def refusal(error: Exception) -> BenchError:
            if pretrained:
                return WeightsError.of(
                    where,
                    f"timm cannot bring its weights ({named(error)})",
                    "a download, or a copy in the cache of huggingface_hub",
                    "check the connection, or give a local file as 'weights:' and its mean and std",
                )
            return UsageError.of(
                where, f"timm cannot build it ({named(error)})", "", "correct 'kwargs:'"
            )

        with explained(refusal):
            network: Module = timm.create_model(
                self.architecture,
                pretrained=pretrained,
                num_classes=classes,
                in_chans=image_shape[0],
                **kwargs,
            )
        try_one_image(
            network,
            where=where,
            classes=classes,
            image_shape=image_shape,
            action=f"some take 'kwargs: {{img_size: {image_shape[1]}}}'; else choose another",
        )
        return network
