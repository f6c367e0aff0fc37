"""PyTorch as an oracle: the same weights in, the same losses and weights out for ten steps, in float64."""

import itertools

import numpy as np
import pytest
from cases import ACTIVATIONS, BUILDS, LOSSES, OPTIMIZERS, batch, network, relative
from support import seed_of

import fastbp as fb
from fastbp.optimizers import OPTIMIZERS as ALL_OPTIMIZERS

torch = pytest.importorskip("torch", reason="the oracle extra is not installed")

FUNCTIONS = {
    "linear": lambda z: z,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "softmax": lambda z: torch.softmax(z, dim=1),
}


def torch_loss(name, z, y):
    if name == "mse":
        return torch.nn.functional.mse_loss(z, y)
    if name == "squared_error":
        return 0.5 * ((z - y) ** 2).sum(dim=1).mean()
    if name == "cross_entropy":
        return torch.nn.functional.cross_entropy(z, y)
    return torch.nn.functional.binary_cross_entropy_with_logits(z, y)


class Twin:
    """The network in PyTorch, with copies of its weights."""

    def __init__(self, net):
        self.net = net
        self.steps, self.weights = [], []
        for layer in net.layers:
            own = [torch.tensor(view.copy(), requires_grad=True) for view in layer.weights.values()]
            self.steps.append((own, FUNCTIONS[layer.layer.ends_with.name]))
            self.weights += own

    def forward(self, X):
        a = torch.tensor(X)
        for own, f in self.steps:
            if own:
                a = a @ own[0] + (own[1] if len(own) == 2 else 0)
            a = f(a)
        return a

    def flat(self, of=lambda w: w):
        return np.concatenate([of(w).detach().numpy().ravel() for w in self.weights])


def torch_optimizer(optimizer, weights):
    if isinstance(optimizer, fb.SGD):
        return torch.optim.SGD(
            weights,
            lr=optimizer.learning_rate,
            momentum=optimizer.momentum,
            nesterov=optimizer.nesterov,
            weight_decay=optimizer.weight_decay,
        )
    betas = optimizer.beta1, optimizer.beta2
    return torch.optim.Adam(weights, lr=optimizer.learning_rate, betas=betas, eps=optimizer.epsilon)


def test_the_table_has_every_optimizer():
    assert {type(o).__name__ for o in OPTIMIZERS.values()} == set(ALL_OPTIMIZERS)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("activation", "loss"), list(itertools.product(ACTIVATIONS, LOSSES)))
def test_ten_steps(optimizer, activation, loss):
    rng = np.random.default_rng(seed_of(optimizer, activation, loss))
    for build in BUILDS:
        net = network(build, activation, loss, OPTIMIZERS[optimizer])
        twin = Twin(net)
        theirs = torch_optimizer(OPTIMIZERS[optimizer], twin.weights)
        for step in range(10):
            X, y = batch(loss, rng, 9, probabilities=step % 2 == 1)
            theirs.zero_grad()
            z = twin.forward(X)
            want = torch_loss(loss, z, torch.tensor(y))
            want.backward()
            assert relative(net.forward(X), z.detach().numpy()) < 1e-9
            assert net.train_on_batch(X, y) == pytest.approx(want.item(), rel=1e-9)
            assert relative(net.grads, twin.flat(lambda w: w.grad)) < 1e-9
            theirs.step()
            assert relative(net.params, twin.flat()) < 1e-9


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_a_last_activation_that_is_the_losss_own_is_not_applied_twice(loss):
    link = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}[loss]
    X, y = batch(loss, np.random.default_rng(0), 20)
    plain = fb.Network([fb.Dense(4, "tanh"), fb.Dense(3)], (6,), loss=loss, dtype="float64", seed=0)
    fused = fb.Network([fb.Dense(4, "tanh"), fb.Dense(3, link)], (6,), loss=loss, dtype="float64", seed=0)
    apart = fb.Network(
        [fb.Dense(4, "tanh"), fb.Dense(3), fb.Activation(link)], (6,), loss=loss, dtype="float64", seed=0
    )
    for net in (fused, apart):
        assert (net.forward(X) == plain.forward(X)).all()
        assert (net.predict(X) == plain.predict(X)).all()
        assert (net.value_and_grad(X, y)[1] == plain.value_and_grad(X, y)[1]).all()
    np.testing.assert_allclose(plain.predict(X), FUNCTIONS[link](torch.tensor(plain.forward(X))), rtol=1e-12)


def test_twenty_epochs_of_mini_batches_with_a_smaller_last_one():
    rng = np.random.default_rng(0)
    X, y = batch("cross_entropy", rng, 50)
    net = network("three", "relu", "cross_entropy", fb.Adam(0.01))
    twin = Twin(net)
    theirs = torch_optimizer(net.optimizer, twin.weights)
    history = net.fit(X, y, epochs=20, batch_size=16, shuffle=False, verbose=False).history
    for epoch in range(20):
        total = 0.0
        for start in range(0, 50, 16):
            rows = slice(start, start + 16)
            theirs.zero_grad()
            loss = torch_loss("cross_entropy", twin.forward(X[rows]), torch.tensor(y[rows]))
            loss.backward()
            theirs.step()
            total += loss.item() * len(y[rows])
        assert history["loss"][epoch] == pytest.approx(total / 50, rel=1e-9)
    assert relative(net.params, twin.flat()) < 1e-9
