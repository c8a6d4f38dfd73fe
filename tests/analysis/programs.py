"""A study of a program that is not there any more: all that is known of it is in the study's record."""

from collections.abc import Mapping, Sequence
from typing import Any

from ablate.design.claims import StudyDetails
from ablate.design.runs import Run, SubjectRef
from ablate.record.rundir import State
from ablate.record.store import Store
from ablate.subject.files import NOWHERE
from ablate.subject.interface import NO_DATA, Card, Dataset
from ablate.subject.metrics import Metric
from ablate.subject.scores import Matrix, Table
from ablate.subject.settings import Settings
from tests.no_scores import NO_SCORES

DEFAULT = {"lr": 0.1, "dropout": 0.0, "seed": 0}
PROGRAM = Card(
    "train",
    "0123456789abcdef",
    {"kind": "script", "script": "python gone.py --lr={lr} --dropout={dropout} --seed={seed}"},
    (Metric("loss", "min"), Metric("accuracy")),
    {"lr": "", "dropout": "", "seed": "the replicate"},
    {"lr": "lr", "dropout": "dropout", "seed": "seed"},
    default=DEFAULT,
)
NO_DATASET = Dataset("none", NO_DATA, NOWHERE)


def program_run(name: str, seed: int, levels: Mapping[str, Any]) -> Run:
    settings = Settings({**DEFAULT, **levels, "seed": seed})
    return Run(settings, NO_DATASET, name, dict(levels), SubjectRef(PROGRAM.name, PROGRAM.version), ())


def add_condition(
    store: Store,
    name: str,
    levels: Mapping[str, Any],
    scores: Sequence[Mapping[str, float | None] | State],
    *,
    unread: Sequence[str] = (),
    matrices: Mapping[str, Matrix] | None = None,
    tables: Mapping[str, Table] | None = None,
    details: StudyDetails | None = None,
    card: Card = PROGRAM,
) -> list[Run]:
    """A condition of the study "s": the scores of each seed, or the state of one that has none."""
    store.require_writable()
    runs = [program_run(name, seed, levels) for seed in range(len(scores))]
    for run, found in zip(runs, scores, strict=True):
        folder = store.folder(run.run_id)
        folder.create(run)
        if found is State.PENDING:
            continue
        folder.begin()
        folder.log_file.write_text(f"{name}, seed {run.seed}\n", encoding="utf-8")
        folder.write_history([{"epoch": epoch, "loss": 1 / epoch, "seconds": 1.0} for epoch in (1, 2, 3)])
        if isinstance(found, State):
            folder.end(found, "exit code 1")
            continue
        result = {
            "metrics": dict(found),
            "unread": list(unread),
            "matrices": {key: matrix.to_json() for key, matrix in (matrices or {}).items()},
            "tables": {key: table.to_json() for key, table in (tables or {}).items()},
        }
        folder.write_result({**NO_SCORES, **result})
        folder.end(State.FINISHED)
    store.add_to_study("s", runs, "ablate grid s", card=card, base=Settings(DEFAULT), details=details)
    return runs


def losses(*values: float) -> list[dict[str, float | None]]:
    """Of each seed its loss; the accuracy goes the other way."""
    return [{"loss": value, "accuracy": 1 - value / 10} for value in values]
