"""What is installed, and what the machine gives."""

import importlib.metadata
import os
import stat
import sys
from pathlib import Path

import pytest
import torch

from ablate.record.store import Store
from ablate.upkeep import software
from ablate.upkeep.findings import Finding, Level
from ablate.upkeep.inventory import Inventory
from ablate.upkeep.software import check_machine, check_subject, check_torch, check_versions

NOWHERE = Inventory(Store(Path("nowhere")))


def test_what_is_installed_here_is_as_required() -> None:
    (finding,) = check_versions(NOWHERE)
    assert finding.level is Level.OK
    assert f"torch {importlib.metadata.version('torch')}" in finding.text


def test_libraries_that_are_missing_or_too_old_are_named_with_one_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    required = ["numpy>=99.1", "nosuchlibrary>=1", "rich>=1", 'absent; extra == "dev"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda _package: required)
    (finding,) = check_versions(NOWHERE)
    have = importlib.metadata.version("numpy")
    assert finding.text == f"numpy {have}, required is >=99.1; nosuchlibrary is missing"
    assert finding.commands == (f"{sys.executable} -m pip install 'numpy>=99.1' 'nosuchlibrary>=1'",)


TORCH = """
class version:
    cuda = {cuda!r}
class cuda:
    is_available = staticmethod(lambda: {n_gpus} > 0)
    device_count = staticmethod(lambda: {n_gpus})
__version__ = "2.9.9"
"""
SMI = "#!/bin/sh\necho 'Fast GPU, 81920, 40960'\n"


def check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, smi: str | None = None
) -> tuple[Level, str, tuple[str, ...]]:
    """What is found with another torch and another ``nvidia-smi``."""
    (tmp_path / "torch.py").write_text(module)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    if smi is not None:
        program = tmp_path / "nvidia-smi"
        program.write_text(smi)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (finding,) = check_torch(NOWHERE)
    return finding.level, finding.text, finding.commands


def test_a_torch_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = "raise ImportError('libcudart.so.13: cannot open shared object file')"
    level, text, commands = check(tmp_path, monkeypatch, broken)
    assert level is Level.PROBLEM
    assert text.endswith("ImportError: libcudart.so.13: cannot open shared object file")
    assert commands == (f"{sys.executable} -m pip install --force-reinstall torch",)


def test_a_torch_that_ends_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    level, text, _ = check(tmp_path, monkeypatch, "import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    assert (level, "it ended with exit code -4" in text) == (Level.PROBLEM, True)


@pytest.mark.parametrize(
    ("cuda", "n_gpus", "smi", "level", "words"),
    [
        (None, 0, SMI, Level.PROBLEM, "1 GPU: Fast GPU, but PyTorch 2.9.9 is built without CUDA"),
        ("12.8", 0, SMI, Level.PROBLEM, "built for CUDA 12.8, sees none; the driver may be too old"),
        ("12.8", 1, SMI, Level.OK, "for CUDA 12.8; Fast GPU with 42.9 GB of 85.9 GB free"),
        (
            "12.8",
            0,
            "#!/bin/sh\necho NVML: mismatch\nexit 9",
            Level.WARNING,
            "nvidia-smi fails: NVML: mismatch",
        ),
    ],
)
def test_gpus_of_the_driver_and_of_torch(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cuda: str | None,
    n_gpus: int,
    smi: str,
    level: Level,
    words: str,
) -> None:
    found, text, commands = check(tmp_path, monkeypatch, TORCH.format(cuda=cuda, n_gpus=n_gpus), smi)
    assert (found, words in text) == (level, True), text
    assert bool(commands) == (level is not Level.OK)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_real_gpu_is_named_with_its_memory() -> None:
    (finding,) = check_torch(NOWHERE)
    assert finding.level is Level.OK
    assert torch.cuda.get_device_name(0) in finding.text


def test_kernels_work_here() -> None:
    assert [finding.level for finding in check_subject(NOWHERE)] == [Level.OK]


def test_kernels_that_are_interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    (finding,) = check_subject(NOWHERE)
    assert (finding.level, finding.commands) == (Level.PROBLEM, ("unset NUMBA_DISABLE_JIT",))


def machine(monkeypatch: pytest.MonkeyPatch, cores: int, there: int, free: int) -> Finding:
    monkeypatch.setattr(software, "available_cores", lambda: cores)
    monkeypatch.setattr(os, "cpu_count", lambda: there)
    monkeypatch.setattr(software, "free_memory", lambda: free)
    (finding,) = check_machine(NOWHERE)
    return finding


def test_cores_that_may_be_used_and_memory_for_their_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = machine(monkeypatch, cores=2, there=64, free=4 * 10**9)
    assert (finding.level, finding.text) == (
        Level.OK,
        "2 cores of 64 may be used (affinity or a container's limit), 4 GB of memory free",
    )
    finding = machine(monkeypatch, cores=8, there=8, free=2 * 10**9)  # 8 workers need 4.8 GB
    assert (finding.level, "train with --workers 3" in finding.text) == (Level.WARNING, True)


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="only Linux tells")
def test_this_machine_has_some_memory() -> None:
    free = software.free_memory()
    assert free is not None
    assert 10**6 < free < 10**14
