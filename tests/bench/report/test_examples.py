"""Examples of adversarial images: files that agree with the records and the stored images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.commands import run as session
from bench.figures.examples import Example
from bench.matrix import Matrix
from bench.store import Store


@pytest.mark.slow
def test_each_attack_shows_some_images(tiny: dict[str, Any], tmp_path: Path) -> None:
    suite = {
        **tiny,
        "transfer": None,
        "examples": 3,
        "attacks": {
            "fgsm": {"eps": 0.035},
            "aimed": {"plugin": "pgd", "eps": 0.1, "target": 1},
            "not_a_number": {},
        },
    }
    session.run(suite, store=tmp_path / "store", reports=tmp_path / "reports")
    matrix = Matrix.last(Store(tmp_path / "store"))
    folder = tmp_path / "reports" / "tiny" / "examples"
    for model in ("linear", "gaudy"):
        for attack in ("fgsm", "aimed", "not_a_number"):
            files = sorted((folder / model / attack).glob("*.json"))
            assert len(files) == 3
            assert len(list((folder / model / attack).glob("*.png"))) == 3
    [entry] = [e for e in matrix.entries if e.label == "attack linear/fgsm"]
    records = matrix.records(entry).set_index("image")
    images = matrix.adversarial_images("linear/fgsm")
    classes = matrix.run["dataset"]["classes"]
    for file in (folder / "linear" / "fgsm").glob("*.json"):
        reported = json.loads(file.read_text(encoding="utf-8"))
        record = records.loc[reported["image"]]
        assert reported["label"] == classes[record["label"]]
        assert reported["prediction"] == classes[record["prediction"]]
        assert reported["success"] == (record["prediction"] != record["label"])
        assert reported["norms"]["linf"] == record["linf"]
        assert reported["probabilities"][reported["prediction"]] == pytest.approx(
            record["confidence"]
        )
        assert sum(reported["clean_probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert reported["attack"]["eps"] == 0.035
        strip = np.asarray(Image.open(file.with_suffix(".png")))
        size = strip.shape[0]
        shown = strip[:, size : 2 * size].transpose(2, 0, 1) / 255
        row = list(records.index).index(reported["image"])
        assert np.abs(shown - images[row]).max() <= 0.5 / 255 + 1e-6
        original = strip[:, :size].astype(float)
        made = (strip[:, 2 * size :].astype(float) - 127.5) / reported["factor"]
        difference = strip[:, size : 2 * size] - original
        assert np.abs(made - difference).max() <= 1.0
    several = [
        json.loads(f.read_text()) for f in (folder / "gaudy" / "not_a_number").glob("*.json")
    ]
    for broken in (reported for reported in several if reported["violation"]):
        assert broken["success"] is None
        assert broken["prediction"] is None
    assert any(reported["violation"] == "is not finite" for reported in several)
    page = (tmp_path / "reports" / "tiny" / "README.md").read_text(encoding="utf-8")
    assert "## Examples" in page
    assert (tmp_path / "reports" / "tiny" / "figures" / "examples-linear~~fgsm.svg").is_file()


def test_the_factor_makes_the_perturbation_fit() -> None:
    image = np.full((3, 2, 2), 0.5, np.float32)
    assert Example(image, image, "", "").factor == 1
    assert Example(image, image + 0.01, "", "").factor == 50
    assert Example(image, image + 0.4, "", "").factor == 1
    assert Example(image, image + 1e-4, "", "").factor == 100
    assert (Example(image, image + 0.01, "", "").pictures[2] >= 254).all()
