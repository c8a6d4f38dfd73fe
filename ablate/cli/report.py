"""``ablate report``: a study as one page."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.options import StoreOption, StudyArgument, StudyOption, open_study

if TYPE_CHECKING:
    from ablate.analysis.pictures import Album
    from ablate.record.store import Store

FILE = "report.html"  # its name in MLflow, whatever the user calls it


def report(
    study: StudyArgument = None,
    study_option: StudyOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="[default: STUDY-report.html]")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each picture as SVG and PNG too.")
    ] = None,
    mlflow: Annotated[
        bool, typer.Option("--mlflow/--no-mlflow", help="Show the report in the study's MLflow experiment.")
    ] = True,
    store: StoreOption = None,
) -> None:
    """Write a study's report: one HTML file with everything in it.

    The question, the verdict on each claim, published and reproduced scores, the comparison, pictures, what
    is missing, where it all comes from, and every run. It needs no network, and prints well.
    """
    from ablate.analysis import report as reports
    from ablate.analysis.material import gather
    from ablate.cli.damages import end_with_damages

    opened, name = open_study(store, study, study_option)
    file = Path(f"{name}-report.html") if output is None else output
    material = gather(opened, name)
    pictures = reports.album(material)
    text = reports.html(material, pictures)
    _write(file, text)
    print(f"wrote {file}")
    if figures is not None:
        _save_pictures(pictures, figures)
    if mlflow:
        _ship(opened, name, text)
    end_with_damages(opened, name, material.records)


def _write(file: Path, text: str) -> None:
    from ablate.ground.errors import ConfigError
    from ablate.ground.files import write_text

    try:
        write_text(file, text)
    except OSError as error:
        raise ConfigError(f"--output {file}: cannot be written ({error.strerror or error})") from error


def _save_pictures(pictures: "Album", folder: Path) -> None:
    from ablate.analysis.pictures import save_album
    from ablate.ground.errors import ConfigError

    try:
        files = save_album(pictures, folder)
    except OSError as error:
        raise ConfigError(f"--figures {folder}: cannot be written ({error.strerror or error})") from error
    print(f"wrote {len(files)} pictures in {folder}")


def _ship(store: "Store", study: str, text: str) -> None:
    """Into MLflow, which is never worth failing for: the file is written."""
    from ablate.ground.errors import AblateError
    from ablate.tracking import Tracker
    from ablate.tracking.address import without_password

    with tempfile.TemporaryDirectory(prefix="ablate-") as folder:
        file = Path(folder) / FILE
        file.write_text(text, encoding="utf-8")
        try:
            tracker = Tracker(store, study)
            tracker.ship_report(file)
        except AblateError as error:
            typer.echo(f"ablate: the report is not in MLflow: {error}", err=True)
            return
    print(f"shown in MLflow as the run 'report' of {study}  ->  {without_password(tracker.uri)}")
