"""Joins what layers have recorded: ops into one, and places into one. It runs once, after the last layer has emitted.

Each fusion is a function that changes a recording in place, and says in its docstring what it joins and when. None
changes what a network computes, to the bit; what they change are passes over memory, and memory. Ops that the fusions
take out no longer count where rows are cut into tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ..kernels.activations import relu_backward, relu_forward
from ..kernels.dense import dense_backward_input
from ..kernels.pool import max_pool_backward
from .records import Backward, Buffer, Field, Op, Recording

Fusion = Callable[[Recording], None]


def relus_into_writers(recording: Recording) -> None:
    """Let the op that writes x write y = max(x, 0) in its place: dense_forward, conv_forward, batch_norm_forward.

    When: the op right before the ReLU writes x and has a field `relu`, which is 0; and no other op reads x, as the
    other branch of a Residual does.
    """
    readers = _reader_counts(recording)
    forward: list[Op] = []
    places: dict[Buffer, Buffer] = {}
    for o in recording.forward:
        if o.kernel is relu_forward and forward:
            y, x, writer = _place(o.written), _place(o.field("x")), forward[-1]
            if writer.written == x and writer.field("relu") == 0 and readers[x] == 1:
                forward[-1] = writer.replaced(relu=1)
                places[x] = y
                continue
        forward.append(o)
    recording.forward = forward
    recording.rename(places)


def derivatives_into_readers(recording: Recording) -> None:
    """Let the ops that read ∂E/∂x apply the derivative of y = max(x, 0) to ∂E/∂y: batch_norm_backward and its sums.

    When: an op of the forward pass writes y with the ReLU in it, and all ops that read ∂E/∂x are of the backward pass
    of that op: they read its input, too, and have a field `relu`, which is 0.
    """
    writers = {o.written: o for o in recording.forward}
    in_blocks, using = _read_by_blocks(recording), _users(recording)
    places: dict[Buffer, Buffer] = {}
    joined = _joined_relus(recording)
    for relu in joined.values():
        dx, dy, y = (_place(relu.op.field(name)) for name in ("dx", "dy", "y"))
        own_input = writers[y].field("x")
        readers = [i for i in using[dx] if dx in recording.backward[i].op.record[1:]]
        wanted = dx, own_input, 0
        fields = [tuple(recording.backward[i].op.field(name) for name in ("dy", "x", "relu")) for i in readers]
        if not readers or dx in in_blocks or any(found != wanted for found in fields):
            continue
        for i in readers:
            recording.backward[i] = _replaced(recording.backward[i], relu=1)
        places[dx] = dy
    _finish(recording, joined, places)


def derivatives_into_writers(recording: Recording) -> None:
    """Let the op that writes ∂E/∂y write ∂E/∂x in its place, for y = max(x, 0): dense_backward_input, which finds y
    in its field `y`; and max_pool_backward, whose own input is y and whose field `relu` says so.

    When: an op of the forward pass writes y with the ReLU in it, and no other op reads or writes ∂E/∂y.
    """
    in_blocks, using = _read_by_blocks(recording), _users(recording)
    places: dict[Buffer, Buffer] = {}
    joined = _joined_relus(recording)
    for number, relu in joined.items():
        dx, dy, y = (_place(relu.op.field(name)) for name in ("dx", "dy", "y"))
        others = [i for i in using[dy] if i != number]
        if len(others) != 1 or others[0] < number or dy in in_blocks:
            continue
        writer = recording.backward[others[0]].op
        if writer.written != dy:
            continue
        if writer.kernel is dense_backward_input and writer.field("y") == 0:
            fields: dict[str, Field] = {"y": y}
        elif writer.kernel is max_pool_backward and writer.field("x") == y:
            fields = {"relu": 1}
        else:
            continue
        recording.backward[others[0]] = _replaced(recording.backward[others[0]], **fields)
        places[dx] = dy
    _finish(recording, joined, places)


def values_in_place(recording: Recording) -> None:
    """Let an op of the forward pass that may work in place write y = f(x) where x lies.

    When: no other op reads x, as those do whose derivative is a function of x; and x is not the network's input.
    """
    readers = _reader_counts(recording)
    places: dict[Buffer, Buffer] = {}
    for o in recording.forward:
        if o.in_place:
            y, x = _place(o.written), _place(o.field("x"))
            if readers[x] == 1 and x not in (y, recording.x.value):
                places[y] = places.get(x, x)
    recording.rename(places)


def gradients_in_place(recording: Recording) -> None:
    """Let an op of the backward pass that may work in place write ∂E/∂x where ∂E/∂y lies.

    When: nothing that runs after it reads ∂E/∂y, and nothing that runs before it reads or writes ∂E/∂x.
    """
    in_blocks = _read_by_blocks(recording)
    first: dict[Field, int] = {}  # the first and the last op, as recorded, that has a place in its record
    last: dict[Field, int] = {}
    for number, b in enumerate(recording.backward):
        for value in b.op.record:
            if isinstance(value, Buffer):
                first.setdefault(value, number)
                last[value] = number
    places: dict[Buffer, Buffer] = {}
    for number, b in enumerate(recording.backward):  # the last to run comes first
        if b.op.in_place:
            dx, dy = _place(b.op.written), _place(b.op.field("dy"))
            if dx != dy and first[dy] == number and last[dx] == number and dy not in in_blocks:
                places[dy] = places.get(dx, dx)
    recording.rename(places)


FUSIONS: tuple[Fusion, ...] = (
    relus_into_writers,
    derivatives_into_readers,
    derivatives_into_writers,
    values_in_place,
    gradients_in_place,
)


def _place(field: Field | None) -> Buffer:
    assert isinstance(field, Buffer)
    return field


def _replaced(entry: Backward, **fields: Field) -> Backward:
    return entry._replace(op=entry.op.replaced(**fields))


def _reader_counts(recording: Recording) -> Counter[Field]:
    """How many ops read each place: what one writes counts where a second one has it, too."""
    ops = [*recording.forward, *(b.op for b in recording.backward)]
    readers: Counter[Field] = Counter(v for o in ops for v in set(o.record[1:]) if isinstance(v, Buffer))
    readers.update(_read_by_blocks(recording))
    readers[recording.output.value] += 1  # the loss does
    return readers


def _read_by_blocks(recording: Recording) -> set[Field]:
    """The places that are read where gradients of parameters are written, after the whole backward pass."""
    return {value for block in recording.blocks for value in block.fields.values() if isinstance(value, Buffer)}


def _users(recording: Recording) -> dict[Field, list[int]]:
    """The numbers of the ops of the backward pass that read or write a place."""
    users: dict[Field, list[int]] = {}
    for number, entry in enumerate(recording.backward):
        for place in {value for value in entry.op.record if isinstance(value, Buffer)}:
            users.setdefault(place, []).append(number)
    return users


def _joined_relus(recording: Recording) -> dict[int, Backward]:
    """The backward passes of ReLUs that relus_into_writers has joined, by their numbers."""
    joined: dict[int, Backward] = {}
    writers = {o.written: o for o in recording.forward}
    for number, entry in enumerate(recording.backward):
        if entry.op.kernel is relu_backward:
            writer = writers.get(_place(entry.op.field("y")))
            if writer is not None and writer.field("relu") == 1:
                joined[number] = entry
    return joined


def _finish(recording: Recording, joined: dict[int, Backward], places: dict[Buffer, Buffer]) -> None:
    """Take out those backward passes of ReLUs whose ∂E/∂x has got another place, and put that in its place."""
    gone = {number for number, relu in joined.items() if relu.op.written in places}
    recording.backward = [entry for number, entry in enumerate(recording.backward) if number not in gone]
    recording.rename(places)
