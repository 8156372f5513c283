"""A backbone is run to learn what it does with rows."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from ..routing.banks import make_bank
from ..routing.forward_pass import ForwardPass
from ..routing.heads import HeadBank, resized
from ..routing.plan import PlanOptions, RoutePlan
from ..routing.statistics_schedule import StepOrder
from ..support.errors import MtlError, message_of
from .backbone import Backbone

_QUIET = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


def check_rows(model: nn.Module, name: str, inputs: Tensor) -> None:
    """Refuse a model whose output for one input depends on the others of the batch.

    Batch statistics and dropout are switched off for the check, all else is as in training.

    Raises:
        MtlError: if rows are mixed, or the output is not one vector an input.
    """
    other = inputs.flip(0)[:1]
    with torch.no_grad():
        for training in (False, True):
            model.train(training)
            for module in model.modules():
                if isinstance(module, _QUIET):
                    module.eval()
            outputs = []
            for batch in (inputs[:2], torch.cat([inputs[:1], other])):
                torch.manual_seed(0)
                outputs.append(model(batch))
            model.eval()
            when = "training" if training else "evaluation"
            for output in outputs:
                if not isinstance(output, Tensor) or output.shape != (2, 2):
                    kind = (
                        tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
                    )
                    raise MtlError(
                        f"backbone {name!r} returns {kind} in {when} where one row of class scores "
                        "an input is expected"
                    )
            if not torch.allclose(outputs[0][0], outputs[1][0], rtol=1e-3, atol=1e-5):
                raise MtlError(
                    f"backbone {name!r} mixes the inputs of a batch in {when}: rows of different "
                    "tasks would leak into each other"
                )


@contextmanager
def rewritten(backbone: Backbone, model: nn.Module, forward_pass: ForwardPass) -> Iterator[None]:
    """Make the model with two-weight banks whose weights are one and the same module, headless."""
    before: list[tuple[str, nn.Module]] = []

    def replace(name: str, module: nn.Module) -> None:
        before.append((name, model.get_submodule(name)))
        model.set_submodule(name, module)

    try:
        for number, places in enumerate(backbone.places):
            for place in places:
                module = model.get_submodule(place.names[0])
                bank = make_bank(
                    [module, module], number, backbone.ports[place.names[0]], forward_pass
                )
                bank.train(model.training)
                for name in place.names:
                    replace(name, bank)
        for name in backbone.class_layers:
            layer = model.get_submodule(name)
            heads = HeadBank([layer, _widened(layer)], forward_pass)
            replace(name, heads if backbone.heads_inside else nn.Identity())
        yield
    finally:
        for name, module in reversed(before):
            model.set_submodule(name, module)


def _widened(layer: nn.Module) -> nn.Module:
    """Make a class layer with one class more, whose scores stand out."""
    wider = resized(layer, 3)
    for name, parameter in layer.named_parameters():
        wide = wider.get_parameter(name)
        wide[:2], wide[2:] = parameter, 100.0
    return wider


def features_without_head(backbone: Backbone, model: nn.Module, inputs: Tensor) -> Tensor | None:
    """Return what the model returns without its class layer, if that is what the layer reads."""
    if len(backbone.class_layers) > 1:
        return None
    layer = model.get_submodule(backbone.classifier)
    seen: list[Tensor] = []
    handle = layer.register_forward_hook(
        lambda module, args, output: seen.extend((args[0], output))
    )
    scores = model(inputs)
    handle.remove()
    if len(seen) != 2 or not torch.equal(seen[1].flatten(1), scores):
        return None
    return seen[0].flatten(1)


def probe_plan(
    backbone: Backbone, inputs: Tensor, branching: bool, num_tasks: int = 1
) -> RoutePlan:
    """Make a plan of U + 1 samples, of which sample s leaves sample 0 at unit s.

    The number of rows grows strictly from unit to unit, so that it says where rows are: with two
    units the samples use weights 00, 10 and 01, and levels 0, 1 and 2 have 1, 2 and 3 groups.
    """
    units = len(backbone.units)
    assignments = np.zeros((units + 1, units, num_tasks), dtype=np.int64)
    for unit in range(units):
        assignments[unit + 1, unit] = 1
    return RoutePlan(
        StepOrder(assignments, "shared"),
        range(units + 1),
        range(num_tasks),
        len(inputs),
        PlanOptions(inputs.device, branching=branching, common_input=True),
    )


def find_plan(backbone: Backbone, model: nn.Module, inputs: Tensor) -> Backbone:
    """Find out where heads go, and whether paths may branch unit by unit.

    Any mixing of levels fails by shape, see :func:`probe_plan`. Heads that stay inside the model
    are probed with two tasks, one of which has a class more.

    Returns:
        the backbone, which says so.

    Raises:
        MtlError: if the model cannot be routed even with separate rows for every path.
    """
    units = len(backbone.units)
    reason = ""
    inputs = inputs[:2]
    with torch.no_grad():
        expected = features_without_head(backbone, model, inputs)
        if expected is None:
            backbone = dataclasses.replace(backbone, heads_inside=True)
            expected = model(inputs)
        tasks = 2 if backbone.heads_inside else 1
        for branching in (True, False):
            forward_pass = ForwardPass()
            plan = probe_plan(backbone, inputs, branching, tasks)
            start = inputs.repeat_interleave(plan.num_groups(0), 0)
            try:
                with rewritten(backbone, model, forward_pass), forward_pass.running(plan, False):
                    features = model(start)
            except Exception as error:
                reason = message_of(error)
                continue
            wanted = expected.repeat_interleave(tasks * (units + 1), 0)
            features = features.flatten(1)
            if backbone.heads_inside:
                features = features[:, :2]
            scale = 1e-3 * float(expected.abs().max())
            if features.shape == wanted.shape and torch.allclose(
                features, wanted, rtol=0, atol=scale
            ):
                return dataclasses.replace(backbone, branching=branching)
            reason = "outputs of routed rows differ from the plain model's"
    raise MtlError(f"backbone {backbone.name!r} cannot be routed: {reason}")
