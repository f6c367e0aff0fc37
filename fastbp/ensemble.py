"""Ensemble: several networks of one kind, each with weights of its own, trained a network a thread."""

from __future__ import annotations

import operator
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple

import numpy as np

from ._jit import num_threads, on_one_thread
from .errors import DivergedError, brief, check_integer, check_verbose
from .network import Network
from .training import EVALUATION_BATCH, History


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
        verbose: bool = True,
    ) -> list[History]:
        """Train all members on the same rows; returns the history of each.

        A thread trains a member from its first epoch to its last, and then takes the next one: none waits for another.
        Arguments as for Network.fit, but that X must be an array; verbose: whether a line for each member goes to
        stderr. Ctrl-C ends the training of all; members that had not begun have an empty history.
        Raises as Network.fit does; DivergedError only when all others are trained, with the number of the first member
        that diverged, from 0.
        """
        if y is None:
            raise TypeError("y must be given: an ensemble takes no iterable of batches")
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

        def train(member: Network) -> History:
            return member.fit(X, y, epochs, batch_size, callbacks=[_Stop(stopped)], **options)

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

    def predict(self, X: Any, batch_size: int = EVALUATION_BATCH) -> Spread:
        """Mean and standard deviation of what the members predict. Arguments and errors as for Network.predict."""
        with _Pool(operator.methodcaller("predict", X, batch_size), self.members) as pool:
            pass
        outputs = np.stack([future.result() for future in pool.futures])
        return Spread(outputs.mean(axis=0), outputs.std(axis=0))


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
