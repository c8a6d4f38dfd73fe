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

import filecmp
import math
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from ablate.mtl.data.annotations import SPLITS, Event, Recording, annotation_file, read_annotations
from ablate.mtl.data.parallel import run_each
from ablate.mtl.data.prepared import EXTRACTED, open_prepared
from ablate.mtl.data.procedural import SAMPLE_RATE_HZ
from ablate.mtl.data.soundscapes import SHORTEST_EVENT_S, Planned, Signal, render
from benchmarks.common import ROOT, Row, context, parser, show, write

RATE_HZ = 44_100
MINUTES = {"development": 192.0, "evaluation": 74.0}  # Imoto et al. 2022, section 4.1
# Of the corpora of scenes; 441,001 samples are as long as the clips of 2017 are.
LENGTHS_S = {"TUT-acoustic-scenes-2016": 30.0, "TUT-acoustic-scenes-2017": 441_001 / RATE_HZ}
STEP_S = 5.0  # of the other recordings' lengths
STEREO_GAINS = (1.0, 0.8)
FLOOR = 1e-4  # -80 dBFS of white noise: the synthesis ends at 8 kHz, a recording does not
TRAINING = "--profile paper --levels optim.epochs=1 --seeds 1"
LOOK_S = 0.1  # how often a command's memory is looked at


# -------------------------------------------------------------------------------------------- the stand-in


def lengths_s(recordings: Sequence[Recording], minutes: float) -> dict[str, float]:
    """The length of each recording of a split by its path; in all about ``minutes``, or more if need be."""
    known = {each.path: _known_length_s(each.path) for each in recordings}
    at_least = {
        each.path: max((event.offset_s for event in each.events), default=1.0)
        for each in recordings
        if known[each.path] is None
    }
    rest_s = 60 * minutes - sum(length for length in known.values() if length is not None)
    stretch = max(1.0, rest_s / sum(at_least.values())) if at_least else 1.0
    return {
        path: _in_steps(stretch * at_least[path], at_least[path]) if length is None else length
        for path, length in known.items()
    }


def _in_steps(length_s: float, at_least_s: float) -> float:
    """Transforms of other lengths, which can be prime numbers of samples, take minutes."""
    return STEP_S * max(round(length_s / STEP_S), math.ceil(at_least_s / STEP_S))


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
    """A signal at 16 kHz as one of ``n_samples`` at 44.1 kHz (n_samples, 2), with noise."""
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


def measure(words: Sequence[str], scratch: Path, kill_when: Callable[[], bool] | None = None) -> Measured:
    """What ``ablate`` takes for ``words``; a process that is to be killed is killed as soon as it can be.

    Raises RuntimeError when the command fails, or ends before it could be killed.
    """
    before, began = _cpu_of_children_s(), time.perf_counter()
    log = scratch / "output"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "ablate.cli.app", *words],
            cwd=scratch,
            env={**os.environ, "PYTHONPATH": str(ROOT), "ABLATE_STORE": str(scratch / "store")},
            stdout=output,
            stderr=output,
        )
    peak_kib = 0
    while child.poll() is None:
        peak_kib = max(peak_kib, sum(map(_memory_kib, _family(child.pid))))
        if kill_when and kill_when():
            child.kill()  # its workers notice and end
        time.sleep(LOOK_S)
    if child.returncode != (-signal.SIGKILL if kill_when else 0):
        raise RuntimeError(f"ablate {' '.join(words)} ended with {child.returncode}:\n{log.read_text()}")
    return Measured(time.perf_counter() - began, _cpu_of_children_s() - before, peak_kib / 1024)


def _cpu_of_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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


def measurements(tree: Path, scratch: Path, training: Sequence[str]) -> Iterator[Row]:
    """Each command's row. Raises RuntimeError when resumed data are not the same as those made at once."""
    yield _row("data check", measure(["data", "check", str(tree)], scratch))
    whole, resumed = scratch / "whole", scratch / "resumed"
    yield _row("data prepare", measure(_prepare(tree, whole), scratch))
    data = open_prepared(whole)
    n_recordings = len(data.development.recording_names) + len(data.evaluation.recording_names)

    def extracted() -> int:
        return len(list((scratch / ".resumed.new" / EXTRACTED).glob("*.npz")))

    measure(_prepare(tree, resumed), scratch, kill_when=lambda: extracted() >= n_recordings / 2)
    kept = extracted()
    yield {
        **_row("data prepare, killed half-way, again", measure(_prepare(tree, resumed), scratch)),
        "kept": kept,
    }
    if open_prepared(resumed).digest != data.digest or not _same_arrays(whole, resumed):
        raise RuntimeError("the interrupted preparation ended with other data")
    measure(_prepare(tree, tree / "prepared"), scratch)  # for trainings to come
    yield _row(f"grid {shlex.join(training)}", measure(["grid", "--data", str(tree), *training], scratch))
    yield {
        "what": "data",
        "digest": data.digest,
        "recordings": n_recordings,
        "clips": {"development": len(data.development), "evaluation": len(data.evaluation)},
        "audio_gb": round(sum(file.stat().st_size for file in tree.rglob("*.wav")) / 1e9, 2),
    }


def _prepare(tree: Path, out: Path) -> list[str]:
    return ["data", "prepare", str(tree), "--out", str(out)]


def _row(what: str, used: Measured) -> Row:
    return {
        "what": what,
        "wall_s": round(used.wall_s, 1),
        "cpu_s": round(used.cpu_s, 1),
        "memory_mib": round(used.memory_mib),
    }


def _same_arrays(one: Path, other: Path) -> bool:
    return all(filecmp.cmp(file, other / file.relative_to(one), shallow=False) for file in one.rglob("*.npy"))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("annotations", type=Path, metavar="ANNOTATIONS")
    options.add_argument("tree", type=Path, metavar="TREE")
    options.add_argument("--minutes", type=float, nargs=2, default=list(MINUTES.values()))
    options.add_argument("--only-tree", action="store_true", help="make the stand-in, measure nothing")
    options.add_argument("--training", default=TRAINING, metavar="WORDS", help="what 'ablate grid' is told")
    chosen = options.parse_args()
    where = context("numpy", "scipy", "soundfile", "torch")
    write_tree(chosen.annotations, chosen.tree, dict(zip(SPLITS, chosen.minutes, strict=True)))
    if chosen.only_tree:
        return
    rows = []
    # Beside the tree, since it takes a tenth of the tree's room.
    with tempfile.TemporaryDirectory(dir=chosen.tree.parent) as scratch:
        for row in measurements(chosen.tree.resolve(), Path(scratch), shlex.split(chosen.training)):
            rows.append(row)
            show(row)
    write(chosen.output, where, rows)


if __name__ == "__main__":
    main()
