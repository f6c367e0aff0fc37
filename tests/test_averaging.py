"""EMA: the average itself, when the network has it, on any threads, with other callbacks, through checkpoints."""

import os
import warnings

import numpy as np
import pytest

import fastbp as fb

pytestmark = pytest.mark.filterwarnings("ignore:EMA.* after .* steps")  # that they are few

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((90, 5)), RNG.integers(0, 3, 90)
BATCHES = [slice(lo, lo + 32) for lo in range(0, 90, 32)]


def make(dtype="float64", optimizer=None, layers=None):
    layers = layers or [fb.Dense(9, "tanh"), fb.Dense(3)]
    return fb.Network(layers, (5,), loss="cross_entropy", optimizer=optimizer or fb.Adam(0.02), dtype=dtype, seed=0)


def by_hand(net, decay, epochs, layers=None):
    """The averages (epochs, num_params) behind each epoch, of a network that is trained without; it trains `net`."""
    average, found = net.params.astype(np.float64), []
    for _ in range(epochs):
        for batch in BATCHES:
            net.train_on_batch(X[batch], Y[batch])
            average = decay * average + (1 - decay) * net.params
        found.append(average)
    return np.array(found)


def fit(net, callbacks, epochs=4, **options):
    return net.fit(X, Y, epochs=epochs, batch_size=32, shuffle=False, callbacks=callbacks, verbose=False, **options)


LAYERS = {
    "dense": None,
    "frozen": [fb.Dense(9, "tanh", trainable=False), fb.Dense(7, "relu"), fb.Dense(3)],
    "norms": [fb.Dense(9, bias=False), fb.BatchNorm(), fb.LayerNorm(), fb.Residual([fb.Dense(9, "tanh")]), fb.Dense(3)],
}


@pytest.mark.parametrize("optimizer", [fb.SGD(0.1), fb.Adam(0.02, clip_norm=0.1, gradient_noise=1e-4)])
@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize(("dtype", "near"), [("float32", 1e-6), ("float64", 1e-14)])
def test_the_average_is_that_of_every_step(dtype, near, layers, optimizer):
    """And training is what it is without."""
    for decay in (0.0, 0.9, 0.9999):
        net, plain = (make(dtype, optimizer, LAYERS[layers]) for _ in "ab")
        history, averages = fit(net, fb.EMA(decay)).history, by_hand(plain, decay, 4)
        np.testing.assert_allclose(net.params, averages[-1], rtol=0, atol=near)
        assert (net.state == plain.state).all() and (net.statistics == plain.statistics).all()
        assert history == fit(make(dtype, optimizer, LAYERS[layers]), ()).history
        assert decay == 0 or (net.params != plain.params).any()
        assert net.in_step == ()


@pytest.mark.oracle
def test_pytorch_has_the_same_average():
    torch = pytest.importorskip("torch")
    net, plain = make(), make()
    fit(net, fb.EMA(0.95))
    average = torch.tensor(plain.params.copy())
    update = torch.optim.swa_utils.get_ema_multi_avg_fn(0.95)
    for _ in range(4):
        for batch in BATCHES:
            plain.train_on_batch(X[batch], Y[batch])
            update([average], [torch.tensor(plain.params)], None)
    np.testing.assert_allclose(net.params, average.numpy(), rtol=0, atol=1e-14)


class Note:
    """Keeps what the network has, and what it gives, when a callback is called."""

    def __init__(self):
        self.params, self.losses, self.logs = [], [], []

    def on_epoch_end(self, net, epoch, logs):
        self.params.append(net.params.copy())
        self.losses.append(net.evaluate(X, Y)["loss"])
        self.logs.append(logs["val_loss"])


def test_validation_and_callbacks_get_the_average():
    net, note = make(), Note()
    averages = by_hand(make(), 0.9, 4)
    history = fit(net, [fb.EMA(0.9), note], validation_data=(X, Y)).history
    np.testing.assert_allclose(note.params, averages, rtol=0, atol=1e-14)
    assert note.losses == note.logs == history["val_loss"]
    other = make()
    other.params = averages[2]
    assert history["val_loss"][2] == pytest.approx(other.evaluate(X, Y)["loss"], rel=1e-12)


@pytest.mark.parametrize("first", [True, False])
def test_the_best_epoch_is_that_of_the_average(first):
    """What was validated is what comes back, in whichever order the callbacks are given."""
    rng = np.random.default_rng(1)
    validation = rng.standard_normal((60, 5)), rng.integers(0, 3, 60)  # noise: it gets worse
    net, averages = make(), by_hand(make(), 0.8, 60)
    stopping = fb.EarlyStopping("val_loss", patience=3)
    callbacks = [fb.EMA(0.8), stopping] if first else [stopping, fb.EMA(0.8)]
    history = fit(net, callbacks, epochs=60, validation_data=validation)
    assert 0 < stopping.best_epoch < len(history.epoch) - 1 < 59
    np.testing.assert_allclose(net.params, averages[stopping.best_epoch], rtol=0, atol=1e-14)
    assert net.evaluate(*validation)["loss"] == stopping.best == min(history.history["val_loss"])


def test_epochs_together_and_one_by_one_are_the_same():
    together, alone = make("float32"), make("float32")
    at_once = []

    class One:
        def on_epoch_end(self, net, epoch, logs):
            at_once.append(epoch)

    fit(together, fb.EMA(0.9), epochs=300)
    fit(alone, [fb.EMA(0.9), One()], epochs=300)
    assert len(at_once) == 300 and (together.params == alone.params).all()


def test_the_same_bits_on_any_number_of_threads():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((300, 200), np.float32), rng.integers(0, 10, 300)
    found = []
    try:
        for threads in (1, 2):
            fb.set_num_threads(min(threads, os.cpu_count()))
            layers = [fb.Dense(300, "relu"), fb.Dense(300, "relu"), fb.Dense(10)]
            net = fb.Network(layers, (200,), loss="cross_entropy", seed=0)
            net.fit(x, y, epochs=2, batch_size=128, callbacks=fb.EMA(0.9), verbose=False)
            found.append(net.params.copy())
    finally:
        fb.set_num_threads(None)
    assert (found[0] == found[1]).all()


def test_fit_goes_on_from_the_average():
    net, plain = make(), make()
    fit(net, fb.EMA(0.9))
    plain.params = net.params
    plain.state[:], plain.scalars[:] = net.state, net.scalars
    fit(net, ())
    fit(plain, ())
    assert (net.params == plain.params).all()


def test_a_run_that_goes_on_ends_with_the_same_bits(tmp_path):
    """Its checkpoint is of the average; training's own parameters are in it too."""
    whole, broken, resumed = make(), make(), make()
    noted = Note()

    def run(net, path, *callbacks):
        callbacks = [fb.EMA(0.9), fb.EarlyStopping(patience=50), *callbacks, fb.Checkpoint(path)]
        return net.fit(
            X, Y, 6, 32, callbacks=callbacks, resume_from=path, validation_data=(X, Y), verbose=False
        ).history

    class Crash:
        def on_epoch_end(self, net, epoch, logs):
            if epoch == 3:
                raise OSError("lost")

    history = run(whole, tmp_path / "whole.npz", noted)
    with pytest.raises(OSError, match="lost"):
        run(broken, tmp_path / "run.npz", Crash())
    assert broken.in_step == ()
    assert (fb.load(tmp_path / "run.npz").params == noted.params[2]).all()
    assert (broken.params == noted.params[3]).all()
    assert run(resumed, tmp_path / "run.npz") == history
    assert (resumed.params == whole.params).all() and (resumed.state == whole.state).all()


def test_a_checkpoint_with_another_average_is_refused(tmp_path):
    path, net = tmp_path / "run.npz", make()
    fit(net, [fb.EMA(0.9), fb.Checkpoint(path)])
    before = net.params.copy()
    with pytest.raises(ValueError, match=r"callbacks with a state must be those of .*: EMA, got none"):
        fit(net, (), resume_from=path)
    header, arrays = fb.formats.files.read(path)
    fb.formats.files.write(path, header, {**arrays, "callback0.params": arrays["callback0.params"] * np.nan})
    with pytest.raises(fb.FileFormatError, match="no valid state of EMA"):
        fit(net, fb.EMA(0.9), epochs=5, resume_from=path)
    assert (net.params == before).all() and net.in_step == ()


@pytest.mark.parametrize("validated", [False, True])
def test_training_that_diverges_leaves_the_average_of_the_last_good_epoch(validated):
    """One epoch after the other, or all together: then it is done again one by one, to say what is wrong."""
    y = RNG.standard_normal(90)
    options = dict(validation_data=(X, y)) if validated else {}
    net, twin = (fb.Network([fb.Dense(1)], (5,), loss="mse", optimizer=fb.SGD(3.0), seed=0) for _ in "ab")
    with pytest.raises(fb.DivergedError, match="in epoch") as error:
        net.fit(X, y, 200, 32, callbacks=fb.EMA(0.5), verbose=False, **options)
    good = int(str(error.value).split("in epoch ")[1].split(",")[0]) - 1
    assert good > 0
    twin.fit(X, y, good, 32, callbacks=fb.EMA(0.5), verbose=False)
    assert (net.params == twin.params).all() and net.in_step == ()


def test_ctrl_c_leaves_the_average():
    """In the middle of an epoch, too."""
    net, plain = make(), make()

    class Interrupt:
        steps = 0

        def on_chunk_end(self, net):
            self.steps += 1
            if self.steps == 5:
                raise KeyboardInterrupt

    batches = [(X[batch], Y[batch]) for batch in BATCHES]
    history = net.fit(batches, epochs=4, callbacks=[Interrupt(), fb.EMA(0.9)], verbose=False)
    assert history.stopped == "interrupted" and len(history.epoch) == 1
    average = plain.params.copy()
    for batch in (*BATCHES, *BATCHES[:2]):
        plain.train_on_batch(X[batch], Y[batch])
        average = 0.9 * average + 0.1 * plain.params
    np.testing.assert_allclose(net.params, average, rtol=0, atol=1e-14)


def test_steps_that_a_callback_makes_are_training():
    """With training's own parameters, and they count in the average."""

    class Step:
        def on_epoch_end(self, net, epoch, logs):
            net.train_on_batch(X[:10], Y[:10])
            net.apply_gradients(net.value_and_grad(X[:10], Y[:10])[1])

    net, plain = make(), make()
    fit(net, [Step(), fb.EMA(0.9)], epochs=1)
    average = by_hand(plain, 0.9, 1)[0]
    plain.train_on_batch(X[:10], Y[:10])
    average = 0.9 * average + 0.1 * plain.params
    twin = make()
    twin.params = average  # value_and_grad is of the network as the callback sees it
    plain.apply_gradients(twin.value_and_grad(X[:10], Y[:10])[1])
    average = 0.9 * average + 0.1 * plain.params
    np.testing.assert_allclose(net.params, average, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("decay", "error", "message"),
    [
        (1, ValueError, "decay must be at least 0 and less than 1, got 1"),
        (-0.1, ValueError, "decay must be a finite number at least 0, got -0.1"),
        (np.nan, ValueError, "decay must be a finite number at least 0, got nan"),
        ("slow", TypeError, "decay must be a number, got 'slow'"),
    ],
)
def test_bad_arguments(decay, error, message):
    with pytest.raises(error, match=message):
        fb.EMA(decay)


def test_two_of_them_are_refused():
    net, called = make(), []

    class Begin:
        def on_train_begin(self, net):
            called.append(net)

    with pytest.raises(ValueError, match="callbacks must hold at most one EMA, got 2"):
        fit(net, [Begin(), fb.EMA(0.9), fb.EMA(0.99)])

    class Again:
        def on_epoch_end(self, net, epoch, logs):
            fit(net, fb.EMA(0.99))

    with pytest.raises(ValueError, match="callbacks must hold at most one EMA, got 2"):
        fit(net, [fb.EMA(0.9), Again()])
    assert not called and net.in_step == ()


def test_one_of_another_network_is_refused():
    net, other, average = make(), make(), fb.EMA(0.9)

    class Other:
        def on_epoch_end(self, net, epoch, logs):
            with pytest.raises(ValueError, match="an EMA of their own, got one that another network's fit is using"):
                fit(other, average)
            fit(other, fb.EMA(0.9))
            fit(net, (), epochs=1)  # which the average takes in

    fit(net, [average, Other()], epochs=2)
    fit(other, average)


def test_shown_as_it_is_made_and_monitors_may_follow_it():
    assert repr(fb.EMA(0.99)) == "EMA(0.99)" and fb.EMA().decay == 0.999
    with pytest.raises(ValueError, match="monitor must be one of"):
        fit(make(), [fb.EMA(), fb.EarlyStopping("val_los")])


def test_too_few_steps_for_the_decay_are_told():
    """Most of the average is then what training began with; a second fit begins with what the first has learnt."""
    net = make()
    with pytest.warns(RuntimeWarning, match=r"EMA\(0.999\) after 6 steps: 99% of the average is what .* EMA\(0.5\)"):
        fit(net, fb.EMA(0.999), epochs=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(net, fb.EMA(0.999))
        fit(make(), fb.EMA(0.5))


@pytest.mark.parametrize("twice", [False, True])
def test_a_step_within_an_epoch_leaves_training_to_its_own_parameters(twice):
    """Of an iterable that steps, whose steps are a part of the average and change nothing else."""

    class Stepping:
        def __init__(self, net):
            self.net = net

        def __iter__(self):
            for batch in BATCHES:
                for _ in range(1 + twice):
                    self.net.apply_gradients(np.zeros(self.net.num_params))
                yield X[batch], Y[batch]

    net, plain = make(optimizer=fb.SGD(0.1)), make(optimizer=fb.SGD(0.1))
    histories = [
        of.fit(Stepping(of), epochs=4, callbacks=callbacks, verbose=False).history
        for of, callbacks in ((net, fb.EMA(0.9)), (plain, ()))
    ]
    assert histories[0] == histories[1]
    assert (net.params != plain.params).any() and not net.under_way


def test_an_average_that_begins_while_another_thread_steps():
    net, plain = make(optimizer=fb.SGD(0.1)), make(optimizer=fb.SGD(0.1))
    average = fb.EMA(0.9)
    with net.steps():  # as of an epoch in another thread
        average.on_train_begin(net)
        net.train_on_batch(X, Y)
        plain.train_on_batch(X, Y)
        assert (net.params == plain.params).all()
    assert (net.params != plain.params).any()
    average.on_train_end(net)
    assert (net.params != plain.params).any() and net.in_step == ()
