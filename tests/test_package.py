"""The package as others install it: built from what it is built from, and used far from its repository."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
BUILT_FROM = ("ablate", "pyproject.toml", "README.md", "LICENSE")

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("pip", "setuptools")), reason="pip and setuptools build packages"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed package. It is a wheel from a source distribution, so both are proven."""
    root = tmp_path_factory.mktemp("package")
    source = root / "source"
    for name in BUILT_FROM:  # a build writes beside what it builds from
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        source.mkdir(exist_ok=True)
        copy(REPOSITORY / name, source / name)
    code = "from setuptools import build_meta; print(build_meta.build_sdist('..'))"
    built = _run([sys.executable, "-c", code], source).splitlines()[-1]
    target = root / "site"
    alone = ["--no-index", "--no-deps", "--no-build-isolation", "--no-compile"]
    _run([sys.executable, "-m", "pip", "install", *alone, "--target", str(target), str(root / built)], root)
    return target


def _run(command: list[str], folder: Path, **environment: str) -> str:
    settings = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **environment}
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_study_can_be_planned_from_any_folder(installed: Path, tmp_path: Path, tiny_data: Path) -> None:
    code = """
import ablate, sys
from ablate.cli.app import app
print(ablate.__file__)
for name in ("paper", "lambda", "alpha", "controls"):
    app(["study", name, "--data", sys.argv[1], "--dry-run", "--format", "json"], standalone_mode=False)
"""
    command = [sys.executable, "-c", code, str(tiny_data)]
    printed = _run(command, tmp_path, PYTHONPATH=str(installed), ABLATE_STORE=str(tmp_path / "store"))
    used, plans = printed.split("\n", 1)
    assert Path(used) == installed / "ablate" / "__init__.py"
    decoder, found = json.JSONDecoder(), []
    while plans := plans.strip():
        plan, end = decoder.raw_decode(plans)
        found.append((plan["study"], plan["n_conditions"]))
        plans = plans[end:]
    assert found == [("paper", 9), ("lambda", 25), ("alpha", 10), ("controls", 11)]


def test_what_the_package_reads_of_its_own_is_installed(installed: Path) -> None:
    """Every file of the repository's package but its caches, among them statistics and the report's page."""
    kept = {
        file.relative_to(REPOSITORY)
        for file in (REPOSITORY / "ablate").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert Path("ablate/mtl/data/cooccurrence.csv") in kept
    assert Path("ablate/analysis/report.html") in kept
    assert [path for path in sorted(kept) if not (installed / path).is_file()] == []
