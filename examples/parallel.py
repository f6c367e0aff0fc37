"""Predictions inside of a prange: a handle for each thread, in a typed list."""

from __future__ import annotations

import time

import numba
import numpy as np
from numba import njit, prange
from numba.typed import List

import fastbp as fb

WALKS, STEPS = 20_000, 100


@njit
def walk(h, seed, state, move):
    """How far a walk gets that begins at 0 and goes where the network says, and a little elsewhere."""
    state[:] = 0
    for step in range(STEPS):
        fb.jit.predict(h, state, move)
        for i in range(2):
            state[i] += 0.1 * move[i] + 0.05 * np.sin(seed * (step + 1) + i)
    return np.sqrt(state[0] ** 2 + state[1] ** 2)


@njit
def serial(h, distances):
    state, move = np.empty(2, np.float32), np.empty(2, np.float32)
    for i in range(len(distances)):
        distances[i] = walk(h, i, state, move)


@njit(parallel=True)
def parallel(handles, distances):
    """The same on all threads. A handle is for one thread at a time, so each takes its own, by its number."""
    for i in prange(len(distances)):
        state, move = np.empty(2, np.float32), np.empty(2, np.float32)
        distances[i] = walk(handles[numba.get_thread_id()], i, state, move)


def main() -> None:
    net = fb.Network([fb.Dense(32, "tanh"), fb.Dense(2)], (2,), loss="mse", seed=0)
    threads = numba.get_num_threads()
    handles = List([net.handle(training=False) for _ in range(threads)])
    alone, together = np.zeros(WALKS), np.zeros(WALKS)
    serial(handles[0], alone[:1])  # compiles
    parallel(handles, together[:1])
    seconds = []
    for work, handle, distances in ((serial, handles[0], alone), (parallel, handles, together)):
        begin = time.perf_counter()
        work(handle, distances)
        seconds.append(time.perf_counter() - begin)
    print(f"mean distance of {WALKS} walks: {alone.mean():.6f} and {together.mean():.6f},")
    print(f"{(alone != together).sum()} of them different, {np.isnan(together).sum()} refused")
    print(f"1 thread {seconds[0]:.3f} s, {threads} threads {seconds[1]:.3f} s")


if __name__ == "__main__":
    main()
