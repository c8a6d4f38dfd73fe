from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from ablate.mtl.data.annotations import Event
from ablate.mtl.data.audio import AudioInfo, mean_of_channels
from ablate.mtl.data.features import (
    CLIP_FRAMES,
    FLOOR_DB,
    HOP_SECONDS,
    SHORTEST_TAIL_FRAMES,
    active_frames,
    analysis_for,
    cut_into_clips,
    frame_targets,
    n_clips_of,
    n_frames_of,
    recording_features,
)
from tests.mtl.data.folders import write_noise


def frames_of(n_samples: int, rate_hz: int) -> int:
    return n_frames_of(AudioInfo(rate_hz, n_samples))


# ------------------------------------------------------------------------------------------------ frames


@pytest.mark.parametrize(
    ("n_samples", "rate_hz", "n_frames"),
    [
        (441_000, 44_100, 500),
        (441_001, 44_100, 500),  # 10.000023 s
        (440_560, 44_100, 500),  # the last centre, at 9.99 s, is just inside
        (440_559, 44_100, 499),
        (160_000, 16_000, 500),
        (480_000, 16_000, 1500),
        (110_250, 11_025, 500),  # a hop is 220.5 samples
        (1, 16_000, 1),  # never none
    ],
)
def test_frames_are_those_whose_centre_is_inside(n_samples: int, rate_hz: int, n_frames: int) -> None:
    assert frames_of(n_samples, rate_hz) == n_frames


@given(st.integers(1, 10**7), st.integers(8000, 96_000))
def test_the_last_frames_centre_is_inside_and_the_nexts_is_not(n_samples: int, rate_hz: int) -> None:
    n_frames = frames_of(n_samples, rate_hz)
    assert (2 * n_frames + 1) * rate_hz >= 100 * n_samples
    assert n_frames == 1 or (2 * n_frames - 1) * rate_hz < 100 * n_samples


@pytest.mark.parametrize(
    ("n_frames", "n_clips"), [(1, 1), (24, 1), (500, 1), (524, 1), (525, 2), (1000, 2), (1265, 3)]
)
def test_a_tail_makes_a_clip_when_it_is_long_enough(n_frames: int, n_clips: int) -> None:
    assert n_clips_of(n_frames) == n_clips


# ----------------------------------------------------------------------------------------------- targets


@pytest.mark.parametrize(
    ("onset_s", "offset_s", "frames"),
    [
        (0.0, 0.02, (0, 1)),
        (0.01, 0.03, (0, 1)),  # the centre 0.01 is inside, 0.03 is not
        (0.0100001, 0.03, (0, 1)),  # below a microsecond
        (0.010001, 0.030001, (1, 2)),
        (0.07, 0.11, (3, 5)),  # 0.07 / 0.02 is not 3.5 in floating point
        (0.012, 0.014, (0, 1)),  # shorter than a frame: the nearest
        (0.021, 0.029, (1, 2)),
        (9.995, 10.000023, (499, 500)),
        (9.5, 12.0, (475, 500)),  # cut by the end
        (9.991, 10.5, (499, 500)),  # past the last centre
    ],
)
def test_active_frames(onset_s: float, offset_s: float, frames: tuple[int, int]) -> None:
    assert active_frames(Event(onset_s, offset_s, "car"), 500) == frames


def test_overlapping_events_of_a_class_are_or_ed() -> None:
    targets = frame_targets([Event(0, 0.1, "car"), Event(0.06, 0.2, "car")], ["bus", "car"], 20)
    assert targets[:, 1].tolist() == [1] * 10 + [0] * 10
    assert targets[:, 0].sum() == 0
    assert targets.max() == 1


def test_no_events_are_zeros() -> None:
    assert frame_targets([], ["car"], 7).tolist() == [[0]] * 7


def test_an_event_across_a_clip_boundary_is_in_both_clips() -> None:
    clips = cut_into_clips(frame_targets([Event(9.9, 10.1, "car")], ["car"], 1000))
    assert clips.shape == (2, 500, 1)
    assert clips[0, :, 0].nonzero()[0].tolist() == [495, 496, 497, 498, 499]
    assert clips[1, :, 0].nonzero()[0].tolist() == [0, 1, 2, 3, 4]


some_events = st.lists(
    st.tuples(st.floats(0, 25), st.floats(0.001, 15)).map(lambda pair: Event(pair[0], sum(pair), "car")),
    max_size=6,
)


@given(some_events, st.integers(1251, 1600))
def test_targets_are_the_centres_inside_events_and_the_nearest_of_short_ones(
    events: list[Event], n_frames: int
) -> None:
    centres_us = np.arange(n_frames) * 20_000 + 10_000
    expected = np.zeros(n_frames, dtype=bool)
    for event in events:
        onset_us, offset_us = round(event.onset_s * 1e6), round(event.offset_s * 1e6)
        inside = (centres_us >= onset_us) & (centres_us < offset_us)
        if not inside.any():
            inside[np.abs(2 * centres_us - onset_us - offset_us + 1).argmin()] = True
        expected |= inside
    targets = frame_targets(events, ["car"], n_frames)
    assert (targets[:, 0] == expected).all()


@given(st.integers(1, 2200))
def test_clips_put_together_are_the_frames_and_padding(n_frames: int) -> None:
    frames = np.arange(1, n_frames + 1)[:, None]
    clips = cut_into_clips(frames)
    joined = clips.reshape(-1)
    kept = joined[joined > 0]
    assert kept.tolist() == list(range(1, len(kept) + 1))
    assert 0 <= n_frames - len(kept) < SHORTEST_TAIL_FRAMES
    assert (joined[len(kept) :] == 0).all()
    assert clips.shape[1:] == (CLIP_FRAMES, 1)


# ---------------------------------------------------------------------------------------------- features


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_band_energies_are_librosas_to_five_digits(tmp_path: Path, rate_hz: int) -> None:
    import librosa

    write_noise(tmp_path / "a.wav", 10.5, rate_hz=rate_hz)
    signal, _ = soundfile.read(tmp_path / "a.wav", dtype="float64")
    analysis = analysis_for(rate_hz, rate_hz / 2)
    features = recording_features(tmp_path, "a.wav", analysis)
    window, hop = round(0.04 * rate_hz), round(0.02 * rate_hz)
    before = window // 2 - hop // 2
    centred_in_fft = (analysis.n_fft - window) // 2  # librosa pads windows on both sides
    power = librosa.feature.melspectrogram(
        y=np.pad(signal, (before + centred_in_fft, analysis.n_fft)),
        sr=rate_hz,
        n_fft=analysis.n_fft,
        hop_length=hop,
        win_length=window,
        center=False,
        n_mels=64,
        dtype=np.float64,
    ).T[: len(features)]
    scale = rate_hz / analysis.n_fft / np.sum(analysis.window.astype(float) ** 2)
    assert features.shape == (525, 64)
    np.testing.assert_allclose(10 ** (features.astype(float) / 10), power * scale, rtol=1e-5)


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 16_000, 48_000])
def test_white_noise_has_its_variance_in_every_band_at_every_rate(tmp_path: Path, rate_hz: int) -> None:
    write_noise(tmp_path / "a.wav", 10.0, rate_hz=rate_hz)
    features = recording_features(tmp_path, "a.wav", analysis_for(rate_hz, rate_hz / 2))
    power_db = 10 * np.log10(np.mean(10 ** (features / 10), axis=0))
    np.testing.assert_allclose(power_db, -20, atol=1.0)


def test_a_click_shows_in_the_frame_that_it_lies_in(tmp_path: Path) -> None:
    rate_hz = 11_025  # 220.5 samples a hop: no drift
    signal = np.zeros(rate_hz * 9)
    frame = 437
    signal[round((frame + 0.5) * HOP_SECONDS * rate_hz)] = 0.9
    soundfile.write(tmp_path / "a.wav", signal, rate_hz)
    features = recording_features(tmp_path, "a.wav", analysis_for(rate_hz, rate_hz / 2))
    assert features.mean(axis=1).argmax() == frame
    np.testing.assert_allclose(features[: frame - 1], FLOOR_DB, atol=1e-3)


@pytest.mark.parametrize("n_channels", range(1, 11))
def test_the_mean_of_channels_is_numpys_to_the_bit(n_channels: int) -> None:
    rng = np.random.default_rng(n_channels)
    samples = (rng.standard_normal((2000, n_channels)) * 10 ** rng.uniform(-6, 6, (2000, 1))).astype(
        np.float32
    )
    mean = mean_of_channels(samples)
    assert mean.dtype == np.float32
    assert np.array_equal(mean, samples.mean(axis=1))


def test_stereo_is_the_mean_of_its_channels(tmp_path: Path) -> None:
    write_noise(tmp_path / "stereo.wav", 1.0, channels=2)
    both, rate_hz = soundfile.read(tmp_path / "stereo.wav", dtype="float32")
    soundfile.write(tmp_path / "mono.wav", both.mean(axis=1), rate_hz, subtype="FLOAT")
    analysis = analysis_for(rate_hz, rate_hz / 2)
    np.testing.assert_allclose(
        recording_features(tmp_path, "stereo.wav", analysis),
        recording_features(tmp_path, "mono.wav", analysis),
        atol=1e-3,
    )


def test_clips_of_a_recording_are_continuous(tmp_path: Path) -> None:
    """The frame that begins a clip sees the samples before it: cutting loses nothing."""
    write_noise(tmp_path / "long.wav", 12.0)
    signal, rate_hz = soundfile.read(tmp_path / "long.wav")
    soundfile.write(tmp_path / "rest.wav", signal[rate_hz:], rate_hz)
    analysis = analysis_for(rate_hz, rate_hz / 2)
    long, rest = (recording_features(tmp_path, name, analysis) for name in ("long.wav", "rest.wav"))
    np.testing.assert_allclose(long[51:599], rest[1:549], atol=1e-3)
