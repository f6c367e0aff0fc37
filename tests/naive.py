"""The oracle: one slow, obvious NumPy function for each kernel, of the same name. float64 in, float64 out."""

import numpy as np


def load_rows(source, order, start, rows):
    rows_of = np.arange(len(source)) if order is None else order
    return np.array([source[rows_of[start + r]] for r in range(rows)], dtype=np.float64)


def store_rows(x, target, start):
    out = target.copy()
    out[start : start + len(x)] = x
    return out


def dense_forward(x, weight, bias, relu):
    y = np.zeros((len(x), weight.shape[1]))
    for r in range(len(x)):
        for j in range(weight.shape[1]):
            y[r, j] = sum(x[r, i] * weight[i, j] for i in range(len(weight))) + bias[j]
    return relu_forward(y) if relu else y


def dense_pack_rows(x, width):
    """(panels, rows, width), 0 beyond the last column."""
    panels = -(-x.shape[1] // width)
    packed = np.zeros((panels, len(x), width))
    for j in range(x.shape[1]):
        packed[j // width, :, j % width] = x[:, j]
    return packed


def dense_pack_transposed(weight, width):
    """(panels, fan_out, width), for enough panels for a multiple of 32 columns."""
    fan_in, fan_out = weight.shape
    packed = np.zeros((-(-fan_in // 32) * 32 // width, fan_out, width))
    for i in range(fan_in):
        packed[i // width, :, i % width] = weight[i]
    return packed


def dense_backward_input(dy, weight, y):
    dx = np.zeros((len(dy), len(weight)))
    for r in range(len(dy)):
        for i in range(len(weight)):
            dx[r, i] = sum(dy[r, j] * weight[i, j] for j in range(weight.shape[1]))
    return dx if y is None else relu_backward(dx, y)


def dense_backward_weight(x, dy):
    """(fan_in + 1, fan_out): the last row is the gradient of the bias."""
    dweight = np.zeros((x.shape[1] + 1, dy.shape[1]))
    for j in range(dy.shape[1]):
        for i in range(x.shape[1]):
            dweight[i, j] = sum(x[r, i] * dy[r, j] for r in range(len(x)))
        dweight[-1, j] = sum(dy[r, j] for r in range(len(x)))
    return dweight


def add_partial(partial):
    return sum(partial)


def sigmoid_forward(x):
    return 1 / (1 + np.exp(-x))


def sigmoid_backward(dy, y):
    return dy * y * (1 - y)


def tanh_forward(x):
    return np.tanh(x)


def tanh_backward(dy, y):
    return dy * (1 - y**2)


def relu_forward(x):
    return np.where(x > 0, x, 0.0)


def relu_backward(dy, y):
    return np.where(y > 0, dy, 0.0)


def softmax_forward(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def softmax_backward(dy, y):
    dx = np.zeros_like(y)
    for r in range(len(y)):
        jacobian = np.diag(y[r]) - np.outer(y[r], y[r])
        dx[r] = jacobian @ dy[r]
    return dx


# The losses return (dy, Σ weight · row loss, Σ right answers), for lo .. hi = all rows.


def mse_loss(y, target, weight):
    e = y - target
    dy = 2 * e * weight[:, None] / e.size
    return dy, (weight * (e**2).mean(axis=1)).sum(), 0.0


def squared_error_loss(y, target, weight):
    e = y - target
    dy = e * weight[:, None] / len(y)
    return dy, (weight * 0.5 * (e**2).sum(axis=1)).sum(), 0.0


def binary_cross_entropy_loss(y, target, weight):
    p = 1 / (1 + np.exp(-y))
    row = -(target * np.log(p) + (1 - target) * np.log1p(-p)).mean(axis=1)
    dy = (p - target) * weight[:, None] / y.size
    right = ((y > 0) == (target > 0.5)).mean(axis=1)
    return dy, (weight * row).sum(), right.sum()


def cross_entropy_probabilities_loss(y, target, weight):
    p = softmax_forward(y)
    row = -(target * np.log(p)).sum(axis=1)
    dy = (p * target.sum(axis=1, keepdims=True) - target) * weight[:, None] / len(y)
    return dy, (weight * row).sum(), (y.argmax(axis=1) == target.argmax(axis=1)).sum()


def cross_entropy_labels_loss(y, target, weight):
    onehot = np.eye(y.shape[1])[target.astype(int).ravel()]
    return cross_entropy_probabilities_loss(y, onehot, weight)


def add_sums(totals, sums, rows):
    loss, right = sums[:, 0].sum(), sums[:, 1].sum()
    return np.array([loss / rows, totals[1] + loss, totals[2] + right])


def count_step(scalars):
    return np.array([scalars[0] + 1, *scalars[1:]])


def adam_count_step(scalars):
    t, rate, beta1, beta2, epsilon = scalars[0] + 1, *scalars[1:5]
    return np.array([t, rate, beta1, beta2, epsilon, rate / (1 - beta1**t), np.sqrt(1 - beta2**t)])


def sgd_update(w, dw, scalars):
    _, rate, _, decay, _ = scalars
    return {"w": w - rate * (dw + decay * w)}


def momentum_update(w, velocity, dw, scalars):
    _, rate, momentum, decay, nesterov = scalars
    g = dw + decay * w
    v = momentum * velocity + g
    return {"w": w - rate * (g + momentum * v if nesterov else v), "velocity": v}


def adam_update(w, m, v, dw, scalars):
    _, _, beta1, beta2, epsilon, step_size, root = scalars
    m = beta1 * m + (1 - beta1) * dw
    v = beta2 * v + (1 - beta2) * dw**2
    return {"w": w - step_size * m / (np.sqrt(v) / root + epsilon), "m": m, "v": v}
