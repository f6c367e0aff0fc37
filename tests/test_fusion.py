"""What fusions join, what they leave alone, and that a network computes the same with and without them."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.kernels import activations, elementwise
from fastbp.program import fusion
from fastbp.program.emitter import IN_PLACE, Emitter
from fastbp.program.fusion import FUSIONS
from fastbp.program.plan import Plan
from fastbp.program.records import Rooms

MAPS, VECTOR = (2, 6, 6), (8,)


def network(layers, shape, fusions=FUSIONS):
    """A network of these layers and one more, whose plan has these fusions."""
    ending = [fb.Flatten(), fb.Dense(3)] if shape == MAPS else [fb.Dense(3)]
    net = fb.Network([*layers, *ending], shape, loss="mse", optimizer=fb.SGD(0.1), seed=0)
    net._plan = plan_of(net, fusions=fusions)
    return net


def plan_of(net, **options):
    return Plan(net.layers, net.input_shape, net.loss, net.optimizer, net.num_params, net.seed, **options)


def ops(plan, name="train"):
    return [o for group in plan.program(name, "values", False)[0] for o in group.ops]


def count(plan, kernel):
    return sum(o.kernel.name == kernel for o in ops(plan))


def in_place(plan, kernel, read):
    """Whether the op of that kernel, of which there is one, writes where it reads."""
    (found,) = (o for o in ops(plan) if o.kernel.name == kernel)
    return found.written == found.field(read)


JOINED_FORWARD = [
    ([fb.Dense(8, "relu")], VECTOR, 0),
    ([fb.Dense(8), fb.Activation("relu")], VECTOR, 0),
    ([fb.Conv2D(4, 3), fb.Activation("relu")], MAPS, 0),
    ([fb.BatchNorm(), fb.Activation("relu")], MAPS, 0),
    ([fb.Residual([fb.Dense(8), fb.BatchNorm(), fb.Activation("relu")])], VECTOR, 0),
    # The other branch reads what goes into the ReLU.
    ([fb.Dense(8), fb.Residual([fb.Activation("relu"), fb.Dense(8)])], VECTOR, 1),
    ([fb.Dense(8), fb.Residual([fb.Activation("relu"), fb.Dense(5)])], VECTOR, 1),
    # The op before it can't do it, has done it for another ReLU, or is not there.
    ([fb.Dense(8), fb.Dropout(0.1), fb.Activation("relu")], VECTOR, 1),
    ([fb.Dense(8), fb.LayerNorm(), fb.Activation("relu")], VECTOR, 1),
    ([fb.AvgPool2D(2), fb.Activation("relu")], MAPS, 1),
    ([fb.Dense(8, "relu"), fb.Activation("relu")], VECTOR, 1),
    ([fb.Activation("relu")], VECTOR, 1),
]
INTO_READERS = [
    ([fb.BatchNorm(), fb.Activation("relu")], MAPS, 0),
    ([fb.Dense(8), fb.BatchNorm(), fb.Activation("relu"), fb.Dropout(0.1)], VECTOR, 0),
    ([fb.Residual([fb.BatchNorm(), fb.BatchNorm(), fb.Activation("relu")])], VECTOR, 0),
    # Gradients of weights read it, too; or the ReLU is an op by itself.
    ([fb.Dense(8, "relu")], VECTOR, 1),
    ([fb.Conv2D(4, 3, activation="relu"), fb.BatchNorm()], MAPS, 1),
    ([fb.BatchNorm(), fb.Dropout(0.1), fb.Activation("relu")], VECTOR, 1),
]
INTO_WRITERS = [
    ([fb.Dense(8, "relu"), fb.Dense(8)], VECTOR, 0),
    ([fb.Dense(8), fb.Activation("relu"), fb.Dense(8)], VECTOR, 0),
    ([fb.Conv2D(4, 3, activation="relu"), fb.MaxPool2D(2)], MAPS, 0),
    ([fb.Residual([fb.Dense(8, "relu"), fb.Dense(8)])], VECTOR, 0),
    # Another op writes the gradient: one that can't, one that adds branches, or one that means another ReLU.
    ([fb.Dense(8, "relu"), fb.Dropout(0.1)], VECTOR, 1),
    ([fb.Dense(8, "relu"), fb.Residual([fb.Dense(8)])], VECTOR, 1),
    ([fb.Conv2D(4, 3, activation="relu"), fb.AvgPool2D(2)], MAPS, 1),
    ([fb.Conv2D(4, 3, activation="relu"), fb.BatchNorm()], MAPS, 1),
    # The ReLU is an op by itself.
    ([fb.Dense(8), fb.LayerNorm(), fb.Activation("relu")], VECTOR, 1),
]
VALUES = [
    ([fb.Dense(8, "tanh")], VECTOR, "tanh", True),
    ([fb.Conv2D(4, 3), fb.Activation("sigmoid")], MAPS, "sigmoid", True),
    ([fb.Dense(8, "softmax")], VECTOR, "softmax", True),
    # The derivative is a function of x, the other branch reads x, or x is the network's input.
    ([fb.Dense(8, "gelu")], VECTOR, "gelu", False),
    ([fb.Dense(8), fb.Residual([fb.Activation("tanh"), fb.Dense(8)])], VECTOR, "tanh", False),
    ([fb.Activation("tanh")], VECTOR, "tanh", False),
]
GRADIENTS = [
    ([fb.Dense(8, "tanh")], VECTOR, "tanh_backward"),
    ([fb.Dense(8, "gelu")], VECTOR, "gelu_backward"),
    ([fb.Dense(8), fb.Dropout(0.1)], VECTOR, "dropout_backward"),
    ([fb.Conv2D(4, 3), fb.BatchNorm()], MAPS, "batch_norm_backward"),
    ([fb.Dense(8), fb.Residual([fb.Activation("tanh"), fb.Dense(8)])], VECTOR, "tanh_backward"),
]
CASES = [case[:2] for table in (JOINED_FORWARD, INTO_READERS, INTO_WRITERS, VALUES, GRADIENTS) for case in table]


@pytest.mark.parametrize(("layers", "shape", "separate"), JOINED_FORWARD)
def test_relus_are_joined_to_the_op_before_them(layers, shape, separate):
    assert count(network(layers, shape, [fusion.relus_into_writers])._plan, "relu_forward") == separate
    assert count(network(layers, shape)._plan, "relu_forward") == separate
    assert count(network(layers, shape, ())._plan, "relu_forward") >= 1


@pytest.mark.parametrize(("layers", "shape", "separate"), INTO_READERS)
def test_derivatives_of_relus_are_joined_to_what_reads_the_gradient(layers, shape, separate):
    both = [fusion.relus_into_writers, fusion.derivatives_into_readers]
    assert count(network(layers, shape, both)._plan, "relu_backward") == separate
    assert count(network(layers, shape, both[1:])._plan, "relu_backward") == 1


@pytest.mark.parametrize(("layers", "shape", "separate"), INTO_WRITERS)
def test_derivatives_of_relus_are_joined_to_what_writes_the_gradient(layers, shape, separate):
    both = [fusion.relus_into_writers, fusion.derivatives_into_writers]
    assert count(network([*layers], shape, both)._plan, "relu_backward") == separate
    assert count(network(layers, shape, both[1:])._plan, "relu_backward") == 1


@pytest.mark.parametrize(("layers", "shape", "activation", "joined"), VALUES)
def test_values_share_a_place(layers, shape, activation, joined):
    plans = [network(layers, shape, fusions)._plan for fusions in ([fusion.values_in_place], ())]
    assert [in_place(plan, f"{activation}_forward", "x") for plan in plans] == [joined, False]
    assert (plans[0].arena_size("work", 16) < plans[1].arena_size("work", 16)) == joined


@pytest.mark.parametrize(("layers", "shape", "kernel"), GRADIENTS)
def test_gradients_share_a_place(layers, shape, kernel):
    plans = [network(layers, shape, fusions)._plan for fusions in ([fusion.gradients_in_place], ())]
    assert [in_place(plan, kernel, "dy") for plan in plans] == [True, False]
    assert plans[0].arena_size("work", 16) < plans[1].arena_size("work", 16)


@pytest.mark.parametrize("other", ["reads dy later", "writes dx before", "is a gradient of parameters", "none"])
def test_gradients_that_others_need_keep_their_places(other):
    emitter = Emitter((4,))
    x, y, z = emitter.x, emitter.tensor((4,)), emitter.tensor((4,))
    if other == "reads dy later":
        emitter.backward(elementwise.copy, 1, y=z.grad, x=y.grad, features=4, blocked=0)
    emitter.backward(activations.tanh_backward, 1, IN_PLACE, dx=x.grad, dy=y.grad, y=y.value, features=4, blocked=0)
    if other == "writes dx before":
        emitter.backward(elementwise.copy, 1, y=x.grad, x=z.grad, features=4, blocked=0)
    if other == "is a gradient of parameters":
        emitter.gradient(activations.tanh_backward, 1, x, 1, 4, dict(dy=y.grad))
    fusion.gradients_in_place(emitter.recording)
    (entry,) = (b.op for b in emitter.recording.backward if b.op.in_place)
    assert (entry.written == entry.field("dy")) == (other == "none")


@pytest.mark.parametrize(("layers", "shape"), CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_computes_the_same_without_fusions(layers, shape, dtype):
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((40, *shape)), rng.standard_normal((40, 3))
    fused, plain = (network(layers, shape, fusions) for fusions in (FUSIONS, ()))
    for net in (fused, plain):
        net.fit(X, y, epochs=2, batch_size=16, verbose=False)
    assert (fused.params == plain.params).all()
    assert (fused.forward(X) == plain.forward(X)).all()
    assert (fused.input_gradient(X, y) == plain.input_gradient(X, y)).all()


@pytest.mark.parametrize("alone", FUSIONS)
def test_each_fusion_by_itself_changes_no_bit(alone):
    layers = [fb.Conv2D(4, 3, activation="relu"), fb.MaxPool2D(2), fb.BatchNorm(), fb.Activation("relu"), fb.Flatten()]
    layers += [fb.Dense(9, "relu"), fb.Residual([fb.Dense(9, "relu"), fb.Dropout(0.2), fb.Dense(9, "tanh")])]
    rng = np.random.default_rng(4)
    X, y = rng.standard_normal((40, *MAPS)), rng.standard_normal((40, 3))
    joined, plain = (network(layers, MAPS, fusions) for fusions in ([fusion.relus_into_writers, alone], ()))
    for net in (joined, plain):
        net.fit(X, y, epochs=2, batch_size=16, verbose=False)
    assert (joined.params == plain.params).all()
    assert (joined.input_gradient(X, y) == plain.input_gradient(X, y)).all()


def test_nothing_is_joined_where_every_value_is_kept():
    for layers, shape in CASES:
        net = network(layers, shape)
        kept, plain = plan_of(net, keep=True), plan_of(net, fusions=())
        assert ops(kept) == ops(plain)
        assert len({output.value for output in kept.outputs}) >= len(layers)


def test_few_rows_have_the_relu_too():
    """Batches of few rows run another op in the place of one that reads packed weights."""
    net = fb.Network([fb.Dense(400, "relu"), fb.Dense(2)], (400,), loss="mse", seed=0)
    (few,) = (o for g in plan_of(net).program("forward", "", True)[0] for o in g.ops if o.field("fan_out") == 400)
    assert few.field("packed") == 0 and few.field("relu") == 1


def test_places_that_nothing_uses_are_given_back():
    rooms = Rooms()
    first, second, third = (rooms.room("work", fixed, rows) for fixed, rows in ((16, 0), (0, 5), (32, 7)))
    sums = rooms.room("totals", 3, 1)
    moved = rooms.close_gaps({first, third, sums})
    assert second not in moved and moved[first] == first and moved[sums] == sums
    assert (moved[third].fixed, moved[third].per_row) == (16, 0)
    assert rooms.size("work", 100) == 48 + 700
