from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.ground.errors import DataError
from ablate.mtl.data.annotations import (
    Event,
    Recording,
    read_annotations,
    survey_annotations,
    write_annotations,
)
from ablate.mtl.data.columns import line_ranges
from ablate.mtl.data.vocabulary import EVENTS, SCENES, STUDY, slug
from tests.mtl.data.folders import SHARED, needs_annotations

GOOD = "a.wav\thome\t1.0\t2.5\tdishes\n"
OTHER = "c.wav\thome\t1.0\t2.5\tdishes\n"


def folder_with(path: Path, development: str | bytes, evaluation: str = OTHER) -> Path:
    content = development if isinstance(development, bytes) else development.encode()
    (path / "meta_development.txt").write_bytes(content)
    (path / "meta_evaluation.txt").write_text(evaluation)
    return path


def problems_of(path: Path, development: str | bytes, evaluation: str = OTHER) -> list[str]:
    return list(survey_annotations(folder_with(path, development, evaluation)).problems)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "path\tscene_label\tevent_start_time\tevent_end_time\tevent_label\n" + GOOD,
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\t\t\n"),
        GOOD.replace("dishes", "dishes  "),
        "\n\n" + GOOD + "\n   \n",
        GOOD.rstrip("\n"),
        GOOD.replace("a.wav", "./a.wav"),
    ],
    ids=["plain", "header", "byte order mark", "CRLF", "tabs", "blanks", "empty lines", "no newline", "dot"],
)
def test_one_event_is_read_whatever_the_layout(tmp_path: Path, text: str) -> None:
    (recording,) = read_annotations(folder_with(tmp_path, text)).development
    assert (recording.path, recording.scene) == ("a.wav", "home")
    assert recording.events == (Event(1.0, 2.5, "dishes"),)


@pytest.mark.parametrize("row", ["a.wav\thome\t\t\t\n", "a.wav\thome\n", "a.wav\thome\t \t \t \n"])
def test_a_clip_without_events_is_a_recording(tmp_path: Path, row: str) -> None:
    (recording,) = read_annotations(folder_with(tmp_path, row)).development
    assert recording.events == ()


def test_recordings_come_by_path_and_events_by_time(tmp_path: Path) -> None:
    text = "b.wav\thome\t2\t3\tdishes\na.wav\toffice\t\t\t\nb.wav\thome\t1\t4\tcutlery\n"
    development = read_annotations(folder_with(tmp_path, text)).development
    assert [recording.path for recording in development] == ["a.wav", "b.wav"]
    assert [event.label for event in development[1].events] == ["cutlery", "dishes"]
    assert development[1].lines == (3, 1)


def test_an_event_without_length_is_left_out_with_a_note(tmp_path: Path) -> None:
    found = read_annotations(folder_with(tmp_path, GOOD + "a.wav\thome\t7.5\t7.5\tcar\n"))
    assert len(found.development[0].events) == 1
    assert found.notes == ("meta_development.txt:2: car at 7.5 s has no length; left out",)


def test_a_repeated_row_counts_once_with_a_note(tmp_path: Path) -> None:
    found = read_annotations(folder_with(tmp_path, GOOD + GOOD))
    assert len(found.development[0].events) == 1
    assert found.notes == ("meta_development.txt:2: repeats line 1; left out",)


def test_overlapping_events_of_a_class_are_both_kept(tmp_path: Path) -> None:
    found = read_annotations(folder_with(tmp_path, GOOD + "a.wav\thome\t2.0\t3.0\tdishes\n"))
    assert len(found.development[0].events) == 2


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("/a.wav\thome\t1\t2\tdishes", "path '/a.wav' is absolute"),
        ("C:\\a.wav\thome\t1\t2\tdishes", "is absolute"),
        ("x\\a.wav\thome\t1\t2\tdishes", "has backslashes"),
        ("x/../../a.wav\thome\t1\t2\tdishes", "leaves the data set's folder"),
        (".\thome\t1\t2\tdishes", "names no file"),
        ("a\0.wav\thome\t1\t2\tdishes", "control character"),
        ("\thome\t1\t2\tdishes", "no path"),
        ("a.wav\t\t1\t2\tdishes", "no scene"),
        ("a.wav\t家\t1\t2\tdishes", "scene '家' is not a name: it needs a letter or digit from a-z"),
        ("a.wav\thome\t1\t2\t犬", "event '犬' is not a name"),
        ("a.wav\thome\t1\t2\tDishes", "event 'Dishes' is 'dishes' in other rows; spell it alike"),
        ("a.wav\thome\tone\t2\tdishes", "'one' is not a time in seconds"),
        ("a.wav\thome\t1\tnan\tdishes", "'nan' is not a time in seconds"),
        ("a.wav\thome\t-1\t2\tdishes", "'-1' is not a time in seconds"),
        ("a.wav\thome\t1,5\t2\tdishes", "'1,5' is not a time in seconds"),
        ("a.wav\thome\t3\t2\tdishes", "dishes ends at 2 s, before it begins at 3 s"),
        ("a.wav\thome\t1\t\tdishes", "an event without event_end_time"),
        ("a.wav\thome\t1\t2", "an event without event_label"),
        ("a.wav home 1 2 dishes", "expected 5 fields separated by tabs"),
        ("a.wav\thome\t1\t2\tdishes\tmixture", "expected 5 fields separated by tabs"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, row: str, sentence: str) -> None:
    (problem,) = problems_of(tmp_path, GOOD.replace("a.wav", "ok.wav") + row + "\n")
    assert problem.startswith("meta_development.txt:2: ")
    assert sentence in problem


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('{"scenes": ["home"], "events": ["dishes"]}')
    bad = "/a.wav\thom\tx\t2\tdishs\n"
    with pytest.raises(DataError) as error:
        read_annotations(folder_with(tmp_path, bad, bad))
    assert len(error.value.problems) == 8


def test_equal_mistakes_are_one_sentence_with_all_lines(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('{"events": ["dishes"]}')
    bad = "a.wav\thome\t1\t2\tdishs\n"
    (problem,) = problems_of(tmp_path, bad + bad + GOOD + bad)
    assert problem.startswith("meta_development.txt:1-2,4: unknown event 'dishs'")


def test_a_recording_has_one_scene(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, GOOD + "a.wav\toffice\t1\t2\tfan\n")
    assert problem == "meta_development.txt:2: 'a.wav' is 'office' here but 'home' in line 1"


def test_a_recording_is_in_one_split(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, GOOD, GOOD)
    assert "in both splits" in problem
    assert "a.wav" in problem


@pytest.mark.parametrize(
    "text", ["", "\n\n", "path\tscene_label\tevent_start_time\tevent_end_time\tevent_label\n"]
)
def test_a_split_without_recordings_is_a_problem(tmp_path: Path, text: str) -> None:
    assert problems_of(tmp_path, text) == [
        "meta_development.txt:1: no recordings; every split needs at least one"
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            (GOOD + "b.wav\thome\t1\t2\tcafé\n").encode("latin-1"),
            ":2: not UTF-8 text (a byte 0xe9); save it as",
        ),
        (
            GOOD.encode("utf-16-le"),
            ": not UTF-8 text but perhaps UTF-16 without a byte order mark; save it as",
        ),
        (b"\xff\xfea\0\x00\xd8", ": not the UTF-16 text that its first bytes promise; save it as"),
    ],
    ids=["Latin 1", "no mark", "broken"],
)
def test_text_in_an_unknown_encoding_is_a_problem(tmp_path: Path, content: bytes, problem: str) -> None:
    assert problems_of(tmp_path, content) == [f"meta_development.txt{problem} UTF-8"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_says_the_encoding(tmp_path: Path, encoding: str) -> None:
    (recording,) = read_annotations(folder_with(tmp_path, GOOD.encode(encoding))).development
    assert recording.events == (Event(1.0, 2.5, "dishes"),)


def timed(*times: str) -> str:
    """Annotations of one recording with these onsets; each event ends at 2000 s."""
    return "".join(f"a.wav\thome\t{time}\t2000\tdishes\n" for time in times)


@pytest.mark.parametrize(
    ("times", "onsets"), [(["1,5"], [1.5]), (["0,500", "1,500"], [0.5, 1.5]), ([",5", "12,25"], [0.5, 12.25])]
)
def test_commas_are_decimal_signs_where_they_can_be_nothing_else(
    tmp_path: Path, times: list[str], onsets: list[float]
) -> None:
    found = read_annotations(folder_with(tmp_path, timed(*times)))
    assert [event.onset_s for event in found.development[0].events] == onsets
    lines = "1" if len(times) == 1 else "1-2"
    assert found.notes == (f"meta_development.txt:{lines}: the commas of times are read as decimal signs",)


@pytest.mark.parametrize(
    ("times", "problem"),
    [
        (
            ["1,500"],
            "1: '1,500' is not a time in seconds beyond doubt: its comma may separate thousands; write",
        ),
        (["0.5", "1,5"], "2: '1,5' is not a time in seconds; other times have a decimal point, so write"),
        (["1,234.5"], "1: '1,234.5' is not a time in seconds"),
    ],
    ids=["thousands", "mixed", "both"],
)
def test_commas_that_may_mean_something_else_are_problems(
    tmp_path: Path, times: list[str], problem: str
) -> None:
    (found,) = problems_of(tmp_path, timed(*times))
    assert found.startswith(f"meta_development.txt:{problem}")


def test_a_missing_annotation_file_is_a_problem(tmp_path: Path) -> None:
    folder_with(tmp_path, GOOD)
    (tmp_path / "meta_evaluation.txt").unlink()
    assert survey_annotations(tmp_path).problems == (f"meta_evaluation.txt: missing in {tmp_path}",)


def test_a_missing_folder_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        read_annotations(tmp_path / "nowhere")


def test_the_words_are_those_of_both_parts_sorted(tmp_path: Path) -> None:
    vocabulary = read_annotations(
        folder_with(tmp_path, "a.wav\tforest\t1\t2\towl\n", "b.wav\tbeach\t1\t2\tcrab\n")
    ).vocabulary
    assert (vocabulary.scenes, vocabulary.events) == (("beach", "forest"), ("crab", "owl"))


def test_a_labels_file_fixes_the_order_and_restricts(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('{"scenes": ["forest", "beach"], "events": ["owl", "crab"]}')
    text = "a.wav\tforest\t1\t2\towl\n"
    vocabulary = read_annotations(folder_with(tmp_path, text, text.replace("a.wav", "b.wav"))).vocabulary
    assert (vocabulary.scenes, vocabulary.events) == (("forest", "beach"), ("owl", "crab"))
    (problem,) = problems_of(tmp_path, text, "b.wav\tforest\t1\t2\towls\n")
    assert problem == (
        "meta_evaluation.txt:1: unknown event 'owls'; did you mean 'owl'? "
        "labels.json names the events of this data set"
    )


def test_a_labels_file_can_leave_one_kind_to_the_annotations(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('{"events": ["fan", "dishes"]}')
    vocabulary = read_annotations(folder_with(tmp_path, GOOD)).vocabulary
    assert (vocabulary.scenes, vocabulary.events) == (("home",), ("fan", "dishes"))


def test_generated_soundscapes_keep_the_studys_words(tmp_path: Path) -> None:
    (tmp_path / "generation.json").write_text('{"generator": 1}')
    assert read_annotations(folder_with(tmp_path, GOOD)).vocabulary == STUDY
    (problem,) = problems_of(tmp_path, "a.wav\thome\t1\t2\tObject_Impact\n")
    assert (
        "unknown event 'Object_Impact'; did you mean '(object) impact'? The events are the study's, "
        in problem
    )
    assert "generation.json says" in problem
    assert "labels.json can name others" in problem


def test_the_tut_corpora_keep_the_studys_words(tmp_path: Path) -> None:
    corpus = "TUT-sound-events-2017-development/audio/street/a.wav\tcity_center\t1\t2\t"
    evaluation = OTHER.replace("c.wav", "TUT-sound-events-2016-evaluation/audio/c.wav")
    assert read_annotations(folder_with(tmp_path, corpus + "car\n", evaluation)).vocabulary == STUDY
    (problem,) = problems_of(tmp_path, corpus + "people speaking\n", evaluation)
    assert "did you mean 'people talking'? The annotations of 2021" in problem
    mixed = folder_with(tmp_path, corpus + "people speaking\n", OTHER)
    assert read_annotations(mixed).vocabulary.events == ("dishes", "people speaking")


def test_a_part_of_the_study_keeps_all_its_words_until_another_one_is_said(tmp_path: Path) -> None:
    """Four clips of the four scenes train the same network as the whole corpus, wherever they lie."""
    text = "".join(f"{scene}.wav\t{scene}\t1\t2\tcar\n" for scene in SCENES)
    assert read_annotations(folder_with(tmp_path, text)).vocabulary == STUDY
    vocabulary = read_annotations(folder_with(tmp_path, text + "home.wav\thome\t3\t4\tdog\n")).vocabulary
    assert (vocabulary.scenes, vocabulary.events) == (SCENES, ("car", "dishes", "dog"))
    three = text.replace("office", "home")
    assert read_annotations(
        folder_with(tmp_path, three.replace("home.wav", "x.wav", 1))
    ).vocabulary.events == (
        "car",
        "dishes",
    )


def test_a_labels_file_comes_before_what_the_folder_is(tmp_path: Path) -> None:
    (tmp_path / "generation.json").write_text('{"generator": 1}')
    (tmp_path / "labels.json").write_text('{"events": ["dishes"]}')
    vocabulary = read_annotations(folder_with(tmp_path, GOOD)).vocabulary
    assert (vocabulary.scenes, vocabulary.events) == (STUDY.scenes, ("dishes",))


def test_thousands_of_classes_are_a_column_mistaken(tmp_path: Path) -> None:
    text = "".join(f"a.wav\thome\t1\t2\tword {n}\n" for n in range(1001))
    (problem,) = problems_of(tmp_path, text)
    assert problem.startswith("1002 different events, such as dishes, word 0, word 1; unless the columns")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "not JSON"),
        ("[]", "expected"),
        ('{"scenes": ["a"], "classes": ["b"]}', "expected"),
        ("{}", "expected"),
        ('{"scenes": [], "events": ["a"]}', "at least one"),
        ('{"scenes": ["a"], "events": [1]}', "1 is not a name"),
        ('{"scenes": ["a"], "events": ["b c", "b_c"]}', "more than one name reads 'b_c'"),
    ],
)
def test_a_bad_labels_file_is_a_problem(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "labels.json").write_text(content)
    problem = problems_of(tmp_path, GOOD)[0]
    assert problem.startswith("labels.json")
    assert sentence in problem


def test_the_studys_words_are_alphabetical() -> None:
    assert list(EVENTS) == sorted(EVENTS)
    assert list(SCENES) == sorted(SCENES)
    assert len(EVENTS) == 25


def test_slug_makes_one_word() -> None:
    assert slug("(object) impact") == "object_impact"
    assert len({slug(event) for event in EVENTS}) == len(EVENTS)


@given(st.sets(st.integers(1, 60), min_size=1))
def test_line_ranges_name_every_line(lines: set[int]) -> None:
    named: set[int] = set()
    for part in line_ranges(lines).split(","):
        first, _, last = part.partition("-")
        named |= set(range(int(first), int(last or first) + 1))
    assert named == lines


times = st.integers(0, 10**9).map(lambda microseconds: microseconds / 1e6)
events = st.builds(
    lambda onset, length, label: Event(onset, round(onset + length, 6), label),
    times,
    st.integers(1, 10**8).map(lambda microseconds: microseconds / 1e6),
    st.sampled_from(EVENTS),
)


@given(st.lists(st.frozensets(events, max_size=5), min_size=1, max_size=4))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, heard: list[frozenset[Event]]
) -> None:
    folder = folder_with(tmp_path_factory.mktemp("round"), "")
    written = [
        Recording(f"{index}.wav", "home", tuple(sorted(chosen)), ()) for index, chosen in enumerate(heard)
    ]
    write_annotations(folder / "meta_development.txt", written)
    read = read_annotations(folder).development
    assert [(each.path, each.scene, each.events) for each in read] == [
        (each.path, each.scene, each.events) for each in written
    ]


@needs_annotations
def test_the_studys_annotations_are_read_whole() -> None:
    found = read_annotations(SHARED / "tut_meta" / "meta")
    assert [len(split) for split in found.splits.values()] == [112, 136]
    assert [sum(len(each.events) for each in split) for split in found.splits.values()] == [4674, 1634]
    assert found.notes == ("meta_development.txt:445: car at 224.691 s has no length; left out",)
