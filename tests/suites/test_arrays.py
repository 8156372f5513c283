"""Tasks from the arrays of an .npz file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mtl_suites.arrays import arrays
from support.arrays import by_split, chosen, numbered, save
from support.typed import stored

from mtl_framework.data.tasks import Classification, Regression
from mtl_framework.support.errors import MtlError


def test_every_task_with_arrays_of_its_own(tmp_path: Path) -> None:
    labels = np.arange(300) % 3
    where = save(
        tmp_path,
        cats_images=numbered(300),
        cats_labels=labels + 7,
        dogs_images=numbered(200),
        dogs_labels=np.array(["poodle", "pug"] * 100),
        cats_packed4=np.zeros(3),
        extra=np.zeros(2),
    )
    suite = arrays(**where, train_per_task=50, validation_per_task=30, test_per_task=60)
    assert suite.task_names == ("cats", "dogs")
    assert suite.input_shape == (1, 5, 6)
    assert not suite.common_input
    cats, dogs = (task.objective for task in suite.tasks)
    assert isinstance(cats, Classification)
    assert isinstance(dogs, Classification)
    assert cats.class_names == ("7", "8", "9")
    assert dogs.class_names == ("poodle", "pug")
    for task, first in ((0, labels), (1, np.arange(200) % 2)):
        found = by_split(suite, task)
        assert {name: len(rows) for name, rows in found.items()} == {
            "train": 50, "validation": 30, "test": 60,
        }  # fmt: skip
        assert len(set().union(*found.values())) == 140
        for name, examples in suite.tasks[task].splits().items():
            assert examples.targets.tolist() == first[found[name]].tolist()
    picked = chosen(**where, tasks="dogs", train_per_task=10)
    assert picked.task_names == ("dogs",)
    assert len(picked.tasks[0].test) == 190


def test_colour_comes_in_either_order_and_images_are_resized(tmp_path: Path) -> None:
    last = np.random.default_rng(0).integers(0, 256, (40, 8, 12, 3), np.uint8)
    labels = np.arange(40) % 2
    for written in (last, last.transpose(0, 3, 1, 2)):
        where = save(tmp_path, images=written, labels=labels)
        suite = arrays(**where)
        assert suite.input_shape == (3, 8, 12)
        everything = torch.cat([stored(e) for e in suite.tasks[0].splits().values()])
        as_stored = {image.tobytes() for image in last.transpose(0, 3, 1, 2)}
        assert {image.numpy().tobytes() for image in everything} == as_stored
    small = arrays(**where, size=4)
    assert small.input_shape == (3, 4, 4)
    assert stored(small.tasks[0].train).dtype == torch.uint8
    ours = stored(suite.tasks[0].train).float().mean((1, 2, 3))
    assert torch.allclose(stored(small.tasks[0].train).float().mean((1, 2, 3)), ours, atol=12)


def test_splits_of_the_file_are_kept_and_thinned_out(tmp_path: Path) -> None:
    where = save(
        tmp_path,
        train_images=numbered(60),
        train_kind=np.arange(60) % 3,
        train_hue=np.arange(60) % 2,
        test_images=numbered(30, first=60),
        test_kind=np.arange(30) % 3,
        test_hue=np.arange(30) % 2,
        hue_names=np.array(["dark", "light"]),
    )
    suite = arrays(**where, tasks=["kind", "hue"])
    assert suite.common_input
    assert suite.tasks[1].objective.class_names == ("dark", "light")  # type: ignore[attr-defined]
    assert by_split(suite) == {"train": list(range(60)), "test": list(range(60, 90))}
    thin = arrays(**where, tasks=["kind", "hue"], train_per_task=12, validation_per_task=0.3)
    found = by_split(thin)
    assert {name: len(rows) for name, rows in found.items()} == {
        "train": 12, "validation": 18, "test": 30,
    }  # fmt: skip
    assert max(found["train"] + found["validation"]) < 60
    assert not set(found["train"]) & set(found["validation"])
    assert thin.tasks[0].train.targets.bincount().tolist() == [4, 4, 4]


def test_a_column_of_split_names(tmp_path: Path) -> None:
    names = np.array(["train", "val", "test", "train"] * 10)
    where = save(tmp_path, a_images=numbered(40), a_labels=np.arange(40) // 20, a_split=names)
    found = by_split(arrays(**where))
    assert found["validation"] == list(range(1, 40, 4))
    assert found["test"] == list(range(2, 40, 4))
    where = save(
        tmp_path, a_images=numbered(4), a_labels=[0, 1, 0, 1], a_split=["train", "tets"] * 2
    )
    with pytest.raises(MtlError, match="unknown split 'tets'; did you mean 'test'"):
        arrays(**where)


def test_groups_become_tasks_with_labels_of_their_own(tmp_path: Path) -> None:
    group = np.repeat([0, 1], 40)
    label = np.concatenate([np.arange(40) % 2, 5 + np.arange(40) % 4])
    bits = np.random.default_rng(1).integers(0, 2, (80, 35), np.uint8)
    where = save(
        tmp_path,
        images_packed=np.packbits(bits, axis=1),
        image_shape=np.array([5, 7]),
        script=group,
        script_names=np.array(["Greek", "Latin"]),
        letter=label,
    )
    options = {**where, "group_by": "script", "labels": "letter", "train_per_task": 0.5}
    suite = arrays(**options, validation_per_task=0.2, test_per_task=0.3)
    assert suite.task_names == ("Greek", "Latin")
    assert [task.objective.num_outputs for task in suite.tasks] == [2, 4]
    counts = [len(examples) for examples in suite.tasks[1].splits().values()]
    assert counts == [20, 8, 12]
    assert suite.tasks[1].validation is not None
    assert suite.tasks[1].validation.targets.bincount().tolist() == [2, 2, 2, 2]
    as_stored = {row.tobytes() for row in bits[40:] * np.uint8(255)}
    for examples in suite.tasks[1].splits().values():
        assert {image.numpy().tobytes() for image in stored(examples)} <= as_stored
    options = {**options, "validation_per_task": 0.2, "test_per_task": 0.3}
    only = arrays(**options, tasks=["Latin"])
    assert torch.equal(stored(only.tasks[0].train), stored(suite.tasks[1].train))
    with pytest.raises(MtlError, match="did you mean 'Greek'"):
        arrays(**options, tasks=["Grek"])


def test_tasks_along_an_axis_with_numbers_as_targets(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    contents = {
        "train_X": random.normal(size=(3, 8, 4)),
        "noisy_train_Y": random.normal(size=(3, 8)),
        "test_X": random.normal(size=(3, 5, 4)),
        "noisy_test_Y": random.normal(size=(3, 5)),
    }
    where = save(tmp_path, **contents)
    suite = arrays(**where, inputs="{split}_X", labels="noisy_{split}_Y", task_axis=True)
    assert suite.task_names == ("0", "1", "2")
    assert suite.input_shape == (4,)
    task = suite.tasks[2]
    assert isinstance(task.objective, Regression)
    assert torch.equal(stored(task.test), torch.from_numpy(contents["test_X"][2]).float())
    assert torch.equal(
        task.test.targets[:, 0], torch.from_numpy(contents["noisy_test_Y"][2]).float()
    )


def test_kinds_of_arrays_are_said_and_can_be_given(tmp_path: Path) -> None:
    where = save(
        tmp_path,
        images=numbered(120),
        stars=(np.arange(120) % 5).astype(float),
        shoe=30 + np.arange(120) % 15 * 2,
        column=(np.arange(120) % 2)[:, None],
        age=np.arange(120) * 37 % 119,
    )
    suite = chosen(**where, tasks="stars,shoe,column,age")
    stars, shoe, column, age = (task.objective for task in suite.tasks)
    assert isinstance(stars, Regression)
    assert isinstance(age, Regression)
    assert shoe == Classification(15, tuple(str(30 + 2 * n) for n in range(15)))
    assert column == Classification(2, ("0", "1"))
    told = "\n".join(suite.notes)
    assert (
        "5 different whole numbers, stored as floats: taken as numbers; suite.kinds.stars" in told
    )
    assert "15 different whole numbers: taken as classes; suite.kinds.shoe=numbers" in told
    assert "119 different whole numbers in 120 rows: taken as numbers; suite.kinds" in told
    kinds = {"stars": "class", "shoe": "number", "column": "binary"}
    given = chosen(**where, tasks="stars,shoe,column", kinds=kinds)
    assert given.record["kinds"] == {"stars": "classes", "shoe": "numbers", "column": "binary"}
    assert given.tasks[0].objective == Classification(5, ("0", "1", "2", "3", "4"))
    with pytest.raises(MtlError, match="did you mean 'stars'"):
        chosen(**where, tasks="stars", kinds={"star": "classes"})
