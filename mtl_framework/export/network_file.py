"""One task's network is exported as weights and a description, which timm alone can load."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from ..backbones.backbone import Recipe
from ..networks.decoding import Decoded
from ..plugins.manager import Plugins
from ..runs.load import LoadedRun
from ..support.errors import MtlError
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
from .dense import CLASSES, HeadAbout, blank_dense, dense_network, head_about, with_outputs
from .weights import fill, read_weights, write_weights

FORMAT: Literal["mtl-framework network 1"] = "mtl-framework network 1"
WEIGHTS: Literal["model.safetensors"] = "model.safetensors"
ABOUT = "model.json"


class WeightsAbout(BaseModel):
    """This names the file of weights; ``tied`` maps a tensor's further names to its stored one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Literal["model.safetensors"]
    sha256: str
    tied: dict[str, str]


class NetworkAbout(BaseModel):
    """This is the content of ``model.json``; only networks with maps have a ``head``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["mtl-framework network 1"]
    task: TaskAbout
    backbone: BackboneAbout
    preprocessing: dict[str, Any]
    weights: WeightsAbout
    head: HeadAbout | None = None


def export_network(run: LoadedRun, task: int | str, folder: Path) -> NetworkAbout:
    """Write one task's network as ``model.safetensors`` and ``model.json``.

    The description is written last, with the digest of the weights: without it there is no export.

    Args:
        run: a loaded run.
        task: name or position of the task.
        folder: the folder for the files; it is made if needed, and an export in it is replaced.

    Raises:
        MtlError: if the network is not the plain backbone, or a file cannot be written.
    """
    number = run.suite.index(task)
    model = plain_network(run, number)
    backbone, head = backbone_about(run, number), head_about(run, number)
    classes = _outputs(run, number) if head is None else CLASSES
    own, tied = untied(model.state_dict())
    make_folder(folder)

    def describe(digest: str) -> NetworkAbout:
        return NetworkAbout(
            format=FORMAT,
            task=task_about(run, number),
            backbone=backbone.model_copy(
                update={"args": {**backbone.args, "num_classes": classes}}
            ),
            preprocessing=run.preprocessings[number].to_plain(),
            weights=WeightsAbout(file=WEIGHTS, sha256=digest, tied=tied),
            head=head,
        )

    return write_export(
        folder / WEIGHTS, folder / ABOUT, lambda temp: write_weights(temp, own), describe
    )


def load_network(
    folder: str | Path, plugins: Plugins | None = None, *, backbone: OwnModule = None
) -> nn.Module:
    """Load the network that :func:`export_network` wrote, on the CPU, in evaluation mode.

    Args:
        folder: the folder of the export.
        plugins: plugins in which a plugin's backbone is looked up; default: all installed ones.
        backbone: backbone of a run that was given its backbone as a Python object; its weights are
            replaced by those of the file.

    Raises:
        MtlError: naming the file that is missing, damaged, or of another version, or the module
            that has to be given.
    """
    folder = Path(folder)
    file = folder / ABOUT
    about = read_about(file, NetworkAbout)
    num_classes = about.backbone.args.get("num_classes")
    wanted = about.task.num_outputs if about.head is None else CLASSES
    if num_classes != wanted:
        raise damaged(file, f"num_classes is {num_classes}, should be {wanted}")
    state = read_weights(folder / about.weights.file, about.weights.sha256)
    for name, source in about.weights.tied.items():
        if source not in state:
            raise damaged(file, f"there is no tensor {source!r}")
        state[name] = state[source]
    args = {key: value for key, value in about.backbone.args.items() if key != "num_classes"}
    recipe = recipe_of(about.backbone.model_copy(update={"args": args}), file, plugins, backbone)
    outputs, given = about.task.num_outputs, backbone is not None
    return rebuilt(recipe, outputs, about.head, state, file, plugins, given)


def rebuilt(
    recipe: Recipe,
    outputs: int,
    head: HeadAbout | None,
    state: Mapping[str, Tensor],
    file: Path,
    plugins: Plugins | None,
    given: bool,
) -> nn.Module:
    """Build the network that a file describes, with its weights.

    Args:
        recipe: recipe of the backbone.
        outputs: width of the last layer.
        head: description of the head for maps; ``None`` where outputs are no maps.
        state: every tensor, by name.
        file: the name that errors give.
        plugins: plugins in which a plugin's head is looked up; default: all installed ones.
        given: whether the backbone is a module that the caller has given.

    Raises:
        MtlError: if the weights do not fit the described network.
    """
    if head is None:
        return fill(recipe.create(outputs), state, file, given)
    blank = blank_dense(recipe, head, outputs, file, plugins)
    return with_outputs(fill(blank, state, file, given), head, file)


def plain_network(run: LoadedRun, task: int) -> nn.Module:
    """Return one task's network, if it is no more than a plain backbone and a head for maps.

    Maps are as the head returns them.

    Raises:
        MtlError: if the strategy's networks have other modules or shapes.
    """
    objective = run.suite.tasks[task].objective
    if objective.is_map:
        return dense_network(run, task)
    model = run.extract(task)
    outputs = _outputs(run, task)
    plain = run.backbones[task].recipe.create(outputs, pretrained=False)
    shapes, wanted = _shapes(model), _shapes(plain)
    if isinstance(model, Decoded):
        raise MtlError(
            f"predictions of task {run.suite.tasks[task].name!r} need more than the weights of a "
            f"plain {run.backbones[task].name} ({objective.kind or type(objective).__name__}); "
            "export it as torch-export or onnx"
        )
    if type(model) is not type(plain) or shapes != wanted:
        raise MtlError(
            f"a network of strategy {run.config.strategy.name!r} is more than a plain "
            f"{run.backbones[task].name}, so its weights cannot be loaded into one; export it as "
            "torch-export or onnx"
        )
    return model


def untied(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return each tensor under its first name, and the first names of its further names.

    Where ``a`` and ``b`` are one tensor t, these are ``{"a": t}`` and ``{"b": "a"}``.
    """
    own: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    first: dict[tuple[object, ...], str] = {}
    for name, tensor in state.items():
        key = (tensor.data_ptr(), tensor.shape, tensor.dtype)
        if tensor.numel() and key in first:
            tied[name] = first[key]
        else:
            first[key] = name
            own[name] = tensor
    return own, tied


def _shapes(model: nn.Module) -> dict[str, object]:
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def _outputs(run: LoadedRun, task: int) -> int:
    return run.suite.tasks[task].objective.num_outputs
