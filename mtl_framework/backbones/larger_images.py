"""The size of images that a model needs is found by trying, where it cannot run on smaller ones."""

import torch
from torch import Tensor, nn

_SIZES = (16, 24, 32, 48, 64, 96, 128, 160, 192, 224, 256, 384)


def larger_images(model: nn.Module, inputs: Tensor) -> str:
    """Return a remedy that names a size that the model can run on, for the end of a message.

    Args:
        model: a model that failed.
        inputs: what it failed on, (N, C, H, W) of images; no others are tried.

    Returns:
        an empty text where no size that is tried works.
    """
    if inputs.ndim != 4:
        return ""
    was_training = model.training
    model.eval()
    try:
        for size in _SIZES:
            if size > max(inputs.shape[2:]) and _runs(model, inputs, size):
                return f"; it runs on images of {size}x{size}: set suite.size={size}"
    finally:
        model.train(was_training)
    return ""


def _runs(model: nn.Module, inputs: Tensor, size: int) -> bool:
    try:
        with torch.no_grad():
            model(inputs.new_zeros(1, inputs.shape[1], size, size))
    except Exception:  # whatever a model raises on images that it cannot read
        return False
    return True
