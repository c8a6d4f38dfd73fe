"""Tables whose header names the columns."""

from pathlib import Path

import pytest

from ablate.ground.errors import DataError
from ablate.mtl.data.annotations import Event, Recording, read_annotations, survey_annotations

DCASE = "filename\tonset\toffset\tevent_label"


def folder_with(path: Path, development: str, evaluation: str = "z.wav\thome\t1\t2\tdog\n") -> Path:
    (path / "meta_development.txt").write_bytes(development.encode())
    (path / "meta_evaluation.txt").write_text(evaluation)
    return path


def problems_of(path: Path, development: str) -> list[str]:
    return list(survey_annotations(folder_with(path, development)).problems)


@pytest.mark.parametrize(
    "text",
    [
        f"{DCASE}\tscene_label\na.wav\t1\t2.5\tdog\thome\n",
        f"scene_label\t{DCASE}\nhome\ta.wav\t1\t2.5\tdog\n",
        "event_label\tevent_offset\tevent_onset\tscene\taudio_filename\ndog\t2.5\t1\thome\ta.wav\n",
        "File\tSCENE\tStart\tEnd\tClass\na.wav\thome\t1\t2.5\tdog\n",
        "\ufeffpath\tscene\tonset\toffset\tevent\r\na.wav\thome\t1\t2.5\tdog\r\n",
        '"scene"\t"filename"\t"event label"\t"onset"\t"offset"\n"home"\t"a.wav"\t"dog"\t1\t"2.5"\n',
        "# filename\tonset (s)\toffset [sec]\tlabel\tscene\na.wav\t1\t2.5\tdog\thome\n",
        "\n\nlabel\tscene\tfile\tstart_s\tend_s\ndog\thome\ta.wav\t1\t2.5\t\t\n",
    ],
    ids=["DCASE", "scene first", "reversed", "upper case", "BOM", "quoted", "units", "blank lines"],
)
def test_columns_are_found_by_their_names(tmp_path: Path, text: str) -> None:
    (recording,) = read_annotations(folder_with(tmp_path, text)).development
    assert (recording.path, recording.scene) == ("a.wav", "home")
    assert recording.events == (Event(1.0, 2.5, "dog"),)


def test_other_columns_are_ignored_with_a_note(tmp_path: Path) -> None:
    text = f"\t{DCASE}\tscene\tannotator\n0\ta.wav\t1\t2\tdog\thome\tme\n"
    found = read_annotations(folder_with(tmp_path, text))
    assert found.development[0].events == (Event(1, 2, "dog"),)
    assert found.notes == ("meta_development.txt:1: ignored columns: one without a name, annotator",)


@pytest.mark.parametrize("row", ["a.wav\t\t\t\thome\n", "home\ta.wav\n"])
def test_a_row_without_an_event_is_a_recording_without_events(tmp_path: Path, row: str) -> None:
    header = f"{DCASE}\tscene" if row.endswith("home\n") else f"scene\t{DCASE}"
    found = read_annotations(folder_with(tmp_path, f"{header}\n{row}"))
    assert found.development == (Recording("a.wav", "home", (), ()),)


def test_a_list_of_scenes_is_recordings_without_events(tmp_path: Path) -> None:
    found = read_annotations(folder_with(tmp_path, "filename\tscene_label\tidentifier\na.wav\thome\tx1\n"))
    assert found.development == (Recording("a.wav", "home", (), ()),)


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        (
            "id\tscene\tonset\toffset\tevent",
            "the header (id, scene, onset, offset, event) has no column for path; known names are "
            "path: path, file, filename, file_name, filepath, file_path, audio_filename, audio_file",
        ),
        (
            "filename\tscene\tevent",
            "the header (filename, scene, event) has no column for onset, offset; known names are "
            "onset: event_start_time, onset, event_onset, onset_time, start, start_time, event_start, begin; "
            "offset: event_end_time, offset, event_offset, offset_time, end, end_time, event_end, stop",
        ),
        (
            "file\tfilename\tscene\tonset\toffset\tlabel",
            "the columns file and filename both name the path; keep one of them",
        ),
        (
            "file\tscene\tonset\toffset\tlabel\tLabel",
            "the columns label and Label both name the event; keep one of them",
        ),
        (
            "filename,onset,offset,event_label",
            "the header 'filename,onset,offset,event_label' has no tabs; separate columns by tabs",
        ),
    ],
    ids=["no path", "no times", "two paths", "two events", "commas"],
)
def test_a_header_that_is_not_understood_is_one_sentence(tmp_path: Path, header: str, sentence: str) -> None:
    text = header + "\n" + "a.wav\thome\t1\t2\tdog\n" * 100
    assert problems_of(tmp_path, text) == [f"meta_development.txt:1: {sentence}"]


def test_a_header_of_unknown_names_alone_says_all_that_are_known(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, "who\twhere\tt0\tt1\twhat\na.wav\thome\t1\t2\tdog\n")
    assert "has no column for path, scene, onset, offset, event; known names are path: path" in problem


@pytest.mark.parametrize(
    "row", ["onset/label.wav\tscene\t1\t2\tevent", "001\tscene\t1\t2\tevent", "x.wav\tscene"]
)
def test_a_first_row_of_data_is_no_header(tmp_path: Path, row: str) -> None:
    (recording,) = read_annotations(folder_with(tmp_path, row + "\n")).development
    assert (recording.path, recording.scene) == (row.split("\t")[0], "scene")


def test_a_row_longer_than_the_header_is_named(tmp_path: Path) -> None:
    text = f"{DCASE}\tscene\na.wav\t1\t2\tdog\thome\nb.wav\t1\t2\tdog\thome\tme\n"
    assert problems_of(tmp_path, text) == [
        "meta_development.txt:3: expected 5 fields, as in the header, found 6"
    ]


# ------------------------------------------------------------------------------------- scenes elsewhere


def test_scenes_can_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "scenes.txt").write_text("scene\tfile\nhome\ta.wav\noffice\t./b.wav\n")
    text = f"{DCASE}\na.wav\t1\t2\tdog\nb.wav\t\t\t\n"
    found = read_annotations(folder_with(tmp_path, text))
    assert [(each.path, each.scene) for each in found.development] == [("a.wav", "home"), ("b.wav", "office")]
    assert found.vocabulary.scenes == ("home", "office")


def test_a_recording_without_a_scene_anywhere_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "scenes.txt").write_text("a.wav\thome\na.wav\toffice\n")
    text = f"{DCASE}\na.wav\t1\t2\tdog\nb.wav\t\t\t\nc.wav\t\t\t\n"
    assert problems_of(tmp_path, text) == [
        "scenes.txt:2: 'a.wav' is 'office' here but 'home' in line 1",
        "meta_development.txt:3-4: no scene, and none in scenes.txt for these recordings",
    ]


def test_the_row_comes_before_the_file_of_scenes(tmp_path: Path) -> None:
    (tmp_path / "scenes.txt").write_text("a.wav\toffice\n")
    found = read_annotations(folder_with(tmp_path, "a.wav\thome\t1\t2\tdog\n"))
    assert found.development[0].scene == "home"


def test_an_unreadable_file_of_scenes_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "scenes.txt").mkdir()
    with pytest.raises(DataError, match=r"scenes.txt: not a file"):
        read_annotations(folder_with(tmp_path, "a.wav\thome\t1\t2\tdog\n"))
