"""A small regression by SciPy's L-BFGS, to a loss that gradient descent takes long for."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

import fastbp as fb


def main() -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (300, 2))
    y = np.sin(3 * X[:, 0]) * X[:, 1]
    net = fb.Network([fb.Dense(16, "tanh"), fb.Dense(1)], (2,), loss="mse", dtype="float64", seed=0)
    twin = fb.Network([fb.Dense(16, "tanh"), fb.Dense(1)], (2,), loss="mse", dtype="float64", seed=0)

    options = {"maxiter": 500, "maxfun": 1000}
    found = minimize(net.objective(X, y), net.params, jac=True, method="L-BFGS-B", options=options)
    net.params = found.x
    twin.fit(X, y, epochs=found.nfev, batch_size=300, verbose=False)
    print(f"L-BFGS: loss {net.evaluate(X, y)['loss']:.2e} after {found.nfev} evaluations of all rows")
    print(f"Adam:   loss {twin.evaluate(X, y)['loss']:.2e} after as many steps")


if __name__ == "__main__":
    main()
