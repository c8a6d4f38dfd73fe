"""How fast this process trains, beside others that train at the same time.

``python -m ablate.mtl.training.speed --device cpu`` reads a configuration a line (JSON) from standard input,
builds what it asks for and warms up, writes a line, and waits for a line; then it takes steps for a short
while and writes what they took, as JSON. So whoever drives several such processes lets them measure at once.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ablate.mtl.config import RunConfig
from ablate.mtl.data.prepared import Prepared, Split
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.training.evaluate import evaluate
from ablate.mtl.training.loop import train
from ablate.subject.interface import Interrupted

# Sizes that are the study's; speed depends on them only a little, and on the values not at all.
FRAMES, BANDS, N_SCENES, N_EVENTS = 500, 64, 4, 25
BATCHES = 8  # an epoch
WARM_UP_STEPS = 2
LEAST_STEPS = 3
EVALUATED_CLIPS = 32
SECONDS = 2.0


class Stopwatch:
    """Asked before every training step whether to stop: warms up, waits for ``go``, then times the steps."""

    def __init__(self, device: torch.device, go: Callable[[], None]) -> None:
        self._device = device
        self._go = go
        self._asked = 0
        self._started = 0.0

    @property
    def _steps(self) -> int:
        return self._asked - WARM_UP_STEPS - 1

    def __call__(self) -> bool:
        self._asked += 1
        if self._steps == 0:
            self._go()
            self._started = _now(self._device)
        self.elapsed_s = time.perf_counter() - self._started
        if self._steps < LEAST_STEPS or self.elapsed_s < SECONDS:
            return False
        self.elapsed_s = _now(self._device) - self._started
        return True

    @property
    def step_s(self) -> float:
        return self.elapsed_s / self._steps


def measure(config: RunConfig, device: torch.device, go: Callable[[], None]) -> dict[str, float]:
    """Seconds a training step, and seconds a clip evaluated; they are measured once ``go`` has returned."""
    data = _noise(config.optim.batch_size * BATCHES)
    endless = config.override({"optim.epochs": 10**6, "labels.without": "none"})
    model = Mtl(endless, N_SCENES, N_EVENTS).to(device)
    stopwatch = Stopwatch(device, go)
    try:
        train(endless, data, device=device, should_stop=stopwatch)
    except Interrupted:
        return {"step_s": stopwatch.step_s, "evaluation_s": _evaluation_s(model, data, device)}
    raise AssertionError("it was to be interrupted")


def _evaluation_s(model: Mtl, data: Prepared, device: torch.device) -> float:
    evaluate(model, data.evaluation, threshold=0.5, device=device)
    started = _now(device)
    evaluate(model, data.evaluation, threshold=0.5, device=device)
    return (_now(device) - started) / len(data.evaluation)


def _now(device: torch.device) -> float:
    """The time when the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _noise(n_clips: int) -> Prepared:
    """Clips of noise without events."""
    scenes, events = (
        tuple(f"{kind} {k}" for k in range(n)) for kind, n in (("scene", N_SCENES), ("event", N_EVENTS))
    )
    return Prepared(Path("noise"), "noise", "none", scenes, events, _split(n_clips), _split(EVALUATED_CLIPS))


def _split(n_clips: int) -> Split:
    random = np.random.default_rng(0)
    return Split(
        features=random.standard_normal((n_clips, FRAMES, BANDS), dtype=np.float32),
        events=np.zeros((n_clips, FRAMES, N_EVENTS), np.uint8),
        scenes=np.arange(n_clips) % N_SCENES,
        mask=np.ones((n_clips, FRAMES), np.uint8),
        recordings=np.arange(n_clips, dtype=np.int32),
        recording_names=tuple(str(clip) for clip in range(n_clips)),
        annotated=(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ablate.mtl.training.speed", description=__doc__)
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    if device == "cpu":
        torch.set_num_threads(1)

    def say(content: object) -> None:
        print(json.dumps(content), flush=True)

    def wait() -> None:
        say("ready")
        sys.stdin.readline()

    for line in iter(sys.stdin.readline, ""):
        say(measure(RunConfig().override(json.loads(line)), torch.device(device), wait))


if __name__ == "__main__":
    main()
