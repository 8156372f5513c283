"""Pretrained weights, from a file in the form that timm downloads."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from mtl_baselines.given import FixedSharing
from safetensors.torch import save_file
from support.makers import make_tasks
from support.tiny import TinyPlugins, start
from support.typed import child

from mtl_framework.backbones.backbone import Backbone
from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.networks.result import Result
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.runs.load import load_run
from mtl_framework.support.errors import MtlError


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a hub holds: all weights, a classifier of 1000 classes included."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("hub") / "model.safetensors"
    save_file(timm.create_model("resnet18").state_dict(), path)
    return path


def pretrained(path: Path, in_chans: int = 3) -> Backbone:
    args = {"pretrained_cfg_overlay": {"file": str(path), "hf_hub_id": None}}
    config = BackboneConfig(name="resnet18", pretrained=True, args=args)
    return build_backbone(config, in_chans, (32, 32))


def test_every_weight_of_a_bank_starts_from_the_pretrained_ones(published: Path) -> None:
    network = TaskNetworks(pretrained(published), make_tasks(), 3)
    torch.manual_seed(3)
    source = timm.create_model("resnet18")
    third = list(network.banks())[2]
    for k in range(3):
        block = child(third.copies, k)
        copied = block.get_parameter("conv1.weight")
        assert torch.equal(copied, source.get_parameter("layer2.0.conv1.weight"))
    stem, given = (model.get_parameter("conv1.weight") for model in (network.model, source))
    assert torch.equal(stem, given)
    with pytest.raises(MtlError, match="overwrite pretrained"):
        network.initialize("he_uniform")


def test_grey_images_get_an_adapted_stem_and_timms_preprocessing(published: Path) -> None:
    backbone = pretrained(published, in_chans=1)
    assert backbone.mean == pytest.approx(((0.485 + 0.456 + 0.406) / 3,))
    assert backbone.std is not None
    assert len(backbone.std) == 1
    assert len(pretrained(published).mean or ()) == 3
    torch.manual_seed(3)
    stem = timm.create_model("resnet18").get_parameter("conv1.weight")
    network = TaskNetworks(backbone, make_tasks(shape=(1, 32, 32)), 1)
    adapted = network.model.get_parameter("conv1.weight")
    torch.testing.assert_close(adapted, stem.sum(1, keepdim=True))


def test_weights_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"not weights")
    with pytest.raises(MtlError, match="'resnet18'") as caught:
        TaskNetworks(pretrained(path), make_tasks(), 2)
    assert "\n" not in str(caught.value)


@pytest.mark.long
def test_pretrained_weights_may_be_gone_once_a_run_has_begun(tmp_path: Path) -> None:
    torch.manual_seed(3)
    file = tmp_path / "model.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), file)
    overlay = {"file": str(file), "hf_hub_id": None}
    backbone = {"name": "test_resnet", "pretrained": True, "unread_pixels": 1.0}
    plugins = TinyPlugins(fixed=FixedSharing)
    options: dict[str, Any] = {
        "strategy": {"name": "fixed", "shared_first": 2},
        "backbone": {**backbone, "args": {"pretrained_cfg_overlay": overlay}},
    }
    for name, iterations in (("r", 2), ("whole", 3)):
        start(tmp_path / name, plugins, iterations=iterations, **options).execute()
    file.unlink()
    start(tmp_path / "r", plugins, iterations=3, resume=True, **options).execute()
    assert Result.load(tmp_path / "r").test == Result.load(tmp_path / "whole").test
    loaded = load_run(tmp_path / "r", plugins=plugins)
    assert loaded.predict("rows", torch.zeros(2, 1, 4, 4)).shape == (2, 3)
    with pytest.raises(MtlError, match="cannot be built"):
        start(tmp_path / "new", plugins, **options)
