"""The same seed gives the same bits: on any number of threads, twice, and with any of the engine's loops."""

import importlib.metadata
import os

import numpy as np
import pytest
from support import run_python

import fastbp as fb
from fastbp.program import engine
from fastbp.runtime.threads import threading_layer

TRAIN = """
import hashlib, sys, warnings
import numpy as np
import fastbp as fb
rng = np.random.default_rng(0)
X = rng.standard_normal((1000, 40))
y = rng.integers(0, 10, 1000)
digests = []
for dtype in ("float32", "float64"):
    for activation, units, optimizer in (
        ("tanh", 400, fb.Adam(1e-3)),
        ("relu", 61, fb.SGD(0.1, momentum=0.9)),
        ("gelu", 410, fb.Nadam(fb.CosineDecay(1e-3, 20), clip_norm=1.0, clip_value=0.1, gradient_noise=1e-6)),
    ):
        layers = [fb.Dense(units, activation), fb.Dense(units, "sigmoid"), fb.Dense(10)]
        if activation == "gelu":
            layers = [fb.Dropout(0.1), fb.Dense(units, activation, l1=1e-5), fb.Dropout(0.5), *layers[1:]]
        net = fb.Network(layers, (40,), loss="cross_entropy", optimizer=optimizer, dtype=dtype, seed=5)
        history = net.fit(X, y, epochs=3, batch_size=300, verbose=False, validation_split=0.1)
        if SAVE:
            net.save(PATH)
            net = fb.load(PATH)
        net.fit(X, y, epochs=1, batch_size=300, verbose=False)
        numbers = [net.params, net.grads, net.predict(X), net.input_gradient(X, y), history.history["loss"]]
        digests.append(hashlib.sha256(b"".join(np.asarray(a).tobytes() for a in numbers)).hexdigest())
print(*digests, fb.get_num_threads())
"""


def run(threads, path=None, **environment):
    code = f"SAVE, PATH = {path is not None}, {str(path)!r}\n{TRAIN}"
    result = run_python(code, NUMBA_NUM_THREADS=str(threads), **environment)
    assert result.returncode == 0, result.stderr
    *digests, used = result.stdout.split()
    return digests, int(used)


def test_same_bits_on_any_number_of_threads_and_after_saving(tmp_path):
    want, used = run(1)
    assert used == 1
    for threads in (1, 2, 3, 8):
        digests, used = run(threads)
        assert digests == want
        assert used == threads or threading_layer() == "workqueue"
    assert run(3, tmp_path / "net.npz")[0] == want


def test_set_num_threads_is_fastbps_own():
    code = """
import numba, numpy as np, fastbp as fb
fb.set_num_threads(2)
assert fb.get_num_threads() == 2 and numba.get_num_threads() == 4
net = fb.Network([fb.Dense(500, "relu"), fb.Dense(500)], (500,), loss="mse", seed=0)
X = np.ones((500, 500))
net.fit(X, X, verbose=False)
assert numba.get_num_threads() == 4
numba.set_num_threads(3)
fb.set_num_threads(None)
assert fb.get_num_threads() == 3
"""
    result = run_python(code, NUMBA_NUM_THREADS="4")
    assert result.returncode == 0, result.stderr


def test_work_is_shared_among_threads():
    """The parallel loop is taken for much work and only then: other threads use the CPU, or none does."""
    code = """
import os, threading, time, numpy as np, fastbp as fb
def cpu_of_others():
    total = 0.0
    for task in os.listdir("/proc/self/task"):
        if int(task) != threading.get_native_id():
            fields = open(f"/proc/self/task/{task}/stat").read().rsplit(")", 1)[1].split()
            total += int(fields[11])
    return total / os.sysconf("SC_CLK_TCK")
def others_work(units, rows, seconds):
    net = fb.Network([fb.Dense(units, "tanh"), fb.Dense(units)], (units,), loss="mse", seed=0)
    X = np.ones((rows, units), np.float32)
    net.train_on_batch(X, X)
    own, others = time.thread_time(), cpu_of_others()
    while time.thread_time() - own < seconds and cpu_of_others() - others < 0.05:
        net.fit(X, X, epochs=20, batch_size=rows, shuffle=False, verbose=False)
    return cpu_of_others() - others
assert others_work(8, 16, 0.5) < 0.05
assert others_work(300, 300, 20) >= 0.05
"""
    if threading_layer() == "workqueue":
        pytest.skip("Numba found no threading layer that is used")
    result = run_python(code, NUMBA_NUM_THREADS="2", OMP_WAIT_POLICY="passive")
    assert result.returncode == 0, result.stderr


def test_workqueue_trains_on_one_thread_and_says_so_once():
    code = """
import warnings
warnings.simplefilter("always")
with warnings.catch_warnings(record=True) as caught:
    exec(compile(CODE, "train", "exec"))
assert sum("one thread" in str(w.message) for w in caught) == 1, [str(w.message) for w in caught]
"""
    code = f"CODE = 'SAVE, PATH = False, None\\n' + {TRAIN!r}\n{code}"
    result = run_python(code, NUMBA_NUM_THREADS="2", NUMBA_THREADING_LAYER="workqueue")
    assert result.returncode == 0, result.stderr
    *digests, used = result.stdout.split()
    assert used == "1" and digests == run(2)[0]


@pytest.mark.parametrize("layer", ["tbb", "omp"])
def test_training_after_fork(layer):
    """A child of a process that has trained trains as well: with OpenMP, on one thread."""
    code = """
import multiprocessing, numpy as np, fastbp as fb
from fastbp.runtime import threads
def train():
    net = fb.Network([fb.Dense(300, "tanh"), fb.Dense(1)], (300,), loss="mse", seed=0)
    X = np.random.default_rng(0).standard_normal((512, 300))
    net.fit(X, X[:, 0], batch_size=256, verbose=False)
    return net.params.tobytes()
if threads.threading_layer() == LAYER:
    want = train()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert all(result == want for result in pool.map(train_again, range(2)))
print(threads.threading_layer())
"""
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this platform")
    code = code.replace("if threads", "def train_again(i): return train()\nif threads").replace("LAYER", repr(layer))
    result = run_python(code, NUMBA_NUM_THREADS="2", NUMBA_THREADING_LAYER=layer)
    if "No threading layer could be loaded" in result.stderr:
        pytest.skip(f"{layer} is not installed")
    assert result.returncode == 0, result.stderr


def test_tbb_is_loaded_where_it_is_installed():
    try:
        importlib.metadata.distribution("tbb")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("tbb has no wheel for this platform")
    code = "import numpy as np, fastbp.runtime.threads as j; print(j.threading_layer())"
    assert run_python(code).stdout.strip() == "tbb"


def test_training_does_not_recompile():
    """A second network of other sizes runs the very kernels and engine of the first."""
    X, y = np.ones((20, 3)), np.zeros(20)
    for units in (4, 9):
        net = fb.Network([fb.Dense(units, "tanh"), fb.Dense(1)], (3,), loss="mse", seed=0)
        net.fit(X, y, verbose=False)
        addresses = {
            o.kernel.name: o.kernel._addresses
            for group in net.plan.program("train", "values", True)[0]
            for o in group.ops
        }
        if units == 4:
            first = {name: dict(found) for name, found in addresses.items()}
    assert {name: dict(found) for name, found in addresses.items()} == first
    assert len(engine.run_batches.dispatcher.overloads) == 1


def test_compiled_loop_allocates_nothing():
    """What Numba allocates for a call (to take its arguments) does not grow with the steps in it."""
    from numba.core.runtime import _nrt_python, rtsys

    _nrt_python.memsys_enable_stats()
    X, y = np.random.default_rng(0).standard_normal((6400, 300)), np.zeros((6400, 1))
    net = fb.Network([fb.Dense(200, "tanh"), fb.Dense(1)], (300,), loss="mse", dtype="float64", seed=0)
    feed, workspace = net._feed(X, y), net.workspace(64)
    for threads in (1, None):
        fb.set_num_threads(threads)
        counts = []
        for batches in (1, 1, 100):  # the first call loads the kernels
            before = rtsys.get_allocation_stats()
            assert feed.run(workspace, "train", 64, last=batches) == batches
            after = rtsys.get_allocation_stats()
            counts.append((after.alloc - before.alloc, after.mi_alloc - before.mi_alloc))
        assert counts[1] == counts[2]
