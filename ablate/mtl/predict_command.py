"""``ablate predict``: what a finished run's network hears in any recordings."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.console import console
from ablate.cli.options import Format, FormatOption, StoreOption, open_store
from ablate.ground.errors import ConfigError, DataError
from ablate.mtl.data_command import FormName

if TYPE_CHECKING:
    from ablate.mtl.prediction.listening import Classify
    from ablate.mtl.prediction.recordings import Asked
    from ablate.mtl.trained import Trained

OUTPUT = "predictions"

RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="A run id, the beginning of one, or 'NAME seed=K'.")
]
StudyOption = Annotated[
    str | None, typer.Option("--study", metavar="NAME", help="The study of RUN.  [default: any]")
]
PathsArgument = Annotated[
    list[Path], typer.Argument(metavar="FILE|FOLDER...", help="Recordings, and folders of them.")
]
LabelsOption = Annotated[FormName | None, typer.Option("--labels", help="Write the events in this form.")]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="DIR", help=f"Where files go.  [default: {OUTPUT}]"),
]
DataOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Annotations for the pictures; those of the run's data are known."),
]
ThresholdOption = Annotated[
    float | None,
    typer.Option(help="What an event's probability must exceed.  [default: as in the run's scores]"),
]
DeviceOption = Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda:0", help="Where to compute.")]


def predict(
    run: RunArgument,
    paths: PathsArgument,
    labels: LabelsOption = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw each recording, a picture a minute.")] = False,
    output: OutputOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    data: DataOption = None,
    threshold: ThresholdOption = None,
    device: DeviceOption = "auto",
    study: StudyOption = None,
    output_format: FormatOption = Format.TABLE,
    store: StoreOption = None,
) -> None:
    """Say which scene and which events a run's network hears in recordings.

    They may be of any length, sample rate and number of channels: wav, flac, ogg, mp3 and what else soundfile
    reads. Exit code 1 when some of them could not be read.
    """
    from ablate.mtl.predict_report import Report, tell_failures
    from ablate.mtl.prediction.outputs import Outputs
    from ablate.mtl.prediction.recordings import find_recordings
    from ablate.mtl.prediction.session import Session
    from ablate.mtl.prediction.truth import find_truth
    from ablate.mtl.trained import trained

    _check_options(labels, plot, output, data, threshold)
    chosen = trained(open_store(store), run, study, "predict on files")
    if threshold is None:
        threshold = chosen.network.config.scoring.threshold
    asked = find_recordings(paths)
    outputs = Outputs(Path(OUTPUT) if output is None else output, labels and labels.value, plot)
    if not force:
        outputs.check(asked)
    truth = find_truth(data, chosen.data if plot else None)
    title = f"{chosen.found.record.name}, seed {chosen.found.record.seed}"
    session = Session(title, chosen.network, _classifier(chosen, device), threshold, outputs, truth)
    report = Report(output_format, chosen, threshold)
    try:
        with _progress(asked) as advance:
            for prediction in session.predict(asked, advance):
                report.add(prediction, outputs.pictures)
    finally:  # what is heard by then is not lost to Ctrl-C
        label_files = outputs.write_labels()
    report.end(label_files, session.failed)
    if session.failed:
        tell_failures(session.failed, len(asked))
        raise typer.Exit(1)


def _check_options(
    labels: FormName | None, plot: bool, output: Path | None, data: Path | None, threshold: float | None
) -> None:
    problems = []
    if threshold is not None and not 0 < threshold < 1:
        problems.append(f"--threshold {threshold:g}: a probability between 0 and 1 is needed")
    if output is not None and not (plot or labels):
        problems.append("--output says where files go; ask for some with --labels or --plot")
    if data is not None and not plot:
        problems.append("--data is for pictures; ask for them with --plot")
    if problems:
        raise ConfigError(problems)


def _classifier(chosen: "Trained", device: str) -> "Classify":
    from ablate.launch.devices import find_devices

    name, *others = find_devices(device)
    if others and device not in ("auto", "cuda"):
        raise ConfigError(f"--device {device}: one device predicts; name one")

    import torch

    from ablate.mtl.prediction.network import classifier, load_model

    return classifier(load_model(chosen.network, chosen.weights), torch.device(name))


@contextmanager
def _progress(asked: "Sequence[Asked]") -> Iterator[Callable[[float], None]]:
    """A bar over all seconds of sound, if standard error is a terminal; to be told of each that is heard."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    screen = console(stderr=True)
    if not screen.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    # What is printed goes above the bar, unless it goes to a pipe.
    with Progress(*columns, console=screen, transient=True, redirect_stdout=sys.stdout.isatty()) as bar:
        task = bar.add_task("listening", total=sum(map(_duration_s, asked)))
        yield lambda seconds: bar.advance(task, seconds)


def _duration_s(each: "Asked") -> float:
    from ablate.mtl.data.audio import inspect_audio

    try:
        return inspect_audio(Path(), str(each.file)).duration_s
    except DataError:  # it is told when its turn comes
        return 0.0
