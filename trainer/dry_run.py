"""What a run would be: tensor shapes per network, parameters, memory, time. `latentd train RECIPE --dry-run`."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from trainer.data import DataSplit
from trainer.data.batches import make_batches
from trainer.data.order import DataOrder
from trainer.recipe import Recipe
from trainer.systems.base import System

_WARM_UP, _TIMED = 3, 10


@dataclass
class NetworkTrace:
    """One network in one forward pass.

    Attributes:
        rows: per layer its path, its class, the shape it makes, and its own number of parameters.
    """

    name: str
    parameters: int
    rows: list[tuple[str, str, str, int]] = field(default_factory=list)


def dry_run(recipe: Recipe, data: DataSplit, system: System, fabric: Fabric) -> str:
    """Take a few steps of `system`, which is spent afterwards, and describe what was seen."""
    batch = recipe.training.batch_size
    order = DataOrder(len(data.train), recipe.seed)
    batches = make_batches(data.train, order, batch, fabric.device, slice(batch))

    def step(number: int) -> None:
        system.step(*batches.next(), number, 1.0)

    with _traced() as traces:
        step(0)
    for number in range(1, _WARM_UP):
        step(number)
    _synchronize(fabric)
    begun = time.monotonic()
    for number in range(_WARM_UP, _WARM_UP + _TIMED):
        step(number)
    _synchronize(fabric)
    rate = batch * _TIMED / (time.monotonic() - begun)
    return "\n".join([*_describe_networks(traces), "", *_describe_cost(recipe, fabric, rate)])


@contextmanager
def _traced() -> Iterator[dict[int, NetworkTrace]]:
    """Record the first forward pass of every network, with whatever is inside, without knowing the system."""
    traces: dict[int, NetworkTrace] = {}
    stack: list[nn.Module] = []
    names: dict[int, str] = {}

    def before(module: nn.Module, _inputs: Any) -> None:
        if _is_wrapper(module):
            return
        if not stack and id(module) not in traces:
            parameters = sum(parameter.numel() for parameter in module.parameters())
            traces[id(module)] = NetworkTrace(type(module).__name__, parameters)
            names.update({id(child): path for path, child in module.named_modules()})
        stack.append(module)

    def after(module: nn.Module, _inputs: Any, output: Any) -> None:
        if _is_wrapper(module):
            return
        stack.pop()
        trace = traces[id(stack[0] if stack else module)]
        seen = {path for path, *_ in trace.rows}
        path = names.get(id(module), "") if stack else ""
        if path not in seen and not (stack and any(True for _ in module.children())):
            own = sum(parameter.numel() for parameter in module.parameters())
            trace.rows.append((path, type(module).__name__, _shape(output), own))

    hooks = [register_module_forward_pre_hook(before), register_module_forward_hook(after)]
    try:
        yield traces
    finally:
        for hook in hooks:
            hook.remove()


def _describe_networks(traces: dict[int, NetworkTrace]) -> Iterator[str]:
    for trace in traces.values():
        yield f"{trace.name}: {trace.parameters:,} parameters"
        rows = [
            (path or "output", kind, shape, f"{own:,}" if own and path else "") for path, kind, shape, own in trace.rows
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        for path, kind, shape, own in rows:
            yield f"  {path:<{widths[0]}}  {kind:<{widths[1]}}  {shape:<{widths[2]}}  {own:>{widths[3]}}".rstrip()


def _describe_cost(recipe: Recipe, fabric: Fabric, rate: float) -> Iterator[str]:
    yield f"{rate:,.0f} images/s over {_TIMED} steps of {recipe.training.batch_size} images"
    if fabric.device.type == "cuda":
        yield f"memory: {torch.cuda.max_memory_allocated(fabric.device) / 2**20:,.0f} MiB of the device at most"
    yield f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:,.0f} MiB of the process at most"
    times = []
    if recipe.budget.images is not None:
        times.append(recipe.budget.images / rate / 60)
    if recipe.budget.max_minutes is not None:
        times.append(recipe.budget.max_minutes)
    minutes = min(times)
    yield f"time: about {minutes:.1f} minutes for {minutes * 60 * rate:,.0f} images, packaging aside"


def _is_wrapper(module: nn.Module) -> bool:
    """Fabric's wrappers are not part of a network."""
    return type(module).__module__.startswith("lightning_fabric")


def _shape(output: Any) -> str:
    if isinstance(output, Tensor):
        return "×".join(map(str, output.shape))
    if isinstance(output, (tuple, list)):
        return ", ".join(filter(None, map(_shape, output)))
    return ""


def _synchronize(fabric: Fabric) -> None:
    if fabric.device.type == "cuda":
        torch.cuda.synchronize(fabric.device)
