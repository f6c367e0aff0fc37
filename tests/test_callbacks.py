"""Callbacks: when they run, what they stop, keep and write."""

import copy
import csv
import functools
import itertools
import math
import time

import numpy as np
import pytest

import fastbp as fb
from fastbp import callbacks

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 200)
X = RNG.standard_normal((200, 4)) + 2 * np.eye(4)[Y]


def classifier(optimizer=None):
    return fb.Network([fb.Dense(16, "relu"), fb.Dense(3)], (4,), loss="cross_entropy", optimizer=optimizer, seed=0)


class Script:
    """Puts given numbers into the logs, one an epoch, as "score"."""

    def __init__(self, values):
        self.values = values

    def on_epoch_end(self, net, epoch, logs):
        logs["score"] = self.values[epoch]


class Recorder:
    def __init__(self):
        self.calls = []

    def on_train_begin(self, net):
        self.calls.append("begin")

    def on_chunk_end(self, net):
        self.calls.append("chunk")

    def on_epoch_end(self, net, epoch, logs):
        self.calls.append(("epoch", epoch, sorted(logs)))

    def on_train_end(self, net):
        self.calls.append("end")


def state(net):
    return {**{name: array.copy() for name, array in net.arrays().items()}, "epochs": np.array(net.epochs_trained)}


def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a)


# --- hooks --------------------------------------------------------------------------------------------


def test_hooks_run_in_order():
    recorder = Recorder()
    classifier().fit(X, Y, epochs=2, batch_size=50, callbacks=recorder, verbose=False)
    names = ["accuracy", "loss"]
    assert recorder.calls[0] == "begin" and recorder.calls[-1] == "end"
    assert [key for key, _ in itertools.groupby(recorder.calls[1:-1])] == [
        "chunk",
        ("epoch", 0, names),
        "chunk",
        ("epoch", 1, names),
    ]


@pytest.mark.parametrize("hook", callbacks.HOOKS)
def test_a_callback_with_one_hook_is_enough(hook):
    calls = []
    own = type("Own", (), {hook: lambda self, *arguments: calls.append(arguments)})()
    net = classifier()
    net.fit(X, Y, callbacks=[own], verbose=False)
    assert calls and all(arguments[0] is net for arguments in calls)


METHODS = {
    "on_train_begin": (lambda self: None, r"\(net\), but: too many positional arguments"),
    "on_chunk_end": (lambda self, net, batch: None, r"\(net\), but: missing a required argument: 'batch'"),
    "on_epoch_end": (lambda self, epoch, logs: None, r"\(net, epoch, logs\), but: too many"),  # as Keras has it
    "on_epoch_recorded": (lambda self, net, *, history: None, r"\(net, history, callbacks\), but: too many"),
    "on_train_end": (None, r"\(net\), but: None is not a callable"),
    "epochs_at_once": (lambda self: 1, r"\(net\), but: too many"),
    "state": (lambda self, net: {}, r"\(\), but: missing a required argument: 'net'"),
    "restore": (lambda self, state: None, r"\(net, state\), but: too many"),
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_with_other_arguments_are_found_before_training(name):
    method, message = METHODS[name]
    good = {"on_epoch_end": lambda self, *arguments: None, "state": dict, "restore": lambda self, net, state: None}
    net = classifier()
    before, begun = net.params.copy(), Recorder()
    with pytest.raises(TypeError, match=f"^callbacks: Own.{name} must take {message}"):
        net.fit(X, Y, callbacks=[begun, type("Own", (), {**good, name: method})()], verbose=False)
    assert (net.params == before).all() and net.epochs_trained == 0 and not begun.calls


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("on_batch_end", "on_chunk_end, as many batches"),
        ("on_train_batch_begin", "on_chunk_end, as many batches"),
        ("on_step_end", "on_chunk_end, as many batches"),
        ("on_epoch_begin", "on_epoch_end;"),
        ("on_epoch_ends", "on_epoch_end;"),
        ("on_training_begin", "on_train_begin;"),
        ("on_fit_end", "on_train_end;"),
    ],
)
@pytest.mark.parametrize("known", [(), ("on_epoch_end",)])
def test_a_method_that_would_never_run_is_refused(name, nearest, known):
    """Whether it has a hook that runs or not; given alone, in a list, and inherited."""
    methods = {hook: lambda self, *arguments: None for hook in (name, *known)}
    kind, net = type("Own", (), methods), classifier()
    before, begun = net.params.copy(), Recorder()
    message = rf"^callbacks: Own.{name} would never be called; the nearest hook is {nearest}.* on_train_begin\(net\), "
    for given in (kind(), [begun, kind()], (type("Own", (kind,), {})(),)):
        with pytest.raises(TypeError, match=message):
            net.fit(X, Y, callbacks=given, verbose=False)
    assert (net.params == before).all() and net.epochs_trained == 0 and not begun.calls


def test_a_subclass_with_a_method_that_would_never_run():
    class Mine(fb.EarlyStopping):
        def on_batch_end(self, net):
            pass

    with pytest.raises(TypeError, match=r"callbacks: Mine.on_batch_end would never be called"):
        classifier().fit(X, Y, callbacks=Mine("loss"), verbose=False)


def test_what_is_no_method_may_have_any_name():
    class Own:
        on_screen = True
        _on_batch = print

        def on_epoch_end(self, net, epoch, logs):
            pass

    classifier().fit(X, Y, callbacks=Own(), verbose=False)


def test_a_subclass_of_a_callback_is_looked_at_too():
    class Mine(fb.StopAtLoss):
        def on_epoch_end(self, epoch, logs):
            pass

    with pytest.raises(TypeError, match=r"^callbacks: Mine.on_epoch_end must take \(net, epoch, logs\), but: too many"):
        classifier().fit(X, Y, callbacks=Mine(0.1), verbose=False)


def test_methods_that_may_be_called_are_left_alone():
    class Other:
        state = "its own"  # without restore

        def on_epoch_end(self, net, *others, option=None, **more):
            self.epoch = others[0]

        on_train_end = staticmethod(functools.partial(print, end=""))

    callback = Other()
    classifier().fit(X, Y, callbacks=callback, verbose=False)
    assert callback.epoch == 0


def test_what_a_callback_adds_goes_into_the_history():
    class Sometimes:
        def on_epoch_end(self, net, epoch, logs):
            if epoch == 1:
                logs["extra"] = 5.0

    history = classifier().fit(X, Y, epochs=3, callbacks=[Sometimes()], verbose=False)
    np.testing.assert_array_equal(history.history["extra"], [np.nan, 5.0, np.nan])
    assert all(len(values) == 3 for values in history.history.values())


def test_logs_hold_numbers():
    with pytest.raises(TypeError, match="logs must hold numbers, got 'good' for 'score'"):
        classifier().fit(X, Y, callbacks=[Script(["good"])], verbose=False)


@pytest.mark.parametrize("place", ["on_train_begin", "on_chunk_end", "on_epoch_end", "on_train_end"])
def test_every_callback_that_has_begun_ends(place):
    first, last = Recorder(), Recorder()

    def fail(self, *arguments):
        raise OSError(place)

    with pytest.raises(OSError, match=place):
        broken = type("Broken", (), {place: fail})()
        classifier().fit(X, Y, callbacks=[first, broken, last], verbose=False)
    assert first.calls[-1] == "end"
    assert last.calls == [] if place == "on_train_begin" else last.calls[-1] == "end"


def test_an_exception_within_an_epoch_takes_the_epoch_back():
    net = classifier()
    before = []

    class Break:
        def on_epoch_end(self, net, epoch, logs):
            before.append(state(net))

        def on_chunk_end(self, net):
            if before:
                raise OSError("no")

    with pytest.raises(OSError, match="no"):
        net.fit(X, Y, epochs=3, callbacks=[Break()], verbose=False)
    assert len(before) == 1 and same(state(net), before[0]) and net.epochs_trained == 1


class StopAfterChunks:
    def __init__(self, chunks):
        self.left = chunks

    def on_chunk_end(self, net):
        self.left -= 1
        net.stop_training = self.left == 0


def test_an_epoch_that_is_cut_short_is_recorded_over_its_rows():
    net, twin = classifier(), classifier()
    net.chunk = twin.chunk = (30, 1)
    history = net.fit(X, Y, 5, 30, shuffle=False, validation_data=(X, Y), callbacks=[StopAfterChunks(1)], verbose=False)
    first = twin.fit(X[:30], Y[:30], 1, 30, shuffle=False, verbose=False)
    assert net.steps_trained == 1 and net.epochs_trained == 1 and (net.params == twin.params).all()
    assert history.history["loss"] == first.history["loss"] and history.history["accuracy"] == first.history["accuracy"]
    assert history.history["val_loss"] == [net.evaluate(X, Y)["loss"]]
    assert history.stopped == "callback" and history.epoch == [0]


def test_no_epoch_if_training_is_stopped_before_it():
    class Stop:
        def on_train_begin(self, net):
            net.stop_training = True

    net = classifier()
    history = net.fit(X, Y, 5, callbacks=[Stop()], verbose=False)
    assert history.epoch == [] and history.history == {} and history.stopped == "callback" and net.steps_trained == 0


def test_a_callback_may_use_the_network_between_chunks():
    """What the engine summed up so far is not lost, nor is it changed."""

    class Look:
        def on_chunk_end(self, net):
            net.evaluate(X, Y)
            net.predict(X, batch_size=999)

    net, twin = classifier(), classifier()
    a = net.fit(X, Y, 3, 16, callbacks=[Look()], verbose=False)
    b = twin.fit(X, Y, 3, 16, verbose=False)
    assert a.history == b.history and same(state(net), state(twin))


# --- EarlyStopping ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "values", "epochs", "best"),
    [
        (dict(), [5, 4, 4, 3], 3, 1),
        (dict(patience=1), [5, 4, 4, 3], 3, 1),
        (dict(patience=2), [5, 4, 4, 4.1, 1], 4, 1),
        (dict(patience=2), [5, 4, 4, 3, 3, 3, 1], 6, 3),
        (dict(patience=2, min_delta=1), [5, 4.5, 4, 3.9, 1], 3, 0),
        (dict(patience=2, min_delta=1), [5, 4.5, 3.9, 3, 2.9, 1], 5, 2),
        (dict(mode="max"), [1, 2, 3, 3, 9], 4, 2),
        (dict(mode="max", min_delta=0.5), [1, 2, 2.4, 9], 3, 1),
        (dict(patience=3), [1, 2, 3], 3, 0),
        (dict(patience=2), [math.nan, math.nan, 1, 0], 2, None),
        (dict(patience=3), [math.nan, math.nan, 5, math.nan, 4, 6, 6, 6, 1], 8, 4),
        (dict(patience=1), [math.inf, 3, 2, 2], 4, 2),
    ],
)
def test_early_stopping(arguments, values, epochs, best):
    """As Keras: the epochs since the best are counted, and `patience` of them are the end."""
    net, stop = classifier(), fb.EarlyStopping("score", **arguments)
    kept = []

    class Keep:
        def on_epoch_end(self, net, epoch, logs):
            kept.append(state(net))

    history = net.fit(X, Y, len(values), callbacks=[Script(values), stop, Keep()], verbose=False)
    assert len(history.epoch) == epochs and stop.best_epoch == best
    assert stop.best == (None if best is None else values[best])
    assert same(state(net), kept[-1 if best is None else best])


@pytest.mark.parametrize(
    ("monitor", "greater"),
    [("val_loss", False), ("accuracy", True), ("val_top_3_accuracy", True), ("val_auc", True), ("val_rmse", False)],
)
def test_what_auto_takes_for_better(monitor, greater):
    class Fall:
        def on_epoch_end(self, net, epoch, logs):
            logs[monitor] = 5.0 - epoch

    stop = fb.EarlyStopping(monitor)
    history = classifier().fit(X, Y, 4, callbacks=[Fall(), stop], validation_split=0.1, verbose=False)
    assert len(history.epoch) == (2 if greater else 4) and stop.best_epoch == (0 if greater else 3)


def test_the_best_network_goes_on_as_if_training_had_ended_there():
    net, twin = classifier(fb.Adam(0.01)), classifier(fb.Adam(0.01))
    net.fit(X, Y, 9, callbacks=[Script([5, 3, 4, 4, 4, 4]), fb.EarlyStopping("score", 3)], verbose=False)
    twin.fit(X, Y, 2, verbose=False)
    assert same(state(net), state(twin)) and net.epochs_trained == 2
    net.fit(X, Y, verbose=False)
    twin.fit(X, Y, verbose=False)
    assert same(state(net), state(twin))


def test_without_restore_best_the_last_epoch_stays():
    net, twin = classifier(), classifier()
    net.fit(X, Y, 9, callbacks=[Script([1, 2]), fb.EarlyStopping("score", restore_best=False)], verbose=False)
    twin.fit(X, Y, 2, verbose=False)
    assert same(state(net), state(twin))


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, None])
def test_the_best_is_restored_however_training_ends(error):
    class End:
        def on_epoch_end(self, net, epoch, logs):
            if epoch == 3 and error:
                raise error

    net, twin = classifier(), classifier()
    callbacks = [Script([5, 3, 4, 4]), fb.EarlyStopping("score", 9), End()]
    try:
        net.fit(X, Y, 4, callbacks=callbacks, verbose=False)
    except OSError:
        assert error is OSError
    twin.fit(X, Y, 2, verbose=False)
    assert same(state(net), state(twin))


def test_early_stopping_begins_anew_with_each_fit():
    stop = fb.EarlyStopping("score", 5)
    net = classifier()
    for values, best in (([1, 2], 1), ([5, 4], 4)):
        net.fit(X, Y, 2, callbacks=[Script(values), stop], verbose=False)
        assert stop.best == best and stop.best_epoch == values.index(best) and stop._kept is None


def test_a_monitor_that_nothing_logs():
    net = classifier()
    before = state(net)
    message = "monitor must be one of 'loss', 'accuracy', got 'val_loss'; there is no validation_data"
    for callback in (fb.EarlyStopping(), fb.ReduceOnPlateau()):
        with pytest.raises(ValueError, match=message):
            net.fit(X, Y, callbacks=[fb.TimeBudget(9), callback], verbose=False)
    names = "'loss', 'accuracy', 'val_loss', 'val_accuracy', 'val_auc', 'learning_rate'"
    with pytest.raises(ValueError, match=f"monitor must be one of {names}, got 'val_acc'$"):
        net.fit(
            X,
            Y,
            validation_split=0.5,
            metrics="auc",
            callbacks=[fb.ReduceOnPlateau(), fb.EarlyStopping("val_acc")],
            verbose=False,
        )
    assert same(state(net), before)
    with pytest.raises(ValueError, match="monitor must be one of 'loss', 'accuracy', 'score', got 'other'"):
        net.fit(X, Y, callbacks=[Script([1]), fb.EarlyStopping("other")], verbose=False)


# --- ReduceOnPlateau ----------------------------------------------------------------------------------


@pytest.mark.oracle
@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize(
    "arguments",
    [
        dict(patience=0),
        dict(patience=2, factor=0.5),
        dict(patience=1, cooldown=2),
        dict(patience=0, cooldown=1, min_delta=0.05),
        dict(patience=0, factor=0.3, min_rate=0.02),
    ],
)
def test_reduce_on_plateau_is_pytorchs(mode, arguments):
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(3).uniform(0.5, 1.5, 40).tolist()
    values[7] = math.nan
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.5)
    names = {"min_delta": "threshold", "min_rate": "min_lr"}
    arguments = dict(factor=0.1, patience=10, min_delta=1e-4, cooldown=0, min_rate=0.0) | arguments
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode, **{names.get(name, name): value for name, value in arguments.items()}
    )
    want = []
    for value in values:
        want.append(optimizer.param_groups[0]["lr"])
        theirs.step(value)
    net = classifier(fb.SGD(0.5))
    ours = fb.ReduceOnPlateau("score", mode=mode, **arguments)
    history = net.fit(X[:2], Y[:2], len(values), callbacks=[Script(values), ours], verbose=False)
    np.testing.assert_allclose(history.history["learning_rate"], want, rtol=1e-12)
    assert net.learning_rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
    assert len(set(want)) > 2


@pytest.mark.oracle
def test_the_defaults_are_pytorchs():
    torch = pytest.importorskip("torch")
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))]))
    ours = fb.ReduceOnPlateau()
    assert (ours.factor, ours.patience, ours.min_delta) == (theirs.factor, theirs.patience, theirs.threshold)
    assert (ours.cooldown, ours.min_rate) == (theirs.cooldown, theirs.min_lrs[0])


# --- the others ---------------------------------------------------------------------------------------


def test_time_budget_ends_an_epoch_within_a_chunk():
    rows = np.random.default_rng(0).standard_normal((200_000, 4))
    net = classifier()
    net.train_on_batch(X[:1], Y[:1])
    begin = time.monotonic()
    history = net.fit(
        rows, np.arange(200_000) % 3, 10**6, 1, validation_data=(X, Y), callbacks=fb.TimeBudget(0.3), verbose=False
    )
    assert 0.3 <= time.monotonic() - begin < 5
    assert history.stopped == "callback" and len(history.history["val_loss"]) == len(history.epoch) >= 1
    assert np.isfinite(history.history["loss"]).all()


def test_time_budget_begins_no_epoch_when_it_is_over():
    class Wait:
        def on_epoch_end(self, net, epoch, logs):
            time.sleep(0.3)

    history = classifier().fit(X, Y, 10, callbacks=[Wait(), fb.TimeBudget(0.2)], verbose=False)
    assert len(history.epoch) == 1


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_csv_logger(tmp_path):
    path = tmp_path / "log.csv"
    seen = []

    class Look:
        def on_epoch_end(self, net, epoch, logs):
            seen.append(len(read(path)))

    log = fb.CSVLogger(path)
    history = classifier().fit(X, Y, 3, callbacks=[Script([1, 2, 3]), log, Look()], verbose=False)
    rows = read(path)
    assert rows[0] == ["epoch", "loss", "accuracy", "score"] and seen == [2, 3, 4]
    assert [row[0] for row in rows[1:]] == ["0", "1", "2"]
    assert [float(row[1]) for row in rows[1:]] == history.history["loss"]
    classifier().fit(X, Y, 1, callbacks=[log], verbose=False)
    assert read(path)[0] == ["epoch", "loss", "accuracy"] and len(read(path)) == 2


def test_csv_logger_that_appends(tmp_path):
    path = tmp_path / "log.csv"
    log = fb.CSVLogger(str(path), append=True)
    net = classifier()
    net.fit(X, Y, 2, callbacks=[log], verbose=False)
    net.fit(X, Y, 1, callbacks=[Script([9]), log], verbose=False)
    rows = read(path)
    assert [row[0] for row in rows] == ["epoch", "0", "1", "0"] and all(len(row) == 3 for row in rows)


def test_csv_logger_says_before_training_that_it_can_not_write(tmp_path):
    net = classifier()
    with pytest.raises(FileNotFoundError):
        net.fit(X, Y, callbacks=fb.CSVLogger(tmp_path / "nowhere" / "log.csv"), verbose=False)
    assert net.steps_trained == 0


def test_checkpoint(tmp_path):
    path = tmp_path / "net.npz"
    net = classifier()
    net.fit(X, Y, 5, callbacks=fb.Checkpoint(path, every=2), verbose=False)
    saved = fb.load(path)
    assert saved.epochs_trained == 4
    saved.fit(X, Y, verbose=False)
    assert same(state(saved), state(net))


@pytest.mark.parametrize(
    ("options", "values", "best"),
    [
        ({}, [5, 4, 4, 3, 6, math.nan], 3),
        ({}, [math.nan, 2, 1, 7], 2),
        ({"mode": "max"}, [5, 4, 4, 9, 6], 3),
        ({"every": 2}, [5, 4, 3, 2, 7, 8], 3),
        ({}, [math.nan, math.nan], None),
    ],
)
def test_a_checkpoint_that_keeps_the_best_epoch(options, values, best, tmp_path):
    keep = fb.Checkpoint(tmp_path / "best.npz", monitor="score", **options)
    net, twin = classifier(), classifier()
    net.fit(X, Y, len(values), callbacks=[Script(values), keep], verbose=False)
    assert net.epochs_trained == len(values) and keep.best_epoch == best
    assert keep.best == (None if best is None else values[best]) and keep.path.exists() == (best is not None)
    if best is not None:
        twin.fit(X, Y, best + 1, verbose=False)
        assert same(state(fb.load(keep.path)), state(twin))


def test_the_best_epoch_by_a_name_that_the_network_logs(tmp_path):
    keep = fb.Checkpoint(tmp_path / "best.npz", monitor="val_accuracy")
    history = classifier().fit(X, Y, 6, validation_split=0.3, callbacks=keep, verbose=False)
    accuracy = history.history["val_accuracy"]
    assert keep.best == max(accuracy) and keep.best_epoch == accuracy.index(max(accuracy))
    keep = fb.Checkpoint(tmp_path / "lowest.npz", monitor="val_loss")
    history = classifier().fit(X, Y, 6, validation_split=0.3, callbacks=keep, verbose=False)
    assert keep.best == min(history.history["val_loss"])
    with pytest.raises(ValueError, match="monitor must be one of 'loss', 'accuracy', got 'val_loss'; there is no val"):
        classifier().fit(X, Y, callbacks=keep, verbose=False)
    with pytest.raises(TypeError, match="monitor must be a name such as 'val_loss', got 3"):
        fb.Checkpoint("best.npz", monitor=3)
    with pytest.raises(ValueError, match="mode must be one of 'auto', 'min', 'max', got 'low'"):
        fb.Checkpoint("best.npz", monitor="loss", mode="low")


def test_settings_are_compared_and_shown():
    assert fb.EarlyStopping("loss", 3) == fb.EarlyStopping("loss", patience=3) != fb.EarlyStopping("loss", 4)
    assert repr(fb.TimeBudget(3)) == "TimeBudget(seconds=3)" and repr(fb.CSVLogger("a")).startswith(
        "CSVLogger(path='a'"
    )
    assert copy.deepcopy(fb.ReduceOnPlateau()) == fb.ReduceOnPlateau()


def test_progress_says_why_training_ended(capsys):
    net, values = fb.Network([fb.Dense(1)], (3,), loss="mse", seed=0), [3.0, 1.0, 2.0, 2.0, 2.0]

    class Scores:
        text = None

        def on_epoch_end(self, net, epoch, logs):
            logs["score"] = values[epoch]

        def outcome(self):
            return self.text

    def said(epochs, *callbacks, verbose=True):
        net.fit(np.eye(3), np.ones(3), epochs, callbacks=callbacks, verbose=verbose)
        return [line for line in capsys.readouterr().err.splitlines() if line.startswith("fastbp: ")]

    back = "the weights of epoch 2 are back, with the best score"
    stopping, scores = fb.EarlyStopping("score", patience=2), Scores()
    assert said(5, scores, stopping) == [f"fastbp: stopped by EarlyStopping after epoch 4; {back}"]
    assert said(3, scores, stopping) == [f"fastbp: {back}"]
    assert said(2, scores, stopping) == said(5, scores, stopping, verbose=False) == []
    stopping.restore_best, scores.text = False, "all is well"
    assert said(5, scores, stopping) == ["fastbp: all is well", "fastbp: stopped by EarlyStopping after epoch 4"]
