"""Event classes left out: not in the network, not in its training, not in its scores."""

import numpy as np
import pytest

from ablate.ground.errors import DataError
from ablate.mtl.config import RunConfig
from ablate.mtl.data.prepared import Prepared
from ablate.mtl.training.classes import without_classes
from ablate.mtl.training.evaluate import evaluate
from ablate.mtl.training.loop import train
from tests.mtl.training.tiny import CPU


@pytest.fixture
def without(config: RunConfig) -> RunConfig:
    """Of the two events of the data, only the second stays."""
    return config.override({"labels.without": "event_0"})


def test_nothing_left_out_is_the_same_data(config: RunConfig, data: Prepared) -> None:
    assert without_classes(data, config) is data


def test_the_columns_of_both_splits_go_and_the_rest_stays(without: RunConfig, data: Prepared) -> None:
    fewer = without_classes(data, without)
    assert fewer.events == ("event 1",)
    for split in ("development", "evaluation"):
        ours, all_of_them = getattr(fewer, split), getattr(data, split)
        assert np.array_equal(ours.events, all_of_them.events[:, :, 1:])
        assert ours.features is all_of_them.features
        assert ours.scenes is all_of_them.scenes


def test_the_network_has_no_output_for_them_and_no_score_counts_them(
    without: RunConfig, data: Prepared
) -> None:
    model = train(without, data, device=CPU)
    assert model.event_head[-1].out_features == 1
    counts = evaluate(model, without_classes(data, without).evaluation, threshold=0.5, device=CPU).events
    active = (data.evaluation.events * data.evaluation.mask[..., None]).sum(axis=(0, 1), dtype=np.int64)
    assert (counts.true_positives + counts.false_negatives).tolist() == [active[1]]


def test_scoring_on_all_classes_by_mistake_is_an_error(without: RunConfig, data: Prepared) -> None:
    with pytest.raises(ValueError, match="n_events"):
        evaluate(train(without, data, device=CPU), data.evaluation, threshold=0.5, device=CPU)


def test_an_unknown_class_is_refused_when_training_starts(config: RunConfig, data: Prepared) -> None:
    with pytest.raises(DataError, match="no event class 'evnt_0'; did you mean 'event_0'"):
        train(config.override({"labels.without": "evnt_0"}), data, device=CPU)
