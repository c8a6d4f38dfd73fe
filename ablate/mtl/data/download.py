"""A published corpus: its archives and annotations fetched, verified, and the annotated recordings unpacked.

    <folder>/
        archives/               what is still needed: NAME.zip.part while it comes, NAME.zip when it is whole
        download.json           of each unpacked archive: its MD5, and size, time and CRC-32 of its recordings
        TUT-.../audio/...       recordings, each whole
        meta_development.txt    at last, so that half a corpus is no data set
        meta_evaluation.txt

Everything may be killed at any moment: the record is written after an archive's recordings, an archive is
removed after the record, and whatever a name promises is verified before it gets that name. Which archive has
which recording is not published, but is in the archives' directories.
"""

import csv
import fcntl
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from ablate.ground.errors import DataError
from ablate.ground.files import read_json, write_json
from ablate.ground.records import Count, Record, Text, require
from ablate.ground.wording import count, readable_bytes
from ablate.mtl.data.annotations import read_annotations
from ablate.mtl.data.fetching import Fetch, Gate, Patience, Source, Stopped, is_whole
from ablate.mtl.data.unpacking import Unpacked, is_unpacked, unpack

ARCHIVES = "archives"
RECORD = "download.json"
FORMAT = "ablate download"
LOOK_S = 0.1  # how often the progress is looked at

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Corpus:
    """What is to be fetched. ``unpacked_bytes``: of all annotated recordings, about."""

    name: str
    annotations: tuple[Source, ...]
    archives: tuple[Source, ...]
    unpacked_bytes: int

    def at(self, mirror: str) -> "Corpus":
        """The same files, all in the one folder ``mirror``."""

        def moved(sources: Sequence[Source]) -> tuple[Source, ...]:
            return tuple(replace(each, url=f"{mirror.rstrip('/')}/{each.name}") for each in sources)

        return replace(self, annotations=moved(self.annotations), archives=moved(self.archives))


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A whole corpus. ``fetched``: archives that had not been there."""

    recordings: int
    archives: int
    fetched: int


def tut() -> Corpus:
    """The study's corpora: seven sets of TUT recordings on Zenodo, and its own annotations of them."""
    table = files("ablate.mtl.data").joinpath("tut.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(table.splitlines()))
    annotations, archives = (
        tuple(Source(row["url"], int(row["bytes"]), row["md5"]) for row in rows if row["kind"] == kind)
        for kind in ("annotations", "archive")
    )
    minutes, bytes_per_second = 192 + 74, 44_100 * 2 * 3
    return Corpus("tut", annotations, archives, minutes * 60 * bytes_per_second)


CORPORA: Mapping[str, Callable[[], Corpus]] = {"tut": tut}


def download(
    corpus: Corpus,
    folder: Path,
    *,
    connections: int = 4,
    keep: bool = False,
    patience: Patience = Patience(),  # noqa: B008, a frozen value
    progress: bool = False,
    say: Say = print,
) -> Downloaded:
    """Makes ``folder`` the whole corpus, or goes on with making it; what is there and right is not fetched.

    ``keep`` leaves the archives there. ``progress`` draws a bar or, where stderr is a pipe, has ``say`` say a
    line for each archive. Raises DataError with all that failed after everything else has been tried.
    """
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file; name a folder for the corpus")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _only_one(folder):
            return _Download(corpus, folder, connections, keep, patience, progress, say).run()
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written ({error.strerror or error}); make room or choose another folder, "
            "and type the same command again"
        ) from error


class _Download:
    """One call of ``download``, under its lock."""

    def __init__(
        self,
        corpus: Corpus,
        folder: Path,
        connections: int,
        keep: bool,
        patience: Patience,
        progress: bool,
        say: Say,
    ) -> None:
        self._corpus, self._folder, self._keep, self._patience = corpus, folder, keep, patience
        self._connections, self._progress, self._say = connections, progress, say
        self._archives = folder / ARCHIVES
        self._gate = Gate()
        self._lock = threading.Lock()
        self._known = _read_known(folder)
        self._left: list[Source] = []
        self._fetches: dict[str, Fetch] = {}
        self._problems: list[str] = []
        self._defects: list[BaseException] = []  # of this program

    def run(self) -> Downloaded:
        self._refuse_foreign()
        wanted = self._annotated()
        missing = [source for source in self._corpus.archives if not self._is_unpacked(source)]
        if missing:
            self._require_room(missing, len(wanted))
            self._fetch_all(missing, wanted)
        absent = sorted(wanted - {path for each in self._known.values() for path in each})
        if absent:
            raise DataError(
                f"no archive has {count(len(absent), 'annotated recording')}, such as {absent[0]}; these are "
                "not the archives that were annotated"
            )
        self._finish()
        return Downloaded(len(wanted), len(self._corpus.archives), len(missing))

    # ---------------------------------------------------------------------------------- before and after

    def _refuse_foreign(self) -> None:
        """Annotations that were changed by hand are as foreign as those of another data set."""
        for source in self._corpus.annotations:
            file = self._folder / source.name
            if file.exists() and not is_whole(source, file):
                raise DataError(
                    f"{file}: is another file than that of {self._corpus.name}; name another folder, or move "
                    "it away"
                )

    def _annotated(self) -> set[str]:
        """The annotated recordings' paths. Their annotations are fetched first if they are not there."""
        place = self._folder
        if not all((place / source.name).exists() for source in self._corpus.annotations):
            place = self._archives
            place.mkdir(exist_ok=True)
            for source in self._corpus.annotations:
                if not is_whole(source, place / source.name):
                    Fetch(source, place / source.name, self._patience, self._gate).run()
        return {recording.path for recording in read_annotations(place).recordings}

    def _is_unpacked(self, source: Source) -> bool:
        known = self._known.get(_key(source))
        return known is not None and all(
            is_unpacked(self._folder, path, file) for path, file in known.items()
        )

    def _require_room(self, missing: Sequence[Source], n_wanted: int) -> None:
        """Archives that come at the same time, or all that are kept, and all that is unpacked of them."""
        sizes = sorted((source.n_bytes for source in missing), reverse=True)
        n_unpacked = sum(map(len, self._known.values()))
        here = sum(file.stat().st_size for file in self._archives.glob("*.zip*"))
        archives = max(0, sum(sizes if self._keep else sizes[: self._connections]) - here)
        needed = archives + self._corpus.unpacked_bytes * max(0, n_wanted - n_unpacked) // max(1, n_wanted)
        free = shutil.disk_usage(self._folder).free
        if needed > free:
            advice = "leave out --keep" if self._keep else "take fewer --connections"
            raise DataError(
                f"{self._folder}: {readable_bytes(needed)} are needed, but {readable_bytes(free)} are free; "
                f"make room, {advice}, or name a folder on another disk"
            )

    def _finish(self) -> None:
        for source in self._corpus.annotations:
            fetched = self._archives / source.name
            if not (self._folder / source.name).exists():
                shutil.copyfile(fetched, fetched.with_suffix(".copy"))
                fetched.with_suffix(".copy").replace(self._folder / source.name)
        if not self._keep:
            for source in (*self._corpus.annotations, *self._corpus.archives):
                (self._archives / source.name).unlink(missing_ok=True)
            if self._archives.is_dir() and not any(self._archives.iterdir()):
                self._archives.rmdir()

    # ------------------------------------------------------------------------------------------- archives

    def _fetch_all(self, missing: Sequence[Source], wanted: set[str]) -> None:
        """Raises DataError that names every archive that failed, when the others are unpacked."""
        self._archives.mkdir(exist_ok=True)
        self._left = list(reversed(missing))
        # Daemons end with the process: an interrupted download need not wait for a server that is silent.
        threads = [
            threading.Thread(target=self._work, args=(wanted,), daemon=True)
            for _ in range(min(self._connections, len(missing)))
        ]
        for thread in threads:
            thread.start()
        try:
            with self._bar(missing) as show:
                while any(thread.is_alive() for thread in threads):
                    show()
                    time.sleep(LOOK_S)
        finally:
            self._gate.stop()
        if self._defects:
            raise self._defects[0]
        if self._problems:
            n_done = sum(map(self._is_unpacked, self._corpus.archives))
            done = f"{n_done} of {count(len(self._corpus.archives), 'archive')}"
            raise DataError(
                [
                    *dict.fromkeys(self._problems),
                    f"{done} are unpacked; the same command fetches only the others",
                ]
            )

    def _work(self, wanted: set[str]) -> None:
        """A thread: one archive after the other."""
        while (source := self._next()) is not None:
            try:
                self._provide(source, wanted)
            except Stopped:
                return
            except DataError as error:
                self._problems += error.problems
            except OSError as error:  # a full disk is full for all
                self._problems.append(
                    f"{error.filename or self._folder}: cannot be written: {error.strerror or error}"
                )
                self._gate.stop()
            except BaseException as error:
                self._defects.append(error)
                self._gate.stop()

    def _next(self) -> Source | None:
        with self._lock:
            return self._left.pop() if self._left else None

    def _provide(self, source: Source, wanted: set[str]) -> None:
        """Fetches and unpacks one archive, and notes that it is."""
        file = self._archives / source.name
        if not is_whole(source, file):
            self._fetches[source.md5] = Fetch(source, file, self._patience, self._gate)
            self._fetches[source.md5].run()
        self._gate.check()
        unpacked = unpack(file, self._folder, wanted)
        with self._lock:
            self._known[_key(source)] = unpacked
            _write_known(self._folder, self._known)
            if self._progress and not sys.stderr.isatty():
                self._tell(source, len(unpacked))
        if not self._keep:
            file.unlink()

    # ------------------------------------------------------------------------------------------- progress

    def _tell(self, source: Source, n_recordings: int) -> None:
        n_done = sum(_key(each) in self._known for each in self._corpus.archives)
        self._say(
            f"{n_done} of {len(self._corpus.archives)}: {source.name} is right, "
            f"{count(n_recordings, 'recording')} unpacked"
        )

    @contextmanager
    def _bar(self, missing: Sequence[Source]) -> Iterator[Callable[[], None]]:
        """A function that draws how much has come of all. Nothing in a pipe."""
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        console = Console(stderr=True)
        numbers = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        columns = (BarColumn(), *numbers) if console.width >= 60 else numbers
        hidden = not self._progress or not console.is_terminal
        with Progress(*columns, console=console, disable=hidden, transient=True) as bar:
            task = bar.add_task("", total=sum(source.n_bytes for source in missing))

            def show() -> None:
                bar.update(task, completed=self._n_here(missing))

            yield show

    def _n_here(self, missing: Sequence[Source]) -> int:
        fetches = dict(self._fetches)
        return sum(
            source.n_bytes
            if _key(source) in self._known
            else fetches[source.md5].n_here
            if source.md5 in fetches
            else 0
            for source in missing
        )


# ------------------------------------------------------------------------------------------------- files


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Raises DataError when another process downloads into the folder."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(f"{folder}: another process is downloading into it; wait for that one") from error
        yield


class _KnownFile(Record):
    n_bytes: Count
    mtime_ns: int
    crc32: Count


class _Known(Record):
    """``download.json``: what was unpacked, by name and MD5 of the archive."""

    format: Literal["ablate download"]
    archives: dict[Text, dict[Text, _KnownFile]]


def _key(source: Source) -> str:
    """An archive that is published anew under its old name is another one."""
    return f"{source.name} {source.md5}"


def _read_known(folder: Path) -> dict[str, dict[str, Unpacked]]:
    """Nothing where nothing was downloaded yet. Raises DataError when it is damaged."""
    file = folder / RECORD
    if not file.exists():
        return {}
    try:
        content = require(_Known, read_json(file))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{file}: cannot be read ({error}); remove it, and everything is downloaded again"
        ) from error
    return {
        archive: {path: Unpacked(**known) for path, known in recordings.items()}
        for archive, recordings in content["archives"].items()
    }


def _write_known(folder: Path, archives: Mapping[str, Mapping[str, Unpacked]]) -> None:
    content: dict[str, Any] = {
        "format": FORMAT,
        "archives": {
            archive: {path: asdict(known) for path, known in recordings.items()}
            for archive, recordings in archives.items()
        },
    }
    write_json(folder / RECORD, content, durable=True)
