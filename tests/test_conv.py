"""Convolutions, pooling and what else works on maps: PyTorch as the oracle, errors, the same bits on any threads."""

import math
import os

import numpy as np
import pytest
from cases import relative

import fastbp as fb
from fastbp.kernels import conv as kernels

torch = pytest.importorskip("torch", reason="the oracle extra is not installed")

from twins import RATE, MapTwin, random_network  # noqa: E402 (needs torch)

SEED = 20
# FASTBP_FUZZ=1000 runs as many random networks.
NETWORKS, CHUNK = int(os.environ.get("FASTBP_FUZZ", "200")), 20


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """With more, PyTorch's wait for each other longer than these networks take."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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
        x, t = torch.tensor(X, requires_grad=True), torch.tensor(targets)
        z = twin.forward(x)
        loss = loss_of(z, t)
        loss.backward()
        assert relative(net.forward(X), z.detach().numpy()) < 1e-9, step
        value, gradient = net.value_and_grad(X, targets)
        assert value == pytest.approx(loss.item(), rel=1e-9)
        error = np.abs(net.input_gradient(X, targets) - x.grad.numpy()).max()
        # behind a norm it may be 0 but for what rounding leaves of its terms
        assert error < 1e-9 * max(np.abs(x.grad.numpy()).max(), 1e-4 * value), step
        if theirs is None:
            return
        assert relative(gradient, twin.flat(lambda w: w.grad)) < 1e-9, step
        theirs.zero_grad()
        loss = loss_of(twin.forward(x, training=True), t)
        loss.backward()
        theirs.step()
        theirs.zero_grad()
        assert net.train_on_batch(X, targets) == pytest.approx(loss.item(), rel=1e-9)
        assert relative(net.params, twin.flat()) < 1e-9, step
        if net.statistics.size:
            assert relative(net.statistics, twin.flat_statistics()) < 1e-9, step


@pytest.mark.parametrize("chunk", range(-(-NETWORKS // CHUNK)))
def test_random_networks(chunk):
    """Kernels as large as the input, inputs of size 1, strides, borders, dilations, groups and batches of all sizes."""
    for number in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        rng = np.random.default_rng([SEED, number])
        net = random_network(rng)
        rows = int(rng.choice([2 if net.statistics.size else 1, 2, 7, 8, 9, 16, 17, 40]))  # PyTorch's own minimum
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


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ([fb.Conv1D(26, 9, activation="relu"), fb.Conv1D(9, 6, stride=2)], (3, 300)),
        ([fb.Conv2D(50, 1, activation="relu"), fb.Conv2D(27, 1)], (41, 19, 17)),
        ([fb.Conv2D(10, 3, padding="same", groups=10), fb.Conv2D(3, 1)], (10, 23, 70)),
    ],
    ids=["long lines", "lines without gaps", "one filter to a group"],
)
def test_maps_larger_than_a_piece(layers, shape):
    """More pixels, taps and filters than the weights' gradient goes over at once, and a few more than a multiple."""
    assert shape[-1] > kernels.FEW or math.prod(shape[1:]) > kernels.PIXELS
    rng = np.random.default_rng(3)
    layers = [*layers, fb.Flatten(), fb.Dense(2)]
    net = fb.Network(layers, shape, loss="mse", optimizer=fb.SGD(RATE, momentum=0.9), dtype="float64", seed=0)
    X, y = rng.standard_normal((18, *shape)), rng.standard_normal((18, 2))
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


@pytest.mark.parametrize(
    ("layers", "separate"),
    [
        ([fb.Conv2D(4, 3), fb.Activation("relu"), fb.MaxPool2D(2), fb.Flatten()], 0),
        ([fb.Conv2D(4, 3), fb.BatchNorm(), fb.Activation("relu"), fb.MaxPool2D(2), fb.Flatten()], 0),
        ([fb.Conv2D(4, 3, activation="relu"), fb.BatchNorm(), fb.MaxPool2D(2), fb.Flatten()], 0),
        ([fb.BatchNorm(), fb.Activation("relu"), fb.Conv2D(4, 3), fb.BatchNorm(), fb.Dropout(0.1), fb.Flatten()], 0),
        ([fb.Flatten(), fb.Dense(9), fb.Activation("relu"), fb.Dense(5), fb.Activation("tanh")], 0),
        ([fb.Conv2D(4, 3), fb.Residual([fb.Activation("relu"), fb.Conv2D(4, 3, padding="same")]), fb.Flatten()], 1),
        ([fb.Residual([fb.BatchNorm(), fb.Activation("relu"), fb.Conv2D(2, 1)]), fb.Flatten()], 0),
        ([fb.Residual([fb.Conv2D(2, 1), *[fb.BatchNorm()] * 2, fb.Activation("relu")]), fb.Flatten()], 0),
        ([fb.Activation("relu"), fb.Flatten()], 1),
        ([fb.AvgPool2D(2), fb.Activation("relu"), fb.Flatten()], 1),
    ],
)
def test_a_relu_becomes_a_part_of_what_comes_before_it(layers, separate):
    """The same bits as from a plan that keeps every value, and no ReLU by itself where the op before can apply it."""
    rng = np.random.default_rng(10)
    net = fb.Network([*layers, fb.Dense(3)], (2, 8, 9), loss="cross_entropy", seed=0)
    kept = fb.Network([*layers, fb.Dense(3)], (2, 8, 9), loss="cross_entropy", seed=0)
    kept._plan = kept.new_plan(keep=True)
    forward = [o.kernel.name for group in net.plan.program("forward", "", False)[0] for o in group.ops]
    assert forward.count("relu_forward") == separate
    X, y = rng.standard_normal((40, 2, 8, 9)), rng.integers(0, 3, 40)
    for n in (net, kept):
        n.fit(X, y, epochs=2, verbose=False)
    assert (net.params == kept.params).all()
    assert (net.input_gradient(X, y) == kept.input_gradient(X, y)).all()
    assert (net.forward(X) == kept.forward(X)).all()


def test_summary_shows_shapes_and_parameters():
    layers = [fb.Conv2D(8, 3, padding="same", bias=False), fb.BatchNorm(), fb.Activation("relu"), fb.MaxPool2D(2)]
    layers += [fb.Residual([fb.Conv2D(16, 3, 2, "same", activation="relu")]), fb.GlobalAvgPool2D(), fb.Dense(10)]
    lines = fb.Network(layers, (3, 28, 28), loss="cross_entropy").summary().splitlines()
    table = [tuple(part.strip() for part in line.split("  ") if part) for line in lines]
    assert table[2:-3] == [
        ("input", "(3, 28, 28)", "0"),
        ("Conv2D_1", "(8, 28, 28)", "216"),
        ("BatchNorm_1", "(8, 28, 28)", "16"),
        ("Activation_1 relu", "(8, 28, 28)", "0"),
        ("MaxPool2D_1", "(8, 14, 14)", "0"),
        ("Residual_1", "(16, 7, 7)", "1,296"),
        ("GlobalAvgPool2D_1", "(16,)", "0"),
        ("Dense_1", "(10,)", "170"),
    ]
    assert table[-2] == ("total", "1,698")


def test_a_row_does_not_depend_on_the_batch():
    rng = np.random.default_rng(4)
    net, X = lenet(), rng.standard_normal((50, 1, 28, 28), np.float32)
    whole = net.forward(X)
    for rows in (1, 5, 16, 17, 33):
        assert (net.forward(X[:rows]) == whole[:rows]).all()


def test_lanes_without_a_row_make_no_nan():
    """The slope of this root is infinite at 0, which no row's value is."""
    root = fb.CustomActivation(
        lambda z: math.copysign(math.sqrt(abs(z)), z), lambda z: 0.5 / math.sqrt(abs(z)), name="root"
    )
    layers = [fb.Conv1D(3, 2, activation=root), fb.Flatten(), fb.Dense(2)]
    net = fb.Network(layers, (2, 5), loss="mse", seed=0)
    X = np.random.default_rng(0).uniform(0.5, 1.5, (17, 2, 5))
    assert np.isfinite(net.jacobian(X)).all()
    for rows in range(1, 18):
        assert np.isfinite(net.value_and_grad(X[:rows], np.ones((rows, 2)))[1]).all(), rows


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
        (lambda: fb.BatchNorm(momentum=2), "momentum must be a finite number at least 0 and at most 1, got 2"),
        (lambda: fb.BatchNorm(epsilon=0), "epsilon must be a finite number greater than 0, got 0"),
        (lambda: fb.LayerNorm(0), "axes must be at least 1, got 0"),
        (lambda: fb.Residual([]), "layers must hold at least one layer, got none"),
        (lambda: fb.Residual([fb.Dense(3, trainable=False)]), "trainable and learning_rate must be given to Residual"),
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
        ([fb.LayerNorm(3)], (4, 5), r"axes must be at most 2 for input \(4, 5\), got 3"),
        ([fb.Residual([fb.Flatten()])], (1, 8, 8), r"no projection makes an input \(1, 8, 8\) the shape \(64,\)"),
        ([fb.Residual([fb.Conv2D(1, 9)])], (1, 8, 8), r"Residual_1: Conv2D_1: kernel \(9, 9\) does not fit"),
        ([fb.Conv1D(4, 3)], (1, 8, 8), r"Conv1D takes rows of shape \(channels, length\), got \(1, 8, 8\)"),
        ([fb.GlobalAvgPool2D()], (1, 8), r"GlobalAvgPool2D takes rows of shape .*, got \(1, 8\)"),
        ([fb.Conv2D(4, 3), fb.Dense(2)], (1, 8, 8), r"Dense_1: Dense takes rows of shape .*, got \(4, 6, 6\)"),
    ],
)
def test_layers_that_do_not_fit(layers, shape, message):
    with pytest.raises(ValueError, match=message):
        fb.Network(layers, shape, loss="mse")


def normalised(**options):
    layers = [
        fb.Conv2D(6, 3, bias=False),
        fb.BatchNorm(**options),
        fb.Activation("relu"),
        fb.Residual([fb.Conv2D(8, 3, 2, "same"), fb.BatchNorm(), fb.Activation("tanh")]),
        fb.Dropout(0.2, maps=True),
        fb.Flatten(),
        fb.Dense(5),
        fb.LayerNorm(),
    ]
    return fb.Network(layers, (2, 8, 9), loss="cross_entropy", seed=0)


def test_statistics_are_saved_and_belong_to_snapshots(tmp_path):
    rng = np.random.default_rng(7)
    X, y = rng.standard_normal((90, 2, 8, 9)), rng.integers(0, 5, 90)
    net = normalised()
    net.fit(X, y, epochs=2, verbose=False)
    assert net.layers[1].running_mean.shape == (6,) and (net.layers[1].running_mean != 0).all()
    assert set(net.layers[3].statistics) == {"BatchNorm_1.running_mean", "BatchNorm_1.running_variance"}
    net.save(tmp_path / "net.npz")
    again = fb.load(tmp_path / "net.npz")
    assert (again.predict(X) == net.predict(X)).all()
    kept = net.statistics.copy()
    for n in (net, again):
        n.fit(X, y, epochs=2, verbose=False)
    assert (net.params == again.params).all() and (net.statistics == again.statistics).all()
    assert (net.statistics != kept).any()
    kept = net.statistics.copy()
    broken = X.copy()
    broken[-1] *= 1e200
    with pytest.raises((fb.DivergedError, ValueError)):
        net.fit(broken, y, verbose=False)
    assert (net.statistics == kept).all()


def test_frozen_normalisation_takes_the_running_statistics_and_keeps_them():
    rng = np.random.default_rng(8)
    X, y = rng.standard_normal((40, 2, 8, 9)), rng.integers(0, 5, 40)
    net = normalised()
    net.fit(X, y, epochs=2, verbose=False)
    net.layers[1].trainable = False
    kept = {name: view.copy() for name, view in (net.layers[1].statistics | net.layers[1].weights).items()}
    net.fit(X, y, epochs=2, verbose=False)
    for name, view in (net.layers[1].statistics | net.layers[1].weights).items():
        assert (view == kept[name]).all()


def test_dropout_of_maps_drops_whole_maps_and_does_not_depend_on_the_layout():
    X = np.ones((50, 4, 3, 5))
    layers = [fb.Dropout(0.5, maps=True), fb.Flatten(), fb.Dense(1, kernel_init="ones")]
    plain = fb.Network(layers, (4, 3, 5), loss="mse", dtype="float64", seed=3)
    blocked = fb.Network([fb.AvgPool2D(1), *layers], (4, 3, 5), loss="mse", dtype="float64", seed=3)
    losses = [net.train_on_batch(X, np.zeros(50)) for net in (plain, blocked)]
    assert losses[0] == losses[1]
    whole = [net.params.copy() for net in (plain, blocked)]
    assert (whole[0] == whole[1]).all() and len(set(whole[0][:60].round(12))) <= 4


def test_training_with_statistics_gives_the_same_bits_on_any_number_of_threads():
    rng = np.random.default_rng(9)
    X, y = rng.standard_normal((300, 2, 8, 9), np.float32), rng.integers(0, 5, 300)
    found = []
    try:
        for threads in (1, 2):
            fb.set_num_threads(min(threads, os.cpu_count()))
            net = normalised()
            net.fit(X, y, epochs=2, batch_size=128, verbose=False)
            found.append((net.params.copy(), net.statistics.copy()))
    finally:
        fb.set_num_threads(None)
    assert all((a == b).all() for a, b in zip(*found, strict=True))
