"""A study is struck again and again, and ends as if nothing had happened; what that came to is recorded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.record import REPOSITORY, by_injection, by_scenario, without_places

NOTHING_ELSE = [f"--{name}=0" for name in ("races", "moments", "others", "crowds", "searches")]


@pytest.mark.timeout(900)  # for a machine that is busy with other things, as every step is waited for
def test_a_study_survives_a_few_injections_in_a_row(tmp_path: Path) -> None:
    """In a process of its own, from which the commands are forked before it has any thread."""
    record = tmp_path / "record.json"
    command = [sys.executable, "-m", "tests.faults", "--output", str(record), *NOTHING_ELSE]
    done = subprocess.run(
        [*command, "--barrages", "inline=3", "--in-a-barrage", "3"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (sitting,) = json.loads(record.read_text())["sittings"]
    assert sum(len(trial["injections"]) for trial in sitting["trials"]) >= 3
    assert not any(trial["problems"] for trial in sitting["trials"])


def trial(scenario: str, injections: list[str], problems: list[str]) -> dict[str, object]:
    return {"scenario": scenario, "seed": 0, "seconds": 1, "injections": injections, "problems": problems}


TRIALS = [
    trial("barrage, inline", ["controller SIGKILL, after 3 epochs, 0 of 12 finished"] * 2, []),
    trial("barrage, Ray", ["worker SIGKILL, after 3 epochs, 0 of 12 finished"], ["lost: a", "lost: b"]),
    trial("barrage, Ray", [], ["litter: c"]),
]


def test_a_table_counts_trials_injections_and_studies_with_a_problem() -> None:
    assert by_scenario(TRIALS).splitlines()[2:] == [
        "| barrage, inline | 1 | 2 | 1 | 0 | 0 | 0 | 0 | 0 |",
        "| barrage, Ray | 2 | 1 | 1 | 1 | 0 | 0 | 0 | 1 |",
        "| all | 3 | 3 | 2 | 1 | 0 | 0 | 0 | 1 |",
    ]


def test_a_record_has_no_folder_of_this_machine() -> None:
    command = f"left 7: {sys.executable} -m ablate.worker --subject {REPOSITORY}/tests/light.py"
    python = Path(sys.executable).name
    assert without_places(command) == f"left 7: {python} -m ablate.worker --subject tests/light.py"


def test_a_table_counts_what_the_barrages_were_made_of() -> None:
    assert by_injection(TRIALS).splitlines() == [
        "| injection | inline | Ray |",
        "| --- | --: | --: |",
        "| controller SIGKILL | 2 |  |",
        "| worker SIGKILL |  | 1 |",
        "| all | 2 | 1 |",
    ]
