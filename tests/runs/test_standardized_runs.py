"""Standardised targets from a table to predictions and exports, and runs older than the option."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support.typed import stored

from mtl_framework.cli import main
from mtl_framework.export import export_network, export_program, load_network
from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs.load import LoadedRun, load_run
from mtl_framework.runs.resolve import Layer, completed, former, resolve


def trained(folder: Path, strategy: str, *settings: str) -> LoadedRun:
    """Brightness of an image, as a number of hundreds of thousands, and whether it is bright."""
    rows = [f"{n},{n * 1e4 + 2e5:.1f},{n // 32}" for n in range(64)]
    (folder / "t.csv").write_text("\n".join(["n,price,bright", *rows]))
    np.save(folder / "x.npy", np.repeat(np.arange(64, dtype=np.uint8) * 4, 64).reshape(64, 8, 8))
    wanted = ["suite.path=t.csv", "suite.inputs=x.npy", "suite.tasks=price,bright", *settings]
    sets = [part for setting in wanted for part in ("--set", setting)]
    command = ["run", "--suite", "table", "--backbone", "test_resnet", "--strategy", strategy]
    command += ["--iterations", "3", "--data-root", str(folder), "--output", str(folder / "run")]
    with pytest.raises(SystemExit) as end:
        main([*command, "--device", "cpu", *sets])
    assert end.value.code == 0
    return load_run(folder / "run")


@pytest.mark.long
@pytest.mark.parametrize("strategy", ["full_sharing", "no_sharing"])
def test_predictions_and_exports_are_in_the_units_of_the_targets(
    tmp_path: Path, strategy: str
) -> None:
    run = trained(tmp_path, strategy)
    test = run.read_suite().tasks[0].test  # the run itself knows its tasks, not their examples
    images = stored(test)
    inputs = run.preprocessings[0](images)
    predicted = run.predict("price", images)
    assert 1e5 < predicted.mean() < 1e6  # three steps from weights that say nothing: the mean
    error = (predicted - test.targets).square().mean().sqrt().item()
    assert run.evaluate().splits["test"].per_task["price"] == pytest.approx(error, rel=1e-4)
    about = export_network(run, "price", tmp_path / "weights")
    assert about.task.num_outputs == 1
    export_program(run, "price", tmp_path / "program")
    program = torch.export.load(next((tmp_path / "program").glob("*.pt2"))).module()
    with torch.no_grad():
        for network in (run.extract("price"), load_network(tmp_path / "weights")):
            assert network(inputs).allclose(predicted, rtol=1e-4)
        assert program(inputs).allclose(predicted, rtol=1e-4)
    assert run.predict("bright", images).abs().max() < 1e3


def test_a_config_from_before_the_option_is_read_as_it_was() -> None:
    plugins = Plugins.load()
    for name in ("table", "arrays"):
        given = {"suite": {"name": name, "path": "x"}, "strategy": "full_sharing"}
        saved = resolve(plugins, [Layer(given)]).config.model_dump(mode="json")
        assert saved["suite"]["standardize"] is True
        assert completed(saved, plugins)["suite"]["standardize"] is True
        del saved["suite"]["standardize"]
        assert completed(saved, plugins)["suite"]["standardize"] is False
        assert former(Layer(saved), plugins).values["suite"]["standardize"] is False


def test_a_saved_average_has_no_warmup_where_its_config_does_not_say_so() -> None:
    plugins = Plugins.load()
    given = {"training": {"average": "ema"}, "suite": "alphabets", "strategy": "full_sharing"}
    saved = resolve(plugins, [Layer(given)]).config.model_dump(mode="json")
    assert saved["training"]["average"]["warmup"] is True
    assert completed(saved, plugins)["training"]["average"]["warmup"] is True
    del saved["training"]["average"]["warmup"]
    assert completed(saved, plugins)["training"]["average"]["warmup"] is False
