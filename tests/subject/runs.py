"""Training runs of a subject as a worker does, without one."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablate.subject.interface import Dataset, Job, Row, Subject
from ablate.subject.scores import Scores
from ablate.subject.settings import Settings


class Runs:
    """One run's folder, its subject, and what was told of it."""

    def __init__(self, folder: Path, subject: Subject) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.subject = subject
        self.trainer = subject.trainer("cpu")
        self.told: list[Row] = []
        self.resumed: list[list[Row]] = []

    def job(
        self,
        settings: Mapping[str, Any],
        stop_after: int | None = None,
        save_every_s: float = 0.0,
        data: Path | None = None,
    ) -> Job:
        """A run that is to stop when ``stop_after`` epochs of it have been told."""
        told = len(self.told)
        return Job(
            run_id="0123",
            title="a run",
            settings=Settings(settings),
            folder=self.folder,
            data=Dataset("mine", "none", Path(os.devnull)) if data is None else Dataset("mine", "1", data),
            report=self.told.append,
            resumed=lambda rows: self.resumed.append(list(rows)),
            should_stop=lambda: stop_after is not None and len(self.told) - told >= stop_after,
            log=logging.getLogger(f"test.{self.folder.name}"),
            save_every_s=save_every_s,
        )

    def run(
        self,
        stop_after: int | None = None,
        save_every_s: float = 0.0,
        data: Path | None = None,
        **settings: Any,
    ) -> Scores | Exception:
        """What became of a run with these settings."""
        full = self.subject.default.override(settings).flat()
        job = self.job(full, stop_after, save_every_s, data)
        self.trainer.begin(job)
        ((ended, outcome),) = self.trainer.advance()
        assert ended is job
        assert self.trainer.advance() == []
        return outcome if isinstance(outcome, Exception) else outcome()

    def scores(self, **settings: Any) -> Scores:
        outcome = self.run(**settings)
        assert isinstance(outcome, Scores), outcome
        return outcome

    @property
    def logged(self) -> str:
        return (self.folder / "log.txt").read_text()
