"""Training that is interrupted: checkpoints and going on from them, kills, Ctrl-C, full disks, folders to read only."""

import contextlib
import errno
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import mutations
import numpy as np
import pytest
from support import run_python

import fastbp as fb
from fastbp.formats import files

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 120)
X = RNG.standard_normal((120, 4)) + np.eye(4)[Y]


def classifier(optimizer=None, *layers, seed=0, **options):
    layers = layers or (fb.Dense(8, "relu"), fb.Dropout(0.3))
    optimizer = optimizer or fb.Adam(0.01)
    return fb.Network([*layers, fb.Dense(3)], (4,), loss="cross_entropy", optimizer=optimizer, seed=seed, **options)


class Crash(Exception):
    pass


class CrashAt:
    """Ends the epoch with an exception, before or after the checkpoint, as nothing is written any more then."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, net, epoch, logs):
        if epoch == self.epoch:
            raise Crash


def crash(net, epoch, callbacks, **options):
    with pytest.raises(Crash):
        net.fit(X, Y, callbacks=[*callbacks, CrashAt(epoch)], verbose=False, **options)


def same(a, b):
    arrays = b.arrays()
    whole = all(np.array_equal(array, arrays[name]) for name, array in a.arrays().items())
    return whole and (a.epochs_trained, a.steps_trained, a.seed) == (b.epochs_trained, b.steps_trained, b.seed)


class Own:
    """A callback of one's own with a state: it slows the network down, and frees a layer, by what it remembers."""

    def __init__(self):
        self.seen, self.count = np.zeros(3, np.float32), 0

    def on_epoch_end(self, net, epoch, logs):
        self.count += 1
        self.seen[self.count % 3] += logs["loss"]
        logs["seen"] = float(self.seen.sum())
        net.layers[0].trainable = self.count > 2
        net.layers[0].learning_rate = 1 / self.count

    def state(self):
        return {"seen": self.seen, "count": np.int64(self.count)}

    def restore(self, net, state):
        self.seen, self.count = state["seen"], state["count"]


# --- going on -----------------------------------------------------------------------------------------

SCHEDULE = fb.Warmup(fb.StepDecay(0.05, 20, 0.5), 10)
RUNS = {
    "plain": (lambda: classifier(), list),
    "schedule": (lambda: classifier(fb.SGD(SCHEDULE, momentum=0.9)), list),
    "nadam": (lambda: classifier(fb.Nadam(0.01), fb.Dense(8, "gelu", l1=0.01)), list),
    "float64": (lambda: classifier(fb.RMSprop(0.01, centered=True), dtype="float64"), list),
    "plateau": (lambda: classifier(), lambda: [fb.ReduceOnPlateau("loss", 0.5, patience=0, cooldown=1)]),
    "early": (lambda: classifier(fb.Adam(0.1)), lambda: [fb.EarlyStopping(patience=3)]),
    "both": (lambda: classifier(fb.Adam(0.1)), lambda: [fb.ReduceOnPlateau(patience=1), fb.EarlyStopping(patience=5)]),
    "loss": (lambda: classifier(), lambda: [fb.StopAtLoss(0.95)]),
    "own": (lambda: classifier(), lambda: [Own()]),
}


@pytest.mark.parametrize("every, crashes", [(1, [1]), (1, [0, 4, 5, 8]), (3, [2, 4, 7])])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("run", RUNS)
def test_a_run_that_goes_on_ends_as_one_that_was_never_interrupted(run, shuffle, every, crashes, tmp_path):
    make, make_callbacks = RUNS[run]
    options = {"batch_size": 16, "epochs": 10, "shuffle": shuffle, "validation_split": 0.2}
    whole, callbacks = make(), make_callbacks()
    history = whole.fit(X, Y, callbacks=callbacks, verbose=False, **options)
    path = tmp_path / "run.npz"
    for epoch in (epoch for epoch in crashes if epoch < len(history.epoch)):
        crash(make(), epoch, [*make_callbacks(), fb.Checkpoint(path, every)], resume_from=path, **options)
    for _ in range(2):  # the second one finds out whether there is anything left to do
        net, again = make(), make_callbacks()
        found = net.fit(
            X, Y, callbacks=[fb.Checkpoint(path, every), *again], resume_from=path, verbose=False, **options
        )
        assert same(net, whole) and repr(net) == repr(whole)
        assert (found.history, found.epoch, found.stopped) == (history.history, history.epoch, history.stopped)
        for one, other in zip(again, callbacks, strict=True):
            assert getattr(one, "best", None) == getattr(other, "best", None)
            assert getattr(one, "best_epoch", None) == getattr(other, "best_epoch", None)
    net.fit(X, Y, verbose=False)
    whole.fit(X, Y, verbose=False)
    assert same(net, whole)


@pytest.mark.parametrize("last_first", [True, False])
@pytest.mark.parametrize("epoch", range(2, 7))
def test_the_best_epoch_is_known_to_a_run_that_goes_on(epoch, last_first, tmp_path):
    """Killed at any epoch, and just before the last checkpoint is written, too."""
    values = [5, 4, 4.5, 2, 3, 2.5, 4, 1.5, 3]

    class Script:
        def on_epoch_end(self, net, epoch, logs):
            logs["score"] = values[epoch]

    class Break:
        def on_epoch_recorded(self, net, history, callbacks):
            if len(history.epoch) == epoch:
                raise Crash

    def callbacks(*between):
        last = fb.Checkpoint(tmp_path / "last.npz")
        best = fb.Checkpoint(tmp_path / "best.npz", monitor="score")
        pair = (last, *between, best) if last_first else (best, *between, last)
        return [Script(), *pair], best

    options = dict(epochs=9, resume_from=tmp_path / "last.npz", verbose=False)
    with pytest.raises(Crash):
        classifier().fit(X, Y, callbacks=callbacks(Break())[0], **options)
    (again, best), net, twin = callbacks(), classifier(), classifier()
    net.fit(X, Y, callbacks=again, **options)
    assert best.best == 1.5 and best.best_epoch == 7
    saved = fb.load(tmp_path / "best.npz")
    assert saved.epochs_trained == 8
    twin.fit(X, Y, epochs=8, verbose=False)
    assert same(saved, twin)


def test_the_checkpoint_decides_the_seed(tmp_path):
    path = tmp_path / "run.npz"
    first = classifier(seed=None)
    crash(first, 4, [fb.Checkpoint(path)], epochs=9, resume_from=path)
    whole, net = classifier(seed=first.seed), classifier(seed=None)
    whole.fit(X, Y, 9, verbose=False)
    net.predict(X)  # the programs of the other seed must not be used any more
    net.fit(X, Y, 9, resume_from=path, verbose=False)
    assert same(net, whole)


def test_batches_of_ones_own_go_on(tmp_path):
    batches, path = [(X[i::6], Y[i::6]) for i in range(6)], tmp_path / "run.npz"
    whole = classifier()
    whole.fit(batches, epochs=5, verbose=False)
    with pytest.raises(Crash):
        classifier().fit(batches, epochs=5, callbacks=[fb.Checkpoint(path), CrashAt(2)], verbose=False)
    net = classifier()
    net.fit(batches, epochs=5, resume_from=path, verbose=False)
    assert same(net, whole)


def test_parts_of_ones_own_go_on(tmp_path):
    path = tmp_path / "run.npz"
    cube = fb.CustomActivation(lambda z: z * z * z, lambda z: 3 * z * z, name="cube")
    crash(classifier(None, fb.Dense(4, cube)), 2, [fb.Checkpoint(path)], epochs=4)
    net = classifier(None, fb.Dense(4, cube))
    assert len(net.fit(X, Y, 4, resume_from=path, verbose=False).epoch) == 4
    with pytest.raises(ValueError, match=r"resume_from must be of a network like this one: .*cube"):
        classifier(None, fb.Dense(4)).fit(X, Y, 4, resume_from=path, verbose=False)


def test_a_checkpoint_is_a_model_of_its_epoch(tmp_path):
    net = classifier()
    kept = {}

    class Keep:
        def on_epoch_end(self, net, epoch, logs):
            kept[epoch + 1] = net.params.copy()

    net.fit(X, Y, 5, callbacks=[fb.Checkpoint(tmp_path / "run.npz", every=2), Keep()], verbose=False)
    loaded = fb.load(tmp_path / "run.npz")
    assert loaded.epochs_trained == 4 and (loaded.params == kept[4]).all()
    loaded.fit(X, Y, verbose=False)
    assert same(loaded, net)


def test_what_later_callbacks_do_in_an_epoch_is_in_its_checkpoint(tmp_path):
    class Halve:
        def on_epoch_end(self, net, epoch, logs):
            net.params *= 0.5
            logs["halved"] = 1.0

    net = classifier()
    net.fit(X, Y, callbacks=[fb.Checkpoint(tmp_path / "run.npz"), Halve()], verbose=False)
    assert same(fb.load(tmp_path / "run.npz"), net)
    history = classifier().fit(X, Y, resume_from=tmp_path / "run.npz", verbose=False)
    assert history.history["halved"] == [1.0]


def test_an_epoch_that_was_cut_short_is_no_checkpoint(tmp_path, monkeypatch):
    class Cut:
        def on_chunk_end(self, net):
            net.stop_training = net.epochs_trained == 2

    monkeypatch.setattr("fastbp.training.loop.CHUNK_SECONDS", 0.0)
    path = tmp_path / "run.npz"
    net = classifier()
    history = net.fit(X, Y, 5, 8, callbacks=[Cut(), fb.Checkpoint(path)], verbose=False)
    assert len(history.epoch) == 3 and fb.load(path).epochs_trained == 2
    whole, net = classifier(), classifier()
    whole.fit(X, Y, 5, 8, verbose=False)
    net.fit(X, Y, 5, 8, resume_from=path, verbose=False)
    assert same(net, whole)


def test_a_time_budget_begins_anew(tmp_path):
    path = tmp_path / "run.npz"
    classifier().fit(X, Y, 2, callbacks=[fb.TimeBudget(1e-9), fb.Checkpoint(path)], verbose=False)
    classifier().fit(X, Y, 2, callbacks=[fb.Checkpoint(path)], verbose=False)
    history = classifier().fit(X, Y, 4, callbacks=[fb.TimeBudget(60)], resume_from=path, verbose=False)
    assert len(history.epoch) == 4 and history.stopped == "epochs"


@pytest.mark.parametrize("append", [False, True])
def test_the_log_has_each_epoch_once(append, tmp_path):
    def run(name, *more):
        log = fb.CSVLogger(tmp_path / f"{name}.csv", append)
        callbacks = [log, fb.Checkpoint(tmp_path / f"{name}.npz", every=2), *more]
        options = {"callbacks": callbacks, "resume_from": tmp_path / f"{name}.npz", "verbose": False}
        classifier().fit(X, Y, 6, **options)
        return (tmp_path / f"{name}.csv").read_text()

    whole = run("whole")
    for epoch in (0, 2, 5):
        with contextlib.suppress(Crash):
            run("broken", CrashAt(epoch))
        with open(tmp_path / "broken.csv", "a") as file:
            file.write("17,half a li")
        if epoch == 0:  # no checkpoint yet: with append, nobody knows where that run's lines begin
            (tmp_path / "broken.csv").unlink()
    assert run("broken") == whole and whole.count("\n") == 7
    (tmp_path / "broken.csv").unlink()
    assert run("broken") == ""


def test_history_counts_the_seconds_of_all_runs(tmp_path):
    path = tmp_path / "run.npz"

    class Sleep:
        def on_epoch_end(self, net, epoch, logs):
            time.sleep(0.05)

    first = classifier().fit(X, Y, 3, callbacks=[Sleep(), fb.Checkpoint(path)], verbose=False)
    assert first.seconds > 0.15
    assert 0.15 < classifier().fit(X, Y, 3, resume_from=path, verbose=False).seconds < first.seconds + 0.1


def test_what_is_said(tmp_path, capsys):
    path = tmp_path / "run.npz"
    classifier().fit(X, Y, 2, callbacks=fb.Checkpoint(path), resume_from=path)
    assert f"fastbp: there is no {path} yet: beginning with the first epoch" in capsys.readouterr().err
    classifier().fit(X, Y, 5, resume_from=path)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"fastbp: going on from {path}, epoch 2"
    assert [line.split(" loss")[0] for line in lines[1:]] == ["epoch 3/5", "epoch 4/5", "epoch 5/5"]
    classifier().fit(X, Y, 5, resume_from=path, verbose=False)
    assert capsys.readouterr().err == ""


# --- what can't go on ---------------------------------------------------------------------------------

OTHERS = {
    "layers": (lambda: classifier(None, fb.Dense(9, "relu"), fb.Dropout(0.3)), "a network with layers"),
    "optimizer": (lambda: classifier(fb.Adam(0.02)), "a network with optimizer"),
    "dtype": (lambda: classifier(dtype="float64"), "a network with dtype"),
    "loss": (lambda: fb.Network(classifier_layers(), (4,), loss="mse", optimizer=fb.Adam(0.01)), "a network with loss"),
}


def classifier_layers():
    return [layer.layer for layer in classifier().layers]


@pytest.mark.parametrize("other", OTHERS)
def test_a_checkpoint_of_another_network_changes_nothing(other, tmp_path):
    path = tmp_path / "run.npz"
    classifier().fit(X, Y, callbacks=fb.Checkpoint(path), verbose=False)
    make, message = OTHERS[other]
    net = make()
    before, params = repr(net), net.params.copy()
    y = np.eye(3)[Y] if other == "loss" else Y
    with pytest.raises(ValueError, match=message):
        net.fit(X, y, resume_from=path, verbose=False)
    assert net.epochs_trained == 0 and repr(net) == before and (net.params == params).all()


def test_a_checkpoint_of_other_callbacks_changes_nothing(tmp_path):
    path = tmp_path / "run.npz"
    callbacks = [fb.EarlyStopping("loss"), fb.ReduceOnPlateau("loss"), fb.Checkpoint(path)]
    classifier().fit(X, Y, callbacks=callbacks, verbose=False)
    net, fresh = classifier(), classifier()
    for bad in ([], callbacks[1::-1], callbacks[:1], [*callbacks, fb.StopAtLoss(0.1)]):
        with pytest.raises(ValueError, match=r"must be those of .*: EarlyStopping, ReduceOnPlateau, got"):
            net.fit(X, Y, callbacks=bad, resume_from=path, verbose=False)
    net.save(path)
    with pytest.raises(ValueError, match=r"resume_from must be a file that a Checkpoint wrote, .* is of Network\.save"):
        net.fit(X, Y, resume_from=path, verbose=False)
    with pytest.raises(TypeError, match="resume_from must be a path of a file, got 5"):
        net.fit(X, Y, resume_from=5, verbose=False)
    path.write_bytes(b"PK")
    with pytest.raises(fb.FileFormatError, match="not a whole fastbp model"):
        net.fit(X, Y, resume_from=path, verbose=False)
    with pytest.raises(IsADirectoryError):
        net.fit(X, Y, resume_from=tmp_path, verbose=False)
    assert same(net, fresh)


class Began:
    def __init__(self):
        self.calls = []

    def on_train_begin(self, net):
        self.calls.append("begin")

    def on_train_end(self, net):
        self.calls.append("end")


def test_a_forged_state_changes_nothing(tmp_path):
    path, net, fresh = tmp_path / "run.npz", classifier(), classifier()

    def callbacks():
        return [fb.EarlyStopping("loss"), fb.ReduceOnPlateau("loss"), Began()]

    classifier().fit(X, Y, 3, callbacks=[*callbacks(), fb.Checkpoint(path)], verbose=False)
    header, arrays = mutations.unpack(path.read_bytes())
    early, plateau = (state["values"] for state in header["run"]["callbacks"])
    for values, name, junk in (
        (early, "best", "low"),
        (early, "best_epoch", -1),
        (early, "stopped", 1),
        (early, "epochs", None),
        (plateau, "bad", 0.5),
        (plateau, "cooling", None),
        (header["run"], "seconds", -1),
        (header["run"], "history", ["loss"]),
        (header["run"], "history", []),
        (header["run"], "callbacks", 5),
    ):
        right, values[name] = values[name], junk
        path.write_bytes(mutations.pack(mutations.with_header(header, arrays)))
        values[name] = right
        given = callbacks()
        with pytest.raises(fb.FileFormatError, match=re.escape(str(path))):
            net.fit(X, Y, 5, callbacks=given, resume_from=path, verbose=False)
        assert same(net, fresh) and given[2].calls in ([], ["begin", "end"])
    for name in arrays:
        path.write_bytes(mutations.pack(mutations.with_header(header, {**arrays, name: arrays[name][:1]})))
        with pytest.raises(fb.FileFormatError):
            net.fit(X, Y, 5, callbacks=callbacks(), resume_from=path, verbose=False)
        assert same(net, fresh)


def test_a_state_that_no_file_can_hold(tmp_path):
    class Bad(Own):
        def state(self):
            return {"file": sys.stderr}

    with pytest.raises(TypeError, match="must hold numbers, texts, lists and dicts of them"):
        classifier().fit(X, Y, callbacks=[Bad(), fb.Checkpoint(tmp_path / "run.npz")], verbose=False)
    assert os.listdir(tmp_path) == []


# --- disks and folders --------------------------------------------------------------------------------


class FullFrom:
    """The disk is full from an epoch on, to another one."""

    def __init__(self, monkeypatch, first, last):
        self.patch, self.first, self.last = monkeypatch, first, last

    def on_epoch_end(self, net, epoch, logs):
        def full(*arguments):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        if epoch == self.first:
            self.patch.setattr("os.fsync", full)
        if epoch == self.last:
            self.patch.undo()


def test_training_goes_on_when_the_disk_is_full(tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    callbacks = [fb.Checkpoint(path), FullFrom(monkeypatch, 2, 100)]
    with pytest.warns(RuntimeWarning) as warned:
        net = classifier()
        assert len(net.fit(X, Y, 4, callbacks=callbacks, verbose=False).epoch) == 4
    monkeypatch.undo()
    text = "the checkpoint of epoch {} could not be written, and training goes on without: [Errno 28] No space left"
    assert [str(w.message).split(" on device")[0] for w in warned] == [text.format(3), text.format(4)]
    assert str(path) in str(warned[0].message) and {w.filename for w in warned} == {__file__}
    assert fb.load(path).epochs_trained == 2 and os.listdir(tmp_path) == ["run.npz"]
    again = classifier()
    with pytest.warns(RuntimeWarning, match="the checkpoint of epoch 3"):
        callbacks[1] = FullFrom(monkeypatch, 2, 3)
        again.fit(X, Y, 4, callbacks=callbacks, resume_from=path, verbose=False)
    assert same(again, net) and same(fb.load(path), net)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
def test_a_file_that_may_not_grow_is_left_as_it_was(tmp_path):
    """A process that may write files of 6,000 bytes at most: the system refuses what is more half-way."""
    code = """
import os, resource, warnings
import numpy as np, fastbp as fb
class Limit:
    def on_epoch_end(self, net, epoch, logs):
        most = (resource.RLIM_INFINITY, 6000)[epoch == 1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
net = fb.Network([fb.Dense(100)], (20,), loss="mse")
X, y = np.ones((50, 20)), np.ones((50, 100))
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    net.fit(X, y, 2, callbacks=[Limit(), fb.Checkpoint("run.npz")], verbose=False)
assert [w.category for w in warned] == [RuntimeWarning] and "File too large" in str(warned[0].message), warned
assert fb.load("run.npz").epochs_trained == 1 and os.listdir() == ["run.npz"], os.listdir()
try:
    net.save("run.npz")
except OSError as error:
    assert error.filename == "run.npz" and error.errno == 27, error
assert fb.load("run.npz").epochs_trained == 1 and os.listdir() == ["run.npz"], os.listdir()
net.fit(X, y, callbacks=[Limit(), fb.Checkpoint("run.npz")], verbose=False)
assert fb.load("run.npz").epochs_trained == 3
"""
    result = run_python(f"import os; os.chdir({str(tmp_path)!r})" + code)
    assert result.returncode == 0, result.stderr


@contextlib.contextmanager
def unprivileged():
    """Folders' permissions count inside: for the administrator they do not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(sys.platform == "win32", reason="folders of Windows are not read-only")
def test_a_folder_to_read_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the way there may be closed to others
    net, fresh = classifier(), classifier()
    net.save("run.npz")
    before = Path("run.npz").read_bytes()
    tmp_path.chmod(0o555)
    try:
        with unprivileged():
            with pytest.raises(PermissionError) as saving:
                net.save("run.npz")
            with pytest.raises(PermissionError) as training:
                net.fit(X, Y, callbacks=fb.Checkpoint("run.npz"), verbose=False)
        assert saving.value.filename == training.value.filename == "run.npz"
    finally:
        tmp_path.chmod(0o755)
    assert same(net, fresh) and os.listdir() == ["run.npz"] and Path("run.npz").read_bytes() == before


def test_a_folder_that_is_not_there(tmp_path):
    net = classifier()
    with pytest.raises(FileNotFoundError) as caught:
        net.fit(X, Y, callbacks=fb.Checkpoint(tmp_path / "no" / "run.npz"), verbose=False)
    assert caught.value.filename == str(tmp_path / "no" / "run.npz") and net.epochs_trained == 0


# --- kills and Ctrl-C ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_kills_at_random_moments():
    """FASTBP_KILLS=100 for a hundred of them; see benchmarks/kill.py, which is what runs."""
    script = Path(__file__).parent.parent / "benchmarks" / "kill.py"
    command = [sys.executable, str(script), os.environ.get("FASTBP_KILLS", "4")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "each checkpoint was whole and went on" in result.stdout


def interrupt(code, wait):
    """Run code, send SIGINT some seconds after it has printed "go"; the process, and when it printed "ended"."""
    command = [sys.executable, "-c", f"import time, numpy as np, fastbp as fb\n{code}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "go\n", process.communicate()[1]
    time.sleep(wait)
    sent = time.time()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    ended = float(re.search(r"ended (\S+)", out).group(1))
    return ended - sent, out, err


FAST = """
X, y = np.random.default_rng(0).standard_normal((5000, 64)), np.arange(5000) % 10
net = fb.Network([fb.Dense(256, "relu"), fb.Dense(10)], (64,), loss="cross_entropy", seed=0)
class Go:
    def on_epoch_end(self, net, epoch, logs):
        if epoch == 0:
            print("go", flush=True)
        logs["own"] = float(epoch)
history = net.fit(X, y, 10**6, validation_split=0.2, callbacks=[Go()], verbose=False)
print("ended", time.time())
epochs = len(history.epoch)
assert history.stopped == "interrupted" and epochs >= 1 and epochs <= net.epochs_trained
assert {len(values) for values in history.history.values()} == {epochs} and history.history["own"][-1] == epochs - 1
assert np.isfinite(net.params).all()
before, steps = net.epochs_trained, net.steps_trained
again = net.fit(X, y, 2, verbose=False)
assert again.stopped == "epochs" and net.epochs_trained == before + 2 and net.steps_trained == steps + 2 * 157
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process")
@pytest.mark.parametrize("wait", [0.05, 0.3, 0.61])
def test_ctrl_c_ends_training_soon(wait):
    late, _, err = interrupt(FAST, wait)
    assert late < 0.5
    assert re.search(
        r"fastbp: interrupted after \d+ whole epochs; Ctrl-C again within 2 seconds ends the program\n$", err
    )


def test_a_history_that_was_interrupted_within_an_epoch_is_cut():
    """Ctrl-C may come between two lists."""

    class Late(dict):
        def get(self, name, default):
            if name == "second":
                raise KeyboardInterrupt
            return super().get(name, default)

    history = fb.History()
    history.add(0, {"first": 1.0, "second": 2.0})
    with pytest.raises(KeyboardInterrupt):
        history.add(1, Late(first=1.0, second=2.0))
    history.cut()
    assert history.history == {"first": [1.0], "second": [2.0]} and history.epoch == [0]


def test_ctrl_c_while_a_checkpoint_is_written(tmp_path, monkeypatch):
    path, net = tmp_path / "run.npz", classifier()
    seal, calls = files._seal, []

    def interrupted(file, size):
        calls.append(size)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return seal(file, size)

    monkeypatch.setattr(files, "_seal", interrupted)
    history = net.fit(X, Y, 5, callbacks=fb.Checkpoint(path), verbose=False)
    assert history.stopped == "interrupted" and len(history.epoch) == 3
    assert fb.load(path).epochs_trained == 2 and os.listdir(tmp_path) == ["run.npz"]


def test_files_of_several_bests_know_of_one_another(tmp_path):
    """Whichever a run goes on from: an epoch that is the best of both is so in both files."""
    scores = {"a": [3, 2, 1.5, 9, 9], "b": [3, 9, 1, 2, 9]}

    class Scores:
        def on_epoch_end(self, net, epoch, logs):
            logs.update({name: values[epoch] for name, values in scores.items()})

    def run(epochs, resume_from=None):
        net = fb.Network([fb.Dense(1)], (3,), loss="mse", seed=0)
        keepers = [fb.Checkpoint(tmp_path / f"{name}.npz", monitor=name, mode="min") for name in scores]
        options = dict(callbacks=[Scores(), *keepers], resume_from=resume_from, verbose=False)
        net.fit(np.eye(3), np.ones(3), epochs, **options)
        return [(keeper.best, keeper.best_epoch, fb.load(keeper.path).epochs_trained) for keeper in keepers]

    want = run(5)
    assert want == [(1.5, 2, 3), (1, 2, 3)]
    for name in scores:
        run(3)
        assert run(5, tmp_path / f"{name}.npz") == want
