"""Transforms of torchvision, as a config names them, separately for training and evaluation."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor, nn

from ..support.errors import MtlError, UnknownNameError, message_of
from ..support.seeding import untouched_generators
from .images import ImageNormalization

#: They do the same to an image every time, and so are done once, when it is read.
FIXED = ("CenterCrop", "Grayscale", "Identity", "Pad", "RGB", "Resize")
# Not of one image to one uint8 image, of what a config file cannot hold, or to be removed (JPEG).
_UNFIT = {
    "ClampBoundingBoxes", "ClampKeyPoints", "Compose", "ConvertBoundingBoxFormat",
    "ConvertImageDtype", "CutMix", "FiveCrop", "JPEG", "Lambda", "LinearTransformation", "MixUp",
    "PILToTensor", "RandomApply", "RandomChoice", "RandomIoUCrop", "RandomOrder",
    "SanitizeBoundingBoxes", "SanitizeKeyPoints", "SetClampingMode", "TenCrop", "ToDtype",
    "ToImage", "ToPILImage", "ToPureTensor", "ToTensor", "Transform", "UniformTemporalSubsample",
}  # fmt: skip


class ImageTransform:
    """A sequence of torchvision transforms that can be seeded image by image.

    Args:
        steps: modules that transform uint8 images (C, H, W), applied one after the other.
        entries: for each step the mapping with ``name`` and arguments that it was made from.
    """

    def __init__(self, steps: Sequence[nn.Module], entries: Sequence[Mapping[str, Any]]) -> None:
        self._steps = tuple(steps)
        self.entries = tuple(entries)

    @classmethod
    def from_config(cls, entries: Any, key: str = "transforms") -> "ImageTransform":
        """Make transforms of a list as in :meth:`Transforms.from_config`, without ``Normalize``.

        Raises:
            MtlError: naming the key, what was found and what is allowed.
        """
        transform, normalization = _parse(entries, key)
        if normalization is not None:
            raise MtlError(f"{key}: Normalize cannot be among these transforms")
        return transform

    def __eq__(self, other: object) -> bool:
        """Say whether both were made from the same entries."""
        return isinstance(other, ImageTransform) and self.entries == other.entries

    def __hash__(self) -> int:
        return hash(str(self.entries))

    def __len__(self) -> int:
        return len(self._steps)

    def __add__(self, other: "ImageTransform") -> "ImageTransform":
        return ImageTransform(self._steps + other._steps, self.entries + other.entries)

    def part(self, first: int, last: int) -> "ImageTransform":
        """Return the steps from number ``first`` to before ``last``."""
        return ImageTransform(self._steps[first:last], self.entries[first:last])

    @property
    def fixed(self) -> "ImageTransform":
        """Return the leading steps in :data:`FIXED`, which are applied when images are read."""
        count = self._count_fixed()
        return ImageTransform(self._steps[:count], self.entries[:count])

    @property
    def rest(self) -> "ImageTransform | None":
        """Return the steps after :attr:`fixed`, for :class:`Examples`; ``None`` without any."""
        count = self._count_fixed()
        return (
            ImageTransform(self._steps[count:], self.entries[count:]) if count < len(self) else None
        )

    def _count_fixed(self) -> int:
        fixed = [entry["name"] in FIXED for entry in self.entries]
        return fixed.index(False) if False in fixed else len(fixed)

    def __call__(
        self, image: UInt8[Tensor, "channels height width"]
    ) -> UInt8[Tensor, "out_channels out_height out_width"]:
        """Transform one image; random steps draw from torch's global generator.

        Raises:
            MtlError: if a step fails, or returns anything but a uint8 image (C, H, W).
        """
        for entry, step in zip(self.entries, self._steps, strict=True):
            name = entry["name"]
            try:
                image = step(image)
            except (ValueError, TypeError, RuntimeError) as error:
                reason = message_of(error)[:200]
                raise MtlError(
                    f"transform {name} fails on a uint8 image of shape {tuple(image.shape)}: "
                    f"{reason}"
                ) from error
            if image.dtype != torch.uint8 or image.ndim != 3:
                raise MtlError(
                    f"transform {name} makes {image.dtype} of shape {tuple(image.shape)}; a "
                    "transform should keep images uint8 of shape (C, H, W)"
                )
        return image

    def together(self, *parts: Tensor) -> tuple[Tensor, ...]:
        """Transform an image, masks and points, given as torchvision ``tv_tensors``, alike.

        Raises:
            MtlError: if a step fails.
        """
        for entry, step in zip(self.entries, self._steps, strict=True):
            try:
                parts = step(*parts)
            except (ValueError, TypeError, RuntimeError) as error:
                reason = message_of(error)[:200]
                raise MtlError(f"transform {entry['name']} fails: {reason}") from error
        return parts

    def apply(
        self,
        images: UInt8[Tensor, "rows channels height width"],
        seeds: Int64[Tensor, " rows"],
    ) -> UInt8[Tensor, "rows out_channels out_height out_width"]:
        """Transform every image of a batch, with random numbers from the image's own seed.

        The global random generators are restored afterwards.

        Raises:
            MtlError: if a step fails, or images come out with different shapes.
        """
        with untouched_generators(images.device):
            done = []
            for image, seed in zip(images, seeds.tolist(), strict=True):
                seed_torch(seed, images.device)
                done.append(self(image))
        shapes = {tuple(image.shape) for image in done}
        if len(shapes) > 1:
            examples = " and ".join(map(str, sorted(shapes)[:2]))
            names = ", ".join(entry["name"] for entry in self.entries)
            raise MtlError(
                f"the transforms {names} give images of different shapes {examples}: end "
                "with a crop "
                "or Resize to [height, width]"
            )
        return torch.stack(done)

    def output_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape (C, H, W) that an image of the given shape has after the transform.

        Raises:
            MtlError: if it cannot be transformed.
        """
        blank = torch.zeros(1, *shape, dtype=torch.uint8)
        return tuple(self.apply(blank, torch.zeros(1, dtype=torch.int64)).shape[1:])


@dataclass(frozen=True)
class Transforms:
    """This class holds the value of a suite's option ``transforms``, parsed.

    Args:
        train: is applied to training images.
        evaluation: is applied to validation and test images, and to images to predict.
        normalization: replaces the backbone's mean and std; ``None``: those are kept.
    """

    train: ImageTransform
    evaluation: ImageTransform
    normalization: ImageNormalization | None = None

    @classmethod
    def from_config(cls, config: Any, key: str = "transforms") -> "Transforms":
        """Make transforms of a config's plain values.

        Args:
            config: a mapping with lists under ``train`` and ``evaluation``; a missing list is
                empty, ``None`` means both are. An entry is the name of a class of
                torchvision.transforms.v2, or a mapping with ``name`` and its arguments.
                ``Normalize`` can only be the last one, alike in both lists: it works on images in
                [0, 1], the others on bytes.
            key: name of the config's key that holds ``config``, for error messages.

        Raises:
            MtlError: naming the key, what was found and what is allowed.
        """
        if not isinstance(config, Mapping | None):
            raise MtlError(f"{key} should map train and evaluation to lists, found {config!r}")
        config = dict(config or {})
        for name in config:
            if name not in ("train", "evaluation"):
                raise UnknownNameError(f"key of {key}:", name, ("train", "evaluation"))
        train, normalize_train = _parse(config.get("train"), f"{key}.train")
        evaluation, normalize = _parse(config.get("evaluation"), f"{key}.evaluation")
        if normalize_train != normalize:
            raise MtlError(
                f"{key}: Normalize should be the same in train and evaluation, found "
                f"{_shown(normalize_train)} and {_shown(normalize)}"
            )
        return cls(train, evaluation, normalize)

    def of(self, split: str) -> ImageTransform:
        """Return ``train`` for the training split, ``evaluation`` for any other."""
        return self.train if split == "train" else self.evaluation


def transform_names() -> list[str]:
    """Return the names of the classes of torchvision.transforms.v2 that a config can name."""
    from torchvision.transforms import v2

    classes = inspect.getmembers(v2, inspect.isclass)
    return sorted(n for n, c in classes if issubclass(c, v2.Transform) and n not in _UNFIT)


def _parse(entries: Any, key: str) -> tuple[ImageTransform, ImageNormalization | None]:
    if entries is None:
        entries = []
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise MtlError(f"{key} should be a list of transforms, found {entries!r}")
    steps, plain, normalization = [], [], None
    for place, entry in enumerate(entries):
        where = f"{key}[{place}]"
        name, arguments = _entry(entry, where)
        if name == "Normalize":
            if place != len(entries) - 1:
                raise MtlError(f"{where}: Normalize should be the last transform")
            normalization = _normalization(arguments, where)
            continue
        plain.append({"name": name, **arguments})
        steps.append(_build(name, arguments, where))
    return ImageTransform(steps, plain), normalization


def _entry(entry: Any, where: str) -> tuple[str, dict[str, Any]]:
    if isinstance(entry, str):
        entry = {"name": entry}
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise MtlError(f"{where} should be a name, or name and arguments, found {entry!r}")
    arguments = {str(key): value for key, value in entry.items() if key != "name"}
    if entry["name"] not in transform_names():
        raise UnknownNameError(
            f"transform in {where}:",
            entry["name"],
            transform_names(),
            "see torchvision.transforms.v2",
        )
    return entry["name"], arguments


def _build(name: str, arguments: dict[str, Any], where: str) -> nn.Module:
    from torchvision.transforms import InterpolationMode, v2

    constructor = getattr(v2, name)
    allowed = inspect.signature(constructor).parameters
    for argument, value in arguments.items():
        if argument not in allowed:
            raise UnknownNameError(f"argument of {name} in {where}:", argument, allowed)
        default = allowed[argument].default
        kind = InterpolationMode if argument == "interpolation" else type(default)
        if issubclass(kind, Enum):
            try:
                arguments[argument] = kind(value)
            except ValueError:
                known = [member.value for member in kind]
                raise UnknownNameError(
                    f"{argument} of {name} in {where}:", str(value), known
                ) from None
    try:
        step: nn.Module = constructor(**arguments)
    except (ValueError, TypeError) as error:
        reason = message_of(error).replace(f"{name}.__init__() ", "")
        raise MtlError(f"{where}: {name}: {reason}") from error
    return step


def _normalization(arguments: dict[str, Any], where: str) -> ImageNormalization:
    for argument in arguments:
        if argument not in ("mean", "std"):
            raise UnknownNameError(f"argument of Normalize in {where}:", argument, ("mean", "std"))
    pair = []
    for name in ("mean", "std"):
        numbers = arguments.get(name)
        good = isinstance(numbers, Sequence) and not isinstance(numbers, str) and len(numbers) > 0
        if not good or not all(isinstance(n, int | float) for n in numbers):  # type: ignore[union-attr]
            raise MtlError(
                f"{where}: {name} of Normalize should be a list of numbers, one a channel, found "
                f"{numbers!r}"
            )
        pair.append(tuple(float(n) for n in numbers))  # type: ignore[union-attr]
    if not all(n > 0 for n in pair[1]) or len(pair[0]) != len(pair[1]):
        raise MtlError(
            f"{where}: std of Normalize should be as many positive numbers as mean has, found "
            f"{list(pair[1])}"
        )
    return ImageNormalization(*pair)


def _shown(normalization: ImageNormalization | None) -> str:
    if normalization is None:
        return "none"
    return f"mean {list(normalization.mean or ())}, std {list(normalization.std or ())}"


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed the generators from which transforms on a device draw, and no other device's."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
