"""What is written of each recording: a label file, and its pictures."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure

from ablate.ground.errors import ConfigError
from ablate.mtl.data.annotations import Event
from ablate.mtl.data.labelforms.forms import label_texts, write_labels
from ablate.mtl.data.labelforms.labelled import Labelled
from ablate.mtl.prediction.detections import Prediction
from ablate.mtl.prediction.recordings import Asked

DOTS_PER_INCH = 120


@dataclass
class Outputs:
    """The files of a session in ``folder``: labels of a ``form``, if any, and pictures where there is a plot.

    ``pictures`` are those of the recording that was last begun.
    """

    folder: Path
    form: str | None
    plot: bool
    pictures: list[str] = field(default_factory=list)
    _labelled: list[Labelled] = field(default_factory=list)

    def check(self, asked: Sequence[Asked]) -> None:
        """Raises ConfigError when files are there already that may be somebody's own."""
        there = [file for file in self._first(asked) if file.exists()]
        if there:
            more = f" and {len(there) - 1} more" if len(there) > 1 else ""
            raise ConfigError(
                f"{there[0]}{more}: there already; replace with --force, or name another --output"
            )

    def keep_labels(self, each: Asked, prediction: Prediction) -> None:
        """Holds a recording's events until ``write_labels``: forms may have one file for all."""
        if self.form is not None:
            events = tuple(Event(event.onset_s, event.offset_s, event.label) for event in prediction.events)
            self._labelled.append(Labelled(each.path, prediction.info.duration_s, events))

    def write_labels(self) -> list[str]:
        """Writes all that is held, and returns the files. Raises DataError when that cannot be."""
        if self.form is None or not self._labelled:
            return []
        return [str(file) for file in write_labels(self.form, self.folder, self._labelled, overwrite=True)]

    def keep_page(self, each: Asked, number: int, figure: Figure) -> None:
        """Writes a picture, counted from 1. Raises ConfigError when that cannot be."""
        file = self._page(each, number)
        with _writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(file, dpi=DOTS_PER_INCH)
        self.pictures.append(str(file))

    def _first(self, asked: Sequence[Asked]) -> Iterator[Path]:
        """All label files, and the first picture of each recording."""
        if self.form is not None:
            empty = [Labelled(each.path, 1.0, ()) for each in asked]
            yield from label_texts(self.form, self.folder, empty)
        if self.plot:
            yield from (self._page(each, 1) for each in asked)

    def _page(self, each: Asked, number: int) -> Path:
        """The first minute has the recording's name, later ones in addition their number."""
        return self.folder / (f"{each.name}.png" if number == 1 else f"{each.name}.minute{number}.png")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written ({error.strerror or error}); name another --output"
        ) from error
