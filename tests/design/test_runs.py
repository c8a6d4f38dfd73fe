"""A run's identity: all that decides its result, and nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest

from ablate.design.runs import Run, SubjectRef, replicate, replicate_in_words
from ablate.mtl.config import RunConfig
from ablate.subject.interface import Dataset
from ablate.subject.settings import Settings, fields_of

DATA = Dataset("tiny", "d" * 64, Path("somewhere"))
RUN = Run(Settings(RunConfig().flat()), DATA, "baseline", {}, SubjectRef("mtl"))

OTHER = {
    "tasks": "scene",
    "grl.position": "S1",
    "grl.strength": 2,
    "labels.shuffle": "both",
    "labels.redraw": "every_epoch",
    "labels.without": "fan",
    "loss.alpha": 1,
    "loss.beta": 2,
    "loss.event_reduction": "sum",
    "model.width": 0.5,
    "optim.lr": 0.1,
    "optim.batch_size": 4,
    "optim.epochs": 1,
    "scoring.threshold": 0.4,
    "scoring.median": 0.5,
    "scoring.boxes": True,
    "validation.share": 0.2,
    "validation.folds": 4,
    "validation.fold": 2,
    "kernels": "plain",
    "precision": "bfloat16",
    "seed": 1,
}


def _with(field: str, value: object) -> Run:
    return replace(RUN, config=Settings(RunConfig().override({field: value}).flat()))


def test_the_run_id_of_the_defaults_is_stable() -> None:
    """Changing a default or the schema changes every id, and makes every user's finished runs new."""
    assert RUN.run_id == "66efeeef2f0dc306"


def test_the_table_of_other_values_covers_every_field() -> None:
    assert OTHER.keys() == fields_of(RunConfig).keys()


@pytest.mark.parametrize("field", OTHER)
def test_every_field_is_part_of_the_identity(field: str) -> None:
    other = _with(field, OTHER[field])
    assert other.run_id != RUN.run_id
    assert (other.condition_id == RUN.condition_id) == (field == "seed")


def test_the_data_are_part_of_the_identity_but_not_where_they_lie() -> None:
    assert replace(RUN, dataset=replace(DATA, digest="e" * 64)).run_id != RUN.run_id
    assert replace(RUN, dataset=replace(DATA, path=Path("elsewhere"), name="renamed")).run_id == RUN.run_id


def test_the_subject_and_its_code_are_part_of_the_identity() -> None:
    others = [SubjectRef("other"), SubjectRef("mtl", "0123456789abcdef")]
    assert len({RUN.run_id, *(replace(RUN, subject=other).run_id for other in others)}) == 3


def test_runs_that_differ_in_their_scoring_alone_share_a_training() -> None:
    first, second = (
        replace(_with("scoring.threshold", threshold), scoring=("scoring.threshold",))
        for threshold in (0.4, 0.5)
    )
    assert first.run_id != second.run_id
    assert first.training_id == second.training_id
    assert replace(first, scoring=()).training_id == first.run_id


def test_the_name_is_not_part_of_the_identity() -> None:
    assert replace(RUN, name="mtl", condition={"a": 1}).run_id == RUN.run_id


def test_numbers_that_are_equal_are_one_identity() -> None:
    spellings = [1, 1.0, "1", "1e0"]
    runs = [_with("grl.strength", text) for text in spellings]
    assert len({run.run_id for run in runs}) == 1
    zeros = [_with("grl.strength", text) for text in ["0", "-0.0"]]
    assert zeros[0].run_id == zeros[1].run_id


def test_a_replicate_has_a_fold_where_there_are_folds() -> None:
    assert (replicate(3, None), replicate(3, 2)) == ("seed=3", "seed=3 fold=2")
    assert (replicate_in_words(3, None), replicate_in_words(3, 2)) == ("seed 3", "seed 3, fold 2")


def test_nothing_is_left_out_or_measured_of_a_run_unless_it_is_asked_for() -> None:
    another = RUN.with_seed(1)
    assert (another.lean, another.metered, another.folds) == (False, False, None)
