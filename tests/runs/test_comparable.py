"""Examples that are the same, but come in another order, or have one name."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.command import status
from support.synthetic_runs import make_run

from mtl_framework.data.objectives import Classification
from mtl_framework.data.tasks import Examples, Suite, Task
from mtl_framework.reports.analysis import analyse
from mtl_framework.runs.comparable import other_examples, other_iterations, other_surroundings
from mtl_framework.runs.known_data import check_known, describe
from mtl_framework.runs.recorded_splits import with_recorded_splits
from mtl_framework.runs.records import make_groups
from mtl_framework.support.errors import MtlError


def numbered(rows: dict[str, list[int]]) -> Suite:
    """A task about pictures of brightness n, called n.png."""
    splits: dict[str, Any] = {}
    for split, members in rows.items():
        numbers = torch.tensor(members)
        inputs = numbers.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 4, 4).contiguous()
        splits[split] = Examples(inputs, numbers % 2, names=[f"{n}.png" for n in members])
    return Suite("numbered", [Task("odd", Classification(2), splits["train"], splits["test"])])


def test_another_order_is_no_other_data_but_nothing_goes_on_with_it() -> None:
    given = {"train": [1, 2, 3, 4], "test": [7, 8, 9]}
    known = describe(numbered(given))
    check_known(known, numbered(given), in_order=True)
    for split, rows in (("train", [1, 3, 2, 4]), ("test", [7, 9, 8])):
        moved = numbered({**given, split: rows})
        check_known(known, moved)
        where = rf"e\.g\. {rows[1]}\.png where {rows[2]}\.png was \(number 2"
        with pytest.raises(MtlError, match=f"{split} split .*order, {where}"):
            check_known(known, moved, in_order=True)


def twins(labels: list[int], others: int = 2) -> Suite:
    """A task whose test split has one picture several times, with labels that differ."""
    same = torch.zeros(len(labels), 3, 4, 4, dtype=torch.uint8)
    rest = torch.arange(1, others + 1, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 4, 4)
    inputs = torch.cat([same, rest]) if others else same
    targets = torch.tensor([*labels, *(n % 2 for n in range(others))])
    train = Examples(torch.full((2, 3, 4, 4), 9, dtype=torch.uint8), torch.tensor([0, 1]))
    return Suite("twins", [Task("t", Classification(2), train, Examples(inputs, targets))])


def test_examples_of_one_name_are_told_apart_by_their_labels() -> None:
    known = describe(twins([0, 1, 1]))
    check_known(known, twins([1, 0, 1]))
    with pytest.raises(MtlError, match="another order"):
        check_known(known, twins([1, 0, 1]), in_order=True)
    with pytest.raises(MtlError, match="1 has another label"):
        check_known(known, twins([0, 0, 1]))
    with pytest.raises(MtlError, match="1 example is gone"):
        check_known(known, twins([0, 1]))
    for now, targets in (([1, 0, 1], [0, 1, 1, 0]), ([1, 1], [1, 1, 0])):
        restored = with_recorded_splits(twins(now, others=1), known["examples"], ("test",))
        assert restored.tasks[0].test.targets.tolist() == targets


def test_a_table_whose_rows_were_sorted_otherwise_is_measured_but_not_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for n in range(16):
        Image.fromarray(np.full((16, 16, 3), 7 * n, np.uint8)).save(f"{n}.png")
    rows = [
        f"{n}.png,{'ab'[n % 2]},{('train', 'train', 'val', 'test')[n % 8 // 2]}" for n in range(16)
    ]
    Path("t.csv").write_text("\n".join(["image,kind,split", *rows]))
    Path("c.json").write_text(
        json.dumps({"suite": {"name": "table", "path": "t.csv"}, "iterations": 1,
                    "strategy": "full_sharing", "backbone": {"name": "lenet"}})
    )  # fmt: skip
    assert status("run", "--config", "c.json", "--output", "run") == 0
    capsys.readouterr()
    assert status("evaluate", "run") == 0
    first = capsys.readouterr().out
    Path("t.csv").write_text("\n".join(["image,kind,split", *rows[::-1]]))
    assert status("evaluate", "run") == 0
    assert capsys.readouterr().out == first
    assert status("run", "--resume", "--output", "run", "--iterations", 2) == 2
    said = capsys.readouterr().err
    assert "train split of kind: the same examples come in another order, e.g. 11.png where" in said


def test_runs_with_other_examples_are_named_in_what_compares_them(tmp_path: Path) -> None:
    records = [make_run(tmp_path / name, "none", n) for n, name in enumerate("abcd")]
    given = {"train": [1, 2, 3, 4], "test": [7, 8, 9]}
    sorted_otherwise = {**given, "train": [4, 3, 2, 1]}
    for name, rows in (("a", given), ("c", sorted_otherwise)):  # b is from before such records
        (tmp_path / name / "tasks.json").write_text(json.dumps(describe(numbered(rows))))
    assert other_examples(records) is None
    other = describe(numbered({**given, "test": [7, 8]}))
    (tmp_path / "d" / "tasks.json").write_text(json.dumps(other))
    (group,) = make_groups(records)
    (note,) = [note for note in analyse(group).notes if "same examples" in note]
    assert "d, unlike a: test split of odd: 1 example is gone (9.png)." in note
    (tmp_path / "d" / "tasks.json").write_text("[")
    assert other_examples(records) == "d, unlike a: tasks.json cannot be read (MtlError)"


def test_settings_with_other_budgets_are_named(tmp_path: Path) -> None:
    given = [("full", 0, 400), ("full", 1, 400), ("none", 0, 1200), ("found", 0, 400)]
    records = [
        make_run(tmp_path / f"{name}{seed}", name, seed, iterations=count)
        for name, seed, count in given
    ]
    assert other_iterations(records) == "full, found 400; none 1,200"
    assert other_iterations([records[0], records[1], records[3]]) is None
    (tmp_path / "none0" / "config.yaml").unlink()
    assert other_iterations(records) is None


def test_runs_of_other_versions_and_machines_are_named_in_what_compares_them(
    tmp_path: Path,
) -> None:
    records = []
    for seed, (torch_version, device) in enumerate([("2.11.0", "A"), ("2.14.1", "A")] * 2):
        record = make_run(tmp_path / str(seed), "none", seed)
        assert record.result is not None
        versions = {"framework": "1.0", "torch": torch_version}
        if seed == 3:  # a strategy of a third party, which other runs know nothing of
            versions["mtl-theirs"], device = "0.3", "B"
        result = replace(record.result, versions=versions, device=device)
        records.append(replace(record, result=result))
    assert other_surroundings(records) == ["device A (3), B (1)", "torch 2.11.0 (2), 2.14.1 (2)"]
    (group,) = make_groups(records)
    (note,) = [note for note in analyse(group).notes if "same machine" in note]
    assert note.endswith("device A (3), B (1); torch 2.11.0 (2), 2.14.1 (2).")
    assert other_surroundings([records[0], records[2]]) == []
    (group,) = make_groups([records[0], records[2]])
    assert not [note for note in analyse(group).notes if "same machine" in note]
