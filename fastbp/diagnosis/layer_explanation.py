"""A layer in the four steps of backpropagation for one example, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class LayerExplanation:
    """A layer in the four steps, as arrays; z, a and delta have the shape of its output.

    name        such as "Dense_2"
    activation  the name of its f; "linear" if it has none. If the loss takes f over, it is here all the same.
    x           what goes in
    z, a        a = f(z): what goes into f and what comes out of the layer
    delta       δ = ∂E/∂z; None for layers before the first that learns
    derivatives ∂E/∂w by the parameter's name, with penalties; none if the layer doesn't learn
    gradients   the same as the optimizer takes it: clipped, with noise
    before, after  its parameters before and after the step, by name
    state, new_state  what the optimizer keeps for them before and after, by its name and then the parameter's:
                new_state["velocity"]["weight"]
    """

    name: str
    activation: str
    x: np.ndarray
    z: np.ndarray
    a: np.ndarray
    delta: np.ndarray | None
    derivatives: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]
    before: dict[str, np.ndarray]
    after: dict[str, np.ndarray]
    state: dict[str, dict[str, np.ndarray]]
    new_state: dict[str, dict[str, np.ndarray]]
