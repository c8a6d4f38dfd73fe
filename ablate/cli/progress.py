"""Progress of a campaign: a bar with the time left on a terminal, one line for each ended run elsewhere."""

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ablate.analysis.layout import filled
from ablate.cli.numbers import duration
from ablate.design.runs import Run
from ablate.launch.base import Event, Kind
from ablate.record.store import Store

SHOWN_SCORES = {"scene_micro_f": "scene F", "event_micro_f": "event F"}


class ProgressDisplay:
    """Tells a reader what a campaign does; a ``campaign.Watcher``. Use it as a context manager."""

    def __init__(self, store: Store, runs: list[Run], console: Console) -> None:
        self._store = store
        self._n_runs = len(runs)
        self._n_ended = 0
        self._total = sum(run.config.optim.epochs for run in runs)
        self._epochs_before: dict[str, int] = {}  # of resumed runs: trained earlier, not in this campaign
        self._epochs: dict[str, int] = {}
        self._started = time.monotonic()
        self._console = console
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:.0f} %"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]}"),
                console=console,
            )
            self._task = self._bar.add_task("starting", total=self._total, left="")

    def __enter__(self) -> "ProgressDisplay":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def on_event(self, run: Run, event: Event) -> None:
        if event.kind is Kind.EPOCH:
            # The first epoch that a run reports tells how many it had when it was resumed.
            self._epochs_before.setdefault(run.run_id, event.epoch - 1)
            self._epochs[run.run_id] = event.epoch
        if event.kind in (Kind.FINISHED, Kind.FAILED):
            self._n_ended += 1
            self._epochs[run.run_id] = run.config.optim.epochs
            self._say(self._line(run, event))
        elif event.kind is Kind.INTERRUPTED:
            self._say(f"{run.name} seed={run.seed} saved where it is: {event.cause}")
        elif event.kind is Kind.BUSY:
            self._say(f"{run.name} seed={run.seed} is being trained by another process; waiting for it")
        self._update()

    def on_warning(self, message: str) -> None:
        self._say(f"warning: {message}")

    def _line(self, run: Run, event: Event) -> str:
        width = len(str(self._n_runs))
        line = f"[{self._n_ended:{width}}/{self._n_runs}] {run.name} seed={run.seed}"
        if event.kind is Kind.FAILED:
            return f"{line} FAILED: {event.cause}"
        result = self._store.folder(run.run_id).result() or {"metrics": {}, "duration_s": 0.0}
        return f"{line}: {_scores(result['metrics'])}, {duration(result['duration_s'])}{self._left(', ')}"

    def _left(self, before: str) -> str:
        """The time left, by the epochs of this campaign so far; nothing before there are any."""
        done = sum(self._epochs.values())
        here = done - sum(self._epochs_before.values())
        if here == 0 or done == self._total:
            return ""
        seconds = (self._total - done) * (time.monotonic() - self._started) / here
        return f"{before}about {duration(seconds)} left"

    def _update(self) -> None:
        if self._bar and self._task is not None:
            self._bar.update(
                self._task,
                description=f"{self._n_ended}/{self._n_runs} runs",
                completed=sum(self._epochs.values()),
                left=self._left(""),
            )

    def _say(self, line: str) -> None:
        width = self._console.width if self._console.is_terminal else None
        self._console.print(filled(line, width), soft_wrap=True)


def _scores(metrics: dict[str, Any]) -> str:
    shown = [
        f"{label} {100 * metrics[name]:.1f} %"
        for name, label in SHOWN_SCORES.items()
        if metrics.get(name) is not None
    ]
    return ", ".join(shown) or "no score"
