"""The end of a branch, compiled: fully connected, leaky ReLU, fully connected, some rows at a time."""

import numpy as np

from ablate.mtl.model.compiling import Floats, compiled, index
from ablate.mtl.model.norms import SLOPE
from ablate.mtl.model.products import add_rows, multiply, padded, transposed, widened

# As torch keeps them: (units, n_inputs), (units,), (n_outputs, units), (n_outputs,).
Weights = tuple[Floats, Floats, Floats, Floats]

ROWS = 128  # at a time, which stay in the cache


@compiled
def head_forward(x: Floats, weights: Weights, hidden: Floats, y: Floats) -> None:
    """Of rows x (n, n_inputs): hidden (n, units padded), after the leaky ReLU, and y (n, n_outputs)."""
    W, b, V, c = weights
    n_inputs, n_outputs, columns = x.shape[1], y.shape[1], padded(y.shape[1], x)
    first, second = transposed(W).reshape(-1), transposed(V).reshape(-1)
    biases = widened(b.reshape(1, -1)).reshape(-1), widened(c.reshape(1, -1)).reshape(-1)
    wide, leak = hidden.shape[1], x.dtype.type(SLOPE)
    result = np.empty((ROWS, columns), x.dtype)
    for start in range(0, len(x), ROWS):
        rows = min(ROWS, len(x) - start)
        kept = hidden[start : start + rows].reshape(-1)
        multiply(
            kept, 0, wide, biases[0], 0, 0, x.reshape(-1), start * n_inputs, n_inputs, 1,
            first, 0, wide, (rows, wide, n_inputs),
        )  # fmt: skip
        for q in range(index(rows * wide)):
            kept[q] = kept[q] if kept[q] > 0 else kept[q] * leak
        multiply(
            result.reshape(-1), 0, columns, biases[1], 0, 0, kept, 0, wide, 1,
            second, 0, columns, (rows, columns, W.shape[0]),
        )  # fmt: skip
        y[start : start + rows] = result[:rows, :n_outputs]


@compiled
def head_backward(
    x: Floats, weights: Weights, hidden: Floats, d_y: Floats, d_x: Floats, gradients: Weights
) -> None:
    """Writes the gradients to x and to the weights; arguments as ``head_forward`` left them."""
    W, _, V, _ = weights
    (units, n_inputs), n_outputs, wide = W.shape, d_y.shape[1], hidden.shape[1]
    first, second = widened(W), widened(V)
    high, leak = first.shape[1], x.dtype.type(SLOPE)
    d_W, d_V = np.zeros((units, high), x.dtype), np.zeros((n_outputs, wide), x.dtype)
    d_b, d_c = np.zeros(wide), np.zeros(n_outputs)
    d_hidden, d_inputs = np.empty((ROWS, wide), x.dtype), np.empty((ROWS, high), x.dtype)
    nothing = np.zeros(max(wide, high), x.dtype)
    for start in range(0, len(x), ROWS):
        rows = min(ROWS, len(x) - start)
        arriving, kept = d_y[start : start + rows], hidden[start : start + rows]
        inputs, below = widened(x[start : start + rows]), d_hidden[:rows]
        multiply(
            below.reshape(-1), 0, wide, nothing, 0, 0, arriving.reshape(-1), 0, n_outputs, 1,
            second.reshape(-1), 0, wide, (rows, wide, n_outputs),
        )  # fmt: skip
        above, d_above = kept.reshape(-1), below.reshape(-1)
        for q in range(index(rows * wide)):
            d_above[q] = d_above[q] if above[q] > 0 else d_above[q] * leak
        multiply(
            d_V.reshape(-1), 0, wide, d_V.reshape(-1), 0, wide, arriving.reshape(-1), 0, 1, n_outputs,
            kept.reshape(-1), 0, wide, (n_outputs, wide, rows),
        )  # fmt: skip
        multiply(
            d_W.reshape(-1), 0, high, d_W.reshape(-1), 0, high, below.reshape(-1), 0, 1, wide,
            inputs.reshape(-1), 0, high, (units, high, rows),
        )  # fmt: skip
        multiply(
            d_inputs.reshape(-1), 0, high, nothing, 0, 0, below.reshape(-1), 0, wide, 1,
            first.reshape(-1), 0, high, (rows, high, units),
        )  # fmt: skip
        d_x[start : start + rows] = d_inputs[:rows, :n_inputs]
        add_rows(arriving, d_c)
        add_rows(below, d_b)
    gradients[0][:], gradients[1][:] = d_W[:, :n_inputs], d_b[:units]
    gradients[2][:], gradients[3][:] = d_V[:, :units], d_c
