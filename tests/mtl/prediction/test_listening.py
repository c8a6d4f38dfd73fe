"""What a network is given of any recording: the very features that prepared data have, and bounded memory."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ablate.ground.errors import DataError
from ablate.mtl.config import RunConfig
from ablate.mtl.data.audio import AudioInfo
from ablate.mtl.data.features import N_BANDS, Features, Hearing, Normalisation
from ablate.mtl.data.prepared import Prepared, Split, open_prepared, prepare
from ablate.mtl.kept import Network, read_network
from ablate.mtl.prediction.detections import Tally
from ablate.mtl.prediction.listening import (
    Classify,
    Heard,
    Probabilities,
    listen,
    opened_file,
    sound_of,
    unheard_bands,
)
from ablate.mtl.prediction.network import classifier, load_model
from ablate.mtl.scoring import WEIGHTS
from ablate.record.store import Store
from ablate.subject.interface import Dataset
from tests.mtl.data.folders import write_folder, write_noise

pytestmark = pytest.mark.usefixtures("one_thread")

ROWS = ("a.wav\thome\t1.0\t2.0\tdishes", "b.wav\toffice\t0.0\t3.0\tfan")
PLAIN = Normalisation(np.zeros(N_BANDS), np.ones(N_BANDS))


def deaf(features: Features) -> tuple[Probabilities | None, Probabilities | None]:
    """A network that detects nothing, and knows no scenes."""
    return None, np.zeros((*features.shape[:2], 1), np.float32)


def hear(file: Path, hearing: Hearing, classify: Classify = deaf) -> list[Heard]:
    with opened_file(file) as sound:
        return list(listen(sound, hearing, classify))


def of_recording(split: Split, place: int) -> Features:
    """The real frames of a recording in prepared data, one after the other."""
    clips = split.recordings == place
    return split.features[clips][split.mask[clips] > 0]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Prepared]:
    """Data at 8 kHz mono and 44.1 kHz stereo: whole clips, half a clip, and a tail that is too short."""
    folder = write_folder(tmp_path_factory.mktemp("mixed"), ROWS, ("c.wav\thome\t0.5\t1.5\tcutlery",))
    write_noise(folder / "b.wav", 25.0, seed=7, rate_hz=44_100, channels=2)
    write_noise(folder / "c.wav", 20.3, seed=8)
    return folder, open_prepared(prepare(folder, workers=1))


def test_features_are_those_of_prepared_data_bit_for_bit(mixed: tuple[Path, Prepared]) -> None:
    folder, data = mixed
    assert data.hearing is not None
    for split in (data.development, data.evaluation):
        for place, name in enumerate(split.recording_names):
            clips = hear(folder / name, data.hearing)
            assert np.array_equal(
                np.concatenate([clip.features for clip in clips]), of_recording(split, place)
            )


def test_clips_have_the_frames_of_the_recording_and_no_more(mixed: tuple[Path, Prepared]) -> None:
    folder, data = mixed
    assert data.hearing is not None
    assert [(clip.first_frame, len(clip)) for clip in hear(folder / "b.wav", data.hearing)] == [
        (0, 500),
        (500, 500),
        (1000, 250),
    ]
    assert [len(clip) for clip in hear(folder / "c.wav", data.hearing)] == [500, 500]  # 0.3 s are dropped


def test_samples_in_memory_are_heard_as_their_file(mixed: tuple[Path, Prepared]) -> None:
    folder, data = mixed
    assert data.hearing is not None
    samples, rate_hz = soundfile.read(folder / "b.wav", dtype="float32")
    ours = list(listen(sound_of(samples, rate_hz), data.hearing, deaf))
    for clip, other in zip(ours, hear(folder / "b.wav", data.hearing), strict=True):
        assert np.array_equal(clip.features, other.features)


@pytest.mark.parametrize(
    ("samples", "rate_hz", "problem"),
    [
        (np.zeros((2, 2, 2)), 8000, r"of shape \(2, 2, 2\)"),
        (np.zeros(0), 8000, r"of shape \(0,\)"),
        (np.array([0.0, np.nan]), 8000, "not finite"),
        (np.zeros(100), 4000, "sample rate 4000 Hz; 8000 to"),
    ],
)
def test_samples_that_are_no_recording_are_refused(samples: np.ndarray, rate_hz: int, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        sound_of(samples, rate_hz)


def test_a_tone_is_as_loud_at_another_sample_rate() -> None:
    hearing = Hearing(4000.0, PLAIN)
    loudest = []
    for rate_hz in (8000, 44_100):
        tone = 0.1 * np.sin(2 * np.pi * 1000 * np.arange(2 * rate_hz) / rate_hz)
        (clip,) = listen(sound_of(np.stack([tone, tone], axis=1), rate_hz), hearing, deaf)
        middle = clip.features[50]
        loudest.append((int(middle.argmax()), float(middle.max())))
    # The level is a density: 5.5 times the bandwidth has 5.5 times less of a tone in each Hz.
    assert loudest[0][0] == loudest[1][0]
    assert loudest[1][1] == pytest.approx(loudest[0][1], abs=0.5)


def test_bands_above_what_a_recording_has_are_as_in_the_mean() -> None:
    hearing = Hearing(8000.0, Normalisation(np.full(N_BANDS, -50.0), np.full(N_BANDS, 10.0)))
    sound = sound_of(0.1 * np.random.default_rng(0).standard_normal(8000), 8000)
    n_unheard = unheard_bands(sound, hearing)
    assert 0 < n_unheard < N_BANDS / 2
    (clip,) = listen(sound, hearing, deaf)
    assert (clip.features[:, -n_unheard:] == 0).all()
    assert (clip.features[:, :-n_unheard] != 0).any(axis=0).all()
    assert unheard_bands(sound_of(np.zeros(100), 16_000), hearing) == 0
    assert unheard_bands(sound_of(np.zeros(100), 48_000), hearing) == 0


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    """20 minutes, in blocks: the samples alone are 38 MB as numbers, and the features 15 MB."""
    peaks = []
    for minutes in (2, 20):
        write_noise(tmp_path / "a.wav", 60 * minutes)
        tally = Tally("a.wav", AudioInfo(8000, 1), [], ["car"], 0.5)
        tracemalloc.start()
        with opened_file(tmp_path / "a.wav") as sound:
            for heard in listen(sound, Hearing(4000.0, PLAIN), deaf):
                tally.add(heard)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[1] < 12e6


# ------------------------------------------------------------------------------------------ a run's network


def network_of(store: Store, data: Prepared) -> tuple[Network, Path]:
    (folder,) = store.study_runs("tiny")
    config = RunConfig().override(folder.run().config.flat())
    dataset = Dataset(data.name, data.digest, data.path)
    return read_network(folder.path, config, dataset, data.path), folder.path


def test_probabilities_are_those_that_the_run_was_scored_by(trained_store: Store, tiny_data: Path) -> None:
    """The scene counts, and of each event the frames, are found again in what is heard of the files."""
    data = open_prepared(tiny_data)
    network, folder = network_of(trained_store, data)
    classify = classifier(load_model(network, folder / WEIGHTS), torch.device("cpu"))
    split, detected = data.evaluation, np.zeros(len(data.events), np.int64)
    confusion = np.zeros((4, 4), np.int64)
    for place, name in enumerate(split.recording_names):
        (clip,) = hear(tiny_data / name, network.hearing, classify)
        assert clip.scenes is not None
        assert clip.events is not None
        confusion[split.scenes[place], clip.scenes.argmax()] += 1
        detected += np.count_nonzero(clip.events > network.config.scoring.threshold, axis=0)
    (record,) = trained_store.study_runs("tiny")
    result = record.result()
    assert result is not None
    assert confusion.tolist() == result["matrices"]["scene_confusion"]["counts"]
    columns = result["tables"]["events"]["columns"]
    counted = [
        row[columns.index("TP")] + row[columns.index("FP")] for row in result["tables"]["events"]["rows"]
    ]
    assert detected.tolist() == counted


def test_what_a_network_needs_is_kept_with_its_run(trained_store: Store, tiny_data: Path) -> None:
    data = open_prepared(tiny_data)
    network, folder = network_of(trained_store, data)
    kept = read_network(folder, network.config, Dataset("gone", "0", Path("gone")), Path("gone"))
    assert kept.to_json() == network.to_json()
    assert (kept.scenes, kept.events) == (data.scenes, data.events)
    assert data.hearing is not None
    assert kept.hearing.top_hz == data.hearing.top_hz == 4000
    assert np.array_equal(kept.hearing.normalisation.mean_db, data.hearing.normalisation.mean_db)


def test_a_network_of_one_task_has_classes_of_that_alone(
    mixed: tuple[Path, Prepared], tmp_path: Path
) -> None:
    _, data = mixed
    dataset = Dataset(data.name, data.digest, data.path)
    scenes = read_network(tmp_path, RunConfig(tasks="scene"), dataset, data.path)
    events = RunConfig().override({"tasks": "event", "labels.without": "fan"})
    assert (scenes.scenes, scenes.events) == (data.scenes, ())
    assert read_network(tmp_path, events, dataset, data.path).scenes == ()
    assert "fan" not in read_network(tmp_path, events, dataset, data.path).events


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("schema", 2, "schema"),
        ("top_hz", -1.0, "top_hz"),
        ("scenes", "home", "scenes"),
        ("normalisation", {"mean_db": [0.0], "std_db": [1.0]}, "mean_db"),
        ("parameters", {"bands": 128}, "other features"),
    ],
)
def test_a_damaged_record_of_a_network_is_refused(
    trained_store: Store, tiny_data: Path, tmp_path: Path, name: str, value: object, problem: str
) -> None:
    from ablate.ground.files import write_json

    network, _ = network_of(trained_store, open_prepared(tiny_data))
    write_json(tmp_path / "network.json", {**network.to_json(), name: value})
    with pytest.raises(DataError, match=problem):
        read_network(tmp_path, network.config, Dataset("gone", "0", Path("gone")), Path("gone"))


def test_other_weights_are_refused(trained_store: Store, tiny_data: Path, tmp_path: Path) -> None:
    network, _ = network_of(trained_store, open_prepared(tiny_data))
    (tmp_path / "weights.safetensors").write_bytes(b"weights")
    with pytest.raises(DataError, match="no weights of this network"):
        load_model(network, tmp_path / "weights.safetensors")
