"""Layers of maps in PyTorch, from the descriptions of ours; and random networks of them."""

import numpy as np
import torch

import fastbp as fb

functional = torch.nn.functional
RATE = 0.01  # of all: the steps of random networks shall not diverge
FUNCTIONS = {
    "linear": lambda z: z,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "silu": functional.silu,
    "softplus": lambda z: functional.softplus(z, threshold=100),
}


def _dims(value, dims):
    return tuple(value) if isinstance(value, tuple) else (value,) * dims


def _border(layer, x, kernel, stride, dilation, value):
    """x in the border that `padding` means."""
    if layer.padding == "valid":
        return x
    pairs = []
    for i in range(layer.dims):
        if layer.padding == "same":
            size = x.shape[2 + i]
            outputs = -(-size // stride[i])
            missing = max((outputs - 1) * stride[i] + (kernel[i] - 1) * dilation[i] + 1 - size, 0)
            pairs.append((missing // 2, missing - missing // 2))
        else:
            pairs.append((_dims(layer.padding, layer.dims)[i],) * 2)
    return functional.pad(x, [side for pair in reversed(pairs) for side in pair], value=value)


def _convolution(layer, x, weight, bias=None):
    kernel, stride, dilation = (_dims(v, layer.dims) for v in (layer.kernel_size, layer.stride, layer.dilation))
    convolve = functional.conv1d if layer.dims == 1 else functional.conv2d
    x = _border(layer, x, kernel, stride, dilation, 0.0)
    return convolve(x, weight, bias, stride, 0, dilation, layer.groups)


def _pool(layer, x):
    size, stride = _dims(layer.size, layer.dims), _dims(layer.stride, layer.dims)
    x = _border(layer, x, size, stride, (1, 1), -torch.inf if layer.largest else 0.0)
    pools = {
        (1, True): functional.max_pool1d,
        (1, False): functional.avg_pool1d,
        (2, True): functional.max_pool2d,
        (2, False): functional.avg_pool2d,
    }
    return pools[layer.dims, layer.largest](x, size, stride)


def apply(bound, weights, x):
    """The output of a bound layer, by PyTorch; weights: its parameters by name."""
    layer = bound.layer
    if isinstance(layer, (fb.Conv1D, fb.Conv2D)):
        x = _convolution(layer, x, *weights.values())
    elif isinstance(layer, (fb.MaxPool1D, fb.MaxPool2D, fb.AvgPool1D, fb.AvgPool2D)):
        x = _pool(layer, x)
    elif isinstance(layer, (fb.GlobalAvgPool1D, fb.GlobalAvgPool2D)):
        x = x.flatten(2).mean(dim=2)
    elif isinstance(layer, fb.Flatten):
        x = x.flatten(1)
    elif isinstance(layer, fb.Dense):
        x = functional.linear(x, weights["weight"].T, weights.get("bias"))
    else:
        assert isinstance(layer, fb.Activation), layer
    return FUNCTIONS[layer.ends_with.name](x) if layer.ends_with is not None else x


class MapTwin:
    """A network in PyTorch, with copies of its weights."""

    def __init__(self, net):
        self.net = net
        self.weights = [
            {name: torch.tensor(view.copy(), requires_grad=True) for name, view in layer.weights.items()}
            for layer in net.layers
        ]
        self.flat_weights = [w for own in self.weights for w in own.values()]

    def forward(self, x):
        for layer, own in zip(self.net.layers, self.weights, strict=True):
            x = apply(layer, own, x)
        return x

    def flat(self, of=lambda w: w):
        return np.concatenate([of(w).detach().numpy().ravel() for w in self.flat_weights] or [np.zeros(0)])


def _choice(rng, *values):
    return values[rng.integers(len(values))]


def _sizes(rng, dims, low, high):
    """A number for all axes, or one for each."""
    if rng.random() < 0.3:
        return int(rng.integers(low, high))
    return tuple(int(n) for n in rng.integers(low, high, dims))


def _random_layer(rng, shape):
    """A layer that may or may not fit."""
    dims, channels = len(shape) - 1, shape[0]
    most = min(max(shape[1:]), 6) + 1
    kind = rng.random()
    if kind < 0.55:
        groups = int(_choice(rng, 1, 1, 1, channels, *(g for g in (2, 3) if channels % g == 0)))
        make = fb.Conv1D if dims == 1 else fb.Conv2D
        return make(
            groups * int(rng.integers(1, 14 if groups == 1 else 4)),
            _choice(rng, _sizes(rng, dims, 1, most), shape[1:]),
            _sizes(rng, dims, 1, 4),
            _choice(rng, "same", "valid", _sizes(rng, dims, 0, 3)),
            _sizes(rng, dims, 1, 3),
            groups,
            activation=_choice(rng, "linear", "relu", "relu", "tanh", "silu"),
            bias=bool(rng.random() < 0.8),
            bias_init="uniform",
        )
    if kind < 0.85:
        size = _choice(rng, _sizes(rng, dims, 1, most), shape[1:])
        half = tuple(int(rng.integers(0, n // 2 + 1)) for n in _dims(size, dims))
        kinds = {1: (fb.MaxPool1D, fb.AvgPool1D), 2: (fb.MaxPool2D, fb.AvgPool2D)}[dims]
        return _choice(rng, *kinds)(size, _choice(rng, None, _sizes(rng, dims, 1, 4)), _choice(rng, "same", 0, half))
    return fb.Activation(_choice(rng, "relu", "tanh", "softplus"))


def random_network(rng):
    """A network of one to four random layers on maps, and what makes vectors of them; float64."""
    dims = int(rng.integers(1, 3))
    input_shape = (int(rng.integers(1, 6)), *(int(n) for n in rng.integers(1, 13, dims)))
    layers, wanted = [], int(rng.integers(1, 5))
    while len(layers) < wanted:
        shape = fb.Network(layers, input_shape, loss="mse").output_shape if layers else input_shape
        try:
            net = fb.Network([*layers, _random_layer(rng, shape)], input_shape, loss="mse")
        except ValueError as error:
            assert "does not fit into" in str(error), error
            continue
        layers = [layer.layer for layer in net.layers]
    if rng.random() < 0.7:
        layers += [(fb.GlobalAvgPool1D, fb.GlobalAvgPool2D)[dims - 1]() if rng.random() < 0.3 else fb.Flatten()]
        layers += [fb.Dense(int(rng.integers(1, 9)), _choice(rng, None, "relu"), bias_init="uniform")]
    optimizer = fb.SGD(RATE, momentum=0.9)
    return fb.Network(layers, input_shape, loss="mse", optimizer=optimizer, dtype="float64", seed=int(rng.integers(99)))
