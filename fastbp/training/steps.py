"""Single steps: one training step, one gradient, or one step of the optimizer, on rows that lie in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DivergedError
from ..layers.bound import check_step
from ..model import Model, convert_params
from ..program.plan import BATCH_LOSS
from .advice import advice
from .feeds import Feed


def train_on_batch(net: Model, feed: Feed) -> float:
    """See Network.train_on_batch."""
    check_step(net.layers, feed.rows)
    with net.lock, net.steps():
        workspace = net.workspace(feed.rows)
        done = feed.run(workspace, "train", feed.rows)
        loss = float(workspace.totals[BATCH_LOSS])
        if not done:
            text = f"the loss became {loss} in step {net.steps_trained + 1}; no step was done."
            raise DivergedError(f"{text} {advice(net, feed)}")
        return loss


def value_and_grad(net: Model, feed: Feed) -> tuple[float, np.ndarray]:
    """See Network.value_and_grad."""
    with net.lock:
        workspace = net.workspace(feed.rows)
        feed.run(workspace, "gradient", feed.rows)
        return float(workspace.totals[BATCH_LOSS]), net.grads.copy()


def apply_gradients(net: Model, gradient: Any) -> None:
    """See Network.apply_gradients."""
    array = convert_params("gradient", gradient, net.grads.shape, net.dtype)
    with net.lock, net.steps():
        np.copyto(net.grads, array)
        net.workspace(1).apply()


def input_gradient(net: Model, feed: Feed) -> np.ndarray:
    """See Network.input_gradient."""
    out = np.empty(feed.x.shape, net.dtype)
    with net.lock:
        feed.run(net.workspace(feed.rows), "input_gradient", feed.rows, out=out)
    return out
