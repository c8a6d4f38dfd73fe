"""Somebody who does what a page says, block by block, and compares what is shown."""

import doctest
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest

from ablate.api import planned
from ablate.api.training import Training, train_runs
from ablate.design.runs import Run
from ablate.design.study import Study
from ablate.mtl.definition import subject as built_in
from ablate.record.rundir import State
from tests.command import typed_here
from tests.docs.blocks import Block
from tests.fabricate import fabricate_run

SHELL = {"|", ">", ">>", "<", "2>&1"}
# Serves until Ctrl-C; tests/cli/test_ui.py opens it.
WHOLE_EPOCHS = 40  # of the profile ``quick``
LASTING = ["ablate", "ui"]
NUMBER = re.compile(r"\b[0-9a-f]{16,}\b|[-+]?\d[\d,.]*(e-?\d+)?[▲▼]?\*?")


class Reader:
    """In a folder of its own; ``database`` is an empty one, which MLflow takes seconds to make."""

    def __init__(self, folder: Path, database: Path) -> None:
        self.folder, self.database = folder, database
        self._enter(folder)
        self.names: dict[str, Any] = {"__name__": "__main__"}  # of Python, from block to block

    def does(self, block: Block) -> None:
        """What the block says. Fails where it shows something else."""
        file, command = block.noted("file"), block.noted("part of")
        with at(self._another() if block.on_another_machine else self.folder):
            if file is not None:
                Path(file).write_text(block.text, encoding="utf-8")
            elif command is not None:
                assert_shows(block, command, f"...\n{block.text}...\n", f"\n{typed(command)[1]}\n")
            elif block.language == "console":
                for command, expected in prompted(block.text):
                    assert_shows(block, command, expected, typed(command)[1])
            elif block.language == "sh":
                for command in lines(block.text):
                    code, shown = typed(command)
                    assert code == 0, f"{block}: $ {command}\nexit code {code}\n{shown}"
            elif block.language == "pycon":
                self._says(block)
            elif block.language == "python":
                with redirect_stdout(io.StringIO()):
                    exec(compile(block.text, str(block), "exec"), self.names)

    def _another(self) -> Path:
        """The folder of another machine, to which the files of the first one were copied."""
        folder = self.folder.with_name("another")
        if not folder.exists():
            self._enter(folder)
            for file in self.folder.iterdir():
                if file.is_file():
                    shutil.copy(file, folder)
        return folder

    def _enter(self, folder: Path) -> None:
        (folder / "mlruns").mkdir(parents=True)
        shutil.copy(self.database, folder / "mlruns" / "mlflow.db")

    def _says(self, block: Block) -> None:
        """To Python's prompt."""
        test = doctest.DocTestParser().get_doctest(block.text, {}, str(block), block.page, block.line)
        test.globs = self.names
        told = io.StringIO()
        runner = doctest.DocTestRunner(
            verbose=False, optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
        )
        result = runner.run(test, out=told.write, clear_globs=False)
        assert result.attempted > 0, block
        assert result.failed == 0, told.getvalue()


@contextmanager
def at(folder: Path, states: Iterable[State] = ()) -> Iterator[None]:
    """There, with ``ablate`` and ``python`` to type, and none of the settings of whoever runs the tests."""
    programs = folder.with_name("bin")
    if not programs.exists():
        programs.mkdir()
        for name, words in (("ablate", "-m ablate.cli.app"), ("python", "")):
            (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
            (programs / name).chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("ABLATE")]:
            patch.delenv(name)
        patch.setenv("PATH", str(programs), prepend=os.pathsep)
        patch.setenv("COLUMNS", "100")
        patch.setattr(planned, "train_runs", partial(train_or_fabricate, states))
        patch.chdir(folder)
        yield


def train_or_fabricate(
    states: Iterable[State], training: Training, study: Study, runs: list[Run], *more: Any
) -> str | None:
    """Trains; but runs of the built-in network in one of its profiles, which take minutes, are given results.

    These runs are left in ``states``, in the order of planning; all others have finished.
    """
    epochs = [built_in.epochs(run.config) for run in runs if study.subject.name == built_in.name]
    if not epochs or min(epochs) < WHOLE_EPOCHS:
        return train_runs(training, study, runs, *more)
    for run, state in zip(runs, chain(states, repeat(State.FINISHED)), strict=False):
        fabricate_run(training.store, run, state=state)
    return None


def prompted(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block, and what it prints."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        yield command, expected


def lines(text: str) -> Iterator[str]:
    """Each command of a shell block, without comments."""
    for line in text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield line if SHELL & set(words) else shlex.join(words).replace("'&&'", "&&")


def typed(command: str) -> tuple[int, str]:
    """The exit code, and what a terminal shows that is wide enough.

    A command of ablate that needs no shell is typed in this process, which has imported what takes a new one
    seconds; what it starts is in processes of its own.
    """
    words = shlex.split(command)
    if words == LASTING:
        return 0, ""
    if "&&" in words and not SHELL & set(words):
        place = words.index("&&")
        code, shown = typed(shlex.join(words[:place]))
        then = typed(shlex.join(words[place + 1 :])) if code == 0 else (code, "")
        return then[0], shown + then[1]
    if words[0] == "ablate" and not SHELL & set(words):
        screen = io.StringIO()
        code = typed_here(words[1:], screen, screen)
        return int(code), screen.getvalue()
    done = subprocess.run(["sh", "-c", f"exec 2>&1; {command}"], stdout=subprocess.PIPE, text=True)
    return done.returncode, done.stdout


def assert_shows(block: Block, command: str, expected: str, shown: str) -> None:
    """``...`` in what is expected stands for anything; blanks at the ends of lines do not count."""
    plain = "".join(f"{line.rstrip()}\n" for line in shown.splitlines())
    expected, given = block.compared(expected), plain
    if block.numbers_vary:
        expected, given = without_numbers(expected), without_numbers(plain)
    same = doctest.OutputChecker().check_output(expected, given, doctest.ELLIPSIS)
    assert same, f"{block}: $ {command}\n{plain}"


def without_numbers(text: str) -> str:
    """``baseline  3  72.45 ± 8.40`` as ``baseline 0 0 ± 0``: tables are as wide as their numbers."""
    text = re.sub(r"(?<!\.)\.{3}(?!\.)", "\0", text)
    text = re.sub(r"(─|━)+", r"\1", NUMBER.sub("0", text))
    return re.sub(r" +", " ", text).replace("\0", "...")
