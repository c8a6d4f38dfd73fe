"""``ablate data``: make, download, prepare, check and describe data sets."""

import shlex
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from ablate.cli.console import print_json, print_table, say, say_command
from ablate.cli.options import Printout, PrintoutOption
from ablate.ground.errors import DataError
from ablate.ground.wording import count, suggest
from ablate.mtl import documents
from ablate.mtl.data.corpora.scenes import SceneFrom

if TYPE_CHECKING:
    from ablate.mtl.data.corpora.importing import Imported
    from ablate.mtl.data.soundscapes import Generated
    from ablate.mtl.data.stats import Stats

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Make, download, prepare, check and describe data sets.",
)

FolderArgument = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="The data set: meta_development.txt, meta_evaluation.txt, audio."),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, max=1024, help="Processes.  [default: one per core]")
]


MOST_NOTES = 20  # printed of an import; all are in its import.json


class CorpusName(StrEnum):
    DESED = "desed"
    MAESTRO = "maestro"
    URBAN_SED = "urban-sed"
    TUT = "tut"
    AUDACITY = "audacity"
    RAVEN = "raven"
    JAMS = "jams"


class FormName(StrEnum):
    AUDACITY = "audacity"
    RAVEN = "raven"
    JAMS = "jams"
    TSV = "tsv"


@app.command()
def generate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write the data set.")],
    minutes: Annotated[float, typer.Option(help="Development minutes; the paper has 192.")] = 8.0,
    eval_minutes: Annotated[float, typer.Option(help="Evaluation minutes; the paper has 74.")] = 4.0,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal bytes.")] = 0,
    sources: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Recordings to use as sources, one sub-folder a class."),
    ] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="CLASS=EVENT", help="The event of a class of recordings, or 'none'."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the annotations and audio in DIR.")] = False,
    workers: WorkersOption = None,
    output: PrintoutOption = Printout.TABLE,
) -> None:
    """Synthesise soundscapes of the four scenes from the study's statistics."""
    from ablate.mtl.data import soundscapes

    if mapping and sources is None:
        raise DataError("--map says what the recordings of --sources are; give --sources too")
    made = soundscapes.generate(
        folder,
        minutes=minutes,
        eval_minutes=eval_minutes,
        seed=seed,
        sources=sources,
        mapping=_parse_mapping(mapping or []),
        workers=workers,
        progress=True,
        force=force,
    )
    if output is Printout.JSON:
        print_json(
            documents.Generated(
                schema="ablate.data-generate/1",
                folder=str(made.folder),
                created=made.created,
                splits=_splits(made),
                sources={event: list(classes) for event, classes in made.classes.items()},
            )
        )
    else:
        _print_generated(made)


@app.command()
def download(
    corpus: Annotated[str, typer.Argument(metavar="CORPUS", help="Which one: tut, the study's recordings.")],
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Where to write it.  [default: ./CORPUS]")
    ] = None,
    connections: Annotated[
        int, typer.Option(min=1, max=16, help="Archives that are downloaded at the same time.")
    ] = 4,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the archives in DIR/archives.")] = False,
    mirror: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A folder that has all the files, in place of their publishers."),
    ] = None,
    output: PrintoutOption = Printout.TABLE,
) -> None:
    """Download a published corpus, verify it and unpack what is annotated.

    Interrupted or killed at any moment, the same command goes on.
    """
    from ablate.mtl.data.download import CORPORA
    from ablate.mtl.data.download import download as download_corpus

    _refuse_unknown(corpus, list(CORPORA), mirror)
    wanted, place = CORPORA[corpus](), folder or Path(corpus)
    if mirror is not None:
        wanted = wanted.at(mirror)
    done = download_corpus(
        wanted, place, connections=connections, keep=keep, progress=True, say=_say_progress
    )
    if output is Printout.JSON:
        print_json(
            documents.Downloaded(
                schema="ablate.data-download/1",
                corpus=corpus,
                folder=str(place),
                recordings=done.recordings,
                archives=done.archives,
                fetched=bool(done.fetched),
            )
        )
        return
    say(
        f"{place}: {count(done.recordings, 'recording')} of {count(done.archives, 'archive')}, "
        f"{'all verified' if done.fetched else 'all of them downloaded and verified before'}"
    )
    say_command(f"ablate data check {shlex.quote(str(place))}", before="Next:")
    say_command(
        f"ablate grid --factors grl_pos,shuffle --data {shlex.quote(str(place))} --profile paper", "then:"
    )


@app.command()
def prepare(
    folder: FolderArgument,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to write.  [default: DIR/prepared]")
    ] = None,
    workers: WorkersOption = None,
    output: PrintoutOption = Printout.TABLE,
) -> None:
    """Cut clips and extract features, once for all runs."""
    from ablate.mtl.data import prepared
    from ablate.mtl.data.annotations import read_annotations
    from ablate.mtl.data.classes import class_notes

    done = prepared.is_up_to_date(folder, out)
    root = prepared.prepare(folder, out, workers=workers, progress=True)
    data = prepared.open_prepared(root)
    splits = {"development": data.development, "evaluation": data.evaluation}
    notes = list(class_notes(read_annotations(folder)))
    if output is Printout.JSON:
        print_json(
            documents.Prepared(
                schema="ablate.data-prepare/1",
                folder=str(root),
                created=not done,
                digest=data.digest,
                clips={name: len(split) for name, split in splits.items()},
                recordings={name: len(split.recording_names) for name, split in splits.items()},
                scenes=list(data.scenes),
                events=list(data.events),
                notes=notes,
            )
        )
        return
    say(f"{root}: {'already up to date' if done else 'prepared'}")
    for name, split in splits.items():
        say(f"{name}: {count(len(split), 'clip')} of {count(len(split.recording_names), 'recording')}")
    say(f"{count(len(data.scenes), 'scene')}, {count(len(data.events), 'event')}; digest {data.digest}")
    for note in notes:
        say(f"note: {note}")


@app.command()
def check(
    folder: FolderArgument, workers: WorkersOption = None, output: PrintoutOption = Printout.TABLE
) -> None:
    """Read every annotation and every sample; name all that is wrong."""
    from ablate.mtl.data.check import check as check_folder

    summary = check_folder(folder, workers=workers, progress=True)
    if output is Printout.JSON:
        print_json(
            documents.Checked(
                schema="ablate.data-check/1",
                folder=str(folder),
                splits=_splits(summary),
                notes=list(summary.notes),
            )
        )
        return
    for note in summary.notes:
        say(f"note: {note}")
    for split, recordings in summary.recordings.items():
        say(
            f"{split}: {count(recordings, 'recording')}, {count(summary.events[split], 'event')}, "
            f"{summary.minutes[split]:.1f} min"
        )
    say(f"{folder}: no problems")


@app.command()
def stats(
    folder: FolderArgument,
    figure: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="The picture.  [default: DIR/event_instances.png, none with --format json]",
        ),
    ] = None,
    output: PrintoutOption = Printout.TABLE,
) -> None:
    """Count event instances per scene, as a table and as the paper's Figure 1."""
    from ablate.mtl.data.stats import read_stats

    found = read_stats(folder)
    if figure is not None:
        _draw(found, figure)
    if output is Printout.JSON:
        head = {"schema": "ablate.data-stats/1", "folder": str(folder)}
        print_json({**head, **_as_json(found), "figure": str(figure) if figure else None})
        return
    _print_counts(found)
    print()
    say("Instances in development + evaluation; active: minutes of both in which the event sounds.")
    for split, counted in found.splits.items():
        say(
            f"{split}: {count(counted.n_recordings, 'recording')}, {count(counted.n_events, 'event')}, "
            f"{count(counted.n_labels, 'label')}"
        )
    for note in found.notes:
        say(f"note: {note}")
    if figure is None:
        figure = _draw_by_default(found, folder / "event_instances.png")
    if figure:
        say(f"figure: {figure}")


@app.command("import")
def import_(
    form: Annotated[CorpusName, typer.Argument(metavar="FORM", help="What SOURCE is.")],
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="The corpus, or the folder of labels.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The data set to write.")],
    audio: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The recordings.  [default: in SOURCE]")
    ] = None,
    evaluation: Annotated[
        str,
        typer.Option(
            metavar="SHARE|FOLDER",
            help="What is scored, not trained on: a share of the recordings, or those in the folders of a "
            "name.  [default: as the corpus has it, else 0.25]",
        ),
    ] = "",
    scene: Annotated[
        SceneFrom | None,
        typer.Option(
            help="Where the scene of a recording stands: nowhere, in its folder's name, or in its own up to "
            "a number.  [default: as the corpus has it, or in SOURCE/scenes.txt]"
        ),
    ] = None,
    soft_threshold: Annotated[
        float, typer.Option(min=0, max=1, help="From which soft label on an event is heard.")
    ] = 0.5,
    label_column: Annotated[
        str, typer.Option(metavar="NAME", help="The column of a selection table that has the labels.")
    ] = "",
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Leave out labels whose audio is not there.")
    ] = False,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the audio instead of linking to it.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a data set that was imported.")] = False,
    output: PrintoutOption = Printout.TABLE,
) -> None:
    """Make a data set of a corpus, or of labels that another program has written."""
    from ablate.mtl.data.corpora.importing import import_corpus
    from ablate.mtl.data.corpora.reading import Options

    options = Options(
        audio=audio,
        evaluation=evaluation,
        scene=scene,
        threshold=soft_threshold,
        label_column=label_column,
        skip_missing=skip_missing,
        copy=copy,
    )
    made = import_corpus(form.value, source, folder, options, force=force)
    if output is Printout.JSON:
        print_json(
            documents.ImportedData(
                schema="ablate.data-import/1",
                folder=str(made.folder),
                source=str(source),
                corpus=made.title,
                splits=_splits(made),
                scenes=list(made.scenes),
                events=list(made.classes),
                decided=list(made.decided),
                notes=list(made.notes),
            )
        )
    else:
        _print_imported(made, source)


@app.command()
def export(
    form: Annotated[FormName, typer.Argument(metavar="FORM", help="The form of the files.")],
    folder: FolderArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Where to write the label files.")],
    force: Annotated[bool, typer.Option("--force", help="Replace label files of these names.")] = False,
    output: PrintoutOption = Printout.TABLE,
) -> None:
    """Write the labels of a data set as files for other programs."""
    from ablate.mtl.data.exporting import export_labels

    exported = export_labels(form.value, folder, out, overwrite=force)
    if output is Printout.JSON:
        print_json(
            documents.ExportedLabels(
                schema="ablate.data-export/1",
                folder=str(out),
                files={split: list(map(str, files)) for split, files in exported.files.items()},
                recordings=exported.recordings,
                scenes=None if exported.scenes is None else str(exported.scenes),
            )
        )
        return
    for split, files in exported.files.items():
        say(f"{out / split}: {count(exported.recordings[split], 'recording')} in {count(len(files), 'file')}")
    if exported.scenes is not None:
        say(f"{exported.scenes}: the scene of each recording")


# ---------------------------------------------------------------------------------------------- helpers


class _Counted(Protocol):
    """What is counted of a data set, by split."""

    @property
    def recordings(self) -> Mapping[str, int]: ...
    @property
    def events(self) -> Mapping[str, int]: ...
    @property
    def minutes(self) -> Mapping[str, float]: ...


def _splits(counted: _Counted) -> dict[str, documents.Split]:
    return {
        split: documents.Split(
            recordings=recordings, events=counted.events[split], minutes=float(counted.minutes[split])
        )
        for split, recordings in counted.recordings.items()
    }


def _refuse_unknown(corpus: str, known: list[str], mirror: str | None) -> None:
    problems = []
    if corpus not in known:
        problems.append(f"unknown corpus '{corpus}'{suggest(corpus, known)}")
    if mirror is not None and not mirror.startswith(("http://", "https://")):
        problems.append(f"--mirror {mirror}: give an address that begins with http:// or https://")
    if problems:
        raise DataError(problems)


def _say_progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parse_mapping(pairs: list[str]) -> dict[str, str]:
    """``CLASS=EVENT`` pairs as a mapping. Raises DataError that names every malformed or repeated one."""
    parsed = [pair.partition("=") for pair in pairs]
    names = [name.strip() for name, _, _ in parsed]
    problems = [
        f"--map '{pair}': write CLASS=EVENT, such as --map rain='water tap running'"
        for pair, (name, _, event) in zip(pairs, parsed, strict=True)
        if not name.strip() or not event.strip()
    ]
    problems += [f"--map {name}: given twice" for name in sorted(set(names)) if names.count(name) > 1]
    if problems:
        raise DataError(problems)
    return {name.strip(): event.strip() for name, _, event in parsed}


def _print_generated(made: "Generated") -> None:
    from ablate.analysis.layout import Column

    say(f"{made.folder}: {'generated' if made.created else 'already generated, with these very arguments'}")
    for split, recordings in made.recordings.items():
        say(
            f"{split}: {count(recordings, 'recording')}, {count(made.events[split], 'event')}, "
            f"{made.minutes[split]:.1f} min"
        )
    if made.classes:
        print()
        say("Recorded sources (all other events are synthetic; files used: sources.json)")
        classes = Column(("classes",), tuple(map(", ".join, made.classes.values())), text=True)
        print_table(Column(("event",), tuple(made.classes), text=True), [[classes]])


def _print_imported(made: "Imported", source: Path) -> None:
    say(f"{made.folder}: imported from {source} ({made.title})")
    for split, recordings in made.recordings.items():
        say(
            f"{split}: {count(recordings, 'recording')}, {count(made.events[split], 'event')}, "
            f"{made.minutes[split]:.1f} min"
        )
    for kind, names in (("scene", made.scenes), ("event class", made.classes)):
        if names:
            say(f"{count(len(names), kind).replace('classs', 'classes')}: {', '.join(names)}")
    for sentence in made.decided:
        say(sentence)
    for note in made.notes[:MOST_NOTES]:
        say(f"note: {note}")
    if len(made.notes) > MOST_NOTES:
        say(f"and {len(made.notes) - MOST_NOTES} more notes, in {made.folder / 'import.json'}")


def _print_counts(found: "Stats") -> None:
    """An event a row, a scene a column, with what both splits have."""
    from ablate.analysis.layout import Column
    from ablate.mtl.data.stats import ALL

    development, evaluation = (found.splits[split] for split in ("development", "evaluation"))
    minutes = (development.active_minutes + evaluation.active_minutes).sum(axis=0)
    columns = [
        (scene, development.instances[place], evaluation.instances[place])
        for place, scene in enumerate(found.vocabulary.scenes)
    ]
    columns.append((ALL, development.instances.sum(axis=0), evaluation.instances.sum(axis=0)))
    counts = [Column((title,), _pairs_of(ours.tolist(), theirs.tolist())) for title, ours, theirs in columns]
    active = Column(("active",), tuple(f"{value:.2f}" for value in [*minutes, minutes.sum()]))
    print_table(
        Column(("event",), (*found.vocabulary.events, ALL), text=True),
        [[column] for column in [*counts, active]],
        breaks=[len(found.vocabulary.events)],
    )


def _pairs_of(development: list[int], evaluation: list[int]) -> tuple[str, ...]:
    """``12 + 5`` for each event, then for all; the signs stand below each other."""
    pairs = [*zip(development, evaluation, strict=True), (sum(development), sum(evaluation))]
    width = len(str(pairs[-1][1]))
    return tuple(f"{ours} + {theirs:>{width}}" if ours or theirs else "-" for ours, theirs in pairs)


def _as_json(found: "Stats") -> dict[str, Any]:
    rows, events = found.rows, found.vocabulary.events
    return {
        "scenes": list(found.vocabulary.scenes),
        "events": list(events),
        "notes": list(found.notes),
        "splits": {
            split: {
                "recordings": counted.n_recordings,
                "instances": {
                    scene: dict(zip(events, row.tolist(), strict=True))
                    for scene, row in zip(rows, counted.instances, strict=True)
                },
                "active_minutes": {
                    scene: dict(zip(events, row.round(4).tolist(), strict=True))
                    for scene, row in zip(rows, counted.active_minutes, strict=True)
                },
            }
            for split, counted in found.splits.items()
        },
    }


def _draw(found: "Stats", file: Path) -> None:
    """Writes the figure. Raises DataError when that is impossible."""
    from ablate.analysis.figures import save
    from ablate.mtl.figures import event_instances

    counts = {split: counted.instances for split, counted in found.splits.items()}
    try:
        save(event_instances(counts, found.rows, found.vocabulary.events), file)
    except (OSError, ValueError) as error:
        raise DataError(f"--figure {file}: cannot be written: {error}") from error


def _draw_by_default(found: "Stats", file: Path) -> Path | None:
    """The figure beside the data, or, where nothing can be written there, a hint."""
    try:
        _draw(found, file)
    except DataError:
        print(f"{file.parent} cannot be written to; give --figure FILE for the picture", file=sys.stderr)
        return None
    return file
