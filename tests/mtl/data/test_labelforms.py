"""Label files of other programs: written, read back, and read as others write them."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.ground.errors import DataError
from ablate.mtl.data.annotations import Event
from ablate.mtl.data.labelforms.forms import FORMS, read_labels, write_labels
from ablate.mtl.data.labelforms.labelled import Labelled
from ablate.mtl.data.vocabulary import NAME_RULE

DOG, SIREN = Event(0.5, 1.25, "dog"), Event(1.0, 4.0, "siren")
STREET = Labelled("street/a.wav", 10.0, (DOG, SIREN))
QUIET = Labelled("street/b.wav", 9.5, ())

LABELS = [
    "dog",
    "(object) impact",
    "chien aboie très fort",
    "犬 dog 5",
    '"dog 2"',
    "1,5 kHz",
    "\\dog 3",
    "# 4",
]


@st.composite
def events(draw: st.DrawFn) -> Event:
    """An event of at least a microsecond, at microseconds."""
    onset, length = draw(st.integers(0, 10**9)), draw(st.integers(1, 10**9))
    return Event(onset / 1e6, (onset + length) / 1e6, draw(st.sampled_from(LABELS)))


@st.composite
def recordings(draw: st.DrawFn) -> list[Labelled]:
    """Up to three recordings, two of which may have the same name but for the suffix."""
    paths = st.sampled_from(["a.wav", "a.flac", "x y/ä.wav", "x y/b.1.wav", "x y/日本.ogg"])
    chosen = sorted(draw(st.sets(paths, max_size=3)))
    return [Labelled(path, 2000.0, tuple(sorted(draw(st.sets(events(), max_size=5))))) for path in chosen]


def called(form: str, paths: list[str]) -> dict[str, str]:
    """How a form calls the recordings of these paths: files of one recording leave the suffix off."""
    stems = {path: path.rpartition(".")[0] for path in paths}
    alone = {path for path in paths if list(stems.values()).count(stems[path]) == 1}
    return {path: stems[path] if path in alone and form != "tsv" else path for path in paths}


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=25, deadline=None)
@given(written=recordings())
def test_what_was_written_is_read_back(form: str, written: list[Labelled]) -> None:
    names = called(form, [recording.path for recording in written])
    with tempfile.TemporaryDirectory() as folder:
        write_labels(form, Path(folder), written)
        found = {recording.path: recording.events for recording in read_labels(form, Path(folder))}
    assert found == {names[recording.path]: recording.events for recording in written}


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=25, deadline=None)
@given(onset=st.floats(0, 1e5), length=st.floats(2e-6, 1e5))
def test_times_are_kept_to_the_microsecond(form: str, onset: float, length: float) -> None:
    event = Event(onset, onset + length, "dog")
    with tempfile.TemporaryDirectory() as folder:
        write_labels(form, Path(folder), [Labelled("a.wav", 2e5, (event,))])
        (found,) = read_labels(form, Path(folder))[0].events
    assert found.onset_s == pytest.approx(event.onset_s, abs=1e-6)
    assert found.offset_s == pytest.approx(event.offset_s, abs=1e-6)


def texts_of(form: str, folder: Path) -> dict[str, str]:
    files = write_labels(form, folder, [STREET, QUIET])
    return {file.relative_to(folder).as_posix(): file.read_text() for file in files}


def test_audacity_has_a_label_track_a_recording(tmp_path: Path) -> None:
    assert texts_of("audacity", tmp_path) == {
        "street/a.txt": "0.500000\t1.250000\tdog\n1.000000\t4.000000\tsiren\n",
        "street/b.txt": "",
    }


def test_desed_has_a_table_of_events_and_one_of_durations(tmp_path: Path) -> None:
    assert texts_of("tsv", tmp_path) == {
        "labels.tsv": "filename\tonset\toffset\tevent_label\n"
        "street/a.wav\t0.500000\t1.250000\tdog\nstreet/a.wav\t1.000000\t4.000000\tsiren\n"
        "street/b.wav\t\t\t\n",
        "durations.tsv": "filename\tduration\nstreet/a.wav\t10.000000\nstreet/b.wav\t9.500000\n",
    }


def test_raven_has_a_selection_table_a_recording(tmp_path: Path) -> None:
    assert texts_of("raven", tmp_path)["street/a.Table.1.selections.txt"] == (
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tAnnotation\n"
        "1\tSpectrogram 1\t1\t0.500000\t1.250000\t0.0\t22050.0\tdog\n"
        "2\tSpectrogram 1\t1\t1.000000\t4.000000\t0.0\t22050.0\tsiren\n"
    )


def test_jams_has_observations_of_segments(tmp_path: Path) -> None:
    written = json.loads(texts_of("jams", tmp_path)["street/a.jams"])
    assert written["file_metadata"]["duration"] == 10.0
    (annotation,) = written["annotations"]
    assert annotation["namespace"] == "segment_open"
    assert annotation["data"] == [
        {"time": 0.5, "duration": 0.75, "value": "dog", "confidence": None},
        {"time": 1.0, "duration": 3.0, "value": "siren", "confidence": None},
    ]


def test_no_label_file_is_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "street").mkdir()
    (tmp_path / "street/a.txt").write_text("mine")
    with pytest.raises(DataError, match=r"a\.txt: is there already; nothing was written"):
        write_labels("audacity", tmp_path, [QUIET, STREET])
    assert not (tmp_path / "street/b.txt").exists()
    write_labels("audacity", tmp_path, [STREET], overwrite=True)
    assert (tmp_path / "street/a.txt").read_text() != "mine"


def test_no_label_file_leaves_its_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a path within a folder"):
        write_labels("jams", tmp_path / "labels", [Labelled("../a.wav", 1.0, ())])


# ---------------------------------------------------------------------------------- as others write them


def events_in(form: str, folder: Path, name: str, text: str) -> dict[str, tuple[Event, ...]]:
    (folder / name).write_text(text)
    return {recording.path: recording.events for recording in read_labels(form, folder / name)}


def problems_in(form: str, folder: Path, name: str, text: str) -> list[str]:
    with pytest.raises(DataError) as caught:
        events_in(form, folder, name, text)
    return caught.value.problems


def test_frequencies_in_a_label_track_are_skipped(tmp_path: Path) -> None:
    text = "0.5\t1.25\tdog\n\\\t100.0\t6928.456055\n1.0\t4.0\tsiren\n\\\t-1.0\t300\n"
    assert events_in("audacity", tmp_path, "a.txt", text) == {"a": (DOG, SIREN)}


def test_labels_at_a_point_are_no_events(tmp_path: Path) -> None:
    assert events_in("audacity", tmp_path, "a.txt", "2.15\t2.15\tpoint\n0.5\t1.25\tdog\n") == {"a": (DOG,)}


def test_what_is_wrong_with_a_label_track_is_named_by_line(tmp_path: Path) -> None:
    text = "\\\t1\t2\n3\t2\tdog\nx\t4\tdog\n1\t2\t\n1\t2\t!\n"
    assert problems_in("audacity", tmp_path, "a.txt", text) == [
        "a.txt:2: dog ends at 2 s, before it begins at 3 s",
        "a.txt:3: 'x' is not a time in seconds",
        "a.txt:4: an event without event_label; leave all three empty for no event",
        f"a.txt:5: event '!' is not a name: {NAME_RULE}",
    ]


RAVEN = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)"


def test_a_selection_is_one_event_in_all_of_its_views(tmp_path: Path) -> None:
    text = (
        f"{RAVEN}\tSpecies\n1\tWaveform 1\t1\t0.5\t1.25\t\t\tdog\n1\tSpectrogram 1\t1\t0.5\t1.25\t0\t9\tdog\n"
    )
    assert events_in("raven", tmp_path, "a.Table.1.selections.txt", text) == {"a": (DOG,)}


def test_selections_in_but_one_view_are_read(tmp_path: Path) -> None:
    text = f"{RAVEN}\tSpecies\n1\tWaveform 1\t1\t0.5\t1.25\t\t\tdog\n2\tSpectrogram 1\t1\t1\t4\t0\t9\tsiren\n"
    assert events_in("raven", tmp_path, "a.txt", text) == {"a": (DOG, SIREN)}


def test_selections_of_a_sequence_count_within_their_files(tmp_path: Path) -> None:
    text = (
        "Selection\tBegin Time (s)\tEnd Time (s)\tBegin File\tFile Offset (s)\tAnnotation\n"
        "1\t0.5\t1.25\ta.wav\t0.5\tdog\n2\t11.0\t14.0\tb.wav\t1.0\tsiren\n"
    )
    assert events_in("raven", tmp_path, "all.txt", text) == {"a.wav": (DOG,), "b.wav": (SIREN,)}
    assert problems_in("raven", tmp_path, "all.txt", text.replace("File Offset (s)", "other")) == [
        "all.txt:2: these selections are of 2 files, and their times count from the start of the first; "
        "add the column File Offset (s) in Raven and save the table again"
    ]


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (
            RAVEN,
            "has no column of labels, such as annotation, species, common name; name it with --label-column",
        ),
        ("Begin Time (s)\tSpecies", "has no column End Time (s); is this a selection table of Raven?"),
    ],
    ids=["labels", "times"],
)
def test_a_selection_table_needs_times_and_labels(tmp_path: Path, header: str, problem: str) -> None:
    (found,) = problems_in("raven", tmp_path, "a.txt", f"{header}\n")
    assert found.startswith("a.txt:1: the header (")
    assert found.endswith(problem)


def jams_of(namespace: str, data: object) -> str:
    return json.dumps(
        {"annotations": [{"namespace": "beat", "data": [{}]}, {"namespace": namespace, "data": data}]}
    )


def scaper(role: str, label: str, time: object, duration: object) -> dict[str, object]:
    return {"time": time, "duration": duration, "value": {"role": role, "label": label}, "confidence": 1.0}


def test_the_background_of_a_soundscape_is_no_event(tmp_path: Path) -> None:
    observations = [scaper("background", "park", 0.0, 10.0), scaper("foreground", "dog", 0.5, 0.75)]
    for namespace in ("scaper", "sound_event"):
        assert events_in("jams", tmp_path, "a.jams", jams_of(namespace, observations)) == {"a": (DOG,)}


def test_observations_can_stand_in_columns(tmp_path: Path) -> None:
    columns = {"time": [0.5, 1], "duration": [0.75, 3], "value": ["dog", "siren"], "confidence": [1, 1]}
    for namespace in ("segment_open", "tag_open"):
        assert events_in("jams", tmp_path, "a.jams", jams_of(namespace, columns)) == {"a": (DOG, SIREN)}


def test_what_is_wrong_with_a_jams_file_is_named_by_observation(tmp_path: Path) -> None:
    observations = [
        scaper("foreground", "dog", None, 1.0),
        scaper("foreground", "", 1.0, True),
        {"time": 0, "duration": 1, "value": "dog"},
        3,
    ]
    assert problems_in("jams", tmp_path, "a.jams", jams_of("scaper", observations)) == [
        "a.jams: observation 2: its time None is not a time in seconds",
        "a.jams: observation 3: its duration True is not a time in seconds",
        "a.jams: observation 3: its label '' is not text",
        "a.jams: observation 4: the value 'dog' is not as scaper has it",
        "a.jams: observation 5: 3 is no observation",
    ]


@pytest.mark.parametrize(
    ("text", "problem"), [("{", "not JSON: Expecting"), ("[]", "no JAMS: it has no list of annotations")]
)
def test_a_file_that_is_no_jams_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    (found,) = problems_in("jams", tmp_path, "a.jams", text)
    assert found.startswith(f"a.jams: {problem}")


def test_the_problems_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1\t2\tdog\n2\t3\tDog\n")
    (tmp_path / "b.txt").write_bytes("1\t2\tchien aboyé\n".encode("latin-1"))
    (tmp_path / "c.txt").write_text("3\t4\tdog\n-1\t2\tdog\n")
    with pytest.raises(DataError) as caught:
        read_labels("audacity", tmp_path)
    assert caught.value.problems == [
        "b.txt:1: not UTF-8 text (a byte 0xe9); save it as UTF-8",
        "a.txt:2: event 'Dog' is 'dog' in other rows; spell it alike, as metrics are named after it",
        "c.txt:2: '-1' is not a time in seconds",
    ]
