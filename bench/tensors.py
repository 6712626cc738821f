"""Axis-named aliases for tensors and arrays, so that a signature says what its axes are.

The aliases are annotations: nothing is checked at run time, and torch is not imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Images: TypeAlias = Annotated["Tensor", "image channel height width", "float32 in [0, 1]"]
Perturbation: TypeAlias = Annotated["Tensor", "image channel height width", "float"]
Labels: TypeAlias = Annotated["Tensor", "image", "int64"]
Logits: TypeAlias = Annotated["Tensor", "image class", "float32"]
Heatmaps: TypeAlias = Annotated["Tensor", "image height width", "float32"]
PerImage: TypeAlias = Annotated["Tensor", "image", "float"]
Scalar: TypeAlias = Annotated["Tensor", "", "float"]

PixelArray: TypeAlias = Annotated["NDArray[np.uint8]", "height width channel", "0 to 255"]
PixelStack: TypeAlias = Annotated["NDArray[np.uint8]", "image height width channel", "0 to 255"]
LabelArray: TypeAlias = Annotated["NDArray[np.int64]", "image"]
