"""Every fenced block of the pages says what it is, and is one that is checked."""

import ast
import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer.main
from markdown_it import MarkdownIt

from ablate.cli.app import app
from ablate.mtl.data.columns import Findings, read_rows
from tests.docker.composed import services
from tests.docs.blocks import (
    LANGUAGES,
    PAGES,
    REASONS,
    ROOT,
    TYPED,
    Block,
    blocks,
    counted,
    every_block,
)

SHELL = {"|", ">", ">>", "&&", "||", ";", "&", "2>&1"}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def read_table(text: str) -> None:
    """As a table of annotations."""
    findings = Findings("meta_development.txt")
    assert len(read_rows(text, findings)) > 1
    assert not findings.problem_sentences()


READERS: dict[str, Callable[[str], Any]] = {
    "python": ast.parse,
    "toml": tomllib.loads,
    "json": json.loads,
    "tsv": read_table,
}


def typed(text: str) -> Iterator[list[str]]:
    """The words of each command of ablate in a block, without comments and what a shell does with it."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in line.split(" && "):
            if not re.match(r"(\$ )?(\w+=\S+ )*ablate \S", part):
                continue
            words = shlex.split(part.removeprefix("$ "), comments=True)
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


def test_every_block_says_what_is_done_with_it() -> None:
    for block in every_block():
        assert block.language in LANGUAGES, f"{block}: ```{block.language}, which is none of {LANGUAGES}"
        assert block.use != "unsaid", f"{block}: <!-- part of: COMMAND -->, or <!-- not run: REASON -->?"


def test_the_forge_sees_the_same_blocks() -> None:
    """None is missed, and a note is nothing that it shows. test_site.py asks the site."""
    for page in PAGES:
        tokens = MarkdownIt().parse((ROOT / page).read_text(encoding="utf-8"))
        fences = [(token.info, token.content) for token in tokens if token.type == "fence"]
        assert fences == [(block.language, block.text) for block in blocks(page)], page


def test_what_is_typed_has_a_prompt_where_output_is_shown_and_none_elsewhere() -> None:
    for block in every_block():
        if block.language in TYPED:
            assert block.text.startswith("$ ") is (block.language == "console"), block


def test_every_note_is_one_that_is_known() -> None:
    known = re.compile(r"(file|part of|lines vary|run by|not run): \S.*|numbers vary|on another machine")
    for block in every_block():
        assert all(known.fullmatch(note) for note in block.notes), f"{block}: {block.notes}"


def test_a_block_that_does_not_say_is_noticed() -> None:
    assert Block("README.md", 7, "text", "a picture\n", ()).use == "unsaid"


def test_the_reasons_not_to_run_a_block_are_few_and_name_tests_that_are_there() -> None:
    found = {reason for block in every_block() if (reason := block.noted("not run")) is not None}
    assert found == set(REASONS)
    for reason in REASONS.values():
        for test in re.findall(r"tests/\S+\.py", reason):
            assert (ROOT / test).is_file()


def test_a_test_that_runs_a_block_itself_reads_it() -> None:
    for block in every_block():
        if test := block.noted("run by"):
            assert f'blocks("{block.page}")' in (ROOT / test).read_text(encoding="utf-8")


def test_contributing_says_how_many_blocks_are_run() -> None:
    text = " ".join((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
    assert counted() in text, "python -m tests.docs.blocks"


COMMANDS = [
    (f"{block}: {' '.join(words)}", words)
    for block in every_block()
    if block.language in TYPED
    for words in typed(block.text)
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


def test_every_target_and_module_of_ours_that_a_page_names_is_there() -> None:
    found = 0
    for block in every_block():
        if block.language not in TYPED:
            continue
        for target in re.findall(r"^(?:\$ )?make (\w+)", block.text, re.MULTILINE):
            assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), f"{block}: make {target}"
            found += 1
        for module in re.findall(r"-m ((?:tests|benchmarks)\S*)", block.text):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), f"{block}: {module}"
            found += 1
    assert found > 15


def test_every_profile_and_service_that_a_page_names_is_in_the_compose_file() -> None:
    there = services({})
    profiles = {profile for service in there.values() for profile in service.get("profiles", ())}
    compose = "docker compose -f docker/compose.yaml "
    lines = [line for block in every_block() for line in block.text.splitlines() if compose in line]
    assert len(lines) > 15
    for line in lines:
        words = shlex.split(line.partition(compose)[2], comments=True)
        assert {words[at + 1] for at, word in enumerate(words) if word == "--profile"} <= profiles, line
        assert set(words) & {"up", "run", "ps", "logs", "exec", "stop", "build"}, line
        if not set(words) & {"--profile"}:
            assert set(words) & set(there), line


def test_what_a_page_shows_in_a_language_can_be_read() -> None:
    for block in every_block():
        if block.language in READERS:
            READERS[block.language](block.text)
