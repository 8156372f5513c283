"""Learned weight sharing on small dense networks, for the tests of it."""

from collections.abc import Mapping
from typing import Any

import torch
from mtl_lws.config import LwsConfig
from mtl_lws.presets import PAPER
from mtl_lws.strategy import LearnedWeightSharing
from torch import Tensor, nn

from mtl_framework.data.batches import Batch
from support.dense import binary_suite, dense_backbone
from support.makers import make_batch

CLOSE: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-10}
_PAPER = {key: value for key, value in PAPER["strategy"].items() if key != "name"}


def paper(**options: Any) -> LwsConfig:
    """Algorithm 1 as it stands but for some options: searched from the first step to the last."""
    values = {**_PAPER, **options}
    if values.get("estimator") == "gumbel" and "credit" not in options:
        del values["credit"]  # which it has no use for
    return LwsConfig(**values)


def binary_batch(tasks: int, seed: int = 0, sizes: int | list[int] = 6) -> Batch:
    """Random inputs; labels 0 and 1."""
    batch = make_batch(binary_suite(tasks).tasks, sizes, seed)
    generator = torch.Generator().manual_seed(seed)
    targets = [torch.randint(0, 2, (len(x),), generator=generator) for x in batch.inputs]
    return Batch(batch.inputs, tuple(targets))


def build(tasks: int = 3, seed: int = 0, norm: bool = True, **options: Any) -> LearnedWeightSharing:
    torch.manual_seed(seed)
    strategy = LearnedWeightSharing(paper(**options), seed)
    strategy.build(dense_backbone(norm=norm), binary_suite(tasks)).double()
    return strategy


def buffers(network: nn.Module) -> dict[str, Tensor]:
    return {n: b.clone() for n, b in network.named_buffers() if n != "assignment"}


def parameters(network: nn.Module) -> dict[str, Tensor]:
    return {n: p.detach().clone() for n, p in network.named_parameters()}


def assert_equal(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
