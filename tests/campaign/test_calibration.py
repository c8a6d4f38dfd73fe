"""How processes that take training steps are driven; ``tests/cli/test_grid.py`` has a whole calibration."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.campaign.calibration import CalibrationFailed, time_steps
from ablate.mtl.definition import MtlSubject, subject
from ablate.schedule.estimate import Speed
from ablate.subject.settings import Settings

QUICK = {"quick": Settings(subject.profile("quick").flat())}

# Notes what it does in a file; its steps take as many seconds as its device's name says.
FAKE = """
import sys
def note(what):
    with open({file!r}, "a") as file:
        file.write(what + " ")
for line in sys.stdin:
    note("ready")
    print('"ready"', flush=True)
    sys.stdin.readline()
    note("go")
    print('{{"step_s": %s, "evaluation_s": 0.5}}' % sys.argv[-1], flush=True)
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a program in the place of the one that trains; returns the file of its notes."""

    def replace(program: str) -> Path:
        notes = tmp_path / "notes"
        command = ("-c", program.format(file=str(notes)))
        monkeypatch.setattr(MtlSubject, "speed_command", command)
        return notes

    return replace


def test_nobody_measures_before_all_are_ready(fake: Callable[[str], Path]) -> None:
    notes = fake(FAKE)
    speeds = time_steps(subject, QUICK, [["1", "2", "6"]], lambda _: None)
    assert notes.read_text().split() == ["ready"] * 3 + ["go"] * 3
    assert speeds == {"quick": {3: Speed(step_s=3.0, evaluation_s=0.5)}}  # the mean


def test_a_number_of_workers_is_that_many_processes(fake: Callable[[str], Path]) -> None:
    notes = fake(FAKE)
    speeds = time_steps(subject, QUICK, [["1"], ["1", "1"]], lambda _: None)
    assert notes.read_text().split() == ["ready", "go", "ready", "ready", "go", "go"]
    assert speeds["quick"].keys() == {1, 2}


def test_a_process_that_ends_says_why(fake: Callable[[str], Path]) -> None:
    fake("raise SystemExit('no such device')")
    with pytest.raises(CalibrationFailed, match="timing training steps failed: no such device"):
        time_steps(subject, QUICK, [["cuda:7"]], lambda _: None)
