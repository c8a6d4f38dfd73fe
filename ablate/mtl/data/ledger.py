"""``download.json``: which archives are unpacked, and how each recording of them was written."""

import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict

from ablate.ground.errors import DataError
from ablate.ground.files import read_json, write_json
from ablate.ground.records import Count, Record, Text, require
from ablate.mtl.data.fetching import Source
from ablate.mtl.data.unpacking import Unpacked, is_unpacked

LEDGER = "download.json"
FORMAT = "ablate download"


class _File(Record):
    model_config = ConfigDict(strict=True, extra="forbid")

    n_bytes: Count
    mtime_ns: int
    crc32: Count


class _Content(Record):
    format: Literal["ablate download"]
    archives: dict[Text, dict[Text, _File]]


class Ledger:
    """What is unpacked in ``folder``. Written after each archive, and safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        """Raises DataError when there is one that is damaged."""
        self._folder, self._file = folder, folder / LEDGER
        self._lock = threading.Lock()
        self._archives = _read(self._file) if self._file.exists() else {}

    def has(self, source: Source) -> bool:
        """Whether an archive was unpacked, and all its recordings are still there as they were written."""
        known = self._archives.get(_key(source))
        return known is not None and all(
            is_unpacked(self._folder, path, file) for path, file in known.items()
        )

    def add(self, source: Source, unpacked: Mapping[str, Unpacked]) -> None:
        with self._lock:
            self._archives = {**self._archives, _key(source): dict(unpacked)}
            archives = {
                archive: {path: asdict(file) for path, file in recordings.items()}
                for archive, recordings in self._archives.items()
            }
            write_json(self._file, {"format": FORMAT, "archives": archives}, durable=True)

    def paths(self) -> set[str]:
        """Of all recordings that were unpacked."""
        return {path for recordings in self._archives.values() for path in recordings}


def _key(source: Source) -> str:
    """An archive that is published anew under its old name is another one."""
    return f"{source.name} {source.md5}"


def _read(file: Path) -> dict[str, dict[str, Unpacked]]:
    try:
        content = require(_Content, read_json(file))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{file}: cannot be read ({error}); remove it, and everything is downloaded again"
        ) from error
    return {
        archive: {path: Unpacked(**known) for path, known in recordings.items()}
        for archive, recordings in content["archives"].items()
    }
