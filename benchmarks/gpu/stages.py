"""The stages, and the process in which one runs: ``python -m benchmarks.gpu.stages NAME ...``.

That command is for ``benchmarks.gpu``, which says what to give it.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

from ablate.ground.collector import importing, leave_the_end_to_the_system
from benchmarks import common
from benchmarks.gpu.recording import Clock, Record


class Stage(NamedTuple):
    """``share``: of the time, while all stages are still to come; ``least_s``: less shows nothing.

    A ``quiet`` stage measures times, so nothing else may run beside it.
    """

    share: float
    least_s: float
    quiet: bool
    shows: str


# In the order of their worth.
STAGES = {
    "tests": Stage(0.20, 25.0, False, "the project's tests that need a GPU"),
    "equality": Stage(0.17, 25.0, False, "runs that train together get the weights that each gets alone"),
    "packing": Stage(0.26, 30.0, True, "training steps a second, of 1 to 32 runs at once"),
    "study": Stage(0.37, 100.0, True, "the paper's nine systems at full size"),
}
LEAST_WHEN_TINY_S = 5.0

# A minute of audio takes its generator and the features about this long on one core.
FULL_MINUTES, TINY_MINUTES = (192, 74), (2, 2)


def main() -> None:
    options = _options()
    clock = Clock(options.seconds)  # it runs while torch is imported
    leave_the_end_to_the_system()
    with importing():
        import torch

        from benchmarks.gpu import equality, packing, study, suite
        from benchmarks.gpu.workload import describe

    device = torch.device(options.device)
    if device.type == "cpu":
        torch.set_num_threads(1)  # as a worker does
    context = common.context("torch", "numpy", "pandas", "mlflow") | describe(device)
    context["command"] = options.command
    record = Record(options.folder / f"{options.stage}.json", {**context, "seconds": options.seconds})
    if options.stage == "tests":
        suite.run(record, clock, device, tiny=options.tiny)
    elif options.stage == "equality":
        equality.run(record, clock, device, tiny=options.tiny)
    elif options.stage == "packing":
        packing.run(record, clock, device, tiny=options.tiny)
    else:
        study.run(
            record, clock, device, tiny=options.tiny, data=options.data, precision=options.study_precision
        )
    record.note(state="complete")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.stages", description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--study-precision", default="float32")
    parser.add_argument("--command", required=True, help="what was typed")
    return parser.parse_args()


if __name__ == "__main__":
    main()
