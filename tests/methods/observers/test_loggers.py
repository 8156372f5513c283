"""CSV, Weights & Biases and MLflow through the public hooks: what stands in their files."""

import csv
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mtl_csv.observer import CsvFile
from support.tiny import TinyPlugins, content, start

Numbers = dict[str, list[tuple[int, float]]]


def from_csv(run: Path) -> Numbers:
    found: Numbers = {}
    with (run / "metrics.csv").open(newline="") as stream:
        rows = csv.reader(stream)
        assert next(rows) == ["iteration", "name", "value"]
        for iteration, name, value in rows:
            found.setdefault(name, []).append((int(iteration), float(value)))
    return found


def records(data: bytes) -> Iterator[bytes]:
    """Records of W&B's offline files: seven bytes, then LevelDB's log format."""
    place, parts = 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
        length, kind = struct.unpack_from("<HB", data, place + 4)
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield parts
            parts = b""


def from_wandb(run: Path) -> Numbers:
    wandb_internal_pb2: Any = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    found: Numbers = {}
    for file in sorted(run.glob("wandb/offline-run-*/*.wandb")):
        for data in records(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            items = {i.key or "/".join(i.nested_key): i.value_json for i in record.history.item}
            for name, text in items.items():
                if not name.startswith("_"):
                    step = int(items["_step"])
                    found.setdefault(name, []).append((step, float(json.loads(text))))
    return found


def from_mlflow(run: Path) -> Numbers:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=(run / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("mtl-framework")
    assert experiment is not None
    (entry,) = client.search_runs([experiment.experiment_id])
    assert entry.data.params["suite.name"] == "tiny"
    assert entry.info.status == "FINISHED"
    number = entry.info.run_id
    return {
        name: [(metric.step, metric.value) for metric in client.get_metric_history(number, name)]
        for name in entry.data.metrics
    }


def plugins(name: str) -> TinyPlugins:
    if name != "csv":
        pytest.importorskip(name, reason=f"needs the extra [{name}]")
    found = TinyPlugins()
    found.register(__import__(f"mtl_{name}"), name)
    return found


READERS: dict[str, Callable[[Path], Numbers]] = {
    "csv": from_csv,
    "wandb": from_wandb,
    "mlflow": from_mlflow,
}


@pytest.mark.long
@pytest.mark.parametrize("name", READERS)
def test_a_named_observer_writes_what_the_run_reports(name: str, tmp_path: Path) -> None:
    """Numbers in a run that goes on once; nothing of the run itself changes by it."""
    folder = tmp_path / "r"
    observers = [{"name": name, "every": 2}]
    start(folder, plugins(name), iterations=4, observers=observers).execute()
    result = start(folder, plugins(name), observers=observers, resume=True).execute()
    found = READERS[name](folder)
    assert [step for step, _ in found["loss/mean"]] == [2, 4, 6]
    assert {"loss/rows", "loss/sides", "metrics/entropy", "metrics/rate"} <= set(found)
    for entry, value in (
        ("test/error_mean", result.test.error_mean),
        ("test/rows", result.test.per_task["rows"]),
        ("parameters/trained", result.parameters.trained),
    ):
        step, logged = found[entry][-1]
        assert step == 6
        assert logged == pytest.approx(value)
    start(tmp_path / "without", TinyPlugins()).execute()
    watched, alone = content(folder), content(tmp_path / "without")
    weights = [file for file in alone if file.endswith((".safetensors", "result.json"))]
    assert weights
    for file in [*weights, "metrics.jsonl"]:
        assert watched[file] == alone[file], file


def test_a_csv_of_a_run_that_goes_back_drops_the_rows_behind_it(tmp_path: Path) -> None:
    observers = [{"name": "csv", "every": 1, "file": "log/numbers.csv"}]
    start(tmp_path / "r", plugins("csv"), iterations=4, observers=observers).execute()
    file = tmp_path / "r" / "log" / "numbers.csv"
    before = file.read_text()
    file.write_text(f"{before}5,loss/mean,9.0\n6,loss/m")  # as a crash at iteration 6 leaves it
    start(tmp_path / "r", plugins("csv"), iterations=6, observers=observers, resume=True).execute()
    assert file.read_text().startswith(before)
    rows = [line for line in file.read_text().splitlines() if line.startswith("5,loss/mean,")]
    assert len(rows) == 1
    assert rows != ["5,loss/mean,9.0"]


def test_names_in_a_csv_are_no_formulas(tmp_path: Path) -> None:
    observer = CsvFile()
    observer._stream = (tmp_path / "metrics.csv").open("w", newline="")
    observer.write({"=cmd()": 1.0, "@x": 2.0, "loss": 3.0}, 1)
    observer.close()
    with (tmp_path / "metrics.csv").open(newline="") as stream:
        assert [row[1] for row in csv.reader(stream)] == ["'=cmd()", "'@x", "loss"]
