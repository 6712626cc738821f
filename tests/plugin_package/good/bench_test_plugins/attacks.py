"""Attacks that do nothing, and attacks that misbehave, each in one way."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from bench.api import Attack


class _Linf(Attack):
    """A radius in L-infinity."""

    norm: ClassVar[Any] = "linf"
    targetable: ClassVar[bool] = True
    batch_invariant: ClassVar[bool] = True

    eps: float = Field(0.1, ge=0, le=1)


class Identity(_Linf):
    """Return the images as they are.

    Source: none.
    """

    def perturb(self, classifier, images, labels, *, targets=None, generator):
        """Return the images."""
        return images


class Greedy(_Linf):
    """Step twice as far as allowed, on every second image."""

    def perturb(self, classifier, images, labels, *, targets=None, generator):
        """Overstep."""
        step = 2 * self.eps * (images < 0.5).to(images.dtype) - self.eps
        step[::2] *= 2
        return (images + step).clamp(0, 1)


class Bright(_Linf):
    """Leave [0, 1]."""

    eps: float = Field(1.0, ge=0, le=1)

    def perturb(self, classifier, images, labels, *, targets=None, generator):
        """Add without looking."""
        return images + 0.9


class NotANumber(_Linf):
    """Return NaN in one pixel of one image."""

    def perturb(self, classifier, images, labels, *, targets=None, generator):
        """Divide zero by zero."""
        images[0, 0, 0, 0] = float("nan")
        return images


class Raises(_Linf):
    """Raise in its middle, the model in training mode and with gradients."""

    def perturb(self, classifier, images, labels, *, targets=None, generator):
        """Leave a mess."""
        classifier.train()
        images.requires_grad_()
        classifier(images).sum().backward()
        raise RuntimeError("lost my way")


class Cropped(_Linf):
    """Return fewer images than it was given."""

    def perturb(self, classifier, images, labels, *, targets=None, generator):
        """Lose the last image."""
        return images[:-1]


class Vandal(_Linf):
    """Change the weights of the model, so that it fails."""

    def perturb(self, classifier, images, labels, *, targets=None, generator):
        """Vandalise."""
        for parameter in classifier.parameters():
            parameter.data.neg_()
        return images


class Litterer(_Linf):
    """Leave hooks, gradients, training mode and a reseeded generator behind."""

    def perturb(self, classifier, images, labels, *, targets=None, generator):
        """Litter."""
        import random

        import numpy as np
        import torch

        classifier.train()
        for parameter in classifier.parameters():
            parameter.requires_grad_(True)
            parameter.grad = torch.ones_like(parameter)
        for module in classifier.modules():
            module.register_forward_hook(lambda _m, _i, output: output * 0)
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        return images


class ColourOnly(_Linf):
    """Work on images of three channels only."""

    def unsuited(self, *, classes, image_shape):
        """Refuse grey images."""
        return None if image_shape[0] == 3 else f"needs 3 channels, the data has {image_shape[0]}"

    def perturb(self, classifier, images, labels, *, targets=None, generator):
        """Return the images."""
        return images


class Swapper(_Linf):
    """Replace layers of the model, as a surrogate for its gradients that it forgets to undo."""

    def perturb(self, classifier, images, labels, *, targets=None, generator):
        """Ruin everything that no state dict shows."""
        from torch import nn

        for module in list(classifier.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, nn.ReLU | nn.Flatten):
                    setattr(module, name, nn.Sequential(child, nn.Tanh()))
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 100.0
        classifier.forward = lambda images: images.flatten(1)[:, :3] * 0
        return images


class Quitter(_Linf):
    """Leave the program."""

    def perturb(self, classifier, images, labels, *, targets=None, generator):
        """Leave."""
        import sys

        sys.exit(0)


class Gambler(_Linf):
    """Draw from the global generators, without seeding them."""

    def perturb(self, classifier, images, labels, *, targets=None, generator):
        """Add noise of three kinds."""
        import random

        import numpy as np
        import torch

        noise = torch.rand_like(images) - 0.5
        noise = noise + torch.from_numpy(np.random.uniform(-0.5, 0.5, images.shape)).float()
        noise = noise + random.uniform(-0.5, 0.5)
        return (images + (self.eps / 2) * noise.clamp(-1, 1)).clamp(0, 1)


class Unbounded(Attack):
    """Promise a norm, and no radius in it."""

    norm: ClassVar[Any] = "linf"

    max_epsilon: float = Field(0.03, ge=0)
    steps: int | None = None

    def perturb(self, classifier, images, labels, *, targets=None, generator):
        """Return other images altogether."""
        import torch

        return torch.rand(images.shape, generator=generator)


class Speechless(_Linf):
    """Cannot even say what it suits."""

    def unsuited(self, *, classes, image_shape):
        """Fail."""
        raise KeyError("what")

    def perturb(self, classifier, images, labels, *, targets=None, generator):
        """Return the images."""
        return images


class Stubborn(_Linf):
    """Be interrupted, and take no notice."""

    def perturb(self, classifier, images, labels, *, targets=None, generator):
        """Swallow what Ctrl-C raises."""
        import os
        import signal
        import time

        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except BaseException:  # noqa: BLE001 (the fault that it is there for)
            pass
        return images


class Blend(Attack):
    """Blend each image with one that is taken for something else, as little as fools.

    Source: none.
    """

    norm: ClassVar[Any] = "l2"
    minimum_norm: ClassVar[bool] = True

    steps: int = Field(20, ge=1)

    def perturb(self, classifier, images, labels, *, targets=None, generator):
        """Return the first of ``steps`` blends that fools; the image itself where none does."""
        import torch

        with torch.no_grad():
            predictions = classifier(images).argmax(1)
            found = images.clone()
            for i, label in enumerate(labels.tolist()):
                others = (predictions != label).nonzero().flatten()
                for step in range(1, self.steps + 1) if len(others) else ():
                    share = step / self.steps
                    tried = (1 - share) * images[i] + share * images[others[0]]
                    if classifier(tried[None]).argmax(1).item() != label:
                        found[i] = tried
                        break
        return found


class Cautious(_Linf):
    """Step along the gradient's sign, and refuse to go far."""

    def perturb(self, classifier, images, labels, *, targets=None, generator):
        """Refuse, or step."""
        import torch

        if self.eps > 0.5:
            raise ValueError("too far")
        images = images.clone().requires_grad_()
        loss = torch.nn.functional.cross_entropy(classifier(images), labels, reduction="sum")
        [gradient] = torch.autograd.grad(loss, images)
        return (images.detach() + self.eps * gradient.sign()).clamp(0, 1)
