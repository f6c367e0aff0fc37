"""Ensemble: several networks of one kind, each with weights of its own, trained a network a thread."""

from __future__ import annotations

import contextlib
import copy
import operator
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple

import numpy as np

from . import activations
from .activations import ActivationFunction
from .errors import DivergedError, FileFormatError, brief, check_integer, check_path, check_verbose
from .formats import files, networks
from .layers import Activation
from .network import Network
from .runtime.threads import num_threads, on_one_thread
from .training import request
from .training.evaluation import EVALUATION_BATCH
from .training.history import History
from .training.hooks import check_callbacks, is_callback


class Spread(NamedTuple):
    """What the members of an ensemble say: mean and standard deviation over them, each (rows, *output_shape)."""

    mean: np.ndarray
    std: np.ndarray


class _Stop:
    """A callback that ends training when the event is set."""

    def __init__(self, event: threading.Event):
        self._event = event

    def on_chunk_end(self, net: Network) -> None:
        if self._event.is_set():
            net.stop_training = True


class Ensemble:
    """n networks of the layers, loss, optimizer and dtype of one, whose initial values and shuffles differ.

    Arguments:
        net: the network that they are like; it is not one of them, and stays as it is.
        n: how many, 1 or more.
        seeds: n integers, 0 or more; None means net.seed, net.seed + 1, and so on.

    members  the networks: what a Network can do, each of them can, and the same bits come out as when it is trained
             alone

    Raises TypeError or ValueError for other arguments.
    """

    def __init__(self, net: Network, n: int, *, seeds: Iterable[int] | None = None):
        if not isinstance(net, Network):
            raise TypeError(f"net must be a Network, got {brief(net)}")
        n = check_integer("n", n, low=1)
        if seeds is not None and not isinstance(seeds, Iterable):
            raise TypeError(f"seeds must be {n} integers or None, got {brief(seeds)}")
        chosen = list(range(net.seed, net.seed + n) if seeds is None else seeds)
        if len(chosen) != n:
            raise ValueError(f"seeds must be {n} integers, one for each member, got {len(chosen)}")
        layers = [layer.layer for layer in net.layers]
        parts: dict[str, Any] = dict(loss=net.loss, optimizer=net.optimizer, dtype=net.dtype)
        self.members: list[Network] = [
            Network(layers, net.input_shape, **parts, seed=check_integer("seeds", seed, low=0)) for seed in chosen
        ]

    def __len__(self) -> int:
        return len(self.members)

    def __repr__(self) -> str:
        return f"<Ensemble: {len(self)} of {self.members[0]!r}>"

    def fit(
        self,
        X: Any,
        y: Any,
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
    ) -> list[History]:
        """Train all members on the same rows; returns the history of each.

        A thread trains a member from its first epoch to its last, and then takes the next one: none waits for another.
        Arguments as for Network.fit, but for these:

            X, validation_data: arrays, no iterables of batches.
            callbacks: as for Network.fit: each member has copies of its own (copy.deepcopy), which run in its thread,
                and may stop its training; those that were given stay as they are. Or a function that returns the
                callbacks of the member with a number, from 0, for files and for callbacks that shall be read
                afterwards: `callbacks=lambda i: [fb.Checkpoint(f"member{i}.npz")]`.
            verbose: whether a line for each member goes to stderr.

        Ctrl-C ends the training of all; members that had not begun have an empty history.
        Raises as Network.fit does, TypeError for callbacks that can't be copied, ValueError if several members would
        have one callback or write one file; DivergedError only when all
        others are trained, with the number of the first member that diverged, from 0.
        """
        if y is None:
            raise TypeError("y must be given: an ensemble takes no iterable of batches")
        if validation_data is not None and not isinstance(validation_data, (tuple, list)):
            wanted = "(X, y) or (X, y, sample_weight): an ensemble takes no iterable of batches"
            raise TypeError(f"validation_data must be {wanted}, got {brief(validation_data)}")
        options = dict(
            validation_data=validation_data,
            validation_split=validation_split,
            shuffle=shuffle,
            sample_weight=sample_weight,
            class_weight=class_weight,
            metrics=metrics,
            verbose=False,
        )
        told, stopped = check_verbose(verbose), threading.Event()
        validates = validation_data is not None or bool(validation_split)
        logged = request.logged(self.members[0], request.metrics_of(self.members[0], metrics), validates)
        own = dict(zip(map(id, self.members), self._callbacks(callbacks, logged), strict=True))

        def train(member: Network) -> History:
            return member.fit(X, y, epochs, batch_size, callbacks=[*own[id(member)], _Stop(stopped)], **options)

        with _Pool(train, self.members) as pool:
            try:
                for future in as_completed(pool.futures):
                    if told and sys.stderr is not None and future.exception() is None:
                        text = repr(future.result()).strip("<>")
                        print(f"member {pool.futures.index(future)}: {text}", file=sys.stderr, flush=True)
            except KeyboardInterrupt:
                stopped.set()
                pool.cancel()
        return [_history(number, future, stopped) for number, future in enumerate(pool.futures)]

    def _callbacks(self, given: Any, logged: list[str]) -> list[tuple[Any, ...]]:
        """Those of each member, checked."""
        makes = callable(given) and not isinstance(given, type) and not is_callback(given)
        if makes:
            found = [check_callbacks(given(number), logged) for number in range(len(self))]
        else:
            checked = check_callbacks(given, logged)
            try:
                found = [copy.deepcopy(checked) for _ in self.members]
            except Exception as error:
                what = "callbacks must be such that copy.deepcopy can copy, as each member has its own"
                cure = "give a function of the member's number that makes them: callbacks=lambda i: [...]"
                raise TypeError(f"{what}, got {brief(checked)}: {error}; {cure}") from error
        _check_unshared(found)
        files_written = (getattr(callback, "writes_to", None) for own in found for callback in own)
        paths = [os.path.abspath(path) for path in files_written if path is not None]
        if twice := next((path for path in paths if paths.count(path) > 1), None):
            cure = 'callbacks=lambda i: [fb.Checkpoint(f"member{i}.npz")]'
            raise ValueError(f"callbacks must not write one file for several members, got {twice}: give {cure}")
        return found

    def predict(self, X: Any, batch_size: int = EVALUATION_BATCH) -> Spread:
        """Mean and standard deviation of what the members predict. Arguments and errors as for Network.predict."""
        outputs = self._infer("predict", X, batch_size)
        return Spread(outputs.mean(axis=0), outputs.std(axis=0))

    def _infer(self, program: str, X: Any, batch_size: int) -> np.ndarray:
        """What the members' method of that name gives (members, rows, *output_shape)."""
        with _Pool(operator.methodcaller(program, X, batch_size), self.members) as pool:
            pass
        return np.stack([future.result() for future in pool.futures])

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
        """What Network.evaluate gives, for the mean of the members' predictions: `predict(X).mean`.

        The loss of that mean, such as -log of the mean probability for cross_entropy, without the members' penalties
        (l1, l2). X is an array; other arguments and errors as for Network.evaluate. Raises ValueError for a CustomLoss
        with a link other than "sigmoid", "softmax" and "exponential".
        """
        if y is None:
            raise TypeError("y must be given: an ensemble takes no iterable of batches")
        first = self.members[0]
        if first.loss.link not in _MEANS:
            raise ValueError(
                f"evaluate needs a loss whose link can be inverted, got {first.loss.link!r} of {first.loss}"
            )
        mean = _MEANS[first.loss.link](self._infer("forward", X, batch_size))
        plain = Network([Activation("linear")], first.output_shape, loss=first.loss, dtype=first.dtype, seed=0)
        weights = dict(sample_weight=sample_weight, class_weight=class_weight)
        return plain.evaluate(mean, y, batch_size, **weights, metrics=metrics)

    def save(self, path: str | os.PathLike, extra: dict | None = None) -> None:
        """Write all members to one file, whole or not at all; `fb.Ensemble.load(path)` gives them back.

        extra: what else to keep, as for Network.save, in the file of each member. Raises as Network.save does.
        """
        check_path("path", path)
        headers: list[dict[str, Any]] = []
        arrays: dict[str, np.ndarray] = {}
        with contextlib.ExitStack() as locks:
            for number, member in enumerate(self.members):
                locks.enter_context(member.lock)
                header, its = networks.content(member, extra)
                headers.append(header)
                arrays |= {f"{number}.{name}": array for name, array in its.items()}
            files.write(path, {networks.MEMBERS: headers}, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike, custom_objects: Mapping[str, Any] | None = None) -> Ensemble:
        """The ensemble that `save` wrote to `path`; training goes on bit for bit. Arguments and errors as for fb.load.

        Raises ValueError if the file holds one network.
        """
        check_path("path", path)
        custom = networks.check_custom(custom_objects)
        header, arrays = files.read(path)
        if networks.MEMBERS not in header:
            raise ValueError(f"{os.fspath(path)} holds one network: fb.load gives it back")
        headers = header[networks.MEMBERS]
        if not isinstance(headers, list) or not headers or not all(isinstance(each, dict) for each in headers):
            raise FileFormatError(f"{os.fspath(path)} is not a valid fastbp ensemble: it has no list of members")
        members = []
        for number, each in enumerate(headers):
            start = f"{number}."
            its = {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
            members.append(networks.rebuilt(path, each, its, custom, Network))
        if len({(member.input_shape, member.output_shape, member.loss, member.dtype) for member in members}) > 1:
            raise FileFormatError(f"{os.fspath(path)} is not a valid fastbp ensemble: its members are not alike")
        ensemble = cls.__new__(cls)
        ensemble.members = members
        return ensemble


def _check_unshared(callbacks: Sequence[tuple[Any, ...]]) -> None:
    """Raise ValueError if two members have one callback: what it keeps of one would get into the other."""
    members: dict[int, int] = {}
    for number, own in enumerate(callbacks):
        for each in own:
            if (first := members.setdefault(id(each), number)) != number:
                cure = "make new ones in the function: callbacks=lambda i: [fb.EarlyStopping()]"
                raise ValueError(
                    f"callbacks must be a member's own, got one {type(each).__name__} for members {first} and {number}:"
                    f" {cure}"
                )


def _mean(z: np.ndarray) -> np.ndarray:
    return z.mean(axis=0)


def _log_mean_exp(z: np.ndarray) -> np.ndarray:
    """log of the mean of exp(z) over the first axis, of numbers of any size."""
    return np.logaddexp.reduce(z, axis=0) - np.log(len(z)).astype(z.dtype)


def _mean_of_sigmoids(z: np.ndarray) -> np.ndarray:
    """The logit of the mean of sigmoid(z): log(mean of sigmoid(z)) - log(mean of sigmoid(-z))."""
    return np.logaddexp.reduce(-np.logaddexp(0, -z), axis=0) - np.logaddexp.reduce(-np.logaddexp(0, z), axis=0)


def _mean_of_softmax(z: np.ndarray) -> np.ndarray:
    """The logarithm of the mean of softmax(z), over all outputs of a row."""
    totals = np.logaddexp.reduce(z.reshape(*z.shape[:2], -1), axis=2)
    return _log_mean_exp(z - totals.reshape(*z.shape[:2], *[1] * (z.ndim - 2)))


def _mean_and_variance(z: np.ndarray) -> np.ndarray:
    """The mean of the means, and the logarithm of the mean of the variances."""
    flat = z.reshape(*z.shape[:2], -1)
    half = flat.shape[2] // 2
    return np.hstack([flat[:, :, :half].mean(axis=0), _log_mean_exp(flat[:, :, half:])]).reshape(z.shape[1:])


# By inverse link: what the link makes the mean of predictions from, of outputs (members, rows, …).
_MEANS: dict[ActivationFunction | None, Callable[[np.ndarray], np.ndarray]] = {
    None: _mean,
    activations.sigmoid: _mean_of_sigmoids,
    activations.softmax: _mean_of_softmax,
    activations.exponential: _log_mean_exp,
    activations.mean_variance: _mean_and_variance,
}


class _Pool:
    """Runs work(member) for each member on as many threads as fastbp may use; inside, fastbp itself uses one."""

    def __init__(self, work: Callable[[Network], Any], members: Sequence[Network]):
        self._executor = ThreadPoolExecutor(num_threads(), "fastbp")

        def alone(member: Network) -> Any:
            with on_one_thread():
                return work(member)

        self.futures: list[Future] = [self._executor.submit(alone, member) for member in members]

    def cancel(self) -> None:
        """Begin with no more members."""
        for future in self.futures:
            future.cancel()

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *error: object) -> None:
        self._executor.shutdown(cancel_futures=any(error))


def _history(number: int, future: Future, stopped: threading.Event) -> History:
    """What a member's training gave. Raises what it raised."""
    if future.cancelled():
        history = History()
    else:
        try:
            history = future.result()
        except DivergedError as error:
            raise DivergedError(f"member {number}: {error}") from error
    if stopped.is_set() and (future.cancelled() or history.stopped == "callback"):
        history.stopped = "interrupted"
    return history
