"""Backbones that are plain sequences of their units have this in common."""

from collections.abc import Mapping
from typing import ClassVar

from torch import nn

from mtl_framework import MtlError


class UnitSequence(nn.Sequential):
    """Layers in a row, the last one called ``classifier``; each layer with weights is a unit.

    ``stem`` names the layers that make up the unit of that name instead.
    """

    stem: ClassVar[tuple[str, ...]] = ()
    classifier: nn.Linear

    def units(self) -> Mapping[str, list[str]]:
        """Units with the submodules that make them up, in execution order."""
        names = [name for name, layer in self.named_children() if len(list(layer.parameters()))]
        own = {name: [name] for name in names if name not in (*self.stem, "classifier")}
        return {"stem": list(self.stem), **own} if self.stem else own

    def get_classifier(self) -> nn.Linear:
        """Give the last layer."""
        return self.classifier


def check_images(name: str, img_size: tuple[int, int] | None, least: int) -> tuple[int, int]:
    """Height and width of the images that a backbone gets.

    Args:
        name: name of the backbone.
        img_size: as the factory gets it.
        least: pixels that height and width need.

    Raises:
        MtlError: if the inputs are no images, or too small.
    """
    if img_size is None:
        raise MtlError(f"backbone {name!r} needs images, found inputs without height and width")
    height, width = img_size
    if min(height, width) < least:
        raise MtlError(
            f"backbone {name!r} needs images of at least {least}x{least} pixels, found "
            f"{height}x{width}"
        )
    return height, width
