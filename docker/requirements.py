"""What an image installs, from pyproject.toml: ``requirements.py server | train [EXTRA ...]``.

The server needs MLflow and what the extra ``server`` names, and of ablate nothing.
"""

import re
import sys
import tomllib
from pathlib import Path


def requirements(project: dict, image: str, extras: list[str]) -> list[str]:
    """Lines for pip. ``project`` is the table of that name in pyproject.toml."""
    optional = project["optional-dependencies"]
    if image == "server":
        mlflow = [line for line in project["dependencies"] if re.match(r"mlflow\b", line)]
        return mlflow + optional["server"]
    return project["dependencies"] + [line for extra in extras for line in optional[extra]]


if __name__ == "__main__":
    table = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    print(*requirements(table, sys.argv[1], sys.argv[2:]), sep="\n")
