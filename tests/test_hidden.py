"""What comes out of inner layers, and gradients by layer."""

import numpy as np
import pytest
from cases import MAP_LAYERS

import fastbp as fb
from fastbp.training import feeds

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 6)).astype(np.float32)


def nested(layers, net, rows):
    """The output of each layer, from networks that end with it."""
    found, size = [], 0
    for count in range(1, len(layers) + 1):
        short = fb.Network(layers[:count], net.input_shape, loss="mse", seed=0, dtype=net.dtype)
        short.params = net.params[: short.num_params]
        size = sum(view.size for layer in short.layers for view in layer.statistics.values())
        short.statistics[:] = net.statistics[:size]
        found.append(short.forward(rows))
    return found


DENSE = [
    *(fb.Dense(9, "relu"), fb.Dropout(0.4), fb.Dense(7), fb.Activation("relu"), fb.Dense(8, "gelu"), fb.LayerNorm()),
    *(fb.Dense(5), fb.Activation("tanh"), fb.Dense(4)),
]
MAPS = [
    *(fb.Conv2D(5, 3, padding="same"), fb.BatchNorm(), fb.Activation("relu"), fb.MaxPool2D(2)),
    *(fb.Residual([fb.Conv2D(4, 3, 2, "same", activation="relu"), fb.BatchNorm()]), fb.Conv2D(3, 2, activation="relu")),
    *(fb.GlobalAvgPool2D(), fb.Dense(3, "sigmoid")),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("layers", "shape"), [(DENSE, (6,)), (MAPS, (2, 12, 10))])
def test_each_layer_gives_what_a_network_gives_that_ends_with_it(layers, shape, dtype):
    """Behind a few training steps, so that statistics count; for any number of rows and rows at once."""
    net = fb.Network(layers, shape, loss="mse", dtype=dtype, seed=0)
    x, y = RNG.standard_normal((70, *shape)), RNG.standard_normal((70, *net.output_shape))
    for _ in range(3):
        net.train_on_batch(x, y)
    for rows in (1, 17, 70):
        want = nested(layers, net, x[:rows])
        for batch_size in (256, 16):
            found = net.forward(x[:rows], batch_size, layer=range(len(layers)))
            for k, (got, wanted) in enumerate(zip(found, want, strict=True)):
                assert got.shape == (rows, *net.layers[k].output_shape) and got.dtype == net.dtype
                np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6 if dtype == "float32" else 1e-14)
        assert (net.forward(x[:rows], layer=-1) == net.forward(x[:rows])).all()
    assert net.steps_trained == 3


@pytest.mark.parametrize("kind", MAP_LAYERS)
def test_every_layer_on_maps(kind):
    layer, shape = MAP_LAYERS[kind]
    net = fb.Network([layer, fb.Activation("relu")], shape, loss="mse", seed=0)
    x = RNG.standard_normal((20, *shape))
    before, after = net.forward(x, layer=[0, 1])
    np.testing.assert_allclose(before, nested([layer], net, x)[0], rtol=0, atol=1e-6)
    assert (after == np.maximum(before, 0)).all()
    assert (before < 0).any() or kind == "Conv2D"  # which ends with a softplus here


def test_ways_to_name_a_layer():
    net = fb.Network([fb.Dense(9, "relu"), fb.Dense(7, "tanh"), fb.Dense(3)], (6,), loss="cross_entropy", seed=0)
    second = np.tanh(np.maximum(X @ net.layers[0].weight, 0) @ net.layers[1].weight)
    for layer in (1, -2, "Dense_2", np.int64(1)):
        np.testing.assert_allclose(net.forward(X, layer=layer), second, atol=1e-5)
    for layers in ([1], (-2,), ["Dense_2"], np.array([1])):
        (found,) = net.forward(X, layer=layers)
        assert (found == net.forward(X, layer=1)).all()
    twice = net.forward(X, layer=["Dense_2", 0, 1])
    assert [out.shape[1] for out in twice] == [7, 9, 7] and (twice[0] == twice[2]).all()


@pytest.mark.parametrize(
    ("layers", "loss", "outputs"),
    [
        ([fb.Dense(9, "relu"), fb.Dense(3, "softmax")], "cross_entropy", [1]),
        ([fb.Dense(9, "relu"), fb.Dense(3), fb.Activation("softmax")], "cross_entropy", [1, 2]),
        ([fb.Dense(3, "sigmoid"), fb.Flatten()], "binary_cross_entropy", [0, 1]),
    ],
)
def test_a_last_activation_that_the_loss_takes_over_is_not_done(layers, loss, outputs):
    net = fb.Network(layers, (6,), loss=loss, seed=0)
    for k in outputs:
        assert (net.forward(X, layer=k) == net.forward(X)).all()
    assert (net.predict(X) != net.forward(X)).any()


def test_memory_maps_and_what_is_converted(tmp_path, monkeypatch):
    """A map is read in pieces; other types and strides are converted a batch at a time."""
    net = fb.Network([fb.Dense(9, "relu"), fb.Dense(3)], (6,), loss="mse", seed=0)
    want = net.forward(X, layer=0)
    np.save(tmp_path / "x.npy", X)
    monkeypatch.setattr(feeds, "_MAPPED_FROM", 1)
    monkeypatch.setattr(feeds, "_PIECE", 1000)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert isinstance(feeds.feed_inputs(net.spec, mapped), feeds.Mapped)
    for x in (mapped, X.astype(np.float64), X.tolist(), np.asfortranarray(X), X[::-1][::-1]):
        np.testing.assert_allclose(net.forward(x, 32, layer=0), want, rtol=0, atol=1e-6)
    halves = X.astype(np.float16)
    assert (net.forward(halves, layer=0) == net.forward(halves.astype(np.float32), layer=0)).all()


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        (3, ValueError, "layer must be from -3 to 2, as there are 3 layers, got 3"),
        (-4, ValueError, "layer must be from -3 to 2, as there are 3 layers, got -4"),
        ("Dense_4", ValueError, "layer must be one of Dense_1, Dense_2, Dense_3, got 'Dense_4'"),
        ([0, 7], ValueError, "layer must be from -3 to 2"),
        ([], ValueError, "layer must name at least one layer, got none"),
        (1.0, TypeError, "layer must be a layer's number or name, or a list of them, got 1.0"),
        (True, TypeError, "layer must be a layer's number or name, or a list of them, got True"),
        ([[0]], ValueError, "layer"),
    ],
)
def test_bad_layers(layer, error, message):
    net = fb.Network([fb.Dense(9), fb.Dense(7), fb.Dense(3)], (6,), loss="mse", seed=0)
    with pytest.raises((error, TypeError) if layer == [[0]] else error, match=message):
        net.forward(X, layer=layer)


def test_bad_rows_are_refused_as_without_a_layer():
    net = fb.Network([fb.Dense(9), fb.Dense(3)], (6,), loss="mse", seed=0)
    with pytest.raises(ValueError, match=r"X must have shape \(rows, 6\), got \(300, 5\)"):
        net.forward(X[:, :5], layer=0)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        net.forward(X, 0, layer=0)
    with pytest.raises(ValueError, match="X must be finite"):
        net.forward(X * np.nan, layer=0)


# --- gradients by layer ---


def test_gradients_by_layer_are_views_into_grads():
    layers = [fb.Conv1D(3, 3), fb.BatchNorm(), fb.Residual([fb.Conv1D(4, 1)]), fb.Flatten(), fb.Dense(2, bias=False)]
    net = fb.Network(layers, (2, 8), loss="mse", seed=0)
    assert [list(layer.grad) for layer in net.layers] == [list(layer.weights) for layer in net.layers]
    _, gradient = net.value_and_grad(RNG.standard_normal((9, 2, 8)), RNG.standard_normal((9, 2)))
    parts = [(layer.weights[name], view) for layer in net.layers for name, view in layer.grad.items()]
    assert all(weight.shape == view.shape and np.shares_memory(view, net.grads) for weight, view in parts)
    assert (np.concatenate([view.ravel() for _, view in parts]) == gradient).all() and (gradient != 0).any()
    net.layers[4].grad["weight"][...] = 5  # live
    assert (net.grads[-net.layers[4].weight.size :] == 5).all()
    assert "projection.weight" in net.layers[2].grad and net.layers[3].grad == {}


def test_gradients_by_layer_are_those_of_a_saved_network_too(tmp_path):
    net = fb.Network([fb.Dense(4), fb.Dense(2)], (6,), loss="mse", seed=0)
    net.save(tmp_path / "net.npz")
    again = fb.load(tmp_path / "net.npz")
    for n in (net, again):
        n.train_on_batch(X, X[:, :2])
    assert (again.layers[0].grad["bias"] == net.layers[0].grad["bias"]).all() and (
        again.layers[0].grad["bias"] != 0
    ).any()


def test_gradients_by_layer_can_be_read_alone():
    net = fb.Network([fb.Dense(4)], (6,), loss="mse", seed=0)
    with pytest.raises(AttributeError, match="grad can't be set in Dense_1"):
        net.layers[0].grad = {}
    with pytest.raises(TypeError):
        net.layers[0].grad["weight"] = np.zeros((6, 4))
    with pytest.raises(AttributeError, match="Dense_1 has no 'gradient'"):
        _ = net.layers[0].gradient


def test_plan_and_memory_are_kept_from_call_to_call():
    """And are made anew for another layer, more rows or other settings; they follow the weights."""
    net = fb.Network([fb.Dense(5, "tanh"), fb.Dense(4), fb.Dense(3)], (6,), loss="mse", seed=0)
    first = net.forward(X[:7], layer=1)
    kept = net._inner
    assert (net.forward(X[:3], layer=[0, 1])[1] == first[:3]).all() and net._inner is kept
    net.params *= 2
    twin = fb.Network([fb.Dense(5, "tanh"), fb.Dense(4), fb.Dense(3)], (6,), loss="mse", seed=0)
    twin.params *= 2
    assert (net.forward(X[:7], layer=1) == twin.forward(X[:7], layer=1)).all() and net._inner is kept
    assert net.forward(X, layer=1).shape == (300, 4) and net._inner is not kept
    kept = net._inner
    assert net.forward(X[:9], layer=0).shape == (9, 5) and net._inner is not kept
    net.layers[0].trainable = False
    assert net._inner is None
