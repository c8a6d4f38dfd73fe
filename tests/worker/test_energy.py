"""The energy of runs: how what a meter reads is divided, and what is recorded of it."""

import importlib.util
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import ablate.worker.bench
from ablate.design.runs import Run, SubjectRef
from ablate.launch.base import Event, Kind, Task
from ablate.record.rundir import RunFolder, State
from ablate.subject.interface import Config, Dataset, Interrupted, Subject, Training
from ablate.subject.scores import Scores
from ablate.subject.settings import Settings
from ablate.worker.bench import Bench
from ablate.worker.energy import CodeCarbon, Ledger, gpus_of

LOG = logging.getLogger("ablate.test")


class Readings:
    """A meter that has counted whatever a test says."""

    by = "a test"

    def __init__(self) -> None:
        self.kwh = 100.0
        self.works = True

    def __call__(self, _device: str) -> "Readings":
        return self

    def read(self) -> float:
        if not self.works:
            raise RuntimeError("no reading")
        return self.kwh


@pytest.fixture
def meter() -> Readings:
    return Readings()


@pytest.fixture
def ledger(meter: Readings) -> Ledger:
    return Ledger("cpu", meter)


def kwh(ledger: Ledger, run_id: str) -> float:
    taken = ledger.taken(run_id)
    assert taken is not None
    return taken[0]


def test_runs_at_the_same_time_have_equal_shares(ledger: Ledger, meter: Readings) -> None:
    """a alone for 2 kWh, a and b for 6, a, b and c for 3, then b and c for 4."""
    ledger.enter("a", 0.0, LOG)
    meter.kwh += 2
    ledger.enter("b", 0.0, LOG)
    meter.kwh += 6
    ledger.enter("c", 0.0, LOG)
    meter.kwh += 3
    assert kwh(ledger, "a") == 2 + 3 + 1
    ledger.leave("a")
    meter.kwh += 4
    assert (kwh(ledger, "b"), kwh(ledger, "c")) == (3 + 1 + 2, 1 + 2)
    assert ledger.taken("a") is None


def test_what_one_of_them_does_alone_is_its_own(ledger: Ledger, meter: Readings) -> None:
    ledger.enter("a", 0.0, LOG)
    ledger.enter("b", 0.0, LOG)
    meter.kwh += 4
    with ledger.alone("a"):
        meter.kwh += 10
    assert (kwh(ledger, "a"), kwh(ledger, "b")) == (2 + 10, 2)


def test_former_attempts_count_and_the_time_between_runs_does_not(ledger: Ledger, meter: Readings) -> None:
    ledger.enter("a", 7.0, LOG)
    meter.kwh += 1
    assert kwh(ledger, "a") == 8
    ledger.leave("a")
    meter.kwh += 50
    ledger.enter("b", 0.0, LOG)
    assert kwh(ledger, "b") == 0


def test_a_run_that_is_not_measured_has_a_share_all_the_same(ledger: Ledger, meter: Readings) -> None:
    ledger.enter("a", 0.0, LOG)
    ledger.join("other")
    meter.kwh += 6
    assert kwh(ledger, "a") == 3
    assert ledger.taken("other") is None


def test_a_meter_that_fails_leaves_no_number(
    ledger: Ledger, meter: Readings, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.enter("a", 0.0, LOG)
    meter.works = False
    assert ledger.taken("a") is None
    ledger.enter("b", 0.0, LOG)
    assert ledger.taken("b") is None
    assert [record.getMessage() for record in caplog.records] == [
        "energy is not measured any more: no reading",
        "the energy of this run is not measured: no reading",
    ]
    ledger.leave("a")
    ledger.leave("b")


# --- on the bench ------------------------------------------------------------------------------------------


class _Config(Config):
    seed: int = 0


@pytest.fixture
def consuming(meter: Readings) -> Subject:
    """A training that takes 3 kWh and stops, and when it is resumed 5 and has scores."""

    def train(_config: _Config, run: Training) -> Scores:
        half = run.folder / "checkpoint"
        if not half.exists():
            meter.kwh += 3
            half.write_text("half")
            raise Interrupted("stopped")
        meter.kwh += 5
        return Scores(accuracy=1.0)

    return Subject("consuming", _Config, train)


def planned(tmp_path: Path, *, metered: bool) -> RunFolder:
    run = Run(
        Settings(_Config().flat()),
        Dataset("none", "none", tmp_path),
        "baseline",
        {},
        SubjectRef("consuming"),
        metered=metered,
    )
    folder = RunFolder(tmp_path / run.run_id)
    folder.create(run)
    return folder


def train(folder: RunFolder, subject: Subject, meter: Readings) -> Kind:
    events: list[Event] = []
    with Bench(subject, "cpu", events.append, meter=meter) as bench:
        bench.put(Task(folder.path, folder.path))
        while not bench.is_idle:
            bench.train_epoch()
    return events[-1].kind


def test_a_resumed_run_records_the_energy_of_all_attempts(
    tmp_path: Path, consuming: Subject, meter: Readings
) -> None:
    folder = planned(tmp_path, metered=True)
    assert train(folder, consuming, meter) is Kind.INTERRUPTED
    assert folder.noted_energy() == 3
    assert train(folder, consuming, meter) is Kind.FINISHED
    result = folder.result()
    assert result is not None
    assert result["facts"] == {"energy_kwh": 8, "energy_by": "a test"}
    assert folder.noted_energy() == 0
    assert folder.status().state is State.FINISHED


def test_a_run_that_is_killed_keeps_what_it_had_taken_after_an_epoch(
    tmp_path: Path, meter: Readings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablate.worker.bench, "SAVE_EVERY_S", 0.0)

    def die(_config: _Config, run: Training) -> Scores:
        meter.kwh += 3
        run.report(loss=1.0)
        meter.kwh += 5
        raise KeyboardInterrupt  # as nothing that is recorded

    folder = planned(tmp_path, metered=True)
    with pytest.raises(KeyboardInterrupt):
        train(folder, Subject("consuming", _Config, die), meter)
    assert folder.noted_energy() == 3


def test_nothing_is_measured_unless_it_is_asked_for(
    tmp_path: Path, consuming: Subject, meter: Readings
) -> None:
    folder = planned(tmp_path, metered=False)
    for _ in range(2):
        train(folder, consuming, meter)
    result = folder.result()
    assert result is not None
    assert result["facts"] == {}


def test_what_is_asked_of_a_run_that_has_not_finished_is_what_was_asked_last(tmp_path: Path) -> None:
    folder = planned(tmp_path, metered=False)
    asked = planned(tmp_path, metered=True).run()
    assert not asked.metered  # what is there stays
    folder.order(Run(asked.config, asked.dataset, "", {}, asked.subject, metered=True))
    assert folder.run().metered
    assert folder.run().name == "baseline"


# --- CodeCarbon itself -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "visible", "gpus"),
    [
        ("cpu", "0,1", []),
        ("cuda:1", "", ["1"]),
        ("cuda", "", ["0"]),
        ("cuda:0,cuda:1", "4, 6", ["4", "6"]),
        ("cuda:1", "GPU-a,GPU-b", ["GPU-b"]),
    ],
)
def test_only_the_gpus_of_the_device_are_read(
    device: str, visible: str, gpus: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus_of(device) == gpus


HAS_CODECARBON = importlib.util.find_spec("codecarbon") is not None


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home and a working folder, in which nothing may be left behind."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not HAS_CODECARBON, reason="needs CodeCarbon: pip install 'ablate[energy]'")
@pytest.mark.usefixtures("elsewhere")
def test_codecarbon_counts_this_process_and_its_children() -> None:
    """In a process of its own, since its threads stay: two readings grow, and so does what a child takes."""
    code = """
import subprocess, sys, time
from ablate.worker.energy import CodeCarbon
meter = CodeCarbon("cpu")
assert meter.by.startswith("codecarbon 3."), meter.by
busy = "import time; until = time.process_time() + 1.5\\nwhile time.process_time() < until: pass"
def watts(act):
    kwh, began = meter.read(), time.perf_counter()
    act()
    return 3.6e6 * (meter.read() - kwh) / (time.perf_counter() - began)
idle, child = watts(lambda: time.sleep(1)), watts(lambda: subprocess.run([sys.executable, "-c", busy]))
assert 0 < idle < child, (idle, child)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(HAS_CODECARBON, reason="CodeCarbon is installed")
def test_without_codecarbon_a_worker_says_so_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger("cpu", CodeCarbon)
    began = time.monotonic()
    ledger.enter("a", 0.0, LOG)
    assert ledger.taken("a") is None
    assert caplog.records[0].getMessage() == (
        "the energy of this run is not measured: --energy: CodeCarbon, which measures it, is not installed; "
        "pip install 'ablate[energy]'"
    )
    assert time.monotonic() - began < 5
