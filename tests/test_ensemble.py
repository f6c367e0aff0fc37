"""Ensembles: the same bits as members trained alone, several at once."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from support import run_python

import fastbp as fb
from fastbp._jit import threading_layer


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
