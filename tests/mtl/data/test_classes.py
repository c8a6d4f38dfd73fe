"""What ``ablate data check`` says of a data set's classes."""

from pathlib import Path

import pytest

from ablate.mtl.data.annotations import read_annotations
from ablate.mtl.data.classes import class_notes, one_letter_apart


def notes_of(folder: Path, development: str, evaluation: str, labels: str = "") -> list[str]:
    for name, rows in (("development", development), ("evaluation", evaluation)):
        lines = [f"{name}{i}.wav\t" + row.replace(" ", "\t") for i, row in enumerate(rows.split(", "))]
        (folder / f"meta_{name}.txt").write_text("\n".join(lines) + "\n")
    if labels:
        (folder / "labels.json").write_text(labels)
    return class_notes(read_annotations(folder))


def test_classes_of_one_part_are_named(tmp_path: Path) -> None:
    assert notes_of(tmp_path, "park 1 2 dog, bus 1 2 owl, bus 1 2 hen", "bus 1 2 dog, sea 1 2 bee") == [
        "scene in the development part only, so learnt but never tested: park",
        "scene in the evaluation part only, so tested but never learnt: sea",
        "2 events in the development part only, so learnt but never tested: hen, owl",
        "event in the evaluation part only, so tested but never learnt: bee",
    ]


def test_a_label_that_occurs_once_beside_a_near_twin_may_be_misspelt(tmp_path: Path) -> None:
    rows = "park 1 2 siren, bus 1 2 siren"
    notes = notes_of(tmp_path, f"{rows}, bus 1 2 sirne", rows)
    assert notes[-1] == (
        "event 'sirne' occurs once, 'siren' 4 times; mend it if it is misspelt, "
        "else name all events in labels.json"
    )
    labels = '{"events": ["siren", "sirne"]}'
    assert not any("misspelt" in note for note in notes_of(tmp_path, f"{rows}, bus 1 2 sirne", rows, labels))
    twice = f"{rows}, bus 1 2 sirne, bus 3 4 sirne"
    (tmp_path / "labels.json").unlink()
    assert not any("misspelt" in note for note in notes_of(tmp_path, twice, rows))


def test_twins_that_both_occur_once_are_told_once(tmp_path: Path) -> None:
    notes = notes_of(tmp_path, "park 1 2 siren, bus", "park 1 2 sirens, bus")
    assert [note for note in notes if "misspelt" in note] == [
        "event 'sirens' occurs once, 'siren' once; mend it if it is misspelt, "
        "else name all events in labels.json"
    ]


def test_data_for_one_task_say_which_one_is_trained(tmp_path: Path) -> None:
    assert notes_of(tmp_path, "bus 1 2 dog", "bus 1 2 dog") == [
        "the data have but one scene, 'bus': only the events are trained"
    ]
    assert notes_of(tmp_path, "bus, park", "bus, park") == [
        "the data have no events: only the scenes are trained"
    ]


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("dishes", "dishs", True),
        ("dishes", "dshies", False),
        ("dishes", "disehs", True),
        ("dishes", "dishez", True),
        ("dog", "dogs", True),
        ("dog", "dog", False),
        ("speaker 1", "speaker 2", False),
        ("bird", "brid", True),
        ("aab", "aa", True),
        ("dog", "cat", False),
    ],
)
def test_one_letter_apart(one: str, other: str, near: bool) -> None:
    assert one_letter_apart(one, other) is near
    assert one_letter_apart(other, one) is near
