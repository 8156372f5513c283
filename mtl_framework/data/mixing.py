"""Training examples mixed with each other, their targets too: mixup and cutmix, by timm."""

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
    """How the examples of a batch are mixed: each with the one that mirrors its place.

    Args:
        mixup: alpha of the Beta distribution that the shares of two whole images are drawn from
            (Zhang et al., ICLR 2018); 0: never.
        cutmix: alpha for shares of an image's area that a rectangle of another one takes (Yun et
            al., ICCV 2019); 0: never.
        probability: of a batch to be mixed.
        switch: share of cutmix where there are both.
    """

    mixup: float = 0.0
    cutmix: float = 0.0
    probability: float = 1.0
    switch: float = 0.5

    def check(self, objective: Objective, batch_size: int) -> None:
        """Refuse tasks whose targets cannot be mixed.

        Raises:
            MtlError: naming why.
        """
        if not isinstance(objective, Classification):
            raise MtlError(
                f"mixup and cutmix need a task of classes, whose targets become shares of "
                f"classes, found {objective.kind or type(objective).__name__}"
            )
        if objective.focal_gamma:
            raise MtlError("mixup and cutmix cannot be had with focal_gamma, which needs one class")
        if batch_size % 2:
            raise MtlError(f"mixup and cutmix need an even batch_size, found {batch_size}")

    def mix(
        self,
        images: Float[Tensor, "rows channels height width"],
        targets: Sequence[tuple[Int64[Tensor, " rows"], int]],
        seed: int,
    ) -> tuple[Float[Tensor, "rows channels height width"], list[Shaped[Tensor, "rows classes"]]]:
        """Mixed images, and the targets of all tasks that read them as shares of classes.

        Args:
            images: of a batch; they stay as they are.
            targets: of every task, with its number of classes.
            seed: of the shares and places.
        """
        mixup: Any = import_module("timm.data.mixup").Mixup  # timm takes seconds to import
        # of whom nothing but the size is used: the same numbers give the same shares
        size_alone = torch.empty(len(images), 1, *images.shape[2:])
        mixed, found = images, []
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
            found.append(shares.to(images.dtype))
            mixed = inputs if number == 0 else mixed
        return mixed, found


@contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    """timm draws from numpy's global generator, which is afterwards as it was."""
    before = np.random.get_state()
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        np.random.set_state(before)
