"""A backbone is a network, its recipe, and the units that it is cut into."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import timm
import torch
from torch import nn

from ..routing.banks import Ports
from ..routing.statistics_schedule import Normalization
from ..support.errors import MtlError, message_of
from .surgery import SURGERY
from .units import Place, Unit


@dataclass(frozen=True)
class Recipe:
    """A recipe says how to make the plain model again; every saved network carries one.

    ``name`` and ``args`` go to ``timm.create_model``; ``surgery`` lists the named changes that
    follow. ``factory`` is set for backbones of plugins, which timm does not know.
    """

    name: str
    args: dict[str, Any]
    surgery: tuple[str, ...] = ()
    pretrained: bool = False
    factory: Callable[..., nn.Module] | None = None

    def create(self, num_classes: int, pretrained: bool | None = None) -> nn.Module:
        """Make a fresh plain model.

        Raises:
            MtlError: with the constructor's own reason, if it refuses the arguments.
        """
        pretrained = self.pretrained if pretrained is None else pretrained
        try:
            if self.factory is not None:
                return _module(self.name, self.factory(num_classes=num_classes, **self.args))
            model = timm.create_model(
                self.name, pretrained=pretrained, num_classes=num_classes, **self.args
            )
        except MtlError:
            raise
        except (Exception, SystemExit) as error:
            reason = message_of(error)
            if isinstance(error, SystemExit):
                reason = f"its factory called sys.exit({error.code!r})"
            shown = ", ".join(f"{key}={value}" for key, value in self.args.items())
            raise MtlError(f"backbone {self.name!r} ({shown}) cannot be built: {reason}") from error
        for change in self.surgery:
            SURGERY[change](model, self.name)
        return model


def _module(name: str, made: object) -> nn.Module:
    if not isinstance(made, nn.Module):
        raise MtlError(f"backbone {name!r} should be a torch module, found {type(made).__name__}")
    return made


@dataclass(frozen=True, kw_only=True)
class PlainBackbone:
    """A plain backbone is used as a whole. :func:`build_plain` makes it.

    Args:
        recipe: the recipe that makes the model.
        input_shape: shape of one input, without the dimension of examples.
        input_dtype: dtype that the model reads: floats, or whole numbers such as words.
        mean: mean of each channel of the images in [0, 1], which is subtracted.
        std: standard deviation of each channel, by which it is divided afterwards.
        hints: advice for the person who chose the model.
    """

    recipe: Recipe
    input_shape: tuple[int, ...]
    input_dtype: torch.dtype = torch.float32
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    hints: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name by which the backbone was asked for."""
        return self.recipe.name

    def create(self, num_classes: int) -> nn.Module:
        """Make a fresh plain model with ``num_classes`` outputs."""
        return self.recipe.create(num_classes)


@dataclass(frozen=True, kw_only=True)
class Backbone(PlainBackbone):
    """A backbone turns an input into features, and knows where it can be shared.

    :func:`build_backbone` makes it. Units are numbered in execution order; only those that get a
    weight bank are listed, everything else is shared by all tasks.

    ``class_layers`` names the layers that give class scores. Usually there is one, whose output the
    model returns; task heads then follow the backbone's ``num_features`` features. Where the model
    does more with the scores, ``heads_inside`` is set and heads take the layers' own places.

    ``direct_poolings`` names layers outside of the units that normalise, activate and pool one
    tensor which nothing else reads, see :func:`.direct_poolings.direct_poolings`.
    """

    units: tuple[Unit, ...]
    always_shared: tuple[str, ...]
    num_features: int
    normalization: Normalization
    branching: bool
    class_layers: tuple[str, ...]
    heads_inside: bool
    places: tuple[tuple[Place, ...], ...] = field(default=(), repr=False)
    ports: dict[str, tuple[Ports, ...]] = field(default_factory=dict, repr=False)
    num_parameters: int = 0
    direct_poolings: tuple[tuple[str, ...], ...] = ()

    @property
    def classifier(self) -> str:
        """Name of the first layer that gives class scores."""
        return self.class_layers[0]
