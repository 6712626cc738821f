"""An explainer that needs no gradient, and explainers that misbehave, each in one way."""

from __future__ import annotations

from typing import ClassVar

from bench.api import Explainer


class Brightness(Explainer):
    """Call bright pixels important, whatever the model."""

    batch_invariant: ClassVar[bool] = True

    def explain(self, classifier, images, targets, *, generator):
        """Return the mean over channels."""
        return images.mean(1)


class Blind(Brightness):
    """Return NaN in one pixel of one map."""

    def explain(self, classifier, images, targets, *, generator):
        """Divide zero by zero."""
        heatmaps = images.mean(1)
        heatmaps[0, 0, 0] = float("nan")
        return heatmaps


class Misshapen(Brightness):
    """Return a map for each channel."""

    def explain(self, classifier, images, targets, *, generator):
        """Return the images."""
        return images


class Meddler(Brightness):
    """Change the weights of the model, so that its map is right."""

    def explain(self, classifier, images, targets, *, generator):
        """Meddle."""
        for parameter in classifier.parameters():
            parameter.data.neg_()
        return images.mean(1)


class Faint(Brightness):
    """Raise in its middle, the model in training mode and hooks left behind."""

    def explain(self, classifier, images, targets, *, generator):
        """Leave a mess."""
        classifier.train()
        for module in classifier.modules():
            module.register_forward_hook(lambda _m, _i, output: output * 0)
        raise RuntimeError("saw nothing")


class GreyOnly(Brightness):
    """Work on images of one channel only."""

    def unsuited(self, *, classes, image_shape):
        """Refuse colours."""
        return None if image_shape[0] == 1 else f"needs 1 channel, the data has {image_shape[0]}"
