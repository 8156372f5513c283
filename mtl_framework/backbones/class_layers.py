"""Layers of a plain model that give class scores are found here."""

from torch import nn

from ..support.errors import MtlError


def class_layers(model: nn.Module, wider: nn.Module, backbone: str) -> tuple[str, ...]:
    """Return the names of the layers that give class scores.

    They are found by what tells them apart: their parameters depend on the number of classes.

    Args:
        model: a plain model.
        wider: the same model with another number of classes.
        backbone: name of the backbone, for errors.

    Raises:
        MtlError: if there is none, or one is neither linear nor a 1x1 convolution.
    """
    shapes = {name: p.shape for name, p in wider.named_parameters()}
    names = dict.fromkeys(
        name.rpartition(".")[0] for name, p in model.named_parameters() if p.shape != shapes[name]
    )
    if not names:
        raise MtlError(
            f"backbone {backbone!r} has no layer whose size depends on the number of classes, so "
            "tasks cannot get heads"
        )
    for name in names:
        layer = model.get_submodule(name)
        pointwise = (
            isinstance(layer, nn.Conv2d) and set(layer.kernel_size) == {1} and layer.groups == 1
        )
        if not (isinstance(layer, nn.Linear) or pointwise):
            raise MtlError(
                f"backbone {backbone!r}: {name or 'the model'} ({type(layer).__name__}) gives "
                "class scores; task heads replace linear layers and 1x1 convolutions"
            )
    return tuple(names)


def in_features(layer: nn.Module) -> int:
    """Return the width of what a class layer reads."""
    width = layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels
    assert isinstance(width, int)
    return width
