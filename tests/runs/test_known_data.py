"""A run knows its data: it predicts without them, and notices when they have changed."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mtl_framework.cli import main
from mtl_framework.data.objectives import Binary, Classification, LanguageModel, Regression
from mtl_framework.data.tasks import Examples, Suite, Task
from mtl_framework.data.transforms import ImageTransform
from mtl_framework.runs.known_data import StandIn, check_known, describe
from mtl_framework.runs.load import load_run
from mtl_framework.runs.recorded_splits import with_recorded_splits
from mtl_framework.support.errors import MtlError

SPLITS = ("train", "validation", "test")


def pets(
    rows: dict[str, list[int]] | None = None,
    names: tuple[str, ...] = ("cat", "dog"),
    relabelled: int | None = None,
) -> Suite:
    """Two tasks about the same pictures; example n is a picture of brightness n."""
    rows = rows or {"train": [1, 2, 3, 4], "validation": [5, 6], "test": [7, 8, 9]}
    splits = {}
    for split, members in rows.items():
        numbers = torch.tensor(members)
        inputs = numbers.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 4, 4).contiguous()
        labels = torch.tensor([n % 2 ^ (n == relabelled) for n in members])
        known = numbers % 3 != 0
        files = [f"{n}.png" for n in members]
        splits[split] = (
            Examples(inputs, labels, names=files),
            Examples(inputs, numbers % 2, known, names=files),
        )
    kind, wild = ({s: pair[n] for s, pair in splits.items()} for n in (0, 1))
    return Suite(
        "pets",
        [
            Task("kind", Classification(2, names), kind["train"], kind["test"], kind["validation"]),
            Task(
                "wild",
                Binary(),
                wild["train"],
                wild["test"],
                wild["validation"],
                image_transform=ImageTransform([], []),  # none, as image files have without options
            ),
        ],
        common_input=True,
    )


def repainted() -> Suite:
    """The same names and labels, but the picture of 7.png is another one."""
    suite = pets()
    inputs = torch.as_tensor(suite.tasks[0].test.inputs).clone()
    inputs[0, 0, 0, 0] = 200
    tasks = [replace(task, test=replace(task.test, inputs=inputs)) for task in suite.tasks]
    return Suite("pets", tasks, True)


def with_contents(suite: Suite, seventh: str) -> Suite:
    """What the pictures hold said by the suite, whatever their pixels are."""
    contents = [seventh, "eighth", "ninth"]
    tasks = [replace(task, test=replace(task.test, contents=contents)) for task in suite.tasks]
    return Suite("pets", tasks, True)


def others() -> Suite:
    """Tasks with backbones of their own: numbers from features, words from streams."""
    features = Examples(torch.randn(6, 5), torch.randn(6, 2))
    words = torch.arange(24).view(8, 3) % 7
    text = Examples(words, words, streams=4)
    return Suite(
        "others",
        [
            Task("numbers", Regression(2), features, features, backbone={"name": "mlp"}),
            Task("words", LanguageModel(7), text, text, backbone={"name": "lstm"}),
        ],
    )


@pytest.mark.parametrize("make", [pets, others])
def test_a_stand_in_is_the_same_suite_without_data(make: Any) -> None:
    suite = make()
    known = describe(suite)
    blank = StandIn.of(json.loads(json.dumps(known))).suite
    assert blank.task_names == suite.task_names
    assert blank.input_shapes == suite.input_shapes
    assert blank.common_input == suite.common_input
    assert blank.common_backbone == suite.common_backbone
    for mine, theirs in zip(blank.tasks, suite.tasks, strict=True):
        assert mine.objective == theirs.objective
        assert mine.backbone == theirs.backbone
        assert mine.image_transform == theirs.image_transform
        for split, examples in theirs.splits().items():
            copy = mine.splits()[split]
            assert len(copy) == len(examples)
            assert copy.streams == examples.streams
            assert copy.targets.shape == examples.targets.shape
            assert copy.inputs.dtype == examples.inputs.dtype
            assert not bool(torch.as_tensor(copy.inputs).any())
    check_known(known, make() if make is pets else suite)


def test_streams_are_known_by_their_older_name() -> None:
    known = json.loads(json.dumps(describe(others())))
    for task in known["tasks"]:
        for split in task["splits"].values():
            split["lanes"] = split.pop("streams")
    assert StandIn.of(known).suite.tasks[1].train.streams == 4


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (pets(names=("cat", "zebra")), "classes of task 'kind' were cat, dog and are cat, zebra"),
        (repainted(), r"test split of kind, wild: 1 holds something else .* name \(7\.png\)"),
        (pets(relabelled=8), r"test split of kind, wild: 1 has another label \(8\.png\)"),
        (
            pets({"train": [1, 2, 3, 4], "validation": [5, 6], "test": [7, 8]}),
            r"1 example is gone \(9\.png\)",
        ),
        (
            pets({"train": [1, 2, 3, 4], "validation": [5, 6], "test": [7, 8, 9, 10, 11]}),
            r"2 are new \(10\.png, 11\.png\)",
        ),
        (
            Suite("pets", [replace(t, name=f"{t.name}!") for t in pets().tasks], True),
            "the tasks were kind, wild and are kind!, wild!",
        ),
    ],
)
def test_what_differs_is_named(changed: Suite, message: str) -> None:
    known = describe(pets())
    with pytest.raises(MtlError, match=message):
        check_known(known, changed)


def test_what_a_suite_says_of_contents_counts_and_not_the_pixels() -> None:
    known = describe(with_contents(pets(), "a"))
    check_known(known, with_contents(repainted(), "a"))
    with pytest.raises(MtlError, match=r"holds something else under the same name \(7\.png\)"):
        check_known(known, with_contents(pets(), "b"))
    for split in known["examples"][0]["splits"].values():  # as runs from before have it
        del split["contents"]
    check_known(known, with_contents(pets(), "b"))


def test_order_does_not_matter_and_neither_do_splits_that_are_not_asked_for() -> None:
    known = describe(pets())
    moved = pets({"train": [4, 1, 2], "validation": [6, 5], "test": [9, 7, 8]})
    check_known(known, moved, ("validation", "test"))
    with pytest.raises(MtlError, match=r"train split .* gone \(3\.png\)"):
        check_known(known, moved)


def test_examples_that_lie_in_other_splits_now_are_put_together_again() -> None:
    suite = pets()
    known = describe(suite)
    shuffled = pets({"train": [9, 5, 1], "validation": [7, 2, 3, 10], "test": [8, 6, 4]})
    again = with_recorded_splits(shuffled, known["examples"], ("validation", "test"))
    check_known(known, again, ("validation", "test"))
    said = []
    for task in shuffled.tasks:
        train = replace(task.train, contents=["9", "5", "1"])
        test = replace(task.test, contents=["8", "6", "4"])
        assert task.validation is not None
        validation = replace(task.validation, contents=["7", "2", "3", "10"])
        said.append(replace(task, train=train, test=test, validation=validation))
    moved = with_recorded_splits(Suite("pets", said, True), known["examples"], ("test",))
    assert moved.tasks[0].test.contents == ["7", "8", "9"]
    for mine, theirs in zip(again.tasks, suite.tasks, strict=True):
        assert torch.equal(torch.as_tensor(mine.test.inputs), torch.as_tensor(theirs.test.inputs))
        assert torch.equal(mine.test.targets, theirs.test.targets)
        for a, b in ((mine.test.labelled, theirs.test.labelled),):
            assert (a is None and b is None) or torch.equal(a, b)  # type: ignore[arg-type]
    assert again.tasks[0].test.inputs is again.tasks[1].test.inputs


def test_names_of_classes_stand_for_objectives_of_a_plugins_own() -> None:
    class Own(Binary):
        pass

    suite = pets()
    own = replace(suite.tasks[1], objective=Own())
    known = describe(Suite("pets", [suite.tasks[0], own], True))
    assert known["tasks"] is None
    assert known["classes"] == {"kind": ["cat", "dog"], "wild": []}
    assert known["examples"] == describe(suite)["examples"]


@pytest.mark.parametrize(
    "broken", [{}, {"format": 9}, {"format": 1, "common_input": 0}, {"tasks": 3}]
)
def test_what_describes_no_tasks_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(MtlError):
        StandIn.of(broken)


def mtl(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    return int(end.value.code or 0)


def test_a_run_stands_on_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, (split, name) in enumerate((s, n) for s in ("train", "test") for n in ("a", "b")):
        for n in range(4):
            path = tmp_path / "set" / split / name / f"{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((16, 16, 3), 40 * number + n, np.uint8)).save(path)
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save("new.png")
    wanted = "suite.validation_per_task=0", "suite.ground=navy", "suite.size=16"
    command = ["run", "--suite", "folders", "--backbone", "lenet", "--strategy", "full_sharing"]
    sets = [part for text in ("suite.path=set", *wanted) for part in ("--set", text)]
    assert mtl(*command, "--iterations", 2, "--output", "run", *sets) == 0
    capsys.readouterr()
    assert mtl("evaluate", "run", "--json") == 0
    first = capsys.readouterr().out
    assert mtl("predict", "run", "new.png", "--task", "set", "--json") == 0
    said = capsys.readouterr().out
    shutil.move("set", "elsewhere")
    (tmp_path / "data").mkdir()
    shutil.move("elsewhere", "data/set")
    assert mtl("predict", "run", "new.png", "--task", "set", "--json") == 0
    assert capsys.readouterr().out == said
    assert load_run(tmp_path / "run").preprocessings[0].pictures.ground == "navy"
    assert mtl("export", "run", "--task", "set") == 0
    capsys.readouterr()
    assert mtl("evaluate", "run", "--json") == 2
    assert "there is no folder set" in capsys.readouterr().err
    assert mtl("evaluate", "run", "--json", "--data-root", "data") == 0
    assert capsys.readouterr().out == first
    last = tmp_path / "data" / "set" / "test" / "b" / "3.png"
    before = last.read_bytes()
    Image.new("RGB", (16, 16), "red").save(last)
    assert mtl("evaluate", "run", "--data-root", "data") == 2
    assert "something else under the same name (test/b/3.png); put" in capsys.readouterr().err
    last.write_bytes(before)
    assert mtl("evaluate", "run", "--json", "--data-root", "data") == 0
    assert capsys.readouterr().out == first
    last.unlink()
    assert mtl("evaluate", "run", "--data-root", "data") == 2
    assert "test split of set: 1 example is gone (test/b/3.png); put" in capsys.readouterr().err
    (tmp_path / "run" / "tasks.json").write_text("{}")
    assert mtl("predict", "run", "new.png", "--task", "set") == 2
    assert "tasks.json is damaged" in capsys.readouterr().err


def write_rows(folder: Path, rows: list[list[str]]) -> None:
    (folder / "t.csv").write_text("\n".join(",".join(row) for row in rows) + "\n")


@pytest.mark.parametrize("kind", ["plain", "transforms"])
def test_the_recorded_examples_are_measured_whatever_became_of_the_table(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "img").mkdir()
    for n in range(36):
        Image.fromarray(np.full((18, 18, 3), 7 * n, np.uint8)).save(f"img/{n}.png")
    header = ["image", "kind", "weight"]
    rows = [[f"img/{n}.png", "ab"[n % 2], f"{n * n / 8:.3f}"] for n in range(32)]
    write_rows(tmp_path, [header, *rows])
    config = {"suite": {"name": "table", "path": "t.csv", "size": 16}, "iterations": 2}
    if kind == "transforms":  # which treat images of training otherwise, and not by chance
        crop = {"name": "CenterCrop", "size": 16}
        lists = {"train": [crop, {"name": "RandomInvert", "p": 1.0}], "evaluation": [crop]}
        config["suite"] = {"name": "table", "path": "t.csv", "transforms": lists}
    Path("c.json").write_text(
        json.dumps({**config, "strategy": "full_sharing", "backbone": {"name": "lenet"}})
    )
    assert mtl("run", "--config", "c.json", "--output", "run") == 0
    capsys.readouterr()

    def measured() -> tuple[int, str, str]:
        status = mtl("evaluate", "run", "--json")
        return status, *capsys.readouterr()

    first = measured()
    assert first[0] == 0
    more = [[f"img/{n}.png", "ab"[n % 2], "900"] for n in range(32, 36)]
    for same in (
        [header, *rows[::-1]],
        [header, *more, *rows],
        [["weight", "kind", "image"], *[row[::-1] for row in rows]],
        [[*header, "new"], *[[*row, "xy"[n % 3 // 2]] for n, row in enumerate(rows)]],
    ):
        write_rows(tmp_path, same)
        assert measured() == first
    assert mtl("run", "--resume", "--output", "run", "--iterations", 3) == 2
    assert "the tasks were kind, weight and are kind, weight, new; a run" in capsys.readouterr().err
    write_rows(tmp_path, [header, *rows[::-1]])
    assert mtl("run", "--resume", "--output", "run", "--iterations", 3) == 2
    assert "train split of kind, weight: " in (said := capsys.readouterr().err)
    assert "are in another split now (img/" in said
    names = json.loads(Path("run/tasks.json").read_text())["examples"][0]["splits"]["test"]["names"]
    gone = [row for row in rows if row[0] != names[0]]
    other = [[row[0], row[1], "1.5" if row[0] == names[1] else row[2]] for row in rows]
    renamed = [[row[0], {"a": "x"}.get(row[1], row[1]), row[2]] for row in rows]
    for changed, message in (
        (gone, rf"test split .*: 1 example is gone \({names[0]}"),
        (other, rf"test split .*: 1 has another label \({names[1]}\)"),
        (renamed, "were a, b and are b, x"),
    ):
        write_rows(tmp_path, [header, *changed])
        status, _, said = measured()
        assert status == 2
        assert re.search(message, said)
    assert mtl("predict", "run", "img/0.png", "--task", "kind", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["class"] in ("a", "b")
