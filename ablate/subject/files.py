"""The data of subjects that have none of their own: a folder that the user names, or nothing."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablate.ground.errors import ConfigError, DataError, brief
from ablate.subject.code import files_below, joint_digest
from ablate.subject.interface import Data, Dataset, Say

DIGITS = 32  # hexadecimal ones of a digest; MLflow takes up to 36
NONE = "none"  # the digest of no data, which lie nowhere
NOWHERE = Path(os.devnull)


class FolderData(Data):
    """The files of ``--data DIR`` as they are; without it no data, under the subject's ``name``."""

    def __init__(self, name: str) -> None:
        self._name = name

    def identify(self, folder: Path | None, store_data: Path, say: Say, expected: Sequence[Any]) -> Dataset:  # noqa: ARG002
        """Reads every file once. Raises DataError when the folder or a file cannot be read."""
        if folder is None:
            return Dataset(self._name, NONE, NOWHERE)
        path = folder.absolute()
        return Dataset(path.resolve().name or str(path), folder_digest(path), path)

    def provide(self, folder: Path | None, store_data: Path, say: Say, expected: Sequence[Any]) -> Dataset:
        return self.identify(folder, store_data, say, expected)

    def digest(self, path: Path) -> str:
        return NONE if path == NOWHERE else folder_digest(path)


def folder_of(data: Dataset) -> Path | None:
    """The folder of a run's data, if it has any."""
    return None if data.digest == NONE else data.path


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a folder's files, but for hidden ones, as 32 hexadecimal digits.

    Raises DataError when there is no such folder, nothing in it, or a file in it that cannot be read.
    """
    if not folder.is_dir():
        what = "a file, not a folder" if folder.exists() else "no such folder"
        raise DataError(f"{brief(str(folder))}: {what}; name the folder of the data with --data DIR")
    try:
        files = files_below(folder)
        digest = joint_digest(files)
    except ConfigError as error:
        raise DataError(error.problems) from error
    except OSError as error:
        raise DataError(f"{brief(str(error.filename))}: cannot be read ({error.strerror})") from error
    if not files:
        raise DataError(
            f"{brief(str(folder))}: there are no files in it; name another folder with --data DIR"
        )
    return digest[:DIGITS]
