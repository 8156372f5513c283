"""Where the channels of a unit's activations lie, which not all blocks of a model agree on."""

from collections.abc import Iterable

from torch import nn

_WIDTHS = "out_channels", "out_features", "num_features", "normalized_shape"


def channel_dim(modules: Iterable[nn.Module], shape: tuple[int, ...], channels_last: bool) -> int:
    """Return the position of the channels in what a unit returns for one example.

    Maps have three dimensions, and channels first or last. Models say which of their outputs; but
    some (VOLO, NesT, later stages of TinyViT) turn maps round inside, and back at the end. So what
    the unit's layers make decides where that is the size of one of the two dimensions alone.

    An example: blocks of VOLO return (4, 4, 192), in a model whose outputs are (384, 2, 2). Their
    layers have 192, 576 and 64 outputs, so that channels are the last dimension.

    Args:
        modules: the unit's modules.
        shape: shape of one example's activations.
        channels_last: whether the model's outputs have their channels last.
    """
    if len(shape) != 3:
        return len(shape) - 1
    widths = {width for module in modules for width in _widths(module)}
    usual, other = (2, 0) if channels_last else (0, 2)
    return other if shape[usual] not in widths and shape[other] in widths else usual


def _widths(unit: nn.Module) -> Iterable[int]:
    for module in unit.modules():
        for name in _WIDTHS:
            width = getattr(module, name, None)
            if isinstance(width, tuple) and width:
                width = width[-1]
            if isinstance(width, int):
                yield width
