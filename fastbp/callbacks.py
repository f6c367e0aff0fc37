"""Callbacks: what runs between the compiled calls of training, and may stop it.

A callback is any object with one or more of these methods:

    on_train_begin(net)             before the first epoch
    on_chunk_end(net)               after each compiled call: about every 0.1 s, or after each batch of an iterable
    on_epoch_end(net, epoch, logs)  after each epoch (from 0) and its validation; logs: the epoch's numbers by name,
                                    and what is added to them goes into the history
    on_epoch_recorded(net, history, callbacks)  after that, and if the epoch was not cut short; callbacks: all of fit's
    on_train_end(net)               when training has ended, for whatever reason: an exception too

    epochs_at_once(net)             the number of epochs that may run before on_epoch_end is called for each of them:
                                    short ones run in one compiled call; without this method, 1 if there is on_epoch_end

    outcome()                       a line about what it has done, or None, behind on_train_end; progress shows it

A method on_… of another name is an error, as it would never run. `net.stop_training = True` in any of them ends
training. There is no hook for a batch, as many batches run in one compiled call: a call of Python for each would cost
more than a batch of a small network does. What changes a step's rows (Shift, Flip, Noise) or follows its parameters
(EMA) is a part of the compiled step. on_chunk_end may look at the network but not train it; the chunks depend on the
machine's speed, so what changes training there makes it irreproducible. Callbacks run in the order that fit got them
in.

A callback that remembers something from epoch to epoch has two more methods, so that a run that goes on from a
checkpoint ends as one that was never interrupted:

    state()                         a dict of what it remembers: names, and numbers, texts, lists, None or arrays
    restore(net, state)             in place of on_train_begin, with what `state` gave when the checkpoint was written;
                                    net is still what fit was called on. If the callback had ended training for good,
                                    it sets net.stop_training
    has_state                       an attribute, for those that have these methods but do not always need them: False
                                    if there is nothing to remember

A callback that writes a file has an attribute writes_to, its path: the members of an ensemble can't write the same.
"""

from __future__ import annotations

import csv
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from ._names import shown
from .augmentation import Flip, Noise, Shift
from .averaging import EMA
from .errors import brief, check_bool, check_choice, check_integer, check_number, check_path, warn_caller
from .formats import files
from .model import Model
from .training import checkpoints
from .training.history import History
from .training.hooks import HOOKS
from .training.snapshot import Snapshot

__all__ = [
    "EMA",
    "HOOKS",
    "CSVLogger",
    "Checkpoint",
    "EarlyStopping",
    "Flip",
    "Noise",
    "ReduceOnPlateau",
    "Shift",
    "StopAtLoss",
    "TimeBudget",
]
__dir__ = shown(__all__)

_MODES = ("auto", "min", "max")
_GREATER_IS_BETTER = ("accuracy", "auc", "r2")  # what names of metrics end in
_SMALLEST_STEP = 1e-8  # of a learning rate


def _check_monitor(monitor: str, logged: Sequence[str]) -> None:
    if monitor in logged:
        return
    without = monitor.startswith("val_") and not any(name.startswith("val_") for name in logged)
    why = "; there is no validation_data or validation_split" if without else ""
    raise ValueError(f"monitor must be one of {', '.join(map(repr, logged))}, got {monitor!r}{why}")


def _monitored(monitor: str, logs: Mapping[str, float]) -> float:
    _check_monitor(monitor, list(logs))
    return float(logs[monitor])


def _greater_is_better(monitor: str, mode: str) -> bool:
    return mode == "max" or (mode == "auto" and monitor.endswith(_GREATER_IS_BETTER))


def _is_better(value: float, best: float | None, monitor: str, mode: str, min_delta: float = 0.0) -> bool:
    """Whether a value is better than the best by more than min_delta; NaN never is."""
    if best is None:
        return not math.isnan(value)
    return value > best + min_delta if _greater_is_better(monitor, mode) else value < best - min_delta


def _check_name(monitor: Any) -> None:
    if not isinstance(monitor, str):
        raise TypeError(f"monitor must be a name such as 'val_loss', got {brief(monitor)}")


@dataclass
class EarlyStopping:
    """Callback: stop when `monitor` has not become better for some epochs, and go back to the best.

    Arguments:
        monitor: a name in the logs.
        patience: how many epochs without getting better end training; 0 does as 1.
        min_delta: by more than how much a value must be better than the best, to count as better; 0 or more.
        restore_best: whether the network becomes what it was after the best epoch, parameters, optimizer state and
            all, when training ends, for whatever reason.
        mode: "max" if greater is better, "min" if less is, "auto": greater for names that end in accuracy, auc, r2.

    After training, `best` is the best value and `best_epoch` its epoch, counted from 0, or None. NaN is never better.
    Raises TypeError or ValueError for other arguments; in fit ValueError if nothing of the name `monitor` is logged.
    Source: Keras, EarlyStopping.
    """

    monitor: str = "val_loss"
    patience: int = 0
    min_delta: float = 0.0
    restore_best: bool = True
    mode: str = "auto"
    best: float | None = field(init=False, default=None, compare=False)
    best_epoch: int | None = field(init=False, default=None, compare=False)
    _kept: Snapshot | None = field(init=False, default=None, repr=False, compare=False)
    _stopped: bool = field(init=False, default=False, repr=False, compare=False)
    _last: int | None = field(init=False, default=None, repr=False, compare=False)  # epoch of the last training
    _back: bool = field(init=False, default=False, repr=False, compare=False)  # whether the best has been put back

    def __post_init__(self) -> None:
        _check_name(self.monitor)
        check_integer("patience", self.patience, low=0)
        check_number("min_delta", self.min_delta, low=0)
        check_bool("restore_best", self.restore_best)
        check_choice("mode", self.mode, _MODES)

    def check_logs(self, logged: list[str]) -> None:
        """Raise ValueError if what it monitors is not among the names that are logged."""
        _check_monitor(self.monitor, logged)

    def on_train_begin(self, net: Model) -> None:
        """Forget an earlier training."""
        self.best = self.best_epoch = self._kept = self._last = None
        self._stopped = self._back = False

    def on_epoch_end(self, net: Model, epoch: int, logs: Mapping[str, float]) -> None:
        """Keep the network if this is the best epoch; else stop, if that was long ago."""
        value, self._last = _monitored(self.monitor, logs), epoch
        if _is_better(value, self.best, self.monitor, self.mode, self.min_delta):
            self.best, self.best_epoch = value, epoch
            if self.restore_best:
                self._kept = self._kept or Snapshot(net)
                self._kept.take(net)
        elif epoch - (-1 if self.best_epoch is None else self.best_epoch) >= self.patience:
            self._stopped = net.stop_training = True

    def on_train_end(self, net: Model) -> None:
        """Go back to the best epoch."""
        if self._kept is not None:
            self._kept.put_back(net)
            self._kept, self._back = None, True

    def outcome(self) -> str | None:
        """Whether it has stopped training, and which weights the network has if not the last."""
        said = []
        if self._stopped and self._last is not None:
            said.append(f"stopped by EarlyStopping after epoch {self._last + 1}")
        if self._back and self.best_epoch is not None and self.best_epoch != self._last:
            said.append(f"the weights of epoch {self.best_epoch + 1} are back, with the best {self.monitor}")
        return "; ".join(said) or None

    def state(self) -> dict[str, Any]:
        """The best, whether training has ended, and the network of the best epoch."""
        kept = {} if self._kept is None else self._kept.state()
        return {"best": self.best, "best_epoch": self.best_epoch, "stopped": self._stopped, **kept}

    def restore(self, net: Model, state: Mapping[str, Any]) -> None:
        """Remember what `state` gave; stop if training had ended."""
        best = None if state["best"] is None else float(state["best"])
        best_epoch = None if best is None else check_integer("best_epoch", state["best_epoch"], low=0)
        stopped, kept = check_bool("stopped", state["stopped"]), None
        if self.restore_best and "params" in state:
            kept = Snapshot(net)
            kept.restore(net, state)
        self.best, self.best_epoch, self._stopped, self._kept = best, best_epoch, stopped, kept
        self._last, self._back = None, False
        net.stop_training |= stopped


@dataclass
class ReduceOnPlateau:
    """Callback: multiply the learning rate by `factor` when `monitor` has not become better for some epochs.

    Arguments:
        monitor: a name in the logs.
        factor: greater than 0 and less than 1.
        patience: how many epochs without getting better are borne; the next one reduces the rate.
        min_delta: the share of the best value by which a value must be better, to count as better; 0 or more.
        cooldown: how many epochs after a reduction are not counted.
        min_rate: what the rate is not reduced below, 0 or more.
        mode: as for EarlyStopping.

    Adds "learning_rate" to the logs: that of the epoch's steps. A step of the rate of 1e-8 or less is not made.
    Raises TypeError or ValueError for other arguments; in fit ValueError if nothing of the name `monitor` is logged.
    Source: PyTorch, ReduceLROnPlateau with threshold_mode="rel"; but a share of a negative value is taken of its size.
    """

    monitor: str = "val_loss"
    factor: float = 0.1
    patience: int = 10
    min_delta: float = 1e-4
    cooldown: int = 0
    min_rate: float = 0.0
    mode: str = "auto"
    _best: float | None = field(init=False, default=None, repr=False, compare=False)
    _bad: int = field(init=False, default=0, repr=False, compare=False)
    _cooling: int = field(init=False, default=0, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_name(self.monitor)
        if not 0 < check_number("factor", self.factor) < 1:
            raise ValueError(f"factor must be greater than 0 and less than 1, got {self.factor!r}")
        check_integer("patience", self.patience, low=0)
        check_number("min_delta", self.min_delta, low=0)
        check_integer("cooldown", self.cooldown, low=0)
        check_number("min_rate", self.min_rate, low=0)
        check_choice("mode", self.mode, _MODES)

    def check_logs(self, logged: list[str]) -> None:
        """Raise ValueError if what it monitors is not among the names that are logged; add its own."""
        _check_monitor(self.monitor, logged)
        logged.append("learning_rate")

    def on_train_begin(self, net: Model) -> None:
        """Forget an earlier training. Raises ValueError if the learning rate can't be set."""
        net.learning_rate = net.learning_rate
        self._best, self._bad, self._cooling = None, 0, 0

    def state(self) -> dict[str, Any]:
        """The best value, and what is counted."""
        return {"best": self._best, "bad": self._bad, "cooling": self._cooling}

    def restore(self, net: Model, state: Mapping[str, Any]) -> None:
        """Remember what `state` gave."""
        best = None if state["best"] is None else float(state["best"])
        bad, cooling = (check_integer(name, state[name], low=0) for name in ("bad", "cooling"))
        self._best, self._bad, self._cooling = best, bad, cooling

    def on_epoch_end(self, net: Model, epoch: int, logs: dict[str, float]) -> None:
        """Count the epochs that are not better, and reduce the rate if they are too many."""
        value = _monitored(self.monitor, logs)
        logs["learning_rate"] = net.learning_rate
        if self._is_better(value):
            self._best, self._bad = value, 0
        else:
            self._bad += 1
        if self._cooling > 0:
            self._cooling, self._bad = self._cooling - 1, 0
        if self._bad > self.patience:
            self._cooling, self._bad = self.cooldown, 0
            rate = max(net.learning_rate * self.factor, self.min_rate)
            if net.learning_rate - rate > _SMALLEST_STEP:
                net.learning_rate = rate

    def _is_better(self, value: float) -> bool:
        if self._best is None:
            return not math.isnan(value)
        if _greater_is_better(self.monitor, self.mode):
            return value > self._best + self.min_delta * abs(self._best)
        return value < self._best - self.min_delta * abs(self._best)


@dataclass
class StopAtLoss:
    """Callback: stop when the training loss of an epoch is at most `threshold`.

    Arguments:
        threshold: a finite number.

    Raises TypeError or ValueError for anything else.
    """

    threshold: float
    _reached: bool = field(init=False, default=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_number("threshold", self.threshold)

    def check_logs(self, logged: list[str]) -> None:
        """It wants no number, and adds none."""

    def on_train_begin(self, net: Model) -> None:
        """Forget an earlier training."""
        self._reached = False

    def on_epoch_end(self, net: Model, epoch: int, logs: Mapping[str, float]) -> None:
        """Set net.stop_training when the loss is low enough."""
        if logs["loss"] <= self.threshold:
            self._reached = net.stop_training = True

    def state(self) -> dict[str, Any]:
        """Whether the loss was low enough."""
        return {"reached": self._reached}

    def restore(self, net: Model, state: Mapping[str, Any]) -> None:
        """Stop if it was."""
        self._reached = check_bool("reached", state["reached"])
        net.stop_training |= self._reached


@dataclass
class TimeBudget:
    """Callback: stop when training has taken so many seconds, within about 0.1 s or one batch, if that takes longer.

    An epoch that is cut short is recorded over the rows that were done, and validation still runs after it; no
    Checkpoint is written of it. A run that goes on from one gets the time anew.

    Arguments:
        seconds: greater than 0; compiling counts as well.

    Raises TypeError or ValueError for anything else.
    """

    seconds: float
    _end: float = field(init=False, default=math.inf, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_number("seconds", self.seconds, low=0, open_low=True)

    def check_logs(self, logged: list[str]) -> None:
        """It wants no number, and adds none."""

    def on_train_begin(self, net: Model) -> None:
        """Start the clock."""
        self._end = time.monotonic() + self.seconds

    def on_chunk_end(self, net: Model) -> None:
        """Set net.stop_training when the time is over."""
        if time.monotonic() >= self._end:
            net.stop_training = True

    def on_epoch_end(self, net: Model, epoch: int, logs: Mapping[str, float]) -> None:
        """The same, as validation takes time too."""
        self.on_chunk_end(net)


@dataclass
class CSVLogger:
    """Callback: write a line with the epoch's number (from 0) and logs to a CSV file, at the end of each epoch.

    The first epoch's names are the columns: also those that callbacks before this one have added. A number that a
    later epoch lacks is left empty, one that has no column is left out.

    Arguments:
        path: where the file goes.
        append: whether lines are added to a file that is there, whose columns are then those; else it is replaced.

    Raises TypeError or ValueError for other arguments; when training begins, OSError if the file can't be written.
    """

    path: str | os.PathLike
    append: bool = False
    _file: IO[str] | None = field(init=False, default=None, repr=False, compare=False)
    _columns: list[str] = field(init=False, default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_path("path", self.path)
        check_bool("append", self.append)

    def check_logs(self, logged: list[str]) -> None:
        """It wants no number, and adds none."""

    def on_train_begin(self, net: Model) -> None:
        """Open the file."""
        self._open("a+" if self.append else "w+")

    def _open(self, mode: str) -> None:
        files.check_folder(self.path)
        self._file = open(self.path, mode, newline="", encoding="utf-8")  # noqa: SIM115
        self._file.seek(0)
        self._columns = next(csv.reader(self._file), [])
        self._file.seek(0, os.SEEK_END)

    def on_epoch_end(self, net: Model, epoch: int, logs: Mapping[str, float]) -> None:
        """Write a line."""
        assert self._file is not None
        writer = csv.writer(self._file, lineterminator="\n")
        if not self._columns:
            self._columns = ["epoch", *logs]
            writer.writerow(self._columns)
        numbers = {"epoch": epoch, **logs}
        writer.writerow([numbers.get(name, "") for name in self._columns])
        self._file.flush()

    def state(self) -> dict[str, Any]:
        """How long the file is."""
        assert self._file is not None
        return {"size": os.fstat(self._file.fileno()).st_size}

    def restore(self, net: Model, state: Mapping[str, Any]) -> None:
        """Open the file, without the lines of epochs that will be trained again."""
        size = check_integer("size", state["size"], low=0)
        if os.path.exists(self.path) and os.path.getsize(self.path) > size:
            os.truncate(self.path, size)
        self._open("a+")

    def on_train_end(self, net: Model) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def writes_to(self) -> str | os.PathLike:
        """The path of the file that it writes."""
        return self.path


@dataclass
class Checkpoint:
    """Callback: save the network after each `every` epochs of a run to one file, over the one before.

        fb.Checkpoint("last.npz"), fb.Checkpoint("best.npz", monitor="val_loss")

    The file is written whole or not at all, when all callbacks are through with the epoch. It holds the history and
    their states too: `fit(…, resume_from=path)` goes on from it; fb.load gives the network alone.

    Arguments:
        path: where the file goes.
        every: 1 or more.
        monitor: None, or a name in the logs: of the epochs that `every` takes, only one that is better than all of this
            run before is saved, so that the file holds the best.
        mode: as for EarlyStopping.

    After training with a monitor, `best` is the value that is saved and `best_epoch` its epoch, counted from 0, or
    None. NaN is never better. A run that goes on from a checkpoint knows the best of the epochs before.

    Raises TypeError or ValueError for other arguments; in fit ValueError if nothing of the name `monitor` is logged;
    when training begins, OSError if no file can be made there. A checkpoint that can't be written later (a full disk,
    say) is a RuntimeWarning: training goes on, and the file of the one before stays.
    """

    path: str | os.PathLike
    every: int = 1
    monitor: str | None = None
    mode: str = "auto"
    best: float | None = field(init=False, default=None, compare=False)
    best_epoch: int | None = field(init=False, default=None, compare=False)
    _seen: int = field(init=False, default=0, repr=False, compare=False)  # epochs, when it last looked

    def __post_init__(self) -> None:
        check_path("path", self.path)
        check_integer("every", self.every, low=1)
        if self.monitor is not None:
            _check_name(self.monitor)
        check_choice("mode", self.mode, _MODES)

    def check_logs(self, logged: list[str]) -> None:
        """Raise ValueError if what it monitors is not among the names that are logged."""
        if self.monitor is not None:
            _check_monitor(self.monitor, logged)

    def on_train_begin(self, net: Model) -> None:
        """Find out whether a file can be made there; forget an earlier training."""
        files.check_place(self.path)
        self.best, self.best_epoch, self._seen = None, None, 0

    def on_epoch_recorded(self, net: Model, history: History, callbacks: Sequence[Any]) -> None:
        """Save, and so do those that keep the best.

        These are all asked first, and write before one that keeps the last: each file holds what all have found.
        """
        keepers = [other for other in callbacks if isinstance(other, Checkpoint) and other.monitor is not None]
        due = [(each, each.best, each.best_epoch) for each in (*keepers, self) if each.is_due(history)]
        for each, *_ in due:
            each.judge(history)
        for each, *before in due:
            each.write(net, history, callbacks, before)

    def is_due(self, history: History) -> bool:
        """Whether the last epoch shall be saved; one that keeps the best is asked about it once."""
        epochs = len(history.epoch)
        if epochs % self.every or epochs == self._seen:
            return False
        if self.monitor is None:
            return True
        self._seen, numbers = epochs, {name: values[-1] for name, values in history.history.items()}
        return _is_better(_monitored(self.monitor, numbers), self.best, self.monitor, self.mode)

    def judge(self, history: History) -> None:
        """The last epoch is the best, if this one keeps the best."""
        if self.monitor is not None:
            self.best, self.best_epoch = history.history[self.monitor][-1], len(history.epoch) - 1

    def write(self, net: Model, history: History, callbacks: Sequence[Any], before: Sequence[Any]) -> None:
        """Write the file; `before`, the best and its epoch, count again where that fails."""
        epochs = len(history.epoch)
        try:
            checkpoints.write(self.path, net, history, callbacks)
        except OSError as error:
            self.best, self.best_epoch = before
            text = f"the checkpoint of epoch {epochs} could not be written, and training goes on without: {error}"
            warn_caller(text, RuntimeWarning)

    @property
    def has_state(self) -> bool:
        """Whether there is something to remember."""
        return self.monitor is not None

    def state(self) -> dict[str, Any]:
        """The best, and its epoch."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def restore(self, net: Model, state: Mapping[str, Any]) -> None:
        """Remember what `state` gave."""
        best = None if state["best"] is None else float(state["best"])
        best_epoch = None if best is None else check_integer("best_epoch", state["best_epoch"], low=0)
        files.check_place(self.path)
        self.best, self.best_epoch, self._seen = best, best_epoch, 0

    @property
    def writes_to(self) -> str | os.PathLike:
        """The path of the file that it writes."""
        return self.path
