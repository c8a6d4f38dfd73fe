"""Ships run folders to MLflow beside the training."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple, Protocol

from ablate.ground.errors import AblateError
from ablate.ground.threads import in_background
from ablate.record.rundir import RunFolder
from ablate.tracking import Tracker, TrackingUnavailable

SHIP_FIRST_S = 2.0  # after a run has begun; one that has ended by then takes half the calls
SHIP_EVERY_S = 10.0  # the curves of a run under way
ASK_AGAIN_S = 10.0  # while MLflow is away
MISSES = 2  # in a row make it away; one alone may be due to that run
OPEN_PATIENCE_S = 30.0  # for the database or server, before training starts without
SHIP_PATIENCE_S = 10.0  # for one run, once nothing is left to train
CLOSE_POLL_S = 0.2

log = logging.getLogger(__name__)


class _Waiting(NamedTuple):
    folder: RunFolder
    due: float
    is_last: bool  # nothing more is to come from its run


class Ships(Protocol):
    """What a campaign asks of whoever shows its runs."""

    def prepare(self) -> None: ...
    def ship(self, folder: RunFolder, *, now: bool) -> None: ...
    def ship_rest(self, folders: Iterable[RunFolder]) -> None: ...
    def close(self) -> None: ...


class Unshipped:
    """Shows nothing: somebody else will, from the run folders."""

    def prepare(self) -> None:
        pass

    def ship(self, folder: RunFolder, *, now: bool) -> None:
        pass

    def ship_rest(self, folders: Iterable[RunFolder]) -> None:
        pass

    def close(self) -> None:
        pass


class Shipper:
    """Ships run folders to MLflow beside the training: one at a time into a database, some to a server.

    Its failures cost the study nothing.

    A folder that is to be shipped waits until it is due, and until MLflow has taken it, however often that
    is tried. It waits once, whatever happens to its run meanwhile: what is shipped is what it holds then.
    """

    def __init__(self, tracker: Tracker, warn: Callable[[str], None]) -> None:
        self._tracker = tracker
        self._warn = warn
        self._warned = False
        self._thread: Future[None] | None = None
        # The thread's side of it, guarded by the condition.
        self._changed = threading.Condition()
        self._waiting: dict[Path, _Waiting] = {}
        self._taken_at: dict[Path, float] = {}  # when the folder of a run under way was last taken up
        self._under_way: list[RunFolder] = []
        self._n_taken_up = 0  # how often any was
        self._misses = 0
        self._ask_again_at = 0.0
        self._closing = False

    def prepare(self) -> None:
        """Create or migrate the tracking store. Raises StoreError when it is not ours to write."""
        try:
            for sentence in in_background(self._tracker.prepare, "mlflow").result(OPEN_PATIENCE_S):
                self._warn(sentence)
        except TrackingUnavailable as error:
            self._is_away(error)
        except TimeoutError:
            self._is_away(TrackingUnavailable(f"MLflow did not answer within {OPEN_PATIENCE_S:.0f} s"))
        except AblateError:
            raise
        except Exception as error:
            self._is_defective("MLflow was not prepared", error)

    def ship(self, folder: RunFolder, *, now: bool) -> None:
        """Ship the folder ``now``, or a while after it was shipped last or its run has begun."""
        due = time.monotonic()
        if not now:
            last = self._taken_at.get(folder.path)
            due = due + SHIP_FIRST_S if last is None else last + SHIP_EVERY_S
        self._add([folder], due, is_last=now)

    def ship_rest(self, folders: Iterable[RunFolder]) -> None:
        """Ship those that MLflow is not known to show in full."""
        lacking = [folder for folder in folders if not self._tracker.is_current(folder)]
        self._add(lacking, time.monotonic(), is_last=True)

    def close(self) -> None:
        """Wait until all is shipped, as long as MLflow takes one run after the other.

        Time in which the process is stopped (Ctrl-Z) does not count: MLflow was not asked for anything then.
        """
        with self._changed:
            self._closing = True
            self._ask_again_at = 0.0  # the last chance, whenever the one before was
            self._changed.notify_all()
            waited_s, n_before = 0.0, self._n_taken_up
            while self._is_busy() and waited_s < SHIP_PATIENCE_S:
                self._changed.wait(CLOSE_POLL_S)
                waited_s = waited_s + CLOSE_POLL_S if self._n_taken_up == n_before else 0.0
                n_before = self._n_taken_up
            n_left = len(self._waiting.keys() | {folder.path for folder in self._under_way})
            self._warned = True  # a thread that is left behind has nothing to say any more
        if n_left:
            runs = "1 run is" if n_left == 1 else f"{n_left} runs are"
            self._warn(f"{runs} not shown in full by MLflow; `ablate sync` sends the rest")

    def _add(self, folders: Iterable[RunFolder], due: float, *, is_last: bool = False) -> None:
        with self._changed:
            for folder in folders:
                known = self._waiting.get(folder.path, _Waiting(folder, math.inf, False))
                self._waiting[folder.path] = _Waiting(folder, min(due, known.due), is_last or known.is_last)
                if due < known.due:
                    self._changed.notify_all()
            if self._waiting and self._thread is None:
                self._thread = in_background(self._ship_all, "mlflow")

    def _is_busy(self) -> bool:
        return self._thread is not None and not self._thread.done()

    def _ship_all(self) -> None:
        """The thread's work, until nothing is left or MLflow is away at the end."""
        while folders := self._next():
            for folder, outcome in self._ship(folders):
                self._take(folder, outcome)

    def _next(self) -> list[RunFolder]:
        """Those to ship next, once one is due and MLflow is not known to be away; none at the end."""
        with self._changed:
            self._under_way = []
            while (pause_s := self._pause_s()) > 0:
                if self._closing:
                    return []
                self._changed.wait(pause_s if math.isfinite(pause_s) else None)
            now = time.monotonic()
            due = sorted(self._waiting.values(), key=lambda waiting: waiting.due)
            due = [waiting for waiting in due if waiting.due <= now or self._closing]
            self._under_way = [waiting.folder for waiting in due[: self._tracker.at_once]]
            for folder in self._under_way:
                if self._waiting.pop(folder.path).is_last:
                    self._taken_at.pop(folder.path, None)
                else:
                    self._taken_at[folder.path] = now
            self._n_taken_up += 1
            return self._under_way

    def _pause_s(self) -> float:
        """How long there is nothing to do. At the end whatever waits is due."""
        dues = (0.0 if self._closing else waiting.due for waiting in self._waiting.values())
        due = min(dues, default=math.inf)
        return max(due, self._ask_again_at) - time.monotonic()

    def _ship(self, folders: list[RunFolder]) -> list[tuple[RunFolder, object]]:
        """Each folder that MLflow is not known to show, with what became of it: an error, or else."""
        lacking = [folder for folder in folders if not self._tracker.is_current(folder)]
        try:
            return list(zip(lacking, self._tracker.ship_together(lacking), strict=True))
        except Exception as error:
            return [(folder, error) for folder in lacking]

    def _take(self, folder: RunFolder, outcome: object) -> None:
        """What is to be told of it, and whether it is to be tried again."""
        if isinstance(outcome, TrackingUnavailable):
            self._misses += 1
            self._add([folder], time.monotonic())
            if self._misses >= MISSES:
                self._is_away(outcome)
            return
        self._misses = 0
        if isinstance(outcome, AblateError):
            self._warn(str(outcome))
        elif isinstance(outcome, Exception):
            self._is_defective(f"run {folder.run_id} was not shipped to MLflow", outcome)

    def _is_defective(self, what: str, error: Exception) -> None:
        """A defect in tracking must not pass in silence, nor stop the study."""
        log.error("%s", what, exc_info=error)
        self._warn(f"{what}: {type(error).__name__}: {error}")

    def _is_away(self, error: TrackingUnavailable) -> None:
        with self._changed:
            self._misses = MISSES
            self._ask_again_at = time.monotonic() + ASK_AGAIN_S
            is_news, self._warned = not self._warned, True
        if is_news:
            self._warn(f"{error}; training goes on, and what MLflow misses is sent once it answers")
