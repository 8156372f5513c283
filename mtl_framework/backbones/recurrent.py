"""Recurrent networks keep their state from one call to the next."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from ..support.errors import MtlError

State = tuple[Tensor, ...]


class Recurrent(nn.Module):
    """Modules derive from this that read streams piece by piece, each call from where one ended.

    A subclass begins its ``forward`` with ``self.carried(rows)``, and hands the state it ends with
    to :meth:`keep`. Gradients do not flow from one call into the one before it (truncated
    back-propagation through time).

    The state is no part of ``state_dict``, which holds weights alone; a run saves it beside them.

    Attributes:
        stateful: whether calls go on from each other. If not, every call begins anew, and keeps
            nothing, as in networks that were extracted from a run.
        state: tensors (layers, rows, ...) that the next call begins with. ``None``: zeros.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stateful = True
        self.state: State | None = None

    def carried(self, rows: int) -> State | None:
        """Return the state to begin with; ``None``: zeros.

        Args:
            rows: number of streams in this call.

        Raises:
            MtlError: if the state is that of another number of streams.
        """
        if not self.stateful or self.state is None:
            return None
        held = self.state[0].shape[1]
        if held != rows:
            raise MtlError(
                f"{type(self).__name__} holds the state of {held} streams, but {rows} rows came; "
                "call reset_state() first, or set stateful = False for rows that are no streams"
            )
        return self.state

    def keep(self, state: State) -> None:
        """Note the state that a call ended with, cut off from its gradients."""
        if self.stateful:
            self.state = tuple(part.detach() for part in state)

    def reset_state(self) -> None:
        """Forget the state, so that the next call begins anew."""
        self.state = None


def recurrent_modules(network: nn.Module) -> dict[str, Recurrent]:
    """Return all recurrent modules inside a network, by name."""
    return {name: m for name, m in network.named_modules() if isinstance(m, Recurrent)}


def stateless(network: nn.Module) -> nn.Module:
    """Make the recurrent modules of a network begin every call anew, and return the network."""
    for module in recurrent_modules(network).values():
        module.stateful = False
        module.reset_state()
    return network


def reset_state(network: nn.Module) -> None:
    """Let all recurrent modules of a network begin anew."""
    for module in recurrent_modules(network).values():
        module.reset_state()


@contextmanager
def fresh_state(network: nn.Module) -> Iterator[None]:
    """Let recurrent modules begin anew inside; afterwards they go on as if it had not been.

    What happens inside carries state from call to call, e.g. through a split that is evaluated.
    """
    modules = recurrent_modules(network).values()
    held = [module.state for module in modules]
    for module in modules:
        module.reset_state()
    try:
        yield
    finally:
        for module, state in zip(modules, held, strict=True):
            module.state = state


def carried_states(network: nn.Module) -> dict[str, State | None]:
    """Return the states of all recurrent modules, by name, as a checkpoint holds them."""
    return {name: module.state for name, module in recurrent_modules(network).items()}


def restore_states(network: nn.Module, states: Mapping[str, Any]) -> None:
    """Put back what :func:`carried_states` gave, on the device of each module's parameters.

    Raises:
        MtlError: if the states are of other modules.
    """
    modules = recurrent_modules(network)
    if set(modules) != set(states):
        odd = ", ".join(sorted(set(modules) ^ set(states)))
        raise MtlError(f"the saved states are of other recurrent modules: {odd}")
    for name, module in modules.items():
        state = states[name]
        if state is not None:
            device = next(module.parameters()).device
            state = tuple(part.to(device) for part in state)
        module.state = state
