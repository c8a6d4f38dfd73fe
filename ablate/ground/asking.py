"""Questions to a Python process of its own: a broken library may end its process, or never return."""

import json
import subprocess
import sys
from typing import Any

PATIENCE_S = 120.0  # torch from a cold network disk


def ask(code: str) -> dict[str, Any] | str:
    """The JSON that a Python program prints; a string that says why when it prints none."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {PATIENCE_S:.0f} s"
    try:
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return (done.stderr.strip().splitlines() or [f"it ended with exit code {done.returncode}"])[-1]
    return answer
