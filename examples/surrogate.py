"""A surrogate model called from C: a network learns a costly function, and a C program samples it a million times.

The C program gets the network's struct (see fastbp.h) and calls it by pointers, in the same process.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

import fastbp as fb

PROGRAM = """
#include <stdint.h>
#include <fastbp.h>

enum { ROWS = 64 };

static double uniform(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) / 9007199254740992.0;
}

/* The share of points x, uniform in [-1, 1]^2, at which the network is above a limit; less than 0 for an error. */
double share_above(const fastbp_f32 *net, double limit, int64_t points, uint64_t seed)
{
    float x[ROWS][2], y[ROWS];
    int64_t above = 0;
    for (int64_t done = 0; done < points; done += ROWS) {
        int64_t rows = points - done < ROWS ? points - done : ROWS;
        for (int64_t r = 0; r < rows; r++)
            for (int i = 0; i < 2; i++)
                x[r][i] = (float)(2.0 * uniform(&seed) - 1.0);
        if (net->predict(net->handle, x[0], rows, y) != FASTBP_DONE)
            return -1.0;
        for (int64_t r = 0; r < rows; r++)
            above += y[r] > limit;
    }
    return (double)above / (double)points;
}
"""


def costly(X):
    """What the network stands for; think of hours of simulation."""
    return np.sin(3 * X[:, 0]) * np.cos(2 * X[:, 1]) + 0.5 * X[:, 0]


def compile_c(source: str, folder: str) -> ctypes.CDLL:
    """The shared library of a C file."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise SystemExit("this example needs a C compiler")
    code, library = Path(folder, "share.c"), Path(folder, "share.so")
    code.write_text(source)
    flags = ["-O2", "-std=c99", "-shared", "-fPIC", f"-I{fb.get_include()}"]
    subprocess.run([compiler, *flags, str(code), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def main() -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (2000, 2))
    layers, optimizer = [fb.Dense(32, "tanh"), fb.Dense(32, "tanh"), fb.Dense(1)], fb.Adam(fb.CosineDecay(3e-3, 32_000))
    net = fb.Network(layers, (2,), loss="mse", optimizer=optimizer, seed=0)
    net.fit(X, costly(X), epochs=1000, batch_size=64, verbose=False)

    with tempfile.TemporaryDirectory() as folder:
        share_above = compile_c(PROGRAM, folder).share_above
    share_above.restype, points = ctypes.c_double, 1_000_000
    pointers = net.c_pointers(rows=64, training=False)
    begin = time.perf_counter()
    share = share_above(ctypes.byref(pointers), ctypes.c_double(0.5), ctypes.c_int64(points), ctypes.c_uint64(1))
    seconds = time.perf_counter() - begin
    truth = (costly(rng.uniform(-1, 1, (points, 2))) > 0.5).mean()
    print(f"above 0.5: {share:.4f} of {points:,} points by the network in {seconds:.2f} s, {truth:.4f} by the function")


if __name__ == "__main__":
    main()
