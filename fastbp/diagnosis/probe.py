"""Copies of a network, to look into: one training step with all its values kept, and a network to try things on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..activations import ActivationFunction
from ..kernels.updates import RATE, STEP
from ..model import Model
from ..optimizers import Optimizer
from ..program.plan import BATCH_LOSS, Tensor
from ..program.workspace import Workspace
from ..training.feeds import Feed


class Probe:
    """One training step of a copy of a network, as `fit` would do it next, with all its values.

    feed    the rows; order (n,) int64: which of them make up the batch
    loss    of the batch
    done    whether the step was done: it is not if the loss is not finite, and then there are no weight gradients
    rate    the learning rate of the step, before the layers' factors
    params, stepped, grads  (num_params,): the parameters before and after, and what the optimizer got for gradients
    state, new_state  the optimizer's, before and after: (num_params,) by name
    steps   how many the optimizer has counted, with this one

    The methods' arrays have a row for each of the batch: (n, *shape). A last activation that the loss takes over is
    not done: outputs are what goes into it.
    """

    def __init__(self, net: Model, feed: Feed, order: np.ndarray, optimizer: Optimizer | None = None):
        """optimizer: one with the same state in place of the network's own."""
        self._net, self._feed, self._order, self._rows = net, feed, order, len(order)
        self._plan = net.new_plan(keep=True, optimizer=optimizer)
        with net.lock:
            arenas = {name: array.copy() for name, array in net.arenas().items()}
        self.params, self.stepped, self.grads = arenas["params"].copy(), arenas["params"], arenas["grads"]
        self.grads[:] = 0
        self.state = self._by_name(arenas["state"].copy())
        self._workspace = Workspace(self._plan, arenas, net.dtype, self._rows)
        self.done = feed.run(self._workspace, "train", self._rows, first=0, last=1, order=order) == 1
        self.loss = float(self._workspace.totals[BATCH_LOSS])
        self.rate, self.steps = float(arenas["scalars"][RATE]), int(arenas["scalars"][STEP])
        self.new_state = self._by_name(arenas["state"])
        self._emitters = net.emitters()
        self._first = next((i for i in range(len(net.layers)) if self.learns(i)), len(net.layers))

    def _by_name(self, state: np.ndarray) -> dict[str, np.ndarray]:
        size = self._net.num_params
        return {name: state[i * size : (i + 1) * size] for i, name in enumerate(self._net.optimizer.state)}

    def losses_along(self, factors: Sequence[float]) -> list[float]:
        """The loss of the same batch, in the same training step, where the parameters are params + factor · the step.

        It is what the loss would be after a step that much longer, with the same elements dropped; NaN or infinite
        where it overflows.
        """
        step, losses = self.stepped.astype(np.float64) - self.params, []
        with self._net.lock:
            arenas = {name: array.copy() for name, array in self._net.arenas().items()}
        begin = {name: array.copy() for name, array in arenas.items()}
        workspace = Workspace(self._plan, arenas, self._net.dtype, self._rows)
        for factor in factors:
            for name, array in begin.items():
                np.copyto(arenas[name], array)
            arenas["params"][:] = self.params + factor * step
            self._feed.run(workspace, "train", self._rows, first=0, last=1, order=self._order)
            losses.append(float(workspace.totals[BATCH_LOSS]))
        return losses

    def learns(self, layer: int) -> bool:
        """Whether the step changes parameters of that layer."""
        return bool(self._net.layers[layer].weights) and self._net.layers[layer].trainable

    def activation(self, layer: int) -> ActivationFunction | None:
        """The activation that the layer ends with; None for linear, and where the loss takes it over."""
        activation = self._emitters[layer].layer.ends_with
        return None if activation is None or activation.forward is None else activation

    def taken_over(self, layer: int) -> bool:
        """Whether the loss does the activation of this layer, or of one before it."""
        return any(self._emitters[i] is not self._net.layers[i] for i in range(layer + 1))

    def before_activation(self, layer: int) -> np.ndarray:
        """z of the layer's a = f(z): the output itself where there is no such f."""
        return self._workspace.rows_of(self._before(layer), self._rows)

    def _before(self, layer: int) -> Tensor:
        output = self._plan.outputs[layer]
        return output if self.activation(layer) is None else self._plan.traces[output.value]

    def input(self) -> np.ndarray:
        """What goes into the first layer, converted."""
        return self._workspace.rows_of(self._plan.x, self._rows)

    def output(self, layer: int) -> np.ndarray:
        """What the layer gives out."""
        return self._workspace.rows_of(self._plan.outputs[layer], self._rows)

    def delta(self, layer: int) -> np.ndarray | None:
        """∂loss/∂z; None where the backward pass doesn't get to, as nothing before learns."""
        return None if layer < self._first else self._workspace.rows_of(self._before(layer), self._rows, grad=True)

    def of_layer(self, array: np.ndarray, layer: int) -> dict[str, np.ndarray]:
        """The parts of a flat array, such as params, that belong to a layer's parameters, by their names."""
        return self._net.layers[layer].parts_of(array)
