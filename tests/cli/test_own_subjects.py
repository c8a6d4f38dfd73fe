"""Trainings of a user's own that go wrong: each is told in a sentence, and costs nobody else anything."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import answer

MODULE = """
import subprocess
import ablate

class Config(ablate.Config):
    way: str = "fine"

def train(config, run):
    if config.way == "raises" and run.seed == 1:
        raise RuntimeError("no luck")
    if config.way == "nan":
        return ablate.Scores(score=float("nan"))
    if config.way == "undeclared":
        return ablate.Scores(scor=1.0)
    if config.way == "silent":
        assert run.seed > 5
    if config.way == "forks":
        subprocess.Popen(["sleep", "987"])
    return ablate.Scores(score=1.0 + run.seed)

subject = ablate.Subject("mine", Config, train, metrics=[ablate.Metric("score")])
"""
PARENT = """
import multiprocessing, os, signal, subprocess, time
import ablate

class Config(ablate.Config):
    way: str = "fine"

def doze():
    time.sleep(600)

def train(config, run):
    if config.way == "pool":
        with multiprocessing.Pool(2) as pool:
            pool.map(abs, range(4))
    if config.way in ("leaves", "dies"):
        multiprocessing.get_context("fork").Process(target=doze, daemon=run.seed == 1).start()
    if config.way == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if config.way == "waits":
        subprocess.Popen(["sleep", "986"])
        for _ in run.epochs(6000):
            time.sleep(0.1)
    return ablate.Scores(score=1.0 + run.seed)

subject = ablate.Subject("parent", Config, train, metrics=[ablate.Metric("score")])
"""
SCRIPT = """
case $1 in
    loud) head -c 100000000 /dev/zero | tr '\\0' 'x'; echo ;;
    forks) sleep 988 & ;;
    other) for file in "$ABLATE_FOLDER"/../../*/result.json; do echo broken > "$file"; done ;;
    deaf)
        if [ ! -e "$ABLATE_FOLDER/again" ]; then
            trap '' TERM
            touch "$ABLATE_FOLDER/again"
            sleep 989
        fi ;;
esac
echo '{"score": 1}'
"""


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "ABLATE_STORE": str(folder / "store"), "ABLATE_SCRIPT_GRACE_S": "1"}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "ablate.cli.app", *words]


def ablate(folder: Path, *words: str, code: int = 0) -> str:
    """Everything that a command prints, which must end with exit code ``code``."""
    done = subprocess.run(
        command(*words),
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def here(folder: Path, *words: str, code: int = 0) -> str:
    """As ``ablate``, in this process, which has imported what takes a new one seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("ABLATE_SCRIPT_GRACE_S", "1")
        return "".join(answer(*words, store=folder / "store", code=code))


def sleeps(seconds: int) -> bool:
    """Whether any process still sleeps for so long."""
    wanted = f"sleep\0{seconds}\0".encode()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if file.read_bytes() == wanted:
                return True
        except OSError:  # it has ended
            continue
    return False


def comes(happens: Callable[[], bool]) -> bool:
    """Whether something happens within a minute."""
    until = time.monotonic() + 60
    while not happens():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def folder(tmp_path: Path, empty_database: Path) -> Path:
    (tmp_path / "store").mkdir()
    shutil.copy(empty_database, tmp_path / "store" / "mlflow.db")
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "mine.sh").write_text(SCRIPT)
    (tmp_path / "parent.py").write_text(PARENT)
    return tmp_path


def test_a_module_that_does_not_import_is_told_with_its_line(folder: Path) -> None:
    (folder / "broken.py").write_text("import ablate\nimport nothing_like_this\n")
    said = ablate(folder, "grid", "--subject", "broken.py", "--levels", "way=fine", code=2)
    assert said == (
        f"ablate: {folder / 'broken.py'}, line 2: ModuleNotFoundError: No module named 'nothing_like_this'\n"
    )


def test_what_a_module_does_wrong_costs_its_own_runs_alone(folder: Path) -> None:
    ways = "fine,raises,nan,undeclared,silent,forks"
    grid = ("grid", "--subject", "mine.py", "--levels", f"way={ways}", "--seeds", "2")
    said = ablate(folder, *grid, code=1)
    assert "7 of 12 runs failed:" in said
    assert "way=raises seed=1 FAILED: RuntimeError: no luck" in said
    assert "error of the training, the same in 2 runs, at mine.py:" in said
    assert "train returned score = nan" in said
    assert "metric 'scor', which is not declared; did you mean 'score'?" in said
    status = here(folder, "status")
    assert "5 finished, 7 failed" in status
    assert "mine.py" in status, "the log's last lines, with the place in the user's file"
    assert "way=silent seed=0 FAILED: AssertionError\n" in said
    assert "/dev/null" not in ablate(folder, "doctor"), "there are no data to look at"
    assert not sleeps(987)


def test_processes_of_python_that_a_module_leaves_hold_nothing_up(folder: Path) -> None:
    """Python waits for them when it exits, and they hold their worker's output open when it has died."""
    grid = ("grid", "--subject", "parent.py", "--seeds", "2", "--workers", "1")
    began = time.monotonic()
    here(folder, *grid, "--levels", "way=fine,pool,leaves")
    assert time.monotonic() - began < 30, "a worker that does not leave is killed after 30 s"
    said = here(folder, *grid, "--levels", "way=fine,dies", "--max-retries", "0", code=1)
    assert said.count("its worker ended by SIGKILL") >= 2


def test_what_a_module_has_left_running_ends_with_a_study_that_is_killed(folder: Path) -> None:
    words = command("grid", "--subject", "parent.py", "--levels", "way=waits", "--seeds", "1")
    study = subprocess.Popen(words, cwd=folder, env=environment(folder), stdout=subprocess.DEVNULL)
    assert comes(lambda: sleeps(986))
    study.kill()
    study.wait()
    assert comes(lambda: not sleeps(986))


def test_what_a_program_does_wrong_ends_with_it(folder: Path) -> None:
    """One that prints 100 MB, one that leaves a child, and one that writes into another run's folder."""
    grid = ("grid", "--script", "sh mine.sh {way}", "--seeds", "1", "--workers", "1")
    here(folder, *grid, "--levels", "way=fine,loud,forks")
    logs = [file.stat().st_size for file in (folder / "store").glob("runs/*/log.txt")]
    assert 10_000_000 < max(logs) < 18_000_000
    assert not sleeps(988)
    said = here(folder, *grid, "--study", "other", "--levels", "way=fine,other", code=1)
    assert "baseline, seed 0 is damaged and counts as missing (result.json was changed" in said


def test_a_program_that_ignores_being_asked_to_end_is_ended_and_started_again(folder: Path) -> None:
    words = command("grid", "--script", "sh mine.sh {way}", "--levels", "way=deaf", "--seeds", "1")
    study = subprocess.Popen(words, cwd=folder, env=environment(folder), stdout=subprocess.DEVNULL)
    assert comes(lambda: sleeps(989))
    study.send_signal(signal.SIGINT)
    assert study.wait(timeout=30) == 130
    assert not sleeps(989)
    assert "1 interrupted" in here(folder, "status")
    here(folder, *words[3:])
    assert "1 finished" in here(folder, "status")


def test_code_that_has_changed_is_asked_about(folder: Path) -> None:
    grid = ("grid", "--subject", "mine.py", "--levels", "way=fine,other", "--seeds", "2")
    here(folder, *grid)
    (folder / "mine.py").write_text(MODULE + "# a remark\n")
    said = here(folder, *grid, "--dry-run", code=2)
    assert "has changed since study 'mine' was planned: 4 finished runs are of the former version" in said
    assert "4 finished" in here(folder, *grid, "--dry-run", "--code", "same")
    assert "4 pending" in here(folder, *grid, "--dry-run", "--code", "new")
    here(folder, *grid, "--code", "same")
    assert "4 finished" in here(folder, *grid, "--dry-run"), "it is asked once"
    (folder / "mine.py").write_text(MODULE.replace("1.0 + run.seed", "2.0 + run.seed"))
    said = here(folder, *grid, "--code", "new")
    assert "2.500 ± 0.707" in said
    former = next((folder / "store" / "studies").glob("mine.*.json")).stem
    assert "1.500 ± 0.707" in here(folder, "compare", former), "the former runs are a study of their own"
    assert "nothing to remove" in here(folder, "gc", "--dry-run").lower()


def test_a_program_that_failed_is_mended_and_the_same_command_typed(folder: Path) -> None:
    program = folder / "score.sh"
    grid = ("grid", "--script", "sh score.sh {x}", "--levels", "x=1,2", "--seeds", "1", "--workers", "1")
    program.write_text("exit 3\n")
    said = here(folder, *grid, code=1)
    assert "2 of 2 runs failed" in said
    assert "ablate failures score" in said
    assert "ablate compare" not in said, "there is nothing to compare"
    program.write_text("echo '{\"score\": 1}'\n")
    assert "ablate compare score" in here(folder, *grid)
    assert "2 finished" in here(folder, *grid, "--dry-run")


def test_two_programs_of_one_name_are_told_apart(folder: Path) -> None:
    for name, score in (("a", 1), ("b", 2)):
        (folder / name).mkdir()
        (folder / name / "train.sh").write_text(f"echo '{{\"score\": {score}}}'\n")
    first, second = (
        ("grid", "--script", f"sh {name}/train.sh {{x}}", "--levels", "x=1", "--seeds", "1") for name in "ab"
    )
    here(folder, *first)
    said = here(folder, *second, code=2)
    assert f"study 'train' was planned with {folder}/a/train.sh, and this is {folder}/b/train.sh" in said
    assert "2.000" in here(folder, *second, "--study", "other")
    assert "1.000" in here(folder, "compare", "train")
