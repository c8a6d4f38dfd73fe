"""Whether what the network's fast layers need works here."""

import sys
from collections.abc import Iterator, Sequence

from ablate.ground.asking import ask

ASK_KERNELS = """
import json, sys, numba
from ablate.mtl.model import kernels
if numba.config.DISABLE_JIT:
    print(json.dumps({"works": True, "kept": False, "disabled": True}))
    sys.exit()
function = next(kernel for kernel in vars(kernels).values() if hasattr(kernel, "py_func")).py_func
try:
    numba.njit(cache=True)(function)
    kept = True
except RuntimeError:
    kept = False
works = numba.njit(lambda x: x + 1)(1) == 2
print(json.dumps({"works": works, "kept": kept, "disabled": False}))
"""

Check = tuple[str, str, Sequence[str]]  # ok, warning or problem; what is found; commands that mend it


def check_kernels() -> Iterator[Check]:
    """The compiled layers can be compiled, and kept on disk."""
    answer = ask(ASK_KERNELS)
    if isinstance(answer, str) or not answer["works"]:
        why = answer if isinstance(answer, str) else "a compiled function gives another result"
        yield (
            "problem",
            f"the compiled layers do not work ({why}); reinstall numba, or train without them, several times "
            "slower, with --set kernels=plain",
            (f"{sys.executable} -m pip install --force-reinstall numba",),
        )
    elif answer["disabled"]:
        yield (
            "problem",
            "NUMBA_DISABLE_JIT is set: the layers are interpreted, thousands of times slower",
            ("unset NUMBA_DISABLE_JIT",),
        )
    elif not answer["kept"]:
        yield (
            "warning",
            "no folder can be written in which compiled code is kept, so each worker compiles anew",
            ("export NUMBA_CACHE_DIR=/tmp/numba",),
        )
    else:
        yield "ok", "the layers can be compiled, and are kept on disk", ()
