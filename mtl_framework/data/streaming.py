"""Inputs that are held in memory, or read from files when they are needed."""

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..support.errors import MtlError
from .images import read_image
from .samplers import Draw, Order
from .transforms import ImageTransform

_PART = 64  # images that a worker reads in one go where all are wanted


@runtime_checkable
class Items(Protocol):
    """What can be counted and indexed: a list of paths, a map-style dataset."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> Any: ...


class LazyInputs:
    """Images in files or in a dataset, all of one shape once read; takes an input tensor's place.

    Args:
        items: paths of image files, or anything with a length whose rows ``decode`` understands. To
            be read by worker processes it must be picklable.
        shape: (C, H, W) of every image as it comes from ``transform``; default: that of the first.
        decode: makes a uint8 image (C, H, W) of an item; default: :func:`read_image`, grey where
            ``shape`` has one channel, RGB otherwise.
        transform: applied to every image after that, e.g. a resize; the same for the same image.
        names: what to call an item in messages, one each; default: the path, else the row.

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
        """(N, C, H, W)."""
        assert self._image_shape is not None
        return torch.Size((len(self), *self._image_shape))

    @property
    def nbytes(self) -> int:
        """Memory that all images take together, in bytes."""
        return self.shape.numel()

    def __len__(self) -> int:
        return len(self._items)

    def read(self, row: int) -> UInt8[Tensor, "channels height width"]:
        """One image.

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
        """What an image is called in messages."""
        if self._names is not None:
            return self._names[row]
        item = self._items[row]
        return str(item) if isinstance(item, str | Path) else str(row)

    def hold(self, workers: int = 0) -> UInt8[Tensor, "rows channels height width"]:
        """Read all images once, and keep them in memory from then on.

        Args:
            workers: processes that read them; 0: this one.

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
        """All images, where :meth:`hold` has read them."""
        return self._held


@dataclass(frozen=True)
class Rows:
    """Inputs and what is done to them when they are read."""

    inputs: Tensor | LazyInputs
    transform: ImageTransform | None

    def read(self, draw: Draw) -> Tensor:
        """Some rows, transformed.

        Raises:
            MtlError: naming the image that cannot be read.
        """
        inputs = self.inputs
        if isinstance(inputs, LazyInputs) and inputs.held is not None:
            inputs = inputs.held
        if isinstance(inputs, LazyInputs):
            found = torch.stack([inputs.read(row) for row in draw.rows.tolist()])
        else:
            found = inputs[draw.rows.to(inputs.device, non_blocking=True)]
        return found if self.transform is None else self.transform.apply(found, draw.seeds)

    def to(self, device: torch.device, workers: int) -> "Rows":
        """The same with all inputs on a device, images as bytes."""
        inputs = self.inputs
        held = inputs.hold(workers) if isinstance(inputs, LazyInputs) else inputs
        return Rows(held.to(device), self.transform)

    def read_all(
        self, draws: Sequence[Draw], workers: int, device: torch.device
    ) -> Iterator[Tensor]:
        """Part after part, on the CPU; files are read ahead by worker processes.

        Args:
            draws: the parts.
            workers: processes; 0: this one.
            device: where the parts will go.
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
    """Batches read ahead, from files or memory, by worker processes.

    Args:
        sources: of the parts of every batch.
        workers: processes; 0: this one.
        pinned: put batches where a GPU can fetch them while the CPU goes on.
    """

    def __init__(self, sources: Sequence[Rows], workers: int, pinned: bool) -> None:
        self._sources = sources
        self._workers = workers
        self._pinned = pinned
        self._batches: Iterator[Any] | None = None

    @property
    def running(self) -> bool:
        """Between :meth:`start` and :meth:`stop`."""
        return self._batches is not None

    def start(self, orders: Sequence[Order]) -> None:
        """Begin to read.

        Args:
            orders: one a source; they are moved ahead of what :meth:`next` has given.
        """
        draws = _forever(orders)
        self._batches = iter(_loader(self._sources, draws, self._workers, self._pinned))

    def next(self) -> list[Tensor]:
        """One part a source, on the CPU.

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
    """Batches by their draws, one for each source; what a worker process holds."""

    def __init__(self, sources: Sequence[Rows]) -> None:
        self._sources = sources

    def __getitem__(self, draws: Any) -> "list[Tensor] | _Failure":
        try:
            return [rows.read(draw) for rows, draw in zip(self._sources, draws, strict=True)]
        except MtlError as error:
            return _Failure(str(error))


@dataclass(frozen=True)
class _Failure:
    """An error's message; the error itself would come with a worker's traceback for a message."""

    message: str


def _next(batches: Iterator[Any]) -> list[Tensor]:
    try:
        found: list[Tensor] | _Failure = next(batches)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        reason = " ".join(str(error).split())
        raise MtlError(f"reading images failed: {reason}; try data_workers=0") from error
    if isinstance(found, _Failure):
        raise MtlError(found.message)
    return found


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
    """A Ctrl-C is the run's to answer, which ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
