"""Slurm's own commands, and what their options mean to us.

State comes from squeue alone: many clusters keep no accounts, so that sacct has nothing to tell.
"""

import getpass
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.ground.errors import ConfigError, brief
from ablate.ground.wording import suggest

PATIENCE_S = 60.0  # a busy controller of a cluster takes its time
NO_NODE_NOW = "node configuration is not available"
MOST_IN_ARRAY = 1000  # of Slurm's MaxArraySize as it is installed

# Set by us: how jobs are found again, and what they do shortly before their end.
OURS = {
    "array": "--jobs says how many",
    "job-name": "jobs are found by their name",
    "output": "`ablate show` finds the logs in the store",
    "error": "`ablate show` finds the logs in the store",
    "open-mode": "a job that is begun again goes on in its log",
    "signal": "runs save on the signal before the time limit",
    "requeue": "jobs are always begun again",
    "no-requeue": "jobs are always begun again",
    "wrap": "the job's command is ablate's own",
    "parsable": "ablate reads what sbatch answers",
    "test-only": "use --dry-run",
    "wait": "leave out --no-wait",
}
ONE_ONLY = {
    "nodes": "a job has one node; --jobs asks for more",
    "ntasks": "cpus-per-task gives a job more cores",
}
STATES = {"PENDING", "RUNNING", "SUSPENDED", "CONFIGURING", "REQUEUED", "COMPLETING", "STOPPED", "RESIZING"}


class SlurmError(ConfigError):
    """Slurm has refused something, or does not answer."""


@dataclass(frozen=True)
class Job:
    """An element of a job array as squeue shows it. ``id`` is ``123_4``; ``reason`` says why it waits."""

    id: str
    state: str
    reason: str
    node: str

    @property
    def runs(self) -> bool:
        return self.state == "RUNNING"

    @property
    def waits(self) -> bool:
        return self.state in ("PENDING", "REQUEUED", "CONFIGURING")


def parse_options(texts: Sequence[str]) -> dict[str, str | None]:
    """``partition=gpu,time=4:00:00`` as sbatch's long options.

    A part without ``=`` belongs to the one before; a text that has no ``=`` at all is an option without a
    value, such as ``exclusive``. Raises ConfigError for what is none, and for what ablate sets itself.

    >>> parse_options(["partition=a,b,time=30", "exclusive"])
    {'partition': 'a,b', 'time': '30', 'exclusive': None}
    """
    found: dict[str, str | None] = {}
    problems: list[str] = []
    for text in texts:
        for part in re.split(r",(?=[\w-]+=)", text):
            name, equals, value = part.strip().partition("=")
            name = name.strip().removeprefix("--")
            if not re.fullmatch(r"[a-z][a-z-]+", name) or (equals and not value.strip()):
                problems.append(
                    f"--slurm {brief(part)}: write long options of sbatch as name=value, such as "
                    "partition=gpu,time=4:00:00"
                )
            else:
                found[name] = value.strip() if equals else None
    for name, value in found.items():
        if name in OURS:
            problems.append(f"--slurm {name}: is set by ablate; {OURS[name]}")
        elif name in ONE_ONLY and value != "1":
            problems.append(f"--slurm {name}={value}: {ONE_ONLY[name]}")
        elif name == "time" and minutes(value or "") is None:
            problems.append(f"--slurm time={value}: write minutes, H:MM:SS, D-HH or D-HH:MM:SS")
    if problems:
        raise ConfigError(problems)
    return found


def minutes(text: str) -> float | None:
    """A time limit as Slurm writes it, in minutes; None for what is none or has no end.

    >>> minutes("90"), minutes("4:00:00"), minutes("2-12"), minutes("1:30")
    (90.0, 240.0, 3600.0, 1.5)
    """
    match = re.fullmatch(r"(?:(\d{1,9})-)?(\d{1,9})(?::(\d{1,9}))?(?::(\d{1,9}))?", text)
    if match is None:
        return None
    days, first, second, third = (None if part is None else int(part) for part in match.groups())
    if days is not None:  # D-H:M:S
        return 1440.0 * days + 60.0 * (first or 0) + (second or 0) + (third or 0) / 60
    if third is not None:  # H:M:S
        return 60.0 * (first or 0) + (second or 0) + third / 60
    return float(first or 0) + (second or 0) / 60  # M or M:S


def workers_of(options: Mapping[str, str | None]) -> tuple[str, int]:
    """What a job of these options has for workers: ``cuda`` or ``cpu``, and how many.

    >>> workers_of({"gpus-per-task": "a100:2"}), workers_of({"cpus-per-task": "8"}), workers_of({})
    (('cuda', 2), ('cpu', 8), ('cpu', 1))
    """
    for name in ("gpus-per-task", "gpus-per-node", "gpus", "gres"):
        value = options.get(name)
        if value is not None and (name != "gres" or value.startswith("gpu")):
            last = value.split(":")[-1]
            return "cuda", _count(last)
    return "cpu", _count(options.get("cpus-per-task") or "1")


def _count(text: str) -> int:
    """A number of workers, of which no job has a thousand million; 1 for what is none."""
    return int(text) if re.fullmatch(r"\d{1,9}", text) else 1


def as_words(options: Mapping[str, str | None]) -> list[str]:
    return [f"--{name}" if value is None else f"--{name}={value}" for name, value in options.items()]


def check(options: Mapping[str, str | None]) -> None:
    """Have Slurm say whether it would take such a job. Raises ConfigError with its reason.

    That no node could take it now says nothing: it may be down, and a job can wait for it. Submitting tells.
    """
    if shutil.which("sbatch") is None:
        raise ConfigError(
            "--launcher slurm: there is no sbatch on PATH; type the command on a login node of the cluster, "
            "or leave --launcher out to train here"
        )
    try:
        _sbatch(["--test-only", *as_words(options)], "#!/bin/sh\ntrue\n", options)
    except SlurmError as error:
        if NO_NODE_NOW not in str(error):
            raise


def submit(
    name: str, script: str, n: int, log: str, lead_s: int, options: Mapping[str, str | None]
) -> list[str]:
    """Submit ``n`` elements in as few arrays as Slurm takes; the arrays' ids.

    Each is sent SIGUSR1 ``lead_s`` seconds before its time limit. Raises SlurmError.
    """
    ids = []
    for first in range(0, n, MOST_IN_ARRAY):
        words = [
            "--parsable",
            f"--job-name={name}",
            f"--array=0-{min(MOST_IN_ARRAY, n - first) - 1}",
            f"--output={log}",
            "--open-mode=append",
            "--requeue",
            f"--signal=B:USR1@{lead_s}",
            *as_words(options),
        ]
        ids.append(_sbatch(words, script, options).strip().partition(";")[0])
    return ids


def _sbatch(words: Sequence[str], script: str, options: Mapping[str, str | None]) -> str:
    try:
        return _run(["sbatch", *words], script)
    except SlurmError as error:
        text = "; ".join(error.problems)
        if "partition" in text and "partition" in options:
            known = _run(["sinfo", "--noheader", "--format=%R"]).split()
            raise SlurmError(
                f"--slurm partition={options['partition']}: Slurm knows no such partition"
                f"{suggest(options['partition'] or '', known)}"
            ) from None
        asked = " ".join(word.removeprefix("--") for word in as_words(options))
        raise SlurmError(f"--slurm {asked}: {text}" if asked else text) from None


def jobs_of(name: str) -> list[Job]:
    """What squeue shows of our jobs of this name. Raises SlurmError."""
    text = _run(["squeue", *_mine(), f"--name={name}", "--array", "--noheader", "--format=%i|%T|%r|%N"])
    rows = [line.split("|", 3) for line in text.splitlines() if line.count("|") >= 3]
    found = [Job(*(part.strip() for part in row)) for row in rows]
    return [job for job in found if job.state in STATES]


def cancel(name: str, *, waiting: bool = False) -> None:
    """End our jobs of this name, or those that wait: they get SIGTERM and time to save. Raises SlurmError."""
    _run(["scancel", *_mine(), f"--name={name}", *(["--state=PENDING"] if waiting else [])])


def describe(job: str) -> str:
    """What Slurm says of one job, in a line; nothing when it has forgotten it."""
    try:
        text = _run(["scontrol", "show", "job", job])
    except SlurmError:
        return ""
    facts = dict(re.findall(r"\b(JobState|Reason|ExitCode|NodeList)=(\S+)", text))
    return ", ".join(f"{name}={value}" for name, value in facts.items())


def requeue() -> str:
    """Ask for this process's job to be begun again; what Slurm says against it, if it does."""
    try:
        _run(["scontrol", "requeue", os.environ.get("SLURM_JOB_ID", "")])
    except SlurmError as error:
        return "; ".join(error.problems)
    return ""


def _mine() -> list[str]:
    return [f"--user={getpass.getuser()}"]


def _run(command: Sequence[str], text: str | None = None) -> str:
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            env=_without_secrets(),
        )
    except FileNotFoundError:
        raise SlurmError(f"there is no {command[0]} on PATH") from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command[0]} has not answered within {PATIENCE_S:.0f} s") from None
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise SlurmError(f"{command[0]}: {said.removeprefix(f'{command[0]}: error: ')}")
    return done.stdout


def _without_secrets() -> dict[str, str]:
    """Jobs get this environment, but never what opens the tracking server: they do not need it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_TRACKING_")}
