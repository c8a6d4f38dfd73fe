"""The tiny study by which a machine is timed: a clip of each scene in each split, a small network."""

import time
from pathlib import Path

from ablate.subject.interface import TinyStudy

MINUTES = 4 / 6
# A second each: as in a real study, one is shipped to MLflow while the next one trains.
SETTINGS = {"model.width": 1 / 32, "optim.batch_size": 4, "optim.epochs": 40}


def tiny_study(folder: Path) -> TinyStudy:
    """Generates and prepares the data of the study in ``folder``, and says what a minute of audio took."""
    from ablate.mtl.data.features import analysis_for
    from ablate.mtl.data.prepared import prepare
    from ablate.mtl.data.soundscapes import generate

    analysis_for(16_000, 8_000.0)  # imports librosa, which is no part of what a minute of audio takes
    data = folder / "tiny"
    began = time.perf_counter()
    generate(data, minutes=MINUTES, eval_minutes=MINUTES, seed=0, workers=1)
    generated = time.perf_counter()
    prepare(data, workers=1)
    prepared = time.perf_counter()
    settings = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    return TinyStudy(
        words=("--levels", "lambda=1", "--data", str(data), *settings),
        generate_s=(generated - began) / (2 * MINUTES),
        prepare_s=(prepared - generated) / (2 * MINUTES),
    )
