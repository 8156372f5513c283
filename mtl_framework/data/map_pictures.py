"""Maps are drawn: classes as colours, values from dark to light, directions as colours."""

import colorsys

import numpy as np
from jaxtyping import Shaped, UInt8
from numpy.typing import NDArray
from torch import Tensor

from .objectives import MapObjective

_STEP = 0.61803398875  # of hues, by which neighbouring numbers are far apart
IGNORED = (0, 0, 0)


def class_colours(count: int) -> UInt8[np.ndarray, "classes 3"]:
    """Return a colour for every class; a class has the same colour however many there are."""
    colours = [
        colorsys.hsv_to_rgb(n * _STEP % 1, (0.75, 0.45, 0.9)[n % 3], (0.85, 0.95, 0.6)[n // 3 % 3])
        for n in range(count)
    ]
    return np.asarray(np.array(colours) * 255, np.uint8)


def picture(
    objective: MapObjective,
    values: Shaped[Tensor, "..."],
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw one map, given as :meth:`MapObjective.pictures` or a target has it.

    Pixels without a label are black.

    Args:
        objective: the objective of the task.
        values: (height, width) or (channels, height, width); three channels of directions are
            shown as colours, of other maps the first channel.
    """
    target = values.detach().cpu()
    known = objective.known(target[None])[0].numpy()
    array = target.numpy()
    if objective.drawing == "classes":
        colours = class_colours(objective.num_outputs)
        shown = colours[np.where(known, array, 0).astype(np.int64)]
    elif objective.drawing == "directions":
        shown = np.asarray((array.transpose(1, 2, 0) + 1) / 2 * 255, np.float64)
    else:
        shown = _shaded(array if array.ndim == 2 else array[0], known)
    return np.asarray(np.where(known[..., None], shown, IGNORED).clip(0, 255).round(), np.uint8)


def _shaded(array: NDArray[np.generic], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    from matplotlib import colormaps

    values = np.where(known, array, 0).astype(np.float64)
    inside = values[known]
    low, high = (inside.min(), inside.max()) if len(inside) else (0.0, 1.0)
    scaled = (values - low) / (high - low if high > low else 1)
    return np.asarray(colormaps["viridis"](scaled.clip(0, 1))[..., :3] * 255, np.float64)
