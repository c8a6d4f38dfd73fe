"""Progress of a campaign: a bar with the time left on a terminal or in a notebook, else a line a run."""

import io
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ablate.analysis.layout import filled
from ablate.api.training import Display, Scope, no_display, tell_nobody
from ablate.design.runs import Run
from ablate.ground.durations import duration
from ablate.launch.base import Event, Kind
from ablate.subject.metrics import brief_value

NOTEBOOK_WIDTH = 100
NOTEBOOK_LINES = 12  # of what was said, below the bar
Tell = Callable[[str], None]


class ProgressDisplay:
    """Tells a reader what a campaign does; a ``training.Display``."""

    def __init__(self, scope: Scope, console: Console) -> None:
        self._store = scope.store
        self._subject = scope.subject
        self._n_runs = scope.n_runs
        self._n_ended = 0
        self._total = scope.n_epochs
        self._epochs_before: dict[str, int] = {}  # of resumed runs: trained earlier, not in this campaign
        self._epochs: dict[str, int] = {}
        self._began: float | None = None  # when the first run did; workers and the database take a while once
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
        if self._began is None:
            self._began = time.monotonic()
        if event.kind is Kind.EPOCH:
            # The first epoch that a run reports tells how many it had when it was resumed.
            self._epochs_before.setdefault(run.run_id, event.epoch - 1)
            self._epochs[run.run_id] = event.epoch
        if event.kind in (Kind.FINISHED, Kind.FAILED, Kind.PRUNED):
            self._n_ended += 1
            self._epochs[run.run_id] = self._subject.epochs(run.config)
            self._say(self._line(run, event))
        elif event.kind is Kind.INTERRUPTED:
            self._say(f"{run.title} saved where it is: {event.cause}")
        elif event.kind is Kind.BUSY:
            self._say(f"{run.title} is being trained by another process; waiting for it")
        self._update()

    def on_warning(self, message: str) -> None:
        self._say(f"warning: {message}")

    def html(self, lines: Sequence[str]) -> str:
        """The bar and the last lines of what was said."""
        done, total = sum(self._epochs.values()), max(self._total, 1)
        left = self._left(", ")
        return (
            f'<progress value="{done}" max="{total}"></progress> '
            f"{self._n_ended}/{self._n_runs} runs{escape(left)}"
            f"<pre>{escape(chr(10).join(lines))}</pre>"
        )

    def _line(self, run: Run, event: Event) -> str:
        width = len(str(self._n_runs))
        line = f"[{self._n_ended:{width}}/{self._n_runs}] {run.title}"
        if event.kind is Kind.FAILED:
            return f"{line} FAILED: {event.cause}"
        if event.kind is Kind.PRUNED:
            return f"{line} {event.cause}"
        result = self._store.folder(run.run_id).result() or {"metrics": {}, "duration_s": 0.0}
        return (
            f"{line}: {self._scores(result['metrics'])}, {duration(result['duration_s'])}{self._left(', ')}"
        )

    def _scores(self, scores: dict[str, Any]) -> str:
        metrics = self._subject.card.metrics
        shown = [
            f"{metrics.of(name).short or metrics.label(name)} {brief_value(metrics.of(name), scores[name])}"
            for name in metrics.closing(list(scores))
            if scores[name] is not None
        ]
        return ", ".join(shown) or "no score"

    def _left(self, before: str) -> str:
        """The time left, by the epochs of this campaign so far; nothing before there are any."""
        done = sum(self._epochs.values())
        here = done - sum(self._epochs_before.values())
        if self._began is None or here <= 0 or done >= self._total:
            return ""
        seconds = (self._total - done) * (time.monotonic() - self._began) / here
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


class NotebookDisplay:
    """Shows a campaign below the cell of a notebook, as one element; a ``training.Display``.

    ``ProgressDisplay`` counts and words; what it says is kept and shown as HTML.
    """

    def __init__(self, scope: Scope) -> None:
        from IPython.display import HTML, display

        self._html = HTML
        self._lines = io.StringIO()
        self._inner = ProgressDisplay(scope, Console(file=self._lines, width=NOTEBOOK_WIDTH, markup=False))
        self._handle: Any = display(HTML(""), display_id=True)  # type: ignore[no-untyped-call]

    def __enter__(self) -> "NotebookDisplay":
        self._inner.__enter__()
        self._draw()
        return self

    def __exit__(self, *_: object) -> None:
        self._draw()

    def on_event(self, run: Run, event: Event) -> None:
        self._inner.on_event(run, event)
        self._draw()

    def on_warning(self, message: str) -> None:
        self._inner.on_warning(message)
        self._draw()

    def _draw(self) -> None:
        lines = self._lines.getvalue().splitlines()[-NOTEBOOK_LINES:]
        self._handle.update(self._html(self._inner.html(lines)))  # type: ignore[no-untyped-call]


def display_of(progress: bool | Callable[[Scope], Display]) -> tuple[Callable[[Scope], Display], Tell]:
    """What ``progress`` asks for: who shows a campaign, and who is told news on the way to it."""
    if not progress:
        return no_display, tell_nobody
    if callable(progress):
        return progress, tell_nobody
    tell = partial(print, file=sys.stderr, flush=True)
    return (NotebookDisplay if in_notebook() else _on_terminal), tell


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which shows HTML. Imports nothing."""
    ipython = sys.modules.get("IPython")
    shell: Any = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def _on_terminal(scope: Scope) -> Display:
    return ProgressDisplay(scope, Console(stderr=True, highlight=False, markup=False, emoji=False))
