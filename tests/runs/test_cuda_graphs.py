"""Runs whose steps are replayed where they repeat are runs as ever."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support.replayed import counting

from mtl_framework import run
from mtl_framework.networks.repeated_steps import RepeatedSteps
from mtl_framework.networks.result import Result
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.runs import starting
from mtl_framework.runs.reach import graph_notes, prepare_strategy

DIGITS = {"name": "digits", "size": 12}


@pytest.fixture
def graph(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let networks be recorded on the CPU, by what needs no GPU."""
    graph, prepare = counting(), prepare_strategy

    def prepared(strategy: Any, config: Any, device: Any) -> None:
        prepare(strategy, config, device)
        for module in strategy.network.modules():
            if config.cuda_graphs and isinstance(module, TaskNetworks):
                module.repeated = RepeatedSteps(module, graph)

    monkeypatch.setattr(starting, "prepare_strategy", prepared)
    return graph


def trained(
    folder: Path, strategy: str, graphs: bool, iterations: int = 12, **options: Any
) -> Result:
    return run(
        strategy, "dkl_convnet", DIGITS, output=folder, device="cpu", eval_every=4, batch_size=8,
        iterations=iterations, cuda_graphs=graphs, **{"progress": False, **options},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("strategy", "options", "replays"),
    [
        ("full_sharing", {}, 9),
        ("cross_stitch", {"after": "block"}, 9),
        ("sluice", {"after": "block"}, 9),
        ("soft_ordering", {}, 9),
        ("adapters", {"kind": "parallel"}, 9),
        ("adapters", {"kind": "low_rank", "assignment": "own", "trunk": "trained"}, 9),
        ("recon", {"iterations": 24}, 3),
        ("task_grouping", {"iterations": 24}, 3),
        # two fifths of the steps are shared, then some search, then the assignment stands still
        ("lws", {"shared_start": 0.4, "freeze_after": 0.6, "search_data": 0, "iterations": 20}, 8),
    ],
)
def test_a_run_learns_the_same(
    strategy: str, options: dict[str, Any], replays: int, graph: Any, tmp_path: Path
) -> None:
    one = trained(tmp_path / "plain", strategy, False, **options)
    assert graph.replays == 0
    other = trained(tmp_path / "graphs", strategy, True, **options)
    assert graph.replays >= replays
    assert one.test.loss_per_task == other.test.loss_per_task


def test_a_run_that_goes_on_ends_as_the_whole_one(graph: Any, tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", "no_sharing", True)
    trained(tmp_path / "half", "no_sharing", True, iterations=6)
    rest = trained(tmp_path / "half", "no_sharing", True, resume=True)
    assert whole.test.loss_per_task == rest.test.loss_per_task


@pytest.mark.parametrize(
    ("strategy", "device", "config", "reason"),
    [
        ("full_sharing", "cpu", {}, "the run is on cpu"),
        ("full_sharing", "cuda", {}, None),
        ("lws", "cuda", {}, None),
        ("pta", "cuda", {}, "strategy 'pta' has no networks whose steps can be replayed"),
        ("muir", "cuda", {}, "strategy 'muir' has no networks whose steps can be replayed"),
        ("full_sharing", "cuda", {"training": {"weighting": "upgrad"}}, "training.weighting needs"),
    ],
)
def test_where_it_changes_nothing_a_line_says_why(
    strategy: str,
    device: str,
    config: dict[str, Any],
    reason: str | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    notes: list[str] = []

    def told(strategy: Any, config: Any, _: torch.device) -> list[str]:
        notes.extend(graph_notes(strategy, config, torch.device(device)))
        return []

    monkeypatch.setattr(starting, "graph_notes", told)
    trained(tmp_path / "run", strategy, True, iterations=2, config=config)
    assert [note.partition(": ")[2].startswith(reason or "") for note in notes] == [True] * bool(
        reason
    )


def test_the_line_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(tmp_path / "run", "full_sharing", True, iterations=2, progress=True)
    shown = capsys.readouterr()
    assert "cuda_graphs changes nothing: the run is on cpu" in shown.out + shown.err
