"""Single means of speed, each against what it replaced or would replace.

Ratios above 1: the second named is faster. Nothing here has an aim.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from common import (
    Row,
    Sampler,
    arguments,
    finish,
    in_turn,
    make_batch,
    make_tasks,
    plugin_backbone,
    timm_backbone,
)
from torch import Tensor, nn

from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.routing.cpu.path_norm import path_batch_norm
from mtl_framework.routing.cpu.pooled_norm import Pooling, pooled_path_norm

Call = Callable[[], object]
_PRECISIONS = {
    "dkl_convnet": 28,
    "resnet18": 32,
    "convnext_atto": 64,
    "convnext_tiny": 64,
    "vit_tiny_patch16_224": 64,
    "vit_small_patch16_224": 64,
    "mobilenetv3_large_100": 64,
    "efficientnet_b0": 64,
}
_GROUPED = ((3, 16, 32, 32, 28), (3, 16, 64, 64, 14), (20, 16, 64, 64, 8), (20, 16, 256, 256, 2))


def formats() -> dict[str, tuple[Call, Call]]:
    """Layers of a small network on contiguous and on channels-last images."""
    images = torch.randn(128, 32, 28, 28)
    found: dict[str, tuple[Call, Call]] = {}
    norm = nn.BatchNorm2d(32)

    def both(layer: Callable[[Tensor], Tensor]) -> tuple[Call, Call]:
        first = images.clone().requires_grad_()
        second = images.contiguous(memory_format=torch.channels_last).requires_grad_()

        def through(inputs: Tensor) -> None:
            found = layer(inputs)  # a gradient in memory as in training, not an expanded one
            torch.autograd.backward(found, torch.ones_like(found))

        return lambda: through(first), lambda: through(second)

    found["max-pool, contiguous / channels-last"] = both(lambda x: F.max_pool2d(x, 2))
    found["batch norm, contiguous / channels-last"] = both(norm)
    return found


def pooling_first() -> dict[str, tuple[Call, Call]]:
    """Batch norm of groups, ReLU and max-pooling in this order, and pooling before normalising."""
    found: dict[str, tuple[Call, Call]] = {}
    halves = Pooling((2, 2), (2, 2), (0, 0), (1, 1), False, True)
    stem = Pooling((3, 3), (2, 2), (1, 1), (1, 1), False, True)
    cases = ((3, 32, 28, halves), (7, 32, 14, halves), (4, 53, 105, halves), (3, 64, 64, stem))
    for groups, width, size, pooling in cases:
        rows = torch.randn(groups * 16, width, size, size)
        rows = rows.contiguous(memory_format=torch.channels_last).requires_grad_()
        weight, bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

        def run(first: bool, x: Tensor = rows, groups: int = groups, w: Tensor = weight,
                b: Tensor = bias, pooling: Pooling = pooling) -> None:  # fmt: skip
            mean, var = x.new_zeros(2, groups, len(w))
            if first:
                y = pooled_path_norm(x, w, b, mean, var, 1e-5, pooling)
            else:
                y = F.relu_(path_batch_norm(x, w, b, mean, var, 1e-5))
                y = F.max_pool2d(y, pooling.size, pooling.stride, pooling.padding)
            torch.autograd.backward(y, torch.ones_like(y))

        kind = "a stem's pooling" if pooling is stem else "pool"
        name = f"normalise {groups} x 16 x {width} x {size} x {size}, then {kind} / pool first"
        found[name] = lambda run=run: run(False), lambda run=run: run(True)  # type: ignore[misc]
    return found


def relu_in_place() -> dict[str, tuple[Call, Call]]:
    """ReLU in place behind a view of what a batch norm gave, and behind the thing itself."""
    norm = nn.BatchNorm2d(32)
    rows = torch.randn(16, 32, 28, 28).contiguous(memory_format=torch.channels_last)
    rows.requires_grad_()

    def run(view: bool) -> None:
        found = norm(rows)
        if view:
            found = found.view_as(found)
        torch.autograd.backward(F.relu_(found), torch.ones_like(found))

    return {"ReLU in place, behind a view / not": (lambda: run(True), lambda: run(False))}


def adam() -> dict[str, tuple[Call, Call]]:
    """A step of torch's Adam and of the fused one."""
    import timm

    def both(parameters: Callable[[], list[nn.Parameter]]) -> tuple[Call, Call]:
        steps = []
        for fused in (False, True):
            own = parameters()
            for parameter in own:
                parameter.grad = torch.randn_like(parameter)
            steps.append(torch.optim.Adam(own, 1e-3, fused=fused).step)
        return steps[0], steps[1]

    def resnets() -> list[nn.Parameter]:
        return [p for _ in range(2) for p in timm.create_model("resnet18").parameters()]

    def small() -> list[nn.Parameter]:
        return [nn.Parameter(torch.randn(32, 32, 3, 3)) for _ in range(40)]

    return {
        "Adam over two ResNet18, for-each / fused": both(resnets),
        "Adam over 40 small convolutions, for-each / fused": both(small),
    }


def batched_weights() -> dict[str, tuple[Call, Call]]:
    """Weights of one layer, one convolution each on its rows, and all as a grouped convolution."""
    found: dict[str, tuple[Call, Call]] = {}
    for weights, rows, width_in, width_out, size in _GROUPED:
        kernels = torch.randn(weights, width_out, width_in, 3, 3, requires_grad=True)
        apart = torch.randn(weights, rows, width_in, size, size)
        stacked = apart.transpose(0, 1).reshape(rows, weights * width_in, size, size)
        last = {"memory_format": torch.channels_last}
        parts = [part.contiguous(**last).requires_grad_() for part in apart]
        whole = stacked.contiguous(**last).requires_grad_()

        def loop(parts: list[Tensor] = parts, kernels: Tensor = kernels) -> None:
            each = [F.conv2d(x, w, padding=1) for x, w in zip(parts, kernels, strict=True)]
            torch.autograd.backward(torch.stack([one.sum() for one in each]).sum())

        def grouped(x: Tensor = whole, kernels: Tensor = kernels, weights: int = weights) -> None:
            one = F.conv2d(x, kernels.flatten(0, 1), padding=1, groups=weights)
            torch.autograd.backward(one.sum())

        name = f"{weights} weights {width_in}-{width_out}, {rows} rows of {size}x{size}"
        found[f"{name}, one by one / grouped"] = loop, grouped
    return found


def orders(device: str) -> dict[str, tuple[Call, Call]]:
    """A gradient step with example-major and with group-major rows."""
    tasks = make_tasks([20] * 3, (1, 28, 28))
    backbone = plugin_backbone("dkl_convnet", (1, 28, 28))
    batch = make_batch(tasks, device=device)
    calls = []
    for group_major in (False, True):
        torch.manual_seed(0)
        network = TaskNetworks(backbone, tasks, 3, group_major=group_major).to(device)
        draw = Sampler(len(backbone.units), 3, 3, None)
        calls.append(lambda n=network, d=draw: n.accumulate_gradients(batch, d()))
    return {"gradient step, example-major / group-major": (calls[0], calls[1])}


def stem_pooling(device: str) -> dict[str, tuple[Call, Call]]:
    """A gradient step of ResNet18, all shared, whose stem normalises first, and pools first."""
    found: dict[str, tuple[Call, Call]] = {}
    for size in (64, 128):
        backbone = timm_backbone("resnet18", (3, size, size))
        assert backbone.direct_poolings, "timm's stem should be found"
        tasks = make_tasks([10] * 3, (3, size, size))
        batch = make_batch(tasks, device=device)
        shared = torch.zeros(1, len(backbone.units), 3, dtype=torch.int64)
        calls = []
        for form in (replace(backbone, direct_poolings=()), backbone):
            network = TaskNetworks(form, tasks, 1).to(device).train()
            calls.append(lambda n=network, b=batch, a=shared: n.accumulate_gradients(b, a))
        name = f"gradient step, ResNet18 on {size} x {size}, stem normalises / pools first"
        found[name] = calls[0], calls[1]
    return found


def precision(device: str) -> dict[str, tuple[Call, Call]]:
    """A gradient step in full precision and in bfloat16."""
    found: dict[str, tuple[Call, Call]] = {}
    for name, size in _PRECISIONS.items():
        small = name == "dkl_convnet"
        shape = (1 if small else 3, size, size)
        backbone = (plugin_backbone if small else timm_backbone)(name, shape)
        tasks = make_tasks([10] * 3, shape)
        batch = make_batch(tasks, device=device)
        calls = []
        for kind in ("fp32", "bf16"):
            network = TaskNetworks(backbone, tasks, 3).to(device)
            network.precision = kind
            draw = Sampler(len(backbone.units), 3, 3, 0.9)
            calls.append(lambda n=network, b=batch, d=draw: n.accumulate_gradients(b, d()))
        found[f"gradient step, {name} on {size} x {size}, fp32 / bf16"] = calls[0], calls[1]
    return found


def compiled(device: str) -> dict[str, tuple[Call, Call]]:
    """A gradient step of a plain model and of the same compiled: the most that compiling gives."""
    found: dict[str, tuple[Call, Call]] = {}
    for name, shape in (("dkl_convnet", (1, 28, 28)), ("resnet18", (3, 32, 32))):
        make = plugin_backbone if "convnet" in name else timm_backbone
        model = make(name, shape).recipe.create(10, pretrained=False).to(device).train()
        fast = torch.compile(model)
        layout = torch.channels_last if device == "cpu" else torch.contiguous_format
        model.to(memory_format=layout)
        inputs = torch.randn(48, *shape, device=device).contiguous(memory_format=layout)

        def step(m: Callable[[Tensor], Tensor] = model, x: Tensor = inputs) -> None:
            torch.autograd.backward(m(x).square().mean())

        def fast_step(m: Callable[[Tensor], Tensor] = fast, x: Tensor = inputs) -> None:
            torch.autograd.backward(m(x).square().mean())

        found[f"gradient step, plain {name}, eager / compiled"] = step, fast_step
    return found


def switching() -> dict[str, tuple[Call, Call]]:
    """Evaluation mode and back, as torch does it and as networks do."""
    network = TaskNetworks(timm_backbone("resnet18", (3, 32, 32)), make_tasks([2], (3, 32, 32)), 1)

    def torchs() -> None:
        nn.Module.train(network, False)
        nn.Module.train(network, True)

    def ours() -> None:
        network.train(False)
        network.train(True)

    return {"switching modes of ResNet18, torch / ours": (torchs, ours)}


def shares(device: str) -> dict[str, tuple[Call, Call]]:
    """A whole gradient step against its planning, and against itself on one image a task."""
    found: dict[str, tuple[Call, Call]] = {}
    backbone = plugin_backbone("dkl_convnet", (1, 28, 28))
    for count in (3, 20):
        tasks = make_tasks([20] * count, (1, 28, 28))
        network = TaskNetworks(backbone, tasks, count).to(device)
        batch, single = make_batch(tasks, 16, device), make_batch(tasks, 1, device)
        draws = [Sampler(len(backbone.units), count, count, None) for _ in range(3)]

        def step(n: TaskNetworks = network, b: object = batch, d: Sampler = draws[0]) -> None:
            n.accumulate_gradients(b, d())  # type: ignore[arg-type]

        def plan(n: TaskNetworks = network, b: object = batch, d: Sampler = draws[1]) -> None:
            n.plan(b, d())  # type: ignore[arg-type]

        def one(n: TaskNetworks = network, b: object = single, d: Sampler = draws[2]) -> None:
            n.accumulate_gradients(b, d())  # type: ignore[arg-type]

        found[f"gradient step, T = K = {count}, whole / its plan"] = step, plan
        found[f"gradient step, T = K = {count}, 16 images a task / 1"] = step, one
    return found


def main() -> None:
    options = arguments(__doc__ or "")
    torch.manual_seed(0)
    cases = {
        **formats(),
        **pooling_first(),
        **relu_in_place(),
        **adam(),
        **batched_weights(),
        **switching(),
    }
    cases |= {**compiled(options.device), **orders(options.device)}
    cases |= {**stem_pooling(options.device), **precision(options.device), **shares(options.device)}
    rows = []
    for what, (before, after) in cases.items():
        if options.only not in what:
            continue
        repeats = 7 if options.quick else 31
        a, b = in_turn(before, after, repeats, options.device)
        rows.append(Row(what, round(a / b, 3), "", True, {"ms": a * 1e3, "instead_ms": b * 1e3}))
        print(rows[-1], flush=True)
    finish(rows, options)


if __name__ == "__main__":
    main()
