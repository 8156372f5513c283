"""CelebA in the layout that its authors distribute."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mtl_suites.celeba import celeba
from PIL import Image
from support.published import _made, md5
from torchvision.datasets import CelebA

from mtl_framework.data import Binary, MultiLabel
from mtl_framework.support.errors import MtlError, ProblemsError

# -- CelebA ------------------------------------------------------------------------------------

ATTRIBUTES = ("Bald", "Eyeglasses", "Smiling")


@pytest.fixture
def faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The list files with their headers, and aligned images of 178x218."""
    folder = tmp_path / "celeba"
    names = [f"{n:06}.jpg" for n in range(1, 13)]
    for n, name in enumerate(names):
        pixels = np.full((218, 178, 3), 20 * n, np.uint8)
        Image.fromarray(pixels).save(_made(folder / "img_align_celeba" / name), quality=95)
    signs = [" ".join(f"{1 if n >> a & 1 else -1:2}" for a in range(3)) for n in range(12)]
    header = f"12\n{' '.join(ATTRIBUTES)} \n"
    box = "12\nimage_id x_1 y_1 width height\n"
    eyes = "12\nlefteye_x lefteye_y\n"
    files = {
        "list_attr_celeba.txt": header + _lines(names, signs),
        "identity_CelebA.txt": _lines(names, map(str, range(12))),
        "list_bbox_celeba.txt": box + _lines(names, ["1 2 3 4"] * 12),
        "list_landmarks_align_celeba.txt": eyes + _lines(names, ["69 109"] * 12),
        "list_eval_partition.txt": _lines(names, ["0"] * 6 + ["1"] * 2 + ["2"] * 4),
    }  # fmt: skip
    listed = []
    for name, text in files.items():
        (folder / name).write_text(text)
        listed.append(("id", md5(folder / name), name))
    monkeypatch.setattr(CelebA, "file_list", [*CelebA.file_list[:1], *listed])
    return tmp_path


def _lines(names: list[str], values: Any) -> str:
    return "".join(f"{name} {value}\n" for name, value in zip(names, values, strict=True))


def test_attributes_can_be_one_task(faces: Path) -> None:
    suite = celeba(data_root=str(faces), size=16, together={"eyes": ["Smiling", "Eyeglasses"]})
    assert suite.task_names == ("Bald", "eyes")
    assert suite.tasks[1].objective == MultiLabel(2, ("Smiling", "Eyeglasses"))
    targets = suite.tasks[1].test.targets.tolist()
    assert targets == [[n >> 2 & 1, n >> 1 & 1] for n in range(8, 12)]


def test_celeba(faces: Path) -> None:
    suite = celeba(data_root=str(faces), size=16)
    assert suite.task_names == ATTRIBUTES
    assert suite.common_input
    assert suite.input_shape == (3, 16, 16)
    for number, task in enumerate(suite.tasks):
        assert task.objective == Binary()
        for split, rows in {"train": range(6), "validation": (6, 7), "test": range(8, 12)}.items():
            examples = task.splits()[split]
            assert examples.targets.tolist() == [n >> number & 1 for n in rows]
            brightness = examples.inputs[:, 0, 8, 8].int()  # type: ignore[index]
            assert (brightness - torch.tensor([20 * n for n in rows])).abs().max() <= 2
    flipped = celeba(
        data_root=str(faces), tasks=["Smiling"], transforms={"train": ["RandomHorizontalFlip"]}
    )
    assert flipped.task_names == ("Smiling",)
    assert flipped.tasks[0].train.transform is not None


def test_broken_celeba_is_named(faces: Path) -> None:
    with pytest.raises(MtlError, match="did you mean 'Smiling'"):
        celeba(data_root=str(faces), tasks=["smiling"])
    with pytest.raises(MtlError, match=r"suite\.transforms\.train\[0\].*did you mean 'RandomCrop'"):
        celeba(data_root=str(faces), transforms={"train": ["RandonCrop"]})
    for name in ("000002.jpg", "000011.jpg"):
        (faces / "celeba" / "img_align_celeba" / name).write_text("gone")
    with pytest.raises(ProblemsError, match=r"000002\.jpg.*000011\.jpg"):
        celeba(data_root=str(faces))
    (faces / "celeba" / "list_attr_celeba.txt").write_text("12\n")
    with pytest.raises(MtlError, match=r"CelebA needs .*five \.txt files.*corrupted"):
        celeba(data_root=str(faces))
