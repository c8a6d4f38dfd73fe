"""Builds the documentation as a site in ``site/`` that needs no network; a broken link or anchor is an error.

python docs/build_site.py [FOLDER]

The pages lie in the site as in the repository, so that a link works in both.
The reference is written from the code.
"""

import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import typer.main

import ablate
from ablate.cli.app import app

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "zensical.toml"
LINKED = ("benchmarks/results", "ablate/subject/interface.py", "ablate/mtl/definition.py")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "docs", "docker", "examples", *LINKED)
LINK = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=["']?(?:https?:)?//([^"' >]+)""")


def main(folder: Path) -> None:
    """Raises SystemExit with zensical's code when a link is broken, and 1 when a page asks the network."""
    source = folder / "source"
    for ours in (source, folder / "site", folder / ".cache"):
        shutil.rmtree(ours, ignore_errors=True)
    gather(source)
    write_reference(source / "reference")
    shutil.copy(CONFIG, folder / CONFIG.name)
    built = subprocess.run([Path(sys.executable).with_name("zensical"), "build", "--strict"], cwd=folder)
    if built.returncode:
        raise SystemExit(built.returncode)
    if asked := sorted(requests(folder / "site")):
        raise SystemExit("pages that need the network:\n" + "\n".join(asked))


def gather(source: Path) -> None:
    for name in PAGES:
        from_, to = ROOT / name, source / name
        to.parent.mkdir(parents=True, exist_ok=True)
        if from_.is_dir():
            shutil.copytree(from_, to, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(from_, to)


def requests(site: Path) -> Iterator[str]:
    """Each page and what it would load from elsewhere."""
    for page in site.rglob("*.html"):
        for address in LINK.findall(page.read_text(encoding="utf-8")):
            yield f"{page.relative_to(site)}: {address}"


def write_reference(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "commands.md").write_text("\n".join(command_lines()), encoding="utf-8")
    (folder / "python.md").write_text("\n".join(python_lines()), encoding="utf-8")


def command_lines() -> Iterator[str]:
    yield "# Commands\n"
    root = typer.main.get_command(app)
    yield from _of_group(root, ["ablate"])


def _of_group(command: click.Command, path: list[str]) -> Iterator[str]:
    for name, part in sorted(getattr(command, "commands", {}).items()):
        if not part.hidden:
            yield from _of_command(part, [*path, name])


def _of_command(command: click.Command, path: list[str]) -> Iterator[str]:
    yield f"## {' '.join(path)}\n"
    yield f"{inspect.cleandoc(command.help or '')}\n"
    context = click.Context(command, info_name=" ".join(path))
    rows = [record for each in command.params if (record := each.get_help_record(context))]
    if rows:
        yield "| option | what it says |\n|---|---|"
        yield from (f"| `{_cell(option)}` | {_text(says)} |" for option, says in rows)
        yield ""
    yield from _of_group(command, path)


def python_lines() -> Iterator[str]:
    yield "# Python\n"
    for name in sorted(ablate.__all__):
        thing = getattr(ablate, name)
        yield f"## {name}\n"
        if inspect.isfunction(thing):
            yield f"```python\n{name}{inspect.signature(thing)}\n```\n"
        yield f"```text\n{inspect.getdoc(thing) or ''}\n```\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _text(text: str) -> str:
    """As Markdown that means nothing but these characters."""
    return re.sub(r"([\[\]<>*_`])", r"\\\1", _cell(text))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "site")
