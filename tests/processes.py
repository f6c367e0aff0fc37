"""What test_processes runs: trains in Python threads and processes, and fails where bits are not those of one thread.

python processes.py START THREADS…, with START one of HOW.
"""

import hashlib
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np

import fastbp as fb

HOW = ("here", "fork", "spawn", "forkserver", "concurrent.futures", "joblib", "joblib threads")


def build(seed):
    return fb.Network([fb.Dense(300, "tanh"), fb.Dense(1)], (300,), loss="mse", seed=seed)


def train(net):
    """Steps large enough for the parallel loops."""
    X = np.random.default_rng(0).standard_normal((512, 300))
    net.fit(X, X[:, 0], epochs=2, batch_size=256, verbose=False)
    return net


def digest(net):
    return hashlib.sha256(net.params.tobytes()).hexdigest()


def train_in_threads(threads):
    """Different networks at once; the digest of each."""
    with ThreadPoolExecutor(threads) as pool:
        return [digest(net) for net in pool.map(train, map(build, range(threads)))]


def run(how, threads):
    """The digests of each process or caller."""
    if how == "here":
        return [train_in_threads(threads)]
    if how == "concurrent.futures":
        with ProcessPoolExecutor(2) as pool:
            return list(pool.map(train_in_threads, [threads] * 2))
    if how.startswith("joblib"):
        from joblib import Parallel, delayed

        kind = "threading" if how == "joblib threads" else "loky"
        calls = [delayed(train_in_threads)(threads) for _ in range(2)]
        found = Parallel(n_jobs=2, backend=kind)(calls)
        nets = Parallel(n_jobs=2, backend=kind)([delayed(train)(build(seed)) for seed in range(threads)])
        return [*found, [digest(net) for net in nets]]  # networks travel between processes, too
    with multiprocessing.get_context(how).Pool(2) as pool:
        return pool.map(train_in_threads, [threads] * 2)


if __name__ == "__main__":
    how, *counts = sys.argv[1:]
    fb.set_num_threads(1)
    want = [digest(train(build(seed))) for seed in range(max(map(int, counts)))]
    fb.set_num_threads(None)
    train(build(0))  # a fork's parent has worked in parallel
    for threads in map(int, counts):
        results = run(how, threads)
        assert results and all(result == want[:threads] for result in results), (how, threads, results, want)
        print(threads, fb.get_num_threads(), fb.runtime.threads.threading_layer())
