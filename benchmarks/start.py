"""How long one waits for the first step: importing, compiling, loading what was compiled before."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

IMPORT = """
import time
begin = time.perf_counter()
import {}
print(time.perf_counter() - begin)
"""

FIRST_STEP = """
import time
begin = time.perf_counter()
import math
import numpy as np
import fastbp as fb
net = fb.Network([fb.Dense(64, activation="relu"), fb.Dense(10)], (64,), loss="cross_entropy", seed=0)
rng = np.random.default_rng(0)
loss = net.train_on_batch(rng.random((64, 64), np.float32), rng.integers(10, size=64))
print(time.perf_counter() - begin)
assert math.isfinite(loss)
"""

CALLER = """
import time
import numpy as np
from numba import njit
import fastbp as fb
net = fb.Network([fb.Dense(32, "relu"), fb.Dense(32, "relu"), fb.Dense(1)], (4,), loss="mse", seed=0)
h, x, out = net.handle(training={training}), np.ones(4, np.float32), np.empty(1, np.float32)
@njit
def nothing(x, out):
    out[0] = x[0]
nothing(x, out)  # Numba's own first function
@njit
def work(h, x, out):
    {call}
    return out[0]
begin = time.perf_counter()
found = work(h, x, out)
print(time.perf_counter() - begin)
assert np.isfinite(found)
"""
CALLS = {"predict": "fb.jit.predict(h, x, out)", "train_step": "fb.jit.train_step(h, x, out)"}

REPEATS = 3


def seconds(script, cache):
    """What the script prints, in a new interpreter whose compiled code is kept in the folder `cache`."""
    environment = {**os.environ, "FASTBP_CACHE_DIR": cache, "FASTBP_CACHE": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return float(done.stdout)


class Start:
    """Each is the least of three new processes: other load only adds to it."""

    unit = "seconds"
    timeout = 600

    def setup(self, *params):
        self.folder = tempfile.TemporaryDirectory()

    def teardown(self, *params):
        self.folder.cleanup()

    def track_import_seconds(self, module):
        """fastbp beside Numba, which is most of it."""
        return min(seconds(IMPORT.format(module), self.folder.name) for _ in range(REPEATS))

    track_import_seconds.params = ("fastbp", "numba")
    track_import_seconds.param_names = ("module",)

    def track_caller_seconds(self, call):
        """Compiling a user's first function that calls fb.jit, when fastbp's own code is compiled."""
        script = CALLER.format(call=CALLS[call], training=call != "predict")
        seconds(script, self.folder.name)
        return min(seconds(script, self.folder.name) for _ in range(REPEATS))

    track_caller_seconds.params = tuple(CALLS)
    track_caller_seconds.param_names = ("call",)

    def track_caller_cold_seconds(self):
        """The same for predict, when the network's kernels alone are compiled."""
        script = CALLER.format(call=CALLS["predict"], training=False)
        return min(seconds(script, os.path.join(self.folder.name, str(i))) for i in range(REPEATS))

    def track_first_step_cold_seconds(self):
        """Import, build and train the network `digits` for a step, with nothing compiled before."""
        caches = [os.path.join(self.folder.name, str(i)) for i in range(REPEATS)]
        return min(seconds(FIRST_STEP, cache) for cache in caches)

    def track_first_step_warm_seconds(self):
        """The same, with everything compiled by an earlier process."""
        seconds(FIRST_STEP, self.folder.name)
        return min(seconds(FIRST_STEP, self.folder.name) for _ in range(REPEATS))
