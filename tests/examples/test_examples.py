"""The examples: each from its plan to its numbers, through the death of everything that trains it."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.command import output_of
from tests.docs.blocks import blocks

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Example:
    """A study of an example: the words after ``ablate``, its name, and how many runs it has."""

    words: tuple[str, ...]
    study: str
    n_runs: int


def typed() -> Iterator[list[str]]:
    """The words after ``ablate`` of each training of the page, with this folder in their paths."""
    (block,) = blocks("examples/README.md")
    for line in block.text.splitlines():
        training = line.partition(" && ")[0].replace("examples/", f"{EXAMPLES}/")
        program, *words = shlex.split(training)
        assert program == "ablate"
        yield words


def with_seeds(words: list[str], study: str, n_conditions: int, seeds: int = 3) -> Example:
    return Example((*words, "--seeds", str(seeds)), study, n_conditions * seeds)


DIGITS, RINGS, WORDS, CONFIGURED = typed()
STUDIES = [
    with_seeds(DIGITS, "digits", 3),
    with_seeds(RINGS, "rings", 6),
    with_seeds(WORDS, "words", 4, seeds=2),
    with_seeds(CONFIGURED, "configured", 3),
]

LONG = {"rings", "configured"}  # a module and a script as the others are, of which one imports torch


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "ablate.cli.app", *words]


def environment(store: Path) -> dict[str, str]:
    return {**os.environ, "ABLATE_STORE": str(store), "ABLATE_CHECKPOINT_EVERY_S": "0"}


def ablate(store: Path, *words: str) -> str:
    done = subprocess.run(command(*words), env=environment(store), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def here(store: Path, *words: str) -> str:
    """As ``ablate``, in this process; the workers are processes of their own all the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ABLATE_CHECKPOINT_EVERY_S", "0")
        return output_of(*words, store=store)


def scores(store: Path, study: str) -> dict[tuple[str, int], Any]:
    """What came out of each run, by condition and seed."""
    runs = json.loads(here(store, "runs", study, "--format", "json"))["runs"]
    assert {run["state"] for run in runs} == {"finished"}
    return {(run["name"], run["seed"]): run["metrics"] for run in runs}


def processes_of(store: Path) -> Iterator[int]:
    """All processes that have the store in their environment."""
    wanted = f"ABLATE_STORE={store}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)
        except OSError:  # it has ended, or is not ours
            continue


def kill_in_the_middle(store: Path, example: Example) -> int:
    """Start the study and kill all of it at once when it has begun; returns how many runs had finished."""
    study = subprocess.Popen(
        command(*example.words), env=environment(store), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + PATIENCE_S
    while not list(store.glob("runs/*/result.json")) and time.monotonic() < until:
        time.sleep(0.005)
    for process in processes_of(store):
        os.kill(process, signal.SIGKILL)
    study.wait()
    assert list(processes_of(store)) == []
    return len(list(store.glob("runs/*/seal.json")))


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(example, id=example.study, marks=pytest.mark.long if example.study in LONG else ())
        for example in STUDIES
    ],
)
def test_an_example_that_was_killed_ends_with_the_same_numbers(
    example: Example, tmp_path: Path, empty_database: Path
) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    plan = here(undisturbed, *example.words, "--dry-run")
    assert f"= {example.n_runs} runs" in plan
    assert not (undisturbed / "runs").exists()
    for store in (undisturbed, killed):
        store.mkdir(exist_ok=True)
        shutil.copy(empty_database, store / "mlflow.db")
    here(undisturbed, *example.words)
    assert kill_in_the_middle(killed, example) < example.n_runs
    here(killed, *example.words)
    expected = scores(undisturbed, example.study)
    assert len(expected) == example.n_runs
    assert scores(killed, example.study) == expected


def test_everything_that_reads_a_study_reads_an_example(tmp_path: Path) -> None:
    """Of the module, as that has matrices, a family of scores, claims and a picture of each."""
    store = tmp_path / "store"
    ablate(store, "study", str(EXAMPLES / "digits.toml"), "--seeds", "2", "--workers", "1")
    assert "accuracy" in here(store, "compare", "--metrics", "accuracy,confusion/8/1,f/8")
    assert "2 claims" in here(store, "claims")
    assert "confusion" in here(store, "show", "raw seed=1")
    here(store, "report", "-o", str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text()
    assert all(f'<figure id="{name}"' in page for name in ("differences", "confusion", "f"))
    assert "0 problems" in here(store, "doctor")
    assert "nothing to remove" in here(store, "gc", "--dry-run").lower()


def test_the_module_is_as_short_as_it_can_be() -> None:
    assert len((EXAMPLES / "digits.py").read_text().splitlines()) <= 40


def test_a_program_with_a_configuration_file_runs_without_ablate() -> None:
    words = [sys.executable, str(EXAMPLES / "configured.py"), str(EXAMPLES / "configured.toml")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "off by 0.0" in done.stdout.splitlines()[-1]
