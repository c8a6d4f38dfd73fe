"""What a stage leaves behind: a JSON file that is whole at any moment, with what was measured so far."""

import time
from pathlib import Path
from typing import Any

from ablate.ground.files import read_json, write_json
from benchmarks import common


class Clock:
    """How much of a stage's time is left."""

    def __init__(self, seconds: float) -> None:
        self._started = time.monotonic()
        self._seconds = seconds

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._started

    @property
    def left_s(self) -> float:
        return self._seconds - self.elapsed_s


class Record:
    """The file of one stage. ``rows`` are its measurements, ``left_out`` what there was no time for."""

    def __init__(self, file: Path, where: common.Row) -> None:
        self._file = file
        self._content: dict[str, Any] = {**where, "rows": [], "left_out": []}
        self._write()

    @property
    def folder(self) -> Path:
        return self._file.parent

    def note(self, **values: Any) -> None:
        """Says something of the whole stage."""
        self._content.update(values)
        self._write()

    def add(self, row: common.Row) -> None:
        self._content["rows"].append(row)
        common.show(row)
        self._write()

    def leave_out(self, what: str) -> None:
        self._content["left_out"].append(what)
        print(f"no time for {what}", flush=True)
        self._write()

    def _write(self) -> None:
        write_json(self._file, self._content)


def read(file: Path) -> dict[str, Any] | None:
    """What a stage has written; None when it never began to."""
    try:
        content: dict[str, Any] = read_json(file)
    except FileNotFoundError:
        return None
    return content
