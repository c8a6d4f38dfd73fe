"""How many times faster than real time one core extracts log-mel features, and how far from librosa's.

Times are CPU times, so that a second thread or other load counts for nothing; each row's best of several
rounds. Decoding (libsndfile, mixing to mono) is counted apart. ``librosa`` is ``melspectrogram`` and
``power_to_db`` on a signal that is decoded already. ``deviation`` is the largest relative difference in a
band's energy from librosa's in float64.

    python -m benchmarks.features --output benchmarks/results/features.json
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import soundfile

from ablate.mtl.data.features import N_BANDS, Analysis, analysis_for, recording_features
from benchmarks.common import Row, context, parser, show, write

FORMATS = [(16_000, 1, "PCM_16"), (44_100, 1, "PCM_16"), (44_100, 2, "PCM_24")]  # the last is TUT's


def best_cpu_s(function: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        started = time.process_time()
        function()
        times.append(time.process_time() - started)
    return min(times)


def decode(file: Path) -> Any:
    samples, _ = soundfile.read(file, dtype="float32", always_2d=True)
    return samples.mean(axis=1)


def librosa_energy(signal: Any, analysis: Analysis, n_frames: int, dtype: type) -> Any:
    """Librosa's band energies (n_frames, 64) at our frames' places and in our unit."""
    rate_hz = analysis.sample_rate_hz
    window, hop = len(analysis.window), round(0.02 * rate_hz)
    before = window // 2 - hop // 2 + (analysis.n_fft - window) // 2
    power = librosa.feature.melspectrogram(
        y=np.pad(signal.astype(dtype), (before, analysis.n_fft)),
        sr=rate_hz,
        n_fft=analysis.n_fft,
        hop_length=hop,
        win_length=window,
        center=False,
        n_mels=N_BANDS,
        dtype=dtype,
    )
    scale = rate_hz / analysis.n_fft / np.sum(analysis.window.astype(float) ** 2)
    return power.T[:n_frames] * scale


def measure(folder: Path, rate_hz: int, channels: int, subtype: str, seconds: float, rounds: int) -> Row:
    file = folder / "noise.wav"
    noise = 0.1 * np.random.default_rng(0).standard_normal((round(rate_hz * seconds), channels))
    soundfile.write(file, noise, rate_hz, subtype=subtype)
    analysis = analysis_for(rate_hz, rate_hz / 2)
    levels_db = recording_features(folder, file.name, analysis)
    signal = decode(file)
    expected = librosa_energy(signal, analysis, len(levels_db), np.float64)
    all_s = best_cpu_s(lambda: recording_features(folder, file.name, analysis), rounds)
    decoding_s = best_cpu_s(lambda: decode(file), rounds)
    librosa_s = best_cpu_s(
        lambda: librosa.power_to_db(librosa_energy(signal, analysis, len(levels_db), np.float32)), rounds
    )
    deviation = np.abs(10 ** (levels_db.astype(np.float64) / 10) / expected - 1).max()
    return {
        "rate_hz": rate_hz,
        "channels": channels,
        "samples": subtype,
        "x_real_time": round(seconds / all_s),
        "x_real_time_without_decoding": round(seconds / (all_s - decoding_s)),
        "x_real_time_decoding": round(seconds / decoding_s),
        "x_real_time_librosa_without_decoding": round(seconds / librosa_s),
        "deviation": float(f"{deviation:.1e}"),
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=120.0, help="length of each recording")
    options.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    chosen = options.parse_args()
    where = context("numpy", "librosa", "soundfile")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for rate_hz, channels, subtype in FORMATS:
            rows.append(measure(Path(folder), rate_hz, channels, subtype, chosen.seconds, chosen.rounds))
            show(rows[-1])
    write(chosen.output, where, rows)


if __name__ == "__main__":
    main()
