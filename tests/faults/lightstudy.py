"""A study of the light subject, whose commands share their imports: what a second buys many injections of."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.forked import Fork
from tests.faults.study import Attempt, Study

LIGHT = Path(__file__).with_name("light.py")
WORKERS_MAY_DIE = 1000  # as often as they are killed, which the user of a broken machine would not have


@dataclass
class LightStudy(Study):
    """``empty_database`` is MLflow's with nothing in it, which MLflow takes seconds to make."""

    empty_database: Path | None = None
    rates: int = 4  # of learning: one condition each
    pause_s: float = 0.02
    options: tuple[str, ...] = ()  # that say where runs train
    forks: bool = True  # of this process its commands are; else they are processes of their own
    constants: Mapping[str, float] = field(default_factory=dict)  # as ``Fork`` takes them
    name: str = field(default="light", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.empty_database is not None:
            shutil.copy(self.empty_database, self.database)

    @property
    def n_runs(self) -> int:
        return self.seeds * self.rates

    @property
    def command(self) -> list[str]:
        rates = ",".join(f"{0.05 * (k + 1):.2f}" for k in range(self.rates))
        words = ["grid", "--subject", str(LIGHT), "--levels", f"lr={rates}", "--seeds", str(self.seeds)]
        words += ["--set", f"epochs={self.epochs}", "--set", f"pause={self.pause_s}"]
        return [*words, "--max-retries", str(WORKERS_MAY_DIE), *self._where]

    @property
    def _where(self) -> tuple[str, ...]:
        return self.options or ("--workers", str(self.workers), "--device", "cpu")

    def type(self, *words: str, program: str = "ablate.cli.app") -> Attempt:
        if not self.forks:
            return super().type(*words, program=program)
        return self._typed(Fork(words, self._variables(), self._output(), self.constants))

    def processes(self) -> dict[int, str]:
        """Also the commands, whose environment is that of the process that they were forked from."""
        forks = {attempt.process.pid: "ablate" for attempt in self._attempts if attempt.is_running}
        return {**forks, **super().processes()}

    def workers_of(self, attempt: Attempt) -> list[int]:
        """The workers that a command has started, and that are there."""
        return [pid for pid in self.worker_ids() if parent(pid) == attempt.process.pid]

    @property
    def running(self) -> list[Attempt]:
        return [attempt for attempt in self._attempts if attempt.is_running]

    @property
    def typed(self) -> list[Attempt]:
        """Every time that a command was typed."""
        return list(self._attempts)

    def epochs_so_far(self) -> int:
        """Of all runs together."""
        found = 0
        for path in self.store_path.glob("runs/*/history.jsonl"):
            try:
                found += path.read_bytes().count(b"\n")
            except FileNotFoundError:  # written anew just now
                continue
        return found


def parent(pid: int) -> int:
    """The process that has started another; 0 when that is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has just ended
        return 0
