"""The study's whole corpus at its real size: checked, prepared, interrupted, resumed and trained on.

The corpora may not be passed on, so a stand-in takes their place: at each annotated path a recording of the
same form (44.1 kHz, 24 bit, stereo) that sounds as its annotations say, synthesised like the embedded
soundscapes. Recordings of the scene corpora are 30 s and 10 s long. The others last at least until their last
event; they are lengthened alike, so that both parts have the paper's minutes.

The tree stays where it is, for trainings, and is not made again where it is there already. ANNOTATIONS is a
folder with the study's ``meta_development.txt`` and ``meta_evaluation.txt``, as ``ablate data download tut``
fetches them. Wall times are those of a machine that may have other work; memory is the largest sum over all
processes of a command, shared pages counted once for each.

    python -m benchmarks.full_scale ANNOTATIONS TREE --output benchmarks/results/full_scale.json
"""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from ablate.mtl.data.annotations import SPLITS, Event, Recording, annotation_file, read_annotations
from ablate.mtl.data.parallel import run_each
from ablate.mtl.data.prepared import open_prepared
from ablate.mtl.data.procedural import SAMPLE_RATE_HZ
from ablate.mtl.data.soundscapes import SHORTEST_EVENT_S, Planned, Signal, render
from benchmarks.common import ROOT, Row, context, parser, show, write

RATE_HZ = 44_100
MINUTES = {"development": 192.0, "evaluation": 74.0}  # Imoto et al. 2022, section 4.1
# Of the corpora of scenes; 441,001 samples are as long as the clips of 2017 are.
LENGTHS_S = {"TUT-acoustic-scenes-2016": 30.0, "TUT-acoustic-scenes-2017": 441_001 / RATE_HZ}
STEREO_GAINS = (1.0, 0.8)
FLOOR = 1e-4  # -80 dBFS of white noise: the synthesis ends at 8 kHz, a recording does not
EPOCHS = 1
ABLATE = (sys.executable, "-m", "ablate.cli.app")


# -------------------------------------------------------------------------------------------- the stand-in


def lengths_s(recordings: Sequence[Recording], minutes: float) -> dict[str, float]:
    """The length of each recording of a split by its path, in all ``minutes`` if they can be that long."""
    known = {each.path: _known_length_s(each.path) for each in recordings}
    at_least = {
        each.path: max((event.offset_s for event in each.events), default=1.0)
        for each in recordings
        if known[each.path] is None
    }
    rest_s = 60 * minutes - sum(length for length in known.values() if length is not None)
    stretch = max(1.0, rest_s / sum(at_least.values())) if at_least else 1.0
    return {path: stretch * at_least[path] if length is None else length for path, length in known.items()}


def _known_length_s(path: str) -> float | None:
    return next((length_s for corpus, length_s in LENGTHS_S.items() if path.startswith(corpus)), None)


def write_tree(annotations: Path, tree: Path, minutes: dict[str, float] = MINUTES) -> int:
    """Writes the annotations and a recording at each of their paths; how many were not there yet.

    A recording that is there is whole, since it gets its name last.
    """
    tree.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        shutil.copyfile(annotations / annotation_file(split), tree / annotation_file(split))
    tasks = [
        (tree, _planned(split, recording, length_s, seed=(SPLITS.index(split), index)))
        for split, recordings in read_annotations(tree).splits.items()
        for index, (recording, length_s) in enumerate(
            zip(recordings, lengths_s(recordings, minutes[split]).values(), strict=True)
        )
    ]
    missing = [task for task in tasks if not (tree / task[1].recording.path).exists()]
    for _ in run_each(_write_recording, missing, label="stand-in recordings", progress=True):
        pass
    return len(missing)


def _planned(split: str, recording: Recording, length_s: float, seed: tuple[int, ...]) -> Planned:
    """What sounds in a recording, of which the synthesis asks that it ends within it and is not too short."""
    heard = tuple(
        Event(onset_s, max(min(event.offset_s, length_s), onset_s + SHORTEST_EVENT_S), event.label)
        for event in recording.events
        for onset_s in [min(event.onset_s, length_s - SHORTEST_EVENT_S)]
    )
    silent = Recording(recording.path, recording.scene, heard, ())
    return Planned(split, silent, length_s, seed, (None,) * len(heard))


def _write_recording(task: tuple[Path, Planned]) -> None:
    tree, planned = task
    file = tree / planned.recording.path
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".part")
    samples = stereo(render(planned), round(planned.seconds * RATE_HZ), planned.seed)
    soundfile.write(unfinished, samples, RATE_HZ, subtype="PCM_24", format="WAV")
    unfinished.rename(file)


def stereo(mono: Signal, n_samples: int, seed: tuple[int, ...]) -> Signal:
    """A signal at 16 kHz as one of ``n_samples`` at 44.1 kHz (n_samples, 2), each channel with noise of its own."""
    rng = np.random.default_rng(seed)
    resampled = np.zeros(n_samples, dtype=np.float32)
    longer = resample_poly(mono.astype(np.float32), RATE_HZ // 100, SAMPLE_RATE_HZ // 100)[:n_samples]
    resampled[: len(longer)] = 0.9 * longer  # the filter overshoots
    noise = FLOOR * rng.standard_normal((n_samples, 2), dtype=np.float32)
    return np.asarray(resampled[:, None] * np.array(STEREO_GAINS, np.float32) + noise)


# ---------------------------------------------------------------------------------------- the measurements


@dataclass(frozen=True)
class Measured:
    """What a command took, all of its processes together."""

    wall_s: float
    cpu_s: float
    memory_mib: float  # at its peak
    code: int

    def row(self, what: str) -> Row:
        return {
            "what": what,
            "wall_s": round(self.wall_s, 1),
            "cpu_s": round(self.cpu_s, 1),
            "memory_mib": round(self.memory_mib),
        }


def measure(command: Sequence[str], folder: Path, kill_after_s: float | None = None) -> Measured:
    """Runs a command in ``folder``, and kills it with all that it started after some seconds, if asked to.

    Raises RuntimeError when it fails for another reason.
    """
    before, began = _cpu_of_children_s(), time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        peak = _Peak(child.pid)
        try:
            child.wait(kill_after_s)
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)  # its workers notice and end
            child.wait()
        memory_mib = peak.stop()
        if child.returncode not in (0, -signal.SIGKILL if kill_after_s else 0):
            output.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}:\n{output.read()}")
    return Measured(
        time.perf_counter() - began, _cpu_of_children_s() - before, memory_mib, child.returncode
    )


def _cpu_of_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class _Peak:
    """Watches how much memory a process and its descendants have, until it is stopped."""

    def __init__(self, pid: int) -> None:
        self._pid, self._peak_kib, self._ended = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """The peak in MiB."""
        self._ended.set()
        self._thread.join()
        return self._peak_kib / 1024

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            self._peak_kib = max(self._peak_kib, sum(_memory_kib(pid) for pid in _family(self._pid)))


def _family(pid: int) -> list[int]:
    """A process and its descendants."""
    try:
        children = (Path("/proc") / str(pid) / "task" / str(pid) / "children").read_text().split()
    except OSError:
        return []
    return [pid, *(other for child in children for other in _family(int(child)))]


def _memory_kib(pid: int) -> int:
    try:
        lines = (Path("/proc") / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)
