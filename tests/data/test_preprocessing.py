"""From image files to inputs."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from mtl_suites.folders import folders
from PIL import Image

from mtl_framework.data.batches import evaluation_batches
from mtl_framework.data.preprocessing import Preprocessing, image_files
from mtl_framework.data.transforms import ImageTransform
from mtl_framework.support.errors import MtlError


def save(path: Path, pixels: list[list[int]], mode: str = "L") -> Path:
    Image.fromarray(np.array(pixels, dtype=np.uint8)).convert(mode).save(path)
    return path


def test_images_become_floats_from_zero_to_one(tmp_path: Path) -> None:
    file = save(tmp_path / "a.png", [[0, 255], [51, 102]])
    found = Preprocessing((1, 2, 2)).read([file])
    torch.testing.assert_close(found, torch.tensor([[[[0.0, 1.0], [0.2, 0.4]]]]))


def test_normalisation_is_by_channel(tmp_path: Path) -> None:
    file = save(tmp_path / "a.png", [[51]], "RGB")
    found = Preprocessing((3, 1, 1), (0.2, 0.1, 0.0), (1.0, 0.5, 0.1)).read([file])
    torch.testing.assert_close(found.flatten(), torch.tensor([0.0, 0.2, 2.0]))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_of_any_kind_and_size_are_fitted(tmp_path: Path, mode: str, channels: int) -> None:
    file = save(tmp_path / "a.png", [[255] * 7] * 5, mode)
    found = Preprocessing((channels, 3, 4)).read([file, file])
    assert found.shape == (2, channels, 3, 4)
    assert found.min() == 1.0


def test_files_that_are_no_images_are_named(tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("no image")
    cut = save(tmp_path / "cut.png", (np.arange(10_000) % 251).reshape(100, 100).tolist())
    cut.write_bytes(cut.read_bytes()[:200])
    for file in (text, cut, tmp_path):
        with pytest.raises(MtlError, match=f"{file.name} cannot be read as an image"):
            Preprocessing((1, 2, 2)).read([file])
    with pytest.raises(MtlError, match=r"no image .*gone\.png"):
        Preprocessing((1, 2, 2)).read([tmp_path / "gone.png"])


def test_folders_stand_for_their_images(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("")
    with pytest.raises(MtlError, match="holds no image"):
        image_files([tmp_path])
    b = save(tmp_path / "in" / "b.PNG", [[1]])
    a = save(tmp_path / "in" / "a.jpg", [[1]])
    assert image_files([tmp_path, b]) == [a, b, b]
    with pytest.raises(MtlError, match=r"no image or folder .*gone"):
        image_files([tmp_path / "gone"])


def test_a_prediction_reads_files_as_evaluation_does(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for split, label in product(("train", "validation", "test"), "ab"):
        (tmp_path / "task" / split / label).mkdir(parents=True)
        for number in range(2):
            pixels = random.integers(0, 256, (14, 11), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "task" / split / label / f"{number}.png")
    normalize = {"name": "Normalize", "mean": [0.4], "std": [0.2]}
    suite = folders(
        path=str(tmp_path),
        grey=True,
        size=12,
        transforms={
            "train": [{"name": "RandomCrop", "size": 6}, normalize],
            "evaluation": [
                {"name": "CenterCrop", "size": 6},
                {"name": "RandomInvert", "p": 1.0},
                normalize,
            ],
        },
    )
    task = suite.tasks[0]
    assert suite.input_shape == (1, 6, 6)
    normalization = task.normalization
    assert normalization is not None
    preprocessing = Preprocessing((1, 6, 6), *normalization, transform=task.image_transform)
    files = sorted((tmp_path / "task" / "test").rglob("*.png"))
    ((inputs, _),) = evaluation_batches(task.test, 10, torch.device("cpu"), normalization)
    assert torch.equal(preprocessing.read(files), inputs)
    plain = preprocessing.to_plain()
    assert [x["name"] for x in plain["transforms"]] == ["Resize", "CenterCrop", "RandomInvert"]
    assert plain["mean"] == [0.4]


def test_what_a_transform_leaves_too_large_is_resized(tmp_path: Path) -> None:
    file = save(tmp_path / "a.png", [[255] * 7] * 5)
    grey = ImageTransform.from_config(["Grayscale"])
    assert Preprocessing((1, 3, 4), transform=grey).read([file]).shape == (1, 1, 3, 4)
