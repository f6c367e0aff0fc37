"""Backpropagation as a textbook writes it: one flat weight vector, and four loops over it.

A dense network of sigmoid units with the squared error E = ½ Σ (t - a)², averaged over the rows of a batch:

    forward   aˡ = σ(zˡ),  zˡ = aˡ⁻¹ Wˡ + bˡ
    loss      E = ½ Σ (t - aᴸ)²
    backward  δᴸ = (aᴸ - t) σ'(zᴸ),  δˡ = (δˡ⁺¹ Wˡ⁺¹ᵀ) σ'(zˡ),  where σ' = a (1 - a)
              ∂E/∂Wˡ = aˡ⁻¹ᵀ δˡ,  ∂E/∂bˡ = Σ δˡ
    update    w ← w - η ∂E/∂w

fastbp.Network computes the same, faster: this file shows what, not how. Source: Rumelhart, Hinton & Williams 1986.
"""

from __future__ import annotations

import math
import time

import numpy as np
from numba import njit, prange

import fastbp as fb

SIZES = (64, 64, 10)  # inputs, hidden units, outputs
BATCH, STEPS, RATE = 64, 50, 0.5


@njit
def layer_of(w, sizes, layer):
    """Views of layer number `layer` in the flat vector: W (inputs, units) and b (units,)."""
    at = 0
    for k in range(layer):
        at += (sizes[k] + 1) * sizes[k + 1]
    n, m = sizes[layer], sizes[layer + 1]
    return w[at : at + n * m].reshape(n, m), w[at + n * m : at + (n + 1) * m]


@njit(parallel=True)
def forward(a, w, sizes):
    """Write the activations a[1], a[2], … of all layers; a[0] (rows, inputs) is the batch."""
    for layer in range(len(sizes) - 1):
        W, b = layer_of(w, sizes, layer)
        x, y = a[layer], a[layer + 1]
        for r in prange(len(x)):
            for j in range(len(b)):
                z = b[j]
                for i in range(len(W)):
                    z += x[r, i] * W[i, j]
                y[r, j] = 1 / (1 + math.exp(-z))


@njit(parallel=True)
def loss(y, t):
    """E, the mean over the rows of ½ Σ (t - y)²."""
    total = 0.0
    for r in prange(len(y)):
        for j in range(y.shape[1]):
            total += (t[r, j] - y[r, j]) ** 2 / 2
    return total / len(y)


@njit(parallel=True)
def backward(dw, delta, a, t, w, sizes):
    """Write the gradient dw, laid out as w, and δ of each layer, by the chain rule from the last layer to the first."""
    last, rows = len(sizes) - 2, len(t)
    for layer in range(last, -1, -1):
        x, y, d = a[layer], a[layer + 1], delta[layer]
        W, _ = layer_of(w, sizes, min(layer + 1, last))  # of the layer behind, which the last one lacks
        for r in prange(rows):
            for j in range(y.shape[1]):
                slope = 0.0  # ∂E/∂a
                if layer == last:
                    slope = (y[r, j] - t[r, j]) / rows
                else:
                    for k in range(W.shape[1]):
                        slope += delta[layer + 1][r, k] * W[j, k]
                d[r, j] = slope * y[r, j] * (1 - y[r, j])
        dW, db = layer_of(dw, sizes, layer)
        for i in prange(len(dW) + 1):
            for j in range(len(db)):
                total = 0.0
                for r in range(rows):
                    total += d[r, j] * (x[r, i] if i < len(dW) else 1.0)
                if i < len(dW):
                    dW[i, j] = total
                else:
                    db[j] = total


@njit(parallel=True)
def update(w, dw, rate):
    """w ← w - η ∂E/∂w."""
    for i in prange(len(w)):
        w[i] -= rate * dw[i]


def train(w: np.ndarray, X: np.ndarray, T: np.ndarray, rate: float, steps: int) -> list[float]:
    """`steps` steps of gradient descent on w, in place, over the batches of X in turn; the loss before each."""
    a = tuple(np.empty((BATCH, size), w.dtype) for size in SIZES)
    delta = tuple(np.empty((BATCH, size), w.dtype) for size in SIZES[1:])
    dw, losses = np.empty_like(w), []
    for step in range(steps):
        start = step * BATCH % len(X)
        a[0][...], t = X[start : start + BATCH], T[start : start + BATCH]
        forward(a, w, SIZES)
        losses.append(loss(a[-1], t))
        backward(dw, delta, a, t, w, SIZES)
        update(w, dw, rate)
    return losses


def main() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((STEPS * BATCH, SIZES[0]))
    T = np.eye(SIZES[-1])[(X @ rng.standard_normal((SIZES[0], SIZES[-1]))).argmax(axis=1)]
    layers = [fb.Dense(units, "sigmoid") for units in SIZES[1:]]
    net = fb.Network(layers, SIZES[:1], loss="squared_error", optimizer=fb.SGD(RATE), dtype="float64", seed=0)
    w = net.params.copy()

    literal = train(w, X, T, RATE, STEPS)
    engine = [net.train_on_batch(X[i : i + BATCH], T[i : i + BATCH]) for i in range(0, len(X), BATCH)]
    worst = max(np.abs(w - net.params).max(), np.abs(np.subtract(literal, engine)).max())
    print(f"loss {engine[0]:.4f} before, {engine[-1]:.4f} after {STEPS} steps; the largest difference is {worst:.1e}")

    begin = time.perf_counter()
    train(w, X, T, RATE, STEPS)
    middle = time.perf_counter()
    net.fit(X, T, batch_size=BATCH, shuffle=False, verbose=False)
    end = time.perf_counter()
    textbook, network = (seconds / STEPS * 1e6 for seconds in (middle - begin, end - middle))
    print(f"a step takes {textbook:.0f} µs as written here, {network:.0f} µs in Network")


if __name__ == "__main__":
    main()
