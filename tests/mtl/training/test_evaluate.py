"""Scoring: true labels, thresholds, padding; and the network as it was before."""

import numpy as np
import pytest
import torch
from torch import Tensor

from ablate.ground.errors import DataError
from ablate.mtl.config import RunConfig
from ablate.mtl.data.prepared import Prepared
from ablate.mtl.model.mtl import Mtl, Output
from ablate.mtl.training.evaluate import evaluate
from ablate.mtl.training.loop import train
from tests.mtl.training.tiny import CPU, N_EVENTS, N_SCENES


class Knowing(torch.nn.Module):
    """Says scene 2 for every clip, and each event with probability 0.6 in every frame."""

    def forward(self, features: Tensor) -> Output:
        n_clips, frames, _ = features.shape
        scenes = torch.tensor([0.0, 0.0, 1.0]).expand(n_clips, 3)
        return Output(scenes, torch.full((n_clips, frames, N_EVENTS), float(np.log(0.6 / 0.4))))


@pytest.mark.parametrize(("threshold", "detects"), [(0.5, True), (0.7, False)])
def test_an_event_is_detected_above_the_threshold(threshold: float, detects: bool, data: Prepared) -> None:
    counts = evaluate(Knowing(), data.evaluation, threshold=threshold, device=CPU).events
    valid = data.evaluation.mask[..., None]
    active = (data.evaluation.events * valid).sum(axis=(0, 1), dtype=np.int64)
    silent = ((1 - data.evaluation.events) * valid).sum(axis=(0, 1), dtype=np.int64)
    assert np.array_equal(counts.true_positives, active * detects)
    assert np.array_equal(counts.false_positives, silent * detects)
    assert np.array_equal(counts.false_negatives, active * (not detects))


def test_scenes_are_counted_by_true_row_and_predicted_column(data: Prepared) -> None:
    scenes = evaluate(Knowing(), data.evaluation, threshold=0.5, device=CPU).scenes
    assert scenes.tolist() == [[0, 0, 2], [0, 0, 2], [0, 0, 2]]


@pytest.mark.parametrize("batch_size", [1, 4, 6, 100])
def test_the_batch_size_changes_nothing(batch_size: int, data: Prepared) -> None:
    one = evaluate(Knowing(), data.evaluation, threshold=0.5, batch_size=batch_size, device=CPU)
    whole = evaluate(Knowing(), data.evaluation, threshold=0.5, device=CPU)
    assert np.array_equal(one.scenes, whole.scenes)
    assert np.array_equal(one.events.true_positives, whole.events.true_positives)


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(training: bool, config: RunConfig, data: Prepared) -> None:
    model = Mtl(config, N_SCENES, N_EVENTS).train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    evaluate(model, data.evaluation, threshold=0.5, device=CPU)
    assert model.training is training
    assert all(module.training is training for module in model.modules())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize(("tasks", "missing"), [("scene", "events"), ("event", "scenes")])
def test_a_branch_that_is_not_there_has_no_counts(
    tasks: str, missing: str, config: RunConfig, data: Prepared
) -> None:
    evaluation = evaluate(
        Mtl(config.override({"tasks": tasks}), N_SCENES, N_EVENTS),
        data.evaluation,
        threshold=0.5,
        device=CPU,
    )
    assert getattr(evaluation, missing) is None
    assert sum(part is None for part in vars(evaluation).values()) == 1


def test_a_network_trained_on_fakes_is_scored_on_true_labels(config: RunConfig, data: Prepared) -> None:
    model = train(config.override({"labels.shuffle": "both"}), data, device=CPU)
    evaluation = evaluate(model, data.evaluation, threshold=0.5, device=CPU)
    counts = evaluation.events
    active = (data.evaluation.events * data.evaluation.mask[..., None]).sum(axis=(0, 1), dtype=np.int64)
    assert np.array_equal(counts.true_positives + counts.false_negatives, active)
    assert evaluation.scenes.sum(axis=1).tolist() == [2, 2, 2]


def test_a_trained_network_knows_its_training_clips(config: RunConfig, data: Prepared) -> None:
    model = train(config.override({"optim.epochs": 40, "optim.lr": 0.01}), data, device=CPU)
    evaluation = evaluate(model, data.development, threshold=0.5, device=CPU)
    counts = evaluation.events
    hits = 2 * counts.true_positives.sum()
    assert hits / (hits + counts.false_positives.sum() + counts.false_negatives.sum()) > 0.6
    assert np.trace(evaluation.scenes) >= 9


def test_no_clips_to_evaluate_on_is_a_sentence(data: Prepared) -> None:
    split = data.evaluation
    arrays = (split.features, split.events, split.scenes, split.mask, split.recordings)
    empty = type(split)(*(array[:0] for array in arrays), recording_names=(), annotated=())
    with pytest.raises(DataError, match="no clips to evaluate on"):
        evaluate(Knowing(), empty, threshold=0.5, device=CPU)
