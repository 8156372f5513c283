"""All tasks' networks as one program: nothing is computed twice, and nothing changes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from support.exported_runs import run_shapes
from support.typed import tensor
from torch import Tensor, nn

from mtl_framework.cli import main
from mtl_framework.export import export_joint, export_joint_onnx
from mtl_framework.export.merging import merge_equal
from mtl_framework.export.weights import content_key
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.runs.load import LoadedRun

CONVOLUTIONS = "conv2d"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    """Two tasks on inputs of their own, and K = 2."""
    return run_shapes(tmp_path_factory.mktemp("joint") / "run")


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    """Two tasks on common inputs."""
    return run_shapes(tmp_path_factory.mktemp("joint") / "common", common_input=True)


def share(run: LoadedRun, *columns: list[int]) -> None:
    """Another sharing, without training: the weights of each task, unit by unit."""
    tensor(run.network.assignment).copy_(torch.tensor(columns).T)


def images(run: LoadedRun, task: int, count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, *run.preprocessings[task].input_shape, generator=generator)


def calls(program: torch.export.ExportedProgram, of: str) -> int:
    nodes = program.graph.nodes
    return sum(node.op == "call_function" and of in str(node.target) for node in nodes)


def convolutions(module: nn.Module) -> int:
    return sum(isinstance(each, nn.Conv2d) for each in module.modules())


@pytest.mark.long
def test_what_tasks_share_is_computed_once(common: LoadedRun, tmp_path: Path) -> None:
    network = common.network
    assert isinstance(network, TaskNetworks)
    units = len(network.backbone.units)
    alone = convolutions(common.extract(0))
    x = images(common, 0, 5)
    counts = []
    for part in (0, 1, units):  # the first units are shared, the others not
        share(common, [0] * units, [0] * part + [1] * (units - part))
        about = export_joint(common, tmp_path / f"{part}")
        program = torch.export.load(tmp_path / f"{part}" / "joint.pt2")
        outputs: dict[str, Tensor] = program.module()(x)
        with torch.no_grad():
            for number, name in enumerate(common.suite.task_names):
                assert torch.equal(outputs[name], common.extract(number)(x)), name
        counts.append(calls(program, CONVOLUTIONS))
        assert about.inputs == ("inputs",)
        own = [p for n in range(2) for p in used_parameters(network, n)]
        distinct = {content_key(p): p.numel() for p in own}
        assert about.parameters == sum(distinct.values())
    assert counts == sorted(counts, reverse=True)
    stem = alone - sum(
        convolutions(common.extract(0).get_submodule(unit.name)) for unit in network.backbone.units
    )
    assert counts[0] == 2 * alone - stem
    assert counts[-1] == alone


def used_parameters(network: TaskNetworks, task: int) -> list[nn.Parameter]:
    """Parameters of a task's own network, as the networks hold them."""
    path = network.assignment[:, task].tolist()
    banks = [p for unit, weight in enumerate(path) for p in network.bank_parameters(unit, weight)]
    return [*network.shared_parameters(), *banks, *network.head_parameters(task)]


@pytest.mark.long
def test_tasks_with_inputs_of_their_own_have_one_each(run: LoadedRun, tmp_path: Path) -> None:
    units = tensor(run.network.assignment).shape[0]
    share(run, [0] * units, [0] * units)
    about = export_joint(run, tmp_path)
    assert about.batch == "any"
    assert len(about.inputs) == 2
    assert [member.input for member in about.members] == list(about.inputs)
    program = torch.export.load(tmp_path / "joint.pt2").module()
    x, y = images(run, 0, 3), images(run, 1, 4, seed=1)  # other numbers of examples
    outputs = program(x, y)
    with torch.no_grad():
        assert torch.equal(outputs["colour / main"], run.extract(0)(x))
        assert torch.equal(outputs["brightness"], run.extract(1)(y))


@pytest.mark.long
def test_onnx_has_names_and_gives_the_same(common: LoadedRun, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    units = tensor(common.network.assignment).shape[0]
    share(common, [0] * units, [0] * (units - 1) + [1])
    about = export_joint_onnx(common, tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "joint.onnx")
    assert [each.name for each in session.get_inputs()] == ["inputs"]
    names = [member.output for member in about.members]
    assert [each.name for each in session.get_outputs()] == names
    x = images(common, 0, 7)
    found = session.run(names, {"inputs": x.numpy()})
    with torch.no_grad():
        for number, outputs in enumerate(found):
            expected = common.extract(number)(x)
            torch.testing.assert_close(torch.from_numpy(outputs), expected, rtol=1e-4, atol=1e-5)


def test_the_command_writes_it_and_says_what_is_wrong(
    common: LoadedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(common.directory)
    for options, message in (
        ([], "export needs one of --task NAME, --all and --joint"),
        (["--joint", "--all"], "export needs one of"),
        (["--joint"], "--joint writes a program: add --format torch-export or --format onnx"),
        (["--all", "--format", "onnx"], "use --task or --joint"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(["export", folder, *options])
        assert caught.value.code == 2
        assert message in " ".join(capsys.readouterr().err.split())


def test_only_equal_and_pure_calls_are_merged() -> None:
    class Twice(nn.Module):
        def forward(self, x: Tensor) -> tuple[Any, ...]:
            once, again = torch.relu(x) + 1, torch.relu(x) + 1
            other = torch.relu(x) + 1.5
            return once * 2, again * 3, other, torch.rand_like(x), torch.rand_like(x)

    program = torch.export.export(Twice().eval(), (torch.ones(3),)).run_decompositions({})
    module = program.module()
    assert isinstance(module, torch.fx.GraphModule)
    before = module(torch.tensor([-1.0, 0, 2]))
    merge_equal(module)
    after = module(torch.tensor([-1.0, 0, 2]))
    for x, y in zip(before[:3], after[:3], strict=True):
        assert torch.equal(x, y)
    assert not torch.equal(after[3], after[4])  # two draws stay two
    names = [str(node.target) for node in module.graph.nodes]
    assert sum("relu" in name for name in names) == 1
    assert sum("add" in name for name in names) == 2


@pytest.mark.long
def test_its_json_names_tasks_inputs_and_outputs(common: LoadedRun, tmp_path: Path) -> None:
    about = export_joint(common, tmp_path, probabilities=False)
    plain = json.loads((tmp_path / "joint.pt2.json").read_text())
    assert plain["format"] == "mtl-framework joint program 1"
    assert [member["task"]["name"] for member in plain["members"]] == list(common.suite.task_names)
    assert all(re.fullmatch(r"outputs_[\w-]+", member.output) for member in about.members)


def test_what_can_learn_is_never_merged_with_what_cannot() -> None:
    """A fresh norm's running mean equals its bias, and its running variance its weight."""
    norm = nn.BatchNorm2d(3).eval()
    x = torch.rand(2, 3, 4, 4)
    program = torch.export.export(norm, (x,)).run_decompositions({})
    module = program.module()
    assert isinstance(module, torch.fx.GraphModule)
    merge_equal(module)
    assert len(list(module.parameters())) == 2
    again = torch.export.export(module, (x,)).run_decompositions()  # which failed on a merged mean
    torch.testing.assert_close(again.module()(x), norm(x))
