"""What a network gives for rows without training: loss and metrics, predictions, Jacobians."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..metrics import Metric, score
from ..model import Model
from ..program.plan import BATCH_LOSS, LOSS_SUM, RIGHT_SUM
from .feeds import Feed, Mapped, Source

EVALUATION_BATCH = 256  # rows that are worked on at once, where nothing else is asked for

SUMS = slice(LOSS_SUM, RIGHT_SUM + 1)  # in a workspace's totals


def means(net: Model, sums: np.ndarray, rows: int) -> dict[str, float]:
    """The loss and, for classification, the accuracy, of the sums (2,) over so many rows."""
    loss, right = (float(total) / rows for total in sums)
    return {"loss": loss, "accuracy": right} if net.loss.accuracy else {"loss": loss}


def evaluate(
    net: Model, source: Source, batch_size: int = EVALUATION_BATCH, metrics: Mapping[str, Metric] | None = None
) -> dict[str, float]:
    """The loss, the accuracy for classification, and the metrics, over all rows. See Network.evaluate."""
    sums, rows, predicted, truths = np.zeros(2), 0, [], []
    for feed, _ in source.pieces(batch_size):
        size = min(batch_size, feed.rows)
        batches, done = -(-feed.rows // size), 0
        with net.lock:  # between pieces, a user's iterable may use the network
            workspace = net.workspace(size)
            workspace.totals[SUMS] = sums
            while done < batches:
                reached = feed.run(workspace, "evaluate", size, first=done)
                done = reached + (reached < batches)  # the engine stops at a loss that is not finite: go on behind it
            sums[:], rows = workspace.totals[SUMS], rows + feed.rows
        if metrics:
            predicted.append(net.loss.point(infer(net, "predict", feed, size)))
            truths.append((feed.kind, *feed.truth()))
    logs = means(net, sums, rows)
    return logs | score(metrics, *_joined(truths, predicted)) if metrics else logs


def _joined(truths: list[tuple[str, np.ndarray, np.ndarray | None]], predicted: list[np.ndarray]) -> tuple:
    """y_true, y_pred and sample_weight of all pieces, of their (kind, truth, weight) and predictions."""
    kinds, y_true, weights = zip(*truths, strict=True)
    if len(set(kinds)) > 1:
        raise ValueError("y must hold labels in all batches, or probabilities in all, for metrics: got both")
    if kinds[0] != "labels":
        y_true = tuple(values.reshape(out.shape) for values, out in zip(y_true, predicted, strict=True))
    if all(weight is None for weight in weights):
        return np.concatenate(y_true), np.concatenate(predicted), None
    rows = (np.ones(len(out)) if weight is None else weight for weight, out in zip(weights, predicted, strict=True))
    return np.concatenate(y_true), np.concatenate(predicted), np.concatenate(list(rows))


def infer(net: Model, program: str, source: Feed | Mapped, batch_size: int = EVALUATION_BATCH) -> np.ndarray:
    """What "forward" or "predict" gives (rows, *output_shape). See Network.forward and Network.predict."""
    out = np.empty((source.rows, *net.output_shape), net.dtype)
    batch_size, done = min(batch_size, source.rows), 0
    with net.lock:
        workspace = net.workspace(batch_size)
        workspace.totals[BATCH_LOSS] = 0.0  # whatever it was, the engine shall go on
        for feed, _ in source.pieces(batch_size):
            feed.run(workspace, program, batch_size, out=out[done : done + feed.rows])
            done += feed.rows
    return out


def jacobian(net: Model, source: Feed | Mapped) -> np.ndarray:
    """See Network.jacobian."""
    return _jacobian(net, "jacobian", source, net.num_params, 1).reshape(-1, net.num_params)


def input_jacobian(net: Model, source: Feed | Mapped) -> np.ndarray:
    """See Network.input_jacobian."""
    rows = _jacobian(net, "input_jacobian", source, net.plan.x.size, EVALUATION_BATCH)
    return rows.reshape(-1, *net.output_shape, *net.input_shape)


def _jacobian(net: Model, program: str, source: Feed | Mapped, width: int, batch_size: int) -> np.ndarray:
    """What the program gives (rows · outputs, width): a row of it for each output of each row of the source."""
    out, done = np.empty((source.rows * net.outputs, width), net.dtype), 0
    with net.lock:
        workspace = net.workspace(batch_size)
        workspace.totals[BATCH_LOSS] = 0.0
        for feed, _ in source.pieces(batch_size):
            each_output = Feed(np.repeat(feed.x, net.outputs, axis=0))
            each_output.run(workspace, program, batch_size, out=out[done : done + each_output.rows])
            done += each_output.rows
    return out
