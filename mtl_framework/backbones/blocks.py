"""A model that does not say how it is layered has its repeated blocks as units."""

from collections.abc import Iterator

from torch import nn

STEM = "stem"

_Named = list[tuple[str, nn.Module]]


def repeated_blocks(model: nn.Module, granularity: str) -> dict[str, list[str]]:
    """Read units off the containers that a model repeats its parts in.

    The model's largest container (``nn.Sequential``, ``nn.ModuleList``) holds its stages. A stage
    that is such a container, or has one that holds most of its parameters, is made of blocks; any
    other stage is one block. What stands before a block goes with it, what follows the last one of
    a stage with that, and what comes before the stages is the stem.

    Args:
        model: the model, whose children are in the order of execution.
        granularity: ``"block"`` or ``"stage"``.

    Returns:
        names of submodules by unit, in order; empty where the model repeats nothing.
    """
    children = [(name, child) for name, child in model.named_children() if _size(child)]
    containers = [(name, child) for name, child in children if _repeats(child)]
    if not containers:
        return {}
    body, container = max(containers, key=lambda candidate: _size(candidate[1]))
    units: dict[str, list[str]] = {}
    waiting: list[str] = []
    for stage in _stages(body, container, granularity):
        for name, is_block in stage:
            if is_block:
                units[name] = [*waiting, name]
                waiting = []
            else:
                waiting.append(name)
        if any(is_block for _, is_block in stage):
            units[next(reversed(units))] += waiting
            waiting = []
    position = [name for name, _ in children].index(body)
    last = next(reversed(units.values()))
    last += [*waiting, *(name for name, _ in children[position + 1 :])]
    before = [name for name, _ in children[:position]]
    return {STEM: before, **units} if before else units


def _stages(
    prefix: str, container: nn.Module, granularity: str
) -> Iterator[list[tuple[str, bool]]]:
    """Return for each stage the names of its parts in order, and which of them are blocks."""
    for name, stage in _parts(prefix, container):
        inside = [(name, stage)] if _repeats(stage) else _parts(name, stage)
        chosen = next((n for n, m in inside if _repeats(m) and 2 * _size(m) > _size(stage)), None)
        if granularity == "stage" or chosen is None:
            yield [(name, _is_composite(stage))]
            continue
        parts = []
        for part, module in inside:
            if part == chosen:
                parts += [(block, _is_composite(inner)) for block, inner in _parts(part, module)]
            else:
                parts.append((part, False))
        yield parts


def _parts(prefix: str, module: nn.Module) -> _Named:
    return [(f"{prefix}.{name}", child) for name, child in module.named_children() if _size(child)]


def _repeats(module: nn.Module) -> bool:
    """Say whether a container holds composite parts."""
    return isinstance(module, (nn.Sequential, nn.ModuleList)) and any(
        _is_composite(child) for child in module.children()
    )


def _is_composite(module: nn.Module) -> bool:
    """Say whether a module has parts with parameters."""
    return any(_size(child) for child in module.children())


def _size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
