"""The training loop around the compiled one: epochs, history, progress, stopping, callbacks."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .data import Feed
from .errors import DivergedError, check_number
from .plan import BATCH_LOSS

if TYPE_CHECKING:
    from .network import Network

# Python hears Ctrl-C and moves the bar this often.
CHUNK_SECONDS = 0.1
EVALUATION_BATCH = 256
# A second Ctrl-C so soon after the first is meant for the program, which may call fit in a loop.
AGAIN_SECONDS = 2.0
_interrupted = [-AGAIN_SECONDS]


class History:
    """What training recorded.

    history  dict of lists, one number an epoch: "loss" (the mean over the epoch's rows, each before its step),
             "accuracy" for classification, and "val_loss", "val_accuracy" with validation data
    epoch    the numbers of the epochs, from 0
    seconds  how long it took
    stopped  why it ended: "epochs", "callback" or "interrupted"
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.seconds = 0.0
        self.stopped = "epochs"

    def _add(self, epoch: int, logs: dict[str, float]) -> None:
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.history.items())
        return f"<History: {len(self.epoch)} epochs in {self.seconds:.3g} s{': ' if last else ''}{last}>"


@dataclass(frozen=True)
class StopAtLoss:
    """Callback: stop when the training loss of an epoch is at most `threshold`.

    Arguments:
        threshold: a finite number.

    Raises TypeError or ValueError for anything else.
    """

    threshold: float

    def __post_init__(self) -> None:
        check_number("threshold", self.threshold)

    def on_epoch_end(self, net: Network, epoch: int, logs: dict[str, float]) -> None:
        """Set net.stop_training when the loss is low enough."""
        if logs["loss"] <= self.threshold:
            net.stop_training = True


def check_callbacks(callbacks: Any) -> tuple[Any, ...]:
    """The callbacks as a tuple. Raises TypeError if one has no on_epoch_end."""
    if hasattr(callbacks, "on_epoch_end"):
        callbacks = (callbacks,)
    try:
        callbacks = tuple(callbacks)
    except TypeError:
        raise TypeError(f"callbacks must be a sequence of callbacks, got {callbacks!r}") from None
    for callback in callbacks:
        if isinstance(callback, type) or not callable(getattr(callback, "on_epoch_end", None)):
            raise TypeError(f"callbacks must have a method on_epoch_end(net, epoch, logs), got {callback!r}")
    return callbacks


class _Progress:
    """A tqdm bar on a terminal or in a notebook, plain lines elsewhere, all to stderr."""

    def __init__(self, verbose: bool, epochs: int, rows: int):
        self._verbose, self._epochs, self._rows = verbose, epochs, rows
        self._bar = None
        if verbose and (sys.stderr.isatty() or "ipykernel" in sys.modules):
            from tqdm.auto import tqdm

            self._bar = tqdm(total=epochs * rows, unit="row", unit_scale=True)
        self._every = 1 if epochs <= 20 else epochs // 10
        self._begin = time.perf_counter()

    def move(self, rows: int, epoch: int, loss: float) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(f"epoch {epoch + 1}/{self._epochs} loss {loss:.4g}", refresh=False)
            self._bar.update(rows)

    def end_epoch(self, epoch: int, logs: dict[str, float], last: bool) -> None:
        text = " ".join(f"{name} {value:.4g}" for name, value in logs.items())
        if self._bar is not None:
            self._bar.set_postfix_str(f"epoch {epoch + 1}/{self._epochs} {text}", refresh=last)
        elif self._verbose and (last or (epoch + 1) % self._every == 0):
            seconds = time.perf_counter() - self._begin
            print(f"epoch {epoch + 1}/{self._epochs} {text} ({seconds:.1f} s)", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def train(
    net: Network,
    feed: Feed,
    epochs: int,
    batch_size: int,
    validation: Feed | None,
    shuffle: bool,
    callbacks: Sequence[Any],
    verbose: bool,
) -> History:
    """Train; the arguments have been checked. See Network.fit."""
    history = History()
    begin = time.perf_counter()
    progress = _Progress(verbose, epochs, feed.rows)
    stopping, net.stop_training = net.stop_training, False
    try:
        for epoch in range(epochs):
            logs = _train_epoch(net, feed, epoch, batch_size, shuffle, progress)
            if validation is not None:
                logs |= {f"val_{name}": value for name, value in evaluate(net, validation).items()}
            history._add(epoch, logs)
            for callback in callbacks:
                callback.on_epoch_end(net, epoch, logs)
            last = net.stop_training or epoch == epochs - 1
            progress.end_epoch(epoch, logs, last)
            if net.stop_training:
                history.stopped = "callback"
                break
    except KeyboardInterrupt:
        again, _interrupted[:] = time.monotonic() - _interrupted[0] < AGAIN_SECONDS, [time.monotonic()]
        if again:
            raise
        history.stopped = "interrupted"
        text = f"fastbp: interrupted after {len(history.epoch)} whole epochs; Ctrl-C again ends the program"
        print(text, file=sys.stderr, flush=True)
    finally:
        progress.close()
        net.stop_training |= stopping  # of a fit that this one was called in
        history.seconds = time.perf_counter() - begin
    return history


def _train_epoch(
    net: Network, feed: Feed, epoch: int, batch_size: int, shuffle: bool, progress: _Progress
) -> dict[str, float]:
    with net._lock:
        return _train_epoch_alone(net, feed, epoch, batch_size, shuffle, progress)


def _train_epoch_alone(
    net: Network, feed: Feed, epoch: int, batch_size: int, shuffle: bool, progress: _Progress
) -> dict[str, float]:
    workspace = net._workspace(batch_size)
    order = net._generator(net._SHUFFLE, net.epochs_trained).permutation(feed.rows) if shuffle else None
    net._keep()
    batches = -(-feed.rows // batch_size)
    net._clear_totals()
    done, chunk = 0, net._chunk[1] if net._chunk[0] == batch_size else 1
    while done < batches:
        last = min(done + chunk, batches)
        start = time.perf_counter()
        reached = feed.run(workspace, "train", batch_size, first=done, last=last, order=order)
        seconds = time.perf_counter() - start
        if reached < last:
            loss = float(workspace.totals[BATCH_LOSS])
            net._restore()
            raise DivergedError(_diverged(f"the loss became {loss}", epoch, reached, net))
        rows = min(last * batch_size, feed.rows) - done * batch_size
        progress.move(rows, epoch, float(workspace.totals[BATCH_LOSS]))
        ran = last - done
        chunk = max(1, min(int(ran * CHUNK_SECONDS / max(seconds, 1e-9)), 4 * ran))
        done = last
    net._chunk = batch_size, chunk
    if not all(_is_finite(array) for array in net._arrays().values()):
        net._restore()
        raise DivergedError(_diverged("parameters or optimizer state became infinite or NaN", epoch, batches - 1, net))
    net.epochs_trained += 1
    return net._read_totals(feed.rows)


def _is_finite(array: np.ndarray) -> bool:
    """Whether all numbers are; the sum tells so without a temporary array, unless it overflows itself."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(array.sum())) or bool(np.isfinite(array).all())


def _diverged(what: str, epoch: int, step: int, net: Network) -> str:
    return (
        f"{what} in epoch {epoch + 1}, step {step + 1}; the parameters are those before that epoch."
        f" A smaller learning_rate than {net.learning_rate:g} may help, or inputs scaled to about -1 to 1."
    )


def evaluate(net: Network, feed: Feed, batch_size: int = EVALUATION_BATCH) -> dict[str, float]:
    """The loss, and the accuracy for classification, over a feed; the arguments have been checked."""
    batch_size = min(batch_size, feed.rows)
    with net._lock:
        workspace = net._workspace(batch_size)
        net._clear_totals()
        batches, done = -(-feed.rows // batch_size), 0
        while done < batches:
            reached = feed.run(workspace, "evaluate", batch_size, first=done)
            done = reached + (reached < batches)  # the engine stops at a loss that is not finite: go on behind it
        return net._read_totals(feed.rows)
