"""Python threads × threading layers × ways to start processes: no crash, no deadlock, the same bits."""

import functools
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes import HOW

from fastbp.runtime import threads

LAYERS, STARTS, THREADS = ("tbb", "omp", "workqueue"), HOW[:4], ("1", "4")
SCRIPT = Path(__file__).parent / "processes.py"


@functools.cache
def run(how, layer):
    """Threads in Python, threads that fastbp uses, and the layer, for each of THREADS."""
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2", "NUMBA_THREADING_LAYER": layer}
    command = [sys.executable, str(SCRIPT), how, *THREADS]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr
    return {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}


def skip_without(layer, how="here"):
    threads._load_tbb()
    try:
        importlib.import_module(threads._POOLS[layer])
    except ImportError:
        pytest.skip(f"{layer} is not installed")
    if "fork" in how and not hasattr(os, "fork"):
        pytest.skip("no fork on this platform")


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("how", STARTS)
@pytest.mark.parametrize("layer", LAYERS)
def test_training(layer, how, threads):
    skip_without(layer, how)
    assert run(how, layer)[threads] == ["1" if layer == "workqueue" else "2", layer]


@pytest.mark.parametrize("how", HOW[4:])
@pytest.mark.parametrize("layer", LAYERS)
def test_executors(layer, how):
    skip_without(layer)
    if how.startswith("joblib"):
        pytest.importorskip("joblib")
    assert set(run(how, layer)) == set(THREADS)


def test_the_table_is_whole():
    assert len(LAYERS) * len(STARTS) * len(THREADS) == 24


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_child_does_not_wait_for_threads_that_it_does_not_have():
    """Forked while another thread uses the network, or compiles."""
    code = """
import os, signal, threading
import numpy as np
import fastbp as fb
from fastbp.runtime import locks, threads

fb.set_num_threads(1)
net, X = fb.Network([fb.Dense(3)], (4,), loss="mse", seed=0), np.ones((2, 4))
want, held, done = net.predict(X), threading.Event(), threading.Event()

def hold():
    with net.lock, locks.one_at_a_time():
        held.set()
        done.wait()

thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(100)
    net.fit(X, np.ones((2, 3)), verbose=False)
    os._exit(int((net.predict(X) == want).all()))
status = os.waitpid(child, 0)[1]
done.set()
thread.join()
assert status == 0, status
assert (net.predict(X) == want).all()
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert ran.returncode == 0, ran.stderr
