"""``ablate study``: train what a study file describes and is not trained yet."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.means import Means
from ablate.cli.options import (
    PluginOption,
    Printout,
    PrintoutOption,
    StoreOption,
    open_store,
)
from ablate.cli.subjects import Code, CodeOption, settle_code
from ablate.cli.train import (
    CalibrateOption,
    DataOption,
    DryRunOption,
    FoldsOption,
    ProfileOption,
    SettingsOption,
    Training,
    train_study,
)
from ablate.cli.unfolded import unfolded
from ablate.ground.errors import ConfigError

if TYPE_CHECKING:
    from ablate.design.studyfile import StudyFile
    from ablate.record.store import Store


@unfolded
def study(
    *,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="STUDY",
            help="A study file, or the name of one here, in experiments/, or of those that come with ablate; "
            "without it, all are listed.",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="Runs of each condition, with seeds 0, 1, ...  [default: the file's]"),
    ] = None,
    folds: FoldsOption = None,
    data: DataOption = None,
    code: CodeOption = None,
    profile: ProfileOption = None,
    settings: SettingsOption = None,
    store: StoreOption = None,
    dry_run: DryRunOption = False,
    calibrate: CalibrateOption = False,
    means: Means,
    plugin: PluginOption = None,
    output: PrintoutOption = Printout.TABLE,
    init: Annotated[
        str | None,
        typer.Option(
            "--init", metavar="NAME", help="Write a commented study file to start from; train nothing."
        ),
    ] = None,
) -> None:
    """Train what a study file describes and is not trained yet.

    A study file is a page of TOML: the question, the conditions, the claims, the published scores.

    Typing the same command again trains nothing; with more seeds it trains only the new ones.
    """
    from ablate.design.library import listing
    from ablate.design.study import parse_settings

    if init is not None:
        if file is not None:
            raise ConfigError(f"--init {init} writes a new study file; leave out '{file}'")
        _write_starter(init)
        return
    if file is None:
        raise ConfigError(f"name a study. {listing()}")
    page, opened = open_page(file, plugin, store, code, data)
    wanted = page.plan(
        profile=profile,
        settings=page.known.fields_of(parse_settings(settings or [])),
        seeds=None if seeds is None else range(seeds),
        folds=folds,
    )
    training = Training.by(
        means, opened, data, output, gpus_per_run=page.gpus, dry_run=dry_run, calibrate=calibrate
    )
    train_study(wanted, training, profile or page.profile, page.details)


def open_page(
    file: str, plugins: list[Path] | None, store: Path | None, code: Code | None, data: Path | None
) -> "tuple[StudyFile, Store]":
    """A study file by its path or name, and the store.

    Its subject is as the store's study knows it, and its factors as they are on the data.
    """
    from ablate.design.library import find_study
    from ablate.design.studyfile import read_study_file

    path = find_study(file)
    page = read_study_file(path, plugins or [])
    _say_which(file, path)
    opened = open_store(store)
    opened.require_folder()
    page = page.of(settle_code(opened, page.name, page.subject, code))
    return page.on_data(page.subject.data.settles(data, opened.data)), opened


def _say_which(name: str, path: Path) -> None:
    """Which file a name has found, unless it is the file's own path."""
    from ablate.design.library import hides_packaged, origin

    if path == Path(name):
        return
    remark = ", not the study of that name that comes with ablate" if hides_packaged(path) else ""
    if origin(path) != str(path):
        remark = f", which {origin(path)}"
    print(f"Study file: {path}{remark}", file=sys.stderr)


def _write_starter(name: str) -> None:
    """A new study file where ``ablate study NAME`` finds it, or at a path that ends in ``.toml``."""
    from ablate.design.library import OWN, SUFFIX
    from ablate.design.study import check_study_name
    from ablate.subject.registry import built_in

    path = Path(name) if name.endswith(SUFFIX) else OWN / f"{name}{SUFFIX}"
    check_study_name(path.stem if name.endswith(SUFFIX) else name)
    if path.exists():
        raise ConfigError(f"{path} exists already and is left as it is; choose another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(built_in().starter(path.stem))
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error
    print(f"Wrote {path}. What it would train: ablate study {path} --dry-run")
