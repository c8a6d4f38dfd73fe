"""What is annotated of a recording, where it is one of a data set."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ablate.ground.errors import DataError
from ablate.mtl.data.annotations import Recording, annotation_file, read_annotations


@dataclass(frozen=True)
class Truth:
    """The annotated recordings of data sets, by their files."""

    recordings: dict[Path, Recording]

    def of(self, file: Path) -> Recording | None:
        return self.recordings.get(file.resolve())


def find_truth(folder: Path | None, own: Path | None) -> Truth:
    """What the data set in ``folder`` says, and the network's ``own``, as far as they are still there.

    ``own`` is where its prepared data are. Raises DataError when ``folder`` has no readable annotations.
    """
    asked = dict(_recordings(folder)) if folder is not None else {}
    return Truth({**(_own(own) if own is not None else {}), **asked})


def _own(prepared: Path) -> dict[Path, Recording]:
    for place in (prepared, prepared.parent):
        if (place / annotation_file("development")).exists():
            try:
                return dict(_recordings(place))
            except DataError:  # broken since, and nobody has asked for them
                return {}
    return {}


def _recordings(folder: Path) -> Iterator[tuple[Path, Recording]]:
    for recording in read_annotations(folder).recordings:
        yield (folder / recording.path).resolve(), recording
