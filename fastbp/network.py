"""Network: the object API."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from . import _html, feeds, files, losses, optimizers, training
from ._jit import DTYPES
from .callbacks import check_callbacks
from .data import Spec, check_class_weight
from .errors import DivergedError, FileFormatError, check_bool, check_integer, check_number
from .feeds import Feed, Mapped, Source
from .initializers import INITIALIZER_CLASSES
from .jit import Handle, make_handle
from .kernels.updates import RATE, STEP
from .layers import LAYERS, Activation, Layer, WeightedLayer
from .losses import LOSS_CLASSES, Loss
from .metrics import Metric, check_metrics, check_suited
from .optimizers import Optimizer
from .parts import construct, custom_parts
from .plan import BATCH_LOSS, Buffer, Plan, Shape, Tensor, Workspace, factors_at, initial_scalars
from .schedules import SCHEDULES, Schedule
from .training import EVALUATION_BATCH, History, Task


class BoundLayer:
    """A layer in a network: its description, its shapes, and live views of its parameters and statistics by name.

    layer                      the description
    name                       such as "Dense_2"
    input_shape, output_shape  of a row
    weights                    names and live views: `layer.weight` is `layer.weights["weight"]`
    statistics                 likewise of what training counts beside them: `layer.running_mean`
    trainable                  whether training changes its parameters; can be set
    learning_rate              factor of the optimizer's learning rate, greater than 0; can be set
    """

    def __init__(self, layer: Layer, name: str, input_shape: Shape):
        self.layer, self.name = layer, name
        self.input_shape, self.output_shape = input_shape, layer.output_shape(input_shape)
        self.weights: dict[str, np.ndarray] = {}
        self.statistics: dict[str, np.ndarray] = {}
        self._wanted = layer.parameters(input_shape)
        self._counted = layer.statistics(input_shape)
        self._places: list[Tensor] = []
        self._changed: Callable[[], None] | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in ("weights", "statistics"):
            raise AttributeError(name)
        for views in (self.weights, self.statistics):
            if name in views:
                return views[name]
        raise AttributeError(f"{self.name} has no {name!r}; its parameters are {', '.join(self.weights) or 'none'}")

    def __setattr__(self, name: str, value: Any) -> None:
        views = {**self.__dict__.get("weights", {}), **self.__dict__.get("statistics", {})}
        if name in views:
            if value is views[name]:  # layer.weight *= 2 has written into it, and then assigns it
                return
            raise AttributeError(f"write into it: net.layers[i].{name}[...] = values")
        super().__setattr__(name, value)

    @property
    def trainable(self) -> bool:
        return getattr(self.layer, "trainable", True)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._replace(trainable=value)

    @property
    def learning_rate(self) -> float:
        return getattr(self.layer, "learning_rate", 1.0)

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._replace(learning_rate=value)

    def _replace(self, **fields: Any) -> None:
        """Change the description, and tell the network."""
        if not isinstance(self.layer, WeightedLayer):
            raise AttributeError(f"{self.name} has no parameters, and so no {' and '.join(fields)}")
        self.layer = replace(self.layer, **fields)
        if self._changed is not None:
            self._changed()

    def __repr__(self) -> str:
        return f"<{self.name}: {self.layer!r}, {self.input_shape} -> {self.output_shape}>"

    def emit(self, plan: Plan, x: Tensor) -> Tensor:
        return self.layer.emit(plan, x, *self._places)


def _check_shape(input_shape: Any) -> Shape:
    if isinstance(input_shape, (int, np.integer)) and not isinstance(input_shape, bool):
        raise TypeError(f"input_shape must be a tuple of sizes such as ({input_shape},), got {input_shape!r}")
    try:
        shape = tuple(input_shape)
    except TypeError:
        raise TypeError(f"input_shape must be a tuple of sizes such as (784,), got {input_shape!r}") from None
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
    raise ValueError(f"dtype must be {' or '.join(repr(str(known)) for known in DTYPES)}, got {dtype!r}")


class Network:
    """A feed-forward network, its loss and its optimizer.

    Arguments:
        layers: a sequence of layers, the first nearest to the input; at least one.
        input_shape: the shape of one row of X, such as (784,).
        loss: "mse", "squared_error", "cross_entropy" or "binary_cross_entropy".
        optimizer: such as SGD(0.1) or Adam(1e-3); None means Adam(1e-3).
        dtype: "float32" or "float64".
        seed: an integer, 0 or more, that decides initial values and shuffling; None draws one.

    The same seed gives the same bits, on any number of threads.
    Raises TypeError or ValueError, naming the argument, for anything else.
    """

    _INITIAL, _SHUFFLE = 0, 1  # streams of random numbers; the plan has the next
    _lock: threading.RLock  # of the workspace: one computation at a time, from whichever Python thread

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
        self.input_shape = _check_shape(input_shape)
        self.dtype = _check_dtype(dtype)
        self.loss = losses.get(loss)
        self.optimizer = optimizers.get(optimizer)
        optimizers.check_constants(self.optimizer, self.dtype)
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        self.seed = check_integer("seed", seed, low=0)
        self.layers = self._bind_layers(layers)
        self.output_shape = self.layers[-1].output_shape
        self._outputs = int(np.prod(self.output_shape))
        self.loss.check(self._outputs)
        self._allocate()
        self.epochs_trained = 0
        self.stop_training = False
        self._space: Workspace | None = None
        self._lock = threading.RLock()
        self._chunk = (0, 1)  # batches in a compiled call of fit, for a size of batch

    def _bind_layers(self, layers: Sequence[Layer]) -> list[BoundLayer]:
        if isinstance(layers, Layer) or not isinstance(layers, Sequence):
            raise TypeError(f"layers must be a list of layers, got {layers!r}")
        if not layers:
            raise ValueError("layers must hold at least one layer, got none")
        bound: list[BoundLayer] = []
        counts: dict[str, int] = {}
        shape = self.input_shape
        for place, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                raise TypeError(f"layers must hold layers such as Dense(10), got {layer!r} at place {place}")
            kind = type(layer).__name__
            counts[kind] = counts.get(kind, 0) + 1
            name = f"{kind}_{counts[kind]}"
            try:
                bound.append(BoundLayer(layer, name, shape))
            except ValueError as error:
                raise ValueError(f"layers: {name}: {error}") from None
            shape = bound[-1].output_shape
        return bound

    def _allocate(self) -> None:
        """Lay out the parameters, fill them with initial values, and make the plan."""
        wanted = [(layer, p) for layer in self.layers for p in layer._wanted]
        self.num_params = sum(int(np.prod(p.shape)) for _, p in wanted)
        self._params = np.zeros(self.num_params, self.dtype)
        self._grads = np.zeros(self.num_params, self.dtype)
        self._state = np.repeat(np.array(list(self.optimizer.state.values()), self.dtype), self.num_params)
        self._scalars = initial_scalars(self.optimizer, [layer.learning_rate for layer in self.layers])
        at = 0
        for number, (layer, parameter) in enumerate(wanted):
            view = self._params[at : at + int(np.prod(parameter.shape))].reshape(parameter.shape)
            fans = parameter.fan_in, parameter.fan_out
            try:
                view[...] = parameter.initializer.draw(self._generator(self._INITIAL, number), parameter.shape, *fans)
            except ValueError as error:
                raise ValueError(f"layers: {layer.name}: {parameter.name}: {error}") from None
            layer.weights[parameter.name] = view
            layer._places.append(Tensor(Buffer("params", at), Buffer("grads", at), parameter.shape))
            at += view.size
        self._allocate_statistics()
        for layer in self.layers:
            layer._changed = self._replan
        self._plan = self._new_plan()

    def _allocate_statistics(self) -> None:
        """Likewise for what layers count; behind the places of a layer's parameters come those of its statistics."""
        counted = [(layer, statistic) for layer in self.layers for statistic in layer._counted]
        self._statistics = np.zeros(sum(int(np.prod(statistic.shape)) for _, statistic in counted), self.dtype)
        at = 0
        for layer, statistic in counted:
            view = self._statistics[at : at + int(np.prod(statistic.shape))].reshape(statistic.shape)
            view[...] = statistic.initializer.draw(self._generator(self._INITIAL, 0), statistic.shape, 1, 1)
            layer.statistics[statistic.name] = view
            layer._places.append(Tensor(Buffer("statistics", at), Buffer("statistics", at), statistic.shape))
            at += view.size

    def _new_plan(self, *, keep: bool = False) -> Plan:
        parts = self._emitters(), self.input_shape, self.loss, self.optimizer, self.num_params, self.seed
        return Plan(*parts, keep=keep)

    def _replan(self) -> None:
        """Make the programs anew, after a layer's settings have changed."""
        with self._lock:
            self._plan, self._space = self._new_plan(), None
            self._scalars[factors_at(self.optimizer) :] = [layer.learning_rate for layer in self.layers]

    def _emitters(self) -> list[BoundLayer]:
        """The layers as they run: the loss takes over a last activation that is its own inverse link."""
        linear = Activation("linear")
        end = max((i + 1 for i, bound in enumerate(self.layers) if bound.layer != linear), default=0)
        last = self.layers[end - 1]
        if end == 0 or self.loss.link is None or last.layer.ends_with is not self.loss.link:
            return self.layers
        bare = BoundLayer(last.layer.without_activation(), last.name, last.input_shape)
        bare._places = last._places
        return [*self.layers[: end - 1], bare]

    def _generator(self, stream: int, number: int) -> np.random.Generator:
        """Random numbers that depend on the seed, what they are for, and a number, and on nothing before."""
        return np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, stream, number])))

    # --- what there is ---

    @property
    def params(self) -> np.ndarray:
        """All parameters (num_params,), live: writing into it changes the network, and so does assigning to it."""
        return self._params

    @params.setter
    def params(self, values: Any) -> None:
        if values is self._params:  # net.params *= 2 has written into it, and then assigns it
            return
        array = np.asarray(values)
        if array.shape != self._params.shape:
            raise ValueError(f"params must have shape {self._params.shape}, got {array.shape}")
        self._params[:] = array

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
        return _html.table(["layer", "output shape", "parameters"], rows, self._about())

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
        validation_data: tuple | None = None,
        validation_split: float = 0.0,
        shuffle: bool = True,
        sample_weight: Any = None,
        class_weight: Any = None,
        metrics: Any = (),
        callbacks: Any = (),
        verbose: bool = True,
    ) -> History:
        """Train; called again, it goes on from where the network stands.

        Arguments:
            X: (rows, *input_shape), at least one row; any real dtype, which is converted a batch at a time. Or, with
                y=None, an iterable of batches (X, y) or (X, y, sample_weight); see below.
            y: integer labels (rows,) or probabilities (rows, outputs) for cross_entropy; (rows, outputs), or
                (rows,) for one output, for the other losses (0 to 1 for binary_cross_entropy).
            epochs: times that all rows are used, 1 or more.
            batch_size: rows in a step, 1 or more; the last step of an epoch takes what is left.
            validation_data: (X, y) or (X, y, sample_weight), evaluated after each epoch.
            validation_split: the share, 0 ≤ share < 1, of the last rows that are kept for validation instead.
            shuffle: whether each epoch takes the rows in another random order.
            sample_weight: (rows,), 0 or more: factors of the rows' losses. The loss is the sum of the weighted
                row losses over the number of rows.
            class_weight: factors for the rows of a class, in training and in validation: a mapping from label to
                weight, or "balanced": rows / (classes × rows of the class), counted in the rows that are trained on.
            metrics: names (see fastbp.metrics) or functions f(y_true, y_pred) or f(y_true, y_pred, sample_weight),
                of the validation data and what `predict` gives for them, after each epoch; for the history's
                "val_" + name.
            callbacks: objects with on_epoch_end(net, epoch, logs) or other hooks (see fastbp.callbacks);
                `net.stop_training = True` there ends training.
            verbose: whether progress goes to stderr; 0, 1 and 2 are taken as well.

        Memory maps (np.memmap and views of it) of 256 MB or more are read in pieces of 64 MB, as mapped pages count
        as the process's memory. With shuffle, an epoch takes the pieces in random order, and the rows of each piece;
        without, results are those of an array in memory, bit for bit. A batch must fit into memory.

        Batches are iterated anew for each epoch, and each is a step, in the order that they come: batch_size and
        shuffle don't apply, and sample_weight, validation_split and class_weight="balanced" can't be given. They are
        checked one by one; a bad one's error has its number, from 0.

        Returns a History. Ctrl-C ends training with the history so far; a second one within two seconds is raised.
        Raises TypeError or ValueError, naming the argument, before anything has changed; DivergedError if the
        loss turns NaN or infinite. After that, as after any exception within an epoch (a bad batch, say, or one of a
        callback's on_chunk_end), the network is as it was before that epoch.
        """
        epochs = check_integer("epochs", epochs, low=1)
        batch_size = check_integer("batch_size", batch_size, low=1)
        split = check_number("validation_split", validation_split, low=0)
        shuffle = check_bool("shuffle", shuffle)
        verbose = check_bool("verbose", bool(verbose) if verbose in (0, 1, 2) else verbose)  # Keras has numbers
        functions = self._metrics(metrics)
        validates = validation_data is not None or split > 0
        if functions and not validates:
            raise ValueError(
                "metrics must be () without validation_data or validation_split, as they are of those data"
            )
        callbacks = check_callbacks(callbacks, self._logged(functions, validates))
        source, validation = self._sources(X, y, epochs, sample_weight, class_weight, validation_data, split)
        if validation is not None:
            check_suited(functions, validation.truth()[0], (validation.rows, *self.output_shape))
        rows = None if isinstance(source, feeds.Batches) else min(batch_size, source.rows)
        task = Task(source, epochs, rows, shuffle, validation, functions, callbacks, verbose)
        return training.train(self, task)

    def _metrics(self, metrics: Any) -> dict[str, Metric]:
        """Metrics by name, without those that the engine counts itself."""
        found = check_metrics(metrics)
        if self.loss.accuracy:
            found.pop("accuracy", None)
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
    ) -> tuple[Source, Feed | Mapped | None]:
        """What fit trains on, and what it validates with, checked."""
        spec, validation = self._spec(), None
        if validation_data is not None:
            if split:
                raise ValueError("validation_split must be 0 with validation_data, got both")
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
                raise TypeError("validation_data must be (X, y) or (X, y, sample_weight)")
        source: Source
        if y is None and X is not None:
            for name, given in (("sample_weight", sample_weight), ("validation_split", split or None)):
                if given is not None:
                    raise ValueError(f"{name} can't be given with an iterable of batches, got {given!r}")
            source = feeds.batches(spec, X, epochs)
        else:
            source = feeds.feed(spec, X, y, sample_weight)
            if split:
                source, validation = _split(source, split)
        if validation_data is not None:
            validation = feeds.feed(spec, *validation_data, prefix="validation_data: ")
        weights = check_class_weight(class_weight, source, spec)
        source.weigh(weights)
        if validation is not None:
            if weights is not None and validation.kind != "labels":
                raise ValueError("validation_data: y must hold integer class labels with class_weight")
            validation.weigh(weights)
        return source, validation

    def train_on_batch(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """One step on all rows of X at once; returns the loss before it.

        Shapes and errors as in fit. Raises DivergedError if the loss is NaN or infinite: nothing has changed then.
        """
        feed = self._feed(X, y, sample_weight)
        with self._lock:
            workspace = self._workspace(feed.rows)
            done = feed.run(workspace, "train", feed.rows)
            loss = float(workspace.totals[BATCH_LOSS])
            if not done:
                raise DivergedError(f"the loss became {loss} in step {self.steps_trained + 1}; no step was done")
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

    def input_gradient(self, X: Any, y: Any) -> np.ndarray:
        """∂loss/∂X, shaped like X, of the network's dtype. Shapes and errors as in fit."""
        feed = self._feed(X, y)
        out = np.empty(feed.x.shape, self.dtype)
        with self._lock:
            feed.run(self._workspace(feed.rows), "input_gradient", feed.rows, out=out)
        return out

    # --- inference ---

    def evaluate(
        self,
        X: Any,
        y: Any,
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
        Memory maps, metrics, shapes and errors as in fit.
        """
        batch_size = check_integer("batch_size", batch_size, low=1)
        functions = self._metrics(metrics)
        spec = self._spec()
        source = feeds.feed(spec, X, y, sample_weight)
        source.weigh(check_class_weight(class_weight, source, spec))
        return training.evaluate(self, source, batch_size, functions)

    def forward(self, X: Any, batch_size: int = EVALUATION_BATCH) -> np.ndarray:
        """The raw outputs of the last layer (rows, outputs): logits, where the loss is from logits."""
        return self._infer("forward", X, batch_size)

    def predict(self, X: Any, batch_size: int = EVALUATION_BATCH) -> np.ndarray:
        """The outputs (rows, outputs) through the loss's inverse link.

        Probabilities by softmax for cross_entropy, by sigmoid for binary_cross_entropy; else as they are.
        Memory maps, shapes and errors as in fit.
        """
        return self._infer("predict", X, batch_size)

    def _infer(self, program: str, X: Any, batch_size: int) -> np.ndarray:
        batch_size = check_integer("batch_size", batch_size, low=1)
        return training.infer(self, program, feeds.feed_inputs(self._spec(), X), batch_size)

    def handle(self, rows: int = 1) -> Handle:
        """What compiled code needs to run this network: see fastbp.jit.

        rows: how many rows are worked on at once, 1 or more; more rows are taken piece by piece.

        The handle shares the network's parameters, and owns memory for the rest: it is for one thread at a time.
        Raises TypeError or ValueError if rows is no such integer.
        """
        rows = check_integer("rows", rows, low=1)
        return make_handle(self._new_workspace(rows), self._outputs)

    # --- files ---

    def save(self, path: str | os.PathLike, extra: dict | None = None) -> None:
        """Write everything needed to go on training bit for bit to one .npz file, whole or not at all.

        extra: what else to keep in the file, of types that JSON has; `load` ignores it.

        Raises OSError if it can't be written: a file that was there stays.
        """
        header = self._header() if extra is None else {**self._header(), "extra": extra}
        files.write(path, header, self._arrays())

    def _header(self) -> dict[str, Any]:
        return {
            "layers": [layer.layer.described() for layer in self.layers],
            "input_shape": self.input_shape,
            "loss": self.loss.described(),
            "optimizer": self.optimizer.described(),
            "dtype": str(self.dtype),
            "seed": self.seed,
            "epochs_trained": self.epochs_trained,
        }

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {"params": self._params, "state": self._state, "scalars": self._scalars}
        return {**arrays, "statistics": self._statistics} if self._statistics.size else arrays

    @classmethod
    def _restored(cls, header: dict[str, Any], arrays: dict[str, np.ndarray], custom: dict[str, Any]) -> Network:
        """The network that _header and _arrays describe; custom: the user's own parts, by name."""
        net = cls(
            [construct(layer, _CLASSES, custom, Layer) for layer in header["layers"]],
            tuple(header["input_shape"]),
            loss=construct(header["loss"], _CLASSES, custom, Loss),
            optimizer=construct(header["optimizer"], _CLASSES, custom, Optimizer),
            dtype=header["dtype"],
            seed=header["seed"],
        )
        for name, target in net._arrays().items():
            source = arrays[name]
            if not np.isfinite(source).all():
                raise ValueError(f"{name} must be finite")
            if source.shape != target.shape or source.dtype != target.dtype:
                raise ValueError(
                    f"{name} must be {target.dtype} of shape {target.shape}, got {source.dtype} {source.shape}"
                )
            target[:] = source
        net.epochs_trained = check_integer("epochs_trained", header["epochs_trained"], low=0)
        return net

    def __reduce__(self):
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

    def _new_workspace(self, rows: int) -> Workspace:
        return Workspace(self._plan, {**self._arrays(), "grads": self._grads}, self.dtype, rows)


def _split(source: Feed | Mapped, share: float) -> tuple[Feed | Mapped, Feed | Mapped]:
    """The source without its last rows, and those."""
    if share >= 1:
        raise ValueError(f"validation_split must be at least 0 and less than 1, got {share!r}")
    kept = source.rows - round(source.rows * share)
    if not 0 < kept < source.rows:
        raise ValueError(f"validation_split must leave rows on both sides, got {share!r} of {source.rows} rows")
    return source.part(0, kept), source.part(kept, source.rows)


_CLASSES: dict[str, Any] = {**LAYERS, **LOSS_CLASSES, **optimizers.OPTIMIZERS, **SCHEDULES, **INITIALIZER_CLASSES}


def load(path: str | os.PathLike, custom_objects: Mapping[str, Any] | None = None) -> Network:
    """The network that `save` wrote to `path`; training goes on bit for bit.

    custom_objects: the CustomActivations and CustomLosses that it has, by their names: a file holds no code.

    Raises FileNotFoundError if there is no such file, FileFormatError if it is not a whole fastbp model, ValueError if
    custom_objects lacks one.
    """
    custom = dict(custom_objects or {})
    header, arrays = files.read(path)
    missing = sorted(set(_custom_names(header)) - set(custom))
    if missing:
        wanted = ", ".join(f"{name!r}: ..." for name in missing)
        raise ValueError(
            f"custom_objects must hold the parts of one's own in {os.fspath(path)}: {{{wanted}}}, got {custom}"
        )
    try:
        return Network._restored(header, arrays, custom)
    except (KeyError, TypeError, ValueError) as error:
        raise FileFormatError(f"{os.fspath(path)} is not a valid fastbp model: {error}") from error


def _custom_names(description: Any) -> Iterator[str]:
    """The names of the user's own parts in a header."""
    if isinstance(description, dict):
        if isinstance(description.get("custom"), str):
            yield description["custom"]
        description = list(description.values())
    for part in description if isinstance(description, list) else ():
        yield from _custom_names(part)
