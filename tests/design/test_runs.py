"""A run's identity: all that decides its result, and nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest

from ablate.design.runs import Dataset, Run
from ablate.mtl.config import FIELDS, RunConfig

DATA = Dataset("tiny", "d" * 64, Path("somewhere"))
RUN = Run(RunConfig(), DATA, "baseline", {})

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
    "kernels": "plain",
    "precision": "bfloat16",
    "seed": 1,
}


def test_the_run_id_of_the_defaults_is_stable() -> None:
    """Changing a default or the schema changes every id, and makes every user's finished runs new."""
    assert RUN.run_id == "d41448f94fc8833b"


def test_the_table_of_other_values_covers_every_field() -> None:
    assert OTHER.keys() == FIELDS.keys()


@pytest.mark.parametrize("field", OTHER)
def test_every_field_is_part_of_the_identity(field: str) -> None:
    other = replace(RUN, config=RUN.config.override({field: OTHER[field]}))
    assert other.run_id != RUN.run_id
    assert (other.condition_id == RUN.condition_id) == (field == "seed")


def test_the_data_are_part_of_the_identity_but_not_where_they_lie() -> None:
    assert replace(RUN, dataset=replace(DATA, digest="e" * 64)).run_id != RUN.run_id
    assert replace(RUN, dataset=replace(DATA, path=Path("elsewhere"), name="renamed")).run_id == RUN.run_id


def test_the_name_is_not_part_of_the_identity() -> None:
    assert replace(RUN, name="mtl", condition={"a": 1}).run_id == RUN.run_id


def test_numbers_that_are_equal_are_one_identity() -> None:
    spellings = [1, 1.0, "1", "1e0"]
    runs = [replace(RUN, config=RUN.config.override({"grl.strength": text})) for text in spellings]
    assert len({run.run_id for run in runs}) == 1
    zeros = [replace(RUN, config=RUN.config.override({"grl.strength": text})) for text in ["0", "-0.0"]]
    assert zeros[0].run_id == zeros[1].run_id
