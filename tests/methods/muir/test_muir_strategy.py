"""Whole runs of muir: generations, resuming, going back, baselines, and what is refused."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from mtl_muir.config import MuirConfig
from mtl_muir.strategy import Muir
from support.muir_networks import linear_models
from support.muir_runs import (
    MuirPlugins,
    run_of,
    strategy_of,
)
from support.tiny import content
from support.typed import stored

from mtl_framework.backbones.recurrent import reset_state
from mtl_framework.runs.load import load_run
from mtl_framework.support.errors import MtlError

# -- runs ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("kinds") / "run"
    run_of(folder, keys={"iterations": 8}).execute()
    return folder


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_run_goes_on_as_if_it_had_not_been_stopped(
    tmp_path: Path, finished: Path, at: int
) -> None:
    run_of(tmp_path / "run", keys={"iterations": at}).execute()
    longer = run_of(tmp_path / "run", resume=True, keys={"iterations": 8})
    assert longer.iteration == at
    longer.execute()
    ours, theirs = content(tmp_path / "run"), content(finished)
    # a shorter run is evaluated where it ends
    for name in ("metrics.jsonl", "config.yaml", "result.json"):
        ours.pop(name), theirs.pop(name)
    last = {name: value for name, value in ours.items() if "last" in name and "json" not in name}
    assert last == {name: theirs[name] for name in last}
    assert last


@pytest.mark.long
def test_a_run_with_fitted_contexts_goes_on_within_a_generation(tmp_path: Path) -> None:
    run_of(
        tmp_path / "a", "groups", keys={"iterations": 50}, challenger_contexts="fitted"
    ).execute()
    run_of(
        tmp_path / "b", "groups", keys={"iterations": 27}, challenger_contexts="fitted"
    ).execute()
    longer = run_of(
        tmp_path / "b", "groups", True, keys={"iterations": 50}, challenger_contexts="fitted"
    )
    maps = strategy_of(longer).network.maps
    assert maps is not None
    assert not torch.equal(maps, torch.ones_like(maps))  # there are challengers with their own
    longer.execute()
    ours, theirs = content(tmp_path / "b"), content(tmp_path / "a")
    last = [name for name in theirs if "last" in name and "json" not in name]
    assert last
    assert {name: ours[name] for name in last} == {name: theirs[name] for name in last}


def test_a_run_is_loaded_extracted_and_evaluated_again(finished: Path) -> None:
    run = load_run(finished, plugins=MuirPlugins())
    saved = json.loads((finished / "result.json").read_text())
    assert run.evaluate().splits["test"].per_task == pytest.approx(saved["test"]["per_task"])
    for t, task in enumerate(run.suite.tasks):
        model = run.extract(t)
        inputs = stored(task.test)
        with torch.no_grad():
            reset_state(run.network)
            torch.testing.assert_close(model(inputs), run.network.predict(t, inputs))


def test_metrics_say_who_uses_the_modules(finished: Path) -> None:
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    metrics = [line["metrics"] for line in lines if "metrics" in line]
    run = load_run(finished, plugins=MuirPlugins())
    locations = sum(n for _, _, n in run.strategy.places.weights)  # type: ignore[attr-defined]
    assert metrics[0]["modules"] == locations
    assert [sum(m["modules_by_users"]) for m in metrics] == [m["modules"] for m in metrics]
    assert metrics[-1]["modules"] < locations
    assert len(metrics[0]["modules_by_users"]) == 7


def test_a_checkpoint_of_other_layers_is_refused(tmp_path: Path, finished: Path) -> None:
    backbones, suite = linear_models(2)
    torch.manual_seed(0)
    strategy = Muir(MuirConfig(block_out=1, block_in=4))
    strategy.build_each(backbones, suite)
    other = strategy.state_dict()
    strategy.load_state_dict(other)
    other["places"] = {"weights": [["a", "b", 2]]}
    with pytest.raises(MtlError, match="generate the weights of other layers"):
        strategy.load_state_dict(other)


# -- tasks without labels ------------------------------------------------------------------------


@pytest.mark.parametrize("context_size", [0, 2])
def test_a_task_without_labels_keeps_its_weights(tmp_path: Path, context_size: int) -> None:
    run = run_of(tmp_path / "run", "groups", context_size=context_size, challenged=1.0)
    strategy = strategy_of(run)
    network = strategy.network
    mapping = network.mapping.clone()
    mapping[1] = mapping[0]  # shared with a task that has labels
    network.settle(mapping)
    last = len(run.suite) - 1
    for _ in range(3):
        strategy.train_step(run.next_batch())  # momentum for all
    strategy.challenge()
    others = network.candidates[:last]  # none of which may try the module of the last task
    others[others == mapping[last]] = mapping[0]
    network.candidates[last] = mapping[last]
    batch = run.next_batch()
    missing = [torch.zeros(len(y), dtype=torch.bool) for y in batch.targets]
    labelled = tuple(mark if t in (1, last) else None for t, mark in enumerate(missing))
    before, soft = network.blocks().detach().clone(), network.logits.detach().clone()
    contexts = network.hypermodules.contexts.detach().clone()
    strategy.train_step(dataclasses.replace(batch, labelled=labelled))
    after = network.blocks().detach()
    assert torch.equal(after[last], before[last])
    assert torch.equal(network.logits[[1, last]], soft[[1, last]])
    assert torch.equal(network.hypermodules.contexts[[1, last]], contexts[[1, last]])
    assert not torch.equal(after[0], before[0])
    strategy.train_step(batch)  # and with labels it moves again
    assert not torch.equal(network.blocks().detach()[last], before[last])
