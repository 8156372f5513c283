"""The tutorial, from its drawings to its last line of Python, as it stands on the page."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from mtl_framework.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text()


@pytest.mark.long
def test_the_tutorial_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```(python|sh)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert [kind for kind, _ in blocks] == ["sh", "python", "sh", "sh", "sh", "python"]
    for kind, text in blocks[1:]:
        if kind == "python":
            names: dict[str, Any] = {"__name__": "tutorial"}
            exec(compile(text, "docs/tutorial.md", "exec"), names)
            continue
        for line in text.replace("\\\n", " ").splitlines():
            short = line.replace("--iterations 300", "--iterations 4").replace(
                "every 50", "every 2"
            )
            with pytest.raises(SystemExit) as end:
                main(shlex.split(short)[1:])
            assert end.value.code == 0, capsys.readouterr().err
    outputs, same = names["outputs"], names["same"]
    assert outputs.shape == (4, names["task"].objective.num_outputs)
    assert abs(outputs - same).max() < 1e-5
    assert (tmp_path / "runs" / "drawings" / "report.html").is_file()
    assert any((tmp_path / "exported").rglob("*.safetensors"))
