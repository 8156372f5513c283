"""Tasks from the arrays of an .npz file."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mtl_suites.arrays import arrays
from support.typed import stored

from mtl_framework.cli import main
from mtl_framework.data.tasks import Classification, Regression, Suite
from mtl_framework.support.arguments import check_arguments
from mtl_framework.support.errors import MtlError, ProblemsError

REAL = Path("/work/shared/data")


def chosen(**options: Any) -> Suite:
    """As from a config or the command line, where options are plain values."""
    return arrays(**check_arguments(arrays, options, ("suite",)))


def save(folder: Path, **contents: Any) -> dict[str, Any]:
    np.savez(folder / "file.npz", **contents)
    return {"path": "file.npz", "data_root": str(folder)}


def numbered(count: int, *shape: int, first: int = 0) -> np.ndarray:
    """Images that tell their number in their first two pixels."""
    images = np.zeros((count, *(shape or (5, 6))), np.uint8)
    flat = images.reshape(count, images[0].size if count else 2)
    flat[:, 0], flat[:, 1] = (np.arange(count) + first) % 256, (np.arange(count) + first) // 256
    return images


def numbers(inputs: torch.Tensor) -> list[int]:
    flat = inputs.flatten(1).int()
    return (flat[:, 0] + 256 * flat[:, 1]).tolist()


def by_split(suite: Suite, task: int = 0) -> dict[str, list[int]]:
    return {name: numbers(stored(found)) for name, found in suite.tasks[task].splits().items()}


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


@pytest.mark.parametrize(
    ("contents", "options", "message"),
    [
        ({"a_images": numbered(9), "a_labels": [0, 1, 2] * 2}, {}, "found 6 for 9"),
        ({"a_images": numbered(9), "a_names": ["x"]}, {}, "no array labels of task 'a'"),
        ({"a_images": numbered(8).astype(np.int32), "a_labels": [0, 1] * 4}, {}, "holds int32"),
        ({"a_images": numbered(8, 9, 9, 2), "a_labels": [0, 1] * 4}, {}, "channels=first or last"),
        ({"a_images": numbered(20), "a_labels": [0] * 19 + [1]}, {}, "'1' has 1 example, too few"),
        ({"a_images": numbered(4), "a_labels": [3] * 4}, {}, "at least 2 classes, found only 3"),
        ({"a_images": numbered(0), "a_labels": []}, {}, "there is no example"),
        (
            {"train_images": numbered(4), "train_labels": [0, 1, 2, 2],
             "test_images": numbered(4), "test_labels": [0, 1, 1, 7]},
            {},
            "class '2' is not in test .2 examples, the first is row 2 of train..*'7' is not",
        ),
        ({"train_images": numbered(4), "train_labels": [0, 1, 0, 1]}, {}, "no test split"),
        ({"a_images": numbered(4), "a_labels": [0, 1] * 2}, {"train_per_task": 9}, "9 cannot be"),
        ({"a_images": numbered(4), "a_labels": [0, 1] * 2}, {"test_per_task": 1.5}, "found 1.5"),
        ({"a_images": numbered(8), "a_labels": [0, 1] * 4}, {"train_per_task": 1}, "at least 2"),
        ({"a_features": np.ones((8, 2)), "a_labels": [0, 1] * 4}, {"size": 3}, "is for images"),
        ({"a_images": numbered(8), "a_labels": [0, 2] * 4}, {"kind": "binary"}, "found 0, 2"),
        ({"a_images": numbered(8), "a_labels": ["x", "y"] * 4}, {"kind": "numbers"}, "numbers are"),
        ({"a_images": numbered(4), "b": np.ones(1)}, {"task_axis": True, "labels": "b"}, "axis 0"),
        ({"a": np.array([{}], dtype=object)}, {"tasks": ["b"], "inputs": "a"}, "'a' holds objects"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(
    tmp_path: Path, contents: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    where = save(tmp_path, **contents)
    if options.get("task_axis"):
        options = {**options, "inputs": "a_images"}
    with pytest.raises(MtlError, match=message) as caught:
        arrays(**where, **options)
    assert "\n" not in str(caught.value)


def test_what_is_wrong_in_several_tasks_is_told_at_once(tmp_path: Path) -> None:
    contents = {
        "a_images": numbered(20), "a_labels": [0] * 19 + [1],
        "b_images": numbered(4), "b_labels": [3] * 4,
        "c_images": numbered(20), "c_labels": [0, 1] * 10,
        "d_images": numbered(8).astype(np.int32), "d_labels": [0, 1] * 4,
    }  # fmt: skip
    with pytest.raises(ProblemsError) as caught:
        arrays(**save(tmp_path, **contents))
    hint, *problems = caught.value.problems
    assert "skip_bad=true" in hint
    assert len(problems) >= 3
    named = {problem.split("task ")[1][:3] for problem in problems}
    assert named == {"'a'", "'b'", "'d'"}


def test_what_is_wrong_can_be_left_out_and_is_counted(tmp_path: Path) -> None:
    contents = {
        "a_images": numbered(24), "a_labels": [0, 1] * 11 + [2, 5],
        "b_images": numbered(4), "b_labels": [3] * 4,
        "c_images": numbered(20), "c_labels": [0, 1] * 10,
    }  # fmt: skip
    where = save(tmp_path, **contents)
    with pytest.raises(ProblemsError, match="skip_bad=true"):
        arrays(**where)
    suite = arrays(**where, skip_bad=True)
    assert suite.task_names == ("a", "c")
    assert [task.objective.num_outputs for task in suite.tasks] == [2, 2]
    assert sum(len(part) for part in suite.tasks[0].splits().values()) == 22
    assert suite.notes[-1] == "skip_bad left out 3 faults, see data.json"
    left_out = suite.record["left_out"]
    assert "(the first is row 22)" in left_out[0]
    assert "class '2' has 1 example," in left_out[0]
    assert "class '5' has 1 example," in left_out[1]
    assert not any(str(tmp_path) in text for text in left_out)
    faulty = save(
        tmp_path,
        a_images=numbered(20), a_labels=[0, 1] * 9,
        b_images=numbered(20), b_labels=[0, 1] * 10, b_split=["train"] * 12 + ["tets"] * 8,
        c_features=np.array([[1.0], [np.nan]] * 10), c_labels=[0, 1] * 10,
        d_images=numbered(20), d_labels=[0, 1] * 10,
    )  # fmt: skip
    with pytest.raises(ProblemsError) as caught:
        arrays(**faulty)
    told = "\n".join(caught.value.problems)
    for part in (
        "a_labels should have one entry",
        "b_split, row 12: unknown split 'tets'; did you",
    ):
        assert part in told
    assert "task 'c'" in told
    assert "not finite" in told
    assert arrays(**faulty, skip_bad=True).task_names == ("d",)
    only = save(tmp_path, b_images=numbered(4), b_labels=[3] * 4)
    with pytest.raises(MtlError, match="left out every task"):
        arrays(**only, skip_bad=True)


# -- what labels are, and which are missing ------------------------------------------------------


def test_labels_that_are_missing_enter_nothing_and_are_counted(tmp_path: Path) -> None:
    prices = np.arange(40) / 4
    prices[::8] = np.nan
    kinds = np.array(["cat", "dog", "N/A", "dog", "cat"] * 8)
    ranks = np.arange(40) % 3
    ranks[5:10] = -1
    where = save(tmp_path, images=numbered(40), price=prices, kind=kinds, rank=ranks)
    options: dict[str, Any] = {"tasks": "price,kind,rank", "missing": {"rank": -1}}
    suite = chosen(**where, **options)
    price, kind, rank = suite.tasks
    assert isinstance(price.objective, Regression)
    assert kind.objective == Classification(2, ("cat", "dog"))
    assert rank.objective == Classification(3, ("0", "1", "2"))
    told = "\n".join(suite.notes)
    for line in (
        "price: numbers, 0.25 to 9.75, 35 labelled, 5 missing",
        "kind: classes, 2 classes (cat, dog), 32 labelled, 8 missing",
        "rank: classes, 3 classes (0, 1, 2), 35 labelled, 5 missing",
        "'kind': 'N/A' (8 times) taken as no label; suite.not_missing.kind=N/A takes",
        "'rank': '-1' (5 times) taken as no label",
    ):
        assert line in told
    assert suite.record["kinds"] == {"price": "numbers", "kind": "classes", "rank": "classes"}
    for split, rows in by_split(suite).items():
        for task, values in ((price, prices), (kind, kinds), (rank, ranks)):
            examples = task.splits()[split]
            known = [n for n in rows if values[n] not in ("N/A", -1) and values[n] == values[n]]
            labelled = examples.labelled
            mask = [True] * len(rows) if labelled is None else labelled.tolist()
            assert [n for n, has in zip(rows, mask, strict=True) if has] == known
    real = chosen(**where, **options, not_missing="N/A")
    assert real.tasks[1].objective == Classification(3, ("N/A", "cat", "dog"))
    # tasks with inputs of their own do without such rows
    own = save(tmp_path, a_images=numbered(40), a_labels=kinds)
    rows = [n for part in by_split(arrays(**own)).values() for n in part]
    assert sorted(rows) == [n for n in range(40) if n % 5 != 2]
    with pytest.raises(MtlError, match=r"suite.missing: 'b'.*\(known: a\)"):
        chosen(**own, missing={"b": -1})


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


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("exploded"),))


def test_damaged_and_foreign_files_are_refused_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pickled.npz").write_bytes(pickle.dumps(Bomb()))
    np.save("single.npy", numbered(3))
    where = save(
        tmp_path, a_images=np.arange(64, dtype=np.uint8).reshape(4, 4, 4), a_labels=[0] * 4
    )
    whole = bytearray(Path("file.npz").read_bytes())
    Path("cut.npz").write_bytes(whole[: len(whole) // 2])
    whole[whole.index(bytes(range(64)))] ^= 0xFF
    Path("flipped.npz").write_bytes(whole)
    for name in ("pickled.npz", "single.npy", "cut.npz", "flipped.npz", "absent.npz", "."):
        with pytest.raises(MtlError, match=name.replace(".", r"\.")) as caught:
            arrays(path=name, data_root=where["data_root"])
        assert "\n" not in str(caught.value)
    assert not Path("exploded").exists()


# -- the files of /work/shared/data ----------------------------------------------------------------


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no data in {REAL}")
@pytest.mark.parametrize(
    ("options", "tasks", "shape", "examples"),
    [
        (
            {"path": "dkl_mnist_variant.npz", "tasks": "digits,letters,kuzushiji",
             "train_per_task": 500, "test_per_task": 9500},
            3, (1, 28, 28), {"train": 500, "test": 9500},
        ),
        (
            {"path": "omniglot_small.npz", "group_by": "alphabet", "labels": "character",
             "size": 28, "train_per_task": 0.8, "test_per_task": 0.2},
            8, (1, 28, 28), {"train": 16 * 24, "test": 4 * 24},
        ),
        (
            {"path": "tiny_imagenet32_coarse20.npz", "group_by": "coarse", "labels": "fine"},
            20, (3, 32, 32), {"train": 400, "test": 125},
        ),
        ({"path": "cifar10_jpeg_subset.npz"}, 1, (3, 32, 32), {"train": 2500, "test": 1000}),
        (
            {"path": "muir_synthetic.npz", "inputs": "{split}_X", "labels": "{split}_Y",
             "task_axis": True},
            30, (20,), {"train": 15, "test": 50},
        ),
    ],
)  # fmt: skip
def test_real_files(
    options: dict[str, Any], tasks: int, shape: tuple[int, ...], examples: dict[str, int]
) -> None:
    suite = chosen(data_root=str(REAL), **options)
    assert len(suite) == tasks
    assert suite.input_shape == shape
    assert {name: len(e) for name, e in suite.tasks[0].splits().items()} == examples


# -- where the data lies ---------------------------------------------------------------------------


def test_data_may_have_moved_when_a_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder, a_images=numbered(8, 28, 28), a_labels=[0, 1] * 4)
    command = ["run", "--strategy", "full_sharing", "--backbone", "test_resnet", "--output"]
    command += [str(tmp_path / "run"), "--set", "device=cpu", "--data-root"]
    suite = ["--suite", "arrays", "--set", "suite.path=file.npz"]
    assert cli([*command, str(tmp_path / "here"), *suite, "--iterations", "2"]) == 0
    (tmp_path / "here" / "file.npz").unlink()
    resume = ["run", "--resume", "--output", str(tmp_path / "run"), "--iterations", "4"]
    assert cli(resume) == 2
    assert "there is no file" in capsys.readouterr().err
    assert cli([*resume, "--data-root", str(tmp_path / "there")]) == 0
    assert (
        cli([*resume, "--data-root", str(tmp_path / "there"), "--set", "suite.split_seed=3"]) == 2
    )
    assert "suite.split_seed is 0" in capsys.readouterr().err
    (tmp_path / "there").rename(tmp_path / "elsewhere")
    evaluate = ["evaluate", str(tmp_path / "run")]
    assert cli(evaluate) == 2
    assert "there is no file" in capsys.readouterr().err
    assert cli([*evaluate, "--data-root", str(tmp_path / "elsewhere")]) == 0
    assert "mean" in capsys.readouterr().out


def test_a_suite_without_files_refuses_data_root(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["run", "--suite", "digits", "--data-root", "x"]) == 2
    assert "unknown key 'suite.data_root'" in capsys.readouterr().err


def cli(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert isinstance(stopped.value.code, int)
    return stopped.value.code
