"""Augmentation against what it promises: ranges, angles, areas and shares, measured in pixels.

Where pixels are moved, an image of their own coordinates shows where each came from: bilinear
interpolation keeps linear ramps as they are, so the matrix can be read back from the result.
"""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from torch.nn import functional

from bench.api.recipes import Augmentation
from bench.training import augmentation
from bench.training.augmentation import augment

NAMES: tuple[Augmentation, ...] = get_args(Augmentation)
MOVES: tuple[Augmentation, ...] = ("rotation", "affine", "resized_crop")
SHAPES = [(24, 24), (20, 40)]
"""Square, and twice as wide as high."""


def noise(count: int, channels: int = 3, height: int = 8, width: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.rand(count, channels, height, width, generator=generator)


def run(
    images: torch.Tensor, *names: Augmentation, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Augment images, each of a class of its own: mixed targets show which were mixed."""
    labels = torch.arange(len(images))
    return augment(images, labels, names, len(images), torch.Generator().manual_seed(seed))


# What holds for all


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_images_stay_in_range_and_the_originals_untouched(name: Augmentation, channels) -> None:
    images = torch.cat([noise(60, channels), noise(4, channels).round()])  # black and white too
    before = images.clone()
    made, targets = run(images, name)
    assert made.shape == images.shape
    assert made.dtype == torch.float32
    assert made.min() >= 0
    assert made.max() <= 1
    assert torch.equal(images, before)
    if name != "grey" or channels == 3:  # one channel is grey already
        assert not torch.equal(made, images)
    if name in ("mixup", "cutmix"):
        assert targets.shape == (64, 64)
    else:
        assert torch.equal(targets, torch.arange(64))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("mixup", "cutmix")])
def test_each_image_is_changed_in_its_own_way(name: Augmentation) -> None:
    images = noise(1).expand(64, -1, -1, -1)
    made, _ = run(images, name)
    different = len({tuple(one.flatten().tolist()) for one in made})
    if name in ("flip", "grey"):  # done or not
        assert different == 2
    elif name == "erasing":  # about half are left alone; of 32 boxes few are the same
        assert different > 20
    else:
        assert different == 64


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_decides_everything(name: Augmentation) -> None:
    images = noise(32)
    torch.manual_seed(1)
    first = run(images, name, seed=3)
    torch.manual_seed(2)
    again, other = run(images, name, seed=3), run(images, name, seed=4)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_nothing_named_is_nothing_done() -> None:
    images = noise(4)
    made, targets = run(images)
    assert torch.equal(made, images)
    assert torch.equal(targets, torch.arange(4))


@pytest.mark.parametrize(
    ("early", "late"),
    [
        ("flip", "grey"),
        ("rotation", "colour_jitter"),
        ("affine", "cutmix"),
        ("colour_jitter", "mixup"),
        ("grey", "erasing"),
        ("colour_jitter", "erasing"),
    ],
)
def test_moves_come_before_colours_and_those_before_what_hides_or_mixes(
    early: Augmentation, late: Augmentation
) -> None:
    """However a recipe orders them."""
    images = noise(32)
    one, other = run(images, early, late), run(images, late, early)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# Flip


def test_flip_mirrors_left_and_right() -> None:
    images = noise(400)
    made, _ = run(images, "flip")
    mirrored = (made == images.flip(3)).flatten(1).all(1)
    same = (made == images).flatten(1).all(1)
    assert (mirrored ^ same).all()
    # a fair coin, 400 times: 200, give or take four standard deviations of 10
    assert 160 <= mirrored.sum() <= 240


# Moves


def ramps(count: int, height: int, width: int) -> torch.Tensor:
    """Images that hold their own coordinates: x and y in [-1, 1], as values in [0, 1]."""
    x = (2 * torch.arange(width) + 1) / width - 1
    y = (2 * torch.arange(height) + 1) / height - 1
    image = torch.stack([x.expand(height, width), y[:, None].expand(height, width)])
    return (image / 2 + 0.5).expand(count, -1, -1, -1)


def matrices(made: torch.Tensor) -> torch.Tensor:
    """Read back from moved ramps where each place came from: (image, 2, 3), in float64.

    Only the inner pixels are looked at: what came from outside the image is a copy of its border.
    """
    count, _, height, width = made.shape
    here = (ramps(1, height, width)[0] * 2 - 1).double()
    inner = (here.abs() < 0.4).all(0)
    places = torch.cat([here[:, inner], torch.ones(1, int(inner.sum()), dtype=torch.float64)])
    origins = made[:, :, inner].double() * 2 - 1
    found = torch.linalg.lstsq(places.T.expand(count, -1, -1), origins.mT).solution.mT
    assert torch.allclose(found @ places, origins, atol=1e-5)  # it is a linear map
    return found


def in_pixels(found: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Express the 2 x 2 part of matrices in pixels, which are as wide as high."""
    size = torch.tensor([width, height], dtype=torch.float64)
    return found[:, :, :2] * size[:, None] / size[None, :]


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_constant_image_stays_constant(name: Augmentation, value: float) -> None:
    made, _ = run(torch.full((32, 3, 9, 12), value), name)
    assert torch.allclose(made, torch.full_like(made, value), atol=1e-6)


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_a_centred_disc_stays_a_disc_when_turned(height: int, width: int) -> None:
    x = torch.arange(width) - (width - 1) / 2
    y = torch.arange(height)[:, None] - (height - 1) / 2
    disc = torch.exp(-(x**2 + y**2) / (2 * 3.0**2))  # soft, so that interpolation is near exact
    made, _ = run(disc.expand(32, 1, -1, -1), "rotation")
    # linear interpolation errs by at most 1/8 of the second derivative, here 1 / 3.0**2, an axis
    assert (made - disc).abs().max() < 2 / 8 / 3.0**2


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_rotation_turns_by_up_to_15_degrees_and_does_nothing_else(height: int, width: int) -> None:
    found = matrices(run(ramps(200, height, width), "rotation")[0])
    assert found[:, :, 2].abs().max() < 1e-5  # about the centre
    turns = in_pixels(found, height, width)
    unit = torch.eye(2, dtype=torch.float64).expand(200, 2, 2)
    assert torch.allclose(turns @ turns.mT, unit, atol=1e-4)
    assert (torch.linalg.det(turns) > 0).all()
    degrees = torch.rad2deg(torch.atan2(turns[:, 1, 0], turns[:, 0, 0]))
    assert degrees.abs().max() <= 15 + 1e-3
    assert degrees.min() < -13  # of 200 even draws, all above -13 has the odds (28 / 30) ** 200
    assert degrees.max() > 13


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_affine_turns_scales_and_shifts_within_its_ranges(height: int, width: int) -> None:
    found = matrices(run(ramps(200, height, width), "affine")[0])
    turns = in_pixels(found, height, width)
    scale = torch.linalg.det(turns).sqrt()
    unit = torch.eye(2, dtype=torch.float64).expand(200, 2, 2)
    assert torch.allclose(turns @ turns.mT / scale[:, None, None] ** 2, unit, atol=1e-4)
    degrees = torch.rad2deg(torch.atan2(turns[:, 1, 0], turns[:, 0, 0]))
    shift = found[:, :, 2] / 2  # as a share of the image, which spans 2
    for values, low, high in ((degrees, -15, 15), (scale, 0.9, 1.1), (shift, -0.1, 0.1)):
        slack = 1e-3 * (high - low)
        assert low - slack <= values.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < values.max() <= high + slack


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_a_resized_crop_is_a_box_inside_of_70_to_100_percent(height: int, width: int) -> None:
    found = matrices(run(ramps(400, height, width), "resized_crop")[0])
    assert found[:, 0, 1].abs().max() < 1e-5
    assert found[:, 1, 0].abs().max() < 1e-5
    wide, high = found[:, 0, 0], found[:, 1, 1]
    assert min(wide.min(), high.min()) > 0
    for side, place in ((wide, found[:, 0, 2]), (high, found[:, 1, 2])):
        assert (place.abs() + side <= 1 + 1e-5).all()  # both edges are in the image
    area = wide * high
    assert area.max() <= 1 + 1e-5
    # a box that would reach out is cut, by at most what the stretch of 4 / 3 adds to a side
    assert area.min() >= 0.7 * math.sqrt(3 / 4) - 1e-5
    uncut = (wide < 1 - 1e-5) & (high < 1 - 1e-5)
    assert (area[uncut] >= 0.7 - 1e-5).all()
    assert area.min() < 0.72
    stretch = wide / high
    assert stretch.max() <= 4 / 3 + 1e-4
    assert stretch.min() >= 3 / 4 - 1e-4
    assert stretch.max() > 1.2
    assert stretch.min() < 1 / 1.2


def test_the_smallest_and_most_stretched_crops_stay_inside() -> None:
    extreme = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 4)
    boxes = augmentation._resized_crop(extreme, 1.0)
    corners = torch.cartesian_prod(torch.tensor([-1.0, 1.0]), torch.tensor([-1.0, 1.0]))
    corners = torch.cat([corners, torch.ones(4, 1)], 1)
    assert (boxes @ corners.T)[:, :2].abs().max() <= 1 + 1e-6
    areas = boxes[:, 0, 0] * boxes[:, 1, 1]
    assert areas.min() == pytest.approx(0.7, abs=1e-6)  # sqrt(0.7 * 4 / 3) < 1: nothing is cut
    assert areas.max() <= 1


@pytest.mark.parametrize(
    "names", [("rotation", "resized_crop"), ("resized_crop", "rotation"), ("affine", "rotation")]
)
@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_moves_are_done_in_their_order(
    names: tuple[Augmentation, ...], height: int, width: int
) -> None:
    """Matrices lead from the result back: the last named is done to the image first."""
    images = ramps(64, height, width)
    labels = torch.zeros(64, dtype=torch.int64)
    generator = torch.Generator().manual_seed(0)
    singles = [matrices(augment(images, labels, (name,), 1, generator)[0]) for name in names]
    together = matrices(run(images, *names)[0])
    last = torch.tensor([0.0, 0, 1], dtype=torch.float64).expand(64, 1, 3)
    first, second = (torch.cat([single, last], 1) for single in singles)
    assert torch.allclose(together, (second @ first)[:, :2], atol=1e-4)


def test_moves_together_interpolate_once() -> None:
    """The same pixels as torch makes with one matrix; not those of one move after the other."""
    images = noise(16, height=24, width=24)
    labels = torch.zeros(16, dtype=torch.int64)
    whole = matrices(run(ramps(16, 24, 24), *MOVES)[0]).float()
    grid = functional.affine_grid(whole, [16, 3, 24, 24], align_corners=False)
    expected = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    made, _ = run(images, *MOVES)
    assert torch.allclose(made, expected, atol=1e-3)  # the matrix was read back, to 1e-5 of 12
    generator = torch.Generator().manual_seed(0)
    blurred = images
    for name in MOVES:
        blurred, _ = augment(blurred, labels, (name,), 1, generator)
    assert made.std((2, 3)).mean() > 1.2 * blurred.std((2, 3)).mean()  # each pass takes contrast


# Colours


def test_colour_jitter_scales_brightness_and_contrast_within_its_ranges() -> None:
    """One channel, values that no factor can push out of range: a line through the pixels."""
    image = 0.4 + 0.2 * noise(1, channels=1)
    made, _ = run(image.expand(200, -1, -1, -1), "colour_jitter")
    brightness = made.mean((1, 2, 3)) / image.mean()
    contrast = made.std((1, 2, 3)) / image.std() / brightness
    for factor in (brightness, contrast):
        assert 0.8 - 1e-4 <= factor.min() < 0.82  # of 200 even draws from [0.8, 1.2]
        assert 1.18 < factor.max() <= 1.2 + 1e-4
    straight = (image - image.mean()) * (brightness * contrast).view(-1, 1, 1, 1)
    assert torch.allclose(made, straight + made.mean((1, 2, 3), keepdim=True), atol=1e-5)


def test_colour_jitter_turns_hues_by_up_to_a_tenth_of_the_circle() -> None:
    image = torch.tensor([0.55, 0.45, 0.5]).view(1, 3, 1, 1).expand(200, 3, 4, 4)
    made, _ = run(image, "colour_jitter")
    chroma, turned = (
        one[:, :, 0, 0] - one[:, :, 0, 0].mean(1, keepdim=True) for one in (image, made)
    )
    cosine = functional.cosine_similarity(chroma, turned)
    degrees = torch.rad2deg(cosine.clamp(-1, 1).acos())
    assert 34 < degrees.max() <= 36.1
    # no factor of 0.8 to 1.2 but three: brightness, contrast, saturation
    strength = turned.norm(dim=1) / chroma.norm(dim=1)
    assert strength.min() >= 0.8**3 - 1e-3
    assert strength.max() <= 1.2**3 + 1e-3
    assert strength.max() > 1.2**2  # saturation too is drawn


def test_colour_jitter_leaves_greys_grey() -> None:
    images = noise(64, channels=1).expand(-1, 3, -1, -1)
    made, _ = run(images, "colour_jitter")
    assert (made - made.mean(1, keepdim=True)).abs().max() < 1e-6


def test_a_third_of_the_circle_turns_red_to_green_to_blue() -> None:
    images = 0.3 + 0.4 * noise(4)
    third = torch.full((4,), 2 * math.pi / 3)
    turned = augmentation._rotated_hue(images, third)
    assert torch.allclose(turned, images.roll(1, 1), atol=1e-6)
    assert torch.allclose(augmentation._rotated_hue(turned, -third), images, atol=1e-6)


def test_turning_hues_keeps_the_mean_of_the_channels() -> None:
    images = 0.4 + 0.2 * noise(32)  # no turn can reach 0 or 1: the channels are within 0.2
    turned = augmentation._rotated_hue(images, torch.linspace(-math.pi, math.pi, 32))
    assert torch.allclose(turned.mean(1), images.mean(1), atol=1e-6)
    assert torch.allclose(turned.norm(dim=1), images.norm(dim=1), atol=1e-6)  # it is a turn


def test_one_image_in_five_loses_its_colours() -> None:
    images = noise(2000, height=2, width=2)
    made, _ = run(images, "grey")
    greyed = (made == images.mean(1, keepdim=True)).flatten(1).all(1)
    same = (made == images).flatten(1).all(1)
    assert (greyed ^ same).all()
    assert 328 <= greyed.sum() <= 472  # 400, give or take four standard deviations of 18


# What hides or mixes


def test_erasing_hides_a_box_of_10_to_40_percent_a_side_under_the_mean() -> None:
    images = noise(400, height=20, width=30)
    made, _ = run(images, "erasing")
    changed = (made != images).all(1)
    erased = changed.flatten(1).any(1)
    assert 160 <= erased.sum() <= 240  # every other image; four standard deviations of 10
    assert torch.equal(made[~erased], images[~erased])
    tall, wide = set(), set()
    for before, after, box in zip(images[erased], made[erased], changed[erased], strict=True):
        rows, columns = box.any(1), box.any(0)
        assert torch.equal(box, rows[:, None] & columns)  # all that changed is one rectangle
        for line in (rows, columns):
            (on,) = line.nonzero(as_tuple=True)
            assert len(on) == on[-1] - on[0] + 1
        assert torch.allclose(
            after[:, box], before.mean((1, 2))[:, None].expand(-1, int(box.sum()))
        )
        assert torch.equal(after[:, ~box], before[:, ~box])
        tall.add(int(rows.sum()))
        wide.add(int(columns.sum()))
    assert tall == set(range(2, 9))  # 10 to 40 % of 20
    assert wide == set(range(3, 13))  # of 30
    everywhere = changed.any(0)
    assert everywhere[0].any()
    assert everywhere[-1].any()
    assert everywhere[:, 0].any()
    assert everywhere[:, -1].any()


def constants(count: int, height: int = 10, width: int = 14) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of one value each, no two the same, and the values."""
    values = torch.linspace(0, 1, count)
    return values.view(-1, 1, 1, 1).expand(count, 3, height, width), values


@pytest.mark.parametrize(
    "names", [("mixup",), ("cutmix",), ("mixup", "cutmix"), ("cutmix", "mixup")]
)
def test_targets_are_what_the_pixels_were_mixed_from(names: tuple[Augmentation, ...]) -> None:
    """Mixing is linear: the mean of the pixels is the mean of the values that the targets name."""
    images, values = constants(200)
    made, targets = run(images, *names)
    assert torch.allclose(targets.sum(1), torch.ones(200), atol=1e-6)
    assert targets.min() >= 0
    assert torch.allclose(made.mean((1, 2, 3)), targets @ values, atol=1e-5)
    assert targets.count_nonzero(1).max() <= 2 * len(names)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_about_every_other_image_is_mixed_and_the_others_keep_their_class(name) -> None:
    images, _ = constants(400)
    made, targets = run(images, name)
    untouched = (made == images).flatten(1).all(1)
    assert torch.equal(targets[untouched], torch.eye(400)[untouched])
    assert torch.equal(targets.diagonal() < 1 - 1e-6, ~untouched)
    assert 155 <= (~untouched).sum() <= 240  # 200, four standard deviations of 10, and empty boxes


def test_mixup_leaves_the_image_itself_more_than_half() -> None:
    images = noise(400)
    made, targets = run(images, "mixup")
    own = targets.diagonal()
    assert own.min() > 0.5
    assert own.min() < 0.53  # shares go up to a half
    assert torch.allclose(made, torch.einsum("ij,jchw->ichw", targets, images), atol=1e-5)


def test_cutmix_pastes_one_box_whose_area_is_the_share() -> None:
    images, values = constants(400)
    made, targets = run(images, "cutmix")
    shares = []
    for i in range(400):
        pasted = made[i, 0] != values[i]
        if not pasted.any():
            assert targets[i, i] == 1
            continue
        (other,) = set(targets[i].nonzero()[:, 0].tolist()) - {i} or {None}
        if other is not None:
            assert (made[i, 0][pasted] == values[other]).all()
            assert targets[i, other] == pytest.approx(int(pasted.sum()) / 140, abs=1e-6)
        assert torch.equal(pasted, pasted.any(1)[:, None] & pasted.any(0))
        shares.append(int(pasted.sum()) / 140)
    # areas are even in [0, 1): a mean of 1/2, standard error 0.29 / sqrt(200) = 0.02
    assert 0.42 < sum(shares) / len(shares) < 0.58
    assert max(shares) > 0.9
