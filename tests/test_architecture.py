"""The layout of the package, held to: who may import whom, and who may load what."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ablate"

# A module imports from rows above its own, and within a row from left to right. Modules joined by "|" stand
# side by side and know nothing of each other.
ROWS = [
    "errors, config, files, leases, machine",
    "design",
    "recorded, seals, rundir, store, schedule",
    "launch",
    "metrics",
    "data | model",
    "training",
    "worker",
    "tracking",
    "upkeep",
    "analysis",
    "shipping, campaign | calibration",
    "cli",
]

# Libraries that cost seconds or tie the code to a tool, and where they may be imported.
HEAVY = {
    "pydantic": {"config", "recorded"},
    "optuna": {"schedule"},
    "numba": {"model"},
    "torch": {"model", "training", "worker"},
    "safetensors": {"worker"},
    "librosa": {"data"},
    "soundfile": {"data"},
    "mlflow": {"tracking"},
    "matplotlib": {"analysis", "tracking"},
    "pandas": {"analysis"},
    "sklearn": {"metrics"},
    "typer": {"cli"},
}


def _order() -> dict[str, tuple[int, int]]:
    """Module -> (row, column); side by side means the same column."""
    places = {}
    for row, text in enumerate(ROWS):
        for column, cell in enumerate(text.split(",")):
            for name in cell.split("|"):
                places[name.strip()] = (row, column)
    return places


PLACES = _order()
FILES = sorted(PACKAGE.rglob("*.py"))


def _module(path: Path) -> str:
    """The first part of a file's name below the package: ``ablate/design/runs.py`` is in ``design``."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            assert node.module is not None
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def test_every_module_has_a_place_in_the_table() -> None:
    assert {_module(path) for path in FILES} - {"__init__"} <= set(PLACES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_up_the_table(path: Path) -> None:
    here = _module(path)
    for name, line in _imports(path):
        parts = name.split(".")
        if parts[0] != "ablate" or here == "__init__":
            continue
        there = parts[1] if len(parts) > 1 else "__init__"
        if there in PLACES and there != here:
            assert PLACES[there] < PLACES[here], f"{path}:{line}: {here} may not import {there}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_libraries_stay_where_they_belong(path: Path) -> None:
    for name, line in _imports(path):
        library = name.split(".")[0]
        assert _module(path) in HEAVY.get(library, {_module(path)}), (
            f"{path}:{line}: {library} is not for here"
        )


def test_help_loads_no_heavy_library() -> None:
    heavy = ["torch", "mlflow", "librosa", "optuna", "pandas", "numpy", "scipy", "matplotlib", "numba"]
    code = f"""
import sys
sys.argv = ["ablate", "--help"]
from ablate.cli.app import main
try:
    main()
except SystemExit:
    pass
print("LOADED", [name for name in {heavy} if name in sys.modules])
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "grid" in output
    assert "LOADED []" in output
