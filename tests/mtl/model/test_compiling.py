"""Kernels are compiled once for a machine, however many processes want them at once."""

import os
import subprocess
import sys
from pathlib import Path

WANT_A_KERNEL = """
import sys
import numpy as np
from ablate.mtl.model import compiling
compiling.code_of_kernels = lambda: sys.argv[1]
from ablate.mtl.model.entropy import cross_entropy as kernel

print("ready", flush=True)
sys.stdin.readline()
logits, events, mask = np.zeros((1, 2), np.float32), np.ones((1, 2), np.uint8), np.ones(1, np.uint8)
loss = kernel(logits, events, mask, np.empty_like(logits))
print(round(loss, 4), sum(kernel.stats.cache_misses.values()))
"""


def start(cache: Path, code: str) -> subprocess.Popen[str]:
    """A process that has imported a kernel, and calls it once it is told to."""
    process = subprocess.Popen(
        [sys.executable, "-c", WANT_A_KERNEL, code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def call(*processes: subprocess.Popen[str]) -> list[list[str]]:
    """The loss in each process, and how many kernels it has compiled."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [process.communicate(timeout=240)[0].split() for process in processes]


def test_of_processes_that_want_a_kernel_at_once_one_compiles_it(tmp_path: Path) -> None:
    """The loss of two logits of 0 is 2 ln 2."""
    both = call(start(tmp_path, "code"), start(tmp_path, "code"))
    assert sorted(both) == [["1.3863", "0"], ["1.3863", "1"]]


def test_a_kernel_is_compiled_anew_when_the_code_of_others_has_changed(tmp_path: Path) -> None:
    n_compiled = [call(start(tmp_path, code))[0][1] for code in ("code", "code", "another", "another")]
    assert n_compiled == ["1", "0", "1", "0"]
