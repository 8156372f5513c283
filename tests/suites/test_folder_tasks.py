"""Folders that are classes or tasks are told apart, and a user can say which they are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mtl_suites.folders import folders
from PIL import Image

from mtl_framework.data.tasks import Suite
from mtl_framework.support.errors import MtlError


def fill(root: Path, places: dict[str, int]) -> None:
    """So many pictures in each of some folders, all of them different."""
    for number, (place, count) in enumerate(places.items()):
        (root / place).mkdir(parents=True, exist_ok=True)
        for n in range(count):
            pixels = np.full((6, 6, 3), number, np.uint8)
            pixels[0, 0] = n
            Image.fromarray(pixels).save(root / place / f"{n}.png")


def counts(suite: Suite) -> dict[str, dict[str, int]]:
    """Examples of every class, by task."""
    found: dict[str, dict[str, int]] = {}
    for task in suite.tasks:
        names = task.objective.class_names  # type: ignore[attr-defined]
        labels = [int(label) for x in task.splits().values() for label in x.targets]
        found[task.name] = {name: labels.count(n) for n, name in enumerate(names)}
    return found


def read(root: Path, **options: Any) -> Suite:
    return folders(path=root.name, data_root=str(root.parent), **options)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    deeper=st.dictionaries(
        st.sampled_from(["cat/a", "cat/b/c", "dog/more", "dog/train"]), st.integers(1, 12)
    ),
    empty=st.booleans(),
)
def test_folders_with_pictures_are_classes_whatever_lies_below(
    tmp_path_factory: pytest.TempPathFactory, deeper: dict[str, int], empty: bool
) -> None:
    root = tmp_path_factory.mktemp("d") / "pets"
    fill(root, {"cat": 5, "dog": 6, **deeper})
    if empty:
        (root / "eel").mkdir()
    suite = read(root)
    below = {
        name: sum(n for p, n in deeper.items() if p.startswith(name)) for name in ("cat", "dog")
    }
    assert counts(suite) == {"pets": {"cat": 5 + below["cat"], "dog": 6 + below["dog"]}}
    said = " ".join(suite.notes)
    assert ("pictures in folders below a class are its, as in " in said) == bool(deeper)
    assert ("left out classes without an image, eel: 1" in said) == empty


def test_the_user_says_what_folders_are(tmp_path: Path) -> None:
    root = tmp_path / "pets"
    fill(root, {"cat/in": 4, "cat/out": 4, "dog/in": 4, "dog/out": 4})
    suite = read(root)
    assert counts(suite) == {t: {"in": 4, "out": 4} for t in ("cat", "dog")}
    assert "every folder is a task, and those in it are classes: cat, dog; suite.layout=task" in (
        " ".join(suite.notes)
    )
    assert counts(read(root, layout="task")) == {"pets": {"cat": 8, "dog": 8}}
    fill(root, {"cat": 4, "dog": 4})
    assert counts(read(root)) == {"pets": {"cat": 12, "dog": 12}}
    tasks = read(root, layout="tasks")
    assert counts(tasks) == {t: {"in": 4, "out": 4} for t in ("cat", "dog")}
    named = "(0.png, 1.png, 2.png and 1 more)"
    assert f"left out pictures in cat beside the folders of classes {named}: 4" in tasks.notes
    assert read(root, tasks=["cat"]).task_names == ("cat",)


def test_a_few_pictures_beside_many_folders_are_nothing_to_guess(tmp_path: Path) -> None:
    root = tmp_path / "d"
    fill(root, {"cat": 1, "cat/in": 15, "cat/out": 15, "dog": 1, "dog/in": 15, "dog/out": 15})
    with pytest.raises(MtlError, match=r"'cat' hold 2 pictures themselves and 60 in .* 'cat/in'"):
        read(root)
    assert read(root, layout="tasks").task_names == ("cat", "dog")
    assert read(root, layout="task").task_names == ("d",)


def test_splits_in_every_task_are_no_question(tmp_path: Path) -> None:
    root = tmp_path / "d"
    fill(root, {f"{t}/{s}/{c}": 3 for t in "xy" for s in ("train", "test") for c in "ab"})
    assert "every folder is a task" not in " ".join(read(root).notes)
    fill(tmp_path / "e", {f"fold{n}/{c}": 4 for n in range(3) for c in "ab"})
    assert "fold0, fold1, fold2 seem to be parts of a cross-validation" in (
        " ".join(read(tmp_path / "e").notes)
    )


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (
            dict.fromkeys(("trainA", "trainB", "testA", "testB"), 3),
            "testA, testB, trainA, trainB hold pictures of two domains, .* call them train/A",
        ),
        (
            {"train/a": 3, "train/b": 3, "test": 0},
            "d/test: holds no image in a folder of a class: remove it, and examples of this split",
        ),
        (
            {f"{p}{s}/{c}": 3 for p in ("", "d/") for s in ("train", "test") for c in "ab"},
            "move it elsewhere, or read it alone with suite.path=.*d/d",
        ),
        (
            {"train/Cat": 3, "train/dog": 3, "test/cat": 3, "test/dog": 3},
            "'Cat' is not in test .*, which has 'cat', and here it is 'Cat': give them one name",
        ),
        (
            {"train/cafe\u0301": 3, "train/dog": 3, "test/caf\xe9": 3, "test/dog": 3},
            r"which has 'caf\\xe9', and here it is 'cafe\\u0301': give them one name",
        ),
    ],
)
def test_layouts_that_cannot_be_learned_have_remedies(
    tmp_path: Path, places: dict[str, int], message: str
) -> None:
    fill(tmp_path / "d", places)
    with pytest.raises(MtlError, match=message):
        read(tmp_path / "d")
