"""How rows get to a workspace: from arrays, from large memory maps a piece at a time, or from a user's batches.

A source of rows (Feed, Mapped, Batches) has `rows`, and gives itself piece by piece: each piece is a Feed in
memory, with the order that its rows are taken in. A piece is good until the next one is asked for.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import brief
from ..kernels import random
from ..program.workspace import Workspace, is_native
from .data import Spec, check_finite, check_inputs, check_targets, check_weights, convert_targets, convert_weights

_STAGED_AT_ONCE = 1 << 22  # bytes, of converted rows
_CHUNK_FLOPS = 1e9  # of a compiled call: 0.2 s where rows are few numbers, less where they are many
_MAPPED_FROM, _PIECE = 1 << 28, 1 << 26  # bytes: of a map that is read in pieces, and of a piece


@dataclass
class Shuffle:
    """Draws the orders that the rows of an epoch are taken in, which depend on a key and the epoch alone."""

    key: int  # 64 bits
    epoch: int
    _drawn: int = 0

    def order(self, rows: int) -> np.ndarray:
        """The next order (rows,) int64."""
        self._drawn += 1
        return draw_orders(self.key, range(self.epoch, self.epoch + 1), rows, self._drawn - 1)[0]


def draw_orders(key: int, epochs: range, rows: int, part: int = 0) -> np.ndarray:
    """The orders (epochs, rows) int64 that a Shuffle draws first, or as number `part`, in each of some epochs."""
    orders = np.empty((len(epochs), rows), np.int64)
    random.write_orders(orders.ctypes.data, rows, key, epochs.start, len(epochs), part)
    return orders


Piece = tuple["Feed", np.ndarray | None]  # and the order of its rows; None: as they stand


class Feed:
    """Runs programs over rows of x, y and weight, in any order; x is converted a piece at a time if it must be.

    x (rows, *input_shape) of any real dtype; y (rows, width) and sample_weight (rows,) of the workspace's dtype, or
    None; kind: of y, a key of the loss's `kernels`.
    """

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray | None = None,
        kind: str = "",
        sample_weight: np.ndarray | None = None,
        class_weight: np.ndarray | None = None,
    ):
        self.x, self.y, self.kind, self.sample_weight = x, y, kind, sample_weight
        self.weight = sample_weight
        self.rows = len(x)
        self.weigh(class_weight)

    def weigh(self, class_weight: np.ndarray | None) -> None:
        """Multiply the rows' weights by those of their classes (classes,); None: by 1."""
        if class_weight is not None:
            of_class = class_weight[self._labels()]
            self.weight = of_class if self.sample_weight is None else self.sample_weight * of_class

    def _labels(self) -> np.ndarray:
        """The class of each row: its label, the most probable one, or whether its one value is above ½."""
        assert self.y is not None
        if self.kind == "probabilities":
            return self.y.argmax(axis=1)
        return self.y[:, 0].astype(np.int64) if self.kind == "labels" else (self.y[:, 0] > 0.5).astype(np.int64)

    def count(self, classes: int) -> np.ndarray:
        """The rows of each class."""
        return np.bincount(self._labels(), minlength=classes)

    def truth(self) -> tuple[np.ndarray, np.ndarray | None]:
        """What predictions are compared with: labels (rows,) int64 or values (rows, outputs); and sample_weight."""
        assert self.y is not None
        return (self._labels() if self.kind == "labels" else self.y), self.sample_weight

    def part(self, lo: int, hi: int) -> Feed:
        """The rows lo .. hi, not weighed by class."""
        y, weight = (None if array is None else array[lo:hi] for array in (self.y, self.sample_weight))
        return Feed(self.x[lo:hi], y, self.kind, weight)

    def pieces(self, batch_size: int | None, shuffle: Shuffle | None = None) -> Iterator[Piece]:
        """This feed; shuffle: draws the order, None for the rows as they stand."""
        yield self, None if shuffle is None else shuffle.order(self.rows)

    def run(
        self,
        workspace: Workspace,
        program: str,
        batch_size: int,
        *,
        first: int = 0,
        last: int | None = None,
        order: np.ndarray | None = None,
        out: np.ndarray | None = None,
    ) -> int:
        """Run `program` on the batches first .. last; returns the first that was not run, as Workspace.run does.

        order: (rows,) int64, which rows make up the batches; out: (rows, …), where outputs go.
        """
        if last is None:
            last = -(-self.rows // batch_size)
        if is_native(self.x):
            with workspace.bound(self.x, self.y, self.weight, order, out):
                return self._run_chunks(workspace, program, batch_size, first, last)
        row_bytes = max(1, self.x[0].size * workspace.dtype.itemsize)
        step = max(1, _STAGED_AT_ONCE // (row_bytes * batch_size))
        for begin in range(first, last, step):
            end = min(begin + step, last)
            rows: Any = slice(begin * batch_size, min(end * batch_size, self.rows))
            piece = None if out is None else out[rows]
            if order is not None:
                rows = order[rows]
            x = np.ascontiguousarray(self.x[rows], workspace.dtype)
            y = None if self.y is None else self.y[rows]
            with workspace.bound(x, y, None if self.weight is None else self.weight[rows], None, piece):
                done = workspace.run(program, self.kind, len(x), batch_size, 0, end - begin)
            if done < end - begin:
                return begin + done
        return last

    def train_epochs(self, workspace: Workspace, batch_size: int, sums: np.ndarray, order: np.ndarray | None) -> int:
        """Train for whole epochs in one compiled call; x is native. Returns the number of batches that were run.

        sums: (epochs, 2), which are written: the summed loss and the right answers; order: (epochs, rows) int64.
        """
        with workspace.bound(self.x, self.y, self.weight, order, sums=sums):
            return workspace.run("train", self.kind, self.rows, batch_size, 0, len(sums) * -(-self.rows // batch_size))

    def _run_chunks(self, workspace: Workspace, program: str, batch_size: int, first: int, last: int) -> int:
        """Run the batches in compiled calls of 0.2 s at most, or one batch, so that Ctrl-C is heard between them."""
        step = max(1, int(_CHUNK_FLOPS / (workspace.plan.flops * batch_size)))
        for begin in range(first, last, step):
            end = min(begin + step, last)
            done = workspace.run(program, self.kind, self.rows, batch_size, begin, end)
            if done < end:
                return done
        return last


@dataclass(frozen=True)
class _Rows:
    """X, y and weights as the user gave them, of the right shapes; values are checked when they are converted."""

    spec: Spec
    x: np.ndarray
    y: np.ndarray | None = None
    kind: str = ""
    weight: np.ndarray | None = None
    prefix: str = ""
    first: int = 0  # the number of the first row, for errors

    def __len__(self) -> int:
        return len(self.x)

    def arrays(self) -> list[np.ndarray]:
        return [array for array in (self.x, self.y, self.weight) if array is not None]

    def part(self, lo: int, hi: int) -> _Rows:
        y, weight = (None if array is None else array[lo:hi] for array in (self.y, self.weight))
        return replace(self, x=self.x[lo:hi], y=y, weight=weight, first=self.first + lo)

    def check_inputs(self) -> None:
        """Raise ValueError if x has a value that is not finite."""
        check_finite(self.prefix + "X", self.x, self.spec.dtype, self.first)

    def feed(self, x: np.ndarray, class_weight: np.ndarray | None = None) -> Feed:
        """A feed of x, which are these rows or a copy of them. Raises ValueError for a bad value of y or weight."""
        spec, prefix, first = self.spec, self.prefix, self.first
        y = None if self.y is None else convert_targets(self.y, self.kind, spec, prefix + "y", first)
        weight = self.weight
        if weight is not None:
            weight = convert_weights(weight, spec.dtype, prefix + "sample_weight", first)
        return Feed(x, y, self.kind, weight, class_weight)


class Mapped:
    """Rows of which some lie in large memory maps: pieces of 64 MB are read in, one at a time.

    Mapped pages count as memory of the process, and reading a disk in random order is slow. So the rows are shuffled
    within a piece, and the pieces among themselves; a piece is copied, and its pages go back to the system after it.
    """

    def __init__(self, rows: _Rows):
        self._source = rows
        self._class_weight: np.ndarray | None = None
        self.rows, self.kind = len(rows), rows.kind
        self._row_bytes = max(1, sum(_span(array) for array in rows.arrays()) // len(rows))

    def check(self) -> None:
        """Raise ValueError if a value is not what it must be: looks at all of them."""
        for part in self._parts(1):
            part.check_inputs()
            part.feed(part.x)

    def weigh(self, class_weight: np.ndarray | None) -> None:
        """Multiply the rows' weights by those of their classes (classes,); None: by 1."""
        self._class_weight = class_weight

    def count(self, classes: int) -> np.ndarray:
        """The rows of each class."""
        counts = np.zeros(classes, np.int64)
        for part in self._parts(1):
            counts += part.feed(part.x).count(classes)
        return counts

    def truth(self) -> tuple[np.ndarray, np.ndarray | None]:
        """What predictions are compared with: labels (rows,) int64 or values (rows, outputs); and sample_weight."""
        values, weights = zip(*(part.feed(part.x).truth() for part in self._parts(1)), strict=True)
        return np.concatenate(values), None if weights[0] is None else np.concatenate(weights)

    def part(self, lo: int, hi: int) -> Mapped:
        """The rows lo .. hi, not weighed by class."""
        return Mapped(self._source.part(lo, hi))

    def pieces(self, batch_size: int | None, shuffle: Shuffle | None = None) -> Iterator[Piece]:
        """Pieces of whole batches; shuffle: draws the order of pieces and of rows, None for all as they stand."""
        assert batch_size is not None
        buffer = np.empty((0, *self._source.x.shape[1:]), self._source.x.dtype)
        for part in self._parts(batch_size, shuffle):
            x = part.x
            if _map_of(x) is not None:
                if len(buffer) < len(x):
                    buffer = np.empty_like(buffer, shape=x.shape)
                x = buffer[: len(x)]
                np.copyto(x, part.x)
            yield part.feed(x, self._class_weight), None if shuffle is None else shuffle.order(len(x))

    def _parts(self, batch_size: int, shuffle: Shuffle | None = None) -> Iterator[_Rows]:
        """The rows in parts of whole batches; a part's pages go back when the next one is asked for."""
        step = max(1, _PIECE // (self._row_bytes * batch_size)) * batch_size
        begins = range(0, self.rows, step)
        for i in range(len(begins)) if shuffle is None else shuffle.order(len(begins)):
            try:
                yield self._source.part(begins[i], min(begins[i] + step, self.rows))
            finally:
                for array in self._source.arrays():
                    _give_pages_back(array)


def _span(array: np.ndarray) -> int:
    """Bytes from the first to the last element."""
    steps = zip(array.shape, array.strides, strict=True)
    return array.itemsize + sum((size - 1) * abs(stride) for size, stride in steps)


def _map_of(array: np.ndarray) -> np.memmap | None:
    """The array nearest to the memory map that `array` lies in, if it does."""
    nearest: np.memmap | None = None
    owner: Any = array
    while isinstance(owner, np.ndarray):
        nearest = owner if isinstance(owner, np.memmap) else nearest
        owner = owner.base
    return nearest if isinstance(owner, mmap.mmap) else None


def _give_pages_back(array: np.ndarray) -> None:
    """Tell the system that the pages of the array's memory map are not needed now; the file still has them."""
    nearest = _map_of(array)
    if nearest is None or nearest.mode == "c":  # copied on write: what was written is in the pages alone
        return
    if isinstance(nearest.base, mmap.mmap) and hasattr(nearest.base, "madvise"):  # not on Windows
        nearest.base.madvise(mmap.MADV_DONTNEED)


class Batches:
    """A user's iterable of (X, y) or (X, y, sample_weight), iterated anew for each epoch; each batch is a step.

    name: of the argument, for errors.
    """

    rows = None  # nobody knows how many

    def __init__(self, spec: Spec, batches: Iterable, name: str = "X"):
        self._spec, self._batches, self._name = spec, batches, name
        self._class_weight: np.ndarray | None = None
        self.kind = "labels" if "labels" in spec.loss.kernels else "values"  # as far as one can know

    def weigh(self, class_weight: np.ndarray | None) -> None:
        """Multiply the rows' weights by those of their classes (classes,); None: by 1."""
        self._class_weight = class_weight

    def count(self, classes: int) -> np.ndarray:
        """Raise ValueError: rows can't be counted that are not there yet."""
        raise ValueError("class_weight must be a mapping with an iterable of batches, got 'balanced'")

    def pieces(self, batch_size: int | None, shuffle: Shuffle | None = None) -> Iterator[Piece]:
        """Each batch, checked; errors name its number, from 0.

        Raises ValueError if there is none, TypeError or ValueError for a bad one.
        """
        number, prefix = -1, "" if self._name == "X" else f"{self._name}: "
        for number, batch in enumerate(_each(self._batches)):
            yield self._feed(batch, f"{prefix}batch {number}"), None
        if number < 0:
            what = f"{self._name} must give at least one batch each time that it is iterated, got none: pass a list"
            raise ValueError(f"{what} of batches, or an object whose __iter__ begins anew")

    def _feed(self, batch: Any, name: str) -> Feed:
        if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
            got = f"{len(batch)} things" if isinstance(batch, (tuple, list)) else f"a {type(batch).__name__}"
            raise TypeError(f"{name} must be (X, y) or (X, y, sample_weight), got {got}")
        sample_weight = batch[2] if len(batch) == 3 else None
        rows = _check(self._spec, batch[0], batch[1], sample_weight, prefix=f"{name}: ")
        rows.check_inputs()
        return rows.feed(rows.x, self._class_weight)


Source = Feed | Mapped | Batches


def _check(spec: Spec, X: Any, y: Any, sample_weight: Any = None, prefix: str = "") -> _Rows:
    x = check_inputs(X, spec.input_shape, prefix + "X")
    targets, kind = check_targets(y, len(x), spec, prefix + "y")
    weight = check_weights(sample_weight, len(x), prefix + "sample_weight")
    return _Rows(spec, x, targets, kind, weight, prefix)


def _source(rows: _Rows) -> Feed | Mapped:
    if any(_map_of(array) is not None and _span(array) >= _MAPPED_FROM for array in rows.arrays()):
        mapped = Mapped(rows)
        mapped.check()
        return mapped
    rows.check_inputs()
    return rows.feed(rows.x)


def feed(spec: Spec, X: Any, y: Any, sample_weight: Any = None, *, prefix: str = "") -> Feed | Mapped:
    """X, y and weights, checked. Raises TypeError or ValueError, naming the argument, behind `prefix`."""
    return _source(_check(spec, X, y, sample_weight, prefix))


def feed_in_memory(spec: Spec, X: Any, y: Any, sample_weight: Any = None) -> Feed:
    """As feed, whatever the size."""
    rows = _check(spec, X, y, sample_weight)
    rows.check_inputs()
    return rows.feed(rows.x)


def feed_inputs(spec: Spec, X: Any) -> Feed | Mapped:
    """X, checked. Raises TypeError or ValueError, naming it."""
    x = check_inputs(X, spec.input_shape)
    if _map_of(x) is not None:
        return _source(_Rows(spec, x))
    check_finite("X", x, spec.dtype)
    return Feed(x)


def source(spec: Spec, X: Any, y: Any, sample_weight: Any = None, epochs: int = 1) -> Source:
    """X, y and weights, checked; without y, X is an iterable of batches. Raises as feed and batches do."""
    if y is not None or X is None:
        return feed(spec, X, y, sample_weight)
    if sample_weight is not None:
        raise ValueError(f"sample_weight can't be given with an iterable of batches, got {brief(sample_weight)}")
    return batches(spec, X, epochs)


def batches(spec: Spec, X: Any, epochs: int) -> Batches:
    """X as batches. Raises TypeError if it is no iterable, ValueError if it can't be iterated so many times."""
    if hasattr(X, "__array__"):
        raise TypeError("y must be given with an array X; without y, X must be an iterable of batches (X, y)")
    if not _is_iterable(X):
        raise TypeError(f"X must be an array with y, or an iterable of batches (X, y) without, got {brief(X)}")
    _check_repeatable("X", X, epochs)
    return Batches(spec, X)


def validation(spec: Spec, data: Any, epochs: int) -> Feed | Mapped | Batches:
    """What fit validates with: (X, y), (X, y, sample_weight), or an iterable of such batches.

    A list or tuple of two or three is one of batches if each of them looks like a batch. Raises as feed and batches do.
    """
    name = "validation_data"
    of_batches = isinstance(data, (tuple, list)) and bool(data) and all(map(_is_batch, data))
    if isinstance(data, (tuple, list)) and len(data) in (2, 3) and not of_batches:
        return feed(spec, *data, prefix=f"{name}: ")
    if (isinstance(data, tuple) and not of_batches) or hasattr(data, "__array__") or not _is_iterable(data):
        wanted = "(X, y) or (X, y, sample_weight), or an iterable of such batches"
        raise TypeError(f"{name} must be {wanted}, got {brief(data)}")
    _check_repeatable(name, data, epochs)
    return Batches(spec, data, name)


def _is_iterable(value: Any) -> bool:
    """Whether it may give batches; a torch DataLoader has __iter__, a Keras Sequence __getitem__."""
    return not isinstance(value, (str, bytes, Mapping)) and (
        hasattr(value, "__iter__") or hasattr(value, "__getitem__")
    )


def _each(batches: Any) -> Iterable:
    """The batches; of what has a length and numbers them, but no __iter__, those that the length counts."""
    if hasattr(batches, "__iter__") or not hasattr(batches, "__len__"):
        return batches
    return (batches[number] for number in range(len(batches)))


def _is_batch(value: Any) -> bool:
    """Whether it looks like (X, y) or (X, y, sample_weight): X has an axis of rows and one of features, at least."""
    if not isinstance(value, (tuple, list)) or len(value) not in (2, 3):
        return False
    try:
        return np.ndim(value[0]) >= 2
    except ValueError:  # of several shapes
        return False


def _check_repeatable(name: str, value: Any, epochs: int) -> None:
    """Raise ValueError if the batches are there once only, and there are more epochs."""
    if isinstance(value, Iterator) and epochs > 1:
        raise ValueError(
            f"{name} must be iterated once an epoch, and a {type(value).__name__} is empty after the first: pass a list"
            f" of batches, or an object whose __iter__ begins anew, or epochs=1; got epochs={epochs}"
        )
