"""What the baseline of a study has scored, seed by seed, to be named beside each run."""

from functools import cached_property

from ablate.ground.errors import AblateError
from ablate.record.rundir import RunFolder, State
from ablate.record.store import Store
from ablate.tracking.descriptions import Beside, Scores

UNNAMED = "baseline"  # the condition that serves where the study names none


class Baselines:
    """Looks at each of the baseline's runs until it has finished, and not again."""

    def __init__(self, store: Store, study: str) -> None:
        self._store = store
        self._study = study
        self._known: dict[str, Scores] = {}

    def beside(self, seed: int, fold: int | None) -> Beside | None:
        """The baseline with this seed and fold; None when the study has none."""
        name, folders = self._of_study
        folder = folders.get((seed, fold))
        return None if not folders else Beside(name, None if folder is None else self._scores(folder))

    @cached_property
    def _of_study(self) -> tuple[str, dict[tuple[int, int | None], RunFolder]]:
        name = self._store.study_details(self._study).baseline or UNNAMED
        folders = [folder for folder in self._store.study_runs(self._study) if folder.name == name]
        return name, {(folder.seed or 0, folder.fold): folder for folder in folders}

    def _scores(self, folder: RunFolder) -> Scores | None:
        if folder.run_id not in self._known:
            try:
                result = folder.result() if folder.status().state is State.FINISHED else None
                if result is None:
                    return None
                self._known[folder.run_id] = {**folder.rescored(), **result["metrics"]}
            except AblateError:  # a damaged folder, as shipping it will tell
                return None
        return self._known[folder.run_id]
