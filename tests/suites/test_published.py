"""The papers' suites, on small files in the formats that the originals have."""

import gzip
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mtl_suites.celeba import celeba
from mtl_suites.cifar100 import cifar100
from mtl_suites.dkl_mnist import dkl_mnist
from mtl_suites.omniglot import omniglot
from mtl_suites.published_pickle import PUBLISHED, published
from PIL import Image
from support.published import HALVES, _made, md5
from torchvision.datasets import CIFAR100, KMNIST, Omniglot

from mtl_framework.data.tasks import Classification, Suite
from mtl_framework.support.errors import MtlError


def counts(suite: Suite) -> dict[str, dict[str, int]]:
    return {
        task.name: {split: len(found) for split, found in task.splits().items()}
        for task in suite.tasks
    }


SUITES = [dkl_mnist, cifar100, omniglot, celeba]


@pytest.mark.parametrize("suite", SUITES)
def test_what_is_missing_and_how_to_get_it(
    suite: Callable[..., Suite], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MtlError, match=r"needs .* below .*suite\.download=true") as caught:
        suite(data_root=str(tmp_path / "nowhere"))
    assert "--data-root" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "nowhere").exists()

    def no_network(*_: Any, **__: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("socket.socket.connect", no_network)
    monkeypatch.setattr("socket.getaddrinfo", no_network)
    with pytest.raises(MtlError, match=r"cannot be fetched: .*by hand") as caught:
        suite(data_root=str(tmp_path / "nowhere"), download=True)
    assert "\n" not in str(caught.value)


# -- DKL-MNIST ---------------------------------------------------------------------------------


def write_idx(path: Path, array: np.ndarray) -> None:
    """The format of MNIST: a magic number, the dimensions, big-endian, then bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def idx_pair(folder: Path, images: str, labels: str, classes: range, each: int) -> None:
    """Images whose pixel at row 1, column 3 is their label; 7 times their number at (0, 0)."""
    values = np.repeat(np.array(classes), each)
    pixels = np.zeros((len(values), 28, 28), np.uint8)
    pixels[:, 1, 3] = values
    pixels[:, 0, 0] = np.arange(len(values)) * 7 % 256
    write_idx(folder / images, pixels)
    write_idx(folder / labels, values)


@pytest.fixture
def mnists(tmp_path: Path) -> Path:
    emnist, kmnist = tmp_path / "EMNIST" / "raw", tmp_path / "KMNIST" / "raw"
    for name, classes in (("digits", range(10)), ("letters", range(1, 27))):
        for part, each in (("train", 30), ("test", 4)):
            stem = f"emnist-{name}-{part}"
            images, labels = f"{stem}-images-idx3-ubyte", f"{stem}-labels-idx1-ubyte"
            idx_pair(emnist, images, labels, classes, each)
    for part, each in (("train", 30), ("t10k", 4)):
        idx_pair(kmnist, f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte", range(10), each)
    return tmp_path


def test_dkl_mnist(mnists: Path) -> None:
    suite = dkl_mnist(data_root=str(mnists), train_per_task=260)
    assert counts(suite) == {
        "digits": {"train": 260, "test": 40},
        "letters": {"train": 260, "test": 104},
        "kuzushiji": {"train": 260, "test": 40},
    }
    assert suite.input_shape == (1, 28, 28)
    names = [task.objective.class_names for task in suite.tasks]  # type: ignore[attr-defined]
    assert [len(found) for found in names] == [10, 26, 10]
    assert names[1][0] == "a"
    assert names[2][3] == "tsu"
    for task in suite.tasks:
        # EMNIST lies transposed in its files, KMNIST does not
        row, column = (1, 3) if task.name == "kuzushiji" else (3, 1)
        shift = task.name == "letters"
        for examples in task.splits().values():
            assert isinstance(examples.inputs, torch.Tensor)
            assert torch.equal(
                examples.inputs[:, 0, row, column], (examples.targets + shift).byte()
            )
        shares = task.train.targets.bincount()
        assert shares.max() == shares.min() == 260 // task.objective.num_outputs


def test_dkl_mnist_draws_as_the_paper_does(mnists: Path) -> None:
    from sklearn.model_selection import train_test_split

    labels = np.repeat(np.arange(10), 30)
    rows, _ = train_test_split(np.arange(300), train_size=50, random_state=666, stratify=labels)
    suite = dkl_mnist(data_root=str(mnists), train_per_task=50, upright=False)
    padded = {split: [{"name": "Pad", "padding": 2}] for split in ("train", "evaluation")}
    large = dkl_mnist(data_root=str(mnists), train_per_task=50, transforms=padded)
    assert large.input_shape == (1, 32, 32)
    images = suite.tasks[2].train.inputs
    assert images[:, 0, 0, 0].tolist() == (np.sort(rows) * 7 % 256).tolist()  # type: ignore[index]


def test_packed_files_are_unpacked_where_their_checksums_are_right(
    mnists: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = []
    for file in sorted((mnists / "KMNIST" / "raw").iterdir()):
        packed = file.with_name(f"{file.name}.gz")
        packed.write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
        resources.append((packed.name, md5(packed)))
    monkeypatch.setattr(KMNIST, "resources", resources)
    with pytest.raises(MtlError, match=r"KMNIST needs .*\(unpacked\)"):
        dkl_mnist(data_root=str(mnists), train_per_task=260)
    suite = dkl_mnist(data_root=str(mnists), train_per_task=260, download=True)
    assert len(suite.tasks[2].train) == 260


@pytest.mark.parametrize("cut", [3, 900])
def test_damaged_mnist_files_are_named(mnists: Path, cut: int) -> None:
    file = mnists / "EMNIST" / "raw" / "emnist-letters-train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(MtlError, match=r"EMNIST needs .*emnist-letters-train-images"):
        dkl_mnist(data_root=str(mnists), train_per_task=260)


def test_dkl_mnist_says_which_task_is_too_small(mnists: Path) -> None:
    with pytest.raises(MtlError, match=r"task 'digits': train_per_task=500, .* had of 300"):
        dkl_mnist(data_root=str(mnists))


# -- CIFAR-100 ---------------------------------------------------------------------------------


def write_cifar(root: Path, monkeypatch: pytest.MonkeyPatch, wrong: int | None = None) -> None:
    """The python version of CIFAR-100; the fine label f belongs to the coarse one f * 7 % 20."""
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True, exist_ok=True)
    sums = {}
    for name, each in (("train", 6), ("test", 2)):
        fine = np.tile(np.arange(100), each)
        coarse = fine * 7 % 20
        if wrong is not None:
            coarse[fine == wrong] += 1
        pixels = np.zeros((len(fine), 3072), np.uint8)
        pixels[:, 0], pixels[:, 1] = fine, np.arange(len(fine)) // 100
        content = {
            "filenames": [f"{n}.png" for n in range(len(fine))],
            "batch_label": f"{name} batch",
            "fine_labels": fine.tolist(),
            "coarse_labels": coarse.tolist(),
            "data": pixels,
        }
        sums[name] = _pickled(folder / name, content)
    names = {
        "fine_label_names": [f"fine{n}" for n in range(100)],
        "coarse_label_names": [f"coarse{n}" for n in range(20)],
    }
    meta = _pickled(folder / "meta", names)
    # torchvision loads nothing but the published files; here these are published
    monkeypatch.setattr(CIFAR100, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(CIFAR100, "meta", {**CIFAR100.meta, "md5": meta})
    for name, digest in (sums | {"meta": meta}).items():
        monkeypatch.setitem(PUBLISHED, name, (digest,))


def _pickled(path: Path, content: Any) -> str:
    path.write_bytes(pickle.dumps(content, protocol=2))
    return md5(path)


def test_cifar100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path, monkeypatch)
    suite = cifar100(data_root=str(tmp_path))
    assert suite.task_names == tuple(f"coarse{n}" for n in range(20))
    assert suite.input_shape == (3, 32, 32)
    assert set(map(str, counts(suite).values())) == {"{'train': 30, 'test': 10}"}
    pairs = set()
    for number, task in enumerate(suite.tasks):
        classes = [f for f in range(100) if f * 7 % 20 == number]
        assert isinstance(task.objective, Classification)
        assert task.objective.class_names == tuple(f"fine{f}" for f in classes)
        for examples in task.splits().values():
            fine = examples.inputs[:, 0, 0, 0].tolist()  # type: ignore[index]
            assert examples.targets.tolist() == [classes.index(f) for f in fine]
            pairs |= {(task.name, label) for label in examples.targets.tolist()}
    assert len(pairs) == 100
    split = cifar100(
        data_root=str(tmp_path),
        validation_per_task=10,
        transforms={"train": [{"name": "RandomCrop", "size": 32, "padding": 4}]},
    )
    assert counts(split)["coarse3"] == {"train": 20, "validation": 10, "test": 10}
    assert split.tasks[0].train.transform is not None
    assert split.tasks[0].test.transform is None


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("exploded"),))


def test_foreign_pickles_are_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_cifar(tmp_path, monkeypatch)
    _pickled(tmp_path / "cifar-100-python" / "train", {"fine_labels": Bomb()})
    with pytest.raises(MtlError, match=r"CIFAR-100 needs .*corrupted"):
        cifar100(data_root=str(tmp_path))
    assert not Path("exploded").exists()
    with pytest.raises(MtlError, match=r"train is a pickle, but not the published file.*--trust"):
        published(tmp_path / "cifar-100-python" / "train")
    assert not Path("exploded").exists()


def test_coarse_labels_that_are_not_five_each_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar(tmp_path, monkeypatch, wrong=12)
    with pytest.raises(MtlError, match="100 pairs of a coarse and a fine label, 5 of each"):
        cifar100(data_root=str(tmp_path))


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
