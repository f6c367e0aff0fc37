"""The object API: what its calls return, and what they leave alone."""

import copy
import pickle
import signal
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor

import naive
import numpy as np
import pytest
from cases import batch, network
from support import run_python

import fastbp as fb
from fastbp.runtime import locks
from fastbp.training import feeds


@pytest.fixture
def digits():
    """A classifier and data that it can learn."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 200)
    X = rng.standard_normal((200, 4)) + 3 * np.eye(4)[y]
    net = fb.Network([fb.Dense(16, activation="relu"), fb.Dense(3)], (4,), loss="cross_entropy", seed=0)
    return net, X, y


def test_fit_learns_and_records(digits):
    net, X, y = digits
    history = net.fit(X, y, epochs=30, batch_size=16, validation_data=(X[:50], y[:50]), verbose=False)
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert all(len(values) == 30 for values in history.history.values())
    assert history.history["loss"][-1] < 0.3 * history.history["loss"][0]
    assert net.evaluate(X, y)["accuracy"] > 0.95
    assert history.history["val_loss"][-1] == net.evaluate(X[:50], y[:50])["loss"]
    assert net.epochs_trained == 30 and net.steps_trained == 30 * 13
    assert history.stopped == "epochs" and history.epoch == list(range(30)) and "30 epochs" in repr(history)


def test_recorded_loss_is_the_mean_of_the_losses_before_each_step(digits):
    net, X, y = digits
    twin = copy.deepcopy(net)
    history = net.fit(X, y, batch_size=64, shuffle=False, verbose=False)
    losses = [twin.train_on_batch(X[i : i + 64], y[i : i + 64]) * len(y[i : i + 64]) for i in range(0, 200, 64)]
    assert history.history["loss"] == [pytest.approx(sum(losses) / 200, rel=1e-12)]
    assert (net.params == twin.params).all()


def test_shuffling_visits_every_row_once_an_epoch_in_another_order():
    """With a network that only adds up its inputs' gradients, the step tells which rows were in the batch."""
    X = np.eye(8)
    net = fb.Network([fb.Dense(1, bias=False, kernel_init="zeros")], (8,), loss="mse", optimizer=fb.SGD(0.5), seed=3)
    seen = []

    class Recorder:
        def on_epoch_end(self, net, epoch, logs):
            seen.append(net.params.copy())

    net.fit(X, np.ones(8), epochs=1, batch_size=1, callbacks=[Recorder()], verbose=False)
    assert (seen[0] == 1).all()  # each row moved its own weight once: from 0 by 0.5 · 2 · 1


def test_orders_are_those_of_the_naive_shuffle():
    key = fb.Network([fb.Dense(1)], (1,), loss="mse", seed=3).shuffle_key()
    for rows in (1, 2, 3, 100):
        orders = feeds.draw_orders(key, range(5, 9), rows)
        want = [naive.shuffled(rows, key % 2**64, epoch, 0) for epoch in range(5, 9)]
        assert (orders == want).all() and orders.dtype == np.int64
        shuffle = feeds.Shuffle(key, 6)
        assert (shuffle.order(rows) == want[1]).all()
        assert (shuffle.order(rows) == naive.shuffled(rows, key % 2**64, 6, 1)).all()


def test_orders_are_all_equally_likely():
    """Each of the 24 orders of four rows comes as often as the others: χ² of 23 degrees of freedom."""
    for seed in range(3):
        key = fb.Network([fb.Dense(1)], (1,), loss="mse", seed=seed).shuffle_key()
        orders = feeds.draw_orders(key, range(24_000), 4)
        counts = np.unique(orders @ [1000, 100, 10, 1], return_counts=True)[1]
        assert len(counts) == 24 and ((counts - 1000) ** 2 / 1000).sum() < 60  # 1 - 4·10⁻⁵
        first = np.bincount(feeds.draw_orders(key, range(3000), 100)[:, 0], minlength=100)
        assert ((first - 30) ** 2 / 30).sum() < 170


def test_fit_goes_on_where_it_stands(digits):
    net, X, y = digits
    twin = copy.deepcopy(net)
    net.fit(X, y, epochs=5, verbose=False)
    twin.fit(X, y, epochs=2, verbose=False)
    twin.fit(X, y, epochs=3, verbose=False)
    assert (net.params == twin.params).all() and net.steps_trained == twin.steps_trained


def test_batch_larger_than_the_data_is_one_step_of_all_rows(digits):
    net, X, y = digits
    twin = copy.deepcopy(net)
    net.fit(X, y, batch_size=10**6, shuffle=False, verbose=False)
    twin.train_on_batch(X, y)
    assert net.steps_trained == 1 and (net.params == twin.params).all()


def test_one_row_trains_and_predicts(digits):
    net, X, y = digits
    before = net.evaluate(X[:1], y[:1])["loss"]
    net.fit(X[:1], y[:1], epochs=20, verbose=False)
    assert net.evaluate(X[:1], y[:1])["loss"] < before
    assert net.predict(X[:1]).shape == (1, 3)


@pytest.mark.parametrize(
    "convert",
    [
        lambda X: X.astype(np.float32),
        lambda X: X.astype(np.float16),
        lambda X: X.astype(np.uint8),
        lambda X: X.astype(np.int64),
        lambda X: X.astype(bool),
        lambda X: X.astype(">f8"),
        lambda X: X.tolist(),
        np.asfortranarray,
        lambda X: np.ascontiguousarray(X[::-1])[::-1],
        lambda X: np.repeat(X, 2, axis=1)[:, ::2],
        lambda X: np.frombuffer(b"\0" + X.tobytes(), np.uint8)[1:].view(np.float64).reshape(X.shape),
    ],
)
def test_inputs_of_any_type_and_layout_give_the_same_bits(convert):
    X = np.random.default_rng(0).integers(0, 2, (70, 5)).astype(np.float64)
    y = X.sum(axis=1)
    results = []
    for data in (X, convert(X)):
        net = fb.Network([fb.Dense(4, "tanh"), fb.Dense(1)], (5,), loss="mse", seed=0)
        net.fit(data, y, epochs=3, batch_size=16, verbose=False)
        results.append((net.params.tobytes(), net.predict(data).tobytes(), net.evaluate(data, y)["loss"]))
    assert results[0] == results[1]


def test_rows_that_must_be_converted_are_converted_a_piece_at_a_time(monkeypatch):
    X = np.random.default_rng(0).standard_normal((1000, 5)).astype(np.float16)
    y = np.arange(1000) % 3
    nets = [network("two", "tanh", "cross_entropy", inputs=5, dtype="float32") for _ in range(2)]
    nets[0].fit(X.astype(np.float32), y, epochs=2, batch_size=32, verbose=False)
    monkeypatch.setattr("fastbp.training.feeds._STAGED_AT_ONCE", 5 * 4 * 100)
    nets[1].fit(X, y, epochs=2, batch_size=32, verbose=False)
    assert (nets[0].params == nets[1].params).all()
    assert (nets[0].predict(X) == nets[1].predict(X.astype(np.float32))).all()


def test_predictions_do_not_depend_on_the_batch():
    net = network("three", "tanh", "cross_entropy", dtype="float32")
    X = np.random.default_rng(0).standard_normal((100, 6))
    whole = net.predict(X)
    assert (net.predict(X, batch_size=7) == whole).all()
    assert (np.concatenate([net.predict(X[i : i + 1]) for i in range(100)]) == whole).all()
    np.testing.assert_allclose(whole.sum(axis=1), 1, rtol=1e-6)


def test_predict_is_forward_through_the_inverse_link():
    for loss, link in (("mse", lambda z: z), ("binary_cross_entropy", lambda z: 1 / (1 + np.exp(-z)))):
        net = network("two", "tanh", loss)
        X, _ = batch(loss, np.random.default_rng(0), 9)
        np.testing.assert_allclose(net.predict(X), link(net.forward(X)), rtol=1e-14)


def test_params_and_layer_views_are_live(digits):
    net, X, _ = digits
    assert net.params.shape == net.grads.shape == (net.num_params,) == (4 * 16 + 16 + 16 * 3 + 3,)
    assert net.layers[0].weight.shape == (4, 16) and net.layers[1].bias.shape == (3,)
    assert np.shares_memory(net.layers[0].weight, net.params)
    net.params[:] = 0
    assert (net.layers[1].weight == 0).all() and (net.forward(X) == 0).all()
    net.params += 1
    net.layers[0].weight *= 0
    net.layers[1].weight *= 0
    assert (net.layers[0].weight == 0).all() and (net.layers[1].bias == 1).all()
    net.params = np.zeros(net.num_params)
    with pytest.raises(ValueError, match=r"params must have shape \(131,\), got \(3,\)"):
        net.params = [1, 2, 3]
    for bad in (np.nan, np.inf, 1e300):
        with pytest.raises(ValueError, match=r"params must be finite numbers that float32 has, got .* at place 130"):
            net.params = np.where(np.arange(131) == 130, bad, 1.0)
    with pytest.raises(TypeError, match="params must be real numbers, got complex128"):
        net.params = np.zeros(131, complex)
    assert (net.params == 0).all()
    net.layers[1].bias[:] = [1, 2, 3]
    assert (net.forward(X) == [1, 2, 3]).all()
    with pytest.raises(AttributeError, match="bias can't be replaced, as it is a view: write into it"):
        net.layers[1].bias = 3
    with pytest.raises(AttributeError, match="Dense_2 has no 'gain'; its parameters are weight, bias"):
        _ = net.layers[1].gain


def test_value_and_grad_changes_nothing_and_returns_a_copy(digits):
    net, X, y = digits
    before = net.params.copy()
    _, gradient = net.value_and_grad(X, y)
    assert (net.params == before).all() and net.steps_trained == 0
    assert (gradient == net.grads).all() and not np.shares_memory(gradient, net.grads)


def test_weights_do_not_count_in_the_accuracy(digits):
    net, X, y = digits
    plain, weighted = net.evaluate(X, y), net.evaluate(X, y, sample_weight=np.full(200, 2.0))
    assert weighted["accuracy"] == plain["accuracy"] and weighted["loss"] == pytest.approx(2 * plain["loss"])


def test_sample_weight_is_a_factor_of_the_rows_loss(digits):
    net, X, y = digits
    weight = np.arange(200.0) % 3
    each = np.array([net.value_and_grad(X[i : i + 1], y[i : i + 1])[0] for i in range(200)])
    value, gradient = net.value_and_grad(X, y, weight)
    assert value == pytest.approx((weight * each).mean(), rel=1e-6)
    doubled = np.repeat(np.arange(200), (np.arange(200) % 3))
    np.testing.assert_allclose(gradient, net.value_and_grad(X[doubled], y[doubled])[1] * len(doubled) / 200, atol=1e-6)


def test_class_weight_is_a_factor_of_the_classs_rows(digits):
    net, X, y = digits
    twin, third = copy.deepcopy(net), copy.deepcopy(net)
    net.fit(X, y, class_weight={0: 2.0, 2: 0.5}, verbose=False)
    twin.fit(X, y, sample_weight=np.array([2.0, 1.0, 0.5])[y], verbose=False)
    assert (net.params == twin.params).all()
    fourth = copy.deepcopy(third)
    third.fit(X, y, class_weight="balanced", verbose=False)
    fourth.fit(X, y, sample_weight=(200 / (3 * np.bincount(y)))[y], verbose=False)
    assert (third.params == fourth.params).all()


def test_validation_split_keeps_the_last_rows(digits):
    net, X, y = digits
    twin = copy.deepcopy(net)
    a = net.fit(X, y, epochs=2, validation_split=0.25, verbose=False)
    b = twin.fit(X[:150], y[:150], epochs=2, validation_data=(X[150:], y[150:]), verbose=False)
    assert a.history == b.history and (net.params == twin.params).all()


def test_initial_values():
    """Bounds of Glorot's and He's uniform laws, chosen by activation, and the seed."""
    for activation, bound in (("tanh", np.sqrt(6 / 500)), ("relu", np.sqrt(6 / 200))):
        net = fb.Network([fb.Dense(300, activation)], (200,), loss="mse", seed=1)
        weight = net.layers[0].weight
        assert 0.98 * bound < np.abs(weight).max() <= bound and (net.layers[0].bias == 0).all()
        assert weight.var() == pytest.approx(bound**2 / 3, rel=0.02)
    for name, variance in (("glorot_normal", 2 / 500), ("he_normal", 2 / 200)):
        net = fb.Network([fb.Dense(300, kernel_init=name)], (200,), loss="mse", seed=1)
        assert net.params[: 200 * 300].var() == pytest.approx(variance, rel=0.03)
    seeds = [fb.Network([fb.Dense(3)], (2,), loss="mse", seed=s).params.tobytes() for s in (0, 0, 1, None, None)]
    assert seeds[0] == seeds[1] and len(set(seeds)) == 4


def test_learning_rate_can_be_set(digits):
    net, X, y = digits
    net.learning_rate = 1e-5
    before = net.params.copy()
    net.train_on_batch(X, y)
    assert 0 < np.abs(net.params - before).max() < 1.1e-5


def test_stop_at_loss_and_own_callbacks(digits):
    net, X, y = digits
    history = net.fit(X, y, epochs=500, callbacks=[fb.StopAtLoss(0.3)], verbose=False)
    losses = history.history["loss"]
    assert losses[-1] <= 0.3 < losses[-2] and len(losses) < 500 and history.stopped == "callback"
    calls = []

    class Own:
        def on_epoch_end(self, net, epoch, logs):
            calls.append((epoch, dict(logs)))
            net.stop_training = epoch == 2

    history = net.fit(X, y, epochs=10, callbacks=[Own()], verbose=False)
    assert [epoch for epoch, _ in calls] == [0, 1, 2] and set(calls[0][1]) == {"loss", "accuracy"}


def test_ctrl_c_ends_training_and_keeps_the_history(digits, capsys):
    net, X, y = digits

    class Interrupt:
        def on_epoch_end(self, net, epoch, logs):
            if epoch == 3:
                raise KeyboardInterrupt

    history = net.fit(X, y, epochs=10, callbacks=[Interrupt()])
    assert history.stopped == "interrupted" and len(history.epoch) == 4
    assert "interrupted after 4 whole epochs" in capsys.readouterr().err
    net.fit(X, y, epochs=2, verbose=False)
    assert net.epochs_trained == 6
    with pytest.raises(KeyboardInterrupt):  # soon again: it is meant for the program
        net.fit(X, y, epochs=10, callbacks=[Interrupt()], verbose=False)


def test_plain_lines_when_stderr_is_no_terminal(digits, capsys):
    net, X, y = digits
    net.fit(X, y, epochs=3, validation_split=0.1)
    lines = capsys.readouterr().err.strip().split("\n")
    assert len(lines) == 3 and lines[0].startswith("epoch 1/3 loss ") and "val_accuracy" in lines[0]
    net.fit(X, y, epochs=100)
    assert len(capsys.readouterr().err.strip().split("\n")) == 10


class Record:
    """A callback that knows the epochs and the parameters; `at_once`: epochs_at_once."""

    def __init__(self, at_once=1):
        self.logs, self.params, self.at_once = [], [], at_once

    def epochs_at_once(self, net):
        return self.at_once

    def on_epoch_end(self, net, epoch, logs):
        assert epoch == len(self.logs)
        self.logs.append(dict(logs))
        self.params.append(net.params.copy())


@pytest.fixture
def together(monkeypatch):
    """Counts compiled calls; as many epochs as may run in one do so, whatever the machine's speed."""
    calls = []
    train_epochs = fb.training.feeds.Feed.train_epochs

    def counted(self, workspace, batch_size, sums, order):
        calls.append(len(sums))
        return train_epochs(self, workspace, batch_size, sums, order)

    monkeypatch.setattr(fb.training.feeds.Feed, "train_epochs", counted)
    monkeypatch.setattr(fb.training.loop, "CHUNK_SECONDS", 1e9)
    return calls


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch_size", [16, 1000])
def test_epochs_in_one_compiled_call_give_the_same_bits(digits, together, batch_size, shuffle):
    net, X, y = digits
    one_by_one, some = copy.deepcopy(net), copy.deepcopy(net)
    options = dict(
        epochs=100, batch_size=batch_size, shuffle=shuffle, verbose=False, sample_weight=np.linspace(0, 2, 200)
    )
    record, few = Record(), Record(7)
    want = one_by_one.fit(X, y, callbacks=[record], **options)
    assert not together
    history = net.fit(X, y, **options)
    assert sum(together) > 50 and max(together) > 16
    del together[:]
    some.fit(X, y, callbacks=[few], **options)
    assert sum(together) > 50 and max(together) == 7
    assert history.history == want.history and history.epoch == want.epoch and few.logs == record.logs
    for other in (net, some):
        assert (other.params == one_by_one.params).all() and (other.state == one_by_one.state).all()
        assert other.steps_trained == one_by_one.steps_trained and other.epochs_trained == 100
    again = net.fit(X, y, callbacks=[few := Record(5)], **options)
    assert again.history["loss"] == [logs["loss"] for logs in few.logs] != want.history["loss"]


def test_epochs_at_once_is_a_number(digits):
    net, X, y = digits
    with pytest.raises(TypeError, match=r"epochs_at_once must be an integer, got 2\.5"):
        net.fit(X, y, epochs=9, callbacks=Record(2.5), verbose=False)


def test_epochs_that_need_python_run_one_by_one(digits, together):
    net, X, y = digits
    net.fit(X, y, epochs=20, validation_split=0.1, verbose=False)
    net.fit(X.astype(">f8"), y, epochs=20, verbose=False)
    net.fit(X, y, epochs=20, callbacks=fb.StopAtLoss(1e-9), verbose=False)

    class Recorded(Record):
        recorded = 0

        def on_epoch_recorded(self, net, history, callbacks):
            self.recorded += 1

    net.fit(X, y, epochs=20, callbacks=(recorded := Recorded(7)), verbose=False)
    assert not together and recorded.recorded == len(recorded.logs) == 20


def test_callbacks_between_compiled_calls_of_many_epochs(digits, together):
    net, X, y = digits
    seen = []

    class Stop:
        def on_chunk_end(self, net):
            seen.append(net.epochs_trained)
            net.stop_training = sum(together) > 20

    history = net.fit(X, y, epochs=1000, callbacks=Stop(), verbose=False)
    assert history.stopped == "callback" and len(history.epoch) == seen[-1] == net.epochs_trained < 1000
    before = net.params.copy()

    class Break:
        def on_chunk_end(self, net):
            raise OSError("no")

    with pytest.raises(OSError, match="no"):
        net.fit(X, y, epochs=100, callbacks=Break(), verbose=False)
    assert (net.params == before).all() and net.epochs_trained == seen[-1]


@pytest.mark.parametrize("at_once", [1, 1000])
def test_divergence_leaves_the_last_good_epoch(at_once, together):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((64, 3)), rng.standard_normal((64, 1))
    net = fb.Network([fb.Dense(1)], (3,), loss="mse", optimizer=fb.SGD(2.0), seed=0)
    kept = Record(at_once)
    text = r"epoch (\d+), step \d+; the parameters are those before that epoch"
    with pytest.raises(fb.DivergedError, match=text) as error:
        net.fit(X, y, epochs=1000, batch_size=8, callbacks=[kept], verbose=False)
    assert bool(together) == (at_once > 1)
    assert len(kept.params) == net.epochs_trained > 1 and f"epoch {len(kept.params) + 1}," in str(error.value)
    assert np.isfinite(net.params).all() and (net.params == kept.params[-1]).all()


class Raise:
    """A callback and a metric, one of which raises an error in the third epoch."""

    def __init__(self, hook, error):
        self.kept, self._error = [], error
        setattr(self, hook, self._raise)

    def _raise(self, *arguments):
        if len(self.kept) == 3:
            raise self._error
        return 0.0

    def metric(self, y_true, y_pred):
        return 0.0

    def on_epoch_end(self, net, epoch, logs):
        pass


class Keep:
    """A callback that keeps the parameters after each epoch, in front of one that raises."""

    def __init__(self, kept):
        self._kept = kept

    def on_chunk_end(self, net):
        self._kept.append(net.params.copy())


@pytest.mark.parametrize("hook", ["metric", "on_chunk_end", "on_epoch_end", "on_epoch_recorded"])
@pytest.mark.parametrize("error", [OSError("no"), ValueError("no")])
def test_what_raises_within_an_epoch_puts_the_network_back(digits, hook, error):
    net, X, y = digits
    broken = Raise(hook, error)

    with pytest.raises(type(error), match="no") as raised:
        net.fit(
            *(X, y),
            **dict(
                epochs=9,
                batch_size=len(X),
                validation_split=0.1,
                verbose=False,
                metrics=[lambda y_true, y_pred: broken.metric(y_true, y_pred)],
            ),
            callbacks=[Keep(broken.kept), broken],
        )
    assert raised.value is error and len(broken.kept) == 3
    assert (net.params == broken.kept[1]).all() and net.epochs_trained == net.steps_trained == 2
    assert net.fit(X, y, verbose=False).stopped == "epochs"


@pytest.mark.parametrize("error", [ValueError("Input contains NaN."), FloatingPointError("overflow"), OSError("no")])
@pytest.mark.parametrize(
    ("hook", "poisoned"),
    [("metric", "rows"), ("on_epoch_end", "rows"), ("on_epoch_recorded", "rows"), ("on_epoch_recorded", "params")],
)
def test_errors_at_numbers_that_are_not_finite_are_divergence(hook, poisoned, error):
    """But for those of other kinds, which have causes of their own."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((64, 3)), rng.standard_normal((64, 1))
    net = fb.Network([fb.Dense(1)], (3,), loss="mse", seed=0)
    broken = Raise(hook, error)

    class Poison:
        def on_epoch_end(self, net, epoch, logs):
            if poisoned == "params" and epoch == 2:
                net.params[:] = np.nan

    outlier = 1e30 if poisoned == "rows" else 1.0  # its squared error is none that float32 has
    wanted = OSError if isinstance(error, OSError) else fb.DivergedError
    text = "numbers became infinite or NaN in epoch 3; the parameters are those before that epoch"
    with pytest.raises(wanted, match="no" if wanted is OSError else text) as raised:
        net.fit(
            *(X, y),
            **dict(
                epochs=9,
                batch_size=len(X),
                verbose=False,
                metrics=[lambda y_true, y_pred: broken.metric(y_true, y_pred)],
            ),
            validation_data=(np.full_like(X[:2], outlier), y[:2]),
            callbacks=[Keep(broken.kept), Poison(), broken],
        )
    assert error in (raised.value, raised.value.__cause__)
    assert (net.params == broken.kept[1]).all() and net.epochs_trained == 2


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process")
def test_ctrl_c_in_what_fails_is_heard():
    with pytest.raises(KeyboardInterrupt), locks.interrupts_later():
        signal.raise_signal(signal.SIGINT)
        raise ValueError("of something else")


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process")
def test_ctrl_c_in_a_call_of_epochs_that_diverges(monkeypatch, capsys):
    """It leaves the parameters that the history tells of."""
    monkeypatch.setattr(fb.training.loop, "CHUNK_SECONDS", 1e9)
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((64, 3)), rng.standard_normal((64, 1))
    net, alone = (fb.Network([fb.Dense(1)], (3,), loss="mse", optimizer=fb.SGD(2.0), seed=0) for _ in range(2))
    train_epochs = fb.training.feeds.Feed.train_epochs

    def interrupted(self, workspace, batch_size, sums, order):
        done = train_epochs(self, workspace, batch_size, sums, order)
        if done < len(sums) * 8:
            signal.raise_signal(signal.SIGINT)
        return done

    monkeypatch.setattr(fb.training.feeds.Feed, "train_epochs", interrupted)
    monkeypatch.setattr(fb.training.loop, "_interrupted", [-np.inf])
    history = net.fit(X, y, epochs=1000, batch_size=8, verbose=False)
    assert history.stopped == "interrupted" and "interrupted after" in capsys.readouterr().err
    assert net.epochs_trained == len(history.epoch) and net.steps_trained == 8 * net.epochs_trained
    for _ in history.epoch:
        alone.fit(X, y, batch_size=8, verbose=False)
    assert (net.params == alone.params).all()


def test_a_step_that_diverges_is_not_done():
    net = fb.Network([fb.Dense(1)], (1,), loss="mse", seed=0)
    net.params[:] = 1e30
    before = net.params.copy()
    with pytest.raises(fb.DivergedError, match="no step was done"):
        net.train_on_batch([[1e30]], [0.0])
    assert (net.params == before).all() and net.steps_trained == 0
    assert np.isinf(net.evaluate([[1e30]] * 600, [0.0] * 600)["loss"])
    assert net.evaluate([[-1.0]], [0.0])["loss"] == 0.0  # 1e30 · -1 + 1e30: the next evaluation is not affected


def test_copies_and_pickles_are_independent_and_go_on_alike(digits):
    net, X, y = digits
    net.fit(X, y, epochs=2, verbose=False)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert (twin.params == net.params).all() and not np.shares_memory(twin.params, net.params)
        alone = copy.deepcopy(net)
        twin.fit(X, y, verbose=False)
        alone.fit(X, y, verbose=False)
        assert (twin.params == alone.params).all()


def test_summary_and_repr(digits):
    net, *_ = digits
    text = net.summary()
    assert "Dense_1 relu" in text and "(16,)" in text and "131" in text and "cross_entropy" in text
    assert repr(net).startswith("Network([Dense(16, activation='relu'), Dense(3)]")
    assert "Dense_1" in repr(net.layers[0])


def test_a_network_without_parameters():
    net = fb.Network([fb.Activation("tanh")], (3,), loss="mse", seed=0)
    X = np.ones((2, 3))
    assert net.num_params == 0 and np.allclose(net.predict(X), np.tanh(1))
    net.fit(X, X, verbose=False)
    assert net.input_gradient(X, np.tanh(X)).max() < 1e-7


def test_memory_does_not_grow_with_epochs():
    """In a process of its own, whose peak is training's."""
    pytest.importorskip("resource", reason="no resource usage on this platform")
    code = """
import resource, sys, numpy as np, fastbp as fb
X, y = np.random.default_rng(0).standard_normal((200, 50)), np.arange(200) % 3
net = fb.Network([fb.Dense(100, "relu"), fb.Dense(3)], (50,), loss="cross_entropy", seed=0)
def peak(epochs):
    net.fit(X, y, epochs=epochs, validation_split=0.1, verbose=False)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
before = peak(50)
assert peak(1000) - before < 2000  # kB: less than 2 an epoch, where the parameters alone take 20
"""
    result = run_python(code)
    assert result.returncode == 0, result.stderr


def test_threads_may_share_a_network(digits):
    """Calls of several Python threads on one network take turns."""
    net, X, y = digits
    big = np.tile(X, (50, 1))
    want = [net.predict(big), net.predict(X), net.value_and_grad(X, y)[1]]
    calls = [lambda: net.predict(big), lambda: net.predict(X), lambda: net.value_and_grad(X, y)[1]]
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda i: calls[i % 3](), range(300)))
    for i, result in enumerate(results):
        assert (result == want[i % 3]).all()


def test_what_the_user_changes_later_is_not_read():
    """Labels are checked once: those that a callback changes must not be used as indices."""
    X, y = np.ones((50, 3), np.float32), np.zeros(50, np.float32)
    net = fb.Network([fb.Dense(2)], (3,), loss="cross_entropy", seed=0)

    class Spoil:
        def on_epoch_end(self, net, epoch, logs):
            y[:] = 1e9

    history = net.fit(X, y, epochs=3, callbacks=[Spoil()], verbose=False)
    assert np.isfinite(history.history["loss"]).all()


def test_arrays_are_let_go(digits):
    net, X, y = digits
    data = X.copy()
    net.fit(data, y, verbose=False)
    gone = weakref.ref(data)
    del data
    assert gone() is None


def test_optimizer_state_that_overflows_is_divergence():
    net = fb.Network([fb.Dense(1)], (4,), loss="mse", seed=0)
    with pytest.raises(fb.DivergedError, match="parameters or optimizer state"):
        net.fit([[1e5] * 4], [1e16], verbose=False)
    assert copy.deepcopy(net).steps_trained == 0


def test_a_fit_inside_a_callback_does_not_undo_a_stop(digits):
    net, X, y = digits

    class Stop:
        def on_epoch_end(self, net, epoch, logs):
            net.stop_training = True

    class Nested:
        def on_epoch_end(self, net, epoch, logs):
            net.fit(X, y, verbose=False)

    assert len(net.fit(X, y, epochs=5, callbacks=[Stop(), Nested()], verbose=False).epoch) == 1


def test_numpy_numbers_as_hyperparameters(tmp_path):
    optimizer = fb.SGD(np.float32(0.5), momentum=np.float64(0.5), nesterov=np.bool_(True))
    net = fb.Network([fb.Dense(np.int64(2))], (np.int32(3),), loss="mse", optimizer=optimizer, seed=np.uint8(1))
    net.save(tmp_path / "net.npz")
    assert fb.load(tmp_path / "net.npz").optimizer == fb.SGD(0.5, momentum=0.5, nesterov=True)


def test_a_softmax_before_a_linear_end_is_not_applied_twice():
    X = np.random.default_rng(0).standard_normal((5, 4))
    plain = fb.Network([fb.Dense(3)], (4,), loss="cross_entropy", seed=0)
    ended = fb.Network([fb.Dense(3, "softmax"), fb.Activation("linear")], (4,), loss="cross_entropy", seed=0)
    assert (ended.forward(X) == plain.forward(X)).all() and (ended.predict(X) == plain.predict(X)).all()


def test_targets_shaped_like_the_outputs():
    net = fb.Network([fb.Activation("tanh")], (2, 3), loss="mse", seed=0)
    X = np.random.default_rng(0).standard_normal((7, 2, 3))
    assert net.predict(X).shape == (7, 2, 3) and net.evaluate(X, np.tanh(X))["loss"] < 1e-12


def test_a_long_call_is_cut_so_that_ctrl_c_is_heard(digits, monkeypatch):
    net, X, y = digits
    want, loss = net.predict(X, batch_size=16), net.evaluate(X, y, batch_size=16)["loss"]
    monkeypatch.setattr("fastbp.training.feeds._CHUNK_FLOPS", 1)
    assert (net.predict(X, batch_size=16) == want).all() and net.evaluate(X, y, batch_size=16)["loss"] == loss


def test_dir_shows_the_public_names():
    assert set(dir(fb)) == {*fb.__all__, "MLPClassifier", "MLPRegressor", "__version__"}
    assert all(hasattr(fb, name) for name in fb.__all__)
