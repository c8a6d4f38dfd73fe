import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ablate.ground.errors import DataError
from ablate.mtl.data.annotations import Event, read_annotations
from ablate.mtl.data.check import check
from ablate.mtl.data.procedural import SAMPLE_RATE_HZ, SOURCES
from ablate.mtl.data.soundscapes import (
    OCTAVE_CENTRES_HZ,
    Generated,
    generate,
    octave_levels_db,
    place_events,
    plan,
    read_statistics,
    render,
)
from ablate.mtl.data.vocabulary import EVENTS, SCENES


def tiny(folder: Path, seed: int = 0, workers: int = 1, force: bool = False) -> Generated:
    return generate(folder, minutes=0.7, eval_minutes=0.7, seed=seed, workers=workers, force=force)


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


# ------------------------------------------------------------------------------------------- statistics


def test_the_statistics_know_every_event_and_scene() -> None:
    statistics = read_statistics()
    assert tuple(statistics) == SCENES
    assert {row.event for rows in statistics.values() for row in rows} == set(EVENTS)


@pytest.mark.parametrize("minutes", [8, 192])
def test_instances_are_as_many_as_the_statistics_expect(minutes: float) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    seconds: Counter[str] = Counter()
    for planned in plan(minutes, 1, seed=3):
        if planned.split == "development":
            seconds[planned.recording.scene] += planned.seconds
            counts.update((planned.recording.scene, event.label) for event in planned.recording.events)
    assert seconds == dict.fromkeys(SCENES, minutes * 60 / 4)
    for scene, rows in read_statistics().items():
        for row in rows:
            if row.event != "fan":
                expected = row.per_minute * seconds[scene] / 60
                assert abs(counts[scene, row.event] - expected) <= 0.5, (scene, row.event)


def test_active_time_is_near_the_statistics() -> None:
    active: Counter[tuple[str, str]] = Counter()
    for planned in plan(192, 1, seed=0):
        for event in planned.recording.events if planned.split == "development" else ():
            active[planned.recording.scene, event.label] += event.offset_s - event.onset_s
    for scene, rows in read_statistics().items():
        for row in rows:
            fraction = active[scene, row.event] / (48 * 60)
            assert fraction == pytest.approx(row.active_fraction, rel=0.5, abs=0.001), (scene, row.event)


def test_rare_events_gather_in_as_few_windows_as_in_the_statistics() -> None:
    """In offices people walk in 4 % of the windows, though there are 1.4 steps a minute."""
    (row,) = (row for row in read_statistics()["office"] if row.event == "people walking")
    placed = place_events(np.random.default_rng(0), row, [30.0] * 96)
    windows = {(index, int(event.onset_s // 10)) for index, event in placed}
    assert len(placed) == 68
    assert len(windows) == pytest.approx(0.0385 * 288, abs=2)


def test_the_fan_never_stops_in_the_office() -> None:
    fans = [
        (planned, event)
        for planned in plan(8, 4, seed=0)
        for event in planned.recording.events
        if event.label == "fan"
    ]
    assert len(fans) == 4 + 2
    assert all((event.onset_s, event.offset_s) == (0, planned.seconds) for planned, event in fans)
    assert {planned.recording.scene for planned, _ in fans} == {"office"}


@pytest.mark.parametrize("seed", range(5))
def test_events_lie_inside_their_recording(seed: int) -> None:
    for planned in plan(8, 4, seed):
        for event in planned.recording.events:
            assert 0 <= event.onset_s < event.offset_s <= planned.seconds


# ----------------------------------------------------------------------------------------------- sources


def test_every_event_has_a_source() -> None:
    assert tuple(SOURCES) == EVENTS


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("seconds", [0.02, 0.1, 2.0])
def test_a_source_sounds_from_beginning_to_end_and_each_time_anew(event: str, seconds: float) -> None:
    n_samples = round(seconds * SAMPLE_RATE_HZ)
    first, again, other = (SOURCES[event](np.random.default_rng(seed), n_samples) for seed in (1, 1, 2))
    assert first.shape == (n_samples,)
    assert np.isfinite(first).all()
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    thirds = [np.sqrt(np.mean(part**2)) for part in np.array_split(first, 3)]
    assert min(thirds) > 0.003 * max(thirds)


def test_an_event_exceeds_the_background_by_its_level() -> None:
    """A recording with one event differs from the same recording without it only where the event is."""
    planned = next(each for each in plan(8, 4, seed=0) if each.recording.scene == "home")
    quiet = replace(planned, recording=replace(planned.recording, events=()), sources=())
    event = Event(3.0, 5.0, "water tap running")
    loud = replace(planned, recording=replace(planned.recording, events=(event,)), sources=(None,))
    before, during = (
        octave_levels_db(signal[3 * SAMPLE_RATE_HZ : 5 * SAMPLE_RATE_HZ])
        for signal in (render(quiet), render(loud))
    )
    relative = (during - before) - (during - before).min()
    assert 5 < relative.max() < 30
    assert OCTAVE_CENTRES_HZ[relative.argmax()] >= 1000


# ------------------------------------------------------------------------------------------------- files


def test_a_generated_folder_passes_the_check(tmp_path: Path) -> None:
    made = tiny(tmp_path / "set")
    summary = check(tmp_path / "set", workers=1)
    assert made.created
    assert made.recordings == summary.recordings == {"development": 4, "evaluation": 4}
    assert made.events == summary.events
    assert made.minutes == pytest.approx({"development": 4 / 6, "evaluation": 4 / 6})
    assert summary.notes == ()
    assert Counter(each.scene for each in read_annotations(tmp_path / "set").development) == dict.fromkeys(
        SCENES, 1
    )


def test_audio_is_mono_16_bit_and_not_clipped(tmp_path: Path) -> None:
    tiny(tmp_path / "set")
    files = sorted((tmp_path / "set" / "audio").rglob("*.wav"))
    assert len(files) == 8
    for file in files:
        info = soundfile.info(file)
        assert (info.samplerate, info.channels, info.subtype, info.frames) == (16_000, 1, "PCM_16", 160_000)
        samples, _ = soundfile.read(file)
        assert 0.005 < np.abs(samples).max() < 1


def test_equal_seeds_give_equal_bytes_in_any_number_of_processes(tmp_path: Path) -> None:
    tiny(tmp_path / "one")
    tiny(tmp_path / "two", workers=2)
    tiny(tmp_path / "other", seed=1)
    one, two, other = (contents(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    assert all(one[name] != other[name] for name in one if name.endswith(".wav"))


def test_a_longer_set_begins_otherwise_but_holds_whole_clips(tmp_path: Path) -> None:
    made = generate(tmp_path / "set", minutes=2.9, eval_minutes=0.01, seed=0, workers=1)
    assert made.minutes == pytest.approx({"development": 4 * 4 / 6, "evaluation": 4 / 6})
    assert made.recordings == {"development": 8, "evaluation": 4}


def test_generating_again_does_nothing(tmp_path: Path) -> None:
    tiny(tmp_path / "set")
    before = (tmp_path / "set" / "meta_development.txt").stat().st_mtime_ns
    assert not tiny(tmp_path / "set").created
    assert (tmp_path / "set" / "meta_development.txt").stat().st_mtime_ns == before


def remove_audio(folder: Path) -> None:
    next((folder / "audio").rglob("*.wav")).unlink()


def other_seed(folder: Path) -> None:
    record = json.loads((folder / "generation.json").read_text())
    (folder / "generation.json").write_text(json.dumps({**record, "seed": 7}))


def only_foreign(folder: Path) -> None:
    (folder / "generation.json").unlink()


@pytest.mark.parametrize("change", [remove_audio, other_seed, only_foreign])
def test_whatever_else_a_folder_holds_is_not_overwritten(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    folder = tmp_path / "set"
    tiny(folder)
    expected = contents(folder)
    (folder / "notes.txt").write_text("mine")
    change(folder)
    with pytest.raises(DataError, match="--force"):
        tiny(folder)
    assert tiny(folder, force=True).created
    assert contents(folder) == {**expected, "notes.txt": b"mine"}


def test_what_a_killed_generation_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / "set" / ".generating" / "audio").mkdir(parents=True)
    assert tiny(tmp_path / "set").created
    assert not (tmp_path / "set" / ".generating").exists()


def test_a_file_in_the_way_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("")
    with pytest.raises(DataError, match="is a file"):
        tiny(tmp_path / "set")


def test_all_bad_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        generate(tmp_path / "set", minutes=0, eval_minutes=float("nan"), seed=-1)
    assert len(error.value.problems) == 3
    assert not (tmp_path / "set").exists()
