"""A policy that is trained inside a compiled cart-pole simulation: predictions, episodes and training steps in @njit.

The cross-entropy method (Rubinstein 1999; for policies, Mannor et al. 2003): play some episodes, keep the best, and
train the network to choose as it did in those.
"""

from __future__ import annotations

import time

import numpy as np
from numba import njit

import fastbp as fb

EPISODES, STEPS = 16, 200  # in an iteration; an episode ends after STEPS at the latest
KEPT = 5  # the best episodes of an iteration
SOLVED = 195.0  # mean length of an iteration's episodes


@njit
def move(state, push):
    """One step of the cart-pole, 0.02 s, pushed left (0) or right (1). Barto, Sutton & Anderson 1983.

    state: position, speed, angle, angular speed; changed. Returns whether the pole stands and the cart is on its track.
    """
    x, v, angle, spin = state
    force, mass, pole, half_length = 10.0 if push == 1 else -10.0, 1.1, 0.1, 0.5
    sine, cosine = np.sin(angle), np.cos(angle)
    common = (force + pole * half_length * spin**2 * sine) / mass
    turn = (9.8 * sine - cosine * common) / (half_length * (4 / 3 - pole * cosine**2 / mass))
    pull = common - pole * half_length * turn * cosine / mass
    state[:] = x + 0.02 * v, v + 0.02 * pull, angle + 0.02 * spin, spin + 0.02 * turn
    return abs(state[0]) < 2.4 and abs(state[2]) < 0.2095


@njit
def play(h, states, actions, p):
    """One episode; writes the states and the actions. Returns how many there were."""
    state = np.random.uniform(-0.05, 0.05, 4)
    for step in range(STEPS):
        fb.jit.predict(h, state, p)
        states[step], actions[step] = state, np.random.random() < p[1]
        if not move(state, actions[step]):
            return step + 1
    return STEPS


@njit
def improve(h, seed, iterations):
    """Train until the episodes of an iteration are SOLVED; returns iterations, steps played, the last mean length."""
    np.random.seed(seed)
    states, actions = np.empty((EPISODES, STEPS, 4)), np.empty((EPISODES, STEPS), np.int64)
    X, y, p = np.empty((KEPT * STEPS, 4)), np.empty(KEPT * STEPS, np.int64), np.empty(2, np.float32)
    lengths, played, mean = np.empty(EPISODES, np.int64), 0, 0.0
    for iteration in range(iterations):
        for episode in range(EPISODES):
            lengths[episode] = play(h, states[episode], actions[episode], p)
        played, mean = played + lengths.sum(), lengths.mean()
        if mean >= SOLVED:
            return iteration + 1, played, mean
        rows = 0
        for episode in np.argsort(lengths)[-KEPT:]:
            n = lengths[episode]
            X[rows : rows + n], y[rows : rows + n] = states[episode, :n], actions[episode, :n]
            rows += n
        fb.jit.train_step(h, X[:rows], y[:rows])
    return iterations, played, mean


def build(seed: int) -> fb.Network:
    layers = [fb.Dense(32, "tanh"), fb.Dense(32, "tanh"), fb.Dense(2)]
    return fb.Network(layers, (4,), loss="cross_entropy", optimizer=fb.Adam(0.02), seed=seed)


def main() -> None:
    improve(build(0).handle(KEPT * STEPS), 0, 1)  # compiles
    begin = time.perf_counter()
    iterations, played, mean = improve(build(1).handle(KEPT * STEPS), 1, 300)
    seconds = time.perf_counter() - begin
    print(f"{iterations} iterations, {played:,} steps in {seconds:.3f} s: episodes of {mean:.1f} steps of {STEPS}")


if __name__ == "__main__":
    main()
