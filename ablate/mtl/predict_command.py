"""``ablate predict``: what a finished run's network hears in any recordings."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablate.cli.console import print_json, print_table, say
from ablate.cli.options import Format, FormatOption, StoreOption, StudyOption, open_store
from ablate.ground.errors import ConfigError, DataError
from ablate.ground.wording import count

if TYPE_CHECKING:
    from ablate.mtl.prediction.detections import Prediction
    from ablate.mtl.prediction.listening import Classify
    from ablate.mtl.prediction.picture import Painter
    from ablate.mtl.prediction.recordings import Asked
    from ablate.mtl.prediction.truth import Truth
    from ablate.mtl.trained import Trained

OUTPUT = "predictions"
LEAST_SCENE = 0.01  # a scene with less is not printed
CSV_COLUMNS = ("recording", "kind", "label", "onset_s", "offset_s", "probability")


def predict(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run id, the beginning of one, or 'NAME seed=K'.")
    ],
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE|FOLDER...", help="Recordings, and folders of them.")
    ],
    plot: Annotated[bool, typer.Option("--plot", help="Draw each recording, a picture a minute.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help=f"Where files go.  [default: {OUTPUT}]"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Annotations for the pictures; those of the run's data are known."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="An event's probability exceeds this.  [default: as in the run's scores]"),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", metavar="auto|cpu|cuda:0", help="Where to compute.")
    ] = "auto",
    study: StudyOption = None,
    output_format: FormatOption = Format.TABLE,
    store: StoreOption = None,
) -> None:
    """Say which scene and which events a run's network hears in recordings.

    They may be of any length, sample rate and number of channels: wav, flac, ogg, mp3 and what else soundfile
    reads. Exit code 1 when some of them could not be read.
    """
    from ablate.mtl.prediction.recordings import find_recordings
    from ablate.mtl.trained import trained

    if threshold is not None and not 0 < threshold < 1:
        raise ConfigError(f"--threshold {threshold:g}: a probability between 0 and 1 is needed")
    if output is not None and not plot:
        raise ConfigError("--output says where pictures go; ask for them with --plot")
    chosen = trained(open_store(store), run, study, "predict on files")
    if threshold is None:
        threshold = chosen.network.config.scoring.threshold
    files = _Files(Path(OUTPUT) if output is None else output, plot, force)
    asked = find_recordings(paths)
    files.check(asked)
    session = _Session(
        chosen, _classifier(chosen, device), threshold, files, _truth(chosen, data) if plot else None
    )
    report = _Report(output_format, chosen, threshold)
    for prediction in session.predict(asked):
        report.add(prediction, session.notes(prediction), files.written)
    report.end(session.failed)
    if session.failed:
        _tell_failures(session.failed, len(asked))
        raise typer.Exit(1)


# --------------------------------------------------------------------------------------------- what is done


@dataclass
class _Files:
    """What is written of each recording, and where."""

    folder: Path
    plot: bool
    force: bool
    written: list[str] = field(default_factory=list)  # of the recording that was last begun

    def check(self, asked: "Sequence[Asked]") -> None:
        """Makes the folder. Raises ConfigError when files are there that may be somebody's own."""
        if not self.plot:
            return
        there = [] if self.force else [file for each in asked for file in self._of(each) if file.exists()]
        if there:
            more = f" and {len(there) - 1} more" if len(there) > 1 else ""
            raise ConfigError(
                f"{there[0]}{more}: already there; replace with --force, or name another --output"
            )
        with _writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def keep_page(self, each: "Asked", number: int, figure: Any) -> None:
        from ablate.analysis.figures import save

        file = self._page(each, number)
        with _writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            save(figure, file, dots_per_inch=120)
        self.written.append(str(file))

    def _of(self, each: "Asked") -> Iterator[Path]:
        yield self._page(each, 1)

    def _page(self, each: "Asked", number: int) -> Path:
        """The first minute has the recording's name, later ones in addition the minute."""
        return self.folder / (f"{each.name}.png" if number == 1 else f"{each.name}.minute{number}.png")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written ({error.strerror or error}); name another --output"
        ) from error


@dataclass
class _Session:
    """A network that is asked about recordings, one after the other."""

    chosen: "Trained"
    classify: "Classify"
    threshold: float
    files: _Files
    truth: "Truth | None"
    failed: dict[str, list[str]] = field(default_factory=dict)

    def predict(self, asked: "Sequence[Asked]") -> "Iterator[Prediction]":
        """What is heard in each; ``failed`` gets the problems of those that cannot be read."""
        with _progress(asked) as advance:
            for each in asked:
                self.files.written = []
                try:
                    yield self._predict(each, advance)
                except DataError as error:
                    self.failed[str(each.file)] = error.problems

    def _predict(self, each: "Asked", advance: Callable[[float], None]) -> "Prediction":
        from ablate.mtl.data.features import HOP_SECONDS
        from ablate.mtl.prediction.detections import Tally
        from ablate.mtl.prediction.listening import listen, opened_file

        network = self.chosen.network
        with opened_file(each.file) as sound:
            tally = Tally(sound.title, sound.info, network.scenes, network.events, self.threshold)
            painter = self._painter(each)
            for heard in listen(sound, network.hearing, self.classify):
                tally.add(heard)
                if painter is not None:
                    painter.add(heard)
                advance(len(heard) * HOP_SECONDS)
        if painter is not None:
            painter.end()
        return tally.prediction()

    def _painter(self, each: "Asked") -> "Painter | None":
        if self.truth is None:
            return None
        from ablate.mtl.prediction.picture import Painter, Words

        network = self.chosen.network
        words = Words(
            f"{each.file} · {self.chosen.found.record.name}, seed {self.chosen.found.record.seed}",
            network.scenes,
            network.events,
            self.threshold,
            network.hearing,
            self.truth.of(each.file),
        )
        return Painter(words, partial(self.files.keep_page, each))

    def notes(self, prediction: "Prediction") -> list[str]:
        """What makes a recording unlike those that the network was trained on."""
        from ablate.mtl.data.features import N_BANDS, n_bands_within

        rate_hz, hearing = prediction.info.sample_rate_hz, self.chosen.network.hearing
        n_unheard = N_BANDS - n_bands_within(rate_hz, hearing.top_hz)
        if not n_unheard:
            return []
        return [
            f"at {rate_hz / 1000:g} kHz nothing is recorded above {rate_hz / 2000:g} kHz, where {n_unheard} "
            f"of the network's {N_BANDS} bands lie; they are taken to be as in the mean of its training data"
        ]


def _classifier(chosen: "Trained", device: str) -> "Classify":
    from ablate.launch.devices import find_devices

    (name, *others) = find_devices(device)
    if others and device not in ("auto", "cuda"):
        raise ConfigError(f"--device {device}: one device predicts; name one")

    import torch

    from ablate.mtl.prediction.network import classifier, load_model

    return classifier(load_model(chosen.network, chosen.weights), torch.device(name))


def _truth(chosen: "Trained", data: Path | None) -> "Truth":
    from ablate.mtl.prediction.truth import find_truth

    return find_truth(data, chosen.data)


@contextmanager
def _progress(asked: "Sequence[Asked]") -> Iterator[Callable[[float], None]]:
    """A bar over all seconds of sound, if standard error is a terminal; to be told of each that is heard."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from ablate.cli.console import console

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


# --------------------------------------------------------------------------------------------- what is said


class _Report:
    """Prints what is heard: tables and CSV recording by recording, JSON at the end."""

    def __init__(self, form: Format, chosen: "Trained", threshold: float) -> None:
        self._form = form
        self._chosen = chosen
        self._threshold = threshold
        self._content: list[dict[str, Any]] = []
        self._counts = [0, 0]  # recordings, events
        if form is Format.CSV:
            _print_csv([CSV_COLUMNS])
        elif form is Format.TABLE:
            say(f"run {chosen.title}")

    def add(self, prediction: "Prediction", notes: Sequence[str], files: Sequence[str]) -> None:
        self._counts[0] += 1
        self._counts[1] += len(prediction.events)
        if self._form is Format.JSON:
            self._content.append(_as_json(prediction, notes, files))
        elif self._form is Format.CSV:
            _print_csv(_rows(prediction))
        else:
            _print_prediction(prediction, notes, files)

    def end(self, failed: dict[str, list[str]]) -> None:
        if self._form is Format.JSON:
            print_json(self._head() | {"recordings": self._content, "failed": failed})
        elif self._form is Format.TABLE and self._counts[0] > 1:
            n_recordings, n_events = self._counts
            print()
            say(f"{count(n_recordings, 'recording')}, {count(n_events, 'event')}")

    def _head(self) -> dict[str, Any]:
        record, network = self._chosen.found.record, self._chosen.network
        return {
            "run_id": record.run_id,
            "study": self._chosen.found.study,
            "name": record.name,
            "seed": record.seed,
            "threshold": self._threshold,
            "scenes": list(network.scenes),
            "events": list(network.events),
        }


def _print_prediction(prediction: "Prediction", notes: Sequence[str], files: Sequence[str]) -> None:
    from ablate.analysis.layout import Column

    info = prediction.info
    print()
    say(f"{prediction.title}: {info.duration_s:.2f} s at {info.sample_rate_hz / 1000:g} kHz")
    for note in notes:
        say(f"  note: {note}")
    likely = [(label, p) for label, p in prediction.scenes.items() if p >= LEAST_SCENE]
    if likely:
        say("  scene: " + ", ".join(f"{label} {p:.2f}" for label, p in likely))
    if prediction.events:
        print_table(
            Column(("event",), tuple(event.label for event in prediction.events), text=True),
            [
                [Column(("from (s)",), tuple(f"{event.onset_s:.2f}" for event in prediction.events))],
                [Column(("to (s)",), tuple(f"{event.offset_s:.2f}" for event in prediction.events))],
                [Column(("probability",), tuple(f"{event.probability:.2f}" for event in prediction.events))],
            ],
        )
    for file in files:
        say(f"  written: {file}")


def _rows(prediction: "Prediction") -> Iterator[tuple[Any, ...]]:
    """The most probable scene, then the events, as CSV has them."""
    for label, probability in list(prediction.scenes.items())[:1]:
        duration_s = round(prediction.info.duration_s, 6)
        yield (prediction.title, "scene", label, 0.0, duration_s, round(probability, 4))
    for event in prediction.events:
        yield (
            prediction.title,
            "event",
            event.label,
            event.onset_s,
            round(event.offset_s, 6),
            round(event.probability, 4),
        )


def _print_csv(rows: "Sequence[Any] | Iterator[Any]") -> None:
    import csv

    csv.writer(sys.stdout, lineterminator="\n").writerows(rows)


def _as_json(prediction: "Prediction", notes: Sequence[str], files: Sequence[str]) -> dict[str, Any]:
    return {
        "path": prediction.title,
        "duration_s": prediction.info.duration_s,
        "sample_rate_hz": prediction.info.sample_rate_hz,
        "scenes": prediction.scenes,
        "clips": [
            {"onset_s": clip.onset_s, "offset_s": clip.offset_s, "scenes": clip.probabilities}
            for clip in prediction.clips
        ],
        "events": [
            {
                "label": event.label,
                "onset_s": event.onset_s,
                "offset_s": event.offset_s,
                "probability": event.probability,
            }
            for event in prediction.events
        ],
        "notes": list(notes),
        "files": list(files),
    }


def _tell_failures(failed: dict[str, list[str]], n_asked: int) -> None:
    print(f"ablate: {len(failed)} of {count(n_asked, 'recording')} could not be read:", file=sys.stderr)
    for problems in failed.values():
        for problem in problems:
            print(f"ablate: {problem}", file=sys.stderr)
