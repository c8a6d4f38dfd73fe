"""The command that proves the GPU side, rehearsed on a CPU: all of its stages, and what is left of them when
they are cut off.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import table
from benchmarks.common import ROOT
from benchmarks.gpu import __main__ as command
from benchmarks.gpu import packing, summary
from benchmarks.gpu.packing import KINDS, kind_of
from benchmarks.gpu.stages import STAGES
from benchmarks.gpu.workload import TINY as TINY_SIZE
from benchmarks.gpu.workload import configuration
from tests.launch.gpus import make_machine

TINY = ["--device", "cpu", "--tiny", "--seconds", "300"]
PATIENCE_S = 120.0


def words(folder: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.gpu", "--output", str(folder), *options]


def run(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words(folder, *options),
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.fixture
def mlflow(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> str:
    """Where the study is shown: a database that is there, as MLflow takes seconds to make one."""
    return f"sqlite:///{shutil.copy(empty_database, tmp_path_factory.mktemp('mlflow'))}"


@contextmanager
def under_way(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(words(folder, *options), cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def result(folder: Path, stage: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / f"{stage}.json").read_text(encoding="utf-8"))
    return content


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def has_begun(file: Path, stage: str) -> bool:
    return file.exists() and (stage == "study" or bool(json.loads(file.read_text())["rows"]))


def processes(*parts: str) -> list[int]:
    """Those whose command line has all of the parts."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().decode(errors="replace")
        except OSError:  # it has just ended
            continue
        if all(part in line for part in parts):
            found.append(int(file.parent.name))
    return found


@pytest.mark.long
def test_a_rehearsal_goes_through_every_stage(tmp_path: Path, mlflow: str) -> None:
    done = run(tmp_path / "results", *TINY, MLFLOW_TRACKING_URI=mlflow)
    assert done.returncode == 0, done.stdout + done.stderr
    results = {stage: result(tmp_path / "results", stage) for stage in STAGES}
    for stage, content in results.items():
        assert content["state"] == "complete", stage
        assert content["rows"], stage
        assert {"commit", "versions", "device", "took_s"} <= content.keys()
        assert content["command"].startswith("python -m benchmarks.gpu --output ")
        assert (tmp_path / "results" / f"{stage}.log").exists()
    assert {row["outcome"] for row in results["tests"]["rows"]} == {"skipped"}
    assert [row["packed_and_alone"] for row in results["equality"]["rows"]] == [0.0] * 4
    assert {row["how"] for row in results["packing"]["rows"]} == {"eager", "packed", "processes", "profile"}
    assert len({row["condition"] for row in results["study"]["rows"]}) == 9
    assert results["study"]["forecast"]["runs"] == 90
    assert {"table3", "claims"} <= results["study"].keys()
    assert (tmp_path / "results" / "report.html").stat().st_size > 10_000
    text = (tmp_path / "results" / "summary.md").read_text(encoding="utf-8")
    assert text in done.stdout
    assert "0 passed, 0 failed, 19 skipped" in text
    assert "9 runs of 1 epoch in float32" in text
    (part,) = (table.tables(folder, table.SPEED_PARTS) for folder in [_as_results(tmp_path)])
    assert "| 1 | " in part
    assert "(1.0 x) |" in part


def test_processes_are_measured_through_mps_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they inherit leads to a daemon, which is ended after them."""
    machine = make_machine(tmp_path, monkeypatch)
    inherited: list[str] = []

    def measured(*_: object) -> float:
        inherited.append(os.environ["CUDA_MPS_PIPE_DIRECTORY"])
        return 80.0

    monkeypatch.setattr(packing, "processes", measured)
    device = torch.device("cpu")
    row = packing.through_mps(configuration(TINY_SIZE, "float32"), TINY_SIZE, device, 8, 0.1)
    assert row == {"steps_per_second": 80.0}
    assert "ablate-mps-" in inherited[0]
    assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ
    assert [line.split()[0] for line in machine.daemon()] == ["start", "quit"]


def test_a_daemon_that_does_not_start_is_told_in_the_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_machine(tmp_path, monkeypatch, fault="no permission")
    device = torch.device("cpu")
    row = packing.through_mps(configuration(TINY_SIZE, "float32"), TINY_SIZE, device, 8, 0.1)
    assert row == {"steps_per_second": 0.0, "fault": "no permission"}


def _as_results(folder: Path) -> Path:
    """The packing stage's file where the tables on speed are made from."""
    (folder / "gpu").mkdir()
    (folder / "gpu" / "packing.json").write_bytes((folder / "results" / "packing.json").read_bytes())
    return folder


@pytest.mark.long
def test_a_stage_that_dies_is_told_and_keeps_what_it_has_and_the_next_one_runs(tmp_path: Path) -> None:
    """Each is killed as soon as it has a first row, and the study as soon as it begins."""
    with under_way(tmp_path, *TINY) as process:
        for stage in STAGES:
            file = tmp_path / f"{stage}.json"
            wait_until(lambda file=file, stage=stage: has_begun(file, stage))  # type: ignore[misc]
            (pid,) = processes("benchmarks.gpu.stages", stage, str(file.parent))[:1] or (None,)
            if pid:
                os.kill(pid, signal.SIGKILL)
        output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    for stage in STAGES:
        content = result(tmp_path, stage)
        assert content["rows"] or stage == "study"
        # The first stage skips all of its tests at once, so it may be faster than its end.
        assert content["state"].startswith("ended with -9") or stage == "tests", content["state"]
    assert summary.of_folder(tmp_path) in output


def test_told_to_leave_it_ends_everything_and_shows_what_it_has(tmp_path: Path) -> None:
    with under_way(tmp_path, *TINY, "--stage", "packing,study") as process:
        file = tmp_path / "packing.json"
        wait_until(lambda: file.exists() and bool(json.loads(file.read_text())["rows"]))
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143
    assert "## packing: training steps a second" in output
    assert "cut off" in output
    assert "## study" not in output
    wait_until(lambda: not processes(str(tmp_path)))


def test_a_stage_whose_time_is_over_is_cut_off(tmp_path: Path) -> None:
    """Six seconds are hardly enough to import torch."""
    done = run(tmp_path, "--device", "cpu", "--tiny", "--seconds", "8.5", "--stage", "equality")
    assert done.returncode in (0, 1)  # a fast machine leaves cases out instead
    content = result(tmp_path, "equality")
    assert content["state"].startswith(("cut off after", "complete"))
    assert content["took_s"] < 15


def test_without_a_gpu_a_sentence_names_the_rehearsal(tmp_path: Path) -> None:
    done = run(tmp_path, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert done.stderr == (
        "benchmarks.gpu: --device cuda:0: no such device here; there is cpu; "
        "--device cpu --tiny rehearses without a GPU\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ["--stage", "packing,speed"],
            "--stage packing,speed: the stages are tests, equality, packing, study",
        ),
        (["--stage", ","], "--stage ,: the stages are tests, equality, packing, study"),
        (["--seconds", "3"], "--seconds 3: stage tests alone takes at least 5"),
        (["--study-precision", "tf32"], "--study-precision tf32: a CPU has no such arithmetic"),
    ],
)
def test_what_cannot_begin_gets_a_sentence(options: list[str], told: str, tmp_path: Path) -> None:
    done = run(tmp_path, *TINY, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"benchmarks.gpu: {told}\n"


def test_a_cpu_is_for_rehearsals_alone(tmp_path: Path) -> None:
    done = run(tmp_path, "--device", "cpu")
    assert done.returncode == 2
    assert "would take days at full size; add --tiny" in done.stderr


def test_a_folder_that_cannot_be_made_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run(tmp_path / "file" / "results", *TINY)
    assert done.returncode == 2
    assert done.stderr.endswith("results: cannot be written (Not a directory)\n")


def test_results_of_another_time_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text("{}")
    done = run(tmp_path, *TINY)
    assert done.returncode == 2
    assert "has the results of another time; name a new folder" in done.stderr
    assert (tmp_path / "study.json").read_text() == "{}"


def test_a_package_outside_of_the_ranges_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = command.version
    monkeypatch.setattr(command, "version", lambda name: "1.0" if name == "torch" else real(name))
    assert list(command._unmet()) == ["torch>=2.6 (there is 1.0)"]


def test_the_time_that_is_left_is_shared_by_the_stages_that_are_left() -> None:
    assert sum(stage.share for stage in STAGES.values()) == pytest.approx(1.0)
    assert command.shares(100.0, ["study"]) == [100.0]
    # At 420 s every stage gets what it needs at least.
    for stage, seconds in zip(STAGES, command.shares(420.0, list(STAGES)), strict=True):
        assert seconds - command.GRACE_S > STAGES[stage].least_s


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        (
            "sm80_xmma_wgrad_implicit_gemm_indexed_tf32f32_tf32f32_f32_nhwckrsc_nhwc_tilesize32x32x8",
            "convolution",
        ),
        ("void cutlass::Kernel2<cutlass_80_simt_sgemm_128x128_8x4_nn_align1>", "matrix product"),
        ("void at::native::vectorized_elementwise_kernel<4, at::native::leaky_relu>", "elementwise"),
        ("void at::native::(anonymous namespace)::max_pool_forward_nchw<float>", "pooling"),
        ("something new", "other"),
    ],
)
def test_kernels_are_told_by_their_names(kernel: str, kind: str) -> None:
    assert kind in {*KINDS, "other"}
    assert kind_of(kernel) == kind
