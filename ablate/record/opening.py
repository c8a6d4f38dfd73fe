"""What a user names: a store by its folder, and a study by its name or by the file of a bundle.

A bundle is unpacked, every byte checked, into a folder of its own, which is removed once nothing reads it any
more. Nothing is written to the bundle, and no code that it names is run.
"""

import shutil
import tempfile
import weakref
from functools import lru_cache
from os import PathLike, sep
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.ground.errors import ConfigError, StoreError, shown
from ablate.ground.files import is_zip
from ablate.record.store import Store, default_root

if TYPE_CHECKING:
    from ablate.record.bundle import Opened

StorePath = str | PathLike[str] | None
StudyName = str | PathLike[str] | None
KEPT = 4  # bundles that stay unpacked between questions


def open_store(path: "StorePath | Store") -> Store:
    """The store at a path, or the default one. Opening creates nothing. Raises ConfigError for a bundle."""
    if isinstance(path, Store):
        return path
    root = default_root() if path is None else _path(path, "store")
    if is_zip(root):
        raise ConfigError(f"{root} is a bundle; name it in place of a study, not of a store")
    return Store(root)


def open_study(study: StudyName, store: "StorePath | Store" = None) -> tuple[Store, str]:
    """The store and the study that a question is for: by the study's name, None for the one last planned, or
    by a bundle's file, which is a store of its own.

    Raises StudyError when there is no such study, StoreError for a bundle that is none or damaged,
    ConfigError for a bundle within a store.
    """
    file = bundle_file(study, store)
    if file is None:
        chosen = open_store(store)
        return chosen, chosen.choose_study(None if study is None else str(study))
    if store is not None:
        raise ConfigError(f"{file} is a bundle, which is a store of its own; name no store beside it")
    opened = unpacked(file)
    return opened.store, opened.study


def bundle_file(study: StudyName, store: "StorePath | Store" = None) -> Path | None:
    """The file that is meant by what may be a study's name; None where that is the name of a study.

    A study of the store that is called as a file would be is meant unless there is such a bundle.
    """
    if study is None:
        return None
    path = _path(study, "study")
    if is_zip(path):
        return path
    if isinstance(study, str):
        looks_like_one = sep in study or "/" in study or path.suffix == ".zip"
        is_known = sep not in study and open_store(store).has_study(study)
        if not looks_like_one or is_known:
            return None
    return path


def unpacked(file: Path) -> "Opened":
    """A bundle as a store, which is there as long as anything holds it. Raises StoreError."""
    try:
        stat = file.stat()
        return _unpacked(file, (stat.st_mtime_ns, stat.st_size, stat.st_ino))
    except OSError as error:
        raise StoreError(f"{file}: cannot be read ({error.strerror or error})") from error


@lru_cache(maxsize=KEPT)
def _unpacked(file: Path, _stamp: tuple[int, int, int]) -> "Opened":
    """As ``unpacked``; once for each state of the file."""
    from ablate.record.bundle import open_bundle

    if not is_zip(file):
        raise StoreError(f"{file}: no bundle of `ablate bundle`" + (", but a folder" * file.is_dir()))
    try:
        folder = Path(tempfile.mkdtemp(prefix="ablate-bundle-"))
    except OSError as error:
        raise StoreError(f"{file}: there is no place to unpack it ({error.strerror or error})") from error
    try:
        opened = open_bundle(file, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(opened.store, shutil.rmtree, folder, ignore_errors=True)
    return opened


def _path(given: object, argument: str) -> Path:
    """Raises ConfigError for what is neither a name nor a path."""
    if not isinstance(given, str | PathLike):
        raise ConfigError(f"{argument}: give a name or a path, not {shown(given)}")
    try:
        return Path(given).expanduser()
    except (RuntimeError, TypeError):  # a user that is unknown; a path of bytes
        return Path(str(given))
