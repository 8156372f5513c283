"""The commands that use a saved run: predict, evaluate, export."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from PIL import Image
from support.exported_runs import run_shapes, shapes_plugins

from mtl_framework.cli import console, evaluate, export, main, predict, report
from mtl_framework.data.metrics.shown import shown_value
from mtl_framework.export import load_bundle, load_network
from mtl_framework.networks.result import Result
from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs import image_predictions
from mtl_framework.runs.load import LoadedRun
from mtl_framework.support.terminal import PlainConsole


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    return run_shapes(tmp_path_factory.mktemp("cli") / "run")


@pytest.fixture(autouse=True)
def _plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite of these tests is not installed."""
    for command in (evaluate, export, predict):
        monkeypatch.setattr(command, "load_plugins", shapes_plugins)


def status(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_predict_prints_class_and_probability(
    run: LoadedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, colour in (("a", (255, 0, 0)), ("b", (0, 0, 255))):
        Image.new("RGB", (40, 30), colour).save(tmp_path / f"{name}.png")
    command = "predict", run.directory, "--task", "colour / main", tmp_path
    assert status(*command, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [Path(row["image"]).name for row in found] == ["a.png", "b.png"]
    files = [Path(row["image"]) for row in found]
    outputs = run.network.predict(0, run.preprocessing.read(files)).softmax(1)
    for row, output in zip(found, outputs, strict=True):
        assert row["class"] == ("red", "green", "blue")[int(output.argmax())]
        assert row["probability"] == pytest.approx(float(output.max().detach()), rel=1e-5)
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 0xFFFF
    Image.new("RGB", (40, 30), (255, 0, 0)).save(tmp_path / "c.jpg", exif=exif)
    assert status(*command) == 0
    shown = capsys.readouterr()
    assert found[0]["class"] in shown.out
    assert "1 image file of colours that are not sRGB (EXIF: uncalibrated)" in shown.err
    assert status("predict", run.directory, tmp_path) == 2
    assert (
        "needs --task NAME, or --all-tasks; the run has 2 tasks: colour / main, "
        in capsys.readouterr().err
    )
    assert status("predict", run.directory, "--task", "brightness", tmp_path, "--json") == 0
    assert isinstance(json.loads(capsys.readouterr().out)[0]["brightness"], float)


def test_several_tasks_predict_at_once_as_they_do_one_by_one(
    run: LoadedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (40, 30), (255, 0, 0)).save(tmp_path / "a.png")
    assert status("predict", run.directory, tmp_path / "a.png", "--all-tasks", "--json") == 0
    both = json.loads(capsys.readouterr().out)
    tasks = "colour / main", "brightness"
    assert [row["task"] for row in both] == list(tasks)
    chosen = [word for task in reversed(tasks) for word in ("--task", task)]
    assert status("predict", run.directory, tmp_path / "a.png", *chosen, "--json") == 0
    assert json.loads(capsys.readouterr().out) == both[::-1]
    for row in both:
        task = row.pop("task")
        for once_or_twice in (("--task", task), ("--task", task) * 2):
            assert status("predict", run.directory, tmp_path, *once_or_twice, "--json") == 0
            assert json.loads(capsys.readouterr().out) == [row]
    assert status("predict", run.directory, tmp_path, "--all-tasks") == 0
    table = capsys.readouterr().out
    assert table.index("colour / main") < table.index("class") < table.index("brightness")
    assert status("predict", run.directory, tmp_path, "--all-tasks", *chosen) == 2
    assert "exclude each other" in capsys.readouterr().err


def test_files_that_cannot_be_read_are_left_out_where_that_is_asked_for(
    run: LoadedRun,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(image_predictions, "CHUNK", 4)
    for number in range(14):
        (tmp_path / f"{number:02}.png").write_bytes(b"no image")
    assert status("predict", run.directory, tmp_path, "--all-tasks", "--skip-bad") == 2
    assert "none of 14 files can be read; " in capsys.readouterr().err
    for number in (2, 5):
        Image.new("RGB", (40, 30), (0, number * 9, 0)).save(tmp_path / f"{number:02}.png")
    command = "predict", run.directory, tmp_path, "--task", "colour / main", "--json"
    assert status(*command) == 2
    assert "00.png" in capsys.readouterr().err
    assert status(*command, "--skip-bad") == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert [Path(row["image"]).name for row in found] == ["02.png", "05.png"]
    assert "left out 12 of 14 files, 10 of them named above" in shown.err
    assert "03.png" in shown.err
    for row in found:
        alone = "predict", run.directory, row["image"], "--task", "colour / main", "--json"
        assert status(*alone) == 0
        assert json.loads(capsys.readouterr().out) == [
            {**row, "probability": pytest.approx(row["probability"], rel=1e-5)}
        ]


def test_evaluate_repeats_the_result(run: LoadedRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert status("evaluate", run.directory, "--json") == 0
    found = json.loads(capsys.readouterr().out)["splits"]["test"]
    expected = Result.load(run.directory).test
    assert found["per_task"] == pytest.approx(expected.per_task, rel=1e-6)
    assert status("evaluate", run.directory, "--suite", "shapes", "--set", "examples=12") == 0
    table = capsys.readouterr().out
    assert shown_value(expected.per_task["brightness"], "RMSE") in table
    assert "RMSE" in table


def test_export_writes_what_can_be_loaded(
    run: LoadedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status("export", run.directory, "--task", "colour / main") == 0
    folder = run.directory / "export" / "colour_main"
    assert str(folder / "model.safetensors") in capsys.readouterr().out
    assert type(load_network(folder)).__name__ == "ResNet"
    assert status("export", run.directory, "--all", "--output", tmp_path / "all") == 0
    assert load_bundle(tmp_path / "all").tasks == run.suite.task_names


@pytest.mark.long
def test_a_program_gives_probabilities_where_asked_for(run: LoadedRun, tmp_path: Path) -> None:
    command = "export", run.directory, "--task", "colour / main", "--format", "torch-export"
    programs = {}
    for name, more in (("logits", []), ("probabilities", ["--probabilities"])):
        assert status(*command, *more, "--output", tmp_path / name) == 0
        about = json.loads((tmp_path / name / "model.pt2.json").read_text())
        assert about["task"]["outputs"] == name
        programs[name] = torch.export.load(tmp_path / name / "model.pt2").module()
    inputs = torch.rand(3, *run.preprocessings[0].input_shape)
    logits, shares = programs["logits"](inputs), programs["probabilities"](inputs)
    torch.testing.assert_close(shares, logits.softmax(1))
    torch.testing.assert_close(shares.sum(1), torch.ones(3))
    assert not torch.allclose(logits, shares)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "--task", "brightness", "--probabilities"], "needs --format torch-export or"),
        (
            ["export", "--task", "brightness", "--probabilities", "--format", "onnx"],
            "outputs of task 'brightness' are no probabilities: leave out --probabilities",
        ),
        (["export"], "one of --task NAME, --all and --joint"),
        (["export", "--all", "--task", "brightness"], "one of --task NAME, --all and --joint"),
        (["export", "--all", "--format", "onnx"], "a program; use --task or --joint"),
        (["export", "--task", "brigtness"], "did you mean 'brightness'"),
        (["export", "--all", "--checkpoint", "best"], "no 'best' checkpoint"),
        (["evaluate", "--set", "examples=20"], "--suite, which is missing"),
        (["evaluate", "--suite", "shaps"], "did you mean 'shapes'"),
    ],
)
def test_mistakes_are_one_line(
    run: LoadedRun, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(arguments[0], run.directory, *arguments[1:]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_folders_without_a_run_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status("evaluate", tmp_path / "gone") == 2
    assert "gone (no config.yaml)" in capsys.readouterr().err
    assert status("predict", tmp_path / "gone", "--task", "x", tmp_path / "image.png") == 2
    assert "no image or folder" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["predict", "evaluate", "report", "export"])
def test_a_terminal_never_shows_two_waiting_lines_at_once(
    run: LoadedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    texts: list[str] = []

    @contextmanager
    def alone(_: object, text: str) -> Iterator[None]:
        assert not texts, f"{text!r} within {texts}"
        texts.append(text)
        yield
        texts.pop()

    def loaded() -> Plugins:
        console.load_plugins()
        return shapes_plugins()

    for module in (console, predict, evaluate, report):
        monkeypatch.setattr(module, "alive", alone)
    for module in (predict, evaluate, export, report):
        monkeypatch.setattr(module, "load_plugins", loaded)
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    task = "--task", "brightness"
    arguments: dict[str, tuple[str | Path, ...]] = {
        "predict": (run.directory, *task, tmp_path / "a.png"),
        "evaluate": (run.directory,),
        "report": (run.directory, "--output", tmp_path / "report"),
        "export": (run.directory, *task, "--output", tmp_path / "network"),
    }
    assert status(command, *arguments[command]) == 0


def test_a_quiet_command_says_nothing_while_plugins_are_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quiet: list[bool] = []

    @contextmanager
    def noted(shown_on: PlainConsole, _: str) -> Iterator[None]:
        quiet.append(shown_on.quiet)
        yield

    monkeypatch.setattr(console, "alive", noted)
    console.load_plugins(True)
    console.load_plugins()
    assert quiet == [True, False]
