"""Runs trained together: each ends as it would have ended alone, whatever happens to the others."""

import logging
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.ground.errors import ConfigError, DataError, NotConverged
from ablate.mtl.config import RunConfig
from ablate.mtl.data.prepared import Prepared
from ablate.mtl.model.mtl import Mtl, Output
from ablate.mtl.training.checkpoint import Row
from ablate.mtl.training.graphs import GraphEach, OneAtATime, OneGraph, OnStreams, Way, ways_of
from ablate.mtl.training.loop import Interrupted, Job, train
from ablate.mtl.training.pack import Outcome, train_pack
from ablate.mtl.training.step import make_optimiser, training_step
from tests.mtl.training.recording import RecordingStreams, make_radam_capturable
from tests.mtl.training.test_resume import StopAt, timeless
from tests.mtl.training.tiny import CPU, N_EVENTS, N_SCENES, weights

# What differs between the runs of a study; the last two take other steps than the rest.
CONDITIONS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "S1": {"grl.position": "S1"},
    "E2": {"grl.position": "E2", "grl.strength": 0.5},
    "redrawn fakes": {"labels.shuffle": "both", "labels.redraw": "every_epoch"},
    "fake scenes": {"labels.shuffle": "scene", "seed": 1},
    "a class less": {"labels.without": "event_1"},
    "one task": {"tasks": "scene"},
    "longer": {"optim.epochs": 5, "optim.batch_size": 5},
}


@pytest.fixture
def configs(config: RunConfig) -> list[RunConfig]:
    return [config.override(values) for values in CONDITIONS.values()]


class Told:
    """A job, and the rows that it reported."""

    def __init__(self, config: RunConfig, **settings: Any) -> None:
        self.rows: list[Row] = []
        self.job = Job(config, on_epoch=self.rows.append, **settings)


def pack(
    told: list[Told], data: Prepared, *, width: int = 32, ways: list[Way] | None = None
) -> list[Outcome]:
    """What became of each, in their order."""
    outcomes = dict(train_pack([each.job for each in told], data, device=CPU, width=width, ways=ways))
    return [outcomes[each.job] for each in told]


def assert_as_alone(told: list[Told], outcomes: list[Outcome], data: Prepared) -> None:
    for each, outcome in zip(told, outcomes, strict=True):
        rows: list[Row] = []
        alone = train(each.job.config, data, device=CPU, on_epoch=rows.append)
        assert isinstance(outcome, Mtl), outcome
        assert weights(outcome) == weights(alone), each.job.config
        assert timeless(each.rows) == timeless(rows)


@pytest.mark.parametrize("width", [1, 3])
def test_every_run_ends_as_it_does_alone(width: int, configs: list[RunConfig], data: Prepared) -> None:
    told = [Told(config) for config in configs]
    assert_as_alone(told, pack(told, data, width=width), data)


def test_a_run_takes_the_place_of_one_that_ended(config: RunConfig, data: Prepared) -> None:
    """Two at a time, of 1, 3, 1 and 1 epochs: beside the second, the others train in turn."""
    lengths = [1, 3, 1, 1]
    epochs: list[tuple[int, int]] = []  # (job, epoch)
    jobs = [
        Job(
            config.override({"optim.epochs": length}),
            on_epoch=lambda row, name=name: epochs.append((name, int(row["epoch"]))),
        )
        for name, length in enumerate(lengths)
    ]
    ended = [jobs.index(job) for job, _ in train_pack(jobs, data, device=CPU, width=2)]
    assert epochs == [(0, 1), (1, 1), (1, 2), (2, 1), (1, 3), (3, 1)]
    assert ended == [0, 2, 1, 3]


# --- interruption ------------------------------------------------------------------------------------------


def test_runs_stopped_in_different_steps_resume_together(
    configs: list[RunConfig], data: Prepared, tmp_path: Path
) -> None:
    """Of nine steps and more, job k takes k, and says so; then all go on from where they are."""
    paths = [tmp_path / f"{k}.pt" for k in range(len(configs))]
    stopped = [
        Told(config, checkpoint=path, should_stop=StopAt(k))
        for k, (config, path) in enumerate(zip(configs, paths, strict=True))
    ]
    assert all(isinstance(outcome, Interrupted) for outcome in pack(stopped, data))
    assert [len(each.rows) for each in stopped] == [0, 0, 0, 1, 1, 1, 2, 2]
    resumed = [Told(config, checkpoint=path) for config, path in zip(configs, paths, strict=True)]
    outcomes = pack(resumed, data)
    for before, after in zip(stopped, resumed, strict=True):
        after.rows[:0] = before.rows
    assert_as_alone(resumed, outcomes, data)


def test_a_checkpoint_of_the_last_step_is_enough(config: RunConfig, data: Prepared, tmp_path: Path) -> None:
    """A run that has nothing left to train ends at once."""
    path = tmp_path / "checkpoint.pt"
    longer = config.override({"optim.epochs": 4})
    train_to_step = Told(longer, checkpoint=path, should_stop=StopAt(9))
    assert isinstance(pack([train_to_step], data)[0], Interrupted)
    state = torch.load(path, weights_only=True)
    state["identity"]["config"] = config.model_dump()
    torch.save(state, path)
    told = Told(config, checkpoint=path)
    (model,) = pack([told], data)
    assert weights(model) == weights(train(config, data, device=CPU))
    assert told.rows == []


def test_an_optimisers_state_moves_between_a_cpu_and_a_gpu(config: RunConfig) -> None:
    """Only ``step`` lies elsewhere; ``test_radam`` says where."""
    model = Mtl(config, N_SCENES, N_EVENTS)
    optimiser = make_optimiser(model, config, CPU)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    for device in (torch.device("cuda"), CPU):
        other = make_optimiser(model, config, device)
        other.load_state_dict(optimiser.state_dict())
        for parameter in model.parameters():
            mine, its = optimiser.state[parameter], other.state[parameter]
            assert its["step"].item() == 1.0
            assert its["step"].dtype == torch.float32
            assert torch.equal(mine["exp_avg_sq"], its["exp_avg_sq"])


# --- failures ----------------------------------------------------------------------------------------------


def test_a_run_that_fails_leaves_and_the_others_go_on(
    config: RunConfig, data: Prepared, tmp_path: Path
) -> None:
    def refuse(_row: Row) -> None:
        raise OSError("No space left on device")

    broken = [
        Job(config.override({"loss.alpha": 3e38})),
        Job(config, on_epoch=refuse),
        Job(config.override({"labels.without": "fann"})),
        Job(config.override({"precision": "tf32"})),
        Job(config, should_stop=StopAt(4), checkpoint=tmp_path / "checkpoint.pt"),
    ]
    causes = [NotConverged, OSError, DataError, ConfigError, Interrupted]
    told = [Told(config), Told(config.override({"seed": 1}))]
    jobs = [told[0].job, *broken, told[1].job]
    outcomes = dict(train_pack(jobs, data, device=CPU, width=7))
    assert len(outcomes) == 7
    for job, cause in zip(broken, causes, strict=True):
        assert type(outcomes[job]) is cause, outcomes[job]
    assert_as_alone(told, [outcomes[each.job] for each in told], data)


def test_a_network_that_raises_keeps_its_traceback_and_leaves(
    config: RunConfig, data: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Mtl.forward

    def fail_at_two_clips(self: Mtl, features: torch.Tensor) -> Output:
        if len(features) == 2:
            raise ValueError("two clips are not enough")
        return forward(self, features)

    monkeypatch.setattr(Mtl, "forward", fail_at_two_clips)
    told = Told(config)
    (failed, model) = pack([Told(config.override({"optim.batch_size": 9})), told], data)
    assert isinstance(failed, ValueError)
    assert failed.__traceback__ is not None
    assert_as_alone([told], [model], data)


def test_a_pack_has_at_least_one_run(config: RunConfig, data: Prepared) -> None:
    with pytest.raises(ValueError, match="a pack of 0 runs trains nothing"):
        pack([Told(config)], data, width=0)


def test_data_without_clips_are_every_runs_failure(config: RunConfig, data: Prepared) -> None:
    split = data.development
    arrays = (split.features, split.events, split.scenes, split.mask, split.recordings)
    empty = type(split)(*(array[:0] for array in arrays), recording_names=(), annotated=())
    nothing = type(data)(**{**vars(data), "development": empty})
    outcomes = pack([Told(config), Told(config)], nothing)
    assert [str(outcome) for outcome in outcomes] == ["tiny has no development clips to train on"] * 2


# --- recorded steps ----------------------------------------------------------------------------------------


@pytest.fixture
def recordable(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    """Four epochs of three steps, of torch's own layers, since only torch's operations are recorded."""
    make_radam_capturable(monkeypatch)
    return config.override({"kernels": "plain", "optim.epochs": 4})


@pytest.fixture
def scene_runs(recordable: RunConfig) -> list[Told]:
    """Four quick ones."""
    base = recordable.override({"tasks": "scene"})
    return [Told(base.override({"seed": seed, "labels.shuffle": "scene"})) for seed in range(4)]


@pytest.mark.parametrize(
    ("way", "captures", "repeats"),
    [
        # Two kinds of step: two of four clips in an epoch, which are recorded at the third time and of which
        # 8 - 2 are repeated; and the last of three clips, recorded in the third epoch, of which 4 - 2 are.
        (OneGraph, [3, 3], 8),
        (GraphEach, [1] * 6, 3 * 8),
        (OnStreams, [], 0),
    ],
)
def test_recorded_steps_compute_the_same(
    way: Callable[[RecordingStreams], Way],
    captures: list[int],
    repeats: int,
    recordable: RunConfig,
    data: Prepared,
) -> None:
    """A repetition runs no Python: so no number of a step is Python's, and no tensor moves."""
    streams = RecordingStreams()
    only_scenes = {"tasks": "scene"}  # where there is no GRU, which takes long to record
    conditions = [CONDITIONS["E2"]] + [
        CONDITIONS[name] | only_scenes for name in ("redrawn fakes", "baseline")
    ]
    told = [Told(recordable.override(condition)) for condition in conditions]
    outcomes = pack(told, data, ways=[way(streams)])
    assert streams.captures == captures
    assert streams.repeats == repeats
    assert_as_alone(told, outcomes, data)


def test_runs_that_come_and_go_are_recorded_anew(
    scene_runs: list[Told], data: Prepared, tmp_path: Path
) -> None:
    """One was stopped in the middle of an epoch and is resumed, one stops in the middle of another."""
    first, second, third, _ = (told.job.config.override({"optim.epochs": 8}) for told in scene_runs)
    path = tmp_path / "checkpoint.pt"
    stopped = Told(first, checkpoint=path, should_stop=StopAt(4))
    pack([stopped], data)
    resumed, leaves, stays = Told(first, checkpoint=path), Told(second, should_stop=StopAt(11)), Told(third)
    streams = RecordingStreams()
    outcomes = pack([resumed, leaves, stays], data, ways=[OneGraph(streams)])
    assert isinstance(outcomes[1], Interrupted)
    assert streams.captures[0] == 3
    assert 2 in streams.captures
    resumed.rows[:0] = stopped.rows
    assert_as_alone([resumed, stays], [outcomes[0], outcomes[2]], data)


def test_what_repeats_at_the_same_time_shares_no_memory_and_no_stream(
    scene_runs: list[Told], data: Prepared
) -> None:
    streams = RecordingStreams()
    pack(scene_runs, data, ways=[GraphEach(streams)])
    assert len(set(streams.places)) == 4  # of 8 graphs: two of a run are never repeated at the same time
    assert len({id(pool) for pool, _ in streams.places}) == 4
    assert sorted({lane for _, lane in streams.places}) == [0, 1, 2, 3]


def test_a_network_that_waits_for_the_device_is_not_recorded(
    scene_runs: list[Told], data: Prepared, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    forward = Mtl.forward

    def curious(self: Mtl, features: torch.Tensor) -> Output:
        assert features.sum().item() != 0
        return forward(self, features)

    monkeypatch.setattr(Mtl, "forward", curious)
    streams = RecordingStreams()
    with caplog.at_level(logging.WARNING):
        outcomes = pack(scene_runs, data, ways=all_ways(streams))
    assert streams.captures == []
    refused = "RuntimeError: CUDA error: operation not permitted when stream is capturing; going on with"
    assert caplog.messages == [f"{refused} {GraphEach.name}", f"{refused} {OnStreams.name}"]
    assert_as_alone(scene_runs, outcomes, data)


def all_ways(streams: RecordingStreams) -> list[Way]:
    return [OneGraph(streams), GraphEach(streams), OnStreams(streams), OneAtATime()]


@pytest.fixture
def memory_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[RecordingStreams, int], None]:
    """Makes more steps than that at the same time run out of memory, after they have moved the weights."""

    def limit(streams: RecordingStreams, n_runs: int) -> None:
        def step(*arguments: Any) -> torch.Tensor:
            losses = training_step(*arguments)
            if streams.beside > n_runs:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate a lot")
            return losses

        monkeypatch.setattr("ablate.mtl.training.loop.training_step", step)

    return limit


def test_short_of_memory_half_as_many_step_at_the_same_time(
    scene_runs: list[Told],
    data: Prepared,
    memory_for: Callable[[RecordingStreams, int], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Four are too many, two are too many, one is not. What a failed step did is undone."""
    streams = RecordingStreams()
    memory_for(streams, 1)
    with caplog.at_level(logging.WARNING):
        outcomes = pack(scene_runs, data, ways=all_ways(streams))
    assert caplog.messages == [
        "OutOfMemoryError: CUDA out of memory. Tried to allocate a lot; "
        f"going on with {n_runs} of the runs at the same time"
        for n_runs in (2, 1)
    ]
    assert streams.captures == [1] * 8
    assert_as_alone(scene_runs, outcomes, data)


@pytest.mark.parametrize("when", ["recorded", "started"])
def test_memory_that_only_a_graph_lacks_is_no_failure_either(
    when: str, scene_runs: list[Told], data: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture = RecordingStreams.capture

    def fail() -> None:
        raise RuntimeError("CUDA error: out of memory")

    def refuse(self: RecordingStreams, works: Sequence[Callable[[], None]], *place: Any) -> Any:
        if len(works) <= 2:
            return capture(self, works, *place)
        return fail if when == "started" else fail()

    monkeypatch.setattr(RecordingStreams, "capture", refuse)
    streams = RecordingStreams()
    outcomes = pack(scene_runs, data, ways=all_ways(streams))
    assert set(streams.captures) == {2}
    assert_as_alone(scene_runs, outcomes, data)


def test_short_of_memory_for_any_stream_runs_train_one_at_a_time(
    scene_runs: list[Told], data: Prepared, memory_for: Callable[[RecordingStreams, int], None]
) -> None:
    streams = RecordingStreams()
    memory_for(streams, 0)
    outcomes = pack(scene_runs, data, ways=all_ways(streams))
    assert streams.captures == []
    assert_as_alone(scene_runs, outcomes, data)


def test_without_another_way_a_run_ends_with_what_stood_in_the_way(
    scene_runs: list[Told], data: Prepared, memory_for: Callable[[RecordingStreams, int], None]
) -> None:
    streams = RecordingStreams()
    memory_for(streams, 0)
    outcomes = pack(scene_runs, data, ways=[OneGraph(streams)])
    assert [type(outcome) for outcome in outcomes] == [torch.OutOfMemoryError] * 4


def test_a_failure_holds_no_memory_of_the_device(
    scene_runs: list[Told], data: Prepared, memory_for: Callable[[RecordingStreams, int], None]
) -> None:
    """The frames of a kept exception would hold the step's activations."""
    streams = RecordingStreams()
    memory_for(streams, 0)
    (outcome,) = pack(scene_runs[:1], data, ways=[OnStreams(streams)])
    assert isinstance(outcome, torch.OutOfMemoryError)
    frames = [frame for frame, _ in traceback.walk_tb(outcome.__traceback__)]
    assert [frame.f_code.co_name for frame in frames][-1] == "step"
    assert not any(isinstance(value, torch.Tensor) for frame in frames for value in frame.f_locals.values())


def test_a_cpu_trains_one_run_after_the_other() -> None:
    assert [type(way) for way in ways_of(CPU)] == [OneAtATime]
