"""Every fenced block of the README and the pages is of a kind that is checked, and passes."""

import ast
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from ablate.cli.app import app

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
SHELL = {"|", ">", ">>", "&&", "||", ";", "&", "2>&1"}


def fences(page: Path) -> Iterator[tuple[str, str]]:
    for match in FENCE.finditer(page.read_text(encoding="utf-8")):
        yield (match[1].split() or [""])[0], match[2]


def typed(text: str) -> Iterator[list[str]]:
    """The words of each command of ablate in a block, without comments and what a shell does with it."""
    for line in text.replace("\\\n", " ").splitlines():
        if not re.match(r"(\$ )?(\w+=\S+ )*ablate \S", line):
            continue
        words = shlex.split(line.removeprefix("$ "), comments=True)
        words = words[words.index("ablate") + 1 :]
        end = next((at for at, word in enumerate(words) if word in SHELL), len(words))
        yield [word.strip("[]") for word in words[:end] if word != "..."]


def parse(words: list[str]) -> None:
    """As the command line does, and nothing is run. Raises click's exceptions."""
    command = typer.main.get_command(app)
    context = command.make_context("ablate", list(words), resilient_parsing=False)
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)


COMMANDS = [
    (f"{page.relative_to(ROOT)}: {' '.join(words)}", words)
    for page in PAGES
    for language, text in fences(page)
    if language in ("", "console", "sh", "bash")
    for words in typed(text)
]


def test_every_command_line_of_the_pages_is_one_that_ablate_takes() -> None:
    wrong = []
    for place, words in COMMANDS:
        try:
            parse(words)
        except Exception as error:
            wrong.append(f"{place}: {getattr(error, 'message', error)!s}")
    assert not wrong, "\n".join(wrong)
    assert len(COMMANDS) > 90


def test_an_option_that_is_no_more_is_noticed() -> None:
    (words,) = typed("$ ablate grid --no-such-option 3\n")
    with pytest.raises(Exception, match="no-such-option"):
        parse(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_in_a_language_can_be_read(page: Path) -> None:
    readers = {"python": ast.parse, "toml": tomllib.loads, "json": json.loads}
    for language, text in fences(page):
        if language in readers:
            readers[language](text)


def test_a_block_is_in_a_language_that_is_checked() -> None:
    known = {"", "console", "pycon", "python", "toml", "json"}
    assert {
        (page.name, language) for page in PAGES for language, _ in fences(page) if language not in known
    } == set()
