"""``mtl check`` looks at data without training, and says by its status whether they can be used."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mtl_framework.cli import main

CHECK = ("check", "--suite", "folders", "--set", "suite.path=pets", "--set", "suite.size=8")


def mtl(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    return int(end.value.code or 0)


@pytest.fixture
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    number = 0
    for split, count in (("train", 6), ("val", 2), ("test", 3)):
        for name in ("cat", "dog"):
            for n in range(count):
                number += 1
                path = tmp_path / "pets" / split / name / f"{n}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = np.full((16, 12 if n else 14, 3), 7 * number, np.uint8)
                Image.fromarray(pixels).convert("L" if n == 1 else "RGB").save(path)
    return tmp_path


def test_data_are_shown_with_a_contact_sheet(
    pets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mtl(*CHECK) == 0
    shown = capsys.readouterr().out
    assert re.search(
        r"pets +2 classes +12 +4 +6 +0 +3x8x8 uint8 +(cat|dog) 11, (cat|dog) 11", shown
    )
    assert "image files: 16 RGB, 6 L; width and height 12x16 to 14x16, 2 different ones" in shown
    assert "is one task, 'pets'" in shown
    with Image.open(pets / "check-folders" / "pets.png") as sheet:
        assert min(sheet.size) > 100
    assert sorted(path.name for path in pets.iterdir()) == ["check-folders", "pets"]
    assert mtl(*CHECK) == 0
    assert (pets / "check-folders-2" / "pets.png").is_file()


def test_what_is_refused_is_said_whole_with_status_one(
    pets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = pets / "pets" / "train" / "cat" / "0.png"
    (pets / "pets" / "test" / "dog" / "9.png").write_bytes((broken.parent / "1.png").read_bytes())
    broken.write_text("no image")
    assert mtl(*CHECK, "--no-sheets") == 1
    told = capsys.readouterr().err
    assert "0.png: cannot be read as an image" in told
    assert "test/dog/9.png: is the same picture in test as" in told
    assert mtl("check", "--suite", "foldres") == 2


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (("suite.validation_per_task=0", "training.report=best"), "training.report=best needs"),
        (("batch_size=2000000000",), "batch_size 2000000000 is too large"),
    ],
)
def test_what_a_run_would_refuse_of_data_and_config_together_is_refused(
    pets: Path, settings: tuple[str, ...], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = [part for setting in settings for part in ("--set", setting)]
    assert mtl(*CHECK, "--no-sheets", *sets) == 1
    assert f"refused: {problem}" in capsys.readouterr().err


def test_a_run_prints_its_data_in_short(pets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("run", "--suite", "folders", "--set", "suite.path=pets", "--set", "suite.size=16")
    assert (
        mtl(*arguments, "--backbone", "lenet", "--strategy", "full_sharing", "--iterations", 1) == 0
    )
    assert "data: pets: 2 classes, 12 train, 4 validation, 6 test" in capsys.readouterr().err
