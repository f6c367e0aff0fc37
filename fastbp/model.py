"""Model: a network's layers, memory and programs, on which training, inference, diagnosis, files and embedding work.

It is not what users hold: that is Network, a Model with a method for each thing that users ask of it.
"""

from __future__ import annotations

import contextlib
import copy
import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from . import losses, optimizers
from .errors import brief, check_integer, check_number
from .kernels.updates import RATE, STEP
from .layers import Activation, Dropout, Flatten, Layer
from .layers.bound import BoundLayer
from .layers.chain import bind_layers
from .losses import Loss
from .optimizers import Optimizer
from .parts import construct, custom_parts
from .program.emitter import Emitter
from .program.plan import Plan
from .program.records import Buffer, Shape, Tensor
from .program.updates import SCALARS_SIZE, factors_at, initial_scalars
from .program.workspace import Workspace
from .runtime.functions import DTYPES
from .runtime.locks import give_lock, interrupts_later
from .schedules import Schedule

_INITIAL, _SHUFFLE = 0, 1  # streams of random numbers; the plan has the next
_OF_TRAINING = ("kernel_init", "bias_init", "trainable", "learning_rate")  # fields of layers that may differ in a run
_IN_COMMON = ("input_shape", "loss", "optimizer", "dtype")  # what the models of one run have in common beside layers

_M = TypeVar("_M", bound="Model")


class Spec(NamedTuple):
    """What a network takes: the shapes of a row of X and of its outputs, its loss, its dtype."""

    input_shape: Shape
    output_shape: Shape
    loss: Loss
    dtype: np.dtype

    @property
    def outputs(self) -> int:
        return int(np.prod(self.output_shape))

    @property
    def targets(self) -> int:
        """How many numbers a row of y has, if they are no labels."""
        return self.loss.targets(self.outputs)

    @property
    def classes(self) -> int:
        """How many classes a row is of one of: outputs, or two for one output; 0 where rows have no classes."""
        if not self.loss.accuracy:
            return 0
        return self.outputs if "labels" in self.loss.kernels else 2 if self.outputs == 1 else 0


class StepPart(Protocol):
    """A part of the training step beside layers, loss and optimizer. See training/instep.py."""

    def emit(self, plan: Emitter) -> None: ...

    def arenas(self) -> dict[str, np.ndarray]: ...

    def before_steps(self, net: Any) -> None: ...

    def behind_steps(self, net: Any) -> None: ...


class Model:
    """The layers, loss and optimizer of a network, the memory of their numbers, and the programs made of them.

    Arguments: see Network. Raises TypeError or ValueError, naming the argument.

    layers         the layers, bound: see BoundLayer
    input_shape, output_shape  of a row
    outputs        numbers in a row's output
    num_params     numbers in `params`
    dtype, seed    as given; these and all above can't be set
    epochs_trained epochs so far: orders of rows depend on it
    stop_training  set by callbacks: training ends
    lock           reentrant; whoever runs a program, or reads what one writes, holds it: one computation at a time,
                   from whichever Python thread
    in_step        callbacks of a fit under way that are a part of the training step
    under_way      one thing for each `steps` that has begun and not ended
    chunk          (batch size, batches): how many batches of that size last went into one compiled call of fit
    """

    lock: threading.RLock
    _FIXED = ("layers", "input_shape", "output_shape", "outputs", "num_params", "dtype", "seed")

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
        """Check the arguments, and say what the model is; its arrays are not there yet."""
        self.input_shape = _check_shape(input_shape)
        self.dtype = _check_dtype(dtype)
        self._loss = losses.get(loss)
        self._optimizer = optimizers.get(optimizer)
        optimizers.check_constants(self.optimizer, self.dtype)
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        self.seed = check_integer("seed", seed, low=0)
        self.layers = bind_layers(layers, self.input_shape)
        self.output_shape = self.layers[-1].output_shape
        self.outputs = math.prod(self.output_shape)
        self.loss.check(self.outputs)
        self._check_names()
        self.num_params = sum(math.prod(p.shape) for layer in self.layers for p in layer.wanted)
        self.epochs_trained = 0
        self.stop_training = False
        self.extra = {}
        self.in_step: tuple[StepPart, ...] = ()
        self.under_way: set[object] = set()
        self._space: Workspace | None = None
        self._inner: tuple[int, Plan, Workspace] | None = None
        give_lock(self)
        self.chunk = (0, 1)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._FIXED and name in self.__dict__:
            raise AttributeError(f"{name} can't be set, as it is what the network is made for: make another network")
        super().__setattr__(name, value)

    def _check_names(self) -> None:
        """Raise ValueError if two parts of the user's own have one name, as files and copies know them by it."""
        names = self.custom_parts()
        for thing in (*(layer.layer for layer in self.layers), self.loss):
            for name, part in custom_parts(thing).items():
                if names[name] is not part:
                    raise ValueError(f"layers and loss must not hold two different parts of one's own named {name!r}")

    def _allocate(self) -> None:
        """Lay out the parameters and the statistics, and make the plan."""
        self._params = np.zeros(self.num_params, self.dtype)
        self._grads = np.zeros(self.num_params, self.dtype)
        self._state = np.repeat(np.array(list(self.optimizer.state.values()), self.dtype), self.num_params)
        self._scalars = initial_scalars(self.optimizer, [layer.learning_rate for layer in self.layers])
        at = 0
        for layer in self.layers:
            for wanted in layer.wanted:
                end = at + math.prod(wanted.shape)
                values, gradient = (array[at:end].reshape(wanted.shape) for array in (self._params, self._grads))
                place = Tensor(Buffer("params", at), Buffer("grads", at), wanted.shape)
                layer.place_parameter(wanted.name, values, gradient, place)
                at = end
            layer.when_changed(self._replan)
        self._allocate_statistics()
        self._plan = self.new_plan()

    def _allocate_statistics(self) -> None:
        """Lay out what layers count in training, and begin it; a layer's parameters have their places already."""
        counted = [(layer, statistic) for layer in self.layers for statistic in layer.counted]
        self._statistics = np.zeros(sum(math.prod(statistic.shape) for _, statistic in counted), self.dtype)
        at = 0
        for layer, statistic in counted:
            view = self._statistics[at : at + math.prod(statistic.shape)].reshape(statistic.shape)
            view[...] = statistic.initializer.draw(self._generator(0), statistic.shape, 1, 1)
            place = Tensor(Buffer("statistics", at), Buffer("statistics", at), statistic.shape)
            layer.place_statistic(statistic.name, view, place)
            at += view.size

    def _draw(self) -> None:
        """Fill the parameters with their initial values."""
        wanted = [(layer, p) for layer in self.layers for p in layer.wanted]
        for number, (layer, p) in enumerate(wanted):
            generator = self._generator(number)
            try:
                with np.errstate(over="ignore"):
                    layer.weights[p.name][...] = p.initializer.draw(generator, p.shape, p.fan_in, p.fan_out)
            except ValueError as error:
                raise ValueError(f"layers: {layer.name}: {p.name}: {error}") from None
            if not np.isfinite(layer.weights[p.name]).all():
                raise ValueError(f"layers: {layer.name}: {p.name} must begin with numbers that {self.dtype} has")

    def _generator(self, number: int) -> np.random.Generator:
        """Random numbers for the initial values of parameter `number`, which depend on that and on the seed alone."""
        return np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, _INITIAL, number])))

    # --- what it is ---

    @property
    def loss(self) -> Loss:
        """The loss; it can't be changed."""
        return self._loss

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer; it can't be changed, but for its learning rate: net.learning_rate = 0.01."""
        return self._optimizer

    @property
    def spec(self) -> Spec:
        """What rows it takes: X, y and weights are checked against that."""
        return Spec(self.input_shape, self.output_shape, self.loss, self.dtype)

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

    def custom_parts(self) -> dict[str, Any]:
        """The user's own parts in its layers and its loss, by name."""
        parts: dict[str, Any] = {}
        for thing in (*(layer.layer for layer in self.layers), self.loss):
            parts |= custom_parts(thing)
        return parts

    def shuffle_key(self) -> int:
        """64 bits that the orders of the rows depend on, besides the epoch."""
        return int(np.random.SeedSequence([self.seed, _SHUFFLE]).generate_state(1, np.uint64).view(np.int64)[0])

    # --- its numbers ---

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
    def state(self) -> np.ndarray:
        """What the optimizer keeps, live: for each of its state's names (num_params,), one behind the other."""
        return self._state

    @property
    def scalars(self) -> np.ndarray:
        """Float64, live: the steps done, the learning rate, the optimizer's constants and the layers' rates."""
        return self._scalars

    @property
    def statistics(self) -> np.ndarray:
        """What layers count in training beside parameters (BatchNorm's running means, say), live, of all layers."""
        return self._statistics

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

    def arrays(self) -> dict[str, np.ndarray]:
        """All that training changes, live, by name; the scalars that schedules and layers have are settings."""
        arrays = {"params": self._params, "state": self._state, "scalars": self._scalars[: self._changing_scalars]}
        return {**arrays, "statistics": self._statistics} if self._statistics.size else arrays

    @property
    def _changing_scalars(self) -> int:
        return SCALARS_SIZE + len(self.optimizer.constants)

    def arenas(self) -> dict[str, np.ndarray]:
        """The memory that programs work on, by the names that plans have for it, beside a workspace's own."""
        arenas = {"params": self._params, "grads": self._grads, "state": self._state, "scalars": self._scalars}
        return {**arenas, "statistics": self._statistics, **self.step_arenas()}

    def step_arenas(self) -> dict[str, np.ndarray]:
        """Of these, what the callbacks in `in_step` have brought."""
        return {name: array for callback in self.in_step for name, array in callback.arenas().items()}

    def check_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Raise ValueError or KeyError if these can't be its `arrays()`, of which its own need not be there yet."""
        state = len(self.optimizer.state) * self.num_params
        counted = sum(math.prod(statistic.shape) for layer in self.layers for statistic in layer.counted)
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

    # --- its programs ---

    @property
    def plan(self) -> Plan:
        """The programs of its layers, loss and optimizer, as they are now."""
        return self._plan

    def new_plan(self, *, keep: bool = False, last: int = -1, optimizer: Optimizer | None = None) -> Plan:
        """A plan of the layers up to number `last`; keep: see Plan; optimizer: one in place of its own."""
        layers = self.emitters()[: last % len(self.layers) + 1]
        trains = self.optimizer if optimizer is None else optimizer
        parts = layers, self.input_shape, self.loss, trains, self.num_params, self.seed
        return Plan(*parts, keep=keep, in_step=() if keep else self.in_step)

    def emitters(self) -> Sequence[BoundLayer]:
        """The layers as they run: the loss takes over a last activation that is its own inverse link."""
        idle = (Activation("linear"), Flatten(), Dropout(0.0))
        end = max((i + 1 for i, bound in enumerate(self.layers) if bound.layer not in idle), default=0)
        last = self.layers[end - 1]
        if end == 0 or self.loss.link is None or last.layer.ends_with is not self.loss.link:
            return self.layers
        return [*self.layers[: end - 1], last.without_activation(), *self.layers[end:]]

    def workspace(self, rows: int) -> Workspace:
        """Memory for batches of that many rows, with the programs in it: what there is, or larger. Hold the lock."""
        if self._space is None or self._space.capacity < rows:
            self._space = self.new_workspace(rows)
        return self._space

    def inner_program(self, last: int, rows: int) -> tuple[Plan, Workspace]:
        """A plan up to the layer `last` that keeps what comes out of each, and memory for it. Hold the lock.

        Both are those of the last call, if they fit, until the model's own plan is made anew.
        """
        if self._inner is None or self._inner[0] != last or self._inner[2].capacity < rows:
            plan = self.new_plan(keep=True, last=last)
            self._inner = last, plan, self.new_workspace(rows, plan)
        return self._inner[1:]

    def new_workspace(self, rows: int, plan: Plan | None = None, **arenas: np.ndarray) -> Workspace:
        """Such memory for the caller alone; plan, arenas: what it works on in place of the model's own."""
        return Workspace(self._plan if plan is None else plan, {**self.arenas(), **arenas}, self.dtype, rows)

    def _replan(self) -> None:
        """Make the programs anew, after a layer's settings have changed."""
        with self.lock:
            self._plan, self._space, self._inner = self.new_plan(), None, None
            self._scalars[factors_at(self.optimizer) :] = [layer.learning_rate for layer in self.layers]

    def put_in_step(self, callbacks: tuple[StepPart, ...]) -> None:
        """Let these be the callbacks that are a part of training steps from now on."""
        with self.lock, interrupts_later():
            self.in_step = callbacks
            self._replan()

    @contextlib.contextmanager
    def steps(self) -> Iterator[None]:
        """Training steps may be done inside; within others, or beside those of another thread, too."""
        mine = object()
        try:
            with self.lock:
                self.under_way.add(mine)
                for callback in self.in_step:
                    callback.before_steps(self)
            yield
        finally:
            self.under_way.discard(mine)
            with self.lock:
                for callback in () if self.under_way else self.in_step:
                    callback.behind_steps(self)

    # --- copies of it ---

    def twin(self: _M, *, dtype: np.dtype | None = None, optimizer: Optimizer | None = None) -> _M:
        """One of the same layers and parameters, with that dtype and optimizer, whose state begins anew."""
        twin = self.renewed(dtype=dtype, optimizer=optimizer)
        with self.lock:
            twin.params[:], twin.statistics[:] = self._params, self._statistics
        return twin

    def renewed(self: _M, *, dtype: np.dtype | None = None, optimizer: Optimizer | None = None) -> _M:
        """One of the same layers with the parameters that training began with: by the same seed."""
        return type(self)(
            [layer.layer for layer in self.layers],
            self.input_shape,
            loss=self.loss,
            optimizer=self.optimizer if optimizer is None else optimizer,
            dtype=self.dtype if dtype is None else dtype,
            seed=self.seed,
        )

    def architecture(self) -> dict[str, Any]:
        """What a checkpoint has in common with the networks that can go on from it, by name."""
        described = (layer.layer.described() for layer in self.layers)
        layers = [{k: v for k, v in layer.items() if k not in _OF_TRAINING} for layer in described]
        return {"layers": layers, **{k: v for k, v in self.header().items() if k in _IN_COMMON}}

    def take_over(self, other: Model) -> None:
        """Become what `other` is, a model of the same architecture."""
        with self.lock, interrupts_later():
            self.__dict__["seed"], self.epochs_trained = other.seed, other.epochs_trained
            self.extra = other.extra or self.extra
            for mine, its in zip(self.layers, other.layers, strict=True):
                mine.describe(trainable=its.trainable, learning_rate=its.learning_rate)
            for name, array in self.arrays().items():
                np.copyto(array, other.arrays()[name])
            self._replan()

    def header(self) -> dict[str, Any]:
        """What it is besides its arrays, as JSON can write it: with `arrays()` and `custom_parts()`, all of it."""
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

    @classmethod
    def restored(cls: type[_M], header: dict[str, Any], arrays: dict[str, np.ndarray], custom: dict[str, Any]) -> _M:
        """The model that header() and arrays() describe; custom: the user's own parts, by name.

        Before memory is taken for it, the arrays are known to be as large as it says. Raises what a header or arrays
        that are none can lead to.
        """
        model = cls.__new__(cls)
        model.__setstate__((header, arrays, custom))
        return model

    def __getstate__(self) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, Any]]:
        with self.lock:
            arrays = {name: array.copy() for name, array in self.arrays().items()}
            return self.header(), arrays, self.custom_parts()

    def __setstate__(self, state: tuple[dict[str, Any], dict[str, np.ndarray], dict[str, Any]]) -> None:
        header, arrays, custom = state
        self._define(
            [construct(layer, custom, Layer) for layer in header["layers"]],
            tuple(header["input_shape"]),
            construct(header["loss"], custom, Loss),
            construct(header["optimizer"], custom, Optimizer),
            header["dtype"],
            header["seed"],
        )
        self.epochs_trained = check_integer("epochs_trained", header["epochs_trained"], low=0)
        self.extra = copy.deepcopy(header.get("extra", {}))
        self.check_arrays(arrays)
        self._allocate()
        for name, target in self.arrays().items():
            np.copyto(target, arrays[name])


# --- arguments ---


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


def check_params(params: Any, shape: Shape, name: str = "params") -> np.ndarray:
    """params as an array. Raises TypeError if it holds no real numbers, ValueError for another shape."""
    try:
        array = np.asarray(params)
    except ValueError:  # of several shapes
        hint = " value_and_grad gives (loss, gradient)." if isinstance(params, tuple) and len(params) == 2 else ""
        what = f"one array of shape {shape}, got a {type(params).__name__} of things of several shapes"
        raise ValueError(f"{name} must be {what}.{hint}") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be real numbers, got {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    return array


def convert_params(name: str, params: Any, shape: Shape, dtype: np.dtype) -> np.ndarray:
    """params, or a gradient laid out as they are, as a copy of `dtype`.

    Raises TypeError if it holds no real numbers, ValueError for another shape or a number that `dtype` hasn't.
    """
    given = check_params(params, shape, name)
    with np.errstate(over="ignore"):
        array = given.astype(dtype)
    if not np.isfinite(array).all():
        place = int(np.argmin(np.isfinite(array)))
        raise ValueError(f"{name} must be finite numbers that {dtype} has, got {given[place]} at place {place}")
    return array


def are_finite(arrays: Iterable[np.ndarray]) -> bool:
    """Whether all numbers are; the sums tell so without a temporary array, unless they overflow themselves."""
    with np.errstate(all="ignore"):
        return all(math.isfinite(np.add.reduce(array)) or bool(np.isfinite(array).all()) for array in arrays)
