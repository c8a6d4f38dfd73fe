"""How the kernels are compiled, and the function that all of them want: plain arrays in and out, one thread.

Innermost loops run over channels or units, which lie next to each other in memory, so that the compiler turns
them into vector instructions. Every kernel works in float32 and in float64.
"""

import hashlib
import math
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from filelock import FileLock, Timeout
from llvmlite import binding
from numba import config, njit, types
from numba.core.compiler_lock import global_compiler_lock
from numba.extending import overload
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])
Floats = NDArray[Any]  # float32 or float64

# Sums may be reordered and multiply-adds fused; NaN and infinity keep their meaning, so that a training
# that diverges is seen to diverge.
FAST_MATH = {"contract", "reassoc", "nsz", "arcp"}
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def _widen_vectors() -> None:
    """Has LLVM take vectors of 512 bits where the processor has them; on Intel's it would stop at 256.

    The products hold such vectors in any case. A setting of the user's stays. numba looks at it once: in a
    process where another library has compiled before, the kernels have LLVM's choice, and give the same
    numbers to rounding, not to the bit.
    """
    settings: Any = config
    if settings.CPU_FEATURES is None:
        features = binding.get_host_cpu_features()
        if features.get("avx512f"):
            settings.CPU_FEATURES = f"{features.flatten()},-prefer-256-bit"


_widen_vectors()


# For indices that are computed. In numba a negative index counts from the end, and a loop in which the
# compiler cannot exclude that is not turned into vector instructions.
index = np.uint64
ONE, TWO, THREE, FOUR, FIVE, SIX, SEVEN, EIGHT, NINE = (index(i) for i in range(1, 10))


def compiled(function: Function) -> Function:
    """Compiles at the first call, and keeps the machine code on disk where some cache folder is writable.

    numba tries NUMBA_CACHE_DIR, ``__pycache__`` beside the source, then the user's cache folder; with none of
    them it refuses, and each process compiles for itself.
    """
    return compiled_with(FAST_MATH)(function)


def inlined(function: Function) -> Function:
    """As ``compiled``, and a part of whatever calls it, where its arguments can be constants.

    Whatever another kernel calls must be inlined, unless it leaves the compiler no choice of order. Else each
    caller has its own copy, compiled for itself; the first copy that a process loads serves all, and it is
    another one where the process has compiled than where it has read what others have: not the same bits.
    """
    return compiled_with(FAST_MATH, forceinline=True)(function)


def compiled_with(liberties: set[str], **options: bool) -> Callable[[Function], Function]:
    """As ``compiled``, with other liberties for the arithmetic than FAST_MATH, and numba's other options."""
    chosen: dict[str, Any] = OPTIONS | {"fastmath": liberties} | options

    def compile_later(function: Function) -> Function:
        try:
            kernel: Any = njit(cache=True, **chosen)(function)
        except RuntimeError:
            kernel = njit(**chosen)(function)
        if (
            hasattr(kernel, "stats") and kernel.stats.cache_path
        ):  # not with NUMBA_DISABLE_JIT, nor without a cache
            _outdate_with_the_others(kernel)
            _share_the_work(kernel)
        return cast(Function, kernel)

    return compile_later


def _outdate_with_the_others(kernel: Any) -> None:
    """Compile a kernel anew when the code of any has changed, as they are compiled into one another.

    numba itself looks at the file alone that the kernel is in.
    """
    kept = kernel._cache._cache_file
    kept._source_stamp = (kept._source_stamp, code_of_kernels())


@cache
def code_of_kernels() -> str:
    """A digest of all files beside this one."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


PATIENCE_S = 120  # with another process that compiles, and may have been stopped meanwhile


def _share_the_work(kernel: Any) -> None:
    """Of processes that start at once on a new machine, one compiles, and the others read what it has kept.

    Together the kernels take most of a minute, and without this each worker would spend it.
    """
    folder = Path(kernel._cache.cache_path)
    compile_alone = kernel.compile

    def compile_in_turn(signature: Any) -> Any:
        with global_compiler_lock, ExitStack() as stack:  # numba's own, of threads, is taken first by all
            with suppress(OSError, Timeout):
                stack.enter_context(_turn(folder))
            return compile_alone(signature)

    kernel.compile = compile_in_turn


@cache
def _turn(folder: Path) -> FileLock:
    """One for all kernels, as they are compiled within one another."""
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / "ablate.lock", timeout=PATIENCE_S)


# --- functions that vectorise -----------------------------------------------------------------------------

LIMIT = 80  # exp(80) is finite in float32
LOG2_E = math.log2(math.e)
LN2_HIGH = 0.693359375  # ln 2 in two parts: the first has few bits, so that n * LN2_HIGH is exact
LN2_LOW = math.log(2) - LN2_HIGH


def exponential(x: Any) -> Any:
    """exp(x), with |x| beyond LIMIT counted as it; NaN stays NaN.

    In float32: exp(x) = 2^n exp(r) with n = round(x / ln 2), so |r| < 0.35, where Taylor's series to r^7 is
    exact to rounding; 2^n is made of a float's exponent bits. In float64: the C library's exp.
    """
    raise NotImplementedError("compiled code only")


@overload(exponential)
def _exponential(x: Any) -> Any:
    return _exponential_float64 if x == types.float64 else _exponential_float32


def _exponential_float64(x: Any) -> Any:
    x = -LIMIT if x < -LIMIT else x
    x = LIMIT if x > LIMIT else x
    return math.exp(x)


def _exponential_float32(x: Any) -> Any:
    one, limit = np.float32(1), np.float32(LIMIT)
    v = -limit if x < -limit else x
    v = limit if v > limit else v
    n = np.floor(v * np.float32(LOG2_E) + np.float32(0.5))
    r = (v - n * np.float32(LN2_HIGH)) - n * np.float32(LN2_LOW)
    series = np.float32(1 / 5040)
    series = series * r + np.float32(1 / 720)
    series = series * r + np.float32(1 / 120)
    series = series * r + np.float32(1 / 24)
    series = series * r + np.float32(1 / 6)
    series = series * r + np.float32(1 / 2)
    series = series * r + one
    series = series * r + one
    return series * np.int32((np.int32(n) + 127) << 23).view(np.float32)


def logistic(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    raise NotImplementedError("compiled code only")


@overload(logistic)
def _logistic(x: Any) -> Any:  # noqa: ARG001 - overloads have the arguments of what they replace
    def compiled_logistic(x: Any) -> Any:
        one = type(x)(1)
        return one / (one + exponential(-x))

    return compiled_logistic


def log_of_one_plus(x: Any) -> Any:
    """log(1 + x) for x from 0 to 1.

    In float32: 2 artanh(s) with s = x / (2 + x), at most a third, where the series to s^17 is exact to
    rounding.
    """
    raise NotImplementedError("compiled code only")


@overload(log_of_one_plus)
def _log_of_one_plus(x: Any) -> Any:
    return _log_of_one_plus_float64 if x == types.float64 else _log_of_one_plus_float32


def _log_of_one_plus_float64(x: Any) -> Any:
    return math.log1p(x)


def _log_of_one_plus_float32(x: Any) -> Any:
    s = x / (np.float32(2) + x)
    square = s * s
    series = np.float32(1 / 17)
    series = series * square + np.float32(1 / 15)
    series = series * square + np.float32(1 / 13)
    series = series * square + np.float32(1 / 11)
    series = series * square + np.float32(1 / 9)
    series = series * square + np.float32(1 / 7)
    series = series * square + np.float32(1 / 5)
    series = series * square + np.float32(1 / 3)
    series = series * square + np.float32(1)
    return np.float32(2) * s * series
