"""Any torch module can be a backbone."""

import copy
from collections.abc import Callable, Mapping, Sequence

from torch import nn

from ..routing.heads import resized
from ..support.errors import MtlError, UnknownNameError
from .units import UNITS


class ModuleBackbone:
    """This makes a backbone of any torch module, cut where its author says.

    Its ``forward`` takes inputs (N, ...) and returns class scores (N, classes), one row an input.
    The layer that gives the scores is replaced by one of the tasks' own. What else has to hold is
    found out by running it, as with every backbone.

    Args:
        module: the module; or a function without arguments that makes a fresh one. Copies of a
            module all begin with its weights, as pretrained ones do; those of a function with
            weights of their own.
        units: names of submodules, each one unit; or for each unit's name the names of the
            submodules that it consists of. Unless ``"stem"`` is among the units' names, all of them
            get a weight bank. Default: timm's ``group_matcher`` or repeated blocks, as with other
            backbones.
        head: name of the layer that gives class scores, linear or a 1x1 convolution; default: the
            last such layer.
        name: name of the backbone in messages and files; default: that of the module's class.

    Raises:
        MtlError: naming the submodule that does not exist, is in two units, has no parameters or
            gives the scores.
    """

    def __init__(
        self,
        module: nn.Module | Callable[[], nn.Module],
        units: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        head: str | None = None,
        name: str | None = None,
    ) -> None:
        first = module if isinstance(module, nn.Module) else module()
        if not isinstance(first, nn.Module):
            raise MtlError(
                f"a backbone should be a torch module, or a function that makes one; it gave "
                f"{type(first).__name__}"
            )
        self.title = name or type(first).__name__
        self._module = module
        self._head = _head_of(first, head, self.title)
        self._units: dict[str, tuple[str, ...]] | None = None
        if units is not None:
            pairs = units.items() if isinstance(units, Mapping) else ((u, [u]) for u in units)
            self._units = {
                unit: (places,) if isinstance(places, str) else tuple(places)
                for unit, places in pairs
            }
            _check_units(first, self._units, self._head, self.title)

    def __repr__(self) -> str:
        units = "" if self._units is None else f", {len(self._units)} units"
        return f"ModuleBackbone({self.title}{units}, head {self._head!r})"

    def __call__(
        self, num_classes: int, in_chans: int = 0, img_size: tuple[int, int] | None = None
    ) -> nn.Module:
        """Make a copy with this number of class scores, whose layer for them is freshly drawn.

        Args:
            num_classes: number of scores for an input.
            in_chans: not used: the module is what it is.
            img_size: not used, either.
        """
        given = self._module
        model = copy.deepcopy(given) if isinstance(given, nn.Module) else given()
        model.set_submodule(self._head, resized(model.get_submodule(self._head), num_classes))
        if self._units is not None:
            setattr(model, UNITS, {unit: list(places) for unit, places in self._units.items()})
        return model


def as_backbone(module: nn.Module | ModuleBackbone) -> ModuleBackbone:
    """Make a backbone of a module without further words."""
    return module if isinstance(module, ModuleBackbone) else ModuleBackbone(module)


def _is_head(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv2d):
        return set(layer.kernel_size) == {1} and layer.groups == 1
    return isinstance(layer, nn.Linear)


def _head_of(module: nn.Module, head: str | None, title: str) -> str:
    fit: list[str] = [name for name, layer in module.named_modules() if name and _is_head(layer)]
    if head is None and fit:
        return fit[-1]
    if head is None:
        raise MtlError(
            f"backbone {title!r} has no linear layer or 1x1 convolution that could give class "
            "scores: put one behind it, e.g. torch.nn.Sequential(module, torch.nn.Linear(n, 2))"
        )
    if head not in dict(module.named_modules()):
        raise UnknownNameError(f"head of backbone {title!r}: layer", head, fit)
    if head not in fit:
        kind = type(module.get_submodule(head)).__name__
        raise MtlError(
            f"head {head!r} of backbone {title!r} should be a linear layer or a 1x1 convolution, "
            f"found {kind} (such are: {', '.join(fit) or 'none'})"
        )
    return head


def _check_units(
    module: nn.Module, units: Mapping[str, Sequence[str]], head: str, title: str
) -> None:
    known = [name for name, _ in module.named_modules() if name]
    if not units:
        raise MtlError(f"units of backbone {title!r} should name at least one submodule")
    taken: dict[str, str] = {}
    for unit, places in units.items():
        for place in places:
            if place not in known:
                raise UnknownNameError(f"unit of backbone {title!r}: submodule", place, known)
            if head == place or head.startswith(f"{place}."):
                raise MtlError(
                    f"unit {unit!r} of backbone {title!r} holds {head!r}, which gives the class "
                    "scores and is every task's own"
                )
            if not any(True for _ in module.get_submodule(place).parameters()):
                raise MtlError(
                    f"unit {unit!r} of backbone {title!r}: {place!r} has no parameters to share"
                )
            for other, its_unit in taken.items():
                if place == other or place.startswith(f"{other}.") or other.startswith(f"{place}."):
                    raise MtlError(
                        f"units {its_unit!r} and {unit!r} of backbone {title!r} overlap: "
                        f"{other!r} and {place!r}"
                    )
            taken[place] = unit
