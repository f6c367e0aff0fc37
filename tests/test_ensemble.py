"""Ensembles: the same bits as members trained alone, several at once."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from support import run_python

import fastbp as fb
from fastbp.formats import files
from fastbp.runtime.threads import threading_layer


def template(**options):
    layers = [fb.Dense(16, "tanh"), fb.Dropout(0.2), fb.Dense(3)]
    return fb.Network(layers, (5,), **{"loss": "cross_entropy", "seed": 7, **options})


def data(rows=100):
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, 5)), rng.integers(0, 3, rows)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_as_alone(dtype):
    (X, y), net = data(), template(dtype=dtype, optimizer=fb.Adam(fb.CosineDecay(0.01, 30)))
    before, ensemble = net.params.copy(), fb.Ensemble(net, 5, seeds=[7, 3, 4, 3, 10**9])
    options = dict(epochs=4, batch_size=16, validation_split=0.1, verbose=False)
    for _ in range(2):  # the second goes on from the first
        histories = ensemble.fit(X, y, **options)
    assert (net.params == before).all() and net.epochs_trained == 0
    outputs = []
    for member, history, seed in zip(ensemble.members, histories, [7, 3, 4, 3, 10**9], strict=True):
        alone = template(dtype=dtype, optimizer=fb.Adam(fb.CosineDecay(0.01, 30)), seed=seed)
        for _ in range(2):
            want = alone.fit(X, y, **options)
        assert (member.params == alone.params).all() and member.seed == seed
        assert history.history == want.history and history.stopped == "epochs"
        outputs.append(alone.predict(X))
    spread = ensemble.predict(X)
    np.testing.assert_allclose(spread.mean, np.mean(outputs, axis=0), rtol=1e-6)
    np.testing.assert_allclose(spread.std, np.std(outputs, axis=0), rtol=1e-4, atol=1e-7)
    assert spread.mean.dtype == spread.std.dtype == net.dtype


def test_members_are_like_the_network():
    ensemble = fb.Ensemble(template(), 3)
    assert [member.seed for member in ensemble.members] == [7, 8, 9] and len(ensemble) == 3
    assert (ensemble.members[0].params == template().params).all()
    assert not (ensemble.members[1].params == template().params).all()
    assert repr(ensemble) == f"<Ensemble: 3 of {template()!r}>"


def test_members_train_at_the_same_time():
    """Each waits for the other: were they trained one after the other, that would time out."""
    code = """
import threading, numpy as np, fastbp as fb
both = threading.Barrier(2, timeout=60)
def meet(y_true, y_pred):
    both.wait()
    return 0.0
net = fb.Network([fb.Dense(2)], (1,), loss="mse", seed=0)
X, y = np.ones((10, 1)), np.ones((10, 2))
fb.Ensemble(net, 2).fit(X, y, epochs=3, validation_data=(X, y), metrics=[meet], verbose=False)
"""
    if threading_layer() == "workqueue":
        pytest.skip("Numba found no threading layer that is used")
    result = run_python(code, NUMBA_NUM_THREADS="2")
    assert result.returncode == 0, result.stderr


def test_lines_of_progress(capsys):
    fb.Ensemble(template(), 2).fit(*data(), epochs=2)
    lines = sorted(capsys.readouterr().err.splitlines())
    assert [line.split(":")[0] for line in lines] == ["member 0", "member 1"]
    assert all("2 epochs in" in line and "loss" in line for line in lines)
    fb.Ensemble(template(), 2).fit(*data(), verbose=0)
    assert not capsys.readouterr().err


def test_a_member_that_diverges_does_not_stop_the_others():
    net = fb.Network([fb.Dense(1)], (1,), loss="mse", optimizer=fb.SGD(0.1), seed=0)
    ensemble = fb.Ensemble(net, 3)
    ensemble.members[1].learning_rate = 1e30
    X = np.ones((20, 1), np.float32)
    with pytest.raises(fb.DivergedError, match="member 1: the loss became"):
        ensemble.fit(X, X, epochs=5, verbose=False)
    assert [member.epochs_trained for member in ensemble.members] == [5, 1, 5]  # its loss is that before the step


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals work differently on this platform")
def test_ctrl_c_ends_all():
    X, y = data(5000)
    ensemble = fb.Ensemble(template(), 40)
    ensemble.fit(X, y, verbose=False)

    def interrupt():
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    histories = ensemble.fit(X, y, epochs=10_000, verbose=False)
    assert len(histories) == 40 and all(history.stopped == "interrupted" for history in histories)
    assert len(histories[0].epoch) > 0 and len(histories[-1].epoch) == 0
    assert ensemble.fit(X, y, verbose=False)[0].stopped == "epochs"


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((None, 3), {}, TypeError, "net must be a Network, got None"),
        ((template(), 0), {}, ValueError, "n must be at least 1, got 0"),
        ((template(), 2.0), {}, TypeError, "n must be an integer, got 2.0"),
        ((template(), 2), {"seeds": 3}, TypeError, "seeds must be 2 integers or None, got 3"),
        ((template(), 2), {"seeds": [1, 2, 3]}, ValueError, "seeds must be 2 integers, one for each member, got 3"),
        ((template(), 2), {"seeds": [1, -1]}, ValueError, "seeds must be at least 0, got -1"),
        ((template(), 2), {"seeds": [1, 0.5]}, TypeError, "seeds must be an integer, got 0.5"),
    ],
)
def test_bad_arguments(arguments, options, error, message):
    with pytest.raises(error, match=message):
        fb.Ensemble(*arguments, **options)


def test_bad_arguments_of_fit_and_predict():
    (X, y), ensemble = data(), fb.Ensemble(template(), 2)
    before = [member.params.copy() for member in ensemble.members]
    for call, error, message in (
        (lambda: ensemble.fit(X[:, :4], y), ValueError, r"X must have shape \(rows, 5\), got \(100, 4\)"),
        (lambda: ensemble.fit([(X, y)], None), TypeError, "y must be given"),
        (lambda: ensemble.fit(X, y, epochs=0), ValueError, "epochs must be at least 1, got 0"),
        (lambda: ensemble.fit(X, y, verbose="no"), TypeError, "verbose must be True or False, got 'no'"),
        (lambda: ensemble.predict(X[:, :4]), ValueError, r"X must have shape \(rows, 5\), got \(100, 4\)"),
    ):
        with pytest.raises(error, match=message):
            call()
    assert all((member.params == kept).all() for member, kept in zip(ensemble.members, before, strict=True))


# --- evaluate -----------------------------------------------------------------------------------------

VALUES = np.random.default_rng(1).uniform(0, 1, (100, 3))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("loss", "y", "want"),
    [
        ("mse", VALUES, lambda p, y: ((p - y) ** 2).mean()),
        ("mae", VALUES, lambda p, y: np.abs(p - y).mean()),
        ("hinge", np.sign(VALUES - 0.5), lambda p, y: np.maximum(0, 1 - p * y).mean()),
        ("cross_entropy", None, lambda p, y: -np.log(p[np.arange(100), y]).mean()),
        ("binary_cross_entropy", VALUES, lambda p, y: -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()),
        ("poisson", VALUES, lambda p, y: (p - y * np.log(p)).mean()),
    ],
)
def test_evaluate_is_of_the_mean_prediction(loss, y, want, dtype):
    X, labels = data()
    y = labels if y is None else y
    ensemble = fb.Ensemble(template(loss=loss, dtype=dtype), 3)
    ensemble.fit(X, y, epochs=3, verbose=False)
    found, p = ensemble.evaluate(X, y), ensemble.predict(X).mean.astype(float)
    assert found["loss"] == pytest.approx(want(p, y), rel=1e-5)
    if loss == "cross_entropy":
        assert found["accuracy"] == pytest.approx((p.argmax(axis=1) == y).mean())
    one = fb.Ensemble(template(loss=loss, dtype=dtype), 1)
    assert one.evaluate(X, y) == pytest.approx(one.members[0].evaluate(X, y), rel=1e-5)


def test_evaluate_takes_weights_and_metrics():
    (X, y), ensemble = data(), fb.Ensemble(template(dtype="float64"), 3)
    p, weight = ensemble.predict(X).mean, np.linspace(0, 2, 100)
    found = ensemble.evaluate(X, y, sample_weight=weight, class_weight={1: 3.0}, metrics="auc")
    row = -np.log(p[np.arange(100), y]) * weight * np.where(y == 1, 3.0, 1.0)
    assert found["loss"] == pytest.approx(row.mean(), rel=1e-12)
    assert found["auc"] == pytest.approx(fb.metrics.auc(y, p, weight), rel=1e-12)


def test_evaluate_of_means_and_variances():
    X, _ = data()
    y = X[:, :1]
    layers = [fb.Dense(6, "tanh"), fb.Dense(2)]
    ensemble = fb.Ensemble(fb.Network(layers, (5,), loss="gaussian_nll", dtype="float64", seed=0), 3)
    mean, variance = ensemble.predict(X).mean.T
    want = 0.5 * (np.log(variance) + (y[:, 0] - mean) ** 2 / variance).mean()
    found = ensemble.evaluate(X, y, metrics="mae")
    assert found == pytest.approx({"loss": want, "mae": np.abs(mean - y[:, 0]).mean()}, rel=1e-12)


def test_predictions_of_any_size_are_averaged():
    """Probabilities that round to 0 or 1 have logarithms still."""
    for loss, units, y in (("cross_entropy", 2, [1]), ("binary_cross_entropy", 1, [0])):
        net = fb.Network([fb.Dense(units, bias=False)], (1,), loss=loss, seed=0)
        ensemble = fb.Ensemble(net, 2)
        for member, size in zip(ensemble.members, (200.0, 400.0), strict=True):
            member.params[:] = 0
            member.params[0] = size
        assert ensemble.evaluate([[1.0]], y)["loss"] == pytest.approx(200 + np.log(2), rel=1e-5)


def test_what_evaluate_refuses():
    (X, y), ensemble = data(), fb.Ensemble(template(), 2)
    with pytest.raises(TypeError, match="y must be given: an ensemble takes no iterable of batches"):
        ensemble.evaluate([(X, y)], None)
    with pytest.raises(ValueError, match="y must hold labels 0 to 2"):
        ensemble.evaluate(X, y + 1)
    own = fb.CustomLoss(lambda z, t: (z - t) ** 2, lambda z, t: 2 * (z - t), link="tanh", name="own")
    with pytest.raises(ValueError, match="evaluate needs a loss whose link can be inverted, got 'tanh' of Custom"):
        fb.Ensemble(template(loss=own), 2).evaluate(X, VALUES)


# --- files --------------------------------------------------------------------------------------------


def test_save_and_load(tmp_path):
    (X, y), path = data(), tmp_path / "ensemble.npz"
    ensemble = fb.Ensemble(template(optimizer=fb.Adam(0.01)), 3, seeds=[5, 1, 9])
    ensemble.fit(X, y, epochs=2, verbose=False)
    ensemble.save(path)
    again = fb.Ensemble.load(path)
    assert [member.seed for member in again.members] == [5, 1, 9] and repr(again) == repr(ensemble)
    for each in (ensemble, again):  # training goes on
        each.fit(X, y, epochs=2, verbose=False)
    for mine, its in zip(ensemble.members, again.members, strict=True):
        assert all((array == its.arrays()[name]).all() for name, array in mine.arrays().items())
    assert (again.predict(X).mean == ensemble.predict(X).mean).all()
    ensemble.save(path, extra={"names": ["a"]})
    assert fb.Ensemble.load(path).members[2].extra == {"names": ["a"]}


def test_files_of_one_kind_are_not_taken_for_the_other(tmp_path):
    ensemble, net = tmp_path / "ensemble.npz", tmp_path / "net.npz"
    fb.Ensemble(template(), 2).save(ensemble)
    template().save(net)
    with pytest.raises(ValueError, match=r"ensemble.npz holds an ensemble: fb.Ensemble.load gives it back"):
        fb.load(ensemble)
    with pytest.raises(ValueError, match=r"net.npz holds one network: fb.load gives it back"):
        fb.Ensemble.load(net)
    with pytest.raises(ValueError, match="holds an ensemble"):
        template().fit(*data(), resume_from=ensemble, verbose=False)
    with pytest.raises(TypeError, match="custom_objects must be a mapping"):
        fb.Ensemble.load(ensemble, custom_objects=3)
    with pytest.raises(FileNotFoundError):
        fb.Ensemble.load(tmp_path / "none.npz")


@pytest.mark.parametrize("members", [None, [], 3, [1], {}])
def test_a_header_that_is_none(members, tmp_path):
    path = tmp_path / "ensemble.npz"
    fb.Ensemble(template(), 2).save(path)
    header, arrays = files.read(path)
    files.write(path, {**header, "members": members}, arrays)
    with pytest.raises(fb.FileFormatError, match="is not a valid fastbp ensemble: it has no list of members"):
        fb.Ensemble.load(path)
    files.write(path, {**header, "members": [*header["members"], header["members"][0]]}, arrays)
    with pytest.raises(fb.FileFormatError):
        fb.Ensemble.load(path)


def test_parts_of_ones_own_in_files(tmp_path):
    own = fb.CustomActivation(lambda z: z * z, lambda z: 2 * z, name="square")
    net, path = fb.Network([fb.Dense(3, own), fb.Dense(3)], (5,), loss="mse", seed=0), tmp_path / "ensemble.npz"
    ensemble = fb.Ensemble(net, 2)
    ensemble.save(path)
    X, _ = data()
    again = fb.Ensemble.load(path, custom_objects={"square": own})
    assert (again.predict(X).mean == ensemble.predict(X).mean).all()
    with pytest.raises(ValueError, match="custom_objects must hold the parts of one's own"):
        fb.Ensemble.load(path)


# --- callbacks ----------------------------------------------------------------------------------------


class Writer:
    """Says that it writes a file."""

    def __init__(self, path):
        self.writes_to = path

    def on_train_end(self, net):
        pass


class Stop:
    """Stops a member after some epochs, and counts."""

    def __init__(self, epochs):
        self.epochs, self.seen = epochs, 0

    def on_epoch_end(self, net, epoch, logs):
        self.seen += 1
        net.stop_training = self.seen == self.epochs


def test_each_member_has_copies_of_the_callbacks():
    (X, y), ensemble, stop = data(), fb.Ensemble(template(), 3), Stop(2)
    histories = ensemble.fit(X, y, epochs=9, callbacks=[stop], verbose=False)
    assert [len(history.epoch) for history in histories] == [2, 2, 2] and stop.seen == 0
    assert all(history.stopped == "callback" for history in histories)
    histories = ensemble.fit(X, y, epochs=3, callbacks=stop, verbose=False)  # one, in no list
    assert [len(history.epoch) for history in histories] == [2, 2, 2]


def test_callbacks_that_fastbp_has():
    (X, y), options = data(), dict(epochs=30, validation_split=0.3, verbose=False)
    ensemble = fb.Ensemble(template(optimizer=fb.Adam(0.05)), 2)
    histories = ensemble.fit(X, y, callbacks=[fb.Noise(0.1), fb.EarlyStopping(patience=3)], **options)
    for member, history, seed in zip(ensemble.members, histories, (7, 8), strict=True):
        alone = template(optimizer=fb.Adam(0.05), seed=seed)
        want = alone.fit(X, y, callbacks=[fb.Noise(0.1), fb.EarlyStopping(patience=3)], **options)
        assert history.history == want.history and (member.params == alone.params).all()


def test_callbacks_by_number(tmp_path):
    (X, y), ensemble, stops = data(), fb.Ensemble(template(), 3), [Stop(1), Stop(2), Stop(3)]

    def callbacks(number):
        return [stops[number], fb.Checkpoint(tmp_path / f"{number}.npz")]

    histories = ensemble.fit(X, y, epochs=9, callbacks=callbacks, verbose=False)
    assert [len(history.epoch) for history in histories] == [stop.seen for stop in stops] == [1, 2, 3]
    for number, member in enumerate(ensemble.members):
        assert (fb.load(tmp_path / f"{number}.npz").params == member.params).all()


class Locked:
    def __init__(self):
        self.lock = threading.Lock()

    def on_epoch_end(self, net, epoch, logs):
        pass


def test_bad_callbacks(tmp_path):
    shared = fb.EarlyStopping("loss")
    (X, y), ensemble = data(), fb.Ensemble(template(), 2)
    before = [member.params.copy() for member in ensemble.members]
    for callbacks, error, message in (
        (3, TypeError, "callbacks must be a sequence of callbacks, got 3"),
        (fb.EarlyStopping, TypeError, "callbacks must be an object such as EarlyStopping"),
        (
            [fb.EarlyStopping()],
            ValueError,
            "monitor must be one of 'loss', 'accuracy', got 'val_loss'; there is no val",
        ),
        (lambda i: [Stop(1), 3][: i + 1], TypeError, "callbacks must have a method .*, got 3"),
        (
            [fb.Checkpoint(tmp_path / "a.npz")],
            ValueError,
            r"not write one file for several .*a.npz: give callbacks=lamb",
        ),
        (lambda i: [shared], ValueError, "got one EarlyStopping for members 0 and 1: make new"),
        ([Locked()], TypeError, "must be such that copy.deepcopy can copy.*cannot pickle.*callbacks=lambda i:"),
        ([fb.CSVLogger(tmp_path / "a.csv")], ValueError, r"callbacks must not write one file for several members"),
        (Writer(tmp_path / "a.txt"), ValueError, r"callbacks must not write one file for several members, got .*a.txt"),
        (lambda i: fb.Checkpoint(tmp_path / "a.npz"), ValueError, r"must not write one file for several members"),
    ):
        with pytest.raises(error, match=message):
            ensemble.fit(X, y, callbacks=callbacks, verbose=False)
    with pytest.raises(TypeError, match=r"validation_data must be .*: an ensemble takes no iterable of batches"):
        ensemble.fit(X, y, validation_data=iter([(X, y)]), verbose=False)
    assert all((member.params == kept).all() for member, kept in zip(ensemble.members, before, strict=True))
