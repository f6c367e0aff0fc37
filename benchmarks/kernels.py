"""Kernels by themselves: matrix products as a layer's forward pass does them, and elementwise functions."""

from __future__ import annotations

import numpy as np

import fastbp as fb
from fastbp.kernels import dense
from fastbp.program import engine
from fastbp.program.records import Buffer, Group, op
from fastbp.program.workspace import Workspace

SIZES = {"256": (256, 256, 256), "1024": (1024, 1024, 1024), "2048": (2048, 2048, 2048), "mnist": (64, 784, 128)}


class _Program:
    """Stands for a plan: C (m, n) = A (m, k) B (k, n) in the arena `work`; B is packed first where it is large."""

    def __init__(self, m: int, k: int, n: int, packed: bool, grain: int):
        self.m, self.k, self.n, self.packed, self.grain = m, k, n, packed, grain
        self.a, self.b, self.c, self.panels = np.cumsum([0, m * k, k * n, m * n]).tolist()
        self.size = self.panels + -(-n // 32) * 32 * k

    def arena_size(self, arena: str, capacity: int) -> int:
        return self.size if arena == "work" else 4

    def program(self, name: str, target: str, few: bool) -> tuple[list[Group], int]:
        place = {name: Buffer("work", getattr(self, name)) for name in ("a", "b", "c", "panels")}
        groups = []
        if self.packed:
            record = dict(packed=place["panels"], x=place["b"], features=self.n, width=0, capacity=self.k)
            pack = op(dense.dense_pack_rows, 8 * self.n * self.k, **record)
            groups.append(Group((pack,), self.k, -(-self.k // 32), pack.flops, 0))
        record = dict(y=place["c"], x=place["a"], weight=place["panels" if self.packed else "b"], bias=0)
        flops = 2 * self.n * self.k
        product = op(dense.dense_forward, flops, **record, fan_in=self.k, fan_out=self.n, relu=0, packed=self.packed)
        groups.append(Group((product,), engine.ROWS_OF_BATCH, self.grain, 0, flops))
        return groups, len(groups)


class Product:
    """C = A B of matrices that are there, and C with them: `run()` computes it."""

    def __init__(self, m: int, k: int, n: int):
        packed = k * n >= 1 << 16
        program = _Program(m, k, n, packed, grain=max(16, min(256, m // 8 // 12 * 12)))
        dtype = np.dtype(np.float32)
        self._rows = m
        self._workspace = Workspace(program, {}, dtype, m)  # type: ignore[arg-type]
        work = self._workspace.arenas["work"]
        rng = np.random.default_rng(0)
        self.a = work[program.a : program.b].reshape(m, k)
        self.b = work[program.b : program.c].reshape(k, n)
        self.c = work[program.c : program.panels].reshape(m, n)
        self.a[...], self.b[...] = rng.standard_normal((m, k)), rng.standard_normal((k, n))
        self.run()
        np.testing.assert_allclose(self.c, self.a @ self.b, rtol=1e-3, atol=1e-3)

    def run(self) -> None:
        """C = A B."""
        self._workspace.run("product", "", self._rows, self._rows)


class MatrixProduct:
    """Products by size (m × k × n; "mnist" is 64 × 784 × 128), float32."""

    params = (list(SIZES), [1, 2])
    param_names = ("size", "threads")

    def setup(self, size: str, threads: int) -> None:
        fb.set_num_threads(threads)
        self.product = Product(*SIZES[size])

    def teardown(self, size: str, threads: int) -> None:
        fb.set_num_threads(None)

    def time_product(self, size: str, threads: int) -> None:
        self.product.run()


class Elementwise:
    """An activation's forward pass over 64 rows of 1024, float32."""

    params = ("sigmoid", "tanh", "softmax")
    param_names = ("activation",)

    def setup(self, activation: str) -> None:
        self.net = fb.Network([fb.Activation(activation)], (1024,), loss="mse", seed=0)
        self.x = np.random.default_rng(0).standard_normal((64, 1024), np.float32)
        total = self.net.forward(self.x).sum(axis=1)
        if activation == "softmax":
            np.testing.assert_allclose(total, 1, rtol=1e-5)

    def time_forward(self, activation: str) -> None:
        self.net.forward(self.x)


def compare(rounds: int = 7) -> None:
    """Print GFLOP/s beside torch.mm, in turns, medians of `rounds`."""
    import statistics
    import time

    import torch

    def rate(call, flops):
        steps = max(1, int(4e9 / flops))
        time.sleep(0.3)  # the other's threads still spin for a while
        begin = time.perf_counter()
        for _ in range(steps):
            call()
        return flops * steps / (time.perf_counter() - begin) / 1e9

    print("| m × k × n | threads | fastbp, GFLOP/s | torch.mm, GFLOP/s | ratio |\n|---|---:|---:|---:|---:|")
    for threads in (1, 2):
        fb.set_num_threads(threads)
        torch.set_num_threads(threads)
        for m, k, n in SIZES.values():
            product = Product(m, k, n)
            a, b = torch.tensor(product.a), torch.tensor(product.b)
            c, flops = torch.empty(m, n), 2 * m * k * n
            ours, theirs = [], []
            for _ in range(rounds):
                ours.append(rate(product.run, flops))
                theirs.append(rate(lambda a=a, b=b, c=c: torch.mm(a, b, out=c), flops))
            pairs = [o / t for o, t in zip(ours, theirs, strict=True)]
            values = statistics.median(ours), statistics.median(theirs), statistics.median(pairs)
            print(f"| {m} × {k} × {n} | {threads} | {values[0]:.0f} | {values[1]:.0f} | {values[2]:.2f} |")


if __name__ == "__main__":
    compare()
