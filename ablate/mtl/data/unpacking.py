"""Some files of an archive, put into a folder and nowhere else.

Only members of just the wanted names are written, so that a name with ``..`` or a drive leads nowhere. What
is written at last has the size and the CRC-32 of the archive's directory, and no more room was taken before.
"""

import stat
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfileobj
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from ablate.ground.errors import DataError, brief
from ablate.ground.files import replacing
from ablate.ground.wording import readable_bytes

LARGEST_BYTES = 500_000_000  # of a recording: half an hour of the study's; what claims to be more is a bomb
COPY_BYTES = 2**20
ENCRYPTED = 0x1


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A file as it was written, to be known again."""

    n_bytes: int
    mtime_ns: int
    crc32: int


def unpack(archive: Path, folder: Path, wanted: Collection[str]) -> dict[str, Unpacked]:
    """Writes those of ``wanted`` that ``archive`` has to ``folder``, each whole or not at all.

    Returns them by path. Raises DataError with all that is wrong with the archive, before anything is written
    as far as its directory shows it; OSError when there is no room.
    """
    try:
        with ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if member.filename in wanted]
            problems = [f"{archive.name}: {problem}" for problem in _problems(members)]
            if problems:
                raise DataError(problems)
            return {member.filename: _write(opened, member, folder) for member in members}
    except (BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise DataError(f"{archive.name}: cannot be unpacked: {brief(str(error))}") from error


def is_unpacked(folder: Path, path: str, known: Unpacked) -> bool:
    """Whether a file is there as it was written; one that was copied since is read to find out."""
    file = folder / path
    if not file.is_file():
        return False
    state = file.stat()
    if (state.st_size, state.st_mtime_ns) == (known.n_bytes, known.mtime_ns):
        return True
    return state.st_size == known.n_bytes and _crc32(file) == known.crc32


def _problems(members: list[ZipInfo]) -> Iterator[str]:
    for name, times in Counter(member.filename for member in members).items():
        if times > 1:
            yield f"holds {name} {times} times"
    for member in members:
        if stat.S_ISLNK(member.external_attr >> 16):
            yield f"{member.filename} is a link, not a recording"
        if member.flag_bits & ENCRYPTED:
            yield f"{member.filename} is encrypted"
        if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            yield f"{member.filename} is compressed in another way ({member.compress_type}) than archives are"
        if member.file_size > LARGEST_BYTES:
            size, largest = readable_bytes(member.file_size), readable_bytes(LARGEST_BYTES)
            yield f"{member.filename} would be {size}; a recording has at most {largest}"


def _write(archive: ZipFile, member: ZipInfo, folder: Path) -> Unpacked:
    """Reading ends at the size in the directory, and raises BadZipFile for another CRC-32."""
    file = folder / member.filename
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.parent.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{file.parent} leads out of {folder}; remove that link")
    with replacing(file, durable=True) as temporary, archive.open(member) as content:
        with temporary.open("xb") as out:
            copyfileobj(content, out, COPY_BYTES)
        if temporary.stat().st_size != member.file_size:
            raise BadZipFile(f"{member.filename} ends early")
        written = temporary.stat()
    return Unpacked(written.st_size, written.st_mtime_ns, member.CRC)


def _crc32(file: Path) -> int:
    crc = 0
    with file.open("rb") as stream:
        while block := stream.read(COPY_BYTES):
            crc = zlib.crc32(block, crc)
    return crc
