"""The page on searches, and the example of one, are configs and commands that work."""

import re
import shlex
from pathlib import Path

import pytest

from mtl_framework.cli import main
from mtl_framework.comparisons.tuning.config import read_tuning
from mtl_framework.plugins.manager import Plugins

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tuning.md").read_text()


def test_the_example_is_a_search() -> None:
    tuning = read_tuning(ROOT / "examples" / "tune.yaml", Plugins.load())
    assert [d.name for d in tuning.space][:2] == ["learning_rate", "nes_learning_rate"]
    assert tuning.config.trials == 30


@pytest.mark.long
def test_the_page_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (text,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    Path("tune.yaml").write_text(text)
    commands = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(commands) == 2
    for command in commands:
        with pytest.raises(SystemExit) as end:
            main(shlex.split(command)[1:])
        assert not end.value.code, capsys.readouterr().err
    assert {path.name for path in Path("searches/tune").iterdir()} >= {
        "best.yaml", "trials.csv", "report.html", "study.db", "runs", "figures",
    }  # fmt: skip
