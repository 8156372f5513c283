"""The example notebook, executed as a notebook is, and what stands below its cells."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs nbclient, of the extra [dev]")
nbclient = pytest.importorskip("nbclient", reason="needs nbclient, of the extra [dev]")

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook" / "sharing.ipynb"


@pytest.mark.long
def test_the_notebook_works_and_shows_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pandas", reason="needs the extra [pandas]")
    pytest.importorskip("ipykernel", reason="needs ipykernel, of the extra [dev]")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook: Any = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are not kept"
    resources = {"metadata": {"path": str(tmp_path)}}
    before = signal.getsignal(signal.SIGINT)
    try:
        nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    finally:
        signal.signal(signal.SIGINT, before)  # the client puts Python's own in its place
    kept = os.environ.get("KEEP_NOTEBOOK")
    if kept:  # to look at it
        nbformat.write(notebook, kept)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    texts = "".join(str(output.get("text", "")) for output in outputs)
    pages = [str(output.get("data", {}).get("text/html", "")) for output in outputs]
    assert "\x1b" not in texts, "no terminal's control codes"
    assert "\r" not in texts
    assert "iteration 6/6: error %: validation" in "".join(pages)
    assert '<progress value="6" max="6"' in "".join(pages)
    assert any("sharing: in each row" in page and "runs/notebook" in page for page in pages)
    assert any("comparisons/notebook/report.html" in page for page in pages)
    assert (tmp_path / "runs" / "notebook" / "result.json").exists()
