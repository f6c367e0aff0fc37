"""Network: the object API."""

from __future__ import annotations

import contextlib
import copy
import math
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numba.core.typing.typeof import Purpose
from numba.extending import typeof_impl

from . import losses, optimizers
from .averaging import check_averages
from .callbacks import check_callbacks
from .diagnosis import examination, explanation
from .diagnosis.explanation import Explanation
from .diagnosis.report import Diagnosis
from .display import reports
from .embedding.capi import CPointers, make_pointers
from .embedding.handles import Handle, make_handle
from .embedding.objective import Objective
from .errors import (
    DivergedError,
    FileFormatError,
    brief,
    check_bool,
    check_integer,
    check_number,
    check_path,
    check_share,
    check_verbose,
)
from .formats import export, files
from .initializers import INITIALIZER_CLASSES
from .kernels.updates import RATE, STEP
from .layers import LAYERS, Activation, Dropout, Flatten, Layer
from .layers.bound import BoundLayer, check_step
from .losses import LOSS_CLASSES, Loss
from .metrics import METRICS, Metric, check_metrics, check_suited
from .optimizers import Optimizer
from .parts import Custom, construct, custom_parts
from .program.plan import BATCH_LOSS, SCALARS_SIZE, Buffer, Plan, Shape, Tensor, factors_at, initial_scalars
from .program.workspace import Workspace
from .runtime.functions import DTYPES
from .runtime.locks import give_lock, interrupts_later
from .schedules import SCHEDULES, Schedule
from .training import checkpoints, feeds, hidden, loop, transfer
from .training.advice import advice
from .training.checkpoints import Resumed
from .training.data import Spec, check_class_weight, convert_params
from .training.feeds import Feed, Mapped, Source
from .training.instep import InStep
from .training.loop import EVALUATION_BATCH, History, Task


def _check_shape(input_shape: Any) -> Shape:
    try:
        shape = tuple(input_shape)
    except TypeError:
        shape = None
    if shape is None or any(isinstance(size, bool) or not isinstance(size, (int, np.integer)) for size in shape):
        such = (input_shape,) if isinstance(input_shape, (int, np.integer)) and input_shape > 0 else (4,)
        raise TypeError(f"input_shape must be a tuple of integers such as {such}, got {brief(input_shape)}")
    if not shape:
        raise ValueError("input_shape must have at least one size, such as (784,), got ()")
    return tuple(check_integer("input_shape", size, low=1) for size in shape)


def _check_dtype(dtype: Any) -> np.dtype:
    try:
        for known in DTYPES:
            if np.dtype(dtype) == known:
                return known
    except TypeError:
        pass  # NumPy doesn't know it either
    raise ValueError(f"dtype must be {' or '.join(repr(str(known)) for known in DTYPES)}, got {brief(dtype)}")


class Network:
    """A feed-forward network, its loss and its optimizer.

    Arguments:
        layers: a sequence of layers, the first nearest to the input; at least one.
        input_shape: the shape of one row of X, such as (784,).
        loss: "mse", "squared_error", "mae", "huber", "quantile", "gaussian_nll", "cross_entropy",
            "binary_cross_entropy", "poisson", "hinge", "kl_divergence", or a loss object (see fastbp.losses).
        optimizer: such as SGD(0.1) or Adam(1e-3); None means Adam(1e-3).
        dtype: "float32" or "float64".
        seed: an integer, 0 or more, that decides initial values, shuffling and dropout; None draws one.

    The same seed gives the same bits, on any number of threads.
    Raises TypeError or ValueError, naming the argument, for anything else.
    """

    _INITIAL, _SHUFFLE = 0, 1  # streams of random numbers; the plan has the next
    _lock: threading.RLock  # of the workspace: one computation at a time, from whichever Python thread
    _FIXED = ("layers", "input_shape", "output_shape", "num_params", "dtype", "seed")  # what its memory is made for

    def __init__(
        self,
        layers: Sequence[Layer],
        input_shape: Sequence[int],
        *,
        loss: str | Loss,
        optimizer: Optimizer | str | None = None,
        dtype: Any = "float32",
        seed: int | None = None,
    ):
        self._define(layers, input_shape, loss, optimizer, dtype, seed)
        self._allocate()
        self._draw()

    def _define(self, layers: Any, input_shape: Any, loss: Any, optimizer: Any, dtype: Any, seed: Any) -> None:
        """Check the arguments, and say what the network is; its arrays are not there yet."""
        self.input_shape = _check_shape(input_shape)
        self.dtype = _check_dtype(dtype)
        self._loss = losses.get(loss)
        self._optimizer = optimizers.get(optimizer)
        optimizers.check_constants(self.optimizer, self.dtype)
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        self.seed = check_integer("seed", seed, low=0)
        self.layers = self._bind_layers(layers)
        self.output_shape = self.layers[-1].output_shape
        self._outputs = math.prod(self.output_shape)
        self.loss.check(self._outputs)
        self._check_names()
        self.num_params = sum(math.prod(p.shape) for layer in self.layers for p in layer._wanted)
        self.epochs_trained = 0
        self.stop_training = False
        self.extra = {}
        self._in_step: tuple[InStep, ...] = ()  # callbacks of the fit that runs
        self._under_way: set[object] = set()  # one for each `_steps` that has begun and not ended
        self._space: Workspace | None = None
        self._inner: tuple[int, Plan, Workspace] | None = None  # see training.hidden
        give_lock(self)
        self._chunk = (0, 1)  # batches in a compiled call of fit, for a size of batch

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._FIXED and name in self.__dict__:
            raise AttributeError(f"{name} can't be set, as it is what the network is made for: make another network")
        super().__setattr__(name, value)

    def _bind_layers(self, layers: Sequence[Layer]) -> tuple[BoundLayer, ...]:
        if isinstance(layers, Layer) or not isinstance(layers, Sequence):
            raise TypeError(f"layers must be a list of layers, got {brief(layers)}")
        if not layers:
            raise ValueError("layers must hold at least one layer, got none")
        bound: list[BoundLayer] = []
        counts: dict[str, int] = {}
        shape = self.input_shape
        for place, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                raise TypeError(f"layers must hold layers such as Dense(10), got {brief(layer)} at place {place}")
            kind = type(layer).__name__
            counts[kind] = counts.get(kind, 0) + 1
            name = f"{kind}_{counts[kind]}"
            try:
                bound.append(BoundLayer(layer, name, shape))
            except ValueError as error:
                raise ValueError(f"layers: {name}: {error}") from None
            shape = bound[-1].output_shape
        return tuple(bound)

    def _allocate(self) -> None:
        """Lay out the parameters, and make the plan."""
        self._params = np.zeros(self.num_params, self.dtype)
        self._grads = np.zeros(self.num_params, self.dtype)
        self._state = np.repeat(np.array(list(self.optimizer.state.values()), self.dtype), self.num_params)
        self._scalars = initial_scalars(self.optimizer, [layer.learning_rate for layer in self.layers])
        at = 0
        for layer in self.layers:
            for parameter in layer._wanted:
                size = math.prod(parameter.shape)
                layer.weights[parameter.name] = self._params[at : at + size].reshape(parameter.shape)
                layer._gradients[parameter.name] = self._grads[at : at + size].reshape(parameter.shape)
                layer._places.append(Tensor(Buffer("params", at), Buffer("grads", at), parameter.shape))
                at += size
            layer._changed = self._replan
        self._allocate_statistics()
        self._plan = self._new_plan()

    def _draw(self) -> None:
        """Fill the parameters with their initial values."""
        wanted = [(layer, p) for layer in self.layers for p in layer._wanted]
        for number, (layer, p) in enumerate(wanted):
            generator = self._generator(self._INITIAL, number)
            try:
                with np.errstate(over="ignore"):
                    layer.weights[p.name][...] = p.initializer.draw(generator, p.shape, p.fan_in, p.fan_out)
            except ValueError as error:
                raise ValueError(f"layers: {layer.name}: {p.name}: {error}") from None
            if not np.isfinite(layer.weights[p.name]).all():
                raise ValueError(f"layers: {layer.name}: {p.name} must begin with numbers that {self.dtype} has")

    def _allocate_statistics(self) -> None:
        """Likewise for what layers count; behind the places of a layer's parameters come those of its statistics."""
        counted = [(layer, statistic) for layer in self.layers for statistic in layer._counted]
        self._statistics = np.zeros(sum(math.prod(statistic.shape) for _, statistic in counted), self.dtype)
        at = 0
        for layer, statistic in counted:
            view = self._statistics[at : at + math.prod(statistic.shape)].reshape(statistic.shape)
            view[...] = statistic.initializer.draw(self._generator(self._INITIAL, 0), statistic.shape, 1, 1)
            layer.statistics[statistic.name] = view
            layer._places.append(Tensor(Buffer("statistics", at), Buffer("statistics", at), statistic.shape))
            at += view.size

    def _new_plan(self, *, keep: bool = False, last: int = -1) -> Plan:
        """A plan of the layers up to number `last`; keep: see Plan."""
        layers = self._emitters()[: last % len(self.layers) + 1]
        parts = layers, self.input_shape, self.loss, self.optimizer, self.num_params, self.seed
        return Plan(*parts, keep=keep, in_step=() if keep else self._in_step)

    def _replan(self) -> None:
        """Make the programs anew, after a layer's settings have changed."""
        with self._lock:
            self._plan, self._space, self._inner = self._new_plan(), None, None
            self._scalars[factors_at(self.optimizer) :] = [layer.learning_rate for layer in self.layers]

    def _put_in_step(self, callbacks: tuple[InStep, ...]) -> None:
        """Let these be a part of training steps from now on."""
        with self._lock, interrupts_later():
            self._in_step = callbacks
            self._replan()

    @contextlib.contextmanager
    def _steps(self) -> Iterator[None]:
        """Training steps may be done inside; within others, or beside those of another thread, too."""
        mine = object()
        try:
            with self._lock:
                self._under_way.add(mine)
                for callback in self._in_step:
                    callback.before_steps(self)
            yield
        finally:
            self._under_way.discard(mine)
            with self._lock:
                for callback in () if self._under_way else self._in_step:
                    callback.behind_steps(self)

    def _emitters(self) -> Sequence[BoundLayer]:
        """The layers as they run: the loss takes over a last activation that is its own inverse link."""
        idle = (Activation("linear"), Flatten(), Dropout(0.0))
        end = max((i + 1 for i, bound in enumerate(self.layers) if bound.layer not in idle), default=0)
        last = self.layers[end - 1]
        if end == 0 or self.loss.link is None or last.layer.ends_with is not self.loss.link:
            return self.layers
        bare = BoundLayer(last.layer.without_activation(), last.name, last.input_shape)
        bare._places = last._places
        return [*self.layers[: end - 1], bare, *self.layers[end:]]

    def _generator(self, stream: int, number: int) -> np.random.Generator:
        """Random numbers that depend on the seed, what they are for, and a number, and on nothing before."""
        return np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, stream, number])))

    def _shuffle_key(self) -> int:
        """64 bits that the orders of the rows depend on, besides the epoch."""
        return int(np.random.SeedSequence([self.seed, self._SHUFFLE]).generate_state(1, np.uint64).view(np.int64)[0])

    def _check_names(self) -> None:
        """Raise ValueError if two parts of the user's own have one name, as files and copies know them by it."""
        names = self._custom_parts()
        for thing in (*(layer.layer for layer in self.layers), self.loss):
            for name, part in custom_parts(thing).items():
                if names[name] is not part:
                    raise ValueError(f"layers and loss must not hold two different parts of one's own named {name!r}")

    # --- what there is ---

    @property
    def loss(self) -> Loss:
        """The loss; it can't be changed."""
        return self._loss

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer; it can't be changed, but for its learning rate: net.learning_rate = 0.01."""
        return self._optimizer

    @property
    def extra(self) -> dict[str, Any]:
        """What else its files keep: names of classes, say, or how inputs were scaled. A dict of what JSON has.

        `save` writes it, and `load` gives it back, as JSON does: tuples come back as lists, and keys as texts.
        Assigning raises TypeError for anything but a dict.
        """
        return self._extra

    @extra.setter
    def extra(self, value: dict[str, Any]) -> None:
        if not isinstance(value, dict):
            raise TypeError(f"extra must be a dict, got {brief(value)}")
        self._extra = value

    @property
    def params(self) -> np.ndarray:
        """All parameters (num_params,), live: writing into it changes the network, and so does assigning to it.

        Statistics that training counts beside them (BatchNorm's) are none: `copy_from` copies both.
        Assigning raises TypeError for what holds no real numbers, ValueError for another shape, NaN or infinity.
        """
        return self._params

    @params.setter
    def params(self, values: Any) -> None:
        if values is self._params:  # net.params *= 2 has written into it, and then assigns it
            return
        self._params[:] = convert_params("params", values, self._params.shape, self.dtype)

    @property
    def grads(self) -> np.ndarray:
        """The gradients of the last training step or value_and_grad (num_params,), live, laid out as params."""
        return self._grads

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step; unless a schedule sets it, it can be set: greater than 0."""
        schedule = self.optimizer.learning_rate
        return schedule(self.steps_trained) if isinstance(schedule, Schedule) else float(self._scalars[RATE])

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        if isinstance(self.optimizer.learning_rate, Schedule):
            raise ValueError(f"learning_rate can't be set: {self.optimizer.learning_rate!r} sets it")
        if isinstance(self.optimizer, optimizers.Rprop):
            raise ValueError("learning_rate can't be set: Rprop has a step of its own for each parameter")
        self._scalars[RATE] = check_number("learning_rate", rate, low=0, open_low=True)

    @property
    def steps_trained(self) -> int:
        """Optimizer steps so far."""
        return int(self._scalars[STEP])

    def __repr__(self) -> str:
        layers = ", ".join(repr(layer.layer) for layer in self.layers)
        return (
            f"Network([{layers}], {self.input_shape}, loss={self.loss!r}, optimizer={self.optimizer!r},"
            f" dtype='{self.dtype}', seed={self.seed})"
        )

    def summary(self) -> str:
        """A table of layers, output shapes and numbers of parameters, as text to print."""
        rows = [("layer", "output shape", "parameters"), *self._summary(), ("total", "", f"{self.num_params:,}")]
        wide = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = [f"{a:<{wide[0]}}  {b:<{wide[1]}}  {c:>{wide[2]}}" for a, b, c in rows]
        rule = "-" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], self._about()])

    def _repr_html_(self) -> str:
        """For notebooks: the summary."""
        rows = [*self._summary(), ("total", "", f"{self.num_params:,}")]
        return reports.html_table(["layer", "output shape", "parameters"], rows, self._about())

    def _summary(self) -> list[tuple[str, str, str]]:
        rows = [("input", str(self.input_shape), "0")]
        for layer in self.layers:
            activation = layer.layer.ends_with
            ending = "" if activation is None or activation.forward is None else f" {activation.name}"
            size = sum(view.size for view in layer.weights.values())
            rows.append((layer.name + ending, str(layer.output_shape), f"{size:,}"))
        return rows

    def _about(self) -> str:
        return f"loss {self.loss.name}, {self.optimizer!r}, {self.dtype}"

    # --- training ---

    def fit(
        self,
        X: Any,
        y: Any = None,
        epochs: int = 1,
        batch_size: int = 32,
        *,
        validation_data: Any = None,
        validation_split: float = 0.0,
        shuffle: bool = True,
        sample_weight: Any = None,
        class_weight: Any = None,
        metrics: Any = (),
        callbacks: Any = (),
        resume_from: str | os.PathLike | None = None,
        verbose: bool = True,
    ) -> History:
        """Train; called again, it goes on from where the network stands.

        Arguments:
            X: (rows, *input_shape), at least one row; any real dtype, which is converted a batch at a time. Or, with
                y=None, an iterable of batches (X, y) or (X, y, sample_weight); see below.
            y: integer labels (rows,) or probabilities (rows, outputs) for cross_entropy; (rows, outputs), or
                (rows,) for one output, for the other losses (0 to 1 for binary_cross_entropy). For gaussian_nll half
                as many targets as outputs; for Quantile with a list, (rows,) is the target of all outputs.
            epochs: times that all rows are used, 1 or more.
            batch_size: rows in a step, 1 or more; the last step of an epoch takes what is left.
            validation_data: (X, y) or (X, y, sample_weight), or an iterable of such batches (a torch DataLoader, say),
                evaluated after each epoch.
            validation_split: the share, 0 ≤ share < 1, of the last rows that are kept for validation instead.
            shuffle: whether each epoch takes the rows in another random order.
            sample_weight: (rows,), 0 or more: factors of the rows' losses. The loss is the sum of the weighted
                row losses over the number of rows.
            class_weight: factors for the rows of a class, in training and in validation: a mapping from label to
                weight, 1 for a label that it lacks, or "balanced": rows / (classes × rows of the class), counted in the
                rows that are trained on.
                A row of probabilities is of the most probable class; with one output, of class 1 above ½, else of 0.
            metrics: names (see fastbp.metrics) or functions f(y_true, y_pred) or f(y_true, y_pred, sample_weight),
                of the validation data and what `predict` gives for them, after each epoch; for the history's
                "val_" + name.
            callbacks: objects with on_epoch_end(net, epoch, logs) or other hooks (see fastbp.callbacks);
                `net.stop_training = True` there ends training.
            resume_from: a file that a Checkpoint of an earlier run writes, or will write; see below.
            verbose: whether progress goes to stderr; 0, 1 and 2 are taken as well.

        Memory maps (np.memmap and views of it) of 256 MB or more are read in pieces of 64 MB, as mapped pages count
        as the process's memory. With shuffle, an epoch takes the pieces in random order, and the rows of each piece;
        without, results are those of an array in memory, bit for bit. A batch must fit into memory, and so must what
        metrics are of: y and the predictions.

        Batches are iterated anew for each epoch, and each is a step, in the order that they come: batch_size and
        shuffle don't apply, and sample_weight, validation_split and class_weight="balanced" can't be given. They are
        checked one by one; a bad one's error has its number, from 0.

        With resume_from, the run that wrote the file goes on: the network becomes what it was then, with its seed, and
        so do callbacks that have a state and the history. `epochs` is the total of the run. With the same data and
        arguments it ends with the very bits of a run that was never interrupted. Without such a file the run begins
        with the first epoch, so that a script with callbacks=[Checkpoint(path)], resume_from=path can be run again and
        again until it is through. ValueError for a file of a network with other layers (but for initial values,
        `trainable` and `learning_rate`), another loss, optimizer or dtype, and for other callbacks with a state;
        FileFormatError for a file that is not a whole checkpoint.

        Returns a History. Ctrl-C ends training with the history so far, within about 0.1 s: a batch that takes longer
        is as if it had not begun. A second one within two seconds is raised.
        Raises TypeError or ValueError, naming the argument, before anything has changed; DivergedError if the
        loss turns NaN or infinite, or a metric or callback raises ValueError or ArithmeticError when the network, or
        what it gives for the validation data, has done so. After that, as after any exception within an epoch (of a bad
        batch, a metric, a callback), the network is as it was before that epoch, or before all that ran in one call.
        """
        epochs = check_integer("epochs", epochs, low=1)
        batch_size = check_integer("batch_size", batch_size, low=1)
        split = check_share("validation_split", validation_split)
        shuffle = check_bool("shuffle", shuffle)
        verbose = check_verbose(verbose)
        functions = self._metrics(metrics)
        validates = validation_data is not None or split > 0
        if functions and not validates:
            raise ValueError(
                f"metrics must be () without validation_data or validation_split, got {', '.join(functions)}"
            )
        callbacks = check_callbacks(callbacks, self._logged(functions, validates))
        for callback in callbacks:
            if isinstance(callback, InStep):
                callback.check(self.input_shape)
        check_averages(callbacks, self._in_step)
        source, validation = self._sources(X, y, epochs, sample_weight, class_weight, validation_data, split)
        if functions and isinstance(validation, (Feed, Mapped)):
            predicted = self.loss.point(np.broadcast_to(0.5, (validation.rows, *self.output_shape))).shape
            check_suited(functions, validation.truth()[0], predicted)
        rows = None if isinstance(source, feeds.Batches) else min(batch_size, source.rows)
        if source.rows is not None:
            check_step(self.layers, source.rows, rows)
        resumed = None if resume_from is None else self._resumed(resume_from, callbacks, verbose)
        task = Task(source, epochs, rows, shuffle, validation, functions, callbacks, verbose, resumed)
        return loop.train(self, task)

    def _resumed(self, resume_from: Any, callbacks: Sequence[Any], verbose: bool) -> Resumed | None:
        """The run in a checkpoint of this network; None if there is no such file yet."""
        path = os.fspath(check_path("resume_from", resume_from))
        try:
            saved, header, arrays = _open(path, self._custom_parts())
        except FileNotFoundError:
            if verbose and sys.stderr is not None:
                print(f"fastbp: there is no {path} yet: beginning with the first epoch", file=sys.stderr, flush=True)
            return None
        except FileFormatError:
            raise
        except ValueError as error:  # it lacks parts of the user's own
            raise ValueError(f"resume_from must be of a network like this one: {error}") from error
        its = saved._architecture()
        for name, mine in self._architecture().items():
            if mine != its[name]:
                shown = [
                    [b.layer for b in net.layers] if name == "layers" else getattr(net, name) for net in (self, saved)
                ]
                raise ValueError(f"resume_from must be of a network with {name} {shown[0]}, got {shown[1]} in {path}")
        resumed = checkpoints.parse(path, saved, header, arrays, callbacks)
        if verbose and sys.stderr is not None:
            print(f"fastbp: going on from {path}, epoch {len(resumed.history.epoch)}", file=sys.stderr, flush=True)
        return resumed

    def _architecture(self) -> dict[str, Any]:
        """What a checkpoint has in common with the networks that can go on from it."""
        free = ("kernel_init", "bias_init", "trainable", "learning_rate")
        layers = [{k: v for k, v in layer.layer.described().items() if k not in free} for layer in self.layers]
        return {"layers": layers, **{k: v for k, v in self._header().items() if k in _IN_COMMON}}

    def _take_over(self, other: Network) -> None:
        """Become what `other` is, a network of the same architecture."""
        with self._lock, interrupts_later():
            self.__dict__["seed"], self.epochs_trained = other.seed, other.epochs_trained
            self.extra = other.extra or self.extra
            for mine, its in zip(self.layers, other.layers, strict=True):
                mine._describe(trainable=its.trainable, learning_rate=its.learning_rate)
            for name, array in self._arrays().items():
                np.copyto(array, other._arrays()[name])
            self._replan()

    def _metrics(self, metrics: Any) -> dict[str, Metric]:
        """Metrics by name, without those that the engine counts itself."""
        found = check_metrics(() if metrics is None else metrics)
        if self.loss.accuracy and found.pop("accuracy", METRICS["accuracy"]) is not METRICS["accuracy"]:
            raise ValueError("metrics must not hold a function named 'accuracy': the loss counts that itself")
        return found

    def _logged(self, metrics: Iterable[str], validates: bool) -> list[str]:
        """The names of an epoch's numbers."""
        names = ["loss", "accuracy"] if self.loss.accuracy else ["loss"]
        return names + [f"val_{name}" for name in [*names, *metrics]] if validates else names

    def _sources(
        self,
        X: Any,
        y: Any,
        epochs: int,
        sample_weight: Any,
        class_weight: Any,
        validation_data: Any,
        split: float,
    ) -> tuple[Source, Source | None]:
        """What fit trains on, and what it validates with, checked."""
        spec = self._spec()
        validation: Source | None = None
        if validation_data is not None and split:
            raise ValueError("validation_split must be 0 with validation_data, got both")
        source = feeds.source(spec, X, y, sample_weight, epochs)
        if split:
            if isinstance(source, feeds.Batches):
                raise ValueError(f"validation_split can't be given with an iterable of batches, got {split}")
            source, validation = _split(source, split)
        if validation_data is not None:
            validation = feeds.validation(spec, validation_data, epochs)
        weights = check_class_weight(class_weight, source, spec)
        source.weigh(weights)
        if validation is not None:
            validation.weigh(weights)
        return source, validation

    def train_on_batch(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """One step on all rows of X at once; returns the loss before it.

        Shapes and errors as in fit. Raises DivergedError if the loss is NaN or infinite: nothing has changed then.
        """
        feed = self._feed(X, y, sample_weight)
        check_step(self.layers, feed.rows)
        with self._lock, self._steps():
            workspace = self._workspace(feed.rows)
            done = feed.run(workspace, "train", feed.rows)
            loss = float(workspace.totals[BATCH_LOSS])
            if not done:
                text = f"the loss became {loss} in step {self.steps_trained + 1}; no step was done."
                raise DivergedError(f"{text} {advice(self, feed)}")
            return loss

    def value_and_grad(self, X: Any, y: Any, sample_weight: Any = None) -> tuple[float, np.ndarray]:
        """The loss over all rows of X, and its gradient (num_params,), a copy laid out as params.

        Shapes and errors as in fit; nothing is updated.
        """
        feed = self._feed(X, y, sample_weight)
        with self._lock:
            workspace = self._workspace(feed.rows)
            feed.run(workspace, "gradient", feed.rows)
            return float(workspace.totals[BATCH_LOSS]), self._grads.copy()

    def apply_gradients(self, gradient: Any) -> None:
        """One step of the optimizer with this gradient, in place of the one that train_on_batch finds.

            loss, gradient = net.value_and_grad(X, y)
            net.apply_gradients(gradient)

        gradient: (num_params,), laid out as params, of any real dtype; it is copied.

        All is as in training: step count and schedule, clipping, gradient noise, weight decay, the layers' learning
        rates; frozen layers stay. The penalties l1 and l2 are a part of the gradient that value_and_grad gives, so they
        are not added again. The two lines above do what train_on_batch does, bit for bit, unless the network has
        Dropout or BatchNorm: training computes these in another way than value_and_grad. BatchNorm's statistics stay.
        Raises TypeError if it holds no real numbers, ValueError for another shape, NaN, infinity, or a number too large
        for the network's dtype: nothing has changed then.
        """
        array = convert_params("gradient", gradient, self._grads.shape, self.dtype)
        with self._lock, self._steps():
            np.copyto(self._grads, array)
            self._workspace(1).apply()

    def copy_from(self, other: Network) -> None:
        """Take over the parameters and the statistics (BatchNorm's) of a network with layers of the same shapes.

        The optimizer's state, the step count and the random state stay. Layers without parameters don't matter, nor do
        loss, optimizer and activations; numbers of another dtype are converted.
        Raises TypeError if it is no Network; ValueError that names the first layer whose shapes differ, or for numbers
        that are not finite in this network's dtype: nothing has changed then.
        """
        if not isinstance(other, Network):
            raise TypeError(f"other must be a Network, got {brief(other)}")
        transfer.copy_from(self, other)

    def input_gradient(self, X: Any, y: Any) -> np.ndarray:
        """∂loss/∂X, shaped like X, of the network's dtype. Shapes and errors as in fit."""
        feed = self._feed(X, y)
        out = np.empty(feed.x.shape, self.dtype)
        with self._lock:
            feed.run(self._workspace(feed.rows), "input_gradient", feed.rows, out=out)
        return out

    def jacobian(self, X: Any) -> np.ndarray:
        """∂predict(X)/∂params: (rows · outputs, num_params), of the network's dtype; frozen layers count too.

        Row r · outputs + o is the gradient of output o of row r: what scipy.optimize.least_squares wants.
        Shapes and errors as in predict.
        """
        rows = loop.jacobian(self, "jacobian", feeds.feed_inputs(self._spec(), X), self.num_params)
        return rows.reshape(-1, self.num_params)

    def input_jacobian(self, X: Any) -> np.ndarray:
        """∂predict(X)/∂X, each row by its own inputs: (rows, *output_shape, *input_shape), of the network's dtype.

        Shapes and errors as in predict.
        """
        rows = loop.jacobian(self, "input_jacobian", feeds.feed_inputs(self._spec(), X), self._plan.x.size)
        return rows.reshape(-1, *self.output_shape, *self.input_shape)

    def objective(self, X: Any, y: Any, sample_weight: Any = None) -> Objective:
        """The loss as a function of the parameters, which gives (loss, gradient) in float64 for any network.

            found = scipy.optimize.minimize(net.objective(X, y), net.params, jac=True, method="L-BFGS-B")
            net.params = found.x

        Calling it changes nothing in the network: net.params stays what it is until it is assigned to. X, y and
        sample_weight are copied. All layers count, frozen ones too.
        Shapes and errors as in fit.
        """
        with self._lock:
            return Objective(self._plan, self._arenas(), self._spec(), X, y, sample_weight)

    # --- looking inside ---

    def diagnose(self, X: Any, y: Any, sample_weight: Any = None) -> Diagnosis:
        """What is wrong in backpropagation, if anything, seen on one training step of a copy of the network.

        For each layer: how large its activations, gradients and steps are, how many of its units are saturated or
        dead; and in sentences what is wrong in layers, X, y or the learning rate, and what may help. It looks at all
        rows of X as one batch; of more than 2048, at so many, evenly spaced. Dropout is active, as in training. Where
        the step looks too long or too short, others in its direction are tried, ten at most.

        Shapes and errors as in fit; nothing is updated. A loss that is not finite is a finding too.
        """
        return examination.diagnose(self, X, y, sample_weight)

    def explain(self, x: Any, y: Any) -> Explanation:
        """The four steps of backpropagation for one example: forward, error, backward, update, with their numbers.

        Arguments:
            x: one row, of shape input_shape.
            y: its target: a label, a number, or a vector (outputs,).

        The numbers are those of one training step of a copy of the network, with dropout active; nothing is updated.
        Raises TypeError or ValueError for another shape or bad values, DivergedError if the loss is not finite.
        """
        return explanation.explain(self, x, y)

    # --- inference ---

    def evaluate(
        self,
        X: Any,
        y: Any = None,
        batch_size: int = EVALUATION_BATCH,
        *,
        sample_weight: Any = None,
        class_weight: Any = None,
        metrics: Any = (),
    ) -> dict[str, float]:
        """{"loss": …}, with "accuracy" (0 to 1) for classification, and metrics by name, over all rows of X.

        batch_size is how many rows are worked on at once: it costs memory and does not change the meaning.
        sample_weight and class_weight ("balanced": counted in these rows) are factors of the rows' losses, and not of
        the accuracy; sample_weight goes to the metrics that take one.
        Without y, X is an iterable of batches (X, y) or (X, y, sample_weight), such as a torch DataLoader; then
        sample_weight and class_weight="balanced" can't be given. Numbers are those of all its rows together.
        Memory maps, metrics, shapes and errors as in fit.
        """
        batch_size = check_integer("batch_size", batch_size, low=1)
        functions = self._metrics(metrics)
        spec = self._spec()
        source = feeds.source(spec, X, y, sample_weight)
        source.weigh(check_class_weight(class_weight, source, spec))
        return loop.evaluate(self, source, batch_size, functions)

    def forward(self, X: Any, batch_size: int = EVALUATION_BATCH, *, layer: Any = None) -> Any:
        """The raw outputs of the last layer (rows, outputs): logits, where the loss is from logits.

        layer: the number of a layer, from 0, or from -1 backwards, or its name, such as "Dense_1": what comes out of
            that layer instead, behind its activation, (rows, *net.layers[layer].output_shape). For a list of them, a
            list of arrays, all from one pass. A last softmax or sigmoid that the loss takes over is not done: the last
            layer's output is what `forward` gives without `layer`.

        The network is as it predicts: nothing is dropped, and BatchNorm takes its running statistics.
        Memory maps, shapes and errors as in fit; TypeError or ValueError for another layer.
        """
        if layer is None:
            return self._infer("forward", X, batch_size)
        layers, batch_size = hidden.layer_numbers(self, layer), check_integer("batch_size", batch_size, low=1)
        outs = hidden.layer_outputs(self, layers, feeds.feed_inputs(self._spec(), X), batch_size)
        return outs[0] if isinstance(layer, (str, int, np.integer)) else outs

    def predict(self, X: Any, batch_size: int = EVALUATION_BATCH) -> np.ndarray:
        """The outputs (rows, outputs) through the loss's inverse link.

        Probabilities by softmax for cross_entropy, by sigmoid for binary_cross_entropy; rates by exp for poisson; the
        means and behind them the variances, by exp, for gaussian_nll; else as they are.
        Memory maps, shapes and errors as in fit.
        """
        return self._infer("predict", X, batch_size)

    def _infer(self, program: str, X: Any, batch_size: int) -> np.ndarray:
        batch_size = check_integer("batch_size", batch_size, low=1)
        return loop.infer(self, program, feeds.feed_inputs(self._spec(), X), batch_size)

    def handle(self, rows: int = 1, *, training: bool = True) -> Handle:
        """What compiled code needs to run this network: see fastbp.jit.

        rows: how many rows are worked on at once, 1 or more: the most in a training step. Predictions for more are
            made piece by piece.
        training: whether it shall train and give gradients, or only predict: fewer kernels to compile, or to load.

        The handle shares the network's parameters and optimizer state, and owns memory for the rest: it is for one
        thread at a time. Of several handles of one network, any number may predict or give gradients at once, but
        while one trains or applies gradients no other may work. It keeps to which layers are trainable when it is made.
        Raises TypeError or ValueError for other arguments.
        """
        rows, training = check_integer("rows", rows, low=1), check_bool("training", training)
        arenas = {**self._arenas(), "grads": np.zeros_like(self._grads)}
        workspace = Workspace(self._plan, arenas, self.dtype, rows)
        targets = self.loss.targets(self._outputs)
        return make_handle(workspace, rows, self._outputs, targets, tuple(self.loss.kernels), training=training)

    def c_pointers(self, rows: int = 1, *, training: bool = True) -> CPointers:
        """A C struct of functions and sizes, with which C code in this process runs this network: see fastbp.h.

            p = net.c_pointers(rows=32)
            library.simulate(ctypes.byref(p))  # void simulate(const fastbp_f32 *net)

        Arguments and errors as for `handle`; each struct has a handle of its own, which lives as long as it. The
        header is in the folder fastbp.get_include().
        """
        return make_pointers(self.handle(rows, training=training), self.dtype, labels="labels" in self.loss.kernels)

    # --- files ---

    def save(self, path: str | os.PathLike, extra: dict | None = None) -> None:
        """Write everything needed to go on training bit for bit to one .npz file, whole or not at all.

        extra: what else to keep in the file, in place of net.extra: a dict of what JSON has. `fb.load(path).extra` is
            then that.

        Raises TypeError or ValueError for other arguments, ValueError if a parameter is NaN or infinite, OSError if the
        file can't be written: a file that was there stays.
        """
        check_path("path", path)
        with self._lock:
            files.write(path, *self._content(extra))

    def _save(self, path: str | os.PathLike, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Save, with more in the header and more arrays."""
        check_path("path", path)
        with self._lock:
            own, its = self._content()
            files.write(path, {**own, **header}, {**its, **arrays})

    def _content(self, extra: Any = None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The header and the arrays of its file; extra: see save. Raises as save does."""
        if extra is not None and not isinstance(extra, dict):
            raise TypeError(f"extra must be a dict or None, got {brief(extra)}")
        _check_finite(self._arrays())
        return {**self._header(), **({} if extra is None else {"extra": extra})}, self._arrays()

    def export_c(self, path: str | os.PathLike, name: str = "model") -> None:
        """Write `predict` for one row as one C99 file, whole or not at all: `void NAME_predict(const T x[], T y[])`.

        It holds the weights, exactly; it needs nothing but math.h, allocates nothing and keeps nothing between calls.
        T is float or double, as the network's dtype; x and y are one row, in C order. The values between layers lie on
        the stack: the file says how many bytes they are, and how to put them elsewhere.

        path: of the file, such as "model.c"; name: what its function's name begins with.
        Raises TypeError or ValueError for another name, ValueError that names the layer for one that can't be written
        as C (a CustomActivation, for one), or if params are not finite; OSError if the file can't be written.
        """
        export.export_c(self, path, name)

    def _header(self) -> dict[str, Any]:
        return {
            "layers": [layer.layer.described() for layer in self.layers],
            "input_shape": self.input_shape,
            "loss": self.loss.described(),
            "optimizer": self.optimizer.described(),
            "dtype": str(self.dtype),
            "seed": self.seed,
            "epochs_trained": self.epochs_trained,
            **({"extra": self.extra} if self.extra else {}),
        }

    def _arrays(self) -> dict[str, np.ndarray]:
        """All that training changes; the scalars that schedules and layers have are settings."""
        arrays = {"params": self._params, "state": self._state, "scalars": self._scalars[: self._changing_scalars]}
        return {**arrays, "statistics": self._statistics} if self._statistics.size else arrays

    @property
    def _changing_scalars(self) -> int:
        return SCALARS_SIZE + len(self.optimizer.constants)

    def _check_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Raise ValueError or KeyError if these can't be this network's, whose own need not be there yet."""
        state = len(self.optimizer.state) * self.num_params
        counted = sum(math.prod(statistic.shape) for layer in self.layers for statistic in layer._counted)
        wanted = {"params": (self.num_params, self.dtype), "state": (state, self.dtype)}
        if counted:
            wanted["statistics"] = (counted, self.dtype)
        for name, (size, dtype) in {**wanted, "scalars": (self._changing_scalars, np.dtype(np.float64))}.items():
            array = arrays[name]
            if array.shape != (size,) or array.dtype != dtype:
                raise ValueError(f"{name} must be {dtype} of shape {(size,)}, got {array.dtype} of shape {array.shape}")
        step, rate = (float(arrays["scalars"][place]) for place in (STEP, RATE))
        if step < 0 or not step.is_integer() or not rate >= 0:
            raise ValueError(f"scalars must begin with the steps done and the learning rate, got {step} and {rate}")

    @classmethod
    def _restored(cls, header: dict[str, Any], arrays: dict[str, np.ndarray], custom: dict[str, Any]) -> Network:
        """The network that _header and _arrays describe; custom: the user's own parts, by name.

        Before memory is taken for it, the arrays are known to be as large as it says.
        """
        net = cls.__new__(cls)
        net._define(
            [construct(layer, _CLASSES, custom, Layer) for layer in header["layers"]],
            tuple(header["input_shape"]),
            construct(header["loss"], _CLASSES, custom, Loss),
            construct(header["optimizer"], _CLASSES, custom, Optimizer),
            header["dtype"],
            header["seed"],
        )
        net.epochs_trained = check_integer("epochs_trained", header["epochs_trained"], low=0)
        net.extra = copy.deepcopy(header.get("extra", {}))
        net._check_arrays(arrays)
        net._allocate()
        for name, target in net._arrays().items():
            np.copyto(target, arrays[name])
        return net

    def __reduce__(self):
        with self._lock:
            arrays = {name: array.copy() for name, array in self._arrays().items()}
            return type(self)._restored, (self._header(), arrays, self._custom_parts())

    def _custom_parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        for thing in (*(layer.layer for layer in self.layers), self.loss):
            parts |= custom_parts(thing)
        return parts

    # --- the inside, shared with training ---

    def _spec(self) -> Spec:
        return Spec(self.input_shape, self.output_shape, self.loss, self.dtype)

    def _feed(self, X: Any, y: Any, sample_weight: Any = None) -> Feed:
        return feeds.feed_in_memory(self._spec(), X, y, sample_weight)

    def _workspace(self, rows: int) -> Workspace:
        """Memory for batches of that many rows: what there is, or larger."""
        if self._space is None or self._space.capacity < rows:
            self._space = self._new_workspace(rows)
        return self._space

    def _new_workspace(self, rows: int, plan: Plan | None = None) -> Workspace:
        return Workspace(self._plan if plan is None else plan, self._arenas(), self.dtype, rows)

    def _arenas(self) -> dict[str, np.ndarray]:
        """The memory that programs work on, beside a workspace's own."""
        arenas = {"params": self._params, "grads": self._grads, "state": self._state, "scalars": self._scalars}
        return {**arenas, "statistics": self._statistics, **self._step_arenas()}

    def _step_arenas(self) -> dict[str, np.ndarray]:
        """Of these, what callbacks have brought."""
        return {name: array for callback in self._in_step for name, array in callback.arenas().items()}


def _split(source: Feed | Mapped, share: float) -> tuple[Feed | Mapped, Feed | Mapped]:
    """The source without its last rows, and those."""
    kept = source.rows - round(source.rows * share)
    if not 0 < kept < source.rows:
        raise ValueError(f"validation_split must leave rows on both sides, got {share!r} of {source.rows} rows")
    return source.part(0, kept), source.part(kept, source.rows)


@typeof_impl.register(Network)
def _typeof_network(value, c):
    """Say what compiled functions take in place of a network."""
    if c.purpose is Purpose.argument:
        raise TypeError(f"compiled functions take a handle, got a {type(value).__name__}: give net.handle()")


MEMBERS = "members"  # in the header of an ensemble's file: those of its networks
_IN_COMMON = ("input_shape", "loss", "optimizer", "dtype")
_CLASSES: dict[str, Any] = {**LAYERS, **LOSS_CLASSES, **optimizers.OPTIMIZERS, **SCHEDULES, **INITIALIZER_CLASSES}


def load(path: str | os.PathLike, custom_objects: Mapping[str, Any] | None = None) -> Network:
    """The network that `save` or a Checkpoint wrote to `path`; training goes on bit for bit.

    What `save` got as `extra` is the network's `extra`.

    custom_objects: the CustomActivations and CustomLosses that it has, by their names: a file holds no code.

    Raises OSError if there is no such file or it can't be read, FileFormatError if it is not a whole fastbp model,
    ValueError if custom_objects lacks one.
    """
    check_path("path", path)
    return _open(path, check_custom(custom_objects))[0]


def check_custom(custom_objects: Any) -> dict[str, Any]:
    """The user's own parts by their names. Raises TypeError for anything else."""
    if custom_objects is not None and not isinstance(custom_objects, Mapping):
        raise TypeError(f"custom_objects must be a mapping from names to parts, got {brief(custom_objects)}")
    for name, part in (custom_objects or {}).items():
        if not isinstance(part, Custom):
            got = f"got {brief(part)} for {name!r}"
            raise TypeError(f"custom_objects must hold CustomActivations and CustomLosses, {got}")
    return dict(custom_objects or {})


def _open(path: str | os.PathLike, custom: dict[str, Any]) -> tuple[Network, dict[str, Any], dict[str, np.ndarray]]:
    """The network in a file, the file's header and its arrays. See load."""
    header, arrays = files.read(path)
    if MEMBERS in header:
        raise ValueError(f"{os.fspath(path)} holds an ensemble: fb.Ensemble.load gives it back")
    return rebuilt(path, header, arrays, custom), header, arrays


def rebuilt(
    path: str | os.PathLike, header: dict[str, Any], arrays: dict[str, np.ndarray], custom: dict[str, Any]
) -> Network:
    """The network that a header and arrays of the file `path` describe. See load."""
    try:
        names = _custom_names([header["layers"], header["loss"]])
        missing = sorted(set(names) - set(custom))
        if not missing:
            net = Network._restored(header, arrays, custom)
            _check_finite(net._arrays())
            return net
    except MemoryError:
        raise
    except Exception as error:  # whatever a header that is none can lead to
        raise FileFormatError(f"{os.fspath(path)} is not a valid fastbp model: {error}") from error
    wanted = ", ".join(f"{name!r}: ..." for name in missing)
    raise ValueError(
        f"custom_objects must hold the parts of one's own in {os.fspath(path)}: {{{wanted}}}, got {custom}"
    )


def _check_finite(arrays: Mapping[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        if not loop.are_finite([array]):
            raise ValueError(f"{name} must be finite, got NaN or infinity")


def _custom_names(description: Any) -> Iterator[str]:
    """The names of the user's own parts in a header."""
    if isinstance(description, dict):
        if isinstance(description.get("custom"), str):
            yield description["custom"]
        description = list(description.values())
    for part in description if isinstance(description, list) else ():
        yield from _custom_names(part)
