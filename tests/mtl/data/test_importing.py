"""Corpora in other people's folders, made into data sets."""

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.ground.errors import DataError
from ablate.mtl.data.annotations import read_annotations
from ablate.mtl.data.check import check
from ablate.mtl.data.corpora.corpora import CORPORA
from ablate.mtl.data.corpora.importing import Imported, import_corpus
from ablate.mtl.data.corpora.reading import Options
from ablate.mtl.data.corpora.scenes import SceneFrom
from ablate.mtl.data.exporting import export_labels
from ablate.mtl.data.labelforms.forms import FORMS
from tests.mtl.data import corpora
from tests.mtl.data.corpora import EVENTS, with_texts, write
from tests.mtl.data.folders import write_noise

DEFAULTS = Options()
CorporaOf = Callable[[Path], Path]


def made(name: str, source: Path, options: Options = DEFAULTS, *, force: bool = False) -> Imported:
    return import_corpus(name, source, source.parent / "made", options, force=force)


def heard(folder: Path) -> dict[str, list[tuple[str, str, list[tuple[float, float, str]]]]]:
    """Path, scene and events of each recording, by split."""
    splits = read_annotations(folder).splits
    return {
        split: [
            (each.path, each.scene, [(event.onset_s, event.offset_s, event.label) for event in each.events])
            for each in recordings
        ]
        for split, recordings in splits.items()
    }


def problems_of(name: str, source: Path, options: Options = DEFAULTS) -> list[str]:
    with pytest.raises(DataError) as caught:
        made(name, source, options)
    assert not (source.parent / "made").exists()
    return caught.value.problems


@pytest.mark.parametrize(
    ("name", "write_corpus"),
    [
        ("desed", corpora.desed),
        ("maestro", corpora.maestro),
        ("urban-sed", corpora.urban_sed),
        ("tut", corpora.tut),
        ("audacity", corpora.label_tracks),
        ("jams", corpora.urban_sed),
    ],
)
def test_what_is_imported_is_a_data_set_without_problems(
    tmp_path: Path, name: str, write_corpus: CorporaOf
) -> None:
    imported = made(name, write_corpus(tmp_path / "corpus"))
    checked = check(imported.folder, workers=1)
    assert (checked.recordings, checked.events) == (imported.recordings, imported.events)
    assert checked.minutes == pytest.approx(imported.minutes)


# --------------------------------------------------------------------------------------------- corpora


def test_desed_trains_on_strong_labels_and_is_scored_on_its_validation_data(tmp_path: Path) -> None:
    imported = made("desed", corpora.desed(tmp_path / "corpus"))
    soundscapes, validation = "audio/train/synthetic21_train/soundscapes", "audio/validation/validation"
    assert heard(imported.folder) == {
        "development": [
            (f"{soundscapes}/1.wav", "", [(0.0, 2.0, "Dog")]),
            (f"{soundscapes}/2.wav", "", [(1.0, 3.0, "Cat"), (1.5, 2.0, "Dog")]),
            (f"{soundscapes}/3.wav", "", []),
        ],
        "evaluation": [
            (f"{validation}/1.wav", "", []),
            (f"{validation}/v.wav", "", [(0.0, 4.0, "Dog")]),
        ],
    }
    assert imported.decided[0] == "evaluation: what lies in validation, as the corpus has it"
    assert imported.notes == (
        "metadata/train/unlabel_in_domain.tsv: not used: it has no labels",
        "metadata/train/weak.tsv: not used: its labels have no times",
        "metadata/eval/public.tsv: not used: the validation data are evaluated on; --evaluation takes others",
        "3 audio files without labels, not used",
        f"metadata/train/synthetic21_train/durations.tsv: {soundscapes}/3.wav is said to last 7 s; it lasts "
        "5.000 s",
        "event in the development part only, so learnt but never tested: Cat",
        "the data have no scenes: only the events are trained",
    )


def test_another_part_of_a_corpus_can_be_scored(tmp_path: Path) -> None:
    imported = made("desed", corpora.desed(tmp_path / "corpus"), Options(evaluation="eval"))
    assert heard(imported.folder)["evaluation"] == [("audio/eval/public/p.wav", "", [(0.0, 4.0, "Cat")])]
    assert imported.recordings["development"] == 5


def test_a_single_table_beside_audio_is_split_by_recordings(tmp_path: Path) -> None:
    source = write(tmp_path / "corpus", "sounds/a.wav", "sounds/b.wav", "sounds/c.wav")
    rows = EVENTS + "a.wav\t0\t1\tdog\nb.wav\t0\t1\tdog\nc.wav\t0\t1\tdog\n"
    with_texts(source, {"labels.csv": rows})
    imported = made("desed", source)
    assert imported.recordings == {"development": 2, "evaluation": 1}
    assert imported.decided[0].startswith("evaluation: 25% of the recordings, chosen by their names")


def test_a_table_can_have_the_scenes(tmp_path: Path) -> None:
    source = write(tmp_path / "corpus", *(f"{name}.wav" for name in "abcd"))
    rows = "a.wav\tpark\t0\t1\tdog\nb.wav\tpark\t\t\t\nc.wav\tbus\t0\t1\tdog\nd.wav\tbus\t0\t1\tdog\n"
    header = "filename\tscene_label\tonset\toffset\tevent_label\n"
    with_texts(source, {"labels.tsv": header + rows})
    imported = made("desed", source)
    assert imported.scenes == ("bus", "park")
    assert imported.decided[1] == "scenes: as the tables say"
    with_texts(source, {"labels.tsv": header + rows.replace("b.wav\tpark", "b.wav\t")})
    with pytest.raises(DataError, match=r"^labels\.tsv:3: no scene$"):
        made("desed", source, force=True)


def test_soft_labels_are_events_from_a_threshold_on(tmp_path: Path) -> None:
    source = corpora.maestro(tmp_path / "corpus")
    imported = made("maestro", source)
    assert imported.scenes == ("cafe_restaurant", "metro_station")
    path, scene, events = heard(imported.folder)["development"][0]
    assert (path.rpartition("/")[0], scene) == ("audio/cafe_restaurant", "cafe_restaurant")
    assert events == [(0.0, 2.0, "dishes"), (3.0, 4.0, "dishes")]
    assert imported.recordings == {"development": 4, "evaluation": 2}
    assert "soft labels: 0.5 and more is an event; --soft-threshold sets another limit" in imported.decided
    lower = made("maestro", source, Options(threshold=0.4), force=True)
    assert heard(lower.folder)["development"][0][2] == [
        (0.0, 2.0, "dishes"),
        (1.0, 3.0, "footsteps"),
        (3.0, 4.0, "dishes"),
    ]


def test_urban_sed_is_tested_on_its_test_set(tmp_path: Path) -> None:
    imported = made("urban-sed", corpora.urban_sed(tmp_path / "corpus"))
    assert heard(imported.folder)["evaluation"] == [
        ("audio/test/soundscape_test_bimodal0.wav", "", [(0.5, 1.5, "siren")])
    ]
    assert [path for path, _, _ in heard(imported.folder)["development"]] == [
        "audio/train/soundscape_train_bimodal0.wav",
        "audio/train/soundscape_train_uniform1.wav",
        "audio/validate/soundscape_validate_bimodal0.wav",
    ]


def test_the_jams_of_urban_sed_say_the_same_as_its_texts(tmp_path: Path) -> None:
    source = corpora.urban_sed(tmp_path / "corpus")
    texts = heard(made("urban-sed", source).folder)
    assert heard(made("jams", source, force=True).folder) == texts


def test_the_scene_of_tut_is_the_folder(tmp_path: Path) -> None:
    imported = made("tut", corpora.tut(tmp_path / "corpus"))
    found = heard(imported.folder)
    assert sorted(path for split in found.values() for path, _, _ in split) == [
        "audio/home/a000.wav",
        "audio/home/a001.wav",
        "audio/residential_area/a000.wav",
        "audio/residential_area/a001.wav",
    ]
    assert {scene for _, scene, _ in found["evaluation"]} == {"home", "residential_area"}
    assert found["evaluation"][0][2] == [(0.5, 1.5, "car"), (1.0, 2.0, "bird singing")]


def test_labels_in_one_folder_are_never_of_audio_in_another(tmp_path: Path) -> None:
    source = corpora.tut(tmp_path / "corpus")
    (source / "audio/home/a001.wav").unlink()
    assert problems_of("tut", source) == [
        f"meta/home: no audio for 1 recording below {source}: a001.ann; --audio names another folder, "
        "--skip-missing leaves them out"
    ]
    imported = made("tut", source, Options(skip_missing=True))
    assert sum(imported.recordings.values()) == 3
    assert imported.notes[0].endswith("a001.ann; left out")


# ----------------------------------------------------------------------------------- files of other programs


def test_label_tracks_have_their_scenes_in_a_list(tmp_path: Path) -> None:
    imported = made("audacity", corpora.label_tracks(tmp_path / "corpus"))
    assert imported.scenes == ("bakery", "forêt")
    assert imported.recordings == {"development": 6, "evaluation": 2}
    assert imported.decided[1] == "scenes: as scenes.txt says"
    assert not any("scenes.txt" in note for note in imported.notes)
    assert ("audio/bakery 1.wav", "bakery", [(0.0, 2.0, "oven")]) in heard(imported.folder)["development"]


@pytest.mark.parametrize(
    ("where", "scenes"), [(SceneFrom.NAME, ("bakery", "forêt")), (SceneFrom.NONE, ())], ids=str
)
def test_scenes_stand_where_the_user_says(tmp_path: Path, where: SceneFrom, scenes: tuple[str, ...]) -> None:
    imported = made("audacity", corpora.label_tracks(tmp_path / "corpus"), Options(scene=where))
    assert imported.scenes == scenes


def test_all_that_is_odd_is_noted(tmp_path: Path) -> None:
    source = write(tmp_path / "corpus", "café 1.wav", "b.wav", "c.wav", "quiet.wav")
    with_texts(
        source,
        {
            "café 1.txt": "0.5\t1.5\tdog\n\\\t100\t200\n2\t2\tpoint\n",
            "b.txt": "0\t9\tdog\n1\t2\tsiren\n1\t2\tsiren\n",
            "c.txt": "0,5\t2,25\tsiren\n",
            "LICENSE.txt": "free",
        },
    )
    imported = made("audacity", source)
    assert imported.notes[:-2] == (
        "LICENSE.txt: not read, since it does not begin as label tracks of Audacity do",
        "b.txt:3: repeats line 2; left out",
        "c.txt:1: the commas of times are read as decimal signs",
        "café 1.txt:3: point at 2 s has no length; left out",
        "1 recording without labels, taken as without events: quiet.wav",
        "b.txt:1: dog lasts until 9 s, but b.wav ends at 5.000 s; cut there",
    )
    events = {path: events for split in heard(imported.folder).values() for path, _, events in split}
    assert events["audio/b.wav"] == [(0.0, 5.0, "dog"), (1.0, 2.0, "siren")]
    assert events["audio/c.wav"] == [(0.5, 2.25, "siren")]
    assert events["audio/quiet.wav"] == []


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    source = write(tmp_path / "corpus", "a.wav", "b.wav", "b.flac", "c.wav")
    (source / "c.wav").write_bytes(b"no audio")
    with_texts(
        source,
        {
            "a.txt": "3\t2\tdog\nx\t4\tdog\n7\t8\tsiren\n1\t2\tDog\n",
            "b.txt": "1\t2\tdog\n",
            "c.txt": "1\t2\tdog\n",
            "lost.txt": "1\t2\tdog\n",
        },
    )
    (source / "latin.txt").write_bytes("1\t2\tchien aboyé\n".encode("latin-1"))
    write_noise(source / "latin.wav", 5.0)
    assert problems_of("audacity", source) == [
        "latin.txt:1: not UTF-8 text (a byte 0xe9); save it as UTF-8",
        "b.txt: 'b' may be any of b.flac, b.wav",
        f"no audio for 1 recording below {source}: lost.txt; --audio names another folder, --skip-missing "
        "leaves them out",
        "a.txt:1: dog ends at 2 s, before it begins at 3 s",
        "a.txt:2: 'x' is not a time in seconds",
        "a.txt:4: event 'Dog' is 'dog' in other rows; spell it alike, as metrics are named after it",
        "a.txt:3: siren begins at 7 s, but a.wav ends at 5.000 s",
        "c.wav: cannot be read as audio: Format not recognised",
    ]


def test_names_are_the_same_however_their_accents_are_stored(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "forêt.wav") for form in ("NFC", "NFD"))
    source = write(tmp_path / "corpus", decomposed, "b.wav")
    with_texts(source, {"labels.tsv": f"{EVENTS}{composed}\t0\t1\tdog\nb.wav\t0\t1\tdog\n"})
    assert sum(made("desed", source).recordings.values()) == 2


def test_audio_of_a_corpus_without_labels_is_not_taken_for_silence(tmp_path: Path) -> None:
    source = corpora.maestro(tmp_path / "corpus")
    write(source, "Evaluation_audio/cafe_restaurant_11.wav")
    imported = made("maestro", source)
    assert sum(imported.recordings.values()) == 6
    assert imported.notes[0] == "1 audio file without labels, not used"


def test_a_single_recording_cannot_be_split(tmp_path: Path) -> None:
    source = with_texts(write(tmp_path / "corpus", "a.wav"), {"a.txt": "0\t1\tdog\n"})
    assert problems_of("audacity", source) == [
        "the splits share no recording, and there are not two of any scene; add recordings"
    ]


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    source = with_texts(tmp_path / "corpus", {"a.txt": "0\t1\tdog\n", "b.txt": "0\t1\tdog\n"})
    write(tmp_path / "elsewhere", "a.wav", "b.wav")
    (source / "audio").symlink_to(tmp_path / "elsewhere")
    assert sum(made("audacity", source).recordings.values()) == 2


def test_audio_can_lie_elsewhere(tmp_path: Path) -> None:
    source = with_texts(tmp_path / "labels", {"a.txt": "0\t1\tdog\n", "b.txt": "0\t1\tdog\n"})
    audio = write(tmp_path / "audio", "deep/a.wav", "deep/b.wav")
    imported = made("audacity", source, Options(audio=audio))
    assert [path for path, _, _ in heard(imported.folder)["development"]] == ["audio/b.wav"]


def test_a_column_of_a_selection_table_can_be_named(tmp_path: Path) -> None:
    source = write(tmp_path / "corpus", "a.wav", "b.wav")
    table = "Begin Time (s)\tEnd Time (s)\tSpecies\tCall\n0\t1\tdog\tbark\n"
    with_texts(source, {f"{name}.Table.1.selections.txt": table for name in "ab"})
    assert made("raven", source).classes == ("dog",)
    assert made("raven", source, Options(label_column="call"), force=True).classes == ("bark",)


@pytest.mark.parametrize("evaluation", ["0.5", "late", ""])
def test_the_same_recordings_are_scored_each_time(tmp_path: Path, evaluation: str) -> None:
    source = write(tmp_path / "corpus", "early/a.wav", "early/b.wav", "late/c.wav", "late/d.wav")
    with_texts(source, {f"{name}.txt": "0\t1\tdog\n" for name in ("early/a", "early/b", "late/c", "late/d")})
    options = Options(evaluation=evaluation)
    first = heard(made("audacity", source, options).folder)
    assert heard(made("audacity", source, options, force=True).folder) == first
    assert len(first["evaluation"]) == (1 if evaluation == "" else 2)
    if evaluation == "late":
        assert [path for path, _, _ in first["evaluation"]] == ["audio/late/c.wav", "audio/late/d.wav"]


@pytest.mark.parametrize(
    ("evaluation", "problem"),
    [
        ("1.5", "--evaluation 1.5: a share lies above 0 and at most at 0.9"),
        ("lat", "--evaluation lat: no recordings lie in such a folder; did you mean 'late'?"),
        ("late", "--evaluation late: all recordings lie there, so none is left to train on"),
    ],
)
def test_a_split_that_cannot_be_is_refused(tmp_path: Path, evaluation: str, problem: str) -> None:
    source = write(tmp_path / "corpus", "late/a.wav", "late/b.wav")
    with_texts(source, {"late/a.txt": "0\t1\tdog\n", "late/b.txt": "0\t1\tdog\n"})
    assert problems_of("audacity", source, Options(evaluation=evaluation)) == [problem]


# ----------------------------------------------------------------------------------------------- writing


def test_audio_is_linked_or_copied(tmp_path: Path) -> None:
    source = corpora.tut(tmp_path / "corpus")
    linked = made("tut", source).folder / "audio/home/a000.wav"
    assert linked.readlink() == (source / "audio/home/a000.wav").resolve()
    copied = made("tut", source, Options(copy=True), force=True).folder / "audio/home/a000.wav"
    assert not copied.is_symlink()
    assert copied.read_bytes() == (source / "audio/home/a000.wav").read_bytes()


def test_what_was_decided_is_kept(tmp_path: Path) -> None:
    imported = made("tut", corpora.tut(tmp_path / "corpus"))
    record = json.loads((imported.folder / "import.json").read_text())
    assert record["form"] == "tut"
    assert tuple(record["decided"]) == imported.decided


def test_only_an_import_is_replaced_and_only_when_asked(tmp_path: Path) -> None:
    source = corpora.tut(tmp_path / "corpus")
    folder = made("tut", source).folder
    with pytest.raises(DataError, match="holds an imported data set; replace it with --force"):
        made("tut", source)
    (folder / "import.json").unlink()
    with pytest.raises(DataError, match="holds something else than an imported data set"):
        made("tut", source, force=True)
    with pytest.raises(DataError, match="which would be replaced; name another folder"):
        import_corpus("tut", source, source, Options(), force=True)


def test_a_folder_without_labels_is_told_what_was_looked_for(tmp_path: Path) -> None:
    source = write(tmp_path / "corpus", "a.wav")
    assert problems_of("jams", source) == [f"{source}: no JAMS there, which are files that end in .jams"]
    assert problems_of("tut", tmp_path / "none") == [f"{tmp_path / 'none'}: no such folder"]


@pytest.mark.parametrize(
    ("form", "corpus"), [*((form, form) for form in FORMS if form in CORPORA), ("tsv", "desed")]
)
def test_what_was_exported_is_imported_as_it_was(tmp_path: Path, form: str, corpus: str) -> None:
    original = made("audacity", corpora.label_tracks(tmp_path / "corpus")).folder
    exported = export_labels(form, original, tmp_path / "labels")
    assert exported.recordings == {"development": 6, "evaluation": 2}
    again = import_corpus(corpus, tmp_path / "labels", tmp_path / "again", Options(audio=original))
    assert heard(again.folder) == heard(original)
    assert again.decided[0] == "evaluation: what lies in evaluation, as the corpus has it"


def test_nothing_is_exported_over_other_files(tmp_path: Path) -> None:
    folder = made("tut", corpora.tut(tmp_path / "corpus")).folder
    out = with_texts(tmp_path / "labels", {"scenes.txt": "mine"})
    with pytest.raises(DataError, match=r"scenes\.txt: is there already; nothing was written"):
        export_labels("audacity", folder, out)
    assert [file.name for file in out.rglob("*")] == ["scenes.txt"]
