"""Fixtures that several folders of tests share."""

import json
import os
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import settings

from ablate.ground.collector import importing, leave_the_end_to_the_system
from tests.command import signals_restored

# A shared machine is slow at times, which is no defect of what is tested.
settings.register_profile("ablate", deadline=None)
settings.load_profile("ablate")

# Whoever runs the tests in the background may have Ctrl-C ignored, which the commands would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

# As on a machine of one core: a command that is not told how many workers has one, so torch is imported once.
# Tests of what several do with each other say how many.
os.environ["LOKY_MAX_CPU_COUNT"] = "1"

SCENES = ("city_center", "home", "office", "residential_area")
RATE_HZ = 8000


leave_the_end_to_the_system()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """To collect tests is to import every library there is."""
    with importing():
        return (yield)


@pytest.fixture(autouse=True)
def own_path() -> Iterator[None]:
    """A user's module that a test opens puts its folder first on the path, which child processes inherit."""
    before = list(sys.path)
    yield
    sys.path[:] = before


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """A command that ends in this process leaves its signals to the system."""
    with signals_restored():
        yield


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As in a worker: sums are added in another order by another number of threads."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database with nothing in it, to be copied: MLflow takes seconds to make its 50 tables."""
    from ablate.tracking.client import Client

    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    Client.open(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set of ``make_tiny_data``."""
    return make_tiny_data(tmp_path_factory.mktemp("data") / "tiny")


def make_tiny_data(folder: Path) -> Path:
    """A prepared data set of one 10 s clip a scene in each split: a tone of its own, and an event in it.

    Its classes are those of the studies that come with ablate, though most never sound.
    """
    from ablate.mtl.data.prepared import prepare
    from ablate.mtl.data.vocabulary import EVENTS

    (folder / "audio").mkdir(parents=True)
    noise = np.random.default_rng(0)
    time = np.arange(10 * RATE_HZ) / RATE_HZ
    for split in ("development", "evaluation"):
        rows = []
        for index, scene in enumerate(SCENES):
            path = f"audio/{split}-{scene}.wav"
            tone = 0.1 * np.sin(2 * np.pi * 300 * (index + 1) * time)
            soundfile.write(folder / path, tone + 0.01 * noise.standard_normal(len(time)), RATE_HZ)
            rows.append(f"{path}\t{scene}\t{index}.0\t{index + 4}.0\tcar")
        (folder / f"meta_{split}.txt").write_text("\n".join(rows) + "\n")
    (folder / "labels.json").write_text(json.dumps({"scenes": SCENES, "events": EVENTS}))
    prepare(folder, workers=1)
    return folder
