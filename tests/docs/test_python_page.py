"""The page on Python, from its first line of code to its last, as it stands there."""

import re
from pathlib import Path

import pytest
import torch

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text()


@pytest.mark.long
def test_the_page_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pandas", reason="needs the extra [pandas]")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for text in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        exec(compile(text, "docs/python.md", "exec"), names)
    shown = capsys.readouterr().out
    assert "<Result: lws on digits, lenet, seed 1, 4 iterations, test" in shown
    assert "<Preview: estimate from 3 steps on cpu" in shown
    assert "<Comparison: 2 strategies, 4 of 4 runs done, in comparisons/own>" in shown
    assert Path("runs/watched/metrics.csv").read_text().startswith("iteration,name,value\n1,loss/m")
    losses, outputs = names["losses"], names["outputs"]
    assert isinstance(losses, torch.Tensor)
    assert losses.shape == (4, 3)
    assert isinstance(outputs, torch.Tensor)
    assert outputs.shape == (5, 3)
