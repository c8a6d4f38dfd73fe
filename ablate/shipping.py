"""Ships run folders to MLflow beside the training."""

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from ablate.rundir import RunFolder
from ablate.tracking import Tracker, TrackingUnavailable

SHIP_EVERY_S = 10.0  # the curves of a run under way

log = logging.getLogger(__name__)


class Shipper:
    """Ships run folders to MLflow beside the training, one at a time. Its failures cost the study nothing."""

    def __init__(self, tracker: Tracker, warn: Callable[[str], None]) -> None:
        self._tracker = tracker
        self._warn = warn
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mlflow")
        self._last: dict[Path, float] = {}
        self._under_way: dict[Path, Future[None]] = {}
        self._warned = False

    def prepare(self) -> None:
        """Create or migrate the tracking store. Raises StoreError when it is not ours to write."""
        try:
            self._tracker.prepare()
        except TrackingUnavailable as error:
            self._warn_unavailable(error)

    def ship(self, folder: RunFolder, *, now: bool) -> None:
        """Ship the folder ``now``, or unless that was done a short while ago."""
        waiting = self._under_way.get(folder.path)
        recent = time.monotonic() - self._last.get(folder.path, float("-inf")) < SHIP_EVERY_S
        if not now and (recent or (waiting is not None and not waiting.done())):
            return
        self._last[folder.path] = time.monotonic()
        self._under_way[folder.path] = self._pool.submit(self._ship, folder)

    def ship_rest(self, folders: Iterable[RunFolder]) -> None:
        """Ship those that MLflow is not known to show in full."""
        for folder in folders:
            if folder.path not in self._last and not self._tracker.is_current(folder):
                self.ship(folder, now=True)

    def _ship(self, folder: RunFolder) -> None:
        try:
            self._tracker.ship(folder)
        except TrackingUnavailable as error:
            self._warn_unavailable(error)
        except Exception as error:  # a defect in tracking must not pass in silence, nor stop the study
            log.exception("shipping %s", folder.path)
            self._warn(f"run {folder.run_id} was not shipped to MLflow: {type(error).__name__}: {error}")

    def _warn_unavailable(self, error: TrackingUnavailable) -> None:
        if not self._warned:
            self._warned = True
            self._warn(f"{error}; training goes on, `ablate sync` completes MLflow later")

    def close(self) -> None:
        """Wait until all is shipped."""
        self._pool.shutdown()
