"""Networks out of a run and back: nothing changes, and damaged files are named."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.exported_runs import run_shapes, shapes_plugins
from support.tiny import TinyPlugins, start
from support.typed import stored, tensor
from torch import Tensor

from mtl_framework.export import (
    export_all,
    export_network,
    export_onnx,
    export_program,
    load_bundle,
    load_network,
)
from mtl_framework.export.about import folder_name
from mtl_framework.runs.load import LoadedRun, load_run
from mtl_framework.support.errors import MtlError

DOCS = Path(__file__).parents[2] / "docs" / "export.md"
# What runs without this framework must not find it, however it is installed.
WITHOUT_FRAMEWORK = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0].startswith("mtl_"):
            raise ImportError(f"{name} should not be needed")
sys.meta_path.insert(0, Absent())
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    return run_shapes(tmp_path_factory.mktemp("export") / "run")


def images(run: LoadedRun) -> Tensor:
    return run.preprocessing(stored(run.suite.tasks[0].test))


def randomize(run: LoadedRun, seed: int) -> None:
    """Other sharing, without training."""
    generator = torch.Generator().manual_seed(seed)
    assignment = tensor(run.network.assignment)
    assignment.copy_(torch.randint(2, assignment.shape, generator=generator))


def alone(code: str, *arguments: str | Path) -> None:
    command = [sys.executable, "-c", WITHOUT_FRAMEWORK + code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr


SAVE_OUTPUTS = """
import torch
with torch.no_grad():
    torch.save(model(torch.load(sys.argv[2])), sys.argv[3])
"""


@pytest.mark.long
def test_the_script_of_the_docs_needs_timm_alone(run: LoadedRun, tmp_path: Path) -> None:
    script = re.search(r"```python\n(import json.*?)```", DOCS.read_text(), re.S)
    assert script is not None
    export_network(run, "colour / main", tmp_path / "export")
    torch.save(images(run), tmp_path / "in.pt")
    files = tmp_path / "export", tmp_path / "in.pt", tmp_path / "out.pt"
    alone(script[1] + SAVE_OUTPUTS, *files)
    expected = run.predict("colour / main", stored(run.suite.tasks[0].test))
    torch.testing.assert_close(torch.load(tmp_path / "out.pt"), expected)


@pytest.mark.long
def test_a_program_needs_torch_alone(run: LoadedRun, tmp_path: Path) -> None:
    about = export_program(run, "brightness", tmp_path)
    assert about.batch == "any"
    assert about.parameters == sum(p.numel() for p in run.extract("brightness").parameters())
    torch.save(images(run), tmp_path / "in.pt")
    code = "import torch\nmodel = torch.export.load(sys.argv[1]).module()\n"
    alone(code + SAVE_OUTPUTS, tmp_path / "model.pt2", tmp_path / "in.pt", tmp_path / "out.pt")
    expected = run.predict("brightness", stored(run.suite.tasks[0].test))
    torch.testing.assert_close(torch.load(tmp_path / "out.pt"), expected)
    assert json.loads((tmp_path / "model.pt2.json").read_text())["kind"] == "torch-export"


@pytest.mark.long
def test_onnx_gives_the_same(run: LoadedRun, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    about = export_onnx(run, "colour / main", tmp_path)
    assert about.batch == "any"
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (found,) = session.run(["outputs"], {"inputs": images(run).numpy()})
    expected = run.predict("colour / main", stored(run.suite.tasks[0].test))
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**31))
def test_extracting_exporting_and_loading_change_nothing(
    run: LoadedRun, tmp_path: Path, seed: int
) -> None:
    randomize(run, seed)
    export_all(run, tmp_path / "all")
    bundle = load_bundle(tmp_path / "all")
    assert bundle.tasks == run.suite.task_names
    for number, task in enumerate(run.suite.task_names):
        export_network(run, number, tmp_path / str(number))
        expected = run.extract(task)
        for found in (load_network(tmp_path / str(number)), bundle.network(task)):
            assert type(found) is type(expected)
            assert not found.training
            state = expected.state_dict()
            assert state.keys() == found.state_dict().keys()
            for name, value in found.state_dict().items():
                assert torch.equal(value, state[name]), name


def test_every_distinct_weight_is_stored_once(run: LoadedRun, tmp_path: Path) -> None:
    sizes = []
    for weight in (0, 1):  # everything shared; nothing but the stem
        assignment = tensor(run.network.assignment)
        assignment.copy_(torch.tensor([[0, weight]] * len(assignment)))
        export_all(run, tmp_path)
        counts = run.network.parameter_counts()
        parameters = {name for name, _ in run.extract(0).named_parameters()}
        bundle = load_bundle(tmp_path)
        stored = {
            source
            for member in bundle.about.members
            for name, source in member.tensors.items()
            if name in parameters
        }
        sizes.append(sum(bundle.tensors[name].numel() for name in stored))
        assert sizes[-1] <= counts.deployed  # layers that have not moved yet are equal, too
    assert sizes[0] < 0.6 * sizes[1]


@pytest.mark.parametrize("strategy", ["lws", "full_sharing", "no_sharing", "fixed_sharing"])
@pytest.mark.parametrize("normalization", ["shared", "task"])
def test_networks_of_every_strategy_can_be_exported(
    strategy: str, normalization: str, tmp_path: Path
) -> None:
    run = run_shapes(tmp_path / "run", strategy, normalization=normalization)
    export_all(run, tmp_path / "all")
    bundle = load_bundle(tmp_path / "all")
    for task in run.suite.task_names:
        with torch.no_grad():
            found = bundle.network(task)(images(run))
        torch.testing.assert_close(found, run.predict(task, stored(run.suite.tasks[0].test)))


@pytest.mark.long
def test_surgery_and_ties_survive(tmp_path: Path) -> None:
    small = run_shapes(tmp_path / "run", small_images=True)
    export_network(small, 0, tmp_path / "small")
    assert isinstance(load_network(tmp_path / "small").maxpool, torch.nn.Identity)
    tied = run_shapes(
        tmp_path / "tied",
        "full_sharing",
        name="coat_tiny",
        args={"serial_depths": [1, 1, 1, 1], "parallel_depth": 1},
    )
    about = export_network(tied, 0, tmp_path / "coat")
    assert about.weights.tied
    with torch.no_grad():
        found = load_network(tmp_path / "coat")(images(tied))
    torch.testing.assert_close(found, tied.predict(0, stored(tied.suite.tasks[0].test)))


def test_a_plugins_backbone_needs_its_plugin(tmp_path: Path) -> None:
    start(tmp_path / "run", strategy="routed").execute()
    run = load_run(tmp_path / "run", plugins=TinyPlugins())
    export_network(run, "rows", tmp_path / "net")
    with pytest.raises(MtlError, match="unknown backbone 'tiny'"):
        load_network(tmp_path / "net", shapes_plugins())
    inputs = stored(run.suite.tasks[0].test)
    with torch.no_grad():
        found = load_network(tmp_path / "net", TinyPlugins())(run.preprocessing(inputs))
    torch.testing.assert_close(found, run.predict("rows", inputs))


DAMAGED = ["model.json", "model.safetensors", "networks.json", "networks.safetensors"]


@pytest.fixture(scope="module")
def exported(run: LoadedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    export_network(run, 0, folder)
    export_all(run, folder)
    return folder


def load_both(folder: Path, name: str) -> None:
    if name.startswith("model"):
        load_network(folder)
    else:
        load_bundle(folder).network("brightness")


@pytest.mark.parametrize("name", DAMAGED)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_files_are_named(
    name: str, exported: Path, tmp_path: Path, data: st.DataObject
) -> None:
    for file in exported.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    content = bytearray((exported / name).read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[position:]
    else:
        content[position] ^= 1 << data.draw(st.integers(0, 7))
    (tmp_path / name).write_bytes(content)
    try:
        same = json.loads(content) == json.loads((exported / name).read_bytes())
    except ValueError:
        same = False
    if same:  # white space changed
        load_both(tmp_path, name)
        return
    with pytest.raises(MtlError, match=re.escape(name)) as caught:
        load_both(tmp_path, name)
    assert "\n" not in str(caught.value)


def test_files_of_another_task_are_refused(run: LoadedRun, tmp_path: Path) -> None:
    export_network(run, 0, tmp_path / "a")
    export_network(run, 1, tmp_path / "b")
    (tmp_path / "a" / "model.safetensors").replace(tmp_path / "b" / "model.safetensors")
    with pytest.raises(MtlError, match=r"model.safetensors is damaged .* digest"):
        load_network(tmp_path / "b")
    with pytest.raises(MtlError, match=r"cannot read .*model.safetensors"):
        load_network(tmp_path / "a")
    export_all(run, tmp_path)
    bundle = load_bundle(tmp_path)
    with pytest.raises(MtlError, match="did you mean 'brightness'"):
        bundle.network("brightnes")


@pytest.mark.long
def test_what_is_more_than_a_backbone_is_a_program_only(tmp_path: Path) -> None:
    start(tmp_path / "run", strategy="routed").execute()
    run = load_run(tmp_path / "run", plugins=TinyPlugins())
    plain = run.network.extract
    run.network.extract = lambda task: torch.nn.Sequential(plain(task))  # type: ignore[method-assign]
    with pytest.raises(MtlError, match=r"strategy 'routed' is more than a plain tiny"):
        export_network(run, 0, tmp_path / "net")
    assert not (tmp_path / "net").exists()
    assert export_program(run, 0, tmp_path / "net").task.name == "rows"


def test_folders_of_tasks_are_different() -> None:
    names = ["a/b", "a b", "c", "..", "A_b", "a_b", "a_b-0", "x" * 300, "x" * 299 + "y", "é", "è"]
    folders = [folder_name(names, number) for number in range(len(names))]
    assert len({name.lower() for name in folders}) == len(names)
    assert all(re.fullmatch(r"[\w-]{1,100}", name) for name in folders)
    assert folder_name(["kind"], 0) == "kind"
