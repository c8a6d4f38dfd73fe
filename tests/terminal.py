"""Commands in a terminal of a given size, as somebody sees them who types there."""

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from pathlib import Path

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
LINES = 24


def in_terminal(*arguments: object, store: Path, columns: int) -> list[str]:
    """The lines that ``ablate`` writes to a pseudo terminal of its own, without their colours."""
    words = [sys.executable, "-m", "ablate.cli.app", *map(str, arguments), "--store", str(store)]
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
        os.execve(sys.executable, words, {**environment, "TERM": "xterm"})
    text = b""
    with open(terminal, "rb", buffering=0) as screen:
        try:
            while part := screen.read(65536):
                text += part
        except OSError:  # Linux says so when the command has closed it
            pass
    os.waitpid(child, 0)
    return COLOURS.sub("", text.decode()).replace("\r\n", "\n").splitlines()
