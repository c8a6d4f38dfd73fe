"""Commands in a terminal of some width, as somebody sees them who types there."""

import io
import os
import pty
import re
import subprocess
import sys
import termios
from contextlib import redirect_stdout

import pytest

from ablate.cli.app import app

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
LINES = 24


class Screen(io.StringIO):
    """Keeps what is written to it, and calls itself a terminal."""

    def isatty(self) -> bool:
        return True


def on_screen(*arguments: object, columns: int) -> list[str]:
    """The lines that a command in this process writes to a terminal, without their colours."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(Screen()) as screen:
        patch.setenv("COLUMNS", str(columns))
        app([str(word) for word in arguments], standalone_mode=False)
    return COLOURS.sub("", screen.getvalue()).splitlines()


def in_terminal(*arguments: object, columns: int) -> list[str]:
    """As ``on_screen``, with a real pseudo terminal around a process of its own."""
    terminal, inside = pty.openpty()
    termios.tcsetwinsize(inside, (LINES, columns))
    unset = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    words = [sys.executable, "-m", "ablate.cli.app", *map(str, arguments)]
    with subprocess.Popen(words, stdin=inside, stdout=inside, env={**unset, "TERM": "xterm"}) as process:
        os.close(inside)
        text = _all_from(terminal)
    assert process.returncode == 0
    return COLOURS.sub("", text.decode()).splitlines()


def _all_from(terminal: int) -> bytes:
    text = b""
    with open(terminal, "rb", buffering=0) as screen:
        try:
            while part := screen.read(65536):
                text += part
        except OSError:  # how Linux says that the command has closed its side
            pass
    return text


def piped(*arguments: object, columns: int) -> list[str]:
    """The lines that a command in this process writes to a pipe, whatever the terminal's width."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as pipe:
        patch.setenv("COLUMNS", str(columns))
        app([str(word) for word in arguments], standalone_mode=False)
    return pipe.getvalue().splitlines()
