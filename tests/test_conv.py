"""Convolutions, pooling and what else works on maps: PyTorch as the oracle, errors, the same bits on any threads."""

import os

import numpy as np
import pytest
from cases import relative

import fastbp as fb

torch = pytest.importorskip("torch", reason="the oracle extra is not installed")

from twins import RATE, MapTwin, random_network  # noqa: E402 (needs torch)

SEED = 20
# FASTBP_FUZZ=1000 runs as many random networks.
NETWORKS, CHUNK = int(os.environ.get("FASTBP_FUZZ", "200")), 20


def lenet(dtype="float32", **options):
    layers = [
        fb.Conv2D(6, 5, activation="relu"),
        fb.MaxPool2D(2),
        fb.Conv2D(16, 5, activation="relu"),
        fb.MaxPool2D(2),
        fb.Flatten(),
        fb.Dense(120, "relu"),
        fb.Dense(84, "relu"),
        fb.Dense(10),
    ]
    return fb.Network(layers, (1, 28, 28), loss="cross_entropy", dtype=dtype, seed=0, **options)


def check_steps(net, X, targets, loss_of, steps=10):
    """Outputs, losses, gradients by parameters and inputs, and parameters, over steps of SGD with momentum 0.9."""
    twin = MapTwin(net)
    theirs = torch.optim.SGD(twin.flat_weights, RATE, momentum=0.9) if twin.flat_weights else None
    for step in range(steps):
        x = torch.tensor(X, requires_grad=True)
        z = twin.forward(x)
        loss = loss_of(z, torch.tensor(targets))
        loss.backward()
        assert relative(net.forward(X), z.detach().numpy()) < 1e-9, step
        assert relative(net.input_gradient(X, targets), x.grad.numpy()) < 1e-9, step
        value, gradient = net.value_and_grad(X, targets)
        assert value == pytest.approx(loss.item(), rel=1e-9)
        if theirs is None:
            return
        assert relative(gradient, twin.flat(lambda w: w.grad)) < 1e-9, step
        assert net.train_on_batch(X, targets) == pytest.approx(loss.item(), rel=1e-9)
        theirs.step()
        theirs.zero_grad()
        assert relative(net.params, twin.flat()) < 1e-9, step


@pytest.mark.parametrize("chunk", range(-(-NETWORKS // CHUNK)))
def test_random_networks(chunk):
    """Kernels as large as the input, inputs of size 1, strides, borders, dilations, groups and batches of all sizes."""
    for number in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        rng = np.random.default_rng([SEED, number])
        net = random_network(rng)
        rows = int(rng.choice([1, 2, 7, 8, 9, 16, 17, 40]))
        X, y = rng.standard_normal((rows, *net.input_shape)), rng.standard_normal((rows, *net.output_shape))
        try:
            check_steps(net, X, y, torch.nn.functional.mse_loss)
        except AssertionError as error:
            raise AssertionError(f"network {number} of seed {SEED}, {rows} rows: {net!r}") from error


def test_lenet():
    rng = np.random.default_rng(0)
    net = lenet("float64", optimizer=fb.SGD(RATE, momentum=0.9))
    X, y = rng.standard_normal((50, 1, 28, 28)), rng.integers(0, 10, 50)
    check_steps(net, X, y, torch.nn.functional.cross_entropy)


def test_wide_layers_and_gradients_cut_by_filters():
    """More weights than row tasks sum up; filters that need tiles of every size."""
    rng = np.random.default_rng(1)
    layers = [fb.Conv2D(131, 3, padding="same", activation="relu"), fb.Conv2D(121, 3), fb.GlobalAvgPool2D()]
    net = fb.Network(layers, (5, 6, 5), loss="mse", optimizer=fb.SGD(RATE, momentum=0.9), dtype="float64", seed=0)
    X, y = rng.standard_normal((35, 5, 6, 5)), rng.standard_normal((35, 121))
    check_steps(net, X, y, torch.nn.functional.mse_loss, steps=3)


def test_float32_agrees_with_float64():
    rng = np.random.default_rng(2)
    single, double = lenet("float32"), lenet("float64")
    np.testing.assert_array_equal(single.params, double.params.astype(np.float32))
    X, y = rng.standard_normal((40, 1, 28, 28)), rng.integers(0, 10, 40)
    assert relative(single.value_and_grad(X, y)[1], double.value_and_grad(X, y)[1]) < 1e-5
    assert relative(single.input_gradient(X, y), double.input_gradient(X, y)) < 1e-5


def test_the_same_bits_on_any_number_of_threads():
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((300, 1, 28, 28), np.float32), rng.integers(0, 10, 300)
    found = []
    try:
        for threads in (1, 2):
            fb.set_num_threads(min(threads, os.cpu_count()))
            net = lenet()
            net.fit(X, y, epochs=2, batch_size=128, verbose=False)
            found.append(net.params.copy())
    finally:
        fb.set_num_threads(None)
    assert (found[0] == found[1]).all()


def test_a_row_does_not_depend_on_the_batch():
    rng = np.random.default_rng(4)
    net, X = lenet(), rng.standard_normal((50, 1, 28, 28), np.float32)
    whole = net.forward(X)
    for rows in (1, 5, 16, 17, 33):
        assert (net.forward(X[:rows]) == whole[:rows]).all()


def test_integer_images_in_a_handle():
    rng = np.random.default_rng(5)
    net, X = lenet(), rng.integers(0, 255, (20, 1, 28, 28)).astype(np.uint8)
    out = np.zeros((20, 10), np.float32)
    fb.jit.predict(net.handle(rows=7), X.reshape(20, -1), out)
    np.testing.assert_allclose(out, net.predict(X), rtol=1e-6, atol=1e-7)


def test_saved_and_loaded(tmp_path):
    rng = np.random.default_rng(6)
    X, y = rng.standard_normal((40, 6, 9, 8)), rng.standard_normal((40, 4))
    layers = [
        fb.Conv2D(6, (3, 2), (2, 1), "same", (1, 2), 3, "gelu", l2=0.01),
        fb.MaxPool2D((2, 3), 1, (1, 1)),
        fb.AvgPool2D(2, padding="same"),
        fb.Flatten(),
        fb.Dense(4),
    ]
    net = fb.Network(layers, (6, 9, 8), loss="mse", seed=0)
    net.fit(X, y, epochs=2, verbose=False)
    net.save(tmp_path / "net.npz")
    again = fb.load(tmp_path / "net.npz")
    assert repr(again) == repr(net) and eval(repr(layers[0]), vars(fb)) == layers[0]
    for n in (net, again):
        n.fit(X, y, epochs=2, verbose=False)
    assert (net.params == again.params).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fb.Conv2D(0, 3), "filters must be at least 1, got 0"),
        (lambda: fb.Conv2D(4, (3, 3, 3)), r"kernel_size must be a number or 2 of them, got \(3, 3, 3\)"),
        (lambda: fb.Conv2D(4, 0), "kernel_size must be at least 1, got 0"),
        (lambda: fb.Conv1D(4, (3, 3)), r"kernel_size must be a number, got \(3, 3\)"),
        (lambda: fb.Conv2D(4, 3, stride=0), "stride must be at least 1, got 0"),
        (lambda: fb.Conv2D(4, 3, dilation=(1, 0)), "dilation must be at least 1, got 0"),
        (lambda: fb.Conv2D(4, 3, padding="full"), "padding must be one of 'valid', 'same', got 'full'"),
        (lambda: fb.Conv2D(4, 3, padding=-1), "padding must be at least 0, got -1"),
        (lambda: fb.Conv2D(4, 3, groups=3), "filters must be a multiple of groups, got 4 and 3"),
        (lambda: fb.Conv2D(4, 3, activation="softmax"), "activation must work element by element, got 'softmax'"),
        (lambda: fb.MaxPool2D(0), "size must be at least 1, got 0"),
        (lambda: fb.MaxPool2D(2, padding=2), "padding must be at most half of size 2, got 2"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("layers", "shape", "message"),
    [
        (
            [fb.Conv2D(16, 3), fb.MaxPool2D(6), fb.Conv2D(16, 5)],
            (1, 28, 28),
            r"Conv2D_2: kernel \(5, 5\) does not fit into input \(16, 4, 4\)",
        ),
        ([fb.Conv2D(4, 3, dilation=3)], (1, 6, 9), r"kernel \(3, 3\) does not .* \(1, 6, 9\) with dilation \(3, 3\)"),
        ([fb.MaxPool1D(5)], (2, 4), r"MaxPool1D_1: window \(5,\) does not fit into input \(2, 4\)"),
        ([fb.Conv2D(4, 3, groups=2)], (3, 8, 8), r"groups 2 must divide the channels of input \(3, 8, 8\)"),
        ([fb.Conv2D(4, 3)], (8, 8), r"Conv2D takes rows of shape \(channels, height, width\), got \(8, 8\)"),
        ([fb.Conv1D(4, 3)], (1, 8, 8), r"Conv1D takes rows of shape \(channels, length\), got \(1, 8, 8\)"),
        ([fb.GlobalAvgPool2D()], (1, 8), r"GlobalAvgPool2D takes rows of shape .*, got \(1, 8\)"),
        ([fb.Conv2D(4, 3), fb.Dense(2)], (1, 8, 8), r"Dense_1: Dense takes rows of shape .*, got \(4, 6, 6\)"),
    ],
)
def test_layers_that_do_not_fit(layers, shape, message):
    with pytest.raises(ValueError, match=message):
        fb.Network(layers, shape, loss="mse")
