"""The file operations of a command and all its processes, as ``strace`` sees them.

They are replayed in memory while they are read, and what comes out must be what is on the disk, byte for
byte: so nothing was overlooked that could change a file.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.crash.disk import (
    Disk,
    Enter,
    Flush,
    Leave,
    Move,
    Operation,
    Resize,
    Say,
    Touch,
    Write,
    disk_after,
)

CALLS = (
    "open,openat,creat,write,pwrite64,writev,pwritev,pwritev2,sendfile,copy_file_range,ftruncate,truncate,"
    "fallocate,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,"
    "fsync,fdatasync,utimensat,lseek"
)
STRACE = ["strace", "-f", "--seccomp-bpf", "-y", "-xx", "-s", "100000000", "-e", f"trace={CALLS}"]

LINE = re.compile(r"(\d+) +(?:<\.\.\. \w+ resumed>)?(.*)")
CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+)(?:<([^>]*)>)?.*")
HANDLE = re.compile(r"(-?\d+|AT_FDCWD)<([^>]*)>(\(deleted\))?")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
TIMES = re.compile(r"\{tv_sec=(\d+), tv_nsec=(\d+)\}")
UNFINISHED = " <unfinished ...>"
EVENT = b'{"kind"'  # how a worker's lines to its controller begin


class Unreadable(Exception):
    """Something was done to a file that is not understood here."""


def why_not() -> str | None:
    """Why nothing can be recorded here; None when it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run([*STRACE, "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"strace may not trace here: {tried.stderr.strip()[:200]}"


@dataclass(frozen=True)
class Recording:
    """The first ``n_before`` operations make what was there before the command, and flush it."""

    operations: list[Operation]
    n_before: int


def record(words: Sequence[str], root: Path, environment: Mapping[str, str]) -> tuple[Recording, str]:
    """Run a command. All that it and its processes have done in the folder ``root``, and what it has said.

    ``root/tmp`` is the command's folder for temporary files.
    """
    (root / "tmp").mkdir(exist_ok=True)
    reader = _Reader(str(root))
    reader.take_in(root)
    n_before = len(reader.operations)
    trace = root.with_name(f"{root.name}.strace")
    done = subprocess.run(
        [*STRACE, "-o", str(trace), sys.executable, "-m", "ablate.cli.app", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment, "TMPDIR": str(root / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    if done.returncode != 0:
        raise RuntimeError(f"exit code {done.returncode}: {done.stdout}{done.stderr}")
    with trace.open(encoding="ascii") as lines:
        for line in _whole(lines):
            reader.read(line)
    trace.unlink()
    require_same(disk_after(reader.operations), root)
    return Recording(reader.operations, n_before), done.stdout + done.stderr


def require_same(disk: Disk, root: Path) -> None:
    """Raises Unreadable when the real folder is not what the recording has come to."""
    real = {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in root.rglob("*")
    }
    found = disk.tree("")
    if real != found:
        other = sorted(name for name in {*real, *found} if real.get(name, 0) != found.get(name, 0))
        raise Unreadable(f"the recording comes to something else than the disk: {other}")


def _whole(lines: Iterator[str]) -> Iterator[str]:
    """Each call on one line, where it ended; ``strace`` cuts those in two during which another one ended."""
    begun: dict[str, str] = {}
    for line in lines:
        match = LINE.fullmatch(line.rstrip("\n"))
        if match is None:
            continue
        thread, text = match.groups()
        if text.endswith(UNFINISHED):
            begun[thread] = text.removesuffix(UNFINISHED)
        else:
            yield (begun.pop(thread, "") + text) if "resumed>" in line else text


def _decoded(text: str) -> str:
    return os.fsdecode(_bytes(text))


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


@dataclass
class _Reader:
    """Turns calls into operations on inodes."""

    root: str
    operations: list[Operation] = field(default_factory=list)
    disk: Disk = field(default_factory=Disk)
    places: dict[int, int] = field(default_factory=dict)  # where the next plain write of a file goes
    appended: set[int] = field(default_factory=set)  # those that were opened to append
    last_inode: int = 0

    def take_in(self, folder: Path) -> None:
        """What is there already."""
        for path in sorted(folder.rglob("*")):
            inode = self._enter(self._inside(str(path)), is_folder=path.is_dir())
            if path.is_file():
                self._do(Write(inode, 0, path.read_bytes()))
            self._do(Flush(inode))
        for inode in list(self.disk.folders):
            self._do(Flush(inode))

    def read(self, line: str) -> None:
        match = CALL.fullmatch(line)
        if match is None or int(match[3]) < 0:
            return
        name, arguments, result, opened = match.groups()
        getattr(self, f"_on_{name}")(arguments, int(result), opened)

    def _do(self, operation: Operation) -> None:
        self.operations.append(operation)
        self.disk.apply(operation)

    def _inside(self, path: str) -> str:
        """The path from the root; raises KeyError for one elsewhere."""
        if path == self.root:
            return ""
        if not path.startswith(self.root + "/"):
            raise KeyError(path)
        return path.removeprefix(self.root + "/")

    def _paths(self, arguments: str) -> list[str]:
        """The paths that a call names, whole: those of folders that are open stand before relative ones."""
        found, folder = [], str(Path.cwd())
        for match in re.finditer(f"{HANDLE.pattern}|{TEXT.pattern}", arguments):
            if match[2] is not None:
                folder = _decoded(match[2])
            else:
                found.append(os.path.normpath(Path(folder) / _decoded(match[4])))
        return found

    def _inode(self, path: str) -> int | None:
        """None for a path elsewhere."""
        try:
            inode = self.disk.find(self._inside(path))
        except KeyError:
            return None
        if inode is None:
            raise Unreadable(f"{path}: no such file in the recording")
        return inode

    def _handled(self, arguments: str) -> int | None:
        """The inode of the file that a call has open; None for one elsewhere, and one without a name."""
        match = HANDLE.match(arguments)
        if match is None or match[3] or "#" in (path := _decoded(match[2])):
            return None
        return self._inode(path)

    def _entry(self, path: str) -> tuple[int, str]:
        folder, _, name = self._inside(path).rpartition("/")
        inode = self.disk.find(folder)
        assert inode is not None, path
        return inode, name

    def _enter(self, path: str, *, is_folder: bool) -> int:
        self.last_inode += 1
        folder, _, name = path.rpartition("/")
        parent = self.disk.find(folder)
        assert parent is not None, path
        self._do(Enter(parent, name, self.last_inode, is_folder))
        return self.last_inode

    # Calls, by name.

    def _on_openat(self, arguments: str, _result: int, opened: str | None) -> None:
        if opened is None or "O_TMPFILE" in arguments:
            return
        try:
            path = self._inside(_decoded(opened))
        except KeyError:
            return
        inode = self.disk.find(path)
        if inode is None and "O_CREAT" in arguments:
            inode = self._enter(path, is_folder=False)
        elif inode is not None and "O_TRUNC" in arguments and self.disk.files[inode]:
            self._do(Resize(inode, 0))
        if inode is not None and "O_DIRECTORY" not in arguments:
            self.places[inode] = 0
            (self.appended.add if "O_APPEND" in arguments else self.appended.discard)(inode)

    _on_open = _on_creat = _on_openat

    def _on_lseek(self, arguments: str, result: int, _: str | None) -> None:
        inode = self._handled(arguments)
        if inode is not None:
            self.places[inode] = result

    def _on_write(self, arguments: str, result: int, _: str | None) -> None:
        if r"\x70\x69\x70\x65\x3a" in arguments[:40]:  # a pipe
            self._hear(arguments)
            return
        inode = self._handled(arguments)
        if inode is not None:
            texts = b"".join(_bytes(text[1]) for text in TEXT.finditer(arguments))
            self._append(inode, texts[:result])

    _on_writev = _on_write

    def _hear(self, arguments: str) -> None:
        text = TEXT.search(arguments)
        for line in _bytes(text[1]).splitlines() if text else ():
            if line.startswith(EVENT):
                self._do(Say(line.decode()))

    def _append(self, inode: int, content: bytes) -> None:
        if inode in self.appended:
            self.places[inode] = len(self.disk.files[inode])
        self._do(Write(inode, self.places[inode], content))
        self.places[inode] += len(content)

    def _on_pwrite64(self, arguments: str, result: int, _: str | None) -> None:
        inode, text = self._handled(arguments), TEXT.search(arguments)
        if inode is not None and text is not None:
            self._do(Write(inode, int(arguments.rpartition(", ")[2]), _bytes(text[1])[:result]))

    def _on_sendfile(self, arguments: str, result: int, _: str | None) -> None:
        target = self._handled(arguments)
        if target is None or not result:
            return
        _, source, offset, _ = arguments.split(", ")
        origin = self._handled(source)
        if origin is None:
            raise Unreadable(f"sendfile from outside the folder: {arguments[:200]}")
        start = int(re.findall(r"\d+", offset)[0])
        self._append(target, bytes(self.disk.files[origin][start : start + result]))

    def _on_ftruncate(self, arguments: str, _result: int, _: str | None) -> None:
        inode = self._handled(arguments)
        if inode is not None:
            self._do(Resize(inode, int(arguments.rpartition(", ")[2])))

    def _on_truncate(self, arguments: str, _result: int, _: str | None) -> None:
        inode = self._inode(self._paths(arguments)[0])
        if inode is not None:
            self._do(Resize(inode, int(arguments.rpartition(", ")[2])))

    def _on_rename(self, arguments: str, _result: int, _: str | None) -> None:
        old, new = self._paths(arguments)
        inode = self._inode(old)
        if inode is not None:
            self._do(Move(*self._entry(old), *self._entry(new), inode))

    _on_renameat = _on_renameat2 = _on_rename

    def _on_link(self, arguments: str, _result: int, _: str | None) -> None:
        old, new = self._paths(arguments)
        inode = self._inode(old)
        if inode is not None:
            self._do(Enter(*self._entry(new), inode))

    _on_linkat = _on_link

    def _on_unlink(self, arguments: str, _result: int, _: str | None) -> None:
        (path,) = self._paths(arguments)
        inode = self._inode(path)
        if inode is not None:
            self._do(Leave(*self._entry(path), inode))

    _on_unlinkat = _on_rmdir = _on_unlink

    def _on_mkdir(self, arguments: str, _result: int, _: str | None) -> None:
        (path,) = self._paths(arguments)
        try:
            self._enter(self._inside(path), is_folder=True)
        except KeyError:
            return

    _on_mkdirat = _on_mkdir

    def _on_fsync(self, arguments: str, _result: int, _: str | None) -> None:
        inode = self._handled(arguments)
        if inode is not None:
            self._do(Flush(inode))

    _on_fdatasync = _on_fsync

    def _on_utimensat(self, arguments: str, _result: int, _: str | None) -> None:
        path, times = (self._paths(arguments) or [""])[0], TIMES.findall(arguments)
        inode = self._inode(path) if path else self._handled(arguments)
        if inode is not None and times:
            self._do(Touch(inode, float(f"{times[-1][0]}.{int(times[-1][1]):09d}")))

    def _not_understood(self, arguments: str, _result: int, _: str | None) -> None:
        if self.root in _decoded("".join(re.findall(r"\\x[0-9a-f]{2}", arguments))):
            raise Unreadable(f"a call that is not understood: {arguments[:500]}")

    _on_pwritev = _on_pwritev2 = _on_copy_file_range = _on_fallocate = _not_understood
    _on_symlink = _on_symlinkat = _not_understood
