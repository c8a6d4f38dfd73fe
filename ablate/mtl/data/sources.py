"""Recorded sources for soundscapes: a folder of recordings, one sub-folder a class.

A class whose name is an event (``bird_singing``, ``(object) impact``) is that event. Other classes are mapped
by the user, or, for those of ESC-10, by ``ESC10`` below, which goes by how they sound. Development and
evaluation never share a recording: files named ``<fold>-<recording>-<take>``, as in ESC-10, are split by fold
and recording, others by file.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ablate.ground.errors import DataError
from ablate.ground.wording import suggest
from ablate.mtl.data.annotations import SPLITS
from ablate.mtl.data.audio import AUDIO_SUFFIXES, inspect_audio, read_whole
from ablate.mtl.data.procedural import SAMPLE_RATE_HZ, Rng, Signal
from ablate.mtl.data.vocabulary import EVENTS, slug

# The ten classes of ESC-10 (Piczak 2015), each with the event that it resembles most.
ESC10 = {
    "baby_cry": "children",
    "chainsaw": "car",
    "clock_tick": "mouse clicking",
    "dog_bark": "(object) banging",
    "fire_crackling": "(object) rustling",
    "helicopter": "large vehicle",
    "person_sneeze": "breathing",
    "rain": "water tap running",
    "rooster": "bird singing",
    "sea_waves": "wind blowing",
}

UNUSED = "none"  # the event that a mapping gives to a class to be left out
EVALUATION_SHARE = 0.25  # of each class's recordings
SILENT_BELOW_PEAK_DB = 35.0  # quieter stretches of a recording are not the event
CROSSFADE_SECONDS = 0.01
LONGEST_SECONDS = 600.0  # of a recording, which is read at once


@dataclass(frozen=True)
class SourceFolder:
    """Which recordings sound for which event, paths relative to ``folder``."""

    folder: Path
    classes: dict[str, tuple[str, ...]]  # event -> classes
    files: dict[str, dict[str, tuple[str, ...]]]  # split -> event -> files
    attribution: tuple[str, ...]


def read_sources(folder: Path, mapping: Mapping[str, str] | None = None) -> SourceFolder:
    """The recordings in ``folder`` by event and split; ``mapping`` (class -> event) comes before all else.

    Raises DataError with all problems: no classes, a class without an event, an unknown event, unreadable
    files, a class with too few recordings to split.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of sources")
    names = sorted(item.name for item in folder.iterdir() if item.is_dir() and item.name[0] not in "._")
    if not names:
        raise DataError(f"{folder}: no sub-folders; recordings lie in one sub-folder a class")
    event_of, problems = _map_classes(names, mapping or {})
    files: dict[str, dict[str, tuple[str, ...]]] = {split: {} for split in SPLITS}
    for name, event in event_of.items():
        if event == UNUSED:
            continue
        paths = _audio_files(folder, name)
        problems += _unusable(folder, name, paths)
        for split, chosen in _split_recordings(paths).items():
            files[split][event] = (*files[split].get(event, ()), *chosen)
    if problems:
        raise DataError(problems)
    used = sorted({event for event in event_of.values() if event != UNUSED})
    if not used:
        raise DataError(f"{folder}: every class is left out; drop --sources to use synthetic sources alone")
    return SourceFolder(
        folder,
        {event: tuple(name for name in names if event_of[name] == event) for event in used},
        files,
        tuple(sorted(item.name for item in folder.iterdir() if item.is_file() and _is_attribution(item))),
    )


def recorded(file: Path, rng: Rng, n_samples: int) -> Signal:
    """A stretch of a recording (n_samples,) at 16 kHz, its silences left out; repeated if it is too short."""
    sounding = _load(file)
    if len(sounding) <= n_samples:
        return _looped(np.roll(sounding, int(rng.integers(len(sounding)))), n_samples)
    starts = rng.integers(0, len(sounding) - n_samples, size=4)
    stretches = [sounding[start : start + n_samples] for start in starts]
    return max(stretches, key=lambda stretch: float(np.mean(stretch**2)))


# --------------------------------------------------------------------------------------------- mapping


def _map_classes(names: list[str], mapping: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The event of each class, and what is wrong."""
    events = {slug(event): event for event in EVENTS} | {slug(UNUSED): UNUSED}
    problems = [
        f"--map {name}={event}: no sub-folder '{name}'{suggest(name, names)}"
        for name, event in mapping.items()
        if name not in names
    ]
    problems += [
        f"--map {name}={event}: unknown event '{event}'{suggest(event, EVENTS)}"
        for name, event in mapping.items()
        if slug(event) not in events
    ]
    known = events | {slug(name): event for name, event in ESC10.items()}
    known |= {slug(name): events[slug(event)] for name, event in mapping.items() if slug(event) in events}
    unknown = [name for name in names if slug(name) not in known]
    if unknown:
        problems.append(
            f"no event for these classes: {', '.join(unknown)}. Give each one with --map CLASS=EVENT, or "
            f"leave it out with --map CLASS={UNUSED}; events: {', '.join(EVENTS)}"
        )
    return {name: known[slug(name)] for name in names if slug(name) in known}, problems


def _audio_files(folder: Path, name: str) -> list[str]:
    files = sorted((folder / name).rglob("*"))
    return [file.relative_to(folder).as_posix() for file in files if file.suffix.lower() in AUDIO_SUFFIXES]


def _unusable(folder: Path, name: str, paths: list[str]) -> Iterator[str]:
    for path in paths:
        try:
            duration_s = inspect_audio(folder, path).duration_s
        except DataError as error:
            yield from error.problems
            continue
        if duration_s > LONGEST_SECONDS:
            yield f"{path}: {duration_s:.0f} s long; cut sources to {LONGEST_SECONDS:g} s at most"
    n_recordings = len({_recording_of(path) for path in paths})
    if n_recordings < 2:
        yield f"{name}: {n_recordings} recordings; 2 are needed, as development and evaluation share none"


def _recording_of(path: str) -> str:
    """What a file was cut from: ``dog/1-211527-B.ogg`` -> ``dog/1-211527``; any other file is its own."""
    match = re.fullmatch(r"(.*/\d+-\d+)-[A-Z]\.\w+", path)
    return match.group(1) if match else path


def _split_recordings(paths: list[str]) -> dict[str, list[str]]:
    """The last quarter of the recordings by name, for ESC-10 those of the last folds, is for evaluation."""
    recordings = sorted({_recording_of(path) for path in paths})
    n_evaluation = max(1, round(EVALUATION_SHARE * len(recordings)))
    held_out = set(recordings[-n_evaluation:])
    return {
        "development": [path for path in paths if _recording_of(path) not in held_out],
        "evaluation": [path for path in paths if _recording_of(path) in held_out],
    }


def _is_attribution(file: Path) -> bool:
    return file.stem.lower() in ("attribution", "copying", "licence", "license", "readme")


# ----------------------------------------------------------------------------------------------- samples


@lru_cache(maxsize=64)
def _load(file: Path) -> Signal:
    """The sounding stretches of a recording, joined, mono, at 16 kHz. Raises DataError if there are none."""
    info, samples = read_whole(file.parent, file.name)
    if samples.min() == samples.max():
        raise DataError(f"{file}: silent, so it is no source of sounds; remove it")
    signal = samples.astype(np.float64)
    if info.sample_rate_hz != SAMPLE_RATE_HZ:
        from scipy.signal import resample_poly  # costs most of a second, so only where it is used

        divisor = math.gcd(info.sample_rate_hz, SAMPLE_RATE_HZ)
        signal = resample_poly(signal, SAMPLE_RATE_HZ // divisor, info.sample_rate_hz // divisor)
    return _without_silence(signal)


def _without_silence(signal: Signal, block_seconds: float = 0.05) -> Signal:
    """Without the blocks that lie far below the loudest one."""
    n_block = round(block_seconds * SAMPLE_RATE_HZ)
    n_blocks = len(signal) // n_block
    if n_blocks < 2:
        return signal
    blocks = signal[: n_blocks * n_block].reshape(n_blocks, n_block)
    power = np.mean(blocks**2, axis=1)
    sounding: Signal = blocks[power > power.max() * 10 ** (-SILENT_BELOW_PEAK_DB / 10)].ravel()
    return sounding


def _looped(signal: Signal, n_samples: int) -> Signal:
    """The signal over and over, with a short crossfade at each seam."""
    n_fade = min(round(CROSSFADE_SECONDS * SAMPLE_RATE_HZ), len(signal) // 2)
    fade = np.linspace(0, 1, n_fade)
    turn = signal[: len(signal) - n_fade].copy()
    turn[:n_fade] = fade * turn[:n_fade] + (1 - fade) * signal[len(signal) - n_fade :]
    return np.resize(turn, n_samples)
