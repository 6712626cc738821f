"""Whose fault an exception is: planted models that fail by themselves, and plugins that do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from bench.classifier import faults
from bench.classifier.classifier import Classifier
from bench.classifier.faults import Model
from bench.errors import BenchError, ModelError, PluginError, UsageError

SHAPE = (3, 4, 4)
MODEL = Model("model 'net' (plugin mine)", SHAPE)


class Net(nn.Module):
    """The honest one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(48, 2)

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(x.flatten(1))


class Broken(Net):
    def forward(self, x: torch.Tensor) -> Any:
        raise KeyError("oh")


class Numpy(Net):
    def forward(self, x: torch.Tensor) -> Any:
        return self.head(torch.from_numpy(x.flatten(1).numpy()))  # fails with gradients only


class Items(Net):
    def forward(self, x: torch.Tensor) -> Any:
        return torch.stack([torch.tensor([float(row.sum()), 0.0]) for row in x.detach()])


class NoGrad(Net):
    forward = torch.no_grad()(Net.forward)


class Inference(Net):
    forward = torch.inference_mode()(Net.forward)


class Detached(Net):
    def forward(self, x: torch.Tensor) -> Any:
        return super().forward(x).detach()


class _Refuses(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(_ctx: Any, _gradient: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError("no way back")


class NoWayBack(Net):
    def forward(self, x: torch.Tensor) -> Any:
        return super().forward(_Refuses.apply(x))


class Pair(Net):
    def forward(self, x: torch.Tensor) -> Any:
        logits = super().forward(x)
        return (logits, x) if torch.is_grad_enabled() else logits


def made(network: nn.Module) -> Classifier:
    classifier = Classifier(network, (0.0,) * 3, (1.0,) * 3, model=MODEL)
    classifier.again = lambda: Classifier(type(network)(), (0.0,) * 3, (1.0,) * 3, model=MODEL)
    return classifier


def images(count: int = 2) -> torch.Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(1))


def fgsm(classifier: nn.Module, shown: torch.Tensor) -> torch.Tensor:
    leaf = shown.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(classifier(leaf).sum(), leaf)
    return gradient.sign()


def in_four_parts(error: BenchError) -> str:
    (problem,) = error.problems
    assert problem.where == MODEL.culprit
    assert problem.what
    assert problem.expected
    assert problem.action
    return problem.what


# A plugin at work


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Broken, "fails in its forward pass: KeyError: 'oh'"),
        (Numpy, "fails in its forward pass: RuntimeError: Can't call numpy()"),
        (Items, "lets no gradient through"),
        (NoGrad, "lets no gradient through"),
        (Inference, "lets no gradient through"),
        (Detached, "lets no gradient through"),
        (NoWayBack, "fails in its backward pass: NotImplementedError: no way back"),
        (Pair, "returned tuple for 2 images"),
    ],
)
def test_a_model_that_fails_by_itself_is_named(kind: type[Net], words: str) -> None:
    classifier = made(kind())
    with pytest.raises(ModelError) as caught, classifier.guarded("attack 'x'"):
        fgsm(classifier, images())
    assert words in in_four_parts(caught.value)


def test_an_honest_model_is_not_named() -> None:
    classifier = made(Net())
    with classifier.guarded("attack 'x'"):
        fgsm(classifier, images())
    with pytest.raises(RuntimeError, match="lost my way"), classifier.guarded("attack 'x'"):
        raise RuntimeError("lost my way")
    with (
        pytest.raises(RuntimeError, match="does not require grad"),
        classifier.guarded("attack 'x'"),
        torch.no_grad(),
    ):
        fgsm(classifier, images())  # the attack switched gradients off


@pytest.mark.parametrize(
    "wrong", [torch.rand(2, 3, 5, 5), torch.rand(3, 4, 4), torch.rand(2, *SHAPE).double(), None]
)
def test_what_are_no_images_of_the_data_is_the_fault_of_whoever_asks(wrong: Any) -> None:
    with pytest.raises((KeyError, TypeError, AttributeError)) as caught:
        made(Broken())(wrong)
    assert not isinstance(caught.value, BenchError)
    if wrong is not None and wrong.ndim == 4:
        with pytest.raises(RuntimeError, match=r"shapes cannot be multiplied|same dtype"):
            made(Net())(wrong)


def test_an_error_of_the_plugin_s_own_is_not_hidden_by_a_model_without_gradients() -> None:
    classifier = made(NoGrad())
    with pytest.raises(RuntimeError, match="lost my way"), classifier.guarded("attack 'x'"):
        raise RuntimeError("lost my way")
    with pytest.raises(UsageError, match="no such file"), classifier.guarded("attack 'x'"):
        raise UsageError.of("attack", "no such file")


def test_a_hook_that_a_plugin_leaves_is_its_own_fault() -> None:
    classifier = made(Net())

    def hook(*_: object) -> None:
        raise ValueError("a hook of the plugin")

    classifier.network.register_forward_hook(hook)
    with pytest.raises(ValueError, match="a hook of the plugin"), classifier.guarded("attack 'x'"):
        classifier(images())


# No plugin at work


def test_outside_of_plugins_the_model_is_named_at_once() -> None:
    with pytest.raises(ModelError) as caught:
        made(Broken())(images())
    assert "KeyError" in in_four_parts(caught.value)

    def shielded(inner: nn.Module) -> nn.Module:
        return nn.Sequential(inner)

    with pytest.raises(ModelError) as caught:
        Classifier(Broken(), (0.0,) * 3, (1.0,) * 3, shielded, MODEL)(images())
    assert "KeyError" in in_four_parts(caught.value)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda logits: (logits, logits), "returned tuple"),
        (lambda logits: {"logits": logits}, "returned dict"),
        (lambda logits: logits.argmax(1), "torch.int64 of shape (2,)"),
        (lambda logits: logits[:1], "of shape (1, 2) for 2 images"),
        (lambda logits: logits[:, :, None], "of shape (2, 2, 1)"),
    ],
)
def test_what_is_no_logits_is_named(answer: Callable[[Any], Any], words: str) -> None:
    class Answers(Net):
        def forward(self, x: torch.Tensor) -> Any:
            return answer(super().forward(x))

    with pytest.raises(ModelError) as caught:
        made(Answers())(images())
    assert words in in_four_parts(caught.value)


# State


class Counts(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.tensor(0))

    def forward(self, x: torch.Tensor) -> Any:
        self.calls += 1
        return super().forward(x)


class Drifts(Counts):
    def forward(self, x: torch.Tensor) -> Any:
        return super().forward(x) + self.calls


class MakesLayers(Net):
    def forward(self, x: torch.Tensor) -> Any:
        self.head = nn.Linear(48, 2)
        return super().forward(x)


def test_a_buffer_that_counts_calls_is_no_fault_of_a_plugin() -> None:
    classifier = made(Counts())
    with classifier.guarded("attack 'x'"):
        fgsm(classifier, images())
    weight = classifier.network.head.weight
    with pytest.raises(PluginError, match="attack 'x': changed"), classifier.guarded("attack 'x'"):
        weight.data += classifier(images()).numel()  # this is


@pytest.mark.parametrize(("kind", "what"), [(Drifts, "calls"), (MakesLayers, "head.weight")])
def test_a_model_whose_answers_change_with_its_state_is_named(kind: type[Net], what: str) -> None:
    classifier = made(kind())
    with pytest.raises(ModelError) as caught, classifier.guarded("attack 'x'"):
        classifier(images())
    words = in_four_parts(caught.value)
    assert "changes its own weights or buffers" in words
    assert what in words


# Copies


class HasLock(Net):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


def test_what_cannot_be_copied_is_built_again() -> None:
    honest = Net()
    copy = faults.copied(honest, HasLock)
    assert copy is not honest
    assert type(copy) is Net
    other = HasLock()
    assert faults.copied(HasLock(), lambda: other) is other


def test_a_plugin_that_copies_fails_by_the_model() -> None:
    import copy

    classifier = made(HasLock())
    with pytest.raises(ModelError) as caught, classifier.guarded("attack 'x'"):
        copy.deepcopy(classifier)
    assert "cannot be copied: TypeError: cannot pickle '_thread.lock' object" in in_four_parts(
        caught.value
    )
    with pytest.raises(TypeError, match="my own"), classifier.guarded("attack 'x'"):
        raise TypeError("my own")


# Scripted


@pytest.mark.filterwarnings("ignore")
def test_layers_of_scripted_modules_are_refused() -> None:
    honest = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    faults.check_layers(honest, MODEL.culprit)
    activation = nn.Sequential(nn.Linear(2, 2), torch.jit.script(nn.ReLU()))
    faults.check_layers(activation, MODEL.culprit)  # nothing of it is weights
    for scripted in (torch.jit.script(honest), nn.Sequential(torch.jit.script(honest))):
        with pytest.raises(ModelError) as caught:
            faults.check_layers(scripted, MODEL.culprit)
        assert "torch.jit" in in_four_parts(caught.value)
