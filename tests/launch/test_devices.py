"""Which devices there are, and how many runs each takes."""

import os
import stat
from pathlib import Path

import pytest

from ablate.ground.errors import ConfigError
from ablate.launch.devices import find_devices, slots


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose driver lists two GPUs."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: Fast (UUID: a)'\necho 'GPU 1: Fast (UUID: b)'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("two_gpus")
def test_every_gpu_is_used() -> None:
    assert find_devices("auto") == find_devices("cuda") == ["cuda:0", "cuda:1"]
    assert find_devices("cuda:1") == ["cuda:1"]
    assert find_devices("cpu") == ["cpu"]


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(("visible", "n"), [("1", 1), ("0,1", 2), ("", 0), ("-1", 0), ("0,-1,1", 1)])
def test_hidden_gpus_are_not_used(monkeypatch: pytest.MonkeyPatch, visible: str, n: int) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert find_devices("auto") == ([f"cuda:{i}" for i in range(n)] or ["cpu"])


def test_gpus_that_the_driver_does_not_know_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert find_devices("auto") == ["cpu"]


@pytest.mark.parametrize("request_", ["cuda", "cuda:0", "tpu", ""])
def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, request_: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ConfigError, match="there is cpu"):
        find_devices(request_)


def test_runs_share_gpus_in_turn() -> None:
    assert slots(["cuda:0", "cuda:1"], None) == ["cuda:0", "cuda:1"]
    assert slots(["cuda:0"], 3) == ["cuda:0"] * 3


def test_the_number_of_workers_can_be_set() -> None:
    assert slots(["cpu"], 3) == ["cpu"] * 3


def test_a_cpu_takes_a_run_a_core() -> None:
    assert 1 <= len(slots(["cpu"], None)) <= (os.cpu_count() or 1)
