"""Every option of the section ``training`` does what it says, and goes on after a stop."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from support.three_parameters import Bank, made, steps, values
from support.tiny import TinyPlugins, start, tiny_suite
from torch import nn

from mtl_framework import MtlError, Step, Strategy, TaskNetworks, TrainingConfig
from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.data.tasks import Suite
from mtl_framework.networks.separate import SeparateNetworks
from mtl_framework.strategies.recipe import Recipe


def test_the_plain_recipe_is_the_strategys_own_choice() -> None:
    network, optimizer = made()
    steps(network, optimizer, 1.0)
    assert values(network) == [1.5, 1.5, 2.0]
    assert type(optimizer.inner) is torch.optim.SGD
    assert set(optimizer.state_dict()) == {"state", "param_groups"}  # as runs of before have it


def test_another_optimiser_leaves_the_strategys_options_behind() -> None:
    network, optimizer = made(optimizer={"name": "adamw", "betas": [0.5, 0.75]}, learning_rate=0.25)
    assert type(optimizer.inner) is torch.optim.AdamW
    assert list(optimizer.param_groups[0]["betas"]) == [0.5, 0.75]
    steps(network, optimizer, 7.0)
    assert values(network) == pytest.approx([1.75, 1.75, 2.0])


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"optimizer": "adanw2"}, "optimizer in training 'adanw2'"),
        (
            {"optimizer": {"name": "adamw", "beta": 1}},
            "option of training.optimizer 'adamw' 'beta'",
        ),
        ({"optimizer": {"name": "adamw", "betas": [3, 3]}}, "Invalid beta"),
        ({"accumulate": 3}, "accumulate should divide the 10 iterations"),
        ({"schedule": {"name": "cosine", "warmup": 10}}, "warmup should be less than .* 10 steps"),
        ({"schedule": {"name": "cosine", "warmup": 2, "warmup_learning_rate": 1}}, "at most"),
        (
            {"schedule": {"name": "wsd", "length": 2}},
            r"'wsd' does not fit 2 steps: .* raise decay_sh",
        ),
        ({"layer_decay": 0.5}, "layer_decay needs networks made of the backbone's own layers"),
        ({"head_factor": 2.0}, "head_factor needs networks that name their heads"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(training: dict[str, Any], message: str) -> None:
    with pytest.raises(MtlError, match=message):
        made(**training)


@pytest.mark.parametrize(
    "training", [{"schedule": "step"}, {"schedule": {"name": "cosine", "decay_at": [2]}},
                 {"schedule": {"name": "plateau", "warmup": 2}}, {"schedule": "rsqrt"},
                 {"average": "mean"}, {"lr": 1}],
)  # fmt: skip
def test_sections_are_checked(training: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"decay_every|decay_at|warmup|ema|[Ee]xtra"):
        TrainingConfig.model_validate(training)


def test_weight_decay_leaves_norms_and_biases_alone_unless_told() -> None:
    network, optimizer = made(weight_decay=0.5)
    steps(network, optimizer, 0.0)
    assert values(network) == [1.5, 2.0, 2.0]  # nor what nothing used
    network, optimizer = made(weight_decay=0.5, decay_norms_and_biases=True)
    steps(network, optimizer, 0.0)
    assert values(network) == [1.5, 1.5, 2.0]


def test_unused_weights_move_only_where_asked() -> None:
    network, optimizer = made(weight_decay=0.5, unused_weights="move")
    steps(network, optimizer, 0.0)
    assert values(network) == [1.5, 2.0, 1.5]


def test_clipping_limits_the_norm_or_every_number() -> None:
    network, optimizer = made(clip=math.sqrt(6) / 2)
    steps(network, optimizer, 1.0)  # six ones: a norm of sqrt(6), clipped to half of it
    assert values(network) == pytest.approx([1.75, 1.75, 2.0])
    network, optimizer = made(clip=0.1, clip_by="value")
    steps(network, optimizer, 1.0)
    assert values(network) == pytest.approx([1.95, 1.95, 2.0])


def test_accumulated_gradients_are_averaged_and_survive_a_stop() -> None:
    network, optimizer = made(accumulate=2)
    steps(network, optimizer, 1.0)
    assert values(network)[0] == 2.0
    state = optimizer.state_dict()
    other, resumed = made(accumulate=2)
    resumed.load_state_dict(state)
    for bank, each in ((network, optimizer), (other, resumed)):
        steps(bank, each, 3.0)
        assert values(bank)[0] == 1.0
        steps(bank, each, 1.0, 1.0)
        assert values(bank)[0] == 0.5


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("cosine", [0.5 * 0.5 * (1 + math.cos(math.pi * t / 10)) for t in range(4)]),
        ({"name": "constant", "warmup": 2, "warmup_learning_rate": 0.1}, [0.1, 0.3, 0.5, 0.5]),
        ({"name": "step", "decay_every": 2, "decay_rate": 0.5}, [0.5, 0.5, 0.25, 0.25]),
        ({"name": "multistep", "decay_at": [1, 3], "decay_rate": 0.5}, [0.5, 0.25, 0.25, 0.125]),
        ({"name": "poly", "decay_rate": 1.0, "length": 4}, [0.5, 0.375, 0.25, 0.125]),
        (  # the decay in the last 2 of 4 steps along 1 - sqrt(t)
            {"name": "wsd", "decay_share": 0.5, "length": 4, "min_learning_rate": 0.1},
            [0.5, 0.5, 0.5, 0.1 + 0.4 * (1 - math.sqrt(0.5))],
        ),
        ({"name": "cosine", "length": 4, "min_learning_rate": 0.1},
         [0.1 + 0.4 * 0.5 * (1 + math.cos(math.pi * t / 4)) for t in range(4)]),
        ({"name": "tanh", "length": 4, "min_learning_rate": 0.1},
         [0.1 + 0.4 * 0.5 * (1 - math.tanh(-7 * (1 - t / 4) + 3 * t / 4)) for t in range(4)]),
        ({"name": "rsqrt", "warmup": 1, "warmup_learning_rate": 0.1, "decay_share": 0.2},
         [0.1, 0.5, 0.5 / math.sqrt(2), 0.5 / math.sqrt(3)]),
    ],
)  # fmt: skip
def test_rates_follow_the_schedule(schedule: Any, rates: list[float]) -> None:
    network, optimizer = made(schedule=schedule)
    seen = []
    for _ in range(4):
        seen.append(optimizer.param_groups[0]["lr"])
        steps(network, optimizer, 1.0)
    assert seen == pytest.approx(rates)
    assert values(network)[0] == pytest.approx(2 - sum(seen))


def test_a_schedule_that_is_laid_out_for_other_steps_is_not_resumed() -> None:
    state = made(schedule="cosine")[1].state_dict()
    with pytest.raises(MtlError, match=r"laid out for 10 steps, not 20: set .*length=10"):
        made(iterations=20, schedule="cosine")[1].load_state_dict(state)
    made(iterations=20, schedule={"name": "cosine", "length": 10})[1].load_state_dict(state)


def vit() -> tuple[TaskNetworks, SeparateNetworks, Suite, nn.Module]:
    small: dict[str, Any] = {
        "embed_dim": 8,
        "depth": 3,
        "num_heads": 2,
        "img_size": 8,
        "patch_size": 4,
    }
    config = BackboneConfig(name="vit_tiny_patch16_224", args={**small, "in_chans": 1})
    backbone = build_backbone(config, 1, (8, 8), None, (1, 8, 8), False)
    suite = tiny_suite()
    plain = timm.create_model("vit_tiny_patch16_224", num_classes=2, **small, in_chans=1)
    networks = TaskNetworks(backbone, suite.tasks, 2), SeparateNetworks([backbone] * 2, suite.tasks)
    return *networks, suite, plain


def test_layers_and_exceptions_from_decay_are_timms_own() -> None:
    banked, separate, _, plain = vit()
    wanted: dict[str, tuple[float, float]] = {}
    optim: Any = timm.optim
    reference = optim.create_optimizer_v2(
        plain, opt="adamw", lr=1.0, weight_decay=0.25, layer_decay=0.5
    )
    names = {id(p): name for name, p in plain.named_parameters()}
    for group in reference.param_groups:
        for parameter in group["params"]:
            wanted[names[id(parameter)]] = (group["lr_scale"], group["weight_decay"])
    assert len({scale for scale, _ in wanted.values()}) == 5
    assert wanted["pos_embed"][1] == 0
    training = TrainingConfig(layer_decay=0.5, weight_decay=0.25, head_factor=3.0)
    for network in (banked, separate):
        optimizer = Recipe(training, 10).make_optimizer(network, "adamw", 1.0)
        own = {p: name for name, p in network.named_parameters()}
        assert {p for group in optimizer.param_groups for p in group["params"]} == set(own)
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                name = plain_name(own[parameter])
                scale, decay = wanted[name]
                factor = 3.0 if name.startswith("head.") else 1.0
                assert group["lr"] == pytest.approx(scale * factor), name
                assert group["weight_decay"] == decay, name


def plain_name(name: str) -> str:
    """What the plain model calls a parameter of networks."""
    name = re.sub(r"^(skeleton|model|networks\.\d+)\.", "", re.sub(r"\.copies\.\d+", "", name))
    return re.sub(r"^heads\.(\d+\.)+", "head.", name)


def test_units_are_layers_where_the_model_has_no_groups(tmp_path: Path) -> None:
    run = start(tmp_path / "r", strategy="recipes", training={"layer_decay": 0.5},
                plugins=TinyPlugins(recipes=Shared))  # fmt: skip
    rates = {
        name: group["lr"]
        for name, p in run.network.named_parameters()
        for group in run.strategy.optimizer.param_groups  # type: ignore[attr-defined]
        if any(p is q for q in group["params"])
    }
    found = {
        next(w for w in ("stem", "low", "high", "heads") if w in n): r for n, r in rates.items()
    }
    assert found == pytest.approx({"stem": 0.0125, "low": 0.025, "high": 0.05, "heads": 0.1})
    separate = SeparateNetworks([run.backbone] * 2, run.suite.tasks)
    optimizer = Recipe(TrainingConfig(layer_decay=0.5), 10).make_optimizer(separate, "sgd", 0.1)
    names = {p: name.split(".")[2] for name, p in separate.named_parameters()}
    plain = {names[p]: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert plain == pytest.approx({"stem": 0.0125, "low": 0.025, "high": 0.05, "fc": 0.1})


# -- whole runs ---------------------------------------------------------------------------------


class Shared(Strategy):
    """Everything shared, in two lines of its own for the optimiser."""

    network: TaskNetworks

    def build(self, backbone: Any, suite: Suite) -> TaskNetworks:
        self.network = TaskNetworks(backbone, suite.tasks, 1)
        self.optimizer = self.make_optimizer(self.network, "sgd", 0.1)
        return self.network

    def optimize(self, run: Any) -> Any:
        while True:
            self.network.train()
            self.optimizer.zero_grad()
            assignments = self.network.assignment[None].cpu()
            losses = self.network.accumulate_gradients(run.next_batch(), assignments)
            self.optimizer.step()
            yield Step(losses)


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("adam", {"eps": 1e-8, "betas": (0.9, 0.99)}, {"betas": [0.9, 0.99]}),
        ("momentum", {"momentum": 0.9, "dampening": 0}, {"momentum": 0.9}),
        ("sgd", {"momentum": 0.9, "nesterov": False}, {"momentum": 0.9, "nesterov": False}),
    ],
)
def test_a_result_tells_options_that_are_not_the_optimisers_own(
    name: str, given: dict[str, Any], told: dict[str, Any]
) -> None:
    recipe = Recipe(TrainingConfig(), 10)
    recipe.make_optimizer(Bank(), name, 0.1, **given)
    assert recipe.used is not None
    assert recipe.used.options == told  # timm's sgd is Nesterov's, where torch's is not


def left_of_cosine(share: float) -> float:
    """The part of a half wave's integral that lies behind a share of it."""
    return 1 - share - math.sin(math.pi * share) / math.pi


TENTH: dict[str, Any] = {"name": "multistep", "decay_at": [500], "decay_rate": 0.1}


@pytest.mark.parametrize(
    ("schedule", "left"),
    [
        ("constant", {0.0: 1.0, 0.75: 0.25, 1.0: 0.0}),
        ("cosine", {share: left_of_cosine(share) for share in (0.0, 0.5, 0.75)}),
        (TENTH, {0.5: 1 / 11, 0.75: 0.5 / 11}),
        ({"name": "plateau"}, {0.25: 0.75}),
    ],
)
def test_the_rate_that_is_left_is_known_from_the_start(
    schedule: Any, left: dict[float, float]
) -> None:
    recipe = Recipe(TrainingConfig.model_validate({"schedule": schedule}), 1000)
    recipe.make_optimizer(Bank(), "sgd", 0.5)
    for share, wanted in left.items():
        assert recipe.rate_left(share) == pytest.approx(wanted, abs=2e-3)
