"""DeepBind: how strongly a protein binds to a stretch of DNA."""

from collections import OrderedDict
from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor, nn

from mtl_framework import MtlError

from .sequence import UnitSequence


class Embedding(nn.Embedding):
    """Symbols (B, positions) to (B, width, positions), as convolutions read them."""

    def forward(
        self, symbols: Int[Tensor, "rows positions"]
    ) -> Float[Tensor, "rows width positions"]:
        """Look up a vector for every symbol."""
        return super().forward(symbols.long()).transpose(1, 2)


class DeepBind(UnitSequence):
    """DeepBind-256: embedding, one convolution, global max-pooling, two dense layers.

    Takes symbols (B, positions), integers, with at least ``kernel_size`` positions. Weights start
    normal by He et al. 2015. In blocks of 16x16 convolution and first dense layer have 6400.

    Source: Alipanahi et al., Nature Biotechnology 2015, with the sizes of Meyerson and
    Miikkulainen, "Modular Universal Reparameterization", NeurIPS 2019.

    Args:
        num_classes: outputs.
        in_chans: positions of an input.
        img_size: ``None``: inputs are no images.
        width: width of all layers.
        kernel_size: size of the convolution, in positions.
        symbols: number of different symbols: four bases, and one for unknown ones.

    Raises:
        MtlError: if the inputs are images, or too short.
    """

    stem: ClassVar[tuple[str, ...]] = ("embedding",)

    def __init__(
        self,
        num_classes: int,
        in_chans: int,
        img_size: tuple[int, int] | None = None,
        width: int = 256,
        kernel_size: int = 24,
        symbols: int = 5,
    ) -> None:
        if img_size is not None or in_chans < kernel_size:
            kind = "images" if img_size is not None else f"{in_chans}"
            raise MtlError(
                f"backbone 'deepbind' needs symbols (N, positions) with at least {kernel_size} "
                f"positions, found {kind}"
            )
        super().__init__(
            OrderedDict(
                embedding=Embedding(symbols, width),
                conv=nn.Conv1d(width, width, kernel_size),
                relu1=nn.ReLU(inplace=True),
                pool=nn.AdaptiveMaxPool1d(1),
                flatten=nn.Flatten(),
                dense=nn.Linear(width, width),
                relu2=nn.ReLU(inplace=True),
                classifier=nn.Linear(width, num_classes),
            )
        )
        for layer in self.children():
            if isinstance(layer, nn.Conv1d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
