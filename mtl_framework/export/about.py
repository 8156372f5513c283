"""A JSON file describes every exported network, with digests that show damage."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn

from ..backbones.backbone import Recipe
from ..backbones.module_backbone import ModuleBackbone, as_backbone
from ..backbones.surgery import SURGERY
from ..data.objectives import Classification, MultiLabel, Objective, Ordinal
from ..plugins.given import is_given, shown_name
from ..plugins.manager import Plugins
from ..runs.load import LoadedRun
from ..support.errors import MtlError
from ..support.files import replacing

#: A module of a program's own, as a run was given it.
OwnModule = nn.Module | ModuleBackbone | None

_LONGEST = 80  # characters of a folder's name that come from a task's


class BackboneAbout(BaseModel):
    """This section says how to build the plain network.

    The network is ``timm.create_model(name, **args)`` where ``library`` is ``timm``, else the
    backbone ``name`` of an installed plugin. ``surgery`` names changes that follow.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    library: str
    version: str
    name: str
    args: dict[str, Any]
    surgery: tuple[str, ...] = ()


class TaskAbout(BaseModel):
    """A task has a name, a kind of outputs, and names for these where they are classes.

    ``outputs`` says what the exported network returns: ``logits``, ``probabilities``, ``numbers``
    in the units of the targets (expected counts for ``poisson``, means for ``gaussian``), or
    ``levels``. ``num_outputs`` is the width of the network's last layer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: str
    num_outputs: int
    classes: tuple[str, ...] = ()
    outputs: str = ""


Schema = TypeVar("Schema", bound=BaseModel)


def backbone_about(run: LoadedRun, task: int) -> BackboneAbout:
    """Describe the backbone of a run's task, for JSON.

    Raises:
        MtlError: if the backbone was built with arguments that JSON cannot hold.
    """
    recipe = run.backbones[task].recipe
    try:
        args = json.loads(json.dumps(recipe.args, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise MtlError(
            f"backbone {recipe.name!r} has arguments that cannot be exported: {error}"
        ) from error
    library = "timm" if recipe.factory is None else "plugin"
    return BackboneAbout(
        library=library,
        version=version("timm") if library == "timm" else "",
        name=recipe.name,
        args=args,
        surgery=recipe.surgery,
    )


def task_about(run: LoadedRun, task: int, probabilities: bool = False) -> TaskAbout:
    """Describe a task of a run, for JSON; ``probabilities``: whether it returns these."""
    found = run.suite.tasks[task]
    objective = found.objective
    return TaskAbout(
        name=found.name,
        kind=type(objective).__name__.lower(),
        num_outputs=objective.num_outputs,
        classes=class_names(objective),
        outputs="probabilities" if probabilities else _outputs(objective),
    )


def _outputs(objective: Objective) -> str:
    """Return the kind of a network's decoded outputs: logits, levels or numbers."""
    if type(objective).probabilities is not Objective.probabilities:
        return "logits"
    return "levels" if isinstance(objective, Ordinal) else "numbers"


def class_names(objective: Objective) -> tuple[str, ...]:
    """Return the names of classes, levels or labels, else their numbers; empty without classes."""
    if isinstance(objective, MultiLabel):
        return objective.names
    if isinstance(objective, Ordinal):
        return objective.level_names or tuple(map(str, range(objective.num_levels)))
    if not isinstance(objective, Classification):
        return ()
    return objective.class_names or tuple(map(str, range(objective.num_classes)))


def recipe_of(
    about: BackboneAbout, file: Path, plugins: Plugins | None, module: OwnModule = None
) -> Recipe:
    """Make the recipe that builds the network which a file describes.

    Args:
        about: description of the network's backbone.
        file: the name that errors give.
        plugins: plugins in which a plugin's backbone is looked up; default: all installed ones.
        module: backbone of a run that was given its backbone as a Python object; else ``None``.

    Raises:
        MtlError: if the network needs a plugin that is not installed, a module that is not given,
            or surgery that is not known.
    """
    factory: Callable[..., nn.Module] | None = None
    if is_given(about.name):
        if module is None:
            raise MtlError(
                f"the network in {file.parent} is a Python object, {shown_name(about.name)!r}, "
                "which has to be given again: backbone=... of load_network or load_bundle"
            )
        factory = as_backbone(module)
    elif module is not None:
        raise MtlError(
            f"the network in {file.parent} is {about.name!r}, no Python object: leave out backbone"
        )
    elif about.library == "plugin":
        factory = (Plugins.load() if plugins is None else plugins).backbone(about.name)
    unknown = [change for change in about.surgery if change not in SURGERY]
    if about.library not in ("timm", "plugin") or unknown:
        what = ", ".join(unknown) or about.library
        raise MtlError(f"{file} was written by another version of this framework: {what!r}")
    args = dict(about.args)
    if isinstance(args.get("img_size"), list):
        args["img_size"] = tuple(args["img_size"])
    return Recipe(about.name, args, about.surgery, False, factory)


def write_export(
    file: Path,
    about_file: Path,
    write: Callable[[Path], object],
    describe: Callable[[str], Schema],
) -> Schema:
    """Write a file, and the JSON that describes it with digests of both.

    Both are on disk before either takes its place, so that an earlier export stays whole where the
    new one cannot be written.

    Args:
        file: path of the weights or the program.
        about_file: path of the JSON.
        write: function that writes the file to a path.
        describe: function that makes the JSON's content, given the file's SHA-256.

    Raises:
        MtlError: if one of the files cannot be written.
    """
    with replacing(about_file) as about_temp, replacing(file) as temp:
        write(temp)
        about = describe(file_digest(temp))
        plain = about.model_dump(mode="json")
        text = json.dumps({**plain, "sha256": _digest(plain)}, indent=2, allow_nan=False) + "\n"
        about_temp.write_bytes(text.encode())
    return about


def file_digest(file: Path) -> str:
    """Compute the SHA-256 of a file's content."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def read_about(file: Path, schema: type[Schema]) -> Schema:
    """Read the JSON that :func:`write_export` wrote.

    Raises:
        MtlError: naming the file if it is missing, cut short, changed or no export's JSON.
    """
    try:
        found = json.loads(file.read_bytes())
    except OSError as error:
        raise MtlError(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise damaged(file, str(error)) from error
    if not isinstance(found, dict):
        raise damaged(file, "it does not describe an export")
    expected = found.pop("sha256", None)
    try:
        about = schema.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "content"
        raise damaged(file, f"{key}: {first['msg']}") from error
    if expected != _digest(found):
        raise damaged(file, "its content does not match its digest")
    return about


def damaged(file: Path, reason: str) -> MtlError:
    """Make the error for a file that cannot be trusted."""
    return MtlError(f"{file} is damaged or not an export: {' '.join(reason.split())[:300]}")


def folder_name(tasks: Sequence[str], task: int) -> str:
    """Name the folder of a task, as file systems allow it, unlike those of other tasks.

    The name is the task's, with ``_`` for other characters than letters, digits, ``-`` and ``_``.
    Names that become alike, or differ in case only, get the beginning of a digest of the task's
    name.
    """
    plain = [re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:_LONGEST] for name in tasks]
    folded = Counter(name.lower() for name in plain)
    names = [
        short if folded[short.lower()] == 1 else f"{short}-{_short_digest(name)}"
        for name, short in zip(tasks, plain, strict=True)
    ]
    taken = sum(other.lower() == names[task].lower() for other in names) > 1
    return f"{names[task]}-{_short_digest(tasks[task])}-{task}" if taken else names[task]


def _short_digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _digest(about: Mapping[str, Any]) -> str:
    text = json.dumps(about, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
