"""Each dataset, read from real or freshly written files."""

import bz2
import hashlib
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from bench import registry
from bench.api import Content, Dataset
from bench.errors import DataError
from bench_plugins.datasets import image_folder
from bench_plugins.datasets.digits import Digits
from bench_plugins.datasets.image_folder import ImageFolder, Pictures, decode
from bench_plugins.datasets.sports10 import Sports10
from bench_plugins.datasets.torchvision import Torchvision

COLOURS = {"cat": (200, 30, 10), "dog": (10, 30, 200)}


def write_folder(root: Path, classes: dict[str, Any], splits: tuple[str, ...]) -> Path:
    for split in splits:
        for name, colour in classes.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(2):
                Image.new("RGB", (40 + index, 20), colour).save(folder / f"{index}.png")
    return root


def write_mnist(root: Path, name: str = "MNIST", per_split: int = 10) -> Path:
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for prefix in ("train", "t10k"):
        pixels = rng.integers(0, 256, (per_split, 28, 28), dtype=np.uint8)
        labels = np.arange(per_split, dtype=np.uint8) % 10
        head = struct.pack(">HBBIII", 0, 8, 3, per_split, 28, 28)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(head + pixels.tobytes())
        head = struct.pack(">HBBI", 0, 8, 1, per_split)
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())
    return root


def make_digits(tmp_path: Path) -> Dataset:
    return Digits()


def make_image_folder(tmp_path: Path) -> Dataset:
    return ImageFolder(root=write_folder(tmp_path, COLOURS, ("train", "valid", "test")))


def make_sports10(tmp_path: Path) -> Dataset:
    colours = {name: (20 * i, 0, 255) for i, name in enumerate(Sports10.CLASSES)}
    return Sports10(root=write_folder(tmp_path, colours, ("train", "test")), size=24)


def make_torchvision(tmp_path: Path) -> Dataset:
    return Torchvision(name="MNIST", root=write_mnist(tmp_path), download=False)


TABLE: dict[str, tuple[Callable[[Path], Dataset], int, tuple[int, int, int]]] = {
    "digits": (make_digits, 10, (32, 32, 3)),
    "image_folder": (make_image_folder, 2, (32, 32, 3)),
    "sports10": (make_sports10, 10, (24, 24, 3)),
    "torchvision": (make_torchvision, 10, (28, 28, 1)),
}


def test_each_first_party_dataset_has_a_row() -> None:
    offered = {o.name for o in registry.offers("datasets") if o.module.startswith("bench_plugins")}
    assert offered == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_content_is_as_the_porch_says(name: str, tmp_path: Path) -> None:
    make, classes, shape = TABLE[name]
    dataset = make(tmp_path)
    content = dataset.read()
    assert len(content.classes) == len(set(content.classes)) == classes
    assert {"train", "test"} <= set(content.splits) <= {"train", "valid", "test"}
    names = [name for split in content.splits.values() for name in split.names]
    assert len(names) == len(set(names))
    for split in content.splits.values():
        images = list(split.images)
        assert len(images) == len(split.labels) == len(split.names)
        assert {(image.dtype, image.shape) for image in images} == {(np.dtype(np.uint8), shape)}
        assert set(split.labels) == set(range(classes))
    assert pixels(content) == pixels(make_again(dataset).read())
    assert dataset.stamp() == make_again(dataset).stamp()


def make_again(dataset: Dataset) -> Dataset:
    return type(dataset).model_validate(dataset.parameters())


def pixels(content: Content) -> dict[str, list[str]]:
    return {
        name: [hashlib.sha256(image.tobytes()).hexdigest() for image in split.images]
        for name, split in content.splits.items()
    }


# digits


def test_digits_are_split_by_class_without_a_shared_image() -> None:
    content = Digits(size=8).read()
    sizes = {name: len(split.labels) for name, split in content.splits.items()}
    # 1,797 in all; of each class a fifth and a tenth, rounded
    assert sizes == {"train": 1259, "valid": 179, "test": 359}
    counts = np.bincount(content.splits["test"].labels)
    assert counts.min() >= 35  # the rarest class has 174, the commonest 183
    assert counts.max() <= 37
    hashes = pixels(content)
    together = [h for split in hashes.values() for h in split]
    assert len(set(together)) == len(together) == 1797


def test_digits_are_scikit_learns_and_no_others() -> None:
    from sklearn.datasets import load_digits

    source = load_digits()
    content = Digits(size=8).read()  # 8 is the size of the scans: nothing is enlarged
    for split in content.splits.values():
        for image, label, name in zip(split.images, split.labels, split.names, strict=True):
            index = int(name.partition("/")[2])
            assert label == source.target[index]
            assert np.array_equal(image[:, :, 1], np.round(source.images[index] * 255 / 16))


def test_enlarged_digits_use_the_whole_range() -> None:
    images = np.stack(list(Digits().read().splits["test"].images))
    assert images.min() == 0
    assert images.max() == 255
    assert np.array_equal(images[..., 0], images[..., 2])


def test_a_size_out_of_range_is_refused() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 8"):
        Digits(size=4)


# image folders


@pytest.mark.parametrize("alias", ["valid", "val", "validation"])
def test_valid_has_aliases(alias: str, tmp_path: Path) -> None:
    content = ImageFolder(root=write_folder(tmp_path, COLOURS, ("train", alias, "test"))).read()
    assert list(content.splits) == ["train", "valid", "test"]
    assert content.splits["valid"].names[0] == "valid/cat/0.png"


def test_labels_follow_the_folders(tmp_path: Path) -> None:
    content = ImageFolder(root=write_folder(tmp_path, COLOURS, ("train", "test")), size=8).read()
    assert list(content.classes) == ["cat", "dog"]
    train = content.splits["train"]
    for image, label in zip(train.images, train.labels, strict=True):
        assert tuple(image[4, 4]) == list(COLOURS.values())[label]


@pytest.mark.parametrize(
    ("names", "order"),
    [
        ([str(k) for k in range(12)], [str(k) for k in range(12)]),
        (["007", "10", "9"], ["007", "9", "10"]),
        (["0", "1", "-10", "-2"], ["-10", "-2", "0", "1"]),
        (["10.5", "2.5", "+3"], ["2.5", "+3", "10.5"]),
        (
            ["\u0661\u0660", "\u0661", "\u0662"],
            ["\u0661", "\u0662", "\u0661\u0660"],
        ),  # Arabic 10, 1, 2
        (["1", "00", "0", "000"], ["0", "00", "000", "1"]),  # whatever order the disk has
        # one that is no number, and all are text
        (["1", "10", "2", "a"], ["1", "10", "2", "a"]),
        (["v10", "v2"], ["v10", "v2"]),
    ],
    ids=str,
)
def test_classes_that_are_numbers_stand_in_their_order(
    names: list[str], order: list[str], tmp_path: Path
) -> None:
    colours = {name: (place, 0, 0) for place, name in enumerate(order)}
    write_folder(tmp_path, {name: colours[name] for name in names}, ("train", "test"))
    content = ImageFolder(root=tmp_path).read()
    assert list(content.classes) == order
    for split in content.splits.values():
        for image, label in zip(split.images, split.labels, strict=True):
            assert image[0, 0, 0] == pytest.approx(label, abs=1)


def test_the_stamp_sees_another_order_of_the_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path, {str(k): (k, 0, 0) for k in range(11)}, ("train", "test"))
    now = ImageFolder(root=tmp_path).stamp()
    monkeypatch.setattr(image_folder, "_is_number", lambda name: False)  # as it was
    assert ImageFolder(root=tmp_path).stamp() != now


def test_images_are_decoded_when_they_are_asked_for(tmp_path: Path) -> None:
    root = write_folder(tmp_path, COLOURS, ("train", "test"))
    (root / "train" / "dog" / "1.png").write_bytes(b"no image")
    images = iter(ImageFolder(root=root).read().splits["train"].images)
    for _ in range(3):
        next(images)
    with pytest.raises(DataError, match=r"dog/1\.png: does not decode"):
        next(images)


def test_a_root_relative_to_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "here", COLOURS, ("train", "test"))
    monkeypatch.chdir(tmp_path)
    relative = ImageFolder(root=Path("here"))
    assert relative.read().classes == ["cat", "dog"]
    assert relative.stamp() == ImageFolder(root=tmp_path / "here").stamp()


def test_the_stamp_sees_a_new_a_changed_and_a_lost_file(tmp_path: Path) -> None:
    root = write_folder(tmp_path, COLOURS, ("train", "test"))
    dataset = ImageFolder(root=root)
    file = root / "test" / "cat" / "2.png"
    seen = [dataset.stamp()]
    Image.new("RGB", (9, 9), "red").save(file)
    seen.append(dataset.stamp())
    Image.new("RGB", (90, 90), "blue").save(file)
    seen.append(dataset.stamp())
    assert len(set(map(str, seen))) == 3
    file.unlink()
    assert dataset.stamp() == seen[0]


def _no_root(root: Path) -> None:
    for file in sorted(root.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    root.rmdir()


def _no_test(root: Path) -> None:
    (root / "test").rename(root / "tests")


def _two_valids(root: Path) -> None:
    (root / "val").mkdir()
    (root / "valid").mkdir()


def _other_classes(root: Path) -> None:
    (root / "test" / "cat").rename(root / "test" / "cow")


def _accents(root: Path) -> None:
    (root / "train" / "cat").rename(root / "train" / "caf\u00e9")
    (root / "test" / "cat").rename(root / "test" / "cafe\u0301")


def _strange_file(root: Path) -> None:
    (root / "train" / "cat" / "labels.csv").write_text("0,1")


def _empty_class(root: Path) -> None:
    (root / "train" / "ant").mkdir()
    (root / "test" / "ant").mkdir()


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "no root": (_no_root, r"does not exist, expected .*--data-root"),
    "no test": (_no_test, r"has no folder 'test'.*--data-root"),
    "two valids": (_two_valids, r"holds valid and val, expected one folder for the split 'valid'"),
    "other classes": (_other_classes, r"test: lacks cat and also has cow, expected the classes of"),
    "accents": (_accents, r"lacks .* \(written 'caf\\xe9'\) and also has .*'cafe\\u0301'\)"),
    "strange file": (_strange_file, r"labels\.csv: is no image that can be read"),
    "empty class": (_empty_class, r"ant: has no images in it"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_layout_is_explained(case: str, tmp_path: Path) -> None:
    damage, message = BROKEN[case]
    root = write_folder(tmp_path / "data", COLOURS, ("train", "test"))
    damage(root)
    with pytest.raises(DataError, match=message):
        ImageFolder(root=root).read()


def test_what_systems_leave_behind_is_no_image(tmp_path: Path) -> None:
    root = write_folder(tmp_path, COLOURS, ("train", "test"))
    (root / "train" / "cat" / ".DS_Store").write_bytes(b"")
    (root / "train" / "cat" / "Thumbs.db").write_bytes(b"")
    assert len(ImageFolder(root=root).read().splits["train"].labels) == 4


def test_broken_notes_in_a_picture_are_not_reported(tmp_path: Path) -> None:
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + b"\x12"  # ends within its first entry
    Image.new("RGB", (8, 8), "red").save(tmp_path / "cut.jpg", exif=exif)
    with pytest.warns(UserWarning, match="EXIF"), Image.open(tmp_path / "cut.jpg") as opened:
        opened.getexif()
    assert decode(tmp_path / "cut.jpg", 8).shape == (8, 8, 3)  # warnings are errors here


def test_exif_orientation_is_obeyed(tmp_path: Path) -> None:
    picture = Image.new("RGB", (32, 32), "black")
    picture.paste((255, 255, 255), (0, 0, 32, 16))  # the upper half is white
    exif = Image.Exif()
    exif[0x0112] = 3  # orientation: turned by 180 degrees
    picture.save(tmp_path / "turned.png", exif=exif)
    picture.save(tmp_path / "plain.png")
    plain, turned = decode(tmp_path / "plain.png", 32), decode(tmp_path / "turned.png", 32)
    assert plain[4, 4, 0] == 255
    assert np.array_equal(turned, plain[::-1, ::-1])


def test_modes_become_rgb(tmp_path: Path) -> None:
    picture = Image.new("RGB", (16, 16), (255, 0, 0))
    for mode in ("L", "P", "RGBA", "LA", "1"):
        picture.convert(mode).save(tmp_path / f"{mode}.png")
    palette = picture.convert("P")
    palette.save(tmp_path / "transparent.png", transparency=bytes([0] * 8))
    for file in tmp_path.iterdir():
        assert decode(file, 8).shape == (8, 8, 3), file.name
    assert tuple(decode(tmp_path / "transparent.png", 8)[0, 0]) == (255, 0, 0)


def test_sixteen_bits_are_refused_instead_of_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 3000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png: has Pillow's mode I;16, expected eight bits"):
        decode(tmp_path / "deep.png", 8)


def test_a_truncated_photograph_is_an_error(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"half\.jpg: does not decode .*truncated"):
        decode(tmp_path / "half.jpg", 8)


def test_resizing_is_antialiased(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255  # black and white columns: without antialiasing they stay black or white
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    inner = decode(tmp_path / "stripes.png", 8)[:, 1:-1]
    assert 100 < inner.min() <= inner.max() < 155


def test_pictures_can_be_read_twice(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    pictures = Pictures([tmp_path / "a.png"], 8)
    assert len(pictures) == len(list(pictures)) == len(list(pictures)) == 1


# sports10


def test_other_sports_are_refused(tmp_path: Path) -> None:
    names = {name: (0, 0, 0) for name in Sports10.CLASSES if name != "golf"} | {"chess": (1, 1, 1)}
    with pytest.raises(DataError, match="lacks golf and also has chess, expected the ten classes"):
        Sports10(root=write_folder(tmp_path, names, ("train", "test"))).read()


def test_sports10_has_a_default_root() -> None:
    assert Sports10().parameters() == {"root": "data/sports10", "size": 32}


def test_real_photographs(photographs: Path) -> None:
    content = Sports10(root=photographs).read()
    sizes = {name: len(split.labels) for name, split in content.splits.items()}
    assert sizes == {"train": 1593, "valid": 50, "test": 50}
    assert np.bincount(content.splits["test"].labels).tolist() == [5] * 10
    images = np.stack(list(content.splits["test"].images))
    assert images.shape == (50, 32, 32, 3)
    assert len(np.unique(images.reshape(50, -1), axis=0)) == 50
    assert 60 < images.mean() < 190  # photographs are neither black nor white


# torchvision


def test_grey_images_keep_one_channel_and_their_bytes(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    content = Torchvision(name="MNIST", root=tmp_path, download=False).read()
    raw = (tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte").read_bytes()[16:]
    assert b"".join(image.tobytes() for image in content.splits["test"].images) == raw
    assert content.classes[3] == "3 - three"
    assert content.splits["test"].names[3] == "test/3"
    assert content.splits["test"].labels[3] == 3


def test_cifar10_is_channels_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import CIFAR10

    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()

    def write(name: str, content: object) -> str:
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        return hashlib.md5(data).hexdigest()

    rng = np.random.default_rng(0)
    batches = {n: rng.integers(0, 256, (10, 3072), dtype=np.uint8) for n in ("one", "test_batch")}
    sums = {n: write(n, {"data": data, "labels": list(range(10))}) for n, data in batches.items()}
    meta = write("batches.meta", {"label_names": [f"class {i}" for i in range(10)]})
    monkeypatch.setattr(CIFAR10, "train_list", [["one", sums["one"]]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": meta})
    content = Torchvision(name="CIFAR10", root=tmp_path, download=False).read()
    image = list(content.splits["test"].images)[2]
    planes = batches["test_batch"][2].reshape(3, 32, 32)
    assert np.array_equal(image, planes.transpose(1, 2, 0))
    assert content.classes[2] == "class 2"


def test_svhn_is_channels_last_with_zero_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scipy.io import savemat
    from torchvision.datasets import SVHN

    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 10), dtype=np.uint8)
    splits = {}
    for split in ("train", "test"):
        file = tmp_path / f"{split}_32x32.mat"
        savemat(file, {"X": pixels, "y": np.arange(1, 11, dtype=np.uint8)[:, None]})
        splits[split] = ["", file.name, hashlib.md5(file.read_bytes()).hexdigest()]
    monkeypatch.setattr(SVHN, "split_list", splits)
    content = Torchvision(name="SVHN", root=tmp_path, download=False).read()
    assert content.classes == [str(i) for i in range(10)]
    assert content.splits["train"].labels == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]  # 10 stands for 0
    assert np.array_equal(list(content.splits["train"].images)[4], pixels[..., 4])


def test_usps_has_ten_digits(tmp_path: Path) -> None:
    line = "{} " + " ".join(f"{i + 1}:-1.0" for i in range(256))
    text = "\n".join(line.format(label) for label in range(1, 10))
    for name in ("usps.bz2", "usps.t.bz2"):
        (tmp_path / name).write_bytes(bz2.compress(text.encode()))
    content = Torchvision(name="USPS", root=tmp_path, download=False).read()
    assert content.classes[0] == "0"
    assert content.splits["test"].labels == list(range(9))
    assert next(iter(content.splits["test"].images)).shape == (16, 16, 1)


@pytest.mark.parametrize(
    "name", ["CIFAR10", "CIFAR100", "MNIST", "FashionMNIST", "KMNIST", "SVHN", "USPS"]
)
def test_missing_files_are_explained(name: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"{name} in .*cannot be read.*set 'download: true'"):
        Torchvision(name=name, root=tmp_path, download=False).read()


@pytest.mark.parametrize("name", ["CIFAR10", "MNIST", "SVHN", "USPS"])
def test_a_failed_download_is_explained(
    name: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import urllib.request
    from urllib.error import URLError

    def offline(*args: object, **kwargs: object) -> None:
        raise URLError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    with pytest.raises(DataError, match=rf"{name} in .*check the connection") as caught:
        Torchvision(name=name, root=tmp_path).read()
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""  # standard output belongs to tables


def test_a_damaged_file_is_explained(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"MNIST in .*cannot be read"):
        Torchvision(name="MNIST", root=tmp_path, download=False).read()


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValidationError, match="CIFAR100"):
        Torchvision.model_validate({"name": "ImageNet"})
