"""A bundle: a study in one file, a zip with the records that a store has of it.

    manifest.json               what there is, and the size and SHA-256 of every other file
    report.html                 the study's report, where it has finished runs
    studies/<study>.json        as in a store, as are
    studies/<study>/<record>    searches, looks and decisions
    runs/<run id>/<file>        configuration, state, history, result, seal, counts by item

What a reader opens is a store in a folder of its own: a bundle is opened by everything that reads stores.
Files that trainings have returned, such as weights, are there only if they were asked for; the seal of their
run keeps their digests under ``left_out``. Logs, checkpoints, data and what MLflow shows are never there.

A bundle is written to be the same bytes for the same study, and read as if somebody meant harm: names are
plain and known, nothing is linked, and nothing is unpacked beyond what
the manifest says and the limits allow.
"""

import hashlib
import io
import json
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from ablate.design.runs import SCHEMA
from ablate.ground.errors import StoreError, StudyError, brief
from ablate.ground.files import replacing
from ablate.ground.records import Count, Record, Text, require
from ablate.ground.version import VERSION
from ablate.record.rundir import RESCORED, RESCORED_ITEMS, RunFolder, State
from ablate.record.seals import SEAL
from ablate.record.store import Store
from ablate.subject.items import FILE as ITEMS_FILE

FORMAT = "ablate.bundle/1"
MANIFEST = "manifest.json"
REPORT = "report.html"

# Of a run's folder, beside what its training has returned; and of what is kept of a study.
RECORDS = ("config.json", "state.json", "history.jsonl", "result.json", RESCORED, RESCORED_ITEMS, ITEMS_FILE)
OF_STUDY = ("looks.json", "decision.json", "search.json", "trials.jsonl", "origin.json")

MOST_FILES = 1_000_000
MOST_BYTES = 64 << 30  # unpacked
MOST_OF_RECORD = 256 << 20  # of a file that is read whole
MOST_RATIO = 200  # unpacked to packed, over the whole; records of real studies have 5 to 20
FREE_OF_RATIO = 64 << 20  # a bundle of fewer bytes can be as compact as it likes
MOST_TOLD = 20  # problems
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can have, so that bytes tell of content alone
CHUNK = 1 << 20

PLAIN = r"[^./\\\x00-\x1f\x7f-\uffff][^/\\\x00-\x1f\x7f-\uffff]{0,200}"
NAME = re.compile(
    rf"{re.escape(REPORT)}|studies/[A-Za-z0-9][A-Za-z0-9_.\-]{{0,120}}\.json"
    rf"|studies/[A-Za-z0-9][A-Za-z0-9_.\-]{{0,120}}/(?:{'|'.join(map(re.escape, OF_STUDY))})"
    rf"|runs/[0-9a-f]{{16}}/{PLAIN}"
)

# What a damaged or a malicious zip makes its reader raise.
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    IndexError,
    RuntimeError,
    NotImplementedError,
    OverflowError,
    struct.error,
    MemoryError,
    RecursionError,
)


class _Packed(Record):
    model_config = ConfigDict(strict=True, extra="forbid")

    size: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(Record):
    """``manifest.json``."""

    model_config = ConfigDict(strict=True, extra="forbid")

    schema_: Literal["ablate.bundle/1"] = Field(alias="schema")
    records: Count
    ablate: Text
    study: Text
    states: dict[Text, Count]
    weights: bool
    scores: bool
    notes: list[Text]
    files: dict[Text, _Packed]


@dataclass(frozen=True)
class Written:
    """A bundle that was written: bytes of the file, its SHA-256, runs in each state, what is not whole."""

    file: Path
    n_bytes: int
    digest: str
    states: Mapping[str, int]
    notes: Sequence[str]


def write_bundle(
    store: Store,
    study: str,
    file: Path,
    *,
    report: str | None = None,
    weights: bool = False,
    scores: bool = False,
    notes: Sequence[str] = (),
) -> Written:
    """Write a study, in whatever state it is, to ``file``. ``notes`` are kept with it.

    ``weights``: with all that trainings have returned; ``scores``: with what else they have kept. Raises
    StudyError when there is no such study, StoreError when something cannot be read or written.
    """
    try:
        with replacing(file, durable=True) as temporary:
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
                packing = _Packing(archive, weights, scores, list(notes))
                _pack_study(packing, store, study, report)
                packing.add_manifest(study)
            with temporary.open("rb") as handle:
                digest = hashlib.file_digest(handle, "sha256").hexdigest()
            n_bytes = temporary.stat().st_size
    except OSError as error:
        raise StoreError(f"{error.filename or file}: {error.strerror or error}") from error
    return Written(file, n_bytes, digest, packing.states, packing.notes)


@dataclass
class _Packing:
    """A bundle under way, and what of it the manifest is to say."""

    archive: zipfile.ZipFile
    weights: bool
    scores: bool
    notes: list[str]
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, content: bytes | Path) -> None:
        """A file by its content, or by where it is. Raises FileNotFoundError."""
        digest, size = hashlib.sha256(), 0
        source = io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")
        with source, self.archive.open(_entry(name), "w", force_zip64=True) as packed:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                packed.write(chunk)
        self.files[name] = {"size": size, "sha256": digest.hexdigest()}

    def add_if_there(self, name: str, path: Path) -> None:
        if path.is_file():
            self.add(name, path)

    def add_manifest(self, study: str) -> None:
        content = {
            "schema": FORMAT,
            "records": SCHEMA,
            "ablate": VERSION,
            "study": study,
            "states": self.states,
            "weights": self.weights,
            "scores": self.scores,
            "notes": self.notes,
            "files": self.files,
        }
        require(Manifest, content)
        self.archive.writestr(_entry(MANIFEST), json.dumps(content, indent=1) + "\n")


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    return entry


def _pack_study(packing: _Packing, store: Store, study: str, report: str | None) -> None:
    folders = store.study_runs(study)
    if report is not None:
        packing.add(REPORT, report.encode("utf-8"))
    packing.add(f"studies/{study}.json", store.root / "studies" / f"{study}.json")
    for name in OF_STUDY:
        packing.add_if_there(f"studies/{study}/{name}", store.study_folder(study) / name)
    for folder in sorted(folders, key=lambda folder: folder.run_id):
        _pack_run(packing, folder)


def _pack_run(packing: _Packing, folder: RunFolder) -> None:
    try:
        status = folder.status()
        result = folder.result() if status.state is State.FINISHED else None
    except StoreError as error:
        status, result = None, None
        packing.notes.append(f"run {folder.run_id}: {brief(str(error))}")
    state = State.DAMAGED if status is None else status.state
    packing.states[str(state)] = packing.states.get(str(state), 0) + 1
    if status is not None and state is State.DAMAGED:
        packing.notes.append(f"run {folder.run_id} is damaged: {brief(str(status.cause))}")
    if not folder.path.is_dir():
        return
    for name in RECORDS:
        packing.add_if_there(f"runs/{folder.run_id}/{name}", folder.path / name)
    returned = [] if result is None else [*result["files"]] * packing.weights
    kept = [] if result is None else [*result.get("kept", [])] * packing.scores
    names = [name for name in dict.fromkeys([*returned, *kept]) if name not in RECORDS]
    for name in names:
        if NAME.fullmatch(f"runs/{folder.run_id}/{name}"):
            packing.add_if_there(f"runs/{folder.run_id}/{name}", folder.path / name)
    _pack_seal(packing, folder, is_whole=state is State.FINISHED)


def _pack_seal(packing: _Packing, folder: RunFolder, *, is_whole: bool) -> None:
    """The seal as it is; of a run that is whole, with the digests of what stays behind set apart."""
    name, file = f"runs/{folder.run_id}/{SEAL}", folder.path / SEAL
    if not file.is_file():
        return
    content = file.read_bytes()
    if is_whole:
        sealed = json.loads(content)
        behind = {each for each in sealed["files"] if f"runs/{folder.run_id}/{each}" not in packing.files}
        apart = {each: sealed["files"].pop(each) for each in sorted(behind)}
        if apart:
            sealed["left_out"] = {**sealed.get("left_out", {}), **apart}
            content = (json.dumps(sealed, indent=1) + "\n").encode()
    packing.add(name, content)


# ------------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True)
class Opened:
    """A bundle that was unpacked: a store of one study."""

    store: Store
    study: str
    manifest: Mapping[str, Any]
    n_bytes: int


def open_bundle(file: Path, to: Path) -> Opened:
    """Unpack a bundle into the empty folder ``to``, every byte checked.

    Raises StoreError that names everything which is not as it was written, or which no bundle has.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            manifest = _manifest(archive)
            problems = list(_problems(archive, manifest, file.stat().st_size))
            if not problems:
                _require_room(manifest, to)
                problems += _unpack(archive, manifest, to)
        store = Store(to, file)
        problems = problems or list(_incomplete(store, manifest))
    except UNREADABLE as error:
        raise StoreError(
            f"{file}: no bundle that can be read ({brief(str(error) or repr(error))})"
        ) from error
    if problems:
        more = [f"and {len(problems) - MOST_TOLD} more"] if len(problems) > MOST_TOLD else []
        raise StoreError([f"{file}: {each}" for each in [*problems[:MOST_TOLD], *more]])
    return Opened(store, manifest["study"], manifest, file.stat().st_size)


def _manifest(archive: zipfile.ZipFile) -> dict[str, Any]:
    """Raises one of UNREADABLE."""
    if len(archive.infolist()) > MOST_FILES:
        raise ValueError(f"more than {MOST_FILES} files")
    entry = archive.getinfo(MANIFEST)
    if entry.file_size > MOST_OF_RECORD:
        raise ValueError(f"a manifest of {entry.file_size} bytes")
    with archive.open(entry) as packed:
        content = json.loads(packed.read(MOST_OF_RECORD))
    if isinstance(content, dict) and content.get("schema") != FORMAT:
        raise ValueError(f"its form is {content.get('schema')!r}, this version reads {FORMAT}")
    manifest: dict[str, Any] = require(Manifest, content)
    if manifest["records"] != SCHEMA:
        raise ValueError(f"its records have schema {manifest['records']}, this version reads {SCHEMA}")
    return manifest


def _problems(archive: zipfile.ZipFile, manifest: Mapping[str, Any], packed: int) -> Iterator[str]:
    """What is wrong before a byte is unpacked."""
    files, seen = manifest["files"], set()
    for entry in archive.infolist():
        name = entry.filename
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if name in seen:
            yield f"{brief(repr(name))} is there twice"
        elif name != MANIFEST and (not NAME.fullmatch(name) or name != entry.orig_filename):
            yield f"{brief(repr(name))} is no name of a bundle's file"
        elif name != MANIFEST and name not in files:
            yield f"{name} is not in the manifest"
        elif kind not in (0, stat.S_IFREG) or entry.flag_bits & 0x1:
            yield f"{name} is not a plain file"
        elif name != MANIFEST and entry.file_size != files[name]["size"]:
            yield f"{name} has {entry.file_size} bytes, not {files[name]['size']}"
        seen.add(name)
    yield from (f"{name} is missing" for name in files if name not in seen)
    total = sum(each["size"] for each in files.values())
    if total > MOST_BYTES:
        yield f"{total} bytes unpacked, more than the {MOST_BYTES} that a bundle can have"
    if total > FREE_OF_RATIO and total > MOST_RATIO * packed:
        yield f"{total} bytes unpacked of {packed}, more than {MOST_RATIO} times as many"
    if f"studies/{manifest['study']}.json" not in files:
        yield f"there is no record of the study {brief(repr(manifest['study']))}"


def _require_room(manifest: Mapping[str, Any], to: Path) -> None:
    total, free = sum(each["size"] for each in manifest["files"].values()), shutil.disk_usage(to).free
    if total > free:
        raise ValueError(f"unpacked it takes {total} bytes, and {to} has room for {free}")


def _unpack(archive: zipfile.ZipFile, manifest: Mapping[str, Any], to: Path) -> Iterator[str]:
    """Write every file as it is checked; yields what is not what the manifest says."""
    for name, expected in manifest["files"].items():
        path = to / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if _copied(archive, name, path, expected["size"]) != expected["sha256"]:
                yield f"{name} is damaged"
        except UNREADABLE as error:
            yield f"{name} is damaged ({brief(str(error) or repr(error))})"


def _copied(archive: zipfile.ZipFile, name: str, path: Path, size: int) -> str:
    """The SHA-256 of what was copied: at most one byte more than there is to be."""
    digest, left = hashlib.sha256(), size + 1
    with archive.open(name) as packed, path.open("xb") as out:
        while left and (chunk := packed.read(min(CHUNK, left))):
            digest.update(chunk)
            out.write(chunk)
            left -= len(chunk)
    return digest.hexdigest()


def _incomplete(store: Store, manifest: Mapping[str, Any]) -> Iterator[str]:
    """What a bundle lacks of the study that it says it has."""
    study = manifest["study"]
    try:
        folders = store.study_runs(study)
    except (StoreError, StudyError) as error:
        yield store.told(str(error)).removeprefix(f"{store.title}: ")
        return
    known = {folder.run_id for folder in folders}
    states: dict[str, int] = {}
    for folder in folders:
        state = _state(folder)
        states[state] = states.get(state, 0) + 1
    strangers = {name.split("/")[1] for name in manifest["files"] if name.startswith("runs/")} - known
    yield from (f"run {run_id} is none of the study's" for run_id in sorted(strangers))
    told = dict(manifest["states"])
    if _settled(states) != _settled(told):
        yield f"its runs are {_settled(states)}, and were {_settled(told)}"


def _settled(states: Mapping[str, int]) -> dict[str, int]:
    """A run that was under way is an interrupted one in a bundle."""
    found = {name: n for name, n in states.items() if name not in ("running", "interrupted") and n}
    under_way = states.get("running", 0) + states.get("interrupted", 0)
    return dict(sorted({**found, **({"interrupted": under_way} if under_way else {})}.items()))


def _state(folder: RunFolder) -> str:
    try:
        state = folder.status().state
        if state is State.FINISHED:
            folder.result()
    except StoreError:
        state = State.DAMAGED
    return str(state)
