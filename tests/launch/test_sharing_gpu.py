"""Processes that share a real GPU through CUDA MPS: they train at the same time, and to the same scores."""

import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from ablate.launch.sharing import terms_of
from ablate.record.store import Store
from tests.command import ablate

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

SCRIPT = """
import sys
import torch

lr, device = float(sys.argv[1]), torch.device(sys.argv[2])
torch.manual_seed(0)
inputs = torch.randn(4096, 512, device=device)
model = torch.nn.Sequential(torch.nn.Linear(512, 512), torch.nn.Tanh(), torch.nn.Linear(512, 1)).to(device)
optimizer = torch.optim.SGD(model.parameters(), lr=lr)
for _ in range(5000):
    loss = (model(inputs) - inputs[:, :1]).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"loss: {loss.item():.6f}")
"""
SAME = 1e-3  # relative; kernels may add in another order


def scores(folder: Path, levels: str, *words: str) -> tuple[dict[str, float], list[tuple[float, float]]]:
    """The loss of each condition, and when each run began and ended."""
    script = folder / "train.py"
    script.write_text(SCRIPT)
    command = f"{sys.executable} {script} {{lr}} {{device}}"
    metric = "loss:min=loss: ([0-9.]+)"
    words = ("grid", "s", "--script", command, "--metric", metric, "--levels", levels, "--seeds", "1", *words)
    ablate(*words, "--device", "cuda:0", store=folder)
    runs = Store(folder).study_runs("s")
    states = [run.status() for run in runs]
    times = [(state.started_at or 0.0, state.ended_at or 0.0) for state in states]
    results = {str(run.name): run.result() or {} for run in runs}
    return {name: float(result["metrics"]["loss"]) for name, result in results.items()}, times


def test_runs_share_a_gpu_and_score_as_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_GPU_READ_EVERY_S", "0.2")
    terms = terms_of(["cuda:0"], None, None)
    assert terms is not None
    if not terms.is_mps:
        pytest.skip(terms.why)
    for name in ("alone", "shared"):
        (tmp_path / name).mkdir()
    alone, _ = scores(tmp_path / "alone", "lr=0.01,0.02", "--runs-per-gpu", "1")
    shared, times = scores(tmp_path / "shared", "lr=0.01,0.02,0.04,0.08")
    assert len(shared) == 4
    assert {name: shared[name] for name in alone} == pytest.approx(alone, rel=SAME)
    times.sort()
    assert any(later[0] < earlier[1] for earlier, later in pairwise(times))
