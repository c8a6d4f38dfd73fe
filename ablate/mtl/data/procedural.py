"""Synthetic sources: one function for each of the study's 25 events, made of a few primitives.

Each takes a random generator and a number of samples, and returns a signal (n_samples,) at 16 kHz that is
audible from its first to its last sample, of any level. Every call is another instance: pitches, rates,
resonances and envelopes are drawn anew. They are caricatures, distinct in time and frequency as the real
sounds are: steps are slow thuds, a mouse wheel is a run of faint ticks, a bird is a phrase of sweeps.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

SAMPLE_RATE_HZ = 16_000

Signal = npt.NDArray[np.float64]
Rng = np.random.Generator
Source = Callable[[Rng, int], Signal]


# --------------------------------------------------------------------------------------------- primitives


def _seconds(n_samples: int) -> Signal:
    return np.arange(n_samples) / SAMPLE_RATE_HZ


def _samples(seconds: float) -> int:
    return max(1, round(seconds * SAMPLE_RATE_HZ))


def _log_uniform(rng: Rng, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def noise_band(rng: Rng, n_samples: int, low_hz: float, high_hz: float) -> Signal:
    """Gaussian noise between two frequencies, with skirts of 24 dB an octave; unit RMS."""
    padded = max(n_samples, 512)
    frequencies_hz = np.fft.rfftfreq(padded, 1 / SAMPLE_RATE_HZ)
    octaves = np.log2(np.maximum(frequencies_hz, 1.0))
    outside = np.maximum(np.log2(low_hz) - octaves, 0) + np.maximum(octaves - np.log2(high_hz), 0)
    spectrum = np.fft.rfft(rng.standard_normal(padded)) * 10 ** (-24 * outside / 20)
    noise = np.fft.irfft(spectrum, padded)[:n_samples]
    unit: Signal = noise / (np.sqrt(np.mean(noise**2)) + 1e-12)
    return unit


def wander(rng: Rng, n_samples: int, points_per_s: float, low: float, high: float) -> Signal:
    """A smooth random curve between ``low`` and ``high``, through random points."""
    n_points = max(2, int(np.ceil(n_samples / SAMPLE_RATE_HZ * points_per_s)) + 2)
    points = rng.uniform(low, high, n_points)
    return np.interp(np.linspace(0, n_points - 1, n_samples), np.arange(n_points), points)


def tone(frequency_hz: Signal, amplitudes: npt.ArrayLike) -> Signal:
    """Harmonics of a gliding frequency (n_samples,), those above the Nyquist frequency left out."""
    phase = 2 * np.pi * np.cumsum(frequency_hz) / SAMPLE_RATE_HZ
    signal = np.zeros(len(frequency_hz))
    for harmonic, amplitude in enumerate(np.atleast_1d(amplitudes), start=1):
        audible = harmonic * frequency_hz < 0.48 * SAMPLE_RATE_HZ
        signal += amplitude * np.sin(harmonic * phase) * audible
    return signal


def ring(rng: Rng, n_samples: int, modes_hz: npt.ArrayLike, decay_s: float) -> Signal:
    """A struck body: each mode decays by 1/e in ``decay_s``, higher ones sooner."""
    time_s, modes = _seconds(n_samples), np.atleast_1d(np.asarray(modes_hz, dtype=float))
    signal = np.zeros(n_samples)
    for mode_hz in modes:
        decay = decay_s * (modes.min() / mode_hz) ** 0.5
        sway = np.exp(-time_s / decay) * np.sin(2 * np.pi * mode_hz * time_s + rng.uniform(0, 2 * np.pi))
        signal += rng.uniform(0.4, 1.0) * sway
    return signal


def burst(rng: Rng, n_samples: int, low_hz: float, high_hz: float, decay_s: float) -> Signal:
    """A burst of noise that decays by 1/e in ``decay_s``."""
    return noise_band(rng, n_samples, low_hz, high_hz) * np.exp(-_seconds(n_samples) / decay_s)


def repeat(
    rng: Rng, n_samples: int, gap_s: tuple[float, float], strike: Callable[[int], Signal], length_s: float
) -> Signal:
    """Strikes of ``length_s`` one after the other, gaps drawn from ``gap_s``, from the first sample on."""
    signal, start = np.zeros(n_samples), 0
    while start < n_samples:
        n_strike = min(_samples(length_s), n_samples - start)
        signal[start : start + n_strike] += rng.uniform(0.6, 1.0) * strike(n_strike)
        start += _samples(rng.uniform(*gap_s))
    return signal


def syllables(rng: Rng, n_samples: int, per_s: float, floor: float = 0.05) -> Signal:
    """An envelope (n_samples,) of humps, each of its own length and height, ``per_s`` of them a second."""
    envelope, start = np.full(n_samples, floor), 0
    while start < n_samples:
        n_hump = min(_samples(rng.uniform(0.7, 1.3) / per_s), n_samples - start)
        hump = np.sin(np.pi * (np.arange(n_hump) + 0.5) / n_hump) ** 0.7
        envelope[start : start + n_hump] += rng.uniform(0.5, 1.0) * hump
        start += n_hump
    return envelope


def voice(
    rng: Rng, n_samples: int, pitch_hz: float, glide: float, formant_scale: float, per_s: float
) -> Signal:
    """Voiced syllables: harmonics of a gliding pitch under two formants that change with each vowel."""
    pitch = pitch_hz * 2 ** wander(rng, n_samples, 1.5 * per_s, -glide, glide)
    first_hz = formant_scale * wander(rng, n_samples, per_s, 300, 800)
    second_hz = formant_scale * wander(rng, n_samples, per_s, 900, 2400)
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE_HZ
    signal = np.zeros(n_samples)
    for harmonic in range(1, min(30, int(5000 / pitch_hz)) + 1):
        frequency = harmonic * pitch
        level = 1 / (1 + ((frequency - first_hz) / 120) ** 2)
        level += 0.5 / (1 + ((frequency - second_hz) / 180) ** 2)
        signal += (level + 0.02 / harmonic) * np.sin(harmonic * phase)
    return signal * syllables(rng, n_samples, per_s)


def passing(rng: Rng, n_samples: int, floor_db: float) -> Signal:
    """The envelope of something that comes and goes: from ``floor_db`` to 0 dB and back."""
    peak, width = rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.35)
    place = np.linspace(0, 1, n_samples)
    return np.asarray(10 ** (floor_db / 20 * (1 - np.exp(-(((place - peak) / width) ** 2)))))


# ------------------------------------------------------------------------------------------------ events


def banging(rng: Rng, n: int) -> Signal:
    low_hz = _log_uniform(rng, 90, 180)

    def thud(m: int) -> Signal:
        return ring(rng, m, [low_hz, 1.6 * low_hz, 2.7 * low_hz], 0.12) + burst(rng, m, 150, 1500, 0.04)

    return repeat(rng, n, (0.2, 0.45), thud, 0.4)


def impact(rng: Rng, n: int) -> Signal:
    centre_hz, decay_s = _log_uniform(rng, 500, 2000), min(0.12, 0.4 * n / SAMPLE_RATE_HZ)

    def knock(m: int) -> Signal:
        return burst(rng, m, centre_hz / 2, centre_hz * 2, decay_s) + ring(rng, m, centre_hz, decay_s)

    return repeat(rng, n, (0.35, 0.7), knock, 0.7)


def rustling(rng: Rng, n: int) -> Signal:
    crackle = wander(rng, n, rng.uniform(30, 60), 0, 1) ** 3
    return noise_band(rng, n, 2500, 7500) * (0.05 + crackle) * wander(rng, n, 4, 0.4, 1)


def snapping(rng: Rng, n: int) -> Signal:
    def snap(m: int) -> Signal:
        return burst(rng, m, 800, 7500, 0.006) + 0.7 * ring(rng, m, rng.uniform(1800, 3200), 0.015)

    return repeat(rng, n, (0.07, 0.16), snap, 0.08)


def squeaking(rng: Rng, n: int) -> Signal:
    base_hz = _log_uniform(rng, 500, 1100)
    wobble = 1 + 0.08 * np.sin(2 * np.pi * rng.uniform(5, 9) * _seconds(n))
    pitch = base_hz * wander(rng, n, 4, 0.8, 1.4) * wobble
    return tone(pitch, [1, 0.7, 0.5, 0.35, 0.2]) * wander(rng, n, 12, 0.4, 1)


def bird(rng: Rng, n: int) -> Signal:
    base_hz, per_s, sweep = rng.uniform(2800, 5000), rng.uniform(4, 9), rng.uniform(0.15, 0.45)
    direction = rng.choice([-1, 1])

    def chirp(m: int) -> Signal:
        course = np.linspace(-1, 1, m) * direction
        pitch = base_hz * 2 ** (sweep * course + rng.uniform(-0.2, 0.2))
        return tone(pitch, [1, 0.15]) * np.hanning(m + 2)[1:-1]

    return repeat(rng, n, (0.8 / per_s, 1.4 / per_s), chirp, 0.8 / per_s)


def brakes(rng: Rng, n: int) -> Signal:
    start_hz = rng.uniform(2200, 3800)
    pitch = start_hz * np.linspace(1, rng.uniform(0.8, 0.97), n) * wander(rng, n, 8, 0.995, 1.005)
    return tone(pitch, [1, 0.4]) * wander(rng, n, 10, 0.5, 1) + 0.1 * noise_band(rng, n, 2000, 6000)


def breathing(rng: Rng, n: int) -> Signal:
    low_hz = rng.uniform(400, 700)
    return noise_band(rng, n, low_hz, 4 * low_hz) * syllables(rng, n, rng.uniform(0.9, 1.6)) ** 1.5


def car(rng: Rng, n: int) -> Signal:
    pitch = rng.uniform(60, 110) * wander(rng, n, 0.5, 0.85, 1.15)
    engine = tone(pitch, 1 / np.arange(1, 13) ** 0.7)
    tyres = noise_band(rng, n, 300, rng.uniform(1500, 2600))
    return (0.35 * engine + tyres) * passing(rng, n, -12)


def children(rng: Rng, n: int) -> Signal:
    def child() -> Signal:
        return voice(rng, n, rng.uniform(320, 520), 0.5, 1.35, rng.uniform(2.5, 4))

    return child() + 0.6 * child()


def cupboard(rng: Rng, n: int) -> Signal:
    wood_hz = _log_uniform(rng, 220, 420)
    creak = 0.25 * tone(wander(rng, n, 6, 150, 260), np.ones(12) / 4) * wander(rng, n, 15, 0.2, 1)

    def shut(m: int) -> Signal:
        return 2 * ring(rng, m, [wood_hz, 2.3 * wood_hz, 3.9 * wood_hz], 0.06) + burst(
            rng, m, 200, 3000, 0.02
        )

    return creak + repeat(rng, n, (0.25, 0.5), shut, 0.3)


def cutlery(rng: Rng, n: int) -> Signal:
    def clink(m: int) -> Signal:
        return ring(rng, m, rng.uniform(3500, 7400, 4), 0.05)

    return repeat(rng, n, (0.07, 0.2), clink, 0.25)


def dishes(rng: Rng, n: int) -> Signal:
    def clank(m: int) -> Signal:
        return ring(rng, m, rng.uniform(1100, 3200, 3), 0.06) + 0.3 * burst(rng, m, 300, 1200, 0.02)

    return repeat(rng, n, (0.12, 0.4), clank, 0.35)


def drawer(rng: Rng, n: int) -> Signal:
    slide = noise_band(rng, n, 250, 1600) * np.linspace(0.3, 1, n) * wander(rng, n, 25, 0.4, 1)
    n_thud = min(n, _samples(0.15))
    slide[-n_thud:] += 3 * burst(rng, n_thud, 100, 900, 0.05)
    return slide


def fan(rng: Rng, n: int) -> Signal:
    hum = tone(np.full(n, rng.uniform(90, 130)), [1, 0.6, 0.3, 0.4, 0.15])
    blades = 0.3 * tone(np.full(n, rng.uniform(400, 700)), [1, 0.3])
    return 0.8 * hum + blades + 0.6 * noise_band(rng, n, 150, 900)


def glass(rng: Rng, n: int) -> Signal:
    def jingle(m: int) -> Signal:
        mode_hz = rng.uniform(2200, 4200)
        return ring(rng, m, [mode_hz, 1.004 * mode_hz, 1.7 * mode_hz], 0.25)

    return repeat(rng, n, (0.1, 0.3), jingle, 0.9)


def keyboard(rng: Rng, n: int) -> Signal:
    thock_hz = _log_uniform(rng, 250, 450)

    def key(m: int) -> Signal:
        return burst(rng, m, 1200, 5000, 0.008) + 0.8 * ring(rng, m, thock_hz * rng.uniform(0.9, 1.1), 0.02)

    return repeat(rng, n, (0.05, 0.13), key, 0.09)


def large_vehicle(rng: Rng, n: int) -> Signal:
    firing_hz = rng.uniform(24, 42) * wander(rng, n, 0.4, 0.9, 1.1)
    diesel = tone(firing_hz, 1 / np.arange(1, 9) ** 0.4)
    knock = 1 + 0.5 * np.sin(2 * np.pi * np.cumsum(firing_hz / 2) / SAMPLE_RATE_HZ)
    return (0.6 * diesel + noise_band(rng, n, 50, 320) * knock) * passing(rng, n, -9)


def mouse_click(rng: Rng, n: int) -> Signal:
    centre_hz = rng.uniform(3200, 5200)

    def click(m: int) -> Signal:
        low_hz, high_hz = 0.8 * centre_hz, 1.25 * centre_hz
        return burst(rng, m, low_hz, high_hz, 0.004) + 0.15 * burst(rng, m, low_hz, high_hz, 0.02)

    return repeat(rng, n, (0.06, 0.11), click, 0.11)


def mouse_wheel(rng: Rng, n: int) -> Signal:
    def tick(m: int) -> Signal:
        return burst(rng, m, 5200, 7600, 0.003)

    return repeat(rng, n, (0.02, 0.03), tick, 0.015) + 0.05 * noise_band(rng, n, 600, 1200)


def talking(rng: Rng, n: int) -> Signal:
    low, high = (90, 140) if rng.random() < 0.5 else (170, 240)
    voiced = voice(rng, n, rng.uniform(low, high), 0.2, 1.0, rng.uniform(3.5, 5.5))
    fricative = np.maximum(wander(rng, n, 10, -1, 1), 0)
    return voiced + 0.25 * fricative * fricative * noise_band(rng, n, 3000, 6500)


def walking(rng: Rng, n: int) -> Signal:
    step_s, heel_hz = rng.uniform(0.45, 0.65), _log_uniform(rng, 80, 160)

    def step(m: int) -> Signal:
        scrape = burst(rng, m, 600, 2500, 0.05) * np.minimum(1, _seconds(m) / 0.03)
        return ring(rng, m, heel_hz, 0.03) + burst(rng, m, 100, 700, 0.025) + 0.4 * scrape

    return repeat(rng, n, (0.9 * step_s, 1.1 * step_s), step, 0.25)


def washing(rng: Rng, n: int) -> Signal:
    splash = noise_band(rng, n, 500, 5000) * wander(rng, n, 5, 0.1, 1)

    def clank(m: int) -> Signal:
        return ring(rng, m, rng.uniform(900, 2800, 3), 0.04)

    return splash + 1.5 * repeat(rng, n, (0.4, 1.0), clank, 0.2)


def tap(rng: Rng, n: int) -> Signal:
    gurgle = tone(wander(rng, n, 30, 500, 1100), 1) * wander(rng, n, 20, 0, 1) ** 2
    return noise_band(rng, n, rng.uniform(1200, 2200), 7500) + 0.25 * gurgle


def wind(rng: Rng, n: int) -> Signal:
    gusts = wander(rng, n, 1.2, 0.25, 1)
    howl = noise_band(rng, n, 350, 600) * gusts**2
    return noise_band(rng, n, 40, 220) * gusts + 0.3 * howl


SOURCES: dict[str, Source] = {
    "(object) banging": banging,
    "(object) impact": impact,
    "(object) rustling": rustling,
    "(object) snapping": snapping,
    "(object) squeaking": squeaking,
    "bird singing": bird,
    "brakes squeaking": brakes,
    "breathing": breathing,
    "car": car,
    "children": children,
    "cupboard": cupboard,
    "cutlery": cutlery,
    "dishes": dishes,
    "drawer": drawer,
    "fan": fan,
    "glass jingling": glass,
    "keyboard typing": keyboard,
    "large vehicle": large_vehicle,
    "mouse clicking": mouse_click,
    "mouse wheeling": mouse_wheel,
    "people talking": talking,
    "people walking": walking,
    "washing dishes": washing,
    "water tap running": tap,
    "wind blowing": wind,
}
