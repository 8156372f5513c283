"""Derivatives of losses by factors of units, against the plain model one column at a time."""

import copy
from typing import Any

import pytest
import torch
from support.factors import sensitivities_by_loops
from support.lws import CLOSE
from support.makers import make_assignments, make_backbone, make_batch, make_tasks, stirred
from torch import nn

from mtl_framework import MixtureNetworks, MtlError, TaskNetworks, unit_sensitivities
from mtl_framework.data.batches import Batch

MODELS: dict[str, dict[str, Any]] = {
    "resnet18": {"layers": (1, 2, 1, 1), "channels": (8, 8, 12, 16)},
    "vit_tiny_patch16_224": {
        "img_size": 32, "patch_size": 8, "depth": 3, "embed_dim": 24, "num_heads": 2,
    },
    "convnext_atto": {"depths": (1, 1, 1, 1), "dims": (8, 12, 16, 20)},  # units in two places
    "densenet121": {"growth_rate": 4, "block_config": (1, 1)},  # paths do not branch
}  # fmt: skip


def built(name: str = "resnet18", **options: Any) -> TaskNetworks:
    """Three tasks with three weights a unit, in float64, nothing in them as it starts."""
    torch.manual_seed(0)
    backbone = make_backbone(name, args=MODELS[name], normalization=options.pop("mode", "task"))
    network = TaskNetworks(backbone, make_tasks((2, 3, 4)), 3, **options).double()
    stirred(network, lambda name, value: 0.05)
    return network.eval()


def drawn(network: TaskNetworks, samples: int = 3) -> torch.Tensor:
    """Samples that partly agree, so that columns would share rows."""
    return make_assignments("repeated", samples, len(network.backbone.units), 3, 3)


@pytest.mark.parametrize("common_input", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_each_column_has_the_derivatives_of_the_plain_model(name: str, common_input: bool) -> None:
    network = built(name, mode="shared" if common_input else "task", group_major=common_input)
    batch = make_batch(network.tasks, common_input=common_input)
    before = copy.deepcopy(network.state_dict())
    found, losses = unit_sensitivities(network, batch, drawn(network))
    wanted, plain = sensitivities_by_loops(network, batch, drawn(network))
    torch.testing.assert_close(found, wanted, **CLOSE)
    torch.testing.assert_close(losses, plain, **CLOSE)
    assert wanted.abs().amax((0, 2)).min() > 1e-6  # every unit matters
    assert all(p.grad is None for p in network.parameters())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_factors_change_no_value() -> None:
    """Losses are those of the same pass without factors, bit for bit, and no hook is left."""
    network = built()
    batch, assignments = make_batch(network.tasks, common_input=True), drawn(network)
    ((micro_batch, plan),) = network.plan(batch, assignments, apart=True).micro_batches
    plain = network._run(batch, micro_batch, plan)
    assert torch.equal(unit_sensitivities(network, batch, assignments)[1], plain)
    assert not any(bank._forward_hooks or bank._forward_pre_hooks for bank in network.banks())
    assert plan.num_groups(0) == 9  # three samples of three tasks
    together = network.plan(batch, assignments).micro_batches[0][1]
    assert together.num_groups(0) < 9


@pytest.mark.parametrize("common_input", [False, True])
def test_parts_within_a_budget_change_nothing(common_input: bool) -> None:
    network = built(checkpoint=True)
    batch = make_batch(network.tasks, sizes=12, common_input=common_input)
    whole = unit_sensitivities(network, batch, drawn(network, 4))
    network.memory_budget = 1
    step = network.plan(batch, drawn(network, 4), apart=True)
    assert len(step.micro_batches) > 3
    for one, other in zip(
        unit_sensitivities(network, batch, drawn(network, 4)), whole, strict=True
    ):
        torch.testing.assert_close(one, other, **CLOSE)


@pytest.mark.parametrize("common_input", [False, True])
def test_tasks_without_labels_have_none(common_input: bool) -> None:
    network = built()
    full = make_batch(network.tasks, common_input=common_input)
    masks = (torch.tensor([1, 0, 1, 1]).bool(), torch.zeros(4).bool(), None)
    batch = Batch(full.inputs, full.targets, common_input, labelled=masks)
    found, losses = unit_sensitivities(network, batch, drawn(network))
    wanted, plain = sensitivities_by_loops(network, batch, drawn(network))
    torch.testing.assert_close(found, wanted, **CLOSE)
    torch.testing.assert_close(losses, plain, **CLOSE)
    assert not found[:, :, 1].any()


def test_half_precision_is_near() -> None:
    network = built("vit_tiny_patch16_224").float()
    batch = make_batch(network.tasks, dtype=torch.float32)
    exact = unit_sensitivities(network, batch, drawn(network))[0]
    network.precision = "bf16"
    coarse = unit_sensitivities(network, batch, drawn(network))[0]
    assert coarse.dtype == torch.float32
    assert 0 < (coarse - exact).norm() < 0.1 * exact.norm()


def test_networks_that_have_none_are_refused() -> None:
    network = built()
    batch, assignments = make_batch(network.tasks), drawn(network)
    with pytest.raises(MtlError, match=r"evaluation mode: call eval\(\)"):
        unit_sensitivities(network.train(), batch, assignments)
    shares = nn.Identity()
    mixed = MixtureNetworks(
        network.backbone, network.tasks, 2, pools=[], shares=[], mixed={0: shares}
    )
    stitched = TaskNetworks(network.backbone, network.tasks, 3, mixers={0: nn.Identity()})
    for other in (mixed, stitched):
        with pytest.raises(MtlError, match="without mixers and mixtures"):
            unit_sensitivities(other.eval(), batch, assignments)
