"""Clips held out of the training: whole recordings of each scene, never trained on, scored in their place."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from ablate.ground.errors import ConfigError, DataError
from ablate.mtl.config import RunConfig, Validation
from ablate.mtl.data.prepared import Prepared
from ablate.mtl.scoring import score
from ablate.mtl.training.checkpoint import Row
from ablate.mtl.training.evaluate import evaluate, evaluate_run
from ablate.mtl.training.held_out import held_out, held_out_fold, trained_on
from ablate.mtl.training.loop import train
from tests.mtl.training.tiny import CPU, weights

# Eleven clips of three scenes in turn: scenes 0 and 1 have four of them, scene 2 has three.
SHARE = {"validation.share": 0.25}


def recorded(data: Prepared, recordings: list[int]) -> Prepared:
    """The data with these recordings of the eleven clips."""
    names = tuple(f"{number}.wav" for number in range(max(recordings) + 1))
    split = replace(data.development, recordings=np.array(recordings, np.int32), recording_names=names)
    return replace(data, development=split)


def trained(config: RunConfig, data: Prepared, values: dict[str, Any]) -> tuple[torch.nn.Module, list[Row]]:
    rows: list[Row] = []
    return train(config.override(values), data, device=CPU, on_epoch=rows.append), rows


def test_a_share_of_each_scene_is_held_out(data: Prepared) -> None:
    places = held_out(data, 0.25)
    assert sorted(data.development.scenes[places]) == [0, 1, 2]
    places = held_out(data, 0.5)
    assert sorted(data.development.scenes[places]) == [0, 0, 1, 1, 2, 2]


def test_every_clip_is_either_trained_on_or_held_out(data: Prepared) -> None:
    together = np.concatenate([held_out(data, 0.25), trained_on(data, Validation(share=0.25))])
    assert sorted(together) == list(range(11))
    assert trained_on(data, Validation(share=0.0)).tolist() == list(range(11))


def test_clips_of_one_recording_stay_together(data: Prepared) -> None:
    """Scene 0 has the clips 0, 3, 6, 9: here of two recordings, so that half of it is held out."""
    recordings = [0, 2, 4, 0, 2, 4, 1, 3, 5, 1, 3]
    found = recorded(data, recordings)
    for share in (0.1, 0.25, 0.5):
        places = set(held_out(found, share).tolist())
        assert len(places & {0, 3, 6, 9}) == 2
        for recording in range(6):
            clips = {clip for clip in range(11) if recordings[clip] == recording}
            assert not places & clips or clips <= places


def test_a_scene_of_one_recording_is_trained_on_whole(data: Prepared) -> None:
    found = recorded(data, [0, 1, 2, 0, 3, 4, 0, 1, 2, 0, 3])  # scene 0 is recording 0
    assert not set(held_out(found, 0.5).tolist()) & {0, 3, 6, 9}


def test_data_of_one_recording_a_scene_are_refused(data: Prepared) -> None:
    found = recorded(data, [0, 1, 2] * 3 + [0, 1])
    with pytest.raises(DataError, match=r"validation.share = 0.2: no scene of .* has two recordings"):
        held_out(found, 0.2)


def test_which_clips_does_not_depend_on_their_order_in_the_data(data: Prepared) -> None:
    """The names of the recordings decide, so that the same are held out when others are added."""
    names = {data.development.recording_names[place] for place in held_out(data, 0.25)}
    order = np.arange(11)[::-1]
    split = data.development
    turned = replace(
        split,
        scenes=split.scenes[order],
        recording_names=tuple(split.recording_names[place] for place in order),
    )
    found = replace(data, development=turned)
    assert {turned.recording_names[place] for place in held_out(found, 0.25)} == names


def test_the_network_never_sees_what_is_held_out(config: RunConfig, data: Prepared) -> None:
    model, _ = trained(config, data, SHARE)
    features = data.development.features.copy()
    features[held_out(data, 0.25)] = 1e6
    spoilt = replace(data, development=replace(data.development, features=features))
    other, _ = trained(config, spoilt, SHARE)
    assert weights(model) == weights(other)


def test_nothing_held_out_is_the_training_as_it_was(config: RunConfig, data: Prepared) -> None:
    whole, rows = trained(config, data, {"validation.share": 0.0})
    assert weights(whole) == weights(train(config, data, device=CPU))
    assert "event_micro_f" not in rows[0]


def test_an_epoch_has_fewer_steps(config: RunConfig, data: Prepared) -> None:
    """Eight clips in batches of four are two steps; the losses are means over the eight."""
    values = {**SHARE, "optim.lr": 1e-12, "tasks": "scene", "optim.epochs": 1, "optim.batch_size": 8}
    _, (row,) = trained(config, data, values)
    kept = trained_on(data, Validation(share=0.25))
    model = train(config.override(values), data, device=CPU).train()
    output = model(torch.from_numpy(data.development.features[kept])).scene_logits
    expected = torch.nn.functional.cross_entropy(output, torch.from_numpy(data.development.scenes[kept]))
    assert row["loss_scene"] == pytest.approx(expected.item(), rel=1e-4)


def test_a_run_is_scored_on_them_and_so_is_each_epoch(config: RunConfig, data: Prepared) -> None:
    held = config.override(SHARE)
    model, rows = trained(config, data, SHARE)
    scores = score(held, data, model, CPU).metrics  # type: ignore[arg-type]
    places = held_out(data, 0.25)
    split = data.development
    chosen = replace(
        split,
        features=split.features[places],
        events=split.events[places],
        scenes=split.scenes[places],
        mask=split.mask[places],
    )
    alone = evaluate(model, chosen, threshold=0.5, device=CPU)  # type: ignore[arg-type]
    assert alone.scenes is not None
    right = int(alone.scenes.trace())
    assert scores["scene_micro_f"] == right / 3
    assert rows[-1]["scene_micro_f"] == scores["scene_micro_f"]
    assert rows[-1]["event_micro_f"] == scores["event_micro_f"]
    assert not any("/" in name for name in rows[-1])


def test_looking_at_them_each_epoch_changes_no_weight(config: RunConfig, data: Prepared) -> None:
    """The draws of the training are functions of seed and epoch, whatever is evaluated in between."""
    model, rows = trained(config, data, {**SHARE, "optim.epochs": 2})
    one, first = trained(config, data, {**SHARE, "optim.epochs": 1})
    assert [row["loss"] for row in first] == [rows[0]["loss"]]
    assert weights(one) != weights(model)


# -------------------------------------------------------------------------------------------------- folds


def test_the_folds_are_all_clips_once(data: Prepared) -> None:
    """Eleven recordings of a clip: of three scenes with 4, 4 and 3."""
    folds = [held_out_fold(data, 3, fold) for fold in (1, 2, 3)]
    assert sorted(np.concatenate(folds)) == list(range(11))
    assert sorted(map(len, folds)) == [3, 4, 4]
    for fold, places in enumerate(folds, start=1):
        kept = trained_on(data, Validation(folds=3, fold=fold))
        assert sorted([*places, *kept]) == list(range(11))


def test_clips_of_one_recording_are_in_one_fold(data: Prepared) -> None:
    recordings = [0, 2, 4, 0, 2, 4, 1, 3, 5, 1, 3]
    found = recorded(data, recordings)
    for fold in (1, 2):
        places = held_out_fold(found, 2, fold)
        assert {recordings[clip] for clip in places}.isdisjoint(
            recordings[clip] for clip in set(range(11)) - set(places.tolist())
        )


def test_data_without_scenes_have_folds_too(data: Prepared) -> None:
    alone = replace(data.development, scenes=np.zeros(11, np.int64))
    found = replace(data, scenes=(), development=alone)
    folds = [held_out_fold(found, 3, fold) for fold in (1, 2, 3)]
    assert sorted(np.concatenate(folds)) == list(range(11))
    assert sorted(map(len, folds)) == [3, 4, 4]


def test_a_fold_of_nothing_is_refused(data: Prepared) -> None:
    with pytest.raises(DataError, match=r"fold 12 of 12: .* has 11 development recordings"):
        held_out_fold(data, 12, 12)


def test_a_run_never_sees_its_fold_and_is_scored_on_it(config: RunConfig, data: Prepared) -> None:
    fold = {"validation.folds": 3, "validation.fold": 2}
    model, rows = trained(config, data, fold)
    places = held_out_fold(data, 3, 2)
    features = data.development.features.copy()
    features[places] = 1e6
    spoilt = replace(data, development=replace(data.development, features=features))
    other, _ = trained(config, spoilt, fold)
    assert weights(model) == weights(other)
    scored = evaluate_run(model, data, config.override(fold), CPU)  # type: ignore[arg-type]
    assert sorted(scored.recordings) == sorted(data.development.recording_names[place] for place in places)
    assert "event_micro_f" not in rows[0]  # each epoch's scores are for a search, which has no folds


def test_a_share_and_folds_exclude_each_other() -> None:
    with pytest.raises(
        ConfigError, match=r"validation.folds = 3 and validation.share = 0.2 both hold clips out"
    ):
        RunConfig().override({"validation.folds": 3, "validation.share": 0.2})
