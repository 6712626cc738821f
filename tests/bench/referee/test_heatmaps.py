"""Faithfulness: closed forms on models whose right order of pixels is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from bench.classifier.classifier import Classifier
from bench.errors import PluginError
from bench.referee import heatmaps as faithfulness

SIDE = 8
PIXELS = SIDE * SIDE


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def plain(network: nn.Module) -> Classifier:
    return Classifier(network, (0.0,), (1.0,))


class Weighted(nn.Module):
    """Two logits: a weighted sum of the pixels, and nothing. It notes how it was asked."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.asked: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.asked.append(len(images))
        score = (images[:, 0] * self.weight).sum((1, 2))
        return torch.stack([torch.zeros_like(score), score], 1)


def weighted() -> tuple[Classifier, Tensor, Tensor]:
    """A classifier, images, and how much each pixel's blurring takes from the logit of class 1."""
    weight = torch.randn(SIDE, SIDE, generator=generator(1))
    images = torch.rand(40, 1, SIDE, SIDE, generator=generator(2))
    change = (images - faithfulness.blurred(images))[:, 0] * weight
    return plain(Weighted(weight)), images, change


def ones(images: Tensor) -> Tensor:
    return torch.ones(len(images), dtype=torch.int64)


# deletion and insertion


def test_a_tiny_case_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # four pixels that go one at a time from 1 to 0; logits count them with weights 1, 2, 3, 4
    weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    monkeypatch.setattr(faithfulness, "blurred", torch.zeros_like)
    image = torch.ones(1, 1, 2, 2)
    found = faithfulness.deletion_insertion(
        plain(Weighted(weight)), image, weight[None], ones(image), steps=4, generator=generator()
    )
    p = {k: 1 / (1 + math.exp(-k)) for k in range(11)}  # softmax of the logits (0, k)
    deletion = p[10] / 2 + p[6] + p[3] + p[1] + p[0] / 2  # 4 goes first, then 3, 2 and 1
    insertion = p[0] / 2 + p[4] + p[7] + p[9] + p[10] / 2
    assert found.deletion_auc.item() == pytest.approx(deletion / 4, abs=1e-7)
    assert found.insertion_auc.item() == pytest.approx(insertion / 4, abs=1e-7)
    assert found.deletion_auc.dtype == found.insertion_auc.dtype == torch.float64


def test_uneven_steps_are_weighed_by_their_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    # four pixels in three steps: 0, 1.33, 2.67 and 4 round to 0, 1, 3 and 4
    weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    monkeypatch.setattr(faithfulness, "blurred", torch.zeros_like)
    image = torch.ones(1, 1, 2, 2)
    found = faithfulness.deletion_insertion(
        plain(Weighted(weight)), image, weight[None], ones(image), steps=3, generator=generator()
    )
    p = {k: 1 / (1 + math.exp(-k)) for k in range(11)}
    area = (p[10] + p[6]) / 2 * 1 + (p[6] + p[1]) / 2 * 2 + (p[1] + p[0]) / 2 * 1
    assert found.deletion_auc.item() == pytest.approx(area / 4, abs=1e-7)


def test_one_pixel_decides() -> None:
    # only one pixel counts, and it is the brightest: the ends of the curves are all there is
    weight = torch.zeros(SIDE, SIDE)
    weight[3, 5] = 6
    image = torch.zeros(1, 1, SIDE, SIDE)
    image[0, 0, 3, 5] = 1
    high = 1 / (1 + math.exp(-6))
    blurred = 6 * faithfulness.blurred(image)[0, 0, 3, 5].item()
    low = 1 / (1 + math.exp(-blurred))
    assert high - low > 0.1
    model = plain(Weighted(weight))
    for sign in (1, -1):  # the right order, and the reversed one
        found = faithfulness.deletion_insertion(
            model, image, sign * weight[None], ones(image), steps=PIXELS, generator=generator()
        )
        step = (high - low) / (2 * PIXELS)  # half a trapezoid, where the one pixel moves
        first, last = low + step, high - step
        assert found.deletion_auc.item() == pytest.approx(first if sign > 0 else last, abs=1e-6)
        assert found.insertion_auc.item() == pytest.approx(last if sign > 0 else first, abs=1e-6)


def test_the_true_order_beats_every_other() -> None:
    model, images, change = weighted()
    true, reversed_ = (
        faithfulness.deletion_insertion(
            model, images, sign * change, ones(images), generator=generator()
        )
        for sign in (1, -1)
    )
    control = faithfulness.random_order(model, images, ones(images), generator=generator())
    # the order by what each pixel takes is the best there is, at every step of the way
    assert (true.deletion_auc < control.deletion_auc).all()
    assert (control.deletion_auc < reversed_.deletion_auc).all()
    assert (true.insertion_auc > control.insertion_auc).all()
    assert (control.insertion_auc > reversed_.insertion_auc).all()
    for found in (true, control, reversed_):
        assert found.deletion_auc.min() >= 0
        assert found.insertion_auc.max() <= 1


def test_insertion_backwards_is_deletion_of_the_reversed_map() -> None:
    # without ties, what insertion has restored is what the reversed deletion has still to take
    model, images, change = weighted()
    forth, back = (
        faithfulness.deletion_insertion(
            model, images, sign * change, ones(images), generator=generator()
        )
        for sign in (1, -1)
    )
    assert torch.allclose(forth.insertion_auc, back.deletion_auc, atol=1e-9)


def test_a_map_that_is_the_same_everywhere_is_a_random_order() -> None:
    model, images, _ = weighted()
    one = images[:1].expand(200, -1, -1, -1)
    even = torch.full((200, SIDE, SIDE), 0.7)
    found = faithfulness.deletion_insertion(model, one, even, ones(one), generator=generator(1))
    control = faithfulness.random_order(model, one, ones(one), generator=generator(2))
    assert found.deletion_auc.unique().numel() > 150  # no two orders are the same
    test = stats.ks_2samp(found.deletion_auc.numpy(), control.deletion_auc.numpy())
    assert test.pvalue > 0.01  # of fixed seeds: one distribution
    same = faithfulness.random_order(model, one, ones(one), generator=generator(1))
    assert torch.equal(same.deletion_auc, found.deletion_auc)


def test_ties_are_broken_at_random_and_nothing_else() -> None:
    heatmap = torch.tensor([[2.0, 1.0, 1.0], [1.0, 3.0, 0.0]])
    orders = {tuple(faithfulness.ranked(heatmap, generator(s)).tolist()) for s in range(100)}
    assert {(order[0], order[1], order[5]) for order in orders} == {(4, 0, 5)}
    assert {frozenset(order[2:5]) for order in orders} == {frozenset({1, 2, 3})}
    assert len(orders) == 6  # every order of the three that are equal


@pytest.mark.parametrize("size", [1, 7])
def test_the_batch_does_not_matter(size: int) -> None:
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 3)
    )
    model, (_, images, change) = plain(network), weighted()
    change[:5] = 0  # ties draw from the generator too
    targets = torch.arange(len(images)) % 3
    whole = faithfulness.deletion_insertion(model, images, change, targets, generator=generator())
    stream = generator()
    parts = [
        faithfulness.deletion_insertion(model, i, h, t, generator=stream)
        for i, h, t in zip(images.split(size), change.split(size), targets.split(size), strict=True)
    ]
    assert torch.equal(torch.cat([part.deletion_auc for part in parts]), whole.deletion_auc)
    assert torch.equal(torch.cat([part.insertion_auc for part in parts]), whole.insertion_auc)


@pytest.mark.parametrize(("steps", "batches"), [(1, 1), (16, 1), (17, 2)])
def test_a_network_is_asked_in_batches_of_one_size(steps: int, batches: int) -> None:
    # both ways share their ends, so 2 * steps images are looked at: 16 steps fill one batch
    model, images, change = weighted()
    faithfulness.deletion_insertion(
        model, images[:2], change[:2], ones(images[:2]), steps=steps, generator=generator()
    )
    assert model.network.asked == [faithfulness.BATCH] * batches * 2


def test_the_target_is_the_one_that_is_followed() -> None:
    model, images, change = weighted()
    one, zero = (
        faithfulness.deletion_insertion(model, images, change, t, generator=generator())
        for t in (ones(images), 0 * ones(images))
    )
    assert torch.allclose(one.deletion_auc + zero.deletion_auc, torch.ones(()).double(), atol=1e-9)


def test_images_and_maps_are_left_as_they_are() -> None:
    model, images, change = weighted()
    kept = images.clone(), change.clone()
    state = torch.get_rng_state()
    faithfulness.deletion_insertion(model, images, change, ones(images), generator=generator())
    assert torch.equal(images, kept[0])
    assert torch.equal(change, kept[1])
    assert torch.equal(torch.get_rng_state(), state)


def test_what_cannot_be_measured_is_an_error() -> None:
    model, images, change = weighted()
    with pytest.raises(ValueError, match="at least one step"):
        faithfulness.deletion_insertion(
            model, images, change, ones(images), steps=0, generator=generator()
        )
    with pytest.raises(ValueError, match="40 images, 39 heatmaps"):
        faithfulness.deletion_insertion(
            model, images, change[1:], ones(images), generator=generator()
        )
    broken = plain(Weighted(torch.full((SIDE, SIDE), torch.nan)))
    with pytest.raises(PluginError, match="logits that are not finite"):
        faithfulness.deletion_insertion(broken, images, change, ones(images), generator=generator())
    none = faithfulness.random_order(model, images[:0], ones(images[:0]), generator=generator())
    assert none.deletion_auc.shape == (0,)


@pytest.mark.parametrize(
    ("heatmaps", "reported"),
    [
        (None, "returned NoneType, expected torch.float32 of shape (2, 8, 8)"),
        (torch.zeros(2, 1, 8, 8), "returned torch.float32 of shape (2, 1, 8, 8)"),
        (torch.zeros(2, 8, 8).double(), "returned torch.float64"),
        (torch.full((2, 8, 8), torch.inf), "not finite"),
    ],
)
def test_the_form_of_heatmaps_is_checked(heatmaps: object, reported: str) -> None:
    with pytest.raises(PluginError) as caught:
        faithfulness.check_form(heatmaps, torch.rand(2, 1, 8, 8), "explainer 'x'")
    assert str(caught.value).startswith("explainer 'x': ")
    assert reported in str(caught.value)


def test_good_heatmaps_come_back_detached() -> None:
    heatmaps = torch.rand(2, 8, 8, requires_grad=True)
    checked = faithfulness.check_form(heatmaps, torch.rand(2, 1, 8, 8), "explainer 'x'")
    assert not checked.requires_grad
    assert torch.equal(checked, heatmaps)


# blur


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (16, 24), (40, 33)])
def test_a_blur_keeps_flat_images_and_flattens_others(shape: tuple[int, int]) -> None:
    flat = torch.full((2, 3, *shape), 0.25)
    assert torch.allclose(faithfulness.blurred(flat), flat, atol=1e-6)  # weights sum to one
    noise = torch.rand(2, 3, *shape, generator=generator())
    blurred = faithfulness.blurred(noise)
    assert blurred.shape == noise.shape
    assert blurred.min() >= noise.min()
    assert blurred.max() <= noise.max()
    if shape != (1, 1):
        assert blurred.std() < noise.std()


def test_a_blur_is_a_gaussian_of_an_eighth_of_the_side() -> None:
    image = torch.zeros(1, 1, 48, 64)
    image[0, 0, 24, 32] = 1
    found = faithfulness.blurred(image)[0, 0].double()
    y, x = torch.meshgrid(torch.arange(48.0) - 24, torch.arange(64.0) - 32, indexing="ij")
    sigma = 48 / 8
    expected = torch.exp(-(y**2 + x**2) / (2 * sigma**2))
    expected[(y.abs() > 3 * sigma) | (x.abs() > 3 * sigma)] = 0  # where it is cut off
    assert torch.allclose(found, (expected / expected.sum()).double(), atol=1e-7)


# similarity


def random_maps(levels: int) -> tuple[Tensor, Tensor]:
    shape = (6, 5, 7)
    pair = [torch.randint(levels, shape, generator=generator(s)).float() for s in (1, 2)]
    return pair[0], pair[0] + pair[1]


@pytest.mark.parametrize("levels", [2, 5, 10**6])
def test_the_rank_correlation_is_scipys(levels: int) -> None:
    first, second = random_maps(levels)
    found = faithfulness.similarity(first, second).rank_correlation
    for i in range(len(first)):
        expected = stats.spearmanr(first[i].flatten(), second[i].flatten()).statistic
        assert found[i].item() == pytest.approx(expected, abs=1e-12)
    assert found.dtype == torch.float64


def test_a_map_is_like_itself_and_unlike_its_reverse() -> None:
    first, _ = random_maps(10**6)
    same = faithfulness.similarity(first, 3 * first + 1)
    other = faithfulness.similarity(first, -first)
    assert torch.allclose(same.rank_correlation, torch.ones(6, dtype=torch.float64))
    assert torch.allclose(other.rank_correlation, -torch.ones(6, dtype=torch.float64))
    assert torch.equal(same.overlap, torch.ones(6, dtype=torch.float64))
    assert torch.equal(other.overlap, torch.zeros(6, dtype=torch.float64))


def test_overlap_by_hand() -> None:
    # of ten pixels the top two are compared
    first = torch.arange(10.0).view(1, 2, 5)
    second = torch.tensor([[[9.0, 1, 2, 3, 4], [5, 6, 7, 0, 8]]])
    assert faithfulness.similarity(first, second).overlap.tolist() == [0.5]  # 9 of {8, 9}, {0, 9}
    tied = torch.tensor([[[1.0, 1, 1, 0, 0], [0, 0, 0, 0, 0]]])
    late = torch.tensor([[[0.0, 1, 1, 0, 0], [0, 0, 0, 0, 0]]])
    # of three equal ones the first two, {0, 1}, are taken, against {1, 2}
    assert faithfulness.similarity(tied, late).overlap.tolist() == [0.5]


def test_a_map_that_is_the_same_everywhere_is_like_nothing() -> None:
    first, second = random_maps(10)
    first[2] = 0.3
    second[4] = 0
    found = faithfulness.similarity(first, second)
    empty = [False, False, True, False, True, False]
    assert found.rank_correlation.isnan().tolist() == empty
    assert found.overlap.isnan().tolist() == empty
    either = faithfulness.is_empty(first) | faithfulness.is_empty(second)
    assert either.tolist() == empty


def test_maps_of_two_shapes_are_not_compared() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3, 4\) and \(2, 4, 3\)"):
        faithfulness.similarity(torch.zeros(2, 3, 4), torch.zeros(2, 4, 3))
    none = faithfulness.similarity(torch.zeros(0, 3, 4), torch.zeros(0, 3, 4))
    assert none.overlap.shape == none.rank_correlation.shape == (0,)


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    values = torch.tensor([0.5, -1.0, 0.5, 7.0])
    assert np.array_equal(faithfulness._ranks(values), stats.rankdata(values))
