"""Callbacks that are a part of the compiled training step while fit runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..parts import Part
from ..program.plan import Plan, Shape

if TYPE_CHECKING:
    from ..network import Network


class InStep(Part):
    """A callback that adds ops to the training program, and memory that they work on."""

    def check(self, input_shape: Shape) -> None:
        """Raise ValueError if the callback is not for networks with that input."""

    def emit(self, plan: Plan) -> None:
        """Add the ops to a plan."""
        raise TypeError(f"{type(self).__name__} must define emit")

    def arenas(self) -> dict[str, np.ndarray]:
        """The arenas that the ops need beside the network's own, by name."""
        return {}

    def before_steps(self, net: Network) -> None:
        """Called before training steps are done, be they one or an epoch of them; also if others are under way."""

    def behind_steps(self, net: Network) -> None:
        """Called behind them, whatever has happened, when no others are under way."""

    def on_train_begin(self, net: Network) -> None:
        """Become a part of the network's training step."""
        try:
            net._put_in_step((*net._in_step, self))
        except BaseException:  # Ctrl-C too: on_train_end is for callbacks that have begun
            self.on_train_end(net)
            raise

    def on_train_end(self, net: Network) -> None:
        """Leave it again."""
        net._put_in_step(tuple(other for other in net._in_step if other is not self))
