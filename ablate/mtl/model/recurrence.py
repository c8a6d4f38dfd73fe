"""The bidirectional GRU, compiled: its products, its loops over frames and its gradients.

Both directions go through time together, since the steps of one do not wait for those of the other. Weights
arrive as torch keeps them: input weights (3H, n_inputs), recurrent weights (3H, H) and their two biases (3H,),
each of the gates r, z and n. ``fast`` has the equations.
"""

import numpy as np

from ablate.mtl.model.compiling import FIVE, FOUR, SIX, THREE, TWO, Floats, compiled, index, logistic
from ablate.mtl.model.products import multiply, padded

Weights = tuple[Floats, Floats, Floats, Floats]

CLIPS = 4  # taken through time together, so that a weight is loaded once for all of them
UNITS = 128  # of one direction, at most
# Scratch memory has a row for each direction and clip, of eight sections. The distances are constants, so that the
# compiler sees what does not overlap; and no power of two, since addresses that far apart share places in the cache.
SECTION = 144
PITCH = 8 * SECTION
BESIDE, BELOW = index(SECTION), index(PITCH)
CHUNK = 128  # frames of a product at a time, which stay in the cache


@compiled
def _turned(weights: Floats, H: int) -> Floats:
    """(3H, n) -> (n, 3, H padded with zeros), flat."""
    n, columns = weights.shape[1], padded(H, weights)
    turned = np.zeros((n, 3, columns), weights.dtype)
    for gate in range(3):
        for j in range(H):
            for i in range(n):
                turned[i, gate, j] = weights[gate * H + j, i]
    return turned.reshape(-1)


@compiled
def _straight(weights: Floats, H: int) -> Floats:
    """(3H, n) -> (3, H padded, n padded), flat."""
    n = weights.shape[1]
    straight = np.zeros((3, padded(H, weights), padded(n, weights)), weights.dtype)
    for gate in range(3):
        for j in range(H):
            straight[gate, j, :n] = weights[gate * H + j]
    return straight.reshape(-1)


@compiled
def _biases(input_bias: Floats, recurrent_bias: Floats, H: int) -> Floats:
    """(4, H padded), flat: of r, z and n, and of n's recurrent part."""
    columns = padded(H, input_bias)
    biases = np.zeros((4, columns), input_bias.dtype)
    for j in range(H):
        biases[0, j] = input_bias[j] + recurrent_bias[j]
        biases[1, j] = input_bias[H + j] + recurrent_bias[H + j]
        biases[2, j] = input_bias[2 * H + j]
        biases[3, j] = recurrent_bias[2 * H + j]
    return biases.reshape(-1)


@compiled
def gru_forward(x: Floats, ahead: Weights, back: Weights, states: Floats, saved: Floats) -> None:
    """Steps both directions through time.

    x (n_clips, frames, n_inputs); ahead and back, the weights of the two directions, with H at most UNITS.
    Writes states (n_clips, frames, 2, H) and, for the backward pass, saved (n_clips, frames, 2, 4, H padded): r, z, n
    and the recurrent part of n.
    """
    n_clips, frames, n_inputs = x.shape
    H, columns = states.shape[3], saved.shape[4]
    inputs = (_turned(ahead[0], H), _turned(back[0], H))
    recurrent = (_turned(ahead[1], H), _turned(back[1], H))
    biases = (_biases(ahead[2], ahead[3], H), _biases(back[2], back[3], H))
    flat, kept, ended = x.reshape(-1), saved.reshape(-1), states.reshape(-1)
    scratch = np.empty(2 * CLIPS * PITCH, x.dtype)  # sections: sums of r, z, n and n's part; the state
    for first in range(0, n_clips, CLIPS):
        clips = min(CLIPS, n_clips - first)
        scratch[:] = 0
        for step in range(frames):
            for direction in range(2):
                t = step if direction == 0 else frames - 1 - step
                s = direction * CLIPS * PITCH
                at = (first * frames + t) * n_inputs
                for gate in range(3):
                    weights = gate * columns
                    multiply(
                        scratch, s + gate * SECTION, PITCH, biases[direction], weights, 0,
                        flat, at, frames * n_inputs, 1,
                        inputs[direction], weights, 3 * columns, (clips, columns, n_inputs),
                    )  # fmt: skip
                    if gate < 2:
                        multiply(
                            scratch, s + gate * SECTION, PITCH, scratch, s + gate * SECTION, PITCH,
                            scratch, s + 4 * SECTION, PITCH, 1,
                            recurrent[direction], weights, 3 * columns, (clips, columns, H),
                        )  # fmt: skip
                    else:
                        multiply(
                            scratch, s + 3 * SECTION, PITCH, biases[direction], 3 * columns, 0,
                            scratch, s + 4 * SECTION, PITCH, 1,
                            recurrent[direction], weights, 3 * columns, (clips, columns, H),
                        )  # fmt: skip
                for k in range(clips):
                    row = ((first + k) * frames + t) * 2 + direction
                    _gates(scratch, s + k * PITCH, columns, kept, row * 4 * columns)
                    for j in range(index(H)):
                        ended[index(row * H) + j] = scratch[index(s + k * PITCH + 4 * SECTION) + j]


@compiled
def _gates(scratch: Floats, at: int, columns: int, kept: Floats, kept_at: int) -> None:
    """From the sums of a clip's row to r, z, n, n's recurrent part, and the new state."""
    s, to, units = index(at), index(kept_at), index(columns)
    one, two = scratch.dtype.type(1), scratch.dtype.type(2)
    for j in range(units):
        r = logistic(scratch[s + j])
        z = logistic(scratch[s + BESIDE + j])
        m = scratch[s + THREE * BESIDE + j]
        n = two * logistic(two * (scratch[s + TWO * BESIDE + j] + r * m)) - one  # the hyperbolic tangent
        scratch[s + j] = r
        scratch[s + BESIDE + j] = z
        scratch[s + TWO * BESIDE + j] = n
        scratch[s + FOUR * BESIDE + j] = n + z * (scratch[s + FOUR * BESIDE + j] - n)
    for part in range(FOUR):
        for j in range(units):
            kept[to + part * units + j] = scratch[s + part * BESIDE + j]


@compiled
def gru_backward(
    x: Floats,
    ahead: Weights,
    back: Weights,
    states: Floats,
    saved: Floats,
    d_states: Floats,
    d_x: Floats,
    d_ahead: Weights,
    d_back: Weights,
) -> None:
    """Writes the gradients to x and to the weights; arguments as ``gru_forward`` left them, d_states like states."""
    n_clips, frames, n_inputs = x.shape
    H, columns = states.shape[3], saved.shape[4]
    inputs = (_straight(ahead[0], H), _straight(back[0], H))
    recurrent = (_straight(ahead[1], H), _straight(back[1], H))
    d_gates = np.zeros((CLIPS, frames, 2, 4, columns), x.dtype)  # of the sums, in the order of ``saved``
    d_inputs = np.zeros((2, 4 * columns, padded(n_inputs, x)), x.dtype)
    d_recurrent = np.zeros((2, 4 * columns, padded(H, x)), x.dtype)
    d_biases = np.zeros((2, 4 * columns))
    for first in range(0, n_clips, CLIPS):
        clips = min(CLIPS, n_clips - first)
        _step_back(states[first:], saved[first:], d_states[first:], recurrent, clips, d_gates)
        for k in range(clips):
            for start in range(0, frames, CHUNK):
                rows = min(CHUNK, frames - start)
                chunk = d_gates[k, start : start + rows]
                _input_gradient(chunk, inputs, d_x[first + k, start : start + rows])
                _weight_gradients(
                    chunk, x[first + k], states[first + k], start, d_inputs, d_recurrent, d_biases
                )
    _hand_over(d_inputs[0], d_recurrent[0], d_biases[0], d_ahead)
    _hand_over(d_inputs[1], d_recurrent[1], d_biases[1], d_back)


@compiled
def _step_back(
    states: Floats,
    saved: Floats,
    d_states: Floats,
    recurrent: tuple[Floats, Floats],
    clips: int,
    d_gates: Floats,
) -> None:
    """Steps the first ``clips`` clips back through time: writes d_gates (CLIPS, frames, 2, 4, H padded)."""
    _, frames, _, H = d_states.shape
    columns = saved.shape[4]
    written, kept, arriving = d_gates.reshape(-1), saved.reshape(-1), d_states.reshape(-1)
    ended = states.reshape(-1)
    scratch = np.zeros(
        2 * CLIPS * PITCH, states.dtype
    )  # sections: r, z, n, n's part; the state; the one before
    for step in range(frames - 1, -1, -1):
        for direction in range(2):
            t = step if direction == 0 else frames - 1 - step
            before = t - 1 if direction == 0 else t + 1
            s = direction * CLIPS * PITCH
            for k in range(clips):
                row, own = (k * frames + t) * 2 + direction, s + k * PITCH
                for j in range(index(H)):
                    scratch[index(own + 4 * SECTION) + j] += arriving[index(row * H) + j]
                    scratch[index(own + 5 * SECTION) + j] = 0
                if step > 0:
                    earlier = (k * frames + before) * 2 + direction
                    for j in range(index(H)):
                        scratch[index(own + 5 * SECTION) + j] = ended[index(earlier * H) + j]
                _gates_back(scratch, own, columns, kept, written, row * 4 * columns)
            for gate in range(3):
                section = 3 if gate == 2 else gate
                multiply(
                    scratch, s + 4 * SECTION, PITCH, scratch, s + 4 * SECTION, PITCH,
                    scratch, s + section * SECTION, PITCH, 1,
                    recurrent[direction], gate * columns * columns, columns, (clips, columns, H),
                )  # fmt: skip


@compiled
def _gates_back(scratch: Floats, at: int, columns: int, kept: Floats, written: Floats, place: int) -> None:
    """From the gradient to a clip's state to those of the gates' sums and, in part, to the state before."""
    s, to, units, one = index(at), index(place), index(columns), scratch.dtype.type(1)
    for part in range(FOUR):
        for j in range(units):
            scratch[s + part * BESIDE + j] = kept[to + part * units + j]
    for j in range(units):
        r, z, n = scratch[s + j], scratch[s + BESIDE + j], scratch[s + TWO * BESIDE + j]
        m, d = scratch[s + THREE * BESIDE + j], scratch[s + FOUR * BESIDE + j]
        h = scratch[s + FIVE * BESIDE + j]
        d_n = d * (one - z) * (one - n * n)
        scratch[s + j] = d_n * m * r * (one - r)
        scratch[s + BESIDE + j] = d * (h - n) * z * (one - z)
        scratch[s + TWO * BESIDE + j] = d_n
        scratch[s + THREE * BESIDE + j] = d_n * r
        scratch[s + FOUR * BESIDE + j] = d * z
    for part in range(FOUR):
        for j in range(units):
            written[to + part * units + j] = scratch[s + part * BESIDE + j]


@compiled
def _input_gradient(d_gates: Floats, inputs: tuple[Floats, Floats], d_x: Floats) -> None:
    """d_gates (rows, 2, 4, H padded) of some frames of a clip; writes their d_x (rows, n_inputs)."""
    rows, _, _, columns = d_gates.shape
    wide = padded(d_x.shape[1], d_x)
    total = np.zeros(rows * wide, d_x.dtype)
    for direction in range(2):
        multiply(
            total, 0, wide, total, 0, wide, d_gates.reshape(-1), direction * 4 * columns, 8 * columns, 1,
            inputs[direction], 0, wide, (rows, wide, 3 * columns),
        )  # fmt: skip
    for row in range(rows):
        for j in range(d_x.shape[1]):
            d_x[row, j] = total[row * wide + j]


@compiled
def _weight_gradients(
    d_gates: Floats,
    x: Floats,
    states: Floats,
    start: int,
    d_inputs: Floats,
    d_recurrent: Floats,
    d_biases: Floats,
) -> None:
    """Adds what the frames of a clip from ``start`` give; d_gates (rows, 2, 4, H padded)."""
    rows, _, _, columns = d_gates.shape
    frames, _, H = states.shape
    wide, high = d_inputs.shape[2], d_recurrent.shape[2]
    right, before = np.zeros((rows, wide), x.dtype), np.zeros((rows, high), x.dtype)
    right[:, : x.shape[1]] = x[start : start + rows]
    flat = d_gates.reshape(-1)
    for direction in range(2):
        for row in range(rows):
            t = start + row - 1 if direction == 0 else start + row + 1
            for j in range(H):
                before[row, j] = states[t, direction, j] if 0 <= t < frames else 0
        at = direction * 4 * columns
        d_W, d_U = d_inputs[direction].reshape(-1), d_recurrent[direction].reshape(-1)
        multiply(
            d_W, 0, wide, d_W, 0, wide, flat, at, 1, 8 * columns,
            right.reshape(-1), 0, wide, (3 * columns, wide, rows),
        )  # fmt: skip
        multiply(
            d_U, 0, high, d_U, 0, high, flat, at, 1, 8 * columns,
            before.reshape(-1), 0, high, (2 * columns, high, rows),
        )  # fmt: skip
        multiply(
            d_U, 3 * columns * high, high, d_U, 3 * columns * high, high, flat, at + 3 * columns, 1, 8 * columns,
            before.reshape(-1), 0, high, (columns, high, rows),
        )  # fmt: skip
        sums = np.zeros(4 * columns, x.dtype)
        for row in range(rows):
            for j in range(4 * columns):
                sums[j] += flat[row * 8 * columns + at + j]
        d_biases[direction] += sums


@compiled
def _hand_over(d_inputs: Floats, d_recurrent: Floats, d_biases: Floats, gradients: Weights) -> None:
    """From padded sums to gradients of torch's shapes. The recurrent part of n is the fourth."""
    d_W, d_U, d_b, d_c = gradients
    H = d_U.shape[1]
    columns = d_biases.shape[0] // 4
    for gate in range(3):
        inside = 3 if gate == 2 else gate
        for j in range(H):
            to, outer, inner = gate * H + j, gate * columns + j, inside * columns + j
            d_W[to] = d_inputs[outer, : d_W.shape[1]]
            d_U[to] = d_recurrent[inner, :H]
            d_b[to], d_c[to] = d_biases[outer], d_biases[inner]
