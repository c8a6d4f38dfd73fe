"""``ablate.Study``: what it plans, trains and refuses, beside the command that does the same."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import ablate
from ablate.record.store import Store
from tests.analysis.studies import paper_study
from tests.command import output_of

SCRIPT = """
import argparse, json
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()
assert options.lr < 5
print(json.dumps({"accuracy": 1 - options.lr + 0.01 * options.seed}))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "train.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "store"))
    return tmp_path


def sweep(**others: object) -> ablate.Study:
    arguments = {"levels": {"lr": [0.1, 0.5]}, "seeds": 2, **others}
    return ablate.Study("sweep", script="train.py", metrics=["accuracy:max"], **arguments)  # type: ignore[arg-type]


def test_the_plan_is_that_of_the_command(folder: Path) -> None:
    study = sweep()
    words = shlex.split(study.command)[1:]
    printed = output_of(*words, "--workers", 2, "--dry-run", store=folder / "store")
    assert printed.startswith(study.plan(workers=2).text())
    document = json.loads(
        output_of(*words, "--workers", 2, "--dry-run", "--format", "json", store=folder / "store")
    )
    assert document == json.loads(json.dumps(study.plan(workers=2).document))


def test_a_run_trains_what_is_missing_and_prints_nothing(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sweep().run(workers=1, launcher="inline").counts == {"finished": 4}
    assert sweep(seeds=3).plan().counts == {"pending": 2, "finished": 4}
    assert capfd.readouterr() == ("", "")
    assert Store(folder / "store").study_commands("sweep") == [sweep().command]


def test_failures_are_counted_and_not_raised(folder: Path) -> None:  # noqa: ARG001
    ended = sweep(levels={"lr": [0.1, 5]}).run(workers=1, launcher="inline")
    assert ended.counts == {"finished": 2, "failed": 2}
    assert not ended.is_complete
    assert ended.todo == []


def test_a_study_that_is_there_is_gone_on_with(folder: Path) -> None:  # noqa: ARG001
    sweep().run(workers=1, launcher="inline")
    again = ablate.Study.open("sweep", seeds=3)
    assert again.plan().counts == {"pending": 2, "finished": 4}
    assert again.run(workers=1, launcher="inline").is_complete
    assert sorted(again.runs()["seed"]) == [0, 0, 1, 1, 2, 2]
    assert ablate.Study.open().name == "sweep"


def test_errors_are_exceptions_with_the_commands_sentences(folder: Path) -> None:  # noqa: ARG001
    with pytest.raises(ablate.ConfigError, match="name what to vary"):
        ablate.Study().plan()
    with pytest.raises(ablate.ConfigError, match=r"levels of 'lr': 0\.1 is no list; write \[0\.1\]"):
        sweep(levels={"lr": 0.1})
    with pytest.raises(ablate.ConfigError, match="unknown design 'offat'; did you mean 'ofat'"):
        sweep(design="offat")
    with pytest.raises(ablate.ConfigError) as caught:
        sweep().run(launcher="slrm", retries=3)  # type: ignore[arg-type]
    assert len(caught.value.problems) == 2
    with pytest.raises(ablate.ConfigError, match="--workers 0: at least 1"):
        sweep().run(workers=0)
    with pytest.raises(ablate.StudyError, match="no study 'none'"):
        ablate.Study.open("none")


def test_a_subject_without_a_file_is_refused() -> None:
    def train(config: object, run: object) -> ablate.Scores:
        raise NotImplementedError

    subject = ablate.Subject("mine", ablate.Config, train)
    with pytest.raises(ablate.ConfigError, match="workers open what is trained from a file"):
        ablate.Study(subject=subject, levels={"lr": [1]})


def test_answers_are_the_commands_documents(tmp_path: Path) -> None:
    store = Store(tmp_path)
    paper_study(store, seeds=3, systems=("mtl", "grl_s1"))
    for name in ("compare", "claims", "status", "noise", "effects"):
        printed = output_of(name, "paper", "--format", "json", store=tmp_path)
        answer = getattr(ablate, name)("paper", store=tmp_path)
        assert json.loads(printed) == json.loads(json.dumps(answer.document))


def test_the_import_is_quick_and_loads_no_heavy_library() -> None:
    code = """
import sys, time
began = time.process_time()
import ablate
print(time.process_time() - began)
print([name for name in ("torch", "pandas", "numpy", "pydantic", "rich", "typer") if name in sys.modules])
dir(ablate)
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    seconds, loaded = printed.splitlines()
    assert float(seconds) < 0.1
    assert loaded == "[]"


MODULE = """
import random
import ablate

class Config(ablate.Config):
    a: float = 0.0

def train(config, run):
    return ablate.Scores(score=config.a + random.Random(f"{config.seed} {config.a}").gauss(0, 0.01))

subject = ablate.Subject("drawn", Config, train)
"""
CLAIMED = """
name = "mine"
[subject]
module = "drawn.py"
[conditions]
zero = {}
one = { a = 1.0 }
[claims.C1]
text = "one is more"
metric = "score"
better = "one"
worse = "zero"
"""


def test_a_study_files_claims_are_decided(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    (folder / "drawn.py").write_text(MODULE)
    (folder / "mine.toml").write_text(CLAIMED)
    decided = ablate.decide("mine.toml", looks=[3, 5], launcher="inline", workers=1)
    assert decided.verdicts == {"C1": "supported"}
    assert decided.is_complete
    assert [look["n"] for look in decided.document["looks"]] == [3]
    assert "Verdicts on study mine" in str(decided)
    assert capfd.readouterr() == ("", "")
    study = ablate.Study.from_file("mine.toml", seeds=4)
    assert study.plan().counts == {"pending": 2, "finished": 6}
    assert study.claims().verdicts[0].verdict == "supported"
    assert shlex.split(Store(folder / "store").study_commands("mine")[0])[:4] == [
        *("ablate", "decide", "mine.toml", "--looks")
    ]
    with pytest.raises(ablate.ConfigError) as caught:
        ablate.decide("mine.toml", looks=[5, 3], error=0.9)
    assert len(caught.value.problems) == 2
