"""The command line: what it imports, says, writes and exits with."""

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
from support.command import status

from mtl_framework.runs.config import RunConfig

TINY = ["--suite", "digits", "--backbone", "dkl_convnet", "--set", "suite.size=12"]


FULL = ["run", "--strategy", "full_sharing", "--device", "cpu", "--iterations", "2", *TINY]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


def test_the_package_is_a_command_and_a_closed_pipe_no_error() -> None:
    command = [sys.executable, "-m", "mtl_framework", "list", "strategies"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


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
            "describe needs --strategy NAME, --suite NAME, --objective NAME, --head NAME, ",
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
    assert status("--traceback", *FULL) == 2
    said = capsys.readouterr().err
    assert "Traceback (most recent call last)" in said
    assert "ZeroDivisionError: \\x1b[31mby zero" in said
    assert "\x1b" not in said


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


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_saves_and_says_how_to_go_on(tmp_path: Path, number: signal.Signals) -> None:
    # the tests may run under nohup, which has a closed terminal ignored
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); "
    code += "from mtl_framework.cli import main; main()"
    command = [sys.executable, "-c", code, *FULL]
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


def test_freed_memory_can_be_kept() -> None:
    # in a process of its own, since it cannot be undone
    code = (
        "from mtl_framework.support.allocator import keep_freed_memory; print(keep_freed_memory())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(platform.libc_ver()[0] == "glibc")
