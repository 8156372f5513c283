"""Omniglot in the layout that its authors distribute."""

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mtl_suites.omniglot import omniglot
from PIL import Image
from support.published import HALVES, _made, md5
from torchvision.datasets import Omniglot

from mtl_framework.support.errors import MtlError, ProblemsError


@pytest.fixture
def letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Trees of PNG files beside their zip files; an image's first pixels are its character and
    drawer, in black and white: 20 drawers each."""
    root = tmp_path / "omniglot-py"
    sums = {}
    number = 0
    for half, alphabets in HALVES.items():
        with zipfile.ZipFile(_made(root / f"{half}.zip"), "w") as archive:
            for alphabet, characters in alphabets.items():
                for character in range(1, characters + 1):
                    number += 1
                    for drawer in range(1, 21):
                        bits = np.ones((105, 105), bool)
                        bits[0, :8] = np.unpackbits(np.uint8(character))
                        bits[1, :8] = np.unpackbits(np.uint8(drawer))
                        name = f"{alphabet}/character{character:02}/{number:04}_{drawer:02}.png"
                        path = _made(root / half / name)
                        Image.fromarray(bits).save(path)
                        archive.write(path, f"{half}/{name}")
        sums[half] = md5(root / f"{half}.zip")
    monkeypatch.setattr(Omniglot, "zips_md5", sums)
    return tmp_path


def told(inputs: Any, row: int) -> list[int]:
    return np.packbits(inputs[:, 0, row, :8].numpy() > 0, axis=1)[:, 0].tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("split", "sizes"),
    [("lws", {"train": 16, "test": 4}), ("pta", {"train": 10, "validation": 4, "test": 6})],
)
def test_omniglot(letters: Path, split: Any, sizes: dict[str, int]) -> None:
    suite = omniglot(data_root=str(letters), split=split)
    base = ["Greek", "Korean", "Latin", "Angelic", "Tengwar"]
    order = np.random.RandomState(666).permutation(5)
    assert suite.task_names == tuple(base[n] for n in order)
    assert suite.input_shape == (1, 105, 105)
    characters = {name: n for half in HALVES.values() for name, n in half.items()}
    for task in suite.tasks:
        number = characters[task.name]
        assert task.objective.num_outputs == number
        assert {s: len(e) for s, e in task.splits().items()} == {
            s: n * number for s, n in sizes.items()
        }
        seen = []
        random = np.random.RandomState(int(hashlib.md5(task.name.encode()).hexdigest(), 16) % 2**32)
        permuted = [(random.permutation(20) + 1).tolist() for _ in range(number)]
        for name, examples in task.splits().items():
            labels, drawers = told(examples.inputs, 0), told(examples.inputs, 1)
            assert examples.targets.tolist() == [label - 1 for label in labels]
            assert examples.targets.bincount().tolist() == [sizes[name]] * number
            assert examples.inputs[0, 0, 50, 50] == 255  # type: ignore[index]
            pairs = list(zip(labels, drawers, strict=True))
            begin = sum(
                n for s, n in sizes.items() if list(sizes).index(s) < list(sizes).index(name)
            )
            expected = [
                (c + 1, d) for c in range(number) for d in permuted[c][begin : begin + sizes[name]]
            ]
            assert pairs == expected
            seen += pairs
        assert len(set(seen)) == len(seen) == 20 * number


def test_omniglot_by_name_number_and_size(letters: Path) -> None:
    whole = omniglot(data_root=str(letters))
    flips = {"train": ["RandomHorizontalFlip"]}
    few = omniglot(data_root=str(letters), num_tasks=2, size=28, transforms=flips)
    assert few.tasks[0].train.transform is not None
    assert few.tasks[0].test.transform is None
    assert few.task_names == whole.task_names[:2]
    assert few.input_shape == (1, 28, 28)
    one = omniglot(data_root=str(letters), tasks=["Latin"])
    again = whole.tasks[whole.index("Latin")]
    assert torch.equal(one.tasks[0].train.inputs, again.train.inputs)  # type: ignore[arg-type]
    with pytest.raises(MtlError, match="did you mean 'Latin'"):
        omniglot(data_root=str(letters), tasks=["latin"])
    with pytest.raises(MtlError, match="num_tasks should be from 1 to 5, found 6"):
        omniglot(data_root=str(letters), num_tasks=6)


def test_damaged_omniglot_files_are_named_all_at_once(letters: Path) -> None:
    folder = letters / "omniglot-py" / "images_background" / "Greek" / "character01"
    first, second, *_ = sorted(folder.iterdir())
    first.write_text("nothing")
    second.write_bytes(second.read_bytes()[:40])
    with pytest.raises(ProblemsError) as caught:
        omniglot(data_root=str(letters))
    assert [first.name in p or second.name in p for p in caught.value.problems] == [True, True]
    (letters / "omniglot-py" / "images_background.zip").write_bytes(b"PK")
    with pytest.raises(MtlError, match=r"Omniglot needs .*\.zip files"):
        omniglot(data_root=str(letters))
