"""Another suite's test examples that a run was trained on are refused or told."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.command import status

from mtl_framework import MtlError, load_run, load_suite
from mtl_framework.data import Classification, Examples, LazyInputs, Suite, Task
from mtl_framework.runs.known_data import describe
from mtl_framework.runs.seen_in_training import check_unseen, seen_in_training


def table(rows: range, split: int, folder: str = "img") -> str:
    lines = [f"{folder}/{n}.png,{'ab'[n % 2]},{'test' if n >= split else 'train'}" for n in rows]
    return "\n".join(["image,kind,split", *lines]) + "\n"


def test_rows_of_training_are_not_measured_as_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("img").mkdir()
    for n in range(40):
        pixels = np.random.default_rng(n).integers(0, 255, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(f"img/{n}.png")
    Path("t.csv").write_text(table(range(28), 20))
    sets = ["--set", "path=t.csv", "--set", "size=16", "--set", "validation_per_task=0"]
    dotted = [part if part == "--set" else f"suite.{part}" for part in sets]
    trained: list[str | int] = ["--suite", "table", *dotted, "--output", "run", "--iterations", 1]
    assert status("run", "--backbone", "lenet", "--strategy", "full_sharing", *trained) == 0
    other = ["evaluate", "run", "--suite", "table", *sets]
    capsys.readouterr()
    assert status(*other) == 0  # the same file: its own test split
    assert "training split" not in capsys.readouterr().err
    shutil.copytree("img", "copies")
    Path("t.csv").write_text(table(range(5, 40), 16, "copies"))  # 16 to 19 were in training
    assert status(*other) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "test split of kind: 4 of 24 examples were in the run's training split" in said
    assert "e.g. copies/16.png" in said
    assert "--seen=warn" in said
    assert status(*other, "--seen", "warn", "--json") == 0
    out, told = capsys.readouterr()
    assert "4 of 24 examples" in told
    assert out.startswith("{")
    assert status(*other, "--seen", "allow") == 0
    assert "training split" not in capsys.readouterr().err
    Path("t.csv").write_text(table(range(28, 40), 34))
    assert status(*other) == 0  # all new
    run = load_run(tmp_path / "run")
    Path("t.csv").write_text(table(range(4, 28), 10))
    with pytest.raises(MtlError, match=r"10 of 18 examples were in the run's training split"):
        run.evaluate(load_suite("table", path="t.csv", size=16, validation_per_task=0))


def suite(train: Examples, test: Examples, validation: Examples | None = None) -> Suite:
    return Suite("own", [Task("kind", Classification(2), train, test, validation)])


def drawn(seeds: range, *shape: int, **about: object) -> Examples:
    rows = [torch.randn(*shape, generator=torch.Generator().manual_seed(n)) for n in seeds]
    return Examples(torch.stack(rows), torch.arange(len(seeds)) % 2, **about)  # type: ignore[arg-type]


def test_pixels_in_memory_are_known_by_their_digests() -> None:
    known = describe(suite(drawn(range(8), 3, 4, 4), drawn(range(8, 12), 3, 4, 4)))
    (seen,) = seen_in_training(known, suite(drawn(range(2), 3, 4, 4), drawn(range(6, 14), 3, 4, 4)))
    assert (seen.split, len(seen.names), seen.of, seen.refused) == ("test", 2, 8, True)
    with pytest.raises(MtlError, match="2 of 8 examples"):
        check_unseen([seen])
    assert (
        seen_in_training(None, suite(drawn(range(2), 3, 4, 4), drawn(range(6, 9), 3, 4, 4))) == []
    )


def test_validation_and_features_are_told_and_not_refused() -> None:
    known = describe(suite(drawn(range(8), 5), drawn(range(8, 12), 5)))
    now = suite(drawn(range(20, 22), 5), drawn(range(7, 9), 5), drawn(range(3), 5))
    seen = seen_in_training(known, now)
    assert [(s.split, len(s.names), s.refused) for s in seen] == [
        ("validation", 3, False),
        ("test", 1, False),
    ]
    check_unseen(seen)


def test_copies_that_the_run_had_itself_do_not_count() -> None:
    own = suite(drawn(range(8), 3, 4, 4), drawn(range(6, 12), 3, 4, 4))
    assert seen_in_training(describe(own), own) == []


def blank(item: object) -> torch.Tensor:
    return torch.zeros(3, 4, 4, dtype=torch.uint8)


def test_names_alone_are_told_where_nothing_else_is_known() -> None:
    def named(names: list[str]) -> Examples:
        inputs = LazyInputs([Path(f"/pictures/{name}") for name in names], decode=blank)
        return Examples(inputs, torch.arange(len(names)) % 2, names=names)

    known = describe(suite(named(["a", "b", "c"]), named(["d"])))
    (seen,) = seen_in_training(known, suite(named(["x", "y"]), named(["b", "c", "d", "z"])))
    assert (seen.names, seen.surely, seen.refused) == (("b", "c"), False, False)
    assert "have names of its training examples, e.g. b" in str(seen)


def test_sizes_of_files_do_not_stand_for_what_they_hold() -> None:
    texts = {"a": "100 bytes", "b": "100 bytes", "c": "90 bytes"}

    def sized(names: list[str]) -> Examples:
        inputs = LazyInputs([Path(f"/pictures/{name}") for name in names], decode=blank)
        contents = [texts[name] for name in names]
        return Examples(inputs, torch.zeros(len(names)).long(), names=names, contents=contents)

    known = describe(suite(sized(["a", "c"]), sized(["c"])))
    assert seen_in_training(known, suite(sized(["a"]), sized(["b"]))) == []
    (seen,) = seen_in_training(known, suite(sized(["b"]), sized(["a", "b", "c"])))
    assert seen.names == ("a",)
    assert seen.refused


def test_a_damaged_record_is_told() -> None:
    own = suite(drawn(range(2), 3, 4, 4), drawn(range(3, 5), 3, 4, 4))
    with pytest.raises(MtlError, match="damaged"):
        seen_in_training({"examples": [{"tasks": ["kind"], "splits": {"train": {}}}]}, own)
