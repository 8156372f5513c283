"""Cells as tasks of a real Ray cluster on this machine, one of its workers killed in the middle."""

import io
import json
import os
import signal
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mtl_framework.comparisons.cells import TRACEBACK, inspect, last_line
from mtl_framework.comparisons.config import read_comparison
from mtl_framework.comparisons.grid import Cell, make_grid
from mtl_framework.comparisons.on_ray import TOKEN, RayTasks, pack, unpack, work
from mtl_framework.comparisons.processes import Ended
from mtl_framework.plugins.manager import Plugins
from mtl_framework.support.errors import MtlError

CONFIG = """
suite: {name: digits, size: 8}
backbone: dkl_convnet
strategies: [full_sharing, {name: lws, as: broken, initial_distribution: [[0.5, 0.5]]}]
seeds: 1
iterations: 40
eval_every: 4
device: cpu
"""


def cells_of(folder: Path) -> list[Cell]:
    path = folder / "c.yaml"
    path.write_text(CONFIG)
    return make_grid(read_comparison(path, Plugins.load()))


def test_a_cluster_survives_a_killed_worker(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra [ray]")
    good, broken = cells_of(tmp_path)
    folders = {good.folder: tmp_path / "good", broken.folder: tmp_path / "broken"}
    executor = RayTasks("auto", 1, 0.0)
    try:
        for cell in (good, broken):
            executor.start(cell, folders[cell.folder])
        metrics = folders[good.folder] / "metrics.jsonl"
        ended: list[Ended] = []
        wait_until(lambda: last_line(metrics)[0] >= 4)
        before = last_line(metrics)[0]
        os.kill(ray_worker_of(folders[good.folder]), signal.SIGKILL)

        def both_ended() -> bool:
            ended.extend(executor.ended())
            return len(ended) == 2

        wait_until(both_ended)
    finally:
        executor.stop()
    assert {e.cell.folder: e.ok for e in ended} == {good.folder: True, broken.folder: False}
    assert before < 40  # else the kill came too late to say anything
    assert inspect(folders[good.folder], good.config).state == "done"
    assert "initial_distribution" in (folders[broken.folder] / TRACEBACK).read_text()
    assert not list(tmp_path.rglob(TOKEN))
    # it went on from its saved state: the file of metrics holds every evaluation once
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    evaluations = [line["iteration"] for line in lines if "evaluation" in line]
    assert evaluations == list(range(4, 41, 4))


def test_an_address_without_a_cluster_is_refused() -> None:
    pytest.importorskip("ray", reason="needs the extra [ray]")
    with pytest.raises(MtlError, match=r"no Ray cluster at 127\.0\.0\.1:1"):
        RayTasks("127.0.0.1:1", 1, 0.0)
    with pytest.raises(MtlError, match="should be auto, HOST:PORT"):
        RayTasks("here", 1, 0.0)


@pytest.mark.long
def test_where_the_folder_is_not_seen_the_files_travel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "node"))
    cell = cells_of(tmp_path)[0]
    config = cell.config.model_copy(update={"iterations": 4})
    there, here = tmp_path / "far" / "cell", tmp_path / "cell"
    ok, files = work(config.model_dump_json(), str(there), "token", 1)
    assert ok
    assert files is not None
    assert not there.exists()
    unpack(files, here)
    assert inspect(here, config).state == "done"
    assert not (here / ".lock").exists()


def test_packed_files_come_back_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "a" / "deep" / "x").write_bytes(b"1\x00")
    (tmp_path / "a" / "result.json").write_text("{}")
    (tmp_path / "a" / ".lock").write_text("")
    unpack(pack(tmp_path / "a"), tmp_path / "b")
    found = {str(p.relative_to(tmp_path / "b")) for p in (tmp_path / "b").rglob("*") if p.is_file()}
    assert found == {"deep/x", "result.json"}
    assert (tmp_path / "b" / "deep" / "x").read_bytes() == b"1\x00"


def test_files_outside_the_folder_are_refused(tmp_path: Path) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("../evil", "x")
    with pytest.raises(MtlError, match="outside the run's folder"):
        unpack(data.getvalue(), tmp_path / "in")
    assert not (tmp_path / "evil").exists()


def ray_worker_of(folder: Path) -> int:
    """The Ray worker that started the cell's process."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().split(b"\0")
            stat = (path.parent / "stat").read_text()
        except OSError:
            continue
        if b"mtl_framework.comparisons.worker" in arguments and str(folder).encode() in arguments:
            return int(stat.rpartition(")")[2].split()[1])
    raise AssertionError(f"no process works on {folder}")


def wait_until(condition: Any, seconds: float = 180.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
