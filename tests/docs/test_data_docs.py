"""Every command and program of docs/data.md, on files like those it talks of."""

import re
import shlex
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mtl_suites import mtl_suites
from PIL import Image

from mtl_framework.cli import main
from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs.run import Run

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
# what makes a run short; the page's own settings come after it
SHORT = (
    "--set iterations=1 --set batch_size=2 --backbone resnet18 --device cpu "
    "--set backbone.args.channels=[4,4,4,4]"
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert all(line.startswith("mtl run ") for line in lines)
    return lines


def draw(path: Path, size: tuple[int, int] = (40, 38), grey: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(zlib.crc32(str(path).encode()))
    pixels = random.integers(0, 256, size if grey else (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the page talks of, in the working directory."""
    for task, classes in (("animals", ("cat", "dog")), ("weather", ("rain", "sun"))):
        for split in ("train", "test"):
            for label in classes:
                for n in range(5):
                    draw(tmp_path / "photos" / task / split / label / f"{n}.png")
    rows = ["image,split,colour,indoors,weight"]
    for n in range(30):
        draw(tmp_path / "img" / f"{n}.png")
        split = ("train", "train", "test")[n // 10]
        colour = ("red", "blue", "")[n % 3]
        rows.append(f"img/{n}.png,{split},{colour},{n % 2},{'' if n % 5 == 0 else n / 4}")
    (tmp_path / "things.csv").write_text("\n".join(rows))
    scans = ["image,mass,oedema,x,y"]
    scans += [f"img/{n}.png,{n % 2},{n // 2 % 2},{n / 4 + 0.1},{n / 8 + 0.1}" for n in range(30)]
    (tmp_path / "scans.csv").write_text("\n".join(scans))
    arrays: dict[str, Any] = {}
    for task in ("greek", "latin"):
        arrays[f"{task}_images"] = np.random.default_rng(1).integers(0, 256, (80, 28, 28), np.uint8)
        arrays[f"{task}_labels"] = np.arange(80) % 4
    np.savez(tmp_path / "letters.npz", **arrays)
    (config,) = blocks("yaml")
    (tmp_path / "transforms.yaml").write_text(config)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("number", range(len(commands())))
def test_each_command_of_the_page_runs(
    data: Path, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    command = commands()[number].replace("--data-root /data", f"--data-root {data}")
    if "suite=folders" in command or "--suite folders" in command:
        command += " --set suite.validation_per_task=0"
    words = shlex.split(f"{command} {SHORT} --output out")[1:]
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 0, capsys.readouterr().err
    assert (data / "out" / "result.json").is_file()


def test_the_program_of_the_page_is_a_suite(
    data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for split in ("train", "test"):
        for n, (letter, shape) in enumerate(
            [("a", "bent"), ("b", "flat"), ("unknown", "flat"), ("c", "bent")]
        ):
            draw(data / "plates" / split / f"{n}-{letter}-{shape}.png", (28, 28), grey=True)
    (program,) = blocks("python")
    module: dict[str, Any] = {"__name__": "plates"}
    exec(compile(program, "docs/data.md", "exec"), module)

    class Plugin:
        mtl_suites = staticmethod(module["mtl_suites"])

    plugins = Plugins.load()
    plugins.register(Plugin(), "plates")
    from support.tiny import tiny_config

    config = tiny_config(
        "full_sharing",
        suite={"name": "plates"},
        backbone={"name": "resnet18", "args": {"channels": (4, 4, 4, 4)}},
        batch_size=2,
        iterations=2,
    )
    run = Run.start(config, plugins, tmp_path / "run")
    suite = run.suite
    assert [x.num_labelled for x in suite.tasks[0].splits().values()] == [3, 3]
    assert run.execute().test.per_task.keys() == {"letter", "shape"}


def test_the_page_names_every_suite_and_no_other() -> None:
    section = PAGE[PAGE.index("## Published data") : PAGE.index("## In Python")]
    in_table = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    first = set(re.findall(r"\[`(\w+)`\]\(#", PAGE))
    embedded = {"alphabets", "digits", "scenes", "three_modalities", "two_groups"}
    assert all(f"`{name}`" in section for name in embedded)
    elsewhere = {"dense_folders"}  # on the page about maps
    assert all(f"`{name}`" in section for name in elsewhere)
    assert in_table | first | embedded | elsewhere == set(mtl_suites())
