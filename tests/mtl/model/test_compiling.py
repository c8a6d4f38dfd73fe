"""Kernels are compiled once for a machine, however many processes want them at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


TWO_STEPS = """
import hashlib, sys
import torch
from ablate.mtl.config import RunConfig
from ablate.mtl.model.choice import kit
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.training.step import Clips, make_optimiser, training_step

torch.set_num_threads(1)
torch.manual_seed(0)
x = torch.randn(2, 50, 64)
if sys.argv[1] == "first block":
    with torch.no_grad():
        said = [kit("fast").first_block(1, 4, (1, 8))(x[:, None])]
else:
    config = RunConfig().override({"model.width": 1 / 32})
    model = Mtl(config, 3, 5)
    optimiser = make_optimiser(model, config, torch.device("cpu"))
    mask = torch.ones(2, 50, dtype=torch.uint8)
    batch = Clips(x, torch.tensor([0, 2]), (x[..., :5] > 1).to(torch.uint8), mask)
    for _ in range(2):
        training_step(model, optimiser, batch, config)
    said = [parameter.detach() for parameter in model.parameters()]
print(hashlib.sha256(b"".join(part.contiguous().numpy().tobytes() for part in said)).hexdigest())
"""


@pytest.mark.parametrize("what", ["first block", pytest.param("network", marks=pytest.mark.long)])
def test_a_process_that_compiles_gets_the_bits_of_one_that_reads(what: str, tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", TWO_STEPS, what]
    compiled, read = (
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert compiled == read
