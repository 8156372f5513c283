"""Small finished runs to export: two tasks on 3x32x32 images, a timm backbone, one iteration."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mtl_baselines
import mtl_lws
import torch

from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.data.tasks import Classification, Examples, Regression, Suite, Task
from mtl_framework.plugins.hookspecs import hookimpl
from mtl_framework.plugins.manager import Plugins
from mtl_framework.plugins.options import NamedOptions
from mtl_framework.runs.config import RunConfig
from mtl_framework.runs.load import LoadedRun, load_run
from mtl_framework.runs.run import Run


def shapes(examples: int = 12, common_input: bool = False) -> Suite:
    """Which of three colours an image has, and how bright it is."""
    generator = torch.Generator().manual_seed(3)

    def draw(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        images = torch.randint(0, 200, (count, 3, 32, 32), generator=generator)
        colours = torch.arange(count) % 3
        images[torch.arange(count), colours] += 55
        return images.to(torch.uint8), colours

    train, test = draw(examples), draw(7)
    named = Classification(3, ("red", "green", "blue"))
    bright, bright_test = (Examples(x, x.float().mean((1, 2, 3)) / 255) for x, _ in (train, test))
    return Suite(
        "shapes",
        [
            Task("colour / main", named, Examples(*train), Examples(*test)),
            Task("brightness", Regression(), bright, bright_test),
        ],
        common_input=common_input,
    )


OPTIONS = {"lws": {"weights_per_unit": 2}, "fixed_sharing": {"shared_first": 2}}


class ShapesPlugin:
    @hookimpl
    def mtl_suites(self) -> dict[str, Callable[..., Suite]]:
        return {"shapes": shapes}


def shapes_plugins() -> Plugins:
    plugins = Plugins()
    plugins.register(mtl_lws, "lws")
    plugins.register(mtl_baselines, "baselines")
    plugins.register(ShapesPlugin(), "shapes")
    return plugins


def run_shapes(
    directory: Path, strategy: str = "lws", common_input: bool = False, **backbone: Any
) -> LoadedRun:
    """Train for an iteration, and load what was saved."""
    options = OPTIONS.get(strategy, {})
    config = RunConfig(
        strategy=NamedOptions(name=strategy, **options),
        backbone=BackboneConfig(**{"name": "test_resnet", **backbone}),
        suite=NamedOptions(name="shapes", common_input=common_input),
        iterations=1,
        batch_size=4,
        device="cpu",
    )
    plugins = shapes_plugins()
    Run.start(config, plugins, directory).execute()
    return load_run(directory, plugins=plugins)
