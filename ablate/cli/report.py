"""``ablate report``: a study as one page."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.console import print_json
from ablate.cli.options import (
    Printout,
    PrintoutOption,
    ReadArgument,
    StoreOption,
    StudyOption,
    open_study,
)
from ablate.ground import documents
from ablate.ground.errors import ConfigError

if TYPE_CHECKING:
    from ablate.analysis.pictures import Album
    from ablate.api.answers import Report


def report(
    study: ReadArgument = None,
    study_option: StudyOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="[default: STUDY-report.html]")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each picture as SVG and PNG too.")
    ] = None,
    mlflow: Annotated[
        bool | None,
        typer.Option(
            "--mlflow/--no-mlflow",
            help="Show the report in the study's MLflow experiment.  [default: --mlflow; not of a bundle]",
        ),
    ] = None,
    output_format: PrintoutOption = Printout.TABLE,
    store: StoreOption = None,
) -> None:
    """Write a study's report: one HTML file with everything in it.

    The question, the verdict on each claim, published and reproduced scores, the comparison, pictures, what
    is missing, where it all comes from, and every run. It needs no network, and prints well.
    """
    from ablate.api import answers
    from ablate.cli.damages import tell_damages

    opened, name = open_study(store, study, study_option)
    if mlflow and opened.bundle is not None:
        raise ConfigError(
            f"--mlflow: {opened.bundle} is a bundle, which no MLflow shows; import it first, or leave it out"
        )
    is_shipped = opened.bundle is None if mlflow is None else mlflow
    found = answers.report(name, store=opened)
    file = found.save(Path(f"{found.study}-report.html") if output is None else output)
    pictures = [] if figures is None else _save_pictures(found.album, figures)
    uri = _ship(found) if is_shipped else None
    if output_format is Printout.JSON:
        print_json(
            documents.Report(
                schema="ablate.report/1",
                study=found.study,
                bytes=len(found.page.encode()),
                pictures=[picture.title for picture in found.pictures],
                file=str(file),
                figures=[str(picture) for picture in pictures],
                mlflow=uri,
            )
        )
    else:
        print(f"wrote {file}")
        if figures is not None:
            print(f"wrote {len(pictures)} pictures in {figures}")
        if uri is not None:
            print(f"shown in MLflow as the run 'report' of {found.study}  ->  {uri}")
    tell_damages(found.store, found.study, found.damages)


def _save_pictures(pictures: "Album", folder: Path) -> list[Path]:
    from ablate.analysis.pictures import save_album
    from ablate.ground.errors import ConfigError

    try:
        return save_album(pictures, folder)
    except OSError as error:
        raise ConfigError(f"--figures {folder}: cannot be written ({error.strerror or error})") from error


def _ship(found: "Report") -> str | None:
    """Into MLflow, which is never worth failing for: the file is written. Returns where it is shown."""
    from ablate.analysis.summary import summarise
    from ablate.ground.errors import AblateError
    from ablate.tracking import Tracker
    from ablate.tracking.address import without_password

    summary = summarise(found.page, found.comparison, found.album, found.runs, datetime.now(UTC))
    try:
        tracker = Tracker(found.store, found.study)
        tracker.ship_summary(summary)
    except AblateError as error:
        typer.echo(f"ablate: the report is not in MLflow: {error}", err=True)
        return None
    return without_password(tracker.uri)
