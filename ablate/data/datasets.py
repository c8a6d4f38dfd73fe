"""The data of a study: the user's own folder, or generated soundscapes when there is none."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from ablate.data.annotations import annotation_file
from ablate.data.audio import file_sha256
from ablate.data.check import survey
from ablate.data.prepared import Prepared, digest_of, is_up_to_date, open_prepared, prepare
from ablate.data.soundscapes import GENERATOR, generate
from ablate.errors import DataError

NAME = f"embedded-v{GENERATOR}"  # another generator makes other data, in a folder of their own
MINUTES, EVAL_MINUTES, SEED = 8.0, 4.0, 0

Say = Callable[[str], None]


def provide(folder: Path | None, data_root: Path, say: Say) -> Prepared:
    """The prepared data of ``folder``; without one, of the embedded soundscapes, which live in ``data_root``.

    Generates and prepares what is not there yet. Raises DataError.
    """
    if folder is None:
        folder = data_root / NAME
        if not is_up_to_date(folder):
            say(f"Generating {MINUTES:g} + {EVAL_MINUTES:g} minutes of soundscapes in {folder} ...")
            _generate(folder)
    if _has_annotations(folder) and not is_up_to_date(folder):
        say(f"Extracting the features of {folder} ...")
        prepare(folder, progress=True)
    return open_prepared(folder)


def identify(folder: Path | None, data_root: Path, say: Say) -> tuple[str, str, Path]:
    """Name, digest and folder of the data that ``provide`` would give, without writing anything that stays.

    Raises DataError.
    """
    if folder is None:
        folder = data_root / NAME
        if not is_up_to_date(folder):
            say("Finding out the identity of the embedded data ...")
            with tempfile.TemporaryDirectory() as temporary:
                _generate(Path(temporary) / NAME)
                return NAME, _digest(Path(temporary) / NAME), folder / "prepared"
    if _has_annotations(folder) and not is_up_to_date(folder):
        return folder.resolve().name, _digest(folder), folder / "prepared"
    prepared = open_prepared(folder)
    return prepared.name, prepared.digest, prepared.path


def _generate(folder: Path) -> None:
    generate(folder, minutes=MINUTES, eval_minutes=EVAL_MINUTES, seed=SEED, progress=True)


def _has_annotations(folder: Path) -> bool:
    return (folder / annotation_file("development")).exists()


def _digest(folder: Path) -> str:
    found = survey(folder)
    if found.problems:
        raise DataError(found.problems)
    paths = [recording.path for recording in found.annotations.recordings]
    return digest_of(found.annotations, {path: file_sha256(folder / path) for path in paths})
