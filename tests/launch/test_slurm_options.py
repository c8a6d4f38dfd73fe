"""What ``--slurm`` takes, and what a user is told of the rest."""

import re

import pytest

from ablate.cli.means import LauncherName, Means
from ablate.ground.errors import ConfigError
from ablate.launch.slurm import Jobs
from ablate.launch.slurmcommands import as_words, check, minutes, parse_options, workers_of


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["partition=gpu,time=4:00:00"], ["--partition=gpu", "--time=4:00:00"]),
        (["partition=a,b"], ["--partition=a,b"]),
        (["nodelist=n[1-3],n7,mem=4G"], ["--nodelist=n[1-3],n7", "--mem=4G"]),
        (["partition=a", "exclusive"], ["--partition=a", "--exclusive"]),
        (["partition=a", "partition=b"], ["--partition=b"]),
        (["nodes=1,ntasks=1"], ["--nodes=1", "--ntasks=1"]),
        ([], []),
    ],
)
def test_options_go_through_to_sbatch_as_they_are(texts: list[str], words: list[str]) -> None:
    assert as_words(parse_options(texts)) == words


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("array=0-9", "--slurm array: is set by ablate; --jobs says how many"),
        ("signal=USR1", "--slurm signal: is set by ablate; runs save on the signal before the time limit"),
        ("nodes=2", "--slurm nodes=2: a job has one node; --jobs asks for more"),
        ("time=soon", "--slurm time=soon: write minutes, H:MM:SS, D-HH or D-HH:MM:SS"),
        ("p=gpu", "--slurm p=gpu: write long options of sbatch as name=value"),
        ("partition=", "--slurm partition=: write long options of sbatch as name=value"),
    ],
)
def test_what_cannot_be_is_named(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)):
        parse_options([text])


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        parse_options(["array=1,time=x,nodes=2"])
    assert len(raised.value.problems) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), ("1:30", 1.5), ("4:00:00", 240), ("2-12", 3600), ("1-00:30", 1470), ("UNLIMITED", None)],
)
def test_time_limits_are_read_as_slurm_writes_them(text: str, expected: float | None) -> None:
    assert minutes(text) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ("cpu", 1)),
        (["cpus-per-task=8"], ("cpu", 8)),
        (["gpus-per-task=1,cpus-per-task=8"], ("cuda", 1)),
        (["gpus=a100:4"], ("cuda", 4)),
        (["gres=gpu:h100:2"], ("cuda", 2)),
        (["gres=license:1"], ("cpu", 1)),
    ],
)
def test_the_workers_of_a_job_follow_from_its_options(options: list[str], expected: tuple[str, int]) -> None:
    assert workers_of(parse_options(options)) == expected


@pytest.mark.parametrize(("options", "lead_s"), [({}, 120), ({"time": "4:00:00"}, 120), ({"time": "3"}, 60)])
def test_jobs_are_told_of_their_end_in_time(options: dict[str, str | None], lead_s: int) -> None:
    assert Jobs("name", options, 1, 1).lead_s == lead_s


def test_a_machine_without_slurm_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="there is no sbatch on PATH; type the command on a login node"):
        check({})


def test_options_of_another_launcher_are_refused() -> None:
    means = Means(slurm=["partition=gpu"], jobs=3, no_wait=True, address="auto")
    with pytest.raises(ConfigError) as raised:
        means.check()
    assert raised.value.problems == [
        "--slurm is an option of --launcher slurm; the launcher is 'local'",
        "--jobs is an option of --launcher slurm; the launcher is 'local'",
        "--no-wait is an option of --launcher slurm; the launcher is 'local'",
        "--address is an option of --launcher ray; the launcher is 'local'",
    ]
    Means(slurm=["partition=gpu"], launcher=LauncherName.SLURM).check()
