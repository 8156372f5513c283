"""Columns can start from the networks of earlier runs."""

from collections.abc import Callable, Mapping

from torch import Tensor

from mtl_framework import MtlError, TrainedRun

from .network import ColumnNetworks

Load = Callable[[str], TrainedRun]


def start_columns(network: ColumnNetworks, folders: str | Mapping[str, str], load: Load) -> None:
    """Copy a single-task network into every task's column, with its head.

    Args:
        network: the networks that get the weights. A column's running averages start alike for all
            tasks.
        folders: folder of one run for all tasks, or of a run for each task by name.
        load: loads the run in a folder.

    Raises:
        MtlError: if a run, or a task in it, is missing or of another kind, or if runs differ in
            what the columns share; nothing has changed then.
    """
    names = [task.name for task in network.tasks]
    if isinstance(folders, str):
        folders = dict.fromkeys(names, folders)
    if sorted(folders) != sorted(names):
        raise MtlError(
            f"strategy.start_from should name a folder for each of {', '.join(names)}, found "
            f"{', '.join(folders) or 'none'}"
        )
    runs = {folder: load(folder) for folder in dict.fromkeys(folders.values())}
    states = [_state(network, number, runs[folders[name]]) for number, name in enumerate(names)]
    _check_shared(network, states, [folders[name] for name in names])
    units = len(network.backbone.units)
    for number, state in enumerate(states):
        network.load_path(number, [number] * units, state)


def _state(network: ColumnNetworks, number: int, run: TrainedRun) -> dict[str, Tensor]:
    """Return the plain state of one task's network in a run."""
    task, folder = network.tasks[number], run.directory
    if task.name not in run.suite.task_names:
        raise MtlError(
            f"strategy.start_from: {folder} has no task {task.name!r}, it has "
            f"{', '.join(run.suite.task_names)}"
        )
    theirs, ours = run.backbone.recipe, network.backbone.recipe
    wanted = network.extract_path(number, [number] * len(network.backbone.units))
    # as it was trained: run.extract gives outputs in the units of the targets
    extracted = run.network.extract(run.suite.task_names.index(task.name))
    shapes = [
        {name: tensor.shape for name, tensor in model.state_dict().items()}
        for model in (extracted, wanted)
    ]
    if (theirs.name, theirs.surgery) != (ours.name, ours.surgery) or shapes[0] != shapes[1]:
        raise MtlError(
            f"strategy.start_from: the network of task {task.name!r} in {folder} "
            f"({theirs.name}) is not like a column of this run ({ours.name})"
        )
    return extracted.state_dict()


def _check_shared(
    network: ColumnNetworks, states: list[dict[str, Tensor]], folders: list[str]
) -> None:
    """Refuse networks that differ outside the columns, where there can be one value only."""
    backbone = network.backbone
    own = [name for places in backbone.places for place in places for name in place.names]
    own += backbone.class_layers
    parameters = dict(network.model.named_parameters())
    for name, tensor in states[0].items():
        of_task = backbone.normalization == "task" and name not in parameters
        if of_task or name.startswith(tuple(f"{prefix}." for prefix in own)):
            continue
        for state, folder in zip(states, folders, strict=True):
            if not _equal(state[name], tensor):
                raise MtlError(
                    f"strategy.start_from: {name} is shared by all columns, but differs between "
                    f"tasks ({folders[0]}, {folder}); backbone.shared=[] gives every column its own"
                )


def _equal(one: Tensor, other: Tensor) -> bool:
    return bool((one == other).all())
