"""Python threads × threading layers × ways to start processes: no crash, no deadlock, the same bits."""

import functools
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes import HOW

from fastbp import _jit

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
    _jit._load_tbb()
    try:
        importlib.import_module(_jit._POOLS[layer])
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
