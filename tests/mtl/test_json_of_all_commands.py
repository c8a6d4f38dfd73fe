"""``--format json`` of every command: one document of a known schema, and nothing else on standard output.

The commands are those that the application has, so that a new one without a document or an example fails.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import typer.main
from pydantic import TypeAdapter

from ablate.cli.app import app
from ablate.mtl.data.download import CORPORA
from ablate.record.store import Store
from tests.analysis.studies import paper_study
from tests.command import answer
from tests.docs.json_page import known
from tests.mtl.data.publisher import publisher

SERVES = {"ui"}  # shows nothing by itself: a server until Ctrl-C
WITHOUT_EXAMPLE = {"data download"}
SCRIPT = """
import argparse, json
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()
print(json.dumps({"accuracy": 1 - options.lr + 0.01 * options.seed}))
"""
SWEEP = ["--script", "train.py", "--metric", "accuracy:max", "--workers", "1", "--launcher", "inline"]
MODULE = """
import ablate

class Config(ablate.Config):
    lr: float = ablate.setting(0.1, gt=0, help="learning rate")

def train(config, run):
    return ablate.Scores(accuracy=1 - config.lr)

subject = ablate.Subject("mine", Config, train)
"""


def commands() -> Iterator[tuple[str, Any]]:
    """Each command by its words."""
    yield from _below(typer.main.get_command(app), ())


def _below(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield " ".join(words), command
        return
    for name in command.list_commands(None):
        yield from _below(command.get_command(None, name), (*words, name))


COMMANDS = dict(commands())


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, tiny_data: Path, trained_store: Store
) -> Iterator[dict[str, str]]:
    """A folder with what the examples name, and a store with a study of fabricated runs."""
    folder = tmp_path_factory.mktemp("json")
    (folder / "train.py").write_text(SCRIPT)
    (folder / "mine.py").write_text(MODULE)
    (folder / "results.csv").write_text("lr,seed,accuracy\n0.1,0,0.8\n0.1,1,0.9\n0.2,0,0.7\n0.2,1,0.6\n")
    (folder / "labels").mkdir()
    soundfile.write(folder / "labels" / "a.wav", np.zeros(16000), 16000)
    soundfile.write(folder / "labels" / "b.wav", np.zeros(16000), 16000)
    for name in "ab":
        (folder / "labels" / f"{name}.txt").write_text("0.1\t0.5\tcar\n")
    data = folder / "data"
    shutil.copytree(tiny_data, data)
    paper_study(Store(folder / "store"), seeds=3, systems=("mtl", "grl_s1"))
    trained = shutil.copytree(trained_store.root, folder / "trained")
    with pytest.MonkeyPatch.context() as patch, publisher() as publishes:
        patch.chdir(folder)
        patch.setenv("no_proxy", "*")
        patch.setitem(CORPORA, "tut", lambda: publishes.corpus)
        yield {"data": str(data), "store": str(folder / "store"), "trained": str(trained)}


# The words after the command. {data} is a data set, {trained} a store with a network.
EXAMPLES: dict[str, Sequence[Sequence[str]]] = {
    "factors": [[]],
    "grid": [["s", *SWEEP, "--levels", "lr=0.1,0.2", "--dry-run"], ["s", *SWEEP, "--levels", "lr=0.1,0.2"]],
    "search": [
        ["f", *SWEEP, "--range", "lr=0.1:1", "--on-evaluation", "--maximize", "accuracy", *more]
        for more in (["--dry-run"], ["--trials", "2", "--confirm", "1", "--confirm-seeds", "2"])
    ],
    "study": [[], ["--init", "new"], ["paper", "--data", "{data}", "--dry-run", "--workers", "1"]],
    "decide": [["paper", "--data", "{data}", "--dry-run", "--workers", "1"]],
    "noise": [["paper"], [*SWEEP, "--seeds", "2"]],
    "subject": [["--init", "start.py"], ["--check", "mine.py"]],
    "status": [["paper"]],
    "watch": [["s", "--once"], ["s"]],
    "failures": [["s"]],
    "cancel": [["paper"]],
    "runs": [["paper"]],
    "show": [["mtl seed=0", "paper"], ["baseline seed=0", "s", "--log"]],
    "reproduce": [["baseline seed=0", "s"]],
    "diff": [["mtl seed=0", "grl_s1 seed=0", "--study", "paper"]],
    "compare": [["paper"], ["paper", "--layout", "table3"]],
    "claims": [["paper"]],
    "effects": [["paper"]],
    "report": [["paper", "--no-mlflow", "-o", "r.html", "--figures", "figures"]],
    "bundle": [["s", "s.zip"], ["--check", "s.zip"]],
    "sync": [["s"]],
    "doctor": [["paper"]],
    "gc": [["--dry-run"]],
    "import": [["results.csv", "--factors", "lr", "--metric", "accuracy:max", "--no-mlflow"]],
    "rescore": [["--metrics", "event_map", "--workers", "1", "--store", "{trained}"]],
    "predict": [["baseline seed=0", "labels/a.wav", "--store", "{trained}"]],
    "export": [["baseline seed=0", "exported", "--store", "{trained}"]],
    "data generate": [["made", "--minutes", "1", "--eval-minutes", "1", "--workers", "1"]],
    "data download": [["tut", "downloaded"]],
    "data prepare": [["{data}", "--workers", "1"]],
    "data check": [["{data}", "--workers", "1"]],
    "data stats": [["{data}"]],
    "data import": [["audacity", "labels", "imported", "--evaluation", "0.5"]],
    "data export": [["tsv", "{data}", "written"]],
}
# Refused by each, as nothing is of this name.
BAD: dict[str, Sequence[str]] = {
    "factors": ["--plugin", "none.py"],
    "grid": ["--levels", "none=1"],
    "search": ["--range", "none=1:2", "--maximize", "none"],
    "study": ["none"],
    "decide": ["none"],
    "noise": ["none"],
    "subject": [],
    "show": ["none"],
    "reproduce": ["none"],
    "bundle": ["none", "none.zip"],
    "diff": ["none", "none"],
    "gc": ["--study", "none"],
    "import": ["results.csv"],
    "predict": ["none", "none.wav"],
    "export": ["none", "none"],
    "data generate": ["made", "--minutes", "-1"],
    "data download": ["none"],
    "data prepare": ["none"],
    "data check": ["none"],
    "data stats": ["none"],
    "data import": ["audacity", "none", "imported"],
    "data export": ["tsv", "none", "written"],
}


def test_every_command_that_shows_something_has_a_document() -> None:
    without = {
        name
        for name, command in COMMANDS.items()
        if not any("--format" in parameter.opts for parameter in command.params)
    }
    assert without == SERVES
    assert set(EXAMPLES) | SERVES == set(COMMANDS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_standard_output_is_one_document_of_a_known_schema(name: str, place: dict[str, str]) -> None:
    for example in EXAMPLES[name]:
        words = [word.format(**place) for word in example]
        output, _ = answer(*name.split(), *words, "--format", "json", store=Path(place["store"]))
        document = json.loads(output, parse_constant=_no_number)
        kind = known()[document["schema"]]
        TypeAdapter(kind).validate_python(document, strict=False)
        assert set(document) <= set(kind.__annotations__), f"{name} {words}: fields that no class has"
        assert f"`ablate {name}" in " ".join(str(kind.__doc__).split())


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in SERVES])
def test_bad_input_leaves_standard_output_empty(name: str, place: dict[str, str]) -> None:
    words = BAD.get(name, ["none"])
    output, errors = answer(*name.split(), *words, "--format", "json", store=Path(place["store"]), code=2)
    assert output == ""
    assert errors.strip()


def _no_number(text: str) -> None:
    raise AssertionError(f"{text} is no JSON")
