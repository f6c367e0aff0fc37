"""The training loop around the compiled one: epochs, history, progress, stopping, hooks for callbacks."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DivergedError, check_integer
from ..layers.bound import check_step
from ..metrics import Metric
from ..model import Model, are_finite
from ..program.records import BATCH_LOSS
from ..program.workspace import is_native
from ..runtime.locks import interrupts_later
from .advice import advice
from .checkpoints import Resumed
from .evaluation import SUMS, evaluate, means
from .feeds import Feed, Shuffle, Source, draw_orders
from .history import History
from .progress import Progress
from .snapshot import Snapshot

# Python hears Ctrl-C, moves the bar and calls on_chunk_end this often.
CHUNK_SECONDS = 0.1
# A second Ctrl-C so soon after the first is meant for the program, which may call fit in a loop.
AGAIN_SECONDS = 2.0
_interrupted = [-AGAIN_SECONDS]

_FIRST_FLOPS = 1e7  # of the first compiled call, whose speed is not known: some 1 ms
_ORDERS_AT_ONCE = 1 << 20  # rows in the epochs of a compiled call


@dataclass(frozen=True)
class Task:
    """What fit was asked to do, checked: see Network.fit."""

    source: Source
    epochs: int
    batch_size: int | None  # None: each batch of the source is a step
    shuffle: bool
    validation: Source | None
    metrics: Mapping[str, Metric]
    callbacks: Sequence[Any]
    verbose: bool
    resumed: Resumed | None  # None: it begins with the first epoch


def _call(callbacks: Sequence[Any], hook: str, *arguments: Any) -> None:
    for callback in callbacks:
        if hasattr(callback, hook):
            getattr(callback, hook)(*arguments)


def train(net: Model, task: Task) -> History:
    """Train. See Network.fit."""
    history = History() if task.resumed is None else task.resumed.history
    begin = time.perf_counter() - history.seconds
    stopping, net.stop_training = net.stop_training, False
    begun: list[Any] = []
    before = None
    if task.resumed is not None:
        before = Snapshot(net)
        before.take(net)
    try:
        for number, callback in enumerate(task.callbacks):
            if task.resumed is None or not task.resumed.restore(net, number, callback):
                _call([callback], "on_train_begin", net)
            begun.append(callback)
        if task.resumed is not None:
            net.take_over(task.resumed.net)
            before = None
        first = len(history.epoch)
        with contextlib.closing(Progress(task.verbose, first, task.epochs, task.source.rows)) as progress:
            _Run(net, task, history, begin, progress).train()
    except KeyboardInterrupt:
        again, _interrupted[:] = time.monotonic() - _interrupted[0] < AGAIN_SECONDS, [time.monotonic()]
        if again:
            raise
        history.stopped = "interrupted"
        history.cut()
        whole, soon = f"{len(history.epoch)} whole epochs", f"within {AGAIN_SECONDS:g} seconds"
        text = f"fastbp: interrupted after {whole}; Ctrl-C again {soon} ends the program"
        print(text, file=sys.stderr, flush=True)
    finally:
        with contextlib.ExitStack() as ends:  # runs all of them, whatever one raises
            if before is not None:  # it could not go on: nothing has changed
                ends.callback(before.put_back, net)
            for callback in reversed(begun):
                ends.callback(_call, [callback], "on_train_end", net)
        net.stop_training |= stopping  # of a fit that this one was called in
        history.seconds = time.perf_counter() - begin
    if task.verbose and sys.stderr is not None:
        for callback in task.callbacks:
            if hasattr(callback, "outcome") and (text := callback.outcome()):
                print(f"fastbp: {text}", file=sys.stderr, flush=True)
    return history


@dataclass
class _Run:
    """A training under way."""

    net: Model
    task: Task
    history: History
    begin: float  # of the clock, less the seconds of earlier runs
    progress: Progress

    def train(self) -> None:
        """Train until the last epoch, or until something stops it."""
        net, task, one_by_one = self.net, self.task, 0
        kept = Snapshot(net, in_step=True)
        while (epoch := len(self.history.epoch)) < task.epochs and not net.stop_training:
            kept.take(net)
            many = self._epochs_at_once() if epoch >= one_by_one else 1
            try:
                if many > 1:
                    if not self._train_together(epoch, many, kept):
                        one_by_one = epoch + many  # one of these will say what is wrong
                    continue
                logs, whole = self._run_epoch(epoch)
                if not logs:
                    break
                if whole:
                    _call(task.callbacks, "on_epoch_recorded", net, self.history, task.callbacks)
            except Exception as error:  # not Ctrl-C, which leaves what was learnt
                diverged = self._is_divergence(error)
                kept.put_back(net)
                if diverged:
                    feed = task.source if isinstance(task.source, Feed) else None
                    text = "numbers became infinite or NaN"
                    raise DivergedError(_diverged(text, epoch, None, net, feed)) from error
                raise
        if net.stop_training:
            self.history.stopped = "callback"

    def _run_epoch(self, epoch: int) -> tuple[dict[str, float], bool]:
        """Train for an epoch, validate, and tell of it; returns what _train_epoch does."""
        with self.net.steps():
            logs, whole = self._train_epoch(epoch)
        if logs:
            if self.task.validation is not None:
                found = evaluate(self.net, self.task.validation, metrics=self.task.metrics)
                logs |= {f"val_{name}": value for name, value in found.items()}
            self._end_epoch(epoch, logs)
        return logs, whole

    def _is_divergence(self, error: Exception) -> bool:
        """Whether an error of a metric or a callback comes from numbers that are not finite any more.

        Such numbers make numeric code raise ValueError or ArithmeticError; an error of another kind is its own cause.
        """
        if isinstance(error, DivergedError) or not isinstance(error, (ValueError, ArithmeticError)):
            return False
        if not are_finite(self.net.arrays().values()):
            return True
        if self.task.validation is None:
            return False
        try:
            found = evaluate(self.net, self.task.validation, metrics={"finite": _share_of_finite})
        except Exception:  # the same error again, from reading the rows
            return False
        return not (math.isfinite(found["loss"]) and found["finite"] == 1)

    def _end_epoch(self, epoch: int, logs: dict[str, float]) -> None:
        """Tell the callbacks, the history and the user."""
        try:
            _call(self.task.callbacks, "on_epoch_end", self.net, epoch, logs)
        finally:
            self.history.add(epoch, logs)
        self.history.seconds = time.perf_counter() - self.begin
        self.progress.end_epoch(epoch, logs, self.net.stop_training or epoch == self.task.epochs - 1)

    def _chunk(self, batch_size: int | None) -> int:
        """Batches for the next compiled call."""
        if batch_size is None:
            return 1
        if self.net.chunk[0] == batch_size:
            return self.net.chunk[1]
        return max(1, int(_FIRST_FLOPS / (self.net.plan.flops * batch_size)))

    def _epochs_at_once(self) -> int:
        """How many epochs may run in one compiled call: short ones that nothing in Python comes between.

        A call of Python costs more than an epoch of a small network, and keeps other threads from Python meanwhile.
        """
        feed, batch_size = self.task.source, self.task.batch_size
        if self.task.validation is not None or not isinstance(feed, Feed) or batch_size is None:
            return 1
        if not is_native(feed.x):
            return 1
        left = self.task.epochs - len(self.history.epoch)
        for callback in self.task.callbacks:
            if hasattr(callback, "on_epoch_recorded"):
                return 1
            if hasattr(callback, "epochs_at_once"):
                left = min(left, check_integer("epochs_at_once", callback.epochs_at_once(self.net), low=1))
            elif hasattr(callback, "on_epoch_end"):
                return 1
        return min(left, self._chunk(batch_size) // -(-feed.rows // batch_size), _ORDERS_AT_ONCE // feed.rows)

    def _train_together(self, epoch: int, many: int, kept: Snapshot) -> bool:
        """Train for many epochs in one compiled call, with the same bits as one by one.

        False if something became infinite or NaN: then the network is put back to what was kept. Ctrl-C is heard at the
        end, so that the history has each epoch that the network has learnt in.
        """
        net, feed, batch_size, order = self.net, self.task.source, self.task.batch_size, None
        assert isinstance(feed, Feed) and batch_size is not None
        sums, batches = np.empty((many, 2)), many * -(-feed.rows // batch_size)
        with interrupts_later():
            if self.task.shuffle:
                epochs = range(net.epochs_trained, net.epochs_trained + many)
                order = draw_orders(net.shuffle_key(), epochs, feed.rows)
            start = time.perf_counter()
            with net.steps(), net.lock:
                workspace = net.workspace(batch_size)
                workspace.totals[SUMS] = 0.0
                done = feed.train_epochs(workspace, batch_size, sums, order)
                finite = are_finite(net.arrays().values())
            if done < batches or not finite:
                kept.put_back(net)
                return False
            net.chunk = batch_size, _next_chunk(batches, time.perf_counter() - start)
            net.epochs_trained += many
            self.progress.move(many * feed.rows, epoch + many - 1, float(sums[-1, 0]) / feed.rows)
            for place, of_epoch in enumerate(sums):
                self._end_epoch(epoch + place, means(net, of_epoch, feed.rows))
        _call(self.task.callbacks, "on_chunk_end", net)
        return True

    def _train_epoch(self, epoch: int) -> tuple[dict[str, float], bool]:
        """The epoch's numbers, over the rows that were done before net.stop_training, and whether these were all.

        No numbers if there were no rows.
        """
        net, task = self.net, self.task
        shuffle = Shuffle(net.shuffle_key(), net.epochs_trained) if task.shuffle else None
        sums, rows, steps = np.zeros(2), 0, 0
        chunk = self._chunk(task.batch_size)
        for feed, order in task.source.pieces(task.batch_size, shuffle):
            batch_size = task.batch_size or feed.rows
            if task.batch_size is None:
                check_step(net.layers, feed.rows, name=f"batch {steps}: X")
            done, batches = 0, -(-feed.rows // batch_size)
            while done < batches and not net.stop_training:
                last = min(done + chunk, batches)
                start = time.perf_counter()
                reached, loss = _train_batches(net, feed, order, batch_size, done, last, sums)
                if reached < last:
                    raise DivergedError(_diverged(f"the loss became {loss}", epoch, steps + reached, net, feed))
                chunk = _next_chunk(last - done, time.perf_counter() - start)
                new = min(last * batch_size, feed.rows) - done * batch_size
                self.progress.move(new, epoch, loss)
                _call(task.callbacks, "on_chunk_end", net)
                rows, done = rows + new, last
            steps += done
            if net.stop_training:
                break
        if not rows:
            return {}, False
        if task.batch_size is not None:
            net.chunk = task.batch_size, chunk
        if not are_finite(net.arrays().values()):
            text = "parameters or optimizer state became infinite or NaN"
            raise DivergedError(_diverged(text, epoch, steps - 1, net, feed))
        net.epochs_trained += 1
        return means(net, sums, rows), rows == task.source.rows or not net.stop_training


def _next_chunk(batches: int, seconds: float) -> int:
    """Batches for the next compiled call, where the last one took so long for so many."""
    return max(1, min(int(batches * CHUNK_SECONDS / max(seconds, 1e-9)), 4 * batches))


def _train_batches(
    net: Model, feed: Feed, order: np.ndarray | None, batch_size: int, first: int, last: int, sums: np.ndarray
) -> tuple[int, float]:
    """Train on the batches first .. last, and add to the sums; the first batch that was not run, and the last loss.

    Between two such calls the workspace may be used for something else: by a callback, a user's iterable, a thread.
    """
    with net.lock:
        workspace = net.workspace(batch_size)
        workspace.totals[SUMS] = sums
        reached = feed.run(workspace, "train", batch_size, first=first, last=last, order=order)
        sums[:] = workspace.totals[SUMS]
        return reached, float(workspace.totals[BATCH_LOSS])


def _share_of_finite(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    return float(np.isfinite(y_pred).mean())


def _diverged(what: str, epoch: int, step: int | None, net: Model, feed: Feed | None = None) -> str:
    where = f"epoch {epoch + 1}" if step is None else f"epoch {epoch + 1}, step {step + 1}"
    return f"{what} in {where}; the parameters are those before that epoch. {advice(net, feed)}"
