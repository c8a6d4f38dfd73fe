"""Commands of scripts as they are typed, what their programs print and write, and what trainings return."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ablate.subject.metrics import Metric, Metrics
from ablate.subject.printed import Curves, Printed, results_of, scores_of
from ablate.subject.returned import checked
from ablate.subject.scores import Matrix, Scores, Table
from ablate.subject.script import script_subject
from tests.fuzz.cases import case, fuzzed
from tests.fuzz.inputs import TEXTS, changed, json_values, mutated, scalars, texts

typed = st.sampled_from(
    (
        "train.py", "sh run.sh {lr}", "python -m train --lr {lr}", "python -u train.py {--fast}", "{", "}}",
        "{lr", "{{lr}}", "true && false", "'", "no-such-program", "./run.sh", "python", "A=1 b.py",
    )
) | mutated([b"python train.py --lr {lr} {--fast} --seed {seed} '{data}' {folds} {fold}"]).map(
    lambda content: content.decode(errors="replace")
)  # fmt: skip
names = st.sampled_from(("lr", "fast", "seed", "opt.lr", "opt", "data", "folds", "9", "a b", "Ä")) | texts
metrics_typed = st.sampled_from(
    (
        "accuracy",
        "loss:min",
        "f/*",
        "loss:min=loss ([0-9.]+)",
        "x=(a)(b)",
        "x=(",
        "y:max:select",
        "a:b:c",
        "=",
    )
) | st.sampled_from(TEXTS)


@fuzzed(quick=60)
@given(
    script=typed,
    metrics=st.lists(metrics_typed, max_size=3),
    levels=st.dictionaries(names, st.lists(scalars | st.just("true"), max_size=3), max_size=3),
    settings=st.dictionaries(names, scalars, max_size=2),
    shell=st.booleans(),
    uses=st.lists(st.sampled_from(("train.py", "none", ".", "")), max_size=2),
)
def test_commands_of_scripts(
    script: str,
    metrics: list[str],
    levels: dict[str, list[Any]],
    settings: dict[str, Any],
    shell: bool,
    uses: list[str],
    tmp_path: Path,
) -> None:
    (tmp_path / "train.py").write_text("print(1)")
    (tmp_path / "run.sh").write_text("true")
    with case("commands of scripts"):
        subject = script_subject(
            script,
            metrics=metrics,
            levels=levels,
            settings=settings,
            shell=shell,
            uses=list(map(Path, uses)),
            folder=tmp_path,
        )
        json.dumps(subject.spec, allow_nan=False).encode("utf-8")


PRINTED = (
    b'epoch 1/3 loss 0.5 acc 0.1\n{"epoch": 1, "loss": 0.5}\nEpoch: 2, loss=nan\n[step=300] loss 1e400\n'
    b'{"accuracy": 0.9, "loss": null, "confusion": {"rows": ["a"], "columns": ["a"], "counts": [[1]]}}\n'
)
RESULT = {
    "accuracy": 0.9,
    "f/car": None,
    "note": "x",
    "matrices": {"confusion": {"rows": ["a", "b"], "columns": ["a", "b"], "counts": [[1, 0], [0, 1]]}},
    "tables": {"by_class": {"columns": ["class", "f"], "rows": [["car", 0.5]]}},
    "facts": {"parameters": 12},
}
PATTERNS = {"loss": re.compile("loss ([^ ]*)"), "accuracy": re.compile("acc (.*)")}


def str_of(value: Any) -> bytes:
    try:
        return json.dumps(value).encode()
    except (ValueError, RecursionError):
        return b"{" * 2000


DECLARED = ([], [Metric("accuracy")], [Metric("loss"), Metric("f/*")])


@fuzzed(quick=60)
@given(
    printed=mutated([PRINTED]),
    written=st.none() | mutated([json.dumps(RESULT).encode()]) | changed(RESULT).map(str_of),
    declared=st.sampled_from(DECLARED),
    patterned=st.booleans(),
)
def test_what_programs_say(
    printed: bytes, written: bytes | None, declared: list[Metric], patterned: bool, tmp_path: Path
) -> None:
    result = tmp_path / "result.json"
    result.unlink(missing_ok=True)
    if written is not None:
        result.write_bytes(written)
    (tmp_path / "curves.jsonl").unlink(missing_ok=True)
    rows: list[dict[str, Any]] = []
    patterns = PATTERNS if patterned else {}
    with (
        case("what programs say"),
        Curves(tmp_path / "curves.jsonl", rows.extend, rows.append, 0.0) as curves,
    ):
        said = Printed(patterns, curves)
        for number, line in enumerate(printed.decode(errors="replace").split("\n")):
            said.take(line, float(number))
        curves.end(finished=True)
        assert all(row["epoch"] >= 0 for row in rows)
        scores = checked(
            scores_of(results_of(result, said, "train.py"), said, declared, patterns), Metrics([])
        )
        as_recorded(scores)


def as_recorded(scores: Scores) -> None:
    """What a record keeps can be written."""
    parts = [scores.metrics, scores.facts]
    parts += [
        {name: part.to_json() for name, part in each.items()} for each in (scores.matrices, scores.tables)
    ]
    json.dumps(parts, allow_nan=False).encode("utf-8")


labels = st.lists(texts | scalars, max_size=3)
matrices = st.builds(Matrix, labels, st.lists(st.lists(scalars, max_size=3), max_size=3), st.none() | labels)
table_parts = st.builds(
    Table, st.lists(texts, max_size=2), st.lists(st.lists(scalars, max_size=2), max_size=2)
)
arrays = st.sampled_from([np.float32(0.5), np.array([1.0]), np.array([1.0, 2.0]), np.int64(3), np.array("x")])
returned = st.one_of(
    json_values,
    st.dictionaries(
        texts | st.just("accuracy") | st.integers(), scalars | arrays | matrices | table_parts, max_size=4
    ),
)


@fuzzed(quick=100)
@given(result=returned, declared=st.sampled_from(DECLARED))
def test_what_trainings_return(result: Any, declared: list[Metric]) -> None:
    with case("what trainings return"):
        as_recorded(checked(result, Metrics(declared)))
