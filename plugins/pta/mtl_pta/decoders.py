"""One task has D decoders: linear layers, each behind dropout."""

import copy

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mtl_framework import MtlError


class Decoders(nn.Module):
    """These are all decoders of one task; with its data each defines a pseudo-task.

    Attributes:
        layers: the D linear decoders.
        rates: dropout rates (D,), in [0, 1).
        chosen: number of the decoder that validation prefers, a scalar tensor.

    Args:
        first: the first decoder; the others are drawn anew, of the same size (I).
        count: D, the number of decoders, at least 1.
        dropout: rate of every decoder at first.
        dropping: whether rates can ever differ from 0; if not, no mask is drawn.
        independent: whether each decoder draws its own mask (D). Where not, one draw serves all:
            decoders of equal rates see the same mask.

    Source: Meyerson and Miikkulainen 2018, arXiv 1803.04062, equation 3 and section 3.
    """

    rates: Tensor
    chosen: Tensor

    def __init__(
        self, first: nn.Module, count: int, dropout: float, dropping: bool, independent: bool
    ) -> None:
        super().__init__()
        if not isinstance(first, nn.Linear):
            raise MtlError(
                f"several decoders a task have to be linear layers, found {type(first).__name__}"
            )
        bias = first.bias is not None
        others = [nn.Linear(first.in_features, first.out_features, bias) for _ in range(count - 1)]
        self.layers = nn.ModuleList([first, *others])
        self.dropping = dropping
        self.independent = independent
        self.register_buffer("rates", torch.full((count,), dropout, dtype=torch.float32))
        self.register_buffer("chosen", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.layers)

    def forward(
        self, features: Float[Tensor, "rows *dims features"]
    ) -> Float[Tensor, "decoders rows *dims outputs"]:
        """Compute the outputs of all decoders, of features that were computed once."""
        inputs = self._dropped(features)
        return torch.stack([layer(x) for layer, x in zip(self.layers, inputs, strict=True)])

    def _dropped(
        self, features: Float[Tensor, "rows *dims features"]
    ) -> list[Float[Tensor, "rows *dims features"]]:
        if not (self.training and self.dropping):
            return [features] * len(self)
        draws = torch.rand(
            (len(self) if self.independent else 1, *features.shape), device=features.device
        )
        rates = self.rates.view(-1, *[1] * features.ndim).to(draws)
        scale = (draws >= rates) / (1 - rates)
        return list((features * scale.to(features.dtype)).unbind())

    def mean(self) -> nn.Linear:
        """Make one layer whose outputs are the mean of all decoders' (equation 14)."""
        mean = copy.deepcopy(self.layers[0])
        assert isinstance(mean, nn.Linear)
        with torch.no_grad():
            for name, value in mean.named_parameters():
                parts: list[Tensor] = [layer.get_parameter(name) for layer in self.layers]
                value.copy_(torch.stack(parts).mean(0))
        return mean

    def freeze_all_but_first(self) -> None:
        """Leave decoders 2 to D without gradients (F)."""
        for layer in self.layers[1:]:
            layer.requires_grad_(False)

    @torch.no_grad()
    def copy_chosen(self) -> Bool[Tensor, " decoders"]:
        """Copy weights and dropout rate of the chosen one to all others (G); return the others."""
        chosen = int(self.chosen)
        state = self.layers[chosen].state_dict()
        for number, layer in enumerate(self.layers):
            if number != chosen:
                layer.load_state_dict(state)
        self.rates.fill_(self.rates[chosen].clone())
        return torch.arange(len(self)) != chosen

    @torch.no_grad()
    def perturb(
        self, which: Bool[Tensor, " decoders"], deviation: float, generator: torch.Generator
    ) -> None:
        """Add normal noise to all weights of some decoders (P)."""
        for number in which.nonzero().flatten().tolist():
            for value in self.layers[number].parameters():
                noise = torch.randn(value.shape, generator=generator, dtype=torch.float32)
                value.add_(noise.to(value) * deviation)

    @torch.no_grad()
    def perturb_rates(
        self,
        which: Bool[Tensor, " decoders"],
        deviation: float,
        limits: tuple[float, float],
        generator: torch.Generator,
    ) -> None:
        """Add normal noise to the dropout rates of some decoders, within limits (H)."""
        for number in which.nonzero().flatten().tolist():
            noise = float(torch.randn((), generator=generator))
            moved = float(self.rates[number]) + deviation * noise
            self.rates[number] = min(max(moved, limits[0]), limits[1])
