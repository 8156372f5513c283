"""Suites of torch data sets, arrays and data frames."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mtl_suites.kinds import guess_array
from PIL import Image
from torch.utils.data import Dataset, TensorDataset

from mtl_framework.data import (
    Binary,
    Classification,
    Examples,
    PictureOptions,
    Regression,
    Suite,
    given_datasets,
    read_image,
)
from mtl_framework.data.given import guess_kind
from mtl_framework.data.streaming import LazyInputs
from mtl_framework.support.errors import MtlError

ROWS = np.arange(24)
IMAGES = torch.arange(24 * 16).reshape(24, 1, 4, 4).to(torch.uint8)


class Pictures(Dataset[Any]):
    """As torchvision's data sets are: Pillow's pictures and numbers of classes."""

    def __init__(self, mode: str = "L", noise: bool = False, count: int = 24) -> None:
        self.mode, self.noise, self.count = mode, noise, count
        self.classes = ["cat", "dog", "owl"]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> tuple[Image.Image, int]:
        array = np.full((5, 4), row, np.uint8)
        if self.noise:
            array = np.random.randint(0, 255, (5, 4)).astype(np.uint8)
        return Image.fromarray(array).convert(self.mode), row % 2


def tensors(labels: Any) -> TensorDataset:
    return TensorDataset(IMAGES, torch.as_tensor(labels))


def test_data_sets_become_tasks_by_stated_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = {
        "animal": (Pictures(), Pictures()),
        "weight": (tensors(ROWS * 0.5), None, tensors(ROWS * 0.25)),
        "digit": (tensors(ROWS % 3 + 4),) * 3,
        "flag": (tensors(ROWS % 2),) * 3,
    }
    suites = [
        Suite.from_datasets({name: value}, kinds={"flag": "binary"} if name == "flag" else {})
        for name, value in sets.items()
    ]
    animal, weight, digit, flag = (suite.tasks[0] for suite in suites)
    assert animal.objective == Classification(3, ("cat", "dog", "owl"))
    assert isinstance(animal.train.inputs, torch.Tensor)
    assert animal.train.inputs.shape == (24, 1, 5, 4)
    assert animal.train.inputs[7].unique().tolist() == [7]
    assert animal.validation is None
    assert isinstance(weight.objective, Regression)
    assert weight.objective.means == (5.75,)
    assert weight.test.targets.tolist() == (ROWS * 0.25).tolist()
    assert digit.objective == Classification(3, ("4", "5", "6"))
    assert digit.train.targets.tolist() == (ROWS % 3).tolist()
    assert isinstance(flag.objective, Binary)
    monkeypatch.setattr(given_datasets, "MOST_READ", 10)
    lazy = Suite.from_datasets({"animal": (Pictures("RGB"), Pictures("RGB"))}).tasks[0].train
    assert isinstance(lazy.inputs, LazyInputs)
    assert lazy.inputs.shape == (24, 3, 5, 4)
    assert lazy.inputs.read(9).unique().tolist() == [9]


def test_the_rules_are_those_of_the_suite_arrays() -> None:
    for values in (
        np.arange(30) % 7, np.arange(30), np.arange(9), np.arange(30) * 0.5, np.zeros((4, 2)),
        np.array(["a", "b"] * 4), np.arange(40) // 2 * 5, np.arange(40.0) // 8,
        np.array([True, False]), np.arange(-3, 4),
    ):  # fmt: skip
        assert guess_kind(values) == guess_array("x", values).kind, values


def test_arrays_share_their_inputs_where_they_are_the_same() -> None:
    x, z = np.random.rand(24, 5), np.random.rand(24, 5)
    first = {"a": ((x, ROWS % 2), (z, ROWS % 2)), "b": ((x, ROWS * 0.5), (z, ROWS * 0.5))}
    suite = Suite.from_arrays(first)
    assert suite.common_input
    assert suite.tasks[0].train.inputs is suite.tasks[1].train.inputs
    assert suite.tasks[0].train.inputs.dtype == torch.float32
    gaps = np.where(ROWS % 4 == 0, np.nan, ROWS * 0.5)
    other = Suite.from_arrays({"a": ((x, ROWS % 2), (z, ROWS % 2)), "b": ((z, gaps), (x, gaps))})
    assert not other.common_input
    labelled = other.tasks[1].train.labelled
    assert labelled is not None
    assert labelled.tolist() == (ROWS % 4 != 0).tolist()
    assert isinstance(other.tasks[1].objective, Regression)
    assert other.tasks[1].objective.means[0] == pytest.approx(np.nanmean(gaps))


def test_an_array_that_tasks_share_is_converted_once() -> None:
    conversions = []

    class Counted:
        def __array__(self, *_: Any, **__: Any) -> np.ndarray:
            conversions.append(self)
            return IMAGES.numpy()

    shared = Counted()
    labels = ROWS % 3, ROWS % 2
    suite = Suite.from_arrays({str(n): ((shared, x), (shared, x)) for n, x in enumerate(labels)})
    assert suite.common_input
    assert len(conversions) == 1


def test_a_frame_has_a_column_a_task() -> None:
    pandas = pytest.importorskip("pandas", reason="needs the extra [pandas]")
    kind = ["red", None, "blue"] * 8
    frame = pandas.DataFrame(
        {"x": ROWS * 0.1, "y": ROWS, "colour": kind, "size": ROWS * 0.5,
         "count": [None if row == 3 else row % 4 for row in ROWS],
         "part": ["train"] * 12 + ["validation"] * 6 + ["test"] * 6}
    )  # fmt: skip
    suite = Suite.from_frame(frame, ["colour", "size", "count"], ["x", "y"], split="part")
    assert suite.common_input
    assert [len(e) for e in suite.tasks[0].splits().values()] == [12, 6, 6]
    assert suite.tasks[0].objective == Classification(2, ("blue", "red"))
    assert suite.tasks[0].train.labelled is not None
    assert suite.tasks[0].train.num_labelled == 8
    assert suite.tasks[0].train.targets[2] == 0
    assert isinstance(suite.tasks[1].objective, Regression)
    assert suite.tasks[2].objective == Classification(4, ("0", "1", "2", "3"))
    inputs = suite.tasks[0].train.inputs
    assert isinstance(inputs, torch.Tensor)
    assert inputs[5].tolist() == pytest.approx([0.5, 5.0])
    made = [Suite.from_frame(frame, ["size"], IMAGES, seed=seed) for seed in (0, 0, 1)]
    rows = [suite.tasks[0].train.targets.tolist() for suite in made]
    assert rows[0] == rows[1] != rows[2]
    assert [len(e) for e in made[0].tasks[0].splits().values()] == [14, 5, 5]


def test_splits_of_a_frame_keep_rare_classes_of_every_task_and_take_usual_names() -> None:
    pandas = pytest.importorskip("pandas")
    kind = np.array(["common"] * 57 + ["rare"] * 3)
    flag = np.array([1, 0, 1] + [0] * 57)
    weight = np.where(np.arange(60) < 6, np.arange(60) * 0.5, np.nan)
    frame = pandas.DataFrame({"kind": kind, "flag": flag, "weight": weight, "x": weight * 0 + 1})
    inputs = np.zeros((60, 3), np.float32)
    for seed in range(6):
        suite = Suite.from_frame(frame, ["kind", "flag", "weight"], inputs, seed=seed)
        rare, some, known = suite.tasks
        assert [int((e.targets == 1).sum()) for e in rare.splits().values()] == [1, 1, 1]
        assert int((some.train.targets == 1).sum()) == int((some.test.targets == 1).sum()) == 1
        counts = [e.num_labelled for e in known.splits().values()]
        assert sum(counts) == 6
        assert min(counts) >= 1
    frame["set"] = ["Training", "val", "TEST"] * 20
    given = Suite.from_frame(frame, ["flag"], inputs, "set", kinds={"flag": "binary"})
    assert [len(e) for e in given.tasks[0].splits().values()] == [20, 20, 20]
    frame["set"] = ["train", "tset"] * 30
    with pytest.raises(MtlError, match=r"split in column 'set' 'tset'; did you mean 'tst'"):
        Suite.from_frame(frame, ["flag"], inputs, "set")


class Shown(Dataset[Any]):
    """Pictures in a row, of two classes in turn."""

    def __init__(self, *pictures: Image.Image) -> None:
        self.shown = pictures

    def __len__(self) -> int:
        return len(self.shown)

    def __getitem__(self, row: int) -> tuple[Image.Image, int]:
        return self.shown[row], row % 2


def animation() -> Image.Image:
    file = BytesIO()
    first, second = (Image.new("L", (4, 4), level) for level in (0, 200))
    first.save(file, "GIF", save_all=True, append_images=[second])
    return Image.open(file)


def test_pictures_of_every_mode_are_read_as_those_in_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = Image.fromarray(np.full((4, 4), 0x8000, np.uint16))
    ghost = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    bits, palette = Image.new("1", (4, 4), 1), Image.new("RGB", (4, 4), (0, 0, 250)).convert("P")
    grey = Suite.from_datasets({"a": (Shown(deep, bits),) * 2}).tasks[0]
    assert stored_images(grey.train).unique().tolist() == [128, 255]
    assert grey.train.input_shape == (1, 4, 4)
    black = PictureOptions(ground="black")
    for most in (2**30, 10):
        monkeypatch.setattr(given_datasets, "MOST_READ", most)  # kept, or read when needed
        mixed = Suite.from_datasets(
            {"a": (Shown(deep, bits), Shown(ghost, palette))}, pictures=black
        ).tasks[0]
        assert mixed.train.input_shape == mixed.test.input_shape == (3, 4, 4)
        assert mixed.pictures == black
        inputs = stored_images(mixed.test)
        assert inputs[0].unique().tolist() == [0]
        file = tmp_path / "palette.png"
        palette.save(file)
        assert torch.equal(inputs[1], read_image(file))
        assert stored_images(mixed.train)[0].unique().tolist() == [128]


def stored_images(examples: Examples) -> torch.Tensor:
    held = examples.inputs
    return held if isinstance(held, torch.Tensor) else torch.stack([held.read(r) for r in (0, 1)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Suite.from_datasets({"a": (Pictures(noise=True),) * 2}), "different inputs each"),
        (lambda: Suite.from_datasets({"a": (Pictures(),)}), "should have .train, validation, test"),
        (lambda: Suite.from_datasets({"a": (Shown(animation()),) * 2}),
         "train split: picture 0 holds 2 pictures .an animation or pages.: save the one"),
        (lambda: Suite.from_datasets({"a": (Pictures(count=0),) * 2}), "the data set has no item"),
        (lambda: Suite.from_datasets({"a": ([3], [3])}), "item 0 should be a pair"),
        (lambda: Suite.from_datasets({"a": (Pictures(),) * 2}, kinds={"b": "classes"}), "unkn"),
        (lambda: Suite.from_datasets({"a": (Pictures(),) * 2}, kinds={"a": "text"}), "unknown k"),
        (lambda: Suite.from_datasets({"a": (tensors(ROWS % 3),) * 2}, kinds={"a": "binary"}),
         "task 'a': binary labels should be 0 or 1"),
        (lambda: Suite.from_arrays({"a": ((IMAGES, ROWS * 0),) * 2}), "two classes or more"),
        (lambda: Suite.from_arrays({"a": ((ROWS, ROWS),) * 2}), r"inputs should be \(N, ...\)"),
        (lambda: Suite.from_arrays({"a": ((IMAGES, ROWS * np.nan),) * 2}), "there is no label"),
        (lambda: Suite.from_arrays({"a": (IMAGES, IMAGES)}), "should be a pair of inputs"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_suite_is_refused(make: Any, message: str) -> None:
    with pytest.raises(MtlError, match=message):
        make()


def digits_and_sizes(factor: float) -> Suite:
    return Suite.from_datasets(
        {"digit": (tensors(ROWS % 3),) * 3, "size": (tensors(ROWS * factor),) * 3}
    )


def test_a_run_of_data_sets_knows_its_data(tmp_path: Path) -> None:
    from support.tiny import TinyPlugins

    from mtl_framework import load_run, run

    suite = Suite.from_datasets(
        {"digit": (tensors(ROWS % 3),) * 3, "size": (tensors(ROWS * 0.5),) * 3}
    )
    folder = tmp_path / "r"
    options: dict[str, Any] = {"progress": False, "device": "cpu", "eval_every": 2}
    result = run("routed", "tiny", suite, output=folder, plugins=TinyPlugins(), iterations=2,
                 **options)  # fmt: skip
    loaded = load_run(folder, plugins=TinyPlugins())
    assert loaded.predict("size", IMAGES[:2]).shape == (2, 1)
    assert loaded.suite.tasks[0].objective == suite.tasks[0].objective
    assert load_run(folder, suite=suite, plugins=TinyPlugins()).evaluate().splits["test"].per_task \
        == result.test.per_task  # fmt: skip
    other = Suite.from_datasets(
        {"digit": (tensors(ROWS % 3),) * 3, "size": (tensors(ROWS * 0.4),) * 3}
    )
    with pytest.raises(MtlError, match="the data has changed since the run began"):
        run(
            suite=other,
            output=folder,
            resume=True,
            iterations=4,
            plugins=TinyPlugins(),
            progress=False,
        )


def test_a_frames_column_of_owners_leaves_other_splits_and_is_told() -> None:
    pandas = pytest.importorskip("pandas")
    rows = np.arange(90)
    frame = pandas.DataFrame({"kind": rows % 3, "owner": [f"o{n // 2}" for n in rows]})
    suite = Suite.from_frame(frame, ["kind", "owner"], np.zeros((90, 2), np.float32))
    assert [len(part) for part in suite.tasks[0].splits().values()] == [54, 18, 18]
    assert any("owner:" in note and "out of tasks" in note for note in suite.notes)
    assert not any(note.startswith("kind:") for note in suite.notes)
