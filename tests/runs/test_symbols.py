"""Backbones that read symbols, shared by all tasks of a suite."""

from collections.abc import Callable
from pathlib import Path

import torch
from mtl_backbones.deepbind import DeepBind
from support.tiny import TinyPlugins, tiny_config
from support.typed import stored
from torch import nn

from mtl_framework.backbones.activations import measure_activations
from mtl_framework.data.tasks import Binary, Examples, Suite, Task
from mtl_framework.networks.extraction_check import extraction_error
from mtl_framework.plugins.hookspecs import hookimpl
from mtl_framework.runs.load import load_run
from mtl_framework.runs.run import Run


def motifs() -> Suite:
    """Two tasks on sequences of 12 bases: is there a base in it, or its like at the end."""
    generator = torch.Generator().manual_seed(3)
    tasks = []
    for base in range(2):
        splits = []
        for count in (24, 9, 10):
            inputs = torch.randint(0, 5, (count, 12), generator=generator)
            splits.append(Examples(inputs, (inputs[:, -1] == base).long()))
        tasks.append(Task(f"ends in {base}", Binary(), splits[0], splits[2], splits[1]))
    return Suite("motifs", tasks)


class Symbols:
    """The suite, and the backbone in small."""

    @hookimpl
    def mtl_suites(self) -> dict[str, Callable[..., Suite]]:
        return {"motifs": motifs}

    @hookimpl
    def mtl_backbones(self) -> dict[str, Callable[..., nn.Module]]:
        return {"deepbind": DeepBind}


def test_a_backbone_of_symbols_is_shared_trained_and_loaded(tmp_path: Path) -> None:
    plugins = TinyPlugins()
    plugins.register(Symbols(), "symbols")
    args = {"width": 6, "kernel_size": 3}
    strategy = {"name": "learned", "weight_samples": 2}
    backbone = {"name": "deepbind", "args": args, "shared": []}
    config = tiny_config(
        strategy, suite={"name": "motifs"}, backbone=backbone, memory_budget=1, iterations=3
    )
    run = Run.start(config, plugins, tmp_path)
    run.execute()
    loaded = load_run(tmp_path, plugins=plugins)
    assert [unit.name for unit in loaded.backbone.units] == ["stem", "conv", "dense"]
    assert loaded.backbone.input_dtype == torch.int64
    assert extraction_error(loaded.backbone) < 1e-5
    assert len(measure_activations(loaded.backbone)) == 4
    inputs = stored(motifs().tasks[0].test)
    alone = loaded.extract(0)(inputs)
    torch.testing.assert_close(alone, loaded.predict(0, inputs))
