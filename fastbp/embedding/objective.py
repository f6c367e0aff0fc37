"""A network's loss as a function of its parameters, for optimizers such as those of scipy.optimize."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from ..model import Spec, check_params
from ..program.plan import BATCH_LOSS, Plan
from ..program.workspace import Workspace
from ..runtime.locks import give_lock
from ..training.feeds import Feed, feed_in_memory

_DOUBLE = np.dtype(np.float64)


class Objective:
    """f(params) = (loss, gradient), in float64 whatever the network's dtype; made by Network.objective.

    It has memory of its own, in which it keeps X, y and the weights: neither the network's parameters nor what becomes
    of the arrays later matters to it. Several Python threads may call it; they take turns.
    """

    lock: threading.RLock

    def __init__(self, plan: Plan, arrays: dict[str, np.ndarray], spec: Spec, X: Any, y: Any, sample_weight: Any):
        spec = Spec(spec.input_shape, spec.output_shape, spec.loss, _DOUBLE)
        given = feed_in_memory(spec, X, y, sample_weight)
        weight = None if given.sample_weight is None else given.sample_weight.copy()
        assert given.y is not None
        self._feed = Feed(np.array(given.x, _DOUBLE, order="C"), given.y.copy(), given.kind, weight)
        own = {name: array.astype(_DOUBLE) for name, array in arrays.items()}
        self._params, self._grads = own["params"], np.zeros_like(own["params"])
        self._workspace = Workspace(plan, {**own, "grads": self._grads}, _DOUBLE, given.rows)
        give_lock(self)

    def __call__(self, params: Any) -> tuple[float, np.ndarray]:
        """The loss at params (num_params,), and its gradient there, a new array.

        Raises ValueError for another shape, TypeError for what is not real numbers.
        """
        vector = check_params(params, self._params.shape)
        with self.lock:
            self._params[:] = vector
            self._feed.run(self._workspace, "gradient", self._feed.rows)
            return float(self._workspace.totals[BATCH_LOSS]), self._grads.copy()

    def __repr__(self) -> str:
        return f"<Objective: {self._params.size:,} parameters, {self._feed.rows:,} rows>"
