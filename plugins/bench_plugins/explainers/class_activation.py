"""Class activation methods: one class for each, and what to know about it.

This room is the table of what is offered. It does not know how a method is run, which layer it
looks at, nor what the library does wrong: see :mod:`bench_plugins.explainers.cam`,
:mod:`bench_plugins.explainers.layers` and :mod:`bench_plugins.explainers.corrections`.

Methods of pytorch-grad-cam that are not offered: FullGrad (it misses the biases of normalisations
that are not exactly BatchNorm2d, and scales each channel's map to [0, 1] before it adds them, where
the paper scales a layer's), FEM (it weighs activations by the share of strong ones, where the paper
weighs masks of strong ones by the mean activation), FinerCAM (it explains a difference between
classes, not a logit), SegEigenCAM (for segmentation), RefineCAM and SESS (they combine the maps of
others; RefineCAM's normalisation is never stored).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from bench.api import Explainer
from bench.tensors import Heatmaps, Images, Labels

if TYPE_CHECKING:
    from torch import Generator
    from torch.nn import Module


class ClassActivation(Explainer):
    """A method that weighs the maps of one layer, and stretches their sum over the image.

    What is negative is cut off, the map is scaled to [0, 1] and stretched bilinearly, by the
    library. Images are run one at a time, so that results do not depend on the batch.

    Class variables:
        method: the class in pytorch-grad-cam.
    """

    wraps: ClassVar[str | None] = "grad-cam"
    batch_invariant: ClassVar[bool] = True
    looks_inside: ClassVar[bool] = True
    method: ClassVar[str]

    layer: str | None = Field(
        None, description="dotted name inside the network; the last map where not given"
    )

    def explain(
        self, classifier: Module, images: Images, targets: Labels, *, generator: Generator
    ) -> Heatmaps:
        """Return maps in [0, 1]; one number an image is drawn.

        Raises:
            PluginError: where the library lacks the method, or returns no finite map.
            UsageError: where there is no such layer, or none is found.

        """
        from bench_plugins.explainers import cam

        return cam.explain(
            self.method,
            classifier,
            images,
            targets,
            generator=generator,
            **self.model_dump(),
        )


class GradCAM(ClassActivation):
    """Weighs each channel of the last map by its mean gradient.

    Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
        Localization", 2017, equations 1 and 2. Computed by pytorch-grad-cam.
    Deviations: none.
    """

    method: ClassVar[str] = "GradCAM"


class GradCAMPlusPlus(ClassActivation):
    """Weighs each channel by its positive gradients, each by its share in what is seen.

    Source: Chattopadhyay et al., "Grad-CAM++: Generalized Gradient-based Visual Explanations for
        Deep Convolutional Networks", 2018, equations 7 and 19. Computed by pytorch-grad-cam.
    Deviations: the library adds 1e-6 to a divisor that is often smaller; here it adds nothing. The
        paper presumes activations that are not negative; a channel whose activations add up to
        less than zero is taken as if they added up to zero.
    """

    method: ClassVar[str] = "GradCAMPlusPlus"


class XGradCAM(ClassActivation):
    """Weighs each channel by its gradients, each by its activation's share in the channel.

    Source: Fu et al., "Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of
        CNNs", 2020. Computed by pytorch-grad-cam.
    Deviations: none behind a ReLU. Elsewhere the activations of a channel may add up to nearly
        zero, which makes its weight as large as you like: distrust it on transformers.
    """

    method: ClassVar[str] = "XGradCAM"


class HiResCAM(ClassActivation):
    """Multiplies each activation by its own gradient, and adds up the channels.

    Source: Draelos and Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of
        convolutional neural networks", 2020. Computed by pytorch-grad-cam.
    Deviations: what is negative is cut off; the paper keeps it.
    """

    method: ClassVar[str] = "HiResCAM"


class LayerCAM(ClassActivation):
    """Multiplies each activation by its own gradient where that is positive.

    Source: Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization",
        2021. Computed by pytorch-grad-cam.
    Deviations: one layer, where the paper fuses several.
    """

    method: ClassVar[str] = "LayerCAM"


class GradCAMElementWise(ClassActivation):
    """Multiplies each activation by its own gradient, and adds up the products that are positive.

    Behind a ReLU, where no activation is negative, this is LayerCAM.

    Source: pytorch-grad-cam, which brings no paper.
    Deviations: none.
    """

    method: ClassVar[str] = "GradCAMElementWise"


class EigenCAM(ClassActivation):
    """Projects the activations on their first principal component; no class has a say.

    Source: Muhammad and Yeasin, "Eigen-CAM: Class Activation Map using Principal Components", 2020.
        Computed by pytorch-grad-cam, the component here.
    Deviations: activations are centred first, as the library does. A component's sign is arbitrary,
        and the library takes it as it falls; here the larger extreme is made positive (Chung and
        Ying, "Seg-Eigen-CAM", 2025, equation 13).
    """

    method: ClassVar[str] = "EigenCAM"


class EigenGradCAM(ClassActivation):
    """Projects gradient times activation on the first principal component.

    Source: pytorch-grad-cam, after Muhammad and Yeasin, "Eigen-CAM: Class Activation Map using
        Principal Components", 2020; the component is computed here.
    Deviations: a component's sign is arbitrary, and the library takes it as it falls; here the map
        goes with the sum over channels of gradient times activation.
    """

    method: ClassVar[str] = "EigenGradCAM"


class KPCACAM(ClassActivation):
    """Projects the activations on their first kernel principal component; no class has a say.

    Source: Karmani et al., "KPCA-CAM: Visual Explainability of Deep Computer Vision Models using
        Kernel PCA", 2024. Computed by pytorch-grad-cam, the component by scikit-learn.
    Deviations: the larger extreme of the component is made positive, in every version of
        scikit-learn.
    """

    method: ClassVar[str] = "KPCA_CAM"

    kernel: Literal["linear", "poly", "rbf", "sigmoid", "cosine"] = Field(
        "sigmoid", description="how alike two positions are"
    )
    gamma: float | None = Field(
        None, gt=0, description="scale of the kernel; 1 / channels where not given"
    )


class AblationCAM(ClassActivation):
    """Weighs each channel by how far the logit drops without it; a pass for each channel.

    Source: Desai and Ramaswamy, "Ablation-CAM: Visual Explanations for Deep Convolutional Network
        via Gradient-free Localization", 2020. Computed by pytorch-grad-cam.
    Deviations: the drop is not divided by the logit: for one image that only scales the map, and a
        negative logit would turn it inside out, as it does in the library. Channels are set to
        zero, as in the paper; the library sets them to -10,000,000 where activations can be
        negative.
    """

    method: ClassVar[str] = "AblationCAM"


class ScoreCAM(ClassActivation):
    """Weighs each channel by the logit of the image seen through it; a pass for each channel.

    Source: Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural
        Networks", 2020, algorithm 1. Computed by pytorch-grad-cam.
    Deviations: the logit of the black image is not subtracted, which changes nothing: weights are a
        softmax. The mask is put on pixels, not on normalised values: what it hides is black.
    """

    method: ClassVar[str] = "ScoreCAM"


class ShapleyCAM(ClassActivation):
    """Weighs each channel by its mean gradient, less half of what curvature takes from it.

    Source: Cai, "CAMs as Shapley Value-based Explainers", 2025, with the utility that it calls
        ReST. Computed by pytorch-grad-cam, from 1.5.5 on.
    Deviations: none. On logits alone it would be Grad-CAM wherever the network is piecewise linear
        behind the layer; ReST, the logit plus the logarithm of its softmax, is curved everywhere.
    """

    method: ClassVar[str] = "ShapleyCAM"


class RandomCAM(ClassActivation):
    """Weighs the channels at random: a control that every other method should beat.

    Source: pytorch-grad-cam.
    Deviations: none.
    """

    method: ClassVar[str] = "RandomCAM"
