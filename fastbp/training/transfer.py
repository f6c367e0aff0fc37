"""Parameters and statistics that go from one network to another."""

from __future__ import annotations

import numpy as np

from ..layers.bound import BoundLayer
from ..model import Model, convert_params
from ..runtime.locks import interrupts_later


def copy_from(net: Model, other: Model) -> None:
    """Give `net` the parameters and the statistics of another network. See Network.copy_from."""
    _check_layers(net, other)
    with other.lock:
        given = {"params": other.params.copy(), "statistics": other.statistics.copy()}
    ours = {"params": net.params, "statistics": net.statistics}
    new = {name: convert_params(f"other's {name}", given[name], ours[name].shape, net.dtype) for name in ours}
    with net.lock, interrupts_later():
        for name, array in ours.items():
            np.copyto(array, new[name])


def _check_layers(net: Model, other: Model) -> None:
    """Raise ValueError at the first layer with parameters or statistics of other shapes than ours."""
    ours, theirs = ([layer for layer in n.layers if _shapes(layer)] for n in (net, other))
    for mine, its in zip(ours, theirs, strict=False):
        if _shapes(mine) != _shapes(its):
            wanted, got = (f"{layer.name} with {_shown(layer)}" for layer in (mine, its))
            raise ValueError(f"other must have layers of the same shapes: {wanted}, got {got}")
    if len(ours) != len(theirs):
        longer, whose = (ours, "this network") if len(ours) > len(theirs) else (theirs, "other")
        first = longer[min(len(ours), len(theirs))]
        raise ValueError(
            f"other must have as many layers with parameters, {len(ours)}, got {len(theirs)}:"
            f" {whose} alone has {first.name} with {_shown(first)}"
        )


def _shapes(layer: BoundLayer) -> dict[str, tuple[int, ...]]:
    return {name: view.shape for name, view in {**layer.weights, **layer.statistics}.items()}


def _shown(layer: BoundLayer) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in _shapes(layer).items())
