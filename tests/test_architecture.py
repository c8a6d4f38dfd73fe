"""The layout of the package, held to: who may import whom, and who may load what."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ablate"

# Two wings: the harness, which plans, launches, records, tracks and compares; and the built-in subject.
# A room imports from rows above its own, and within a row from left to right. Rooms joined by "|" stand side
# by side and know nothing of each other.
HARNESS = [
    "ground",
    "subject",
    "design",
    "record, schedule",
    "launch",
    "worker",
    "tracking",
    "analysis",
    "upkeep",
    "campaign",
    "api",
    "cli",
]
SUBJECT = [
    "documents, config, named_classes, factors",
    "metrics, detection",
    "data | model",
    "training",
    "keeping, network",
    "scoring, rescoring, trainer",
    "calibration | installation | remarks | figures | starter",
    "prediction",
    "export",
    "definition",
    "rescored | trained",
    "predict_report",
    "data_command, rescore_command, predict_command, export_command",
]
# What of the harness the subject may know: the ground, and the interface. Its own commands stand upon the
# others.
OPEN_TO_SUBJECT = {"ground", "subject"}
ABOVE_THE_COMMANDS = {
    "rescored",
    "trained",
    "predict_report",
    "data_command",
    "rescore_command",
    "predict_command",
    "export_command",
}
OPEN_TO_COMMANDS = {"record", "launch", "tracking", "analysis", "cli"}
# The one place that names the subject.
REGISTRY = "subject/registry.py"

# Libraries that cost seconds or tie the code to a tool, and the rooms of either wing that may import them.
HEAVY = {
    "pydantic": {"ground", "subject", "record", "mtl.config", "mtl.data", "mtl.network"},
    "optuna": {"schedule"},
    "numba": {"mtl.model"},
    "torch": {
        "subject",
        "mtl.model",
        "mtl.training",
        "mtl.scoring",
        "mtl.trainer",
        "mtl.prediction",
        "mtl.export",
        "mtl.predict_command",
        "mtl.rescored",
    },
    "safetensors": {"mtl.scoring", "mtl.prediction"},
    "librosa": {"mtl.data", "mtl.prediction"},
    "soundfile": {"mtl.data"},
    "mlflow": {"tracking"},
    "matplotlib": {"analysis", "tracking", "mtl.figures", "mtl.prediction"},
    "pandas": {"analysis", "api", "mtl.export"},
    "sklearn": {"mtl.metrics"},
    "ray": {"launch"},
    "typer": {
        "cli",
        "mtl.data_command",
        "mtl.rescore_command",
        "mtl.predict_command",
        "mtl.export_command",
    },
}


def _places(rows: list[str]) -> dict[str, tuple[int, int]]:
    """Room -> (row, column); side by side means the same column."""
    places = {}
    for row, text in enumerate(rows):
        for column, cell in enumerate(text.split(",")):
            for name in cell.split("|"):
                places[name.strip()] = (row, column)
    return places


ROOMS = _places(HARNESS)
PARTS = _places(SUBJECT)
FILES = sorted(PACKAGE.rglob("*.py"))


def _room(path: Path) -> str:
    """``ablate/design/runs.py`` is in ``design``, ``ablate/mtl/data/audio.py`` in ``mtl.data``."""
    parts = [part.removesuffix(".py") for part in path.relative_to(PACKAGE).parts]
    return f"mtl.{parts[1]}" if parts[0] == "mtl" else parts[0]


def _room_of(name: str) -> str | None:
    """The room of an imported name; None for what is not ours."""
    parts = name.split(".")
    if parts[0] != "ablate" or len(parts) < 2:
        return None
    return f"mtl.{parts[2]}" if parts[1] == "mtl" and len(parts) > 2 else parts[1]


def _imports(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            assert node.module is not None
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def test_every_module_has_a_place_in_the_tables() -> None:
    rooms = {_room(path) for path in FILES} - {"__init__", "mtl.__init__"}
    assert rooms == {*ROOMS, *(f"mtl.{part}" for part in PARTS)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_up_the_tables(path: Path) -> None:
    here = _room(path)
    if here in ("__init__", "mtl.__init__"):  # they hand on what is asked for by name
        return
    for name, line in _imports(path):
        there = _room_of(name)
        if there is None or there == here:
            assert name.partition(".__")[0] != "ablate", f"{path}:{line}: the root is above all"
        elif here.startswith("mtl."):
            assert _is_open(here, there), f"{path}:{line}: {here} may not import {there}"
        else:
            assert there in ROOMS, f"{path}:{line}: the harness knows nothing of {there}"
            assert ROOMS[there] < ROOMS[here], f"{path}:{line}: {here} may not import {there}"


def _is_open(here: str, there: str) -> bool:
    """Whether a part of the subject may import a room."""
    part = here.removeprefix("mtl.")
    if there.startswith("mtl."):
        return PARTS[there.removeprefix("mtl.")] < PARTS[part]
    return there in OPEN_TO_SUBJECT or (part in ABOVE_THE_COMMANDS and there in OPEN_TO_COMMANDS)


def test_the_harness_names_the_subject_in_one_line() -> None:
    lines = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in FILES
        if not _room(path).startswith("mtl.")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"ablate\.mtl", line)
    ]
    assert lines == [f'{REGISTRY}: BUILT_IN = "ablate.mtl"']


def test_the_harness_has_no_word_of_the_subject() -> None:
    """What a user reads as an example may have them: docstrings, help texts and comments."""
    words = re.compile(r"\b(scenes?|grl|audio|sound)\b", re.IGNORECASE)
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {name}"
        for path in FILES
        if not _room(path).startswith("mtl.")
        for line, name in _code_words(path)
        if words.search(name)
    ]
    assert found == []


def _code_words(path: Path) -> Iterator[tuple[int, str]]:
    """Names and short strings of a file's code, without its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.arg | ast.Attribute | ast.FunctionDef | ast.ClassDef):
            name = getattr(node, "id", None) or getattr(node, "arg", None) or getattr(node, "attr", "")
            yield node.lineno, str(name or getattr(node, "name", "")).replace("_", " ")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value:
            yield node.lineno, node.value.replace("_", " ")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_libraries_stay_where_they_belong(path: Path) -> None:
    for name, line in _imports(path):
        library = name.split(".")[0]
        assert _room(path) in HEAVY.get(library, {_room(path)}), f"{path}:{line}: {library} is not for here"


def test_help_loads_no_heavy_library() -> None:
    heavy = ["torch", "mlflow", "librosa", "optuna", "pandas", "numpy", "scipy", "matplotlib", "numba", "ray"]
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
