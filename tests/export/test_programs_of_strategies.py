"""Programs compute what the networks compute, for strategies whose networks are no plain models."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mtl_framework import load_run, load_suite, run
from mtl_framework.data import Suite
from mtl_framework.export import export_joint, export_joint_onnx, export_onnx, export_program
from mtl_framework.networks.model import MultiTaskModel
from mtl_framework.runs.load import LoadedRun

#: Strategies with options, on a run of so few steps that every part of it takes place.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sluice": ("sluice", {}),
    "sluice-block": ("sluice", {"after": "block"}),
    "nddr": ("nddr", {}),
    "cross_stitch": ("cross_stitch", {"mixing": "channel"}),
    "soft_ordering": ("soft_ordering", {}),
    "routing_networks": ("routing_networks", {}),
    "routing-gumbel": ("routing_networks", {"router": "gumbel", "router_learning_rate": 10.0}),
    "adapters": ("adapters", {"kind": "parallel"}),
    "adapters-low_rank": ("adapters", {"kind": "low_rank", "rank": 2}),
    "adapters-series": ("adapters", {"kind": "series"}),
    "fafs": ("fafs", {"alpha": 100.0, "stall": 1}),
    "recon": ("recon", {"every": 1}),
    "task_grouping": ("task_grouping", {"every": 1, "groups": 2}),
}


#: Cases that take the longest, and of whose kind a quick one is there.
SLOW = {"sluice-block", "nddr", "cross_stitch"}
#: Cases whose joint programs are written as ONNX, too: one of each kind of network.
JOINT = {"sluice", "soft_ordering", "recon"}


def cases() -> list[Any]:
    return [pytest.param(n, marks=[pytest.mark.long] if n in SLOW else []) for n in CASES]


@pytest.fixture(scope="module", params=cases())
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    """Two tasks on digits of 8x8 pixels."""
    strategy, options = CASES[request.param]
    folder = tmp_path_factory.mktemp("run") / "run"
    suite = Suite("digits", load_suite("digits", size=8).tasks[:2], common_input=True)
    run(
        {"name": strategy, **options}, "dkl_convnet", suite,
        output=folder, iterations=4, batch_size=4, device="cpu", progress=False,
    )  # fmt: skip
    return load_run(folder, suite=suite)


def wanted(run: LoadedRun, inputs: Tensor) -> dict[str, Tensor]:
    """Outputs of the networks themselves, which do not have to be taken out for them."""
    network = run.network.eval()
    assert isinstance(network, MultiTaskModel)
    with torch.no_grad():
        return {
            name: network.predict(task, inputs) for task, name in enumerate(run.suite.task_names)
        }


def images(run: LoadedRun, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.rand(count, *run.preprocessing.input_shape, generator=generator)


def check(found: Any, expected: Tensor) -> None:
    found = found if isinstance(found, Tensor) else torch.from_numpy(found)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_exported_programs_give_the_same(loaded: LoadedRun, tmp_path: Path) -> None:
    """For any number of images."""
    name = loaded.suite.task_names[1]
    assert export_program(loaded, name, tmp_path).batch == "any"
    program = torch.export.load(tmp_path / "model.pt2").module()
    for count in (1, 5):
        x = images(loaded, count)
        check(program(x), wanted(loaded, x)[name])


@pytest.mark.long
def test_joint_programs_give_the_same(loaded: LoadedRun, tmp_path: Path) -> None:
    about = export_joint(loaded, tmp_path)
    assert about.batch == "any"
    assert about.inputs == ("inputs",)
    x = images(loaded, 5)
    outputs = torch.export.load(tmp_path / "joint.pt2").module()(x)
    expected = wanted(loaded, x)
    assert set(outputs) == set(expected)
    for name, value in expected.items():
        check(outputs[name], value)


@pytest.mark.long
def test_onnx_gives_the_same(
    loaded: LoadedRun, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    x = images(loaded, 5)
    expected = list(wanted(loaded, x).values())
    assert export_onnx(loaded, 1, tmp_path).batch == "any"
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (found,) = session.run(["outputs"], {"inputs": x.numpy()})
    check(found, expected[1])
    if request.node.callspec.params["loaded"] not in JOINT:
        return
    about = export_joint_onnx(loaded, tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "joint.onnx")
    names = [member.output for member in about.members]
    together = zip(session.run(names, {"inputs": x.numpy()}), expected, strict=True)
    for outputs, value in together:
        check(outputs, value)
