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
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from ablate.ground.errors import DataError
from ablate.ground.files import UNFINISHED, replacing
from ablate.ground.wording import count, readable_bytes
from ablate.mtl.data.annotations import read_annotations
from ablate.mtl.data.fetching import Fetch, Gate, Patience, Source, is_whole
from ablate.mtl.data.ledger import Ledger
from ablate.mtl.data.transfers import Manner, Say, Transfers

ARCHIVES = "archives"


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

    ``keep`` leaves the archives there. ``progress`` draws a bar if stderr is a terminal; ``say`` is told of
    each archive, and of long waits. Raises DataError with all that failed, after everything else was tried.
    """
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file; name a folder for the corpus")
    manner = Manner(connections, keep, patience, progress, say)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _only_one(folder):
            return _download(corpus, folder, manner)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written ({error.strerror or error}); make room or choose another folder, "
            "and type the same command again"
        ) from error


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Raises DataError when another process downloads into the folder."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(f"{folder}: another process is downloading into it; wait for that one") from error
        yield


def _download(corpus: Corpus, folder: Path, manner: Manner) -> Downloaded:
    _refuse_foreign(corpus, folder)
    ledger = Ledger(folder)
    wanted = _annotated(corpus, folder, manner)
    _clear({folder, *((folder / path).parent for path in wanted)})
    missing = [source for source in corpus.archives if not ledger.has(source)]
    if missing:
        n_bytes = sum(source.n_bytes for source in missing)
        manner.say(
            f"{corpus.name}: {count(len(missing), 'archive')} to download, {readable_bytes(n_bytes)}; "
            f"only the {count(len(wanted), 'annotated recording')} are unpacked"
        )
        _require_room(corpus, folder, missing, len(wanted - ledger.paths()) / len(wanted), manner)
        _fetch(corpus, folder, missing, wanted, ledger, manner)
    absent = sorted(wanted - ledger.paths())
    if absent:
        raise DataError(
            f"no archive has {count(len(absent), 'annotated recording')}, such as {absent[0]}; these are "
            "not the archives that were annotated"
        )
    _finish(corpus, folder, manner.keep)
    return Downloaded(len(wanted), len(corpus.archives), len(missing))


def _refuse_foreign(corpus: Corpus, folder: Path) -> None:
    """Annotations that were changed by hand are as foreign as those of another data set."""
    for source in corpus.annotations:
        file = folder / source.name
        if file.exists() and not is_whole(source, file):
            raise DataError(
                f"{file}: is another file than that of {corpus.name}; name another folder, or move it away"
            )


def _annotated(corpus: Corpus, folder: Path, manner: Manner) -> set[str]:
    """The annotated recordings' paths. Their annotations are fetched first if they are not there."""
    place = folder
    if not all((folder / source.name).exists() for source in corpus.annotations):
        place = folder / ARCHIVES
        place.mkdir(exist_ok=True)
        for source in corpus.annotations:
            if not is_whole(source, place / source.name):
                Fetch(source, place / source.name, manner.patience, Gate(), manner.say).run()
    return {recording.path for recording in read_annotations(place).recordings}


def _clear(folders: Collection[Path]) -> None:
    """Removes what a killed download was writing; under the lock no other one is."""
    for file in (file for folder in folders for file in folder.glob(".*")):
        if UNFINISHED.fullmatch(file.name):
            file.unlink()


def _require_room(
    corpus: Corpus, folder: Path, missing: Sequence[Source], share_packed: float, manner: Manner
) -> None:
    """For the archives that come at the same time, or all that are kept, and what is still to be unpacked."""
    sizes = sorted((source.n_bytes for source in missing), reverse=True)
    here = sum(file.stat().st_size for file in (folder / ARCHIVES).glob("*.zip*"))
    archives = max(0, sum(sizes if manner.keep else sizes[: manner.connections]) - here)
    needed = archives + round(corpus.unpacked_bytes * share_packed)
    free = shutil.disk_usage(folder).free
    if needed > free:
        advice = "leave out --keep" if manner.keep else "take fewer --connections"
        raise DataError(
            f"{folder}: {readable_bytes(needed)} are needed, but {readable_bytes(free)} are free; "
            f"make room, {advice}, or name a folder on another disk"
        )


def _fetch(
    corpus: Corpus, folder: Path, missing: Sequence[Source], wanted: set[str], ledger: Ledger, manner: Manner
) -> None:
    """Raises DataError that names every archive that failed, when the others are unpacked."""
    archives = folder / ARCHIVES
    archives.mkdir(exist_ok=True)
    transfers = Transfers(folder, archives, wanted, ledger, manner)
    problems = transfers.run(missing, n_before=len(corpus.archives) - len(missing))
    if problems:
        n_done = sum(map(ledger.has, corpus.archives))
        done = f"{n_done} of {count(len(corpus.archives), 'archive')}"
        raise DataError([*problems, f"{done} are unpacked; the same command fetches only the others"])


def _finish(corpus: Corpus, folder: Path, keep: bool) -> None:
    """Puts the annotations in their place, and removes what was kept until all was there."""
    archives = folder / ARCHIVES
    for source in corpus.annotations:
        if not (folder / source.name).exists():
            with replacing(folder / source.name, durable=True) as temporary:
                shutil.copyfile(archives / source.name, temporary)
    if not keep:
        for source in (*corpus.annotations, *corpus.archives):
            (archives / source.name).unlink(missing_ok=True)
        if archives.is_dir() and not any(archives.iterdir()):
            archives.rmdir()
