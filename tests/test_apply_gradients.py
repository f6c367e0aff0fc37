"""A step with a gradient of one's own: with value_and_grad it has the bits of training."""

import os
from dataclasses import replace

import numpy as np
import pytest
from cases import MAP_LAYERS, OPTIMIZERS
from numba import njit
from numba.core.errors import TypingError

import fastbp as fb
from fastbp.embedding import handles

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((40, 6)), RNG.integers(0, 3, 40)
STEPS = 4
# What may change a step: arguments of the optimizer, and of the layers.
OPTIONS = {
    "plain": ({}, {}),
    "clip_norm": (dict(clip_norm=0.05), {}),
    "clip_value": (dict(clip_value=0.01), {}),
    "both clips": (dict(clip_value=0.02, clip_norm=0.05), {}),
    "noise": (dict(gradient_noise=1e-4), {}),
    "noise and clip_norm": (dict(gradient_noise=1e-4, clip_norm=0.05), {}),
    "schedule": (dict(learning_rate=fb.Warmup(fb.CosineDecay(0.1, 6), 2)), {}),
    "penalties": ({}, dict(l1=1e-3, l2=0.01)),
    "penalties and clip_norm": (dict(clip_norm=0.05), dict(l1=1e-3, l2=0.01)),
    "rate of a layer": ({}, dict(learning_rate=0.3)),
    "frozen": ({}, dict(trainable=False)),
    "frozen and clip_norm": (dict(clip_norm=0.05), dict(trainable=False)),
}


def make(optimizer, layer=None, **options):
    layers = [fb.Dense(7, "tanh", **(layer or {})), fb.Dense(5, "relu"), fb.Dense(3)]
    return fb.Network(layers, (6,), loss="cross_entropy", optimizer=optimizer, seed=3, **options)


@njit
def steps_with(h, X, y, grad, n):
    loss = 0.0
    for _ in range(n):
        loss = fb.jit.value_and_grad(h, X, y, grad)
        fb.jit.apply_gradients(h, grad)
    return loss


def all_state(net):
    return np.concatenate([net.params, net.state, net.scalars, net.statistics])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_with_value_and_grad_it_gives_the_bits_of_training(optimizer, dtype):
    """In Python and in @njit, and for the optimizer's state too."""
    for name, (more, layer) in OPTIONS.items():
        if optimizer == "Rprop" and name == "schedule":
            continue  # which it refuses
        trained, applied, compiled = (make(replace(OPTIMIZERS[optimizer], **more), layer, dtype=dtype) for _ in "abc")
        for _ in range(STEPS):
            loss = trained.train_on_batch(X, Y)
            value, gradient = applied.value_and_grad(X, Y)
            applied.apply_gradients(gradient)
            assert value == loss
        grad = np.empty(compiled.num_params, dtype)
        assert steps_with(compiled.handle(rows=40), X, Y, grad, STEPS) == loss
        assert trained.steps_trained == applied.steps_trained == compiled.steps_trained == STEPS
        for net in (applied, compiled):
            assert (all_state(net) == all_state(trained)).all(), name
        assert (trained.params != make(optimizer=None, dtype=dtype).params).any()


@pytest.mark.parametrize("kind", sorted(set(MAP_LAYERS) - {"BatchNorm", "Residual"}))  # which has a BatchNorm in it
def test_layers_on_maps(kind):
    layer, shape = MAP_LAYERS[kind]
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((12, *shape)), rng.integers(0, 3, 12)
    layers = [layer, fb.Flatten(), fb.Dense(3)]
    trained, applied = (fb.Network(layers, shape, loss="cross_entropy", optimizer="adamw", seed=0) for _ in "ab")
    for _ in range(STEPS):
        trained.train_on_batch(x, y)
        applied.apply_gradients(applied.value_and_grad(x, y)[1])
    assert (trained.params == applied.params).all()


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_bits_where_work_is_shared_among_threads(threads, frozen):
    """How rows are cut into tasks decides the bits of sums: the same way in both, though a frozen layer costs less."""
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((200, 100)), rng.integers(0, 20, 200)
    nets = [
        fb.Network(
            [fb.Dense(60, "tanh", trainable=not frozen), fb.Dense(20, l2=0.01), fb.Dense(20)],
            (100,),
            loss="cross_entropy",
            optimizer=fb.Adam(clip_norm=0.1),
            seed=0,
        )
        for _ in range(3)
    ]
    trained, applied, compiled = nets
    try:
        fb.set_num_threads(min(threads, os.cpu_count()))
        for _ in range(2):
            trained.train_on_batch(x, y)
            applied.apply_gradients(applied.value_and_grad(x, y)[1])
    finally:
        fb.set_num_threads(None)
    steps_with(compiled.handle(rows=200), x, y, np.empty_like(compiled.params), 2)
    for net in (applied, compiled):
        assert (net.params == trained.params).all()


def test_gradients_of_parts_of_a_batch_add_up():
    """Rows in four parts of ten: their mean gradient makes the step that the whole batch makes."""
    whole, parts = (make(fb.Adam(0.01, clip_norm=0.1), dtype="float64") for _ in "ab")
    for _ in range(10):
        whole.train_on_batch(X, Y)
        total = sum(parts.value_and_grad(X[lo : lo + 10], Y[lo : lo + 10])[1] for lo in range(0, 40, 10))
        parts.apply_gradients(total / 4)
    np.testing.assert_allclose(parts.params, whole.params, rtol=1e-10, atol=1e-12)
    assert parts.steps_trained == 10


def test_statistics_stay():
    layers = [fb.Dense(7), fb.BatchNorm(), fb.Dense(3)]
    net = fb.Network(layers, (6,), loss="cross_entropy", seed=0)
    net.train_on_batch(X, Y)
    before, params = net.statistics.copy(), net.params.copy()
    net.apply_gradients(net.value_and_grad(X, Y)[1])
    assert (net.statistics == before).all() and (net.params != params).any()


def test_two_networks_under_one_loss_with_a_differential_equation_in_it():
    """The loss is the mean of (u' + k u)² + (u - data)²: u(t) is one network, k the output of another.

    The derivative u' is taken by differences. The data decay with a rate of 1.5, which k must find.
    """
    t, step = np.linspace(0, 2, 21)[:, np.newaxis], 1e-3
    options = dict(loss="mse", optimizer=fb.Adam(0.01), dtype="float64", seed=0)
    u = fb.Network([fb.Dense(16, "tanh"), fb.Dense(1)], (1,), **options)
    k = fb.Network([fb.Dense(1, bias=False)], (1,), **options)
    one, seen = np.ones((1, 1)), np.exp(-1.5 * t)

    def loss_and_gradients():
        above, here, below = u.predict(t + step), u.predict(t), u.predict(t - step)
        rate = k.predict(one)[0, 0]
        residual, miss = (above - below) / (2 * step) + rate * here, here - seen
        loss = (residual**2).mean() + (miss**2).mean()
        slope = 2 / len(t)
        of_u = slope * (residual / (2 * step)).T @ (u.jacobian(t + step) - u.jacobian(t - step))
        of_u += slope * (rate * residual + miss).T @ u.jacobian(t)
        of_k = slope * (residual * here).sum() * k.jacobian(one)
        return loss, of_u[0], of_k[0]

    first, of_u, of_k = loss_and_gradients()
    for net, gradient in ((u, of_u), (k, of_k)):  # the gradients are those of the loss
        kept, direction = net.params.copy(), np.random.default_rng(0).standard_normal(net.num_params)
        net.params = kept + 1e-6 * direction
        above = loss_and_gradients()[0]
        net.params = kept - 1e-6 * direction
        assert gradient @ direction == pytest.approx((above - loss_and_gradients()[0]) / 2e-6, rel=1e-4)
        net.params = kept
    for _ in range(1500):
        loss, of_u, of_k = loss_and_gradients()
        u.apply_gradients(of_u)
        k.apply_gradients(of_k)
    assert loss < 1e-3 * first
    assert k.predict(one)[0, 0] == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize(
    ("gradient", "error", "message"),
    [
        (np.zeros(3), ValueError, r"gradient must have shape \(107,\), got \(3,\)"),
        (np.zeros((1, 107)), ValueError, r"gradient must have shape \(107,\), got \(1, 107\)"),
        (np.full(107, 1j), TypeError, "gradient must be real numbers, got complex128"),
        (["a"] * 107, TypeError, "gradient must be real numbers, got <U1"),
        (np.where(np.arange(107) == 5, np.nan, 0), ValueError, "must be finite numbers .* got nan at place 5"),
        (np.where(np.arange(107) == 6, 1e300, 0), ValueError, "that float32 has, got 1e\\+300 at place 6"),
    ],
)
def test_refused(gradient, error, message):
    """Nothing has changed then."""
    net = make(fb.Adam())
    net.train_on_batch(X, Y)
    before, grads = all_state(net), net.grads.copy()
    with pytest.raises(error, match=message):
        net.apply_gradients(gradient)
    assert (all_state(net) == before).all() and (net.grads == grads).all()


def test_refused_in_njit():
    """For a size, a type, a number that is not finite, be it the last one; nothing has changed then."""
    net = make(fb.Adam())
    h, before = net.handle(rows=4), all_state(net)
    good = np.ones(net.num_params, np.float32)
    for place in (0, 5, net.num_params - 1):
        for bad in (np.nan, np.inf, -np.inf):
            given = good.copy()
            given[place] = bad
            with pytest.raises(ValueError, match="grad must hold finite numbers, and it has NaN or infinity"):
                fb.jit.apply_gradients(h, given)
    for given in (good[1:].copy(), np.ones(net.num_params + 1, np.float32)):
        with pytest.raises(ValueError, match=r"grad must have shape \(num_params,\)"):
            fb.jit.apply_gradients(h, given)
    with pytest.raises(TypingError, match="grad must be a C-contiguous array of float32"):
        fb.jit.apply_gradients(h, good.astype(np.float64))
    with pytest.raises(ValueError, match="the handle can only predict"):
        fb.jit.apply_gradients(net.handle(training=False), good)
    h.record[handles.BUSY] = 1
    with pytest.raises(RuntimeError, match="the handle is in use by another thread"):
        fb.jit.apply_gradients(h, good)
    h.record[handles.BUSY] = 0
    assert (all_state(net) == before).all() and (h.grads == 0).all()
    good.flags.writeable = False  # it is read alone
    fb.jit.apply_gradients(h, good)
    assert net.steps_trained == 1 and (h.grads == 1).all()


def test_a_step_after_a_loss_that_was_not_finite():
    """The engine leaves out an update behind such a loss; this one is not behind it."""
    net = fb.Network([fb.Dense(1)], (1,), loss="mse", optimizer=fb.SGD(0.5), seed=0)
    h, x = net.handle(rows=1), np.full((1, 1), 3e38, np.float32)
    with pytest.raises(fb.DivergedError):
        net.train_on_batch(x, x)
    assert not np.isfinite(fb.jit.train_step(h, x, x))
    before = net.params.copy()
    net.apply_gradients([1.0, 2.0])
    fb.jit.apply_gradients(h, np.array([1, 2], np.float32))
    np.testing.assert_allclose(net.params, before - [1, 2], rtol=1e-6)
