"""Small matrix products that stay in registers, for compiled code.

A library's product of matrices with 16 or 32 columns spends most of its time on being called. Here a block
of the result is held in registers while the inner dimension is run through. numba's own loops cannot be
brought to do so, hence the block is written as LLVM's vector instructions.

Matrices are places in flat arrays, with the distances between their rows and columns. The result's columns
are a whole number of vectors, which whoever allocates it provides for with ``padded``.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from ablate.mtl.model.compiling import Floats, compiled, index, inlined

BYTES = 64  # of a vector, on machines with smaller ones in two or four parts; and of a line of the cache
PANEL = 2  # vectors of a row that are computed together


def lanes(real: Any) -> int:
    """The numbers in a vector: 16 in single precision, 8 in double.

    ``real`` is a type; in compiled code, an array of it.
    """
    return BYTES // int(np.dtype(real).itemsize)


@overload(lanes)
def _lanes(real: Any) -> Any:
    width = BYTES // (real.dtype.bitwidth // 8)

    def compiled_lanes(real: Any) -> Any:  # noqa: ARG001 - overloads have the arguments of what they replace
        return width

    return compiled_lanes


def padded(n: int, real: Any) -> int:
    """The columns of a result that has n: whole vectors."""
    return -(-n // lanes(real)) * lanes(real)


@overload(padded)
def _padded(n: Any, real: Any) -> Any:  # noqa: ARG001
    def compiled_padded(n: Any, real: Any) -> Any:
        return (n + lanes(real) - 1) // lanes(real) * lanes(real)

    return compiled_padded


def _register(builder: Any, kind: Any) -> Any:
    """A place on the stack, which LLVM makes a register."""
    place: Any = cgutils.alloca_once(builder, kind)  # type: ignore[no-untyped-call]
    return place


def _block(rows: int, vectors: int) -> Any:
    """Compiled code for ``rows`` rows and so many vectors of a product; arguments as of ``multiply``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        c, d, a, b = (
            context.make_array(kind)(context, builder, value).data
            for kind, value in zip(signature.args[:4], arguments[:4], strict=True)
        )
        c_at, c_row, d_at, d_row, a_at, a_row, a_step, b_at, b_step, n = arguments[4:]
        real, integer = context.get_value_type(signature.args[0].dtype), n.type
        size = 4 if isinstance(real, ir.FloatType) else 8
        vector = ir.VectorType(real, BYTES // size)

        def place(base: Any, start: Any, count: Any, step: Any, vectors: int = 0) -> Any:
            at = builder.add(start, builder.mul(count, step))
            return builder.gep(base, [builder.add(at, integer(vectors * vector.count))])

        def load(pointer: Any) -> Any:
            loaded = builder.load(builder.bitcast(pointer, vector.as_pointer()))
            loaded.align = size
            return loaded

        def broadcast(number: Any) -> Any:
            single = builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.IntType(32)(0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
            return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), zeros)

        blocks = [(r, v) for r in range(rows) for v in range(vectors)]
        results = {(r, v): place(c, c_at, integer(r), c_row, v) for r, v in blocks}
        sums = {key: _register(builder, vector) for key in blocks}
        for r, v in blocks:
            builder.store(load(place(d, d_at, integer(r), d_row, v)), sums[r, v])
        with cgutils.for_range(builder, n) as loop:
            right = [load(place(b, b_at, loop.index, b_step, v)) for v in range(vectors)]
            column = builder.add(a_at, builder.mul(loop.index, a_step))
            for r in range(rows):
                left = broadcast(builder.load(place(a, column, integer(r), a_row)))
                for v in range(vectors):
                    product = builder.fmul(left, right[v], flags=("contract",))
                    total = builder.fadd(product, builder.load(sums[r, v]), flags=("contract",))
                    builder.store(total, sums[r, v])
        for key in blocks:
            stored = builder.store(
                builder.load(sums[key]), builder.bitcast(results[key], vector.as_pointer())
            )
            stored.align = size
        return context.get_dummy_value()

    @intrinsic
    def block(  # the arguments after the arrays are integers
        _: Any, c: Any, d: Any, a: Any, b: Any, c_at: Any, c_row: Any, d_at: Any, d_row: Any,  # noqa: ARG001
        a_at: Any, a_row: Any, a_step: Any, b_at: Any, b_step: Any, n: Any,  # noqa: ARG001
    ) -> Any:  # fmt: skip
        return types.void(c, d, a, b, *[types.int64] * 10), generate

    return block


_6_by_2, _4_by_2, _1_by_2 = _block(6, 2), _block(4, 2), _block(1, 2)
_6_by_1, _4_by_1, _1_by_1 = _block(6, 1), _block(4, 1), _block(1, 1)


@compiled
def multiply_panels(
    c: Floats,
    c_at: int,
    c_row: int,
    d: Floats,
    d_at: int,
    d_row: int,
    a: Floats,
    a_at: int,
    a_row: int,
    a_step: int,
    b: Floats,
    b_at: int,
    b_step: int,
    b_panel: int,
    sizes: tuple[int, int, int],
) -> None:
    """As ``multiply``, where B's columns lie in panels of PANEL vectors, ``b_panel`` from one to the next.

    In a wide matrix with its rows next to each other, those of a panel would share few places in the cache.
    """
    m, n, k = sizes
    width = lanes(c)
    j = 0
    while j + 2 * width <= n:
        i = 0
        while i + 6 <= m and m - i != 8 and m - i != 9:  # 4 and 4 are better than 6 and 1 and 1
            _6_by_2(
                c, d, a, b, c_at + i * c_row + j, c_row, d_at + i * d_row + j, d_row,
                a_at + i * a_row, a_row, a_step, b_at, b_step, k,
            )  # fmt: skip
            i += 6
        while i + 4 <= m:
            _4_by_2(
                c, d, a, b, c_at + i * c_row + j, c_row, d_at + i * d_row + j, d_row,
                a_at + i * a_row, a_row, a_step, b_at, b_step, k,
            )  # fmt: skip
            i += 4
        while i < m:
            _1_by_2(
                c, d, a, b, c_at + i * c_row + j, c_row, d_at + i * d_row + j, d_row,
                a_at + i * a_row, a_row, a_step, b_at, b_step, k,
            )  # fmt: skip
            i += 1
        j += 2 * width
        b_at += b_panel
    if j < n:
        i = 0
        while i + 6 <= m and m - i != 8 and m - i != 9:
            _6_by_1(
                c, d, a, b, c_at + i * c_row + j, c_row, d_at + i * d_row + j, d_row,
                a_at + i * a_row, a_row, a_step, b_at, b_step, k,
            )  # fmt: skip
            i += 6
        while i + 4 <= m:
            _4_by_1(
                c, d, a, b, c_at + i * c_row + j, c_row, d_at + i * d_row + j, d_row,
                a_at + i * a_row, a_row, a_step, b_at, b_step, k,
            )  # fmt: skip
            i += 4
        while i < m:
            _1_by_1(
                c, d, a, b, c_at + i * c_row + j, c_row, d_at + i * d_row + j, d_row,
                a_at + i * a_row, a_row, a_step, b_at, b_step, k,
            )  # fmt: skip
            i += 1


@inlined
def multiply(
    c: Floats,
    c_at: int,
    c_row: int,
    d: Floats,
    d_at: int,
    d_row: int,
    a: Floats,
    a_at: int,
    a_row: int,
    a_step: int,
    b: Floats,
    b_at: int,
    b_step: int,
    sizes: tuple[int, int, int],
) -> None:
    """C = D + A B, for sizes (m, n, k): C and D are (m, n), n a multiple of ``lanes``; A (m, k); B (k, n).

    All are flat, and their rows lie next to each other; only A may lie transposed: its element (i, j) is
    a[a_at + i * a_row + j * a_step]. D may be C itself, or have all its rows in one place.
    """
    multiply_panels(
        c, c_at, c_row, d, d_at, d_row, a, a_at, a_row, a_step, b, b_at, b_step, PANEL * lanes(c), sizes
    )


@inlined
def aligned(n: int, like: Floats) -> Floats:
    """Memory for n numbers of ``like``'s type, which begins where a line of the cache does.

    A vector that lies across two lines takes twice the time to be loaded.
    """
    memory = np.empty(n + lanes(like), like.dtype)
    beyond = memory.ctypes.data // memory.itemsize % lanes(like)
    start = (lanes(like) - beyond) % lanes(like)
    return memory[start : start + n]


@inlined
def transposed(x: Floats) -> Floats:
    """(m, n) -> (n, m padded with zeros)."""
    m, n = x.shape
    result = np.zeros((n, padded(m, x)), x.dtype)
    for i in range(m):
        for j in range(n):
            result[j, i] = x[i, j]
    return result


@inlined
def widened(x: Floats) -> Floats:
    """(m, n) -> (m, n padded with zeros)."""
    m, n = x.shape
    columns, flat = padded(n, x), x.reshape(-1)
    result = np.zeros((m, columns), x.dtype)
    written = result.reshape(-1)
    for i in range(m):
        for j in range(index(n)):
            written[index(i * columns) + j] = flat[index(i * n) + j]
    return result


@inlined
def add_rows(x: Floats, sums: Floats) -> None:
    """Adds the rows of x (m, n), which are not many, to sums (n,) float64."""
    m, n = x.shape
    part, flat = np.zeros(n, x.dtype), x.reshape(-1)
    for i in range(m):
        for j in range(index(n)):
            part[j] += flat[index(i * n) + j]
    for j in range(n):
        sums[j] += part[j]
