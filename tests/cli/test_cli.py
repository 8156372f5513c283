"""The command line: what it imports, says, writes and exits with."""

import contextlib
import io
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from mtl_framework.cli import main
from mtl_framework.cli.summary import sharing_grid
from mtl_framework.networks.result import Assignment
from mtl_framework.networks.result_view import by_appearance
from mtl_framework.runs.config import RunConfig

TINY = ["--suite", "digits", "--backbone", "dkl_convnet", "--set", "suite.size=12"]
FULL = ["run", "--strategy", "full_sharing", "--device", "cpu", "--iterations", "2", *TINY]


def status(*arguments: str | Path | int) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["list", "--help"],
        ["describe", "--help"],
        ["list", "plugins"],
    ],
)
def test_help_and_plugin_list_import_neither_torch_nor_plugins(arguments: list[str]) -> None:
    code = f"""
import sys
from mtl_framework.cli import main
try:
    main({arguments!r})
except SystemExit as end:
    assert end.code == 0, end.code
heavy = ("torch", "timm", "numpy", "mtl_lws", "mtl_baselines", "mtl_backbones")
found = [name for name in heavy if name in sys.modules]
assert not found, found
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--version"], ["torch", "numpy", "timm"]),
        (["list", "strategies"], ["torch", "numpy", "timm"]),
        (["list", "suites"], ["torch", "numpy", "timm"]),
        (["list", "observers"], ["torch", "numpy", "timm"]),
        (["describe", "--strategy", "lws"], ["sklearn", "scipy", "matplotlib"]),
        (["describe", "--suite", "table"], ["timm", "matplotlib"]),
    ],
)
def test_commands_import_only_what_they_use(arguments: list[str], heavy: list[str]) -> None:
    code = f"""
import sys
from mtl_framework.cli import main
try:
    main({arguments!r})
except SystemExit as end:
    assert end.code == 0, end.code
found = [name for name in {heavy!r} if name in sys.modules]
assert not found, found
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_the_package_is_a_command_and_a_closed_pipe_no_error() -> None:
    command = [sys.executable, "-m", "mtl_framework", "list", "strategies"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_shells_get_their_completion() -> None:
    for shell in ("bash", "zsh", "fish"):
        done = subprocess.run(
            [sys.executable, "-m", "mtl_framework"],
            env={**os.environ, "_MTL_COMPLETE": f"source_{shell}"},
            capture_output=True, text=True,
        )  # fmt: skip
        assert "_MTL_COMPLETE" in done.stdout, (shell, done.stderr)


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("mtl run --strategy l", {"lws"}),
        ("mtl run --suite two", {"two_groups"}),
        ("mtl check-strategy full", {"full_sharing"}),
        ("mtl describe --backbone resnet10", {"resnet10t"}),
        ("mtl run --backbone len", {"lenet"}),
        ("mtl run --set eval_", {"eval_every=", "eval_batch_size="}),
        ("mtl run --set training.schedule.warmup", {"training.schedule.warmup="}),
        ("mtl run --strategy lws --set nes_sa", {"nes_samples="}),
        ("mtl run --suite digits --set suite.si", {"suite.size="}),
    ],
)
def test_names_and_keys_are_completed(line: str, offered: set[str]) -> None:
    assert offered <= set(completed("zsh", line))


def test_every_shell_completes_names() -> None:
    for shell in ("bash", "fish"):
        assert "lws" in completed(shell, "mtl run --strategy lw")


def completed(shell: str, line: str) -> list[str]:
    """What a shell offers behind a line, in a process as the shell would start it."""
    variables = {"_MTL_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line}
    if shell == "bash":
        variables |= {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    if shell == "fish":
        variables["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        said = io.StringIO()
        with contextlib.redirect_stdout(said), pytest.raises(SystemExit):
            main([])
    text = said.getvalue()
    return re.findall(r'"((?:[^":\\\\]|\\\\.)+)"(?::|\n|$)', text) + re.split(r"[\s]+", text)


def test_package_and_marker_come_without_torch() -> None:
    code = "import sys; from mtl_framework import hookimpl; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names_exist() -> None:
    import mtl_framework

    for name in mtl_framework.__all__:
        assert getattr(mtl_framework, name) is not None
    assert set(mtl_framework.__all__) <= set(dir(mtl_framework))
    with pytest.raises(AttributeError, match="no attribute 'Tsk'"):
        mtl_framework.Tsk  # noqa: B018


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "no such command 'rnu'. Did you mean 'run'?; see `mtl --help`"),
        (["list"], "missing command; see `mtl list --help`"),
        (["run", "--strtegy", "lws"], "no such option: --strtegy (Possible options: --strategy"),
        (["run", "--seed"], "option '--seed' requires an argument"),
        (["run", "now"], "unexpected extra argument"),
        (["run", "--iterations", "many"], "iterations should be a valid integer, found 'many'"),
        (["run", "--iterations", "0"], "iterations should be greater than or equal to 1"),
        (["run", "--strategy", "lsw"], "unknown strategy 'lsw'; did you mean 'lws'?"),
        (
            ["run", "--backbone", "resnet81"],
            "unknown backbone 'resnet81'; did you mean 'resnet18'?",
        ),
        (["run", "--suite", "digit"], "unknown suite 'digit'; did you mean 'digits'?"),
        (["run", "--precision", "fp8"], "precision should be 'fp32' or 'bf16', found 'fp8'"),
        (
            ["run", "--device", "tpu"],
            "device should be auto, cpu, mps, cuda or cuda:N, found 'tpu'",
        ),
        (
            ["run", "--set", "weights_per_unit=0"],
            "strategy.weights_per_unit should be greater than",
        ),
        (["run", "--set", "nes_samples=1"], "strategy.nes_samples should be at least 2"),
        (["run", "--set", "suite.x=1"], "unknown key 'suite.x'"),
        (["run", "--set", "iterations"], "--set should be key=value, found 'iterations'"),
        (["run", "--preset", "papr"], "unknown preset 'papr'; did you mean 'paper'?"),
        (["run", "--config", "none.yaml"], "cannot read config file none.yaml: No such file"),
        (["run", "--resume", "--output", "none"], "cannot resume: there is no run in none"),
        (["run", "--resume"], "--resume finds no run in runs/alphabets-lws-resnet18-s0"),
        (["run", "--resume", "--preset", "paper"], "--resume reads the run's own config"),
        (
            ["describe"],
            "describe needs --strategy NAME, --suite NAME, --observer NAME or --backbone",
        ),
        (["describe", "--backbone", "resnet18", "--input", "big"], "--input should be like 3x224"),
        (["list", "backbones", "--filter", "resnot*"], "no backbone matches 'resnot*'"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], message: str
) -> None:
    assert status(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert list(tmp_path.iterdir()) == []


def test_a_run_from_its_start_to_its_summary(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert status(*FULL, "--eval-every", 1, "--seed", 3, "--set", "learning_rate=2e-3") == 0
    name = "digits-full_sharing-dkl_convnet-s3-learning_rate=0.002-size=12-eval_every=1"
    folder = Path("runs", name)
    result = json.loads((folder / "result.json").read_text())
    assert (result["iterations"], result["seed"]) == (2, 3)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["strategy"]["learning_rate"] == 0.002
    assert config["eval_every"] == 1
    assert set(RunConfig.model_fields) == set(config)
    printed = capsys.readouterr()
    for task, error in result["test"]["per_task"].items():
        assert re.search(rf"{task} .*{error:.2f}", printed.out)
    assert f"{result['test']['error_mean']:.2f}" in printed.out
    assert f"{result['parameters']['deployed']:,}" in printed.out
    assert re.search(r"conv2 +A +A +A", printed.out)
    assert f"run: {folder}" in printed.out
    assert "iteration 2/2: error %: validation" in printed.err
    assert not re.search(r"test \d+\.\d", printed.err)  # figures of the test split come last

    again = re.search(r"next: mtl (.*)", printed.out)
    assert again is not None
    assert status(*again[1].split(), "--iterations", 1) == 0
    assert Path(str(folder).replace("s3", "s4"), "result.json").exists()


def test_quiet_json_and_log(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert status(*FULL, "--quiet", "--json", "--log-file", "run.log", "--output", "out") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert json.loads(printed.out) == json.loads(Path("out/result.json").read_text())
    log = Path("run.log").read_text()
    assert "building dkl_convnet for 3 tasks of digits" in log
    assert "iteration 2/2: error %: validation" in log
    assert status(*FULL, "--log-file", "no/such/run.log", "--output", "other") == 2
    assert "cannot write --log-file" in capsys.readouterr().err
    assert not Path("other").exists()


def test_a_plugin_that_fails_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("\x1b[31mby zero")

    monkeypatch.setattr("mtl_baselines.ends.FullSharing.build", fail)
    assert status(*FULL) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(
        "error: strategy 'full_sharing' of plugin 'baselines' of mtl-framework: "
    )
    assert "build raised ZeroDivisionError: \\x1b[31mby zero" in said
    with pytest.raises(ZeroDivisionError):
        main(["--traceback", *FULL])


def test_a_run_that_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    first = Path("runs/digits-full_sharing-dkl_convnet-s0-size=12")
    assert status(*FULL) == 0
    assert status(*FULL, "--output", first) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert status("run", "--resume", "--output", first, "--iterations", 3) == 0
    assert json.loads((first / "result.json").read_text())["iterations"] == 3
    assert status(*FULL, "--resume", "--iterations", 4) == 0
    assert json.loads((first / "result.json").read_text())["iterations"] == 4
    assert status("run", "--resume", "--output", first, "--seed", 5) == 2
    assert "cannot resume: seed is 0" in capsys.readouterr().err
    assert status(*FULL) == 0
    assert Path(f"{first}-2/result.json").exists()
    assert status(*FULL, "--resume") == 2
    assert "several runs" in capsys.readouterr().err


def test_config_file_and_flags(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("strategy: no_sharing\nsuite: {name: digits, size: 12}\niterations: 50\n")
    flags = ["--backbone", "dkl_convnet", "--iterations", "1", "--device", "cpu", "--output", "out"]
    assert status("run", "--config", file, *flags) == 0
    config = yaml.safe_load(Path("out/config.yaml").read_text())
    assert (config["strategy"]["name"], config["suite"]["size"]) == ("no_sharing", 12)
    assert config["iterations"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_and_says_how_to_go_on(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", "from mtl_framework.cli import main; main()", *FULL]
    command += ["--iterations", "100000", "--output", "out", "--set", "log_every=1"]
    running = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "out" / "metrics.jsonl"
    limit = time.monotonic() + 120
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < limit:
        assert running.poll() is None
        time.sleep(0.05)
    running.send_signal(number)
    _, said = running.communicate(timeout=120)
    assert running.returncode == 128 + number
    assert "finishing this step, then saving" in said
    last = said.strip().splitlines()[-1]
    assert last.startswith("stopped: interrupted at iteration")
    assert "mtl run --resume --output out" in last
    assert "Traceback" not in said


def test_lists(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = {
        ("strategies",): ["lws", "roaming", "full_sharing", "no_sharing", "fixed_sharing"],
        ("suites",): ["alphabets", "digits"],
        ("backbones",): ["dkl_convnet", "models of timm"],
        ("backbones", "--filter", "*resnet18*"): ["resnet18", "timm"],
        ("plugins",): ["mtl_lws", "mtl-framework", "mtl list plugins --check"],
        ("plugins", "--check"): ["strategies lws", "suites alphabets, arrays,"],
    }
    for arguments, words in wanted.items():
        assert status("list", *arguments) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        for word in words:
            assert word in printed.out
    status("list", "backbones", "--filter", "*resnet18*")
    assert "dkl_convnet" not in capsys.readouterr().out


def test_describing_a_backbone(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("describe", "--backbone", "resnet18", "--input", "3x32x32") == 0
    printed = capsys.readouterr().out
    assert "11,176,512 parameters without the last layer, 8 units, 512 features" in printed
    rows = re.findall(r"^ *(\d) +(layer\S+) +([\d,]+) +([\d.]+) %", printed, re.MULTILINE)
    assert [row[1] for row in rows] == [f"layer{n}.{k}" for n in (1, 2, 3, 4) for k in (0, 1)]
    stem = re.search(r"always shared +([\d,]+) +[\d.]+ % +stem", printed)
    assert stem is not None
    sizes = [int(text.replace(",", "")) for text in [stem[1], *(row[2] for row in rows)]]
    assert sum(sizes) == 11_176_512
    assert "branching:" in printed
    assert "hint: the last feature map of resnet18 on 32x32 images is a single pixel" in printed
    stages = ["--set", "backbone.granularity=stage", "--set", "backbone.small_images=true"]
    assert status("describe", "--backbone", "resnet18", "--input", "3x32x32", *stages) == 0
    printed = capsys.readouterr().out
    assert "4 units" in printed
    assert "hint" not in printed


def test_describing_a_strategy(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("describe", "--strategy", "lws") == 0
    printed = capsys.readouterr().out
    assert re.search(r"nes_samples +8 .*assignments that a search step", printed)
    assert "presets: paper" in printed


def test_describing_a_suite_touches_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("describe", "--suite", "table") == 0
    printed = capsys.readouterr().out
    assert re.search(r"path +needed +text", printed)
    assert "column with paths of images" in printed
    assert "mtl run --suite table --set suite.path=VALUE" in printed


def grid(assignment: Assignment, width: int = 80) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(sharing_grid(assignment, width))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_grid_shows_who_shares_with_whom() -> None:
    weights = ((2, 2, 0), (0, 1, 0))
    lines = grid(Assignment(("low", "higher"), ("a", "b", "c"), weights))
    assert lines[1:] == ["        1  2  3", "   low  A  A  B", "higher  A  B  A"]


def test_wide_grids_are_narrowed_then_continued_below() -> None:
    tasks = tuple(f"t{n}" for n in range(70))
    units = ("a.very.long.name.of.a.unit.somewhere",)
    lines = grid(Assignment(units, tasks, (tuple(range(70)),)), width=60)
    assert all(len(line) <= 60 for line in lines)
    cells = [line.split()[-1] for line in lines if line.startswith("…")]
    assert [len(cell) for cell in cells] == [39, 31]
    assert "".join(cells)[:28] == "ABCDEFGHIJKLMNOPQRSTUVWXYZab"


def test_neighbouring_weights_differ_in_colour_and_letter() -> None:
    assert by_appearance((7, 3, 7, 9, 3)) == [0, 1, 0, 2, 1]
    console = Console(width=80, color_system="truecolor", force_terminal=True)
    with console.capture() as captured:
        console.print(sharing_grid(Assignment(("u",), tuple("abcdefgh"), (tuple(range(8)),)), 80))
    colours = re.findall(r"48;2;(\d+;\d+;\d+)m", captured.get())
    assert len(set(colours)) == 8


def test_freed_memory_can_be_kept() -> None:
    # in a process of its own, since it cannot be undone
    code = (
        "from mtl_framework.support.allocator import keep_freed_memory; print(keep_freed_memory())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(platform.libc_ver()[0] == "glibc")
