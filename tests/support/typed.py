"""Types that tests know and a type checker cannot: asserted, and returned as what they are."""

from torch import Tensor, nn

from mtl_framework.data.tasks import Examples


def tensor(value: object) -> Tensor:
    """The value, which is a tensor."""
    assert isinstance(value, Tensor), type(value)
    return value


def stored(examples: Examples) -> Tensor:
    """The inputs of examples that lie in memory."""
    return tensor(examples.inputs)


def child(module: object, *names: object) -> nn.Module:
    """The submodule that a path of attributes and indices leads to."""
    assert isinstance(module, nn.Module), type(module)
    return module.get_submodule(".".join(map(str, names)))
