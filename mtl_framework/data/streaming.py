"""Inputs are held in memory, or read from files by worker processes when they are needed."""

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..support.errors import MtlError, message_of
from .images import read_image
from .samplers import Draw, Order
from .transforms import ImageTransform

_PART = 64  # images that a worker reads at a time where all are read


@runtime_checkable
class Items(Protocol):
    """Anything with a length and rows by number: a list of paths, a map-style data set."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> Any: ...


class LazyInputs:
    """Images in files or in a data set, used in place of an input tensor and read when needed.

    Args:
        items: paths of image files, or anything with a length whose rows ``decode`` understands. To
            be read by worker processes it must be picklable.
        shape: (C, H, W) of every image after ``transform``; default: that of the first image.
        decode: turns an item into a uint8 image (C, H, W); default: :func:`read_image`, grey where
            ``shape`` has one channel, RGB otherwise.
        transform: is applied to every decoded image, e.g. a resize, and is not random.
        names: a name for each item in error messages; default: its path, else its row.

    Raises:
        MtlError: if there is no item, or the first one cannot be read or has another shape.
    """

    dtype = torch.uint8
    ndim = 4

    def __init__(
        self,
        items: Items,
        shape: Sequence[int] | None = None,
        decode: Callable[[Any], Tensor] | None = None,
        transform: Callable[[Tensor], Tensor] | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        if not len(items):
            raise MtlError("there is no image")
        self._items = items
        self._decode = decode
        self._transform = transform
        self._names = names
        self._grey = shape is not None and shape[0] == 1
        self._held: Tensor | None = None
        self._image_shape = None if shape is None else tuple(shape)
        self._image_shape = tuple(self.read(0).shape)

    @property
    def shape(self) -> torch.Size:
        """Return the shape (N, C, H, W) of all images together."""
        assert self._image_shape is not None
        return torch.Size((len(self), *self._image_shape))

    @property
    def nbytes(self) -> int:
        """Return the memory that all images take together, in bytes."""
        return self.shape.numel()

    def __len__(self) -> int:
        return len(self._items)

    def read(self, row: int) -> UInt8[Tensor, "channels height width"]:
        """Read one image.

        Raises:
            MtlError: naming the image, if it cannot be read or has another shape than the first.
        """
        item = self._items[row]
        if self._decode is None:
            image = read_image(Path(item), grey=self._grey)
        else:
            image = self._decode(item)
        if self._transform is not None:
            image = self._transform(image)
        if image.dtype != torch.uint8 or image.ndim != 3:
            raise MtlError(
                f"image {self.name(row)} should be uint8 of shape (C, H, W), found {image.dtype} "
                f"of shape {tuple(image.shape)}"
            )
        if self._image_shape not in (None, tuple(image.shape)):
            raise MtlError(
                f"image {self.name(row)} has shape {tuple(image.shape)}, expected "
                f"{self._image_shape}; images of one task need one shape: begin the transforms "
                "with Resize"
            )
        return image

    def name(self, row: int) -> str:
        """Return the name of an image in error messages."""
        if self._names is not None:
            return self._names[row]
        item = self._items[row]
        return str(item) if isinstance(item, str | Path) else str(row)

    def hold(self, workers: int = 0) -> UInt8[Tensor, "rows channels height width"]:
        """Read all images once, and keep them in memory from then on.

        Args:
            workers: number of processes that read them; 0: this one.

        Raises:
            MtlError: naming the first image that cannot be read.
        """
        if self._held is None:
            rows = torch.arange(len(self))
            draws = [Draw(part, part) for part in torch.split(rows, _PART)]
            parts = Rows(self, None).read_all(draws, workers, torch.device("cpu"))
            held = torch.empty(self.shape, dtype=torch.uint8)
            for draw, part in zip(draws, parts, strict=True):
                held[draw.rows] = part
            self._held = held
        return self._held

    @property
    def held(self) -> UInt8[Tensor, "rows channels height width"] | None:
        """Return all images once :meth:`hold` has read them, and ``None`` before."""
        return self._held


@dataclass(frozen=True)
class Rows:
    """Inputs, and the transform that is applied when they are read."""

    inputs: Tensor | LazyInputs
    transform: ImageTransform | None

    def read(self, draw: Draw) -> Tensor:
        """Read the rows of a draw, and transform them.

        Raises:
            MtlError: naming the image that cannot be read.
        """
        inputs = self.inputs
        if isinstance(inputs, LazyInputs) and inputs.held is not None:
            inputs = inputs.held
        if isinstance(inputs, LazyInputs):
            images = torch.stack([inputs.read(row) for row in draw.rows.tolist()])
        else:
            images = inputs[draw.rows.to(inputs.device, non_blocking=True)]
        return images if self.transform is None else self.transform.apply(images, draw.seeds)

    def to(self, device: torch.device, workers: int) -> "Rows":
        """Return the same with all inputs held on a device, images as uint8."""
        inputs = self.inputs
        held = inputs.hold(workers) if isinstance(inputs, LazyInputs) else inputs
        return Rows(held.to(device), self.transform)

    def read_all(
        self, draws: Sequence[Draw], workers: int, device: torch.device
    ) -> Iterator[Tensor]:
        """Yield the inputs of one draw after the other, on the CPU; worker processes read ahead.

        Args:
            draws: the rows to read, draw by draw.
            workers: number of worker processes; with 0 this process reads.
            device: device that the inputs will be copied to; for a GPU they are pinned in memory.
        """
        if not isinstance(self.inputs, LazyInputs) or self.inputs.held is not None:
            workers = 0
        if not workers:
            yield from map(self.read, draws)
            return
        workers = min(workers, len(draws))
        loader = _loader([self], [[draw] for draw in draws], workers, device.type == "cuda")
        batches = iter(loader)
        for _ in draws:
            yield _next(batches)[0]


class Stream:
    """A stream gives batches that worker processes read ahead, from files or memory.

    Args:
        sources: the inputs of which every batch takes a part.
        workers: number of worker processes; 0: this process reads.
        pinned: put batches in page-locked memory, from which a GPU copies asynchronously.
    """

    def __init__(self, sources: Sequence[Rows], workers: int, pinned: bool) -> None:
        self._sources = sources
        self._workers = workers
        self._pinned = pinned
        self._batches: Iterator[Any] | None = None

    @property
    def running(self) -> bool:
        """Say whether the stream is between :meth:`start` and :meth:`stop`."""
        return self._batches is not None

    def start(self, orders: Sequence[Order]) -> None:
        """Start the worker processes.

        Args:
            orders: one for each source; they advance ahead of what :meth:`next` has returned.
        """
        draws = _forever(orders)
        self._batches = iter(_loader(self._sources, draws, self._workers, self._pinned))

    def next(self) -> list[Tensor]:
        """Return the next batch, one tensor for each source, on the CPU.

        Raises:
            MtlError: naming the image that cannot be read, or if a worker died; the stream has
                stopped then.
        """
        assert self._batches is not None
        try:
            return _next(self._batches)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the worker processes."""
        self._batches = None


def _forever(orders: Sequence[Order]) -> Iterator[list[Draw]]:
    while True:
        yield [order.next() for order in orders]


class _Parts(Dataset[Any]):
    """What a worker process holds: it maps the draws of a batch, one a source, to tensors."""

    def __init__(self, sources: Sequence[Rows]) -> None:
        self._sources = sources

    def __getitem__(self, draws: Any) -> "list[Tensor] | _Failure":
        try:
            return [rows.read(draw) for rows, draw in zip(self._sources, draws, strict=True)]
        except MtlError as error:
            return _Failure(str(error))


@dataclass(frozen=True)
class _Failure:
    """A failure carries the message of an error in a worker.

    A raised error would carry the worker's traceback.
    """

    message: str


def _next(batches: Iterator[Any]) -> list[Tensor]:
    try:
        batch: list[Tensor] | _Failure = next(batches)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        reason = message_of(error)
        raise MtlError(f"reading images failed: {reason}; try data_workers=0") from error
    if isinstance(batch, _Failure):
        raise MtlError(batch.message)
    return batch


def _loader(
    sources: Sequence[Rows], draws: Iterable[Sequence[Draw]], workers: int, pinned: bool
) -> DataLoader[Any]:
    return DataLoader(
        _Parts(sources),
        batch_size=None,
        sampler=draws,
        num_workers=workers,
        pin_memory=pinned,
        worker_init_fn=_leave_signals if workers else None,
        # else its seed for workers, which need none, would come from the global generator
        generator=torch.Generator(),
    )


def _leave_signals(worker: int) -> None:
    """Ignore Ctrl-C in a worker: the run handles it and ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
