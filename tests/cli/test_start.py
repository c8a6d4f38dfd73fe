"""How long a command takes to start, in time of the processor, beside what Python itself takes."""

import inspect
import subprocess
import sys
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import pytest
import typer

from ablate.cli.app import app
from ablate.cli.commands import COMMANDS
from ablate.subject.registry import built_in_commands

ANNOUNCED = {**COMMANDS, **built_in_commands()}
PYTHON = [sys.executable, "-c", "pass"]


def cpu(*words: str) -> float:
    """Seconds of the processor that a command takes: the least of three times, which others disturb least."""
    return min(_cpu_once(words) for _ in range(3))


def _cpu_once(words: tuple[str, ...]) -> float:
    before = getrusage(RUSAGE_CHILDREN)
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
    after = getrusage(RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


@pytest.fixture(scope="module")
def bare() -> float:
    """Seconds that Python takes to start and to end: two hundredths or so."""
    return cpu(*PYTHON)


def test_importing_ablate_takes_no_longer_than_starting_python(bare: float) -> None:
    assert cpu(sys.executable, "-c", "import ablate") < 2.5 * bare  # 1.7 as this was written


def test_help_takes_little_longer_than_importing_typer() -> None:
    """0.1 s where 0.07 s are typer's. A fifth of a second is what a user may be kept waiting."""
    help_text = cpu(sys.executable, "-m", "ablate.cli.app", "--help")
    assert help_text < 2 * cpu(sys.executable, "-c", "import typer")  # 1.1 to 1.5 as this was written


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["grd"], ["grid", "--help"]], ids=" ".join)
def test_no_command_is_imported_but_the_one_that_is_called(words: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['ablate', *{words}]\n"
        "from ablate.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith('ablate.')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = done.stdout.splitlines()[-1]
    loaded = [name for name, (_, place) in ANNOUNCED.items() if f"'{place.partition(':')[0]}'" in modules]
    assert loaded == [name for name in ANNOUNCED if name in words]


@pytest.mark.parametrize("name", ANNOUNCED)
def test_what_is_announced_is_how_the_command_describes_itself(name: str) -> None:
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    described = inspect.cleandoc(command.help).partition("\n\n")[0]
    assert ANNOUNCED[name][0] == described
    assert command.name == name
    assert any("--help" in option.opts for option in command.get_params(typer.Context(command)))


def test_a_word_that_is_no_command_is_answered_by_the_one_that_was_meant() -> None:
    command = [sys.executable, "-m", "ablate.cli.app", "grd"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    assert done.returncode == 2
    assert "No such command 'grd'. Did you mean 'grid'?" in done.stderr
