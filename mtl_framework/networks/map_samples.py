"""Reports draw a few test images with their true and predicted maps, which are kept here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from ..backbones.recurrent import fresh_state
from ..data.examples import Examples
from ..data.images import ImageNormalization, prepare
from ..data.objectives import MapObjective
from ..data.objectives.maps.base import Drawing, fitted
from ..data.objectives.maps.normals import angles, unit
from ..data.samplers import Draw
from ..data.streaming import Rows
from ..data.tasks import Suite
from ..support.errors import MtlError, message_of
from ..support.seeding import untouched_generators
from .evaluation import evaluation_mode
from .model import MultiTaskModel

IMAGES = 3
#: By the kind of objective that files from before drawings named had instead.
_FORMER: Mapping[str, Drawing] = {
    "segmentation": "classes",
    "normals": "directions",
    "binary_map": "shares",
}
LARGEST = 192  # pixels of the longer side; larger maps are thinned out


@dataclass(frozen=True)
class MapSamples:
    """These are test images of one task, with maps.

    Args:
        drawing: how maps are drawn, see :class:`MapObjective`.
        classes: names of classes; none where maps have no classes.
        rows: row numbers of these examples in the test split.
        inputs: the images, as the suite has them.
        targets: true maps, 0 where nothing is known.
        known: (images, height, width), True for pixels that have a label.
        predictions: numbers of classes, values, probabilities or unit vectors.
    """

    drawing: Drawing
    classes: tuple[str, ...]
    rows: tuple[int, ...]
    inputs: Shaped[Tensor, "images channels input_height input_width"]
    targets: Float[Tensor, "images _ height width"]
    known: Bool[Tensor, "images height width"]
    predictions: Float[Tensor, "images _ height width"]

    def errors(self) -> Float[Tensor, "images height width"]:
        """Return what is wrong at every pixel, 0 where nothing is known.

        It is 1 where another class is predicted; degrees between directions; elsewhere the absolute
        difference, the mean over a pixel's numbers.
        """
        if self.drawing == "classes":
            found = (self.predictions != self.targets).any(1).float()
        elif self.drawing == "directions":
            found = angles(unit(self.predictions), unit(self.targets))
        else:
            found = (self.predictions - self.targets).abs().mean(1)
        return torch.where(self.known, found, 0)

    def to_plain(self) -> dict[str, Any]:
        """Return the samples as plain values, which a checkpoint can hold."""
        return {**vars(self), "classes": list(self.classes), "rows": list(self.rows)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "MapSamples":
        """Make samples of what :meth:`to_plain` returned.

        Raises:
            MtlError: if it is something else.
        """
        try:
            names = ("inputs", "targets", "known", "predictions")
            inputs, targets, known, predictions = (plain[name] for name in names)
            count, height, width = known.shape
            sizes = {(x.ndim, len(x), *x.shape[2:]) for x in (targets, predictions)}
            if sizes != {(4, count, height, width)} or (inputs.ndim, len(inputs)) != (4, count):
                raise ValueError("its maps have different sizes")
            drawing = plain["drawing"] if "drawing" in plain else _FORMER.get(plain["kind"])
            if drawing not in (None, *get_args(Drawing)):
                raise ValueError(f"there are no maps of {drawing!r:.40}")
            return cls(
                drawing or "values",
                tuple(map(str, plain["classes"])),
                tuple(map(int, plain["rows"])),
                inputs,
                targets.float(),
                known.bool(),
                predictions.float(),
            )
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            reason = message_of(error)[:200]
            raise MtlError(f"it holds no maps ({type(error).__name__}: {reason})") from error


def map_samples(
    network: MultiTaskModel,
    suite: Suite,
    device: torch.device,
    normalizations: Sequence[ImageNormalization],
) -> dict[str, MapSamples]:
    """Predict the maps of a few test images, which lie in equal distances among those with labels.

    As in :func:`evaluate`, modes and random generators stay as they were.

    Args:
        network: the networks, on ``device``.
        suite: the suite, its tasks in the order of the network's.
        device: the device of the network.
        normalizations: how uint8 images are normalised, one for each task.

    Returns:
        by task name the samples of tasks whose outputs are maps.

    Raises:
        MtlError: naming an image that cannot be read.
    """
    found: dict[str, MapSamples] = {}
    held: dict[tuple[int, tuple[int, ...]], tuple[Tensor, Tensor]] = {}
    with torch.no_grad(), untouched_generators(device), evaluation_mode(network):
        for number, task in enumerate(suite.tasks):
            objective, data = task.objective, task.test
            if not isinstance(objective, MapObjective):
                continue
            rows = _chosen(data)
            key = id(data.inputs), tuple(rows.tolist())
            if key not in held:
                read = Rows(data.inputs, None).read(Draw(rows, rows))
                held[key] = read, _thinned(read)
            inputs, shown = held[key]
            prepared = prepare(inputs, *normalizations[number]).to(device)
            with fresh_state(network):
                outputs = network.predict(number, prepared).cpu()
            found[task.name] = _samples(objective, rows, shown, outputs, data.targets[rows].cpu())
    return found


def _samples(
    objective: MapObjective,
    rows: Int64[Tensor, " images"],
    inputs: Tensor,
    outputs: Float[Tensor, "images outputs out_height out_width"],
    targets: Shaped[Tensor, "images ..."],
) -> MapSamples:
    known = objective.known(targets)
    predictions = objective.pictures(objective.decode(fitted(outputs.float(), targets)))
    names: tuple[str, ...] = getattr(objective, "class_names", ())
    classes = objective.num_outputs if objective.drawing == "classes" else 0
    wanted = _with_channels(targets)
    return MapSamples(
        objective.drawing,
        names or tuple(map(str, range(classes))),
        tuple(rows.tolist()),
        inputs,
        _thinned(torch.where(known[:, None], wanted, torch.zeros_like(wanted))),
        _thinned(known),
        _thinned(_with_channels(predictions)),
    )


def _chosen(data: Examples) -> Int64[Tensor, " images"]:
    rows = torch.arange(len(data))
    if data.labelled is not None:
        rows = rows[data.labelled.cpu()]
    count = min(IMAGES, len(rows))
    return rows[[int((2 * n + 1) * len(rows) / (2 * count)) for n in range(count)]]


def _with_channels(maps: Shaped[Tensor, "images ..."]) -> Float[Tensor, "images _ height width"]:
    return (maps if maps.ndim == 4 else maps[:, None]).float()


def _thinned(maps: Shaped[Tensor, "images *_ height width"]) -> Tensor:
    step = -(-max(maps.shape[-2:]) // LARGEST)
    return maps[..., ::step, ::step].contiguous()
