"""The labels of a data set, written in the forms of other programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.ground.errors import DataError
from ablate.mtl.data.annotations import Annotations, Recording, read_annotations
from ablate.mtl.data.audio import inspect_audio
from ablate.mtl.data.columns import NAMES, SCENES_FILE, quoted
from ablate.mtl.data.labelforms.forms import FORMS, label_texts, write_files
from ablate.mtl.data.labelforms.labelled import Labelled


@dataclass(frozen=True)
class Exported:
    """The label files of each split, and the file of the scenes, where the data have any."""

    files: dict[str, list[Path]]
    recordings: dict[str, int]
    scenes: Path | None


def export_labels(form: str, folder: Path, out: Path, *, overwrite: bool = False) -> Exported:
    """Writes the labels of the data set ``folder`` into a folder of ``out`` for each split.

    Scenes, which no form has a place for, go to ``scenes.txt``, from where they are imported again. Raises
    DataError: bad annotations; audio that is missing, for forms that tell its length; files that are there.
    """
    annotations = read_annotations(folder)
    labelled = {
        split: _labelled(folder, recordings, measure=FORMS[form].needs_durations)
        for split, recordings in annotations.splits.items()
    }
    texts = {split: label_texts(form, out / split, recordings) for split, recordings in labelled.items()}
    scenes = {out / SCENES_FILE: _scenes_table(annotations)} if annotations.vocabulary.scenes else {}
    write_files({**texts["development"], **texts["evaluation"], **scenes}, overwrite=overwrite)
    return Exported(
        {split: list(files) for split, files in texts.items()},
        {split: len(recordings) for split, recordings in labelled.items()},
        next(iter(scenes), None),
    )


def _labelled(folder: Path, recordings: Sequence[Recording], *, measure: bool) -> list[Labelled]:
    problems: list[str] = []
    found = []
    for recording in recordings:
        duration_s = max((event.offset_s for event in recording.events), default=0.0)
        if measure:
            try:
                duration_s = inspect_audio(folder, recording.path).duration_s
            except DataError as error:
                problems += error.problems
        found.append(Labelled(recording.path, duration_s, recording.events))
    if problems:
        raise DataError(problems)
    return found


def _scenes_table(annotations: Annotations) -> str:
    header = f"{NAMES['path'][0]}\t{NAMES['scene'][0]}\n"
    return header + "".join(
        f"{quoted(recording.path)}\t{quoted(recording.scene)}\n" for recording in annotations.recordings
    )
