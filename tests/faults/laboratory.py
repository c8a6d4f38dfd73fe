"""Where trials are made: a folder for their studies, and what each looks like when nothing happens to it."""

import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from tests.conftest import make_tiny_data
from tests.faults import record, searches
from tests.faults.barrage import Ground, run_barrage
from tests.faults.grounds import GROUNDS
from tests.faults.lightstudy import LightStudy
from tests.faults.race import SHAPES, crowd, light_crowd, race
from tests.faults.scenarios import SCENARIOS, run_trial
from tests.faults.study import Outcome, Study, Undisturbed, outcomes, run_undisturbed
from tests.faults.verdict import Problem

KILLS, TRIALS = 8, 20  # of a search
PRUNERS = {
    "search, all SIGKILL again and again": "none",
    "search --prune median, all SIGKILL again and again": "median",
}
BARRAGES = {f"barrage, {name}": name for name in GROUNDS}
RACES = {
    f"{commands} commands x {workers} workers, 28 runs": (commands, workers) for commands, workers in SHAPES
}
LIGHT_RACES = {f"{name}, light": shape for name, shape in RACES.items()}

Found = tuple[list[str], list[Problem]]  # the injections, and what was wrong


@dataclass
class Laboratory:
    """``perform`` makes a trial of any scenario. The folder of one in which anything was wrong is kept.

    ``in_a_barrage`` are the injections that one study gets, at most.
    """

    folder: Path
    in_a_barrage: int = 20
    cleanup: ExitStack = field(default_factory=ExitStack)
    _grounds: dict[str, Ground] = field(default_factory=dict)
    _calm: dict[float, Undisturbed] = field(default_factory=dict)  # by the pause of an epoch
    _searches: dict[str, searches.Undisturbed] = field(default_factory=dict)  # by pruner
    _crowds: dict[bool, dict[str, Outcome]] = field(default_factory=dict)  # by whether they are light

    @classmethod
    def open(cls, in_a_barrage: int) -> "Laboratory":
        folder = Path(tempfile.mkdtemp(prefix="ablate-faults-"))
        print(f"in {folder}", flush=True)
        return cls(folder, in_a_barrage)

    @property
    def scenarios(self) -> Mapping[str, Callable[[Path, int], Found]]:
        return {
            **{name: partial(self._trial, name) for name in SCENARIOS},
            **{name: partial(self._barrage, ground) for name, ground in BARRAGES.items()},
            **{name: partial(self._race, shape, False) for name, shape in RACES.items()},
            **{name: partial(self._race, shape, True) for name, shape in LIGHT_RACES.items()},
            **{name: partial(self._search, pruner) for name, pruner in PRUNERS.items()},
        }

    def perform(self, scenario: str, seed: int) -> record.Trial:
        folder = self.folder / f"{scenario} {seed}".replace(" ", "-").replace(",", "")
        perform = self.scenarios[scenario]
        started = time.monotonic()
        injections, problems = perform(folder, seed)
        if not problems:
            shutil.rmtree(folder)
        return {
            "scenario": scenario,
            "seed": seed,
            "seconds": round(time.monotonic() - started, 1),
            "injections": injections,
            "problems": [str(problem) for problem in problems],
        }

    def _trial(self, name: str, folder: Path, seed: int) -> Found:
        trial = run_trial(name, Study(folder, self.data), self.undisturbed, seed)
        return trial.injections, trial.problems

    @cached_property
    def data(self) -> Path:
        return make_tiny_data(self.folder / "data")

    @cached_property
    def undisturbed(self) -> Undisturbed:
        return run_undisturbed(Study(self.folder / "undisturbed", self.data))

    def _barrage(self, name: str, folder: Path, seed: int) -> Found:
        if name not in self._grounds:
            self._grounds[name] = self.cleanup.enter_context(GROUNDS[name](self.folder / f"ground-{name}"))
        ground = self._grounds[name]
        study = self._light(folder, ground.pause_s)
        study.options, study.constants, study.forks = ground.options, ground.constants, ground.forks
        study.environment.update(ground.environment)
        barrage = run_barrage(ground, study, self._undisturbed_light(ground.pause_s), seed, self.in_a_barrage)
        return barrage.injections, barrage.problems

    def _undisturbed_light(self, pause_s: float) -> Undisturbed:
        """By local workers, wherever the others train."""
        if pause_s not in self._calm:
            self._calm[pause_s] = run_undisturbed(self._light(self.folder / f"calm-{pause_s}", pause_s))
        return self._calm[pause_s]

    def _light(self, folder: Path, pause_s: float) -> LightStudy:
        return LightStudy(folder, folder, seeds=3, epochs=40, pause_s=pause_s, empty_database=self.database)

    @cached_property
    def database(self) -> Path:
        """MLflow's with nothing in it; made by a process of its own, which has threads afterwards."""
        file = self.folder / "empty.db"
        make = f"from ablate.tracking.client import Client; Client.open('sqlite:///{file}')"
        subprocess.run([sys.executable, "-c", make], check=True)
        return file

    def _race(self, shape: tuple[int, int], light: bool, folder: Path, _seed: int) -> Found:
        commands, workers = shape
        study = light_crowd(folder, self.database, workers) if light else crowd(folder, self.data, workers)
        try:
            problems = race(study, commands, self._crowds.get(light))
        finally:
            study.end()
        if not problems and light not in self._crowds:
            self._crowds[light] = outcomes(study)
        return [], problems

    def _search(self, pruner: str, folder: Path, seed: int) -> Found:
        if pruner not in self._searches:
            calm = self._asked(self.folder / f"search-{pruner}", pruner)
            self._searches[pruner] = searches.undisturbed(calm)
        search = self._asked(folder, pruner)
        try:
            problems = searches.killed_again_and_again(
                search, random.Random(seed), KILLS, self._searches[pruner]
            )
        finally:
            search.end()
        return search.kills, problems

    def _asked(self, folder: Path, pruner: str) -> searches.Search:
        search = searches.Search(folder, trials=TRIALS, pruner=pruner, forks=True)
        shutil.copy(self.database, search.store.database)
        return search
