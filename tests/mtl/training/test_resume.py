"""Interrupted anywhere, a training resumes and ends with the same bits as if nothing had happened."""

import logging
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.mtl.config import RunConfig
from ablate.mtl.data.prepared import Prepared
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.training.checkpoint import Row, load_history, remove_checkpoints
from ablate.mtl.training.loop import Interrupted, train
from tests.mtl.training.tiny import CPU, make_data, weights

STEPS = 9  # three epochs of three

# What changes the state that must be saved: reversal readings, redrawn labels, one branch alone.
CONDITIONS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "reversal": {"grl.position": "S2", "grl.strength": 0.5},
    "redrawn fakes": {"labels.shuffle": "both", "labels.redraw": "every_epoch"},
    "plain layers": {"kernels": "plain", "tasks": "event"},
}


class StopAt:
    """Says stop before the given step of this process (0, 1, ...)."""

    def __init__(self, step: int) -> None:
        self.left = step

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def interrupted(config: RunConfig, data: Prepared, path: Path, step: int) -> list[Row]:
    rows: list[Row] = []
    with pytest.raises(Interrupted):
        train(config, data, device=CPU, checkpoint=path, on_epoch=rows.append, should_stop=StopAt(step))
    return rows


def finished(config: RunConfig, data: Prepared, path: Path | None = None) -> tuple[Mtl, list[Row]]:
    rows: list[Row] = []
    return train(config, data, device=CPU, checkpoint=path, on_epoch=rows.append), rows


def timeless(rows: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_stop_before_any_step_changes_no_bit(
    name: str, config: RunConfig, data: Prepared, tmp_path: Path
) -> None:
    config = config.override(CONDITIONS[name])
    expected, expected_rows = finished(config, data)
    for step in range(STEPS):
        path = tmp_path / f"{step}.pt"
        rows = interrupted(config, data, path, step)
        model, more = finished(config, data, path)
        assert weights(model) == weights(expected), step
        assert timeless(rows + more) == timeless(expected_rows), step


def test_many_stops_change_no_bit(config: RunConfig, data: Prepared, tmp_path: Path) -> None:
    path, rows, left = tmp_path / "checkpoint.pt", list[Row](), STEPS
    expected, expected_rows = finished(config, data)
    draw = random.Random(0)
    while (step := draw.randint(0, 3)) < left:
        rows += interrupted(config, data, path, step)
        left -= step
    model, more = finished(config, data, path)
    assert weights(model) == weights(expected)
    assert timeless(rows + more) == timeless(expected_rows)


def test_a_killed_process_changes_no_bit(config: RunConfig, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    config = config.override({"optim.epochs": 300})
    script = (
        "import sys, torch; torch.set_num_threads(1); from tests.mtl.training.test_resume import *; "
        "config = RunConfig.model_validate_json(sys.argv[1]); path = Path(sys.argv[2]); "
        "train(config, make_data(), device=CPU, checkpoint=path, checkpoint_every_s=0.0)"
    )
    arguments = [sys.executable, "-c", script, config.model_dump_json(), str(path)]
    process = subprocess.Popen(arguments, cwd=Path(__file__).parents[3])
    deadline = time.monotonic() + 60
    while len(load_history(path, config, make_data())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL

    epochs = len(load_history(path, config, make_data()))
    assert 2 <= epochs < 300
    # To finish quickly: forget the epochs that are left, in the saved identity too.
    short = config.override({"optim.epochs": epochs + 2})
    # Killed between two renames, only the one before it is there.
    newest = path if path.exists() else path.with_name("checkpoint.before.pt")
    state = torch.load(newest, weights_only=True)
    state["identity"]["config"] = short.model_dump()
    torch.save(state, path)
    assert weights(finished(short, make_data(), path)[0]) == weights(finished(short, make_data())[0])


def test_the_history_in_the_checkpoint_is_what_will_not_be_reported_again(
    config: RunConfig, data: Prepared, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.pt"
    assert load_history(path, config, data) == []
    rows = interrupted(config, data, path, step=7)  # in the third epoch
    assert load_history(path, config, data) == rows
    assert [row["epoch"] for row in rows] == [1, 2]
    assert [row["epoch"] for row in finished(config, data, path)[1]] == [3]


def test_checkpoints_are_written_as_often_as_asked(
    config: RunConfig, data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = []
    monkeypatch.setattr("ablate.mtl.training.checkpoint.save", lambda *_: saved.append(1))
    for seconds, expected in [(0.0, STEPS), (3600.0, 0)]:
        saved.clear()
        train(config, data, device=CPU, checkpoint=tmp_path / "c.pt", checkpoint_every_s=seconds)
        assert len(saved) == expected


def test_a_slow_disk_is_written_to_less_often(
    config: RunConfig, data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saving takes 2 % of the time at most: after one that takes 0.1 s, 5 s pass until the next."""
    saved = []

    def save(*_: object) -> None:
        saved.append(1)
        time.sleep(0.1)

    monkeypatch.setattr("ablate.mtl.training.checkpoint.save", save)
    started = time.monotonic()
    train(config, data, device=CPU, checkpoint=tmp_path / "c.pt", checkpoint_every_s=0.01)
    assert len(saved) <= 1 + (time.monotonic() - started) / 5


def test_without_a_checkpoint_a_stop_is_still_a_stop(config: RunConfig, data: Prepared) -> None:
    with pytest.raises(Interrupted, match="epoch 1, before step 3"):
        train(config, data, device=CPU, should_stop=StopAt(2))


def test_nothing_is_left_beside_the_checkpoint(config: RunConfig, data: Prepared, tmp_path: Path) -> None:
    interrupted(config, data, tmp_path / "new folder" / "checkpoint.pt", step=2)
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "one byte", "another pickle"])
def test_a_damaged_checkpoint_is_ignored_with_a_warning(
    damage: str, config: RunConfig, data: Prepared, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "checkpoint.pt"
    interrupted(config, data, path, step=5)
    content = path.read_bytes()
    middle = len(content) // 2
    damaged = {
        "truncated": content[:middle],
        "empty": b"",
        "text": b"not a checkpoint",
        "one byte": content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :],
        "another pickle": pickle.dumps([1, 2, 3]),
    }
    path.write_bytes(damaged[damage])
    with caplog.at_level(logging.WARNING):
        model, rows = finished(config, data, path)
    assert "is damaged and is ignored" in caplog.text
    assert len(rows) == 3
    assert weights(model) == weights(finished(config, data)[0])


def test_a_damaged_checkpoint_costs_the_time_since_the_one_before_it(
    config: RunConfig, data: Prepared, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "checkpoint.pt"
    interrupted(config, data, path, step=3)  # one epoch is done
    interrupted(config, data, path, step=4)  # two: four steps more
    assert len(load_history(path, config, data)) == 2
    path.write_bytes(path.read_bytes()[:-100])
    with caplog.at_level(logging.WARNING):
        model, rows = finished(config, data, path)
    assert "is damaged and is ignored" in caplog.text
    assert [row["epoch"] for row in rows] == [2, 3]
    assert weights(model) == weights(finished(config, data)[0])


def test_removing_checkpoints_leaves_none(config: RunConfig, data: Prepared, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    for step in (2, 2):
        interrupted(config, data, path, step)
    assert len(list(tmp_path.iterdir())) == 2
    remove_checkpoints(path)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_something_else_is_ignored_with_a_warning(
    config: RunConfig, data: Prepared, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "checkpoint.pt"
    interrupted(config, data, path, step=5)
    for other, its_data in [(config.override({"seed": 1}), data), (config, make_data("another digest"))]:
        caplog.clear()
        assert load_history(path, other, its_data) == []
        assert "belongs to another configuration, data set or version" in caplog.text


def test_a_checkpoint_cannot_run_code(
    config: RunConfig, data: Prepared, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, witness = tmp_path / "checkpoint.pt", tmp_path / "witness"

    class Attack:
        def __reduce__(self) -> Any:
            return Path.touch, (witness,)

    torch.save({"identity": Attack()}, path)
    assert load_history(path, config, data) == []
    assert not witness.exists()
    assert "is damaged" in caplog.text
