"""The example on a table of features, end to end."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import mtl_lws
import pytest
import torch
from support.typed import stored

from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.export import export_all, export_program, load_bundle
from mtl_framework.plugins.manager import Plugins
from mtl_framework.plugins.options import NamedOptions
from mtl_framework.runs.config import RunConfig
from mtl_framework.runs.load import load_run
from mtl_framework.runs.run import Run
from mtl_framework.support.errors import MtlError

FILE = Path(__file__).parents[2] / "examples" / "table_of_features" / "mtl_wine.py"


@pytest.fixture
def example() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("mtl_wine", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mtl_wine"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["mtl_wine"]


@pytest.mark.long
def test_the_table_example_end_to_end(example: ModuleType, tmp_path: Path) -> None:
    plugins = Plugins()
    plugins.register(mtl_lws, "lws")
    plugins.register(example, "wine")
    config = RunConfig(
        strategy=NamedOptions(name="lws", weights_per_unit=2),
        backbone=BackboneConfig(name="tablenet", args={"depth": 2}),
        suite=NamedOptions(name="wine"),
        iterations=250,
        eval_every=125,
        device="cpu",
    )
    run = Run.start(config, plugins, tmp_path / "run")
    result = run.execute()
    assert [unit.name for unit in run.backbone.units] == ["hidden0", "hidden1"]
    # guessing the commonest grower errs in 60 of 100; guessing the mean has an error near one
    assert result.test.per_task["grower"] < 30
    assert result.test.per_task["proline"] < 0.95

    loaded = load_run(tmp_path / "run", plugins=plugins)
    rows = stored(loaded.suite.tasks[0].test)
    expected = loaded.predict("alcohol", rows)
    export_all(loaded, tmp_path / "all")
    with torch.no_grad():
        found = load_bundle(tmp_path / "all", plugins).network("alcohol")(rows)
    torch.testing.assert_close(found, expected)
    export_program(loaded, "alcohol", tmp_path / "program")
    program = torch.export.load(tmp_path / "program" / "model.pt2").module()
    torch.testing.assert_close(program(rows), expected)
    with pytest.raises(MtlError, match=r"shape \(11,\), which image files cannot fill"):
        loaded.preprocessing.read([FILE])
