"""Kernels are compiled once for a machine, however many processes want them at once."""

import os
import subprocess
import sys
from pathlib import Path

WANT_A_KERNEL = """
import sys
import numpy as np
from ablate.mtl.model.entropy import cross_entropy as kernel

print("ready", flush=True)
sys.stdin.readline()
logits, events, mask = np.zeros((1, 2), np.float32), np.ones((1, 2), np.uint8), np.ones(1, np.uint8)
loss = kernel(logits, events, mask, np.empty_like(logits))
print(round(loss, 4), sum(kernel.stats.cache_misses.values()))
"""


def test_of_processes_that_want_a_kernel_at_once_one_compiles_it(tmp_path: Path) -> None:
    """The loss of two logits of 0 is 2 ln 2."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WANT_A_KERNEL],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=240)[0].split() for process in processes]
    assert sorted(answers) == [["1.3863", "0"], ["1.3863", "1"]]
