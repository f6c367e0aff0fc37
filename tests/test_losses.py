"""Losses whose targets and outputs differ in shape: several quantiles of one target, means and variances."""

import numpy as np
import pytest
from support import compile_c

import fastbp as fb

RNG = np.random.default_rng(0)
X = RNG.standard_normal((600, 3))
Y = X[:, 0] + np.exp(X[:, 1] / 2) * RNG.standard_normal(600)


def network(outputs, loss, **options):
    layers = [fb.Dense(12, "tanh"), fb.Dense(outputs)]
    return fb.Network(layers, (3,), **{"loss": loss, "optimizer": fb.Adam(0.01), "seed": 0, **options})


# --- quantile -----------------------------------------------------------------------------------------


def test_each_output_learns_its_quantile_of_one_target():
    net = network(3, fb.Quantile([0.1, 0.5, 0.9]))
    net.fit(X, Y, epochs=800, batch_size=600, verbose=False)
    below = (Y[:, None] < net.predict(X)).mean(axis=0)
    np.testing.assert_allclose(below, [0.1, 0.5, 0.9], atol=0.04)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_target_stands_for_each_output(dtype):
    net = network(2, fb.Quantile((0.2, 0.7)), dtype=dtype)
    y = Y.astype(dtype)
    wanted = net.value_and_grad(X, np.stack([y, y], axis=1))
    e = y[:, None] - net.forward(X).astype(float)
    assert wanted[0] == pytest.approx(np.maximum([0.2, 0.7] * e, ([0.2, 0.7] - np.ones(2)) * e).mean(), rel=1e-5)
    for given in (y, y[:, None], np.asfortranarray(y[:, None]), y.tolist()):
        loss, gradient = net.value_and_grad(X, given)
        assert loss == wanted[0] and (gradient == wanted[1]).all()
    assert net.evaluate(X, y, metrics="mae")["mae"] == pytest.approx(np.abs(e).mean(), rel=1e-5)
    history = net.fit(X, y, validation_split=0.2, metrics="mae", verbose=False)
    assert list(history.history) == ["loss", "val_loss", "val_mae"]
    with pytest.raises(ValueError, match=r"y must have shape \(rows, 2\), got \(600, 3\)"):
        net.fit(X, X)


def test_one_quantile_is_that_of_all_targets():
    net = network(2, fb.Quantile(0.3), dtype="float64")
    e = X[:, :2] - net.forward(X)
    assert net.evaluate(X, X[:, :2])["loss"] == pytest.approx(np.where(e > 0, 0.3 * e, -0.7 * e).mean(), rel=1e-12)
    assert network(1, "quantile").loss == fb.Quantile(0.5) and repr(fb.Quantile()) == "'quantile'"
    with pytest.raises(ValueError, match=r"y must have shape \(rows, 2\), got \(600,\)$"):
        net.fit(X, Y)


def test_files_keep_quantiles(tmp_path):
    net = network(2, fb.Quantile(np.array([0.25, 0.75])))
    net.save(tmp_path / "net.npz")
    again = fb.load(tmp_path / "net.npz")
    assert again.loss == net.loss == fb.Quantile([0.25, 0.75]) and repr(again.loss) == "Quantile((0.25, 0.75))"
    for each in (net, again):
        each.fit(X, Y, epochs=2, verbose=False)
    assert (net.params == again.params).all()


@pytest.mark.parametrize(
    ("q", "error", "message"),
    [
        (0, ValueError, "q must be greater than 0 and less than 1, got 0"),
        (1.0, ValueError, "q must be greater than 0 and less than 1, got 1.0"),
        (float("nan"), ValueError, "q must be a finite number, got nan"),
        ("half", TypeError, "q must be a number, got 'half'"),
        (None, TypeError, "q must be a number, got None"),
        ([], ValueError, "q must hold at least one quantile, got none"),
        ([0.1, 2], ValueError, "q must be greater than 0 and less than 1, got 2"),
    ],
)
def test_bad_quantiles(q, error, message):
    with pytest.raises(error, match=message):
        fb.Quantile(q)


def test_a_quantile_for_each_output():
    with pytest.raises(ValueError, match=r"loss must have one q for each output .*, which has 3, got Quantile\(\(0.1"):
        network(3, fb.Quantile([0.1, 0.9]))


# --- gaussian_nll -------------------------------------------------------------------------------------


def test_mean_and_variance_are_learnt():
    net = network(2, "gaussian_nll")
    history = net.fit(X, Y, epochs=100, validation_split=0.2, metrics=["mae", "r2"], verbose=False)
    mean, variance = net.predict(X).T
    assert np.corrcoef(mean, X[:, 0])[0, 1] > 0.95 and np.corrcoef(np.log(variance), X[:, 1])[0, 1] > 0.9
    assert ((Y - mean) ** 2 / variance).mean() == pytest.approx(1, abs=0.15)
    found = net.evaluate(X, Y, metrics=["mae"])
    assert found["loss"] == pytest.approx(0.5 * (np.log(variance) + (Y - mean) ** 2 / variance).mean(), rel=1e-5)
    assert found["mae"] == pytest.approx(np.abs(Y - mean).mean(), rel=1e-5)
    assert list(history.history) == ["loss", "val_loss", "val_mae", "val_r2"]


def test_predictions_are_means_and_then_variances():
    net = network(4, "gaussian_nll", dtype="float64")
    raw, predicted = net.forward(X), net.predict(X)
    np.testing.assert_allclose(predicted, np.hstack([raw[:, :2], np.exp(raw[:, 2:])]), rtol=1e-14)
    h = net.handle(rows=600)
    out = np.empty_like(predicted)
    fb.jit.predict(h, X, out)
    assert (out == predicted).all()
    t = np.ascontiguousarray(X[:, :2])
    wanted = net.evaluate(X, t)["loss"]
    assert fb.jit.train_step(h, X, t) == pytest.approx(wanted, rel=1e-12)
    with pytest.raises(ValueError, match=r"y must have shape \(rows, targets\)"):
        fb.jit.train_step(h, X, raw)
    wide = net.jacobian(X[:1])
    gradient = np.empty_like(wide)
    for i in range(net.num_params):
        kept, h = net.params[i], 1e-6
        net.params[i] = kept + h
        above = net.predict(X[:1])
        net.params[i] = kept - h
        gradient[:, i] = ((above - net.predict(X[:1])) / (2 * h))[0]
        net.params[i] = kept
    np.testing.assert_allclose(wide, gradient, atol=1e-7)


def test_a_network_of_means_and_variances_in_c(tmp_path):
    net = network(4, "gaussian_nll", dtype="float64")
    net.export_c(tmp_path / "model.c")
    library, out = compile_c((tmp_path / "model.c").read_text(), tmp_path), np.empty(4)
    library.model_predict(
        X[:1].ctypes.data_as(fb.embedding.capi.ctypes.c_void_p), out.ctypes.data_as(fb.embedding.capi.ctypes.c_void_p)
    )
    np.testing.assert_allclose(out, net.predict(X[:1])[0], rtol=1e-12)


@pytest.mark.oracle
def test_epsilon_bounds_the_loss_from_below():
    layers = [fb.Dense(2, kernel_init="zeros", bias_init=np.array([0.5, -100.0]))]
    torch = pytest.importorskip("torch")
    for epsilon in (1e-6, 0.01):
        net = fb.Network(layers, (3,), loss=fb.GaussianNLL(epsilon), dtype="float64", seed=0)
        raw = torch.tensor(net.forward(X), requires_grad=True)
        t = torch.tensor(Y[:, None])
        want = torch.nn.functional.gaussian_nll_loss(raw[:, :1], t, torch.exp(raw[:, 1:]), eps=epsilon)
        want.backward()
        loss, gradient = net.value_and_grad(X, Y)
        assert loss == pytest.approx(want.item(), rel=1e-12)
        np.testing.assert_allclose(gradient[-2:], raw.grad.sum(dim=0), rtol=1e-9, atol=1e-30)


def test_what_gaussian_nll_refuses():
    with pytest.raises(ValueError, match=r"'gaussian_nll' needs a network with an even number of outputs, .*, got 3"):
        network(3, "gaussian_nll")
    with pytest.raises(ValueError, match="epsilon must be a finite number greater than 0, got 0"):
        fb.GaussianNLL(0)
    with pytest.raises(ValueError, match=r"y must have shape \(rows, 1\) or \(rows,\), got \(600, 2\)"):
        network(2, "gaussian_nll").fit(X, X[:, :2])
    with pytest.raises(ValueError, match="mae needs values of the shape"):
        fb.metrics.mae(Y, network(2, "gaussian_nll").predict(X))


@pytest.mark.parametrize("loss", [fb.Quantile([0.1, 0.9]), "gaussian_nll"])
def test_they_can_be_looked_into(loss):
    net = network(2, loss)
    assert len(net.diagnose(X, Y).layers) == 2
    assert "Error" in str(net.explain(X[0], Y[0]))
    assert fb.check_gradients(net, X[:20], Y[:20]).ok


# --- in the regressor ---------------------------------------------------------------------------------

SETTINGS = dict(hidden_layer_sizes=(12,), activation="tanh", learning_rate_init=0.01, max_iter=100, random_state=0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_quantiles_in_the_regressor():
    pytest.importorskip("sklearn")
    one = fb.MLPRegressor(loss=fb.Quantile(0.9), **SETTINGS).fit(X, Y)
    assert one.predict(X).shape == (600,) and (one.predict(X) > Y).mean() == pytest.approx(0.9, abs=0.05)
    several = fb.MLPRegressor(loss=fb.Quantile([0.1, 0.5, 0.9]), early_stopping=True, **SETTINGS).fit(X, Y)
    predicted = several.predict(X)
    assert predicted.shape == (600, 3) and (predicted.mean(axis=0).argsort() == [0, 1, 2]).all()
    scores = [1 - ((Y - p) ** 2).sum() / ((Y - Y.mean()) ** 2).sum() for p in predicted.T]
    assert several.score(X, Y) == pytest.approx(np.mean(scores), rel=1e-4)
    with pytest.raises(ValueError, match="loss must have one q for each target of a row, which are 2, got Quantile"):
        fb.MLPRegressor(loss=fb.Quantile([0.1, 0.5, 0.9])).fit(X, X[:, :2])
    with pytest.raises(ValueError, match="return_std must be False unless loss='gaussian_nll', got True"):
        one.predict(X, return_std=True)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_means_and_standard_deviations_in_the_regressor():
    pytest.importorskip("sklearn")
    model = fb.MLPRegressor(loss="gaussian_nll", early_stopping=True, **SETTINGS).fit(X, Y)
    mean, std = model.predict(X, return_std=True)
    assert mean.shape == std.shape == (600,) and (model.predict(X) == mean).all()
    assert ((Y - mean) ** 2 / std**2).mean() == pytest.approx(1, abs=0.3) and model.score(X, Y) > 0.3
    several = fb.MLPRegressor(loss=fb.GaussianNLL(0.01), **(SETTINGS | {"max_iter": 2})).fit(X, X[:, :2])
    mean, std = several.predict(X, return_std=True)
    assert mean.shape == std.shape == (600, 2) and (std > 0).all()
    with pytest.raises(ValueError, match="loss must be one whose predictions scikit-learn can make"):
        model.to_sklearn()
