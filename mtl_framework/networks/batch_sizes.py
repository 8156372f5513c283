"""Batches that are too small for batch norm are noticed before training."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..backbones.backbone import Backbone, PlainBackbone
from ..data.tasks import Suite
from ..support.errors import MtlError


def check_batch_sizes(
    suite: Suite, backbones: Sequence[PlainBackbone], batch_size: int, processes: int = 1
) -> None:
    """Refuse a batch of one example where a batch norm would see one value per channel.

    Nothing is run where every task has more. Statistics that are pooled over tasks have more values
    than a task's own; the layers themselves refuse those of a single one.

    Args:
        suite: the suite, whose tasks may set batch sizes of their own.
        backbones: the backbones, one for each task.
        batch_size: number of examples a task has in a batch where it sets none of its own.
        processes: number of processes among which a batch is divided.

    Raises:
        MtlError: naming the task, the layer and ``batch_size``.
    """
    refused: dict[int, str | None] = {}
    for task, backbone in zip(suite.tasks, backbones, strict=True):
        size = (task.train.streams or task.batch_size or batch_size) // processes
        pooled = isinstance(backbone, Backbone) and backbone.normalization == "pooled"
        if size > 1 or pooled:
            continue
        if id(backbone) not in refused:
            refused[id(backbone)] = _layer_with_one_value(backbone)
        layer = refused[id(backbone)]
        if layer is not None:
            each = f" by {processes} processes" if processes > 1 else ""
            raise MtlError(
                f"batch_size={size * processes}{each} of task {task.name!r} gives batch norm "
                f"{layer!r} of backbone {backbone.name!r} one value per channel, whose variance is "
                f"not defined; set batch_size to at least {2 * processes}, or use larger images"
            )


def _layer_with_one_value(backbone: PlainBackbone) -> str | None:
    """Return the first batch norm that sees one value per channel of an input."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        model = backbone.recipe.create(2, pretrained=False).train()
        single: list[str] = []

        def watch(name: str, norm: nn.modules.batchnorm._BatchNorm) -> None:
            def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
                if inputs[0].numel() == 2 * norm.num_features:  # of two inputs
                    single.append(name)

            norm.register_forward_pre_hook(hook)

        for name, module in model.named_modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                watch(name, module)
        model(torch.zeros(2, *backbone.input_shape, dtype=backbone.input_dtype))
    return single[0] if single else None
