"""Examples of one split: inputs, targets, and which rows have a label."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from ..support.errors import MtlError
from .objectives import first_row
from .streaming import LazyInputs
from .transforms import ImageTransform

SPLITS = ("train", "validation", "test")
_MOST_COPIED = 2**24  # bytes of targets that are read together


@dataclass(frozen=True, repr=False)
class Examples:
    """Examples are one split of a task: inputs and targets, row by row.

    Args:
        inputs: (N, ...); images are (N, C, H, W), as uint8 in 0..255 or as floats. Images that are
            read when they are needed come as :class:`LazyInputs`.
        targets: (N,) or (N, ...), in the form that the task's objective describes.
        labelled: (N,), True where an example has a label; ``None``: all have one. The others hold
            any valid target, which never enters a loss, a gradient or a metric.
        streams: the rows are windows of so many parallel streams, N a multiple of it: rows
            i * streams to (i + 1) * streams - 1 are the i-th windows of all. They are read in this
            order, ``streams`` rows a batch, and recurrent networks keep their state from batch to
            batch; after the last window everything begins anew.
        transform: is applied to images when batches are made, and may be random; in evaluation
            it does the same to an example every time.
        names: a name for each example that does not depend on where the data lies; a run keeps
            them, to notice that data has changed. ``None``: it keeps digests of the inputs.
        contents: a text for each example that changes when the data of that name changes, e.g. a
            digest of its file. ``None``: a run keeps digests of inputs that are in memory, and
            does not notice when others change.
    """

    inputs: Tensor | LazyInputs
    targets: Tensor
    labelled: Bool[Tensor, " rows"] | None = None
    streams: int | None = None
    transform: ImageTransform | None = None
    names: Sequence[str] | None = None
    contents: Sequence[str] | None = None

    def __repr__(self) -> str:
        return f"<Examples: {len(self)} of shape {'x'.join(map(str, self.input_shape))}>"

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def num_labelled(self) -> int:
        """Return the number of examples that have a label."""
        return len(self) if self.labelled is None else int(self.labelled.sum())

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Return the shape of one input as it is in a batch, after the transform."""
        shape = tuple(self.inputs.shape[1:])
        return shape if self.transform is None else self.transform.output_shape(shape)


def parts(examples: Examples, rows: Int64[Tensor, " rows"]) -> tuple[Int64[Tensor, " _"], ...]:
    """Yield the rows in parts, since targets that are maps may be larger than memory."""
    one = max(1, examples.targets[:1].nbytes)
    return torch.split(rows, max(1, _MOST_COPIED // one))


def check_rows(examples: Examples) -> None:
    """Raise an error on inputs and targets that do not belong together.

    Raises:
        MtlError: naming what was found and what is allowed.
    """
    inputs, targets = examples.inputs, examples.targets
    if inputs.ndim < 2 or targets.ndim < 1:
        raise MtlError(
            "inputs should have shape (N, ...) and targets (N,) or (N, ...), found "
            f"{tuple(inputs.shape)} and {tuple(targets.shape)}"
        )
    if not len(inputs):
        raise MtlError("there is no example")
    if len(targets) != len(inputs):
        raise MtlError(f"{len(inputs)} inputs but {len(targets)} targets")
    if examples.transform is not None and (inputs.dtype != torch.uint8 or inputs.ndim != 4):
        raise MtlError(
            f"transforms need uint8 images (N, C, H, W), found {inputs.dtype} of shape "
            f"{tuple(inputs.shape)}"
        )
    if examples.names is not None and len(examples.names) != len(inputs):
        raise MtlError(f"{len(inputs)} inputs but {len(examples.names)} names")
    if examples.contents is not None and len(examples.contents) != len(inputs):
        raise MtlError(f"{len(inputs)} inputs but {len(examples.contents)} contents")
    streams = examples.streams
    if streams is not None and (streams < 1 or len(inputs) % streams):
        raise MtlError(
            f"streams should be at least 1 and divide the number of examples ({len(inputs)}), "
            f"found {streams}"
        )
    if isinstance(inputs, Tensor) and inputs.is_floating_point():
        wrong = ~torch.isfinite(inputs).flatten(1).all(1)
        if bool(wrong.any()):
            raise MtlError(f"the input of example {first_row(wrong)} is not finite")


def check_labels(examples: Examples) -> None:
    """Raise an error on a mask ``labelled`` that does not fit the rows or marks none.

    Raises:
        MtlError: naming what was found and what is allowed.
    """
    labelled = examples.labelled
    if labelled is None:
        return
    if labelled.dtype != torch.bool or labelled.shape != (len(examples),):
        raise MtlError(
            f"labelled should be bool of shape ({len(examples)},), found {labelled.dtype} of "
            f"shape {tuple(labelled.shape)}"
        )
    if examples.streams is not None:
        raise MtlError("examples of streams cannot lack labels: leave out labelled, or streams")
    if not bool(labelled.any()):
        raise MtlError("no example has a label")
