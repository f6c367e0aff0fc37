"""The training loop around the compiled one: epochs, history, progress, stopping, hooks for callbacks."""

from __future__ import annotations

import contextlib
import math
import numbers
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..display import reports
from ..errors import DivergedError, brief, check_integer
from ..layers.bound import check_step
from ..metrics import Metric, score
from ..program.plan import BATCH_LOSS, LOSS_SUM, RIGHT_SUM
from ..program.workspace import is_native
from ..runtime.locks import interrupts_later
from .advice import advice
from .feeds import Feed, Mapped, Shuffle, Source, draw_orders

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..network import Network
    from .checkpoints import Resumed

# Python hears Ctrl-C, moves the bar and calls on_chunk_end this often.
CHUNK_SECONDS = 0.1
EVALUATION_BATCH = 256
# A second Ctrl-C so soon after the first is meant for the program, which may call fit in a loop.
AGAIN_SECONDS = 2.0
_interrupted = [-AGAIN_SECONDS]

_SUMS = slice(LOSS_SUM, RIGHT_SUM + 1)  # in a workspace's totals
_FIRST_FLOPS = 1e7  # of the first compiled call, whose speed is not known: some 1 ms
_ORDERS_AT_ONCE = 1 << 20  # rows in the epochs of a compiled call
_SHOWN = 10  # epochs in a notebook's table


class History:
    """What training recorded.

    history  dict of lists, one number an epoch: "loss" (the mean over the epoch's rows, each before its step),
             "accuracy" for classification; with validation data "val_loss", "val_accuracy" and "val_" with the name
             of each metric; and what callbacks added to their logs (NaN for an epoch without)
    epoch    the numbers of the epochs, from 0
    seconds  how long it took
    stopped  why it ended: "epochs", "callback" or "interrupted"

    `history["loss"]` is `history.history["loss"]`; `"val_loss" in history` tells whether there is one, and
    `list(history)` gives the names.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.seconds = 0.0
        self.stopped = "epochs"

    def __getitem__(self, name: str) -> list[float]:
        if name not in self.history:
            raise KeyError(f"history has {', '.join(map(repr, self.history)) or 'no numbers'}, got {name!r}")
        return self.history[name]

    def __contains__(self, name: object) -> bool:
        return name in self.history

    def __iter__(self) -> Iterator[str]:
        return iter(self.history)

    def keys(self) -> Iterable[str]:
        """The names of the numbers; `dict(history)` is a dict of lists."""
        return self.history.keys()

    def _add(self, epoch: int, logs: Mapping[str, float]) -> None:
        for name, value in logs.items():
            if not isinstance(value, numbers.Real):
                raise TypeError(f"logs must hold numbers, got {brief(value)} for {name!r}")
            if name not in self.history:
                self.history[name] = [math.nan] * len(self.epoch)
        for name, values in self.history.items():
            values.append(float(logs.get(name, math.nan)))
        self.epoch.append(epoch)

    def _cut(self) -> None:
        """Take away what an interrupted _add has added."""
        for values in self.history.values():
            del values[len(self.epoch) :]

    def plot(self, title: str | None = None, *, ax: Axes | None = None) -> Figure:
        """A picture of the numbers over the epochs: the losses, and beside them all the others.

        title: above it.
        ax: matplotlib Axes to draw the losses into, and nothing else; None makes a new figure.

        Returns the matplotlib Figure; of a new one pyplot doesn't know: `history.plot().savefig("history.png")`.
        Raises TypeError if ax is no Axes, ValueError if there is no epoch, ImportError without matplotlib (the extra
        `plot`).
        """
        from ..display import plots

        return plots.plot_history(self, title, ax=ax)

    def _about(self) -> str:
        return f"{len(self.epoch)} epoch{'' if len(self.epoch) == 1 else 's'} in {self.seconds:.3g} s"

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.history.items())
        return f"<History: {self._about()}{': ' if last else ''}{last}>"

    def _repr_html_(self) -> str:
        """For notebooks: the numbers of the last epochs."""
        begin = max(0, len(self.epoch) - _SHOWN)
        rows = [
            [str(self.epoch[i] + 1), *(f"{values[i]:.4g}" for values in self.history.values())]
            for i in range(begin, len(self.epoch))
        ]
        about = f"{self._about()}, stopped by: {self.stopped}" + (f"; the last {_SHOWN}" if begin else "")
        return reports.html_table(["epoch", *self.history], rows, about)


class Snapshot:
    """A copy of all that training changes in a network, in memory that is there from one copy to the next.

    in_step: whether what callbacks have in the training step belongs to it, for as long as fit runs.
    """

    def __init__(self, net: Network, *, in_step: bool = False):
        self._in_step = in_step
        self._arrays = {name: np.empty_like(array) for name, array in self._changing(net).items()}
        self._epochs = 0

    def _changing(self, net: Network) -> dict[str, np.ndarray]:
        return {**net._arrays(), **(net._step_arenas() if self._in_step else {})}

    def take(self, net: Network) -> None:
        """Copy what there is."""
        self._epochs = net.epochs_trained
        for name, array in self._changing(net).items():
            np.copyto(self._arrays[name], array)

    def put_back(self, net: Network) -> None:
        """Make the network what it was."""
        with net._lock, interrupts_later():
            net.epochs_trained = self._epochs
            for name, array in self._changing(net).items():
                np.copyto(array, self._arrays[name])

    def state(self) -> dict[str, Any]:
        """The copy, for a checkpoint."""
        return {"epochs": self._epochs, **self._arrays}

    def restore(self, net: Network, state: Mapping[str, Any]) -> None:
        """Become the copy that `state` gave. Raises KeyError, TypeError or ValueError if it can't be one of `net`."""
        epochs = check_integer("epochs", state["epochs"], low=0)
        net._check_arrays(state)
        if not are_finite(state[name] for name in self._arrays):
            raise ValueError("a copy of the network must be finite, got NaN or infinity")
        self._epochs, self._arrays = epochs, {name: state[name] for name in self._arrays}


class _Progress:
    """A tqdm bar on a terminal or in a notebook, plain lines elsewhere, all to stderr."""

    def __init__(self, verbose: bool, first: int, epochs: int, rows: int | None):
        self._verbose, self._rows = verbose and sys.stderr is not None, rows
        self._first, self._epochs = min(first, epochs), epochs
        self._bar = None
        if self._verbose and (sys.stderr.isatty() or "ipykernel" in sys.modules):
            from tqdm.auto import tqdm

            total, done = (None, 0) if rows is None else (epochs * rows, self._first * rows)
            self._bar = tqdm(total=total, initial=done, unit="row", unit_scale=True)
        self._every = 1 if epochs <= 20 else epochs // 10
        self._begin = time.perf_counter()
        self._logs: dict[str, float] = {}  # of the last whole epoch

    def move(self, rows: int, epoch: int, loss: float) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(self._text(epoch, {**self._logs, "loss": loss}), refresh=False)
            self._bar.update(rows)

    def end_epoch(self, epoch: int, logs: Mapping[str, float], last: bool) -> None:
        if not self._verbose:
            return
        self._logs = dict(logs)
        text = self._text(epoch, logs)
        if self._bar is not None:
            if self._rows is None:
                self._bar.total = self._bar.n // (epoch + 1 - self._first) * (self._epochs - self._first)
            self._bar.set_postfix_str(text, refresh=last)
        elif last or (epoch + 1) % self._every == 0:
            seconds = time.perf_counter() - self._begin
            print(f"{text} ({seconds:.1f} s)", file=sys.stderr, flush=True)

    def _text(self, epoch: int, logs: Mapping[str, float]) -> str:
        numbers = " ".join(f"{name} {value:.4g}" for name, value in logs.items())
        return f"epoch {epoch + 1}/{self._epochs} {numbers}"

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


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


def train(net: Network, task: Task) -> History:
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
            net._take_over(task.resumed.net)
            before = None
        first = len(history.epoch)
        with contextlib.closing(_Progress(task.verbose, first, task.epochs, task.source.rows)) as progress:
            _Run(net, task, history, begin, progress).train()
    except KeyboardInterrupt:
        again, _interrupted[:] = time.monotonic() - _interrupted[0] < AGAIN_SECONDS, [time.monotonic()]
        if again:
            raise
        history.stopped = "interrupted"
        history._cut()
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

    net: Network
    task: Task
    history: History
    begin: float  # of the clock, less the seconds of earlier runs
    progress: _Progress

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
        with self.net._steps():
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
        if not are_finite(self.net._arrays().values()):
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
            self.history._add(epoch, logs)
        self.history.seconds = time.perf_counter() - self.begin
        self.progress.end_epoch(epoch, logs, self.net.stop_training or epoch == self.task.epochs - 1)

    def _chunk(self, batch_size: int | None) -> int:
        """Batches for the next compiled call."""
        if batch_size is None:
            return 1
        if self.net._chunk[0] == batch_size:
            return self.net._chunk[1]
        return max(1, int(_FIRST_FLOPS / (self.net._plan.flops * batch_size)))

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
                order = draw_orders(net._shuffle_key(), epochs, feed.rows)
            start = time.perf_counter()
            with net._steps(), net._lock:
                workspace = net._workspace(batch_size)
                workspace.totals[_SUMS] = 0.0
                done = feed.train_epochs(workspace, batch_size, sums, order)
                finite = are_finite(net._arrays().values())
            if done < batches or not finite:
                kept.put_back(net)
                return False
            net._chunk = batch_size, _next_chunk(batches, time.perf_counter() - start)
            net.epochs_trained += many
            self.progress.move(many * feed.rows, epoch + many - 1, float(sums[-1, 0]) / feed.rows)
            for place, of_epoch in enumerate(sums):
                self._end_epoch(epoch + place, _means(net, of_epoch, feed.rows))
        _call(self.task.callbacks, "on_chunk_end", net)
        return True

    def _train_epoch(self, epoch: int) -> tuple[dict[str, float], bool]:
        """The epoch's numbers, over the rows that were done before net.stop_training, and whether these were all.

        No numbers if there were no rows.
        """
        net, task = self.net, self.task
        shuffle = Shuffle(net._shuffle_key(), net.epochs_trained) if task.shuffle else None
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
            net._chunk = task.batch_size, chunk
        if not are_finite(net._arrays().values()):
            text = "parameters or optimizer state became infinite or NaN"
            raise DivergedError(_diverged(text, epoch, steps - 1, net, feed))
        net.epochs_trained += 1
        return _means(net, sums, rows), rows == task.source.rows or not net.stop_training


def _next_chunk(batches: int, seconds: float) -> int:
    """Batches for the next compiled call, where the last one took so long for so many."""
    return max(1, min(int(batches * CHUNK_SECONDS / max(seconds, 1e-9)), 4 * batches))


def _train_batches(
    net: Network, feed: Feed, order: np.ndarray | None, batch_size: int, first: int, last: int, sums: np.ndarray
) -> tuple[int, float]:
    """Train on the batches first .. last, and add to the sums; the first batch that was not run, and the last loss.

    Between two such calls the workspace may be used for something else: by a callback, a user's iterable, a thread.
    """
    with net._lock:
        workspace = net._workspace(batch_size)
        workspace.totals[_SUMS] = sums
        reached = feed.run(workspace, "train", batch_size, first=first, last=last, order=order)
        sums[:] = workspace.totals[_SUMS]
        return reached, float(workspace.totals[BATCH_LOSS])


def _means(net: Network, sums: np.ndarray, rows: int) -> dict[str, float]:
    loss, right = (float(total) / rows for total in sums)
    return {"loss": loss, "accuracy": right} if net.loss.accuracy else {"loss": loss}


def are_finite(arrays: Iterable[np.ndarray]) -> bool:
    """Whether all numbers are; the sums tell so without a temporary array, unless they overflow themselves."""
    with np.errstate(all="ignore"):
        return all(math.isfinite(np.add.reduce(array)) or bool(np.isfinite(array).all()) for array in arrays)


def _share_of_finite(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    return float(np.isfinite(y_pred).mean())


def _diverged(what: str, epoch: int, step: int | None, net: Network, feed: Feed | None = None) -> str:
    where = f"epoch {epoch + 1}" if step is None else f"epoch {epoch + 1}, step {step + 1}"
    return f"{what} in {where}; the parameters are those before that epoch. {advice(net, feed)}"


def evaluate(
    net: Network, source: Source, batch_size: int = EVALUATION_BATCH, metrics: Mapping[str, Metric] | None = None
) -> dict[str, float]:
    """The loss, the accuracy for classification, and the metrics, over all rows. See Network.evaluate."""
    sums, rows, predicted, truths = np.zeros(2), 0, [], []
    for feed, _ in source.pieces(batch_size):
        size = min(batch_size, feed.rows)
        batches, done = -(-feed.rows // size), 0
        with net._lock:  # between pieces, a user's iterable may use the network
            workspace = net._workspace(size)
            workspace.totals[_SUMS] = sums
            while done < batches:
                reached = feed.run(workspace, "evaluate", size, first=done)
                done = reached + (reached < batches)  # the engine stops at a loss that is not finite: go on behind it
            sums[:], rows = workspace.totals[_SUMS], rows + feed.rows
        if metrics:
            predicted.append(net.loss.point(infer(net, "predict", feed, size)))
            truths.append((feed.kind, *feed.truth()))
    logs = _means(net, sums, rows)
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


def infer(net: Network, program: str, source: Feed | Mapped, batch_size: int = EVALUATION_BATCH) -> np.ndarray:
    """What "forward" or "predict" gives (rows, *output_shape). See Network.forward and Network.predict."""
    out = np.empty((source.rows, *net.output_shape), net.dtype)
    batch_size, done = min(batch_size, source.rows), 0
    with net._lock:
        workspace = net._workspace(batch_size)
        workspace.totals[BATCH_LOSS] = 0.0  # whatever it was, the engine shall go on
        for feed, _ in source.pieces(batch_size):
            feed.run(workspace, program, batch_size, out=out[done : done + feed.rows])
            done += feed.rows
    return out


def jacobian(net: Network, program: str, source: Feed | Mapped, width: int) -> np.ndarray:
    """What "jacobian" or "input_jacobian" gives (rows, outputs, width). See Network.jacobian."""
    outputs = math.prod(net.output_shape)
    out = np.empty((source.rows * outputs, width), net.dtype)
    batch_size, done = EVALUATION_BATCH if program == "input_jacobian" else 1, 0
    with net._lock:
        workspace = net._workspace(batch_size)
        workspace.totals[BATCH_LOSS] = 0.0
        for feed, _ in source.pieces(batch_size):
            each_output = Feed(np.repeat(feed.x, outputs, axis=0))
            each_output.run(workspace, program, batch_size, out=out[done : done + each_output.rows])
            done += each_output.rows
    return out.reshape(source.rows, outputs, width)
