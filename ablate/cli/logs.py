"""A run's logs on the screen: as they are, so that they can be searched, or their last lines."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from ablate.cli.console import print_json
from ablate.cli.options import Printout
from ablate.ground.errors import StoreError
from ablate.ground.files import last_lines


def print_logs(run_id: str, logs: Mapping[str, Path], n_lines: int | None, output: Printout) -> None:
    """All of them or the last ``n_lines`` of each; where there are several, below the path of each.

    Raises StoreError when there is none, or one cannot be read.
    """
    if not logs:
        raise StoreError(f"run {run_id} has no log: no worker has begun with it, or it was trained elsewhere")
    try:
        if output is Printout.JSON:
            found = [_content(*each, n_lines) for each in logs.items()]
            print_json({"schema": "ablate.logs/1", "run_id": run_id, "logs": found})
            return
        for place, path in enumerate(logs.values()):
            if len(logs) > 1:
                print(f"{'' if place == 0 else chr(10)}==> {path} <==")
            _print(path, n_lines)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise StoreError(f"{error.filename}: cannot be read ({error.strerror or error})") from error


def _content(name: str, path: Path, n_lines: int | None) -> dict[str, object]:
    return {"name": name, "path": str(path), "lines": _lines(path, n_lines)}


def _lines(path: Path, n_lines: int | None) -> list[str]:
    if n_lines is not None:
        return last_lines(path, n_lines)
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _print(path: Path, n_lines: int | None) -> None:
    if n_lines is None:
        with path.open(encoding="utf-8", errors="replace") as text:
            shutil.copyfileobj(text, sys.stdout)
        return
    for line in last_lines(path, n_lines):
        print(line)
