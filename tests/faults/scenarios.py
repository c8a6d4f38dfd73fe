"""What can happen to a study, at a moment drawn by a seed.

A scenario disturbs a study and leaves it as its user would find it. Then the same command is typed once more,
and everything that ``verdict.examine`` asks for must hold. The same seed draws the same moment and the same
victim; as no machine repeats its timing, it may still meet the study one step further on.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from ablate.tracking.server import free_port, server, wait_until_up
from tests.faults.study import POLL_S, Attempt, Study, Undisturbed
from tests.faults.verdict import Kind, Problem, examine

HOST = "127.0.0.1"
MAIN_PORT = 5840
TRACEBACK = "Traceback (most recent call last)"
FULL_DISK = "No space left on device"


class Trial:
    """One study, what has been done to it, and what was found wrong."""

    def __init__(self, study: Study, undisturbed: Undisturbed, seed: int) -> None:
        self.study = study
        self.undisturbed = undisturbed
        self.draw = random.Random(seed)
        # From every step on, so that a kill often meets a file half written, to hardly ever.
        study.environment["ABLATE_CHECKPOINT_EVERY_S"] = self.draw.choice(["0", "0.1", "1"])
        self.injections: list[str] = []
        self.problems: list[Problem] = []
        self.cleanup = ExitStack()
        # Generous, as the machine may be busy with other things.
        self.patience_s = 120 + 5 * undisturbed.seconds

    def wait(self, moment_s: float, *attempts: Attempt) -> None:
        """Return ``moment_s`` from now, or as soon as all the commands have ended."""
        until = time.monotonic() + moment_s
        while time.monotonic() < until and any(attempt.is_running for attempt in attempts):
            time.sleep(min(POLL_S, max(0.0, until - time.monotonic())))

    def moment(self) -> float:
        """Any moment of the undisturbed study."""
        return self.draw.uniform(0, self.undisturbed.seconds)

    def moment_with_workers(self) -> float:
        return self.draw.uniform(self.undisturbed.workers_from, self.undisturbed.workers_until)

    def strike(self, attempt: Attempt, number: signal.Signals) -> bool:
        """Send a signal to the controller; False when it has ended already."""
        if not attempt.is_running:
            return False
        self._note(f"{number.name} to the controller")
        attempt.process.send_signal(number)
        return True

    def strike_worker(self, number: signal.Signals) -> int | None:
        """Send a signal to one of the workers; None when there is none."""
        workers = self.study.worker_ids()
        if not workers:
            return None
        victim = self.draw.choice(workers)
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, number)
            self._note(f"{number.name} to a worker")
            return victim
        return None

    def _note(self, what: str) -> None:
        runs = {path.parent.name: path for path in self.study.store_path.glob("runs/*/history.jsonl")}
        epochs = sorted(path.read_text().count("\n") for path in runs.values())
        self.injections.append(f"{what}, epochs so far {epochs}, {len(self.study.finished())} finished")

    def blame(self, kind: Kind, text: str) -> None:
        self.problems.append(Problem(kind, text))

    def expect_end(self, attempt: Attempt, *codes: int) -> int | None:
        """The command ends by itself with one of the exit codes, and not with a traceback.

        But for a signal before ``ablate`` has taken over, where a traceback is Python's own.
        """
        code = attempt.code(self.patience_s)
        said = attempt.said()
        if code is None:
            self.blame(Kind.COMMAND, f"still running after {self.patience_s:.0f} s: {said[-500:]}")
            self.study.end()
        elif code not in codes:
            self.blame(Kind.COMMAND, f"exit code {code}, not {codes}: {said[-1500:]}")
        elif TRACEBACK in said and code >= 0:
            self.blame(Kind.COMMAND, said[said.index(TRACEBACK) :][:1500])
        return code

    def conclude(self) -> list[Problem]:
        """Type the command once more, and look at everything."""
        finished = self.study.finished()
        if self.expect_end(self.study.start(), 0) == 0:
            self.problems += examine(
                self.study,
                self.undisturbed.outcomes,
                finished_before=finished,
                spare_attempts=self.study.workers * len(self.injections),
            )
        return self.problems


def controller_killed(trial: Trial) -> None:
    """The same command is typed at once, while the workers still notice."""
    attempt = trial.study.start()
    trial.wait(trial.moment(), attempt)
    trial.strike(attempt, signal.SIGKILL)
    attempt.process.wait()


def controller_killed_at_its_first_steps(trial: Trial) -> None:
    """While MLflow's database is made, which takes seconds and many statements."""
    attempt = trial.study.start()
    while attempt.is_running and not _has_content(trial.study.database):
        time.sleep(0.005)
    trial.wait(trial.draw.uniform(0, 1.5), attempt)
    trial.strike(attempt, signal.SIGKILL)
    attempt.process.wait()


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def controller_asked_to_end(number: signal.Signals) -> Callable[[Trial], None]:
    """Its workers have gone when it has gone. The shell is told 130, or by the signal itself in the first
    tenths of a second, before Python has taken over."""

    def scenario(trial: Trial) -> None:
        attempt = trial.study.start()
        trial.wait(trial.moment(), attempt)
        if trial.strike(attempt, number):
            trial.expect_end(attempt, 130, -number, 0)
            if left := trial.study.processes():
                trial.blame(Kind.ORPHAN, f"the controller has gone and left {left}")

    return scenario


def controller_interrupted_twice(trial: Trial) -> None:
    """Somebody who does not want to wait until all is saved."""
    attempt = trial.study.start()
    trial.wait(trial.moment_with_workers(), attempt)
    if trial.strike(attempt, signal.SIGINT):
        trial.wait(trial.draw.uniform(0, 1), attempt)
        trial.strike(attempt, signal.SIGINT)
    trial.expect_end(attempt, 130, -signal.SIGINT, 0)


def controller_stopped_for_a_while(trial: Trial) -> None:
    """Ctrl-Z, then ``fg``: the command itself completes the study."""
    attempt = trial.study.start()
    trial.wait(trial.moment(), attempt)
    if trial.strike(attempt, signal.SIGSTOP):
        time.sleep(trial.draw.uniform(0.5, 15))
        attempt.process.send_signal(signal.SIGCONT)
    trial.expect_end(attempt, 0)


def controller_stopped_then_killed(trial: Trial) -> None:
    attempt = trial.study.start()
    trial.wait(trial.moment(), attempt)
    if trial.strike(attempt, signal.SIGSTOP):
        time.sleep(trial.draw.uniform(0, 3))
        trial.strike(attempt, signal.SIGKILL)
    attempt.process.wait()


def controller_stopped_and_replaced(trial: Trial) -> None:
    """A second command completes the study while the first is stopped, which then finds nothing to do."""
    attempt = trial.study.start()
    trial.wait(trial.moment(), attempt)
    if trial.strike(attempt, signal.SIGSTOP):
        trial.expect_end(trial.study.start(), 0)
        if attempt.is_running:
            attempt.process.send_signal(signal.SIGCONT)
    trial.expect_end(attempt, 0)


def worker_struck(number: signal.Signals) -> Callable[[Trial], None]:
    """The command itself completes the study."""

    def scenario(trial: Trial) -> None:
        if number == signal.SIGSTOP:  # long enough for a busy machine, whose workers may be silent, too
            trial.study.environment["ABLATE_WORKER_SILENCE_S"] = "15"
        attempt = trial.study.start()
        trial.wait(trial.moment_with_workers(), attempt)
        trial.strike_worker(number)
        trial.expect_end(attempt, 0)

    return scenario


def worker_stopped_for_a_moment(trial: Trial) -> None:
    attempt = trial.study.start()
    trial.wait(trial.moment_with_workers(), attempt)
    victim = trial.strike_worker(signal.SIGSTOP)
    if victim is not None:
        time.sleep(trial.draw.uniform(0.1, 2))
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGCONT)
    trial.expect_end(attempt, 0)


def worker_stopped_and_controller_killed(trial: Trial) -> None:
    """Nobody is left to notice the stopped worker but the next command."""
    attempt = trial.study.start()
    trial.wait(trial.moment_with_workers(), attempt)
    if trial.strike_worker(signal.SIGSTOP) is not None:
        time.sleep(trial.draw.uniform(0, 1))
        trial.strike(attempt, signal.SIGKILL)
    attempt.process.wait()


def everything_killed(trial: Trial) -> None:
    """As a machine does that goes down, but for what its memory had not yet written to the disk."""
    attempt = trial.study.start()
    trial.wait(trial.moment(), attempt)
    if attempt.is_running:
        trial._note("SIGKILL to all")
        trial.study.end()
    attempt.process.wait()


def everything_killed_while_writing(trial: Trial) -> None:
    """What a kill leaves in the instant between writing a file and giving it its name, or between a run's
    end and the removal of its checkpoint. It would take thousands of kills to meet one."""
    from ablate.mtl.trainer import CHECKPOINT  # which imports torch

    everything_killed(trial)
    for folder in trial.study.store_path.glob("runs/*"):
        for name in ("mlflow.json", CHECKPOINT):
            folder.joinpath(f".{name}.{trial.draw.getrandbits(128):032x}").write_text("{")
        if (folder / "result.json").exists():
            folder.joinpath(CHECKPOINT).write_text("PK")


def killed_again_and_again(trial: Trial) -> None:
    """Three attempts, each cut off by something else; None stands for a worker and then the controller."""
    for strike in trial.draw.sample([signal.SIGKILL, signal.SIGTERM, signal.SIGINT, None], 3):
        attempt = trial.study.start()
        if strike is None:
            trial.wait(trial.moment_with_workers(), attempt)
            trial.strike_worker(signal.SIGKILL)
            trial.wait(trial.draw.uniform(0, 1), attempt)
            strike = signal.SIGKILL
        else:
            trial.wait(trial.moment(), attempt)
        trial.strike(attempt, strike)
        trial.expect_end(attempt, 130, -strike, 0)


def one_of_two_controllers_killed(trial: Trial) -> None:
    """The other one completes the study."""
    first = trial.study.start()
    trial.wait(trial.draw.uniform(0, 2), first)
    second = trial.study.start()
    victim, other = trial.draw.sample([first, second], 2)
    trial.wait(trial.moment(), victim)
    trial.strike(victim, signal.SIGKILL)
    victim.process.wait()
    trial.expect_end(other, 0)


def both_controllers_killed(trial: Trial) -> None:
    attempts = [trial.study.start(), trial.study.start()]
    trial.wait(trial.moment(), *attempts)
    for attempt in attempts:
        trial.strike(attempt, signal.SIGKILL)
    for attempt in attempts:
        attempt.process.wait()


def disk_full(trial: Trial) -> None:
    """The store's disk fills up; its owner makes room."""
    disk = trial.study.store_path
    room_kib = int(trial.undisturbed.used_kib * trial.draw.uniform(0.05, 0.95))
    _mount(disk, f"size={room_kib}k")
    trial.cleanup.callback(_run, "umount", "--lazy", disk)
    attempt = trial.study.start()
    trial.expect_end(attempt, 0, 2)
    trial.injections.append(f"{room_kib} KiB of room, {len(trial.study.finished())} finished")
    if attempt.process.returncode == 2 and FULL_DISK not in attempt.said():
        trial.blame(Kind.COMMAND, f"does not say that the disk is full: {attempt.said()[-1500:]}")
    _mount(disk, "remount,size=64m")


def may_mount(folder: Path) -> bool:
    """Whether a small disk can be had here, which mostly takes root."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _mount(folder, "size=64k")
    except (OSError, subprocess.CalledProcessError):
        return False
    _run("umount", "--lazy", folder)
    return True


def _mount(folder: Path, options: str) -> None:
    _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", folder)


def _run(*words: str | Path) -> None:
    subprocess.run(list(map(str, words)), check=True, capture_output=True)


def files_damaged(trial: Trial) -> None:
    """Files are found damaged after a kill. The next command mends that, or says what to move away."""
    trial.study.environment["ABLATE_LEASE_S"] = "10"  # a claim whose owner cannot be read is waited for
    attempt = trial.study.start()
    trial.wait(trial.moment_with_workers(), attempt)
    trial.strike(attempt, signal.SIGKILL)
    attempt.process.wait()
    trial.study.stragglers()
    victims = [path for path in sorted(trial.study.store_path.rglob("*")) if _is_needed(path)]
    for path in trial.draw.sample(victims, min(3, len(victims))):
        how = trial.draw.choice(list(DAMAGES))
        path.write_bytes(DAMAGES[how](path.read_bytes(), trial.draw))
        trial.injections.append(f"{path.relative_to(trial.study.store_path)} {how}")
    for _ in range(3):  # a second sentence can follow once the first is obeyed
        attempt = trial.study.start()
        if trial.expect_end(attempt, 0, 1, 2) in (0, None) or not _obey(trial, attempt.said()):
            break


def _is_needed(path: Path) -> bool:
    """Whether the file says how far a run or the study is. What is shown of finished runs only is not."""
    from ablate.mtl.trainer import CHECKPOINT

    finished = (path.parent / "result.json").exists()
    return path.suffix == ".json" or path.name == CHECKPOINT or (path.suffix == ".jsonl" and not finished)


def _flip(content: bytes, draw: random.Random) -> bytes:
    if not content:
        return content
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "with one byte flipped": _flip,
    "truncated": lambda content, draw: content[: draw.randrange(len(content) + 1)],
    "emptied": lambda _content, _draw: b"",
    "zeroed": lambda content, _draw: bytes(len(content)),
}


def _obey(trial: Trial, said: str) -> bool:
    """Move away what the command complains of: a run's folder, or a file of the study."""
    store = trial.study.store_path
    moved = False
    for path in [*store.glob("runs/*"), *store.glob("studies/*.json")]:
        if str(path) in said and "move" in said:
            trial.injections.append(f"moved {path.name} away as told")
            shutil.move(path, trial.study.folder / f"moved-{path.name}")
            moved = True
    return moved


def server_away(*, stopped: bool) -> Callable[[Trial], None]:
    """MLflow's server is killed, or hangs, and is back some seconds later; the study does not notice."""

    def scenario(trial: Trial) -> None:
        folder, port = trial.study.folder, free_port(HOST, MAIN_PORT)
        trial.study.database = folder / "served.db"
        trial.study.environment["MLFLOW_TRACKING_URI"] = f"http://{HOST}:{port}"

        def serve() -> subprocess.Popen[bytes]:
            log = folder / "server.txt"
            child = trial.cleanup.enter_context(
                server(f"sqlite:///{trial.study.database}", folder / "served", HOST, port, log)
            )
            wait_until_up(child, f"http://{HOST}:{port}", log)
            return child

        child = serve()
        attempt = trial.study.start()
        trial.wait(trial.moment(), attempt)
        if attempt.is_running:
            trial.injections.append("MLflow's server " + ("stopped" if stopped else "killed"))
            os.killpg(child.pid, signal.SIGSTOP if stopped else signal.SIGKILL)
            trial.wait(trial.draw.uniform(0, trial.undisturbed.seconds), attempt)
            if stopped:
                os.killpg(child.pid, signal.SIGCONT)
            else:
                child.wait()
                serve()
        trial.expect_end(attempt, 0)

    return scenario


# The one moment at which a process gets a signal: what the long form has most of.
MOMENTS: dict[str, Callable[[Trial], None]] = {
    "controller SIGKILL": controller_killed,
    "worker SIGKILL": worker_struck(signal.SIGKILL),
    "controller SIGTERM": controller_asked_to_end(signal.SIGTERM),
    "worker SIGTERM": worker_struck(signal.SIGTERM),
    "controller SIGSTOP, SIGCONT": controller_stopped_for_a_while,
    "worker SIGSTOP": worker_struck(signal.SIGSTOP),
    "controller SIGINT": controller_asked_to_end(signal.SIGINT),
    "worker SIGSTOP, SIGCONT": worker_stopped_for_a_moment,
    "controller SIGSTOP, another one": controller_stopped_and_replaced,
    "all SIGKILL": everything_killed,
}

OTHERS: dict[str, Callable[[Trial], None]] = {
    "controller SIGKILL, making the database": controller_killed_at_its_first_steps,
    "controller SIGINT twice": controller_interrupted_twice,
    "controller SIGSTOP, SIGKILL": controller_stopped_then_killed,
    "worker SIGSTOP, controller SIGKILL": worker_stopped_and_controller_killed,
    "all SIGKILL, files half written": everything_killed_while_writing,
    "three attempts cut off": killed_again_and_again,
    "one of two controllers SIGKILL": one_of_two_controllers_killed,
    "both controllers SIGKILL": both_controllers_killed,
    "disk full": disk_full,
    "files damaged": files_damaged,
    "MLflow's server killed": server_away(stopped=False),
    "MLflow's server stopped": server_away(stopped=True),
}

SCENARIOS = MOMENTS | OTHERS


def run_trial(name: str, study: Study, undisturbed: Undisturbed, seed: int) -> Trial:
    """Disturb the study, type the command again, look at everything. Nothing of it runs on afterwards."""
    trial = Trial(study, undisturbed, seed)
    try:
        SCENARIOS[name](trial)
        trial.conclude()
    finally:
        study.end()
        trial.cleanup.close()
    return trial
