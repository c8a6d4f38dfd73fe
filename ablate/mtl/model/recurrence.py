"""The bidirectional GRU, compiled: its products, its loops over frames and its gradients.

Both directions go through time together, since the steps of one do not wait for those of the other. Weights
arrive as torch keeps them: input weights (3H, n_inputs), recurrent weights (3H, H) and their two biases (3H,)
have the gates r, z and n below each other. ``fast`` has the equations.

Inside, a gate has whole vectors of units (H padded), and a frame's numbers are in the order n, r, z, m, where
m is n's recurrent part: inputs reach the first three and states the last three.
"""

from typing import Any

import numpy as np

from ablate.mtl.model.compiling import FOUR, THREE, TWO, Floats, compiled, index, inlined, logistic
from ablate.mtl.model.products import add_rows, multiply, padded

Weights = tuple[Floats, Floats, Floats, Floats]

CLIPS = 4  # taken through time together, so that a weight is loaded once for all of them
CHUNK = 128  # frames of a product at a time, which stay in the cache
UNITS = 32  # of the network; for these the compiler knows all distances, without which it would go one by one


@inlined
def _gate_of(place: int, of_inputs: bool) -> int:
    """torch's number of the gate at a place, of n, r, z for inputs and of r, z, n for states."""
    return (place + 2) % 3 if of_inputs else place


@inlined
def _turned(weights: Floats, H: int, of_inputs: bool) -> Floats:
    """(3H, n) -> (n, 3, H padded with zeros), flat, with the gates in our order."""
    n, columns = weights.shape[1], padded(H, weights)
    turned = np.zeros((n, 3, columns), weights.dtype)
    for place in range(3):
        for j in range(H):
            for i in range(n):
                turned[i, place, j] = weights[_gate_of(place, of_inputs) * H + j, i]
    return turned.reshape(-1)


@inlined
def _straight(weights: Floats, H: int, of_inputs: bool) -> Floats:
    """(3H, n) -> (3, H padded, n padded), flat, with the gates in our order."""
    n = weights.shape[1]
    straight = np.zeros((3, padded(H, weights), padded(n, weights)), weights.dtype)
    for place in range(3):
        for j in range(H):
            straight[place, j, :n] = weights[_gate_of(place, of_inputs) * H + j]
    return straight.reshape(-1)


@inlined
def _biases(input_bias: Floats, recurrent_bias: Floats, H: int) -> Floats:
    """(4, H padded), flat: of n, r, z and m."""
    columns = padded(H, input_bias)
    biases = np.zeros((4, columns), input_bias.dtype)
    for j in range(H):
        biases[0, j] = input_bias[2 * H + j]
        biases[1, j] = input_bias[j] + recurrent_bias[j]
        biases[2, j] = input_bias[H + j] + recurrent_bias[H + j]
        biases[3, j] = recurrent_bias[2 * H + j]
    return biases.reshape(-1)


@compiled
def gru_forward(x: Floats, ahead: Weights, back: Weights, states: Floats, saved: Floats) -> None:
    """Steps both directions through time.

    x (n_clips, frames, n_inputs or more); ahead and back, the weights of the two directions. Writes states
    (n_clips, frames, 2, H padded) and, for the backward pass, saved (n_clips, frames, 2, 4, H padded): n, r,
    z and m.
    """
    n_clips, frames, wide = x.shape
    (n_inputs, H), columns = (ahead[0].shape[1], ahead[1].shape[1]), states.shape[3]
    inputs = (_turned(ahead[0], H, True), _turned(back[0], H, True))
    recurrent = (_turned(ahead[1], H, False), _turned(back[1], H, False))
    biases = (_biases(ahead[2], ahead[3], H), _biases(back[2], back[3], H))
    flat, kept, ended = x.reshape(-1), saved.reshape(-1), states.reshape(-1)
    pitch = 5 * columns  # of a clip's scratch memory: n, r, z, m and the state
    scratch = np.empty(2 * CLIPS * pitch, x.dtype)
    for first in range(0, n_clips, CLIPS):
        clips = min(CLIPS, n_clips - first)
        scratch[:] = 0
        for step in range(frames):
            for direction in range(2):
                t = step if direction == 0 else frames - 1 - step
                s = direction * CLIPS * pitch
                multiply(
                    scratch, s, pitch, biases[direction], 0, 0,
                    flat, (first * frames + t) * wide, frames * wide, 1,
                    inputs[direction], 0, 3 * columns, (clips, 3 * columns, n_inputs),
                )  # fmt: skip
                multiply(
                    scratch, s + columns, pitch, scratch, s + columns, pitch,
                    scratch, s + 4 * columns, pitch, 1,
                    recurrent[direction], 0, 3 * columns, (clips, 2 * columns, H),
                )  # fmt: skip
                multiply(
                    scratch, s + 3 * columns, pitch, biases[direction], 3 * columns, 0,
                    scratch, s + 4 * columns, pitch, 1,
                    recurrent[direction], 2 * columns, 3 * columns, (clips, columns, H),
                )  # fmt: skip
                for k in range(clips):
                    row = ((first + k) * frames + t) * 2 + direction
                    if columns == UNITS:
                        _gates(scratch, s + k * pitch, index(UNITS), kept, ended, row)
                    else:
                        _gates(scratch, s + k * pitch, index(columns), kept, ended, row)


@inlined
def _gates(scratch: Floats, at: int, units: Any, kept: Floats, ended: Floats, row: int) -> None:
    """From the sums of a clip's row to n, r, z, m and the new state, which are also kept."""
    s, state, to = index(at), index(row) * units, index(row) * FOUR * units
    one, two = scratch.dtype.type(1), scratch.dtype.type(2)
    for j in range(units):
        r = logistic(scratch[s + units + j])
        z = logistic(scratch[s + TWO * units + j])
        m = scratch[s + THREE * units + j]
        n = two * logistic(two * (scratch[s + j] + r * m)) - one  # the hyperbolic tangent
        h = n + z * (scratch[s + FOUR * units + j] - n)
        scratch[s + FOUR * units + j] = h
        ended[state + j] = h
        kept[to + j] = n
        kept[to + units + j] = r
        kept[to + TWO * units + j] = z
        kept[to + THREE * units + j] = m


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
    """Writes the gradients to x, like x, and to the weights; the rest as ``gru_forward`` left it.

    d_states (n_clips, frames, 2, H).
    """
    n_clips, frames, wide = x.shape
    H, columns = d_states.shape[3], states.shape[3]
    inputs = (_straight(ahead[0], H, True), _straight(back[0], H, True))
    recurrent = (_straight(ahead[1], H, False), _straight(back[1], H, False))
    d_gates = np.zeros((CLIPS, frames, 2, 4, columns), x.dtype)  # of the sums, in the order of ``saved``
    d_inputs = np.zeros((2, 3 * columns, wide), x.dtype)
    d_recurrent = np.zeros((2, 3 * columns, columns), x.dtype)
    d_biases = np.zeros(2 * 4 * columns)
    for first in range(0, n_clips, CLIPS):
        clips = min(CLIPS, n_clips - first)
        _step_back(states[first:], saved[first:], d_states[first:], recurrent, clips, d_gates)
        for k in range(clips):
            for start in range(0, frames, CHUNK):
                rows, clip = min(CHUNK, frames - start), first + k
                chunk = d_gates[k, start : start + rows].reshape(-1)
                _input_gradient(
                    chunk, inputs, d_x[clip, start : start + rows].reshape(-1), (rows, columns, wide)
                )
                _weight_gradients(chunk, x[clip], states[clip], start, rows, d_inputs, d_recurrent)
                add_rows(chunk.reshape(rows, 8 * columns), d_biases)
    half = 4 * columns
    _hand_over(d_inputs[0], d_recurrent[0], d_biases[:half], d_ahead)
    _hand_over(d_inputs[1], d_recurrent[1], d_biases[half:], d_back)


@inlined
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
    columns = states.shape[3]
    written, kept, arriving = d_gates.reshape(-1), saved.reshape(-1), d_states.reshape(-1)
    ended, nothing = states.reshape(-1), np.zeros(columns, states.dtype)
    pitch = 5 * columns  # of a clip's scratch memory: the gradients to n, r, z, m and the state
    scratch = np.zeros(2 * CLIPS * pitch, states.dtype)
    for step in range(frames - 1, -1, -1):
        for direction in range(2):
            t = step if direction == 0 else frames - 1 - step
            before = t - 1 if direction == 0 else t + 1
            s = direction * CLIPS * pitch
            for k in range(clips):
                row, own = (k * frames + t) * 2 + direction, s + k * pitch
                for j in range(index(H)):
                    scratch[index(own + 4 * columns) + j] += arriving[index(row * H) + j]
                earlier = ((k * frames + before) * 2 + direction) * columns
                h, h_at = (ended, earlier) if step > 0 else (nothing, 0)
                if columns == UNITS:
                    _gates_back(scratch, own, index(UNITS), kept, h, h_at, written, row)
                else:
                    _gates_back(scratch, own, index(columns), kept, h, h_at, written, row)
            multiply(
                scratch, s + 4 * columns, pitch, scratch, s + 4 * columns, pitch,
                scratch, s + columns, pitch, 1,
                recurrent[direction], 0, columns, (clips, columns, 3 * columns),
            )  # fmt: skip


@inlined
def _gates_back(
    scratch: Floats, at: int, units: Any, kept: Floats, before: Floats, h_at: int, written: Floats, row: int
) -> None:
    """From the gradient to a clip's state to those of the sums, and in part to the state before."""
    s, to, past, one = index(at), index(row) * FOUR * units, index(h_at), scratch.dtype.type(1)
    for j in range(units):
        n, r = kept[to + j], kept[to + units + j]
        z, m = kept[to + TWO * units + j], kept[to + THREE * units + j]
        d, h = scratch[s + FOUR * units + j], before[past + j]
        d_n = d * (one - z) * (one - n * n)
        d_r = d_n * m * r * (one - r)
        d_z = d * (h - n) * z * (one - z)
        d_m = d_n * r
        scratch[s + units + j] = d_r
        scratch[s + TWO * units + j] = d_z
        scratch[s + THREE * units + j] = d_m
        scratch[s + FOUR * units + j] = d * z
        written[to + j] = d_n
        written[to + units + j] = d_r
        written[to + TWO * units + j] = d_z
        written[to + THREE * units + j] = d_m


@inlined
def _input_gradient(
    d_gates: Floats, inputs: tuple[Floats, Floats], d_x: Floats, sizes: tuple[int, int, int]
) -> None:
    """Writes d_x (rows, wide) of some frames of a clip; sizes (rows, H padded, wide)."""
    rows, columns, wide = sizes
    nothing = np.zeros(wide, d_x.dtype)
    multiply(
        d_x, 0, wide, nothing, 0, 0, d_gates, 0, 8 * columns, 1, inputs[0], 0, wide, (rows, wide, 3 * columns)
    )
    multiply(
        d_x, 0, wide, d_x, 0, wide, d_gates, 4 * columns, 8 * columns, 1, inputs[1], 0, wide,
        (rows, wide, 3 * columns),
    )  # fmt: skip


@inlined
def _weight_gradients(
    d_gates: Floats, x: Floats, states: Floats, start: int, rows: int, d_inputs: Floats, d_recurrent: Floats
) -> None:
    """Adds what ``rows`` frames of a clip from ``start`` give. States before the first frame are zero."""
    (frames, wide), columns = x.shape, states.shape[2]
    pitch = 8 * columns
    for direction in range(2):
        at, d_W, d_U = (
            direction * 4 * columns,
            d_inputs[direction].reshape(-1),
            d_recurrent[direction].reshape(-1),
        )
        multiply(
            d_W, 0, wide, d_W, 0, wide, d_gates, at, 1, pitch, x.reshape(-1), start * wide, wide,
            (3 * columns, wide, rows),
        )  # fmt: skip
        skipped = 1 if direction == 0 and start == 0 else 0
        missing = 1 if direction == 1 and start + rows == frames else 0
        before = start + skipped + (-1 if direction == 0 else 1)
        multiply(
            d_U, 0, columns, d_U, 0, columns, d_gates, at + columns + skipped * pitch, 1, pitch,
            states.reshape(-1), (2 * before + direction) * columns, 2 * columns,
            (3 * columns, columns, rows - skipped - missing),
        )  # fmt: skip


@inlined
def _hand_over(d_inputs: Floats, d_recurrent: Floats, d_biases: Floats, gradients: Weights) -> None:
    """From padded sums to gradients of torch's shapes."""
    d_W, d_U, d_b, d_c = gradients
    n_inputs, H, columns = d_W.shape[1], d_U.shape[1], d_recurrent.shape[1]
    for place in range(3):
        for j in range(H):
            to, of = _gate_of(place, True) * H + j, place * columns + j
            d_W[to], d_b[to] = d_inputs[of, :n_inputs], d_biases[of]
            to = _gate_of(place, False) * H + j
            d_U[to], d_c[to] = d_recurrent[of, :H], d_biases[columns + of]
