"""The harness where the built-in subject's packages are not installed: everything but that subject works."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ablate.subject.registry import built_in

REPOSITORY = Path(__file__).parents[1]

# Python imports a module of this name when it starts, also in the workers.
WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {modules!r}:
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name)

sys.meta_path.insert(0, Absent())
"""
MODULES = {"torch", "numba", "librosa", "soundfile", "sklearn", "safetensors"}
SCRIPT = 'echo "{\\"score\\": $1}"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT.format(modules=MODULES))
    (tmp_path / "train.sh").write_text(SCRIPT)
    return tmp_path


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder), str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "ablate.cli.app", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "ABLATE_STORE": str(folder / "store")},
        capture_output=True,
        text=True,
    )


def test_a_script_is_trained_compared_and_reported(folder: Path) -> None:
    assert "No module named 'torch'" in subprocess.run(
        [sys.executable, "-c", "import torch"],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    ).stderr  # fmt: skip
    trained = run(folder, "grid", "--script", "sh train.sh {a}", "--levels", "a=1,2,3", "--seeds", "2")
    assert trained.returncode == 0, trained.stderr
    assert "2.000" in trained.stdout
    for words in (["compare"], ["report", "-o", "page.html"], ["show", "baseline seed=0"]):
        done = run(folder, *words)
        assert done.returncode == 0, done.stderr
    doctor = run(folder, "doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert "the built-in subject cannot be trained, others can" in doctor.stdout


def test_the_built_in_subject_says_what_is_missing(folder: Path) -> None:
    done = run(folder, "grid", "--factors", "grl_pos")
    assert done.returncode == 2
    assert done.stderr.startswith("ablate: the built-in subject needs torch, numba, librosa,")
    assert len(done.stderr.splitlines()) == 1


def test_harness_txt_is_what_is_required_without_the_subject() -> None:
    required = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    names = built_in().requires
    expected = [line for line in required if line.split(">")[0] not in names]
    lines = (REPOSITORY / "harness.txt").read_text().splitlines()
    assert sorted(line for line in lines if line and not line.startswith("#")) == sorted(expected)


def test_a_worker_loads_only_what_its_subject_needs(folder: Path) -> None:
    (folder / "mine.py").write_text(
        "import ablate\n"
        "class Config(ablate.Config):\n    width: int = 1\n"
        "def train(config, run):\n    return ablate.Scores(score=config.width)\n"
        "subject = ablate.Subject('mine', Config, train)\n"
    )
    code = (
        "import json, sys\n"
        "from ablate.subject.registry import open_subject\n"
        "import ablate.worker.bench\n"
        "open_subject(json.loads(sys.argv[1])).trainer('cpu')\n"
        "heavy = 'torch numpy pandas mlflow scipy matplotlib sklearn librosa numba'.split()\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    spec = f'{{"kind": "module", "path": "{folder / "mine.py"}"}}'
    command = [sys.executable, "-c", code, spec]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
