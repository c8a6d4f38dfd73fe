"""A command line with places for the settings of a run: ``python train.py --lr={lr} --seed={seed}``.

It is cut into words once, as a shell would, and values are put into words: whatever a value holds, it is a
part of one argument. Only where a shell is asked for does one see the text, with quoted values in it.
"""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ablate.ground.errors import ConfigError, brief, shown
from ablate.ground.files import is_file
from ablate.ground.wording import suggest
from ablate.subject.process import SHELL

SEED = "seed"
CONFIG = "config"
# What can be put in beside settings.
KNOWN = (SEED, "folder", "device", CONFIG, "result", "data")
# As well, unless they are settings: how many folds there are, and which one is held out (0: none).
FOLDS, FOLD = "folds", "fold"

TRUTH = {"true": True, "True": True, "false": False, "False": False}

BRACES = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]")
FLAG = re.compile(r"\{--?([A-Za-z_][\w.\-]*)\}")  # {--name}: an option without a value
PYTHON = re.compile(r"python[\d.]*")
PYTHON_OPTIONS_WITH_VALUE = ("-W", "-X")


@dataclass(frozen=True)
class Command:
    """A command as it was typed. ``folder`` is where it runs, and where its files are looked for.

    ``names`` are the settings. Those that have no place in a command without places for settings are
    appended as options, ``--name value``, and ``--seed`` too. ``{--name}`` is the option ``--name`` where the
    setting ``name`` is true, and nothing where it is false.
    """

    text: str
    names: tuple[str, ...]
    folder: Path
    shell: bool = False

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words as typed; with a shell, which cuts it up itself, only as far as they can be told.

        Raises ConfigError.
        """
        try:
            return tuple(shlex.split(self.text))
        except ValueError as error:
            if self.shell:
                return tuple(self.text.split())
            raise ConfigError(
                f"--script {shown(self.text)}: cannot be cut into words ({str(error).lower()})"
            ) from None

    @cached_property
    def places(self) -> tuple[str, ...]:
        """The names in braces."""
        found = (match[0] for match in BRACES.finditer(self.text))
        return tuple(dict.fromkeys(each[1:-1] for each in found if _is_place(each)))

    @cached_property
    def flags(self) -> tuple[str, ...]:
        """The names of settings that are options without a value."""
        return tuple(dict.fromkeys(FLAG.findall(self.text)))

    @property
    def is_told_folds(self) -> bool:
        """Whether it has places for how many folds there are, and which one is held out."""
        return all(name in self.places and name not in self.names for name in (FOLDS, FOLD))

    @property
    def has_places_for_settings(self) -> bool:
        return CONFIG in self.places or any(name in self.names for name in self.places)

    @property
    def appended(self) -> list[str]:
        """The settings that are appended as options."""
        if self.has_places_for_settings:
            return []
        return [name for name in (*self.names, SEED) if name not in (*self.places, *self.flags)]

    def arguments(self, values: Mapping[str, str]) -> list[str]:
        """What to run, where ``values`` has the text for each place and setting. Raises ConfigError."""
        if self.shell:
            options = [f"--{name} {shlex.quote(values[name])}" for name in self.appended]
            return [SHELL, "-c", " ".join([_filled(self.text, values, shlex.quote), *options])]
        words = [_filled(word, values, str) for word in self.words if _is_said(word, values)]
        for name in self.appended:
            words += [f"--{name}", values[name]]
        return [*self._program(words[0]), *words[1:]]

    def _program(self, word: str) -> list[str]:
        """How to start what the first word names. Raises ConfigError."""
        if word.endswith(".py"):
            if is_file(self.folder / word):
                return [sys.executable, word]
            raise ConfigError(f"--script: there is no {brief(word)} in {self.folder}")
        if is_file(self.folder / word):
            if os.access(self.folder / word, os.X_OK):
                return [word if "/" in word else f"./{word}"]
            raise ConfigError(
                f"--script: {brief(word)} cannot be executed; write what runs it, such as "
                f"'sh {brief(word)}', or 'chmod +x' it"
            )
        if "/" in word:
            raise ConfigError(f"--script: there is no {brief(word)} in {self.folder}")
        if shutil.which(word) is None:
            if PYTHON.fullmatch(word):  # a virtual environment that was not activated
                return [sys.executable]
            shell = "; with '=' it may be meant for a shell: add --shell" if "=" in word else ""
            raise ConfigError(f"--script: there is no program '{brief(word)}' here{shell}")
        return [word]

    def problems(self) -> Iterator[str]:
        """What is wrong with it, a sentence each."""
        if not self.text.strip():
            yield "--script: the command is empty; write for example --script train.py"
            return
        try:
            words = self.words
        except ConfigError as error:
            yield from error.problems
            return
        yield from self._problems_of_places()
        if not self.shell:
            yield from self._problems_of_program(words)

    def _problems_of_places(self) -> Iterator[str]:
        for match in BRACES.finditer(self.text):
            if match[0] in ("{{", "}}"):
                continue
            flag = FLAG.fullmatch(match[0])
            if flag is not None and flag[1] in self.names:
                continue
            name = match[0][1:-1]
            if name in (FOLDS, FOLD) and name not in self.names:
                if not self.is_told_folds:
                    other = FOLD if name == FOLDS else FOLDS
                    yield f"--script: {{{name}}} needs {{{other}}} beside it: which fold, and of how many"
                continue
            if not _is_place(match[0]) or (name not in self.names and name not in KNOWN):
                known = self.names if flag is not None else dict.fromkeys([*self.names, *KNOWN])
                hint = suggest(flag[1] if flag else name, known) if flag or _is_place(match[0]) else ""
                yield (
                    f"--script: {brief(match[0])} is no factor, setting or known word{hint} "
                    "(braces that are meant as such are written {{ and }})"
                )
        if self.has_places_for_settings and CONFIG not in self.places:
            for name in self.names:
                if name not in (*self.places, *self.flags):
                    yield (
                        f"--script: '{name}' has no place in the command; write {{{name}}} where its value "
                        f"goes, such as --{name}={{{name}}}"
                    )
        if not self.shell:
            yield from (
                f"--script: {shown(word)}: an option without a value needs spaces around it"
                for word in self.words
                if FLAG.search(word) and not FLAG.fullmatch(word)
            )
        if self.shell:
            yield from (
                f"--script: {place} stands within quotes; put it outside of them, as it is quoted for the "
                "shell when it is put in"
                for place in _within_quotes(self.text)
            )

    def _problems_of_program(self, words: Sequence[str]) -> Iterator[str]:
        program, *others = words
        if BRACES.search(program):
            return  # which program it is, is a setting
        try:
            self._program(program)
        except ConfigError as error:
            yield from error.problems
        if PYTHON.fullmatch(Path(program).name):
            script = _python_script(others)
            if script is not None and not BRACES.search(script) and not is_file(self.folder / script):
                yield f"--script: there is no {brief(script)} in {self.folder}"

    @cached_property
    def entry(self) -> Path | None:
        """The file of the program: the first word that is one, but for what only runs another."""
        paths = [self.folder / word for word in self.words]
        own = [path for path in paths if is_file(path) and not self._is_interpreter(path)]
        if len(own) > 1 and own[0] == paths[0] and not self._is_inside(own[0]):
            own = own[1:]  # such as the full path of torchrun
        return next(iter(own), None) or _python_module(self.words, self.folder)

    def _is_interpreter(self, path: Path) -> bool:
        return bool(PYTHON.fullmatch(path.name)) or not (self._is_inside(path) or _is_text(path))

    def _is_inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.folder.resolve())

    @property
    def label(self) -> str:
        """The program's name as messages say it."""
        if self.entry is not None:
            return self.entry.name
        return Path(self.words[0]).name if self.words else ""


def _is_place(braces: str) -> bool:
    return re.fullmatch(r"\{[\w.\-]+\}", braces) is not None and FLAG.fullmatch(braces) is None


def _is_said(word: str, values: Mapping[str, str]) -> bool:
    """False for an option without a value whose setting is false."""
    flag = FLAG.fullmatch(word)
    return flag is None or TRUTH[values[flag[1]]]


def _filled(text: str, values: Mapping[str, str], quote: Callable[[str], str]) -> str:
    def fill(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        if flag := FLAG.fullmatch(match[0]):
            return match[0][1:-1] if TRUTH[values[flag[1]]] else ""
        return quote(values[match[0][1:-1]])

    return BRACES.sub(fill, text)


def _within_quotes(text: str) -> Iterator[str]:
    """The places of a shell's text that stand within quotes."""
    places = {match.start(): match[0] for match in BRACES.finditer(text) if _is_place(match[0])}
    quote, escaped = "", False
    for position, character in enumerate(text):
        if position in places and quote:
            yield places[position]
        if escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"`":
            quote = character


def _python_script(words: Sequence[str]) -> str | None:
    """The file that Python is to run, if it is to run one."""
    words = list(words)
    while words and words[0].startswith("-"):
        option = words.pop(0)
        if option in ("-c", "-m", "-"):
            return None
        if option in PYTHON_OPTIONS_WITH_VALUE:
            words = words[1:]
    return words[0] if words else None


def _python_module(words: Sequence[str], folder: Path) -> Path | None:
    """The file of ``python -m package.module``, where it lies in the folder."""
    if "-m" not in words[:-1]:
        return None
    place = folder.joinpath(*words[words.index("-m") + 1].split("."))
    candidates = (place.with_name(f"{place.name}.py"), place / "__main__.py")
    return next((path for path in candidates if is_file(path)), None)


def _is_text(path: Path) -> bool:
    try:
        with path.open("rb") as handle:
            return b"\0" not in handle.read(1024)
    except OSError:
        return False
