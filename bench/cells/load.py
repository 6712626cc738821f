"""The load cell: weights from a file or from a library, loaded strictly and put into the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench import fingerprint
from bench.cells.cell import Cell, package_of
from bench.cells.workbench import Architecture, Workbench
from bench.classifier.reductions import AppliedReductions
from bench.errors import BenchError, WeightsError, explained, named_shortly
from bench.records import JSON, Kind, Result
from bench.store import Stored


@dataclass(frozen=True)
class LoadCell(Cell):
    """Weights that nobody trains here.

    ``file`` is None for a model whose library brings its weights. ``shipped`` says that the file is
    a checkpoint that comes with bench and matches the suite's recipe.
    """

    kind: ClassVar[Kind] = "load"

    architecture: Architecture
    file: Path | None
    file_digest: str | None
    shipped: bool = False

    @property
    def inputs(self) -> dict[str, JSON]:
        """The architecture, the file's content, and the normalisation that the suite gives."""
        given = self.architecture.entry.plugin.normalization()
        inputs: dict[str, JSON] = {
            "architecture": self.architecture.identity,
            "file": self.file_digest if self.file is not None else "pretrained",
            "normalisation": [list(part) for part in given] if given is not None else None,
        }
        return inputs if self._key is None else {**inputs, "key": self._key}

    @property
    def _key(self) -> str | None:
        """Where in the file the weights lie; a checkpoint that ships has them at the top."""
        return None if self.shipped else self.architecture.entry.plugin.weights_key

    @property
    def facts(self) -> dict[str, JSON]:
        """Where the weights came from."""
        if self.file is None:
            return {"weights": "pretrained"}
        return {"weights": f"{'shipped ' if self.shipped else ''}{self.file.name}"}

    @property
    def modules(self) -> tuple[str, ...]:
        """The cell, and the package of the model's plugin."""
        return (*super().modules, package_of(self.architecture.entry.plugin))

    @property
    def work(self) -> tuple[str, float]:
        """Next to nothing."""
        return self.kind, 0.0

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Load the weights strictly; never substitute anything."""
        from bench.classifier.weight_files import read_weights
        from bench.classifier.weights import header_normalisation, output_digests, state_arrays

        architecture = self.architecture
        header: dict[str, str] = {}
        applied = AppliedReductions()
        remarks: tuple[str, ...] = ()
        if self.file is None:
            network = architecture.build(pretrained=True)
            where = architecture.culprit
        else:
            where = str(self.file)
            file = read_weights(self.file, self._key)
            if fingerprint.of_file(self.file) != self.file_digest:
                raise WeightsError.of(where, "changed since the run was planned", "", "run again")
            header, applied = file.header, AppliedReductions.of(file.header, where)
            network, prefix = architecture.load_file(file.arrays, where, applied)
            taken = f"in {self.file.name}, '{prefix}' stands before every name: it was taken off"
            remarks = (*file.remarks, taken) if prefix else file.remarks
        with explained(lambda error: _unreadable(where, error)):
            known = header_normalisation(header)
        normalisation = architecture.entry.plugin.normalization() or known
        if normalisation is None:
            raise WeightsError.of(
                architecture.culprit,
                "has no normalisation: neither the suite nor the file's header gives mean and std",
                "mean and std of each channel, for pixels in [0, 1]",
                "for a model that takes pixels as they are: mean: [0, 0, 0], std: [1, 1, 1]",
            )
        mean, std = normalisation
        architecture.check_normalisation(mean, std, where)
        arrays = state_arrays(network)
        summary: dict[str, JSON] = {"file": str(self.file) if self.file is not None else None}
        if remarks:
            summary["remarks"] = list(remarks)
        if "bench" in header:
            summary["origin"] = json.loads(header["bench"])
        return Result(
            arrays=arrays,
            header={"mean": json.dumps(mean), "std": json.dumps(std), **applied.header},
            outputs=output_digests(architecture.identity, arrays, mean, std, applied),
            summary=summary,
        )


def _unreadable(where: str, error: Exception) -> BenchError:
    return WeightsError.of(
        where,
        f"has a header whose mean and std cannot be understood: {named_shortly(error)}",
        "a list of numbers each",
        "give mean: and std: in the suite",
    )
