"""Options that several commands share, and what they mean."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.ground.errors import ConfigError

if TYPE_CHECKING:
    from ablate.record.store import Store


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"


StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store", metavar="DIR", help="Folder of all results.  [default: ABLATE_STORE, else ./mlruns]"
    ),
]
StudyArgument = Annotated[
    str | None, typer.Argument(metavar="STUDY", help="The study's name; without it, the one last planned.")
]
StudyOption = Annotated[str | None, typer.Option("--study", metavar="NAME", help="The same as STUDY.")]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write to a file instead of the terminal."),
]
WhereOption = Annotated[
    str | None,
    typer.Option(metavar="EXPR", help='Only these runs, as in `ablate runs`: "seed < 5".'),
]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print.")]


def open_store(path: Path | None) -> "Store":
    """The store that ``--store`` names, or the default one. Opening creates nothing."""
    from ablate.record.store import Store, default_root

    return Store(default_root() if path is None else path)


def chosen_study(argument: str | None, option: str | None) -> str | None:
    """The study that is asked for, as argument or option, if any. Raises ConfigError when the two differ."""
    if argument is not None and option is not None and argument != option:
        raise ConfigError(f"two studies are named, '{argument}' and --study '{option}'; name one")
    return argument if argument is not None else option


def pick_study(store: "Store", argument: str | None, option: str | None) -> str:
    """The study that is asked for, as argument or as option, or the one last planned.

    Raises ConfigError when the two differ, StudyError when there is no such study.
    """
    return store.choose_study(chosen_study(argument, option))


def open_study(path: Path | None, argument: str | None, option: str | None) -> "tuple[Store, str]":
    """The store and the study that a command which only reads is asked for; STUDY can be a bundle's file.

    A bundle is unpacked, every byte checked, into a folder that is removed when the command ends. Raises
    StoreError for one that is damaged, else as ``pick_study``.
    """
    from ablate.ground.files import is_zip

    asked = chosen_study(argument, option)
    if asked is not None and is_zip(Path(asked)):
        from ablate.record.bundle import open_bundle

        if path is not None:
            raise ConfigError(f"{asked} is a bundle, which is a store of its own; leave out --store")
        opened = open_bundle(Path(asked), unpacking_folder())
        return opened.store, opened.study
    store = open_store(path)
    return store, store.choose_study(asked)


def unpacking_folder() -> Path:
    """An empty folder that is removed when the command ends."""
    import atexit
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(prefix="ablate-bundle-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


class Printout(StrEnum):
    """How the commands that show no table of numbers print."""

    TABLE = "table"
    JSON = "json"


PrintoutOption = Annotated[Printout, typer.Option("--format", help="How to print.")]
PluginOption = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE.py", help="A module of yours with more FACTORS; repeatable."),
]


def listed(text: str | None) -> list[str] | None:
    """``"a, b"`` -> ``["a", "b"]``."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]
