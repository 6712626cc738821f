"""The model as attacks see it: normalised inside, frozen, counting, and put back as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bench.api import padded
from bench.classifier import weights
from bench.classifier.classifier import Classifier
from bench.classifier.weight_files import read_weights
from bench.errors import PluginError, WeightsError


@pytest.fixture
def classifier() -> Classifier:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 5)
    )
    return Classifier(network, (0.5, 0.25, 0.125), (0.5, 0.25, 2.0))


def test_normalisation_is_inside(classifier: Classifier) -> None:
    images = torch.rand(7, 3, 8, 8)
    mean = torch.tensor([0.5, 0.25, 0.125])[:, None, None]
    std = torch.tensor([0.5, 0.25, 2.0])[:, None, None]
    assert torch.equal(classifier(images), classifier.network((images - mean) / std))


def test_it_is_frozen_and_in_eval_mode(classifier: Classifier) -> None:
    assert not any(module.training for module in classifier.modules())
    assert not any(parameter.requires_grad for parameter in classifier.parameters())


def test_passes_are_counted_in_images(classifier: Classifier) -> None:
    images = torch.rand(7, 3, 8, 8, requires_grad=True)
    classifier(images).sum().backward()
    with torch.no_grad():
        classifier(images[:2])
    torch.autograd.grad(classifier(images[:3]).sum(), images)
    assert (classifier.forwards, classifier.backwards) == (7 + 2 + 3, 7 + 3)
    classifier.reset()
    assert (classifier.forwards, classifier.backwards) == (0, 0)


def test_the_step_at_which_each_image_first_fooled_it(classifier: Classifier) -> None:
    images = torch.rand(4, 3, 8, 8)
    predictions = classifier(images).argmax(1)
    # a script of iterates: the second image is fooled at step 1, the third at 0, the fourth at 2
    other = classifier(1 - images).argmax(1)
    assert (other != predictions).any()
    labels = predictions.clone()
    with classifier.tracing(labels, None, on=True) as trace:
        classifier(images)
        classifier(1 - images)
    expected = [1 if o != p else 2 for o, p in zip(other, predictions, strict=True)]
    assert trace.steps == expected
    with classifier.tracing((labels + 1) % 5, None, on=True) as trace:
        classifier(images)
    assert trace.steps == [0, 0, 0, 0]  # a start that already fools
    with classifier.tracing(labels, predictions, on=True) as trace:
        classifier(images)
    assert trace.steps == [0, 0, 0, 0]  # targeted: predicted as the target
    with classifier.tracing(labels, None, on=False) as trace:
        classifier(1 - images)
    assert trace.steps == [None] * 4


def test_a_traceable_attack_must_show_whole_batches(classifier: Classifier) -> None:
    with (
        pytest.raises(PluginError, match="3 images in a batch of 4"),
        classifier.tracing(torch.zeros(4, dtype=torch.long), None, on=True),
    ):
        classifier(torch.rand(3, 3, 8, 8))


def test_copies_that_fill_a_batch_are_not_counted(classifier: Classifier) -> None:
    images = torch.rand(16, 3, 8, 8, requires_grad=True)
    with padded(classifier, 11):
        classifier(images).sum().backward()
    assert (classifier.forwards, classifier.backwards) == (5, 5)
    classifier(images)
    assert classifier.forwards == 5 + 16


@pytest.mark.parametrize("what", ["weight", "buffer", "mean"])
def test_changed_weights_and_buffers_are_detected(classifier: Classifier, what: str) -> None:
    places = {
        "weight": classifier.network[0].weight.data,
        "buffer": classifier.network[1].running_mean,
        "mean": classifier.mean,
    }
    with pytest.raises(PluginError, match="culprit: changed"), classifier.guarded("culprit"):
        places[what].view(-1)[0] += 1e-7 + places[what].view(-1)[0].abs() * 1e-6


def test_weights_load_strictly_or_not_at_all() -> None:
    network = nn.Linear(3, 2)
    good = {"weight": np.ones((2, 3), np.float32), "bias": np.ones(2, np.float32)}
    weights.load_strictly(network, good, "here")
    assert torch.equal(network.weight, torch.ones(2, 3))
    for arrays, words in (
        ({"weight": good["weight"]}, "missing: bias"),
        ({**good, "extra": good["bias"]}, "surplus: extra"),
        ({**good, "bias": np.ones(3, np.float32)}, r"bias is \(3,\) not \(2,\)"),
    ):
        with pytest.raises(WeightsError, match=words):
            weights.load_strictly(network, arrays, "here")


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict", "model"])
def test_pt_files_are_read_without_unpickling(tmp_path: Path, wrapper: str | None) -> None:
    state = nn.Linear(3, 2).state_dict()
    path = tmp_path / "weights.pt"
    torch.save(state if wrapper is None else {wrapper: state, "epoch": 3}, path)
    file = read_weights(path)
    assert (file.header, file.remarks) == ({}, ())
    arrays = file.arrays
    assert all(np.array_equal(arrays[name], tensor.numpy()) for name, tensor in state.items())


def test_what_holds_no_weights_is_reported(tmp_path: Path) -> None:
    whole = tmp_path / "whole.pt"
    torch.save(nn.Linear(3, 2), whole)  # a pickled module would run code
    with pytest.raises(WeightsError, match="weights_only"):
        read_weights(whole)
    torch.save({"loss": 3}, tmp_path / "none.pt")
    with pytest.raises(WeightsError, match="holds no state dict"):
        read_weights(tmp_path / "none.pt")
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="cannot be read"):
        read_weights(tmp_path / "broken.safetensors")
    with pytest.raises(WeightsError, match="no such file"):
        read_weights(tmp_path / "absent.pt")
