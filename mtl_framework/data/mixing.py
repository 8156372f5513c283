"""Mixup and cutmix, by timm: training examples, and their targets, are mixed with each other."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from ..support.errors import MtlError
from .objectives import Classification, Objective


@dataclass(frozen=True)
class Mixing:
    """Options of mixing, by which every example is mixed with the one at the mirrored position.

    Args:
        mixup: alpha of the Beta distribution that the shares of two whole images are drawn from
            (Zhang et al., ICLR 2018); 0: no mixup.
        cutmix: alpha of the Beta distribution that the share of an image's area is drawn from
            that a rectangle of another image covers (Yun et al., ICCV 2019); 0: no cutmix.
        probability: probability that a batch is mixed, from 0 to 1.
        switch: share of the mixed batches that get cutmix, where both are on.
    """

    mixup: float = 0.0
    cutmix: float = 0.0
    probability: float = 1.0
    switch: float = 0.5

    def check(self, objective: Objective, batch_size: int) -> None:
        """Raise an error on tasks whose targets cannot be mixed.

        Raises:
            MtlError: on an objective without classes, on focal loss, on an odd batch size.
        """
        if not isinstance(objective, Classification):
            raise MtlError(
                f"mixup and cutmix need a task of classes, whose targets become shares of "
                f"classes, found {objective.kind or type(objective).__name__}"
            )
        if objective.focal_gamma:
            raise MtlError(
                "mixup and cutmix cannot be combined with focal_gamma, which needs one class a row"
            )
        if batch_size % 2:
            raise MtlError(f"mixup and cutmix need an even batch_size, found {batch_size}")

    def mix(
        self,
        images: Float[Tensor, "rows channels height width"],
        targets: Sequence[tuple[Int64[Tensor, " rows"], int]],
        seed: int,
    ) -> tuple[Float[Tensor, "rows channels height width"], list[Shaped[Tensor, "rows classes"]]]:
        """Return mixed images, and for all tasks that read them the shares of the classes.

        Args:
            images: the images of a batch; the tensor is not changed.
            targets: for every task its class indices and its number of classes.
            seed: decides shares and places.
        """
        mixup: Any = import_module("timm.data.mixup").Mixup  # timm takes seconds to import
        # of whom nothing but the size is used: the same numbers give the same shares
        size_alone = torch.empty(len(images), 1, *images.shape[2:])
        mixed, soft_targets = images, []
        for number, (labels, classes) in enumerate(targets):
            timms = mixup(
                self.mixup,
                self.cutmix,
                prob=self.probability,
                switch_prob=self.switch,
                label_smoothing=0.0,
                num_classes=classes,
            )
            with _numpy_seeded(seed):
                inputs, shares = timms(images.clone() if number == 0 else size_alone, labels)
            soft_targets.append(shares.to(images.dtype))
            mixed = inputs if number == 0 else mixed
        return mixed, soft_targets


@contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    """Seed numpy's global generator, from which timm draws, and restore it afterwards."""
    before = np.random.get_state()
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        np.random.set_state(before)
