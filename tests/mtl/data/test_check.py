import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ablate.ground.errors import DataError
from ablate.mtl.data.check import check, survey
from tests.mtl.data.folders import RATE_HZ, SHARED, needs_annotations, write_folder, write_noise

# The scenes and events of ``write_folder`` that only one part has.
ONE_SIDED = (
    "scene in the development part only, so learnt but never tested: office",
    "2 events in the development part only, so learnt but never tested: dishes, fan",
    "event in the evaluation part only, so tested but never learnt: cutlery",
)


def problems_of(folder: Path) -> list[str]:
    with pytest.raises(DataError) as error:
        check(folder, workers=1)
    return error.value.problems


def test_a_good_folder_is_summed_up(tmp_path: Path) -> None:
    summary = check(write_folder(tmp_path), workers=1)
    assert summary.recordings == {"development": 2, "evaluation": 1}
    assert summary.events == {"development": 2, "evaluation": 1}
    assert summary.minutes == pytest.approx({"development": 0.1, "evaluation": 0.05})
    assert summary.notes == ONE_SIDED


def test_annotations_and_audio_are_judged_together(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, ["a.wav\thome\t1.0\t2.0\tdishs", "b.wav\toffice\t0.0\t3.0\tfan"])
    (folder / "labels.json").write_text('{"events": ["cutlery", "dishes", "fan"]}')
    (folder / "b.wav").write_text("not audio")
    (folder / "c.wav").unlink()
    problems = problems_of(folder)
    assert len(problems) == 3
    assert problems[0].startswith("meta_development.txt:1: unknown event 'dishs'")
    assert problems[1] == "1 of 2 annotated recordings missing in .: c.wav"
    assert problems[2].startswith("b.wav: cannot be read as audio")


def test_missing_files_are_named_by_folder(tmp_path: Path) -> None:
    rows = [f"{folder}/{name}.wav\thome" for folder in ("here", "there") for name in "abc"]
    folder = write_folder(tmp_path, rows)
    (folder / "here" / "b.wav").unlink()
    shutil.rmtree(folder / "there")
    assert problems_of(folder) == [
        "1 of 3 annotated recordings missing in here: b.wav",
        "3 of 3 annotated recordings missing, as is the folder there: a.wav, b.wav, c.wav",
    ]


def test_a_copy_in_the_other_split_is_a_problem(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    shutil.copy(folder / "a.wav", folder / "c.wav")
    assert problems_of(folder) == ["c.wav (evaluation) is byte for byte a.wav (development)"]


def test_a_truncated_file_is_found_by_its_events(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, ["a.wav\thome\t1.0\t2.0\tdishes", "a.wav\thome\t2.0\t3.0\tcutlery"])
    content = (folder / "a.wav").read_bytes()
    (folder / "a.wav").write_bytes(content[: len(content) // 2])
    (problem,) = problems_of(folder)
    assert problem.startswith("meta_development.txt:2: cutlery begins at 2 s, but a.wav ends at 1.49")


def test_remarkable_things_are_notes(tmp_path: Path) -> None:
    rows = ["a.wav\thome\t1.0\t5.0\tdishes", "a.wav\thome\t2.0\t2.0\tcutlery", "b.wav\toffice"]
    folder = write_folder(
        tmp_path, rows, ["c.wav\thome\t0.5\t1.5\tcutlery", "d.wav\toffice\t0.0\t1.0\tcutlery"]
    )
    write_noise(folder / "c.wav", 3.0, seed=5, rate_hz=16_000)
    write_noise(folder / "more" / "d.wav", 1.0)
    assert check(folder, workers=1).notes == (
        "meta_development.txt:2: cutlery at 2 s has no length; left out",
        "meta_development.txt:1: dishes lasts until 5 s, but a.wav ends at 3.000 s; cut there",
        "sample rates differ: 8000 Hz (3 files), 16000 Hz (1 files); features use frequencies up to 4000 Hz",
        "event in the development part only, so learnt but never tested: dishes",
        "event in the evaluation part only, so tested but never learnt: cutlery",
        "1 audio files in more are in no annotation file, and are not used",
    )


def test_silence_is_a_note(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    soundfile.write(folder / "b.wav", np.full(3 * RATE_HZ, 0.25), RATE_HZ)
    assert check(folder, workers=1).notes == ("b.wav: silent, all of its samples are equal", *ONE_SIDED)


def test_a_header_that_promises_more_than_the_file_holds_is_a_problem(tmp_path: Path) -> None:
    """A FLAC header has room for two months; without the check the arrays would be made for them."""
    folder = write_folder(tmp_path)
    soundfile.write(folder / "b.wav", np.zeros(3 * RATE_HZ), RATE_HZ, format="FLAC")
    content = bytearray((folder / "b.wav").read_bytes())
    content[21:26] = bytes([content[21] | 0x0F, 0xFF, 0xFF, 0xFF, 0xFF])
    (folder / "b.wav").write_bytes(content)
    assert problems_of(folder) == [
        f"b.wav: sample {2**36 - 2} cannot be read; the file is damaged or cut short"
    ]


@needs_annotations
def test_the_studys_missing_audio_is_one_line_a_folder() -> None:
    problems = survey(SHARED / "tut_meta" / "meta").problems
    assert len(problems) == 9
    assert sum(problem.count(".wav") for problem in problems) == 248
