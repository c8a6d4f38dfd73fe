"""Any program, in any language, as a subject: it is told its settings as options, and says what it scored.

    subject = script_subject("python train.py --lr={lr} --seed={seed}", levels={"lr": ["0.1", "0.01"]},
                             metrics=["accuracy:max"])

A program finds the run's own folder at ``$ABLATE_FOLDER``, which is still there when it is started again
after an interruption; ``$ABLATE_RESULT`` is where it can write its scores, as a JSON object.
"""

import functools
import hashlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from ablate.ground.errors import ConfigError, brief, shown
from ablate.ground.failures import FailureKind, failure_said
from ablate.ground.files import last_lines, write_json
from ablate.ground.machine import killed_for_memory, memory_kills
from ablate.ground.wording import suggest
from ablate.subject.code import PlannedCode, digest_of
from ablate.subject.command import FOLD, FOLDS, KNOWN, TRUTH, Command
from ablate.subject.factors import RESERVED, Factor, Factors
from ablate.subject.files import folder_of
from ablate.subject.interface import Interrupted, Job, Outcome, Subject, Trainer
from ablate.subject.metrics import Metric, parse_metric
from ablate.subject.printed import Curves, Printed, ScriptFailed, results_of, scores_of
from ablate.subject.process import Ending, describe, run_program
from ablate.subject.scores import Scores
from ablate.subject.settings import SEED, Config, Level, Settings

GRACE_S = float(os.environ.get("ABLATE_SCRIPT_GRACE_S", "20"))  # to save and end, when asked to
END_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
WE_HEAR_WITHIN_S = 1.0  # of a program, after it did, that we are to stop
N_LINES_OF_TRACEBACK = 200
DRIVER_PATIENCE_S = 10.0

# Of a run's folder: the program's own one, and the one of what it is told and of what must outlast it.
OWN_FOLDER = "files"
TOLD_FOLDER = "script"

NUMBER = re.compile(r"-?(?:(?:0|[1-9]\d*)(?:\.0|\.\d*[1-9])?|\.\d*[1-9])(?:[eE][+-]?\d{1,3})?")
NAME = re.compile(r"[A-Za-z_][\w.\-]*")
LARGEST_INTEGER = 10**15  # up to which numbers and integers are the same


# ------------------------------------------------------------------------------------------------- settings


def level_of(value: Any) -> Level:
    """A level from its text: a number where the text is one as it is usually written, else the text.

    >>> level_of("1.0"), level_of("1e-3"), level_of("007"), level_of("1.10"), level_of("true")
    (1, 0.001, '007', '1.10', 'true')

    Raises ConfigError for what cannot be an argument of a program.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return int(value) if value.is_integer() and abs(value) <= LARGEST_INTEGER else value
    if not isinstance(value, str):
        raise ConfigError(f"{shown(value)} is neither a text nor a finite number")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ConfigError(f"{shown(value)} has characters that cannot be passed to a program")
    return _number_of(value) if NUMBER.fullmatch(value) else value


def _number_of(text: str) -> Level:
    """The number that a text is; the text itself where a number would lose some of its digits."""
    exact = Decimal(text)
    if abs(exact) <= LARGEST_INTEGER and exact == int(exact):
        return int(exact)
    number = float(text)
    return number if math.isfinite(number) and Decimal(repr(number)) == exact else text


class ScriptConfig(Config):
    """The settings of a script: the names that the user gave, each with a number or a text."""

    names: tuple[str, ...] = ()
    levels: tuple[Level, ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Any], seed: int = 0) -> Self:
        """The settings ``values``, by name. Raises ConfigError."""
        names = tuple(values)
        return cls(names=names).override({**values, SEED: seed}) if names else cls(seed=seed)

    def get(self, name: str) -> Any:
        return self.seed if name == SEED else self.levels[self.names.index(name)]

    def flat(self) -> dict[str, Any]:
        return {**dict(zip(self.names, self.levels, strict=True)), SEED: self.seed}

    def override(self, values: Mapping[str, Any]) -> Self:
        levels = dict(zip(self.names, self.levels or ("",) * len(self.names), strict=True))
        problems: list[str] = []
        seed = self.seed
        for name, value in values.items():
            try:
                if name == SEED:
                    seed = _seed(value)
                elif name in levels:
                    levels[name] = level_of(value)
                else:
                    problems.append(f"unknown setting '{brief(name)}'{suggest(name, [*self.names, SEED])}")
            except ConfigError as error:
                prefix = "" if name == SEED else f"{name}: "
                problems += [f"{prefix}{problem}" for problem in error.problems]
        if problems:
            raise ConfigError(problems)
        # What is checked above need not be checked again: a study has thousands of these.
        return self.model_copy(update={"seed": seed, "levels": tuple(levels.values())})

    @property
    def help(self) -> dict[str, str]:
        return {**dict.fromkeys(self.names, ""), SEED: Config().help[SEED]}


def _seed(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 2**32 else Config().override({SEED: value}).seed


# -------------------------------------------------------------------------------------------------- subject


@dataclass(frozen=True, eq=False)
class ScriptSubject(Subject):
    """A program as a subject; see ``script_subject``, which makes one.

    ``digest`` is that of the code as it was when the subject was made: the code that its runs are of.
    """

    command: Command = field(default=Command("", (), Path()))
    patterns: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    given: ScriptConfig = field(default=ScriptConfig())
    gpus_per_run: int = 1
    digest: str = ""

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "ScriptSubject":
        """The subject of a ``spec``, with the version that this has. Raises ConfigError."""
        try:
            subject = script_subject(
                spec["script"],
                name=spec["name"],
                metrics=spec["metrics"],
                uses=[Path(each) for each in spec["uses"]],
                levels=spec["levels"],
                settings=spec["settings"],
                shell=spec["shell"],
                folder=Path(spec["folder"]),
                gpus_per_run=spec["gpus_per_run"],
            )
            return replace(subject, version=spec["version"], digest=spec["digest"], spec=dict(spec))
        except (KeyError, TypeError) as error:
            raise ConfigError(
                f"the record of this script is none that this version wrote ({error!r})"
            ) from None

    def as_version(self, version: str, codes: Sequence[str] = ()) -> Self:
        spec = {**self.spec, "version": version}
        return replace(self, version=version, codes=tuple(codes), spec=spec)

    @property
    def code_digest(self) -> str:
        return digest_of(self.command.entry, [Path(path) for path in self.uses])

    @property
    def default(self) -> ScriptConfig:
        return self.given

    @functools.cached_property
    def known_factors(self) -> Factors:
        factors = [
            Factor(name, name, tuple(map(level_of, levels))) for name, levels in self.spec["levels"].items()
        ]
        return Factors(self.default, factors)

    def unknown_metric(self, name: str) -> str | None:  # noqa: ARG002
        """A program may print what it was not asked for."""
        return None

    def trainer(self, device: str) -> "ScriptTrainer":
        return ScriptTrainer(self, device)


def script_subject(
    script: str,
    *,
    name: str | None = None,
    metrics: Sequence[str] = (),
    uses: Sequence[Path] = (),
    levels: Mapping[str, Sequence[Any]],
    settings: Mapping[str, Any] | None = None,
    shell: bool = False,
    folder: Path | None = None,
    gpus_per_run: int = 1,
) -> ScriptSubject:
    """The subject of a command, whose settings are those that ``levels`` and ``settings`` name.

    ``levels`` are the factors and what is tried of each, of which the first is the baseline's unless
    ``settings`` say otherwise. ``metrics`` are as ``parse_metric`` reads them. ``uses`` are files and
    folders, relative to ``folder``, that the results depend on beside the program itself. The program runs in
    ``folder``, by default the present one.

    Raises ConfigError that lists everything that is wrong.
    """
    here = Path.cwd() if folder is None else folder.absolute()
    settings = settings or {}
    values = {**{each: tried[0] for each, tried in levels.items() if tried}, **settings}
    command = Command(script, tuple(dict.fromkeys([*levels, *settings])), here, shell)
    folded = command.is_told_folds
    problems = [*command.problems(), *_problems_of_names(command.names)]
    problems += [f"--levels {each}: has no levels" for each, tried in levels.items() if not tried]
    if gpus_per_run < 1:
        problems.append(f"--gpus-per-run {gpus_per_run}: a run needs at least one")
    parsed: list[tuple[Metric, str | None]] = []
    for text in metrics:
        problems += _collect(functools.partial(_parse_into, parsed, text))
    problems += _problems_of_metrics(parsed)
    paths = [here / each for each in uses]
    digest, given = "", ScriptConfig()
    if not problems:  # else the same would be said twice
        for each, tried in levels.items():
            for level in tried:
                problems += [
                    f"--levels {each}: {said}" for said in _collect(functools.partial(level_of, level))
                ]
    if not problems:
        try:
            given = ScriptConfig.of({**values, **(dict.fromkeys((FOLDS, FOLD), 0) if folded else {})})
            problems += _problems_of_flags(command, levels, settings)
            digest = digest_of(command.entry, paths)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    patterns = {metric.name: pattern for metric, pattern in parsed if pattern is not None}
    version = _version(command, patterns, digest)
    title = name or re.sub(r"[^\w.\-]+", "-", Path(command.label).stem) or "script"
    return ScriptSubject(
        title,
        ScriptConfig,
        metrics=[metric for metric, _ in parsed],
        uses=paths,
        version=version,
        folds=(FOLDS, FOLD) if folded else None,
        spec={
            "kind": "script",
            "script": script,
            "name": title,
            "code": None if command.entry is None else str(command.entry),
            "metrics": list(metrics),
            "uses": [str(path) for path in paths],
            "levels": {each: [level_of(level) for level in tried] for each, tried in levels.items()},
            "settings": {each: level_of(value) for each, value in settings.items()},
            "shell": shell,
            "folder": str(here),
            "gpus_per_run": gpus_per_run,
            "digest": digest,
            "version": version,
        },
        command=command,
        patterns={each: re.compile(pattern) for each, pattern in patterns.items()},
        given=given,
        gpus_per_run=gpus_per_run,
        digest=digest,
    )


def _parse_into(parsed: list[tuple[Metric, str | None]], text: str) -> None:
    parsed.append(parse_metric(text))


def _collect(action: Callable[[], object]) -> list[str]:
    try:
        action()
    except ConfigError as error:
        return error.problems
    return []


def _problems_of_names(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        if name == SEED:
            yield "'seed' is the replicate, which --seeds varies; it can be no factor or setting of a script"
        elif name in KNOWN or name in RESERVED:
            yield f"a factor or setting cannot be called '{name}', which means something else; rename it"
        elif not NAME.fullmatch(name):
            yield (
                f"'{brief(name)}' cannot be an option's name; write letters, digits and _ - . after a first "
                "letter"
            )
        elif inner := [other for other in names if other.startswith(f"{name}.")]:
            yield f"'{name}' cannot be a setting and the section of '{inner[0]}' too"


def _problems_of_flags(
    command: Command, levels: Mapping[str, Sequence[Any]], settings: Mapping[str, Any]
) -> Iterator[str]:
    for name in command.flags:
        given = [*levels.get(name, ()), *([settings[name]] if name in settings else ())]
        wrong = [level for level in given if str(level_of(level)) not in TRUTH]
        if wrong:
            yield f"{name}: {shown(wrong[0])} is neither true nor false, as {{--{name}}} needs it"


def _problems_of_metrics(parsed: Sequence[tuple[Metric, str | None]]) -> Iterator[str]:
    names = [metric.name for metric, _ in parsed]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"--metric {name}: named more than once"
    for metric, pattern in parsed:
        if metric.is_family and pattern is not None:
            yield f"--metric {metric.name}: a pattern finds one number, not a family's; name one metric"


def _version(command: Command, patterns: Mapping[str, str], digest: str) -> str:
    """What decides the results beside the settings: the command, how they are found, and the code."""
    words = command.text.strip() if command.shell else list(command.words)
    text = json.dumps({"words": words, "patterns": dict(patterns), "code": digest}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# ------------------------------------------------------------------------------------------------- training


class ScriptTrainer(Trainer):
    """Runs the program for one run after the other."""

    def __init__(self, subject: ScriptSubject, device: str) -> None:
        self._subject = subject
        self._device = device
        self._waiting: deque[Job] = deque()
        uses = [Path(path) for path in subject.uses]
        self._code = PlannedCode(subject.command.label, subject.command.entry, uses, subject.digest)

    def begin(self, job: Job) -> None:
        self._waiting.append(job)

    def advance(self) -> list[tuple[Job, Outcome]]:
        """Run the program for the job that was begun first, to the program's end."""
        if not self._waiting:
            return []
        job = self._waiting.popleft()
        try:
            self._code.require()
            scores = self._run(job)
        except ConfigError as error:
            return [(job, ScriptFailed(error.problems))]
        except Exception as error:
            return [(job, error)]
        return [(job, lambda: scores)]

    def _run(self, job: Job) -> Scores:
        subject = self._subject
        told = job.folder / TOLD_FOLDER
        own = job.folder / OWN_FOLDER
        for folder in (told, own):
            folder.mkdir(exist_ok=True)
        result = told / "result.json"
        result.unlink(missing_ok=True)  # of an earlier attempt
        values = _values(job, own, told / "settings.json", result, self._device)
        if "data" in subject.command.places and not values["data"]:
            raise ScriptFailed(
                "the command has {data}, but this study has no data; name their folder with --data"
            )
        write_json(told / "settings.json", nested(job.settings))
        began, kills = time.monotonic(), memory_kills()
        with Curves(told / "curves.jsonl", job.resumed, job.report, began) as curves:
            printed = Printed(subject.patterns, curves)
            finished = False
            try:
                ending = run_program(
                    subject.command.arguments(values),
                    folder=subject.command.folder,
                    environment={**os.environ, **_environment(values, self._device)},
                    log=job.folder / "log.txt",
                    on_line=lambda line: printed.take(line, time.monotonic()),
                    should_stop=job.should_stop,
                    grace_s=GRACE_S,
                )
                finished = ending.code == 0 and not ending.stopped
            except OSError as error:
                raise ScriptFailed(f"{subject.command.label} cannot be run: {error}") from error
            finally:
                curves.end(finished=finished)
            if curves.n_disordered:
                job.log.info(
                    "%d lines of epochs that came before are no part of the curves", curves.n_disordered
                )
            self._require_good(ending, job, kills)
            source = results_of(result, printed, subject.command.label)
            scores = scores_of(source, printed, subject.metrics, subject.patterns)
            scores.seconds = time.monotonic() - curves.ended_at
            return scores

    def _require_good(self, ending: Ending, job: Job, memory_kills: int | None) -> None:
        """Raises Interrupted or ScriptFailed for a program that did not end well.

        ``memory_kills`` is how many processes the system had killed for want of memory when it began.
        """
        label = self._subject.command.label
        if ending.stopped:
            late = f"did not within {GRACE_S:g} s, and was killed"
            raise Interrupted(f"{label} was asked to end and {late if ending.killed else 'did'}")
        if ending.code == 0:
            return
        if _is_stopped_with_us(ending, job):
            raise Interrupted(f"{label} {describe(ending.code)} when the run was asked to stop")
        # Without the line below code in which Python points at a part of it.
        lines = [line.strip() for line in ending.last_lines if line.strip(" ^~")]
        said = " | ".join(map(brief, lines))
        output = f"; the last lines of its output: {said}" if said else "; it printed nothing"
        ended = f"{label} {describe(ending.code)}"
        last = last_lines(job.folder / "log.txt", N_LINES_OF_TRACEBACK)
        lacked_memory = killed_for_memory(memory_kills)
        failure = failure_said(ended, last, ending.code, no_memory=lacked_memory)
        is_killed = ending.code == -signal.SIGKILL  # as the system does for want of memory
        no_memory = is_killed or failure.kind is FailureKind.MEMORY
        raise ScriptFailed(f"{ended}{output}", no_memory=no_memory, failure=failure)

    def tidy(self, folder: Path) -> None:
        """What the program was told, and its own folder if it has left that empty."""
        shutil.rmtree(folder / TOLD_FOLDER, ignore_errors=True)
        try:
            (folder / OWN_FOLDER).rmdir()
        except OSError:  # it keeps something there
            return

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether it was killed from outside, as the system does then, or said so."""
        return isinstance(error, ScriptFailed) and error.no_memory

    @functools.cached_property
    def device_name(self) -> str:
        visible = _visible_gpus(self._device)
        return super().device_name if visible is None else _gpu_names(visible)


def _is_stopped_with_us(ending: Ending, job: Job) -> bool:
    """Whether it ended since all of us are to end, as a batch system asks each process of a job to."""
    asked = {code for each in END_SIGNALS for code in (-each, 128 + each)}
    deadline = time.monotonic() + (WE_HEAR_WITHIN_S if ending.code in asked else 0.0)
    while not job.should_stop():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def nested(settings: Settings) -> dict[str, Any]:
    """Settings as a configuration file has them: sections for dotted names, and truth values as such."""
    tree: dict[str, Any] = {}
    for name, value in settings.flat().items():
        *sections, leaf = name.split(".")
        node = tree
        for section in sections:
            node = node.setdefault(section, {})
        node[leaf] = TRUTH.get(value, value) if isinstance(value, str) else value
    return tree


def _values(job: Job, own: Path, config: Path, result: Path, device: str) -> dict[str, str]:
    """The text for each setting, and for each word that is known beside them."""
    n_gpus = 0 if device == "cpu" else len(device.split(","))
    return {
        **{name: str(value) for name, value in job.settings.flat().items()},
        "folder": str(own.absolute()),
        "device": ("cpu", "cuda:0", "cuda")[min(n_gpus, 2)],
        "config": str(config.absolute()),
        "result": str(result.absolute()),
        "data": str(folder_of(job.data) or ""),
    }


def _environment(values: Mapping[str, str], device: str) -> dict[str, str]:
    """What a program is told beside its arguments. On a CPU it does not see the GPUs, which others use."""
    known = {f"ABLATE_{name.upper()}": values[name] for name in KNOWN}
    return {**known, "CUDA_VISIBLE_DEVICES": _visible_gpus(device) or "", "PYTHONUNBUFFERED": "1"}


def _visible_gpus(device: str) -> str | None:
    """``cuda:1`` -> ``1``, or the second of those that we see ourselves; None for a CPU."""
    if device == "cpu":
        return None
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = None if seen is None else [name.strip() for name in seen.split(",")]
    indices = [int(each.partition(":")[2] or 0) for each in device.split(",")]
    return ",".join(names[index] if names and index < len(names) else str(index) for index in indices)


def _gpu_names(visible: str) -> str:
    try:
        listing = subprocess.run(
            ["nvidia-smi", f"--id={visible}", "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=DRIVER_PATIENCE_S,
            check=True,
        )
        return ", ".join(dict.fromkeys(listing.stdout.split("\n")[:-1])) or "GPU"
    except (OSError, subprocess.SubprocessError):
        return "GPU"
