"""``ablate study``: train what a study file describes and is not trained yet."""

from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.console import print_json
from ablate.cli.means import Means
from ablate.cli.options import (
    PluginOption,
    Printout,
    PrintoutOption,
    StoreOption,
    open_store,
)
from ablate.cli.subjects import CodeOption
from ablate.cli.train import (
    CalibrateOption,
    DataOption,
    DryRunOption,
    FoldsOption,
    ProfileOption,
    SettingsOption,
    Training,
    tell,
    train_study,
)
from ablate.cli.unfolded import unfolded
from ablate.ground import documents
from ablate.ground.errors import ConfigError


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
    from ablate.api.asked import File
    from ablate.design.library import listing
    from ablate.design.study import parse_settings

    if init is not None:
        if file is not None:
            raise ConfigError(f"--init {init} writes a new study file; leave out '{file}'")
        path = _write_starter(init)
        if output is Printout.JSON:
            print_json(documents.Written(schema="ablate.written/1", file=str(path)))
        else:
            print(f"Wrote {path}. What it would train: ablate study {path} --dry-run")
        return
    if file is None and output is Printout.JSON:
        print_json(_listing())
        return
    if file is None:
        raise ConfigError(f"name a study. {listing()}")
    asked = File(file, seeds, folds, code, data, profile, parse_settings(settings or []), plugin or [])
    opened = open_store(store)
    wanted = asked.wanted(opened)
    say_which(file)
    training = Training.by(
        means, opened, data, output, gpus_per_run=wanted.gpus_per_run, dry_run=dry_run, calibrate=calibrate
    )
    train_study(wanted.study, training, wanted.profile, wanted.details)


def say_which(name: str) -> None:
    """Which file a name has found, unless it is the file's own path."""
    from ablate.design.library import find_study, hides_packaged, origin

    path = find_study(name)
    if path == Path(name):
        return
    remark = ", not the study of that name that comes with ablate" if hides_packaged(path) else ""
    if origin(path) != str(path):
        remark = f", which {origin(path)}"
    tell(f"Study file: {path}{remark}")


def _listing() -> documents.Studies:
    """The study files that there are, by name."""
    from ablate.design.library import available, packaged

    return documents.Studies(
        schema="ablate.studies/1",
        studies=[
            documents.StudyFile(name=name, file=str(path), comes_with_ablate=path.parent == packaged())
            for name, path in sorted(available().items())
        ],
    )


def _write_starter(name: str) -> Path:
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
    return path
