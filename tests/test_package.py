"""The package as others install it: built from what it is built from, and used far from its repository."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from ablate.ground.version import VERSION
from tests.docker.test_files import passes, tool

REPOSITORY = Path(__file__).parents[1]
BUILT_FROM = (
    "ablate",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "MANIFEST.in",
    "CHANGELOG.md",
    "CITATION.cff",
    "constraints.txt",
    "harness.txt",
)

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("pip", "setuptools")), reason="pip and setuptools build packages"
)


@pytest.fixture(scope="module")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution."""
    source = tmp_path_factory.mktemp("package") / "source"
    for name in BUILT_FROM:  # a build writes beside what it builds from
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        source.mkdir(exist_ok=True)
        copy(REPOSITORY / name, source / name)
    code = "from setuptools import build_meta; print(build_meta.build_sdist('..'))"
    (source / "tests").mkdir()
    (source / "tests" / "test_own.py").touch()
    return source.parent / _run([sys.executable, "-c", code], source).splitlines()[-1]


@pytest.fixture(scope="module")
def installed(distribution: Path) -> Path:
    """A folder with the installed package. It is a wheel from a source distribution, so both are proven."""
    target = distribution.parent / "site"
    alone = ["--no-index", "--no-deps", "--no-build-isolation", "--no-compile"]
    command = [sys.executable, "-m", "pip", "install", *alone, "--target", str(target), str(distribution)]
    _run(command, distribution.parent)
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


def test_the_source_distribution_is_the_package_and_what_tells_of_it(distribution: Path) -> None:
    with tarfile.open(distribution) as archive:
        files = {Path(*Path(name).parts[1:]) for name in archive.getnames()}
    assert {Path(name) for name in BUILT_FROM} < files
    assert {file.parts[0] for file in files if file.parts} - set(BUILT_FROM) == {
        "PKG-INFO",
        "ablate.egg-info",
        "setup.cfg",
    }


def test_nothing_but_the_package_is_installed(installed: Path) -> None:
    assert {item.name for item in installed.iterdir()} == {"ablate", "bin", f"ablate-{VERSION}.dist-info"}


def test_the_version_is_the_same_wherever_it_stands() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    dockerfile = (REPOSITORY / "docker" / "Dockerfile").read_text(encoding="utf-8")
    assert (citation["version"], project["version"]) == (VERSION, VERSION)
    assert f"ARG VERSION={VERSION}\n" in dockerfile
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {VERSION} ({citation['date-released']})\n" in changelog


def test_the_citation_is_of_the_official_schema() -> None:
    passes(tool("check-jsonschema"), "--builtin-schema", "vendor.citation-file-format", "CITATION.cff")
