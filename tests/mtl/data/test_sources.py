import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ablate.ground.errors import DataError
from ablate.mtl.data.procedural import SAMPLE_RATE_HZ
from ablate.mtl.data.soundscapes import generate, plan
from ablate.mtl.data.sources import ESC10, read_sources, recorded
from tests.mtl.data.folders import SHARED, needs_esc10, write_noise


def sources_with(folder: Path, *paths: str) -> Path:
    for index, path in enumerate(paths):
        write_noise(folder / path, 1.0, seed=index)
    return folder


def problems_of(folder: Path, mapping: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(DataError) as error:
        read_sources(folder, mapping)
    return error.value.problems


@pytest.mark.parametrize("name", ["bird singing", "bird_singing", "Bird-Singing"])
def test_a_class_named_like_an_event_is_that_event(tmp_path: Path, name: str) -> None:
    found = read_sources(sources_with(tmp_path, f"{name}/a.wav", f"{name}/b.wav"))
    assert found.classes == {"bird singing": (name,)}


def test_classes_of_esc10_are_mapped_by_the_table(tmp_path: Path) -> None:
    found = read_sources(sources_with(tmp_path, "rain/a.wav", "rain/b.wav"))
    assert found.classes == {ESC10["rain"]: ("rain",)}


def test_the_users_mapping_comes_first_and_classes_can_share_an_event(tmp_path: Path) -> None:
    folder = sources_with(tmp_path, "rain/a.wav", "rain/b.wav", "hum/a.wav", "hum/b.wav", "drone/a.wav")
    found = read_sources(folder, {"rain": "fan", "hum": "fan", "drone": "none"})
    assert found.classes == {"fan": ("hum", "rain")}
    assert found.files["development"] == {"fan": ("hum/a.wav", "rain/a.wav")}
    assert found.files["evaluation"] == {"fan": ("hum/b.wav", "rain/b.wav")}


def test_takes_of_one_recording_stay_in_one_split(tmp_path: Path) -> None:
    names = [f"dog_bark/{fold}-{10 * fold}-{take}.wav" for fold in (1, 2, 3, 5) for take in "ABC"]
    files = read_sources(sources_with(tmp_path, *names)).files
    (development,), (evaluation,) = files["development"].values(), files["evaluation"].values()
    assert evaluation == ("dog_bark/5-50-A.wav", "dog_bark/5-50-B.wav", "dog_bark/5-50-C.wav")
    assert sorted(development + evaluation) == sorted(names)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    folder = sources_with(tmp_path, "rain/a.wav", "mystery/a.wav", "mystery/b.wav", "rooster/1-7-A.wav")
    (folder / "rooster" / "1-7-B.wav").write_text("not audio")
    problems = problems_of(folder, {"rian": "fan", "rain": "water tap"})
    assert [problem.partition(":")[0] for problem in problems] == [
        "--map rian=fan",
        "--map rain=water tap",
        "no event for these classes",
        "rain",
        "rooster/1-7-B.wav",
        "rooster",
    ]
    assert "did you mean 'rain'?" in problems[0]
    assert "did you mean 'water tap running'?" in problems[1]
    assert "mystery. Give each one with --map CLASS=EVENT" in problems[2]
    assert "1 recordings; 2 are needed" in problems[3]


def test_folders_without_classes_are_problems(tmp_path: Path) -> None:
    assert "no such folder" in problems_of(tmp_path / "nowhere")[0]
    assert "no sub-folders" in problems_of(tmp_path)[0]
    sources_with(tmp_path, "rain/a.wav", "rain/b.wav")
    assert "every class is left out" in problems_of(tmp_path, {"rain": "none"})[0]


def test_a_recording_gives_its_sounding_part_at_any_length(tmp_path: Path) -> None:
    rate_hz = 44_100
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(rate_hz) / rate_hz)
    soundfile.write(tmp_path / "a.wav", np.concatenate([np.zeros(rate_hz), tone, np.zeros(rate_hz)]), rate_hz)
    for seconds in (0.02, 0.5, 3.0):
        signal = recorded(tmp_path / "a.wav", np.random.default_rng(0), round(seconds * SAMPLE_RATE_HZ))
        assert len(signal) == round(seconds * SAMPLE_RATE_HZ)
        spectrum = np.abs(np.fft.rfft(signal))
        assert np.fft.rfftfreq(len(signal), 1 / SAMPLE_RATE_HZ)[spectrum.argmax()] == pytest.approx(
            1000, abs=50
        )
        assert np.sqrt(np.mean(signal**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.15)


def test_a_silent_recording_is_no_source(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(8000), 8000)
    with pytest.raises(DataError, match=r"silence.wav: silent, so it is no source of sounds"):
        recorded(tmp_path / "silence.wav", np.random.default_rng(0), 8000)


def test_soundscapes_write_down_whose_recordings_they_hold(tmp_path: Path) -> None:
    folder = sources_with(tmp_path / "sources", "rain/a.wav", "rain/b.wav", "hum/a.wav", "hum/b.wav")
    (folder / "ATTRIBUTION.md").write_text("thanks")
    made = generate(
        tmp_path / "set",
        minutes=0.7,
        eval_minutes=0.7,
        seed=0,
        sources=folder,
        mapping={"hum": "fan"},
        workers=1,
    )
    assert made.classes == {"fan": ("hum",), "water tap running": ("rain",)}
    written = json.loads((tmp_path / "set" / "sources.json").read_text())
    assert written["attribution"] == ["ATTRIBUTION.md"]
    assert written["recorded"]["fan"] == {
        "classes": ["hum"],
        "development": {"hum/a.wav": 1},
        "evaluation": {"hum/b.wav": 1},
    }
    assert "car" in written["synthetic"]
    assert "fan" not in written["synthetic"]


def test_changed_sources_are_another_generation(tmp_path: Path) -> None:
    folder = sources_with(tmp_path / "sources", "fan/a.wav", "fan/b.wav")
    arguments = {"minutes": 0.7, "eval_minutes": 0.7, "seed": 0, "workers": 1}
    generate(tmp_path / "set", sources=folder, **arguments)
    assert not generate(tmp_path / "set", sources=folder, **arguments).created
    write_noise(folder / "fan" / "a.wav", 1.0, seed=77)
    with pytest.raises(DataError, match="another or an incomplete generation"):
        generate(tmp_path / "set", sources=folder, **arguments)


@needs_esc10
def test_esc10_folds_give_both_splits_other_recordings() -> None:
    sources = read_sources(SHARED / "esc10")
    assert set(sources.classes) == set(ESC10.values())
    assert sources.attribution[0] == "ATTRIBUTION.md"
    recordings = {
        split: {path.rpartition("-")[0] for paths in pools.values() for path in paths}
        for split, pools in sources.files.items()
    }
    assert not recordings["development"] & recordings["evaluation"]
    used = {file for planned in plan(8, 4, 0, sources) for file in planned.sources if file}
    assert len(used) > 30
    assert all(file.is_file() for file in used)
