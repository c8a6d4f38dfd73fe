"""Small data sets for tests, and where the real annotations lie if this checkout has them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

SHARED = Path(__file__).parents[4] / "shared" / "data"
RATE_HZ = 8000

needs_annotations = pytest.mark.skipif(
    not (SHARED / "tut_meta" / "meta").is_dir(), reason="the study's annotations are not beside this checkout"
)
needs_esc10 = pytest.mark.skipif(
    not (SHARED / "esc10").is_dir(), reason="the ESC-10 recordings are not beside this checkout"
)

DEVELOPMENT = ("a.wav\thome\t1.0\t2.0\tdishes", "b.wav\toffice\t0.0\t3.0\tfan")
EVALUATION = ("c.wav\thome\t0.5\t1.5\tcutlery",)


def write_folder(
    folder: Path,
    development: Sequence[str] = DEVELOPMENT,
    evaluation: Sequence[str] = EVALUATION,
    seconds: Mapping[str, float] | None = None,
    rate_hz: int = RATE_HZ,
) -> Path:
    """A data set with the given annotation rows; ``seconds`` of noise for each path, 3 s by default."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in (("development", development), ("evaluation", evaluation)):
        (folder / f"meta_{split}.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    for index, path in enumerate(sorted({row.split("\t")[0] for row in (*development, *evaluation)})):
        write_noise(folder / path, (seconds or {}).get(path, 3.0), seed=index, rate_hz=rate_hz)
    return folder


def write_noise(
    file: Path, seconds: float, *, seed: int = 0, rate_hz: int = RATE_HZ, channels: int = 1
) -> None:
    """White noise of -20 dBFS."""
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).standard_normal((round(seconds * rate_hz), channels))
    soundfile.write(file, 0.1 * noise, rate_hz)
