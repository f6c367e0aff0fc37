"""What comes out of the layers inside of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import brief
from ..model import Model
from .feeds import Feed, Mapped


def layer_numbers(net: Model, layer: Any) -> list[int]:
    """The numbers, from 0, of the layers that an argument `layer` names: one, or a sequence of several."""
    if isinstance(layer, (tuple, list, range, np.ndarray)):
        if len(layer) == 0:
            raise ValueError("layer must name at least one layer, got none")
        return [_layer_number(net, one) for one in layer]
    return [_layer_number(net, layer)]


def _layer_number(net: Model, layer: Any) -> int:
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


def layer_outputs(net: Model, layers: Sequence[int], source: Feed | Mapped, batch_size: int) -> list[np.ndarray]:
    """What comes out of each of these layers (rows, *its output_shape). See Network.forward."""
    batch_size, done = min(batch_size, source.rows), 0
    outs = [np.empty((source.rows, *net.layers[k].output_shape), net.dtype) for k in layers]
    with net.lock:
        plan, workspace = net.inner_program(max(layers), batch_size)
        unused = np.empty((batch_size, plan.output.size), net.dtype)  # where the program itself puts the last output
        for feed, _ in source.pieces(batch_size):
            for lo in range(0, feed.rows, batch_size):
                batch = feed.part(lo, min(lo + batch_size, feed.rows))
                batch.run(workspace, "forward", batch.rows, out=unused[: batch.rows])
                for out, k in zip(outs, layers, strict=True):
                    out[done : done + batch.rows] = workspace.rows_of(plan.outputs[k], batch.rows)
                done += batch.rows
    return outs
