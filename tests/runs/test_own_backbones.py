"""Tasks with backbones of their own: configuration, training, evaluation, files, export."""

import json
from pathlib import Path

import pytest
import torch
from mtl_backbones.deepbind import DeepBind
from mtl_backbones.language_model import LstmLanguageModel
from mtl_backbones.lenet import LeNet
from support.mixed import mixed_config, mixed_plugins, mixed_suite, start_mixed
from support.typed import stored
from torch import nn

from mtl_framework.backbones.backbone import Backbone
from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.backbones.recurrent import carried_states
from mtl_framework.data.batches import BalancedBatches
from mtl_framework.data.tasks import Suite
from mtl_framework.export import (
    export_all,
    export_network,
    export_program,
    load_bundle,
    load_network,
)
from mtl_framework.networks.evaluation import evaluate
from mtl_framework.networks.separate import SeparateNetworks
from mtl_framework.runs.assembly import find_suite, own_backbones
from mtl_framework.runs.checkpoint import Checkpoints
from mtl_framework.runs.load import LoadedRun, load_run
from mtl_framework.support.errors import MtlError

CPU = torch.device("cpu")


def networks(suite: Suite) -> SeparateNetworks:
    torch.manual_seed(0)
    backbones = own_backbones(mixed_config(), mixed_plugins(), suite)
    return SeparateNetworks(backbones, suite.tasks)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "mixed"
    start_mixed(directory).execute()
    return directory


@pytest.fixture(scope="module")
def loaded(finished: Path) -> LoadedRun:
    return load_run(finished, plugins=mixed_plugins())


# -- which network each task has ----------------------------------------------------------------


def test_every_task_has_the_backbone_it_names() -> None:
    suite = mixed_suite()
    assert not suite.common_backbone
    found = own_backbones(mixed_config(), mixed_plugins(), suite)
    assert [b.name for b in found] == ["lenet", "lstm_language_model", "deepbind"]
    assert [b.input_shape for b in found] == [(1, 10, 10), (5,), (12,)]
    assert [b.input_dtype for b in found] == [torch.float32, torch.int64, torch.int8]
    assert not any(isinstance(b, Backbone) for b in found)
    model = networks(suite)
    assert [type(n) for n in model.networks] == [LeNet, LstmLanguageModel, DeepBind]
    assert model.networks[1].embedding.embedding_dim == 16  # type: ignore[union-attr]


def test_a_run_overrides_what_the_suite_names() -> None:
    plugins = mixed_plugins()
    changed = mixed_config(task_backbones={"text": {"args": {"layers": 1}}, "image": "linear"})
    suite = find_suite(changed, plugins)
    found = own_backbones(changed, plugins, suite)
    assert [b.name for b in found] == ["linear", "lstm_language_model", "deepbind"]
    # arguments of one network are merged, those for another are dropped
    assert found[1].recipe.args["width"] == 16
    assert found[1].recipe.args["layers"] == 1
    other = find_suite(mixed_config(task_backbones={"dna": "lenet"}), plugins)
    assert other.tasks[2].backbone == {"name": "lenet"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"txt": "lenet"}, "unknown task in task_backbones 'txt'; did you mean 'text'"),
        ({"text": "lenet"}, "'lenet' needs images"),
        ({"image": "lent"}, "unknown backbone 'lent'"),
        ({"image": {"shared": ["conv1"]}}, r"task_backbones.image.shared"),
        ({"dna": {"args": {"kernel_size": 13}}}, "at least 13 positions, found 12"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, given: dict[str, object], message: str
) -> None:
    with pytest.raises(MtlError, match=message) as caught:
        start_mixed(tmp_path / "run", task_backbones=given)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_strategies_that_need_one_backbone_say_so_in_one_line(tmp_path: Path) -> None:
    for name in ("lws", "full_sharing"):
        with pytest.raises(MtlError) as caught:
            start_mixed(tmp_path / name, strategy={"name": name})
        assert str(caught.value) == (
            f"strategy {name!r} needs one backbone for all tasks; in suite 'mixed' image, text, "
            "dna have their own"
        )
    with pytest.raises(MtlError, match="initialization='he_uniform' is for one backbone"):
        start_mixed(
            tmp_path / "init", strategy={"name": "no_sharing", "initialization": "he_uniform"}
        )


def test_a_recurrent_backbone_cannot_be_routed() -> None:
    config = BackboneConfig(name="lstm_language_model")
    with pytest.raises(MtlError, match="keeps state from batch to batch"):
        build_backbone(config, 5, None, LstmLanguageModel, (5,))


# -- the networks -------------------------------------------------------------------------------


def test_losses_and_gradients_are_those_of_each_network_alone() -> None:
    suite = mixed_suite(dropout=0.0)
    model, alone = networks(suite).double(), networks(suite).double()
    batches = BalancedBatches(suite, 4, 0, CPU)
    for weights in (None, torch.tensor([1.0, 0.0, 2.0])):
        batch = batches.next()
        inputs = [x.double() if x.is_floating_point() else x for x in batch.inputs]
        batch = type(batch)(tuple(inputs), batch.targets, starts=batch.starts)
        model.zero_grad()
        alone.zero_grad()
        losses = model.accumulate_gradients(batch, weights)
        for t, task in enumerate(suite.tasks):
            loss = task.objective.losses(alone.networks[t](inputs[t]), batch.targets[t]).mean()
            torch.testing.assert_close(losses[t], loss.detach())
            (loss * (1 / 3 if weights is None else weights[t])).backward()
        for mine, theirs in zip(model.parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(mine.grad, theirs.grad)


def test_only_labelled_rows_count_and_a_task_without_any_is_left_alone() -> None:
    suite = mixed_suite()
    model = networks(suite).eval()
    batch = BalancedBatches(suite, 4, 0, CPU).next()
    mask = torch.tensor([True, False, True, False])
    poisoned = batch.targets[0].where(mask, 1 - batch.targets[0])
    some = type(batch)(
        batch.inputs,
        (poisoned, *batch.targets[1:]),
        labelled=(mask, None, torch.zeros(3, dtype=torch.bool)),
        starts=(False, True, False),
    )
    losses = model.accumulate_gradients(some)
    kept = model.predict(0, batch.inputs[0][mask])
    expected = suite.tasks[0].objective.losses(kept, batch.targets[0][mask]).mean()
    torch.testing.assert_close(losses[0], expected.detach())
    assert losses[2] == 0
    assert all(p.grad is None for p in model.networks[2].parameters())
    assert all(p.grad is not None for p in model.networks[0].parameters())


def test_streams_go_on_from_batch_to_batch_and_begin_anew_at_their_end() -> None:
    suite = mixed_suite(dropout=0.0)
    model = networks(suite)
    batches = BalancedBatches(suite, 4, 0, CPU)
    texts, starts = [], []
    with torch.no_grad():
        for _ in range(4):  # three windows a stream
            batch = batches.next()
            starts.append(bool(batch.starts and batch.starts[1]))
            texts.append(model.loss(batch, 1))
            last = batch.inputs[1]
        assert starts == [True, False, False, True]
        torch.testing.assert_close(texts[3], texts[0])
        carried = model.networks[1](last)
        assert not torch.allclose(carried, mixed_alone(model, last))


def mixed_alone(model: SeparateNetworks, inputs: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = model.extract(1)(inputs)
    return found


def test_evaluation_leaves_training_states_alone_and_carries_its_own() -> None:
    suite = mixed_suite()
    model = networks(suite)
    model.accumulate_gradients(BalancedBatches(suite, 4, 0, CPU).next())
    before = carried_states(model)
    found = evaluate(model, suite, 1, CPU, 256)
    after = carried_states(model)
    assert before["networks.1"] is after["networks.1"]
    assert evaluate(model, suite, 1, CPU, 7) == found  # streams, not the batch size, cut the text
    examples = suite.tasks[1].test
    plain = model.extract(1)
    plain.stateful = True  # type: ignore[assignment]
    with torch.no_grad():
        parts = [
            suite.tasks[1].objective.losses(plain(x), y)
            for x, y in zip(examples.inputs.split(2), examples.targets.split(2), strict=True)  # type: ignore[union-attr]
        ]
    mean = float(torch.cat(parts).mean())
    assert found.splits["test"].loss_per_task["text"] == pytest.approx(mean, rel=1e-5)


# -- runs ---------------------------------------------------------------------------------------


def test_a_run_reports_each_task_in_its_own_metric(finished: Path) -> None:
    result = json.loads((finished / "result.json").read_text())
    assert result["backbone"] == "lenet+lstm_language_model+deepbind"
    assert result["backbones"]["dna"] == "deepbind"
    assert result["metrics"] == {"image": "error %", "text": "perplexity", "dna": "RMSE"}
    assert result["test"]["error_mean"] is None
    assert result["test"]["error_pooled"] is None
    assert set(result["best"]["test"]["per_task"]) == {"image", "text", "dna"}


@pytest.mark.parametrize("stopped_at", [1, 2])
def test_a_resumed_run_is_the_same_bit_for_bit(
    tmp_path: Path, finished: Path, stopped_at: int
) -> None:
    start_mixed(tmp_path / "r", iterations=stopped_at, eval_every=2).execute()
    resumed = start_mixed(tmp_path / "r", resume=True)
    assert carried_states(resumed.network)["networks.1"] is not None  # in the middle of the streams
    resumed.execute()
    states = [Checkpoints(d / "checkpoint").load("last", 4) for d in (tmp_path / "r", finished)]
    mine, theirs = (state["recurrent"]["networks.1"] for state in states)
    assert all(torch.equal(x, y) for x, y in zip(mine, theirs, strict=True))
    a, b = (load_run(d, plugins=mixed_plugins()) for d in (tmp_path / "r", finished))
    for (name, x), y in zip(
        a.network.state_dict().items(), b.network.state_dict().values(), strict=True
    ):
        assert torch.equal(x, y), name
    assert a.evaluate() == b.evaluate()


def test_a_loaded_run_predicts_and_evaluates_as_it_was_saved(
    finished: Path, loaded: LoadedRun
) -> None:
    result = json.loads((finished / "result.json").read_text())
    assert loaded.evaluate().splits["test"].per_task == pytest.approx(result["test"]["per_task"])
    with pytest.raises(MtlError, match="different inputs"):
        _ = loaded.preprocessing
    with pytest.raises(MtlError, match="backbones of their own"):
        _ = loaded.backbone
    with pytest.raises(MtlError, match="whole numbers, found"):
        loaded.predict("text", torch.rand(2, 5))
    for task in loaded.suite.tasks:
        inputs = stored(task.test)[:3]
        number = loaded.suite.index(task.name)
        plain = loaded.extract(task.name)
        prepared = loaded.preprocessings[number](inputs)
        for _ in range(2):  # rows are no streams: nothing is carried
            with torch.no_grad():
                torch.testing.assert_close(plain(prepared), loaded.predict(task.name, inputs))


def test_networks_are_exported_one_by_one_and_all_together(
    tmp_path: Path, loaded: LoadedRun
) -> None:
    plugins = mixed_plugins()
    export_all(loaded, tmp_path / "all")
    bundle = load_bundle(tmp_path / "all", plugins)
    for number, task in enumerate(loaded.suite.tasks):
        export_network(loaded, number, tmp_path / task.name)
        inputs = stored(task.test)[:3]
        prepared = loaded.preprocessings[number](inputs)
        expected = loaded.predict(number, inputs)
        for network in (load_network(tmp_path / task.name, plugins), bundle.network(task.name)):
            assert isinstance(network, nn.Module)
            with torch.no_grad():
                torch.testing.assert_close(network(prepared), expected)
    about = json.loads((tmp_path / "text" / "model.json").read_text())
    assert about["preprocessing"] == {"input_shape": [5], "dtype": "int64"}


def test_a_language_model_becomes_a_program(tmp_path: Path, loaded: LoadedRun) -> None:
    about = export_program(loaded, "text", tmp_path)
    program = torch.export.load(tmp_path / "model.pt2").module()
    words = stored(loaded.suite.tasks[1].test)[: 2 if about.batch == "any" else about.batch]
    torch.testing.assert_close(program(words), loaded.predict(1, words))
