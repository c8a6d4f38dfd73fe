"""What a user's training is made of: its file, the modules beside it that it imports, and what it names.

Their digest is part of a run's identity, so that a run of other code is another run. Where they lie does not
count, nor do hidden files, compiled ones, or installed packages, whose versions are recorded with each run.
"""

import ast
import functools
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ablate.ground.errors import ConfigError, brief
from ablate.ground.files import is_file

DIGITS = 16  # hexadecimal ones of a digest
COMPILED = "__pycache__"
HARNESS = "ablate"  # is nobody's neighbour, even in its own folder


def digest_of(entry: Path | None, uses: Sequence[Path]) -> str:
    """The digest of what ``files_of`` names, as 16 hexadecimal digits. Raises ConfigError."""
    return joint_digest(_named(entry, uses))[:DIGITS]


def files_of(entry: Path | None, uses: Sequence[Path]) -> list[Path]:
    """The entry, the Python modules of its own folder that it imports, and the files of ``uses``.

    Modules are found without running them, however deep one imports the next. ``uses`` are files, or folders
    with all that is in them. Raises ConfigError that lists every path that is not there.
    """
    return list(dict.fromkeys(path for _, path in _named(entry, uses)))


@functools.lru_cache(maxsize=4)
def package_digest(folder: Path) -> str:
    """That of a package's files as they are now, as 16 hexadecimal digits, such as that of ablate itself."""
    return joint_digest(files_below(folder))[:DIGITS]


def harness_digest() -> str:
    """The digest of ablate's own code."""
    return package_digest(Path(__file__).parent.parent)


class PlannedCode:
    """The code that a study was planned with, by its ``digest``. Read again only when it was touched.

    ``label`` is what a sentence about it begins with.
    """

    def __init__(self, label: str, entry: Path | None, uses: Sequence[Path], digest: str) -> None:
        self._label, self._entry, self._uses, self._digest = label, entry, uses, digest
        self._files: list[Path] = []
        self._stamp: object = None

    def require(self) -> None:
        """Raises ConfigError when it has changed since."""
        if self._stamp is not None and self._stamp == self._look():
            return
        if digest_of(self._entry, self._uses) != self._digest:
            raise ConfigError(
                f"{self._label}, or what it uses, has changed since the study was planned; type the command "
                "again"
            )
        self._files = files_of(self._entry, self._uses)
        self._stamp = self._look()

    def _look(self) -> object:
        try:
            return [(stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in map(os.stat, self._files)]
        except OSError:
            return None


def files_below(folder: Path) -> list[tuple[str, Path]]:
    """The files of a folder and its folders, by their names in it with ``/`` between, in their order.

    Hidden and compiled ones are left out. A link to a folder is followed, but no folder entered twice.
    Raises OSError.
    """
    found: list[tuple[str, Path]] = []
    entered = {os.path.realpath(folder)}

    def raise_it(error: OSError) -> None:
        raise error

    for here, folders, names in os.walk(folder, onerror=raise_it, followlinks=True):
        kept = []
        for name in sorted(folders):
            real = os.path.realpath(Path(here) / name)
            if not _is_left_out(name) and real not in entered:
                entered.add(real)
                kept.append(name)
        folders[:] = kept
        paths = [Path(here) / name for name in names if not _is_left_out(name)]
        found += [(path.relative_to(folder).as_posix(), path) for path in paths]
    return sorted(found)


def joint_digest(named: Iterable[tuple[str, Path]]) -> str:
    """The SHA-256 over names and contents of files, in hexadecimal digits. Raises ConfigError as below."""
    whole = hashlib.sha256()
    for label, path in named:
        name = os.fsencode(label)
        whole.update(b"%d %b %b\n" % (len(name), name, file_digest(path).encode()))
    return whole.hexdigest()


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's content. Raises ConfigError when it cannot be read."""
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{brief(str(path))}: cannot be read ({error.strerror})") from error


def _is_left_out(name: str) -> bool:
    return name.startswith(".") or name == COMPILED


def _named(entry: Path | None, uses: Sequence[Path]) -> list[tuple[str, Path]]:
    """Every file with the name that it counts under, which says nothing of where all this lies.

    That of the entry is empty: it may be renamed. The others are imported or opened by theirs.
    """
    problems: list[str] = []
    found: list[tuple[str, Path]] = []
    if entry is not None:
        if is_file(entry):
            found.append(("", entry))
            found += _neighbours(entry)
        else:
            problems.append(f"{brief(str(entry))}: no such file")
    for path in uses:
        try:
            if path.is_dir():
                name = path.resolve().name
                found += [(f"{name}/{below}", file) for below, file in files_below(path)]
            elif path.is_file():
                found.append((path.name, path))
            else:
                problems.append(
                    f"{brief(str(path))}: no such file or folder, though the subject is said to use it"
                )
        except OSError as error:
            problems.append(f"{brief(str(error.filename or path))}: cannot be read ({error.strerror})")
    if problems:
        raise ConfigError(problems)
    return sorted(found, key=lambda named: (named[0], str(named[1])))


def _neighbours(entry: Path) -> list[tuple[str, Path]]:
    """The modules of the entry's folder that it imports, and those that they import."""
    if entry.suffix != ".py":
        return []
    root = entry.parent
    found: dict[str, Path] = {}
    waiting = [entry]
    while waiting:
        module = waiting.pop()
        for name in _imports(module, root):
            if name[:1] == (HARNESS,):
                continue
            for path in _files_of_module(name, root):
                label = path.relative_to(root).as_posix()
                if label not in found and path != entry:
                    found[label] = path
                    waiting.append(path)
    return list(found.items())


def _imports(module: Path, root: Path) -> Iterator[tuple[str, ...]]:
    """The dotted names that a file imports, as their parts from the root on."""
    try:
        tree = ast.parse(module.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return  # it is digested as it is; opening the subject says what is wrong with it
    here = module.parent.relative_to(root).parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else ()
            start = (*base, *(node.module.split(".") if node.module else ()))
            yield from ((*start, alias.name) for alias in node.names if alias.name != "*")
            yield start


def _files_of_module(name: tuple[str, ...], root: Path) -> Iterator[Path]:
    """The files that importing a dotted name runs: each package on the way, and the module."""
    for depth in range(1, len(name) + 1):
        place = root.joinpath(*name[:depth])
        yield from (
            path for path in (place / "__init__.py", place.with_name(f"{place.name}.py")) if is_file(path)
        )
