"""What a page has from elsewhere: the files and studies that it begins with, in a folder and in its store."""

import os
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from ablate.design.claims import Claim, StudyDetails
from ablate.record.rundir import State
from ablate.record.store import Store
from tests.analysis.byitem import study_by_item
from tests.analysis.studies import paper_study
from tests.command import SMALL
from tests.docs.blocks import ROOT, blocks
from tests.docs.reader import at, typed
from tests.mtl.data.folders import write_folder, write_noise

Begin = Callable[[Path, pytest.FixtureRequest], None]

STORE = "mlruns"
COUNT = 'echo "{\\"items\\": $(($1 * 10 + ABLATE_SEED % 2))}"\n'
RESULTS = "lr,seed,accuracy\n0.1,0,0.81\n0.1,1,0.83\n0.01,0,0.78\n0.01,1,0.79\n"


def with_embedded_data(folder: Path, request: pytest.FixtureRequest) -> None:
    data = request.getfixturevalue("embedded_data")
    shutil.copytree(data, folder / STORE / "data", copy_function=os.link)


def with_digits(folder: Path, request: pytest.FixtureRequest) -> None:
    shutil.copytree(request.getfixturevalue("digits"), folder / STORE, dirs_exist_ok=True)
    with_examples(folder, request)


def with_examples(folder: Path, _: pytest.FixtureRequest) -> None:
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))


def with_script(folder: Path, _: pytest.FixtureRequest) -> None:
    """The ``train.py`` of the page on one's own model."""
    (script,) = (each for each in blocks("docs/your-own-model.md") if each.noted("file") == "train.py")
    (folder / "train.py").write_text(script.text)


def with_folded_script(folder: Path, _: pytest.FixtureRequest) -> None:
    """A script that is told which of its folds to hold out."""
    options = "".join(f'parser.add_argument("--{name}")\n' for name in ("lr", "seed", "fold", "folds"))
    score = 'print(json.dumps({"accuracy": float(a.lr) + int(a.fold) / int(a.folds)}))\n'
    start = "import argparse, json\nparser = argparse.ArgumentParser()\n"
    (folder / "train.py").write_text(f"{start}{options}a = parser.parse_args()\n{score}")


def with_results(folder: Path, _: pytest.FixtureRequest) -> None:
    (folder / "results.csv").write_text(RESULTS)
    (folder / "count.sh").write_text(COUNT)


def with_paper(folder: Path, _: pytest.FixtureRequest) -> None:
    """Three of the paper's systems, with fabricated scores that are like the published ones."""
    paper_study(Store(folder / STORE), seeds=2, systems=("mtl", "grl_s1", "fake_event"))


def with_published(folder: Path, _: pytest.FixtureRequest) -> None:
    """All nine systems, in another store, as those of ``with_heard`` are the same runs."""
    paper_study(Store(folder / "published"))


HEARD = StudyDetails(
    baseline="mtl",
    claims=(
        Claim("C1", "mtl beats fake_scene", "event_micro_f", ("mtl",), ("fake_scene",)),
        Claim(
            "C2",
            "mtl beats fake_scene by more than 21 points",
            "event_micro_f",
            ("mtl",),
            ("fake_scene",),
            margin=0.21,
        ),
    ),
)


def with_heard(folder: Path, _: pytest.FixtureRequest) -> None:
    study_by_item(Store(folder / STORE), n_items=30, study="heard", details=HEARD)


# Raises with one learning rate, has no memory once and is killed once.
FAILING = """\
import argparse, json, os, signal
parser = argparse.ArgumentParser()
for name, kind in (("lr", float), ("width", int), ("seed", int)):
    parser.add_argument(f"--{name}", type=kind)
a = parser.parse_args()
def step(epoch):
    if a.lr == 1 and epoch == 3:
        raise ValueError(f"loss is nan at step {100 * epoch + a.seed}")
    return 1 / (epoch + a.width)
for epoch in range(1, 4):
    print(json.dumps({"epoch": epoch, "loss": step(epoch)}), flush=True)
if (a.lr, a.width, a.seed) == (0.1, 4, 1):
    os.kill(os.getpid(), signal.SIGTERM)
if (a.lr, a.width, a.seed) == (0.1, 4, 2):
    raise MemoryError
print(json.dumps({"accuracy": 0.5 + a.lr / 10 + a.width / 100}))
"""


def with_failures(folder: Path, _: pytest.FixtureRequest) -> None:
    (folder / "train.py").write_text(FAILING)
    levels = ["--factors", "lr,width", "--levels", "lr=0.1,1", "--levels", "width=2,4"]
    command = ["grid", "lr", "--script", "train.py", *levels, "--seeds", "3"]
    here(folder, *command, "--metric", "accuracy:max", "--workers", "2", code=1)


def with_rings(folder: Path, _: pytest.FixtureRequest) -> None:
    """Four runs of a module that lies in the folder."""
    shutil.copy(ROOT / "examples" / "rings.py", folder)
    words = ["--subject", "rings.py", "--levels", "lr=0.02,0.05", "--set", "epochs=4"]
    here(folder, "grid", *words, "--seeds", "2", "--workers", "1")


def with_demo(folder: Path, _: pytest.FixtureRequest) -> None:
    """The study of ``make demo``, with fabricated scores; no other study of the page has its runs."""
    of_its_own = ["--set", "optim.lr=0.015"]
    here(folder, "grid", "demo", "--factors", "grl_pos,shuffle", "--design", "ofat", *of_its_own)


def with_tiny_demo(folder: Path, request: pytest.FixtureRequest) -> None:
    """A study of that name with a network that was trained for a moment."""
    where = ["--data", request.getfixturevalue("tiny_data"), "--launcher", "inline", "--device", "cpu"]
    here(folder, "grid", "demo", "--levels", "grl_pos=none", "--seeds", "1", *where, *SMALL)
    write_noise(folder / "recording.wav", 12.0, rate_hz=16_000)


def with_two_studies(folder: Path, _: pytest.FixtureRequest) -> None:
    """One that has finished and is shown in MLflow, and one that was interrupted."""
    here(folder, "grid", "--levels", "grl_pos=none,S1", "--set", "optim.lr=0.01")
    here(folder, "sync", "grid")
    positions = ["--study", "positions", "--factors", "grl_pos", "--seeds", "1"]
    states = [State.INTERRUPTED] * 2 + [State.PENDING] * 3
    here(folder, "grid", *positions, code=1, states=states)


def with_corpora(folder: Path, _: pytest.FixtureRequest) -> None:
    """Data without scenes; label tracks with some oddities, and others with mistakes."""
    event = "\t1.0\t2.0\tdog"
    write_folder(folder / "desed", [f"a.wav\t{event}", f"b.wav\t{event}"], [f"c.wav\t{event}"])
    write_tracks(folder / "tracks", TRACKS)
    write_tracks(folder / "drafts", DRAFTS)
    (folder / "drafts" / "forest 2.wav").unlink()


def with_tracks(folder: Path, _: pytest.FixtureRequest) -> None:
    write_tracks(folder / "TRACKS", {f"{name}": "1\t2\tbell\n" for name in TRACKS})


# By recording: onset, offset and event of each label.
TRACKS = {
    "bakery 1": "1\t2\tbell\n3\t4.5\toven\n",
    "bakery 2": "0.5\t1.5\tbell\n2\t3\toven\n4\t7.5\toven\n2\t2\tbell\n",
    "bakery 3": "1\t2\tbell\n2.5\t4\toven\n",
    "bakery 4": "0\t4\toven\n2\t3\tbell\n",
    "forest 1": "0.5\t1\tbird\n2\t3\tbird\n",
    "forest 2": "1\t1.5\tbird\n2\t4\tbird\n",
    "forest 3": None,
    "forest 4": "3\t4\tbird\n4.25\t4.5\tbird\n",
}
DRAFTS = {
    "bakery 1": "1\t2\tbell\n",
    "bakery 2": "1\t2\tbell\n",
    "bakery 3": "3\t2\tbell\n3\t4\tBell\n9\t10\toven\n",
    "forest 1": "1\t2\tbird\n",
    "forest 2": "1\t2\tbird\n",
}


def write_tracks(folder: Path, tracks: Mapping[str, str | None]) -> None:
    """Recordings of 5 s with a label track beside each that has one."""
    for seed, (name, labels) in enumerate(tracks.items()):
        write_noise(folder / f"{name}.wav", 5.0, seed=seed)
        if labels is not None:
            (folder / f"{name}.txt").write_text(labels)
    scenes = "".join(f"{name}.wav\t{name.split()[0]}\n" for name in tracks)
    (folder / "scenes.txt").write_text(scenes)


def here(folder: Path, *words: object, code: int = 0, states: Sequence[State] = ()) -> None:
    """A command of ablate, typed before the page begins."""
    with at(folder, states):
        ended, shown = typed(shlex.join(["ablate", *map(str, words)]))
        assert ended == code, shown


BEGINNINGS: dict[str, tuple[Begin, ...]] = {
    "README.md": (with_embedded_data, with_script, with_demo),
    "docs/data.md": (with_corpora,),
    "docs/effects.md": (with_embedded_data, with_digits),
    "docs/failures.md": (with_failures,),
    "docs/folds.md": (with_embedded_data, with_folded_script),
    "docs/json.md": (with_paper,),
    "docs/predicting.md": (with_tiny_demo,),
    "docs/querying.md": (with_paper,),
    "docs/recordings.md": (with_heard, with_published),
    "docs/report.md": (with_paper,),
    "docs/reproducing.md": (with_rings,),
    "docs/subjects.md": (with_results,),
    "docs/tutorial.md": (with_embedded_data,),
    "docs/upkeep.md": (with_embedded_data, with_two_studies),
    "docs/usage.md": (with_embedded_data, with_digits, with_tracks, with_demo),
    "docs/your-own-model.md": (with_results,),
}
