"""Losses and metrics of maps against worked examples of 4 x 4 pixels, and against their traps."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mtl_framework.data.metrics.metric import Meter
from mtl_framework.data.objectives.maps.base import MapObjective
from mtl_framework.data.objectives.maps.binary_map import BinaryMap
from mtl_framework.data.objectives.maps.depth import Depth
from mtl_framework.data.objectives.maps.map_regression import MapRegression
from mtl_framework.data.objectives.maps.normals import Normals
from mtl_framework.data.objectives.maps.segmentation import Segmentation
from mtl_framework.data.tasks import Examples, Task
from mtl_framework.networks.measuring import TaskMeasure
from mtl_framework.support.errors import MtlError


def measured(objective: MapObjective, *batches: tuple[Tensor, Tensor]) -> dict[str, float | None]:
    """Metrics by name over batches of outputs and targets."""
    meter = Meter(objective.metrics())
    for outputs, targets in batches:
        meter.update(*objective.judged(outputs, targets))
    values = meter.values(meter.computed())
    return {metric.name: values[metric.label] for metric in objective.metrics()}


def logits(classes: Tensor, count: int) -> Tensor:
    """Outputs whose most probable class is as given."""
    return 5 * torch.nn.functional.one_hot(classes.long(), count).movedim(-1, 1).float()


# Two images of 4 x 4 pixels; x is ignored. Class 2 is only in the second one.
FIRST = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], [255, 255, 255, 255]])
SAID_1 = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1], [0, 1, 1, 0], [2, 2, 2, 2]])
SECOND = torch.tensor([[2, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
SAID_2 = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


def test_miou_is_that_of_one_confusion_matrix_over_all_pixels() -> None:
    objective = Segmentation(3)
    found = measured(
        objective, (logits(SAID_1[None], 3), FIRST[None]), (logits(SAID_2[None], 3), SECOND[None])
    )
    # class 0: 5 + 15 right, 1 of its pixels missed, 1 + 1 taken for it; class 1: 5 right of 7; 2: 0
    assert found["miou"] == pytest.approx(100 * (20 / 23 + 5 / 7 + 0) / 3)
    mean_over_images = 100 * ((5 / 7 + 5 / 7) / 2 + (15 / 16 + 0) / 2) / 2
    assert found["miou"] != pytest.approx(mean_over_images, abs=5)
    assert found["accuracy"] == pytest.approx(100 * 25 / 28)
    assert found["error"] == pytest.approx(100 * 3 / 28)


def test_miou_agrees_with_torchmetrics() -> None:
    from torchmetrics.classification import MulticlassJaccardIndex

    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(3, 4, 8, 8, generator=generator)
    targets = torch.randint(4, (3, 8, 8), generator=generator)
    targets[torch.rand(3, 8, 8, generator=generator) < 0.3] = 255
    theirs = MulticlassJaccardIndex(4, ignore_index=255)
    theirs.update(outputs, targets)
    found = measured(Segmentation(4), (outputs, targets))["miou"]
    assert found == pytest.approx(100 * float(theirs.compute()), rel=1e-6)


def test_classes_that_neither_occur_nor_are_predicted_do_not_count() -> None:
    found = measured(Segmentation(9), (logits(SAID_1[None], 9), FIRST[None]))
    assert found["miou"] == pytest.approx(100 * 5 / 7)


def test_ignored_pixels_have_no_loss_and_no_gradient() -> None:
    objective = Segmentation(3, class_weights=(1.0, 2.0, 1.0))
    outputs = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = objective.losses(outputs, FIRST[None].to(torch.uint8))
    loss.sum().backward()
    assert outputs.grad is not None
    assert not outputs.grad[..., 3, :].any()
    each = -outputs.detach().log_softmax(1)[0].gather(0, FIRST[None, :3].clamp(max=2))[0]
    wanted = (each * torch.tensor([1.0, 2.0, 1.0])[FIRST[:3]]).sum() / 12
    torch.testing.assert_close(loss[0], wanted)


def test_a_map_without_a_label_has_no_loss() -> None:
    objective = Segmentation(3)
    targets = torch.stack([FIRST, torch.full((4, 4), 255)])
    outputs = torch.randn(2, 3, 4, 4, requires_grad=True)
    losses = objective.losses(outputs, targets)
    losses.sum().backward()
    assert losses[1] == 0
    assert outputs.grad is not None
    assert not outputs.grad[1].any()
    assert bool(torch.isfinite(outputs.grad).all())


DEEP = torch.tensor([[2.0, 4, 0, 1], [2, 4, 0, 1], [2, 4, -1, 1], [2, 4, math.nan, 1]])
SAID_DEEP = torch.tensor([[2.0, 5, 9, 1], [2, 5, 9, 1], [2, 5, 9, 1], [1, 5, 9, 2]])


def test_zeros_in_depth_are_no_label() -> None:
    objective = Depth()
    found = measured(objective, (SAID_DEEP[None, None], DEEP[None]))
    # 12 pixels: four off by 1 of 4, one by 1 of 2, one by 1 of 1, six right
    assert found["abs_error"] == pytest.approx(6 / 12)
    assert found["rel_error"] == pytest.approx((4 / 4 + 1 / 2 + 1 / 1) / 12)
    assert found["rmse"] == pytest.approx((6 / 12) ** 0.5)
    assert found["delta1"] == pytest.approx(100 * 6 / 12)  # 5 / 4 is not below 1.25
    assert found["delta2"] == pytest.approx(100 * 10 / 12)
    outputs = SAID_DEEP[None, None].clone().requires_grad_()
    loss = objective.losses(outputs, DEEP[None])
    loss.sum().backward()
    assert float(loss.detach()) == pytest.approx(6 / 12)
    assert outputs.grad is not None
    assert not outputs.grad[..., 2].any()


def test_depth_is_over_all_pixels_not_over_images() -> None:
    half = torch.where(torch.arange(16).view(4, 4) < 2, 2.0, 0.0)  # two known pixels
    one, two = (torch.full((1, 1, 4, 4), x) for x in (4.0, 2.0))
    found = measured(Depth(), (one, half[None]), (two, torch.full((1, 4, 4), 1.0)))
    assert found["rmse"] == pytest.approx(((2 * 4 + 16 * 1) / 18) ** 0.5)


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [
        ("l1", (0.1 + 1 + 0.5) / 4),
        # c = 0.2: 0.1 stays, (1 + 0.04) / 0.4 and (0.25 + 0.04) / 0.4
        ("berhu", (0.1 + 1.04 / 0.4 + 0.29 / 0.4) / 4),
    ],
)
def test_losses_of_depth(loss: Any, wanted: float) -> None:
    targets = torch.tensor([[[1.0, 1.0], [1.0, 1.0]]])
    outputs = torch.tensor([[[[1.1, 2.0], [0.5, 1.0]]]])
    assert float(Depth(loss).losses(outputs, targets)) == pytest.approx(wanted)


def test_an_inverse_depth_is_inverted_in_predictions() -> None:
    objective = Depth("inverse")
    targets = torch.tensor([[[1.0, 2.0], [4.0, 0.0]]])
    outputs = torch.tensor([[[[1.0, 0.5], [0.5, 3.0]]]])
    assert float(objective.losses(outputs, targets)) == pytest.approx(0.25 / 3)
    assert objective.decode(outputs)[0, 0].tolist() == [[1, 2], [2, pytest.approx(1 / 3)]]
    assert measured(objective, (outputs, targets))["abs_error"] == pytest.approx(2 / 3)


def turned(degrees: Tensor) -> Tensor:
    """Vectors (1, 3, H, W) of length 2 that many degrees off the z axis."""
    radians = degrees.double().deg2rad()
    return 2 * torch.stack([radians.sin(), torch.zeros_like(radians), radians.cos()])[None]


STRAIGHT = turned(torch.zeros(4, 4))


def test_the_median_angle_is_that_of_all_pixels() -> None:
    first = torch.tensor([[0.0] * 4, [10.0] * 4, [20.0] * 4, [90.0] * 4])
    second = torch.full((4, 4), 40.0)
    unknown = STRAIGHT.clone()
    unknown[..., :, 1:] = 0  # of the second image four pixels count
    found = measured(Normals(), (turned(first), STRAIGHT), (turned(second), unknown))
    angles = np.sort([0, 10, 20, 90, 40] * 4)
    assert found["median_angle"] == pytest.approx(float(np.median(angles)), abs=1e-4)
    assert found["median_angle"] != pytest.approx((15 + 40) / 2, abs=1)  # of the batches' medians
    assert found["mean_angle"] == pytest.approx(32, abs=1e-4)
    assert found["within_11_25"] == pytest.approx(40)
    assert found["within_22_5"] == pytest.approx(60)
    assert found["within_30"] == pytest.approx(60)


def test_losses_of_normals_do_not_depend_on_lengths() -> None:
    outputs = turned(torch.full((4, 4), 60.0))
    for scale in (0.1, 1, 7):
        loss = Normals().losses(scale * outputs, STRAIGHT)
        assert float(loss) == pytest.approx(0.5)
        loss = Normals("l1").losses(scale * outputs, STRAIGHT)
        assert float(loss) == pytest.approx(3**0.5 / 2 + 0.5)
    nothing = torch.zeros(1, 3, 4, 4, requires_grad=True)
    Normals().losses(nothing, STRAIGHT.float()).sum().backward()
    assert nothing.grad is not None
    assert bool(torch.isfinite(nothing.grad).all())


def test_exact_normals_have_an_angle_of_zero() -> None:
    found = measured(Normals(), (STRAIGHT.float(), STRAIGHT.float()))
    assert found["mean_angle"] == 0


EDGES = torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [255, 255, 255, 255]])


def test_the_largest_f_is_at_one_threshold_for_all_pixels() -> None:
    said = torch.full((4, 4), -3.0)
    said[0, 0] = said[1, 1] = said[0, 3] = 2.0  # two of three edges, and one that is none
    said[2, 2] = -1.0  # the third, at a lower threshold
    said[3] = 9.0  # where nothing is known
    found = measured(BinaryMap(), (said[None, None], EDGES[None]))
    assert found["max_f"] == pytest.approx(100 * 2 * 0.75 * 1 / 1.75)
    assert found["iou"] == pytest.approx(100 * 2 / 4)
    assert found["error"] == pytest.approx(100 * 2 / 12)


def test_weights_of_edges() -> None:
    outputs = torch.zeros(1, 1, 4, 4)
    assert float(BinaryMap(3.0).losses(outputs, EDGES[None])) == pytest.approx(
        math.log(2) * (3 * 3 + 9) / 12
    )


def test_numbers_that_are_not_finite_are_unknown() -> None:
    targets = torch.ones(1, 2, 4, 4)
    targets[0, 1, 0] = math.nan
    outputs = torch.full((1, 2, 4, 4), 3.0, requires_grad=True)
    objective = MapRegression(2)
    loss = objective.losses(outputs, targets)
    loss.sum().backward()
    assert float(loss.detach()) == 4
    assert outputs.grad is not None
    assert not outputs.grad[:, :, 0].any()
    assert measured(objective, (outputs.detach(), targets))["rmse"] == 2


def test_outputs_are_made_as_large_as_targets() -> None:
    objective = Depth()
    targets = torch.full((1, 4, 4), 2.0)
    assert float(objective.losses(torch.full((1, 1, 2, 2), 3.0), targets)) == 1


@pytest.mark.parametrize("objective", [Segmentation(3), Depth(), Normals(), BinaryMap()])
def test_mirrored_maps_have_the_same_loss(objective: MapObjective) -> None:
    targets = {
        "segmentation": FIRST[None], "depth": DEEP[None], "binary_map": EDGES[None],
        "normals": turned(torch.arange(16.0).view(4, 4)),
    }[objective.kind]  # fmt: skip
    outputs = torch.randn(1, objective.num_outputs, 4, 4, dtype=torch.float64)
    other = outputs.flip(-1)
    if objective.kind == "normals":
        other = other * torch.tensor([-1, 1, 1]).view(3, 1, 1)
    losses = objective.losses(outputs, targets)
    torch.testing.assert_close(
        objective.losses(other, objective.moved(targets.flip(-1), mirrored=True)), losses
    )


def test_the_main_metric_is_that_of_the_pixels_even_where_it_is_asked_for_by_name() -> None:
    images, targets = torch.rand(2, 3, 4, 4), torch.stack([FIRST, SECOND])
    data = Examples(images, targets)
    outputs = logits(torch.stack([SAID_1, SAID_2]), 3)
    for main, wanted in (("error", 100 * 3 / 28), (None, 100 * (20 / 23 + 5 / 7) / 3)):
        task = Task("seg", Segmentation(3), data, data, main=main)
        measure = TaskMeasure(task, "test")
        measure.update(outputs[:1], targets[:1])
        measure.update(outputs[1:], targets[1:])
        assert measure.result().main == pytest.approx(wanted)
    assert measure.result().ideal == 100


@pytest.mark.parametrize(
    ("objective", "targets", "reason"),
    [
        (Segmentation(3), torch.zeros(2, 4, 4, 3), r"should have shape \(N, H, W\), found"),
        (Segmentation(3), torch.full((2, 4, 4), 3), r"value 3 of example 0 is outside 0\.\.2"),
        (Segmentation(3), torch.zeros(2, 4, 4), "whole numbers, found torch.float32"),
        (Segmentation(3), torch.full((2, 4, 4), 255), "no pixel of any map has a label"),
        (Depth(), torch.zeros(2, 4, 4), "no pixel of any map has a label"),
        (Normals(), torch.zeros(2, 4, 4), r"shape \(N, 3, H, W\)"),
        (BinaryMap(), torch.full((2, 4, 4), 2), r"outside 0\.\.1"),
    ],
)
def test_targets_that_do_not_fit_are_refused(
    objective: MapObjective, targets: Tensor, reason: str
) -> None:
    with pytest.raises(MtlError, match=reason):
        objective.check(targets)


def test_options_out_of_range_are_refused() -> None:
    for options in ({"num_classes": 1}, {"num_classes": 3, "class_names": ("a",)},
                    {"num_classes": 3, "ignored": 2}):  # fmt: skip
        with pytest.raises(MtlError):
            Segmentation(**options)
