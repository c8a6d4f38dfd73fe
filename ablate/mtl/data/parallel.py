"""One function over many tasks, in processes of one thread each."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process
from typing import TypeVar

from ablate.ground.errors import DataError
from ablate.ground.machine import available_cores

Task = TypeVar("Task")
Result = TypeVar("Result")

ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"),
    # Bytes of freed arrays that glibc keeps; to have the system clear each anew takes a third of the time.
    "MALLOC_MMAP_THRESHOLD_": "100000000",
    "MALLOC_TRIM_THRESHOLD_": "200000000",
}


def run_each(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    workers: int | None = None,
    label: str = "",
    progress: bool = False,
) -> Iterator[tuple[int, Result]]:
    """Yields ``(index, function(task))`` in order. Ends with one DataError of every task that raised one.

    ``workers``: processes, at most one per core and task; 1 runs here. ``function`` must be a module's own
    and must not depend on how many processes there are. ``progress`` draws a bar if stderr is a terminal.
    """
    n_workers = min(workers or available_cores(), len(tasks))
    outcomes = _here(function, tasks) if n_workers <= 1 else _in_processes(function, tasks, n_workers)
    problems: list[str] = []
    for index, outcome in enumerate(_with_bar(outcomes, len(tasks), label, progress)):
        if isinstance(outcome, DataError):
            problems += outcome.problems
        else:
            yield index, outcome
    if problems:
        raise DataError(problems)


def _outcome(function: Callable[[Task], Result], task: Task) -> Result | DataError:
    try:
        return function(task)
    except DataError as error:
        return error


def _here(function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result | DataError]:
    for task in tasks:
        yield _outcome(function, task)


def _in_processes(
    function: Callable[[Task], Result], tasks: Sequence[Task], n_workers: int
) -> Iterator[Result | DataError]:
    with _workers_environment():
        pool = ProcessPoolExecutor(n_workers, mp_context=get_context("spawn"), initializer=_start_worker)
        try:
            futures = deque(pool.submit(_outcome, function, task) for task in tasks)
            while futures:
                yield futures.popleft().result()
        except BrokenProcessPool as error:
            raise DataError("a worker process died, perhaps for lack of memory; try one worker") from error
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _workers_environment() -> Iterator[None]:
    """Libraries read these when a process starts, so they are set before it does."""
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _start_worker() -> None:
    """Ctrl-C is the parent's to handle; when the parent is gone, so is the worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _with_bar(items: Iterable[Result], total: int, label: str, progress: bool) -> Iterator[Result]:
    if not progress:
        yield from items
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        yield from bar.track(items, total=total, description=label)
