"""Shift, Flip and Noise: what they do to a training step, to nothing else, the same on any threads and when resumed."""

import contextlib
import os
import signal
import sys

import naive
import numpy as np
import pytest

import fastbp as fb

RNG = np.random.default_rng(0)
X = RNG.standard_normal((90, 2, 6, 7))
Y = RNG.integers(0, 3, 90)
ALL = (fb.Shift(2, fill=-0.4), fb.Flip(0.3), fb.Noise(0.2))


def network(shape=(2, 6, 7), **options):
    layers = [fb.Flatten(), fb.Dropout(0.2), fb.Dense(3)]
    return fb.Network(layers, shape, loss="cross_entropy", optimizer=fb.SGD(0.1), seed=0, **options)


def key_of(net):
    """The key of the first augmentation's random numbers."""
    plan = net.new_plan()
    return plan.key() % 2**64


@pytest.mark.parametrize(
    ("augmentation", "changed"),
    [
        (fb.Shift(2, fill=-0.4), lambda x, *of: naive.shift_maps(x, 2, 2, -0.4, *of)),
        (fb.Shift((1, 3)), lambda x, *of: naive.shift_maps(x, 1, 3, 0.0, *of)),
        (fb.Flip(), lambda x, *of: naive.flip_maps(x, 0.5, *of)),
        (fb.Noise(0.3), lambda x, *of: naive.add_noise(x, 0.3, *of)),
    ],
)
def test_training_with_it_is_training_on_changed_rows(augmentation, changed):
    net, plain = network(dtype="float64"), network(dtype="float64")
    for epoch in range(3):
        of = changed(X, key_of(net), epoch)  # a step an epoch
        assert (of != X).any()
        net.fit(X, Y, batch_size=90, shuffle=False, callbacks=augmentation, verbose=False)
        plain.fit(of, Y, batch_size=90, shuffle=False, verbose=False)
        np.testing.assert_allclose(net.params, plain.params, rtol=0, atol=1e-7)


def test_signals_are_shifted_and_flipped_along_their_length():
    net, plain = network((2, 42), dtype="float64"), network((2, 42), dtype="float64")
    x = X.reshape(90, 2, 1, 42)
    net.fit(x[:, :, 0], Y, batch_size=90, shuffle=False, callbacks=[fb.Shift(5)], verbose=False)
    of = naive.shift_maps(x, 0, 5, 0.0, key_of(net), 0)
    plain.fit(of[:, :, 0], Y, batch_size=90, shuffle=False, verbose=False)
    assert (net.params == plain.params).all()
    net.fit(x[:, :, 0], Y, callbacks=[fb.Flip(1), fb.Shift((3,))], verbose=False)


def test_training_alone_is_changed():
    """Validation, and what comes after fit, see the rows as they are."""
    net = network(dtype="float64")

    class Look:
        def on_epoch_end(self, net, epoch, logs):
            found = net.evaluate(X, Y)["loss"], net.value_and_grad(X, Y)[0]
            np.testing.assert_allclose(found, logs["val_loss"], rtol=1e-12)

    history = net.fit(X, Y, epochs=2, validation_data=(X, Y), callbacks=[*ALL, Look()], verbose=False).history
    assert (np.array(history["loss"]) > history["val_loss"]).all()
    again = network(dtype="float64")
    again.params[:] = net.params
    again.scalars[:] = net.scalars
    for n in (net, again):
        n.train_on_batch(X, Y)
    assert (net.params == again.params).all()


def test_twice_the_same_object_is_two_changes():
    found = []
    for callbacks in ([fb.Noise(0.2)], [fb.Noise(0.2)] * 2):
        net = network()
        net.fit(X, Y, callbacks=callbacks, verbose=False)
        assert net.in_step == ()
        found.append(net.params.copy())
    assert (found[0] != found[1]).any()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process")
@pytest.mark.parametrize("number", [1, 2])
def test_ctrl_c_as_training_begins_or_ends_leaves_no_augmentation(number, monkeypatch):
    """Be it in the middle of what makes the programs anew."""
    net, again, calls = network(), network(), []

    def new_plan(*args, make=net.new_plan, **options):
        calls.append(net.in_step)
        if len(calls) == number:
            signal.raise_signal(signal.SIGINT)
        return make(*args, **options)

    monkeypatch.setattr(fb.training.loop, "_interrupted", [-np.inf])
    monkeypatch.setattr(net, "new_plan", new_plan)
    with contextlib.suppress(KeyboardInterrupt):  # raised behind training
        net.fit(X, Y, callbacks=fb.Noise(0.2), verbose=False)
    assert [len(given) for given in calls] == [1, 0] and net.in_step == ()
    if number == 2:
        again.fit(X, Y, callbacks=fb.Noise(0.2), verbose=False)
    for n in (net, again):
        n.train_on_batch(X, Y)
    assert (net.params == again.params).all()


def test_the_same_bits_on_any_number_of_threads():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((300, 1, 28, 28), np.float32), rng.integers(0, 10, 300)
    found = []
    try:
        for threads in (1, 2):
            fb.set_num_threads(min(threads, os.cpu_count()))
            layers = [fb.Conv2D(8, 5, activation="relu"), fb.Flatten(), fb.Dense(10)]
            net = fb.Network(layers, (1, 28, 28), loss="cross_entropy", seed=0)
            net.fit(x, y, epochs=2, batch_size=128, callbacks=ALL, verbose=False)
            found.append(net.params.copy())
    finally:
        fb.set_num_threads(None)
    assert (found[0] == found[1]).all()


def test_a_run_that_goes_on_ends_with_the_same_bits(tmp_path):
    whole, broken = network(), network()
    whole.fit(X, Y, epochs=5, callbacks=[*ALL, fb.Checkpoint(tmp_path / "whole.npz")], verbose=False)

    class Crash:
        def on_epoch_end(self, net, epoch, logs):
            if epoch == 2:
                raise OSError("lost")

    path = tmp_path / "run.npz"
    with pytest.raises(OSError, match="lost"):
        broken.fit(X, Y, epochs=5, callbacks=[*ALL, Crash(), fb.Checkpoint(path)], resume_from=path, verbose=False)
    assert broken.in_step == ()
    resumed = fb.Network(
        [layer.layer for layer in whole.layers], (2, 6, 7), loss="cross_entropy", optimizer=fb.SGD(0.1), seed=9
    )
    resumed.fit(X, Y, epochs=5, callbacks=[*ALL, fb.Checkpoint(path)], resume_from=path, verbose=False)
    assert (resumed.params == whole.params).all()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fb.Shift(-1), ValueError, "pixels must be at least 0, got -1"),
        (lambda: fb.Shift(1.5), TypeError, "pixels must be an integer, got 1.5"),
        (lambda: fb.Shift((1, 2, 3)), ValueError, r"pixels must be a number or 2 of them, got \(1, 2, 3\)"),
        (lambda: fb.Shift(1, fill=np.nan), ValueError, "fill must be a finite number, got nan"),
        (lambda: fb.Flip(1.5), ValueError, "p must be a finite number at least 0 and at most 1, got 1.5"),
        (lambda: fb.Flip("often"), TypeError, "p must be a number, got 'often'"),
        (lambda: fb.Noise(-0.1), ValueError, "std must be a finite number at least 0, got -0.1"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("augmentation", "shape", "message"),
    [
        (fb.Shift(2), (84,), r"Shift takes rows of shape \(channels, height, width\) or .*, got \(84,\)"),
        (fb.Flip(), (84,), r"Flip takes rows of shape \(channels, height, width\) or .*, got \(84,\)"),
        (fb.Shift(6), (2, 6, 7), r"pixels must be less than the sizes of the maps, \(6, 7\), got 6"),
        (fb.Shift((1, 1)), (2, 42), r"pixels must be a number, got \(1, 1\)"),
        (fb.Shift((1,)), (2, 6, 7), r"pixels must be a number or 2 of them, got \(1,\)"),
    ],
)
def test_rows_that_do_not_fit(augmentation, shape, message):
    """Nothing has changed, and no other callback has been called."""
    net, called = network(shape), []

    class Note:
        def on_train_begin(self, net):
            called.append(net)

    before = net.params.copy()
    with pytest.raises(ValueError, match=message):
        net.fit(X.reshape(90, *shape), Y, callbacks=[Note(), augmentation], verbose=False)
    assert not called and (net.params == before).all() and net.in_step == ()


def test_noise_is_normal():
    """The first four moments of a million numbers, and no bias between places."""
    net = fb.Network([fb.Dense(1)], (1000,), loss="mse", seed=0)
    net.put_in_step((fb.Noise(1.0),))
    net.train_on_batch(np.zeros((1000, 1000)), np.zeros(1000))
    place = net.workspace(1)._resolve(net.plan.x.value) - net.workspace(1).arenas["work"].ctypes.data
    noise = net.workspace(1).arenas["work"][place // 4 :][: 1000 * 1000].astype(np.float64)
    found = [noise.mean(), noise.var(), (noise**3).mean(), (noise**4).mean()]
    np.testing.assert_allclose(found, [0, 1, 0, 3], rtol=0, atol=0.03)
    assert 4.5 < np.abs(noise).max() < 5.5
    columns = noise.reshape(1000, 1000)
    assert np.abs(columns.mean(axis=0)).max() < 0.15 and np.abs(columns.mean(axis=1)).max() < 0.15


def test_shown_as_they_are_made():
    assert [repr(a) for a in ALL] == ["Shift(2, fill=-0.4)", "Flip(0.3)", "Noise(0.2)"]
