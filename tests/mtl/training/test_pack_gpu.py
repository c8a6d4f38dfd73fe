"""Packs on a GPU: recorded steps train as others do, and what cannot be recorded trains nevertheless.

Some operations of a GPU add in an order of their own, so two runs of the same kind already differ. A pack may
differ from a run alone as much as two runs alone do, with a margin: such differences grow from step to step,
so few steps are compared.
"""

import itertools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.mtl.config import RunConfig
from ablate.mtl.data.prepared import Prepared
from ablate.mtl.model.mtl import Mtl, Output
from ablate.mtl.training.checkpoint import Row
from ablate.mtl.training.graphs import CudaStreams, GraphEach, OneAtATime, OneGraph, OnStreams, Way, ways_of
from ablate.mtl.training.loop import Interrupted, Job, train
from ablate.mtl.training.pack import Outcome, train_pack
from tests.mtl.training.test_resume import StopAt
from tests.mtl.training.tiny import make_data

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

CUDA = torch.device("cuda", 0)
MARGIN = 10.0  # times the difference of two runs alone
ROUNDING = 1e-5  # where two runs alone happen to agree in every bit

CONDITIONS: list[dict[str, Any]] = [
    {},
    {"grl.position": "S1"},
    {"grl.position": "E2", "grl.strength": 0.5, "seed": 1},
    {"labels.shuffle": "both", "labels.redraw": "every_epoch"},
    {"tasks": "scene"},
    {"tasks": "event", "optim.epochs": 4},
]
WAYS: list[Callable[[], Way]] = [
    lambda: OneGraph(CudaStreams(CUDA)),
    lambda: GraphEach(CudaStreams(CUDA)),
    lambda: OnStreams(CudaStreams(CUDA)),
    OneAtATime,
]


@pytest.fixture
def configs(config: RunConfig) -> list[RunConfig]:
    """Five epochs of three steps: every kind of step is recorded, and repeated after that."""
    base = config.override({"optim.epochs": 5, "kernels": "plain"})
    return [base.override(condition) for condition in CONDITIONS]


@pytest.fixture(autouse=True)
def _deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions, at least; other operations have no such choice."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)


@pytest.fixture(autouse=True)
def _warnings_are_no_errors(recwarn: pytest.WarningsRecorder) -> None:
    """A failed recording makes torch warn, as it should."""


def distance(one: torch.nn.Module, other: torch.nn.Module) -> float:
    """The largest difference of a weight, relative to the largest weight of its tensor."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return max(
        float((a.double() - b.double()).abs().max() / b.double().abs().max().clamp(min=1e-6))
        for a, b in pairs
    )


def alone(config: RunConfig, data: Prepared) -> tuple[Mtl, list[Row]]:
    rows: list[Row] = []
    return train(config, data, device=CUDA, on_epoch=rows.append), rows


Alone = tuple[Mtl, list[Row]]
_trained_alone: dict[tuple[str, str], tuple[Alone, Alone]] = {}


def twice_alone(config: RunConfig, data: Prepared) -> tuple[Alone, Alone]:
    """Trained once for all tests: most of them compare with the same runs."""
    key = config.model_dump_json(), data.digest
    if key not in _trained_alone:
        _trained_alone[key] = alone(config, data), alone(config, data)
    return _trained_alone[key]


def assert_as_alone(config: RunConfig, outcome: Outcome, rows: list[Row] | None, data: Prepared) -> None:
    (one, one_rows), (other, _) = twice_alone(config, data)
    assert isinstance(outcome, Mtl), outcome
    assert distance(outcome, one) <= ROUNDING + MARGIN * distance(other, one)
    for row, expected in zip(rows or [], one_rows, strict=rows is not None):
        for name in ("loss", "loss_scene", "loss_event", "grl_cosine", "grl_ratio"):
            assert row[name] == (expected[name] and pytest.approx(expected[name], rel=1e-3))


@pytest.mark.parametrize("way", WAYS, ids=["one graph", "a graph each", "streams", "one at a time"])
def test_every_way_trains_as_a_run_alone(
    way: Callable[[], Way], configs: list[RunConfig], data: Prepared
) -> None:
    rows: list[list[Row]] = [[] for _ in configs]
    jobs = [Job(config, on_epoch=told.append) for config, told in zip(configs, rows, strict=True)]
    outcomes = dict(train_pack(jobs, data, device=CUDA, width=len(jobs), ways=[way()]))
    for job, told in zip(jobs, rows, strict=True):
        assert_as_alone(job.config, outcomes[job], told, data)


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_other_arithmetics_are_recorded_too(precision: str, configs: list[RunConfig], data: Prepared) -> None:
    jobs = [Job(config.override({"precision": precision})) for config in configs[:2]]
    for job, outcome in train_pack(jobs, data, device=CUDA, width=2, ways=[OneGraph(CudaStreams(CUDA))]):
        assert_as_alone(job.config, outcome, None, data)


def test_what_is_recorded_is_repeated(
    config: RunConfig, data: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run of 20 epochs of 3 steps: two kinds, two unrecorded steps of each, the rest from two graphs."""
    captures, repeats = [], itertools.count()
    capture = CudaStreams.capture

    def counted(self: CudaStreams, *arguments: Any) -> Callable[[], None]:
        replay = capture(self, *arguments)
        captures.append(replay)
        return lambda: (next(repeats), replay())[1]

    monkeypatch.setattr(CudaStreams, "capture", counted)
    config = config.override({"optim.epochs": 20})
    ((_, outcome),) = train_pack([Job(config)], data, device=CUDA, width=1)
    assert isinstance(outcome, Mtl)
    assert len(captures) == 2
    assert next(repeats) == 60 - 2 * 2


def test_a_network_that_waits_for_the_device_trains_without_graphs(
    configs: list[RunConfig],
    data: Prepared,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    forward = Mtl.forward

    def curious(self: Mtl, features: torch.Tensor) -> Output:
        assert features.sum().item() != 0
        return forward(self, features)

    monkeypatch.setattr(Mtl, "forward", curious)
    jobs = [Job(config) for config in configs[:3]]
    with caplog.at_level(logging.WARNING):
        outcomes = dict(train_pack(jobs, data, device=CUDA, width=3))
    assert [message.partition("going on with ")[2] for message in caplog.messages] == [
        GraphEach.name,
        OnStreams.name,
    ]
    for job in jobs:
        assert_as_alone(job.config, outcomes[job], None, data)
    # Nothing is left of the failed recordings: the next pack records.
    monkeypatch.setattr(Mtl, "forward", forward)
    caplog.clear()
    for job, outcome in train_pack(jobs, data, device=CUDA, width=3):
        assert_as_alone(job.config, outcome, None, data)
    assert caplog.messages == []


@pytest.fixture
def little_memory() -> Iterator[None]:
    """About what two of the runs below need at the same time, of four."""
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info(CUDA)
    if free < 4 * 2**30:
        pytest.skip("needs 4 GiB of free memory on the device")
    torch.cuda.set_per_process_memory_fraction(3.5 * 2**30 / total, CUDA)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0, CUDA)


@pytest.mark.usefixtures("little_memory")
def test_short_of_memory_all_runs_train_nevertheless(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every step takes 1.5 GiB more than the network needs; three at the same time do not fit."""
    forward = Mtl.forward

    def greedy(self: Mtl, features: torch.Tensor) -> Output:
        ballast = torch.zeros(3 * 2**27, device=features.device)
        output = forward(self, features)
        return Output(*(part if part is None else part + ballast[0] for part in output))

    monkeypatch.setattr(Mtl, "forward", greedy)
    data = make_data()
    jobs = [Job(config.override({"seed": seed, "optim.epochs": 5})) for seed in range(4)]
    with caplog.at_level(logging.WARNING):
        outcomes = dict(train_pack(jobs, data, device=CUDA, width=4))
    assert any("at the same time" in message for message in caplog.messages)
    for job in jobs:
        assert_as_alone(job.config, outcomes[job], None, data)


def test_an_interrupted_pack_resumes(configs: list[RunConfig], data: Prepared, tmp_path: Path) -> None:
    """From different steps of different epochs."""
    paths = [tmp_path / f"{k}.pt" for k in range(len(configs))]
    stopped = [
        Job(config, checkpoint=path, should_stop=StopAt(2 * k + 1))
        for k, (config, path) in enumerate(zip(configs, paths, strict=True))
    ]
    for _, outcome in train_pack(stopped, data, device=CUDA, width=len(stopped)):
        assert isinstance(outcome, Interrupted)
    resumed = [Job(config, checkpoint=path) for config, path in zip(configs, paths, strict=True)]
    for job, outcome in train_pack(resumed, data, device=CUDA, width=len(resumed)):
        assert_as_alone(job.config, outcome, None, data)


@pytest.mark.parametrize(("first", "then"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_run_moves_between_a_gpu_and_a_cpu(
    first: str, then: str, config: RunConfig, data: Prepared, tmp_path: Path
) -> None:
    """With nearly the same losses: the devices round differently."""
    path = tmp_path / "checkpoint.pt"
    rows: list[Row] = []
    with pytest.raises(Interrupted):
        train(
            config,
            data,
            device=torch.device(first),
            checkpoint=path,
            on_epoch=rows.append,
            should_stop=StopAt(4),
        )
    job = Job(config, checkpoint=path, on_epoch=rows.append)
    ((_, outcome),) = train_pack([job], data, device=torch.device(then), width=1)
    assert isinstance(outcome, Mtl)
    _, expected = alone(config, data)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["loss"] == pytest.approx(expected[-1]["loss"], rel=1e-2)


def test_a_pack_gives_its_memory_back(configs: list[RunConfig], data: Prepared) -> None:
    def train_and_forget() -> int:
        for _ in train_pack([Job(config) for config in configs], data, device=CUDA, width=6):
            pass
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated(CUDA)

    after_one = train_and_forget()  # libraries keep their workspaces
    assert train_and_forget() <= after_one + 2**20


def test_a_gpu_starts_with_one_graph() -> None:
    assert [type(way) for way in ways_of(CUDA)] == [OneGraph, GraphEach, OnStreams, OneAtATime]
