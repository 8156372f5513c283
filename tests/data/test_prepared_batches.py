"""What a network reads of a batch: scaled, normalised, on its device."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from support.numbered import CPU, drawn, numbered
from support.typed import stored

from mtl_framework.data.batches import BalancedBatches, evaluation_batches
from mtl_framework.data.images import ImageNormalization, prepare
from mtl_framework.data.tasks import Classification, Examples, Suite, Task
from mtl_framework.support.errors import MtlError


def test_prepare_scales_and_normalizes_bytes() -> None:
    images = torch.randint(256, (5, 3, 2, 4), dtype=torch.uint8)
    before = images.clone()
    torch.testing.assert_close(prepare(images), images.float() / 255)
    mean, std = (0.5, 0.25, 0.0), (1.0, 2.0, 0.5)
    found = prepare(images, mean, std)
    for channel in range(3):
        expected = (images[:, channel].float() / 255 - mean[channel]) / std[channel]
        torch.testing.assert_close(found[:, channel], expected)
    assert torch.equal(images, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.bfloat16])
def test_prepare_leaves_other_inputs_alone(dtype: torch.dtype) -> None:
    inputs = torch.ones(4, 3).to(dtype)
    assert prepare(inputs, (0.5,) * 3, (2.0,) * 3) is inputs


@pytest.mark.parametrize("given_as", ["mean", "std"])
def test_one_number_a_channel(given_as: str) -> None:
    data = Examples(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.zeros(4).long())
    suite = Suite("s", [Task("a", Classification(2), data, data)])
    with pytest.raises(MtlError, match=f"{given_as} should hold .* found 3 for 1 channels"):
        BalancedBatches(suite, 2, 0, CPU, [ImageNormalization(**{given_as: (0.5, 0.5, 0.5)})])


def test_batches_of_bytes_are_normalized() -> None:
    images = torch.arange(8, dtype=torch.uint8).reshape(4, 2, 1, 1).expand(4, 2, 3, 3)
    data = Examples(images, torch.arange(4))
    suite = Suite("s", [Task("a", Classification(4), data, data)])
    batch = BalancedBatches(suite, 4, 0, CPU, [ImageNormalization((0.5, 0.2), (0.1, 2.0))]).next()
    assert torch.equal(batch.inputs[0], prepare(images, (0.5, 0.2), (0.1, 2.0))[batch.targets[0]])


@given(st.integers(1, 20), st.integers(1, 25))
def test_evaluation_batches_are_all_rows_in_order(rows: int, batch_size: int) -> None:
    data = Examples(torch.randint(256, (rows, 1, 2, 2), dtype=torch.uint8), torch.arange(rows))
    parts = list(evaluation_batches(data, batch_size, CPU, ImageNormalization((0.5,), (2.0,))))
    assert all(len(inputs) == batch_size for inputs, _ in parts[:-1])
    assert torch.equal(
        torch.cat([inputs for inputs, _ in parts]), prepare(stored(data), [0.5], [2.0])
    )
    assert torch.equal(torch.cat([targets for _, targets in parts]), data.targets)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_are_the_same_on_a_gpu() -> None:
    suite = numbered([(7, None), (5, 3)])
    there = BalancedBatches(suite, 4, 0, torch.device("cuda"))
    batch = there.next()
    assert {x.device.type for x in (*batch.inputs, *batch.targets)} == {"cuda"}
    there.load_state_dict(BalancedBatches(suite, 4, 0, CPU).state_dict())
    assert drawn(there, 5) == drawn(BalancedBatches(suite, 4, 0, CPU), 5)
