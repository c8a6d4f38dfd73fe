"""What a shell is told when somebody presses Tab: words of the command line, and names from the store.

It loads no command and no library: what commands and options there are, and what can be varied of the
built-in subject, is in a small file in the user's cache, which the first Tab after an installation writes.
Names of studies, runs, levels and metrics are looked up in the store, where nothing is ever written. Whatever
is wrong, there is no completion, and never a message. A user's own code is not run: of a script it is read
what the command line and its parser name, of a module what studies in the store have varied.

The shells ask as Typer's scripts make them (``ablate --install-completion``). bash cuts words at ``=`` and
``:``; these are joined again, and what is before the last cut is left out of the answer.
"""

import json
import os
import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MOST = 200  # words of an answer
STUDIES_READ = 3  # the last ones, for levels and runs
RESULTS_TRIED = 50

LISTS = {"--factors": "factor", "--zip": "factor", "--metrics": "metric", "--columns": "column"}
SINGLE = {"--maximize": "metric", "--minimize": "metric", "--and": "metric", "--sort": "column"}
PAIRS = {"--levels": "factor", "--full": "factor", "--range": "factor", "--set": "setting"}
FIELDS = ("name", "seed", "state", "run_id", "cause", "duration_s", "log", "dataset")

Words = dict[str, str]  # with what is said of each


def answer(environment: Mapping[str, str]) -> None:
    """Print what completes the line that the shell has put into the environment."""
    shell = environment["_ABLATE_COMPLETE"].removeprefix("complete_")
    found: Words = {}
    line = Line((), "")
    with suppress(Exception):
        line = _line(shell, environment)
        # A terminal would obey control characters, and half a character cannot be printed.
        found = {word: said for word, said in complete(line).items() if f"{word}{said}".isprintable()}
    if shell == "fish" and environment.get("_TYPER_COMPLETE_FISH_ACTION") == "is-args":
        sys.exit(0 if found else 1)
    print(_formatted(shell, found, line.incomplete))


# ------------------------------------------------------------------------------------------------- the line


@dataclass(frozen=True)
class Line:
    """The words after ``ablate`` that are complete, and the one under the cursor."""

    words: Sequence[str]
    incomplete: str


def _line(shell: str, environment: Mapping[str, str]) -> Line:
    if shell == "bash":
        typed = environment["COMP_WORDS"].split("\n")
        joined = _joined(typed[1 : int(environment["COMP_CWORD"]) + 1])
        return Line([_unquoted(word) for word in joined[:-1]], joined[-1].lstrip("'\""))
    text = environment.get("_TYPER_COMPLETE_ARGS", "")
    words = _split(text)[1:]
    if shell in ("powershell", "pwsh"):
        incomplete = environment.get("_TYPER_COMPLETE_WORD_TO_COMPLETE", "")
        return Line(words[:-1] if incomplete else words, incomplete)
    return Line(words, "") if not words or text.endswith(" ") else Line(words[:-1], words[-1])


def _joined(words: Sequence[str]) -> list[str]:
    """What bash has cut at ``=`` and ``:``, whole again; the last word may be empty."""
    joined: list[str] = []
    is_open = False
    for word in words:
        is_cut = bool(re.fullmatch("[=:]+", word))
        if joined and (is_cut or is_open):
            joined[-1] += word
        else:
            joined.append(word)
        is_open = is_cut
    return joined or [""]


def _unquoted(word: str) -> str:
    parts = _split(word)
    return parts[0] if len(parts) == 1 else word


def _split(text: str) -> list[str]:
    """Words of a line, of which the last may have a quote that is still open."""
    for end in ("", "'", '"'):
        with suppress(ValueError):
            return shlex.split(text + end)
    return text.split()


def _formatted(shell: str, found: Words, incomplete: str) -> str:
    if shell == "zsh":
        pairs = [
            f'"{_for_zsh(word)}"' + (f':"{_for_zsh(said)}"' if said else "") for word, said in found.items()
        ]
        return f"_arguments '*: :(({chr(10).join(pairs)}))'" if pairs else "_files"
    if shell == "fish":
        return "\n".join(f"{word}\t{said}" if said else word for word, said in found.items())
    if shell in ("powershell", "pwsh"):
        return "\n".join(f"{word}:::{said or ' '}" for word, said in found.items())
    cut = max(incomplete.rfind("="), incomplete.rfind(":")) + 1
    return "\n".join(word[cut:] for word in found)


def _for_zsh(text: str) -> str:
    """As zsh reads it in double quotes: what a store names is never run."""
    for character, instead in (
        ("\\", "\\\\"),
        ('"', '""'),
        ("'", "''"),
        ("$", "\\$"),
        ("`", "\\`"),
        (":", "\\\\:"),
    ):
        text = text.replace(character, instead)
    return text


# ------------------------------------------------------------------------------------------ what completes it


def complete(line: Line) -> Words:
    """The words that can stand at the cursor, those alike first that begin as it does."""
    known = tree()
    command, rest = known, list(line.words)
    while rest and rest[0] in command.get("commands", {}):
        command = command["commands"][rest.pop(0)]
    typed = _Typed.of(command, rest)
    asked = _Asked(known, command, Store.of(typed), typed)
    if typed.waiting is not None:
        return _beginning(line.incomplete, asked.of_option(typed.waiting, line.incomplete))
    option, equals, value = line.incomplete.partition("=")
    if equals and option in command.get("options", {}):
        found = _beginning(value, asked.of_option(option, value))
        return {f"{option}={word}": said for word, said in found.items()}
    if line.incomplete.startswith("-"):
        options = {name: each["help"] for name, each in command.get("options", {}).items()}
        return _beginning(line.incomplete, options)
    if "commands" in command and not typed.arguments:
        return _beginning(line.incomplete, {name: each["help"] for name, each in command["commands"].items()})
    return _beginning(line.incomplete, asked.of_argument(line.incomplete))


def _beginning(incomplete: str, words: Words) -> Words:
    found = [(word, said) for word, said in words.items() if word.startswith(incomplete)]
    return dict(found[:MOST])


@dataclass(frozen=True)
class _Typed:
    """What of a command's line is complete; ``waiting`` is an option whose value is to be typed."""

    arguments: Sequence[str]
    options: Mapping[str, Sequence[str]]
    waiting: str | None

    @classmethod
    def of(cls, command: Mapping[str, Any], words: Iterable[str]) -> "_Typed":
        arguments: list[str] = []
        options: dict[str, list[str]] = {}
        waiting: str | None = None
        for word in words:
            name, equals, value = word.partition("=")
            known = command.get("options", {}).get(name if equals else word)
            if waiting is not None:
                options.setdefault(waiting, []).append(word)
                waiting = None
            elif known is None:
                arguments.append(word)
            elif equals:
                options.setdefault(name, []).append(value)
            elif known["takes"]:
                waiting = word
        return cls(arguments, options, waiting)

    def last(self, option: str) -> str | None:
        return self.options.get(option, [None])[-1]


@dataclass(frozen=True)
class _Asked:
    """Looks up what can be typed for an option or an argument."""

    known: Mapping[str, Any]
    command: Mapping[str, Any]
    store: "Store"
    typed: _Typed

    def of_option(self, option: str, incomplete: str) -> Words:
        choices = self.command["options"][option]["values"]
        if choices:
            return dict.fromkeys(choices, "")
        if option in ("--study", "--from"):
            return self.store.study_names()
        if option in LISTS:
            return _next_of_list(incomplete, self._names(LISTS[option]))
        if option in SINGLE:
            return self._names(SINGLE[option])
        if option in PAIRS:
            return self._pairs(incomplete, self._names(PAIRS[option]))
        return {}

    def of_argument(self, incomplete: str) -> Words:
        expected = self.command.get("arguments", [])
        place = min(len(self.typed.arguments), len(expected) - 1)
        if place < 0:
            return {}
        name, choices = expected[place]["name"], expected[place]["values"]
        if choices:
            return dict.fromkeys(choices, "")
        if name.startswith("STUDY"):
            return self.store.study_names()
        if name in ("RUN", "A", "B", "RUNS", "FIRST", "SECOND"):
            return self.store.run_ids(incomplete, self._study())
        return {}

    def _study(self) -> str | None:
        asked = self.typed.last("--study")
        return asked or next((word for word in self.typed.arguments if self.store.has(word)), None)

    def _names(self, what: str) -> Words:
        if what == "metric":
            return self.store.metrics(self._study()) or dict.fromkeys(self.known.get("metrics", ()), "")
        factors = self._factors()
        if what == "column":
            return {**dict.fromkeys(FIELDS, ""), **factors, **self.store.metrics(self._study())}
        return factors if what == "factor" else {**dict.fromkeys(self._settings(), ""), **factors}

    def _factors(self) -> Words:
        script, module = self.typed.last("--script"), self.typed.last("--subject")
        if script is not None:
            return dict.fromkeys(_told(script) or self.store.varied(None), "")
        if module is not None:
            return dict.fromkeys(self.store.varied(module), "")
        own = {name: each["help"] for name, each in self.known.get("factors", {}).items()}
        study = self._study()
        return {**own, **dict.fromkeys(self.store.varied(None, study), "")} if study else own

    def _settings(self) -> Sequence[str]:
        is_own = self.typed.last("--script") is None and self.typed.last("--subject") is None
        return self.known.get("settings", ()) if is_own else ()

    def _pairs(self, incomplete: str, names: Words) -> Words:
        """``lr=`` and, where that is typed, levels; where one name is left, at once with its levels."""
        name, equals, _ = incomplete.partition("=")
        if equals:
            return self._levels(name, incomplete)
        left = [each for each in names if each.startswith(name)]
        if len(left) == 1:
            return self._levels(left[0], f"{left[0]}=") or {f"{left[0]}=": names[left[0]]}
        return {f"{each}=": names[each] for each in left}

    def _levels(self, name: str, incomplete: str) -> Words:
        own = self.known.get("factors", {}).get(name, {}).get("levels", ())
        levels = dict.fromkeys([*own, *self.store.levels(name)], "")
        head, _, listed = incomplete.partition("=")
        return {f"{head}={word}": said for word, said in _next_of_list(listed, levels).items()}


def _next_of_list(typed: str, words: Words) -> Words:
    """A comma list with each of the words, that are not in it already, as its last element."""
    head, comma, _ = typed.rpartition(",")
    used = set(head.split(","))
    return {f"{head}{comma}{word}": said for word, said in words.items() if word not in used}


def _told(script: str) -> list[str]:
    """What the command of a script, or the parser in its file, names."""
    named = re.findall(r"\{(?:--)?([A-Za-z_][\w.\-]*)\}", script)
    for word in _split(script):
        if word.endswith(".py"):
            with suppress(OSError):
                text = Path(word).read_text(encoding="utf-8", errors="replace")
                named += re.findall(r"add_argument\(\s*[\"']--([\w.\-]+)", text)
    known = {"seed", "folder", "device", "config", "result", "data", "folds", "fold"}
    return [name for name in dict.fromkeys(named) if name not in known]


# ------------------------------------------------------------------------------------------------- the store


@dataclass(frozen=True)
class Store:
    """What of a store completes lines; what is damaged in it says nothing."""

    root: Path
    _read: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, typed: _Typed) -> "Store":
        return cls(Path(typed.last("--store") or os.environ.get("ABLATE_STORE") or "mlruns").expanduser())

    def study_names(self) -> Words:
        """All studies, the one last planned first."""
        files = [file for file in (self.root / "studies").glob("[!.]*.json") if file.is_file()]
        return dict.fromkeys((file.stem for file in sorted(files, key=_age)), "")

    def has(self, study: str) -> bool:
        return (self.root / "studies" / f"{study}.json").is_file()

    def _study(self, name: str) -> Mapping[str, Any]:
        if name not in self._read:
            self._read[name] = _object(self.root / "studies" / f"{name}.json")
        return self._read[name]

    def _last(self, study: str | None) -> list[str]:
        return [study] if study is not None else list(self.study_names())[:STUDIES_READ]

    def varied(self, module: str | None, study: str | None = None) -> list[str]:
        """The factors of the studies' conditions; with ``module`` of those that it was planned for."""
        names: dict[str, None] = {}
        for each in self._last(study):
            content = self._study(each)
            path = content.get("subject", {}).get("spec", {}).get("path")
            if module is None or path == str(Path(module).absolute()):
                first: Mapping[str, Any] = next(iter(content.get("runs", {}).values()), {})
                names |= dict.fromkeys(first.get("condition", {}))
        return list(names)

    def levels(self, factor: str) -> list[str]:
        """Those that studies have had of a factor."""
        runs = (run for each in self._last(None) for run in self._study(each).get("runs", {}).values())
        found = (run["condition"][factor] for run in runs if factor in run.get("condition", {}))
        return list(dict.fromkeys(_shown(level) for level in found if level is not None))

    def metrics(self, study: str | None) -> Words:
        """Those that the study's subject declares, or a finished run has."""
        for name in self._last(study)[:1]:
            content = self._study(name)
            declared = [each["name"] for each in content.get("subject", {}).get("metrics", ())]
            for run_id in list(content.get("runs", {}))[:RESULTS_TRIED]:
                result = self.root / "runs" / run_id / "result.json"
                if result.is_file():
                    declared += _object(result).get("metrics", {})
                    break
            return dict.fromkeys((metric for metric in declared if "*" not in metric), "")
        return {}

    def run_ids(self, incomplete: str, study: str | None) -> Words:
        """Ids with the names of their runs, of the studies last planned; then those of all others."""
        found = {
            run_id: f"{run.get('name')} seed={run.get('seed')}"
            for each in self._last(study)
            for run_id, run in self._study(each).get("runs", {}).items()
        }
        if study is None:
            with suppress(OSError):
                others = (path.name for path in (self.root / "runs").iterdir())
                found |= {name: "" for name in others if name.startswith(incomplete) and name not in found}
        return found


def _age(file: Path) -> float:
    try:
        return -file.stat().st_mtime
    except OSError:
        return 0.0


def _object(file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _shown(level: Any) -> str:
    if isinstance(level, bool):
        return str(level).lower()
    return f"{level:g}" if isinstance(level, float) else str(level)


# ------------------------------------------------------------------------------------------------- the cache


def tree() -> Mapping[str, Any]:
    """All commands with their options and arguments, and what of the built-in subject can be varied."""
    file = _cache_file()
    known = _object(file)
    if known.get("commands"):
        return known
    from ablate.cli.grammar import describe

    known = describe()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        for former in file.parent.glob("completion-*.json"):
            former.unlink(missing_ok=True)
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        temporary.write_text(json.dumps(known), encoding="utf-8")
        temporary.replace(file)
    return known


def _cache_file() -> Path:
    """Another one for each state of the code: commands are added to it, and factors to the subject."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    package = Path(__file__).parent.parent
    folders = [package / "cli", *(entry for entry in package.iterdir() if entry.is_dir())]
    newest = max(entry.stat().st_mtime_ns for folder in folders for entry in os.scandir(folder))
    return Path(base).expanduser() / "ablate" / f"completion-{newest:x}.json"
