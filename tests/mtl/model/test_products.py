"""Products in registers are products, for every way in which matrices may lie."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.mtl.model.products import (
    BYTES,
    PANEL,
    add_rows,
    aligned,
    lanes,
    multiply,
    multiply_panels,
    padded,
    transposed,
    widened,
)

sizes = st.tuples(st.integers(1, 15), st.integers(1, 4), st.integers(0, 9))


@settings(max_examples=60, deadline=None)
@given(sizes, st.booleans(), st.booleans(), st.integers(0, 2**32 - 1))
def test_a_product_is_added_to_what_is_there(
    size: tuple[int, int, int], lies_transposed: bool, one_row: bool, seed: int
) -> None:
    """C = D + A B with gaps around all, A lying either way, D of one row or of as many as C."""
    random, (m, vectors, k) = np.random.default_rng(seed), size
    n = vectors * lanes(np.float64)
    C, B = random.standard_normal((m, n + 3)), random.standard_normal((k, n + 5))
    D = random.standard_normal((1 if one_row else m, n))
    A = random.standard_normal((k, m + 1) if lies_transposed else (m, k + 1))
    before = C.copy()
    steps = (1, m + 1) if lies_transposed else (k + 1, 1)
    multiply(
        C.reshape(-1), 2, n + 3, D.reshape(-1), 0, 0 if one_row else n,
        A.reshape(-1), 0, *steps, B.reshape(-1), 1, n + 5, (m, n, k),
    )  # fmt: skip
    left = A.T[:m] if lies_transposed else A[:, :k]
    np.testing.assert_allclose(C[:, 2 : n + 2], D + left @ B[:, 1 : n + 1], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(C[:, :2], before[:, :2])
    np.testing.assert_array_equal(C[:, n + 2 :], before[:, n + 2 :])


@pytest.mark.parametrize("vectors", [1, 2, 3])
def test_columns_may_lie_in_panels(vectors: int) -> None:
    """Of two vectors each, so that the third is in a panel of its own."""
    random, width = np.random.default_rng(0), lanes(np.float64)
    A, B = random.standard_normal((5, 7)), random.standard_normal((7, vectors * width))
    panels, C = np.zeros((2, 7, PANEL * width)), np.zeros((5, vectors * width))
    for j in range(vectors * width):
        panels[j // (PANEL * width), :, j % (PANEL * width)] = B[:, j]
    flat = C.reshape(-1)
    multiply_panels(
        flat, 0, vectors * width, flat, 0, vectors * width, A.reshape(-1), 0, 7, 1,
        panels.reshape(-1), 0, PANEL * width, 7 * PANEL * width, (5, vectors * width, 7),
    )  # fmt: skip
    np.testing.assert_allclose(C, A @ B, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 1, 17, 1000])
def test_memory_begins_with_a_line_of_the_cache(n: int, kind: type[np.floating]) -> None:
    memory = aligned(n, np.zeros(1, kind))
    assert (memory.shape, memory.dtype, memory.ctypes.data % BYTES) == ((n,), kind, 0)


@pytest.mark.parametrize(("kind", "width"), [(np.float32, 16), (np.float64, 8)])
def test_columns_are_padded_to_whole_vectors(kind: type[np.floating], width: int) -> None:
    assert [padded(n, kind) for n in (0, 1, width, width + 1)] == [0, width, width, 2 * width]
    x = np.arange(6, dtype=kind).reshape(2, 3)
    np.testing.assert_array_equal(widened(x), np.pad(x, ((0, 0), (0, width - 3))))
    np.testing.assert_array_equal(transposed(x), np.pad(x.T, ((0, 0), (0, width - 2))))


def test_rows_are_added() -> None:
    sums = np.array([1.0, 2.0, 3.0])
    add_rows(np.array([[1, 2, 3], [10, 20, 30]], np.float32), sums)
    assert sums.tolist() == [12, 24, 36]
