"""Which runs share a device."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.design.runs import Run
from ablate.mtl.config import RunConfig
from ablate.mtl.definition import subject
from ablate.schedule.packs import plan_packs
from ablate.subject.interface import Dataset
from tests.fabricate import run_of


def run(seed: int = 0, data: str = "d", **settings: object) -> Run:
    values = {name.replace("__", "."): value for name, value in settings.items()}
    config = RunConfig().override(values | {"seed": seed})
    return run_of(config, Dataset("tiny", data, Path("data")), "a")


def sizes(runs: Sequence[Run], **options: int) -> list[int]:
    return [len(pack) for pack in plan_packs(runs, subject, **options)]


runs_of_all_kinds = st.lists(
    st.builds(
        run,
        seed=st.integers(0, 1000),
        data=st.sampled_from(["d", "e"]),
        tasks=st.sampled_from(["both", "scene"]),
        model__width=st.sampled_from([1.0, 0.5]),
        labels__shuffle=st.sampled_from(["none", "both"]),
    ),
    max_size=80,
)


@given(runs=runs_of_all_kinds, devices=st.integers(1, 5), max_size=st.integers(1, 12))
def test_every_run_is_in_one_pack_with_its_like_and_in_order(
    runs: list[Run], devices: int, max_size: int
) -> None:
    packs = plan_packs(runs, subject, devices=devices, max_size=max_size)
    place = {id(run): index for index, run in enumerate(runs)}
    places = [[place[id(run)] for run in pack] for pack in packs]
    assert sorted(index for its_places in places for index in its_places) == list(range(len(runs)))
    for pack, its_places in zip(packs, places, strict=True):
        assert 1 <= len(pack) <= max_size
        assert its_places == sorted(its_places)
        assert (
            len({(r.dataset.digest, r.config.get("tasks"), r.config.get("model.width")) for r in pack}) == 1
        )
    assert [first for first, *_ in places] == sorted(first for first, *_ in places)


@pytest.mark.parametrize(
    ("settings", "together"),
    [
        ({"grl__position": "S1", "grl__strength": 0.5}, True),
        ({"labels__shuffle": "both", "labels__redraw": "every_epoch"}, True),
        ({"labels__without": "fan"}, True),
        ({"loss__alpha": 1.0, "optim__lr": 0.1, "optim__epochs": 3}, True),
        ({"tasks": "scene"}, False),
        ({"model__width": 0.5}, False),
        ({"optim__batch_size": 16}, False),
        ({"precision": "bfloat16"}, False),
        ({"kernels": "plain"}, False),
        ({"data": "other"}, False),
    ],
)
def test_runs_share_a_pack_when_their_steps_cost_the_same(
    settings: dict[str, object], together: bool
) -> None:
    assert len(plan_packs([run(), run(**settings)], subject)) == (1 if together else 2)


def test_packs_are_as_few_as_possible_and_of_even_size() -> None:
    runs = [run(seed) for seed in range(33)]
    assert sizes(runs, max_size=32) == [16, 17]
    assert sizes(runs, max_size=16) == [11, 11, 11]
    assert sizes(runs[:3], max_size=1) == [1, 1, 1]
    assert sizes([], max_size=4) == []


def test_each_device_gets_its_share_of_few_runs() -> None:
    runs = [run(seed) for seed in range(10)]
    assert sizes(runs, devices=2) == [5, 5]
    assert sizes(runs, devices=4) == [2, 3, 2, 3]
    assert sizes(runs, devices=20) == [1] * 10


def test_the_first_pack_has_the_run_that_was_planned_first() -> None:
    runs = [run(0, tasks="scene"), run(0), run(1), run(1, tasks="scene"), run(2)]
    packs = plan_packs(runs, subject)
    assert [[(r.config.get("tasks"), r.seed) for r in pack] for pack in packs] == [
        [("scene", 0), ("scene", 1)],
        [("both", 0), ("both", 1), ("both", 2)],
    ]
