"""Tasks from folders of images, as people keep them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mtl_suites.folders import folders
from PIL import Image
from support.typed import stored

from mtl_framework.cli import main
from mtl_framework.data.tasks import Classification, Suite
from mtl_framework.support.errors import MtlError, ProblemsError

TASKS = {"animals": ("cat", "dog"), "shapes": ("disc", "ring", "square")}


def draw(path: Path, label: int, number: int, size: tuple[int, int] = (10, 8)) -> None:
    """An image that tells its class by its brightness."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 3), 60 * label + 20, np.uint8)
    pixels[0, 0] = number
    pixels[0, 1] = sum(map(ord, path.parent.parent.name)) % 60  # no picture is in two splits
    Image.fromarray(pixels).save(path)


def tree(root: Path, splits: dict[str, int]) -> Path:
    """Two tasks; of every class so many images in every split, the split of name "" in none."""
    for task, classes in TASKS.items():
        for split, count in splits.items():
            for label, name in enumerate(classes):
                for n in range(count):
                    suffix = "png" if n % 2 else "bmp"
                    draw(root / task / split / name / f"{n}.{suffix}", label, n)
    return root


def sizes(suite: Suite, task: int = 0) -> dict[str, int]:
    return {name: len(examples) for name, examples in suite.tasks[task].splits().items()}


def test_splits_by_folder_become_tasks(tmp_path: Path) -> None:
    tree(tmp_path / "mine", {"train": 6, "val": 2, "test": 3})
    (tmp_path / "mine" / "animals" / "train" / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "mine" / "animals" / "train" / ".ipynb_checkpoints").mkdir()
    suite = folders(path="mine", data_root=str(tmp_path))
    assert suite.task_names == ("animals", "shapes")
    assert suite.input_shape == (3, 8, 10)
    assert sizes(suite) == {"train": 12, "validation": 4, "test": 6}
    assert sizes(suite, 1) == {"train": 18, "validation": 6, "test": 9}
    for task, classes in zip(suite.tasks, TASKS.values(), strict=True):
        assert isinstance(task.objective, Classification)
        assert task.objective.class_names == classes
        for examples in task.splits().values():
            assert isinstance(examples.inputs, torch.Tensor)
            assert torch.equal(examples.inputs[:, 0, 4, 4].long(), 60 * examples.targets + 20)
    assert suite.notes == (
        "left out .txt: not a kind of image that is read: 1",
        "left out a system's or hidden files: 1",
    )


def test_a_class_that_damaged_images_take_from_a_split_is_left_out(tmp_path: Path) -> None:
    tree(tmp_path, {"train": 6, "test": 3})
    for file in (tmp_path / "shapes" / "test" / "ring").iterdir():
        cut(file)
    with pytest.raises(ProblemsError, match="class 'ring' is not in test"):
        folders(data_root=str(tmp_path))
    whole = tree(tmp_path / "whole", {"train": 6, "test": 3})
    shapes = folders(data_root=str(whole), validation_per_task=0).tasks[-1]
    left = folders(data_root=str(tmp_path), tasks=["animals", "shapes"], skip_bad=True,
                   validation_per_task=0).tasks[-1]  # fmt: skip
    assert left.objective.num_outputs == shapes.objective.num_outputs - 1
    for examples in left.splits().values():
        assert set(examples.targets.tolist()) == set(range(left.objective.num_outputs))


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ({"": 10}, {"train": 12, "validation": 4, "test": 4}),
        ({"train": 10}, {"train": 12, "validation": 4, "test": 4}),
        ({"train": 10, "test": 3}, {"train": 16, "validation": 4, "test": 6}),
        ({"train": 10, "valid": 3}, {"train": 16, "validation": 6, "test": 4}),
    ],
)
def test_missing_splits_are_made_stratified_and_recorded(
    tmp_path: Path, present: dict[str, int], expected: dict[str, int]
) -> None:
    tree(tmp_path, present)
    suite = folders(data_root=str(tmp_path))
    assert sizes(suite) == expected
    names = suite.record["tasks"]["animals"]
    assert {split: len(found) for split, found in names.items()} == expected
    everything = [name for found in names.values() for name in found]
    assert len(set(everything)) == len(everything) == 2 * sum(present.values())
    for split, examples in suite.tasks[0].splits().items():
        assert examples.targets.bincount().tolist() == [expected[split] // 2] * 2
        for name, image in zip(names[split], stored(examples), strict=True):
            label, number = Path(name).parent.name, int(Path(name).stem)
            assert image[0, 4, 4] == 60 * ("cat", "dog").index(label) + 20
            assert image[0, 0, 0] == number
    torch.manual_seed(5)
    np.random.seed(5)
    again = folders(data_root=str(tmp_path))
    assert again.record == suite.record
    assert folders(data_root=str(tmp_path), split_seed=1).record != suite.record
    without = sizes(folders(data_root=str(tmp_path), validation_per_task=0))
    assert "validation" not in without


def test_images_are_made_alike_and_transformed(tmp_path: Path) -> None:
    tree(tmp_path, {"train": 4, "test": 2})
    draw(tmp_path / "animals" / "train" / "dog" / "large.png", 1, 9, (30, 40))
    with pytest.raises(ProblemsError, match=r"large\.png: has shape \(3, 40, 30\).*suite\.size"):
        folders(data_root=str(tmp_path))
    normalize = {"name": "Normalize", "mean": [0.5], "std": [0.25]}
    suite = folders(
        data_root=str(tmp_path),
        size=12,
        grey=True,
        transforms={
            "train": [{"name": "RandomCrop", "size": 8}, normalize],
            "evaluation": [{"name": "CenterCrop", "size": 8}, normalize],
        },
        validation_per_task=0,
    )
    assert suite.input_shape == (1, 8, 8)
    task = suite.tasks[0]
    assert task.train.inputs.shape[1:] == (1, 12, 12)
    assert task.train.transform is not None
    assert task.test.inputs.shape[1:] == (1, 8, 8)
    assert task.normalization is not None
    assert task.normalization.mean == (0.5,)


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def broken(root: Path) -> list[str]:
    """Damage a tree in every way, and what should be said of it."""
    tree(root, {"train": 6, "test": 3})
    cut(root / "animals" / "train" / "cat" / "1.png")
    (root / "shapes" / "test" / "ring" / "1.png").write_text("no image")
    draw(root / "shapes" / "train" / "star" / "0.png", 2, 0)
    draw(root / "rare" / "train" / "one" / "0.png", 0, 0)
    for n in range(9):
        draw(root / "rare" / "train" / f"many{n % 2}" / f"{n}.png", 1, n)
    draw(root / "animals" / "test" / "bird" / "0.png", 2, 0)
    (root / "empty" / "train").mkdir(parents=True)
    (root / "bare").mkdir()
    (root / "shapes" / "extra").mkdir()
    return [
        r"animals/train/cat/1\.png: cannot be read as an image",
        r"shapes/test/ring/1\.png: cannot be read as an image",
        r"shapes: class 'star' is not in test \(1 example, the first is .*star/0\.png\)",
        r"animals: class 'bird' is not in train \(1 example, the first is .*bird/0\.png\)",
        r"empty/train: holds no image in a folder of a class",
        r"bare: the task has no folder of a split or a class",
        r"shapes/extra: is no split, but lies beside splits",
        r"rare: class 'one' has 1 example, too few to be divided into train .*one/0\.png\)",
    ]


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    expected = broken(tmp_path)
    with pytest.raises(ProblemsError) as caught:
        folders(data_root=str(tmp_path))
    hint, *problems = caught.value.problems
    assert "skip_bad=true" in hint
    assert len(problems) == len(expected)
    for pattern in expected:
        assert any(re.search(pattern, problem) for problem in problems), pattern
    assert not any("\n" in problem for problem in problems)


def test_what_is_wrong_can_be_left_out_and_is_counted(tmp_path: Path) -> None:
    expected = broken(tmp_path)
    suite = folders(data_root=str(tmp_path), skip_bad=True, validation_per_task=0)
    assert suite.task_names == ("animals", "rare", "shapes")
    assert sizes(suite) == {"train": 11, "test": 6}
    assert sizes(suite, 1) == {"train": 7, "test": 2}
    assert sizes(suite, 2) == {"train": 18, "test": 8}
    assert [task.objective.num_outputs for task in suite.tasks] == [2, 2, 3]
    assert len(suite.record["left_out"]) == len(expected)
    assert (
        suite.notes[-1]
        == f"skip_bad left out {len(expected)} faults; a run keeps all of them in data.json"
    )
    assert suite.notes[-2] == "skip_bad left out whole tasks: 'bare', 'empty'"
    told = [note for note in suite.notes if note.startswith("skip_bad left out: ")]
    for pattern in expected:
        assert any(re.search(pattern, line) for line in told), pattern
    assert "cat/1.png" not in str(suite.record["tasks"]["animals"]["train"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "absent"}, "there is no folder .*absent.*--data-root"),
        ({"tasks": ["animal"]}, "did you mean 'animals'"),
        ({"size": 0}, "size should be from 1"),
        ({"train_per_task": 500}, "train_per_task=500, .* cannot be had of 18"),
        ({"transforms": {"train": ["Resise"]}}, "did you mean 'Resize'"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    tree(tmp_path, {"train": 6, "test": 3})
    with pytest.raises(MtlError, match=message):
        folders(**{"data_root": str(tmp_path), **options})


def test_many_images_are_read_when_they_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, {"": 10})
    held = folders(data_root=str(tmp_path))
    monkeypatch.setattr("mtl_suites.image_files._MOST_BYTES", 100)
    lazy = folders(data_root=str(tmp_path))
    unchecked = folders(data_root=str(tmp_path), check_images=False)
    for suite in (lazy, unchecked):
        for task, other in zip(suite.tasks, held.tasks, strict=True):
            for split, examples in task.splits().items():
                assert not isinstance(examples.inputs, torch.Tensor)
                assert torch.equal(examples.inputs.hold(), stored(other.splits()[split]))
    cut(tmp_path / "animals" / "cat" / "5.png")
    folders(data_root=str(tmp_path), check_images=False)
    with pytest.raises(ProblemsError, match=r"cat/5\.png"):
        folders(data_root=str(tmp_path))


def test_a_run_keeps_what_its_data_was_and_goes_on_with_that_only(
    tmp_path: Path, cli: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    broken(tmp_path / "data")
    run = tmp_path / "run"
    command = ["run", "--strategy", "full_sharing", "--backbone", "test_resnet", "--suite"]
    command += ["folders", "--output", str(run), "--iterations", "2", "--set", "device=cpu"]
    command += ["--data-root", str(tmp_path / "data"), "--set", "suite.size=32"]
    assert cli(command) == 2
    assert capsys.readouterr().err.count("error:") == 9
    assert not run.exists()
    assert cli([*command, "--set", "suite.skip_bad=true"]) == 0
    assert "skip_bad left out 8 faults" in capsys.readouterr().err
    record = json.loads((run / "data.json").read_text())
    assert len(record["left_out"]) == 8
    assert record["tasks"]["animals"]["test"] == sorted(record["tasks"]["animals"]["test"])
    (tmp_path / "data" / "animals" / "train" / "dog" / "2.bmp").unlink()
    assert cli(["run", "--resume", "--output", str(run), "--iterations", "4"]) == 2
    assert "the data has changed" in capsys.readouterr().err


@pytest.fixture
def cli() -> Callable[[list[str]], int]:
    def call(arguments: list[str]) -> int:
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert isinstance(stopped.value.code, int)
        return stopped.value.code

    return call
