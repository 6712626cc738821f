"""Datasets are decoded once, refused whole, and drawn from by seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import data, registry
from bench.api import Content, Dataset, Split
from bench.data import ImageSet, Prepared
from bench.errors import DataError
from bench.suite import DatasetEntry


@pytest.fixture
def blobs(plugins: Path) -> type[Dataset]:
    return registry.load("datasets", "blobs")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "datasets"


def entry(plugin: Dataset, name: str = "blobs") -> DatasetEntry:
    return DatasetEntry(name, name, plugin)


@pytest.fixture
def prepared(blobs, cache: Path) -> Prepared:
    return data.prepare(entry(blobs()), cache)


# The cache


def test_the_cache_holds_what_the_plugin_read(blobs, prepared: Prepared) -> None:
    content = blobs().read()
    assert prepared.classes == ("north", "east", "south")
    assert prepared.splits == {"train": (0, 96), "test": (96, 126)}
    assert prepared.image_shape == (3, 8, 8)
    for name, split in content.splits.items():
        found = prepared.split(name)
        assert found.pixels.dtype == np.uint8
        assert np.array_equal(found.pixels, np.stack(list(split.images)))
        assert found.labels.tolist() == list(split.labels)
        assert found.labels.dtype == np.int64
        assert found.names == tuple(split.names)
        assert len(found) == len(split.labels)


def test_the_second_time_nothing_is_read(blobs, cache: Path, monkeypatch) -> None:
    first = data.prepare(entry(blobs()), cache)
    files = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}

    def read(_: Dataset) -> Content:
        raise AssertionError("read again")

    monkeypatch.setattr(blobs, "read", read)
    assert data.prepare(entry(blobs()), cache) == first
    # the name that a suite gives it is no part of what it holds
    assert data.prepare(DatasetEntry("mine", "blobs", blobs()), cache).digest == first.digest
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == files


@pytest.mark.parametrize(
    "parameters", [{"noise": 59}, {"train": 9}, {"size": 4}, {"channels": 1}], ids=repr
)
def test_other_parameters_have_a_cache_of_their_own(
    blobs, prepared: Prepared, cache: Path, parameters: dict[str, int]
) -> None:
    other = data.prepare(entry(blobs(**parameters)), cache)
    assert other.folder != prepared.folder
    assert other.digest != prepared.digest
    assert len(list(cache.iterdir())) == 2
    assert data.prepare(entry(blobs()), cache) == prepared


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("stamp", lambda _: "another"), ("revision", 2), ("wraps", "numpy")],
)
def test_stamp_revision_and_library_have_it_read_again(
    blobs, prepared: Prepared, cache: Path, monkeypatch, attribute: str, value: Any
) -> None:
    monkeypatch.setattr(blobs, attribute, value)
    other = data.prepare(entry(blobs()), cache)
    assert other.folder != prepared.folder
    assert other.digest == prepared.digest  # the content is the same


def test_the_pixels_of_the_cache_cannot_be_changed(prepared: Prepared) -> None:
    with pytest.raises(ValueError, match="read-only"):
        prepared.pixels[0, 0, 0, 0] = 1
    chosen = prepared.split("train")
    before = chosen.pixels
    before[:] = 1
    before_labels = chosen.labels
    before_labels[:] = 2
    assert chosen.pixels.max() > 1
    assert chosen.labels.min() == 0


# What is refused


def image(value: int = 0, shape: tuple[int, ...] = (4, 4, 3), dtype: Any = np.uint8) -> np.ndarray:
    return np.full(shape, value, dtype)


def split(images: Any, labels: list[int], names: list[str] | None = None) -> Split:
    return Split(images, labels, names or [f"{id(labels)}-{i}" for i in range(len(labels))])


def failing() -> Iterator[np.ndarray]:
    yield image()
    raise DataError.of("photo.jpg", "is cut off")


WRONG: dict[str, tuple[Callable[[], Content], str]] = {
    "shapes differ": (
        lambda: Content("ab", {"t": split([image(), image(shape=(4, 5, 3))], [0, 1], ["x", "y"])}),
        r"'blobs': y: is uint8 of shape \(4, 5, 3\), expected uint8 of shape \(4, 4, 3\)",
    ),
    "shapes differ between splits": (
        lambda: Content(
            "ab",
            {"t": split([image()], [0], ["x"]), "v": split([image(shape=(4, 4, 1))], [1], ["y"])},
        ),
        r"'blobs': y: is uint8 of shape \(4, 4, 1\), expected",
    ),
    "floats": (
        lambda: Content("ab", {"t": split([image(dtype=np.float32)], [0], ["x"])}),
        "'blobs': x: is float32 of shape",
    ),
    "no channels": (
        lambda: Content("ab", {"t": split([image(shape=(4, 4))] * 2, [0, 1], ["x", "y"])}),
        r"'blobs': x: is uint8 of shape \(4, 4\)",
    ),
    "label too large": (
        lambda: Content("ab", {"t": split([image()] * 2, [0, 2])}),
        "has labels from 0 to 2, expected 0 to 1",
    ),
    "label negative": (
        lambda: Content("ab", {"t": split([image()] * 2, [-1, 1])}),
        "has labels from -1 to 1, expected 0 to 1",
    ),
    "one name twice": (
        lambda: Content("ab", {"t": split([image()] * 2, [0, 1], ["x", "x"])}),
        "gives one name to several images",
    ),
    "one name in two splits": (
        lambda: Content(
            "ab", {"t": split([image()], [0], ["x"]), "v": split([image()], [1], ["x"])}
        ),
        "gives one name to several images",
    ),
    "fewer images than labels": (
        lambda: Content("ab", {"t": split([image()], [0, 1])}),
        "t: has 1 images, 2 labels and 2 names",
    ),
    "more images than labels": (
        lambda: Content("ab", {"t": split([image()] * 3, [0, 1])}),
        "t: has more images than labels",
    ),
    "more images than labels, and another split": (
        lambda: Content("ab", {"t": split([image()] * 2, [0]), "v": split([image()], [1])}),
        "t: has more images than labels",
    ),
    "images without labels": (
        lambda: Content("ab", {"t": split([image()], [])}),
        "t: has more images than labels",
    ),
    "fewer names": (
        lambda: Content("ab", {"t": split([image()] * 2, [0, 1], ["x"])}),
        "t: has 2 images, 2 labels and 1 names",
    ),
    "no images": (lambda: Content("ab", {"t": split([], [])}), "'blobs': t: has no images"),
    "an empty split": (
        lambda: Content("ab", {"t": split([image()], [0]), "valid": split([], [])}),
        "'blobs': valid: has no images, expected one or more in each split",
    ),
    "a name that is no text": (
        lambda: Content("ab", {"t": split([image()], [0], ["caf\udce9.png"])}),
        r"'blobs': has the name 'caf\\udce9.png', which is no Unicode text",
    ),
    "a class that is no text": (
        lambda: Content(["a", "\udce9"], {"t": split([image()], [0])}),
        r"'blobs': has the name '\\udce9', which is no Unicode text",
    ),
    "no splits": (lambda: Content("ab", {}), "'blobs': has no images"),
    "one class": (
        lambda: Content("a", {"t": split([image()], [0])}),
        "has 1 classes, expected two or more",
    ),
    "its own error": (
        lambda: Content("ab", {"t": split(failing(), [0, 1])}),
        "photo.jpg: is cut off",
    ),
}


@pytest.mark.parametrize(("make", "text"), WRONG.values(), ids=WRONG)
def test_a_malformed_dataset_is_reported_and_leaves_nothing(
    blobs, cache: Path, monkeypatch, make: Callable[[], Content], text: str
) -> None:
    monkeypatch.setattr(blobs, "read", lambda _: make())
    for _ in range(2):  # the second time too: no half of it was kept
        with pytest.raises(DataError, match=text):
            data.prepare(entry(blobs()), cache)
        assert not cache.exists() or list(cache.iterdir()) == []


def test_a_plugin_that_breaks_leaves_nothing(blobs, cache: Path, monkeypatch) -> None:
    def images() -> Iterator[np.ndarray]:
        yield image()
        raise KeyboardInterrupt

    monkeypatch.setattr(blobs, "read", lambda _: Content("ab", {"t": split(images(), [0, 1])}))
    with pytest.raises(KeyboardInterrupt):
        data.prepare(entry(blobs()), cache)
    assert list(cache.iterdir()) == []


def test_the_ragged_dataset_of_the_package_is_refused(plugins: Path, cache: Path) -> None:
    ragged = registry.load("datasets", "ragged")()
    with pytest.raises(DataError, match=r"dataset 'ragged': y: is uint8 of shape \(9, 9, 3\)"):
        data.prepare(entry(ragged, "ragged"), cache)


def test_images_may_come_one_by_one(blobs, cache: Path, monkeypatch) -> None:
    def content(_: Dataset) -> Content:
        return Content("ab", {"t": split((image(i) for i in range(3)), [0, 1, 0])})

    monkeypatch.setattr(blobs, "read", content)
    assert data.prepare(entry(blobs()), cache).split("t").pixels[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_an_unknown_split_names_those_that_there_are(prepared: Prepared) -> None:
    with pytest.raises(DataError, match="has no split 'valid', expected one of train, test"):
        prepared.split("valid")
    with pytest.raises(DataError, match="has no split 'valid'"):
        prepared.select(["test", "valid"])


def test_left_over_folders_are_no_cache(blobs, cache: Path) -> None:
    first = data.prepare(entry(blobs()), cache)
    name = first.folder.name
    # what kill -9 leaves: the temporary folder, and no other
    for file in first.folder.iterdir():
        file.unlink()
    first.folder.rmdir()
    (cache / f".{name}-abc").mkdir()
    (cache / f".{name}-abc" / "pixels.npy").write_bytes(b"half")
    again = data.prepare(entry(blobs()), cache)
    assert again == first
    assert again.split("test").digest == first.split("test").digest


# Drawing images


def test_a_smaller_draw_is_part_of_a_larger_one(prepared: Prepared) -> None:
    larger: set[str] = set()
    for count in range(1, 31):
        chosen = set(prepared.select(["test"], count, seed=5).names)
        assert len(chosen) == count
        assert larger <= chosen
        larger = chosen


def test_images_keep_their_order_and_their_labels(prepared: Prepared) -> None:
    chosen = prepared.select(["train", "test"], 40, seed=5)
    places = [prepared.names.index(name) for name in chosen.names]
    assert places == sorted(set(places))
    assert len(places) == 40
    whole = prepared.select(["train", "test"])
    assert np.array_equal(chosen.pixels, whole.pixels[places])
    assert np.array_equal(chosen.labels, whole.labels[places])
    assert chosen.data is prepared


def test_the_seed_decides_the_draw(prepared: Prepared) -> None:
    def draw(seed: int) -> tuple[str, ...]:
        return prepared.select(["test"], 10, seed).names

    assert draw(1) == draw(1)
    assert len({draw(seed) for seed in range(20)}) == 20


def test_every_image_is_drawn_about_as_often(prepared: Prepared) -> None:
    counts = dict.fromkeys(prepared.split("test").names, 0)
    for seed in range(300):
        for name in prepared.select(["test"], 10, seed).names:
            counts[name] += 1
    # 300 draws of 10 in 30: 100 each, with a standard deviation of sqrt(300 / 3 * 2 / 3) = 8.2;
    # 60 and 140 are nearly five of them away
    assert min(counts.values()) > 60
    assert max(counts.values()) < 140


@pytest.mark.parametrize("count", [None, 30, 31, 10_000])
def test_where_there_are_fewer_all_are_taken(prepared: Prepared, count: int | None) -> None:
    for seed in (0, 1):
        chosen = prepared.select(["test"], count, seed)
        assert chosen.names == prepared.split("test").names


def test_splits_follow_in_the_order_that_is_asked(prepared: Prepared) -> None:
    names = prepared.select(["test", "train"]).names
    assert names == prepared.split("test").names + prepared.split("train").names


@pytest.mark.parametrize("splits", [["train", "test"], ["test", "train"]])
def test_a_draw_keeps_the_order_of_all_that_it_was_drawn_from(
    prepared: Prepared, splits: list[str]
) -> None:
    drawn = prepared.select(splits, 40, seed=5).names
    assert drawn == tuple(name for name in prepared.select(splits).names if name in drawn)


def test_an_image_is_drawn_whatever_else_there_is_to_draw_from(
    blobs, prepared: Prepared, cache: Path
) -> None:
    # the draw goes by names, so that more images or another split move the others up or out only
    more = data.prepare(entry(blobs(test=60)), cache)
    few, many = prepared.select(["test"], 10, seed=3), more.select(["test"], 10, seed=3)
    both = set(prepared.split("test").names) & set(many.names)
    assert both <= set(few.names)
    assert both


# Digests and tensors


PIXELS = np.arange(2 * 2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 2, 3)


@pytest.fixture
def images(blobs, cache: Path, monkeypatch) -> Callable[..., ImageSet]:
    """Make a split of some pixels, in a dataset of its own each time."""
    stamps = iter(range(100))

    def make(
        pixels: Any = PIXELS,
        labels: tuple[int, ...] = (0, 1),
        names: tuple[str, ...] = ("x", "y"),
        classes: tuple[str, ...] = ("a", "b"),
    ) -> ImageSet:
        content = Content(classes, {"t": Split(list(pixels), labels, names)})
        stamp = next(stamps)
        monkeypatch.setattr(blobs, "read", lambda _: content)
        monkeypatch.setattr(blobs, "stamp", lambda _: stamp)
        return data.prepare(entry(blobs()), cache).split("t")

    return make


def test_the_digest_covers_pixels_labels_and_classes_not_names(images) -> None:
    digest = images().digest
    assert images().digest == digest
    assert images(names=("y", "x")).digest == digest
    assert images(pixels=np.asfortranarray(PIXELS)).digest == digest
    pixels = PIXELS.copy()
    pixels[1, 1, 1, 2] += 1
    others = [
        images(pixels=pixels),
        images(pixels=PIXELS[::-1]),
        images(pixels=PIXELS.reshape(2, 1, 4, 3)),
        images(labels=(1, 0)),
        images(classes=("b", "a")),
        images(classes=("a", "b", "c")),
    ]
    assert len({digest, *(other.digest for other in others)}) == 7


def test_the_digest_does_not_depend_on_how_images_were_come_by(images) -> None:
    whole = images()
    larger = images(
        pixels=np.concatenate([PIXELS[:1], 255 - PIXELS[:1], PIXELS[1:]]),
        labels=(0, 0, 1),
        names=("p", "q", "r"),
    )
    part = ImageSet(larger.data, np.array([0, 2]))
    assert np.array_equal(part.pixels, PIXELS)
    assert part.digest == whole.digest != larger.digest
    turned = ImageSet(whole.data, np.array([1, 0]))
    assert turned.digest == images(pixels=PIXELS[::-1], labels=(1, 0)).digest != whole.digest


def test_the_digest_of_a_dataset_covers_where_its_splits_end(
    blobs, cache: Path, monkeypatch
) -> None:
    def digest(first: int, stamp: int) -> str:
        pictures = [image(i) for i in range(4)]
        content = Content(
            "ab",
            {
                "train": split(pictures[:first], [0, 1, 0, 1][:first]),
                "test": split(pictures[first:], [0, 1, 0, 1][first:]),
            },
        )
        monkeypatch.setattr(blobs, "read", lambda _: content)
        monkeypatch.setattr(blobs, "stamp", lambda _: stamp)
        return data.prepare(entry(blobs()), cache).digest

    assert digest(2, 1) != digest(3, 2)
    assert digest(2, 3) == digest(2, 1)


def test_tensors_are_the_bytes_over_255(images) -> None:
    values = np.arange(256, dtype=np.uint8)
    pixels = np.stack([values, values[::-1], np.roll(values, 7)], axis=1).reshape(4, 8, 8, 3)
    tensors, labels = images(pixels, (2, 0, 1, 2), tuple("wxyz"), tuple("abc")).tensors()
    assert (tensors.dtype, tuple(tensors.shape)) == (torch.float32, (4, 3, 8, 8))
    assert tensors.is_contiguous()
    assert (labels.dtype, labels.tolist()) == (torch.int64, [2, 0, 1, 2])
    for i, c, y, x in [(0, 0, 0, 0), (0, 2, 7, 1), (1, 1, 3, 4), (3, 0, 7, 7)]:
        # the float32 nearest to k / 255
        assert tensors[i, c, y, x].item() == np.float32(int(pixels[i, y, x, c]) / 255)
    assert tensors.min() == 0
    assert tensors.max() == 1
    assert torch.equal((tensors * 255).round().byte().permute(0, 2, 3, 1), torch.tensor(pixels))


def test_tensors_are_a_copy(images) -> None:
    whole = images()
    tensors, labels = whole.tensors()
    tensors.fill_(0.5)
    labels.fill_(7)
    assert whole.tensors()[1].tolist() == [0, 1]
    assert np.array_equal(whole.pixels, PIXELS)


def test_classes_are_counted_in_each_split(prepared: Prepared) -> None:
    # labels go round 0, 1, 2: 96 / 3 and 30 / 3
    assert prepared.class_counts() == {
        "train": {"north": 32, "east": 32, "south": 32},
        "test": {"north": 10, "east": 10, "south": 10},
    }


def test_the_cache_lies_in_the_store_or_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert data.cache_folder(tmp_path) == tmp_path / "datasets"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert data.cache_folder(None) == tmp_path / "x" / "bench" / "datasets"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert data.cache_folder(None) == tmp_path / "home" / ".cache" / "bench" / "datasets"


def test_twins_that_differ_in_their_pixels_are_noted_beside_the_data(
    plugins: Path, cache: Path
) -> None:
    """Equal ones are duplicates; data from before anybody looked for twins are looked through."""
    twins = entry(registry.load("datasets", "twins")(mirrored=True), "twins")
    found = data.prepare(twins, cache)
    [pairs] = [near["images"] for near in found.near_duplicates if near["images"]]
    assert pairs == [["train/9", "test/6"]]
    [noted] = cache.rglob("twins-1.json")
    noted.unlink()
    assert data.prepare(twins, cache).near_duplicates == found.near_duplicates
