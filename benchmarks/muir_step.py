"""A training step of networks with generated weights, against the same networks' plain step.

LeNet, a two-layer LSTM of 256 and DeepBind-256 together: 10,857 blocks of 16x16, contexts of 4, one
challenger at half of the locations. Batches are smaller than the paper's (128, 20, 512), which
makes the ratio larger: what generating costs does not depend on them. The second row is the set-up
with WRN-40-1 in the place of LeNet, 12,764 blocks.
"""

import resource
import time

import torch
from common import Row, arguments, at_most, finish, in_turn
from mtl_muir.config import MuirConfig
from mtl_muir.strategy import Muir

from mtl_framework.backbones.backbone import PlainBackbone
from mtl_framework.backbones.build import build_plain
from mtl_framework.backbones.config import PlainBackboneConfig
from mtl_framework.data import Batch
from mtl_framework.data.tasks import (
    Classification,
    Examples,
    LanguageModel,
    Regression,
    Suite,
    Task,
)
from mtl_framework.networks.separate import SeparateNetworks
from mtl_framework.plugins.manager import Plugins

WORDS = 10_000
Kinds = tuple[list[PlainBackbone], Suite, Batch]


def kinds(image_network: str, sizes: tuple[int, int, int], device: str) -> Kinds:
    """Networks, tasks and a batch of random images, words and bases."""
    images, texts, strands = sizes
    rows = [
        (image_network, Classification(10), torch.rand(images, 3, 32, 32),
         torch.randint(10, (images,))),
        ("lstm_language_model", LanguageModel(WORDS), torch.randint(WORDS, (texts, 35)),
         torch.randint(WORDS, (texts, 35))),
        ("deepbind", Regression(), torch.randint(5, (strands, 201)), torch.rand(strands)),
    ]  # fmt: skip
    plugins = Plugins.load()
    backbones, tasks = [], []
    for name, objective, inputs, targets in rows:
        config = PlainBackboneConfig(name=name)
        shape = tuple(inputs.shape[1:])
        outputs = objective.num_outputs
        backbones.append(build_plain(config, shape, inputs.dtype, outputs, plugins.backbone(name)))
        data = Examples(inputs, targets)
        tasks.append(Task(name, objective, data, data, backbone={"name": name}))
    batch = Batch(
        tuple(row[2].to(device) for row in rows), tuple(row[3].to(device) for row in rows)
    )
    return backbones, Suite("three kinds", tasks), batch


def compare(
    what: str, image_network: str, sizes: tuple[int, int, int], repeats: int, device: str
) -> Row:
    backbones, suite, batch = kinds(image_network, sizes, device)
    torch.manual_seed(0)
    start = time.perf_counter()
    strategy = Muir(MuirConfig(challenged=0.5, alpha=0.5))
    network = strategy.build_each(backbones, suite).to(device)
    built = time.perf_counter() - start
    strategy.challenge()
    plain = SeparateNetworks(backbones, suite.tasks).to(device).train()
    optimizer = torch.optim.Adam(plain.parameters(), fused=True)

    def plain_step() -> None:
        optimizer.zero_grad()
        plain.accumulate_gradients(batch)
        optimizer.step()

    a, b = in_turn(lambda: strategy.train_step(batch), plain_step, repeats, device)
    return at_most(
        what,
        a / b,
        1.5,
        generated_ms=a * 1e3,
        plain_ms=b * 1e3,
        blocks=float(network.num_locations),
        build_s=built,
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def main() -> None:
    options = arguments(__doc__ or "")
    sizes = (32, 8, 8) if options.quick else (64, 20, 32)
    repeats = 3 if options.quick else 9
    rows = []
    for name, network in (("LeNet", "lenet"), ("WRN-40-1", "wrn_40_1")):
        what = f"generated / plain step, {name} + LSTM + DeepBind"
        if options.only in what:
            rows.append(compare(what, network, sizes, repeats, options.device))
            print(rows[-1], flush=True)
    finish(rows, options)


if __name__ == "__main__":
    main()
