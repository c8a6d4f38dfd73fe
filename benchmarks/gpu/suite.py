"""Stage ``tests``: what the project's own tests marked ``gpu`` say on this device."""

from pathlib import Path

import pytest
import torch

from benchmarks import common
from benchmarks.common import ROOT
from benchmarks.gpu.recording import Clock, Record

LIMIT_S = 60  # of a test
RESERVE_S = 4.0  # a test that begins with less left would hardly end in time
LONGEST_REASON = 300


def run(record: Record, clock: Clock, device: torch.device, *, tiny: bool) -> None:  # noqa: ARG001 - all alike
    """Runs those that the time allows, in this process.

    Raises RuntimeError when one fails, or none was found.
    """
    files = marked_files(ROOT / "tests")
    watcher = _Watcher(record, clock)
    # A package that only other tests need may be missing here, so those are not even imported.
    options = ["-m", "gpu", "-q", "-rs", "-p", "no:cacheprovider", "--timeout", str(LIMIT_S)]
    code = pytest.main([*options, "--rootdir", str(ROOT), *map(str, files)], plugins=[watcher])
    if code != pytest.ExitCode.OK:
        raise RuntimeError(
            f"{watcher.n_failed} tests failed" if watcher.n_failed else f"pytest ended with {code!r}"
        )


def marked_files(folder: Path) -> list[Path]:
    """The test files that have tests for a GPU."""
    return sorted(
        file for file in folder.rglob("test_*.py") if "pytest.mark.gpu" in file.read_text(encoding="utf-8")
    )


class _Watcher:
    """A pytest plugin that records every test when it is over, and begins none when the time is."""

    def __init__(self, record: Record, clock: Clock) -> None:
        self._record = record
        self._clock = clock
        self.n_failed = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        if self._clock.left_s > RESERVE_S:
            return None
        self._record.leave_out(item.nodeid)
        return True  # pytest takes it as dealt with

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        row: common.Row = {
            "test": report.nodeid,
            "outcome": report.outcome,
            "seconds": round(report.duration, 1),
        }
        if report.outcome == "failed":
            self.n_failed += 1
            row["reason"] = str(report.longrepr).strip().splitlines()[-1][-LONGEST_REASON:]
        if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
            row["reason"] = report.longrepr[2]
        self._record.add(row)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.n_failed += 1
            reason = str(report.longrepr).strip().splitlines()[-1][-LONGEST_REASON:]
            self._record.add({"test": report.nodeid, "outcome": "failed", "seconds": 0.0, "reason": reason})
