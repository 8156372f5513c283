"""A batch in which batch norm would see one value a channel is refused, and no other batch is."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.data.objectives import Classification
from mtl_framework.data.tasks import Examples, Suite, Task
from mtl_framework.networks.batch_sizes import check_batch_sizes
from mtl_framework.support.errors import MtlError


def suite_of(size: int, own: int | None) -> Suite:
    examples = Examples(torch.zeros(4, 3, size, size, dtype=torch.uint8), torch.arange(4) % 2)
    plain = Task("plain", Classification(2), examples, examples)
    return Suite(
        "pair", [plain, Task("own", Classification(2), examples, examples, batch_size=own)]
    )


@pytest.mark.long
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    name=st.sampled_from(["resnet10t", "convnext_atto"]),
    size=st.sampled_from([32, 33, 64]),
    batch_size=st.integers(1, 3),
    own=st.sampled_from([None, 1, 2]),
)
def test_what_torch_cannot_train_is_refused_and_nothing_else(
    name: str, size: int, batch_size: int, own: int | None
) -> None:
    backbone = build_backbone(BackboneConfig(name=name), 3, (size, size))
    smallest = min(batch_size, own or batch_size)
    model = backbone.recipe.create(2, pretrained=False).train()
    inputs = torch.zeros(smallest, *backbone.input_shape)
    suite, both = suite_of(size, own), [backbone, backbone]
    if name == "convnext_atto" or smallest > 1 or size > 32:
        model(inputs)
        check_batch_sizes(suite, both, batch_size)
        return
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        model(inputs)
    task = "plain" if batch_size == 1 else "own"
    with pytest.raises(MtlError, match=rf"batch_size=1 of task '{task}' gives batch norm '.*'"):
        check_batch_sizes(suite, both, batch_size)
