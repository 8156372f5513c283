"""A contact sheet shows examples of a task with their labels, as one picture."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..data.map_pictures import picture
from ..data.objectives import Classification, MapObjective
from ..data.samplers import Draw
from ..data.streaming import Rows
from ..data.tasks import Task
from .figure import new_figure, png

COLUMNS, ROWS, MAP_ROWS = 8, 3, 2


def contact_sheet(task: Task) -> bytes | None:
    """Draw training examples of every class, or with their maps, as PNG.

    Returns:
        ``None`` where the examples are no images.
    """
    examples, objective = task.train, task.objective
    if len(examples.input_shape) != 3 or examples.input_shape[0] not in (1, 3, 4):
        return None
    rows = _chosen(task)
    images = Rows(examples.inputs, examples.transform).read(
        Draw(torch.tensor(rows), torch.tensor(rows))
    )
    lines = 2 if isinstance(objective, MapObjective) else 1  # maps lie below their images
    height = -(-len(rows) // COLUMNS)
    figure = new_figure(1.3 * COLUMNS, 1.5 * height * lines + 0.5)
    what = ", and their maps" if lines == 2 else ""
    figure.suptitle(f"{_cut(task.name, 60)}: training examples as the network reads them{what}")
    axes = figure.subplots(height * lines, COLUMNS, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    for number, (row, image) in enumerate(zip(rows, images, strict=True)):
        line, column = number // COLUMNS * lines, number % COLUMNS
        pixels = visible(image).permute(1, 2, 0).numpy()
        if pixels.shape[2] == 1:
            pixels = pixels[..., 0]
        axes[line, column].imshow(pixels, cmap="gray", vmin=0, vmax=1)
        known = examples.labelled is None or bool(examples.labelled[row])
        if isinstance(objective, MapObjective) and known:
            axes[line + 1, column].imshow(picture(objective, examples.targets[row]))
            continue
        text = _cut(label_text(task, row), 18)
        axes[line, column].set_title(text, fontsize=8, parse_math=False)
    return png(figure)


def label_text(task: Task, row: int) -> str:
    """Return the name of a training example's label, or its numbers."""
    examples = task.train
    if examples.labelled is not None and not bool(examples.labelled[row]):
        return "no label"
    target = examples.targets[row]
    if isinstance(task.objective, Classification) and task.objective.class_names:
        return task.objective.class_names[int(target)]
    return ", ".join(f"{value:g}" for value in target.reshape(-1)[:3].tolist())


def _chosen(task: Task) -> list[int]:
    """Choose rows of every label in turn, and sort them by label.

    Of the labels ``[1, 1, 0]`` the first turn takes rows 2 and 0, the second turn row 1; with room
    for two rows these are ``[2, 0]``.
    """
    examples, most = task.train, COLUMNS * ROWS
    if isinstance(task.objective, MapObjective):
        spread = np.linspace(0, len(examples) - 1, min(len(examples), COLUMNS * MAP_ROWS))
        return [int(row) for row in spread.astype(int)]
    targets = examples.targets.reshape(len(examples), -1)[:, 0].numpy()
    if not isinstance(task.objective, Classification) and len(np.unique(targets)) > most:
        spread = np.unique(np.linspace(0, len(targets) - 1, most).astype(int))
        return [int(row) for row in spread]
    turns: list[tuple[int, float, int]] = []
    counts: dict[float, int] = {}
    for row, target in enumerate(targets.tolist()):
        counts[target] = counts.get(target, -1) + 1
        turns.append((counts[target], target, row))
    first = sorted(turns)[:most]
    return [row for _, _, row in sorted(first, key=lambda turn: (turn[1], turn[0]))]


def visible(image: Tensor) -> Float[Tensor, "channels height width"]:
    """Scale an image to 0 to 1; floats of another range are spread over it."""
    if image.dtype == torch.uint8:
        return image.float() / 255
    low, high = image.min(), image.max()
    if low >= 0 and high <= 1:
        return image.float()
    return ((image - low) / (high - low).clamp(min=1e-9)).float()


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
