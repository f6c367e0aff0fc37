"""What X, y and weights may be: DataFrames, memory maps, iterables of batches; and the weights themselves."""

import hashlib
import itertools
import mmap
import queue
import threading

import numpy as np
import pytest
from support import run_python

import fastbp as fb
from fastbp.training import feeds

RNG = np.random.default_rng(0)
ROWS = 1000
X = RNG.standard_normal((ROWS, 6)).astype(np.float32)
Y = RNG.integers(0, 3, ROWS)
WEIGHT = RNG.uniform(0, 2, ROWS)


def classifier(inputs=6):
    return fb.Network([fb.Dense(9, "tanh"), fb.Dense(3)], (inputs,), loss="cross_entropy", seed=0)


def bits(net):
    return hashlib.sha256(b"".join(array.tobytes() for array in net.arrays().values())).hexdigest()


# --- DataFrames ---------------------------------------------------------------------------------------


def frame_and_array(library):
    """A frame of columns of several dtypes, none of which NumPy has for all, and the same as an array."""
    columns = {
        "age": np.arange(60) % 7,
        "rate": np.linspace(-1, 1, 60),
        "member": np.arange(60) % 2 == 0,
        "small": np.linspace(0, 1, 60).astype(np.float32),
    }
    return library.DataFrame(columns), np.stack([values.astype(float) for values in columns.values()], axis=1)


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_a_frame_gives_the_bits_of_an_array(name):
    library = pytest.importorskip(name)
    frame, array = frame_and_array(library)
    y, weight = np.arange(60) % 3, np.linspace(0, 1, 60)
    nets = []
    for data in ((frame, library.Series(y), library.Series(weight)), (array, y, weight)):
        nets.append(classifier(4))
        nets[-1].fit(data[0], data[1], 3, 8, sample_weight=data[2], verbose=False)
    assert bits(nets[0]) == bits(nets[1])
    assert (nets[0].predict(frame) == nets[1].predict(array)).all()
    assert nets[0].evaluate(frame, library.Series(y)) == nets[1].evaluate(array, y)


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_a_frame_with_other_columns_is_an_error_that_names_them(name):
    library = pytest.importorskip(name)
    frame = library.DataFrame({"age": [1, 2], "city": ["a", "b"], "name": ["c", "d"]})
    net = classifier(3)
    with pytest.raises(
        TypeError, match=r"X must hold numbers, got a DataFrame with other columns: 'city' \(.*\), 'nam"
    ):
        net.fit(frame, [0, 1], verbose=False)
    with pytest.raises(TypeError, match=r"y must hold numbers, got a Series of dtype .*; np.unique\(y, return_inv"):
        net.fit(np.ones((2, 3)), library.Series(["a", "b"]), verbose=False)


def test_other_frames_of_pandas():
    pandas = pytest.importorskip("pandas")
    net = classifier(2)
    nullable = pandas.DataFrame({"a": pandas.array([1, 2], "Int64"), "b": pandas.array([True, False], "boolean")})
    assert (net.predict(nullable) == net.predict([[1, 1], [2, 0]])).all()
    twice = pandas.DataFrame([[1, True], [2, False]], columns=["a", "a"])
    assert (net.predict(twice) == net.predict([[1, 1], [2, 0]])).all()
    gap = pandas.DataFrame({"a": [1.0, None], "b": [True, False]})
    with pytest.raises(
        ValueError, match=r"X must have no missing values, got a DataFrame in which 'a' has 1 .* in row 1:"
    ):
        net.predict(gap)
    days = pandas.DataFrame({"a": [1, 2], "day": pandas.to_datetime(["2020-01-01", "2020-01-02"])})
    with pytest.raises(TypeError, match=r"other columns: 'day' \(datetime64"):
        net.predict(days)


# --- memory maps --------------------------------------------------------------------------------------


@pytest.fixture
def small_pieces(monkeypatch):
    """Any memory map is read in pieces, of some 100 rows of X."""
    monkeypatch.setattr(feeds, "_MAPPED_FROM", 1)
    monkeypatch.setattr(feeds, "_PIECE", 100 * 24)


def mapped(folder, array, name="x", mode="r"):
    np.save(folder / f"{name}.npy", array)
    return np.load(folder / f"{name}.npy", mmap_mode=mode)


LAYOUTS = {
    "as it is": lambda m: m,
    "as an array": np.asarray,
    "a slice": lambda m: m[17:990],
    "other columns": lambda m: np.asarray(m[:, ::-2]),
    "backwards": lambda m: m[::-1],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int64", ">f4"])
def test_a_map_gives_the_bits_of_an_array(layout, dtype, tmp_path, small_pieces):
    """Also of weights, a mapped y, validation, evaluation and prediction; the last piece has a batch of few rows."""
    array = (X + 4).astype(dtype)
    data = []
    for source, y in ((array, Y), (mapped(tmp_path, array), mapped(tmp_path, Y, "y"))):
        x = LAYOUTS[layout](source)
        data.append((x, y[: len(x)], WEIGHT[: len(x)]))
    assert feeds._map_of(data[0][0]) is None and feeds._map_of(data[1][0]) is not None
    results = []
    for x, y, weight in data:
        net = classifier(x.shape[1])
        more = dict(shuffle=False, class_weight="balanced", validation_split=0.31, metrics=["auc"], verbose=False)
        history = net.fit(x, y, 2, 16, sample_weight=weight, **more)
        metrics = [fb.metrics.top_k_accuracy(2), fb.metrics.auc]
        found = net.evaluate(x, y, 7, sample_weight=weight, class_weight="balanced", metrics=metrics)
        results.append((bits(net), history.history, found, net.predict(x, 7).tobytes(), net.forward(x).tobytes()))
    assert results[0] == results[1]


def test_a_map_that_lies_column_by_column(tmp_path, small_pieces):
    array = mapped(tmp_path, np.asfortranarray(X))
    net, twin = classifier(), classifier()
    assert array.flags.f_contiguous and feeds._map_of(array) is not None
    net.fit(array, Y, shuffle=False, verbose=False)
    twin.fit(X, Y, shuffle=False, verbose=False)
    assert bits(net) == bits(twin) and (net.predict(array) == net.predict(X)).all()


def test_other_targets_in_a_map(tmp_path, small_pieces):
    targets = RNG.standard_normal((ROWS, 2))
    results = []
    for y in (targets, mapped(tmp_path, targets, "y")):
        net = fb.Network([fb.Dense(2)], (6,), loss="mse", seed=0)
        history = net.fit(X, y, 2, 16, shuffle=False, validation_data=(X, y), metrics="mae", verbose=False)
        results.append((bits(net), history.history))
    assert results[0] == results[1]


def test_shuffling_a_map_takes_each_row_once_in_another_order(tmp_path, small_pieces):
    numbers = np.repeat(np.arange(ROWS, dtype=np.float32)[:, np.newaxis], 6, axis=1)
    net = classifier()
    source = feeds.feed(net.spec, mapped(tmp_path, numbers), np.zeros(ROWS))
    epochs = []
    for epoch in range(3):
        order, pieces = [], []
        for feed, places in source.pieces(8, feeds.Shuffle(net.shuffle_key(), epoch)):
            assert feed.rows % 8 == 0 or ROWS - 1 in feed.x
            assert sorted(feed.x[:, 0]) == list(feed.x[:, 0]) and feed.rows <= 100
            pieces.append(feed.x[0, 0])
            order += feed.x[places, 0].tolist()
        assert sorted(order) == list(range(ROWS)) and pieces != sorted(pieces)
        epochs.append(order)
    assert epochs[0] != epochs[1] != epochs[2] and epochs[0][:50] != sorted(epochs[0][:50])


def test_training_from_a_map_learns(tmp_path, small_pieces):
    centres = 3 * np.eye(6)[Y]
    net = classifier()
    history = net.fit(mapped(tmp_path, X + centres), Y, 20, 16, verbose=False)
    assert history.history["accuracy"][-1] > 0.9 and net.steps_trained == 20 * -(-ROWS // 16)


def test_shuffling_a_map_does_not_depend_on_threads(tmp_path):
    code = f"""
import hashlib, numpy as np, fastbp as fb
from fastbp.training import feeds
feeds._MAPPED_FROM, feeds._PIECE = 1, 1 << 20
X = np.load({str(tmp_path / "x.npy")!r}, mmap_mode="r")
net = fb.Network([fb.Dense(300, "relu"), fb.Dense(3)], (500,), loss="cross_entropy", seed=0)
net.fit(X, np.arange(len(X)) % 3, 2, 256, verbose=False)
print(hashlib.sha256(net.params.tobytes()).hexdigest())
"""
    np.save(tmp_path / "x.npy", RNG.standard_normal((3000, 500)).astype(np.float32))
    results = [run_python(code, NUMBA_NUM_THREADS=str(threads)) for threads in (1, 2, 3)]
    assert not any(result.returncode for result in results), results[0].stderr
    assert len({result.stdout for result in results}) == 1


@pytest.mark.parametrize("which", ["X", "y", "sample_weight"])
def test_a_bad_value_in_a_map_is_found_before_training(which, tmp_path, small_pieces):
    data = {"X": X.copy(), "y": Y.copy(), "sample_weight": WEIGHT.copy()}
    data[which][777] = {"X": np.inf, "y": 3, "sample_weight": -1}[which]
    data = {name: mapped(tmp_path, array, name) for name, array in data.items()}
    net = classifier()
    with pytest.raises(ValueError, match=f"{which} must .* in row 777"):
        net.fit(**data, verbose=False)
    assert net.steps_trained == 0


def test_labels_that_change_in_training_are_not_used_as_indices(tmp_path, small_pieces):
    y = mapped(tmp_path, Y, "y", mode="r+")

    class Spoil:
        def on_epoch_end(self, net, epoch, logs):
            y[500] = 10**6

    net, twin = classifier(), classifier()
    with pytest.raises(ValueError, match=r"y must hold labels 0 to 2 .*, got 1000000 in row 500"):
        net.fit(X, y, 3, callbacks=Spoil(), verbose=False)
    y[500] = Y[500]
    twin.fit(X, y, 1, verbose=False)
    assert bits(net) == bits(twin)


def test_pages_that_were_written_to_are_not_lost(tmp_path, small_pieces):
    for mode in ("c", "r+"):
        array = mapped(tmp_path, X, mode=mode)
        array[5] = 7
        classifier().fit(array, Y, verbose=False)
        assert (array[5] == 7).all() and (array[6:] == X[6:]).all()
    assert (np.load(tmp_path / "x.npy")[5] == 7).all()


def test_only_memory_maps_of_a_file_are_taken_for_some(tmp_path):
    array = mapped(tmp_path, X)
    anonymous = np.frombuffer(mmap.mmap(-1, 4096), np.uint8)
    for other in (X, X[::2], array.copy(), array + 1, np.array(array[3:]), anonymous):
        assert feeds._map_of(other) is None
    for view in (array, array[3:], np.asarray(array)[:, 1], array.reshape(-1).view(np.uint32)):
        assert isinstance(feeds._map_of(view), np.memmap)
    assert feeds._span(array[:, :1]) == (ROWS - 1) * 24 + 4 and feeds._span(array[::-1]) == array.nbytes


def test_small_maps_are_used_as_they_stand(tmp_path):
    net, twin = classifier(), classifier()
    net.fit(mapped(tmp_path, X), Y, 2, verbose=False)
    twin.fit(X, Y, 2, verbose=False)
    assert bits(net) == bits(twin)


@pytest.mark.slow
def test_a_map_larger_than_the_memory_limit(tmp_path):
    """2 GB in a process of its own, which may take 250 MB for it; mapped pages count. See benchmarks/memmap.py."""
    pytest.importorskip("resource", reason="no resource usage on this platform")
    code = f"""
import resource, sys, numpy as np, fastbp as fb
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
net = fb.Network([fb.Dense(8, "relu"), fb.Dense(1)], (1000,), loss="mse", seed=0)
net.fit(np.zeros((1000, 1000), np.float32), np.zeros(1000), batch_size=500, verbose=False)
X = np.memmap({str(tmp_path / "x.bin")!r}, np.float32, "w+", shape=(500_000, 1000))
y = np.memmap({str(tmp_path / "y.bin")!r}, np.float32, "w+", shape=500_000)
before = peak()
net.fit(X, y, batch_size=500, validation_split=0.1, verbose=False)
net.evaluate(X[250_000:], y[250_000:])
assert net.predict(X[:250_000]).shape == (250_000, 1)
assert peak() - before < 250, peak() - before
"""
    result = run_python(code)
    assert result.returncode == 0, result.stderr


# --- iterables of batches -----------------------------------------------------------------------------


class Loader:
    """Iterated anew each time."""

    def __init__(self, *arrays, size=64, kind=tuple):
        self.arrays, self.size, self.kind = arrays, size, kind

    def __iter__(self):
        for i in range(0, len(self.arrays[0]), self.size):
            yield self.kind(array[i : i + self.size] for array in self.arrays)


@pytest.mark.parametrize("kind", [tuple, list])
@pytest.mark.parametrize("weighted", [False, True])
def test_batches_are_the_steps_of_an_epoch(kind, weighted):
    arrays = (X, Y, WEIGHT) if weighted else (X, Y)
    net, twin, third = classifier(), classifier(), classifier()
    history = net.fit(Loader(*arrays, kind=kind), epochs=3, verbose=False)
    weight = WEIGHT if weighted else None
    want = twin.fit(X, Y, 3, 64, shuffle=False, sample_weight=weight, verbose=False)
    third.fit(list(Loader(*arrays)), epochs=3, batch_size=7, shuffle=True, verbose=False)
    assert bits(net) == bits(twin) == bits(third)
    assert history.history["accuracy"] == want.history["accuracy"]
    np.testing.assert_allclose(history.history["loss"], want.history["loss"], rtol=1e-12)


def test_batches_of_many_sizes():
    cuts = [0, 1, 300, 301, 317, 990, ROWS]
    batches = [(X[a:b], Y[a:b].tolist()) for a, b in itertools.pairwise(cuts)]
    net, twin = classifier(), classifier()
    history = net.fit(batches, epochs=2, validation_data=(X, Y), metrics=["auc"], verbose=False)
    losses = [[twin.train_on_batch(x, y) * len(x) for x, y in batches] for _ in range(2)]
    assert bits(net) == bits(twin) and net.steps_trained == 12
    np.testing.assert_allclose(history.history["loss"], np.sum(losses, axis=1) / ROWS, rtol=1e-12)
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy", "val_auc"}


def test_a_generator_is_good_for_one_epoch():
    net, twin = classifier(), classifier()
    net.fit(iter(Loader(X, Y)), verbose=False)
    twin.fit(X, Y, 1, 64, shuffle=False, verbose=False)
    assert bits(net) == bits(twin)
    message = "X must be iterated once an epoch, and a generator is empty after the first: pass a list .*; got epochs=2"
    with pytest.raises(ValueError, match=message):
        net.fit(iter(Loader(X, Y)), epochs=2, verbose=False)
    assert bits(net) == bits(twin)


def test_batches_that_run_dry():
    net, twin = classifier(), classifier()
    left = [iter(Loader(X, Y))]

    class Once:
        def __iter__(self):
            return left.pop() if left else iter(())

    message = "X must give at least one batch each time .*, got none: pass a list of batches, or an object whose __iter"
    with pytest.raises(ValueError, match=message):
        net.fit(Once(), epochs=2, verbose=False)
    twin.fit(Loader(X, Y), verbose=False)
    assert bits(net) == bits(twin) and net.epochs_trained == 1
    with pytest.raises(ValueError, match=message):
        net.fit([], verbose=False)


BAD = [
    ((X[:, :5], Y), ValueError, r"batch 4: X must have shape \(rows, 6\), got \(1000, 5\)"),
    ((X, Y[:3]), ValueError, "batch 4: y must have as many rows as X, which has 1000, got 3"),
    ((X, Y + 1), ValueError, "batch 4: y must hold labels 0 to 2"),
    ((X * np.nan, Y), ValueError, "batch 4: X must be finite numbers .*, got nan in row 0"),
    ((X, Y, -WEIGHT), ValueError, "batch 4: sample_weight must be 0 or more"),
    ((X, None), TypeError, "batch 4: y must hold numbers, got a NoneType"),
    (X, TypeError, r"batch 4 must be \(X, y\) or \(X, y, sample_weight\), got a ndarray"),
    ((X,), TypeError, r"batch 4 must be \(X, y\) or \(X, y, sample_weight\), got 1 things"),
]


@pytest.mark.parametrize(("bad", "error", "message"), BAD)
def test_a_bad_batch_takes_the_epoch_back(bad, error, message):
    good = list(Loader(X, Y, size=100))
    epochs = iter([good, [*good[:4], bad, *good]])

    class Spoilt:
        def __iter__(self):
            return iter(next(epochs))

    net, twin = classifier(), classifier()
    with pytest.raises(error, match=message):
        net.fit(Spoilt(), epochs=2, verbose=False)
    twin.fit(good, verbose=False)
    assert bits(net) == bits(twin) and net.epochs_trained == 1


def test_an_error_of_the_iterable_takes_the_epoch_back():
    def broken():
        yield X, Y
        raise OSError("the disk is gone")

    net = classifier()
    before = bits(net)
    with pytest.raises(OSError, match="the disk is gone"):
        net.fit(broken(), verbose=False)
    assert bits(net) == before


def test_a_batch_whose_loss_is_not_finite_is_named():
    net = fb.Network([fb.Dense(1)], (1,), loss="mse", seed=0)
    with pytest.raises(fb.DivergedError, match="in epoch 1, step 3; the parameters are those before that epoch"):
        net.fit([([[1.0]], [1.0]), ([[2.0]], [1.0]), ([[1e30]], [1e30])], verbose=False)
    assert net.steps_trained == 0


def test_batches_with_class_weights():
    net, twin = classifier(), classifier()
    net.fit(Loader(X, Y, WEIGHT), class_weight={0: 2.0, 2: 0.5}, verbose=False)
    twin.fit(X, Y, 1, 64, shuffle=False, sample_weight=WEIGHT, class_weight={0: 2.0, 2: 0.5}, verbose=False)
    assert bits(net) == bits(twin)
    for n, y in ((net, np.eye(3)[Y]), (twin, Y)):
        n.fit([(X, y)], class_weight={0: 2.0}, verbose=False)
    np.testing.assert_allclose(net.params, twin.params, rtol=1e-4, atol=1e-6)


def test_an_iterable_may_use_the_network():
    def own(net):
        for x, y in Loader(X, Y):
            net.evaluate(X, Y, 999)
            net.value_and_grad(X, Y)
            yield x, y

    net, twin = classifier(), classifier()
    history = net.fit(own(net), verbose=False)
    assert history.history == twin.fit(Loader(X, Y), verbose=False).history and bits(net) == bits(twin)


def test_an_iterable_may_wait_for_a_thread_that_uses_the_network():
    net, batches = classifier(), queue.Queue(maxsize=1)

    def produce():
        for i in range(20):
            batches.put((X[i : i + 32], net.predict(X[i : i + 32]).argmax(axis=1)))
        batches.put(None)

    thread = threading.Thread(target=produce)
    thread.start()
    net.fit(iter(batches.get, None), verbose=False)
    thread.join()
    assert net.steps_trained == 20


@pytest.mark.oracle
def test_pytorchs_loader():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    net, twin = classifier(), classifier()
    net.fit(torch.utils.data.DataLoader(data, batch_size=64), epochs=2, verbose=False)
    twin.fit(Loader(X, Y), epochs=2, verbose=False)
    assert bits(net) == bits(twin)


# --- weights ------------------------------------------------------------------------------------------


def test_class_weights_hold_for_validation_too():
    """Those counted in the training rows, however the validation rows are given, times their sample weights."""
    train, rest = slice(0, 700), slice(700, None)
    by_class = (700 / (3 * np.bincount(Y[train])))[Y]
    want = classifier()
    expected = want.fit(
        X[train],
        Y[train],
        sample_weight=(WEIGHT * by_class)[train],
        validation_data=(X[rest], Y[rest], (WEIGHT * by_class)[rest]),
        verbose=False,
    ).history
    split, given = classifier(), classifier()
    a = split.fit(X, Y, sample_weight=WEIGHT, class_weight="balanced", validation_split=0.3, verbose=False)
    b = given.fit(
        X[train],
        Y[train],
        sample_weight=WEIGHT[train],
        class_weight="balanced",
        validation_data=(X[rest], Y[rest], WEIGHT[rest]),
        verbose=False,
    )
    assert a.history == b.history
    for name, values in expected.items():
        np.testing.assert_allclose(a.history[name], values, rtol=1e-5)
    last = split.fit(X, Y, class_weight="balanced", validation_data=(X, np.eye(3)[Y]), verbose=False).history
    assert last["val_loss"][0] == pytest.approx(split.evaluate(X, Y, class_weight="balanced")["loss"], rel=1e-5)


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "hinge"])
def test_class_weights_of_one_output(loss):
    """Two classes: each kind of target that the loss takes gives the loss that sample_weight gives."""
    net = fb.Network([fb.Dense(1)], X.shape[1:], loss=loss, dtype="float64", seed=0)
    y = (Y == 1).astype(int)
    by_hand = net.evaluate(X, y, sample_weight=np.array([0.5, 3.0])[y])
    targets = (y, y[:, np.newaxis], y == 1) if loss == "binary_cross_entropy" else (y, 2 * y - 1)
    for target in targets:
        assert net.evaluate(X, target, class_weight={0: 0.5, 1: 3.0}) == pytest.approx(by_hand, rel=1e-12)
    table = len(y) / (2 * np.bincount(y))
    balanced, weighted = net.evaluate(X, y, class_weight="balanced"), net.evaluate(X, y, sample_weight=table[y])
    assert balanced == pytest.approx(weighted, rel=1e-12)


def test_class_weights_of_an_evaluation():
    net = classifier()
    table = np.array([2.0, 1.0, 0.25])
    found = net.evaluate(X, Y, sample_weight=WEIGHT, class_weight={0: 2.0, 2: 0.25})
    assert found["loss"] == pytest.approx(net.evaluate(X, Y, sample_weight=WEIGHT * table[Y])["loss"], rel=1e-6)
    assert found["accuracy"] == net.evaluate(X, Y)["accuracy"]
    balanced = net.evaluate(X, Y, class_weight="balanced")["loss"]
    each = [net.evaluate(X[label == Y], Y[label == Y])["loss"] for label in range(3)]
    assert balanced == pytest.approx(np.mean(each), rel=1e-6)


def test_a_class_that_no_row_has_weighs_nothing_else_out():
    net = classifier()
    some = Y != 1
    assert net.evaluate(X[some], Y[some], class_weight="balanced")["loss"] == pytest.approx(
        np.mean([net.evaluate(X[label == Y], Y[label == Y])["loss"] for label in (0, 2)]), rel=1e-6
    )


# --- batches to validate and evaluate with ------------------------------------------------------------

LOSS_OF = {"labels": "cross_entropy", "values": "mse"}


def _problem(kind, rows=107):
    rng = np.random.default_rng(5)
    X = rng.standard_normal((rows, 4))
    y = rng.integers(0, 3, rows) if kind == "labels" else rng.standard_normal((rows, 3))
    net = fb.Network([fb.Dense(5, "tanh"), fb.Dense(3)], (4,), loss=LOSS_OF[kind], dtype="float64", seed=0)
    return net, X, y, rng.uniform(0, 2, rows)


class Uneven:
    """Batches of unlike sizes, which begin anew each time, as a torch DataLoader's do; they may be lists."""

    def __init__(self, *arrays, sizes=(50, 1, 6, 50), kind=tuple):
        self.arrays, self.cuts, self.kind, self.times = arrays, np.cumsum([0, *sizes]), kind, 0

    def __iter__(self):
        self.times += 1
        for lo, hi in zip(self.cuts, self.cuts[1:], strict=False):
            yield self.kind(array[lo:hi] for array in self.arrays)


@pytest.mark.parametrize("kind", LOSS_OF)
def test_evaluate_batches_as_all_rows_together(kind):
    net, X, y, weight = _problem(kind)
    metrics = ["mae", "r2"] if kind == "values" else [fb.metrics.top_k_accuracy(2), "auc"]
    for weights in ((), (weight,)):
        want = net.evaluate(X, y, sample_weight=weights[0] if weights else None, metrics=metrics)
        whole = list(Uneven(X, y, *weights))
        for batches in (Uneven(X, y, *weights), Uneven(X, y, *weights, kind=list), whole, iter(whole)):
            got = net.evaluate(batches, metrics=metrics)
            assert list(got) == list(want)
            np.testing.assert_allclose(list(got.values()), list(want.values()), rtol=1e-12)
        got = net.evaluate(whole, batch_size=7, metrics=metrics)
        np.testing.assert_allclose(list(got.values()), list(want.values()), rtol=1e-12)


def test_evaluate_batches_with_weights_of_classes():
    net, X, y, _ = _problem("labels")
    want = net.evaluate(X, y, class_weight={1: 2.0})
    assert net.evaluate(Uneven(X, y), class_weight={1: 2.0}) == pytest.approx(want, rel=1e-12)


def test_validate_with_batches():
    net, X, y, _ = _problem("labels")
    twin = _problem("labels")[0]
    loader = Uneven(X, y)
    options = dict(epochs=3, metrics="auc", verbose=False)
    history = net.fit(X, y, validation_data=loader, **options)
    want = twin.fit(X, y, validation_data=(X, y), **options)
    assert loader.times == 3 and (net.params == twin.params).all()
    for name, values in want.history.items():
        np.testing.assert_allclose(history.history[name], values, rtol=1e-12)
    again = net.fit(Uneven(X, y), validation_data=list(Uneven(X, y)), callbacks=fb.EarlyStopping(), verbose=False)
    assert list(again.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    net.fit(X, y, validation_data=iter(list(loader)), verbose=False)  # one epoch takes an iterator once


def test_a_list_of_two_batches_is_no_pair_of_arrays():
    net, X, y, _ = _problem("labels")
    two = [(X[:50], y[:50]), (X[50:], y[50:])]
    got = net.fit(X, y, validation_data=two, verbose=False).history["val_loss"][0]
    assert got == pytest.approx(net.evaluate(X, y)["loss"], rel=1e-12)
    for batches in (tuple(two), [list(batch) for batch in two], [[*two[0], np.ones(50)], list(two[1])]):
        got = net.fit(X, y, validation_data=batches, verbose=False).history["val_loss"][0]
        assert got == pytest.approx(net.evaluate(batches)["loss"], rel=1e-12)
    rows = X[:2].tolist(), y[:2].tolist()
    got = net.fit(X, y, validation_data=rows, verbose=False).history["val_loss"][0]
    assert got == pytest.approx(net.evaluate(*rows)["loss"], rel=1e-12)
    pair = [X, y]  # as a list: as before
    assert net.fit(X, y, validation_data=pair, verbose=False).history["val_loss"]


@pytest.mark.oracle
def test_torch_data_loaders():
    torch = pytest.importorskip("torch")
    net, X, y, _ = _problem("labels")
    rows = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(y))
    loader = torch.utils.data.DataLoader(rows, batch_size=16)
    history = net.fit(loader, epochs=2, validation_data=loader, verbose=False)
    want = net.evaluate(X, y)
    assert net.evaluate(loader) == pytest.approx(want, rel=1e-12)
    assert history.history["val_loss"][-1] == pytest.approx(want["loss"], rel=1e-12)
    for size in (-(-len(X) // 2), -(-len(X) // 3)):  # as many batches as a pair, or a triple, has parts
        few = list(torch.utils.data.DataLoader(rows, batch_size=size))
        got = net.fit(X, y, validation_data=few, verbose=False).history["val_loss"][0]
        assert got == pytest.approx(net.evaluate(few)["loss"], rel=1e-12)


def test_numbered_batches_end_where_their_length_says():
    """As those of Keras do, which give an empty batch behind the last."""
    net, X, y, _ = _problem("labels")

    class Numbered:
        def __len__(self):
            return 3

        def __getitem__(self, number):
            rows = slice(number * 30, min(number * 30 + 30, 90))
            return X[rows], y[rows]

    want = net.evaluate(X[:90], y[:90])
    assert net.evaluate(Numbered()) == pytest.approx(want, rel=1e-12)
    history = net.fit(Numbered(), epochs=2, validation_data=Numbered(), verbose=False).history
    assert history["val_loss"][-1] == pytest.approx(net.evaluate(X[:90], y[:90])["loss"], rel=1e-12)
    assert net.steps_trained == 6


def test_batches_that_are_mixed():
    net, X, y, weight = _problem("labels")
    mixed = [(X[:50], y[:50]), (X[50:], np.eye(3)[y[50:]])]
    assert net.evaluate(mixed) == pytest.approx(net.evaluate(X, y), rel=1e-12)
    with pytest.raises(ValueError, match="y must hold labels in all batches, or probabilities in all, for metrics"):
        net.evaluate(mixed, metrics="auc")
    net, X, y, weight = _problem("values")
    weights = np.r_[np.ones(50), weight[50:]]
    some = [(X[:50], y[:50]), (X[50:], y[50:], weight[50:])]
    want = net.evaluate(X, y, sample_weight=weights, metrics="mae")
    assert net.evaluate(some, metrics="mae") == pytest.approx(want, rel=1e-12)


def test_a_user_of_the_network_between_batches():
    """What has been summed up so far is not lost."""
    net, X, y, _ = _problem("labels")

    def batches():
        for X_part, y_part in Uneven(X, y):
            net.predict(X_part, batch_size=3)
            net.evaluate(X_part, y_part)
            yield X_part, y_part

    assert net.evaluate(batches()) == pytest.approx(net.evaluate(X, y), rel=1e-12)


def test_bad_batches_to_evaluate_and_validate_with():
    net, X, y, weight = _problem("labels")
    before = net.params.copy()
    good = [(X, y)]
    anew = "is empty after the first: pass a list of batches, or an object whose __iter__ begins anew, or epochs=1"
    for call, error, message in (
        (lambda: net.evaluate(X), TypeError, "y must be given with an array X"),
        (lambda: net.evaluate(good, sample_weight=weight), ValueError, "sample_weight can't be given with an iterable"),
        (
            lambda: net.evaluate(good, class_weight="balanced"),
            ValueError,
            "class_weight must be a mapping with an iter",
        ),
        (lambda: net.evaluate([(X, y), (X, y + 1)]), ValueError, "batch 1: y must hold labels 0 to 2"),
        (lambda: net.evaluate([]), ValueError, "X must give at least one batch"),
        (lambda: net.fit(X, y, validation_data=iter(good), epochs=2), ValueError, f"validation_data must .* {anew}"),
        (lambda: net.fit(X, y, validation_data=3), TypeError, r"validation_data must be \(X, y\) or .*, got 3"),
        (lambda: net.fit(X, y, validation_data={"a": 1}), TypeError, "validation_data must be .*, got {'a': 1}"),
        (lambda: net.fit(X, y, validation_data=(X,)), TypeError, r"validation_data must be \(X, y\) or "),
        (
            lambda: net.fit(X, y, validation_data=Uneven(X, y), validation_split=0.5),
            ValueError,
            "validation_split must",
        ),
        (lambda: net.fit(X, y, validation_data=[]), ValueError, "validation_data must give at least one batch"),
        (
            lambda: net.fit(X, y, validation_data=Uneven(X[:, :2], y)),
            ValueError,
            r"validation_data: batch 0: X must have shape \(rows, 4\), got \(50, 2\)",
        ),
    ):
        with pytest.raises(error, match=message):
            call()
        net.params = before
