"""All tasks read the first of their columns: full sharing of a network as wide, against loops."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mtl_soft_sharing.config import NddrConfig
from mtl_soft_sharing.nddr import Nddr
from mtl_soft_sharing.network import ColumnNetworks
from mtl_soft_sharing.strategy import mixed_units
from support.column_loops import compare
from support.cross_stitch import (
    CLOSE,
    MODELS,
    Common,
    features,
    features_suite,
    gradients,
    images_suite,
    networks,
    one_stem,
    stirred,
)
from support.makers import make_backbone, make_batch
from support.tiny import TinyPlugins, content, start
from torch import Tensor

from mtl_framework import load_run


def fused(backbone: Any, suite: Any, all_read_first: bool) -> ColumnNetworks:
    """The networks of nddr in float64."""
    torch.manual_seed(1)
    strategy = Nddr(NddrConfig(after="block"))
    mixers = strategy.mixers(backbone, mixed_units("block", backbone), len(suite))
    network = ColumnNetworks(backbone, suite, mixers, all_read_first)
    return stirred(network.double())  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_models_agree_with_the_loops(name: str) -> None:
    network = networks(make_backbone(name, **MODELS[name]), images_suite(), all_read_first=True)
    compare(network, make_batch(network.tasks))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("common_input", [True, False])
@pytest.mark.parametrize("normalization", ["shared", "task"])
@pytest.mark.parametrize("kind", [networks, fused])
def test_inputs_and_normalisations_agree_with_the_loops(
    kind: Any, normalization: str, common_input: bool, training: bool
) -> None:
    network = kind(features(normalization), features_suite(common_input), all_read_first=True)
    if common_input:
        one_stem(network)
    batch = make_batch(network.tasks, common_input=common_input)
    compare(network, batch, training)
    network.eval()
    for task, inputs in enumerate(batch.inputs):
        alone = network.extract(task)
        torch.testing.assert_close(alone(inputs), network.predict(task, inputs), **CLOSE)


def test_without_mixing_the_other_columns_learn_nothing() -> None:
    network = networks(features("task"), features_suite(), own_weight=1.0, all_read_first=True)
    with torch.no_grad():
        for mixer in network.mixers.values():
            weight: Tensor = mixer.get_parameter("weight")
            weight.copy_(torch.eye(len(weight)))
    network.step(make_batch(network.tasks))
    moved = {name for name, gradient in gradients(network).items() if gradient.any()}
    copies = {name.split(".copies.")[1].split(".")[0] for name in moved if ".copies." in name}
    assert copies == {"0"}


@pytest.mark.parametrize("last", ["one", "two"])
def test_only_what_a_task_reads_is_counted(last: str) -> None:
    """With mixtures behind the first unit, or behind both: what gets a gradient, and no more."""
    torch.manual_seed(1)
    backbone, suite = features("task"), features_suite()
    after = mixed_units(("one",) if last == "one" else "block", backbone)
    mixers = Nddr(NddrConfig()).mixers(backbone, after, len(suite))
    network = stirred(ColumnNetworks(backbone, suite, mixers, all_read_first=True).double())
    network.step(make_batch(network.tasks))
    read = 0
    for name, gradient in gradients(network).items():
        if name.startswith("mixers") and name.endswith("weight") and gradient.ndim == 4:
            read += sum(part.numel() for part in gradient if part.any())  # by column
        elif gradient.any():
            read += gradient.numel()
    assert network.parameter_counts().trained == read
    assert read < sum(p.numel() for p in network.parameters())


def test_heads_of_other_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="should have reads = own where start_from names networks"):
        NddrConfig(reads="first", start_from="runs/single")


@pytest.mark.parametrize("suite", ["tiny", "common"])
def test_a_resumed_run_is_the_same_and_its_networks_run_alone(suite: str, tmp_path: Path) -> None:
    plugins = TinyPlugins(nddr=Nddr)
    plugins.register(Common(), "common")
    strategy = {"name": "nddr", "after": "block", "reads": "first"}
    for folder, steps in (("straight", {}), ("parts", {"iterations": 4}), ("parts", {})):
        options: dict[str, Any] = {"strategy": strategy, "suite": {"name": suite}, **steps}
        options["resume"] = folder == "parts" and not steps
        start(tmp_path / folder, plugins, **options).execute()
    found, wanted = (
        {name: v for name, v in content(tmp_path / folder).items() if "best" not in name}
        for folder in ("parts", "straight")
    )
    assert found == wanted
    network = load_run(tmp_path / "parts", plugins=plugins).network
    assert isinstance(network, ColumnNetworks)
    assert network.all_read_first
    assert network.passes == 4
    inputs = torch.rand(3, *network.backbone.input_shape)
    for task in range(2):
        torch.testing.assert_close(network.extract(task)(inputs), network.predict(task, inputs))
