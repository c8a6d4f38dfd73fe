"""What is known of each corpus: which of its files hold labels, in which form, and where its scenes stand.

Layouts are those of the published archives: DESED (https://github.com/turpaultn/DESED), MAESTRO Real
(https://zenodo.org/record/7244360), URBAN-SED (https://zenodo.org/record/1324404), and the TUT sound events.
Audacity, Raven and JAMS are label files beside any recordings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from ablate.mtl.data.columns import columns_of, lines_of
from ablate.mtl.data.corpora.scenes import SceneFrom
from ablate.mtl.data.corpora.splitting import PartOf, by_folders
from ablate.mtl.data.labelforms import ann, raven, soft
from ablate.mtl.data.labelforms.forms import FORMS, Form
from ablate.mtl.data.textfiles import read_text
from ablate.mtl.data.times import times_of


@dataclass(frozen=True)
class LabelSources:
    """The label files of a corpus, relative to its folder, and tables of its recordings' lengths.

    ``notes`` are on files that were not used.
    """

    labels: tuple[PurePosixPath, ...]
    durations: tuple[PurePosixPath, ...] = ()
    notes: tuple[str, ...] = ()


Find = Callable[[Path, Sequence[PurePosixPath], bool], LabelSources]


@dataclass(frozen=True)
class Corpus:
    """A form of corpus. ``find`` finds its label files among all files; with True, also those of an
    evaluation that the corpus has beside the usual one.

    ``by_hand``: labels are made beside recordings, so that a recording without any has no events.
    ``could_be`` says of the text of a label file without audio whether it is one at all, and ``part_of``
    which split a recording is of, by the folders that it lies in.
    """

    title: str
    form: Form
    find: Find
    scene: SceneFrom = SceneFrom.NONE
    by_hand: bool = False
    could_be: Callable[[str], bool] = bool
    part_of: PartOf = by_folders


def with_options(corpus: Corpus, threshold: float, label_column: str) -> Corpus:
    """A corpus whose files are read as the user says."""
    if corpus.form.read is soft.read:
        read = partial(soft.read, threshold=threshold)
    elif corpus.form.read is raven.read:
        read = partial(raven.read, label_column=label_column)
    else:
        return corpus
    return replace(corpus, form=replace(corpus.form, read=read))


# ------------------------------------------------------------------------------------------ label files


def _ending(suffix: str) -> Find:
    def find(_: Path, files: Sequence[PurePosixPath], every: bool) -> LabelSources:  # noqa: ARG001
        return LabelSources(tuple(file for file in files if file.suffix.lower() == suffix))

    return find


def _maestro(_: Path, files: Sequence[PurePosixPath], every: bool) -> LabelSources:  # noqa: ARG001
    """Those in the folders ``soft_labels_...``; all text files where there are no such folders."""
    texts = [file for file in files if file.suffix.lower() == ".txt"]
    soft_ones = [file for file in texts if file.parent.name.startswith("soft_labels")]
    return LabelSources(tuple(soft_ones or texts))


def _urban_sed(_: Path, files: Sequence[PurePosixPath], every: bool) -> LabelSources:  # noqa: ARG001
    """The simple annotations in text."""
    return LabelSources(
        tuple(
            file
            for file in files
            if file.suffix == ".txt" and file.parent.name in ("train", "validate", "test")
        )
    )


def _desed(root: Path, files: Sequence[PurePosixPath], every: bool) -> LabelSources:
    """Tables of events with times, and of lengths; the others are named in notes."""
    kinds: dict[str, list[PurePosixPath]] = {"strong": [], "durations": []}
    notes = []
    for file in files:
        if file.suffix.lower() in (".tsv", ".csv"):
            kind = _kind_of_table(root / file)
            if kind in kinds:
                kinds[kind].append(file)
            else:
                notes.append(f"{file}: not used: {kind}")
    left_out = [] if every else _second_evaluation(kinds["strong"])
    notes += [
        f"{file}: not used: the validation data are evaluated on; --evaluation takes others"
        for file in left_out
    ]
    strong = tuple(file for file in kinds["strong"] if file not in left_out)
    return LabelSources(strong, tuple(kinds["durations"]), tuple(notes))


def _kind_of_table(file: Path) -> str:
    """``strong``, ``durations``, or why a table is of no use; ``strong`` also for one that cannot be read."""
    text = read_text(file, [])
    header = next((fields for _, fields in lines_of(text or "")), [])
    columns = set(columns_of(header))
    names = {name.lower() for name in header}
    if text is None or {"onset", "offset", "event"} <= columns:
        return "strong"
    if "duration" in names:
        return "durations"
    if "event_labels" in names:
        return "its labels have no times"
    return "it has no labels"


def _second_evaluation(tables: Sequence[PurePosixPath]) -> list[PurePosixPath]:
    """Tables of the public evaluation, where there are the validation data, on which DESED is reported."""
    said = {file: _desed_part((*file.parent.parts, file.stem))[1] for file in tables}
    return (
        [file for file in tables if said[file] in ("eval", "public")] if "validation" in said.values() else []
    )


def _desed_part(folders: Sequence[str]) -> tuple[str, str]:
    """Real validation data are evaluated on; synthetic ones are soundscapes as those to train on."""
    if any(name.startswith("synthetic") for name in folders):
        return "development", ""
    evaluation = next((name for name in folders if name in ("validation", "eval", "public")), "")
    return ("evaluation", evaluation) if evaluation else by_folders(folders)


def _is_track(text: str) -> bool:
    """Whether a text begins as a label track or annotation does: with two times."""
    fields = next((fields for _, fields in lines_of(text) if fields[0] != "\\"), [])
    times = times_of(fields[:2])
    return len(fields) > 1 and all(times.seconds(field) is not None for field in fields[:2])


def _is_selection_table(text: str) -> bool:
    fields = next((fields for _, fields in lines_of(text)), [])
    return raven.ONSET in (name.lower() for name in fields)


ANN = Form("annotations of TUT", ".ann", ann.read)
SOFT = Form("soft labels", ".txt", soft.read)

CORPORA: dict[str, Corpus] = {
    "desed": Corpus("tables of DESED or DCASE", FORMS["tsv"], _desed, part_of=_desed_part),
    "maestro": Corpus("MAESTRO Real", SOFT, _maestro, SceneFrom.NAME, could_be=_is_track),
    "urban-sed": Corpus("URBAN-SED", FORMS["audacity"], _urban_sed, could_be=_is_track),
    "tut": Corpus("TUT sound events", ANN, _ending(".ann"), SceneFrom.FOLDER),
    "audacity": Corpus(
        "label tracks of Audacity", FORMS["audacity"], _ending(".txt"), by_hand=True, could_be=_is_track
    ),
    "raven": Corpus(
        "selection tables of Raven",
        FORMS["raven"],
        _ending(".txt"),
        by_hand=True,
        could_be=_is_selection_table,
    ),
    "jams": Corpus("JAMS", FORMS["jams"], _ending(".jams"), by_hand=True),
}
