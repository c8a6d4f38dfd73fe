"""Audio: headers that lie, samples that are none, files cut short; checked, prepared, and used as sources."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from ablate.mtl.data.check import check
from ablate.mtl.data.prepared import open_prepared, prepare
from ablate.mtl.data.sources import read_sources, recorded
from tests.fuzz.cases import case, fuzzed
from tests.fuzz.inputs import mutated
from tests.mtl.data.folders import write_folder, write_noise

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, (1200, 6)).astype(np.float32)
FORMATS = [
    ("WAV", "PCM_U8"), ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "PCM_32"), ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"), ("WAV", "ULAW"), ("WAV", "IMA_ADPCM"), ("WAVEX", "PCM_16"), ("RF64", "PCM_16"),
    ("W64", "PCM_16"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"), ("AIFF", "PCM_16"), ("CAF", "PCM_16"), ("AU", "PCM_16"), ("NIST", "PCM_16"),
    ("SVX", "PCM_16"), ("VOC", "PCM_16"), ("PAF", "PCM_16"), ("IRCAM", "PCM_16"), ("MAT5", "PCM_16"),
]  # fmt: skip


def encoded(samples: np.ndarray, rate_hz: int, kind: str = "WAV", subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=kind, subtype=subtype)
    return file.getvalue()


ORIGINALS = [encoded(NOISE[:, :1], 8000, *each) for each in FORMATS]
ORIGINALS += [b"", b"RIFF", b"not audio at all", b"\x00" * 5000, b"fLaC", b"OggS", b"ID3", b"PK\x03\x04"]


@st.composite
def lying_wav(draw: st.DrawFn) -> bytes:
    """A WAV file each number of whose header can be wrong."""

    def claimed(true: int, top: int) -> int:
        return draw(
            st.just(true) | st.just(true) | st.sampled_from((0, 1, top, top // 2)) | st.integers(0, top)
        )

    data = draw(st.binary(max_size=64)) + NOISE[: draw(st.integers(0, 400)), 0].tobytes()
    channels, bits, rate = draw(st.sampled_from((1, 2, 6))), draw(st.sampled_from((8, 16, 24, 32, 64))), 8000
    code = 3 if bits > 24 else 1
    return (
        b"RIFF" + struct.pack("<I", claimed(36 + len(data), 2**32 - 1)) + b"WAVEfmt "
        + struct.pack("<I", claimed(16, 2**32 - 1))
        + struct.pack("<HH", claimed(code, 2**16 - 1), claimed(channels, 2**16 - 1))
        + struct.pack("<II", claimed(rate, 2**32 - 1), claimed(rate * channels * bits // 8, 2**32 - 1))
        + struct.pack("<HH", claimed(channels * bits // 8, 2**16 - 1), claimed(bits, 2**16 - 1))
        + b"data" + struct.pack("<I", claimed(len(data), 2**32 - 1)) + data
    )  # fmt: skip


@st.composite
def valid_audio(draw: st.DrawFn) -> bytes:
    """Any rate, any number of channels, and samples such as no recorder would write."""
    n_samples = draw(st.sampled_from((1, 2, 159, 160, 161, 1200)))
    samples = NOISE[:n_samples, : draw(st.integers(1, 6))].copy()
    samples *= draw(st.sampled_from((0.0, 1e-30, 1e-5, 1.0, 10.0, 32768.0, 2.0**31, 1e20, 1e38)))
    special = draw(st.sampled_from((None, None, np.nan, np.inf, -np.inf, 0.0, 1.0)))
    if special is not None:
        samples[draw(st.integers(0, n_samples - 1)) :] = special
    rate_hz = draw(
        st.sampled_from((1, 100, 7999, 8000, 8001, 11_025, 44_100, 48_000, 96_000, 192_000, 2**31 - 1))
    )
    return encoded(
        samples, rate_hz, "WAV", draw(st.sampled_from(("FLOAT", "DOUBLE", "PCM_16", "PCM_24", "PCM_U8")))
    )


anything = mutated(ORIGINALS) | lying_wav() | valid_audio()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(
        tmp_path_factory.mktemp("audio"), ["a.wav\thome\t\t\t"], ["b.wav\toffice\t\t\t"], {"b.wav": 0.2}
    )


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sources")
    write_noise(root / "rain" / "a.wav", 0.1)
    return root


def test_the_formats_that_are_changed_can_be_read(folder: Path) -> None:
    for (kind, _), content in zip(FORMATS, ORIGINALS, strict=False):
        (folder / "a.wav").write_bytes(content)
        assert check(folder, workers=1).recordings == {"development": 1, "evaluation": 1}, kind


@fuzzed(quick=120)
@given(content=anything)
def test_audio_is_checked(content: bytes, folder: Path) -> None:
    (folder / "a.wav").write_bytes(content)
    with case("audio"):
        check(folder, workers=1)


@fuzzed(quick=12, share=0.1)
@given(content=anything)
def test_audio_is_prepared_whole_or_not_at_all(content: bytes, folder: Path) -> None:
    (folder / "a.wav").write_bytes(content)
    with case("audio, prepared"):
        data = open_prepared(prepare(folder, workers=1))
        assert np.isfinite(data.development.features).all()
        assert np.isfinite(data.evaluation.features).all()
    assert {item.name for item in folder.iterdir()} <= {
        "a.wav", "b.wav", "meta_development.txt", "meta_evaluation.txt", "prepared", ".prepared.lock",
    }  # fmt: skip


@fuzzed(quick=25)
@given(content=anything, n_samples=st.sampled_from((1, 2, 320, 5000)))
def test_audio_is_a_source(content: bytes, n_samples: int, sources: Path, tmp_path: Path) -> None:
    # A name of its own for each case: what has been read is remembered.
    file = sources / "rain" / "b.wav"
    file.write_bytes(content)
    with case("audio, as sources"):
        read_sources(sources)
        file = file.rename(tmp_path / f"{abs(hash(content))}.wav")
        sound = recorded(file, np.random.default_rng(0), n_samples)
        assert sound.shape == (n_samples,)
        assert np.isfinite(sound).all()
    for left in tmp_path.iterdir():
        left.unlink()
