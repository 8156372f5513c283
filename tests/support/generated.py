"""Networks of generated weights for several kinds of inputs, for the tests of muir."""

import torch
from mtl_muir.method.model import Decomposition, GeneratedNetworks
from mtl_muir.search.evolution import Candidates
from torch import Tensor

from mtl_framework.data.tasks import Suite
from support.muir_networks import three_kinds
from support.typed import stored

SMALL = Decomposition(block_out=8, block_in=8, context_size=2, candidates=3)


def networks(how: Decomposition = SMALL, seed: int = 0) -> tuple[GeneratedNetworks, Suite]:
    torch.manual_seed(seed)
    backbones, suite = three_kinds()
    return GeneratedNetworks(backbones, suite.tasks, how).double(), suite


def challenge(network: GeneratedNetworks, seed: int = 0, share: float = 0.5) -> None:
    """Random candidates with random soft weights."""
    generator = torch.Generator().manual_seed(seed)
    shape = network.candidates.shape
    modules = torch.randint(shape[0], shape, generator=generator)
    parts = len(network.challenged)
    challenged = torch.rand(parts, generator=generator) < share
    alone = ~challenged[network.parts]
    modules[alone] = modules[alone][:, :1].expand(-1, shape[1])
    none = torch.zeros(0, dtype=torch.int64)
    start = torch.zeros(shape[1])
    network.challenge(Candidates(modules, challenged, none, none), start, generator)
    with torch.no_grad():
        network.logits.copy_(torch.randn(network.logits.shape, generator=generator))


def doubles(suite: Suite) -> tuple[Tensor, ...]:
    return tuple(
        inputs.double() if inputs.is_floating_point() else inputs
        for inputs in (stored(task.train) for task in suite.tasks)
    )
