"""A network that mirrors its maps with its images has the same losses on mirrored examples."""

import torch
from support.dense_tasks import dense_tasks
from support.makers import make_assignments, make_backbone
from torch import Tensor, nn

from mtl_framework.data.batches import Batch
from mtl_framework.data.joint import apply_jointly
from mtl_framework.data.objectives import MapObjective
from mtl_framework.data.transforms import ImageTransform
from mtl_framework.networks.task_networks import TaskNetworks

SIZE, ROWS, GRID = 32, 2, 4
KINDS = ("segmentation", "depth", "normals", "edges")


def mirrored_network() -> TaskNetworks:
    """A ViT whose kernels and positions are their own mirror images; its normals have x = 0."""
    torch.manual_seed(0)
    backbone = make_backbone(
        "vit_tiny_patch16_224", SIZE, args={"patch_size": SIZE // GRID, "depth": 2, "embed_dim": 24}
    )
    network = TaskNetworks(backbone, dense_tasks(KINDS, SIZE, ROWS), 2).double()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "pos_embed" in name:
                grid = parameter[:, -GRID * GRID :].unflatten(1, (GRID, GRID))
                grid.copy_((grid + grid.flip(2)) / 2)
            elif parameter.ndim == 4:  # kernels of patches and of heads
                parameter.copy_((parameter + parameter.flip(-1)) / 2)
        last = [
            m for m in network.head(KINDS.index("normals")).modules() if isinstance(m, nn.Conv2d)
        ]
        assert last[-1].bias is not None
        last[-1].weight[0].zero_()
        last[-1].bias[0].zero_()
    return network


def example(network: TaskNetworks, mirror: bool) -> Batch:
    """Images of bytes and their maps, as the recipe's transforms hand them on."""
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(256, (ROWS, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    maps: dict[int, tuple[MapObjective, Tensor]] = {}
    for number, task in enumerate(network.tasks):
        assert isinstance(task.objective, MapObjective)
        maps[number] = (task.objective, task.train.targets)
    flip = ImageTransform.from_config([{"name": "RandomHorizontalFlip", "p": float(mirror)}])
    images, moved = apply_jointly(flip, images, torch.arange(ROWS), maps)
    inputs = images.double() / 255
    return Batch((inputs,) * len(KINDS), tuple(moved[n] for n in range(len(KINDS))), True)


def test_mirrored_examples_have_the_same_losses() -> None:
    network = mirrored_network()
    assignments = make_assignments("random", 3, len(network.weights_per_unit), len(KINDS), 2)
    plain, mirrored = example(network, False), example(network, True)
    assert not torch.equal(plain.inputs[0], mirrored.inputs[0])
    losses = network.losses(plain, assignments)
    torch.testing.assert_close(network.losses(mirrored, assignments), losses, rtol=1e-10, atol=0)
    wrong = Batch(mirrored.inputs, plain.targets, True)  # maps that did not follow their images
    others = network.losses(wrong, assignments)
    assert bool(((others - losses).abs() > 1e-6 * losses).all())
