"""A config's section ``augmentation`` becomes transforms, policies of timm and torchvision too."""

import random
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from timm.data import auto_augment
from torch import Tensor, nn

from ..support.errors import MtlError, message_of
from .augmentation import AugmentationConfig
from .transforms import ImageTransform

_AUTO = ("original", "originalr", "v0", "v0r", "3a")
_POLICIES = {
    "rand": auto_augment.rand_augment_transform,
    "augmix": auto_augment.augment_and_mix_transform,
    **dict.fromkeys(_AUTO, auto_augment.auto_augment_transform),
}
_TORCHVISION = {
    "trivial": "TrivialAugmentWide",
    "autoaugment": "AutoAugment",
    "randaugment": "RandAugment",
}
_BEFORE = {
    "RandomResizedCrop", "RandomCrop", "RandomHorizontalFlip", "RandomVerticalFlip", "ColorJitter",
}  # fmt: skip


def augmenting(wanted: AugmentationConfig, shape: Sequence[int], key: str) -> ImageTransform | None:
    """Make the transform that augments single images; ``None``: there is nothing to do.

    Args:
        wanted: the section ``augmentation`` of a task.
        shape: (C, H, W) of the images, which augmentation has to keep.
        key: name of the section in the config, for error messages.

    Raises:
        MtlError: naming the key that is wrong, or the step that changes the images' shape.
    """
    entries = list(_entries(wanted, tuple(shape), key))
    transform = ImageTransform.from_config(entries, f"{key}.transforms") if entries else None
    if wanted.policy is not None and wanted.policy not in _TORCHVISION:
        step = TimmPolicy(wanted.policy, shape, f"{key}.policy")
        made = ImageTransform([step], [{"name": "TimmPolicy", "policy": wanted.policy}])
        before = sum(entry["name"] in _BEFORE for entry in entries)
        if transform is None:
            transform = made
        else:
            transform = transform.part(0, before) + made + transform.part(before, len(entries))
    if transform is not None and transform.output_shape(shape) != tuple(shape):
        raise MtlError(
            f"{key} makes images of shape {transform.output_shape(shape)} of those of "
            f"{tuple(shape)}; augmentation should keep their shape"
        )
    return transform


def _entries(
    wanted: AugmentationConfig, shape: tuple[int, ...], key: str
) -> Iterator[dict[str, Any]]:
    size = [shape[1], shape[2]]
    if wanted.crop is not None:
        least, most = wanted.crop
        if not 0 < least <= most <= 1:
            raise MtlError(
                f"{key}.crop should be two shares, 0 < smallest <= largest <= 1, found "
                f"{list(wanted.crop)}"
            )
        yield {"name": "RandomResizedCrop", "size": size, "scale": [least, most]}
    if wanted.pad:
        yield {"name": "RandomCrop", "size": size, "padding": wanted.pad}
    if wanted.hflip:
        yield {"name": "RandomHorizontalFlip", "p": wanted.hflip}
    if wanted.vflip:
        yield {"name": "RandomVerticalFlip", "p": wanted.vflip}
    if wanted.colour_jitter:
        change = dict.fromkeys(("brightness", "contrast"), wanted.colour_jitter)
        colour = {"saturation": wanted.colour_jitter} if shape[0] == 3 else {}
        yield {"name": "ColorJitter", **change, **colour}
    if wanted.policy in _TORCHVISION:
        yield {"name": _TORCHVISION[wanted.policy]}
    for entry in wanted.transforms:
        yield {"name": entry} if isinstance(entry, str) else dict(entry)
    if wanted.erase:
        yield {"name": "RandomErasing", "p": wanted.erase}


class TimmPolicy(nn.Module):
    """This transform applies a timm policy to one uint8 image.

    Torch's generator decides its random numbers.

    Args:
        policy: the policy as timm writes it, e.g. ``rand-m9-mstd0.5-inc1``.
        shape: (C, H, W) of the images.
        key: name of the config's key, for error messages.

    Raises:
        MtlError: if timm has no such policy, or the images have neither one nor three channels.
    """

    def __init__(self, policy: str, shape: Sequence[int], key: str = "policy") -> None:
        super().__init__()
        if shape[0] not in (1, 3):
            raise MtlError(f"{key}: timm's policies need 1 or 3 channels, found {shape[0]}")
        make = _POLICIES.get(policy.partition("-")[0])
        if make is None:
            known = ", ".join([*_POLICIES, *_TORCHVISION])
            raise MtlError(f"{key} should begin with one of {known}, found {policy!r}")
        for section in policy.split("-")[1:]:
            if not re.fullmatch(r"[a-z]+[0-9.]+", section):  # timm would leave it out in silence
                raise MtlError(
                    f"{key}: {section!r} of {policy!r} should be a letter or letters "
                    "and a number, as in m9"
                )
        grey = (128, 128, 128) if shape[0] == 3 else 128
        numbers = {"translate_const": int(min(shape[1:]) * 0.45), "img_mean": grey}
        try:
            self._apply_to = make(policy, numbers)
        except (AssertionError, ValueError, KeyError, TypeError, IndexError) as error:
            reason = message_of(error)
            raise MtlError(f"{key}: timm does not take {policy!r}: {reason}") from error

    def forward(
        self, image: UInt8[Tensor, "channels height width"]
    ) -> UInt8[Tensor, "channels height width"]:
        """Apply the policy; timm draws from Python's and numpy's global generators, seeded here."""
        seed = int(torch.randint(2**31, ()))
        random.seed(seed)
        np.random.seed(seed)
        array = image.permute(1, 2, 0).cpu().numpy()
        picture = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
        changed = np.array(self._apply_to(picture), dtype=np.uint8)
        tensor = torch.from_numpy(changed.reshape(*changed.shape[:2], -1)).permute(2, 0, 1)
        return tensor.contiguous().to(image.device)
