"""A study under a barrage: struck again and again, and its command typed again, until it is complete.

Each strike is drawn: what, when and whom. It counts as an injection only when it met a command that was still
running, and a process that was there. Then everything is compared with the undisturbed study.
"""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.lightstudy import LightStudy
from tests.faults.scenarios import Trial
from tests.faults.study import Attempt, Undisturbed
from tests.faults.verdict import Kind, Problem, examine

# Of a frozen worker, before it is killed; long enough for a busy machine, whose workers may be silent, too.
SILENCE_S = 15.0
MOST_ROUNDS = 4  # times as many as injections were asked for


class Barrage(Trial):
    """A trial of many injections; its study's commands are those that run at the moment."""

    study: LightStudy

    def __init__(self, ground: "Ground", study: LightStudy, undisturbed: Undisturbed, seed: int) -> None:
        super().__init__(study, undisturbed, seed)
        self.ground = ground
        self.seed = seed
        self._finished: dict[str, tuple[int, int]] = {}
        self._settled: set[int] = set()  # commands whose end was looked at, or was by a kill

    def note(self, what: str) -> None:
        n_finished = len(self.study.finished())
        self.injections.append(
            f"{what}, after {self.study.epochs_so_far()} epochs, {n_finished} of {self.study.n_runs} finished"
        )

    def any_moment(self) -> None:
        """From now, from the next epoch that is told, or from the next end of a run."""
        since, longest_s = self.draw.choice([(None, 1.0), (_epochs, 0.5), (_ends, 0.2)])
        before = since(self) if since else -1
        deadline = time.monotonic() + self.ground.patience_s
        while since and since(self) == before and time.monotonic() < deadline and self.study.running:
            time.sleep(0.005)
        self.wait(self.draw.uniform(0, longest_s), *self.study.running)

    def command(self) -> Attempt | None:
        """One of the commands that run."""
        running = self.study.running
        return self.draw.choice(running) if running else None

    def kill(self, attempt: Attempt) -> None:
        """SIGKILL to a command, of which it has died."""
        self.note("controller SIGKILL")
        attempt.process.send_signal(signal.SIGKILL)
        if attempt.process.wait() == -signal.SIGKILL:
            self.settle(attempt)
        else:  # it had just ended
            self.injections.pop()

    def settle(self, attempt: Attempt) -> None:
        """Nothing more is asked of how it ends."""
        self._settled.add(attempt.process.pid)

    def hit(self, pid: int, number: signal.Signals, what: str) -> bool:
        """A signal to a process that is there, of a study that goes on."""
        if not self.study.running:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            self.note(what)
            return True
        return False

    def worker(self) -> int | None:
        workers = self.study.worker_ids()
        return self.draw.choice(workers) if workers else None

    def look(self) -> None:
        """Commands that ended by themselves have ended well, and nothing was trained again meanwhile."""
        for attempt in self.study.typed:
            if not attempt.is_running and attempt.process.pid not in self._settled:
                self.settle(attempt)
                if not any(excuse in attempt.said() for excuse in self.ground.excuses):
                    self.expect_end(attempt, 0)
        after = self.study.finished()
        for run_id, file in self._finished.items():
            if after.get(run_id) != file:
                self.blame(Kind.DOUBLED, f"run {run_id} had finished and was trained again")
        self._finished = after

    def conclude(self) -> list[Problem]:
        """Every command that still runs ends well; so does the next one, and all is as if undisturbed."""
        for attempt in self.study.running:
            attempt.code(self.patience_s)
        self.look()
        last = self.study.start()
        self.settle(last)
        if self.expect_end(last, 0) == 0:
            spare = self.study.workers * (len(self.injections) + len(self.study.typed))
            self.problems += examine(
                self.study,
                self.undisturbed.outcomes,
                finished_before=self._finished,
                spare_attempts=spare,
            )
        return self.problems


def _epochs(barrage: Barrage) -> int:
    return barrage.study.epochs_so_far()


def _ends(barrage: Barrage) -> int:
    return len(barrage.study.finished())


# ------------------------------------------------------------------------------------------------- strikes

Strike = Callable[[Barrage], None]


def controller_killed(barrage: Barrage) -> None:
    if attempt := barrage.command():
        barrage.kill(attempt)
        time.sleep(barrage.draw.choice([0.0, barrage.draw.uniform(0, 1)]))


def controller_asked(number: signal.Signals, times: int = 1) -> Strike:
    """It saves, and its own workers have gone when it has; those of one that was killed may still notice."""

    def strike(barrage: Barrage) -> None:
        attempt = barrage.command()
        if attempt is None:
            return
        own = barrage.study.workers_of(attempt)
        for _ in range(times):
            if attempt.is_running:
                barrage.note(f"controller {number.name}")
                attempt.process.send_signal(number)
                barrage.wait(barrage.draw.uniform(0, 0.5) if times > 1 else 0.0, attempt)
        barrage.settle(attempt)
        barrage.expect_end(attempt, 130, -number, -signal.SIGINT, 0)  # in a shell the last is 130, too
        left = [pid for pid in barrage.study.worker_ids() if pid in own]
        if left and times == 1 and barrage.ground.leaves_nobody:
            barrage.blame(Kind.ORPHAN, f"the controller has gone and left its workers {left}")

    return strike


def controller_frozen(barrage: Barrage) -> None:
    """Ctrl-Z; then ``fg``, or another command meanwhile, or its end."""
    if not (attempt := barrage.command()):
        return
    barrage.note("controller SIGSTOP")
    attempt.process.send_signal(signal.SIGSTOP)
    then = barrage.draw.choice(["go on", "another", "killed"])
    if then == "another":
        barrage.study.start()
    time.sleep(barrage.draw.uniform(0.05, 1.5))
    if then == "killed":
        barrage.kill(attempt)
    else:
        attempt.process.send_signal(signal.SIGCONT)


def worker_struck(number: signal.Signals) -> Strike:
    def strike(barrage: Barrage) -> None:
        if worker := barrage.worker():
            barrage.hit(worker, number, f"worker {number.name}")

    return strike


def worker_frozen(barrage: Barrage) -> None:
    """For a moment, for longer than its controller waits, or until that is killed, too."""
    worker = barrage.worker()
    if worker is None or not barrage.hit(worker, signal.SIGSTOP, "worker SIGSTOP"):
        return
    then = barrage.draw.choices(["go on", "stay", "controller killed"], [8, 1, 4])[0]
    if then == "stay":
        return
    time.sleep(barrage.draw.uniform(0.05, 1))
    if then == "controller killed" and (attempt := barrage.command()):
        barrage.kill(attempt)
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker, signal.SIGCONT)


def everything_killed(barrage: Barrage) -> None:
    if barrage.study.running:
        barrage.note("all SIGKILL")
        for attempt in barrage.study.running:
            barrage.settle(attempt)
        barrage.study.end()


def another_command(barrage: Barrage) -> None:
    """Somebody types the command while it runs: no injection, but the next has two to meet."""
    if len(barrage.study.running) == 1:
        barrage.study.start()


@dataclass(frozen=True)
class Ground:
    """Where the runs of a study train: what can be struck there, how often, and what its command needs.

    A moment is looked for within ``patience_s``. ``excuses`` are sentences with which a command may end that
    has lost too much. ``tidy`` clears what a study has left there, before the next.
    """

    name: str
    strikes: Mapping[Strike, int]
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, float] = field(default_factory=dict)
    forks: bool = True  # as commands are started that share their imports
    pause_s: float = 0.02  # of an epoch
    patience_s: float = 3.0
    excuses: tuple[str, ...] = ()
    leaves_nobody: bool = True  # when a command is asked to end
    database: Callable[[LightStudy], Path] | None = None  # MLflow's, where it is not the store's
    tidy: Callable[[], None] = lambda: None


LOCAL_STRIKES: Mapping[Strike, int] = {
    controller_killed: 5,
    controller_asked(signal.SIGTERM): 2,
    controller_asked(signal.SIGINT): 2,
    controller_asked(signal.SIGINT, times=2): 1,
    controller_frozen: 2,
    worker_struck(signal.SIGKILL): 5,
    worker_struck(signal.SIGTERM): 3,
    worker_frozen: 3,
    everything_killed: 5,
    another_command: 2,
}
LOCAL = Ground("local workers", LOCAL_STRIKES, constants={"ablate.launch.local.SILENCE_S": SILENCE_S})

INLINE = Ground(
    "inline",
    {
        controller_killed: 8,
        controller_asked(signal.SIGTERM): 3,
        controller_asked(signal.SIGINT): 3,
        controller_asked(signal.SIGINT, times=2): 1,
        controller_frozen: 4,
        another_command: 3,
    },
    options=("--launcher", "inline", "--device", "cpu"),
)


def run_barrage(
    ground: Ground, study: LightStudy, undisturbed: Undisturbed, seed: int, injections: int
) -> Barrage:
    """Strike until there were so many injections, the study is complete, or something is wrong."""
    barrage = Barrage(ground, study, undisturbed, seed)
    try:
        if ground.database is not None:
            study.database = ground.database(study)
        _strike(barrage, ground.strikes, injections)
        barrage.conclude()
    finally:
        study.end()
        ground.tidy()
        barrage.cleanup.close()
    return barrage


def _strike(barrage: Barrage, strikes: Mapping[Strike, int], injections: int) -> None:
    study = barrage.study
    for number in range(MOST_ROUNDS * injections):
        barrage.draw = random.Random(f"{barrage.seed} {number}")  # whatever was met so far
        if len(barrage.injections) >= injections or barrage.problems:
            return
        if not study.running:
            if len(study.finished()) == study.n_runs:
                return
            study.start()
        barrage.any_moment()
        barrage.draw.choices(list(strikes), list(strikes.values()))[0](barrage)
        barrage.look()
