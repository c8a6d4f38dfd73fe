"""The seal of a finished run: what its files held when it finished, so that any later change is noticed.

``seal.json`` has the size and the SHA-256 of each file that the run consists of. ``config.json`` is not among
them: the run's id is the hash of what it says. Whoever reads a finished run checks the small files each time,
which takes a tenth of a millisecond, and of what the training has returned, such as weights, that it is there
in full size. ``ablate doctor``, and whoever computes with such a file, checks all of its bytes.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ablate.ground.files import read_json, write_json
from ablate.ground.records import require
from ablate.record.formats import Seal

SEAL = "seal.json"
STATE = "state.json"
RECORDS = ("history.jsonl", "result.json")  # and the state; these are read whole at each look


def seal(folder: Path, state: str, files: Sequence[str]) -> None:
    """Write the seal of a run that ends: the ``state`` that it will have, its records, and its ``files``."""
    sealed = {STATE: _described(state.encode("utf-8"))}
    for name in (*RECORDS, *files):
        if (folder / name).exists():
            sealed[name] = _described((folder / name).read_bytes())
    write_json(folder / SEAL, {"files": sealed}, durable=True)


def broken(folder: Path, *, files: bool = False, contents: dict[str, bytes] | None = None) -> str | None:
    """What of a finished run is not as it was when it finished; None when all is.

    Of the training's own ``files`` only the sizes are looked at unless they are asked for. ``contents`` gets
    what was read, by name. Raises OSError for what cannot be read.
    """
    try:
        sealed: Mapping[str, Mapping[str, object]] = require(Seal, read_json(folder / SEAL))["files"]
    except FileNotFoundError:
        return f"{SEAL} is gone, which tells whether the run is as it was when it finished"
    except ValueError as error:
        return f"{SEAL} is unreadable ({error})"
    return next(_broken(folder, sealed, {} if contents is None else contents, whole=files), None)


def _broken(
    folder: Path, sealed: Mapping[str, Mapping[str, object]], contents: dict[str, bytes], *, whole: bool
) -> Iterator[str]:
    for name, expected in sealed.items():
        file = folder / name
        try:
            if name not in (STATE, *RECORDS) and not whole:
                is_same = file.stat().st_size == expected["size"]
            else:
                contents[name] = file.read_bytes()
                is_same = _described(contents[name]) == expected
        except FileNotFoundError:
            yield f"{name} is gone"
            continue
        if not is_same:
            yield f"{name} was changed after the run had finished"


def _described(content: bytes) -> dict[str, object]:
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of a finished run as it was then, by name. Raises OSError, ValueError."""
    sealed = require(Seal, read_json(folder / SEAL))
    return {name: each["sha256"] for name, each in {**sealed["files"], **sealed.get("left_out", {})}.items()}
