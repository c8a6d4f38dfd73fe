"""What the pages for users show is what happens: every block is run, in order, in an empty folder."""

import doctest
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command import typed_here

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = {"|", ">", "&&"}
# What the pages have from elsewhere.
COUNT = 'echo "{\\"items\\": $(($1 * 10 + ABLATE_SEED % 2))}"\n'
RESULTS = "lr,seed,accuracy\n0.1,0,0.81\n0.1,1,0.83\n0.01,0,0.78\n0.01,1,0.79\n"


@dataclass(frozen=True)
class Block:
    language: str
    file: str | None
    text: str


def blocks(page: str) -> list[Block]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return [Block(match[1], match[2], match[3]) for match in BLOCK.finditer(text)]


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block, and what it prints."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        yield command, expected


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With an ``ablate`` and a ``python`` to type, and the files that the pages have from elsewhere."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ablate").write_text(f'#!/bin/sh\nexec {sys.executable} -m ablate.cli.app "$@"\n')
    (programs / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    (work / "results.csv").write_text(RESULTS)
    (work / "count.sh").write_text(COUNT)
    return work


def typed(command: str, folder: Path) -> str:
    """What a terminal shows that is wide enough.

    A command of ablate that needs no shell is typed in this process, which has imported what takes a new one
    seconds; what it starts is in processes of its own.
    """
    program, *words = shlex.split(command)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("ABLATE")]:
            patch.delenv(name)
        patch.setenv("PATH", str(folder.parent / "bin"), prepend=os.pathsep)
        patch.chdir(folder)
        if program == "ablate" and not SHELL & set(words):
            screen = io.StringIO()
            typed_here(words, screen, screen)
            return screen.getvalue()
        shell = ["sh", "-c", f"exec 2>&1; {command}"]
        return subprocess.run(shell, stdout=subprocess.PIPE, text=True).stdout


def assert_shows(command: str, expected: str, shown: str) -> None:
    """``...`` in what is expected stands for anything; blanks at the ends of lines do not count."""
    plain = "".join(f"{line.rstrip()}\n" for line in shown.splitlines())
    flags = doctest.ELLIPSIS
    assert doctest.OutputChecker().check_output(expected, plain, flags), f"$ {command}\n{plain}"


PAGES = [
    "tutorial.md",
    "your-own-model.md",
    "your-own-data.md",
    "subjects.md",
    "search.md",
    "folds.md",
    "settings.md",
]


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_does_what_it_shows(page: str, folder: Path) -> None:
    n_commands = 0
    for block in blocks(page):
        if block.file is not None:
            (folder / block.file).write_text(block.text)
        elif block.language == "console":
            for command, expected in commands(block.text):
                assert_shows(command, expected, typed(command, folder))
                n_commands += 1
        elif block.language == "python":
            (folder / "block.py").write_text(block.text)
            subprocess.run([sys.executable, "block.py"], cwd=folder, check=True)
    assert n_commands > 1
