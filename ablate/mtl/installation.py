"""Whether what the network and its data need is here, and works."""

import importlib.util
import sys
from collections.abc import Iterator, Sequence

from ablate.ground.asking import ask
from ablate.ground.errors import ConfigError

ASK_KERNELS = """
import json, sys, numba
from ablate.mtl.model import norms
if numba.config.DISABLE_JIT:
    print(json.dumps({"works": True, "kept": False, "disabled": True}))
    sys.exit()
function = next(kernel for kernel in vars(norms).values() if hasattr(kernel, "py_func")).py_func
try:
    numba.njit(cache=True)(function)
    kept = True
except RuntimeError:
    kept = False
works = numba.njit(lambda x: x + 1)(1) == 2
print(json.dumps({"works": works, "kept": kept, "disabled": False}))
"""

Check = tuple[str, str, Sequence[str]]  # ok, warning or problem; what is found; commands that mend it


# What only this subject needs, as pip calls it, and what Python does.
PACKAGES = {
    "torch": "torch",
    "numba": "numba",
    "librosa": "librosa",
    "soundfile": "soundfile",
    "scikit-learn": "sklearn",
    "safetensors": "safetensors",
    "filelock": "filelock",
    "urllib3": "urllib3",
}


def require_packages() -> None:
    """Raises ConfigError where a package is missing."""
    if missing := _missing():
        raise ConfigError(
            f"the built-in subject needs {', '.join(missing)}, which this installation is without: "
            f"pip install {' '.join(missing)}; or train a subject of your own with --script or --subject"
        )


def check_packages() -> Iterator[Check]:
    """All packages are there that the subject needs."""
    if missing := _missing():
        yield (
            "warning",
            f"{', '.join(missing)} not installed: the built-in subject cannot be trained, others can",
            (f"{sys.executable} -m pip install {' '.join(missing)}",),
        )


def _missing() -> list[str]:
    return [package for package, module in PACKAGES.items() if not _is_there(module)]


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


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
