"""Small changes of a small module: which its tests notice, and which only by how long they take."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.ground.files import read_json, write_json
from tests.mutants.plan import AREAS, REPOSITORY
from tests.mutants.record import equal, survivors, table

pytest.importorskip("mutmut", reason="mutants are made with mutmut, of the extra dev")

MODULE = """\
def larger(a, b):
    return a if a >= b else b


def pairs(n):
    count = 0
    while n > 0:
        n = n - 2
        count += 1
    return count


def unused(a):
    return -a
"""
TESTS = """\
import pytest

from tiny.numbers import larger, pairs


def test_larger():
    assert larger(1, 2) == 2 and larger(2, 1) == 2


def test_pairs():
    assert pairs(4) == 2


def test_that_fails_of_the_module_as_it_is():
    assert larger(1, 2) == 1
"""
PROGRAM = """\
import sys
from pathlib import Path

from tests.mutants import __main__ as program, trials
from tests.mutants.plan import Area

trials.PATIENCE_S = 1.0
area = Area(("tiny/numbers.py",), ("test_numbers.py",), root=Path(sys.argv.pop(1)), libraries=("hypothesis",))
program.main({"tiny": area})
"""
EQUAL = ("tiny/numbers.py", "larger", "return a if a >= b else b", "return a if a > b else b")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A module, its tests, and the record of what they noticed."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "tiny").mkdir()
    (folder / "tiny" / "numbers.py").write_text(MODULE)
    (folder / "test_numbers.py").write_text(TESTS)
    run(folder)
    return folder


def run(folder: Path, *options: str) -> str:
    """In a process of its own, since the program ends all that its own process has started."""
    command = [sys.executable, "-c", PROGRAM, str(folder), "--output", str(folder / "found.json"), *options]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def verdicts(folder: Path) -> dict[str, str]:
    return read_json(folder / "found.json")["areas"]["tiny"]["modules"]["tiny/numbers.py"]["verdicts"]


def left(folder: Path) -> set[tuple[str, str]]:
    area = read_json(folder / "found.json")["areas"]["tiny"]
    return {(where, becomes) for (_, where, _, becomes), _ in survivors(area, {})}


def test_what_no_test_notices_survives(folder: Path) -> None:
    assert left(folder) == {
        ("larger", "return a if a > b else b"),  # equal: of two equal numbers either is the larger
        ("pairs", "while n > 1:"),
        ("pairs", "n = n - 3"),
        ("unused", "return +a"),
    }


def test_a_mutant_that_never_ends_is_killed_by_time(folder: Path) -> None:
    assert list(verdicts(folder).values()).count("killed by time") == 1  # n = n + 2


def test_a_test_that_fails_without_a_mutant_kills_none(folder: Path) -> None:
    failed = ["test_numbers.py::test_that_fails_of_the_module_as_it_is"]
    assert read_json(folder / "found.json")["areas"]["tiny"]["failed"] == failed


def test_the_same_command_goes_on_where_it_was(folder: Path) -> None:
    found = read_json(folder / "found.json")
    names = found["areas"]["tiny"]["modules"]["tiny/numbers.py"]["verdicts"]
    forgotten = names.popitem()
    write_json(folder / "found.json", found)
    output = run(folder)
    assert output.count("CPU s)") == 1
    assert f"{forgotten[0]}" in output
    assert verdicts(folder)[forgotten[0]] == forgotten[1]


def test_a_survivor_that_is_named_as_equal_is_not_counted_as_left(folder: Path) -> None:
    content = read_json(folder / "found.json")
    row = [
        cell.strip() for cell in table(content, {EQUAL: "of two equal numbers"}).splitlines()[2].split("|")
    ]
    assert row[6:8] == ["1", "3"]


def test_every_mutant_named_as_equal_has_a_reason_and_a_place() -> None:
    modules = {module for area in AREAS.values() for module in area.modules}
    for (module, _, was, becomes), reason in equal().items():
        assert module in modules
        assert was in (REPOSITORY / module).read_text(encoding="utf-8") or "\n" in was, (
            f"{module} has no {was}"
        )
        assert was != becomes
        assert reason


def test_a_table_of_many_lines_is_tried_with_the_tests_that_run_its_first() -> None:
    from tests.mutants.mutations import Source  # needs mutmut

    mutants = Source("TABLE = (\n    1,\n    2,\n)\n").mutants.values()
    assert {("1,", "2,"), ("2,", "3,")} <= {mutant.change for mutant in mutants}
    assert {mutant.lines for mutant in mutants} == {(1, 4)}
