"""Shells complete commands, names and keys."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from mtl_framework.cli import app, main


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.long
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


def test_no_help_text_has_brackets_which_would_be_read_as_markup() -> None:
    commands = [typer.main.get_command(app)]
    texts = []
    for command in commands:
        commands += getattr(command, "commands", {}).values()
        texts += [(command.name, command.help)]
        texts += [(option.name, getattr(option, "help", "")) for option in command.params]
    assert len(texts) > 80
    assert [text for text in texts if re.search(r"\[/?[a-z]", text[1] or "")] == []
