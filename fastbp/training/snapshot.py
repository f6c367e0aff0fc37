"""Snapshot: a copy of all that training changes in a network, to go back to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import check_integer
from ..model import Model, are_finite
from ..runtime.locks import interrupts_later


class Snapshot:
    """A copy of all that training changes in a network, in memory that is there from one copy to the next.

    in_step: whether what callbacks have in the training step belongs to it, for as long as fit runs.
    """

    def __init__(self, net: Model, *, in_step: bool = False):
        self._in_step = in_step
        self._arrays = {name: np.empty_like(array) for name, array in self._changing(net).items()}
        self._epochs = 0

    def _changing(self, net: Model) -> dict[str, np.ndarray]:
        return {**net.arrays(), **(net.step_arenas() if self._in_step else {})}

    def take(self, net: Model) -> None:
        """Copy what there is."""
        self._epochs = net.epochs_trained
        for name, array in self._changing(net).items():
            np.copyto(self._arrays[name], array)

    def put_back(self, net: Model) -> None:
        """Make the network what it was."""
        with net.lock, interrupts_later():
            net.epochs_trained = self._epochs
            for name, array in self._changing(net).items():
                np.copyto(array, self._arrays[name])

    def state(self) -> dict[str, Any]:
        """The copy, for a checkpoint."""
        return {"epochs": self._epochs, **self._arrays}

    def restore(self, net: Model, state: Mapping[str, Any]) -> None:
        """Become the copy that `state` gave. Raises KeyError, TypeError or ValueError if it can't be one of `net`."""
        epochs = check_integer("epochs", state["epochs"], low=0)
        net.check_arrays(state)
        if not are_finite(state[name] for name in self._arrays):
            raise ValueError("a copy of the network must be finite, got NaN or infinity")
        self._epochs, self._arrays = epochs, {name: state[name] for name in self._arrays}
