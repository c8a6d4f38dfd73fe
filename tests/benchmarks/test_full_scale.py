"""The stand-in of the whole corpus at a tiny size, and how commands on it are measured."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from ablate.mtl.data.annotations import Event, Recording
from ablate.mtl.data.prepared import open_prepared
from benchmarks import full_scale

SCENE_2016 = "TUT-acoustic-scenes-2016-development/audio/a099_0_30.wav"
SCENE_2017 = "TUT-acoustic-scenes-2017-evaluation/audio/1003.wav"
EVENTS_2016 = "TUT-sound-events-2016-development/audio/home/a030.wav"
EVENTS_2017 = "TUT-sound-events-2017-development/audio/street/a124.wav"


def recording(path: str, *events: tuple[float, float, str]) -> Recording:
    return Recording(path, "home", tuple(Event(*event) for event in events), ())


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("annotations")
    (folder / "meta_development.txt").write_text(
        f"{EVENTS_2016}\thome\t1.0\t1.004\tdishes\n{EVENTS_2016}\thome\t2.0\t4.0\twater tap running\n"
    )
    (folder / "meta_evaluation.txt").write_text(f"{SCENE_2017}\tcity_center\t9.9\t10.000023\tcar\n")
    return folder


@pytest.fixture(scope="module")
def tree(annotations: Path) -> Path:
    """5 s of home, and a clip of 2017."""
    folder = annotations / "tree"
    assert full_scale.write_tree(annotations, folder, {"development": 0.0, "evaluation": 0.0}) == 2
    return folder


def test_what_has_no_known_length_is_lengthened_alike_to_the_minutes_in_all() -> None:
    """30 s + 10 s are known; the other 2 min 20 s go to recordings of at least 50 s and 20 s."""
    recordings = [
        recording(SCENE_2016, (0.0, 12.0, "dishes")),
        recording(SCENE_2017),
        recording(EVENTS_2016, (0.0, 50.0, "dishes")),
        recording(EVENTS_2017, (3.0, 20.0, "car"), (1.0, 2.0, "car")),
    ]
    lengths_s = full_scale.lengths_s(recordings, minutes=3.0)
    assert list(lengths_s) == [SCENE_2016, SCENE_2017, EVENTS_2016, EVENTS_2017]
    assert list(lengths_s.values()) == pytest.approx([30.0, 10.0, 100.0, 40.0], abs=1e-4)


def test_no_recording_ends_before_its_events() -> None:
    lengths_s = full_scale.lengths_s([recording(EVENTS_2016, (0.0, 51.0, "dishes"))], minutes=0.1)
    assert lengths_s == {EVENTS_2016: 55.0}


def test_recordings_have_the_form_of_the_studys(tree: Path) -> None:
    info = soundfile.info(tree / SCENE_2017)
    assert (info.samplerate, info.channels, info.subtype, info.frames) == (44_100, 2, "PCM_24", 441_001)
    samples, _ = soundfile.read(tree / EVENTS_2016)
    assert len(samples) == 5 * 44_100
    left, right = np.sqrt(np.mean(samples**2, axis=0))
    assert 0.005 < right < left < 0.1
    assert np.abs(samples).max() < 1


def test_events_can_be_heard(tree: Path) -> None:
    """From 2 to 4 s: there is more in the octaves where water is loudest than before."""
    samples, _ = soundfile.read(tree / EVENTS_2016)
    spectra = np.abs(np.fft.rfft(samples[:, 0].reshape(10, -1), axis=1)) ** 2  # of half seconds, 2 Hz a bin
    high = spectra[:, 500:4000].sum(axis=1)  # 1 to 8 kHz
    assert high[4:8].min() > 1.5 * np.median(high[[0, 1, 8, 9]])


def test_what_is_there_is_not_made_again(annotations: Path, tree: Path) -> None:
    minutes = {"development": 0.0, "evaluation": 0.0}
    assert full_scale.write_tree(annotations, tree, minutes) == 0
    before = (tree / EVENTS_2016).read_bytes()
    (tree / EVENTS_2016).unlink()
    assert full_scale.write_tree(annotations, tree, minutes) == 1
    assert (tree / EVENTS_2016).read_bytes() == before


def test_a_killed_command_is_measured_and_goes_on(tree: Path, tmp_path: Path) -> None:
    words = ["data", "prepare", str(tree), "--out", str(tmp_path / "out"), "--workers", "1"]
    killed = full_scale.measure(words, tmp_path, kill_when=lambda: True)
    assert killed.wall_s < 5
    with pytest.raises(RuntimeError, match="ablate data check nowhere ended with 2:\nablate: "):
        full_scale.measure(["data", "check", "nowhere"], tmp_path)
    used = full_scale.measure(words, tmp_path)
    assert used.memory_mib > 50
    assert used.cpu_s > 0.5
    data = open_prepared(tmp_path / "out")
    assert (len(data.development), len(data.evaluation)) == (1, 1)
