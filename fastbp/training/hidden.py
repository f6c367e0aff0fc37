"""What comes out of the layers inside of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import brief
from .feeds import Feed, Mapped

if TYPE_CHECKING:
    from ..network import Network
    from ..program.plan import Plan
    from ..program.workspace import Workspace


def layer_numbers(net: Network, layer: Any) -> list[int]:
    """The numbers, from 0, of the layers that an argument `layer` names: one, or a sequence of several."""
    if isinstance(layer, (tuple, list, range, np.ndarray)):
        if len(layer) == 0:
            raise ValueError("layer must name at least one layer, got none")
        return [_layer_number(net, one) for one in layer]
    return [_layer_number(net, layer)]


def _layer_number(net: Network, layer: Any) -> int:
    names = [bound.name for bound in net.layers]
    if isinstance(layer, str):
        if layer not in names:
            raise ValueError(f"layer must be one of {', '.join(names)}, got {layer!r}")
        return names.index(layer)
    if isinstance(layer, bool) or not isinstance(layer, (int, np.integer)):
        raise TypeError(f"layer must be a layer's number or name, or a list of them, got {brief(layer)}")
    count = len(names)
    if not -count <= layer < count:
        raise ValueError(f"layer must be from {-count} to {count - 1}, as there are {count} layers, got {layer}")
    return int(layer) % count


def layer_outputs(net: Network, layers: Sequence[int], source: Feed | Mapped, batch_size: int) -> list[np.ndarray]:
    """What comes out of each of these layers (rows, *its output_shape). See Network.forward."""
    batch_size, done = min(batch_size, source.rows), 0
    outs = [np.empty((source.rows, *net.layers[k].output_shape), net.dtype) for k in layers]
    with net._lock:
        plan, workspace = _program(net, max(layers), batch_size)
        unused = np.empty((batch_size, plan.output.size), net.dtype)  # where the program itself puts the last output
        for feed, _ in source.pieces(batch_size):
            for lo in range(0, feed.rows, batch_size):
                batch = feed.part(lo, min(lo + batch_size, feed.rows))
                batch.run(workspace, "forward", batch.rows, out=unused[: batch.rows])
                for out, k in zip(outs, layers, strict=True):
                    out[done : done + batch.rows] = workspace.rows_of(plan.outputs[k], batch.rows)
                done += batch.rows
    return outs


def _program(net: Network, last: int, batch_size: int) -> tuple[Plan, Workspace]:
    """A plan up to the layer `last` that keeps what comes out of each, and memory for it.

    Both are those of the last call, if they fit; the network lets go of them when its own plan is made anew.
    """
    if net._inner is None or net._inner[0] != last or net._inner[2].capacity < batch_size:
        plan = net._new_plan(keep=True, last=last)
        net._inner = last, plan, net._new_workspace(batch_size, plan)
    return net._inner[1:]
