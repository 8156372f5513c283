"""All tasks' networks are exported to one folder, with every distinct tensor stored once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from ..plugins.manager import Plugins
from ..runs.load import LoadedRun
from ..support.errors import UnknownNameError
from ..support.files import make_folder
from .about import (
    BackboneAbout,
    OwnModule,
    TaskAbout,
    backbone_about,
    damaged,
    read_about,
    recipe_of,
    task_about,
    write_export,
)
from .dense import HeadAbout, head_about
from .network_file import plain_network, rebuilt
from .weights import content_key, read_weights, write_weights

FORMAT: Literal["mtl-framework networks 1"] = "mtl-framework networks 1"
WEIGHTS, ABOUT = "networks.safetensors", "networks.json"


class MemberAbout(BaseModel):
    """A task of a bundle has ``tensors``, which map its network's names to stored names.

    In the second of two tasks that share their first layer, ``"conv.weight"`` has the stored name
    ``"0.conv.weight"``, that of the first task, and its own ``"fc.weight"`` is ``"1.fc.weight"``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: TaskAbout
    backbone: BackboneAbout
    preprocessing: dict[str, Any]
    tensors: dict[str, str]
    head: HeadAbout | None = None


class BundleAbout(BaseModel):
    """This is the content of ``networks.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["mtl-framework networks 1"]
    sha256_of_weights: str
    members: tuple[MemberAbout, ...]


@dataclass(frozen=True)
class TaskBundle:
    """A bundle holds the networks of all tasks of a run; :func:`load_bundle` makes it.

    Args:
        about: the content of ``networks.json``: tasks, each with its backbone and preprocessing.
        tensors: every distinct tensor, by its stored name.
        file: path of ``networks.json``, which errors name.
        plugins: plugins in which a plugin's backbone is looked up; ``None``: all installed ones.
        backbone: backbone of a run that was given its backbone as a Python object; else ``None``.
    """

    about: BundleAbout
    tensors: dict[str, Tensor]
    file: Path
    plugins: Plugins | None = None
    backbone: OwnModule = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """Return the names of the tasks, in the run's order."""
        return tuple(member.task.name for member in self.about.members)

    def network(self, task: str) -> nn.Module:
        """Build one task's plain network, on the CPU, in evaluation mode.

        Raises:
            MtlError: if there is no such task, or the files do not fit together.
        """
        if task not in self.tasks:
            raise UnknownNameError("task", task, self.tasks)
        member = self.about.members[self.tasks.index(task)]
        missing = [name for name in member.tensors.values() if name not in self.tensors]
        if missing:
            raise damaged(self.file, f"there is no tensor {missing[0]!r}")
        state = {name: self.tensors[stored] for name, stored in member.tensors.items()}
        recipe = recipe_of(member.backbone, self.file, self.plugins, self.backbone)
        outputs, given = member.task.num_outputs, self.backbone is not None
        return rebuilt(recipe, outputs, member.head, state, self.file, self.plugins, given)


def export_all(run: LoadedRun, folder: Path) -> BundleAbout:
    """Write the networks of all tasks as ``networks.safetensors`` and ``networks.json``.

    Tensors that are equal bit by bit are stored once, so that a weight that tasks share takes no
    more room than that of one task.

    Raises:
        MtlError: if the networks are not plain backbones, or a file cannot be written.
    """
    stored: dict[str, str] = {}
    tensors: dict[str, Tensor] = {}
    members = []
    for number in range(len(run.suite)):
        names = {}
        for name, tensor in plain_network(run, number).state_dict().items():
            key = content_key(tensor)
            if key not in stored:
                stored[key] = f"{number}.{name}"  # of the first task that uses it
                tensors[stored[key]] = tensor.detach().clone()
            names[name] = stored[key]
        members.append(
            MemberAbout(
                task=task_about(run, number),
                backbone=backbone_about(run, number),
                preprocessing=run.preprocessings[number].to_plain(),
                tensors=names,
                head=head_about(run, number),
            )
        )
    make_folder(folder)
    return write_export(
        folder / WEIGHTS,
        folder / ABOUT,
        lambda temp: write_weights(temp, tensors),
        lambda digest: BundleAbout(format=FORMAT, sha256_of_weights=digest, members=tuple(members)),
    )


def load_bundle(
    folder: str | Path, plugins: Plugins | None = None, *, backbone: OwnModule = None
) -> TaskBundle:
    """Load the networks of all tasks from a folder that :func:`export_all` wrote.

    Args:
        folder: the folder of the export.
        plugins: plugins in which a plugin's backbone is looked up; default: all installed ones.
        backbone: backbone of a run that was given its backbone as a Python object; networks are
            copies of it, with their own weights.

    Raises:
        MtlError: naming the file that is missing, damaged, or of another version.
    """
    file = Path(folder) / ABOUT
    about = read_about(file, BundleAbout)
    tensors = read_weights(Path(folder) / WEIGHTS, about.sha256_of_weights)
    return TaskBundle(about, tensors, file, plugins, backbone)
