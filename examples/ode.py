"""A network learns the right-hand side of an ordinary differential equation from what is seen of its solutions.

The network stands inside a Runge-Kutta solver in @njit; the gradient goes back through the solver's steps, exactly,
by fb.jit.jacobian and fb.jit.input_jacobian, and SciPy's L-BFGS minimizes.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from scipy.optimize import minimize

import fastbp as fb

STEP, WINDOW = 0.1, 10  # between two observations; and how many of them are solved for from one of them on
STAGES = np.array([0.0, 0.5, 0.5, 1.0])  # of the classical Runge-Kutta method: where each slope is taken
WEIGHTS = np.array([1.0, 2.0, 2.0, 1.0]) / 6


@njit
def pendulum(state):
    """The truth, which the network does not know: a damped pendulum; state: angle, speed."""
    return np.array([state[1], -np.sin(state[0]) - 0.1 * state[1]])


@njit
def observe(start, n):
    """The true solution at n times, STEP apart, by many small steps."""
    seen, state = np.empty((n, 2)), start.copy()
    for i in range(n):
        seen[i] = state
        for _ in range(100):
            middle = state + 0.5 * STEP / 100 * pendulum(state)
            state = state + STEP / 100 * pendulum(middle)
    return seen


@njit
def step(h, state, points, slopes):
    """One Runge-Kutta step, with the network for the right-hand side; keeps its four points and slopes (4, 2)."""
    after = state.copy()
    for s in range(4):
        points[s] = state if s == 0 else state + STEP * STAGES[s] * slopes[s - 1]
        fb.jit.predict(h, points[s], slopes[s])
        after += STEP * WEIGHTS[s] * slopes[s]
    return after


@njit
def step_backward(h, points, dafter, gradient, by_params, by_state):
    """Backward of step: adds to the gradient of the parameters, returns that of the state."""
    dstate, dpoint = dafter.copy(), np.zeros(2)
    for s in range(3, -1, -1):
        dslope = STEP * WEIGHTS[s] * dafter
        if s < 3:
            dslope += STEP * STAGES[s + 1] * dpoint  # of the next stage, which begins with this slope
        fb.jit.jacobian(h, points[s], by_params)
        fb.jit.input_jacobian(h, points[s], by_state)
        gradient += dslope[0] * by_params[0] + dslope[1] * by_params[1]
        dpoint = dslope[0] * by_state[0] + dslope[1] * by_state[1]
        dstate += dpoint
    return dstate


@njit
def loss_and_gradient(params, h, seen):
    """The mean squared distance from what is seen, and its gradient; each window starts at what is seen there."""
    h.params[:] = params
    loss, gradient = 0.0, np.zeros(params.size)
    points, slopes = np.empty((WINDOW, 4, 2)), np.empty((4, 2))
    by_params, by_state = np.empty((2, params.size)), np.empty((2, 2))
    misses, windows = np.empty((WINDOW, 2)), (len(seen) - 1) // WINDOW
    for first in range(0, windows * WINDOW, WINDOW):
        state = seen[first].copy()
        for i in range(WINDOW):
            state = step(h, state, points[i], slopes)
            misses[i] = (state - seen[first + i + 1]) / (windows * WINDOW)
            loss += 0.5 * windows * WINDOW * (misses[i] ** 2).sum()
        dstate = np.zeros(2)
        for i in range(WINDOW - 1, -1, -1):
            dstate = step_backward(h, points[i], dstate + misses[i], gradient, by_params, by_state)
    return loss, gradient


@njit
def solve(h, start, n):
    """The network's solution at n times."""
    found, state = np.empty((n, 2)), start.copy()
    points, slopes = np.empty((4, 2)), np.empty((4, 2))
    for i in range(n):
        found[i] = state
        state = step(h, state, points, slopes)
    return found


def main() -> None:
    seen = observe(np.array([2.0, 0.0]), 201)
    net = fb.Network([fb.Dense(16, "tanh"), fb.Dense(2)], (2,), loss="mse", dtype="float64", seed=0)
    h = net.handle()

    start = net.params.copy()
    value, gradient = loss_and_gradient(start, h, seen)
    direction = np.random.default_rng(0).standard_normal(net.num_params)
    above, below = (loss_and_gradient(start + shift * direction, h, seen)[0] for shift in (1e-6, -1e-6))
    print(f"slope by the gradient {gradient @ direction:.8f}, by differences {(above - below) / 2e-6:.8f}")

    found = minimize(loss_and_gradient, start, (h, seen), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    net.params = found.x
    print(f"loss {value:.6f} -> {found.fun:.2e} in {found.nit} iterations")
    miss = np.abs(solve(h, seen[0], len(seen)) - seen).max()
    other = observe(np.array([1.0, 0.5]), 101)
    unseen = np.abs(solve(h, other[0], len(other)) - other).max()
    print(f"largest error over 20 s: {miss:.4f}; over 10 s from a start that it never saw: {unseen:.4f}")


if __name__ == "__main__":
    main()
