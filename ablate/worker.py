"""The worker: trains the runs it is given and records each in its folder.

``python -m ablate.worker --device cpu`` reads tasks from standard input and writes events to standard
output, one JSON object a line (see ``launch.local``). When its input ends or it is asked to terminate, it
saves where it is and leaves. It knows nothing of MLflow.
"""

import argparse
import functools
import json
import logging
import os
import platform
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy
import torch
from safetensors.torch import save_file

import ablate
from ablate.data.prepared import Prepared, open_prepared
from ablate.design.runs import Run
from ablate.errors import DataError
from ablate.files import replacing
from ablate.launch.base import DISK_FULL, Event, Kind, Task
from ablate.metrics.counts import EventCounts
from ablate.metrics.scores import SCENE_IN_DISGUISE, Scores, event_scores, scene_scores
from ablate.model.mtl import Mtl
from ablate.rundir import RunBusy, RunFolder, State
from ablate.training.checkpoint import load_history
from ablate.training.classes import without_classes
from ablate.training.evaluate import Evaluation, evaluate
from ablate.training.loop import Interrupted, train

CHECKPOINT_EVERY_S = 30.0

Emit = Callable[[Event], None]

log = logging.getLogger("ablate.worker")


def train_task(task: Task, device: str, emit: Emit, should_stop: Callable[[], bool] = lambda: False) -> None:
    """Train one run to its end and record it. What goes wrong is recorded too, not raised.

    A run that has finished meanwhile, in the hands of another controller, is left as it is. Raises OSError
    when nothing can be recorded, as on a full disk.
    """
    folder = RunFolder(task.folder)
    try:
        with folder.lock():
            if folder.status().state is State.FINISHED:
                emit(Event(Kind.FINISHED, folder.run_id))
                return
            folder.begin()
            emit(Event(Kind.STARTED, folder.run_id))
            with _logging_to(folder.log_file):
                kind, cause = _attempt(folder, task.dataset, device, emit, should_stop)
            folder.end(State(kind.value), cause)
            if kind is Kind.FINISHED:
                folder.checkpoint_file.unlink(missing_ok=True)
    except RunBusy as error:
        emit(Event(Kind.BUSY, folder.run_id, cause=str(error)))
        return
    emit(Event(kind, folder.run_id, cause=cause))


def _attempt(
    folder: RunFolder, dataset: Path, device: str, emit: Emit, should_stop: Callable[[], bool]
) -> tuple[Kind, str | None]:
    try:
        _train_and_score(folder, dataset, torch.device(device), emit, should_stop)
    except Interrupted as error:
        log.info("%s", error)
        return Kind.INTERRUPTED, str(error)
    except Exception as error:
        if is_disk_full(error):
            raise  # nothing is wrong with the run; the controller tells the reader what is
        log.error("%s", traceback.format_exc())
        return Kind.FAILED, f"{type(error).__name__}: {error}"
    return Kind.FINISHED, None


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from (libraries wrap it in their own), is a full disk."""
    while error is not None:
        if DISK_FULL in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _train_and_score(
    folder: RunFolder, dataset: Path, device: torch.device, emit: Emit, should_stop: Callable[[], bool]
) -> None:
    run = folder.run()
    data = _data(dataset)
    if data.digest != run.dataset.digest:
        raise DataError(f"{dataset}: the data have changed since the run was planned; plan it again")
    folder.write_history(load_history(folder.checkpoint_file, run.config, data))
    log.info("training %s seed=%d on %s", run.name, run.seed, device)

    def on_epoch(row: dict[str, Any]) -> None:
        folder.append_history(row)
        emit(Event(Kind.EPOCH, folder.run_id, epoch=int(row["epoch"])))

    model = train(
        run.config,
        data,
        device=device,
        checkpoint=folder.checkpoint_file,
        on_epoch=on_epoch,
        should_stop=should_stop,
        checkpoint_every_s=CHECKPOINT_EVERY_S,
    )
    started = time.perf_counter()
    scored = without_classes(data, run.config)
    evaluation = evaluate(model, scored.evaluation, threshold=run.config.scoring.threshold, device=device)
    evaluation_s = time.perf_counter() - started
    _save_weights(model, folder.weights_file)
    folder.write_result(_result(run, scored, model, evaluation, device, folder, evaluation_s))


def _result(
    run: Run,
    data: Prepared,
    model: Mtl,
    evaluation: Evaluation,
    device: torch.device,
    folder: RunFolder,
    evaluation_s: float,
) -> dict[str, Any]:
    """The content of ``result.json``; its keys are described at ``RunFolder.result``."""
    metrics: dict[str, float | None] = {}
    if evaluation.scenes is not None:
        metrics.update(scene_scores(evaluation.scenes, data.scenes))
    if evaluation.events is not None:
        metrics.update(_event_scores(run, evaluation.events, data.events))
    return {
        "run_id": run.run_id,
        "metrics": metrics,
        "scenes": data.scenes,
        "events": data.events,
        "scene_confusion": None if evaluation.scenes is None else evaluation.scenes.tolist(),
        "event_counts": evaluation.events
        and {name: counts.tolist() for name, counts in vars(evaluation.events).items()},
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "duration_s": sum(row["seconds"] for row in folder.history()) + evaluation_s,
        "device": _device_name(device),
        "versions": {
            "ablate": ablate.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
        },
    }


def _event_scores(run: Run, counts: EventCounts, events: Sequence[str]) -> Scores:
    """As ``event_scores``; scores "without fan" also where fan was left out from the start.

    They are over the same classes, so that a run with and one without that class can be compared.
    """
    scores = event_scores(counts, events)
    if set(SCENE_IN_DISGUISE) <= set(run.config.removed_events):
        suffix = "_".join(SCENE_IN_DISGUISE)
        scores |= {f"{name}_without_{suffix}": scores[name] for name in ("event_micro_f", "event_macro_f")}
    return scores


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})"


def _save_weights(model: Mtl, path: Path) -> None:
    with replacing(path) as temporary:
        save_file(model.state_dict(), temporary)


@functools.lru_cache(maxsize=4)
def _data(path: Path) -> Prepared:
    return open_prepared(path)


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Append this package's log to a file for the time of a run."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("ablate")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        handler.close()


class _Inbox:
    """Tasks from standard input, read beside the training so that the end of input is noticed at once."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        # Not Queue: a signal handler puts into it, and may interrupt a get that holds Queue's lock.
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        # Unbuffered: at exit the interpreter must not wait for the lock of a buffer that is being read.
        with open(0, "rb", buffering=0, closefd=False) as lines:
            for line in lines:
                content = json.loads(line)
                self._tasks.put(Task(Path(content["folder"]), Path(content["dataset"])))
        self.close()

    def close(self) -> None:
        self.stop.set()
        self._tasks.put(None)

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks.get, None)


def _event_writer(stop: Callable[[], None]) -> Emit:
    """Events as lines on what is standard output now; from here on, prints of libraries go to the errors."""
    stream = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def emit(event: Event) -> None:
        try:
            stream.write(json.dumps(asdict(event)).encode() + b"\n")
        except BrokenPipeError:  # the controller is gone; the end of input says so too
            stop()

    return emit


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ablate.worker", description=__doc__)
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    inbox = _Inbox()
    signal.signal(signal.SIGTERM, lambda *_: inbox.close())
    emit = _event_writer(inbox.close)
    if device == "cpu":
        torch.set_num_threads(1)
    for task in inbox:
        train_task(task, device, emit, inbox.stop.is_set)
        if inbox.stop.is_set():
            break


if __name__ == "__main__":
    main()
