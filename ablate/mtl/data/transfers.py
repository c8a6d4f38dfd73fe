"""Archives on their way: several at the same time, each unpacked and noted as soon as it is whole."""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ablate.ground.errors import DataError
from ablate.ground.wording import count
from ablate.mtl.data.fetching import Fetch, Gate, Patience, Source, Stopped, is_whole
from ablate.mtl.data.ledger import Ledger
from ablate.mtl.data.unpacking import unpack

LOOK_S = 0.1  # how often the progress is looked at
NARROW = 60  # columns, in which a bar has no room beside its numbers

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Manner:
    """How archives are fetched. ``keep``: not removed when unpacked. ``say`` is told what is done."""

    connections: int
    keep: bool
    patience: Patience
    progress: bool
    say: Say


class Transfers:
    """Fetches archives into ``archives`` and unpacks what is ``wanted`` of them into ``folder``."""

    def __init__(
        self, folder: Path, archives: Path, wanted: Collection[str], ledger: Ledger, manner: Manner
    ) -> None:
        self._folder, self._archives, self._wanted = folder, archives, wanted
        self._ledger, self._manner = ledger, manner
        self._gate = Gate()
        self._lock = threading.Lock()
        self._done: set[str] = set()
        self._left: list[Source] = []
        self._fetches: dict[str, Fetch] = {}
        self._problems: list[str] = []
        self._defects: list[BaseException] = []  # of this program

    def run(self, sources: Sequence[Source], n_before: int) -> list[str]:
        """What went wrong, when everything else is done. ``n_before``: archives that were done already."""
        self._left = list(reversed(sources))
        # Daemons end with the process: an interrupted download need not wait for a server that is silent.
        threads = [
            threading.Thread(target=self._work, args=(n_before, n_before + len(sources)), daemon=True)
            for _ in range(min(self._manner.connections, len(sources)))
        ]
        for thread in threads:
            thread.start()
        try:
            with self._bar(sources) as show:
                while any(thread.is_alive() for thread in threads):
                    show()
                    time.sleep(LOOK_S)
        finally:
            self._gate.stop()
        if self._defects:
            raise self._defects[0]
        return list(dict.fromkeys(self._problems))

    def _work(self, n_before: int, n_all: int) -> None:
        """A thread: one archive after the other."""
        while (source := self._next()) is not None:
            try:
                self._provide(source, n_before, n_all)
            except Stopped:
                return
            except DataError as error:
                self._problems += error.problems
            except OSError as error:  # a full disk is full for all
                where = error.filename or self._folder
                self._problems.append(f"{where}: cannot be written: {error.strerror or error}")
                self._gate.stop()
            except BaseException as error:
                self._defects.append(error)
                self._gate.stop()

    def _next(self) -> Source | None:
        with self._lock:
            return self._left.pop() if self._left else None

    def _provide(self, source: Source, n_before: int, n_all: int) -> None:
        """Fetches and unpacks one archive, and notes that it is."""
        file = self._archives / source.name
        if not is_whole(source, file):
            fetch = Fetch(source, file, self._manner.patience, self._gate, self._manner.say)
            self._fetches[source.name] = fetch
            fetch.run()
        self._gate.check()
        unpacked = unpack(file, self._folder, self._wanted)
        self._ledger.add(source, unpacked)
        if not self._manner.keep:
            file.unlink()
        with self._lock:
            self._done.add(source.name)
            n_done, recordings = n_before + len(self._done), count(len(unpacked), "recording")
            self._manner.say(f"{n_done} of {n_all}: {source.name} verified, {recordings} unpacked")

    @contextmanager
    def _bar(self, sources: Sequence[Source]) -> Iterator[Callable[[], None]]:
        """A function that draws how much has come of all. Nothing in a pipe."""
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress
        from rich.progress import TimeRemainingColumn as TimeColumn
        from rich.progress import TransferSpeedColumn as SpeedColumn

        console = Console(stderr=True)
        numbers = (DownloadColumn(), SpeedColumn(), TimeColumn())
        columns = numbers if console.width < NARROW else (BarColumn(), *numbers)
        hidden = not self._manner.progress or not console.is_terminal
        with Progress(*columns, console=console, disable=hidden, transient=True) as bar:
            task = bar.add_task("", total=sum(source.n_bytes for source in sources))
            yield lambda: bar.update(task, completed=sum(map(self._n_here, sources)))

    def _n_here(self, source: Source) -> int:
        if source.name in self._done:
            return source.n_bytes
        fetch = self._fetches.get(source.name)
        return fetch.n_here if fetch else 0
