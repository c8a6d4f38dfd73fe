"""A study of a user's own script on a GPU that several processes share: its plan, its runs, and Ctrl-C."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import output_of, start
from tests.launch.gpus import Machine, make_machine

SCRIPT = """
file=$FAKE_GPUS/taken-0/$$
echo 2500 > "$file"
echo "$CUDA_VISIBLE_DEVICES $CUDA_MPS_PIPE_DIRECTORY" >> "$FAKE_GPUS/environments"
[ "$2" = stays ] && touch "$FAKE_GPUS/stays" && sleep 60
sleep 0.5
rm "$file"
echo "score: $1"
"""
GRID = ("grid", "--script", "sh train.sh {x} {how}", "--metric", "score:max=score: ([0-9.]+)", "--seeds", "1")
FIVE = (*GRID, "--levels", "x=1,2,3,4,5")

Make = Callable[..., Machine]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    (tmp_path / "train.sh").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABLATE_GPU_READ_EVERY_S", "0.1")
    return lambda **options: make_machine(tmp_path / "gpus", monkeypatch, **options)


def test_the_plan_says_how_the_gpu_is_shared(make: Make, tmp_path: Path) -> None:
    make()
    words = (*FIVE, "--set", "how=ends", "--dry-run")
    shown = output_of(*words, store=tmp_path / "store")
    line = "cuda:0: up to 8 processes at a time through CUDA MPS, as many as its memory admits"
    assert line in " ".join(shown.split())
    plan = json.loads(output_of(*words, "--format", "json", store=tmp_path / "store"))
    assert plan["place"] == line


def test_the_plan_says_why_it_is_not_shared(make: Make, tmp_path: Path) -> None:
    make(mps=False)
    shown = output_of(*FIVE, "--set", "how=ends", "--dry-run", store=tmp_path / "store")
    assert (
        "one run at a time on a GPU: no CUDA MPS here (nvidia-cuda-mps-control is not on PATH)"
        in " ".join(shown.split())
    )


def test_a_study_trains_through_mps_and_ends_the_daemon(make: Make, tmp_path: Path) -> None:
    machine = make()
    process = start(*FIVE, "--set", "how=ends", store=tmp_path / "store")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert [line.split()[0] for line in machine.daemon()] == ["start", "quit"]
    environments = (machine.folder / "environments").read_text().splitlines()
    assert len(environments) == 5
    (told,) = set(environments)
    assert told.startswith("0 /")
    assert "ablate-mps-" in told


def test_ctrl_c_ends_the_daemon(make: Make, tmp_path: Path) -> None:
    machine = make()
    process = start(*FIVE, "--set", "how=stays", store=tmp_path / "store")
    deadline = time.monotonic() + 60
    while not (machine.folder / "stays").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert [line.split()[0] for line in machine.daemon()] == ["start", "quit"]
