"""How models are cut, and what the probes find out."""

import pytest
import torch
from support.makers import make_backbone
from torch import Tensor, nn

from mtl_framework.backbones.backbone import Backbone
from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.support.errors import MtlError


def names(backbone: Backbone) -> list[str]:
    return [unit.name for unit in backbone.units]


def test_units_of_a_resnet_are_its_blocks_behind_the_stem() -> None:
    backbone = make_backbone("resnet18")
    assert names(backbone) == [f"layer{i}.{j}" for i in range(1, 5) for j in range(2)]
    assert backbone.always_shared == ("stem",)
    assert backbone.num_features == 512
    assert backbone.branching
    plain = backbone.create(7)
    stem = sum(p.numel() for n, p in plain.named_parameters() if n.startswith(("conv1", "bn1")))
    assert sum(u.num_parameters for u in backbone.units) + stem == backbone.num_parameters


def test_stages_are_larger_units() -> None:
    backbone = make_backbone("resnet18", granularity="stage")
    assert names(backbone) == ["layer1", "layer2", "layer3", "layer4"]


def test_patterns_decide_what_is_shared() -> None:
    assert names(make_backbone("resnet18", shared=()))[0] == "stem"
    backbone = make_backbone("resnet18", shared=("stem", "layer1.*"))
    assert names(backbone)[0] == "layer2.0"
    assert backbone.always_shared == ("stem", "layer1.0", "layer1.1")
    backbone = make_backbone("resnet18", shareable=("layer4.*",))
    assert names(backbone) == ["layer4.0", "layer4.1"]
    with pytest.raises(MtlError, match=r"'layr1.0'.*did you mean 'layer1.0'"):
        make_backbone("resnet18", shared=("layr1.0",))
    with pytest.raises(MtlError, match="leave no unit"):
        make_backbone("resnet18", shared=("*",))


@pytest.mark.long
def test_small_images_gives_the_cifar_form() -> None:
    model = make_backbone("resnet18", small_images=True).create(10)
    stem = model.conv1
    assert isinstance(stem, nn.Conv2d)
    assert stem.kernel_size == (3, 3)
    assert stem.stride == (1, 1)
    assert isinstance(model.maxpool, nn.Identity)
    assert callable(model.forward_features)
    assert model.forward_features(torch.rand(1, 3, 32, 32)).shape == (1, 512, 4, 4)
    assert not make_backbone("resnet18", small_images=True).hints
    assert "small_images" in make_backbone("resnet18").hints[0]
    with pytest.raises(MtlError, match="not a ResNet"):
        make_backbone("mobilenetv3_small_050", small_images=True)


def test_a_unit_can_have_places_far_apart() -> None:
    backbone = make_backbone("cait_xxs24_224", args={"depth": 3})
    assert backbone.units[-2].places == ("blocks.1", "blocks_token_only.0")
    assert backbone.units[-1].places == ("blocks.2", "blocks_token_only.1", "norm")
    backbone = make_backbone("convnext_atto", args={"depths": (1, 2, 1, 1)})
    assert backbone.units[1].places == ("stages.1.downsample", "stages.1.blocks.0")


def test_levels_that_are_read_again_forbid_branching() -> None:
    assert not make_backbone("hrnet_w18_small").branching
    assert not make_backbone("densenet121", args={"block_config": (2, 2, 2, 2)}).branching


def test_tied_modules_are_one_place_with_all_its_names() -> None:
    backbone = make_backbone("coat_tiny", args={"serial_depths": (1, 1, 1, 1), "parallel_depth": 1})
    places = {place.names for unit in backbone.places for place in unit}
    tied = ("parallel_blocks.0.mlp2", "parallel_blocks.0.mlp3", "parallel_blocks.0.mlp4")
    assert tied in places
    assert any("cpe2" in found and "serial_blocks2.0.cpe" in found for found in places)


def test_arguments_with_several_rows_an_example_are_measured() -> None:
    backbone = make_backbone("tnt_s_legacy_patch16_224", 224, args={"depth": 1})
    factors = {f for ports in backbone.ports.values() for port in ports for f in port.inputs}
    assert 196 in factors  # rows x patches
    assert 1 in factors


def test_units_without_a_matcher_are_the_repeated_blocks() -> None:
    backbone = make_backbone("poolformer_s12", 64)
    assert backbone.always_shared == ("stem",)
    assert len(backbone.units) == 2 + 2 + 6 + 2
    assert backbone.units[2].places == ("stages.1.downsample", "stages.1.blocks.0")
    assert backbone.units[-1].places == ("stages.3.blocks.1", "head.norm")
    backbone = make_backbone("poolformer_s12", 64, granularity="stage")
    assert names(backbone) == [f"stages.{i}" for i in range(4)]


def test_blocks_in_a_container_without_stages() -> None:
    backbone = make_backbone("csatv2", 64)
    assert backbone.units[1].places == ("stages.0.1", "stages.0.2")  # a norm after the blocks
    assert backbone.units[2].places == ("stages.1.0", "stages.1.1")  # a convolution before them


@pytest.mark.parametrize(
    ("name", "size", "layers"),
    [
        ("deit_tiny_distilled_patch16_224", 32, ("head", "head_dist")),
        ("crossvit_tiny_240", 240, ("head.0", "head.1")),
        ("poolformer_s12", 64, ("head.fc",)),
    ],
)
def test_class_layers_are_those_that_depend_on_the_number_of_classes(
    name: str, size: int, layers: tuple[str, ...]
) -> None:
    backbone = make_backbone(name, size)
    assert backbone.class_layers == layers
    assert backbone.heads_inside == (len(layers) > 1)


class Softmax(nn.Module):
    """Does something with class scores that depends on how many there are."""

    def __init__(self, num_classes: int, in_chans: int, img_size: object = None) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(in_chans, 8), nn.ReLU())
        self.head = nn.Linear(8, num_classes)

    def units(self) -> dict[str, list[str]]:
        return {"body": ["body"]}

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.body(x))
        return y.softmax(1)


class Classless(Softmax):
    """Ignores the number of classes."""

    def __init__(self, num_classes: int, in_chans: int, img_size: object = None) -> None:
        super().__init__(2, in_chans)


def test_scores_that_depend_on_each_other_are_refused() -> None:
    with pytest.raises(MtlError, match="'mine' cannot be routed: outputs of routed rows differ"):
        build_backbone(BackboneConfig(name="mine"), 6, None, Softmax)


def test_a_model_without_class_scores_is_refused() -> None:
    with pytest.raises(MtlError, match="'mine' has no layer whose size depends on the number"):
        build_backbone(BackboneConfig(name="mine"), 6, None, Classless)


def test_an_input_of_the_wrong_size_is_one_line() -> None:
    with pytest.raises(MtlError, match=r"crossvit_tiny_240.*\(3, 64, 64\)") as caught:
        make_backbone("crossvit_tiny_240", 64)
    assert "\n" not in str(caught.value)


def test_an_unknown_backbone_is_told_its_neighbour() -> None:
    with pytest.raises(MtlError, match="did you mean 'resnet18'"):
        make_backbone("resnet1b8")


class Plugin(nn.Module):
    """A backbone as a plugin declares it."""

    def __init__(self, num_classes: int, in_chans: int, img_size: object = None) -> None:
        super().__init__()
        self.first = nn.Linear(in_chans, 32)
        self.second = nn.Linear(32, 32)
        self.head = nn.Linear(32, num_classes)

    def units(self) -> dict[str, list[str]]:
        return {"stem": ["first"], "middle": ["second"]}

    def get_classifier(self) -> nn.Linear:
        return self.head

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.second(self.first(x).relu()).relu())
        return y


class Mixing(Plugin):
    """One input's output depends on the others'."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(0))


class MixingInTraining(Plugin):
    """The same, in training only."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + x.flip(0) if self.training else x)


class OutOfOrder(Plugin):
    """Declares its units in another order than it runs them."""

    def units(self) -> dict[str, list[str]]:
        return {"late": ["second"], "early": ["first"]}


def plugin_backbone(factory: type[Plugin], **options: object) -> Backbone:
    config = BackboneConfig(name="mine", **options)
    return build_backbone(config, 6, None, factory)


def test_a_plugin_declares_its_units() -> None:
    backbone = plugin_backbone(Plugin)
    assert names(backbone) == ["middle"]
    assert backbone.always_shared == ("stem",)


def test_execution_order_comes_from_the_model_not_from_the_declaration() -> None:
    assert names(plugin_backbone(OutOfOrder)) == ["early", "late"]


@pytest.mark.parametrize(
    ("factory", "when"), [(Mixing, "evaluation"), (MixingInTraining, "training")]
)
def test_a_model_that_mixes_rows_is_refused(factory: type[Plugin], when: str) -> None:
    with pytest.raises(MtlError, match=f"mixes the inputs of a batch in {when}"):
        plugin_backbone(factory)


def test_looking_at_a_backbone_draws_nothing_from_the_seed() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    make_backbone("resnet18")
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.long
@pytest.mark.long
def test_a_model_without_stages_has_its_blocks() -> None:
    backbone = make_backbone("rdnet_tiny", 32)
    assert len({unit.stage for unit in backbone.units}) == len(backbone.units) == 8
    with pytest.raises(MtlError, match="rdnet_tiny' groups its layers into no stages"):
        make_backbone("rdnet_tiny", 32, granularity="stage")
