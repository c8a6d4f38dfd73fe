"""Soundscapes: recordings of the four scenes, synthesised from the statistics of the study's own data.

``cooccurrence.csv`` says how often and how long each event sounds in each scene of the development set
(counted in the annotations of Imoto et al. 2022). ``plan`` places events by it; ``render`` mixes their
sources over a background. A scene shows in its events and in its background's colour, but backgrounds
overlap, so neither gives it away alone, but for the office's fan, which is as constant here as in the study.

Audio is 16 kHz, 16 bit, mono: every source here lies below 8 kHz, a hop is a whole number of samples, and the
embedded set is 23 MB. Everything follows from the seed: equal arguments give equal bytes, in any number of
processes.
"""

import csv
import fcntl
import math
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import soundfile

from ablate.ground.errors import DataError
from ablate.ground.files import read_json, write_json
from ablate.mtl.data.annotations import SPLITS, Event, Recording, annotation_file, write_annotations
from ablate.mtl.data.audio import file_sha256
from ablate.mtl.data.parallel import run_each
from ablate.mtl.data.procedural import SAMPLE_RATE_HZ, SOURCES, Rng, Signal, wander
from ablate.mtl.data.sources import SourceFolder, read_sources, recorded
from ablate.mtl.data.vocabulary import EVENTS, GENERATION_FILE, SCENES

GENERATOR = 1  # raise it whenever equal arguments would give other bytes

CLIP_SECONDS = 10.0
CLIPS_PER_RECORDING = 3  # 30 s, as the study's scene recordings
MOST_MINUTES = 10_000.0

# --- how difficult the task is -------------------------------------------------------------------------
# An event's level is set in the octave where it stands out most: decibels above the background there.
SNR_DB = (8.0, 24.0)
# Backgrounds: slope, and level in each octave, of a scene's mean; then how far recordings spread around it.
TILT_DB_PER_OCTAVE = {"city_center": -4.6, "home": -3.6, "office": -3.4, "residential_area": -4.2}
OCTAVES_DB = {
    "city_center": (3.0, 2.5, 1.0, 0.5, 0.0, -0.5, -1.0, -1.5),
    "home": (-1.5, 0.0, 1.0, 0.5, 0.0, 0.5, 0.5, 0.0),
    "office": (0.0, 1.0, 0.5, -0.5, -0.5, 0.0, 1.0, 1.5),
    "residential_area": (1.0, 0.0, -1.0, -0.5, 0.5, 1.0, 1.0, 0.5),
}
TILT_SPREAD_DB = 0.5  # per octave
OCTAVE_SPREAD_DB = 1.5
DRIFT_DB = 2.0  # change of an octave's level within a recording
# The microphone: its response, and the recording's level.
RESPONSE_SPREAD_DB = 1.0
LEVEL_DBFS = (-34.0, -28.0)
# -------------------------------------------------------------------------------------------------------

OCTAVE_CENTRES_HZ = 62.5 * 2.0 ** np.arange(8)
STEADY_FRACTION = 0.95  # an event that sounds for more of the time than this sounds all the time
SHORTEST_EVENT_S = 0.02
LONGEST_OF_P90 = 2.0
FADE_S = 0.005
PEAK = 0.99


SOURCES_FILE = "sources.json"


@dataclass(frozen=True, slots=True)
class Statistics:
    """How an event sounds in a scene: a row of ``cooccurrence.csv``."""

    event: str
    per_minute: float
    window_fraction: float  # of the 10 s windows that hold it
    active_fraction: float  # of all time
    median_s: float  # of log-normal durations
    p90_s: float
    log_std: float


@dataclass(frozen=True, slots=True)
class Generated:
    """What ``generate`` made, or found made already. Counts and minutes are by split."""

    folder: Path
    created: bool
    recordings: dict[str, int]
    events: dict[str, int]
    minutes: dict[str, float]
    classes: dict[str, tuple[str, ...]]  # recorded classes of each event; the others are synthetic


@dataclass(frozen=True, slots=True)
class Planned:
    """A recording to render. ``sources`` has a file for each event, or None where the source is synthetic."""

    split: str
    recording: Recording
    seconds: float
    seed: tuple[int, ...]
    sources: tuple[Path | None, ...]


def generate(
    folder: Path,
    *,
    minutes: float,
    eval_minutes: float,
    seed: int,
    sources: Path | None = None,
    mapping: Mapping[str, str] | None = None,
    workers: int | None = None,
    progress: bool = False,
    force: bool = False,
) -> Generated:
    """Writes a data set of soundscapes into ``folder``: annotations, audio, and how they were made.

    ``minutes`` and ``eval_minutes`` are rounded to whole clips, equally many of each scene. ``sources`` is a
    folder of recordings (see ``sources.py``), ``mapping`` its classes' events. A folder generated from the
    same arguments is left as it is. Raises DataError when it holds anything else, unless ``force`` replaces
    its annotations and audio.
    """
    _validate(minutes, eval_minutes, seed)
    recordings = read_sources(sources, mapping) if sources else None
    planned = plan(minutes, eval_minutes, seed, recordings)
    record = _record(minutes, eval_minutes, seed, recordings)
    made = not force and _is_generated(folder, record, planned)
    if not made:
        _refuse_foreign(folder, force)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # a second process waits, then finds everything made
                made = not force and _is_generated(folder, record, planned)
                if not made:
                    _write(folder, planned, record, recordings, workers, progress)
        except (OSError, soundfile.LibsndfileError) as error:
            raise DataError(f"{folder}: cannot be written ({error}); choose another folder") from error
    return _summary(folder, not made, planned, recordings)


def _validate(minutes: float, eval_minutes: float, seed: int) -> None:
    problems = [
        f"{name} = {value:g}: must be above 0 and at most {MOST_MINUTES:g}"
        for name, value in (("minutes", minutes), ("eval-minutes", eval_minutes))
        if not 0 < value <= MOST_MINUTES
    ]
    if seed < 0:
        problems.append(f"seed = {seed}: must not be negative")
    if problems:
        raise DataError(problems)


# -------------------------------------------------------------------------------------------------- plan


def plan(
    minutes: float, eval_minutes: float, seed: int, sources: SourceFolder | None = None
) -> list[Planned]:
    """Every recording of both splits, and what is heard in it."""
    statistics = read_statistics()
    return [
        recording
        for split, duration_min in zip(SPLITS, (minutes, eval_minutes), strict=True)
        for scene in SCENES
        for recording in _plan_scene(split, scene, statistics[scene], duration_min, seed, sources)
    ]


def read_statistics() -> dict[str, tuple[Statistics, ...]]:
    """The statistics of each scene's events."""
    table = files("ablate.mtl.data").joinpath("cooccurrence.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(table.splitlines()))
    return {
        scene: tuple(
            Statistics(
                row["event"],
                float(row["instances_per_minute"]),
                float(row["fraction_of_10s_windows"]),
                float(row["active_frame_fraction"]),
                float(row["median_duration_s"]),
                float(row["p90_duration_s"]),
                float(row["log_std_duration"]),
            )
            for row in rows
            if row["scene"] == scene
        )
        for scene in SCENES
    }


def _plan_scene(
    split: str,
    scene: str,
    statistics: Sequence[Statistics],
    minutes: float,
    seed: int,
    sources: SourceFolder | None,
) -> list[Planned]:
    key = (seed, SPLITS.index(split), SCENES.index(scene))
    rng = np.random.default_rng(key)
    n_clips = max(1, round(minutes * 60 / CLIP_SECONDS / len(SCENES)))
    lengths_s = _recording_lengths(n_clips)
    heard: list[list[Event]] = [[] for _ in lengths_s]
    for row in statistics:
        for index, event in place_events(rng, row, lengths_s):
            heard[index].append(event)
    planned = []
    for index, (length_s, events) in enumerate(zip(lengths_s, heard, strict=True)):
        path = f"audio/{split}/{scene}_{index:03d}.wav"
        recording = Recording(path, scene, tuple(sorted(events)), ())
        chosen = tuple(_choose_source(rng, sources, split, event.label) for event in recording.events)
        planned.append(Planned(split, recording, length_s, (*key, index), chosen))
    return planned


def _recording_lengths(n_clips: int) -> list[float]:
    """Recordings of three clips, and what remains, in seconds."""
    whole, rest = divmod(n_clips, CLIPS_PER_RECORDING)
    clips = [CLIPS_PER_RECORDING] * whole + [rest] * (rest > 0)
    return [CLIP_SECONDS * n for n in clips]


def place_events(rng: Rng, row: Statistics, lengths_s: Sequence[float]) -> list[tuple[int, Event]]:
    """All instances of one event in one scene's recordings: ``(index of the recording, event)``.

    There are as many as the statistics expect, rounded, rather than a Poisson number, and their durations are
    a stratified sample: a small data set has the mix of a large one. They gather in as many 10 s windows as
    the statistics say, spread evenly over the scene.
    """
    if row.active_fraction > STEADY_FRACTION:
        return [(index, Event(0.0, length_s, row.event)) for index, length_s in enumerate(lengths_s)]
    count = math.floor(row.per_minute * sum(lengths_s) / 60 + 0.5)
    placed: list[tuple[int, Event]] = []
    durations_s = _durations(rng, row, count)
    for duration_s, (index, window_s) in zip(durations_s, _windows(rng, row, count, lengths_s), strict=True):
        others = [event for other, event in placed if other == index]
        placed.append((index, _place(rng, row.event, duration_s, window_s, lengths_s[index], others)))
    return placed


def _durations(rng: Rng, row: Statistics, count: int) -> list[float]:
    """A stratified sample of the log-normal durations: one from each of ``count`` equally likely ranges.

    Real durations have a thinner upper tail, so none is longer than ``LONGEST_OF_P90`` 90th percentiles.
    """
    longest_s = LONGEST_OF_P90 * row.p90_s
    quantiles = (rng.permutation(count) + rng.uniform(0.02, 0.98, count)) / max(count, 1)
    normal = NormalDist()
    return [
        max(SHORTEST_EVENT_S, min(longest_s, row.median_s * math.exp(row.log_std * normal.inv_cdf(quantile))))
        for quantile in quantiles
    ]


def _windows(rng: Rng, row: Statistics, count: int, lengths_s: Sequence[float]) -> list[tuple[int, float]]:
    """For each instance the 10 s window that it begins in: (index of the recording, seconds in it)."""
    if count == 0:
        return []
    windows = [
        (index, CLIP_SECONDS * clip)
        for index, length_s in enumerate(lengths_s)
        for clip in range(round(length_s / CLIP_SECONDS))
    ]
    n_used = min(max(1, round(row.window_fraction * len(windows))), count, len(windows))
    strata = (np.arange(n_used) + rng.uniform(size=n_used)) / n_used
    used = (strata * len(windows)).astype(int)
    extra = rng.choice(used, count - n_used)  # beyond one in each
    return [windows[window] for window in rng.permutation(np.concatenate([used, extra]))]


def _place(
    rng: Rng, label: str, duration_s: float, window_s: float, length_s: float, others: Sequence[Event]
) -> Event:
    """An event that begins in the window, if it can; clear of others of its kind, if that is soon found."""
    duration_s = min(round(duration_s, 3), length_s)
    for _ in range(10):
        onset_s = min(window_s + rng.uniform(0, CLIP_SECONDS), length_s - duration_s)
        onset_s = round(max(onset_s, 0.0), 3)
        event = Event(onset_s, round(onset_s + duration_s, 3), label)
        if not any(event.onset_s < other.offset_s and other.onset_s < event.offset_s for other in others):
            break
    return event


def _choose_source(rng: Rng, sources: SourceFolder | None, split: str, event: str) -> Path | None:
    pool = sources.files[split].get(event) if sources else None
    return sources.folder / pool[int(rng.integers(len(pool)))] if sources and pool else None


# ------------------------------------------------------------------------------------------------ render


def render(planned: Planned) -> Signal:
    """The samples of a recording (n_samples,), within [-1, 1], at 16 kHz."""
    rng = np.random.default_rng([*planned.seed, GENERATOR])
    mix = background(rng, planned.recording.scene, round(planned.seconds * SAMPLE_RATE_HZ))
    background_db = octave_levels_db(mix)
    for event, file in zip(planned.recording.events, planned.sources, strict=True):
        start, stop = (round(time_s * SAMPLE_RATE_HZ) for time_s in (event.onset_s, event.offset_s))
        n_samples = stop - start
        source = recorded(file, rng, n_samples) if file else SOURCES[event.label](rng, n_samples)
        mix[start:stop] += _at_snr(source * _fades(n_samples), background_db, rng.uniform(*SNR_DB))
    mix = _shaped(mix, rng.normal(0, RESPONSE_SPREAD_DB, len(OCTAVE_CENTRES_HZ)))
    mix *= 10 ** (rng.uniform(*LEVEL_DBFS) / 20) / np.sqrt(np.mean(mix**2))
    return mix * min(1.0, PEAK / float(np.abs(mix).max()))


def background(rng: Rng, scene: str, n_samples: int) -> Signal:
    """The scene when nothing happens: coloured noise that drifts between two shapes (n_samples,)."""
    octaves = np.arange(len(OCTAVE_CENTRES_HZ))
    tilt = rng.normal(TILT_DB_PER_OCTAVE[scene], TILT_SPREAD_DB)
    shape_db = tilt * octaves + OCTAVES_DB[scene] + rng.normal(0, OCTAVE_SPREAD_DB, len(octaves))
    first, second = (
        _shaped(rng.standard_normal(n_samples), shape_db + rng.normal(0, DRIFT_DB, len(octaves)))
        for _ in range(2)
    )
    share = wander(rng, n_samples, 0.2, 0, 1)
    return np.sqrt(share) * first + np.sqrt(1 - share) * second


def octave_levels_db(signal: Signal) -> Signal:
    """Mean power of a signal in each octave, in dB (n_octaves,)."""
    n_fft = max(len(signal), 512)
    power = np.abs(np.fft.rfft(signal, n_fft)) ** 2
    octave = np.round(
        np.log2(np.maximum(np.fft.rfftfreq(n_fft, 1 / SAMPLE_RATE_HZ), 1) / OCTAVE_CENTRES_HZ[0])
    )
    inside = (octave >= 0) & (octave < len(OCTAVE_CENTRES_HZ))
    sums = np.bincount(octave[inside].astype(int), power[inside], minlength=len(OCTAVE_CENTRES_HZ))
    return 10 * np.log10(2 * sums / n_fft / len(signal) + 1e-20)


def _at_snr(source: Signal, background_db: Signal, snr_db: float) -> Signal:
    """The source at such a level that it exceeds the background by ``snr_db`` in its most audible octave."""
    excess_db = float(np.max(octave_levels_db(source) - background_db))
    return source * 10 ** ((snr_db - excess_db) / 20)


def _shaped(signal: Signal, octaves_db: Signal) -> Signal:
    """The signal through a filter with the given response at the centres of the octaves."""
    frequencies_hz = np.fft.rfftfreq(len(signal), 1 / SAMPLE_RATE_HZ)
    place = np.log2(np.maximum(frequencies_hz, 20.0) / OCTAVE_CENTRES_HZ[0])
    response_db = np.interp(place, np.arange(len(octaves_db)), octaves_db)
    return np.fft.irfft(np.fft.rfft(signal) * 10 ** (response_db / 20), len(signal))


def _fades(n_samples: int) -> Signal:
    """1, but rising from and falling to nearly 0 within 5 ms, or an eighth of a short event."""
    n_fade = max(1, min(round(FADE_S * SAMPLE_RATE_HZ), n_samples // 8))
    place = np.minimum(np.arange(n_samples), np.arange(n_samples)[::-1])
    return np.minimum(1.0, (place + 1) / n_fade)


# ------------------------------------------------------------------------------------------------- files


def _render_to_file(task: tuple[Path, Planned]) -> None:
    root, planned = task
    samples = np.round(render(planned) * 32767).astype(np.int16)
    soundfile.write(root / planned.recording.path, samples, SAMPLE_RATE_HZ, subtype="PCM_16")


def _write(
    folder: Path,
    planned: Sequence[Planned],
    record: dict[str, Any],
    sources: SourceFolder | None,
    workers: int | None,
    progress: bool,
) -> None:
    """Renders into a temporary folder, then moves everything to its place, the record last."""
    root = folder / ".generating"
    shutil.rmtree(root, ignore_errors=True)  # under the lock, so it is what a killed process left
    try:
        for split in SPLITS:
            (root / "audio" / split).mkdir(parents=True)
            chosen = [recording.recording for recording in planned if recording.split == split]
            write_annotations(root / annotation_file(split), chosen)
        if sources:
            write_json(root / SOURCES_FILE, _describe_sources(planned, sources))
        tasks = [(root, recording) for recording in planned]
        for _ in run_each(_render_to_file, tasks, workers=workers, label="soundscapes", progress=progress):
            pass
        write_json(root / GENERATION_FILE, record)
        _replace_generation(folder, root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _replace_generation(folder: Path, new: Path) -> None:
    """Moves a generation into ``folder``. Without its record, a half-moved one counts as foreign."""
    (folder / GENERATION_FILE).unlink(missing_ok=True)
    (folder / SOURCES_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder / "audio", ignore_errors=True)
    for item in sorted(new.iterdir(), key=lambda item: item.name == GENERATION_FILE):
        item.rename(folder / item.name)


def _record(minutes: float, eval_minutes: float, seed: int, sources: SourceFolder | None) -> dict[str, Any]:
    """All that decides the bytes of a generation."""
    used = None
    if sources:
        paths = [path for split in sources.files.values() for pool in split.values() for path in pool]
        used = {
            "classes": {event: list(names) for event, names in sources.classes.items()},
            "sha256": {path: file_sha256(sources.folder / path) for path in sorted(paths)},
        }
    return {
        "generator": GENERATOR,
        "minutes": float(minutes),
        "eval_minutes": float(eval_minutes),
        "seed": seed,
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "sources": used,
    }


def _is_generated(folder: Path, record: dict[str, Any], planned: Sequence[Planned]) -> bool:
    """Whether the folder holds just this generation, whole."""
    try:
        same = bool(read_json(folder / GENERATION_FILE) == record)
    except (OSError, ValueError):
        return False
    wanted = [annotation_file(split) for split in SPLITS] + [each.recording.path for each in planned]
    return same and all((folder / path).is_file() for path in wanted)


def _refuse_foreign(folder: Path, force: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file; name a folder for the soundscapes")
    ours = {".lock", ".generating"}
    if not force and folder.is_dir() and any(item.name not in ours for item in folder.iterdir()):
        what = "another or an incomplete generation" if (folder / GENERATION_FILE).exists() else "other files"
        raise DataError(
            f"{folder}: already holds {what}; name another folder, or replace its annotations and its audio/ "
            "with --force"
        )


def _describe_sources(planned: Sequence[Planned], sources: SourceFolder) -> dict[str, Any]:
    """Which recordings sound in the soundscapes, so that their authors can be named."""
    used: dict[str, dict[str, Counter[str]]] = {split: {} for split in SPLITS}
    for recording in planned:
        for event, file in zip(recording.recording.events, recording.sources, strict=True):
            if file:
                counter = used[recording.split].setdefault(event.label, Counter())
                counter[file.relative_to(sources.folder).as_posix()] += 1
    return {
        "folder": sources.folder.resolve().name,
        "attribution": list(sources.attribution),
        "recorded": {
            event: {
                "classes": list(names),
                **{split: dict(sorted(used[split].get(event, Counter()).items())) for split in SPLITS},
            }
            for event, names in sources.classes.items()
        },
        "synthetic": [event for event in EVENTS if event not in sources.classes],
    }


def _summary(
    folder: Path, created: bool, planned: Sequence[Planned], sources: SourceFolder | None
) -> Generated:
    by_split = {split: [each for each in planned if each.split == split] for split in SPLITS}
    return Generated(
        folder=folder,
        created=created,
        recordings={split: len(chosen) for split, chosen in by_split.items()},
        events={
            split: sum(len(each.recording.events) for each in chosen) for split, chosen in by_split.items()
        },
        minutes={split: sum(each.seconds for each in chosen) / 60 for split, chosen in by_split.items()},
        classes=sources.classes if sources else {},
    )
