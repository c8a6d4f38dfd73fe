"""A program as a subject: how it is told its settings, and what is read of its output."""

import itertools
import json
import logging
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ablate.ground.errors import ConfigError
from ablate.subject import script as script_module
from ablate.subject.files import NOWHERE
from ablate.subject.interface import NO_DATA, Card, Dataset, Interrupted, Job, Row, Trainer
from ablate.subject.printed import ROWS_AT_FULL_RATE, ScriptFailed
from ablate.subject.registry import open_subject
from ablate.subject.scores import Scores
from ablate.subject.script import ScriptConfig, ScriptSubject, level_of, script_subject
from ablate.subject.settings import Settings

LR: dict[str, Sequence[str]] = {"lr": ["0.1", "0.01"]}
# Prints its arguments as JSON, and a number that any run needs.
ECHO = "import json, sys; print(json.dumps({'score': 1, 'words': ' '.join(sys.argv[1:])}))"


@dataclass
class Place:
    """A folder of programs, and one of runs."""

    folder: Path
    run_folder: Path
    rows: list[dict[str, Any]] = field(default_factory=list)
    resumed: list[list[dict[str, Any]]] = field(default_factory=list)
    data: Dataset = field(default_factory=lambda: Dataset("none", NO_DATA, NOWHERE))
    should_stop: Callable[[], bool] = lambda: False

    def write(self, name: str, text: str, *, executable: bool = False) -> Path:
        path = self.folder / name
        path.write_text(textwrap.dedent(text))
        if executable:
            path.chmod(0o755)
        return path

    def subject(self, script: str, **options: Any) -> ScriptSubject:
        return script_subject(script, **{"levels": LR, "folder": self.folder, **options})

    def job(self, settings: Mapping[str, Any]) -> Job:
        return Job(
            run_id="0123456789abcdef",
            title="a run",
            settings=Settings(settings),
            folder=self.run_folder,
            data=self.data,
            report=lambda row: self.rows.append(dict(row)),
            resumed=lambda rows: self.resumed.append([dict(row) for row in rows]),
            should_stop=self.should_stop,
            log=logging.getLogger("ablate.run.test"),
            save_every_s=30.0,
        )

    def train(self, trainer: Trainer, settings: Mapping[str, Any]) -> Scores | Exception:
        trainer.begin(self.job(settings))
        ((_, outcome),) = trainer.advance()
        assert trainer.advance() == []
        return outcome if isinstance(outcome, Exception) else outcome()

    def run(self, subject: ScriptSubject, device: str = "cpu", **settings: Any) -> Scores | Exception:
        """Train one run, as a worker does, and what came of it."""
        opened = open_subject(json.loads(json.dumps(subject.spec)))
        return self.train(opened.trainer(device), subject.default.override(settings).flat())

    def scores(self, subject: ScriptSubject, **settings: Any) -> Scores:
        scores = self.run(subject, **settings)
        if isinstance(scores, Exception):
            raise scores
        return scores

    def failure(self, subject: ScriptSubject, **settings: Any) -> str:
        outcome = self.run(subject, **settings)
        assert isinstance(outcome, ScriptFailed)
        return str(outcome)

    def words(self, subject: ScriptSubject, **settings: Any) -> str:
        """The arguments that ``ECHO`` got, as its one fact."""
        return str(self.scores(subject, **settings).facts["words"])

    @property
    def log(self) -> str:
        return (self.run_folder / "log.txt").read_text()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "programs").mkdir()
    (tmp_path / "run").mkdir()
    return Place(tmp_path / "programs", tmp_path / "run")


def problems(action: Callable[[], object]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        action()
    return caught.value.problems


def without_seconds(rows: Iterable[Row]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


# --------------------------------------------------------------------------------------------------- levels


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("1", 1),
        ("1.0", 1),
        ("-2", -2),
        ("0", 0),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("1E3", 1000),
        ("2.5e3", 2500),
        ("1000000000000", 10**12),
    ],
)
def test_a_plain_number_is_a_number(text: str, level: object) -> None:
    found = level_of(text)
    assert (found, type(found)) == (level, type(level))


@pytest.mark.parametrize(
    "text",
    [
        "007",
        "1.10",
        "true",
        "True",
        "none",
        "",
        "+1",
        "1_000",
        "5.",
        "e5",
        "-",
        ".",
        "nan",
        "inf",
        "1e999",
        "0x10",
        "1.2.3",
        "12345678901234567890123",
        "0.1234567890123456789",
        "1e-3 ",
        "a=b",
        "١",
    ],
)
def test_any_other_text_stays_as_it_is(text: str) -> None:
    assert level_of(text) == text


def test_levels_of_a_study_file_are_those_of_the_command_line() -> None:
    assert [level_of(level) for level in (1.0, 1, 0.1, True, False, 1e-5)] == [
        1,
        1,
        0.1,
        "true",
        "false",
        1e-5,
    ]


@pytest.mark.parametrize("level", [None, [1], {"a": 1}, float("nan"), "a\0b", "\ud800"])
def test_what_cannot_be_an_argument_is_refused(level: object) -> None:
    with pytest.raises(ConfigError):
        level_of(level)


# ------------------------------------------------------------------------------------------------- settings


def test_settings_are_known_by_their_names() -> None:
    config = ScriptConfig.of({"model.type": "a", "lr": "0.10"}, seed=3)
    assert config.flat() == {"model.type": "a", "lr": "0.10", "seed": 3}
    assert list(config.flat()) == ["model.type", "lr", "seed"]
    assert [config.get(name) for name in config.flat()] == ["a", "0.10", 3]
    assert list(config.help) == ["model.type", "lr", "seed"]


def test_equal_settings_are_one_condition() -> None:
    base = ScriptConfig.of({"lr": "1", "model": "a"})
    other = base.override({"lr": "1.0", "seed": "0"})
    assert base == other
    assert len({base, other, base.override({"seed": 1}), base.override({"lr": 2})}) == 3
    assert base.override({"lr": 2}).override({"lr": 1}) == base


def test_every_bad_setting_is_named() -> None:
    config = ScriptConfig.of({"lr": 1, "model": "a"})
    found = problems(lambda: config.override({"rl": 1, "model": None, "seed": -1}))
    assert found == [
        "unknown setting 'rl'; did you mean 'lr'?",
        "model: None is neither a text nor a finite number",
        "seed = -1: input should be greater than or equal to 0",
    ]


def test_thousands_of_conditions_are_made_at_once() -> None:
    config = ScriptConfig.of({f"setting{index}": 0 for index in range(10)})
    began = time.perf_counter()
    found = {config.override({"setting3": index, "seed": index % 3}) for index in range(10_000)}
    assert len(found) == 10_000
    assert time.perf_counter() - began < 1.5  # of the three seconds that planning them may take


# --------------------------------------------------------------------------------------------- command line


def test_settings_are_options_by_default(place: Place) -> None:
    place.write("train.py", ECHO)
    subject = place.subject("train.py", levels={**LR, "model.type": ["a b", "c"]}, settings={"epochs": "3"})
    assert place.words(subject, lr=0.01, seed=7) == "--lr 0.01 --model.type a b --epochs 3 --seed 7"


def test_settings_go_where_they_have_a_place(place: Place) -> None:
    place.write("train.py", ECHO)
    subject = place.subject(
        "python train.py --lr={lr} --x={{}} {model.type} '{model.type} {seed}'",
        levels={**LR, "model.type": ["$HOME; exit 1", "b"]},
    )
    assert place.words(subject, seed=7) == "--lr=0.1 --x={} $HOME; exit 1 $HOME; exit 1 7"


def test_an_option_without_a_value_is_there_where_its_setting_is_true(place: Place) -> None:
    place.write("train.py", ECHO)
    levels = {"tied": [False, "true"], "lr": [1]}
    subject = place.subject("python train.py {--tied}", levels=levels)
    assert place.words(subject, tied="true", lr=1) == "--tied --lr 1 --seed 0"
    assert place.words(subject, tied="false", lr=1) == "--lr 1 --seed 0"
    subject = place.subject("python train.py {--tied} {lr}", levels=levels, shell=True)
    assert place.words(subject, tied="true", lr=1) == "--tied 1"
    assert place.words(subject, tied="false", lr=1) == "1"


def test_what_cannot_be_an_option_without_a_value_is_refused(place: Place) -> None:
    place.write("train.py", ECHO)

    def said(script: str, **levels: list[Any]) -> list[str]:
        return problems(lambda: place.subject(script, levels=levels))

    assert said("python train.py {--tied}", tied=[False, "yes"]) == [
        "tied: 'yes' is neither true nor false, as {--tied} needs it"
    ]
    assert said("python train.py {--tie}", tied=["true"]) == [
        "--script: {--tie} is no factor, setting or known word; did you mean 'tied'? "
        "(braces that are meant as such are written {{ and }})"
    ]
    assert said("python train.py x{--tied}", tied=["true"]) == [
        "--script: 'x{--tied}': an option without a value needs spaces around it"
    ]


def test_a_seed_that_has_a_place_is_no_option_too(place: Place) -> None:
    place.write("train.py", ECHO)
    assert place.words(place.subject("train.py --s={seed}")) == "--s=0 --lr 0.1"
    assert re.fullmatch(
        rf"-o {place.run_folder}/files --lr 0.1 --seed 0", place.words(place.subject("train.py -o {folder}"))
    )


def test_a_program_of_any_language_is_run(place: Place) -> None:
    place.write("train.sh", 'echo "{\\"score\\": 0.25, \\"words\\": \\"$*\\"}"')
    assert place.words(place.subject("sh train.sh")) == "--lr 0.1 --seed 0"
    place.write("train", '#!/bin/sh\necho "{\\"score\\": 0.25, \\"words\\": \\"$0 $*\\"}"\n', executable=True)
    assert place.words(place.subject("train")) == "./train --lr 0.1 --seed 0"
    assert place.words(place.subject("./train")) == "./train --lr 0.1 --seed 0"
    place.write("train.awk", 'BEGIN { printf "{\\"score\\": %g}\\n", lr * 2 }')
    subject = place.subject("awk -v lr={lr} -f train.awk")
    assert place.scores(subject).metrics == {"score": 0.2}


def test_a_shell_is_used_only_when_asked_for(place: Place) -> None:
    text = 'echo {{\\"score\\": 1}} | cat; echo {note} >note'
    levels = {"note": ["a'; touch broken; '$(touch broken)", "b"]}
    subject = place.subject(text, levels=levels, shell=True)
    assert place.scores(subject).metrics == {"score": 1}
    assert (place.folder / "note").read_text() == "a'; touch broken; '$(touch broken)\n"
    assert not (place.folder / "broken").exists()


def test_options_are_appended_to_a_shell_command_too(place: Place) -> None:
    place.write("train.py", ECHO)
    subject = place.subject("cd . && python train.py", levels={"note": ["a  'b'", "c"]}, shell=True)
    assert place.words(subject) == "--note a  'b' --seed 0"


def test_a_value_within_quotes_of_a_shell_is_refused(place: Place) -> None:
    found = problems(lambda: place.subject("""echo "lr {lr}" '{seed}' {lr} "\\"" {seed}""", shell=True))
    assert [problem.split(" stands")[0] for problem in found] == ["--script: {lr}", "--script: {seed}"]


def test_a_program_finds_what_it_must_know_around_it(place: Place) -> None:
    code = """
    import json, os, sys
    names = ("FOLDER", "RESULT", "SEED", "DEVICE", "CONFIG", "DATA")
    known = {name: os.environ["ABLATE_" + name] for name in names}
    known["gpus"] = os.environ["CUDA_VISIBLE_DEVICES"]
    known["here"] = os.getcwd()
    known["settings"] = open(os.environ["ABLATE_CONFIG"]).read()
    known["words"] = sys.argv[1:]
    json.dump(known, open("known", "w"))
    print('{"score": 1}')
    """
    place.write("train.py", code)
    place.data = Dataset("mine", "0" * 32, place.folder)
    levels = {"model.width": ["8"], "model.deep": ["true", "false"], "lr": ["0.1"]}
    subject = place.subject("train.py {config} {folder} {result} {device} {data} {seed}", levels=levels)
    place.scores(subject, seed=5)
    known = json.loads((place.folder / "known").read_text())
    assert json.loads(known["settings"]) == {"model": {"width": 8, "deep": True}, "lr": 0.1, "seed": 5}
    assert known["words"] == [
        known[name] for name in ("CONFIG", "FOLDER", "RESULT", "DEVICE", "DATA", "SEED")
    ]
    assert (known["SEED"], known["DEVICE"], known["gpus"]) == ("5", "cpu", "")
    assert known["here"] == known["DATA"] == str(place.folder)
    assert Path(known["FOLDER"]).is_relative_to(place.run_folder)


@pytest.mark.parametrize(
    ("device", "ours", "visible", "word"),
    [
        ("cuda:1", None, "1", "cuda:0"),
        ("cuda:0,cuda:1", None, "0,1", "cuda"),
        ("cuda:1", "4, 6", "6", "cuda:0"),
        ("cuda:1,cuda:0", "GPU-aa,GPU-bb", "GPU-bb,GPU-aa", "cuda"),
        ("cpu", "0", "", "cpu"),
    ],
)
def test_a_program_sees_the_gpus_of_its_run(
    place: Place, monkeypatch: pytest.MonkeyPatch, device: str, ours: str | None, visible: str, word: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if ours is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ours)
    place.write(
        "train.py", 'import os\nprint(\'{"score": 1, "gpus": "%s"}\' % os.environ[\'CUDA_VISIBLE_DEVICES\'])'
    )
    scores = place.run(place.subject("train.py --d={device}"), device)
    assert isinstance(scores, Scores)
    assert scores.facts["gpus"] == visible
    subject = place.subject('sh -c \'echo "{{\\"score\\": 1, \\"device\\": \\"$0\\"}}"\' {device}')
    scores = place.run(subject, device)
    assert isinstance(scores, Scores)
    assert scores.facts["device"] == word


def test_a_command_that_needs_data_says_so_without(place: Place) -> None:
    place.write("train.py", ECHO)
    assert "--data" in place.failure(place.subject("train.py {data}"))


# ---------------------------------------------------------------------------------------------- bad commands


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("", "the command is empty"),
        ("  ", "the command is empty"),
        ("python 'train.py", "cannot be cut into words (no closing quotation)"),
        ("train.py --lr={lr2}", "{lr2} is no factor, setting or known word; did you mean 'lr'?"),
        ("train.py --lr={lr:.3f}", "{lr:.3f} is no factor, setting or known word (braces that"),
        ("train.py --lr={lr} --wd={wd} {", "{ is no factor"),
        ("train.py --lr={lr}", "'wd' has no place in the command; write {wd} where"),
        ("gone.py", "there is no gone.py in"),
        ("./gone.sh", "there is no ./gone.sh in"),
        ("python -u -W ignore gone.py --lr={lr} --wd={wd}", "there is no gone.py in"),
        ("no-such-program-anywhere", "there is no program 'no-such-program-anywhere' here"),
        ("A=1 sh train.sh", "there is no program 'A=1' here; with '=' it may be meant for a shell"),
        ("train.sh", "train.sh cannot be executed; write what runs it, such as 'sh train.sh'"),
    ],
)
def test_a_command_that_cannot_work_is_refused(place: Place, script: str, said: str) -> None:
    place.write("train.py", ECHO)
    place.write("train.sh", "true")
    found = problems(lambda: place.subject(script, levels={**LR, "wd": ["0"]}))
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("seed", "'seed' is the replicate"),
        ("folder", "cannot be called 'folder'"),
        ("run_id", "cannot be called 'run_id'"),
        ("a b", "'a b' cannot be an option's name"),
        ("-x", "'-x' cannot be an option's name"),
        ("", "'' cannot be an option's name"),
    ],
)
def test_a_name_that_means_something_else_is_refused(place: Place, name: str, said: str) -> None:
    place.write("train.py", ECHO)
    assert said in problems(lambda: place.subject("train.py", levels={name: ["1"]}))[0]
    assert said in problems(lambda: place.subject("train.py", settings={name: "1"}))[0]


def test_all_problems_are_told_at_once(place: Place) -> None:
    found = problems(
        lambda: place.subject(
            "gone.py {x}",
            levels={"seed": ["1"], "a": [], "a.b": ["1"]},
            metrics=["loss=(", "acc", "acc:max", "f/*=([0-9]+)"],
            gpus_per_run=0,
        )
    )
    assert len(found) == 9
    for word in (
        "{x}",
        "gone.py",
        "'seed'",
        "--levels a",
        "section of 'a.b'",
        "gpus-per-run",
        "loss=",
        "acc",
    ):
        assert any(word in problem for problem in found), word
    assert "no such file or folder" in problems(lambda: place.subject("true", uses=[Path("gone")]))[0]


def test_a_bad_level_is_told_with_its_factor(place: Place) -> None:
    found = problems(lambda: place.subject("true", levels={"lr": [None, 1], "x": ["a\0"]}))
    assert found[0].startswith("--levels lr: None is neither")
    assert found[1].startswith("--levels x: 'a\\x00' has characters")


# ------------------------------------------------------------------------------------------------- identity


def test_a_script_is_known_by_its_file(place: Place) -> None:
    path = place.write("train.py", ECHO)
    for script in ("train.py", "python train.py --x 1", f"{sys.executable} -u train.py"):
        subject = place.subject(script)
        assert (subject.name, subject.spec["code"]) == ("train", str(path))
    assert place.subject("true").name == "true"
    assert place.subject("train.py", name="mine").name == "mine"


def test_a_module_is_known_by_its_file(place: Place) -> None:
    (place.folder / "package").mkdir()
    path = place.write("package/train.py", ECHO)
    assert place.subject("python -m package.train").spec["code"] == str(path)


def test_another_command_pattern_or_code_is_another_version(place: Place) -> None:
    place.write("train.py", "import helper\n" + ECHO)
    place.write("helper.py", "x = 1")
    place.write("table.csv", "1")

    def version(script: str = "train.py --a 1", **options: Any) -> str:
        return place.subject(script, **options).version

    base = version()
    assert re.fullmatch("[0-9a-f]{16}", base)
    assert base == version("train.py   --a '1'")
    assert base == version(levels={"lr": ["5"], "wd": ["1"]}, metrics=["score:max"], name="other")
    different = [
        version("train.py --a 2"),
        version(metrics=["score=is ([0-9]+)"]),
        version(metrics=["score=was ([0-9]+)"]),
        version(uses=[Path("table.csv")]),
    ]
    place.write("helper.py", "x = 2")
    different.append(version())
    assert len({base, *different}) == 6


def test_a_spec_is_the_subject_again(place: Place) -> None:
    place.write("train.py", ECHO)
    subject = place.subject(
        "train.py", metrics=["score:min", "x=x ([0-9]+)"], settings={"epochs": "5"}, gpus_per_run=2
    )
    again = open_subject(json.loads(json.dumps(subject.spec)))
    assert isinstance(again, ScriptSubject)
    assert again.card.to_json() == subject.card.to_json()
    assert again.default == subject.default == subject.configure(Settings(subject.default.flat()))
    assert (again.gpus_per_run, again.known_factors["lr"].levels) == (2, (0.1, 0.01))
    assert again.epochs(Settings(again.default.flat())) == 5
    assert Card.from_json(json.loads(json.dumps(subject.card.to_json()))).metrics.of("score").best == "min"
    assert subject.cost(Settings({"lr": 1, "seed": 3})) == "lr=1"


def test_a_spec_that_is_none_is_a_sentence() -> None:
    assert "none that this version wrote" in problems(lambda: open_subject({"kind": "script"}))[0]


def test_code_that_changed_since_the_plan_is_not_run_in_its_name(place: Place) -> None:
    place.write("train.py", "import helper\n" + ECHO)
    place.write("helper.py", "x = 1")
    planned = place.subject("train.py")
    assert place.scores(planned).metrics == {"score": 1}
    place.write("helper.py", "x = 2")
    assert "has changed since the study was planned" in place.failure(planned)
    same = place.subject("train.py").as_version(planned.version)
    assert same.version == planned.version == open_subject(same.spec).version
    assert place.scores(same).metrics == {"score": 1}


def test_code_that_changes_during_a_study_is_noticed(place: Place) -> None:
    place.write("train.py", "open('train.py', 'a').write('#'); " + ECHO)
    trainer = place.subject("train.py").trainer("cpu")
    first, second = (place.train(trainer, {"lr": 1, "seed": seed}) for seed in (0, 1))
    assert isinstance(first, Scores)
    assert "has changed" in str(second)


# -------------------------------------------------------------------------------------------------- results


def test_results_are_read_from_the_file_first(place: Place) -> None:
    place.write(
        "train.sh",
        """
        echo '{"accuracy": 0.1}'
        echo '{"accuracy": 0.9, "n": 3, "undefined": null, "note": "fine", "ok": true}' >$ABLATE_RESULT
        echo '{"accuracy": 0.2}'
        """,
    )
    scores = place.scores(place.subject("sh train.sh", metrics=["accuracy:max"]))
    assert scores.metrics == {"accuracy": 0.9, "n": 3, "undefined": None}
    assert scores.facts == {"note": "fine", "ok": True}


def test_else_the_last_object_that_was_printed_counts(place: Place) -> None:
    place.write(
        "train.sh", """echo '{"a": 1}'; echo 'x {"a": 2}'; echo ' {"b": 0.5} '; echo '[1]'; echo end"""
    )
    assert place.scores(place.subject("sh train.sh")).metrics == {"b": 0.5}


def test_else_patterns_find_them_and_the_last_match_counts(place: Place) -> None:
    place.write("train.sh", "echo loss 3.5, loss 2.5.; echo loss 1.5.; echo '{\"accuracy\": 0.5}'")
    scores = place.scores(place.subject("sh train.sh", metrics=["loss:min=loss ([0-9.]+)", "accuracy"]))
    assert scores.metrics == {"loss": 1.5, "accuracy": 0.5}


def test_the_counter_of_a_row_is_no_metric_unless_it_is_asked_for(place: Place) -> None:
    place.write("train.sh", """echo '{"epoch": 9, "loss": 0.5}'""")
    assert place.scores(place.subject("sh train.sh")).metrics == {"loss": 0.5}
    assert place.scores(place.subject("sh train.sh", metrics=["epoch"])).metrics == {"loss": 0.5, "epoch": 9}


def test_metrics_within_objects_and_families_can_be_asked_for(place: Place) -> None:
    place.write(
        "train.sh", """echo '{"a": 1, "f": {"car": 0.5, "my dog": 0.25}, "eval": {"loss": 2, "x": 3}}'"""
    )
    subject = place.subject("sh train.sh", metrics=["f/*", "eval/loss:min"])
    assert place.scores(subject).metrics == {"a": 1, "f/car": 0.5, "f/my dog": 0.25, "eval/loss": 2}


def test_matrices_and_tables_can_be_among_the_results(place: Place) -> None:
    matrix = {"rows": ["a", "b"], "columns": ["a", "b", "none"], "counts": [[5, 1, 0], [0, 6, 2]]}
    table = {"columns": ["class", "F"], "rows": [["a", 0.5], ["b", None]]}
    place.write(
        "train.py",
        f"""
        import json, os
        content = {{"score": 1, "matrices": {{"confusion": {matrix}}}, "tables": {{"classes": {table}}}}}
        json.dump(content, open(os.environ["ABLATE_RESULT"], "w"))
        """,
    )
    scores = place.scores(place.subject("train.py"))
    assert scores.metrics == {"score": 1}
    assert scores.matrices["confusion"].to_json() == matrix
    assert scores.tables["classes"].to_json() == table


@pytest.mark.parametrize(
    ("printed", "metrics", "said"),
    [
        ("hello", [], "no metric was found in the output of train.sh, which printed no JSON object"),
        ('{"note": "x"}', [], "no metric was found in the last JSON object that train.sh printed"),
        ('{"a": NaN}', [], "metric 'a' is nan in the last JSON object that train.sh printed"),
        (
            '{"a": 1, "b": 2}',
            ["c"],
            "metric 'c' is not in the last JSON object that train.sh printed; it has a, b",
        ),
        ("hello", ["c"], "metric 'c' is not in the output of train.sh, which printed no JSON object"),
        ('{"a": NaN}', ["a"], "metric 'a' is nan in the last JSON object"),
        ('{"a": 1e31}', ["a"], "metric 'a' is 1e+31 in"),
        ('{"a": 1e999}', ["a"], "metric 'a' is inf in"),
        ('{"a": null}', ["a"], "metric 'a' is None in"),
        (
            '{"a": "0.5"}',
            ["a"],
            "metric 'a' is '0.5' in the last JSON object that train.sh printed, which is no",
        ),
        ('{"a": true}', ["a"], "metric 'a' is True in"),
        ('{"a": 1}', ["f/*"], "metric 'f/*' is not in"),
        (
            "loss 1",
            ["loss:min=Loss ([0-9.]+)"],
            "metric 'loss': no line of the output matches its pattern Loss",
        ),
        (
            "loss nan",
            ["loss:min=loss (\\S+)"],
            "metric 'loss' is 'nan' in the last line that matches its pattern",
        ),
        ("loss 1.2.3", ["loss:min=loss (\\S+)"], "metric 'loss' is '1.2.3' in the last line"),
        (
            '{"a": 1, "matrices": {"m": {"rows": ["a"], "counts": [[1, 2]]}}}',
            [],
            "'m' of the matrices in the last",
        ),
        ('{"a": 1, "tables": [1]}', [], "'tables' in the last JSON object that train.sh printed is [1]"),
    ],
)
def test_what_is_missing_or_no_number_is_told(
    place: Place, printed: str, metrics: list[str], said: str
) -> None:
    place.write("printed", printed + "\n")
    place.write("train.sh", "cat printed")
    assert said in place.failure(place.subject("sh train.sh", metrics=metrics))


def test_every_missing_metric_is_told_at_once(place: Place) -> None:
    place.write("train.sh", "echo hello")
    assert place.failure(place.subject("sh train.sh", metrics=["a", "b=b ([0-9])"])).count("metric '") == 2


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{", "the results that train.sh wrote to $ABLATE_RESULT are not JSON: "),
        ("", "are not JSON"),
        ("[1]", "are [1]; write an object, such as"),
        ("[" * 100_000, "are not JSON"),
    ],
)
def test_a_file_of_results_that_is_none_is_told(place: Place, written: str, said: str) -> None:
    place.write("written", written)
    place.write("train.sh", "cat written >$ABLATE_RESULT; echo '{\"a\": 1}'")
    assert said in place.failure(place.subject("sh train.sh"))


def test_a_file_of_results_that_is_far_too_large_is_told(place: Place) -> None:
    place.write("train.sh", "truncate -s 1G $ABLATE_RESULT")
    assert "are 1,073,741,824 bytes; write numbers there" in place.failure(place.subject("sh train.sh"))


def test_undefined_numbers_beside_the_metrics_asked_for_do_no_harm(place: Place) -> None:
    place.write("train.sh", """echo '{"a": 1, "b": NaN, "c": 1'$(printf '%0400d' 0)', "a@b,c": 2}'""")
    assert place.scores(place.subject("sh train.sh", metrics=["a"])).metrics == {
        "a": 1,
        "b": None,
        "a_b_c": 2,
    }


def test_results_of_an_earlier_attempt_are_not_taken_for_this_one(place: Place) -> None:
    place.write("train.sh", "[ -e again ] || echo '{\"a\": 1}' >$ABLATE_RESULT; [ -e again ] || exit 1")
    subject = place.subject("sh train.sh", metrics=["a"])
    place.failure(subject)
    place.write("again", "")
    assert "metric 'a' is not in the output" in place.failure(subject)


# ----------------------------------------------------------------------------------------------------- ends


def test_an_exit_code_is_told_with_the_last_lines(place: Place) -> None:
    place.write("train.py", "print('a\\nb\\n\\nc\\n'); raise SystemExit('no data')")
    failure = place.failure(place.subject("train.py"))
    assert failure == "train.py ended with exit code 1; the last lines of its output: b | c | no data"
    assert place.log == "a\nb\n\nc\n\nno data\n"
    place.write("quiet.sh", "exit 3")
    assert (
        place.failure(place.subject("sh quiet.sh")) == "quiet.sh ended with exit code 3; it printed nothing"
    )


def test_a_signal_is_told_and_the_one_for_want_of_memory_is_known(place: Place) -> None:
    trainer = place.subject("true").trainer("cpu")
    for script, said, no_memory in (
        ("kill -s SEGV $$", "train.sh was ended by SIGSEGV", False),
        ("kill -s KILL $$", "train.sh was ended by SIGKILL", True),
        ("echo torch.OutOfMemoryError: CUDA out of memory.; exit 1", "train.sh ended with exit code 1", True),
    ):
        place.write("train.sh", script)
        outcome = place.run(place.subject("sh train.sh"))
        assert isinstance(outcome, ScriptFailed)
        assert said in str(outcome)
        assert trainer.is_out_of_memory(outcome) is no_memory


def test_a_program_that_is_gone_is_told(place: Place) -> None:
    path = place.write("train", "#!/bin/sh\ntrue", executable=True)
    subject = place.subject("train")
    path.unlink()
    assert "there is no program 'train' here" in problems(lambda: open_subject(subject.spec))[0]
    assert f"{path}: no such file" in str(place.train(subject.trainer("cpu"), {"lr": 1, "seed": 0}))


def test_a_folder_that_is_gone_is_told(place: Place) -> None:
    subject = place.subject("true")
    place.folder.rmdir()
    failure = str(place.train(subject.trainer("cpu"), {"lr": 1, "seed": 0}))
    assert failure.startswith("true cannot be run: ")
    assert str(place.folder) in failure


def test_one_that_is_asked_to_stop_is_interrupted_and_goes_on_in_its_folder(place: Place) -> None:
    place.write(
        "train.py",
        """
        import json, os, pathlib, time
        saved = pathlib.Path(os.environ["ABLATE_FOLDER"]) / "epoch"
        done = int(saved.read_text()) if saved.exists() else 0
        for epoch in range(done + 1, 5):
            print(f"epoch {epoch}: loss {1 / epoch:.2f}")
            saved.write_text(str(epoch))
            while epoch == 2 and done == 0:
                time.sleep(0.01)
        """,
    )
    subject = place.subject("train.py", metrics=["loss:min=loss ([0-9.]+)"])
    place.should_stop = lambda: (
        (place.run_folder / "files/epoch").exists()
        and ((place.run_folder / "files/epoch").read_text() == "2")
    )
    outcome = place.run(subject)
    assert isinstance(outcome, Interrupted)
    assert str(outcome) == "train.py was asked to end and did"
    assert without_seconds(place.rows) == [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.5}]

    place.should_stop = lambda: False
    assert place.scores(subject).metrics == {"loss": 0.25}
    assert [without_seconds(rows) for rows in place.resumed] == [
        [],
        [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.5}],
    ]
    assert [row["epoch"] for row in place.rows] == [1, 2, 3, 4]


def test_one_that_does_not_stop_is_told_as_killed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script_module, "GRACE_S", 0.2)
    place.write("train.sh", "trap '' TERM; touch $ABLATE_FOLDER/on; while :; do sleep 0.1; done")
    place.should_stop = (place.run_folder / "files/on").exists
    outcome = place.run(place.subject("sh train.sh"))
    assert str(outcome) == ("train.sh was asked to end and did not within 0.2 s, and was killed")


@pytest.mark.parametrize("end", ["kill -s TERM $$", "exit 143"])
def test_one_that_is_asked_to_end_together_with_us_has_not_failed(place: Place, end: str) -> None:
    place.write("train.sh", end)
    asked = time.monotonic() + 0.3
    place.should_stop = lambda: time.monotonic() > asked
    outcome = place.run(place.subject("sh train.sh"))
    assert isinstance(outcome, Interrupted)
    assert "when the run was asked to stop" in str(outcome)
    place.should_stop = lambda: False
    assert isinstance(place.run(place.subject("sh train.sh")), ScriptFailed)


def test_what_only_the_run_needed_is_tidied_away(place: Place) -> None:
    place.write("train.py", ECHO)
    subject = place.subject("train.py")
    place.scores(subject)
    assert {path.name for path in place.run_folder.iterdir()} == {"files", "script", "log.txt"}
    subject.trainer("cpu").tidy(place.run_folder)
    assert {path.name for path in place.run_folder.iterdir()} == {"log.txt"}
    (place.run_folder / "files").mkdir()
    (place.run_folder / "files/model.bin").write_bytes(b"kept")
    subject.trainer("cpu").tidy(place.run_folder)
    assert (place.run_folder / "files/model.bin").exists()


# --------------------------------------------------------------------------------------------------- curves


def curves(place: Place, lines: Sequence[str], metrics: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The rows of a program that prints the lines."""
    place.rows.clear()
    place.write("printed", "\n".join(lines) + "\n")
    place.write("train.sh", "cat printed; echo '{\"score\": 1}'")
    place.scores(place.subject("sh train.sh", metrics=metrics))
    return without_seconds(place.rows)


def test_lines_of_json_with_an_epoch_are_curves(place: Place) -> None:
    rows = curves(
        place,
        [
            '{"epoch": 1, "loss": 2, "note": "x", "ok": true, "seconds": 99}',
            '{"epoch": 1, "accuracy": 0.5}',
            '{"epoch": 2.0, "loss": NaN, "a@b": 1}',
            '{"epoch": "3", "loss": 1}',
            '{"epoch": 2.5, "loss": 1}',
            '{"epoch": NaN, "loss": 1}',
            '{"epoch": 3, "step": 70, "loss": 1}',
            '{"epoch": 4}',
        ],
    )
    assert rows[0] == {"epoch": 1, "loss": 2.0, "accuracy": 0.5}
    assert rows[1]["epoch"] == 2
    assert rows[1]["a_b"] == 1.0
    assert rows[1]["loss"] != rows[1]["loss"]
    assert rows[2:] == [{"epoch": 3, "loss": 1.0}]


@pytest.mark.parametrize(
    "line",
    [
        "epoch {} loss 0.5",
        "Epoch: {}/3 | loss 0.5",
        "[EPOCH={}] loss 0.5",
        "Epoch [{}/3] loss 0.5",
        "loss 0.5 at step {}",
    ],
)
def test_what_patterns_find_in_a_line_with_an_epoch_is_a_curve(place: Place, line: str) -> None:
    rows = curves(place, [line.format(epoch) for epoch in (0, 1, 2)], ["loss:min=loss ([0-9.]+)"])
    assert rows == [{"epoch": epoch, "loss": 0.5} for epoch in (0, 1, 2)]


def test_lines_of_an_epoch_become_one_row(place: Place) -> None:
    lines = ["epoch 1 loss 5", "epoch 1 loss 4", "epoch 1 acc 7", "timestep 9 loss 1", "epoch 2 loss 3 acc 8"]
    rows = curves(place, lines, ["loss:min=loss ([0-9.]+)", "acc=acc ([0-9.]+)"])
    assert rows == [{"epoch": 1, "loss": 4, "acc": 7}, {"epoch": 2, "loss": 3, "acc": 8}]


def test_an_epoch_that_came_before_is_no_row(place: Place) -> None:
    lines = ['{"epoch": 2, "loss": 5}', '{"epoch": 1, "loss": 4}', '{"epoch": 3, "loss": 3}']
    assert curves(place, lines) == [{"epoch": 2, "loss": 5}, {"epoch": 3, "loss": 3}]


def test_what_is_said_of_an_epoch_between_steps_belongs_to_the_last_step(place: Place) -> None:
    lines = ['{"step": 100, "loss": 5}', '{"step": 200, "loss": 4}', '{"epoch": 1, "valid": 3}']
    assert curves(place, lines) == [{"epoch": 100, "loss": 5}, {"epoch": 200, "loss": 4, "valid": 3}]
    lines = ['{"epoch": 1, "valid": 3}', '{"step": 200, "loss": 4}', '{"epoch": 2, "valid": 2}']
    assert curves(place, lines) == [{"epoch": 1, "valid": 3}, {"epoch": 2, "valid": 2}]


def test_a_million_steps_are_thinned_out(place: Place) -> None:
    n_steps = 50_000
    place.write(
        "train.py",
        f"""
        for step in range(1, {n_steps} + 1):
            print('{{"step": %d, "loss": 1}}' % step)
        """,
    )
    place.scores(place.subject("train.py"))
    steps = [row["epoch"] for row in place.rows]
    assert steps[:100] == list(range(1, 101))
    assert ROWS_AT_FULL_RATE < len(steps) < 6 * ROWS_AT_FULL_RATE
    assert steps[-1] == n_steps
    assert steps == sorted(set(steps))
    widest = max(later - earlier for earlier, later in itertools.pairwise(steps))
    assert widest <= 32


def test_seconds_of_rows_and_of_the_rest_add_up(place: Place) -> None:
    place.write(
        "train.sh",
        """
        sleep 0.2; echo '{"epoch": 1, "loss": 1}'
        sleep 0.1; echo '{"epoch": 2, "loss": 1}'
        sleep 0.3; echo '{"score": 1}'
        """,
    )
    scores = place.scores(place.subject("sh train.sh"))
    first, second = (row["seconds"] for row in place.rows)
    assert first >= 0.2
    assert second >= 0.09
    assert scores.seconds is not None
    assert scores.seconds >= 0.29


def test_a_row_is_there_before_the_next_epoch_ends_however_the_worker_dies(place: Place) -> None:
    """Killed in its second epoch, a run that goes on with the third has lost no row."""
    place.write(
        "train.py",
        """
        import os, pathlib, time
        folder = pathlib.Path(os.environ["ABLATE_FOLDER"])
        if not (folder / "second").exists():
            print('{"epoch": 1, "loss": 3}\\n{"epoch": 2, "loss": 2}')
            time.sleep(0.2)
            (folder / "second").touch()
            time.sleep(1000)
        print('{"epoch": 3, "loss": 1}')
        """,
    )
    subject = place.subject("train.py")
    code = f"""
    import json, logging
    from pathlib import Path
    from ablate.subject.interface import Dataset, Job
    from ablate.subject.registry import open_subject
    from ablate.subject.settings import Settings
    trainer = open_subject(json.loads({json.dumps(subject.spec)!r})).trainer("cpu")
    trainer.begin(Job("r", "a run", Settings({{"lr": 0.1, "seed": 0}}), Path({str(place.run_folder)!r}),
        Dataset("none", "none", Path("/dev/null")), print, print, lambda: False, logging.getLogger(), 30.0))
    trainer.advance()
    """
    worker = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.DEVNULL)
    second = place.run_folder / "files/second"
    deadline = time.monotonic() + 20
    while not second.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    worker.kill()
    worker.wait()
    assert place.scores(subject).metrics == {"loss": 1}
    assert [without_seconds(rows) for rows in place.resumed] == [
        [{"epoch": 1, "loss": 3}, {"epoch": 2, "loss": 2}]
    ]
    assert without_seconds(place.rows) == [{"epoch": 3, "loss": 1}]


def test_one_that_begins_anew_after_an_interruption_has_each_epoch_once(place: Place) -> None:
    place.write(
        "train.sh", """for e in 1 2 3; do echo "{\\"epoch\\": $e, \\"loss\\": $e}"; done; [ -e ok ]"""
    )
    subject = place.subject("sh train.sh")
    place.failure(subject)
    place.write("ok", "")
    place.scores(subject)
    assert place.resumed == [[], []]
    assert [row["epoch"] for row in place.rows] == [1, 2, 3, 1, 2, 3]


def test_one_that_only_finishes_keeps_its_rows(place: Place) -> None:
    place.write(
        "train.sh",
        """
        if [ -e $ABLATE_FOLDER/done ]; then echo '{"score": 1}'; exit 0; fi
        echo '{"epoch": 1, "loss": 1}'; touch $ABLATE_FOLDER/done; exit 1
        """,
    )
    subject = place.subject("sh train.sh")
    place.failure(subject)
    place.scores(subject)
    assert [without_seconds(rows) for rows in place.resumed] == [[], [{"epoch": 1, "loss": 1}]]


def test_damaged_rows_of_an_earlier_attempt_do_no_harm(place: Place) -> None:
    (place.run_folder / "script").mkdir()
    (place.run_folder / "script/curves.jsonl").write_text(
        '{"epoch": 1, "seconds": 1, "loss": 1}\n{"epoch": 2, "lo'
    )
    place.write("train.sh", """echo '{"epoch": 3, "loss": 1}'""")
    place.scores(place.subject("sh train.sh"))
    assert [without_seconds(rows) for rows in place.resumed] == [[{"epoch": 1, "loss": 1}]]


# ---------------------------------------------------------------------------------------------------- costs


def test_running_a_program_costs_little_beside_it(place: Place) -> None:
    place.write("train.sh", "echo '{\"score\": 1}'")
    trainer = place.subject("sh train.sh").trainer("cpu")
    costs = []
    for _ in range(20):
        began = time.perf_counter()
        assert isinstance(place.train(trainer, {"lr": 1, "seed": 0}), Scores)
        ours = time.perf_counter() - began
        began = time.perf_counter()
        subprocess.run(["sh", "-c", "echo"], check=True, stdout=subprocess.DEVNULL)
        costs.append(ours - (time.perf_counter() - began))
    assert min(costs) < 0.05  # a few milliseconds on a machine that has nothing else to do
